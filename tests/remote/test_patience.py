"""Clocks that stand still while a host waits for others, where one of them has just run out."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from remote.patience import Patience


@pytest.mark.parametrize("for_long", [False, True])
async def test_a_deadline_that_has_just_passed_stops_nobody_else(for_long: bool) -> None:
    """Its host has not run yet, and still follows the one that now begins to wait."""
    bastion, began = Patience(), list[str]()
    with ExitStack() as waiting:

        def wait() -> None:
            waiting.enter_context(bastion.standing_still())
            began.append("to wait")
            if not for_long:
                waiting.close()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                with Patience(limit).following(bastion):
                    limit.reschedule(0)
                    asyncio.get_running_loop().call_soon(wait)
                    await asyncio.Event().wait()
        assert began == ["to wait"]
    with bastion.standing_still():
        assert bastion._reasons == 1, "it stands still for what is over"


async def test_who_goes_on_after_its_deadline_has_ended_says_nothing() -> None:
    """A login goes on in a task of its own: it hears that it is cancelled after whoever waited for it has left."""
    with ExitStack() as waiting:
        async with asyncio.timeout(60) as limit:
            await asyncio.sleep(0)
            waiting.enter_context(Patience(limit).standing_still())
