"""Reads scenarios: what a scripted host says to each step, and what must come of it.

They lie in `scenarios/` beside a playbook, in a file of its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from diagnostics.facts import in_expressions
from diagnostics.library import Library
from diagnostics.shapes import Misfit, fit
from inventory.documents import ListNode, MapNode, Node, load_document
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import Host, Platform
from inventory.nodes import plain
from playbooks.model import Playbook, Step
from playbooks.params import ParamValue
from playbooks.ports import CallResult, Change, Recap
from playbooks.reading import unfrozen
from playbooks.results import HostChange, StepState
from playbooks.testing import CALL_FAULTS, FAULTS, StepScript, done, said
from playbooks.verdicts import Fix
from remote.answer import Answer

SCENARIOS: Final = "scenarios"
"""The folder that they lie in."""
STATS: Final = ("ok", "changed_tasks", "failures", "skipped", "unreachable")
"""What Ansible counts."""
PLANNED: Final = ("change", "nothing", "unpredictable", "skipped")
"""What a plan can say of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come of a scenario; empty where it does not say."""

    plan: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, str] = field(default_factory=dict)
    undone: Mapping[str, str] = field(default_factory=dict)
    change: str | None = None
    verdicts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """How a real host is made as a scenario says, and put right afterwards: scripts of its shell, done as root."""

    ill: str
    well: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scripted host."""

    name: str
    host: Host
    params: Mapping[str, ParamValue]
    facts: Mapping[str, Any]
    before: Path | None
    after: tuple[Path, ...]
    """Samples of evidence taken when the playbook is over."""
    script: Mapping[str, StepScript]
    probes: Mapping[str, tuple[Answer, ...]]
    """What the host says when a step asks a probe again, by question."""
    operator: Mapping[str, tuple[str, ...]]
    expected: Expected
    faults: tuple[str, ...]
    real: Real | None
    """None: only a scripted host can be so."""
    place: Place


def scenarios_of(path: Path) -> Path:
    """Return where the scenarios of a playbook's file lie.

    >>> scenarios_of(Path("library/free-disk-space.yaml")).as_posix()
    'library/scenarios/free-disk-space.yaml'
    """
    return path.parent / SCENARIOS / path.name


def load_scenarios(path: Path, playbook: Playbook, library: Library) -> tuple[Scenario, ...]:
    """Return the scenarios of a file, or raise InvalidFile with every mistake in it."""
    node = load_document(path)
    problems: list[Problem] = []
    if not isinstance(node, ListNode) or not node.items:
        raise InvalidFile([Problem(place=node.place, text=Text("scenarios are a list"), hint=Text("- scenario: …"))])
    reader = _ScenarioReader(problems, playbook, library, path.parent)
    read = [reader.read(one) for one in node.items]
    if problems:
        raise InvalidFile(problems)
    return tuple(read)


