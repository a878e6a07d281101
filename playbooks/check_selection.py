"""The checks of a diagnostic playbook, with the thresholds that it sets for them."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostics.finding import Param
from diagnostics.library import Library
from inventory.documents import ListNode, MapNode, Node, ScalarNode
from inventory.errors import Problem, Text
from inventory.fields import Fields, did_you_mean


def read_checks(fields: Fields, library: Library | None, *, required: bool) -> dict[str, Mapping[str, Param]]:
    """Return the checks in their order, each with the thresholds that the playbook sets for it."""
    found: dict[str, Mapping[str, Param]] = {}
    node = fields.node("checks")
    if node is None and not required:
        return found
    if not isinstance(node, ListNode) or not node.items:
        hint = Text("checks: [fs-space, mem-low]")
        fields.problem(fields.place("checks"), Text("“checks” lists at least one check"), hint)
        return found
    for item in node.items:
        name, thresholds = _check(item, fields.problems, library)
        if name in found:
            fields.problem(item.place, Text("the check “{name}” is there twice", name=name))
        found[name] = thresholds
    return found


def _check(node: Node, problems: list[Problem], library: Library | None) -> tuple[str, Mapping[str, Param]]:
    if isinstance(node, MapNode):
        fields = Fields(node, problems, Text("a check of a playbook"))
        name = fields.text("check", required=True)
        thresholds = _thresholds(name, fields.fields("thresholds"), library)
        fields.done()
        place = fields.place("check")
    else:
        name, thresholds, place = node.text if isinstance(node, ScalarNode) else "", {}, node.place
    if library and name not in library.checks:
        hint = did_you_mean(name, library.checks)
        problems.append(Problem(place=place, text=Text("there is no check “{name}”", name=name), hint=hint))
    return name, thresholds


def _thresholds(check: str, fields: Fields, library: Library | None) -> dict[str, Param]:
    found: dict[str, Param] = {}
    for name in fields.keys():  # noqa: SIM118 Fields is no mapping
        node = fields.node(name)
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, str):
            value = fields.size(name)
        if value is None:
            continue
        rule = library.checks.get(check) if library else None
        accepted = rule.threshold(name, value) if rule else value
        if isinstance(accepted, Text):
            fields.problem(fields.place(name), accepted)
        else:
            found[name] = accepted
    return found
