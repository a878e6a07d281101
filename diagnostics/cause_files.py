"""Reading causes.yaml: rules compiled and verified against the checks that they speak of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diagnostics.causes import LOWEST_WEIGHT, CauseRule
from diagnostics.check import Check
from diagnostics.expressions import Expression, Needs, compile_expression
from diagnostics.facts import in_expressions
from diagnostics.probe import Probe
from diagnostics.shapes import ANY, Shape
from inventory.documents import ListNode, Node, ScalarNode, load_document
from inventory.errors import InvalidFile, Problem, Text
from inventory.fields import Fields, did_you_mean, is_empty


def load_causes(path: Path, checks: Mapping[str, Check], probes: Mapping[str, Probe]) -> tuple[CauseRule, ...]:
    """Return the rules of a file in its order, or raise InvalidFile with every mistake in it."""
    return read_causes(load_document(path), checks, probes)


def read_causes(node: Node, checks: Mapping[str, Check], probes: Mapping[str, Probe]) -> tuple[CauseRule, ...]:
    """Return the rules of a document: a list of mappings."""
    problems: list[Problem] = []
    if not isinstance(node, ListNode):
        if is_empty(node):
            return ()
        raise InvalidFile([Problem(place=node.place, text=Text("causes are a list of rules"))])
    rules = [_RuleReader(one, problems, checks, probes).read() for one in node.items]
    seen: dict[str, CauseRule] = {}
    for rule in rules:
        if rule.id in seen:
            problems.append(Problem(place=rule.place, text=Text("the rule “{id}” is there twice", id=rule.id)))
        seen[rule.id] = rule
    if problems:
        raise InvalidFile(problems)
    return tuple(rules)


class _RuleReader:
    def __init__(self, node: Node, problems: list[Problem], checks: Mapping[str, Check], probes: Mapping[str, Probe]) -> None:
        self.node, self.problems, self.checks, self.probes = node, problems, checks, probes
        self.fields = Fields(node, problems, Text("a cause rule"))

    def read(self) -> CauseRule:
        fields = self.fields
        rule_id = fields.text("rule", required=True)
        cause = self.known(fields.text("cause", required=True), "cause")
        effect = tuple(name for name in fields.texts("effect", required=True) if self.known(name, "effect"))
        shapes = self.shapes(cause, effect)
        when = self.expression(fields, "when", shapes)
        weight = self.weight(fields)
        boost = fields.fields("boost")
        boosted = self.expression(boost, "when", shapes)
        boost_weight = self.weight(boost) if boosted else 0.0
        boost.done()
        order = fields.one_of("order", ("events", "any")) or "events"
        text = fields.languages("text", required=True)
        fields.done()
        return CauseRule(
            id=rule_id,
            cause=cause,
            effect=effect,
            when=when,
            weight=weight,
            boost_when=boosted,
            boost_weight=boost_weight,
            by_events=order == "events",
            engine_needs=Needs.of(one for one in (when, boosted) if one),
            text=text,
            place=self.node.place,
        )

    def known(self, name: str, key: str) -> str:
        if name and name not in self.checks:
            hint = did_you_mean(name, self.checks)
            self.fields.problem(self.fields.place(key), Text("there is no check “{name}”", name=name), hint)
            return ""
        return name

    def weight(self, fields: Fields) -> float:
        weight = fields.number("weight", required=True)
        if fields.has("weight") and not LOWEST_WEIGHT <= weight <= 1:
            fields.problem(fields.place("weight"), Text("a weight lies between {lowest} and 1", lowest=LOWEST_WEIGHT))
        return weight

    def shapes(self, cause: str, effect: tuple[str, ...]) -> dict[str, Shape]:
        """Return the variables of a rule; of several effects only what all of them have."""
        checks = [self.checks[name] for name in (cause, *effect) if name]
        probes = dict.fromkeys(probe for check in checks for probe in check.needs)
        return {
            "cause": side_shape([self.checks[cause]] if cause else []),
            "effect": side_shape([self.checks[name] for name in effect]),
            "facts": {in_expressions(probe): self.probes[probe].shape for probe in probes},
        }

    def expression(self, fields: Fields, key: str, shapes: Mapping[str, Shape]) -> Expression | None:
        node = fields.node(key)
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            fields.problem(node.place, Text("an expression is needed here"))
            return None
        try:
            return compile_expression(node, shapes=shapes, wants=("bool",))
        except InvalidFile as error:
            self.problems += error.problems
            return None


def side_shape(checks: list[Check]) -> dict[str, Shape]:
    """Return what a rule may read of a finding of any of these checks."""
    return {"subject": _common([check.subject for check in checks]), "params": _common([check.params for check in checks])} | {
        "severity": "str"
    }


def _common(all_named: list[Mapping[str, Expression]]) -> dict[str, Shape]:
    if not all_named:
        return {"*": ANY}  # the checks are unknown, which is a mistake of its own
    names = [name for name in all_named[0] if all(name in named for named in all_named)]
    shapes = {name: [named[name].shape for named in all_named] for name in names}
    return {name: found[0] if all(shape == found[0] for shape in found) else ANY for name, found in shapes.items()}
