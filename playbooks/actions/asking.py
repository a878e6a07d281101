"""Asking the operator; the answer is what its type takes, or there is none."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from playbooks.actions.doing import Doing, Done
from playbooks.params import Param, accepted
from playbooks.ports import Asked
from playbooks.results import Forecast, StepState

MOST_TRIES: Final = 3


class AskOperator:
    """Asks until there is an answer of the right type, three times at most."""

    async def plan(self, doing: Doing) -> Forecast:
        """Return that only a run asks."""
        question = next(iter(doing.values["question"].values()))
        return Forecast(changes=None, why=Text("asks the operator: {question}", question=question))

    async def perform(self, doing: Doing) -> Done:
        """Return the answer; nobody's answer in time is a refusal."""
        param: Param = doing.values["answer"]
        wrong: Text | None = None
        for _ in range(MOST_TRIES):
            asked = Asked(
                key=doing.key, host=doing.ports.hands.host.name, question=doing.values["question"], answer=param, wrong=wrong
            )
            said = await doing.ports.operator.answer(asked, deadline_s=doing.left_s())
            if said is None or doing.ports.clock.now_s() >= doing.end_s:
                return Done(state=StepState.REFUSED, why=Text("nobody answered in time"))
            value = accepted(param, said)
            if not isinstance(value, Text):
                return Done(state=StepState.OK, data={"answer": list(value) if isinstance(value, tuple) else value})
            wrong = value
        return Done(state=StepState.REFUSED, why=wrong)
