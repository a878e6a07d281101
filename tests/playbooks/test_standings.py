"""What a host says of a detached command, as the interpreter takes it: certain where it is certain, and nowhere else."""

from itertools import product

import pytest

from playbooks.ports import Became
from playbooks.standings import change_of
from remote.detached import Reason, Standing, State


@pytest.mark.parametrize(("state", "reason"), list(product(State, [None, *Reason])))
def test_every_standing_has_its_word(state: State, reason: Reason | None) -> None:
    standing = Standing(id="12345678", state=state, reason=reason, exit_status=0 if state is State.DONE else None)
    change = change_of(standing)
    assert (change.became is Became.NOT_BEGUN) is (state is State.FAILED and standing.ran is False)
    assert (change.became is Became.DONE) is (state is State.DONE)
    assert (change.exit_status is not None) is (state is State.DONE)
    assert change.never_arrived is (state is State.FAILED and reason in (Reason.NOT_STARTED, Reason.NOT_BEGUN))
    assert change.denied is (reason is Reason.DENIED)
    assert change.unfit is (state is State.FAILED and reason in (Reason.NO_PLACE, Reason.NO_TOOL))
    if state in (State.RUNNING, State.UNANSWERED, State.UNKNOWN):
        assert change.became is Became.UNKNOWN, "nobody saw its end"
