"""What a client asks the service for: a command line, where it was typed, and which of its files it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from runner.service.wire import BadFrame

CARRIED: Final = ("COLUMNS", "LANG", "LC_ALL", "LC_MESSAGES", "LINES", "LONGARM_LANG", "NO_COLOR", "TERM")
"""The variables that a client's environment may set for a command: how it speaks and draws, nothing else."""
_MOST: Final = 4096
"""Words of one command line, files of one request."""
_LONGEST: Final = 128 * 1024
_DEEPEST: Final = 128
"""Folders in a path: what lies deeper cannot be removed again by one who steps into each."""
MOST_FILE_BYTES: Final = 64 * 1024 * 1024
"""Of all files that come with one request; they are kept on the disk."""


class Stream(StrEnum):
    """What one of the three streams of a client is."""

    TERMINAL = "terminal"
    OTHER = "other"  # a file, a pipe
    NONE = "none"  # closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file that the client is to write in the end: by its whole path."""

    path: str
    possible: bool
    """Its folder is there and the client may write into it."""
    exists: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command line as a client gives it."""

    arguments: tuple[str, ...]
    folder: str
    environ: Mapping[str, str]
    stdin: Stream
    stdout: Stream
    stderr: Stream
    terminal: bool
    """Somebody sits at a terminal, whatever the streams are."""
    columns: int
    rows: int
    reads: tuple[str, ...]
    """Whole paths of the files that it wants read: their bytes follow in this order."""
    writes: tuple[Place, ...]

    def words(self) -> dict[str, Any]:
        """Return the request as JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Request:
        """Return the request that a client's words mean; raises BadFrame for words that mean none."""
        try:
            request = cls(
                arguments=_texts(words["arguments"]),
                folder=_path(words["folder"]),
                environ={name: _text(value) for name, value in dict(words["environ"]).items() if name in CARRIED},
                stdin=Stream(words["stdin"]),
                stdout=Stream(words["stdout"]),
                stderr=Stream(words["stderr"]),
                terminal=words["terminal"] is True,
                columns=_size(words["columns"]),
                rows=_size(words["rows"]),
                reads=tuple(map(_path, _many(words["reads"]))),
                writes=tuple(map(_place, _many(words["writes"]))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadFrame(f"a request that is none: {error!r}") from error
        return request


def _many(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError("no list, or too long a one")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _many(value)))


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise ValueError("no text, or too long a one")
    os.fsencode(value)  # half a character is one of no path and no word
    return value


def _path(value: object) -> str:
    """Return a whole path without steps upwards: joined to a folder it stays within that."""
    text = _text(value)
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or len(text) > 4096 or len(path.parts) > _DEEPEST:
        raise ValueError("no whole path")
    return str(path)


def _place(value: object) -> Place:
    if not isinstance(value, dict):
        raise TypeError("no place")
    return Place(path=_path(value["path"]), possible=value["possible"] is True, exists=value["exists"] is True)


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10_000:
        raise ValueError("no number of columns or rows")
    return value
