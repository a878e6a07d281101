"""A playbook of one's own, as `longarm repair` carries it out: what lint calls an error, functions, Ansible, questions."""

from __future__ import annotations

import getpass
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remote.known_hosts import KnownHosts
from tests.console.conftest import LONGARM, Console
from tests.remote.conftest import host_key, make_key, user_key  # noqa: F401 (fixtures)
from tests.remote.servers import Keys, known_key, serving, sshd_command

INVENTORY = "hosts:\n  here: {address: 127.0.0.1, transport: local}\n"
HEAD = """\
playbook: my-own
title: {en: My own, ru: Моё}
says: {en: Cannot be undone., ru: Отменить нельзя.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
"""
ASK = "{question: {en: Which one?, ru: Который?}, answer: {type: int, minimum: 1}}"
CANARY = "s3cr3t-canary-of-the-host"


def book(console: Console, steps: str, more: str = "", name: str = "my-own") -> str:
    """Write a playbook into the home, and return its path."""
    path = console.home / f"{name}.yaml"
    path.write_text(HEAD.replace("my-own", name) + more + "steps:\n" + steps)
    return str(path)


@pytest.fixture
def here(console: Console) -> Console:
    """Return a longarm that knows this machine."""
    console.inventory(INVENTORY)
    return console


def test_what_lint_calls_an_error_is_not_run(here: Console) -> None:
    trace = here.home / "trace"
    path = book(here, f'  - run: touch {trace}\n  - run: eval "$(cat {trace})"\n')
    for more in ((), ("--plan",)):
        done = here("repair", path, "here", "--force", "x", *more)
        assert done.code == 2 and f"{path}:11:" in done.err and "eval" in done.err
        assert f"next: longarm playbook lint {path}" in done.err
    assert not trace.exists() and here("run", "list", "-o", "name").out == ""
    inner = book(here, '  - run: eval "$(cat /etc/motd)"\n', name="inner")
    done = here(
        "repair", book(here, f"  - {{run: touch {trace}, retry: idempotent}}\n  - include: inner\n"), "here", "--force", "x"
    )
    assert done.code == 2 and f"{inner}:10:" in done.err and f"next: longarm playbook lint {inner}" in done.err
    warned = book(here, f"  - {{run: touch {trace}, retry: idempotent}}\n", "conflicts: [rebot]\n")
    done = here("repair", warned, "here", "--force", "x")
    assert done.code == 0 and trace.exists(), "a warning keeps nothing off"


def test_a_folder_of_playbooks_is_linted_and_counted(here: Console) -> None:
    folder = here.home / "shelf"
    (folder / "more" / "scenarios").mkdir(parents=True)
    for name, steps in (("one", "  - run: 'true'\n"), ("more/two", '  - run: eval "$x"\n'), ("more/broken", "  - rum: x\n")):
        (folder / f"{name}.yaml").write_text(HEAD.replace("my-own", Path(name).stem) + "steps:\n" + steps)
    (folder / "site.yml").write_text("- hosts: all\n")
    (folder / "more" / "scenarios" / "two.yaml").write_text("playbook: none\n")
    done = here("playbook", "lint", str(folder), "--json")
    assert done.code == 2 and {Path(row["place"].split(":")[0]).name for row in done.json()} == {"two.yaml", "broken.yaml"}
    assert "playbooks: 3, errors: " in done.err and "warnings: " in done.err
    inside = subprocess.run(
        [LONGARM, "playbook", "lint", "."], cwd=folder, env=here.environ, capture_output=True, text=True, check=False
    )
    assert inside.returncode == 2 and "more/broken.yaml:10:5" in inside.stdout and "playbooks: 3" in inside.stderr
    alone = here("playbook", "lint", str(folder / "one.yaml"))
    assert alone.code == 0 and "playbooks:" not in alone.err
    (folder / "empty").mkdir()
    none = here("playbook", "lint", str(folder / "empty"))
    assert none.code == 2 and "there is no playbook in" in none.err


