"""A longarm on the command line, each time in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.words import speak

LONGARM = str(Path(sys.executable).with_name("longarm"))


@dataclass(frozen=True)
class Done:
    """How one command line ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return stdout as the JSON it must be."""
        return json.loads(self.out)


class Console:
    """Runs longarm as a user would, without a terminal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "LONGARM_HOME": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, **more: Any) -> Done:
        """Run one command line to its end."""
        done = subprocess.run(
            [LONGARM, *arguments],
            env=self.environ | more.pop("environ", {}),
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
            **more,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return Done(done.returncode, out, err)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command line and return its process; whoever starts it ends it."""
        return subprocess.Popen(
            [LONGARM, *arguments],
            env=self.environ,
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def inventory(self, text: str) -> Path:
        """Write the home's inventory."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        path = self.home / "inventory.yaml"
        path.write_text(text)
        return path


@pytest.fixture(autouse=True)
def in_english() -> None:
    """Let nobody hear the language that an earlier test in this process spoke."""
    speak("en")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """Return a longarm with a home that does not exist yet."""
    return Console(tmp_path / "home")


@pytest.fixture
def practice(console: Console) -> Iterator[Callable[..., Console]]:
    """Return what starts practice hosts in the home; they end with the test."""

    def started(*options: str) -> Console:
        done = console("lab", "up", *options)
        assert done.code == 0, done.err
        return console

    yield started
    assert console("lab", "down").code == 0
