"""Playbooks for who writes them: by name or as files, linted, tested, begun."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from console.faults import explain, show_problems
from console.own_playbooks import ENDINGS, own_playbooks
from console.permits import own_playbook
from console.served import served
from console.settings import Settings
from console.terminal import complain, tell
from console.words import say
from diagnostics.library import load_library
from inventory.errors import InvalidFile, LongarmError, Text, UsageError
from inventory.fields import did_you_mean
from playbooks.issues import Grade
from playbooks.keys import Script
from playbooks.lint import lint_playbook
from playbooks.load import SHIPPED, UnknownPlaybook, load_playbook, shipped_playbooks
from playbooks.mending import mend
from playbooks.model import Playbook
from playbooks.param_files import params_document
from playbooks.reading import is_id
from playbooks.scenario_files import SCENARIOS, load_scenarios, scenarios_of
from playbooks.scenarios import run_scenario
from playbooks.skeletons import PLAYBOOK, SCENARIO
from reports.language import language
from reports.playbook_text import playbook_text
from runner.content import refuse_unsigned

UNLOADABLE = 2
FAILED = 1
_PLAYBOOK = re.compile(rb"""^(?:"playbook"|'playbook'|playbook)[ \t]*:""", re.MULTILINE)
_HEAD = 64 * 1024
MOST_FILES = 10_000
"""In a folder that is linted: whoever names `/` has meant another one."""


def playbook_path(home: Path, name: str) -> Path:
    """Return the file of a playbook: what looks like a file is one, everything else is shipped; raises UnknownPlaybook."""
    if name.endswith(ENDINGS) or os.sep in name:
        return own_playbook(home, name)
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    if name not in shipped:
        raise UnknownPlaybook(name, [*shipped, *(path.name for path in own_playbooks(home))])
    return shipped[name]


def written_playbook(home: Path, name: str) -> Path:
    """Return the file of a playbook for who writes one: what is here counts before what the desk has of that name."""
    return Path(name) if name.endswith(ENDINGS) and Path(name).exists() else playbook_path(home, name)


def is_folder(name: str) -> bool:
    """Tell whether a name is a folder of playbooks, and no shipped one."""
    return served() is None and Path(name).is_dir() and not (SHIPPED / f"{name}.yaml").is_file()


def playbook_paths(home: Path, name: str) -> list[Path]:
    """Return the file of a playbook, or those in a folder and below it; raises UsageError for a folder without any."""
    if not is_folder(name):
        return [written_playbook(home, name)]
    try:
        files = [*islice(_below(Path(name)), MOST_FILES + 1)]
    except OSError as error:
        text = Text("{path}: {reason}", path=error.filename, reason=error.strerror or str(error))
        raise UsageError(text, Text("name what can be read: longarm playbook lint FILE.yaml")) from error
    if len(files) > MOST_FILES:
        text = Text("there are more than {limit} files in {folder} and below it", limit=MOST_FILES, folder=name)
        raise UsageError(text, Text("longarm playbook lint FOLDER/*.yaml"))
    found = [path for path in files if path.suffix in (".yaml", ".yml") and _says_playbook(path)]
    if not found:
        text = Text("there is no playbook in {folder}: no YAML file with a line “playbook: …”", folder=name)
        raise UsageError(text, Text("longarm playbook new NAME"))
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, in order: those of scenarios, and what is hidden, are passed over."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if not path.is_dir():
            yield path
        elif path.name != SCENARIOS:
            yield from _below(path)


def _says_playbook(path: Path) -> bool:
    """Tell whether a file says that it is a playbook of ours, however broken; one that cannot be read may be one."""
    try:
        with path.open("rb") as opened:
            return _PLAYBOOK.search(opened.read(_HEAD)) is not None
    except OSError:
        return True


def named_playbook(settings: Settings, name: str) -> Playbook:
    """Return a playbook by name or path."""
    return load_playbook(playbook_path(settings.home, name), load_library())


def playbook_rows(settings: Settings) -> list[Mapping[str, object]]:
    """Return a row for each playbook that ships, by its id, and for each of the desk's own, by its file."""
    own = ((path.name, _own(settings, path)) for path in own_playbooks(settings.home))
    return [
        {
            "playbook": name,
            "kind": playbook.kind,
            "maintenance": playbook.maintenance,
            "tier": playbook.tier,
            "risk": playbook.risk,
            "checks": len(playbook.checks),
            "steps": len(playbook.steps),
        }
        for name, playbook in [*((one.id, one) for one in shipped_playbooks()), *own]
        if playbook is not None
    ]


def _own(settings: Settings, path: Path) -> Playbook | None:
    """Return one of the desk's own playbooks, None for one that nobody can use: that is told, and the others are listed."""
    try:
        refuse_unsigned(settings.home, os.fspath(path))
        return load_playbook(path)
    except LongarmError as error:
        complain(say(Text("left out: {name}", name=path.name)))
        explain(error)
        return None


def playbook_document(settings: Settings, name: str) -> Mapping[str, object]:
    """Return one playbook as a document."""
    playbook = named_playbook(settings, name)
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
                "script": script.text if isinstance(script := step.values.get(step.action), Script) else None,
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


def playbook_page(settings: Settings, name: str) -> str:
    """Return one playbook as text, with the names of the scenarios beside it, or without those that cannot be read."""
    path, library = playbook_path(settings.home, name), load_library()
    playbook, file = load_playbook(path, library), scenarios_of(path)
    try:
        names = [one.name for one in load_scenarios(file, playbook, library)] if file.is_file() else []
    except InvalidFile as error:
        names = []
        complain(say(Text("the scenarios are left out, there are mistakes in them:")))
        show_problems(error.problems)
    return playbook_text(playbook, names, language(settings.language))


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
    paths = [path for name in names for path in playbook_paths(settings.home, name)]
    for path in paths:
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
    if len(paths) != 1 or any(is_folder(name) for name in names):
        grades = Counter(row["grade"] for row in rows)
        counts = {"count": len(paths), "errors": grades[Grade.ERROR.value], "warnings": grades[Grade.WARNING.value]}
        tell(settings, Text("playbooks: {count}, errors: {errors}, warnings: {warnings}", **counts))
    return rows, code


def scenario_rows(settings: Settings, names: Sequence[str]) -> tuple[list[Mapping[str, object]], int]:
    """Return how the scenarios of playbooks ended, and 1 where one did not end as expected; none at all is a mistake."""
    library, code, faults = load_library(), 0, 0
    rows: list[Mapping[str, object]] = []
    for path in (written_playbook(settings.home, name) for name in names):
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
