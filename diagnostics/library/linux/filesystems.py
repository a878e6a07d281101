"""Filesystems: how full the local ones are, and which of them the kernel no longer writes to.

Network, pseudo and image types (NFS, squashfs, a container's layers …) are never touched: a dead NFS server hangs
whoever asks for its space, and a squashfs is always 100 % full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, SHORT, Line, Source, Sources, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_FIXED_INODES_ON_DISK = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs", "jfs", "nilfs2", "ufs"})
_ON_DISK = _FIXED_INODES_ON_DISK | {"btrfs", "vfat", "exfat", "ntfs3", "reiserfs", "bcachefs"}
_ASKED = _ON_DISK | {"zfs", "tmpfs"}
"""Types that are asked for their space, as in the script."""
_FIXED_INODES = _FIXED_INODES_ON_DISK | {"tmpfs", "overlay"}
"""Types with a limit on inodes; btrfs, zfs, vfat and reiserfs make them as they go."""
_STOPPED = frozenset({"emergency_ro", "shutdown"})
"""What ext4 says of itself after an error behind an `rw` (seen on Linux 6.18); older kernels say `ro`."""
_EFI = frozenset({"/boot/efi", "/efi"})
"""Read-only by many a policy, and vfat turns read-only at the first odd sector."""
_ESCAPE = re.compile(rb"\\([0-7]{3})")

_STAT_SCRIPT = (
    ASKING
    + "nl='\n' tab='\t'\n"
    + r"""
