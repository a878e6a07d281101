"""Carry out a run in an event loop: watched, and stopped in two steps by Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from console.entry import INTERRUPTED
from console.settings import Settings
from console.terminal import tell
from console.watch import watching
from inventory.errors import Text
from remote.event_loop import new_event_loop
from runner.desk import Desk
from runner.observer import Observer
from runner.record import RunRecord

_QUIET_S = 0.2
"""After this the first connections are on their way, and there is time while hosts work on their answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is carried out: something to get ready while the terminal is still plain, then the run itself."""

    prepare: Callable[[], None]
    start: Callable[[Observer], Coroutine[Any, Any, RunRecord]]


def conduct(settings: Settings, desk: Desk, work: Work) -> RunRecord:
    """Return the record of the run that `work` starts; KeyboardInterrupt if the user would not wait for its end."""
    gc.freeze()  # what is loaded by now lives as long as the process
    gc.set_threshold(30_000, 5, 3)  # hosts come and go in hundreds of small objects; reference counts free most of them
    work.prepare()  # outside the loop: it may ask for a password, and Ctrl-C is to end that at once
    with asyncio.Runner(loop_factory=new_event_loop) as loop, watching(settings) as observer:
        try:
            return loop.run(_stoppable(settings, desk, work.start(observer)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _stoppable(settings: Settings, desk: Desk, work: Coroutine[Any, Any, RunRecord]) -> RunRecord:
    presses = 0

    def pressed() -> None:
        nonlocal presses
        presses += 1
        if presses > 2:
            os._exit(INTERRUPTED)
        desk.stop()
        if presses == 1:
            tell(settings, Text("stopping: no host is started any more, what is open is closed; once more leaves at once"))

    running = asyncio.get_running_loop()
    loading = running.call_later(_QUIET_S, threading.Thread(target=_load_what_follows, args=(settings,), daemon=True).start)
    for number in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(number, pressed)
    try:
        return await work
    finally:
        loading.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            running.remove_signal_handler(number)


def _load_what_follows(settings: Settings) -> None:
    """Load what makes the report while hosts are waited for; the import lock keeps it from being loaded twice."""
    from reports.render import load_ahead

    load_ahead(settings.language)
