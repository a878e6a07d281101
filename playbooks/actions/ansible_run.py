"""Running what people have for Ansible, on one host, by ansible-runner; nothing secret is written to disk."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from weakref import WeakKeyDictionary

from inventory.errors import LongarmError, Text
from playbooks.actions.doing import Doing, Done
from playbooks.ports import AnsibleLogin
from playbooks.results import Effect, Forecast, StepState

MOST_SAID: Final = 256 * 1024
_STATS: Final = {"ok": "ok", "changed": "changed_tasks", "failures": "failures", "skipped": "skipped", "dark": "unreachable"}
_PROMPTS: Final = {
    "password": ("--ask-pass", r"^SSH password:\s*?$"),
    "become_password": ("--ask-become-pass", r"^BECOME password.*:\s*?$"),
}
"""The option that makes Ansible ask for a secret, and the prompt that ansible-runner answers."""
MOST_RUNS: Final = 4
"""How many run at once on this machine: each is several processes of Python."""
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class NoAnsible(LongarmError):
    """ansible-runner or Ansible itself is not installed beside longarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recap:
    """What a run of Ansible came to on one host."""

    status: str
    """`successful`, `failed`, `timeout`, `canceled`: ansible-runner's own word."""
    stats: Mapping[str, int]
    """By the names that `results` has for them; empty where no task was begun."""
    said: bytes = b""
    tasks: Sequence[str] = field(default=())
    """What changed or failed, a line each: `changed: install curl`."""


class RunAnsible:
    """Runs a playbook or a role of Ansible, at most once."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that Ansible's own check mode is not trusted."""
        return Forecast(changes=None, why=Text("cannot be predicted: what Ansible says beforehand is often not what it does"))

    async def perform(self, doing: Doing) -> Done:
        """Return Ansible's recap as the step's end."""
        folder = doing.ports.folder
        if folder is None:
            return Done(state=StepState.REFUSED, why=Text("this playbook has no folder"))
        login = await doing.ports.hands.ansible_login()
        host, values = doing.ports.hands.host.name, doing.values
        given = {name: plain(doing.variables[name]) for name in doing.step.values.get("vars", {})}
        try:
            async with _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST_RUNS)):
                recap = await asyncio.to_thread(
                    run_ansible,
                    host,
                    folder / (values.get("playbook") or values["role"]),
                    login,
                    role=bool(values.get("role")),
                    given=given,
                    tags=tuple(values.get("tags") or ()),
                    deadline_s=doing.left_s(),
                )
        except NoAnsible as error:
            return Done(state=StepState.REFUSED, why=error.text)
        return _done(recap)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: durations in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def run_ansible(
    host: str,
    what: Path,
    login: AnsibleLogin,
    *,
    role: bool,
    given: Mapping[str, Any],
    tags: tuple[str, ...],
    deadline_s: float,
) -> Recap:
    """Return what a playbook, or a role, of Ansible came to on `host`; blocks. Raises NoAnsible."""
    try:
        from ansible_runner.config.runner import RunnerConfig
        from ansible_runner.runner import Runner
    except ImportError as error:
        raise NoAnsible(Text("ansible-runner is not installed: the extra “ansible” brings it")) from error
    tasks: list[str] = []
    with TemporaryDirectory(prefix="longarm-ansible-") as private:
        root = Path(private)
        inventory = root / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {host: dict(login.variables)}}}))
        playbook = what
        if role:
            playbook = root / "role.json"  # JSON is YAML
            playbook.write_text(json.dumps([{"hosts": "all", "roles": [what.name]}]))
        secrets = {key: getattr(login, key) for key in _PROMPTS if getattr(login, key) is not None}
        config = RunnerConfig(
            private_data_dir=private,
            playbook=str(playbook),
            inventory=str(inventory),
            roles_path=str(what.parent),
            extravars=dict(given),
            tags=",".join(tags) or None,
            passwords={_PROMPTS[key][1]: secret.reveal() for key, secret in secrets.items()},
            cmdline=" ".join(_PROMPTS[key][0] for key in secrets) or None,
            ssh_key=login.private_key.reveal() if login.private_key else None,
            timeout=max(1, int(deadline_s)),
            envvars=_environment(),
            quiet=True,
            suppress_env_files=True,
            project_dir=str(what.parent),
        )
        config.prepare()
        runner = Runner(config, event_handler=lambda event: _noted(event, tasks))
        status, _ = runner.run()
        stats = runner.stats or {}
        with runner.stdout as said:
            text = said.read(MOST_SAID)
    found = {ours: int(stats.get(theirs, {}).get(host, 0)) for theirs, ours in _STATS.items()} if stats else {}
    return Recap(status=status, stats=found, said=text.encode("utf-8", "replace"), tasks=tuple(tasks))


def _environment() -> dict[str, str]:
    """Return what Ansible's environment has beside ours: its programs are those beside this Python, host keys are strict."""
    beside = str(Path(sys.executable).parent)
    return {
        "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', '')}",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }


def _noted(event: Mapping[str, Any], tasks: list[str]) -> bool:
    """Keep what changed or failed; tell ansible-runner to keep its file of the event too, which lives as long as the folder."""
    data = event.get("event_data") or {}
    task = str(data.get("task") or "")
    if event.get("event") == "runner_on_ok" and (data.get("res") or {}).get("changed"):
        tasks.append(f" changed: {task}")
    elif event.get("event") in ("runner_on_failed", "runner_on_unreachable"):
        tasks.append(f" failed: {task}")
    return True


def _done(recap: Recap) -> Done:
    changed = recap.stats.get("changed_tasks", 0) > 0
    common: dict[str, Any] = {"stdout": recap.said, "data": dict(recap.stats), "diff": tuple(recap.tasks)}
    if recap.status == "successful" and recap.stats:
        state = StepState.CHANGED if changed else StepState.OK
        return Done(state=state, effect=Effect.CHANGED if changed else Effect.NONE, **common)
    if recap.status == "timeout":
        why = Text("Ansible did not end before the deadline: nobody knows what it did")
        return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, **common, why=why)
    if recap.stats.get("unreachable"):
        return Done(state=StepState.FAILED, effect=Effect.MAYBE, **common, why=Text("Ansible could not reach the host"))
    if not recap.stats:  # it ended before its first task: a mistake in what is run, no host in it
        return Done(state=StepState.FAILED, **common, why=Text("Ansible began no task: {status}", status=recap.status))
    return Done(
        state=StepState.FAILED, effect=Effect.MAYBE, **common, why=Text("Ansible ended with: {status}", status=recap.status)
    )
