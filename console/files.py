"""Parameters that name files of whoever gives a command: where the service carries it out, they travel there and back."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Self

import click

from console.served import placed, served
from runner.places import ERASURES


class _Theirs(click.Path):
    """A path of the caller's, looked at where it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path at which the file is for this process, or raise click's BadParameter."""
        return super().convert(placed(os.fspath(value)), param, ctx)


class ReadFile(_Theirs):
    """A file that the command reads."""

    def __init__(self, *, exists: bool = False, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay, exists=exists)

    def reads(self, value: str) -> str:
        """Return the file that has to be there for the command."""
        return value


class ReadHome(_Theirs):
    """A home of which the command reads what was erased there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False, exists=True)

    def reads(self, value: str) -> str:
        """Return the file that has to be there for the command."""
        return os.path.join(value, ERASURES)  # noqa: PTH118 - a text as it was given


class FileOrText(click.Path):
    """A file that the command reads where there is one of this name, else what was given itself."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path at which the file is for this process, or the text."""
        call = served()
        if call is not None and os.path.lexists(call.place(value)):
            value = placed(value)
        return super().convert(value, param, ctx)

    def reads(self, value: str) -> str:
        """Return the file that has to be there for the command."""
        return value


class NewFile(_Theirs):
    """A file that the command writes."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)


def private(path: str, flags: int) -> int:
    """Open a file, as `open` wants it, and where it is new make it the user's alone: it quotes what hosts answered."""
    return os.open(path, flags, 0o600)


class Replacement:
    """A new file that takes the place of one once all of it is written; until then that stays as it is.

    It is the user's alone, or as open as the one that was there. What is no regular file, or lies in a folder that takes no new
    one or does not let go of what is another's, is written where it is.
    """

    def __init__(self, path: Path) -> None:
        self._to, self._part = path.resolve(), None
        if (path.exists() and not path.is_file()) or not _replaceable(self._to):  # a pipe resolves to what is no name
            self._file = open(path, "wb", opener=private)  # noqa: SIM115 - `close` does
            return
        descriptor, part = tempfile.mkstemp(prefix=".longarm.", suffix=".part", dir=self._to.parent)
        self._file, self._part = os.fdopen(descriptor, "wb"), Path(part)
        if self._to.exists():
            os.fchmod(descriptor, stat.S_IMODE(self._to.stat().st_mode))

    def write(self, data: bytes) -> None:
        """Write what comes next."""
        self._file.write(data)

    def close(self, *, whole: bool) -> None:
        """Put it in its place if it is whole, else leave nothing of it; raises OSError where that fails."""
        try:
            self._file.close()
            if self._part is not None and whole:
                self._part.replace(self._to)
        finally:
            if self._part is not None:
                self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(whole=kind is None)


def _replaceable(path: Path) -> bool:
    """Tell whether another file can take its place: in a folder such as /tmp (sticky) not where it is another's."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return False
    if not path.exists():
        return True
    folder = path.parent.stat()
    kept = folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, path.stat().st_uid)
    return not kept


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that the command line named, whole or not at all."""
    with Replacement(path) as file:
        file.write(data)
