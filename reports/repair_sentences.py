"""What a repair as a whole came to, in sentences: its verdict, the second person that it needs, what it kept silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from diagnostics.finding import Finding
from inventory.errors import Text
from playbooks.results import HostChange
from playbooks.verdicts import FindingVerdict, Fix
from reports import undoing
from reports.language import Language
from reports.words import SEVERITIES
from runner.outcome import RunState
from runner.record import HostRecord, RunRecord
from runner.repair_record import MuteNote, RunRepair
from runner.store.rows import ApprovalRow, ApprovalState


def second_person(repair: RunRepair) -> Iterator[tuple[Text, Text]]:
    """Yield what there is to say of the second person that a repair needs: a title, and who or why."""
    if repair.break_glass:
        yield Text("Begun without a second person"), Text("{reason}", reason=repair.break_glass)
    if (agreed := repair.agreed) is not None:
        words = {"who": agreed.approved_by, "asked": agreed.asked_by, "at": agreed.at}
        yield Text("Second person"), Text("{who} approved it on {at}; {asked} asked for it", **words)
        if agreed.reason:
            yield Text("Why it was approved"), Text("{reason}", reason=agreed.reason)
    if (row := repair.approval) is not None:
        yield Text("Second person"), _stands(row)
        if row.reason:
            yield Text("Why it was decided so"), Text("{reason}", reason=row.reason)


def _stands(row: ApprovalRow) -> Text:
    """Return where a plan stands with the second person that it needs."""
    until = row.expires_at
    match row.state:
        case ApprovalState.WAITING:
            return Text("it waits for one, until {until}; {asked} asked for it", until=until, asked=row.asked_by)
        case ApprovalState.APPROVED:
            return Text(
                "{who} approved it, until {until}; {asked} asked for it", who=row.decided_by, until=until, asked=row.asked_by
            )
        case ApprovalState.DECLINED:
            return Text("{who} refused it; {asked} asked for it", who=row.decided_by, asked=row.asked_by)
        case ApprovalState.BEGUN:
            return Text("{who} approved it, and it was begun as {run}", who=row.decided_by, run=row.begun_as or "")
    return Text("the approval is void: {why}", why=row.void or Text("-"))


def _planned_sentences(record: RunRecord, tongue: Language) -> list[str]:
    """Return what a plan is, and what it waits for."""
    assert record.repair is not None
    if record.repair.undoes:
        return [undoing.planned_sentence(record, tongue)]
    planned = tongue.plural(
        "Nothing was changed: this is what would be done on {n} host.",
        "Nothing was changed: this is what would be done on {n} hosts.",
        record.coverage.targeted,
    )
    row = record.repair.approval
    waits = row is not None and row.state is ApprovalState.WAITING
    return [planned, *([tongue.say("It needs a second person.")] if waits else [])]


def verdict_of(record: RunRecord, tongue: Language) -> list[str]:
    """Return what a repair came to, in sentences; what nobody knows is part of it."""
    assert record.repair is not None
    if record.repair.planned:
        return _planned_sentences(record, tongue)
    if record.repair.undoes:
        return undoing.undone_sentences(record, tongue)
    fixes = Counter(one.fix for host in record.hosts if host.repair for one in host.repair.verdicts)
    old, changes, unproved = fixes.total() - fixes[Fix.NEW], Counter(record.repair.changes), _unproved(record)
    told = []
    if reason := record.repair.break_glass:
        told.append(tongue.say("It began without the second person that it needs: {reason}.", reason=reason))
    if old:
        told.append(
            tongue.plural("{some} of {n} finding is fixed.", "{some} of {n} findings are fixed.", old, some=fixes[Fix.FIXED])
        )
    elif not unproved or unproved < changes.total() - changes[HostChange.UNCHANGED]:
        told.append(tongue.say(_without_verdicts(record)))
    if count := fixes[Fix.UNCHANGED]:
        told.append(tongue.plural("{n} finding is not fixed.", "{n} findings are not fixed.", count))
    if count := fixes[Fix.NEW]:
        told.append(tongue.plural("{n} finding is new.", "{n} findings are new.", count))
    if count := fixes[Fix.VISIBILITY_LOST]:
        told.append(tongue.plural("{n} finding cannot be seen any more.", "{n} findings cannot be seen any more.", count))
    return [*told, *besides(record, tongue), *_what_was_done(changes, unproved, tongue)]


def _what_was_done(changes: Mapping[HostChange, int], unproved: int, tongue: Language) -> Iterator[str]:
    """Yield on how many hosts what was done is not proved, or not whole."""
    if unproved:
        yield tongue.plural(
            "On {n} host nobody looked afterwards: what was done there is not proved.",
            "On {n} hosts nobody looked afterwards: what was done there is not proved.",
            unproved,
        )
    if count := changes[HostChange.PARTLY]:
        yield tongue.plural("{n} host is changed in part.", "{n} hosts are changed in part.", count)
    if count := changes[HostChange.ROLLED_BACK]:
        yield tongue.plural("On {n} host it was rolled back.", "On {n} hosts it was rolled back.", count)
    if count := changes[HostChange.UNKNOWN]:
        yield tongue.plural("Nobody knows whether {n} host was changed.", "Nobody knows whether {n} hosts were changed.", count)


def _unproved(record: RunRecord) -> int:
    """Return on how many hosts of a repair that has ended something was done, or may have been, that nobody looked at."""
    if record.state is not RunState.ENDED:
        return 0
    done = (host.repair for host in record.hosts if host.repair and host.repair.change is not HostChange.UNCHANGED)
    return sum(not repair.samples for repair in done)


def standing_besides(host: HostRecord, told: Iterable[FindingVerdict]) -> list[Finding]:
    """Return what stands on a host after a repair and is not among what is `told` already, worst first."""
    if host.diagnosis is None or host.repair is None or host.repair.plans:
        return []
    known = {one.after.id for one in told if one.after is not None}
    found = [one for one in host.diagnosis.findings if not one.waived and one.id not in known]
    return sorted(found, key=lambda one: -one.severity.rank)


def besides(record: RunRecord, tongue: Language) -> list[str]:
    """Return that something else stands where a repair was done: who sees that all is fixed asks why it is not green."""
    found = [one for host in record.hosts if host.repair for one in standing_besides(host, host.repair.verdicts)]
    if not found:
        return []
    worst = tongue.say(SEVERITIES[max((one.severity for one in found), key=lambda severity: severity.rank)])
    return [
        tongue.plural(
            "{n} finding stands that the repair was not for: {worst}.",
            "{n} findings stand that the repair was not for, at worst: {worst}.",
            len(found),
            worst=worst,
        )
    ]


def _without_verdicts(record: RunRecord) -> Text:
    """Return what a repair came to after which nobody looked for a finding that was there before."""
    assert record.repair is not None
    if not any(record.repair.changes[one] for one in HostChange if one is not HostChange.UNCHANGED):
        return Text("Nothing was changed.")
    if record.state is not RunState.ENDED:
        return Text("What was done is not proved yet.")
    return Text("It was done where no finding was there to be fixed.")


_MUTES: Final[Mapping[str, Text]] = {
    "unmuted": Text("silent during wave {wave}, and unmuted since"),
    "failed": Text("not muted during wave {wave}"),
    "muted": Text("muted since wave {wave} and not unmuted; by itself it speaks again at {until}"),
    "muting": Text("perhaps muted since wave {wave}; by itself it speaks again at {until}"),
}


def mute_sentence(one: MuteNote, tongue: Language) -> str:
    """Return how one hook muted monitoring."""
    text = _MUTES[one.state]
    said = tongue.say(Text(text.template, wave=one.wave + 1, until=one.until))
    return said if one.error is None else f"{said}: {tongue.say(one.error)}"