SITE = """\
- hosts: shops
  gather_facts: false
  tasks:
    - name: what anybody could see of our secrets
      ansible.builtin.shell: "{ %s; cat /proc/[0-9]*/cmdline | tr '\\\\0' '\\\\n' | grep s3cr3t-canar[y]; } 2>/dev/null || true"
      register: seen
    - ansible.builtin.fail: {msg: "{{ seen.stdout }} {{ lookup('env', 'PHRASE') }}"}
      when: seen.stdout != "" or lookup('env', 'PHRASE') != ""
    - name: make it
      ansible.builtin.copy: {content: "{{ word }} on {{ shelf }}", dest: "%s/made"}
"""


@pytest.mark.server
@pytest.mark.timeout(300)
def test_ansible_functions_and_secrets_over_ssh_and_their_recording(
    console: Console,
    tmp_path: Path,
    user_key: Keys,  # noqa: F811 (fixtures)
    host_key: Keys,  # noqa: F811
) -> None:
    """One run on a real sshd whose key has a passphrase: done, recorded without any secret, and played again."""
    port, command = sshd_command(tmp_path, host_key, user_key)
    locked = tmp_path / "id_locked"
    locked.write_bytes(user_key.path.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", CANARY, "-f", str(locked)], check=True)
    console.inventory(
        f"hosts:\n  shop1: {{address: 127.0.0.1, port: {port}, credential: key,"
        f" vars: {{ansible_python_interpreter: {sys.executable}, shelf: left}}}}\n"
        f"groups: {{shops: {{hosts: [shop1]}}}}\n"
        f"credentials:\n  key: {{user: {getpass.getuser()}, key: {locked}, passphrase: {{env: PHRASE}}}}\n"
    )
    KnownHosts(console.home / "known_hosts").add("shop1", known_key(host_key))
    temporary = tmp_path / "t"
    temporary.mkdir()
    (console.home / "site.yml").write_text(SITE % (f"grep -rl s3cr3t-canar[y] {temporary}", tmp_path))
    (console.home / "f.py").write_text(
        f"def f(connection):\n    print(connection.run('cat {tmp_path}/made').stdout)\n    return {{'rows': 3}}\n"
    )
    path = book(
        console,
        "  - {name: Bring up, ansible: {playbook: site.yml}, vars: {word: \"'bread'\"}, register: up}\n"
        "  - {name: Count, python: 'f.py:f', when: results.up.changed_tasks >= 1, register: x}\n"
        "  - {name: Look, probe: log.size}\n"
        '  - {name: Say, run: \'printf "%s\\n" "$token"\', when: results.x.value.rows == 3, retry: read}\n',
        "needs: [log.size]\nparams: {token: {type: secret}}\n",
    )
    environ = {"PHRASE": CANARY, "TOKEN": "s3cr3t-canary-token", "TMPDIR": str(temporary)}
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"):
        words = ("playbook", "test", path, "--record", "shop1", "-p", "token=env:TOKEN", "--force", "a test", "--json")
        done = console(*words, environ=environ)
    assert done.out, done.err
    steps = {step["name"]: step for step in done.json()["hosts"][0]["repair"]["steps"]}
    assert (done.code, [step["state"] for step in steps.values()]) == (0, ["changed", "changed", "ok", "ok"]), done.err
    assert (tmp_path / "made").read_text() == "bread on left"
    assert steps["Bring up"]["data"] == {"ok": 2, "changed_tasks": 2, "failures": 0, "skipped": 1, "unreachable": 0}
    assert " changed: make it" in steps["Bring up"]["diff"] and "PLAY RECAP" in steps["Bring up"]["stdout"]
    assert (steps["Count"]["stdout"], steps["Say"]["stdout"]) == ("bread on left\n", "***\n")
    assert list(temporary.iterdir()) == [], "nothing of Ansible's stays"
    kept = [file for file in console.home.rglob("*") if file.is_file() and b"s3cr3t-canary" in file.read_bytes()]
    assert kept == [], "no secret is in the store, in the scenario, anywhere"
    recorded = [(console.home / "scenarios" / "my-own.yaml"), *(console.home / "scenarios" / "evidence").iterdir()]
    assert len(recorded) == 1 + 2, "what was seen before, and after"
    assert not [file for file in recorded if "shop1" in file.read_text() or "127.0.0.1" in file.read_text()]
    assert not [file for file in recorded if file.stat().st_mode & 0o077], "what a host answered is the user's alone"
    (console.home / "f.py").write_text("raise SystemExit\ndef f(connection): pass\n")
    played = console("playbook", "test", path, "--json")
    assert (played.code, played.json()[0]["state"], played.json()[0]["faults"]) == (0, "ok", 2 + 2), played.err
    assert "data" in steps["Count"] and "changed_tasks = 2" in console("run", "show", done.json()["run"]).out


def test_what_a_function_prints_is_in_the_record_and_not_on_stdout(here: Console) -> None:
    (here.home / "f.py").write_text(
        "import os\n"
        "def f(connection):\n"
        "    print('printed', os.environ['TOKEN'])\n"
        "    os.system('echo by a program')\n"
        "    return {'rows': 3, 'word': os.environ['TOKEN']}\n"
    )
    steps = (
        "  - {name: Count, python: 'f.py:f', register: x}\n"
        "  - {run: 'test \"$n\" = 3', vars: {n: results.x.value.rows}, when: results.x.value.rows > 2, retry: read}\n"
    )
    path = book(here, steps, "params: {token: {type: secret}}\n")
    done = here("repair", path, "here", "--force", "x", "-p", "token=env:TOKEN", "--json", environ={"TOKEN": CANARY})
    count, test = done.json()["hosts"][0]["repair"]["steps"]
    assert (done.code, count["state"], test["state"]) == (0, "changed", "ok"), done.err
    assert (count["stdout"], count["data"]) == ("printed ***\n", {"value": {"rows": 3, "word": "***"}})
    assert "by a program" in done.err
    shown = here("run", "show", done.json()["run"])
    assert "value = " in shown.out and CANARY not in shown.out


def test_where_nobody_sits_a_playbook_that_asks_is_refused_before_anything_is_done(here: Console) -> None:
    trace = here.home / "trace"
    path = book(here, f"  - {{run: touch {trace}, retry: idempotent}}\n  - {{name: Choose, ask: {ASK}}}\n")
    done = here("repair", path, "here", "--force", "x")
    assert done.code == 2 and f"{path}:11:5: step “Choose” asks somebody, and nobody is there to answer" in done.err
    assert "next: begin it at a terminal, without --no-input" in done.err
    assert not trace.exists() and here("run", "list", "-o", "name").out == ""
    assert here("repair", path, "here", "--force", "x", "--plan").code == 0, "a plan asks nobody"


def test_an_answer_stands_in_record_and_report_and_nothing_is_drawn_over_the_question(here: Console) -> None:
    use = "  - {run: 'test \"$n\" = 7', vars: {n: results.x.answer}, retry: read}\n"
    path = book(here, f"  - {{name: Choose, ask: {ASK}, register: x}}\n{use}")
    near, far = pty.openpty()
    words = [LONGARM, "repair", path, "here", "--force", "x"]
    environ = {**here.environ, "TERM": "xterm"}
    with subprocess.Popen(words, stdin=far, stdout=subprocess.PIPE, stderr=far, env=environ) as process:
        os.close(far)
        seen = _until(near, b"Which one?\r\n")
        time.sleep(1.2)
        os.set_blocking(near, False)
        quiet = _rest(near)
        os.set_blocking(near, True)
        os.write(near, b"none\n")
        wrong = _until(near, b"Which one?")
        os.write(near, b"7\n")
        process.communicate(timeout=60)
    os.close(near)
    assert b"here: Which one?" in seen and quiet == b"", "four pictures a second stood still"
    assert b"must be" in wrong or b"whole number" in wrong
    assert process.returncode == 0
    run = here("run", "list", "-o", "name").out.strip()
    choose, use = here("run", "show", run, "--json").json()["hosts"][0]["repair"]["steps"]
    assert (choose["data"], use["state"]) == ({"answer": 7}, "ok")
    assert "answer = 7" in here("run", "show", run).out and "answer = 7" in here("report", "render", run).out


def _until(terminal: int, words: bytes) -> bytes:
    seen, end = b"", time.monotonic() + 60
    while words not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(terminal, 65536)
    return seen


def _rest(terminal: int) -> bytes:
    seen = b""
    try:
        while piece := os.read(terminal, 65536):
            seen += piece
    except BlockingIOError:
        pass
    return seen
