"""The `sources:` section of an inventory: where else hosts are known, each lying over the ones before it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias, cast

from inventory.copies import Keeping
from inventory.errors import Place, Problem, Text, UsageError
from inventory.fields import Fields, did_you_mean
from inventory.names import shown
from inventory.nodes import MapNode, Node, ScalarNode, Style
from inventory.sources.found import Source

Declare: TypeAlias = Callable[[Fields, str, Path], Source | None]
"""Makes a source of its declaration: its keys, the value behind its kind, the folder that relative paths start from."""

KINDS: Mapping[str, str] = {
    "ansible": "inventory.sources.ansible",
    "ssh_config": "inventory.sources.ssh_config",
    "csv": "inventory.sources.sheet",
    "netbox": "inventory.sources.netbox",
    "program": "inventory.sources.program",
}
"""Modules by the kind of source, imported when one is declared; each has a function `declare`."""

MAX_SOURCES = 100
_LIKE_A_KIND = re.compile(r"[A-Za-z_]{2,20}")
"""One letter is a drive."""
_WHERE = {"netbox": "https://NAME/"}
"""What stands behind the kind of a source where that is no path."""


def read_sources(items: Iterable[Node], problems: list[Problem]) -> list[Source]:
    """Return the declared sources in their order; mistakes are noted."""
    nodes = tuple(items)
    if len(nodes) > MAX_SOURCES:
        problems.append(Problem(place=nodes[MAX_SOURCES].place, text=Text("more than {limit} sources", limit=MAX_SOURCES)))
        return []
    return [source for node in nodes if (source := _source(node, problems, Path(node.place.file).parent)) is not None]


def _source(node: Node, problems: list[Problem], folder: Path) -> Source | None:
    fields = Fields(node, problems, Text("the source"))
    kinds = [kind for kind in KINDS if kind in (*fields.keys(),)]
    if len(kinds) != 1:
        if isinstance(node, MapNode):
            near = did_you_mean(next(iter(fields.keys()), ""), KINDS)
            text = Text("a source is exactly one of {kinds}", kinds=", ".join(KINDS))
            fields.problem(node.place, text, None if kinds else near)
        return None
    value = fields.text(kinds[0])
    if value is None:
        return None
    source = _declare(kinds[0])(fields, value, folder)
    fields.done()
    return source


def _declare(kind: str) -> Declare:
    return cast("Declare", importlib.import_module(KINDS[kind]).declare)


def source_named(text: str) -> Source | None:
    """Return the source that `KIND:PATH` on a command line means, None for the path of a file of ours; or raise UsageError.

    What is like a source and of no kind that there is may still be a file, if there is one of that name.

    >>> source_named("hosts.yaml") is None
    True
    """
    kind, colon, path = text.partition(":")
    if not colon or kind not in KINDS:
        if _LIKE_A_KIND.fullmatch(kind) and colon and not Path(text).expanduser().exists():
            told = Text("there is no file {path}, and {kind} is no kind of source", path=shown(text), kind=kind)
            raise UsageError(
                told, did_you_mean(kind, KINDS) or Text("a source is exactly one of {kinds}", kinds=", ".join(KINDS))
            )
        return None
    place = Place(f"--inventory {shown(text)}", 0, 0)
    problems: list[Problem] = []
    name, value = (ScalarNode(place, part, Style.PLAIN, part) for part in (kind, path))
    source = _source(MapNode(place, ((name, value),)), problems, Path.cwd()) if path else None
    if source is None:
        example = f"--inventory {kind}:{_WHERE.get(kind, 'PATH')}"
        problem = problems[0] if problems else None
        raise UsageError(
            problem.text if problem else Text("{option} needs a value", option=f"--inventory {kind}:"),
            (problem and problem.hint) or Text("write it as {example}", example=example),
        )
    return source


def path_from(text: str, folder: Path) -> Path:
    """Return the path that a declaration means: `~` is the user's home, a relative one starts beside the declaring file."""
    path = Path(text)
    return (folder / (path.expanduser() if text.startswith("~") else path)).absolute()


def keeping_of(fields: Fields, default: Keeping) -> Keeping:
    """Return how long copies are good: `fresh` and `stale` of a declaration."""
    fresh, stale = fields.duration("fresh"), fields.duration("stale")
    return Keeping(
        fresh=default.fresh if fresh is None else timedelta(seconds=fresh),
        stale=default.stale if stale is None else timedelta(seconds=stale),
    )
