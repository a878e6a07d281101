"""What a ProxyCommand of ssh really means, where it is a proxy or another host: nothing of it is run."""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

_SSH = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"  # ssh.c of OpenSSH 9.2
_NC = "46bCDdFhI:i:klM:m:NnO:P:p:q:rSs:T:tUuV:vW:w:X:x:Zz"  # netcat.c of OpenBSD, as Debian has it
_QUIET = frozenset(("-q", "-T", "-x", "-a", "-N", "-4", "-6", "-v", "-n", "-d", "-w", "-i", "-N"))
"""Options that say nothing about where the connection goes."""
_NCAT_TYPES = {"http": "http", "socks5": "socks5"}
_GOAL = re.compile(r"\[?%h\]?:%p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A way in our words; `left` is what of the command says more than that."""

    via: str = ""
    """As ProxyJump writes it, the nearest to us first."""
    proxy: str = ""
    """A URL."""
    left: str = ""


@lru_cache(maxsize=4096)
def meaning(command: str) -> Meaning | None:
    """Return what a ProxyCommand means, its tokens not filled in; None for one that is a program of its own.

    >>> meaning("ssh -q -W %h:%p ops@gw"), meaning("nc -X connect -x proxy:3128 %h %p")
    (Meaning(via='ops@gw', proxy='', left=''), Meaning(via='', proxy='http://proxy:3128', left=''))
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] == ["exec"]:
        words = words[1:]
    if not words or any(word in (";", "|", "&", "&&", "||") or set(word) & set("`$<>") for word in words):
        return None
    name, rest = PurePosixPath(words[0]).name, words[1:]
    try:
        match name:
            case "ssh":
                return _ssh(rest)
            case "nc" | "netcat" | "nc.openbsd":
                return _nc(rest)
            case "ncat":
                return _ncat(rest)
            case "connect" | "connect-proxy":
                return _connect(rest)
            case "corkscrew":
                return Meaning(proxy=f"http://{rest[0]}:{rest[1]}") if rest[2:] == ["%h", "%p"] else None
    except (getopt.GetoptError, LookupError):
        pass
    return None


def _ssh(words: Sequence[str]) -> Meaning | None:
    """`ssh -W %h:%p gw`: another host, with what else ssh is told about the way there."""
    options, operands = getopt.gnu_getopt(list(words), _SSH)
    goal, port, user, before, left = "", "", "", "", list[str]()
    for option, value in options:
        match option:
            case "-W":
                goal = value
            case "-p":
                port = value
            case "-l":
                user = value
            case "-J":
                before = value
            case "-q" | "-T" | "-x" | "-a" | "-N" | "-4" | "-6" | "-v" | "-C":
                pass
            case _:
                left += [option, value] if value else [option]
    if not _GOAL.fullmatch(goal) or len(operands) != 1 or "%" in operands[0]:
        return None
    hop = operands[0].removeprefix("ssh://")
    hop = (f"{user}@" if user and "@" not in hop else "") + hop + (f":{port}" if port and ":" not in hop else "")
    return Meaning(via=f"{before},{hop}" if before else hop, left=shlex.join(left))


def _nc(words: Sequence[str]) -> Meaning | None:
    """`nc -x proxy:1080 %h %p`: SOCKS 5, or HTTP where it says connect (nc(1))."""
    options, operands = getopt.gnu_getopt(list(words), _NC)
    given = dict(options)
    if operands != ["%h", "%p"] or "-x" not in given or given.get("-P"):
        return None
    scheme = {"5": "socks5", "connect": "http"}[given.get("-X", "5")]
    left = [option for option in given if option not in _QUIET and option not in ("-X", "-x")]
    return Meaning(proxy=_url(scheme, given["-x"], "3128"), left=" ".join(left))


def _ncat(words: Sequence[str]) -> Meaning | None:
    """`ncat --proxy proxy:3128 --proxy-type http %h %p` (ncat(1))."""
    options, operands = getopt.gnu_getopt(list(words), "46v", ["proxy=", "proxy-type="])
    given = dict(options)
    if operands != ["%h", "%p"]:
        return None
    return Meaning(proxy=_url(_NCAT_TYPES[given.get("--proxy-type", "http")], given["--proxy"], "3128"))


def _connect(words: Sequence[str]) -> Meaning | None:
    """`connect -S proxy:1080 %h %p`, `connect -H proxy:3128 %h %p` (connect-proxy(1))."""
    if len(words) != 4 or list(words[2:]) != ["%h", "%p"]:
        return None
    return Meaning(proxy=_url({"-S": "socks5", "-5": "socks5", "-H": "http"}[words[0]], words[1], "80"))


def _url(scheme: str, at: str, http_port: str) -> str:
    return f"{scheme}://{at}" if ":" in at else f"{scheme}://{at}:{'1080' if scheme == 'socks5' else http_port}"