def keys_by_name(steps: tuple[Step, ...], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key and the name of each step, included ones too."""
    for index, step in enumerate(steps, 1):
        key = f"{prefix}s{index}"
        yield key, step.name
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from keys_by_name(inner.steps, f"{key}.")
        for number, undo in enumerate(step.rollback, 1):
            yield f"{key}.r{number}", undo.name


def titles_by_name(steps: tuple[Step, ...]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the name of each step, included ones too, with what it is called in every language, where that is said."""
    for step in steps:
        inner = step.values.get("playbook")
        for one in (step, *step.rollback):
            if one.titles:
                yield one.name, one.titles
        if isinstance(inner, Playbook):
            yield from titles_by_name(inner.steps)


class _ScenarioReader:
    def __init__(self, problems: list[Problem], playbook: Playbook, library: Library, folder: Path) -> None:
        self.problems, self.playbook, self.library, self.folder = problems, playbook, library, folder
        self.keys: dict[str, str] = {}
        for key, name in keys_by_name(playbook.steps):
            self.keys[key] = key
            self.keys.setdefault(name, key)

    def read(self, node: Node) -> Scenario:
        fields = Fields(node, self.problems, Text("a scenario"))
        script, operator = self.answers(fields.fields("answers"))
        scenario = Scenario(
            name=fields.text("scenario", required=True),
            host=self.host(fields.fields("host")),
            params=self.params(fields.fields("params")),
            facts=self.facts(fields.fields("facts")),
            before=self.evidence(fields, "before"),
            after=tuple(self.folder / one for one in fields.texts("after")),
            script=script,
            probes=self.probes(fields.fields("probes")),
            operator=operator,
            expected=self.expected(fields.fields("expect", required=True)),
            faults=self.faults(fields),
            real=self.real(fields),
            place=node.place,
        )
        fields.done()
        return scenario

    def host(self, fields: Fields) -> Host:
        platform = fields.one_of("platform", list(Platform)) or next(iter(self.playbook.platforms), Platform.LINUX)
        host = Host(
            name=fields.text("name") or "db01",
            address="192.0.2.1",
            platform=Platform(platform),
            site=fields.text("site"),
            customer=fields.text("customer"),
            tags=fields.texts("tags"),
            groups=fields.texts("groups"),
        )
        fields.done()
        return host

    def params(self, fields: Fields) -> dict[str, ParamValue]:
        found: dict[str, ParamValue] = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            if name not in self.playbook.params:
                hint = did_you_mean(name, self.playbook.params)
                fields.problem(fields.key_place(name), Text("there is no parameter “{name}”", name=name), hint)
            texts = fields.texts(name)
            found[name] = texts[0] if len(texts) == 1 else texts
        return found

    def facts(self, fields: Fields) -> dict[str, Any]:
        """Return facts in the shapes of their probes: a misspelt one would prove nothing."""
        shapes = {
            in_expressions(one): self.library.probes[one].shape for one in self.playbook.needs if one in self.library.probes
        }
        found = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            node = fields.node(name)
            if name not in shapes or node is None:
                hint = did_you_mean(name, shapes)
                fields.problem(fields.key_place(name), Text("the playbook needs no probe “{name}”", name=name), hint)
                continue
            given = unfrozen(plain(node))
            try:
                found[name] = fit(given, shapes[name], name)
            except Misfit as misfit:
                fields.problem(node.place, Text("{reason}", reason=str(misfit)))
        return found

    def probes(self, fields: Fields) -> dict[str, tuple[Answer, ...]]:
        """Return what the host says to the questions of the probes that the playbook needs."""
        needed = [self.library.probes[one] for one in self.playbook.needs if one in self.library.probes]
        known = [question.id for probe in needed for question in probe.questions]
        found = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            if name not in known:
                text = Text("the playbook needs no probe that asks “{name}”", name=name)
                fields.problem(fields.key_place(name), text, did_you_mean(name, known))
            found[name] = tuple(self.look(one) for one in self.several(fields, name))
        return found

    def evidence(self, fields: Fields, key: str) -> Path | None:
        name = fields.text(key)
        return None if name is None else self.folder / name

    @staticmethod
    def real(fields: Fields) -> Real | None:
        if not fields.has("real"):
            return None
        below = fields.fields("real")
        real = Real(ill=below.text("ill", required=True), well=below.text("well") or "")
        below.done()
        return real

    def answers(self, fields: Fields) -> tuple[dict[str, StepScript], dict[str, tuple[str, ...]]]:
        script, operator = {}, {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            key = self.key(fields, name)
            below = fields.fields(name)
            script[key] = StepScript(
                looks=[self.look(one) for one in self.several(below, "look")],
                changes=[self.change(one) for one in self.several(below, "change")],
                call=self.call(below),
            )
            operator[key] = below.texts("operator")
            below.done()
        return script, operator

    def key(self, fields: Fields, name: str) -> str:
        """Return the key of a step that is named by it or by its own name; an item of a loop is named by key."""
        if name in self.keys:
            return self.keys[name]
        base = ".".join(part for part in name.split(".") if not part.startswith("i"))
        if base not in self.keys:
            hint = did_you_mean(name, self.keys)
            fields.problem(fields.key_place(name), Text("there is no step “{name}”", name=name), hint)
        return name

    @staticmethod
    def several(fields: Fields, key: str) -> tuple[Node, ...]:
        node = fields.node(key)
        return node.items if isinstance(node, ListNode) else () if node is None else (node,)

    def look(self, node: Node) -> Answer:
        status, stdout, stderr = self.output(node)
        return said(stdout, exit_status=status, stderr=stderr)

    def change(self, node: Node) -> Change:
        if not isinstance(node, MapNode):
            word = str(plain(node))
            if word in FAULTS:
                return FAULTS[word]
            if word != "done":
                hint = did_you_mean(word, [*FAULTS, "done"]) or Text("one of {choices}", choices=", ".join([*FAULTS, "done"]))
                self.problems.append(
                    Problem(place=node.place, text=Text("“{word}” is nothing that becomes of a command", word=word), hint=hint)
                )
            return done()
        status, stdout, stderr = self.output(node)
        return done(stdout, exit_status=status, stderr=stderr)

    def call(self, fields: Fields) -> CallResult | Recap | None:
        """Return what a function, or a run of Ansible, comes to; None: nothing is said of one."""
        for name, kind in (("python", CallResult), ("ansible", Recap)):
            node = fields.node(name)
            if isinstance(node, MapNode):
                return self.returned(fields.fields(name)) if kind is CallResult else self.recap(fields.fields(name))
            if node is not None:
                word = str(plain(node))
                if word not in CALL_FAULTS:
                    text = Text("“{word}” is nothing that becomes of “{action}”", word=word, action=name)
                    hint = did_you_mean(word, CALL_FAULTS) or Text("one of {choices}", choices=", ".join(CALL_FAULTS))
                    self.problems.append(Problem(place=node.place, text=text, hint=hint))
                    return None
                return CALL_FAULTS[word][kind]
        return None

    @staticmethod
    def returned(fields: Fields) -> CallResult:
        """Return what a function gave back, or raised, and printed."""
        node, raised = fields.node("returns"), fields.text("raises")
        printed = [(fields.text(name) or "").encode("utf-8", "surrogateescape") for name in ("stdout", "stderr")]
        fields.done()
        value = None if node is None else unfrozen(plain(node))
        why = None if raised is None else Text("{reason}", reason=raised)
        return CallResult(value=value, stdout=printed[0], stderr=printed[1], raised=why)

    @staticmethod
    def recap(fields: Fields) -> Recap:
        """Return what Ansible counted; with failures, or a host that it did not reach, it failed."""
        counts = {name: fields.integer(name, minimum=0) or 0 for name in STATS}
        said = (fields.text("stdout") or "").encode("utf-8", "surrogateescape")
        fields.done()
        failed = counts["failures"] or counts["unreachable"]
        return Recap(status="failed" if failed else "successful", stats=counts, said=said)

    def output(self, node: Node) -> tuple[int, bytes, bytes]:
        fields = Fields(node, self.problems, Text("what a host says"))
        stdout, stderr = (fields.node(key) for key in ("stdout", "stderr"))
        status = fields.integer("status", minimum=0, maximum=255) or 0
        fields.done()
        texts = ["" if one is None else getattr(one, "text", "") for one in (stdout, stderr)]
        return status, *(text.encode("utf-8", "surrogateescape") for text in texts)  # type: ignore[return-value]

    def expected(self, fields: Fields) -> Expected:
        expected = Expected(
            plan=self.words(fields, "plan", PLANNED),
            steps=self.words(fields, "steps", list(StepState)),
            undone=self.words(fields, "undone", list(StepState)),
            change=fields.one_of("change", list(HostChange)),
            verdicts=dict(self.verdicts(fields.fields("verdicts"))),
        )
        fields.done()
        return expected

    def words(self, fields: Fields, key: str, choices: list[StepState] | tuple[str, ...]) -> dict[str, str]:
        below = fields.fields(key)
        return {self.key(below, name): below.one_of(name, choices) or "" for name in below.keys()}  # noqa: SIM118

    def verdicts(self, fields: Fields) -> Iterator[tuple[str, str]]:
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            if name not in self.library.checks:
                hint = did_you_mean(name, self.library.checks)
                fields.problem(fields.key_place(name), Text("there is no {what} “{name}”", what=Text("check"), name=name), hint)
            yield name, fields.one_of(name, list(Fix)) or ""

    def faults(self, fields: Fields) -> tuple[str, ...]:
        if not fields.has("faults"):
            return tuple(FAULTS)
        found = fields.texts("faults")
        for one in found:
            if one not in FAULTS:
                fields.problem(fields.place("faults"), Text("there is no fault “{name}”", name=one), did_you_mean(one, FAULTS))
        return found
