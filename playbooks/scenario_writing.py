"""A run on a real host as a scenario: what it said and what came of it, secrets masked, to be looked at before it is kept."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.formats import encode_evidence
from inventory.errors import Text
from inventory.host import Host
from inventory.secret import MASKER, Secret
from inventory.written import flow, scalar
from playbooks.actions.calling import value_of
from playbooks.params import ParamValue
from playbooks.ports import Became, CallResult, Change, Hands, Intent, Recap
from playbooks.results import Played
from playbooks.testing import TIMED_OUT
from playbooks.verdicts import FindingVerdict
from remote.ansible_bridge import AnsibleWay
from remote.answer import Answer
from remote.command import Command
from remote.errors import DeadlineExceeded
from remote.question import Privilege, Question

C = TypeVar("C", CallResult, Recap)
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
        self.calls: dict[str, CallResult | Recap] = {}
        self.probed: dict[str, list[Answer]] = {}
        """By the questions of probes."""

    @property
    def host(self) -> Host:
        """Return which host it is."""
        return self.hands.host

    @property
    def unreached(self) -> Text | None:
        """Return why there is no connection."""
        return self.hands.unreached

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Ask, and keep the answers."""
        answers = await self.hands.ask(questions, deadline_s=deadline_s)
        for name, answer in answers.items():
            kept = self.looks if name.startswith("step.") else self.probed
            kept.setdefault(name.removeprefix("step."), []).append(answer)
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

    async def fabric(self, key: str, function: Callable[[Any], CallResult], *, deadline_s: float) -> CallResult:
        """Call a function, and keep what it came to."""
        return await self._called(key, CallResult, self.hands.fabric(key, function, deadline_s=deadline_s))

    async def ansible(self, key: str, run: Callable[[AnsibleWay], Recap], *, deadline_s: float) -> Recap:
        """Run Ansible, and keep what it came to."""
        return await self._called(key, Recap, self.hands.ansible(key, run, deadline_s=deadline_s))

    async def _called(self, key: str, kind: type[C], call: Awaitable[C]) -> C:
        try:
            ended = self.calls[key] = await call
        except DeadlineExceeded:
            self.calls[key] = TIMED_OUT[kind]
            raise
        return ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a host was seen to be before and after, each with all that it is judged by, and what became of its findings."""

    before: tuple[Evidence, Context]
    after: Sequence[tuple[Evidence, Context]]
    verdicts: Sequence[FindingVerdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One scenario in YAML, and the evidence that it names, by the paths of these files beside it."""

    scenario: str
    evidence: Mapping[str, bytes]


def written_scenario(
    run: str,
    recorded: RecordingHands,
    played: Played,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    proof: Proof | None = None,
) -> Recording:
    """Return a recorded run as one scenario.

    Every known secret is left out, a secret parameter is some word; the host's name and address are those of scenarios.
    """
    evidence = _evidence(run, proof, recorded.host) if proof is not None and proof.before[0].answers else {}

    def told(value: Any) -> str:
        return flow(_plain(value, recorded.host))

    known = {key: "recorded" if isinstance(value, Secret) else _given(value) for key, value in params.items()}
    name = run if played.failed is None else f"{run}: {played.failed.name}"
    lines = [f"- scenario: {scalar(_of_nobody(name, recorded.host))}", f"  params: {told(known)}"]
    if evidence:
        before, *after = (name.removesuffix(".evidence") for name in evidence)
        lines += [f"  before: {before}", f"  after: {flow(tuple(after))}"]
    if facts:
        lines.append(f"  facts: {told(facts)}")
    if recorded.probed:
        lines.append(
            f"  probes: {told({name: [_output(one) for one in answers] for name, answers in recorded.probed.items()})}"
        )
    answered = {step.key: step.data["answer"] for step in played.steps if "answer" in step.data}
    lines.append("  answers:")
    for key in dict.fromkeys((*recorded.looks, *recorded.changes, *recorded.calls, *answered)):
        lines.append(f"    {key}:")
        looks, changes = recorded.looks.get(key, []), recorded.changes.get(key, [])
        if looks:
            lines.append(f"      look: {told([_output(one) for one in looks])}")
        if changes:
            lines.append(f"      change: {told([_became(one) for one in changes])}")
        if key in recorded.calls:
            call = recorded.calls[key]
            lines.append(f"      {'python' if isinstance(call, CallResult) else 'ansible'}: {told(_called(call))}")
        if key in answered:
            lines.append(f"      operator: {told(_given(answered[key]))}")
    steps = {step.key: step.state.value for step in played.steps}
    lines += ["  expect:", f"    steps: {flow(steps)}"]
    if played.undone:
        lines.append(f"    undone: {flow({step.key: step.state.value for step in played.undone})}")
    if evidence and proof is not None and (fixes := _fixes(proof.verdicts)):
        lines.append(f"    verdicts: {flow(fixes)}")
    return Recording(scenario="\n".join([*lines, f"    change: {played.change.value}"]) + "\n", evidence=evidence)


