"""Modes and owners of the few files on which logins and programs hang: the ones that were copied or chmodded by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from diagnostics.parsing import ASKING, Line, Source, at, read_sources, unseen
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + r"""
of_files() { stat -L -c '%a %U %G %n' "$@"; }
# a link in a home is its user's, and may lead to what is somebody else's: it is gone after where it stays in the home
leads_out() {
  [ -L "$1" ] || [ -L "${1%/authorized_keys}" ] || return 1
  case $1 in
    /root/*) return 1 ;; # where nobody but root makes links
    /home/*/.ssh*) ;;
    *) return 0 ;;
  esac
  home=$(readlink -f "${1%/.ssh*}") && target=$(readlink -f "$1") || return 0
  case $target in "$home"/?*) return 1 ;; esac
}
left_out() { [ ! -e "$1" ] || leads_out "$1"; }
of_all() { # homes are many: in parts, each file that is added to a list copies it
  ended=0
  for file in /home/*/.ssh /home/*/.ssh/authorized_keys; do
    left_out "$file" || set -- "$@" "$file"
    [ "$#" -lt 100 ] || { of_files "$@" || ended=$?; set --; }
  done
  [ "$#" = 0 ] || of_files "$@" || ended=$?
  return "$ended"
}
set --
for file in / /tmp /var/tmp /root /root/.ssh /root/.ssh/authorized_keys /etc/passwd /etc/group /etc/shadow /etc/gshadow \
  /etc/sudoers /usr/bin/sudo /usr/bin/su /etc/ssh/ssh_host_*_key; do
  left_out "$file" || set -- "$@" "$file"
done
if [ "$#" = 0 ]; then absent modes 'any of these files'; else ask modes of_all "$@"; fi
# what is in a folder that one may not look into seems not to be there; ten are shown, and that there are more
hidden='' left=11
hide() { hidden=$hidden$1$nl left=$((left - 1)); }
for folder in /home /etc/ssh; do
  [ ! -d "$folder" ] || { [ -r "$folder" ] && [ -x "$folder" ]; } || hide "$folder"
done
for folder in /root /root/.ssh /home/* /home/*/.ssh; do
  [ "$left" -gt 0 ] || break
  [ ! -d "$folder" ] || [ -x "$folder" ] || hide "$folder"
done
if [ -z "$hidden" ]; then absent hidden 'a folder that may not be looked into'; else ask hidden printf %s "$hidden"; fi
hidden='' left=11
for folder in /root /home/*; do
  for file in "$folder/.ssh" "$folder/.ssh/authorized_keys"; do
    [ "$left" -gt 0 ] || break 2
    [ -L "$file" ] && left_out "$file" && hide "$file" && break
  done
done
if [ -z "$hidden" ]; then absent links 'a link in a home'; else ask links printf %s "$hidden"; fi
"""
)
_LINE = re.compile(r"([0-7]{1,4}) (\S+) (\S+) (/.*)")
_RULES = (
    # path, owner, the mode that is right, bits that must be there, bits that must not
    (r"/", "root", 0o755, 0o555, 0o022),
    (r"/(var/)?tmp", "root", 0o1777, 0o1777, 0o6000),
    (r"/root", "root", 0o700, 0o700, 0o022),
    (r"/(root|home/[^/]+)/\.ssh", "", 0o700, 0o700, 0o022),
    (r"/(root|home/[^/]+)/\.ssh/authorized_keys", "", 0o600, 0o400, 0o022),
    (r"/etc/(passwd|group)", "root", 0o644, 0o444, 0o022),
    (r"/etc/g?shadow", "root", 0o640, 0o000, 0o137),
    (r"/etc/sudoers", "root", 0o440, 0o400, 0o137),
    (r"/usr/bin/(sudo|su)", "root", 0o4755, 0o4111, 0o022),
    (r"/etc/ssh/ssh_host_\w+_key", "root", 0o600, 0o400, 0o037),
)
"""sshd(8) FILES and StrictModes, sshd's own refusal of host keys that others can read (a group of its own may, Red Hat),
hier(7), shadow(5), sudoers(5); bits that a distribution leaves to taste are in neither column."""


_LEFT_OUT = {"hidden": "may not be looked into", "links": "is a link, and what it leads to was left alone"}


def parse_modes(answer: Answer) -> Facts:
    r"""Return which of these files have modes or owners with which a program refuses them, or anybody may change them.

    `right` is the mode that they should have; `owner` empty where it is the user's whose home it is. `unseen` stands for what
    is in folders that may not be looked into: some refuse even root (NFS with root_squash, FUSE of a user), and for what links
    in homes lead to outside of them: who owns a home may put there what leads to anything. Root's links are gone after. Raises
    NothingThere where none of the files is there.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_modes(answered(f'''@longarm {mark[1:]}
    ... {mark} source modes
    ... 777 root root /tmp
    ... 640 root shadow /etc/shadow
    ... 644 root root /etc/ssh/ssh_host_rsa_key
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["path"], one["mode"], one["right"]) for one in facts["files"] if one["wrong"]]
    [('/tmp', '777', '1777'), ('/etc/ssh/ssh_host_rsa_key', '644', '600')]
    """
    sources = read_sources("sec.modes", answer)
    told = (_left_out(sources[name].usable(), why) for name, why in _LEFT_OUT.items() if _is_there(sources, name))
    return {"files": [*map(_file, sources["modes"].usable().lines), *told]}


def _is_there(sources: Mapping[str, Source], name: str) -> bool:
    return name in sources and sources[name].status is not None


def _left_out(source: Source, why: str) -> dict[str, Any]:
    paths = " ".join(line.text for line in source.lines[:10]) + (" …" if len(source.lines) > 10 else "")
    return {"path": "", **unseen(source, f"{why}: {paths}")}


def _file(line: Line) -> dict[str, Any]:
    if not (match := _LINE.fullmatch(line.text)):
        raise ParseError("sec.modes", line.data)
    mode, path = int(match[1], 8), match[4]
    rule = next((one for one in _RULES if re.fullmatch(one[0], path)), None)
    if rule is None:
        raise ParseError("sec.modes", line.data)
    _, owner, right, needed, barred = rule
    if home := re.match(r"/home/([^/]+)/", path):
        owner = home[1] if match[2] == "root" else ""  # a home need not be named like its owner: only root's is wrong there
    elif path.startswith("/root/"):
        owner = "root"
    bad_owner = bool(owner) and match[2] != owner
    bad_mode = mode & needed != needed or bool(mode & barred)
    return {
        "path": path,
        "mode": match[1],
        "user": match[2],
        "right": f"{right:o}",
        "owner": owner,
        "wrong": bad_mode or bad_owner,
        "at": at("sec.modes", line.number),
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="sec.modes", script=_SCRIPT, deadline_s=5, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_modes,
        summary="Which of the files that logins hang on have wrong modes or owners",
        shape={
            "files": [
                {
                    "path": "str",
                    "mode": "str",
                    "user": "str",
                    "right": "str",
                    "owner": "str",
                    "wrong": "bool",
                    "unseen": "str?",
                    "at": "at",
                }
            ]
        },
    ),
)
