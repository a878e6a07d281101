"""Filesystems: how full the local ones are.

Network, pseudo and image types (NFS, squashfs, a container's layers …) are never touched: a dead NFS server hangs
whoever asks for its space, and a squashfs is always 100 % full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.library.linux.mountinfo import FIXED_INODES_ON_DISK, ON_DISK, STOPPED, Mount, read_mountinfo
from diagnostics.parsing import ASKING, Source, at, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_ASKED = ON_DISK | {"zfs", "tmpfs"}
"""Types that are asked for their space, as in the script."""
_FIXED_INODES = FIXED_INODES_ON_DISK | {"tmpfs", "overlay"}
"""Types with a limit on inodes; btrfs, zfs, vfat and reiserfs make them as they go."""

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
        "read_only": bool({"ro", *STOPPED} & (mount.options | mount.super_options)),
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
        "read_only": bool({"ro", *STOPPED} & (mount.options | mount.super_options)),
        "at": at("fs.stat", mount.line if row is None else row.line),
    }
    if row is None:
        return fact
    return fact | {"total": row.inodes, "free": row.inodes_free, "free_percent": round(100 * row.inodes_free / row.inodes, 2)}


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
)
