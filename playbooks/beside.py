"""What lies beside a playbook and belongs to it: contents of files, templates, functions, Ansible playbooks (T14)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inventory.documents import read_guarded
from inventory.errors import InvalidFile, LongarmError, Text

MOST_BYTES: Final = 1024 * 1024
"""What a command can carry to a host."""
MOST_FILES: Final = 500


class NotBeside(LongarmError):
    """A file that a playbook names and that cannot be part of it."""


class Beside:
    """The folder of a playbook; everything that was taken from it is in the digest."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._taken: dict[str, str] = {}

    def digest(self, of_playbook: str, *others: str) -> str:
        """Return the SHA-256 over a playbook's file, what was taken from beside it, and the digests of what it includes."""
        if not self._taken and not others:
            return of_playbook
        parts = [of_playbook, *(f"{name} {digest}" for name, digest in sorted(self._taken.items())), *others]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """Return the content of a file beside the playbook; raises NotBeside for everything else, links too."""
        path = self.path(name)
        try:
            data = read_guarded(path, MOST_BYTES)
        except InvalidFile as error:
            raise NotBeside(Text("“{name}” cannot be used: {reason}", name=name, reason=error.problems[0].text)) from error
        if len(data) > MOST_BYTES:
            raise NotBeside(Text("“{name}” has more than {limit} bytes", name=name, limit=MOST_BYTES))
        self._taken[name] = hashlib.sha256(data).hexdigest()
        return data

    def take_folder(self, name: str) -> Path:
        """Return a folder beside the playbook, all of its files in the digest; raises NotBeside."""
        path = self.path(name)
        if not path.is_dir():
            raise NotBeside(Text("there is no folder “{name}” beside the playbook", name=name))
        files = sorted(one for one in path.rglob("*") if not one.is_dir())
        if len(files) > MOST_FILES:
            raise NotBeside(Text("“{name}” has more than {limit} files", name=name, limit=MOST_FILES))
        for one in files:
            self.read(str(one.relative_to(self.root())))
        return path

    def path(self, name: str) -> Path:
        """Return where a name beside the playbook leads; raises NotBeside where that is outside, or through a link."""
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name or "\\" in name:
            raise NotBeside(Text("“{name}” is not a path below the playbook's folder", name=name), Text("source: files/motd"))
        path = self.root()
        for one in parts:
            path /= one
            if path.is_symlink():
                raise NotBeside(Text("“{name}” leads through a link", name=name))
        return path

    def root(self) -> Path:
        """Return the folder, from wherever one looks; raises NotBeside."""
        if self.folder is None:
            raise NotBeside(Text("this playbook has no folder"))
        return self.folder.absolute()

    def taken(self) -> Iterator[str]:
        """Yield the names of what was taken."""
        yield from self._taken
