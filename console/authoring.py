"""Playbooks for who writes them: by name or as files, linted, tested, begun."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.settings import Settings
from console.terminal import complain, tell
from console.words import say
from diagnostics.library import load_library
from inventory.errors import Text, UsageError
from inventory.fields import did_you_mean
from playbooks.lint import lint_playbook
from playbooks.load import SHIPPED, UnknownPlaybook, load_playbook, shipped_playbooks
from playbooks.mending import mend
from playbooks.model import Playbook
from playbooks.param_files import params_document
from playbooks.reading import is_id
from playbooks.scenario_files import load_scenarios, scenarios_of
from playbooks.scenarios import run_scenario
from playbooks.skeletons import PLAYBOOK, SCENARIO

UNLOADABLE = 2
FAILED = 1


def playbook_path(name: str) -> Path:
    """Return the file of a playbook: what looks like a path is one, everything else is shipped; raises UnknownPlaybook."""
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        return Path(name)
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    if name not in shipped:
        raise UnknownPlaybook(name, [*shipped])
    return shipped[name]


def named_playbook(name: str) -> Playbook:
    """Return a playbook by name or path."""
    return load_playbook(playbook_path(name), load_library())


def playbook_rows() -> list[Mapping[str, object]]:
    """Return a row for each playbook that ships with longarm."""
    return [
        {
            "playbook": playbook.id,
            "kind": playbook.kind,
            "maintenance": playbook.maintenance,
            "tier": playbook.tier,
            "risk": playbook.risk,
            "checks": len(playbook.checks),
            "steps": len(playbook.steps),
        }
        for playbook in shipped_playbooks()
    ]


def playbook_document(name: str) -> Mapping[str, object]:
    """Return one playbook as a document."""
    playbook = named_playbook(name)
    verify = playbook.verify
    return {
        "playbook": playbook.id,
        "title": playbook.title,
        "says": playbook.says,
        "kind": playbook.kind,
        "maintenance": playbook.maintenance,
        "tier": playbook.tier,
        "risk": playbook.risk,
        "platforms": playbook.platforms,
        "checks": playbook.checks,
        "thresholds": playbook.thresholds,
        "fixes": playbook.fixes,
        "needs": playbook.needs,
        "conflicts": playbook.conflicts,
        "durations": playbook.durations,
        "params": params_document(playbook.params),
        "steps": [
            {
                "name": step.name,
                "action": step.action,
                "when": step.when.text if step.when else None,
                "loop": step.loop.text if step.loop else None,
                "retry": step.retry,
                "deadline_s": step.deadline_s,
                "privilege": step.privilege,
                "on_failure": step.on_failure,
                "rollback": [undo.name for undo in step.rollback],
            }
            for step in playbook.steps
        ],
        "verify": verify,
        "digest": playbook.digest,
    }


def begin_playbook(settings: Settings, name: str, folder: Path) -> None:
    """Write a playbook that passes lint and a scenario that passes; what is there already is left alone."""
    if not is_id(name):
        raise UsageError(
            Text("a playbook's name is lower case: words and hyphens"), Text("longarm playbook new restart-printing")
        )
    path = folder / f"{name}.yaml"
    scenarios = scenarios_of(path)
    for one in (path, scenarios):
        if one.exists():
            raise UsageError(Text("{path} is there already", path=one), Text("choose another name"))
    scenarios.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLAYBOOK.replace("NAME", name), "utf-8")
    scenarios.write_text(SCENARIO, "utf-8")
    tell(settings, Text("written: {path}", path=path))
    tell(settings, Text("longarm playbook test {path}", path=path))


def lint_rows(settings: Settings, names: Sequence[str], *, fix: bool) -> tuple[list[Mapping[str, object]], int]:
    """Return what lint says of playbooks, and the exit code: 2 where one cannot be loaded, 1 where one has an error."""
    library, code = load_library(), 0
    rows: list[Mapping[str, object]] = []
    for path in map(playbook_path, names):
        if fix and (count := mend(path, library)):
            tell(settings, Text("{path}: mended {count}", path=path, count=count))
        linted = lint_playbook(path, library)
        for text in linted.unseen:
            complain(f"{path}: {say(text)}")
        rows += [
            {
                "place": str(issue.place),
                "grade": issue.grade.value,
                "code": issue.code,
                "text": say(issue.text),
                "hint": say(issue.hint) if issue.hint else None,
            }
            for issue in linted.issues
        ]
        code = max(code, UNLOADABLE if linted.playbook is None else FAILED if linted.errors else 0)
    if not rows:
        tell(settings, Text("nothing is wrong with {names}", names=", ".join(names)))
    return rows, code


def scenario_rows(settings: Settings, names: Sequence[str]) -> tuple[list[Mapping[str, object]], int]:
    """Return how the scenarios of playbooks ended, and 1 where one did not end as expected; none at all is a mistake."""
    library, code, faults = load_library(), 0, 0
    rows: list[Mapping[str, object]] = []
    for path in map(playbook_path, names):
        playbook, file = load_playbook(path, library), scenarios_of(path)
        if not file.is_file():
            known = [one.name for one in file.parent.glob("*.yaml")] if file.parent.is_dir() else []
            text = Text("{path} has no scenarios: there is no {file}", path=path, file=file)
            raise UsageError(text, did_you_mean(file.name, known))
        for scenario in load_scenarios(file, playbook, library):
            result = run_scenario(scenario, playbook, library)
            for text in result.problems:
                complain(f"{scenario.place}: {scenario.name}: {say(text)}")
            state = "failed" if result.problems else "ok"
            rows.append(
                {
                    "scenario": scenario.name,
                    "playbook": playbook.id,
                    "state": state,
                    "faults": result.faults,
                    "problems": [say(text) for text in result.problems],
                }
            )
            faults += result.faults
            code = FAILED if result.problems else code
    tell(settings, Text("scenarios: {count}, faults tried: {faults}", count=len(rows), faults=faults))
    return rows, code
