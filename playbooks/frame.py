"""What the expressions, templates and scripts of one playbook see on one host, while it is planned or done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.expressions import Expression, Needs, Scope, Undecided
from diagnostics.shapes import Misfit, fit
from diagnostics.verdict import Reason, Why
from inventory.errors import Text
from inventory.host import Host
from playbooks.keys import Script
from playbooks.model import Parse, Playbook, Register, Step
from playbooks.params import ParamType, ParamValue, in_expressions
from playbooks.templates import TextTemplate

_ITEM = re.compile(r"\bitem\b", re.IGNORECASE)  # as PowerShell reads names
_PAIR = re.compile(r"\s*([^=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*")


class NotRead(ValueError):
    """An output that is not what the step's `register` says of it."""


class Frame:
    """The names of one playbook: `params`, `facts`, `host`, `results`, and `item` and `result` where they are."""

    def __init__(self, playbook: Playbook, params: Mapping[str, ParamValue], facts: dict[str, Any], host: Host) -> None:
        self.playbook, self.facts = playbook, facts
        self.results: dict[str, Any] = {}
        self.unsure: set[str] = set()
        """Names that results will have, or not, once a run has come to them: in a plan nothing is decided by these."""
        self._params = dict(in_expressions(playbook.params, params))
        self._secrets = {name: params[name] for name, one in playbook.params.items() if one.type is ParamType.SECRET}
        self.variables: dict[str, Any] = {"params": self._params, "facts": facts, "host": _seen(host), "results": self.results}
        self._scope = Scope(self.variables, Needs.of(expressions_of(playbook.steps)))

    def set(self, name: str, value: Any) -> None:
        """Give `item` or `result` a value, or say that `facts` or `results` have new ones."""
        self.variables[name] = value
        self._scope.set(name, value)

    def forget(self, name: str) -> None:
        """Take `item` or `result` away: what names it is undecided."""
        if name in self.variables:
            del self.variables[name]
            self._scope = Scope(self.variables, Needs.of(expressions_of(self.playbook.steps)))

    def keep(self, register: Register, seen: Any) -> None:
        """Keep a result under its name."""
        self.results[register.name] = seen
        self.unsure.discard(register.name)
        self.set("results", self.results)

    def holds(self, condition: Expression) -> bool:
        """Return whether a condition holds; raises Undecided."""
        self._refuse_unsure(condition)
        return condition.holds(self._scope)

    def evaluate(self, expression: Expression) -> Any:
        """Return an expression's value; raises Undecided."""
        self._refuse_unsure(expression)
        return expression.evaluate(self._scope)

    def _refuse_unsure(self, expression: Expression) -> None:
        for path in expression.reading.paths if self.unsure else ():
            if path[0] == "results" and path[1:2] and path[1] in self.unsure:
                raise Undecided(Why(reason=Reason.MISSING_VALUE, detail=f"results.{path[1]}"))

    def settled(self, step: Step) -> dict[str, Any]:
        """Return the values of a step with everything evaluated and rendered; raises Undecided and NotRendered."""
        return {key: self._settle(value) for key, value in step.values.items() if key != "changed"}

    def given(self, step: Step) -> dict[str, ParamValue]:
        """Return the parameters that an include gives; raises as `settled` does."""
        given = self.settled(step).get("params", {})
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

    def _settle(self, value: Any) -> Any:
        match value:
            case Expression():
                return self.evaluate(value)
            case TextTemplate():
                return value.rendered(self.variables)
            case Script():
                return value.text
            case dict():
                return {name: self._settle(below) for name, below in value.items()}
            case tuple():
                return tuple(self._settle(item) for item in value)
        return value

    def for_scripts(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the scripts of a step may have as variables: parameters, `item`, and its `vars` over these."""
        item = self.variables.get("item")
        whole = {} if item is None or isinstance(item, Mapping) else {"item": item}
        return {**self._params, **self._secrets, **whole, **values.get("vars", {})}


def names_item(step: Step) -> bool:
    """Tell whether the condition of a loop is asked for each item, not once before."""
    return step.loop is not None and step.when is not None and any(path[0] == "item" for path in step.when.reading.paths)


def mentions_item(step: Step) -> bool:
    """Tell whether anything of a step, but its loop, names `item`, or may: a word in a script or a text counts."""
    return any(map(_mentions_item, (step.when, step.until, *step.values.values())))


def _mentions_item(value: Any) -> bool:
    match value:
        case Expression():
            return any(path[0] == "item" for path in value.reading.paths)
        case TextTemplate() | Script():
            return _ITEM.search(value.text) is not None
        case Mapping():
            return any(map(_mentions_item, value.values()))
        case tuple():
            return any(map(_mentions_item, value))
    return False


def undone_by_item(steps: tuple[Step, ...], prefix: str = "") -> Iterator[str]:
    """Yield the keys of the loops whose items have to be known where what was done is to be undone."""
    for index, step in enumerate(steps, 1):
        key, inner = f"{prefix}s{index}", step.values.get("playbook")
        if step.loop is not None and (any(map(mentions_item, step.rollback)) or (inner is not None and mentions_item(step))):
            yield key
        if isinstance(inner, Playbook):
            yield from undone_by_item(inner.steps, f"{key}.")


def too_many(step: Step, count: int) -> Text:
    """Return why a loop is not begun."""
    return Text("the loop has {count} items, more than the step's “at_most” of {most}", count=count, most=step.at_most)


def expressions_of(steps: tuple[Step, ...]) -> Iterator[Expression]:
    """Yield every expression of steps and of what undoes them; those of an included playbook are its own frame's."""
    for step in steps:
        yield from step.expressions()
        yield from expressions_of(step.rollback)


def read_value(register: Register, stdout: bytes) -> Any:
    """Return what a step printed as its `register` says; raises NotRead."""
    text = stdout.decode("utf-8", "backslashreplace")
    match register.parse:
        case Parse.LINES:
            return text.splitlines()
        case Parse.KEYVALUE:
            pairs = [_PAIR.fullmatch(line) for line in text.splitlines() if line.strip()]
            if not all(pairs):
                raise NotRead("not lines of “name: value” or “name=value”")
            return _fitted({pair[1]: pair[2] for pair in pairs if pair}, register)
        case Parse.JSON:
            try:
                return _fitted(json.loads(text), register)
            except (ValueError, RecursionError) as error:
                raise NotRead(str(error)[:200]) from error
    return text.removesuffix("\n")


def _fitted(value: Any, register: Register) -> Any:
    try:
        return value if register.shape is None else fit(value, register.shape, "value")
    except Misfit as misfit:
        raise NotRead(str(misfit)) from misfit


def _seen(host: Host) -> dict[str, Any]:
    named = {"name": host.name, "platform": host.platform.value, "site": host.site, "customer": host.customer}
    return {
        **{key: value for key, value in named.items() if value is not None},
        "tags": list(host.tags),
        "groups": list(host.groups),
    }
