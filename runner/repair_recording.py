"""What a record says of a repair, made from what the store keeps: pure, so that reading it again gives the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from diagnostics.finding import Diagnosis, Finding
from inventory.errors import Text
from playbooks.results import Effect, HostChange, StepResult
from playbooks.verdicts import causes_of, verdicts
from remote.answer import Answer
from runner.journal import ended_lines, items_of, plain_key, plan_of_step, result_of
from runner.outcome import RunKind
from runner.quoting import quotes_of
from runner.repair_record import HostRepair, MuteNote, RunRepair
from runner.request import Agreed
from runner.store.port import WholeRun
from runner.store.rows import Event, HandRow, HostRow, JournalRow, MuteRow, RunRow

CHANGING: Final = (RunKind.REPAIR, RunKind.PLAN)
_ITEM: Final = re.compile(r"\.i\d+")
_UNDOING: Final = re.compile(r".*\.r\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one sample showed; without answers where its evidence was pruned."""

    diagnosis: Diagnosis
    answers: Mapping[str, Answer] = field(default_factory=dict, hash=False)


def host_repair(
    run: RunRow,
    row: HostRow,
    lines: Sequence[JournalRow],
    seen: Sequence[Shown],
    since: str | None = None,
    by_hand: tuple[HandRow, ...] = (),
) -> HostRepair:
    """Return what was done to a host: `lines` are its journal, `seen` its samples in their order, the first one before.

    `since` is the last repair that has worked on the host after this one, `by_hand` what people have done there since it began.
    Samples beyond those that prove the repair were taken once it was undone: they decide no verdict.
    """
    ends = {key: result_of(line) for key, line in ended_lines(lines).items()}
    intended = dict.fromkeys(line.key for line in lines if line.event is Event.INTENT)
    open_keys = [key for key in intended if key not in ends]
    before = seen[0] if seen else None
    claims = run.request["claims"]
    after = [sample.diagnosis.results for sample in seen[1 : 1 + run.request["samples"]]]
    others = [check for check in run.checks if check not in (*claims, *run.request.get("not_while", ()))]
    return HostRepair(
        change=row.change or _so_far(open_keys, [result.effect for result in ends.values()]),
        flags=row.flags,
        plans=tuple(plan_of_step(line) for line in lines if line.event is Event.PLAN),
        steps=tuple(result for key, result in ends.items() if not _UNDOING.fullmatch(key)),
        undone=tuple(result for key, result in ends.items() if _UNDOING.fullmatch(key)),
        left_open=tuple(_step_named(run, key) for key in open_keys),
        verdicts=verdicts(before.diagnosis.results, after, claims) if before and after else (),
        consequences=verdicts(before.diagnosis.results, after, others) if before and after else (),
        causes=_causes(before.diagnosis, claims) if before else (),
        before=before.diagnosis if before else None,
        before_quotes=quotes_of(before.diagnosis, before.answers) if before else {},
        samples=len(after),
        undoable=undoable(run, row, lines),
        since=since,
        by_hand=by_hand,
    )


def _causes(diagnosis: Diagnosis, claims: Sequence[str]) -> tuple[Finding, ...]:
    """Return what explains findings that a repair claims to fix, and is none of these."""
    checks = {finding.id: finding.check for finding in diagnosis.findings}
    above = [causes for effect, causes in causes_of(diagnosis).items() if checks[effect] in claims]
    return tuple({cause.id: cause for causes in above for cause in causes if cause.check not in claims}.values())


def undoable(run: RunRow, row: HostRow, lines: Sequence[JournalRow]) -> tuple[str, ...]:
    """Return the names of the steps that changed a host and could be undone; none where `keeps_from_undoing` says why."""
    if keeps_from_undoing(run, row, lines) is not None:
        return ()
    return tuple(dict.fromkeys(one.name for one in _touched(lines) if plain_key(one.key) in run.request.get("undo", ())))


