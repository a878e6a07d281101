"""What a transfer is told, what it brings back, and why one failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from inventory.errors import Text
from remote.errors import RemoteError
from remote.question import Privilege
from remote.windows.paths import on_drive

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes that have arrived and those that there are; what it raises ends the transfer."""

_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?")


class Reason(StrEnum):
    """Why a file did not arrive; stable for programs."""

    MISSING = "missing"
    NO_FOLDER = "no_folder"
    IS_DIRECTORY = "is_directory"
    NOT_REGULAR = "not_regular"
    NO_PERMISSION = "no_permission"
    NO_SPACE = "no_space"
    QUOTA = "quota"
    READ_ONLY = "read_only"
    TOO_LARGE = "too_large"
    SHRANK = "shrank"
    DIFFERS = "differs"
    OPEN_TO_OTHERS = "open_to_others"
    LED_ELSEWHERE = "led_elsewhere"
    DENIED = "denied"
    PART_LOST = "part_lost"
    LOST = "lost"
    TIMED_OUT = "timed_out"
    OTHER = "other"


WORDS: Final[Mapping[Reason, Text]] = {
    Reason.MISSING: Text("there is no such file"),
    Reason.NO_FOLDER: Text("the folder that it is to lie in is not there"),
    Reason.IS_DIRECTORY: Text("that is a directory"),
    Reason.NOT_REGULAR: Text("that is no regular file: a device, a pipe or a socket"),
    Reason.NO_PERMISSION: Text("no permission"),
    Reason.NO_SPACE: Text("no space is left on the host's file system"),
    Reason.QUOTA: Text("the quota on the host is used up"),
    Reason.READ_ONLY: Text("the host's file system is read-only"),
    Reason.TOO_LARGE: Text("it is larger than the limit"),
    Reason.SHRANK: Text("it became shorter while it was read"),
    Reason.DIFFERS: Text("what arrived is not what was sent: the digests differ"),
    Reason.OPEN_TO_OTHERS: Text("everyone on the host may write to that folder: root puts no file there"),
    Reason.LED_ELSEWHERE: Text("others on the host may change where that path leads: root puts no file there"),
    Reason.DENIED: Text("root could not be had"),
    Reason.PART_LOST: Text("what had arrived of it is gone or was changed by somebody"),
    Reason.LOST: Text("the connection was lost"),
    Reason.TIMED_OUT: Text("the deadline passed"),
    Reason.OTHER: Text("the host could not"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What has arrived of a file: with it the same transfer can go on where it was cut off."""

    name: str
    """Where it lies: on the host for a put, here for a get."""
    digest: str = ""
    """SHA-256 of the whole, where that is known (put)."""
    size_bytes: int = 0
    """Of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a file goes on the host, and whose it is then; on Windows it has the rights of its folder."""

    path: str
    mode: int = 0o644
    owner: str | None = None
    """`user` or `user:group`; None: whoever puts it."""
    privilege: Privilege = Privilege.USER

    def __post_init__(self) -> None:
        if not on_drive(self.path):
            check_path(self.path)
        if self.path.endswith(("/", "/.", "/..")):
            raise ValueError(f"not the path of a file: {self.path!r}")
        if not 0 <= self.mode <= 0o7777:
            raise ValueError(f"not a mode: {self.mode:o}")
        if self.owner is not None and not _OWNER.fullmatch(self.owner):
            raise ValueError(f"not an owner: {self.owner!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A file that has arrived whole."""

    path: str
    """On the host."""
    size_bytes: int
    digest: str
    """SHA-256, in hex, the same on both sides."""
    carried_by: str
    """`sftp` or `exec`."""
    compared_by: str
    """The host's program that made its digest; `reading back` where it has none."""
    resumed_at: int = 0
    """Bytes that had arrived before."""


class TransferFailed(RemoteError):
    """A file did not arrive; nothing stands under its name that was not there before. `part` is set where it can go on."""

    def __init__(self, host: str, path: str, reason: Reason, detail: str = "", part: Part | None = None) -> None:
        self.path, self.reason, self.detail, self.part = path, reason, detail, part
        if detail:
            text = Text("{path}: {reason}: {detail}", path=path, reason=WORDS[reason], detail=detail)
        else:
            text = Text("{path}: {reason}", path=path, reason=WORDS[reason])
        super().__init__(host, text)


def check_path(path: str) -> None:
    """Raise ValueError for what cannot be the path of a file: relative ones depend on where a command happens to run."""
    if not path.startswith("/") or "\0" in path or len(path) > 4096:
        raise ValueError(f"not an absolute path: {path[:200]!r}")