def _evidence(run: str, proof: Proof, host: Host) -> dict[str, bytes]:
    """Return the samples as files, the one from before first."""
    samples = {"before": proof.before, **{f"after-{number}": sample for number, sample in enumerate(proof.after, 1)}}
    return {f"evidence/{run}-{name}.evidence": _sample(*sample, host) for name, sample in samples.items()}


def _sample(evidence: Evidence, context: Context, host: Host) -> bytes:
    """Return evidence without secrets, and of nobody; who accepted what is nobody's concern."""

    def clean(text: str) -> str:
        return _of_nobody(MASKER.text(text), host)

    def clean_bytes(data: bytes) -> bytes:
        return _of_nobody(MASKER.data(data).decode("utf-8", "surrogateescape"), host).encode("utf-8", "surrogateescape")

    answers = {
        name: replace(
            answer,
            stdout=clean_bytes(answer.stdout),
            stderr=clean_bytes(answer.stderr),
            why=clean(answer.why),
            denied=clean(answer.denied),
        )
        for name, answer in evidence.answers.items()
    }
    named = replace(evidence, host=clean(evidence.host), answers=answers, session={})
    waivers = tuple(
        replace(one, subject=_plain(one.subject, host), targets="all", reason="recorded", owner="recorded")
        for one in context.waivers
    )
    said = replace(
        context,
        services=tuple(map(clean, context.services)),
        names=tuple(map(clean, context.names)),
        waivers=waivers,
        earlier=tuple(replace(one, key=clean(one.key)) for one in context.earlier),
        observations=_plain(context.observations, host),
    )
    return encode_evidence(named, said)


def _fixes(verdicts: Sequence[FindingVerdict]) -> dict[str, str]:
    """Return what became of the findings of each check, where all of them ended alike: a scenario says one word of each."""
    found: dict[str, set[str]] = {}
    for one in verdicts:
        found.setdefault(one.check, set()).add(one.fix.value)
    return {check: fixes.pop() for check, fixes in found.items() if len(fixes) == 1}


def _of_nobody(text: str, host: Host) -> str:
    """Return a text in which a host's name and address stand nowhere: whole words become those that scenarios have.

    >>> _of_nobody("web1 (10.0.0.7), not web12", Host(name="web1", address="10.0.0.7"))
    'db01 (192.0.2.1), not web12'
    """
    for word, instead in ((host.name, "db01"), (host.address, "192.0.2.1")):
        text = re.sub(rf"(?<![A-Za-z0-9_.-]){re.escape(word)}(?![A-Za-z0-9_]|[.-][A-Za-z0-9])", instead, text)
    return text


def _became(change: Change) -> Any:
    return _output(change) if change.became is Became.DONE else _WORDS[change.became]


def _output(said: Answer | Change) -> dict[str, Any]:
    return {**({"status": said.exit_status} if said.exit_status else {}), **_texts(stdout=said.stdout, stderr=said.stderr)}


def _called(call: CallResult | Recap) -> Any:
    """Return what a function, or a run of Ansible, came to, as scenarios say it."""
    if call == TIMED_OUT[type(call)]:
        return "timed_out"
    if isinstance(call, Recap):
        failed = call.stats.get("failures") or call.stats.get("unreachable")
        return {**call.stats, **_texts(stdout=call.said)} if call.status == "successful" or failed else "status"
    ended = {} if (kept := value_of(call.value)) is None else {"returns": kept}
    raised = {} if call.raised is None else {"raises": str(call.raised)}
    return {**ended, **raised, **_texts(stdout=call.stdout, stderr=call.stderr)}


def _texts(**streams: bytes) -> dict[str, str]:
    return {name: data.decode("utf-8", "backslashreplace") for name, data in streams.items() if data}


def _plain(value: Any, host: Host) -> Any:
    """Return what is written: no places of evidence, which a scenario has none of; texts masked, and of nobody."""
    match value:
        case Mapping():
            return {_plain(str(name), host): _plain(below, host) for name, below in value.items()}
        case list() | tuple():
            return tuple(_plain(item, host) for item in value)
        case str():
            return _of_nobody(MASKER.text(value), host)
    return value


def _given(value: ParamValue) -> Any:
    return f"{value:g}s" if isinstance(value, float) else value
