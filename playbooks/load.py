"""Finding and reading playbooks: by name among the shipped ones, the given files, and what lies beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from diagnostics.facts import in_expressions as probe_name
from diagnostics.library import Library
from diagnostics.shapes import ANY, Shape
from inventory.documents import Node, parse_document, read_guarded
from inventory.errors import InvalidFile, Place, Problem, Text, UsageError
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform
from playbooks.beside import Beside
from playbooks.check_selection import read_checks
from playbooks.declared import PLAYBOOK
from playbooks.demands import demands_of, included_in
from playbooks.model import Durations, Kind, Maintenance, OnFailure, Playbook, Risk, Step, Tier, Verify, can_be_undone
from playbooks.param_files import read_params
from playbooks.params import Param, ParamType, shapes_of
from playbooks.reading import KeyReader, Names, is_id

SHIPPED = Path(__file__).parent / "library"
MOST_INCLUDED: Final = 8
"""Playbooks inside each other."""


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


def load_playbook(path: Path, library: Library | None = None, *, within: tuple[Path, ...] = ()) -> Playbook:
    """Return the playbook of a file, or raise InvalidFile with every mistake; with a library, its checks must exist there.

    `within` are the files that it is included by.
    """
    data = read_guarded(path)
    node = parse_document(data, str(path))
    return read_playbook(node, hashlib.sha256(data).hexdigest(), library, folder=path.parent, within=(*within, path.resolve()))


def read_playbook(
    node: Node, digest: str, library: Library | None = None, *, folder: Path | None = None, within: tuple[Path, ...] = ()
) -> Playbook:
    """Return the playbook of a document; `folder` is where what belongs to it lies, None: nothing does."""
    reader = _PlaybookReader(node, library, folder, within)
    playbook = reader.read(digest)
    if reader.problems:
        raise InvalidFile(reader.problems)
    return playbook


class _PlaybookReader:
    def __init__(self, node: Node, library: Library | None, folder: Path | None, within: tuple[Path, ...]) -> None:
        self.problems: list[Problem] = []
        self.node, self.library, self.within = node, library, within
        self.beside = Beside(folder)
        self.fields = Fields(node, self.problems, Text("a playbook"))
        self.included: dict[str, Playbook] = {}
        self.includes: list[Place] = []
        """Where each of them is included first."""
        self.tier: Tier | None = None
        self.risk: Risk | None = None
        """What it says of itself; None: nothing that could be read."""

    def read(self, digest: str) -> Playbook:
        fields = self.fields
        read = KeyReader(self.problems).read_all(PLAYBOOK, fields, Names())
        name = read.get("playbook", "")
        if name and not is_id(name):
            fields.problem(fields.place("playbook"), Text("a playbook's name is lower case: words and hyphens"))
        kind = Kind(read.get("kind", Kind.DIAGNOSTIC))
        self.tier = Tier(read["tier"]) if "tier" in read else None
        self.risk = Risk(read["risk"]) if "risk" in read else None
        platforms = read.get("platforms", ())
        self.known("platforms", platforms, list(Platform), Text("platform"))
        needs, fixes = read.get("needs", ()), read.get("fixes", ())
        if self.library:
            self.known("needs", needs, self.library.probes, Text("probe"))
            self.known("fixes", fixes, self.library.checks, Text("check"))
            self.causes(read.get("not_while", ()), fixes, self.library)
        checks = read_checks(fields, self.library, required=kind is Kind.DIAGNOSTIC)
        params = read_params(fields.fields("params"), self.problems)
        steps = self.steps(platforms, needs, params) if kind is not Kind.DIAGNOSTIC else ()
        self.of_its_kind(kind)
        self.conflicting(name, read.get("conflicts", ()))
        verify = self.verify(read.get("verify"), steps)
        fields.done()
        return Playbook(
            id=name,
            title=read.get("title", {}),
            kind=kind,
            maintenance=Maintenance(read.get("maintenance", Maintenance.PREVENTIVE)),
            tier=self.tier or Tier.L1,
            risk=self.risk or Risk.READ,
            platforms=platforms,
            checks=tuple(checks),
            thresholds={check: values for check, values in checks.items() if values},
            says=read.get("says", {}),
            fixes=fixes,
            needs=needs,
            not_while=read.get("not_while", ()),
            conflicts=read.get("conflicts", ()),
            durations=self.durations(read.get("durations", {})),
            params=params,
            steps=steps,
            verify=verify,
            digest=self.beside.digest(digest, *(f"{one.id} {one.digest}" for one in self.included.values())),
            place=self.node.place,
        )

    def known(self, key: str, names: Sequence[str], known: Mapping[str, object] | Sequence[str], what: Text) -> None:
        """Note each name of a list that is not known."""
        for node in self.fields.text_nodes(key):
            if node.text in names and node.text not in known:
                hint = did_you_mean(node.text, known)
                text = Text("there is no {what} “{name}”", what=what, name=node.text)
                self.fields.problem(self.fields.place(key), text, hint)

    def causes(self, names: Sequence[str], fixes: Sequence[str], library: Library) -> None:
        """Note what stands under `not_while` and is no check, or explains nothing that is fixed."""
        self.known("not_while", names, library.checks, Text("check"))
        explaining = {rule.cause for rule in library.causes if set(rule.effect) & set(fixes)}
        for node in self.fields.text_nodes("not_while"):
            if node.text in library.checks and node.text not in explaining:
                text = Text("nothing says that “{name}” explains what this fixes", name=node.text)
                self.fields.problem(node.place, text, did_you_mean(node.text, explaining))

    def of_its_kind(self, kind: Kind) -> None:
        """Note what a kind of playbook lacks, or has and cannot mean."""
        fields = self.fields
        if kind is Kind.DIAGNOSTIC:
            for key in ("steps", "params", "fixes", "verify", "risk", "not_while", "conflicts", "needs"):
                if fields.has(key):
                    text = Text("a {kind} playbook has no “{key}”", kind=kind.value, key=key)
                    fields.problem(fields.key_place(key), text, Text("kind: repair"))
            return
        for key in ("steps", "risk"):
            if not fields.has(key):
                fields.problem(fields.place(), Text("{what} needs the key “{key}”", what=fields.what, key=key))
        if fields.has("steps") and not fields.items("steps"):
            fields.problem(fields.place("steps"), Text("“{key}” has no value", key="steps"))
        if fields.has("checks"):
            text = Text("a {kind} playbook has no “{key}”", kind=kind.value, key="checks")
            fields.problem(fields.key_place("checks"), text, Text("verify: [fs-space]"))

    def steps(self, platforms: Sequence[str], needs: Sequence[str], params: Mapping[str, Param]) -> tuple[Step, ...]:
        """Return the steps; what reads them is loaded with the first that there are: `diagnose` needs none of it."""
        from playbooks.step_files import HOST, StepReader

        secrets = frozenset(name for name, param in params.items() if param.type is ParamType.SECRET)
        names = Names(shapes={"params": shapes_of(params), "facts": self.facts(needs), "host": HOST}, secrets=secrets)
        reader = StepReader(
            problems=self.problems,
            platforms=platforms,
            needs=needs,
            library=self.library,
            beside=self.beside,
            find=self.include,
        )
        return reader.read_steps(self.fields, "steps", names)

    def facts(self, needs: Sequence[str]) -> Shape:
        """Return the shape of `facts`: that of each probe that is needed; anything where no library says."""
        if self.library is None:
            return {"*": ANY}
        return {probe_name(one): self.library.probes[one].shape for one in needs if one in self.library.probes}

    def include(self, name: str, node: Node) -> Playbook | None:
        """Return the playbook that a step includes, None with a note where that cannot be."""
        if name in self.included:
            return self.included[name]
        beside = self.beside.folder / f"{name}.yaml" if self.beside.folder and is_id(name) else None
        path = beside if beside is not None and beside.is_file() else SHIPPED / f"{name}.yaml"
        if not is_id(name) or not path.is_file():
            known = [one.stem for folder in (self.beside.folder, SHIPPED) if folder for one in folder.glob("*.yaml")]
            self.problems.append(
                Problem(place=node.place, text=Text("there is no playbook “{name}”", name=name), hint=did_you_mean(name, known))
            )
            return None
        if path.resolve() in self.within:
            chain = " → ".join([*(one.stem for one in self.within), name])
            self.problems.append(Problem(place=node.place, text=Text("playbooks include each other: {chain}", chain=chain)))
            return None
        if len(self.within) >= MOST_INCLUDED:
            text = Text("more than {limit} playbooks inside each other", limit=MOST_INCLUDED)
            self.problems.append(Problem(place=node.place, text=text))
            return None
        try:
            playbook = load_playbook(path, self.library, within=self.within)
        except InvalidFile as error:
            self.problems += error.problems
            return None
        if playbook.kind is Kind.DIAGNOSTIC:
            self.problems.append(Problem(place=node.place, text=Text("“{name}” has no steps to include", name=name)))
            return None
        self.included[name] = playbook
        self.includes.append(node.place)
        self.says_less(playbook, node.place)
        return playbook

    def says_less(self, inner: Playbook, place: Place) -> None:
        """Note where it says less of itself than what it includes asks: by what it says it is decided who may run it."""
        asked = demands_of(inner)
        if self.tier is not None and [*Tier].index(self.tier) < [*Tier].index(asked.tier):
            text = Text(
                "“{name}” is for {tier}, and what includes it says {said}", name=inner.id, tier=asked.tier, said=self.tier
            )
            self.problems.append(Problem(place=place, text=text, hint=Text("tier: {tier}", tier=asked.tier)))
        if self.risk is not None and [*Risk].index(self.risk) < [*Risk].index(asked.risk):
            text = Text("“{name}” is {risk}, and what includes it says {said}", name=inner.id, risk=asked.risk, said=self.risk)
            self.problems.append(Problem(place=place, text=text, hint=Text("risk: {risk}", risk=asked.risk)))

    def conflicting(self, name: str, conflicts: Sequence[str]) -> None:
        """Note playbooks in one that conflict: a run of it would do both."""
        seen = {name: tuple(conflicts)}
        for inner, place in zip(self.included.values(), self.includes, strict=True):
            for one in (inner, *included_in(inner.steps)):
                other = next((two for two, theirs in seen.items() if two in one.conflicts or one.id in theirs), None)
                if other is not None:
                    text = Text("“{name}” and “{other}” conflict: one run cannot do both", name=one.id, other=other)
                    hint = Text("include one of them; the other is a repair of its own")
                    self.problems.append(Problem(place=place, text=text, hint=hint))
                seen[one.id] = one.conflicts

    def verify(self, read: Mapping[str, Any] | None, steps: Sequence[Step]) -> Verify | None:
        """Return what proves the repair."""
        if not read or "checks" not in read:
            return None
        checks = read["checks"]
        node = self.fields.node("verify")
        if self.library:
            for name in checks:
                if name not in self.library.checks:
                    place = node.place if node is not None else self.fields.place()
                    text = Text("there is no {what} “{name}”", what=Text("check"), name=name)
                    self.problems.append(Problem(place=place, text=text, hint=did_you_mean(name, self.library.checks)))
        on_failure = OnFailure(read.get("on_failure", OnFailure.STOP))
        if on_failure is OnFailure.ROLL_BACK and not any(can_be_undone(tuple(steps))):
            place = self.fields.fields("verify").place("on_failure")
            text = Text("nothing would be rolled back: no step has a “rollback”")
            self.problems.append(Problem(place=place, text=text, hint=Text("on_failure: stop")))
        return Verify(
            checks=checks,
            settle_s=read.get("settle", 0.0),
            samples=read.get("samples", 1),
            every_s=read.get("every", 10.0),
            on_failure=on_failure,
        )

    def durations(self, read: Mapping[str, float]) -> Durations:
        """Return how long it takes, in order."""
        typical, at_most = read.get("typical"), read.get("at_most")
        if typical is not None and at_most is not None and typical > at_most:
            place = self.fields.fields("durations").place("typical")
            self.problems.append(Problem(place=place, text=Text("“typical” is not longer than “at_most”")))
        return Durations(typical_s=typical, at_most_s=at_most)
