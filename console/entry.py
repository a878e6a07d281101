"""The console script's first step, before anything is loaded: an interrupt in that time ends longarm without a word."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is loaded here is loaded before interrupts are heeded: nothing that can wait
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Load the command line and run it; an interrupt while it is being loaded leaves with 130, as one later does.

    A signal to end the process does that by itself, without a word too, and nothing is written that a closed pipe could refuse.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started us wants no interrupts
        signal.signal(signal.SIGINT, _leave)
    from console.main import main as command_line

    command_line()


def heed_interrupts() -> None:
    """Let an interrupt raise KeyboardInterrupt again, now that there is somebody who catches it."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - what a handler is called with
    """End the process at once: nothing has begun, and raised in the middle of an import it might be swallowed or told."""
    os._exit(INTERRUPTED)
