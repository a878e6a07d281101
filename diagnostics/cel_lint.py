"""Lint of expressions: every path exists in the declared shapes, every type fits, every loop is bounded.

The engine answers `misspelt > 1 || true` with true: what is misspelt must therefore be found when a file is
loaded. Beside its verdict, lint returns which paths an expression reads, so that only these are handed to the
engine, and over which lists it loops, so that their sizes can be bounded before it runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from diagnostics.cel_syntax import BadSyntax, Tree
from diagnostics.functions import CONSTANTS, FUNCTIONS
from diagnostics.shapes import ANY, Shape, fields_of, type_of
from inventory.errors import Text

Path: TypeAlias = tuple[str, ...]
"""Names from a variable down; `[]` stands for every item of a list."""
NUMBERS = {"int", "float"}
MAX_LOOPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What lint found out about an expression."""

    gives: Shape
    """The shape of its value."""
    paths: tuple[Path, ...]
    """Every path that it reads, as deep as names are fixed."""
    loops: tuple[tuple[Path | int, ...], ...]
    """For each comprehension: the lists it and those around it go over, by path or by size."""
    functions: tuple[str, ...]
    constants: tuple[str, ...]
    plain: Path | None
    """The path, where the expression is nothing else."""


def lint(tree: Tree, shapes: Mapping[str, Shape]) -> Reading:
    """Return what an expression reads and gives, or raise BadSyntax at the first part that cannot be right."""
    linter = _Linter(shapes)
    gives = linter.shape(tree)
    return Reading(
        gives=gives,
        paths=tuple(dict.fromkeys(linter.paths)),
        loops=tuple(dict.fromkeys(linter.loops)),
        functions=tuple(dict.fromkeys(linter.functions)),
        constants=tuple(dict.fromkeys(linter.constants)),
        plain=plain_path(tree, shapes),
    )


def plain_path(tree: Tree, shapes: Mapping[str, Shape]) -> Path | None:
    """Return the path that a tree of names and members only is, None for any other tree."""
    if tree.kind == "name":
        return (tree.word,) if tree.word in shapes else None
    if tree.kind == "select" and (above := plain_path(tree.parts[0], shapes)):
        return (*above, tree.word)
    return None


def nearest(name: str, known: Iterable[str]) -> Text | None:
    """Return a hint with the closest known names, None where nothing is close and nothing is few enough to list."""
    names = sorted(map(str, known))
    if close := difflib.get_close_matches(name, names, n=2, cutoff=0.6):
        return Text("did you mean {names}?", names=" or ".join(close))
    return Text("there is {names}", names=", ".join(names)) if 0 < len(names) <= 12 else None


