"""Reading checks from YAML: every expression compiled, every path verified, every mistake reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostics.check import EXPECTATIONS, Check, CheckTest, ExpectedFinding, Level, RemedyRule, out_of_order
from diagnostics.expressions import Expression, Needs, compile_expression
from diagnostics.finding import Param
from diagnostics.probe import Probe
from diagnostics.shapes import Shape
from diagnostics.verdict import Severity, Verdict
from inventory.documents import ListNode, MapNode, Node, ScalarNode, load_document, plain
from inventory.errors import InvalidFile, Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_LEFT_OUT = re.compile(r"'[^']*'|\"[^\"]*\"|\|\s*\w+")  # text literals and filters: those are the reports' business
_USED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?:\.(\w+))?")
_TEMPLATE_WORDS = {"if", "elif", "else", "endif", "and", "or", "not", "is", "in", "none", "defined", "true", "false"}
SCALARS = ("str", "int", "float", "bool", "null")


def load_checks(paths: Sequence[Path], probes: Mapping[str, Probe]) -> dict[str, Check]:
    """Return the checks of these files by id, sorted; all mistakes of all files are in one InvalidFile."""
    checks: dict[str, Check] = {}
    problems: list[Problem] = []
    for path in sorted(paths):
        try:
            check = read_check(load_document(path), probes)
        except InvalidFile as error:
            problems += error.problems
            continue
        if check.id != path.stem:
            hint = Text("rename it to {name}", name=f"{check.id}.yaml")
            problems.append(Problem(place=check.place, text=Text("the file is not named like its check"), hint=hint))
        checks[check.id] = check
    if problems:
        raise InvalidFile(problems)
    return dict(sorted(checks.items()))


def read_check(node: Node, probes: Mapping[str, Probe]) -> Check:
    """Return one compiled check, or raise InvalidFile with every mistake in it."""
    reader = _CheckReader(node, probes)
    check = reader.read()
    if reader.problems:
        raise InvalidFile(reader.problems)
    return check


class _CheckReader:
    def __init__(self, node: Node, probes: Mapping[str, Probe]) -> None:
        self.problems: list[Problem] = []
        self.node, self.probes = node, probes
        self.fields = Fields(node, self.problems, Text("a check"))
        self.shapes: dict[str, Shape] = {}
        self.declared: dict[str, dict[str, Shape]] = {"subject": {}, "params": {}}
        """Every name of `subject` and `params`, with a mistake in its expression too: one mistake is told once."""

    def read(self) -> Check:
        fields = self.fields
        check_id = fields.text("check", required=True)
        if check_id and not _ID.fullmatch(check_id):
            fields.problem(fields.place("check"), Text("a check's id is lower case: words and hyphens"))
        platforms, needs, thresholds = self.platforms(), self.needs(), self.thresholds()
        lowest = self.lowest(thresholds)
        self.shapes = {
            "facts": {id_.replace(".", "_").replace("-", "_"): self.probes[id_].shape for id_ in needs},
            "thresholds": {name: type(value).__name__ for name, value in thresholds.items()},
            "expected": {kind: ["str"] for kind in EXPECTATIONS},
            "context": {"now_s": "int", "asked_at_s": "int"},
        }
        expects = fields.one_of("expects", EXPECTATIONS)
        applies = self.expression(fields, "applies", ("bool",))
        covers = self.expression(fields, "covers", ("bool",))
        each = self.each()
        subject, params = self.named("subject"), self.named("params")
        levels = self.levels()
        check = Check(
            id=check_id,
            title=fields.languages("title", required=True),
            platforms=platforms,
            needs=needs,
            expects=expects,
            applies=applies,
            each=each,
            covers=covers,
            when=self.expression(fields, "when", ("bool",)),
            subject=subject,
            params=params,
            cite=self.cite(),
            since=self.expression(fields, "since", ("int", "float", "time")),
            thresholds=thresholds,
            lowest=lowest,
            levels=levels,
            finding=self.template("finding"),
            cause=fields.languages("cause"),
            remedy=self.remedy(),
            tests=tuple(self.tests()),
            place=self.node.place,
        )
        fields.done()
        return _with_needs(check)

    def platforms(self) -> tuple[str, ...]:
        given = self.fields.texts("platforms", required=True)
        for name in given:
            if name not in list(Platform):
                hint = did_you_mean(name, Platform)
                self.fields.problem(self.fields.place("platforms"), Text("there is no platform “{name}”", name=name), hint)
        return given

    def needs(self) -> tuple[str, ...]:
        given = self.fields.texts("needs", required=True)
        for name in given:
            if name not in self.probes:
                hint = did_you_mean(name, self.probes)
                self.fields.problem(self.fields.place("needs"), Text("there is no probe “{name}”", name=name), hint)
            elif self.probes[name].parse is None:
                self.fields.problem(self.fields.place("needs"), Text("the probe “{name}” gives no facts", name=name))
        return tuple(name for name in given if name in self.probes)

    def thresholds(self) -> dict[str, int | float]:
        found = self.bounds(fields := self.fields.fields("thresholds"))
        if wrong := out_of_order(found):
            fields.problem(fields.place(wrong), Text("“{name}” lies on the wrong side of its bound", name=wrong))
        return found

    def lowest(self, thresholds: Mapping[str, int | float]) -> dict[str, int | float]:
        found = self.bounds(fields := self.fields.fields("lowest"))
        for name, value in found.items():
            if name not in thresholds:
                hint = did_you_mean(name, thresholds)
                fields.problem(fields.key_place(name), Text("there is no threshold “{name}”", name=name), hint)
            elif thresholds[name] < value:
                fields.problem(fields.place(name), Text("the threshold “{name}” itself is lower", name=name))
        return found

    def bounds(self, fields: Fields) -> dict[str, int | float]:
        found: dict[str, int | float] = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            node = fields.node(name)
            value = node.value if isinstance(node, ScalarNode) else None
            if isinstance(value, str):
                value = fields.size(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
                    fields.problem(fields.place(name), Text("a threshold is a number or a size such as 5 GiB"))
            else:
                found[name] = value
        return found

    def expression(self, fields: Fields, key: str, wants: Sequence[str] = ()) -> Expression | None:
        node = fields.node(key)
        return None if node is None else self.compiled(node, wants)

    def compiled(self, node: Node, wants: Sequence[str] = ()) -> Expression | None:
        if not isinstance(node, ScalarNode):
            hint = Text("quote it if it begins with a bracket")
            self.problems.append(Problem(place=node.place, text=Text("an expression is needed here"), hint=hint))
            return None
        try:
            return compile_expression(node, shapes=self.shapes, wants=wants)
        except InvalidFile as error:
            self.problems += error.problems
            return None

    def each(self) -> Expression | None:
        if not self.fields.has("each"):
            return None
        fields = self.fields.fields("each")
        each = self.expression(fields, "item", ("list",))
        fields.done()
        if not fields.has("item"):
            fields.problem(fields.place(), Text("“each” names the item"), Text("each: {item: facts.probe.list}"))
        shape = each.shape if each else "any"
        self.shapes["item"] = shape[0] if isinstance(shape, Sequence) and not isinstance(shape, str) else "any"
        return each

    def named(self, key: str) -> dict[str, Expression]:
        fields = self.fields.fields(key)
        found: dict[str, Expression] = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            if not _NAME.fullmatch(name):
                fields.problem(fields.key_place(name), Text("“{name}” is not a name: lower case, digits, _", name=name))
            expression = self.expression(fields, name, SCALARS)
            self.declared[key][name] = expression.shape if expression else "any"
            if expression:
                found[name] = expression
        return found

    def cite(self) -> tuple[Expression, ...]:
        node = self.fields.node("cite")
        nodes = node.items if isinstance(node, ListNode) else (node,) if node else ()
        found = [self.compiled(one, ("map", "list")) for one in nodes]
        for expression in filter(None, found):
            if expression.shape not in ("at", "at?", ["at"], "any", ["any"]):
                text = Text("“cite” needs a place: a fact declared as “at”, or a list of them")
                self.problems.append(Problem(place=expression.place, text=text))
        return tuple(expression for expression in found if expression)

    def levels(self) -> tuple[Level, ...]:
        fields = self.fields.fields("severity", required=True)
        levels = []
        for severity in sorted(Severity, key=lambda severity: -severity.rank):
            if not fields.has(severity.value):
                continue
            below = fields.fields(severity.value)
            rises = self.expression(below, "raise", ("bool",))
            clears = self.expression(below, "clear", ("bool",))
            below.done()
            if rises:
                levels.append(Level(severity=severity, rises=rises, clears=clears))
            elif not below.has("raise"):
                below.problem(below.place(), Text("“{severity}” needs the key “raise”", severity=severity.value))
        fields.done()
        if self.fields.has("severity") and not fields.keys():
            fields.problem(fields.place(), Text("“severity” needs critical, warning or info"))
        return tuple(levels)

    def template(self, key: str) -> Mapping[str, str]:
        texts = self.fields.languages(key, required=True)
        node = self.fields.node(key)
        for language, text in texts.items():
            below = node.get(language) if isinstance(node, MapNode) else None
            for name in unknown_names(text, self.declared):
                wrong = Text("the text uses “{name}”, which the check does not have", name=name)
                root = self.declared.get(name.partition(".")[0])
                hint = did_you_mean(name.partition(".")[2], root) if root is not None else Text("subject.name or params.name")
                self.problems.append(Problem(place=below.place if below else self.node.place, text=wrong, hint=hint))
        return texts

    def remedy(self) -> RemedyRule | None:
        if not self.fields.has("remedy"):
            return None
        fields = self.fields.fields("remedy")
        playbook = fields.text("playbook", required=True)
        self.shapes |= self.declared
        below = fields.fields("params")
        found = {name: self.expression(below, name, SCALARS) for name in below.keys()}  # noqa: SIM118
        fields.done()
        return RemedyRule(playbook=playbook, params={name: one for name, one in found.items() if one})

    def tests(self) -> Iterator[CheckTest]:
        for node in self.fields.items("tests"):
            fields = Fields(node, self.problems, Text("a test"))
            evidence = fields.text("evidence", required=True)
            verdict, findings = self.expected(fields)
            yield CheckTest(
                evidence=evidence,
                verdict=verdict,
                findings=findings,
                expected={kind: fields.texts(kind) for kind in EXPECTATIONS if fields.has(kind)},
                thresholds=_mapping(fields, "thresholds") or {},
                now_s=fields.integer("now"),
                earlier=tuple(self.expected_finding(one) for one in fields.items("earlier")),
                place=node.place,
            )
            fields.done()

    def expected(self, fields: Fields) -> tuple[Verdict, tuple[ExpectedFinding, ...]]:
        node = fields.node("expect")
        if isinstance(node, MapNode):
            return Verdict.FINDING, (self.expected_finding(node),)
        if isinstance(node, ListNode):
            return Verdict.FINDING, tuple(self.expected_finding(one) for one in node.items)
        word = fields.one_of("expect", [one.value for one in Verdict if one is not Verdict.FINDING], required=True)
        return Verdict(word), ()

    def expected_finding(self, node: Node) -> ExpectedFinding:
        fields = Fields(node, self.problems, Text("an expected finding"))
        severity = fields.one_of("severity", [one.value for one in Severity])
        expected = ExpectedFinding(
            severity=Severity(severity) if severity else None,
            subject=_mapping(fields, "subject"),
            params=_mapping(fields, "params"),
        )
        fields.done()
        return expected


def _mapping(fields: Fields, key: str) -> dict[str, Param] | None:
    node = fields.mapping(key)
    value: Any = None if node is None else plain(node)
    return None if value is None else dict(value)


def _with_needs(check: Check) -> Check:
    return replace(check, engine_needs=Needs.of(check.expressions()))


def unknown_names(text: str, known: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """Yield what a template uses that is not there: names beside `subject` and `params`, members that they lack.

    >>> list(unknown_names("{{ subject.mout | upper }} {{ host }}", {"subject": {"mount": 1}, "params": {}}))
    ['subject.mout', 'host']
    """
    for part in _TEMPLATE.findall(text):
        for root, member in _USED.findall(_LEFT_OUT.sub("", part)):
            if root in _TEMPLATE_WORDS and not member:
                continue
            if root not in known or member not in known[root]:
                yield f"{root}.{member}" if member else root
