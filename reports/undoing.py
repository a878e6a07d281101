"""What a repair left that can be undone, and what undoing one came to, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from inventory.errors import Text
from playbooks.results import HostChange, StepPlan
from playbooks.verdicts import Fix
from reports.language import Language
from runner.outcome import Outcome, RunState
from runner.record import HostRecord, RunRecord

CHANGES: Final[Mapping[HostChange, Text]] = {
    HostChange.CHANGED: Text("undone"),
    HostChange.UNCHANGED: Text("nothing was undone"),
    HostChange.PARTLY: Text("undone in part"),
    HostChange.UNKNOWN: Text("nobody knows whether it was undone"),
    HostChange.ROLLED_BACK: Text("undone"),
}
FIXES: Final[Mapping[Fix, Text]] = {
    Fix.FIXED: Text("gone"),
    Fix.UNCHANGED: Text("there still"),
    Fix.NEW: Text("there again"),
    Fix.VISIBILITY_LOST: Text("cannot be seen any more"),
}


def to_undo(record: RunRecord) -> list[HostRecord]:
    """Return the hosts on which undoing is offered: something can be undone, and the repair was not proved there."""
    if record.state is not RunState.ENDED or record.repair is None or record.repair.planned:
        return []
    return [
        host
        for host in record.hosts
        if host.repair and host.repair.undoable and not (host.repair.since or host.repair.by_hand) and not _proved(host)
    ]


def _proved(host: HostRecord) -> bool:
    assert host.repair is not None
    well = host.outcome in (Outcome.OK, Outcome.FINDINGS)
    return well and not any(one.stands or one.fix is Fix.VISIBILITY_LOST for one in host.repair.verdicts)


def undo_words(record: RunRecord, hosts: Sequence[HostRecord]) -> tuple[str, ...]:
    """Return the words after `longarm` that undo a repair on some of its hosts; each is named: others stay as they are.

    Of a plan of that: those that do what it says.
    """
    of = record.repair.undoes if record.repair is not None else ""
    return ("run", "rollback", of or record.run, ",".join(host.host for host in hosts))


def undo_command(record: RunRecord, host: HostRecord) -> str:
    """Return the command that undoes a repair on one host; where people worked by hand since, somebody has to say why."""
    why = ("--beside", "REASON") if host.repair and host.repair.by_hand else ()
    return record.called.command(*undo_words(record, [host]), *why)


def would_be_undone(record: RunRecord) -> list[HostRecord]:
    """Return the hosts of a plan on which something would be undone."""
    return [host for host in record.hosts if host.repair and any(map(_would_be, host.repair.plans))]


def _would_be(plan: StepPlan) -> bool:
    return not plan.stays and not plan.skipped and plan.forecast.changes is not False


def next_of_plan(record: RunRecord) -> tuple[Text, tuple[str, ...]]:
    """Return why and how the plan of undoing something goes on."""
    if hosts := would_be_undone(record):
        return Text("undo it there"), undo_words(record, hosts)
    why = Text("the playbook undoes nothing of it: hand it over to L3")
    return why, ("report", "render", record.run, "--to", f"{record.run}.html")


_SINCE: Final = "WorkedOnSince"
"""The kind of refusal of a host on which a later run has worked: undone already, it is no more to be undone."""


def undone_again(record: RunRecord, hosts: Sequence[HostRecord]) -> Iterator[tuple[Text, tuple[str, ...]]]:
    """Yield why and how it goes on where undoing did not come to it: by what was done there since, or once more."""
    since = (host.error.params["other"] for host in hosts if host.error_kind == _SINCE and host.error is not None)
    for run in dict.fromkeys(map(str, since)):
        yield Text("what was done there since"), ("run", "show", run)
    again = [host for host in hosts if host.error_kind != _SINCE]
    if record.repair is None or record.repair.planned or not again:
        return
    words = undo_words(record, again)
    if any(host.outcome is Outcome.REFUSED and host.error_kind == "WorkedByHand" for host in again):
        yield Text("where it still fits what was done there by hand, for a reason"), (*words, "--beside", "REASON")
    else:
        yield Text("when what stood in the way is gone"), words


def planned_sentence(record: RunRecord, tongue: Language) -> str:
    """Return that a plan of undoing is one, and how many hosts it is about."""
    assert record.repair is not None
    return tongue.plural(
        "Nothing was changed: this is what would be undone of run {run} on {some} of {n} host.",
        "Nothing was changed: this is what would be undone of run {run} on {some} of {n} hosts.",
        record.coverage.targeted,
        some=len(would_be_undone(record)),
        run=record.repair.undoes,
    )


def undone_sentences(record: RunRecord, tongue: Language) -> list[str]:
    """Return what undoing a repair came to."""
    assert record.repair is not None
    changes, total = record.repair.changes, record.coverage.targeted
    told = [
        tongue.plural(
            "What run {run} did is undone on {some} of {n} host.",
            "What run {run} did is undone on {some} of {n} hosts.",
            total,
            some=changes[HostChange.ROLLED_BACK],
            run=record.repair.undoes,
        )
    ]
    if count := changes[HostChange.PARTLY]:
        told.append(tongue.plural("On {n} host it is undone in part.", "On {n} hosts it is undone in part.", count))
    if count := changes[HostChange.UNKNOWN]:
        told.append(
            tongue.plural("Nobody knows whether {n} host was changed.", "Nobody knows whether {n} hosts were changed.", count)
        )
    fixes = Counter(one.fix for host in record.hosts if host.repair for one in host.repair.verdicts)
    if count := fixes[Fix.UNCHANGED] + fixes[Fix.NEW]:
        told.append(tongue.plural("{n} finding stands that it was for.", "{n} findings stand that it was for.", count))
    return told
