"""The library: probes, checks and causes, shipped and the user's own, loaded once and verified together."""

from __future__ import annotations

import copyreg
import hashlib
import importlib
import io
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import inventory
from diagnostics.cause_files import load_causes
from diagnostics.causes import CauseRule
from diagnostics.cel_engine import engine_mark
from diagnostics.check import Check
from diagnostics.check_files import load_checks
from diagnostics.compiled import keep, kept
from diagnostics.content import Content
from diagnostics.finding import Param
from diagnostics.probe import Probe
from diagnostics.probe_files import load_probes
from diagnostics.thresholds import threshold_problems
from inventory.documents import read_guarded
from inventory.errors import LongarmError, Text, UsageError
from inventory.fields import did_you_mean
from inventory.host import Expectations
from remote.question import Question

SHIPPED = Path(__file__).parent
_RULES = SHIPPED / "rules.yaml"
"""Under this name, which no file has, the checks and causes are kept together: they share their expressions' places."""

Rules: TypeAlias = tuple[Mapping[str, Check], tuple[CauseRule, ...]]


class UnknownCheck(UsageError):
    """A check was asked for that the library does not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(Text("there is no check “{name}”", name=name), did_you_mean(name, known))


class UnknownProbe(LongarmError):
    """A probe's name is taken: the shipped library, or the same file, has one with it already."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(Text("there is a probe “{name}” already", name=name), Text("give yours another name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Everything that asks and judges; frozen, the same for every host of a run."""

    probes: Mapping[str, Probe] = field(hash=False)
    checks: Mapping[str, Check] = field(hash=False)
    causes: tuple[CauseRule, ...] = field(default=(), hash=False)
    digest: str = ""
    """SHA-256 over every file that it was loaded from, by name."""

    def check(self, name: str) -> Check:
        """Return a check, or raise UnknownCheck with the nearest names."""
        if name not in self.checks:
            raise UnknownCheck(name, self.checks)
        return self.checks[name]

    def content(self, checks: Iterable[str]) -> Content:
        """Return the words of these checks, of the rules between them and of their questions."""
        chosen = {name: self.check(name) for name in checks}
        rules = [rule for rule in self.causes if rule.cause in chosen and set(rule.effect) & set(chosen)]
        probes = [self.probes[name] for name in dict.fromkeys(probe for check in chosen.values() for probe in check.needs)]
        return Content(
            checks={name: check.content for name, check in chosen.items()},
            rules={rule.id: rule.text for rule in rules},
            questions={probe.question.id: str(probe.asks or probe.summary) for probe in probes},
        )

    def questions(
        self, checks: Sequence[str], platform: str, expect: Expectations, extra: Sequence[Probe] = ()
    ) -> tuple[Question, ...]:
        """Return the questions that these checks need on a host, each once, with its expectations filled in.

        A check that expects what the inventory does not declare is not applicable, and asks nothing. What is sampled
        twice is asked before and after everything else.
        """
        chosen = [self.check(name) for name in checks]
        asking = [
            check for check in chosen if platform in check.platforms and (not check.expects or getattr(expect, check.expects))
        ]
        needed = dict.fromkeys(probe for check in asking for probe in check.needs)
        probes = [*(self.probes[name] for name in needed), *(probe for probe in extra if probe.id not in needed)]
        return tuple(with_expectations(question, expect) for question in in_order(probes, platform))

    def threshold_problems(self, overrides: Mapping[str, Mapping[str, Param]]) -> Iterator[Text]:
        """Yield what is wrong with overrides of thresholds (`diagnostics.thresholds`)."""
        yield from (wrong.text for wrong in threshold_problems(overrides, self.checks))


def in_order(probes: Iterable[Probe], platform: str) -> tuple[Question, ...]:
    """Return what these probes ask on a platform: first samples, then what is asked once, then second samples."""
    asking = [probe for probe in probes if platform in probe.platforms]
    once = dict.fromkeys(probe.question for probe in asking if probe.first is None)
    first = [probe.first for probe in asking if probe.first is not None]
    second = [probe.question for probe in asking if probe.first is not None]
    return (*first, *once, *second)


