"""`longarm run watch`: the progress of a run that another process carries out, then the run itself."""

from __future__ import annotations

import time

from console.aftermath import code_of, show_record
from console.settings import Settings
from console.terminal import tell_hint
from console.watch import watching
from runner.desk import Desk
from runner.outcome import FailOn, RunState

_BETWEEN_S = 0.3
"""Two looks; a look at a run of 500 hosts takes some 20 ms."""


def watch_run(settings: Settings, run: str, fail_on: FailOn) -> int:
    """Show how a run goes on until it has ended, then what came of it; return the exit code that it has itself."""
    with Desk.open(settings.home, write=False) as desk:
        with watching(settings) as observer:
            record = desk.follow(run, observer, lambda: time.sleep(_BETWEEN_S))
        show_record(settings, record)
    if record.state is RunState.INTERRUPTED and record.kind.resumable:
        tell_hint(settings, f"longarm run resume {record.run}", level=-1)
    return code_of(record, fail_on)
