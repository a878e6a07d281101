"""Orders to the fork server of killed runs (`killed_run.py`), and what its children said before they died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.outcome import Outcome
from runner.record import RunRecord


@dataclass
class Told:
    """What a child said before it died."""

    hosts: list[str] = field(default_factory=list)
    run: str | None = None
    steps: int = 0
    past: list[str] = field(default_factory=list)
    """What it did to files outside any crash point."""
    status: int = 0
    took_s: float = 0.0


class Killer:
    """The fork server; `order` returns what its child said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, home: Path, **order: Any) -> Told:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"home": str(home), **order}) + "\n")
        self._process.stdin.flush()
        told = Told()
        for line in self._process.stdout:
            words = json.loads(line)
            if "status" in words:
                told.status, told.took_s = words["status"], words["took_s"]
                return told
            if "acknowledged" in words:
                told.hosts.append(words["acknowledged"])
            told.run, told.steps = words.get("ended", told.run), words.get("steps", told.steps)
            told.past += words.get("past", ())
        raise AssertionError("the fork server is gone")


def finished(record: RunRecord) -> list[str]:
    return [host.host for host in record.hosts if host.outcome is not Outcome.INTERRUPTED]


@contextmanager
def fork_server() -> Iterator[Killer]:
    """Start the fork server and end it."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.runner.killed_run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "PYTHONPATH": "."},
    )
    with process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
