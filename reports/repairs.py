"""What was done and what it came to, in words: the hosts of a repair, before and after, step by step."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import playbooks
from diagnostics.finding import Finding
from inventory.errors import Text
from playbooks.results import HostChange, StepPlan, StepResult, StepState
from playbooks.verdicts import FindingVerdict, Fix
from reports import words
from reports.language import Language
from reports.sentences import sentence
from reports.visible import shortened
from runner.outcome import RunKind
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
    more: bool
    """There is more in the journal than is shown."""


class RepairView:
    """What the page and the summary ask about a repair."""

    def __init__(self, record: RunRecord, tongue: Language) -> None:
        assert record.repair is not None
        self.record, self.tongue, self.repair = record, tongue, record.repair

    def worked_on(self) -> list[tuple[HostRecord, HostRepair]]:
        """Return the hosts on which something was done, or would be, or was found out afterwards."""
        return [(host, one) for host, one in self._all() if one.steps or one.plans or one.verdicts or one.left_open]

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

    def says(self) -> str:
        """Return what the playbook does and what it cannot undo."""
        return self.tongue.pick(self.repair.says, "")

    def risk(self) -> str:
        """Return what the playbook can do to a host."""
        return self.tongue.say(RISKS[self.repair.risk])

    def change(self, repair: HostRepair) -> str:
        """Return what was done to a host, with its flags."""
        flags = [self.tongue.say(FLAGS[flag]) for flag in repair.flags if flag in FLAGS]
        return ", ".join([self.tongue.say(CHANGES[repair.change]), *flags])

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
            after = Side(text=say(words.reason(one.why)) if one.why else say("it was not asked again"))
        else:
            after = Side(
                text=self.tongue.plural(
                    "not found any more, asked {n} time", "not found any more, asked {n} times", repair.samples
                )
            )
        return Proven(
            tone=_TONES[one.fix],
            sign=_SIGNS[one.fix],
            word=say(FIXES[one.fix]),
            check=one.check,
            title=words.title(one.check, self.record.content, self.tongue),
            before=before,
            after=after,
        )

    def _sentence(self, finding: Finding) -> str:
        return sentence(finding, self.record.content, self.tongue)

    def steps(self, repair: HostRepair) -> list[Told]:
        """Return the steps of a host, those that undid something last; of a plan, what each would do."""
        told = [self._planned(plan) for plan in repair.plans] + [self._done(step) for step in repair.steps]
        told += [self._done(step, self.tongue.say("undo: {name}", name=step.name)) for step in repair.undone]
        return told + [self._left_open(name) for name in repair.left_open]

    def _done(self, step: StepResult, name: str = "") -> Told:
        tone = {StepState.CHANGED: "info", StepState.OK: "clear", StepState.SKIPPED: "unseen"}.get(step.state, "warning")
        said = [*_lines(step.stdout), *(f"! {line}" for line in _lines(step.stderr))]
        return self._told(
            tone="unseen" if step.state in _OPEN else tone,
            word=self.tongue.say(STATES[step.state]),
            name=name or step.name,
            action=step.action,
            why=step.why,
            diff=step.diff,
            said=said,
            duration_ms=step.duration_ms,
        )

    def _planned(self, plan: StepPlan) -> Told:
        changes = plan.forecast.changes
        word = Text("not known beforehand") if changes is None else Text("would change") if changes else Text("nothing to do")
        return self._told(
            tone="unseen" if changes is None else "info" if changes else "clear",
            word=self.tongue.say(STATES[StepState.SKIPPED] if plan.skipped else word),
            name=plan.name,
            action=plan.action,
            why=plan.forecast.why,
            diff=plan.forecast.diff,
            said=(),
            duration_ms=None,
        )

    def _left_open(self, name: str) -> Told:
        why = Text("it was begun, and nobody has seen its end; longarm run resume {run} asks the host", run=self.record.run)
        word = self.tongue.say(STATES[StepState.UNKNOWN])
        return self._told(tone="unseen", word=word, name=name, action="", why=why, diff=(), said=(), duration_ms=None)

    def _told(self, *, why: Text | None, diff: Sequence[str], said: Sequence[str], **values: Any) -> Told:
        return Told(
            why=self.tongue.say(why) if why else "",
            diff=tuple(shortened(line, LONGEST_LINE) for line in diff[:MOST_LINES]),
            said=tuple(shortened(line, LONGEST_LINE) for line in said[:MOST_LINES]),
            more=len(diff) > MOST_LINES or len(said) > MOST_LINES,
            **values,
        )

    def lines(self) -> Iterator[str]:
        """Yield what was done as plain text, host by host."""
        for host, repair in self.worked_on():
            yield f"{host.host}  {self.change(repair)}"
            for proven in self.proven(host, repair.verdicts):
                yield f"    {proven.sign} {proven.word}  {proven.title}: {proven.before.text} → {proven.after.text}"
            for proven in self.proven(host, [one for one in repair.consequences if one.fix is not Fix.UNCHANGED]):
                yield f"    └ {proven.sign} {proven.word}  {proven.title}"
            for step in self.steps(repair):
                yield f"    {step.name}  {step.word}{': ' if step.why else ''}{step.why}"
                yield from (f"        {line}" for line in step.diff)
        for host, repair in self.left_alone():
            why = f": {self.tongue.say(host.error)}" if host.error else ""
            yield f"{host.host}  {self.change(repair)}{why}"


def verdict_of(record: RunRecord, tongue: Language) -> list[str]:
    """Return what a repair came to, in sentences; what nobody knows is part of it."""
    assert record.repair is not None
    if record.repair.planned:
        return [
            tongue.plural(
                "Nothing was changed: this is what would be done on {n} host.",
                "Nothing was changed: this is what would be done on {n} hosts.",
                record.coverage.targeted,
            )
        ]
    fixes = Counter(one.fix for host in record.hosts if host.repair for one in host.repair.verdicts)
    old, changes = fixes.total() - fixes[Fix.NEW], record.repair.changes
    told = []
    if old:
        told.append(
            tongue.plural("{some} of {n} finding is fixed.", "{some} of {n} findings are fixed.", old, some=fixes[Fix.FIXED])
        )
    elif not any(changes[one] for one in HostChange if one is not HostChange.UNCHANGED):
        told.append(tongue.say("Nothing was changed."))
    else:
        told.append(tongue.say("It was done where no finding was there to be fixed."))
    if count := fixes[Fix.UNCHANGED]:
        told.append(tongue.plural("{n} finding is not fixed.", "{n} findings are not fixed.", count))
    if count := fixes[Fix.NEW]:
        told.append(tongue.plural("{n} finding is new.", "{n} findings are new.", count))
    if count := fixes[Fix.VISIBILITY_LOST]:
        told.append(tongue.plural("{n} finding cannot be seen any more.", "{n} findings cannot be seen any more.", count))
    if count := changes[HostChange.PARTLY]:
        told.append(tongue.plural("{n} host is changed in part.", "{n} hosts are changed in part.", count))
    if count := changes[HostChange.ROLLED_BACK]:
        told.append(tongue.plural("On {n} host it was rolled back.", "On {n} hosts it was rolled back.", count))
    if count := changes[HostChange.UNKNOWN]:
        told.append(
            tongue.plural("Nobody knows whether {n} host was changed.", "Nobody knows whether {n} hosts were changed.", count)
        )
    return told


def offer_of(record: RunRecord, finding: Finding) -> str:
    """Return the command that repairs a finding of a diagnosis; empty where no playbook that comes with longarm does."""
    remedy = finding.remedy
    if record.kind is not RunKind.DIAGNOSE or remedy is None or finding.waived or remedy.playbook not in _shipped():
        return ""
    case = ("--case", record.case) if record.case else ()
    return shlex.join(("longarm", "repair", "--finding", f"{record.run}/{finding.id}", *case))


@cache
def _shipped() -> frozenset[str]:
    return frozenset(path.stem for path in (Path(playbooks.__file__).parent / "library").glob("*.yaml"))


def command_of(record: RunRecord) -> tuple[str, ...]:
    """Return the words after `longarm` that do what was planned, without its secrets' values, which no run keeps."""
    assert record.repair is not None
    params = sorted((name, plain(value)) for name, value in record.repair.params.items())
    given = [*params, *sorted(record.repair.secrets.items())]
    words_ = ["repair", record.repair.file or record.playbook, record.expression]
    words_ += [word for name, value in given for word in ("-p", f"{name}={value}")]
    return (*words_, *(("--case", record.case) if record.case else ()))


def plain(value: Any) -> str:
    """Return a parameter as a command line says it.

    >>> plain(True), plain(["db1", "db2"]), plain(209715200)
    ('true', 'db1,db2', '209715200')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ",".join(map(str, value))
    return str(value)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()
