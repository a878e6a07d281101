"""Crash points: the moments before and after each step of a process to files, told by name; or it dies at one.

They are in Python and in SQLite and not in ours: whatever gives a file a name or takes one away, writes to it or makes it
last, and every transaction, is one, whoever asks for it. What goes past them is seen by the audit of the interpreter and by
the trace of SQLite, and told as well (`past`).
"""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.store.blobs import digest_of
from runner.store.changes import Change, EndHost, Journalled, Sampled, TakeLease
from runner.store.writer import Pending, Writer

_CALLS = (
    "fsync",
    "ftruncate",
    "link",
    "mkdir",
    "pwrite",
    "remove",
    "rename",
    "replace",
    "rmdir",
    "symlink",
    "truncate",
    "unlink",
    "write",
)
_EVENTS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALIKE = re.compile(r"(?:.*/)?blobs/(?!7f)[0-9a-f]{2}")
"""256 folders are made one after another: one of them stands for all."""
_NO_TWO_ALIKE = {
    re.compile(r"\.\d+\.new$"): ".new",
    re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}"): "RUN",
    re.compile(r"[0-9a-f]{32}(?:\.\d+)?"): "CACHED",
}
"""What is in the names of files and is another one each time."""
_ALONE = re.compile(r"PRAGMA (?:journal_mode=|wal_checkpoint)|VACUUM|INSERT|UPDATE|DELETE|CREATE|DROP|REPLACE", re.IGNORECASE)
"""Statements that reach the disk by themselves where no transaction is open."""


