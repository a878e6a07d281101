"""Reading playbooks of the diagnostic kind: a named selection of checks, with the thresholds that it sets for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from diagnostics.finding import Param
from diagnostics.library import Library
from inventory.documents import ListNode, MapNode, Node, ScalarNode, parse_document, read_guarded
from inventory.errors import InvalidFile, Problem, Text, UsageError
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform
from playbooks.model import Kind, Maintenance, Playbook, Tier

SHIPPED = Path(__file__).parent / "library"
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class UnknownPlaybook(UsageError):
    """A playbook was asked for that is neither shipped nor among the given files."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(Text("there is no playbook “{name}”", name=name), did_you_mean(name, known))


def find_playbook(name: str, extra: Sequence[Path] = (), library: Library | None = None) -> Playbook:
    """Return a playbook by name, the given files before the shipped ones; raise UnknownPlaybook with the nearest names."""
    given = {playbook.id: playbook for playbook in (load_playbook(path, library) for path in extra)}
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    if name in given:
        return given[name]
    if name not in shipped:
        raise UnknownPlaybook(name, [*given, *shipped])
    return load_playbook(shipped[name], library)


def shipped_playbooks(library: Library | None = None) -> tuple[Playbook, ...]:
    """Return the playbooks that come with longarm, by name."""
    return tuple(load_playbook(path, library) for path in sorted(SHIPPED.glob("*.yaml")))


def load_playbook(path: Path, library: Library | None = None) -> Playbook:
    """Return the playbook of a file, or raise InvalidFile with every mistake; with a library, its checks must exist there."""
    data = read_guarded(path)
    return read_playbook(parse_document(data, str(path)), hashlib.sha256(data).hexdigest(), library)


def read_playbook(node: Node, digest: str, library: Library | None = None) -> Playbook:
    """Return the playbook of a document."""
    problems: list[Problem] = []
    fields = Fields(node, problems, Text("a playbook"))
    name = fields.text("playbook", required=True)
    if name and not _ID.fullmatch(name):
        fields.problem(fields.place("playbook"), Text("a playbook's name is lower case: words and hyphens"))
    title = fields.languages("title", required=True)
    kind = fields.one_of("kind", list(Kind), required=True)
    maintenance = fields.one_of("maintenance", list(Maintenance), required=True)
    tier = fields.one_of("tier", list(Tier), required=True)
    platforms = fields.texts("platforms", required=True)
    for wrong in [name for name in platforms if name not in list(Platform)]:
        fields.problem(
            fields.place("platforms"), Text("there is no platform “{name}”", name=wrong), did_you_mean(wrong, Platform)
        )
    checks = _checks(fields, library)
    fields.done()
    if problems:
        raise InvalidFile(problems)
    return Playbook(
        id=name,
        title=title,
        kind=Kind(kind),
        maintenance=Maintenance(maintenance),
        platforms=platforms,
        tier=Tier(tier),
        checks=tuple(checks),
        thresholds={check: values for check, values in checks.items() if values},
        digest=digest,
        place=node.place,
    )


def _checks(fields: Fields, library: Library | None) -> dict[str, Mapping[str, Param]]:
    """Return the checks in their order, each with the thresholds that the playbook sets for it."""
    found: dict[str, Mapping[str, Param]] = {}
    node = fields.node("checks")
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
