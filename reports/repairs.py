"""What was done and what it came to, in words: the hosts of a repair, before and after, step by step."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from diagnostics.finding import Finding
from inventory.errors import Text
from playbooks.params import plain
from playbooks.results import HostChange, StepPlan, StepResult, StepState
from playbooks.verdicts import FindingVerdict, Fix
from reports import undoing, words
from reports.by_hand import done_by_hand
from reports.language import Language
from reports.repair_commands import cause_repair
from reports.repair_sentences import mute_sentence, second_person, standing_besides
from reports.sentences import sentence
from reports.visible import shortened
from runner.outcome import RunState
from runner.record import HostRecord, Quote, RunRecord
from runner.repair_record import HostRepair

CHANGES: Final[Mapping[HostChange, Text]] = {
    HostChange.CHANGED: Text("changed"),
    HostChange.UNCHANGED: Text("unchanged"),
    HostChange.PARTLY: Text("partly changed"),
    HostChange.UNKNOWN: Text("nobody knows whether it was changed"),
    HostChange.ROLLED_BACK: Text("changed and rolled back"),
}
FIXES: Final[Mapping[Fix, Text]] = {
    Fix.FIXED: Text("fixed"),
    Fix.UNCHANGED: Text("not fixed"),
    Fix.NEW: Text("new"),
    Fix.VISIBILITY_LOST: Text("cannot be seen any more"),
}
STATES: Final[Mapping[StepState, Text]] = {
    StepState.OK: Text("as it should be"),
    StepState.CHANGED: Text("made a change"),
    StepState.SKIPPED: Text("skipped"),
    StepState.FAILED: Text("failed"),
    StepState.TIMED_OUT: Text("timed out"),
    StepState.REFUSED: Text("refused"),
    StepState.UNDECIDED: Text("could not be decided"),
    StepState.INTERRUPTED: Text("cut off"),
    StepState.UNKNOWN: Text("end unknown"),
    StepState.FENCED: Text("a newer run was first"),
}
RISKS: Final[Mapping[str, Text]] = {
    "read": Text("changes nothing"),
    "reversible": Text("can be undone"),
    "disruptive": Text("interrupts what runs"),
}
FLAGS: Final[Mapping[str, Text]] = {
    "needs_reboot": Text("has to be started anew"),
    "fenced": Text("a newer run was first"),
    "forced": Text("forced"),
    "held": Text("held"),
}
_TONES: Final[Mapping[Fix, str]] = {
    Fix.FIXED: "clear",
    Fix.UNCHANGED: "warning",
    Fix.NEW: "critical",
    Fix.VISIBILITY_LOST: "unseen",
}
_SIGNS: Final[Mapping[Fix, str]] = {Fix.FIXED: "✓", Fix.UNCHANGED: "▲", Fix.NEW: "◆", Fix.VISIBILITY_LOST: "?"}
_WELL: Final = (StepState.OK, StepState.CHANGED, StepState.SKIPPED)
_OPEN: Final = (StepState.INTERRUPTED, StepState.UNKNOWN)
_GIVING: Final = ("ansible", "ask", "python")
"""Actions whose results are part of what is told: what somebody answered, what a function gave back, what Ansible counted."""
MOST_BESIDES: Final = 3
"""Findings that a host's card names beside those that the repair was for; all of them stand in the list of what is wrong."""
MOST_LINES: Final = 40
"""Of a diff, and of what a step said."""
LONGEST_LINE: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a verdict: what was found, and the lines that prove it."""

    text: str
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What became of one finding, both sides beside each other."""

    tone: str
    sign: str
    word: str
    check: str
    title: str
    before: Side
    after: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step: how it ended or would end, and what is shown of it."""

    tone: str
    word: str
    name: str
    action: str
    why: str
    diff: tuple[str, ...]
    said: tuple[str, ...]
    duration_ms: int | None
    gave: tuple[str, ...] = ()
    """What somebody answered, what a function returned, what Ansible counted, `name = value`."""
    tries: str = ""
    """How often it was tried, or sent, where that was more than once."""
    script: tuple[str, ...] = ()
    """Of a plan: the lines of the script, all of them: somebody approves it."""
    variables: tuple[str, ...] = ()
    """What the script gets, `name=value`, quoted as a shell has it."""
    more: bool
    """There is more in the journal than is shown."""


class RepairView:
    """What the page and the summary ask about a repair."""

    def __init__(self, record: RunRecord, tongue: Language) -> None:
        assert record.repair is not None
        self.record, self.tongue, self.repair = record, tongue, record.repair

    def worked_on(self) -> list[tuple[HostRecord, HostRepair]]:
        """Return the hosts on which something was done, or would be, or was found out afterwards."""
        return [
            (host, one) for host, one in self._all() if one.plans or one.steps or one.undone or one.verdicts or one.left_open
        ]

    def left_alone(self) -> list[tuple[HostRecord, HostRepair]]:
        """Return the hosts on which nothing was done."""
        done = {host.host for host, _ in self.worked_on()}
        return [(host, one) for host, one in self._all() if host.host not in done]

    def _all(self) -> Iterator[tuple[HostRecord, HostRepair]]:
        yield from ((host, host.repair) for host in self.record.hosts if host.repair is not None)

    def params(self) -> list[tuple[str, str]]:
        """Return the parameters as a command line says them; of a secret where it was kept."""
        shown = [(name, plain(value)) for name, value in self.repair.params.items()]
        return sorted([*shown, *((name, f"*** ({kept})") for name, kept in self.repair.secrets.items())])

    def second_person(self) -> list[tuple[str, str]]:
        """Return what there is to say of the second person that a repair needs, each with its title."""
        return [(self.tongue.say(title), self.tongue.say(text)) for title, text in second_person(self.repair)]

    def mutes(self) -> list[tuple[str, str]]:
        """Return by what monitoring was kept silent, and how that went."""
        return [(one.hook, mute_sentence(one, self.tongue)) for one in self.repair.mutes]

    def says(self) -> str:
        """Return what the playbook does and what it cannot undo."""
        return self.tongue.pick(self.repair.says, "")

    def risk(self) -> str:
        """Return what the playbook can do to a host."""
        return self.tongue.say(RISKS[self.repair.risk])

    def change(self, repair: HostRepair) -> str:
        """Return what was done to a host, with its flags."""
        flags = [self.tongue.say(FLAGS[flag]) for flag in repair.flags if flag in FLAGS]
        changes = undoing.CHANGES if self.repair.undoes else CHANGES
        return ", ".join([self.tongue.say(changes[repair.change]), *flags])

    def can_be_undone(self, host: HostRecord, repair: HostRepair) -> str:
        """Return the command that undoes what was done to a host; empty where nothing can be, or is undone already."""
        ended = self.record.state is RunState.ENDED
        return undoing.undo_command(self.record, host) if ended and repair.undoable and not repair.since else ""

    def tone(self, host: HostRecord, repair: HostRepair) -> str:
        """Return the class of a host's card."""
        if repair.change is HostChange.UNKNOWN or any(one.fix is Fix.VISIBILITY_LOST for one in repair.verdicts):
            return "unseen"
        if host.diagnosis is not None and host.diagnosis.worst is not None and not repair.plans:
            return host.diagnosis.worst.value
        if any(step.state not in _WELL for step in repair.steps):
            return "warning"
        return "info" if repair.plans else "done" if host.outcome.seen else "unseen"

    def proven(self, host: HostRecord, found: Sequence[FindingVerdict]) -> list[Proven]:
        """Return verdicts with both their sides."""
        return [self._proven(host, one) for one in found]

    def _proven(self, host: HostRecord, one: FindingVerdict) -> Proven:
        say, repair = self.tongue.say, host.repair
        assert repair is not None
        before = Side(text=say("not found"))
        if one.before is not None:
            before = Side(text=self._sentence(one.before), quotes=repair.before_quotes.get(one.before.id, ()))
        if one.after is not None:
            after = Side(text=self._sentence(one.after), quotes=host.quotes.get(one.after.id, ()))
        elif one.fix is Fix.VISIBILITY_LOST:
            after = Side(text=self._lost(one))
        else:
            after = Side(
                text=self.tongue.plural(
                    "not found any more, asked {n} time", "not found any more, asked {n} times", repair.samples
                )
            )
        return Proven(
            tone=_TONES[one.fix],
            sign=_SIGNS[one.fix],
            word=say((undoing.FIXES if self.repair.undoes else FIXES)[one.fix]),
            check=one.check,
            title=words.title(one.check, self.record.content, self.tongue),
            before=before,
            after=after,
        )

    def _lost(self, one: FindingVerdict) -> str:
        return self.tongue.say(words.reason(one.why)) if one.why else self.tongue.say("it was not asked again")

    def _sentence(self, finding: Finding) -> str:
        return sentence(finding, self.record.content, self.tongue)

    def besides(self, host: HostRecord) -> tuple[list[Finding], int]:
        """Return the worst of what stands on a host and in none of its tables, and how many more there are."""
        assert host.repair is not None
        found = standing_besides(host, (*host.repair.verdicts, *host.repair.consequences))
        return found[:MOST_BESIDES], max(0, len(found) - MOST_BESIDES)

    def steps(self, repair: HostRepair) -> list[Told]:
        """Return the steps of a host, those that undid something last; of a plan, what each would do."""
        told = [self._planned(plan) for plan in repair.plans] + [self._done(step) for step in repair.steps]
        undone = ((step, self.tongue.say("undo: {name}", name=self._called(step.name))) for step in repair.undone)
        told += [self._done(step, name) for step, name in undone]
        return told + [self._left_open(name) for name in repair.left_open]

    def _tries(self, step: StepResult) -> str:
        """Return how often a step was tried, and sent where its connection was lost before it began."""
        plural, told = self.tongue.plural, []
        if step.attempts > 1:
            told.append(plural("tried {n} time", "tried {n} times", step.attempts))
        if step.sent > step.attempts:
            told.append(plural("sent {n} time", "sent {n} times", step.sent))
        return ", ".join(told)

    def _done(self, step: StepResult, name: str = "") -> Told:
        tone = {StepState.CHANGED: "info", StepState.OK: "clear", StepState.SKIPPED: "unseen"}.get(step.state, "warning")
        said = [*_lines(step.stdout), *(f"! {line}" for line in _lines(step.stderr))]
        gave = [f"{name} = {plain(value)}" for name, value in step.data.items()] if step.action in _GIVING else []
        return self._told(
            tone="unseen" if step.state in _OPEN else tone,
            word=self.tongue.say(STATES[step.state]),
            name=name or self._called(step.name),
            action=step.action,
            why=step.why,
            diff=step.diff,
            said=said,
            duration_ms=step.duration_ms,
            gave=tuple(shortened(line, LONGEST_LINE) for line in gave),
            tries=self._tries(step),
        )

    def _planned(self, plan: StepPlan) -> Told:
        changes, name = plan.forecast.changes, self._called(plan.name)
        word = Text("not known beforehand") if changes is None else Text("would change") if changes else Text("nothing to do")
        if plan.stays:
            word = Text("cannot be undone")
        elif plan.undoes:
            name = self.tongue.say("undo “{step}”: {name}", step=self._called(plan.undoes), name=name)
        return self._told(
            tone="warning" if plan.stays else "unseen" if changes is None else "info" if changes else "clear",
            word=self.tongue.say(STATES[StepState.SKIPPED] if plan.skipped else word),
            name=name,
            action=plan.action,
            why=plan.forecast.why,
            diff=plan.forecast.diff,
            said=(),
            duration_ms=None,
            script=tuple(plan.script.splitlines()),
            variables=tuple(_assigned(plan)),
        )

    def _left_open(self, name: str) -> Told:
        why = Text("it was begun, and nobody has seen its end; longarm run resume {run} asks the host", run=self.record.run)
        if self.record.state is RunState.ENDED:
            why = Text("it was begun, and nobody has seen its end")
        word, called = self.tongue.say(STATES[StepState.UNKNOWN]), self._called(name)
        return self._told(tone="unseen", word=word, name=called, action="", why=why, diff=(), said=(), duration_ms=None)

    def _called(self, name: str) -> str:
        return self.tongue.pick(self.repair.titles.get(name, {}), name)

    def _told(self, *, why: Text | None, diff: Sequence[str], said: Sequence[str], **values: Any) -> Told:
        return Told(
            why=self.tongue.say(why) if why else "",
            diff=tuple(shortened(line, LONGEST_LINE) for line in diff[:MOST_LINES]),
            said=tuple(shortened(line, LONGEST_LINE) for line in said[:MOST_LINES]),
            more=len(diff) > MOST_LINES or len(said) > MOST_LINES,
            **values,
        )

    def remarks(self, host: HostRecord, repair: HostRepair) -> list[str]:
        """Return what there is to say of a host besides its steps and verdicts."""
        anew = int(host.session.get("connected_anew", "0"))
        return [
            *(self._cause(one) for one in repair.causes),
            *([self._connected_anew(anew)] if anew else []),
            *done_by_hand(repair, self.tongue),
            *(
                [self.tongue.say(Text("since then run {run} has worked on it", run=repair.since))]
                if repair.since
                else self._can_be_undone(repair)
            ),
        ]

    def _can_be_undone(self, repair: HostRepair) -> list[str]:
        if self.record.state is not RunState.ENDED or not repair.undoable:
            return []
        return [self.tongue.say("can be undone: {steps}", steps=", ".join(map(self._called, repair.undoable)))]

    def _cause(self, cause: Finding) -> str:
        told, repair = self._sentence(cause), cause_repair(self.record, cause)
        if not repair:
            return self.tongue.say("it follows from: {cause}", cause=told)
        return self.tongue.say("it follows from: {cause}; the repair of that: {command}", cause=told, command=repair)

    def _connected_anew(self, anew: int) -> str:
        return self.tongue.plural(
            "the connection was lost, and opened anew {n} time", "the connection was lost, and opened anew {n} times", anew
        )

    def lines(self) -> Iterator[str]:
        """Yield what was done as plain text, host by host; a script that is the same on several is shown once."""
        shown: set[tuple[str, ...]] = set()
        for host, repair in self.worked_on():
            yield f"{host.host}  {self.change(repair)}"
            yield from (f"    {line}" for line in self.remarks(host, repair))
            for proven in self.proven(host, repair.verdicts):
                yield f"    {proven.sign} {proven.word}  {proven.title}: {proven.before.text} → {proven.after.text}"
            for proven in self.proven(host, [one for one in repair.consequences if one.fix is not Fix.UNCHANGED]):
                yield f"    └ {proven.sign} {proven.word}  {proven.title}"
            for step in self.steps(repair):
                word = ", ".join(filter(None, (step.word, step.tries)))
                yield f"    {step.name}  {word}{': ' if step.why else ''}{step.why}"
                yield from (f"        {line}" for line in (*step.gave, *step.diff))
                script = (*step.variables, *(f"$ {line}" for line in step.script))
                yield from (f"        {line}" for line in script if script not in shown)
                shown.add(script)
        for host, repair in self.left_alone():
            why = f": {self.tongue.say(host.error)}" if host.error else ""
            yield f"{host.host}  {self.change(repair)}{why}"
            yield from (f"    {line}" for line in self.remarks(host, repair))


def _assigned(plan: StepPlan) -> Iterator[str]:
    """Yield the variables of a planned script as its shell would have them."""
    for name, value in sorted(plan.variables.items()):
        yield f"${name} = {value}" if plan.action == "powershell" else f"{name}={shlex.quote(value)}"


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()
