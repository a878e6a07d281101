"""Log files that have grown large, and the filesystem they lie on."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.linux.mountinfo import mount_point_of, read_mountinfo
from diagnostics.parsing import ASKING, Line, at, integer, read_sources, unseen
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
big() { # from 100 MiB on, the largest first
  files=$(find /var/log -xdev -type f -size +204799 -exec stat -c '%s %n' {} +) || return
  [ -z "$files" ] || printf '%s\n' "$files" | sort -rn | head -n 51
}
if [ -d /var/log ]; then ask big big; else absent big /var/log; fi
if [ -n "${files-}" ]; then ask mountinfo cat /proc/self/mountinfo; else absent mountinfo 'no need: no large file'; fi
"""
)
_MOST = 50
_FILE = re.compile(rb"\d{1,18} /[^\n]+")


def parse_log_files(answer: Answer) -> Facts:
    r"""Return the files of 100 MiB and more below /var/log, with the mount they lie on; one that is `unseen` is the 51st.

    Raises NothingThere where there is no /var/log.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_log_files(answered(f'''@longarm {mark[1:]}
    ... {mark} source big
    ... 2147483648 /var/log/shop/trace.log
    ...
    ... {mark} end 0
    ... {mark} source mountinfo
    ... 28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(item["path"], item["bytes"], item["mount"]) for item in facts["files"]]
    [('/var/log/shop/trace.log', 2147483648, '/')]
    """
    sources = read_sources("log.size", answer)
    big = sources["big"].usable()
    mounts = read_mountinfo(sources["mountinfo"]) if big.lines else []
    files = [_file(line) | {"mount": mount_point_of(_path(line), mounts)} for line in big.lines[:_MOST]]
    more = [_file(line) | unseen(big, f"more than {_MOST} files are large", line.number) for line in big.lines[_MOST:]]
    return {"files": [*files, *more]}


def _path(line: Line) -> str:
    return line.text.partition(" ")[2]


def _file(line: Line) -> dict[str, Any]:
    if not _FILE.fullmatch(line.data):
        raise ParseError("log.size", line.data)
    return {"path": _path(line), "bytes": integer("log.size", line.data.partition(b" ")[0]), "at": at("log.size", line.number)}


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="log.size", script=_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_log_files,
        summary="Which log files have grown large",
        shape={
            "files": [{"path": "str", "bytes": "int bytes", "mount": "str", "unseen": "str?", "at": "at"}],
        },
    ),
)
