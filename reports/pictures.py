"""Geometry for the two pictures of a report: the coverage bar and the host × check strips; text only, no drawing library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

WIDTH: Final = 1000
_NARROWEST: Final = 8  # one host among thousands is still seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A rectangle of a bar: what it stands for, how many, from where, how wide (of 1000)."""

    kind: str
    count: int
    label: str
    x: int
    width: int


def bar(parts: Iterable[tuple[str, int, str]]) -> tuple[Piece, ...]:
    """Return the rectangles of a stacked bar from (kind, count, label); whatever is not zero is seen.

    >>> [(piece.x, piece.width) for piece in bar([("clear", 1, ""), ("unseen", 999, ""), ("info", 0, "")])]
    [(0, 8), (8, 992)]
    """
    present = [(kind, count, label) for kind, count, label in parts if count]
    total = sum(count for _, count, _ in present)
    widths = [max(_NARROWEST, round(WIDTH * count / total)) for _, count, _ in present]
    if widths:
        widest = widths.index(max(widths))
        widths[widest] += WIDTH - sum(widths)
    pieces, x = [], 0
    for (kind, count, label), width in zip(present, widths, strict=True):
        pieces.append(Piece(kind=kind, count=count, label=label, x=x, width=width))
        x += width
    return tuple(pieces)


def strip(kinds: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return one SVG path for each kind, covering its cells of a strip 1000 wide and 10 high.

    >>> strip(["clear", "clear", "warning", "clear"])
    (('clear', 'M0 0h500v10h-500zM750 0h250v10h-250z'), ('warning', 'M500 0h250v10h-250z'))
    """
    paths: dict[str, list[str]] = {}
    start = 0
    for kind, cells in groupby(kinds):
        end = start + sum(1 for _ in cells)
        left, right = round(WIDTH * start / len(kinds), 1), round(WIDTH * end / len(kinds), 1)
        paths.setdefault(kind, []).append(f"M{left:g} 0h{right - left:.4g}v10h-{right - left:.4g}z")
        start = end
    return tuple((kind, "".join(path)) for kind, path in paths.items())
