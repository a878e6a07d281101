"""The action `ansible` with the real ansible-runner, over a real session to this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.errors import InvalidFile, UsageError
from inventory.host import Host, Platform, Transport
from playbooks.actions.ansible_run import NoAnsible
from playbooks.ports import Recap
from playbooks.readiness import refuse_unready
from playbooks.results import Effect, StepResult, StepState
from playbooks.testing import FakeHands, FakeOperator, StepScript
from remote.ansible_bridge import AnsibleWay, NoShell, _sweep, private_folder, with_ansible
from remote.local import LocalSession
from tests.playbooks.playing import foreseen, played, short
from tests.playbooks.real_hands import HERE, going_away_at, played_here

HOST = replace(
    HERE, groups=("web",), vars={"ansible_python_interpreter": sys.executable, "ansible_password": "x", "role": "shop"}
)
TASKS = """\
- hosts: web
  gather_facts: false
  tasks:
    - name: write a file
      ansible.builtin.copy: {content: "{{ word }} {{ role }}", dest: "%s/made"}
    - name: look at it
      ansible.builtin.stat: {path: "%s/made"}
      tags: [look]
    - name: may fail
      ansible.builtin.fail: {msg: as it was told}
      when: word == "fail"
"""
AS_OTHERS = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: id -un; pwd; umask
      register: me
    - ansible.builtin.raw: id -un
      become: true
      become_user: nobody
      register: other
    - ansible.builtin.copy: {content: "{{ me.stdout_lines + other.stdout_lines }}", dest: "%s/who"}
    - ansible.builtin.fetch: {src: "%s/who", dest: "%s/back", flat: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site.yml").write_text(TASKS.replace("%s", str(tmp_path)))
    (tmp_path / "roles" / "web" / "tasks").mkdir(parents=True)
    (tmp_path / "roles" / "web" / "tasks" / "main.yml").write_text("- ansible.builtin.debug: {msg: a role}\n")
    return tmp_path


def done(folder: Path, steps: str, host: Host = HOST) -> StepResult:
    return played_here(short(steps, folder=folder), host=host)[0].steps[0]


@pytest.mark.timeout(300)
def test_a_playbook_of_ansible_is_run_and_its_recap_is_the_result(folder: Path) -> None:
    steps = "  - ansible: {playbook: site.yml}\n    vars: {word: \"'hello'\"}\n"
    step = done(folder, steps)
    assert step.state is StepState.CHANGED and (folder / "made").read_text() == "hello shop", step.stdout.decode()
    assert step.data == {"ok": 2, "changed_tasks": 1, "failures": 0, "skipped": 1, "unreachable": 0}
    assert (folder / "made").stat().st_mode & 0o777 == 0o644, "as a login by ssh leaves it"
    step = done(folder, steps)
    assert step.state is StepState.OK and step.data["changed_tasks"] == 0


@pytest.mark.timeout(300)
def test_what_fails_there_fails_here(folder: Path) -> None:
    step = done(folder, "  - ansible: {playbook: site.yml}\n    vars: {word: \"'fail'\"}\n")
    assert step.state is StepState.FAILED and step.data["failures"] == 1 and "failed" in str(step.why)
    step = done(folder, "  - ansible: {role: roles/web}\n")
    assert step.state is StepState.OK and step.data["ok"] == 2  # the facts and the message
    step = done(folder, "  - ansible: {playbook: site.yml}\n", replace(HOST, groups=()))
    assert step.state is StepState.FAILED and not step.data, "no play is for this host"
    (folder / "site.yml").write_text("- hosts: all\n  tasks: nonsense\n")
    step = done(folder, "  - ansible: {playbook: site.yml}\n")
    assert step.state is StepState.FAILED and not step.data and "began no task" in str(step.why)


BESIDE = {
    "site.yml": "- {hosts: all, roles: [web, db], tasks: [{include_tasks: more.yml}]}\n",
    "more.yml": "- ansible.builtin.template: {src: motd.j2, dest: /etc/motd}\n",
    "motd.j2": "words\n",
    "group_vars/all.yml": "port: 80\n",
    "library/own.py": "code = 1\n",
    "roles/web/tasks/main.yml": "- ansible.builtin.include_tasks: later.yml\n",
    "later.yml": "[]\n",
    "db/tasks/main.yml": "[]\n",
    "db/meta/main.yml": "dependencies: [base]\n",
    "base/tasks/main.yml": "[]\n",
}
NOT_NAMED = {"other.yaml": "- 1\n", "old-site.yml": "- 1\n", "reports/all.json": "{}\n", "unused/tasks/main.yml": "[]\n"}


def laid_out(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("changed", [*BESIDE, *NOT_NAMED])
def test_whatever_ansible_may_use_beside_a_playbook_is_in_its_digest(tmp_path: Path, changed: str) -> None:
    """Of what is approved, and of what a run goes on with, nothing that it does is another thing by then."""
    laid_out(tmp_path, BESIDE | NOT_NAMED)
    steps = "  - ansible: {playbook: site.yml}\n"
    before = short(steps, folder=tmp_path).digest
    with (tmp_path / changed).open("a") as file:
        file.write("# changed\n")
    assert (short(steps, folder=tmp_path).digest != before) is (changed in BESIDE)


def test_all_of_a_folder_is_in_the_digest_that_ansible_has_for_itself(tmp_path: Path) -> None:
    laid_out(tmp_path / "site", BESIDE | NOT_NAMED)
    steps, digests = "  - ansible: {playbook: site/site.yml}\n", set()
    for name in NOT_NAMED:
        (tmp_path / "site" / name).write_text("changed")
        digests.add(short(steps, folder=tmp_path).digest)
    assert len(digests) == len(NOT_NAMED)


def test_the_roles_that_a_role_names_are_in_the_digest(tmp_path: Path) -> None:
    laid_out(tmp_path, BESIDE)
    steps = "  - ansible: {role: db}\n"
    before = short(steps, folder=tmp_path).digest
    (tmp_path / "later.yml").write_text("- changed\n")
    assert short(steps, folder=tmp_path).digest == before
    (tmp_path / "base/tasks/main.yml").write_text("- changed\n")
    assert short(steps, folder=tmp_path).digest != before


@pytest.mark.parametrize("link", ["roles/own", "more.yml", "group_vars"])
def test_a_link_among_what_ansible_may_use_is_refused(tmp_path: Path, link: str) -> None:
    """What lies behind it is not beside the playbook: it could be changed, and the digest would not tell."""
    laid_out(tmp_path, {name: text for name, text in BESIDE.items() if not name.startswith(link)})
    laid_out(tmp_path / "elsewhere", {"tasks/main.yml": "[]\n"})
    (tmp_path / link).symlink_to(tmp_path / "elsewhere" / ("tasks/main.yml" if link == "more.yml" else ""))
    with pytest.raises(InvalidFile, match="leads through a link"):
        short("  - ansible: {playbook: site.yml}\n", folder=tmp_path)


@pytest.mark.hosts  # root, who may become anybody
@pytest.mark.timeout(300)
def test_it_becomes_others_as_longarm_does_and_files_come_back(folder: Path) -> None:
    (folder / "site.yml").write_text(AS_OTHERS.replace("%s", str(folder)))
    step = done(folder, "  - {ansible: {playbook: site.yml}, privilege: root}\n")
    assert step.state is StepState.CHANGED, step.stdout.decode()
    assert json.loads((folder / "back").read_text()) == ["root", os.environ["HOME"], "0022", "nobody"]


@pytest.mark.timeout(300)
def test_what_does_not_end_in_time_is_ended_and_nobody_knows_what_it_did(folder: Path) -> None:
    task = f"{{ansible.builtin.raw: sleep 4700.{os.getpid()}}}"
    (folder / "site.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{task}]\n")
    step = done(folder, "  - {ansible: {playbook: site.yml}, deadline: 3s}\n")
    assert (step.state, step.effect) == (StepState.UNKNOWN, Effect.MAYBE) and "before the deadline" in str(step.why)
    assert not sleeping(f"4700.{os.getpid()}"), "nothing of it is left on the host"


KILLS: str = "{{ lookup('ansible.builtin.pipe', 'kill -9 $(ps -o ppid= -p $PPID)') }}"  # who forked the process of the task
ENDS_IN_THE_MIDDLE = f"""\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: echo made
    - ansible.builtin.debug: {{msg: "{KILLS}"}}
