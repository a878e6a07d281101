"""A longarm on the command line, each time in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.words import speak
from tests import forked as forks

LONGARM = str(Path(sys.executable).with_name("longarm"))
_OF_THE_START = ("PYTHON", "LANG", "LC_")
"""What Python looks at when it starts."""


@dataclass(frozen=True)
class Done:
    """How one command line ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return stdout as the JSON it must be."""
        return json.loads(self.out)


def _done(code: int, out: bytes, err: bytes) -> Done:
    assert b"Traceback" not in err, err.decode()
    return Done(code, out.decode(), err.decode())


class Console:
    """Runs longarm as a user would, without a terminal."""

    def __init__(self, home: Path, forked: forks.Forked) -> None:
        self.home, self._forked = home, forked
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "LONGARM_HOME": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, environ: dict[str, str] | None = None) -> Done:
        """Run one command line to its end."""
        environ = self.environ | (environ or {})
        if any(name.startswith(_OF_THE_START) and environ[name] != self.environ.get(name) for name in environ):
            return self.afresh(*arguments, environ=environ)
        return _done(*self._forked.run(arguments, environ, self.home.parent, timeout_s=300))

    def afresh(self, *arguments: str, environ: dict[str, str] | None = None) -> Done:
        """Run one command line to its end in a Python that starts for it."""
        done = subprocess.run(
            [LONGARM, *arguments],
            env=self.environ | (environ or {}),
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return _done(done.returncode, done.stdout, done.stderr)

    def elsewhere(self, home: Path) -> Console:
        """Return a longarm with another home."""
        return Console(home, self._forked)

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


@contextmanager
def serving(console: Console, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Keep the desk of a home as a service meanwhile; every command line of its console then speaks to it."""
    process = console.start("serve", *options)
    with process:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert b"is open on" in told, told + process.stderr.read()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=120)


@pytest.fixture(autouse=True)
def in_english() -> None:
    """Let nobody hear the language that an earlier test in this process spoke."""
    speak("en")


@pytest.fixture(scope="session")
def forked() -> Iterator[forks.Forked]:
    """Start what command lines are forked from."""
    with forks.forking(forks.LONGARM) as forked:
        yield forked


@pytest.fixture
def console(tmp_path: Path, forked: forks.Forked) -> Console:
    """Return a longarm with a home that does not exist yet."""
    return Console(tmp_path / "home", forked)


@pytest.fixture
def practice(console: Console) -> Iterator[Callable[..., Console]]:
    """Return what starts practice hosts in the home; they end with the test."""

    def started(*options: str) -> Console:
        done = console("lab", "up", *options)
        assert done.code == 0, done.err
        return console

    yield started
    assert console("lab", "down").code == 0
