"""Choose how a run is watched: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from console.progress import Progress
from console.settings import Settings


@contextmanager
def watching(settings: Settings) -> Iterator[Progress]:
    """Give the observer for a run; a live table stands on the terminal until left."""
    if live_is_wanted(settings):
        from console.live import LiveTable

        table = LiveTable(settings.language)
        with table.shown(), _watched_by(table):
            yield table
    else:
        from console.lines import Lines

        yield Lines(settings)


_WATCHING: list[Progress] = []
"""What stands on the terminal."""


@contextmanager
def _watched_by(progress: Progress) -> Iterator[None]:
    _WATCHING.append(progress)
    try:
        yield
    finally:
        _WATCHING.remove(progress)


@contextmanager
def stepped_aside() -> Iterator[None]:
    """Let the terminal be free in the block: what moves there would be drawn over the question."""
    with ExitStack() as aside:
        for progress in _WATCHING:
            aside.enter_context(progress.aside())
        yield


def live_is_wanted(settings: Settings) -> bool:
    """Tell whether stderr is a terminal that can move its cursor, and the user wants to see more than errors."""
    return settings.verbosity >= 0 and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
