"""Running what people have for Ansible, on one host, by ansible-runner; it is given no secret and no login of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from inventory.errors import LongarmError, Text
from inventory.host import Host
from inventory.secret import MASKER
from playbooks.actions.doing import Doing, Done
from playbooks.ports import Recap
from playbooks.reading import unfrozen
from playbooks.results import Effect, Forecast, StepState
from remote.ansible_bridge import AnsibleWay
from remote.errors import DeadlineExceeded, RemoteError
from remote.question import Privilege

MOST_SAID: Final = 256 * 1024
PLUGINS: Final = Path(__file__).parent / "ansible_plugins"
PYTHON: Final = "ansible_python_interpreter"
_STATS: Final = {"ok": "ok", "changed": "changed_tasks", "failures": "failures", "skipped": "skipped", "dark": "unreachable"}
_LOOKING_S: Final = 1
"""How often ansible-runner looks whether it is to stop."""


_INSTALL: Final = Text('pip install "longarm[ansible]"')


class NoAnsible(LongarmError):
    """ansible-runner or Ansible itself is not installed beside longarm."""


class RunAnsible:
    """Runs a playbook or a role of Ansible, at most once."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that Ansible's own check mode is not trusted."""
        return Forecast(changes=None, why=Text("cannot be predicted: what Ansible says beforehand is often not what it does"))

    async def perform(self, doing: Doing) -> Done:
        """Return Ansible's recap as the step's end."""
        host, values = doing.ports.hands.host, doing.values
        given = {name: plain(doing.variables[name]) for name in doing.step.values.get("vars", {})}

        def run(way: AnsibleWay) -> Recap:
            return run_ansible(
                host,
                values["folder"] / (values.get("playbook") or values["role"]),
                way,
                role=bool(values.get("role")),
                given=given,
                tags=tuple(values.get("tags") or ()),
                as_root=doing.step.privilege is Privilege.ROOT,
            )

        try:
            return _done(await doing.ports.hands.ansible(doing.key, run, deadline_s=doing.left_s()))
        except NoAnsible as error:
            return Done(state=StepState.REFUSED, why=error.text)
        except DeadlineExceeded:
            return _done(Recap(status="timeout"))
        except RemoteError as error:
            return Done(state=StepState.REFUSED, why=error.text)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: durations in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def lacking() -> LongarmError | None:
    """Return what says that Ansible cannot be run on this machine; None: it can."""
    if find_spec("ansible_runner") is None:
        return NoAnsible(Text("ansible-runner is not installed: the extra “ansible” brings it"), _INSTALL)
    if shutil.which("ansible-playbook", path=_path()) is None:
        return NoAnsible(Text("ansible-playbook is not installed: the extra “ansible” brings it"), _INSTALL)
    return None


def run_ansible(
    host: Host, what: Path, way: AnsibleWay, *, role: bool, given: Mapping[str, Any], tags: tuple[str, ...], as_root: bool
) -> Recap:
    """Return what a playbook, or a role, of Ansible came to on a host; blocks. Raises NoAnsible."""
    if (missing := lacking()) is not None:
        raise missing
    from ansible_runner.config.runner import RunnerConfig
    from ansible_runner.runner import Runner

    inventory, playbook = way.folder / "inventory.json", what
    inventory.write_text(json.dumps(_inventory(host, way)))
    if role:
        playbook = way.folder / "role.json"  # JSON is YAML
        playbook.write_text(json.dumps([{"hosts": "all", "roles": [what.name]}]))
    config = RunnerConfig(
        private_data_dir=str(way.folder),
        playbook=str(playbook),
        inventory=str(inventory),
        roles_path=str(what.parent),
        extravars=dict(given),
        tags=",".join(tags) or None,
        cmdline=f"--become --become-user {shlex.quote(host.become.user)}" if as_root else None,
        timeout=max(1, int(way.left_s)),
        envvars=_environment(way),
        quiet=True,
        suppress_env_files=True,
        project_dir=str(what.parent),
    )
    config.prepare()
    config.env = {name: value for name, value in config.env.items() if not MASKER.leaks(str(value).encode("utf-8", "replace"))}
    config.pexpect_timeout = _LOOKING_S
    seen = _Seen(host=host.name)
    runner = Runner(config, event_handler=seen.note, cancel_callback=way.stopped.is_set)
    status, _ = runner.run()
    stats = runner.stats or {}
    with runner.stdout as said:
        text = said.read(MOST_SAID)
    counted = host.name in stats.get("processed", {})
    found = {ours: int(stats.get(theirs, {}).get(host.name, 0)) for theirs, ours in _STATS.items()} if counted else {}
    return Recap(
        status=status,
        stats=found,
        said=text.encode("utf-8", "replace"),
        tasks=tuple(seen.tasks),
        begun=seen.begun,
        lost=way.lost.is_set(),
    )


