"""Groups while they are read: declared in several places, nested, referring to each other; and the order they form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.names import shown
from inventory.settings import Layer

MAX_OUTER = 100
_MOST_RINGS = 100
_RING_SHOWN = 20


@dataclass(slots=True)
class GroupDraft:
    """A group as far as it has been read."""

    name: str
    place: Place
    layer: Layer = field(default_factory=Layer)
    members: list[tuple[str, Place]] = field(default_factory=list)
    """Hosts that are listed in it by name."""
    children: dict[str, Place] = field(default_factory=dict)
    found: bool = False
    """True: another source has it, under a name that nobody has to change for us."""


def cycles(groups: Mapping[str, GroupDraft]) -> list[Problem]:
    """Return a problem for each cycle of groups, the first hundred of them; without recursion, however deep they nest."""
    problems, done = [], set()
    for start in groups:
        path: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.popitem()
                done.add(name)
            elif name in path:
                ring = [*list(path)[list(path).index(name) :], name]
                text = Text("these groups are inside each other: {ring}", ring=shown_ring(ring))
                problems.append(Problem(place=groups[ring[-2]].children[name], text=text, hint=Text("take one of them out")))
                if len(problems) >= _MOST_RINGS:  # groups that are all inside each other make one for each pair
                    return problems
            elif name not in done:
                path[name] = None
                stack.append((name, True))
                stack += [(child, False) for child in reversed(groups[name].children)]
    return problems


def shown_ring(names: Sequence[str]) -> str:
    """Return names that lead in a ring, in one line; of a long one the ends."""
    shortened = names if len(names) <= _RING_SHOWN else [*names[: _RING_SHOWN // 2], "…", *names[-_RING_SHOWN // 2 :]]
    return " → ".join(map(shown, shortened))


def above(groups: Mapping[str, GroupDraft]) -> dict[str, frozenset[str]]:
    """Return for each group all the groups that it is inside of; outer groups come first.

    There must be no cycle. Raises InvalidFile where groups nest absurdly deep.
    """
    parents: dict[str, list[str]] = {name: [] for name in groups}
    for name, group in groups.items():
        for child in group.children:
            parents[child].append(name)
    found: dict[str, frozenset[str]] = {}
    for start in groups:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [parent for parent in parents[name] if parent not in found]
            if waiting:
                stack += waiting
                continue
            stack.pop()
            found[name] = frozenset(parents[name]).union(*(found[parent] for parent in parents[name]))
            if len(found[name]) > MAX_OUTER:
                text = Text("the group {name} is inside more than {limit} others", name=name, limit=MAX_OUTER)
                raise InvalidFile([Problem(place=groups[name].place, text=text)])
    return found


def with_outer(direct: Iterable[str], outer: Mapping[str, frozenset[str]], order: Mapping[str, int]) -> tuple[str, ...]:
    """Return groups and all that they are inside of, in the order given: outer ones first."""
    return tuple(sorted({name for group in direct for name in (group, *outer[group])}, key=order.__getitem__))
