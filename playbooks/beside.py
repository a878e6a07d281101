"""What lies beside a playbook and belongs to it: contents of files, templates, functions, Ansible playbooks (T14)."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from inventory.documents import read_guarded
from inventory.errors import InvalidFile, LongarmError, Text

MOST_BYTES: Final = 1024 * 1024
"""What a command can carry to a host."""
MOST_FILES: Final = 500
_FOUND_BY_ANSIBLE: Final = re.compile(
    r"collections|files|group_vars|handlers|host_vars|library|module_utils|roles|tasks|templates|vars|\w+_plugins"
)
"""Folders beside one of its playbooks that Ansible looks into unasked (Ansible's user guide, “Search paths in Ansible”)."""
_OF_A_ROLE: Final = ("defaults", "handlers", "meta", "tasks", "vars")


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

    def take_playbook_of_ansible(self, name: str) -> bytes:
        """Return the content of a playbook of Ansible's; all that it may use is in the digest. Raises NotBeside.

        That is the whole folder where it has one of its own. Beside our playbook it is what Ansible finds by itself, and what
        is named in any of that.
        """
        data, folder = self.read(name), self.path(name).parent
        if folder != self.root():
            self._take_all(folder)
            return data
        contents = [data]
        for one in sorted(folder.iterdir()):
            if one.is_dir() and _FOUND_BY_ANSIBLE.fullmatch(one.name):
                contents += self._take_all(one)
        self._take_named(folder, contents)
        return data

    def take_role_of_ansible(self, name: str) -> None:
        """Take a role of Ansible's, and those beside it that it names, into the digest; raises NotBeside."""
        path = self.path(name)
        if not path.is_dir():
            raise NotBeside(Text("there is no folder “{name}” beside the playbook", name=name))
        self._take_named(path.parent, self._take_all(path))

    def _take_named(self, folder: Path, contents: list[bytes]) -> None:
        """Take the files and roles of a folder that are named in some contents, or in what is taken for that."""
        left = {one.name: one for one in folder.iterdir() if one.is_file() or any((one / part).is_dir() for part in _OF_A_ROLE)}
        while contents:
            text = contents.pop()
            for name in [name for name in left if re.search(rb"(?<![\w.-])%b(?![\w-])" % re.escape(os.fsencode(name)), text)]:
                contents += self._take_all(left.pop(name))

    def _take_all(self, path: Path) -> list[bytes]:
        """Return the contents of a file, or of all files of a folder, which are in the digest from now on."""
        name = str(path.relative_to(self.root()))
        self.path(name)
        inside = path.rglob("*") if path.is_dir() else [path]
        files = sorted(one for one in inside if one.is_symlink() or not one.is_dir())
        if len(files) > MOST_FILES:
            raise NotBeside(Text("“{name}” has more than {limit} files", name=name, limit=MOST_FILES))
        return [self.read(str(one.relative_to(self.root()))) for one in files]

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
