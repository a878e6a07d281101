"""How a host ends that its repair leaves: nothing more of it is done there, from what is on disk and what was asked at last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from diagnostics.formats import decode_diagnosis
from inventory.errors import Text
from playbooks.results import LEFT_OPEN, Effect, HostChange, StepResult
from runner.diagnosing import states_of
from runner.journal import ended_lines, left_open, result_of
from runner.outcome import Outcome
from runner.planning import UNFINISHED, VANISHED
from runner.store.changes import HostStates
from runner.store.rows import Event, HostRow, JournalRow
from runner.store.sentences import as_kept

_JUDGED: Final = (Outcome.OK, Outcome.FINDINGS, Outcome.INCOMPLETE, Outcome.REFUSED)
BY_US: Final = Text("an earlier process began it, and nobody saw its end")
_HIDDEN: Final = Text("not asked: this host is there, and not in the part of the inventory that is seen here")


def out_of_sight(row: HostRow) -> HostRow:
    """Return the row of a host that only others see, who may be asked to go on: it stays the run's own."""
    hint = Text("with all of the inventory, by who may see it: longarm run resume {run}", run=row.run)
    row = replace(row, outcome=Outcome.INTERRUPTED, error=_HIDDEN, hint=as_kept(hint))
    return replace(row, error_kind="HostHidden", ended_at=None)


def left(row: HostRow, lines: Sequence[JournalRow], found: Sequence[StepResult], why: Text, kind: str) -> HostRow:
    """Return the row of a host of which all is known that can be: its rest is not done any more, for the reason given.

    `found`: how steps ended that `lines` leave open. A step that nobody could tell the end of is told so, whoever asked.
    """
    ends = {key: result_of(line) for key, line in ended_lines(lines).items()} | {one.key: one for one in found}
    unknown = next((one for one in ends.values() if one.state in LEFT_OPEN and one.effect is not Effect.NONE), None)
    if unknown is not None:
        error = as_kept(Text("step “{step}”: {why}", step=unknown.name, why=unknown.why or BY_US))
        kind = f"Step{unknown.state.title()}"
        return replace(row, outcome=Outcome.UNKNOWN, error=error, hint=None, error_kind=kind, change=HostChange.UNKNOWN)
    touched = any(one.effect is not Effect.NONE for one in found) or _touched(lines)
    change = HostChange.PARTLY if touched else HostChange.UNCHANGED
    return replace(row, outcome=Outcome.FAILED, error=why, hint=None, error_kind=kind, change=change)


def left_gone(row: HostRow, lines: Sequence[JournalRow]) -> HostRow | None:
    """Return the row of a host that is gone, None where nothing was begun: nobody can ask there how a step ended."""
    if left_open(lines):
        return replace(row, outcome=Outcome.UNKNOWN, error=VANISHED, hint=None, error_kind="", change=HostChange.UNKNOWN)
    if any(line.event is Event.INTENT for line in lines):
        return left(row, lines, (), VANISHED, "")
    return None


def states_before(rows: Sequence[HostRow]) -> tuple[HostStates, ...]:
    """Return what hosts that had ended as their repair was cut off leave for the next run: only its end is kept of it."""
    return tuple(
        states_of(row, row.ended_at, decode_diagnosis(row.diagnosis))
        for row in rows
        if row.diagnosis is not None and row.ended_at is not None and _seen_to_its_end(row)
    )


def _seen_to_its_end(row: HostRow) -> bool:
    """Tell whether a host ended by what was done and seen there, not by a deadline or a fault, nor as it was only asked."""
    return row.outcome in _JUDGED or (row.outcome not in UNFINISHED and row.error_kind.startswith("Step"))


def _touched(lines: Sequence[JournalRow]) -> bool:
    """Tell whether steps that ended before may have changed the host."""
    return any(line.data["effect"] != Effect.NONE.value for line in lines if line.event is Event.END)
