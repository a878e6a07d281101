"""What a second person saw that a repair would do, and whether it would do the same now: pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from inventory.errors import Text
from playbooks.results import StepPlan
from runner.journal import as_kept_plan, plan_of_step
from runner.request import Agreed
from runner.store.port import WholeRun
from runner.store.rows import Event

NOTE: Final = " #"
"""How a line begins by which a script's plan tells what changes by itself: it is shown, and not compared."""
_MOST_TOLD: Final = 3
_SCRIPTED: Final = ("run", "powershell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """For what a second person has approved a repair."""

    findings: frozenset[str]
    """By their ids."""
    plans: Mapping[str, Sequence[StepPlan]] = field(hash=False)
    """What each step would do, by host."""


def approved_of(agreed: Agreed, plan: WholeRun | None) -> Approved:
    """Return what was approved, as the plan that was looked at has it; None: it is not there any more."""
    names = {} if plan is None else {row.position: row.host for row in plan.hosts}
    plans: defaultdict[str, list[StepPlan]] = defaultdict(list)
    for line in () if plan is None else plan.journal:
        if line.event is Event.PLAN:
            plans[names[line.position]].append(plan_of_step(line))
    return Approved(findings=frozenset(agreed.findings), plans=plans)


def another_plan(approved: Sequence[StepPlan], now: Sequence[StepPlan]) -> Text | None:
    """Return what a repair would do otherwise now than was approved, with both; None: it would do the same.

    What is compared is each step: its action, whether it is left out, whether it would change anything, its script with the
    values that this gets, and the lines that say what would change.
    """
    for was, would in zip_longest(approved, map(as_kept_plan, now)):
        if was is None or would is None or _compared(was) != _compared(would):
            return Text(
                "step “{step}” would do something else than was approved: {would}; approved was: {was}",
                step=next(one.name for one in (would, was) if one is not None),
                would=_told(would, was),
                was=_told(was, would),
            )
    return None


def _compared(plan: StepPlan) -> tuple[Any, ...]:
    said = (plan.key, plan.action, plan.skipped, plan.forecast.changes, plan.script, dict(plan.variables))
    return (*said, _lines(plan))


def _lines(plan: StepPlan) -> list[str]:
    """Return the lines that say what would change."""
    notes = plan.action in _SCRIPTED
    return [line for line in plan.forecast.diff if not (notes and line.startswith(NOTE))]


def _told(plan: StepPlan | None, other: StepPlan | None) -> Text:
    """Return in few words what a step would do, by what is otherwise in another plan of it."""
    if plan is None:
        return Text("there is no such step")
    if plan.skipped:
        return Text("it is left out")
    if plan.forecast.changes is None:
        return Text("nobody can tell beforehand")
    theirs = {*_lines(other)} if other is not None else set()
    lines = [line.strip() for line in _lines(plan) if line not in theirs]
    values = {} if other is None else other.variables
    lines += [f"{name}={value}" for name, value in plan.variables.items() if values.get(name) != value]
    if lines:
        return Text("{lines} (lines in all: {count})", lines="; ".join(lines[:_MOST_TOLD]), count=len(_lines(plan)))
    return Text("lines: {count}, none of them new", count=len(_lines(plan))) if _lines(plan) else Text("nothing would change")
