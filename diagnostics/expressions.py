"""Expressions: CEL compiled once with its place in the YAML, evaluated three-valued (true, false, undecided).

An expression that is only a path (`item.mount`) is followed here; every other one goes to the engine, which is
given nothing but the paths that the expressions of its scope read (handing over the facts of 200 services whole
costs 6 ms, one name of each 0.3 ms; measured).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from diagnostics.cel_engine import FAILURES, complaint, engine
from diagnostics.cel_lint import Path, Reading, lint
from diagnostics.cel_syntax import BadSyntax, read_expression
from diagnostics.functions import CONSTANTS, FUNCTIONS
from diagnostics.shapes import ANY, Shape, type_of
from diagnostics.verdict import Reason, Why
from inventory.documents import ScalarNode
from inventory.errors import InvalidFile, Place, Problem, Text

MAX_ITEMS = 1000
MAX_PAIRS = 10_000
_NOWHERE = Place("expression", 1, 1)


class Undecided(Exception):
    """An expression that can be neither true nor false here: a value that it needs is missing, or it failed."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(f"{why.reason}: {why.detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A compiled expression: pure, the same for every host."""

    text: str
    place: Place
    reading: Reading

    @property
    def shape(self) -> Shape:
        """Return the shape of its value, as far as lint can tell."""
        return self.reading.gives

    def evaluate(self, scope: Scope) -> Any:
        """Return the value in `scope`, or raise Undecided with the path that was missing."""
        if self.reading.plain is not None:
            return scope.follow(self.reading.plain)
        scope.bound(self.reading.loops)
        try:
            value = _compiled(self.text).execute(scope.context())
        except FAILURES as error:
            raise Undecided(self._why(error, scope)) from None
        return _plain(value)

    def holds(self, scope: Scope) -> bool:
        """Return whether a condition holds in `scope`; a value that is no bool is Undecided."""
        value = self.evaluate(scope)
        if type(value) is not bool:
            detail = f"{self.text}: {type(value).__name__} is neither true nor false"
            raise Undecided(Why(reason=Reason.NOT_EVALUATED, detail=detail))
        return value

    def _why(self, error: Exception, scope: Scope) -> Why:
        if isinstance(error, KeyError):
            key = str(error.args[0]) if error.args else ""
            whole = [path for path in self.reading.paths if path[-1] == key]
            candidates = whole or [path[: path.index(key) + 1] for path in self.reading.paths if key in path]
            missing = next((path for path in candidates if "[]" not in path and not scope.has(path)), None)
            path = missing or next(iter(candidates), (key,))
            return Why(reason=Reason.MISSING_VALUE, detail=shown(path))
        return Why(reason=Reason.NOT_EVALUATED, detail=f"{self.text}: {str(error).splitlines()[0][:200]}")


def shown(path: Path) -> str:
    """Return a path as a person writes it.

    >>> shown(("facts", "fs_stat", "mounts", "[]", "used"))
    'facts.fs_stat.mounts[].used'
    """
    return ".".join(path).replace(".[]", "[]")


def compile_expression(
    source: ScalarNode | str, *, shapes: Mapping[str, Shape], wants: Iterable[str] = (), place: Place = _NOWHERE
) -> Expression:
    """Return a compiled expression, or raise InvalidFile with the place of the first mistake inside the YAML.

    `shapes` are the variables there are; `wants` the types that the value may have (all, where empty).
    """
    text = source if isinstance(source, str) else source.text
    try:
        reading = lint(read_expression(text), shapes)
        _check_type(type_of(reading.gives), tuple(wants))
        _compiled(text)
    except BadSyntax as bad:
        where = place if isinstance(source, str) else source.at(bad.offset)
        raise InvalidFile([Problem(place=where, text=bad.text, hint=bad.hint)]) from None
    return Expression(text=text, place=place if isinstance(source, str) else source.place, reading=reading)


def _check_type(kind: str, wanted: tuple[str, ...]) -> None:
    if wanted and kind not in (*wanted, ANY):
        raise BadSyntax(0, Text("{kind} where {wanted} is needed", kind=kind, wanted=" or ".join(wanted)))


@functools.cache
def _compiled(text: str) -> Any:
    """Return the engine's program, or raise BadSyntax; compiled once, and no part of the expression, which is kept on disk."""
    try:
        return engine().compile(text)
    except FAILURES as error:
        offset, words = complaint(error, text)
        raise BadSyntax(offset, Text("the expression is not understood: {words}", words=words)) from None


Plan: TypeAlias = "Mapping[str, Plan] | None"
"""The part of a value that is read: names (`[]` for every item of a list), None where all of it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What several expressions together need from the engine's context."""

    plans: Mapping[str, Plan] = field(default_factory=dict, hash=False)
    """By variable."""
    functions: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()

    @staticmethod
    def of(expressions: Iterable[Expression]) -> Needs:
        """Return what these expressions need, those that are only paths left out."""
        readings = [expression.reading for expression in expressions if expression.reading.plain is None]
        return Needs(
            plans=dict(plan_of([path for reading in readings for path in reading.paths]) or {}),
            functions=tuple(dict.fromkeys(name for reading in readings for name in reading.functions)),
            constants=tuple(dict.fromkeys(name for reading in readings for name in reading.constants)),
        )


class Scope:
    """The variables of one check on one host; converted for the engine once, and again only where one changes."""

    def __init__(self, variables: Mapping[str, Any], needs: Needs) -> None:
        self._variables, self._needs = dict(variables), needs
        self._context: Any = None
        self._stale: dict[str, None] = {}
        self._sizes: dict[Path, int] = {}

    def set(self, name: str, value: Any) -> None:
        """Give a variable another value, such as `item`."""
        self._variables[name] = value
        if name in self._needs.plans:
            self._stale[name] = None
        if self._sizes:
            self._sizes = {path: size for path, size in self._sizes.items() if path[0] != name}

    def follow(self, path: Path) -> Any:
        """Return the value at a path, or raise Undecided naming it."""
        value: Any = self._variables
        for name in path:
            if not isinstance(value, Mapping) or name not in value:
                raise Undecided(Why(reason=Reason.MISSING_VALUE, detail=shown(path)))
            value = value[name]
        return value

    def has(self, path: Path) -> bool:
        """Tell whether there is a value at a path."""
        try:
            self.follow(path)
        except Undecided:
            return False
        return True

    def context(self) -> Any:
        """Return the engine's context, holding what the expressions of this scope need."""
        try:
            if self._context is None:
                self._context = self._converted()
            else:
                for name in self._stale:
                    self._context.add_variable(name, pruned(self._variables[name], self._needs.plans[name]))
        except FAILURES as error:
            self._context = None
            raise Undecided(Why(reason=Reason.NOT_EVALUATED, detail=str(error)[:200])) from None
        self._stale.clear()
        return self._context

    def _converted(self) -> Any:
        variables = {name: pruned(self._variables.get(name, {}), plan) for name, plan in self._needs.plans.items()}
        constants = {name: CONSTANTS[name] for name in self._needs.constants}
        ours = {name: run for name in self._needs.functions if (run := FUNCTIONS[name].run)}
        return engine().Context(constants | variables, ours)

    def bound(self, loops: Iterable[tuple[Path | int, ...]]) -> None:
        """Raise Undecided where comprehensions would go over too many items or pairs."""
        for around in loops:
            pairs = 1
            for over in around:
                size = over if isinstance(over, int) else self._size(over)
                pairs *= max(size, 1)
                if size > MAX_ITEMS or pairs > MAX_PAIRS:
                    detail = f"{size} items, {pairs} pairs: at most {MAX_ITEMS} and {MAX_PAIRS}"
                    raise Undecided(Why(reason=Reason.NOT_EVALUATED, detail=detail))

    def _size(self, path: Path) -> int:
        if path not in self._sizes:
            self._sizes[path] = longest(self._variables, path)
        return self._sizes[path]


def longest(value: Any, path: Path) -> int:
    """Return the length of the longest list at a path, 0 where there is none.

    >>> longest({"a": [{"b": [1]}, {"b": [1, 2]}]}, ("a", "[]", "b"))
    2
    """
    for index, name in enumerate(path):
        if name == "[]":
            return (
                max((longest(item, path[index + 1 :]) for item in value), default=0) if isinstance(value, list | tuple) else 0
            )
        if not isinstance(value, Mapping) or name not in value:
            return 0
        value = value[name]
    return len(value) if isinstance(value, list | tuple) else 0


def plan_of(paths: Iterable[Path]) -> Plan:
    """Return what several paths together read.

    >>> plan_of([("a", "[]", "b"), ("a", "[]", "c"), ("d",), ("d", "e")])
    {'a': {'[]': {'b': None, 'c': None}}, 'd': None}
    """
    wanted: dict[str, list[Path]] = {}
    for path in paths:
        if not path:
            return None
        wanted.setdefault(path[0], []).append(path[1:])
    return {name: plan_of(below) for name, below in wanted.items()}


def pruned(value: Any, plan: Plan) -> Any:
    """Return the part of `value` that a plan reads; what is absent stays absent.

    >>> pruned({"a": [{"b": 1, "c": 2}], "d": 3}, {"a": {"[]": {"b": None}}})
    {'a': [{'b': 1}]}
    """
    if plan is None:
        return value
    if isinstance(value, dict):
        return {
            name: value[name] if below is None else pruned(value[name], below) for name, below in plan.items() if name in value
        }
    if isinstance(value, list | tuple) and "[]" in plan:
        items = plan["[]"]
        return [pruned(item, items) for item in value]
    return value


def _plain(value: Any) -> Any:
    """Return the engine's value as a fact: moments and lengths of time as seconds."""
    if isinstance(value, datetime):
        return value.timestamp()
    return value.total_seconds() if isinstance(value, timedelta) else value
