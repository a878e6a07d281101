"""A repair of one real host, kept as a scenario beside its playbook."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from console.authoring import FAILED, written_playbook
from console.files import private
from console.inventories import known_inventory
from console.repairing import Wishes, repair_hosts
from console.settings import Settings
from console.terminal import complain, tell
from console.words import say
from diagnostics.library import Library, load_library
from inventory.errors import Text, UsageError
from playbooks.load import SHIPPED, load_playbook
from playbooks.model import Playbook
from playbooks.scenario_files import load_scenarios, scenarios_of
from playbooks.scenario_writing import Recording
from playbooks.scenarios import ScenarioResult, run_scenario


def record_scenario(settings: Settings, names: Sequence[str], target: str, params: Sequence[str], force: str | None) -> int:
    """Repair one host, write what it said behind the playbook's scenarios, and return the exit code of the repair.

    1 where the scenario does not pass at once.
    """
    path = _own(settings, names)
    if (count := len(known_inventory(settings).select(target).hosts)) != 1:
        text = Text("“{target}” names {count} hosts: a recording is of one", target=target, count=count)
        raise UsageError(text, Text("longarm inventory list {target}", target=shlex.quote(target)))
    told: list[Recording] = []
    code = repair_hosts(settings, str(path), target, Wishes(param=params, force=force, recorded=told.append))
    if not told:
        tell(settings, Text("nothing was recorded: nothing was done, or it was not seen to its end"))
        return code
    library = load_library()
    playbook, file = load_playbook(path, library), scenarios_of(path)
    result = _kept(file, told[0], playbook, library)
    for text in result.problems:
        complain(f"{file}: {say(text)}")
    tell(settings, Text("recorded: {file}; look at it before you keep it", file=str(file)))
    return FAILED if result.problems else code


def _own(settings: Settings, names: Sequence[str]) -> Path:
    """Return the file of the one playbook that is recorded."""
    if len(names) != 1:
        raise UsageError(Text("a recording is of one playbook"), Text("longarm playbook test PLAYBOOK --record HOST"))
    path = written_playbook(settings.home, names[0])
    if path.parent == SHIPPED:
        text = Text("“{name}” is a shipped playbook: its scenarios are not yours to write", name=path.stem)
        raise UsageError(text, Text("copy it, and record with the copy"))
    return path


def _kept(file: Path, recording: Recording, playbook: Playbook, library: Library) -> ScenarioResult:
    """Write a scenario behind those that are there, its evidence beside them, and return how it ends."""
    file.parent.mkdir(exist_ok=True)
    for name, evidence in recording.evidence.items():
        path = file.parent / name
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb", opener=private) as kept:
            kept.write(evidence)
    with open(file, "a", encoding="utf-8", opener=private) as scenarios:
        scenarios.write(recording.scenario)
    return run_scenario(load_scenarios(file, playbook, library)[-1], playbook, library)
