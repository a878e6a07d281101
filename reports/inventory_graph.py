"""An inventory drawn: groups inside groups, hosts inside them, as text and as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from inventory.inventory import Inventory
from reports.visible import visible

MAX_DRAWN = 20_000
"""So many lines has a drawing at most; what a group has beyond them is counted."""
_LINE, _INDENT, _LETTER = 22, 24, 8  # pixels: height of a line, width of a level, width of a letter at 14 px


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One line of the drawing."""

    depth: int
    name: str
    hosts: int | None
    """How many hosts a group has, those of inner groups included; None for a host."""
    via: str | None
    """The host that a host is reached through."""
    last: tuple[bool, ...]
    """For each level down to this line, whether nothing follows on it."""


def drawn(inventory: Inventory, chosen: Sequence[str], *, groups_only: bool = False) -> tuple[Drawn, ...]:
    """Return the lines that draw some hosts: outermost groups first, each with its own hosts, then hosts of no group."""
    return tuple(_walk(inventory, set(chosen), groups_only))


def _walk(inventory: Inventory, chosen: set[str], groups_only: bool) -> Iterator[Drawn]:
    members = {name: [host for host in group.hosts if host in chosen] for name, group in inventory.groups.items()}
    inner = {name: [child for child in group.groups if members[child]] for name, group in inventory.groups.items()}
    inside = {child for children in inner.values() for child in children}
    grouped = {host for hosts in members.values() for host in hosts}
    top = [(name, True) for name in members if members[name] and name not in inside]
    if not groups_only:
        top += [(name, False) for name in inventory.hosts if name in chosen and name not in grouped]
    stack: list[tuple[str, bool, tuple[bool, ...]]]
    stack = [(name, group, (position == 0,)) for position, (name, group) in enumerate(reversed(top))]
    left = MAX_DRAWN
    while stack and left:
        name, group, last = stack.pop()
        left -= 1
        via = None if group else inventory.hosts[name].via
        count = len(members[name]) if group else None
        yield Drawn(depth=len(last) - 1, name=name, hosts=count, via=via.name if via else None, last=last)
        if not group:
            continue
        below = {host for child in inner[name] for host in members[child]}
        rows = [(child, True) for child in inner[name]]
        if not groups_only:
            rows += [(host, False) for host in members[name] if host not in below]
        stack += [(row, kind, (*last, position == 0)) for position, (row, kind) in enumerate(reversed(rows))]


def as_text(lines: Sequence[Drawn]) -> str:
    """Return the drawing as text."""
    return "".join(f"{_branches(line)}{_label(line)}\n" for line in lines)


def _branches(line: Drawn) -> str:
    if not line.depth:
        return ""
    passed = "".join("   " if last else "│  " for last in line.last[1:-1])
    return passed + ("└─ " if line.last[-1] else "├─ ")


def _label(line: Drawn) -> str:
    name = visible(line.name)
    if line.hosts is not None:
        return f"[{name}] {line.hosts}"
    return f"{name} ← {visible(line.via)}" if line.via else name


def as_svg(lines: Sequence[Drawn]) -> str:
    """Return the drawing as an SVG that stands alone: no script, nothing loaded, readable in the dark."""
    width = max((_INDENT * line.depth + _LETTER * (len(_label(line)) + 4) for line in lines), default=0) + 16
    height = _LINE * len(lines) + 16
    body = "".join(_row(number, line) for number, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        "<style>text{font:14px monospace;fill:#1b1f24}.g{font-weight:bold}path{stroke:#8c959f;fill:none}"
        "@media (prefers-color-scheme:dark){text{fill:#e6edf3}}</style>"
        f"{body}</svg>\n"
    )


def _row(number: int, line: Drawn) -> str:
    x, y = 8 + _INDENT * line.depth, 8 + _LINE * number + 15
    kind = "" if line.hosts is None else ' class="g"'
    branch = f'<path d="M{x - 16} {y - _LINE + 4}V{y - 5}H{x - 4}"/>' if line.depth else ""
    return f'{branch}<text{kind} x="{x}" y="{y}">{escape(_label(line))}</text>'
