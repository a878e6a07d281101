"""What a record says of a repair, made from what the store keeps: pure, so that reading it again gives the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from diagnostics.finding import Diagnosis
from playbooks.results import Effect, HostChange
from playbooks.verdicts import verdicts
from remote.answer import Answer
from runner.journal import plan_of_step, result_of
from runner.outcome import RunKind
from runner.quoting import quotes_of
from runner.repair_record import HostRepair, RunRepair
from runner.store.port import WholeRun
from runner.store.rows import Event, HostRow, JournalRow, RunRow

CHANGING: Final = (RunKind.REPAIR, RunKind.PLAN)
_UNDOING: Final = re.compile(r".*\.r\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one sample showed; without answers where its evidence was pruned."""

    diagnosis: Diagnosis
    answers: Mapping[str, Answer] = field(default_factory=dict, hash=False)


def host_repair(run: RunRow, row: HostRow, lines: Sequence[JournalRow], seen: Sequence[Shown]) -> HostRepair:
    """Return what was done to a host: `lines` are its journal, `seen` its samples in their order, the first one before."""
    ends = {line.key: result_of(line) for line in lines if line.event is Event.END}
    intended = dict.fromkeys(line.key for line in lines if line.event is Event.INTENT)
    open_keys = [key for key in intended if key not in ends]
    names: Mapping[str, str] = run.request["steps"]
    before = seen[0] if seen else None
    claims = run.request["claims"]
    after = [sample.diagnosis.results for sample in seen[1:]]
    others = [check for check in run.checks if check not in claims]
    return HostRepair(
        change=row.change or _so_far(open_keys, [result.effect for result in ends.values()]),
        flags=row.flags,
        plans=tuple(plan_of_step(line) for line in lines if line.event is Event.PLAN),
        steps=tuple(result for key, result in ends.items() if not _UNDOING.fullmatch(key)),
        undone=tuple(result for key, result in ends.items() if _UNDOING.fullmatch(key)),
        left_open=tuple(names.get(re.sub(r"\.i\d+", "", key), key) for key in open_keys),
        verdicts=verdicts(before.diagnosis.results, after, claims) if before and after else (),
        consequences=verdicts(before.diagnosis.results, after, others) if before and after else (),
        before=before.diagnosis if before else None,
        before_quotes=quotes_of(before.diagnosis, before.answers) if before else {},
        samples=len(after),
    )


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
        claims=tuple(request["claims"]),
        forced=request["forced"],
        retries=request["retries"],
        settle_s=request["settle_s"],
        changes={change: counts[change] for change in HostChange},
    )


def _so_far(left_open: Sequence[str], effects: Sequence[Effect]) -> HostChange:
    """Return what was done to a host by a process that is gone."""
    if left_open:
        return HostChange.UNKNOWN
    return HostChange.PARTLY if any(effect is not Effect.NONE for effect in effects) else HostChange.UNCHANGED
