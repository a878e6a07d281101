"""What the desk has kept, looked at: runs, who may change which host, answers and evidence, judged again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.formats import decode_content, decode_diagnosis, decode_evidence, encode_diagnosis
from diagnostics.library import Library
from inventory.errors import LongarmError, Text
from remote.answer import Answer
from runner.approving import standing
from runner.desk_base import DeskBase
from runner.following import follow
from runner.observer import Observer
from runner.outcome import RunKind, RunState
from runner.record import HostRecord, RunRecord, RunSummary
from runner.recording import Kept, host_record, run_record, run_summary
from runner.repair_recording import CHANGING, Shown, host_repair
from runner.request import NoSuchRun
from runner.roles import Action
from runner.store.leases import as_told
from runner.store.lock import on_its_way
from runner.store.port import CountedRun, WholeRun
from runner.store.rows import HandRow, HostRow, JournalRow, LeaseRow, RunRow, SampleRow

T = TypeVar("T")


class EvidencePruned(LongarmError):
    """The answers of a run are gone: they were pruned."""

    def __init__(self, run: str, at: datetime) -> None:
        self.run, self.at = run, at
        text = Text("the evidence of run {run} was pruned on {day}", run=run, day=f"{at:%Y-%m-%d}")
        super().__init__(text, Text("longarm run show {run}", run=run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What judging a host's stored evidence again gave, compared with the stored diagnosis to the byte."""

    host: str
    same: bool | None
    """None: the evidence was pruned, so nobody can tell."""
    library_changed: bool
    """The library that judged now is not the one that judged then: a difference is expected, not a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A host that one run alone may change, for how long it has been so, and how that run stands."""

    lease: LeaseRow
    age: timedelta
    state: RunState | None
    """None: the run is gone from the store."""
    kind: RunKind | None
    """What that run is."""