chosen=$nl
mountinfo() { mounts=$(cat /proc/self/mountinfo) && printf '%s\n' "$mounts"; }
each_mount() { # the function $1 with the fields of each mount
  set -f; IFS=$nl
  for row in $mounts; do
    IFS=' '
    # shellcheck disable=SC2086  # its fields: the kernel writes no blank into one
    "$1" $row
    IFS=$nl
  done
  unset IFS; set +f
}
choose() { # id parent device root mountpoint options … - type source options
  id=$1 parent=$2 device=$3 point=$5
  shift 6
  while [ "${1:--}" != - ]; do shift; done
  case $chosen in *"$nl$parent $point "*) # mounted over that one, which is out of sight now
    after=${chosen#*"$nl$parent $point "}
    chosen=${chosen%%"$nl$parent $point "*}$nl${after#*"$nl"} ;;
  esac
  case $point in /proc/*|/sys/*|*//deleted) return ;; esac
  case $2:$point in
    ext[234]:*|xfs:*|btrfs:*|zfs:*|vfat:*|exfat:*|ntfs3:*|f2fs:*|jfs:*|reiserfs:*|nilfs2:*|bcachefs:*|ufs:*|tmpfs:*|overlay:/)
      chosen=$chosen$id' '$point' '$device$nl ;;
  esac
}
decode() { # $1 without the octal escapes of mountinfo, into $path
  path='' rest=$1
  while :; do
    case $rest in *\\*) ;; *) path=$path$rest; return ;; esac
    path=$path${rest%%\\*}
    rest=${rest#*\\}
    case $rest in
      040*) path=$path' ' ;; 011*) path=$path$tab ;; 012*) path=$path$nl ;; 043*) path=$path'#' ;; *) path=$path\\ ;;
    esac
    rest=${rest#???}
  done
}
space() {
  devices=' '
  set -f; IFS=$nl
  for row in $chosen; do
    row=${row#* }
    case $devices in *" ${row#* } "*) continue ;; esac
    devices=$devices${row#* }' '
    decode "${row%% *}"
    set -- "$@" "$path"
  done
  unset IFS; set +f
  if [ "$#" = 0 ]; then absent space 'a local filesystem'; else ask space stat -f -c '%S %b %f %a %c %d %n' "$@"; fi
}
ask mountinfo mountinfo
each_mount choose
space
"""
)


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


def parse_stat(answer: Answer) -> Facts:
    r"""Return the space and the inodes of each local filesystem, once however often it is mounted.

    Percentages as df(1) counts them: of what a user who is not root may use. Filesystems without a limit on inodes
    are not among `inodes`. One that could not be asked is there without figures.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_stat(answered(f'''@longarm {mark[1:]}
    ... {mark} source mountinfo
    ... 28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
    ... {mark} end 0
    ... {mark} source space
    ... 4096 10255585 1021577 495513 2621440 2434087 /
    ... {mark} end 0
    ... '''.replace(f"\n{mark} end", f"\n\n{mark} end").encode()))
    >>> [(item["mount"], item["used_percent"], item["available_bytes"]) for item in facts["mounts"]]
    [('/', 94.91, 2029621248)]
    >>> [(item["mount"], item["free_percent"]) for item in facts["inodes"]]
    [('/', 92.85)]
    """
    sources = read_sources("fs.stat", answer)
    mounts = _asked(read_mountinfo(sources["mountinfo"]))
    if sources["space"].status is None:
        if mounts:
            raise ParseError("fs.stat", b"local filesystems were not asked for their space")
        raise NothingThere("fs.stat", sources["space"].missing)
    rows = list(_spaces(sources["space"].usable(1), mounts))
    return {
        "mounts": [_space_fact(mount, row) for mount, row in rows if row is None or row.blocks > 0],
        "inodes": [
            _inode_fact(mount, row) for mount, row in rows if mount.type in _FIXED_INODES and (row is None or row.inodes > 0)
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    block_bytes: int
    blocks: int
    free: int
    available: int
    inodes: int
    inodes_free: int
    line: int


def _asked(mounts: tuple[Mount, ...]) -> list[Mount]:
    """Return the mounts that the script asks about, by its rules: type, uppermost, once for each device."""
    chosen: dict[tuple[int, bytes], Mount] = {}
    for mount in mounts:
        chosen.pop((mount.parent, mount.point), None)
        if mount.point.startswith((b"/proc/", b"/sys/")) or mount.point.endswith(b"//deleted"):
            continue
        if mount.type in _ASKED or (mount.type == "overlay" and mount.point == b"/"):
            chosen[mount.id, mount.point] = mount
    by_device: dict[str, Mount] = {}
    for mount in chosen.values():
        by_device.setdefault(mount.device, mount)
    return list(by_device.values())


def _spaces(space: Source, mounts: list[Mount]) -> Iterator[tuple[Mount, _Space | None]]:
    """Yield what `stat` printed for each mount, in order; None for one that it could not ask (it says so on stderr)."""
    lines, given = space.lines, 0
    for mount in mounts:
        rows = mount.point.count(b"\n") + 1
        text = b"\n".join(line.data for line in lines[given : given + rows])
        figures, _, name = _split(text, 6)
        if name != mount.point:
            if space.status == 0:
                raise ParseError(space.question, text)
            yield mount, None
            continue
        block, blocks, free, available, inodes, inodes_free = (integer(space.question, figure) for figure in figures)
        if block <= 0 or not 0 <= free <= blocks or min(inodes, inodes_free) < 0:
            raise ParseError(space.question, text)
        yield (
            mount,
            _Space(
                block_bytes=block,
                blocks=blocks,
                free=free,
                available=max(available, 0),
                inodes=inodes,
                inodes_free=inodes_free,
                line=lines[given].number,
            ),
        )
        given += rows
    if given != len(lines):
        raise ParseError(space.question, lines[given].data)


def _split(text: bytes, count: int) -> tuple[list[bytes], bytes, bytes]:
    """Return the first `count` words of `text`, the blank behind them and the rest."""
    parts = text.split(b" ", count)
    return (parts[:count], b" ", parts[count]) if len(parts) == count + 1 else (parts, b"", b"")


def _space_fact(mount: Mount, row: _Space | None) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "mount": text_of(mount.point),
        "device": mount.source,
        "type": mount.type,
        "read_only": bool({"ro", *_STOPPED} & (mount.options | mount.super_options)),
        "at": at("fs.stat", mount.line if row is None else row.line),
    }
    if row is None:
        return fact
    used, usable = row.blocks - row.free, row.blocks - row.free + row.available
    return fact | {
        "size_bytes": row.blocks * row.block_bytes,
        "available_bytes": row.available * row.block_bytes,
        "used_percent": round(100 * used / usable, 2) if usable else 100.0,
    }


def _inode_fact(mount: Mount, row: _Space | None) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "mount": text_of(mount.point),
        "type": mount.type,
        "read_only": bool({"ro", *_STOPPED} & (mount.options | mount.super_options)),
        "at": at("fs.stat", mount.line if row is None else row.line),
    }
    if row is None:
        return fact
    return fact | {"total": row.inodes, "free": row.inodes_free, "free_percent": round(100 * row.inodes_free / row.inodes, 2)}


_MOUNTS_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + SHORT
    + r"""
seen=''
ext4_errors() { # device, errors since the last fsck, time of the last one; without a process
  for state in /sys/fs/ext4/*; do
    block=/sys/class/block/${state##*/}/dev
    [ -r "$state/last_error_time" ] || continue # a kernel before 4.20, or a folder of features
    [ -r "$block" ] || continue
    read -r errors <"$state/errors_count" || return
    case $errors in 0) continue ;; esac
    read -r last <"$state/last_error_time" || return
    read -r device <"$block" || return
    seen="$seen$device $errors $last$nl"
  done
  printf %s "$seen"
}
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
ask_file mountinfo /proc/self/mountinfo
if [ -e /etc/fstab ]; then ask fstab short /etc/fstab; else absent fstab /etc/fstab; fi
ask errors ext4_errors
if [ -n "$seen" ]; then ask uptime uptime; ask clock date +%s; fi
"""
)


def parse_mounts(answer: Answer) -> Facts:
    r"""Return which filesystems on disks take no writes, and whether they were meant to.

    `stopped`: the kernel gave up after an error: it says `emergency_ro` or `shutdown`, or ext4 met an error since the
    boot and has errors=remount-ro (Linux 6.1.192 of Debian then says `rw` everywhere, and every write fails). `read_only`:
    the filesystem's own options say `ro` (proc_pid_mountinfo(5) field 11). `meant_writable`: a mount of it is `rw`, as
    errors=remount-ro left it before, or fstab asks for it without `ro`. Raises NothingThere where nothing is on a disk.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_mounts(answered(f'''@longarm {mark[1:]}
    ... {mark} source mountinfo
    ... 103 81 7:2 / /srv/data rw,relatime - ext4 /dev/loop2 rw,errors=remount-ro,emergency_ro
    ...
    ... {mark} end 0
    ... {mark} absent fstab /etc/fstab
    ... {mark} source errors
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(item["mount"], item["stopped"], item["meant_writable"]) for item in facts["mounts"]]
    [('/srv/data', True, True)]
    """
    sources = read_sources("fs.mounts", answer)
    wanted, broken = _fstab(sources["fstab"]), _broken_since_boot(sources)
    by_device: dict[str, list[Mount]] = {}
    for mount in read_mountinfo(sources["mountinfo"]):
        if mount.type in _ON_DISK and not mount.point.startswith((b"/proc/", b"/sys/")) and text_of(mount.point) not in _EFI:
            by_device.setdefault(mount.device, []).append(mount)
    if not by_device:
        raise NothingThere("fs.mounts", "a filesystem on a disk")
    return {"mounts": [_mount_fact(mounts, wanted, broken) for mounts in by_device.values()]}


def _mount_fact(mounts: list[Mount], wanted: dict[bytes, frozenset[str]], broken: dict[str, int]) -> dict[str, Any]:
    first = mounts[0]
    gave_up = first.device in broken and "errors=remount-ro" in first.super_options
    asked_for = [wanted[mount.point] for mount in mounts if mount.point in wanted]
    refused = any("ro" in options for options in asked_for)
    return {
        "mount": text_of(first.point),
        "device": first.source,
        "type": first.type,
        "read_only": "ro" in first.super_options,
        "stopped": gave_up or bool(_STOPPED & first.super_options),
        "meant_writable": not refused and (bool(asked_for) or any("rw" in mount.options for mount in mounts)),
        "proof_at": at("fs.mounts", broken[first.device] if gave_up else first.line),
        "at": at("fs.mounts", first.line),
    }


def _broken_since_boot(sources: Sources) -> dict[str, int]:
    """Return the line of each ext4 device that met an error since the boot; older ones only wait for fsck."""
    errors = sources["errors"].usable()
    if not errors.lines:
        return {}
    booted_s = integer(errors.question, _only(sources["clock"])) - decimal(errors.question, _only(sources["uptime"]))
    found = {}
    for line in errors.lines:
        if not (match := re.fullmatch(rb"(\d+:\d+) (\d+) (\d+)", line.data)):
            raise ParseError(errors.question, line.data)
        if integer(errors.question, match[3]) >= booted_s:
            found[text_of(match[1])] = line.number
    return found


def _only(source: Source) -> bytes:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0].data


def _fstab(source: Source) -> dict[bytes, frozenset[str]]:
    """Return the options that fstab(5) wants for each mount point; none where there is no fstab (a container)."""
    if source.status is None:
        return {}
    wanted = {}
    for line in source.usable().lines:
        fields = line.data.split()
        if fields and not fields[0].startswith(b"#"):
            if len(fields) < 3:
                raise ParseError(source.question, line.data)
            options = text_of(fields[3]) if len(fields) > 3 else "defaults"
            wanted[unescaped(fields[1])] = frozenset(options.split(","))
    return wanted


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="fs.stat", script=_STAT_SCRIPT, deadline_s=10, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_stat,
        summary="How full each local filesystem is, in bytes and inodes",
        shape={
            "mounts": [
                {
                    "mount": "str",
                    "device": "str",
                    "type": "str",
                    "read_only": "bool",
                    "size_bytes": "int? bytes",
                    "available_bytes": "int? bytes",
                    "used_percent": "float? percent",
                    "at": "at",
                }
            ],
            "inodes": [
                {
                    "mount": "str",
                    "type": "str",
                    "read_only": "bool",
                    "total": "int? inodes",
                    "free": "int? inodes",
                    "free_percent": "float? percent",
                    "at": "at",
                }
            ],
        },
    ),
    Probe(
        question=Question(id="fs.mounts", script=_MOUNTS_SCRIPT, deadline_s=5, calm=True),
        parse=parse_mounts,
        summary="Which filesystems are mounted how, and what fstab asks for",
        shape={
            "mounts": [
                {
                    "mount": "str",
                    "device": "str",
                    "type": "str",
                    "read_only": "bool",
                    "stopped": "bool",
                    "meant_writable": "bool",
                    "proof_at": "at",
                    "at": "at",
                }
            ]
        },
    ),
)
