"""Files that nobody can name any more and somebody still has open: their space is freed only when they are closed."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.linux.mountinfo import mount_point_of, read_mountinfo
from diagnostics.parsing import ASKING, Line, Source, at, integer, read_sources
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
open_ones() { # the descriptor, then the path that it was opened by; not what never was a file on a disk
  [ "$(id -u)" = 0 ] || { echo 'only root sees what others have open' >&2; return 1; }
  # shellcheck disable=SC2012  # the targets of links, which find of busybox does not print
  ls -l /proc/[0-9]*/fd | sed -n 's/^\(\/proc\/[0-9]*\/fd\):$/@\1/p
s/^l.* \([0-9]*\) -> \(\/.*\) (deleted)$/\1 \2/p' | awk '
    /^@/ { at = substr($0, 2); next }
    { number = $1; sub(/^[0-9]+ /, ""); if ($0 !~ /^\/(memfd:|dev\/|SYSV|proc\/)/) print at "/" number " " $0 }' | head -n 300
}
sizes() { # blocks, bytes of a block, device, inode, descriptor
  # shellcheck disable=SC2046  # paths of /proc, without blanks
  set -- $(printf '%s\n' "$found" | cut -d ' ' -f 1)
  stat -L -c '%b %B %d %i %n' "$@"
  return 0 # some were closed meanwhile
}
names() { # descriptor, name of its process
  printf '%s\n' "$found" | cut -d ' ' -f 1 | while read -r file; do
    process=${file%/fd/*}
    [ ! -r "$process/comm" ] || { read -r name <"$process/comm" && printf '%s %s\n' "$file" "$name"; }
  done
}
found=$(open_ones)
ended=$?
say() { [ -z "$found" ] || printf '%s\n' "$found"; return "$ended"; }
ask open say
if [ -n "$found" ]; then
  ask sizes sizes
  ask names names
  ask mountinfo sed 's/\( - [^ ]* [^ ]*\) .*/\1 -/' /proc/self/mountinfo
else
  absent sizes 'no need: nothing deleted is open'
fi
"""
)
_OPEN = re.compile(r"(/proc/(\d+)/fd/\d+) (/.*)")
_SIZE = re.compile(r"(\d+) (\d+) (\d+) (\d+) (/proc/\d+/fd/\d+)")


def parse_deleted(answer: Answer) -> Facts:
    r"""Return the deleted files that are still open, each once, with the space that they hold and a process that has them.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_deleted(answered(f'''@longarm {mark[1:]}
    ... {mark} source open
    ... /proc/71/fd/3 /var/log/shop/trace.log
    ...
    ... {mark} end 0
    ... {mark} source sizes
    ... 4096 512 65025 12 /proc/71/fd/3
    ...
    ... {mark} end 0
    ... {mark} source names
    ... /proc/71/fd/3 shop
    ...
    ... {mark} end 0
    ... {mark} source mountinfo
    ... 28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 -
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["path"], one["bytes"], one["pid"], one["name"], one["mount"]) for one in facts["files"]]
    [('/var/log/shop/trace.log', 2097152, 71, 'shop', '/')]
    """
    sources = read_sources("fs.deleted", answer)
    lines = sources["open"].usable().lines
    if not lines:
        return {"files": []}
    sizes, names = _sizes(sources["sizes"]), _names(sources["names"])
    mounts, seen, found = read_mountinfo(sources["mountinfo"]), set[tuple[str, str]](), list[dict[str, Any]]()
    for line in lines:
        file = _file(line, names)
        size, inode = sizes.get(file.pop("descriptor"), (None, None))
        if size is not None and inode is not None and inode not in seen:
            seen.add(inode)
            found.append(file | {"bytes": size, "mount": mount_point_of(file["path"], mounts)})
    return {"files": found}


def _file(line: Line, names: dict[str, str]) -> dict[str, Any]:
    if not (match := _OPEN.fullmatch(line.text)):
        raise ParseError("fs.deleted", line.data)
    return {
        "descriptor": match[1],
        "path": match[3],
        "pid": integer("fs.deleted", match[2].encode()),
        "name": names.get(match[1], ""),
        "at": at("fs.deleted", line.number),
    }


def _sizes(source: Source) -> dict[str, tuple[int, tuple[str, str]]]:
    found = {}
    for line in source.usable().lines:
        if not (match := _SIZE.fullmatch(line.text)):
            raise ParseError(source.question, line.data)
        blocks, size = integer(source.question, match[1].encode()), integer(source.question, match[2].encode())
        found[match[5]] = blocks * size, (match[3], match[4])
    return found


def _names(source: Source) -> dict[str, str]:
    pairs = (line.text.partition(" ") for line in source.usable(1).lines)
    return {descriptor: name for descriptor, _, name in pairs}


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="fs.deleted", script=_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_deleted,
        summary="Which deleted files are still open, and how much space they hold",
        shape={
            "files": [{"path": "str", "bytes": "int bytes", "mount": "str", "pid": "int", "name": "str", "at": "at"}],
        },
    ),
)
