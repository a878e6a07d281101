"""Secrets in files that only their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from inventory.errors import Text
from inventory.secrets.unusable import Unusable, refuse

LARGEST = 64 * 1024


class FileStore:
    """`{file: PATH}`: the whole text of a private file is the secret, without the newline that ends it."""

    def read(self, entry: str) -> str:
        """Return the text of a file."""
        return private_text(private_bytes(Path(entry).expanduser()), entry)


def private_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Return what a file holds that only its owner may read; a link to such a file is fine. Raises Unusable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _refuse_shared(path, os.fstat(handle))
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(largest + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise Unusable(Text("{path}: {reason}", path=path, reason=error.strerror or str(error))) from error
    if len(data) > largest:
        refuse(Text("{path} is too large to be a secret", path=path))
    return data


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    """Refuse what `ssh` refuses (sshkey_perm_ok): our own file that others may read, anybody's that everybody may."""
    if not stat.S_ISREG(status.st_mode):
        refuse(Text("{path} is not a file", path=path))
    shared = status.st_mode & (0o077 if status.st_uid == os.geteuid() else 0o007)
    if shared:
        text = Text("{path} can be read by others (mode {mode})", path=path, mode=f"{status.st_mode & 0o777:03o}")
        refuse(text, Text("chmod 600 {path}", path=path))


def private_text(data: bytes, what: str) -> str:
    """Return bytes as the text of a secret, without the newline that ends it; raises Unusable. `what` names them."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(Text("{path} is not UTF-8", path=what)) from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        refuse(Text("{path} is empty", path=what))
    return text