"""


@pytest.mark.timeout(300)
def test_of_what_is_killed_before_its_recap_nobody_knows_what_it_did(folder: Path) -> None:
    (folder / "site.yml").write_text(ENDS_IN_THE_MIDDLE)
    step = done(folder, "  - ansible: {playbook: site.yml}\n")
    assert (step.state, step.effect) == (StepState.UNKNOWN, Effect.MAYBE) and "without a recap" in str(step.why)
    assert step.diff == (" changed: ansible.builtin.raw",)


@pytest.mark.timeout(300)
def test_where_the_connection_went_away_under_a_task_nobody_knows_what_that_did(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalSession, "run", going_away_at("go away", LocalSession.run))
    (folder / "site.yml").write_text("- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.raw: go away}]}\n")
    step = done(folder, "  - ansible: {playbook: site.yml}\n")
    assert (step.state, step.effect) == (StepState.UNKNOWN, Effect.MAYBE) and "the connection went away" in str(step.why)


def sleeping(seconds: str) -> list[str]:
    """Return the processes that have such a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # those that end meanwhile
            if seconds.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


KILLED = """\
import os, signal
from remote.ansible_bridge import private_folder
with private_folder() as folder:
    (folder / "inventory.json").write_text("{}")
    print(folder, flush=True)
    os.kill(os.getpid(), %s)
"""


