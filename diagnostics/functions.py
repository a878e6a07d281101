"""The functions of expressions: one table, with types for lint and a line of documentation for each."""

from __future__ import annotations

import fnmatch
import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

KB, MB, GB, TB = (1000**power for power in range(1, 5))
KiB, MiB, GiB, TiB = (1024**power for power in range(1, 5))
CONSTANTS = {"KB": KB, "MB": MB, "GB": GB, "TB": TB, "KiB": KiB, "MiB": MiB, "GiB": GiB, "TiB": TiB}
"""Sizes in bytes, as integers."""

_VERSION = re.compile(r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Function:
    """One function that an expression may call; `run` is None where the engine has it."""

    name: str
    takes: tuple[str, ...]
    gives: str
    says: str
    method: bool | None = False
    """True: called as `text.name(…)`, the first of `takes` before the dot; None: either way."""
    run: Callable[..., object] | None = None


def semver(left: str, right: str) -> int:
    """Return -1, 0 or 1 as `left` is older than, the same as or newer than `right` (Semantic Versioning 2.0.0, 11).

    Missing parts count as 0 and a leading `v` is allowed; ValueError for anything that is no version.

    >>> semver("1.10.0", "1.9"), semver("2.0.0-rc.1", "2.0.0"), semver("v1.2.3+build", "1.2.3")
    (1, -1, 0)
    """
    first, second = _precedence(left), _precedence(right)
    return (first > second) - (first < second)


def _precedence(text: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    if not (match := _VERSION.fullmatch(text)):
        raise ValueError(f"not a version: {text[:60]}")
    numbers = tuple(int(part or 0) for part in match.groups()[:3])
    pre = tuple((False, int(part), "") if part.isdecimal() else (True, 0, part) for part in (match[4] or "").split(".") if part)
    return numbers, not pre, pre


def cidr(address: str, network: str) -> bool:
    """Tell whether an IP address lies in a network; ValueError where either cannot be read.

    >>> cidr("10.1.2.3", "10.0.0.0/8"), cidr("fe80::1", "10.0.0.0/8")
    (True, False)
    """
    inside, outside = ipaddress.ip_address(address), ipaddress.ip_network(network, strict=False)
    return inside.version == outside.version and inside in outside


def glob(text: str, pattern: str) -> bool:
    """Tell whether all of `text` matches a shell pattern (`*`, `?`, `[abc]`), case counts.

    >>> glob("getty@tty1.service", "getty@*"), glob("x", "X")
    (True, False)
    """
    return _pattern(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


FUNCTIONS = {
    function.name: function
    for function in (
        Function("size", ("any",), "int", "items of a list, names of a mapping, bytes of a text", method=None),
        Function("contains", ("str", "str"), "bool", "the text holds the other", method=True),
        Function("startsWith", ("str", "str"), "bool", "the text begins with the other", method=True),
        Function("endsWith", ("str", "str"), "bool", "the text ends with the other", method=True),
        Function("matches", ("str", "str"), "bool", "the regular expression (RE2) is found in the text", method=True),
        Function("int", ("any",), "int", "as a whole number"),
        Function("double", ("any",), "float", "as a floating-point number"),
        Function("string", ("any",), "str", "as text"),
        Function("duration", ("str",), "duration", 'a length of time, `duration("90m")`'),
        Function("timestamp", ("any",), "time", 'a moment, `timestamp("2026-01-31T00:00:00Z")`'),
        Function("semver", ("str", "str"), "int", "-1, 0 or 1: the first version is older, the same, newer", run=semver),
        Function("cidr", ("str", "str"), "bool", "the IP address lies in the network", run=cidr),
        Function("glob", ("str", "str"), "bool", "all of the text matches the shell pattern", run=glob),
    )
}
"""Every function there is; any other name is refused when an expression is loaded."""
