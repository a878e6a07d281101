"""The one YAML loader: libyaml's events made into nodes that know where they stand.

Scalars follow the core schema of YAML 1.2 (`no` and `22:22` are text, `010` is ten), so a file
means what it shows. What YAML allows but no file of ours needs is refused with its place and a
hint: duplicate keys, tags, merge keys, several documents, keys that are not text, cycles, alias
bombs, a flow mapping that a comma inside an unquoted text tore apart.

>>> node = parse_document(b"host: web1  # no comment\\nports: [80, 443]\\n", "example.yaml")
>>> plain(node)["ports"]
(80, 443)
>>> str(node.entries[1][1].place)
'example.yaml:2:8'
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, Style, plain
from inventory.yaml_builder import MAX_NODES, Builder
from inventory.yaml_syntax import forbidden_character

__all__ = [
    "FOREIGN",
    "MAX_BYTES",
    "Limits",
    "ListNode",
    "MapNode",
    "Node",
    "ScalarNode",
    "Style",
    "load_document",
    "parse_document",
    "plain",
    "read_guarded",
]

MiB = 1024 * 1024
MAX_BYTES = 4 * MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How big a document may be."""

    bytes: int = MAX_BYTES
    nodes: int = MAX_NODES


OWN = Limits()
"""For what a person writes for longarm: it can be split into several files."""
FOREIGN = Limits(bytes=64 * MiB, nodes=5_000_000)
"""For what others wrote or a program prints: 100,000 hosts in one piece."""


def load_document(path: Path) -> Node:
    """Return the one document of a file, or raise InvalidFile; a file that anyone may write is refused (T17)."""
    return parse_document(read_guarded(path), str(path))


def read_guarded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return what is in a regular file that not everyone may write, at most a byte more than `limit`.

    Raises InvalidFile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would hold us
        try:
            mode = os.fstat(descriptor).st_mode  # of what was opened, which nobody can exchange any more
            if not stat.S_ISREG(mode):
                _refuse(path, Text("is not a regular file"))
            if os.name == "posix" and mode & stat.S_IWOTH:
                _refuse(path, Text("everyone on this machine may write this file"), Text("chmod o-w {path}", path=path))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        _refuse(path, Text("cannot be read: {reason}", reason=getattr(error, "strerror", None) or str(error)))


def _refuse(path: Path, text: Text, hint: Text | None = None) -> NoReturn:
    raise InvalidFile([Problem(place=Place(str(path), 1, 1), text=text, hint=hint)])


def parse_document(data: bytes, file: str, limits: Limits = OWN) -> Node:
    """Return the one document in `data`; `file` is the name that places carry. Raises InvalidFile, nothing else."""
    return Builder(decoded(data, file, limits), file, limits.nodes).build()


def decoded(data: bytes, file: str, limits: Limits) -> str:
    """Return the text of a file that is UTF-8, within its limits and without characters that deceive; or raise InvalidFile."""
    problem: tuple[Place, Text, Text | None] | None = None
    if len(data) > limits.bytes:
        text = Text("the file is bigger than {limit} MiB", limit=limits.bytes // MiB)
        problem = Place(file, 1, 1), text, Text("split it into several files")
    else:
        try:
            text_of = data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            place = _place_at(file, data[: error.start].decode("utf-8", "replace"))
            problem = place, Text("the file is not UTF-8 text"), Text("save it in the encoding UTF-8")
        else:
            problem = _text_problem(text_of, file, limits)
            if problem is None:
                return text_of
    raise InvalidFile([Problem(place=problem[0], text=problem[1], hint=problem[2])])


def _text_problem(text: str, file: str, limits: Limits) -> tuple[Place, Text, Text | None] | None:
    if found := forbidden_character(text):
        offset, what, hint = found
        return _place_at(file, text[:offset]), what, hint
    separators = sum(text.count(separator) for separator in (",", "\n", ": ", "- ", "[", "{"))
    if separators > limits.nodes:  # each node is begun by one of these: a quick look before the slow walk
        return (
            Place(file, 1, 1),
            Text("more than {limit} values in one file", limit=limits.nodes),
            Text("split it into several files"),
        )
    return None


def _place_at(file: str, before: str) -> Place:
    lines = re.split("\r\n|\r|\n", before)
    return Place(file, len(lines), len(lines[-1]) + 1)
