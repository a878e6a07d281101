"""A run on a real host as a scenario: what it said and what came of it, secrets masked, to be looked at before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from inventory.host import Host
from inventory.secret import MASKER, Secret
from inventory.written import flow, scalar
from playbooks.params import ParamValue
from playbooks.ports import AnsibleLogin, Became, Change, Hands, Intent
from playbooks.results import Played
from remote.answer import Answer
from remote.command import Command
from remote.question import Privilege, Question

_WORDS: Final = {
    Became.LATE: "timed_out",
    Became.NOT_BEGUN: "denied",
    Became.INTERRUPTED: "reboot",
    Became.UNKNOWN: "lost",
    Became.FENCED: "fenced",
}
"""What became of a command that did not end by itself, as scenarios call it."""


class RecordingHands:
    """Passes everything on to a host, and keeps what it said to each step."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.looks: dict[str, list[Answer]] = {}
        self.changes: dict[str, list[Change]] = {}

    @property
    def host(self) -> Host:
        """Return which host it is."""
        return self.hands.host

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Ask, and keep the answers to steps."""
        answers = await self.hands.ask(questions, deadline_s=deadline_s)
        for name, answer in answers.items():
            if name.startswith("step."):
                self.looks.setdefault(name.removeprefix("step."), []).append(answer)
        return answers

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Send, and keep what became of it."""
        change = await self.hands.change(ident, command, deadline_s=deadline_s)
        self.changes.setdefault(ident.split(".", 1)[1].rpartition(".")[0], []).append(change)
        return change

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        """Recall, and keep what became of it."""
        change = await self.hands.recall(intent, privilege=privilege, deadline_s=deadline_s)
        self.changes.setdefault(intent.key, []).append(change)
        return change

    async def again(self, *, deadline_s: float) -> bool:
        """Connect anew."""
        return await self.hands.again(deadline_s=deadline_s)

    async def fabric(self, function: Callable[[Any], Any], *, deadline_s: float) -> Any:
        """Call a function; what it did is in no scenario."""
        return await self.hands.fabric(function, deadline_s=deadline_s)

    async def ansible_login(self) -> AnsibleLogin:
        """Return how Ansible reaches the host."""
        return await self.hands.ansible_login()


def written_scenario(
    name: str, recorded: RecordingHands, played: Played, params: Mapping[str, ParamValue], facts: Mapping[str, Any]
) -> str:
    """Return a recorded run as one scenario in YAML; the name of the host and every known secret are left out."""
    known = {key: _given(value) for key, value in params.items() if not isinstance(value, Secret)}
    lines = [f"- scenario: {scalar(name)}", f"  params: {flow(known)}"]
    if facts:
        lines.append(f"  facts: {flow(_plain(facts))}")
    lines.append("  answers:")
    for key in dict.fromkeys((*recorded.looks, *recorded.changes)):
        lines.append(f"    {key}:")
        looks, changes = recorded.looks.get(key, []), recorded.changes.get(key, [])
        if looks:
            lines.append(f"      look: {flow(tuple(_output(one) for one in looks))}")
        if changes:
            lines.append(f"      change: {flow(tuple(_became(one) for one in changes))}")
    steps = {step.key: step.state.value for step in played.steps}
    lines += ["  expect:", f"    steps: {flow(steps)}"]
    if played.undone:
        lines.append(f"    undone: {flow({step.key: step.state.value for step in played.undone})}")
    return "\n".join([*lines, f"    change: {played.change.value}"]) + "\n"


def _became(change: Change) -> Any:
    return _output(change) if change.became is Became.DONE else _WORDS[change.became]


def _output(said: Answer | Change) -> dict[str, Any]:
    texts = {"stdout": _masked(said.stdout), "stderr": _masked(said.stderr)}
    return {**({"status": said.exit_status} if said.exit_status else {}), **{key: text for key, text in texts.items() if text}}


def _masked(data: bytes) -> str:
    return MASKER.text(data.decode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    """Return facts as they are written: no places of evidence, which a scenario has none of; texts masked."""
    match value:
        case Mapping():
            return {str(name): _plain(below) for name, below in value.items()}
        case list() | tuple():
            return tuple(_plain(item) for item in value)
        case str():
            return MASKER.text(value)
    return value


def _given(value: ParamValue) -> Any:
    return f"{value:g}s" if isinstance(value, float) else value
