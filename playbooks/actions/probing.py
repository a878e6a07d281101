"""Asking a probe again."""

from __future__ import annotations

from diagnostics.facts import facts_of, in_expressions
from diagnostics.verdict import Why
from inventory.errors import Text
from playbooks.actions.doing import Doing, Done
from playbooks.results import Forecast, StepState


class Ask:
    """Asks one probe and reads its facts."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that nothing is changed by asking."""
        return Forecast(changes=False)

    async def perform(self, doing: Doing) -> Done:
        """Return the facts; where there are none, why."""
        probe = doing.probes[doing.values["probe"]]
        longest = sum(question.deadline_s for question in probe.questions)
        answers = await doing.ports.hands.ask(probe.questions, deadline_s=min(longest + 10.0, doing.left_s() + 10.0))
        found = facts_of(probe, answers)
        if isinstance(found, Why):
            why = Text("{question}: {reason} {detail}", question=found.question, reason=found.reason, detail=found.detail)
            return Done(state=StepState.UNDECIDED, why=why)
        return Done(state=StepState.OK, facts={in_expressions(probe.id): found})