def test_what_a_killed_process_left_is_swept_and_what_is_anothers_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environ = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}

    def ends_by(number: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", KILLED % number], env=environ, stdout=subprocess.PIPE, text=True)

    with ExitStack() as at_last:
        stopped = at_last.enter_context(ends_by("signal.SIGSTOP"))
        at_last.callback(stopped.kill)
        assert stopped.stdout is not None
        at_work = Path(stopped.stdout.readline().strip())
        killed = at_last.enter_context(ends_by("signal.SIGKILL"))  # last: whoever comes after it sweeps
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        assert killed.wait(60) == -signal.SIGKILL and left.is_dir()
        elsewhere, link = tmp_path / "elsewhere", tmp_path / "longarm-ansible-link"
        elsewhere.mkdir()
        link.symlink_to(elsewhere)
        with private_folder() as folder:
            assert sorted(tmp_path.iterdir()) == sorted((elsewhere, link, at_work, folder))
            assert (at_work / "inventory.json").is_file() and folder.stat().st_mode & 0o777 == 0o700
    assert sorted(tmp_path.iterdir()) == sorted((elsewhere, link, at_work))


def test_what_is_begun_while_others_sweep_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    over = threading.Event()

    def sweeping() -> None:
        while not over.is_set():
            _sweep()

    others = [threading.Thread(target=sweeping) for _ in range(2)]
    with ExitStack() as at_last:
        for other in others:
            other.start()
            at_last.callback(other.join)
        at_last.callback(over.set)
        for _ in range(200):
            with private_folder() as folder:
                time.sleep(0.0005)
                (folder / "inventory.json").write_text("{}")
    assert list(tmp_path.iterdir()) == []


def test_nobody_can_predict_it(folder: Path) -> None:
    (plan,) = foreseen(short("  - ansible: {playbook: site.yml}\n", folder=folder), FakeHands())
    assert plan.forecast.changes is None and "cannot be predicted" in str(plan.forecast.why)


async def test_where_there_is_no_sh_it_is_refused() -> None:
    def never(way: AnsibleWay) -> Recap:
        raise AssertionError(way)

    windows = LocalSession(Host(name="win1", address="192.0.2.1", transport=Transport.WINRM, platform=Platform.WINDOWS))
    with pytest.raises(NoShell, match="reached by SSH, not by winrm"):
        await with_ansible(windows, never, deadline_s=5)


def test_without_the_extra_that_is_said_before_anything_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playbook = short("  - run: a\n  - ansible: {playbook: site.yml}\n", folder=folder)
    refuse_unready(playbook, FakeOperator())
    monkeypatch.setattr("playbooks.actions.ansible_run.find_spec", lambda name: None)
    with pytest.raises(NoAnsible, match="ansible-runner is not installed: the extra “ansible” brings it"):
        refuse_unready(playbook, FakeOperator())
    monkeypatch.undo()
    monkeypatch.setattr("playbooks.actions.ansible_run.shutil.which", lambda name, path: None)
    with pytest.raises(NoAnsible, match="ansible-playbook is not installed") as raised:
        refuse_unready(playbook, FakeOperator())
    assert str(raised.value.hint) == 'pip install "longarm[ansible]"'


def test_who_asks_needs_somebody_who_answers(folder: Path) -> None:
    asks = "ask: {question: {en: Which?, ru: Какой?}, answer: {type: int}}"
    for steps in (f"  - run: a\n  - {{name: Choose, {asks}}}\n", f"  - run: a\n    rollback: [{{name: Choose, {asks}}}]\n"):
        playbook = short(steps)
        refuse_unready(playbook, FakeOperator())
        with pytest.raises(UsageError, match="step “Choose” asks somebody, and nobody is there to answer"):
            refuse_unready(playbook, FakeOperator(present=False))


def test_a_scripted_host_never_runs_it(folder: Path) -> None:
    playbook = short("  - ansible: {playbook: site.yml}\n", folder=folder)
    recap = Recap(status="successful", stats={"ok": 1, "changed_tasks": 1})
    outcome = played(playbook, {"s1": StepScript(call=recap)})
    assert outcome.steps[0].state is StepState.CHANGED and not (folder / "made").exists()
