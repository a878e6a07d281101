"""How far a changing run may spread: the waves it goes in, and how many hosts may end badly before it stops."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from inventory.errors import Text, UsageError
from inventory.host import Host
from runner.outcome import Outcome

REST: Final = "rest"
BAD: Final = frozenset({Outcome.FAILED, Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.TIMED_OUT, Outcome.UNKNOWN})
"""Outcomes that count against a limit: what was not seen to end well. A host that somebody holds does not: it was spared."""
_SHARE: Final = re.compile(r"([0-9]{1,6})(%?)")


def batch_of(text: str) -> tuple[str, ...]:
    """Return the sizes of waves as they are written, or raise UsageError.

    >>> batch_of("1, 10%, rest")
    ('1', '10%', 'rest')
    """
    sizes = tuple(part.strip() for part in text.split(","))
    for place, size in enumerate(sizes, start=1):
        if not (size == REST and place == len(sizes)) and not _share(size):
            hint = Text("numbers of hosts, or shares of all of them: {example}", example="1,10%,rest")
            raise UsageError(Text("“{size}” is no size of a wave", size=size), hint)
    return sizes


def limit_of(text: str) -> str:
    """Return how many hosts may end badly, as it is written, or raise UsageError.

    >>> limit_of("5%"), limit_of("0")
    ('5%', '0')
    """
    if text != "0" and not _share(text):
        text_ = Text("“{size}” is neither a number of hosts nor a share of all of them", size=text)
        raise UsageError(text_, Text("write {example}", example="3, 5%"))
    return text


def wave_sizes(batch: Sequence[str], total: int) -> tuple[int, ...]:
    """Return how many hosts each wave has: shares are of all, rounded up; the last size is repeated; none: one wave.

    >>> wave_sizes(("1", "10%", "rest"), 25), wave_sizes(("10",), 25), wave_sizes((), 25)
    ((1, 3, 21), (10, 10, 5), (25,))
    """
    sizes: list[int] = []
    asked = list(batch) or [REST]
    while (left := total - sum(sizes)) > 0:
        size = asked[min(len(sizes), len(asked) - 1)]
        number, percent = _share(size) or (left, False)
        sizes.append(min(left, -(-total * number // 100) if percent else number))
    return tuple(sizes)


def allowed(limit: str | None, total: int) -> int | None:
    """Return how many hosts may end badly before no further one begins; a share is rounded down; None: any number.

    >>> allowed("3", 50), allowed("10%", 55), allowed("0", 50), allowed(None, 50)
    (3, 5, 0, None)
    """
    if limit is None or limit == "0":
        return None if limit is None else 0
    share = _share(limit)
    assert share is not None
    number, percent = share
    return total * number // 100 if percent else number


def in_waves(
    hosts: Sequence[Host], positions: Mapping[str, int], batch: Sequence[str], total: int
) -> tuple[tuple[Host, ...], ...]:
    """Return hosts in the waves that their positions among all hosts of the run put them in; none is empty."""
    waves, first = [], 0
    for size in wave_sizes(batch, total):
        waves.append(tuple(host for host in hosts if first <= positions[host.name] < first + size))
        first += size
    return tuple(filter(None, waves))


def _share(text: str) -> tuple[int, bool] | None:
    """Return a number and whether it is one of percent; None for anything else."""
    match = _SHARE.fullmatch(text)
    if match is None or not int(match[1]) or (match[2] and int(match[1]) > 100):
        return None
    return int(match[1]), bool(match[2])