class LookingDesk(DeskBase):
    """What shows runs and what they have found to whoever may look at it."""

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return which hosts one run has, or one person by hand, of those that the caller may look at."""
        hands = (_lease_of(hand) for hand in self._store.at_work(self._clock()))
        rows = sorted((*self._store.leases(), *hands), key=lambda row: (row.host, row.since))
        seen = self._seen(tuple({row.run for row in rows}))
        return tuple(row for row in rows if row.run in seen)

    def leased(self) -> tuple[Leased, ...]:
        """Return the same with how each run stands: one that was cut off gives its hosts back once it has been resumed."""
        rows = self.leases()
        runs, gone = self._look(lambda: self._holding(rows), lambda found: found)
        states, kinds = {run.run: _state(run, gone) for run in runs}, {run.run: _kind(run) for run in runs}
        now = self._clock()
        return tuple(Leased(lease=row, age=now - row.since, state=states.get(row.run), kind=kinds.get(row.run)) for row in rows)

    def runs(self, limit: int = 20, *, customer: str | None = None) -> tuple[RunSummary, ...]:
        """Return the newest runs that the caller may look at, newest first; with `customer` those that had hosts of theirs."""
        runs, gone = self._look(lambda: self._newest(limit, customer), lambda found: [counted.run for counted in found])
        now = self._clock()
        waiting = {row.run: standing(row, now) for row in self._store.approvals([one.run.run for one in runs])}
        return tuple(run_summary(one, _state(one.run, gone), waiting.get(one.run.run, "")) for one in runs)

    def record(self, run: str) -> RunRecord:
        """Return the record of a run by its id, or by a unique beginning or end of it; raises NoSuchRun, RoleRefused."""
        return self._as_it_stands(*self._readable(run))

    def follow(self, run: str, observer: Observer, wait: Callable[[], None]) -> RunRecord:
        """Tell an observer what becomes of a run that is on its way elsewhere, and return its record in the end.

        Raises NoSuchRun, and RoleRefused as soon as the caller may not look at it.
        """
        follow(lambda: self._readable(run), observer, wait)
        return self._as_it_stands(*self._readable(run))

    def answers(self, run: str) -> Iterator[tuple[str, str, Answer]]:
        """Yield host, question and answer of everything that was kept of a run, in inventory order.

        Raises EvidencePruned, RoleRefused.
        """
        whole = self._whole(run)
        self._may(Action.READ, self._where_runs_were(whole.run.run))
        if pruned := [row.pruned_at for row in whole.hosts if row.pruned_at is not None]:
            raise EvidencePruned(whole.run.run, min(pruned))
        for row in whole.hosts:
            if row.evidence_digest is not None:
                evidence, _ = self._evidence(row.evidence_digest)
                yield from ((row.host, question, answer) for question, answer in evidence.answers.items())

    def evidence(self, digest: str) -> tuple[Evidence, Context]:
        """Return kept evidence, by its digest alone, with everything else that its verdict depended on.

        Raises StoreDamaged, RoleRefused.
        """
        self._may(Action.READ)
        return self._evidence(digest)

    def replay(self, run: str, *, library: Library) -> tuple[Replayed, ...]:
        """Judge the stored evidence of a run again and return, by host, whether the same bytes came out; raises RoleRefused."""
        whole = self._whole(run)
        self._may(Action.READ, self._where_runs_were(whole.run.run))
        return tuple(self._replayed(row, library) for row in whole.hosts if row.diagnosis is not None)

    # Inside

    def _newest(self, limit: int, customer: str | None) -> tuple[CountedRun, ...]:
        """Return the newest runs that the caller may look at: further back, until there are so many, or no more."""
        most = limit
        while True:
            runs = self._store.runs(most)
            seen = self._with_hosts_of(customer, self._seen([counted.run.run for counted in runs]))
            shown = tuple(counted for counted in runs if counted.run.run in seen)
            if len(shown) >= limit or len(runs) < most:
                return shown[:limit]
            most *= 4

    def _with_hosts_of(self, customer: str | None, runs: frozenset[str]) -> frozenset[str]:
        """Return those of the runs that had hosts of a customer; upper and lower case do not matter, as in an inventory."""
        if customer is None:
            return runs
        places, name = self._store.places(sorted(runs)), customer.casefold()
        return frozenset(run for run, there in places.items() if any((whose or "").casefold() == name for whose, _ in there))

    def _evidence(self, digest: str) -> tuple[Evidence, Context]:
        return decode_evidence(self._store.blob(digest))

    def _record(self, whole: WholeRun, state: RunState, hosts: Iterator[HostRecord]) -> RunRecord:
        return run_record(whole, hosts, decode_content(self._store.blob(whole.run.content_digest)), state)

    def _kept_all(self, whole: WholeRun, made: Mapping[str, HostRecord] = {}) -> Iterator[tuple[HostRow, Kept]]:
        """Yield each host with what is kept of it; of those whose records are made already nothing is read."""
        if kind_of(whole) not in CHANGING:
            yield from ((row, Kept() if row.host in made else self._kept(row)) for row in whole.hosts)
            return
        lines: defaultdict[int, list[JournalRow]] = defaultdict(list)
        samples: defaultdict[int, list[SampleRow]] = defaultdict(list)
        for line in whole.journal:
            lines[line.position].append(line)
        for sample in whole.samples:
            samples[sample.position].append(sample)
        for row in whole.hosts:
            seen = [*map(self._shown, samples[row.position])]
            since = self._store.worked_since(row.host, whole.run.run)
            by_hand = self._by_hand_since(row.host, whole.run.run)
            repair = host_repair(whole.run, row, lines[row.position], seen, since, by_hand)
            yield row, replace(self._kept(row), repair=repair)

    def _by_hand_since(self, host: str, run: str) -> tuple[HandRow, ...]:
        """Return what was done by hand on a host since a run began there, as that run tells it."""
        hands = self._store.by_hand_since(host, run)
        return as_told(hands, run, self._store.places([run, *(hand.run for hand in hands)])) if hands else ()

    def _shown(self, sample: SampleRow) -> Shown:
        """Return what a sample showed; where its evidence was pruned, what was concluded from it stands."""
        diagnosis = decode_diagnosis(sample.diagnosis)
        if sample.pruned_at is not None:
            return Shown(diagnosis=diagnosis)
        return Shown(diagnosis=diagnosis, answers=self._evidence(sample.evidence_digest)[0].answers)

    def _kept(self, row: HostRow) -> Kept:
        digest = row.evidence_digest if row.pruned_at is None else None
        evidence, context = self._evidence(digest) if digest else (None, None)
        diagnosis = decode_diagnosis(row.diagnosis) if row.diagnosis is not None else None
        return Kept(evidence=evidence, context=context, diagnosis=diagnosis)

    def _replayed(self, row: HostRow, library: Library) -> Replayed:
        if row.pruned_at is not None:
            return Replayed(host=row.host, same=None, library_changed=False)
        evidence, context = self._evidence(row.evidence_digest or "")
        return Replayed(
            host=row.host,
            same=encode_diagnosis(diagnose(evidence, context, library)) == row.diagnosis,
            library_changed=context.library_digest != library.digest,
        )

    def _whole(self, part: str) -> WholeRun:
        if not part.isascii():  # no id is, and bytes that are no UTF-8 cannot even be asked for
            raise NoSuchRun(part)
        ids = self._store.run_ids(part) if part else ()
        whole = self._store.run(ids[0] if len(ids) == 1 else part)
        if whole is None:
            raise NoSuchRun(part, ids)
        return whole

    def _holding(self, rows: Iterable[LeaseRow]) -> list[RunRow]:
        wholes = (self._store.run(run) for run in {row.run for row in rows})
        return [whole.run for whole in wholes if whole is not None]

    def _readable(self, run: str) -> tuple[WholeRun, RunState]:
        """Return a run that the caller may look at, and how it stands."""
        whole, gone = self._look(lambda: self._whole(run), lambda found: [found.run])
        self._may(Action.READ, self._where_runs_were(whole.run.run))
        return whole, _state(whole.run, gone)

    def _as_it_stands(self, whole: WholeRun, state: RunState) -> RunRecord:
        return self._record(whole, state, (host_record(row, kept, state) for row, kept in self._kept_all(whole)))

    def _look(self, read: Callable[[], T], runs: Callable[[T], Iterable[RunRow]]) -> tuple[T, frozenset[str]]:
        """Return what was read, and which of the runs in it have lost their process.

        One that has none any more may have ended since it was read, so it is read again. Whether there is a process is not
        looked at after that: the run may end meanwhile.
        """
        found = read()
        gone = frozenset(run.run for run in runs(found) if run.state is RunState.RUNNING and not on_its_way(self.home, run.run))
        return (read() if gone else found), gone


def _lease_of(hand: HandRow) -> LeaseRow:
    """Return what is done by hand as leases are listed; no host has seen a token of it."""
    return LeaseRow(
        host=hand.host,
        token=0,
        run=hand.run,
        actor=hand.actor,
        reason=hand.what,
        customer=hand.customer,
        since=hand.since,
    )


def _state(run: RunRow, gone: frozenset[str]) -> RunState:
    return RunState.INTERRUPTED if run.state is RunState.RUNNING and run.run in gone else run.state


def kind_of(whole: WholeRun) -> RunKind:
    """Return what a run is: those of old say nothing of it, and were diagnoses."""
    return _kind(whole.run)


def _kind(run: RunRow) -> RunKind:
    return RunKind(run.request.get("kind", RunKind.DIAGNOSE))