@dataclass
class _Linter:
    shapes: Mapping[str, Shape]
    paths: list[Path] = field(default_factory=list)
    loops: list[tuple[Path | int, ...]] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    bound: dict[str, tuple[Shape, Path | None]] = field(default_factory=dict)
    """Names bound by comprehensions: the shape and path of one item."""
    around: tuple[Path | int, ...] = ()

    def shape(self, tree: Tree, *, above: bool = False) -> Shape:
        """Return the shape of a part; `above`: a longer path is being read, this is not its end."""
        if tree.kind in ("name", "select", "index"):
            shape, path = getattr(self, f"_{tree.kind}")(tree)
            if path and not above:
                self.paths.append(path)
            return shape
        result: Shape = getattr(self, f"_{tree.kind}")(tree)
        return result

    def path(self, tree: Tree) -> Path | None:
        """Return the path of a part, None where it is not one."""
        if tree.kind == "name":
            return self.bound[tree.word][1] if tree.word in self.bound else (tree.word,)
        if tree.kind == "select":
            above = self.path(tree.parts[0])
            return (*above, tree.word) if above else None
        return None

    def _literal(self, tree: Tree) -> Shape:
        return tree.word

    def _name(self, tree: Tree) -> tuple[Shape, Path | None]:
        name = tree.word
        if name in self.bound:
            return self.bound[name]
        if name in self.shapes:
            return self.shapes[name], (name,)
        if name in CONSTANTS:
            self.constants.append(name)
            return "int", None
        known = [*self.shapes, *self.bound, *CONSTANTS]
        raise BadSyntax(tree.offset, Text("there is no “{name}” here", name=name), nearest(name, known))

    def _select(self, tree: Tree) -> tuple[Shape, Path | None]:
        above = self.shape(tree.parts[0], above=True)
        return self._below(tree, above, tree.word), self.path(tree)

    def _below(self, tree: Tree, above: Shape, name: str) -> Shape:
        kind, fields = type_of(above), fields_of(above)
        if kind == ANY:
            return ANY
        if kind != "map":
            hint = Text("list[0], list.exists(x, …), list.filter(x, …)") if kind == "list" else None
            raise BadSyntax(tree.offset, Text("{kind} has no members: “{name}”", kind=kind, name=name), hint)
        if name in fields or "*" in fields:
            return fields.get(name, fields.get("*"))
        raise BadSyntax(tree.offset, Text("“{name}” is not declared here", name=name), nearest(name, fields))

    def _index(self, tree: Tree) -> tuple[Shape, Path | None]:
        target, key = tree.parts
        above, by = self.shape(target), self.shape(key)
        kind, fields = type_of(above), fields_of(above)
        if kind == "list":
            self._fits(key, by, {"int"})
            return above[0], None
        if kind == "map":
            self._fits(key, by, {"str"})
            if key.kind == "literal":
                return self._below(key, above, key.value), None
            return fields.get("*", ANY), None
        if kind != ANY:
            raise BadSyntax(tree.offset, Text("{kind} cannot be indexed", kind=kind))
        return ANY, None

    def _list(self, tree: Tree) -> Shape:
        shapes = [self.shape(part) for part in tree.parts]
        return [shapes[0] if shapes and all(shape == shapes[0] for shape in shapes) else ANY]

    def _unary(self, tree: Tree) -> Shape:
        of = self.shape(tree.parts[0])
        self._fits(tree.parts[0], of, {"bool"} if tree.word == "!" else NUMBERS)
        return type_of(of)

    def _ternary(self, tree: Tree) -> Shape:
        asked, yes, no = (self.shape(part) for part in tree.parts)
        self._fits(tree.parts[0], asked, {"bool"})
        return yes if type_of(yes) == type_of(no) else ANY

    def _binary(self, tree: Tree) -> Shape:
        left, right = (self.shape(part) for part in tree.parts)
        kinds = type_of(left), type_of(right)
        if tree.word in ("&&", "||"):
            for part, shape in zip(tree.parts, (left, right), strict=True):
                self._fits(part, shape, {"bool"})
            return "bool"
        if tree.word == "in":
            return self._in(tree, left, right)
        if tree.word in ("==", "!="):
            self._same(tree, *kinds, also={"null"})
            return "bool"
        if tree.word in ("<", "<=", ">", ">="):
            self._same(tree, *kinds, never={"map", "list", "bool", "null"})
            return "bool"
        return self._arithmetic(tree, *kinds, left)

    def _in(self, tree: Tree, left: Shape, right: Shape) -> Shape:
        kind = type_of(right)
        self._fits(tree.parts[1], right, {"list", "map"})
        item = right[0] if kind == "list" else "str" if kind == "map" else ANY
        self._same(tree, type_of(left), type_of(item))
        return "bool"

    def _same(
        self, tree: Tree, left: str, right: str, *, also: Sequence[str] | set[str] = (), never: set[str] | None = None
    ) -> None:
        for kind in (left, right):
            if kind in (never or ()):
                raise BadSyntax(tree.offset, Text("{kind} cannot be compared with {mark}", kind=kind, mark=tree.word))
        if ANY in (left, right) or left == right or {left, right} <= NUMBERS or {left, right} & set(also):
            return
        raise BadSyntax(tree.offset, Text("{left} and {right} are never equal or in order", left=left, right=right))

    def _arithmetic(self, tree: Tree, left: str, right: str, shape: Shape) -> Shape:
        if ANY in (left, right):
            return ANY
        moments = {"time", "duration"}
        if {left, right} <= moments and tree.word in "+-":
            return "duration" if left == right else "time"
        if left == right and (left in NUMBERS or (tree.word == "+" and left in {"str", "list"})):
            if left == "float" and tree.word == "%":
                raise BadSyntax(tree.offset, Text("% is for whole numbers"))
            return shape if left == "list" else left
        hint = Text("convert one: double(x) or int(x)") if {left, right} <= NUMBERS else None
        raise BadSyntax(
            tree.offset, Text("“{mark}” does not go with {left} and {right}", mark=tree.word, left=left, right=right), hint
        )

    def _call(self, tree: Tree) -> Shape:
        if tree.word == "has" and not tree.method:
            return self._has(tree)
        function = FUNCTIONS.get(tree.word)
        if not function:
            raise BadSyntax(
                tree.offset, Text("there is no function “{name}”", name=tree.word), nearest(tree.word, [*FUNCTIONS, "has"])
            )
        if len(tree.parts) != len(function.takes) or function.method not in (None, tree.method):
            usage = f"x.{function.name}(…)" if function.method else f"{function.name}({', '.join(function.takes)})"
            raise BadSyntax(tree.offset, Text("{name} is called otherwise", name=tree.word), Text("{usage}", usage=usage))
        for part, kind in zip(tree.parts, function.takes, strict=True):
            self._fits(part, self.shape(part), {kind})
        self.functions.append(function.name)
        return function.gives

    def _has(self, tree: Tree) -> Shape:
        if len(tree.parts) != 1 or tree.parts[0].kind != "select":
            raise BadSyntax(tree.offset, Text("has takes one member"), Text("has(item.name)"))
        self.shape(tree.parts[0])
        return "bool"

    def _macro(self, tree: Tree) -> Shape:
        target, asked = tree.parts
        over = self.shape(target, above=True)
        self._fits(target, over, {"list"})
        item = over[0] if isinstance(over, Sequence) and not isinstance(over, str) else ANY
        path, name = self.path(target), tree.value
        if path is None and target.kind not in ("macro", "list"):
            raise BadSyntax(tree.offset, Text("{name} goes over a path, a list or another of its kind", name=tree.word))
        if name in self.bound or name in self.shapes or name in CONSTANTS:
            raise BadSyntax(tree.offset, Text("the name “{name}” has a meaning already", name=name), Text("choose another one"))
        around, bound = self.around, dict(self.bound)
        self.around = (*around, self._size(target))
        if len(self.around) > MAX_LOOPS:
            raise BadSyntax(tree.offset, Text("more than {limit} comprehensions inside each other", limit=MAX_LOOPS))
        self.loops.append(self.around)
        self.bound[name] = (item, (*path, "[]") if path else None)
        gives = self.shape(asked)
        self.around, self.bound = around, bound
        if path and not any(read[: len(path)] == path for read in self.paths):
            self.paths.append(path)  # its length is read, if nothing else
        if path and tree.word == "filter":
            self.paths.append((*path, "[]"))  # its items are handed on whole
        if tree.word == "map":
            return [gives]
        self._fits(asked, gives, {"bool"})
        return over if tree.word == "filter" else "bool"

    def _size(self, target: Tree) -> Path | int:
        """Return what bounds the number of items of a comprehension's list."""
        if (path := self.path(target)) is not None:
            return path
        return len(target.parts) if target.kind == "list" else self._size(target.parts[0])

    def _fits(self, tree: Tree, shape: Shape, kinds: set[str]) -> None:
        if (kind := type_of(shape)) not in {*kinds, ANY} and ANY not in kinds:
            wanted = " or ".join(sorted(kinds))
            raise BadSyntax(tree.offset, Text("{kind} where {wanted} is needed", kind=kind, wanted=wanted))
