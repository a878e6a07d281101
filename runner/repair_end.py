"""How a repaired host ended: from what was done there, and from every sample that proves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from diagnostics.finding import Diagnosis
from diagnostics.verdict import Verdict
from inventory.errors import LongarmError, Text
from playbooks.model import Playbook
from playbooks.results import HostChange, Played, StepState
from playbooks.verdicts import FindingVerdict, Fix, claimed_checks, verdicts, wrong_step
from runner.diagnosing import Seen
from runner.journal import StoreJournal
from runner.outcome import Outcome, when_kept_off
from runner.store.errors import ChangeRefused, HostHeld
from runner.store.rows import HostRow
from runner.store.sentences import as_kept

BEFORE: Final = 0
"""The number of the sample that is taken before anything is done."""
ENDED: Final[Mapping[StepState, Outcome]] = {
    StepState.FAILED: Outcome.FAILED,
    StepState.TIMED_OUT: Outcome.TIMED_OUT,
    StepState.REFUSED: Outcome.REFUSED,
    StepState.FENCED: Outcome.REFUSED,
    StepState.UNDECIDED: Outcome.INCOMPLETE,
    StepState.INTERRUPTED: Outcome.UNKNOWN,
    StepState.UNKNOWN: Outcome.UNKNOWN,
}
"""What a step that did not end well makes of its host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What was done on one host; the samples and the steps are on disk already."""

    session: Mapping[str, str] = field(hash=False)
    played: Played | None = None
    refused: LongarmError | None = None
    """Why nothing was done."""
    idle: Text | None = None
    """Why nothing was done, where that is as it should be."""
    hint: Text | None = None
    """What to do instead."""
    blind: bool = False
    """What it is for could not be seen before, so nothing was done."""


def verdicts_of(playbook: Playbook, seen: Mapping[int, Seen]) -> tuple[FindingVerdict, ...]:
    """Return what became of the findings that a repair claims to fix, in the samples that prove it."""
    samples = range(1, (playbook.verify.samples if playbook.verify else 1) + 1)
    after = [seen[number].diagnosis.results for number in samples if number in seen]
    return verdicts(seen[BEFORE].diagnosis.results, after, claimed_checks(playbook))


def proven(playbook: Playbook, seen: Mapping[int, Seen]) -> Outcome:
    """Return how a host ended whose steps ended well, by all samples: what one of them found, or did not see, is not well."""
    outcome, found = outcome_of(playbook, seen[max(seen)].diagnosis), verdicts_of(playbook, seen)
    if outcome is Outcome.INCOMPLETE or any(one.fix is Fix.VISIBILITY_LOST for one in found):
        return Outcome.INCOMPLETE
    return Outcome.FINDINGS if any(one.stands for one in found) else outcome


def outcome_of(playbook: Playbook, diagnosis: Diagnosis) -> Outcome:
    """Return how a host stands: what the repair claims to fix has to be seen, the rest counts if it is."""
    claims = set(claimed_checks(playbook))
    results = [result for result in diagnosis.results if result.check in claims]
    if not all(result.complete and result.verdict is not Verdict.UNKNOWN for result in results):
        return Outcome.INCOMPLETE
    return Outcome.FINDINGS if any(not finding.waived for finding in diagnosis.findings) else Outcome.OK


def so_far(journal: StoreJournal) -> HostChange:
    """Return what was done to a host whose work did not come to its end."""
    if journal.open:
        return HostChange.UNKNOWN
    return HostChange.PARTLY if journal.touched else HostChange.UNCHANGED


def cut_off(row: HostRow, hint: Text) -> HostRow:
    """Return the row of a host on which a step was begun whose end nobody has seen, whatever came in between.

    It is never told as ended: its run asks it first how that ended, and does the rest. Another run would do it again.
    """
    if row.outcome is Outcome.INTERRUPTED:
        return row
    return replace(row, outcome=Outcome.INTERRUPTED, hint=as_kept(hint), change=HostChange.UNKNOWN)


def ended_row(
    row: HostRow, repaired: Repaired, seen: Mapping[int, Seen], playbook: Playbook, *, forced: bool, begun: bool
) -> HostRow:
    """Return the row of a host that was seen to its end; `begun`: an earlier process of the run has begun something there."""
    if (refused := repaired.refused) is not None:
        kind = refused.kind if isinstance(refused, ChangeRefused) else type(refused).__name__
        row = replace(row, error=as_kept(refused.text), hint=as_kept(refused.hint), error_kind=kind, flags=held(kind))
        return replace(row, outcome=when_kept_off(kind, begun=begun))
    last = seen[max(seen)]
    if repaired.idle is not None:
        outcome = Outcome.INCOMPLETE if repaired.blind else outcome_of(playbook, last.diagnosis)
        row = replace(row, error=as_kept(repaired.idle), hint=as_kept(repaired.hint))
        return replace(row, outcome=outcome, change=HostChange.UNCHANGED)
    played = repaired.played
    if played is None:
        return replace(row, outcome=outcome_of(playbook, last.diagnosis), change=HostChange.UNCHANGED)
    flags = {
        "needs_reboot": played.needs_reboot,
        "fenced": any(step.state is StepState.FENCED for step in played.steps),
        "forced": forced,
    }
    row = replace(row, change=played.change, flags=tuple(name for name, holds in flags.items() if holds))
    if (failed := wrong_step(playbook, played)) is not None:
        error = Text("step “{step}”: {why}", step=failed.name, why=failed.why or Text("it did not end well"))
        return replace(row, outcome=ENDED[failed.state], error=as_kept(error), error_kind=f"Step{failed.state.title()}")
    return replace(row, outcome=proven(playbook, seen))


def held(kind: str) -> tuple[str, ...]:
    """Return the flag of a host that a hold has kept off, by the kind of its error."""
    return ("held",) if kind == HostHeld.__name__ else ()
