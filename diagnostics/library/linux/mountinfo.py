"""/proc/self/mountinfo: what is mounted where, as the kernel tells it; read by every probe that has to know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from diagnostics.parsing import Line, Source, integer, text_of
from diagnostics.probe import ParseError

FIXED_INODES_ON_DISK = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs", "jfs", "nilfs2", "ufs"})
"""Types on a disk with a limit on inodes."""
ON_DISK = FIXED_INODES_ON_DISK | {"btrfs", "vfat", "exfat", "ntfs3", "reiserfs", "bcachefs"}
STOPPED = frozenset({"emergency_ro", "shutdown"})
"""What ext4 says of itself after an error behind an `rw` (seen on Linux 6.18); older kernels say `ro`."""
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5)); texts without the kernel's octal escapes."""

    id: int
    parent: int
    device: str
    """`major:minor`: the same for every mount of one filesystem."""
    point: bytes
    options: frozenset[str]
    type: str
    source: str
    super_options: frozenset[str]
    line: int


def read_mountinfo(source: Source) -> tuple[Mount, ...]:
    """Return the mounts of a source that printed /proc/self/mountinfo, in its order; there is always one."""
    mounts = tuple(_mount(source.question, line) for line in source.usable().lines)
    if not mounts:
        raise ParseError(source.question, b"mountinfo is empty")
    return mounts


def mount_point_of(path: str, mounts: Iterable[Mount]) -> str:
    """Return the mount point that `path` (absolute, no links) lies under: the longest that is a part of it.

    >>> mount_point_of("/var/lib/mysql", [])
    '/'
    """
    points = (text_of(mount.point) for mount in mounts)
    return max((point for point in points if path == point or path.startswith(point.rstrip("/") + "/")), key=len, default="/")


def _mount(question: str, line: Line) -> Mount:
    fields = line.data.split(b" ")
    if len(fields) < 10 or b"-" not in fields[6:-3]:
        raise ParseError(question, line.data)
    dash = fields.index(b"-", 6)
    if len(fields) != dash + 4 or not re.fullmatch(rb"\d{1,8}:\d{1,8}", fields[2]):
        raise ParseError(question, line.data)
    return Mount(
        id=integer(question, fields[0]),
        parent=integer(question, fields[1]),
        device=text_of(fields[2]),
        point=unescaped(fields[4]),
        options=frozenset(text_of(fields[5]).split(",")),
        type=text_of(fields[dash + 1]),
        source=text_of(unescaped(fields[dash + 2])),
        super_options=frozenset(text_of(fields[dash + 3]).split(",")),
        line=line.number,
    )


def unescaped(field: bytes) -> bytes:
    r"""Return a field of mountinfo or fstab without its octal escapes (getmntent(3)).

    >>> unescaped(rb"/mnt/my\040disk")
    b'/mnt/my disk'
    """
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