def keeps_from_undoing(run: RunRow, row: HostRow, lines: Sequence[JournalRow]) -> Text | None:
    """Return why nothing that a run did to a host may be undone, so that a person has to look first; None: something may be."""
    ends = ended_lines(lines)
    begun = dict.fromkeys(line.key for line in lines if line.event is Event.INTENT)
    if row.pruned_at is not None:
        return Text("what was read there before was pruned")
    if any(_UNDOING.fullmatch(key) for key in (*begun, *ends)):
        return Text("undoing it was begun by the run itself")
    if open_keys := [key for key in begun if key not in ends]:
        return Text("nobody knows how “{step}” ended there", step=_step_named(run, open_keys[0]))
    if row.change is HostChange.UNKNOWN:
        return Text("nobody knows what was done there")
    touched = _touched(lines)
    if not touched:
        return Text("nothing was changed there")
    if not any(plain_key(one.key) in run.request.get("undo", ()) for one in touched):
        names = ", ".join(dict.fromkeys(one.name for one in touched))
        return Text("the playbook says nothing that undoes {steps}", steps=names)
    if (lost := next(_items_lost(run, touched, items_of(lines)), None)) is not None:
        return Text("for which item of its loop “{step}” was done there is not kept", step=_step_named(run, lost))
    return None


def _items_lost(run: RunRow, touched: Sequence[StepResult], kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of items that undoing needs and that were not kept."""
    by_item = run.request.get("undo_by_item")
    if by_item is None:  # earlier releases did not say: those of steps that can be undone, and of all that was included
        outer = (one.key[: found.start()] for one in touched for found in _ITEM.finditer(one.key) if found.end() < len(one.key))
        by_item = [*run.request["undo"], *map(plain_key, outer)]
    keys = (one.key[: found.end()] for one in touched for found in _ITEM.finditer(one.key))
    yield from (key for key in keys if key not in kept and plain_key(key) in by_item)


def _touched(lines: Sequence[JournalRow]) -> list[StepResult]:
    """Return the results of what may have changed the host."""
    return [one for line in lines if line.event is Event.END and (one := result_of(line)).effect is not Effect.NONE]


def _step_named(run: RunRow, key: str) -> str:
    names: Mapping[str, str] = run.request["steps"]
    return names.get(plain_key(key), key)


def run_repair(whole: WholeRun, hosts: Iterable[HostRepair]) -> RunRepair:
    """Return what a repair was begun with, each of its hosts accounted for."""
    request, counts = whole.run.request, Counter(host.change for host in hosts)
    if counts.total() != len(whole.hosts):
        raise AssertionError(f"{whole.run.run}: {len(whole.hosts)} targeted, {dict(counts)} accounted for")
    return RunRepair(
        planned=request["kind"] == RunKind.PLAN,
        params=request["params"],
        secrets=request["secrets"],
        file=request["file"],
        risk=request["risk"],
        tier=request["tier"],
        says=request["says"],
        titles=request.get("titles", {}),
        claims=tuple(request["claims"]),
        forced=request["forced"],
        undoes=request.get("undoes", ""),
        retries=request["retries"],
        break_glass=request.get("break_glass", ""),
        agreed=agreed_of(request),
        approval=whole.approval,
        settle_s=request["settle_s"],
        concurrency=request["concurrency"],
        batch=tuple(request.get("batch", ())),
        max_failed=request.get("max_failed"),
        mutes=tuple(map(_mute_note, whole.mutes)),
        changes={change: counts[change] for change in HostChange},
    )


def agreed_of(request: Mapping[str, Any]) -> Agreed | None:
    """Return who approved a repair, from what its run keeps of what was asked for."""
    if (kept := request.get("agreed")) is None:
        return None
    return Agreed(**{**kept, "at": datetime.fromisoformat(kept["at"]), "findings": tuple(kept["findings"])})


def _mute_note(row: MuteRow) -> MuteNote:
    return MuteNote(hook=row.hook, wave=row.wave, state=row.state.value, since=row.since, until=row.until, error=row.error)


def _so_far(left_open: Sequence[str], effects: Sequence[Effect]) -> HostChange:
    """Return what was done to a host by a process that is gone."""
    if left_open:
        return HostChange.UNKNOWN
    return HostChange.PARTLY if any(effect is not Effect.NONE for effect in effects) else HostChange.UNCHANGED
