"""A repair that is undone afterwards: what may be, what it did to each host, and whether anybody has worked there since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from diagnostics.facts import fact_tree, facts_of
from diagnostics.formats import decode_evidence
from diagnostics.library import Library
from inventory.errors import LongarmError, Text, utc
from inventory.host import Host
from playbooks.model import Playbook
from playbooks.undoing import Past
from runner.journal import ended_lines, items_of, result_of
from runner.outcome import RunKind, RunState
from runner.planning import check_customers
from runner.repair_recording import keeps_from_undoing
from runner.request import NotResumable
from runner.store.errors import ChangeRefused
from runner.store.leases import as_told
from runner.store.port import Store, WholeRun
from runner.store.rows import HandRow, HostRow, JournalRow
from runner.targets import MACHINE, changed_since


class NothingToUndo(LongarmError):
    """Nothing that a run did on these hosts can be undone: it is told why not, host by host."""

    def __init__(self, run: str, kept: Sequence[tuple[str, Text]]) -> None:
        self.kept = tuple(kept)
        hosts: defaultdict[str, list[str]] = defaultdict(list)
        for host, why in kept:
            hosts[str(why)].append(host)
        whys = {str(why): why for _, why in kept}
        told = [Text("{hosts}: {why}", hosts=", ".join(hosts[said]), why=why) for said, why in whys.items()]
        said = reduce(lambda one, two: Text("{one}; {two}", one=one, two=two), told)
        text = Text("nothing that run {run} did there can be undone: {said}", run=run, said=said)
        super().__init__(text, Text("longarm run show {run}", run=run))


class WorkedOnSince(ChangeRefused):
    """Another run has changed a host since, or has undone there what is to be undone: that comes first."""

    def __init__(self, host: str, run: str, since: str, hint: Text | None = None) -> None:
        text = Text("run {other} has worked on {host} since run {run}", other=since, host=host, run=run)
        super().__init__(text, hint or Text("longarm run show {run}", run=since))


class WorkedByHand(ChangeRefused):
    """Somebody has worked on a host by hand since: only a person can tell whether that still fits what is undone."""

    def __init__(self, run: str, hands: Sequence[HandRow], *, only_plan: bool) -> None:
        last = hands[-1]
        values = {"actor": last.actor, "host": last.host, "run": run, "since": utc(last.since), "what": last.what}
        text = Text("{actor} has worked on {host} by hand since run {run} began there, at {since}: {what}", **values)
        if last.run:
            text = Text(
                "{actor} has worked on {host} by hand since run {run} began there, at {since} in run {other}: {what}",
                **values,
                other=last.run,
            )
        if len(hands) > 1:
            text = Text("{first} (and {count} more)", first=text, count=len(hands) - 1)
        hint = Text("longarm run rollback {run} {host} --beside REASON", **values)
        if only_plan:
            hint = Text("longarm run rollback {run} {host} --plan --beside REASON", **values)
        super().__init__(text, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """The run that is undone."""

    run: str
    past: Mapping[str, Past] = field(hash=False)
    """By host."""
    store: Store = field(hash=False)

    def refuse_worked_on(self, host: str, run: str) -> None:
        """Raise WorkedOnSince where another run, but `run`, has begun a step on the host since."""
        if (since := self.store.worked_since(host, self.run, run)) is not None:
            raise WorkedOnSince(host, self.run, since)

    def worked_by_hand(self, host: str, run: str, *, only_plan: bool) -> WorkedByHand | None:
        """Return that somebody has worked by hand on the host since the run began there, as `run` tells it; None: nobody."""
        hands = self.store.by_hand_since(host, self.run)
        if not hands:
            return None
        places = self.store.places([run, *(hand.run for hand in hands)])
        return WorkedByHand(self.run, as_told(hands, run, places), only_plan=only_plan)


def undoing_of(whole: WholeRun, playbook: Playbook, library: Library, store: Store) -> Undoing:
    """Return what is needed to undo a run, host by host."""
    facts = {sample.position: sample for sample in whole.samples if sample.number == 0 and sample.pruned_at is None}
    past = {}
    for row in whole.hosts:
        lines = _lines(whole, row)
        ends = {key: result_of(line) for key, line in ended_lines(lines).items()}
        known: Mapping[str, Any] = {}
        if (sample := facts.get(row.position)) is not None and playbook.needs:
            evidence, _ = decode_evidence(store.blob(sample.evidence_digest))
            known = fact_tree({name: facts_of(library.probes[name], evidence.answers) for name in playbook.needs})
        past[row.host] = Past(results=ends, items=items_of(lines), facts=known)
    return Undoing(run=whole.run.run, past=past, store=store)


def _lines(whole: WholeRun, row: HostRow) -> list[JournalRow]:
    """Return the journal of one host."""
    return [line for line in whole.journal if line.position == row.position]


def check_undoable(whole: WholeRun, playbook: Playbook, hosts: Sequence[Host]) -> None:
    """Raise NotResumable for a run that is no repair, is not over, or was done by another playbook; NothingToUndo.

    And for a host that belongs to another customer by now, or is another machine.
    """
    run = whole.run
    if run.request.get("kind") != RunKind.REPAIR or run.request.get("undoes"):
        raise NotResumable(Text("run {run} is no repair that could be undone", run=run.run), Text("longarm run list"))
    if run.state is not RunState.ENDED:
        raise NotResumable(Text("run {run} has not ended", run=run.run), Text("longarm run resume {run}", run=run.run))
    if playbook.digest != run.versions["playbook"]:
        text = Text("the playbook “{name}” is not what run {run} was begun with", name=playbook.id, run=run.run)
        raise NotResumable(text, Text("put its file back as it was then, or undo it by hand"))
    check_customers(run.run, whole.hosts, {host.name: host for host in hosts})
    wanted = {host.name for host in hosts}
    rows = [row for row in whole.hosts if row.host in wanted]
    kept = [(row.host, why) for row in rows if (why := keeps_from_undoing(run, row, _lines(whole, row))) is not None]
    now = {host.name: host for host in hosts}
    kept += [(row.host, what) for row in rows if (what := changed_since(row, now[row.host], MACHINE)) is not None]
    kept += [(name, Text("it was none of its hosts")) for name in sorted(wanted - {row.host for row in rows})]
    if kept:
        raise NothingToUndo(run.run, kept)
