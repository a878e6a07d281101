"""Filesystems of other machines that do not answer, and those that fstab asks for and nobody has mounted."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.linux.mountinfo import read_mountinfo, unescaped
from diagnostics.parsing import ASKING, Source, at, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
shares() { # each is looked at by a process of its own; one that hangs is left after 5 s, whatever it waits for
  set -- && running=''
  while read -r _ _ _ _ point _ rest; do
    rest=${rest#*- }
    case ${rest%% *} in
      nfs | nfs4 | cifs | smb3 | smbfs | fuse.sshfs | fuse.glusterfs | fuse.ceph | ceph | 9p | afs | lustre) ;;
      *) continue ;;
    esac
    path=$(printf %b "$point")
    ( stat -f "$path" >/dev/null 2>&1 & wait "$!" ) >/dev/null 2>&1 &
    running="$running $!"
    set -- "$@" "$!" "$point"
  done </proc/self/mountinfo
  [ "$#" -gt 0 ] || return 0
  # shellcheck disable=SC2086  # process ids, split on purpose
  ( trap 'kill "$!"; exit' TERM; sleep 5 & wait "$!"; kill $running ) >/dev/null 2>&1 &
  watch=$!
  while [ "$#" -gt 0 ]; do
    wait "$1"; printf '%s %s\n' "$?" "$2"
    shift 2
  done
  kill "$watch" 2>/dev/null || : # it ended by itself, after 5 s
}
ask mountinfo sed 's/\( - [^ ]* [^ ]*\) .*/\1 -/' /proc/self/mountinfo # options may hold names and passwords
ask shares shares
if [ -e /etc/fstab ]; then ask fstab cat /etc/fstab; else absent fstab /etc/fstab; fi
"""
)
_SHARE = re.compile(rb"(\d{1,3}) (/\S*)")
_LEFT = frozenset({137, 143})
"""Killed by the script's own watch after 5 s."""
_NOT_ALWAYS = frozenset({"noauto", "nofail", "x-systemd.automount"})
"""Options of fstab(5), mount(8) and systemd.mount(5) with which an entry need not be mounted."""


def parse_shares(answer: Answer) -> Facts:
    r"""Return the filesystems of other machines with whether they answer, and the entries of fstab that are not mounted.

    `answers`: statfs(2) came back within 5 s, whatever it said but ESTALE and its like. Raises NothingThere where there is
    neither such a filesystem nor an entry of fstab.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_shares(answered(f'''@longarm {mark[1:]}
    ... {mark} source mountinfo
    ... 28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
    ... 44 28 0:44 / /srv/share rw,relatime - nfs4 files.nord.example:/share rw
    ...
    ... {mark} end 0
    ... {mark} source shares
    ... 143 /srv/share
    ...
    ... {mark} end 0
    ... {mark} source fstab
    ... /dev/vda1 / ext4 defaults 0 1
    ... /dev/vdb1 /srv/data ext4 defaults 0 2
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["mount"], one["answers"]) for one in facts["shares"]], [one["mount"] for one in facts["missing"]]
    ([('/srv/share', False)], ['/srv/data'])
    """
    sources = read_sources("fs.net", answer)
    mounts = {mount.point: mount for mount in read_mountinfo(sources["mountinfo"])}
    shares = []
    for line in sources["shares"].usable().lines:
        if not (match := _SHARE.fullmatch(line.data)):
            raise ParseError("fs.net", line.data)
        point, status = unescaped(match[2]), int(match[1])
        if (mount := mounts.get(point)) is not None:
            shares.append(
                {
                    "mount": text_of(point),
                    "source": mount.source,
                    "type": mount.type,
                    "answers": status == 0,
                    "hangs": status in _LEFT,
                    "at": at("fs.net", line.number),
                }
            )
    missing = list(_missing(sources["fstab"], set(mounts)))
    if not shares and sources["fstab"].status is None:
        raise NothingThere("fs.net", "a filesystem of another machine, or /etc/fstab")
    return {"shares": shares, "missing": missing}


def _missing(fstab: Source, mounted: set[bytes]) -> list[dict[str, Any]]:
    """Return the entries that have to be mounted and are not."""
    found: list[dict[str, Any]] = []
    if fstab.status is None:
        return found
    for line in fstab.usable().lines:
        fields = line.data.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        if len(fields) < 3:
            raise ParseError(fstab.question, line.data)
        point = unescaped(fields[1])
        options = set(text_of(fields[3]).split(",")) if len(fields) > 3 else set()
        if not point.startswith(b"/") or fields[2] == b"swap" or options & _NOT_ALWAYS or point in mounted:
            continue
        place = at("fs.net", line.number)
        found.append({"mount": text_of(point), "source": text_of(fields[0]), "type": text_of(fields[2]), "at": place})
    return found


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="fs.net", script=_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT),
        parse=parse_shares,
        summary="Which filesystems of other machines answer, and which entries of fstab are not mounted",
        shape={
            "shares": [{"mount": "str", "source": "str", "type": "str", "answers": "bool", "hangs": "bool", "at": "at"}],
            "missing": [{"mount": "str", "source": "str", "type": "str", "at": "at"}],
        },
    ),
)