def _inventory(host: Host, way: AnsibleWay) -> dict[str, Any]:
    """Return the inventory that Ansible is given: the host with its groups and variables.

    It is reached by the session that is open, and by nothing else: what else Ansible could log in with is left out.
    """
    theirs = {name: unfrozen(value) for name, value in host.vars.items() if not name.startswith("ansible_") or name == PYTHON}
    variables = {
        PYTHON: "auto_silent",
        **theirs,
        "ansible_connection": "longarm",
        "ansible_become_method": "longarm",
        "ansible_longarm_socket": str(way.socket),
        "ansible_user": way.user,
    }
    groups: dict[str, Any] = {group: {"hosts": {host.name: {}}} for group in host.groups if group not in ("all", "ungrouped")}
    return {"all": {"hosts": {host.name: variables}, "children": groups}}


def _environment(way: AnsibleWay) -> dict[str, str]:
    """Return what Ansible's environment has beside ours: its programs are those beside this Python, its plugins ours."""
    return {
        "PATH": _path(),
        "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
        "ANSIBLE_BECOME_PLUGINS": str(PLUGINS / "become"),
        "ANSIBLE_LOCAL_TEMP": str(way.folder / "local"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was seen of a run while it lasted: one that is killed counts nothing in the end."""

    host: str
    tasks: list[str] = field(default_factory=list)
    begun: bool = False

    def note(self, event: Mapping[str, Any]) -> bool:
        """Keep what began, changed or failed; tell ansible-runner to keep its file of the event, which goes with the folder."""
        data = event.get("event_data") or {}
        task = str(data.get("task") or "")
        if event.get("event") == "runner_on_ok" and (data.get("res") or {}).get("changed"):
            self.tasks.append(f" changed: {task}")
        elif event.get("event") in ("runner_on_failed", "runner_on_unreachable"):
            self.tasks.append(f" failed: {task}")
        self.begun = self.begun or (event.get("event") == "runner_on_start" and data.get("host") == self.host)
        return True


def _done(recap: Recap) -> Done:
    changed = recap.stats.get("changed_tasks", 0) > 0
    common: dict[str, Any] = {"stdout": recap.said, "data": dict(recap.stats), "diff": tuple(recap.tasks)}
    if recap.status == "successful" and recap.stats:
        state = StepState.CHANGED if changed else StepState.OK
        return Done(state=state, effect=Effect.CHANGED if changed else Effect.NONE, **common)
    if recap.status in ("timeout", "canceled"):
        why = Text("Ansible did not end before the deadline: nobody knows what it did")
        return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, **common, why=why)
    if recap.lost:
        why = Text("the connection went away under a task of Ansible's: nobody knows what that did")
        return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, **common, why=why)
    if recap.stats.get("unreachable"):
        return Done(state=StepState.FAILED, effect=Effect.MAYBE, **common, why=Text("Ansible could not reach the host"))
    if not recap.stats and recap.begun:  # it was killed, or gave up by itself: what it did it says in the end alone
        why = Text("Ansible ended without a recap: nobody knows what it did ({status})", status=recap.status)
        return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, **common, why=why)
    if not recap.stats:  # it ended before its first task: a mistake in what is run, no host in it
        return Done(state=StepState.FAILED, **common, why=Text("Ansible began no task here: {status}", status=recap.status))
    return Done(
        state=StepState.FAILED, effect=Effect.MAYBE, **common, why=Text("Ansible ended with: {status}", status=recap.status)
    )
