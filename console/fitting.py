"""Tables as wide as the terminal: cells are folded between words, and what cannot be folded is told field by field."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

_NARROW = 20
"""A folded column is at least so wide: a sentence in less is a ladder of words."""
_GAP = "  "

Lines = Sequence[Sequence[str]]


def terminal_width() -> int | None:
    """Return how many columns the terminal on stdout has; None where lines go to a file or a program, which fold nothing."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def fitted(head: Sequence[str], body: Lines, width: int | None) -> str:
    """Return a table with its head that is not wider than `width`; None leaves each row on one line.

    >>> print(fitted(["WHAT", "DETAIL"], [["store", "runs: 12; free; nobody else writes"]], 29), end="")
    WHAT   DETAIL
    store  runs: 12; free; nobody
           else writes
    >>> print(fitted(["FILE", "SHA-256"], [["report.html", "0" * 24]], 29), end="")
    FILE     report.html
    SHA-256  000000000000000000000000
    """
    columns = list(zip(head, *body, strict=True))
    widths = [max(map(len, column)) for column in columns]
    if width is None or _total(widths) <= width:
        return "".join(_joined(line, widths) for line in (head, *body))
    least = [min(natural, max(_NARROW, *map(_longest_word, column))) for natural, column in zip(widths, columns, strict=True)]
    if _total(least) > width:
        return _by_field(head, body, width)
    while _total(widths) > width:  # the widest column that can still give way gives way
        spare = [(natural, at) for at, natural in enumerate(widths) if natural > least[at]]
        widths[max(spare)[1]] -= 1
    return "".join(_folded(line, widths) for line in (head, *body))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split()), default=0)


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"


def _wrapped(cell: str, width: int) -> list[str]:
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]


def _folded(cells: Sequence[str], widths: Sequence[int]) -> str:
    folded = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, folded))
    return "".join(_joined([cell[at] if at < len(cell) else "" for cell in folded], widths) for at in range(height))


def _by_field(head: Sequence[str], body: Lines, width: int) -> str:
    """Return each row as lines of name and value, empty values left out, a blank line between rows."""
    names = max(map(len, head))
    room = max(_NARROW, width - names - len(_GAP))
    return "\n".join(
        "".join(_folded([name, cell], [names, room]) for name, cell in zip(head, cells, strict=True) if cell) for cells in body
    )