def with_expectations(question: Question, expect: Expectations) -> Question:
    """Return a question whose variables `services`, `ports` and `names` hold the host's expectations."""
    if not question.variables:
        return question
    given = {"services": expect.services, "ports": expect.ports, "names": expect.names}
    variables = tuple((name, " ".join(given[name]) if name in given else value) for name, value in question.variables)
    return replace(question, variables=variables)


def load_library(extra_probes: Path | None = None, *, shipped: Path = SHIPPED) -> Library:
    """Return the shipped library, with the user's probes added; raise InvalidFile with every mistake of a file."""
    own = load_probes(extra_probes) if extra_probes else ()
    probes: dict[str, Probe] = {}
    for probe in (*shipped_probes(shipped), *own):
        if probe.id in probes:
            raise UnknownProbe(probe.id)
        probes[probe.id] = probe
    digest = digest_of(shipped)
    checks, causes = _kept_rules(probes, digest) if shipped == SHIPPED else _rules(shipped, probes)
    return Library(
        probes=probes,
        checks=checks,
        causes=causes,
        digest=digest_of(shipped, [extra_probes]) if extra_probes else digest,
    )


def _rules(folder: Path, probes: Mapping[str, Probe]) -> Rules:
    """Return the checks and causes of a folder, every expression proved."""
    checks = load_checks(sorted((folder / "checks").glob("*.yaml")), probes)
    causes = folder / "causes.yaml"
    return checks, load_causes(causes, checks, probes) if causes.exists() else ()


def _kept_rules(probes: Mapping[str, Probe], digest: str) -> Rules:
    """Return the shipped checks and causes, proved now, or the last time that neither they nor what reads them was another."""
    of = _readers_digest(digest)
    if (made := kept(_RULES, of)) is not None:
        rules: Rules = pickle.loads(made)  # noqa: S301 (beside the modules and trusted like them: diagnostics/compiled.py)
        return rules
    rules = _rules(SHIPPED, probes)
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(rules)
    keep(_RULES, of, file.getvalue())
    return rules


class _Pickler(pickle.Pickler):
    """Knows the read-only views too that values of YAML are given as."""

    dispatch_table = copyreg.dispatch_table | {MappingProxyType: lambda view: (_view, (dict(view),))}


def _view(values: dict[str, object]) -> Mapping[str, object]:
    return MappingProxyType(values)


def _readers_digest(digest: str) -> str:
    """Return what the kept rules hang on: their files with our probes, the modules that read them, Python and the engine."""
    total = hashlib.sha256(f"{sys.version}\0{SHIPPED}\0{engine_mark()}\0{digest}".encode())
    for folder in (SHIPPED.parent, Path(inventory.__file__).parent):
        for path in sorted(folder.glob("*.py")):
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def shipped_probes(shipped: Path = SHIPPED) -> Iterator[Probe]:
    """Yield the probes of every module of the library, `diagnostics/library/<platform>/*.py`, in the order of names."""
    if shipped != SHIPPED:
        return
    for path in sorted(shipped.glob("*/*.py")):
        if path.stem != "__init__":
            module = importlib.import_module(f"diagnostics.library.{path.parent.name}.{path.stem}")
            yield from getattr(module, "PROBES", ())


def digest_of(shipped: Path, own: Sequence[Path] = ()) -> str:
    """Return the digest of the library's files: what judged can be told from it."""
    total = hashlib.sha256()
    files = [path for path in shipped.rglob("*") if path.suffix in (".py", ".yaml")]
    for path in sorted(files):
        total.update(f"{path.relative_to(shipped).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for path in own:
        total.update(f"own\0{hashlib.sha256(read_guarded(path)).hexdigest()}\n".encode())
    return total.hexdigest()