class Points:
    """Those of this process, from now on and for good; it is killed at the first that is `fatal`, by its number and name."""

    def __init__(self, folder: Path, fatal: Callable[[int, str], bool]) -> None:
        self.names: list[str] = []
        """Of the points that were met, in order: more than one of a transaction in which the changes of several hosts are."""
        self.met = 0
        self.past: list[str] = []
        """What was done to the home outside any point."""
        self._folder, self._fatal = f"{folder.resolve()}/", fatal
        self._lock, self._here, self._times = threading.Lock(), threading.local(), Counter[str]()
        self._blobs: dict[str, str] = {}
        for name in _CALLS:
            setattr(os, name, self._call(name, getattr(os, name)))
        os.open = self._opened(os.open)
        builtins.open = io.open = self._opened(builtins.open)
        Writer._keep = self._kept(Writer._keep)  # type: ignore[assignment, method-assign]
        sqlite3.connect = self._connected(sqlite3.connect)  # type: ignore[assignment]
        sys.addaudithook(self._audit)

    @contextmanager
    def around(self, what: str, subjects: Sequence[str]) -> Iterator[None]:
        """Make two points of a step: before it, and after it where it did not fail."""
        self._meet(f"before {what}", subjects)
        self._here.depth = self._depth + 1
        try:
            yield
        finally:
            self._here.depth -= 1
        self._meet(f"after {what}", subjects)

    @property
    def _depth(self) -> int:
        return getattr(self._here, "depth", 0)

    @property
    def group(self) -> tuple[str, ...]:
        """Return the changes that this thread brings to the disk."""
        return getattr(self._here, "group", ())

    def _meet(self, moment: str, subjects: Sequence[str]) -> None:
        with self._lock:
            self.met += bool(subjects)
            for subject in subjects:
                self._times[f"{moment} {subject}"] += 1
                self.names.append(f"{moment} {subject} #{self._times[f'{moment} {subject}']}")
                if self._fatal(self.met, self.names[-1]):
                    os.kill(os.getpid(), signal.SIGKILL)

    def _call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def pointed(subject: Any, *arguments: Any, **named: Any) -> Any:
            with self.around(name, self._subjects(subject, named.get("dir_fd") or named.get("src_dir_fd"), name)):
                return call(subject, *arguments, **named)

        return pointed

    def _opened(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A file that is opened is one where that makes or empties it."""

        def pointed(file: Any, mode: Any = "r", *arguments: Any, **named: Any) -> Any:
            makes = mode & (os.O_CREAT | os.O_TRUNC) if isinstance(mode, int) else set(mode) & set("wxa")
            subjects = self._subjects(file, named.get("dir_fd"), "open") if makes else ()
            with self.around("open", subjects):
                return call(file, mode, *arguments, **named)

        return pointed

    def _path(self, subject: Any, folder: int | None = None) -> str | None:
        """Return the path of a file of the home from there on; None: it is another's."""
        try:
            above = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path()
            path = Path(f"/proc/self/fd/{subject}").readlink() if isinstance(subject, int) else above / os.fsdecode(subject)
        except OSError:  # closed: the call says so
            return None
        whole = os.path.normpath(path.absolute())
        return whole.removeprefix(self._folder) if whole.startswith(self._folder) else None

    def _subjects(self, subject: Any, folder: int | None, call: str) -> tuple[str, ...]:
        """Return what a file of the home is called whatever its content and its run: nothing, where the step is no point."""
        path = self._path(subject, folder)
        if path is None or (_ALIKE.fullmatch(path) and call in ("mkdir", "rmdir")):
            return ()
        if call == "mkdir" and os.path.lexists(self._folder + path):
            return ()
        head, _, name = path.rpartition("/")
        if head == "blobs" and name in self._blobs:
            return (f"folder of the blob of {self._blobs[name]}",)
        if head.startswith("blobs/") and name in self._blobs:
            return (f"{'new ' if head == 'blobs/new' else ''}blob of {self._blobs[name]}",)
        for pattern, instead in _NO_TWO_ALIKE.items():
            path = pattern.sub(instead, path)
        return (path,)

    def _kept(self, keep: Callable[[Writer, Sequence[Pending]], None]) -> Callable[[Writer, Sequence[Pending]], None]:
        def pointed(writer: Writer, group: Sequence[Pending]) -> None:
            for pending in group:
                for number, data in enumerate(pending.blobs):
                    digest, name = digest_of(data), f"{named(pending.change)} {number}"
                    self._blobs.setdefault(digest[2:], name)
                    self._blobs[digest[:2]] = name
            self._here.group = tuple(named(pending.change) for pending in group)
            keep(writer, group)
            self._here.group = ()

        return pointed

    def _connected(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def pointed(database: Any, **named: Any) -> sqlite3.Connection:
            if ":memory:" in str(database):
                return connect(database, **named)
            connection = connect(database, factory=_connection_of(self, reads="mode=ro" in str(database)), **named)
            connection.set_trace_callback(lambda statement: self._traced(connection, statement))
            return connection

        return pointed

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or self._depth or (event == "open" and not arguments[2] & _WRITING):
            return
        if not isinstance(arguments[0], (str, bytes, int, os.PathLike)) or (path := self._path(arguments[0])) is None:
            return
        self.past.append(f"{event} {path}")

    def _traced(self, connection: sqlite3.Connection, statement: str) -> None:
        words = statement.strip()
        if not self._depth and (words == "COMMIT" or (_ALONE.match(words) and not connection.in_transaction)):
            self.past.append(words)


def _connection_of(points: Points, *, reads: bool) -> type[sqlite3.Connection]:
    class Pointed(sqlite3.Connection):
        def commit(self) -> None:
            with points.around("commit", (points.group or ("transaction",)) if self.in_transaction and not reads else ()):
                super().commit()

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            with points.around("sql", (sql,) if _ALONE.match(sql) and not self.in_transaction else ()):
                return super().execute(sql, *arguments)

        def close(self) -> None:
            with points.around("close", () if reads else ("database",)):
                super().close()

    return Pointed


def named(change: Change) -> str:
    """Return what a change is called in every run of the same hosts."""
    match change:
        case Journalled(line=line):
            return f"{line.event} {line.position} {line.key}"
        case Sampled(sample=sample):
            return f"sample {sample.position} {sample.number}"
        case TakeLease(lease=lease):
            return f"lease {lease.host}"
        case EndHost(host=host):
            return f"end {host.host}"
    return type(change).__name__
