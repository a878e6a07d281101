"""The action `ansible` with the real ansible-runner on this machine; its secrets are on no disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inventory.secret import Secret
from playbooks.actions.ansible_run import NoAnsible, run_ansible
from playbooks.ports import AnsibleLogin
from playbooks.results import StepState
from playbooks.testing import FakeHands
from tests.playbooks.playing import foreseen, played, short

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
TASKS = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: write a file
      ansible.builtin.copy: {content: "{{ word }}", dest: "%s/made", mode: "0644"}
    - name: look at it
      ansible.builtin.stat: {path: "%s/made"}
      tags: [look]
    - name: may fail
      ansible.builtin.fail: {msg: as it was told}
      when: word == "fail"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site.yml").write_text(TASKS.replace("%s", str(tmp_path)))
    (tmp_path / "roles" / "web" / "tasks").mkdir(parents=True)
    (tmp_path / "roles" / "web" / "tasks" / "main.yml").write_text("- ansible.builtin.debug: {msg: a role}\n")
    return tmp_path


def done(folder: Path, steps: str, **variables: object) -> tuple[StepState, dict[str, object], str]:
    hands = FakeHands(login=AnsibleLogin(variables={**LOCAL, **variables}))
    outcome = played(short(steps, folder=folder), hands, folder=folder)
    step = outcome.steps[0]
    return step.state, dict(step.data), str(step.why)


@pytest.mark.timeout(300)
def test_a_playbook_of_ansible_is_run_and_its_recap_is_the_result(folder: Path) -> None:
    steps = "  - ansible: {playbook: site.yml}\n    vars: {word: \"'hello'\"}\n"
    state, recap, _ = done(folder, steps)
    assert state is StepState.CHANGED and (folder / "made").read_text() == "hello"
    assert recap == {"ok": 2, "changed_tasks": 1, "failures": 0, "skipped": 1, "unreachable": 0}
    state, recap, _ = done(folder, steps)
    assert state is StepState.OK and recap["changed_tasks"] == 0


@pytest.mark.timeout(300)
def test_what_fails_there_fails_here(folder: Path) -> None:
    state, recap, why = done(folder, "  - ansible: {playbook: site.yml}\n    vars: {word: \"'fail'\"}\n")
    assert state is StepState.FAILED and recap["failures"] == 1 and "failed" in why
    state, recap, why = done(folder, "  - ansible: {role: roles/web}\n")
    assert state is StepState.OK and recap["ok"] == 2  # the facts and the message
    (folder / "site.yml").write_text("- hosts: all\n  tasks: nonsense\n")
    state, recap, why = done(folder, "  - ansible: {playbook: site.yml}\n")
    assert state is StepState.FAILED and not recap and "began no task" in why


def test_nobody_can_predict_it(folder: Path) -> None:
    (plan,) = foreseen(short("  - ansible: {playbook: site.yml}\n", folder=folder), FakeHands(), folder=folder)
    assert plan.forecast.changes is None and "cannot be predicted" in str(plan.forecast.why)


@pytest.mark.timeout(300)
def test_secrets_are_on_no_disk_and_on_no_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task itself looks: at every file of the run, and at the command lines of all processes."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    files = f"grep -rl s3cr3t-canar[y] {temporary}"
    processes = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\\\0' '\\\\n' | grep s3cr3t-canar[y]"
    look = f"{files} ; {processes}"
    (folder / "site.yml").write_text(
        f'- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.shell: "{look} ; true"\n      register: seen\n'
        "    - ansible.builtin.fail: {msg: 'seen: {{ seen.stdout }}'}\n      when: seen.stdout != ''\n"
    )
    login = AnsibleLogin(variables=LOCAL, become_password=Secret("s3cr3t-canary"))
    recap = run_ansible("db01", folder / "site.yml", login, role=False, given={}, tags=(), deadline_s=120)
    assert recap.status == "successful", recap.said.decode()
    assert b"s3cr3t-canary" not in recap.said
    assert list(temporary.iterdir()) == []


def test_without_the_extra_that_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ansible_runner.config.runner", None)
    with pytest.raises(NoAnsible, match="the extra “ansible” brings it"):
        run_ansible("a", folder / "site.yml", AnsibleLogin(variables={}), role=False, given={}, tags=(), deadline_s=1)
    state, _, why = done(folder, "  - ansible: {playbook: site.yml}\n")
    assert state is StepState.REFUSED and "ansible-runner is not installed" in why
