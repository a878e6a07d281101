"""Rejections of passwords and codes that other commands of the same home met lately: they hold for this one too.

A directory counts over all commands, so three that are tried with one wrong password must not make nine. What is kept
lies where the system keeps a user's running state (XDG_RUNTIME_DIR: memory, gone with the session), never on disk: times, and
digests under a key that lies beside them, of user and secret. Without such a place each command counts for itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final

HEEDED_S: Final = 1800.0
"""For how long a rejection counts; directories forget wrong passwords after 10 to 30 minutes."""
_KEY: Final = 32
_MOST_BYTES: Final = 1024 * 1024
_ALONE: Final = "rejections are counted for this command alone: %s"
_log = logging.getLogger(__name__)


class Rejections:
    """The rejections of a home, in a file; `heeded` is False for a command that a person gives to try it once more."""

    def __init__(self, path: Path | None = None, *, heeded: bool = True, now: Callable[[], float] = time.time) -> None:
        self._path, self._heeded, self._now = path, heeded, now

    @classmethod
    def of_home(cls, home: Path, *, heeded: bool = True) -> Rejections:
        """Return those of a home; of this command alone where the system has no place of the user's own in memory."""
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
        try:
            status = runtime.stat()
        except OSError:
            return cls(heeded=heeded)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            return cls(heeded=heeded)
        name = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
        return cls(runtime / "longarm" / f"rejections-{name}", heeded=heeded)

    def count(self, *proof: str) -> int:
        """Return how often a proof (its kind, the user, the secret) was rejected lately; 0 where nothing is known or heeded."""
        if not self._heeded:
            return 0
        with self._lines() as (digest, lines):
            mine = digest(proof)
            return sum(line.split()[-1] == mine for line in lines)
        return 0

    def add(self, *proof: str) -> None:
        """Note a rejection."""
        with self._lines() as (digest, lines):
            lines.append(f"{self._now():.0f} {digest(proof)}")

    def clear(self, *proof: str) -> None:
        """Forget the rejections of a proof: it was accepted."""
        with self._lines() as (digest, lines):
            mine = digest(proof)
            lines[:] = [line for line in lines if line.split()[-1] != mine]

    @contextmanager
    def _lines(self) -> Iterator[tuple[Callable[[tuple[str, ...]], str], list[str]]]:
        """Yield what makes digests and the lines that still count, and write what has become of these."""
        if self._path is None:
            yield lambda _: "", []
            return
        with ExitStack() as opened:
            try:
                file = opened.enter_context(_locked(self._path))
                data = file.read(_MOST_BYTES)
            except OSError as error:
                _log.warning(_ALONE, error)
                yield lambda _: "", []
                return
            key, kept = data[:_KEY] if len(data) >= _KEY else secrets.token_bytes(_KEY), data[_KEY:]
            lines = [line for line in kept.decode("ascii", "replace").splitlines() if self._counts(line)]
            yield partial(_digest, key), lines
            try:
                file.seek(0)
                file.write(key + "".join(f"{line}\n" for line in lines).encode("ascii", "replace"))
                file.truncate()
            except OSError as error:  # that memory is full must not keep this command from counting
                _log.warning(_ALONE, error)

    def _counts(self, line: str) -> bool:
        try:
            noted, _ = line.split(" ")
            return 0 <= self._now() - float(noted) + 1 < HEEDED_S
        except ValueError:
            return False


def _locked(path: Path) -> FileIO:
    """Return the file, ours alone until it is closed; nothing of it waits in a buffer, to fail when it is closed."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        file.close()
        raise
    return file


def _digest(key: bytes, proof: tuple[str, ...]) -> str:
    return hmac.digest(key, "\0".join(proof).encode("utf-8", "surrogateescape"), "sha256").hex()[:32]
