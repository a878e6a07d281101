"""`longarm repair` on the command line: what is asked for in words, what is refused with its place, what a plan shows."""

from __future__ import annotations

import html
import json
import os
import pty
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.console.conftest import LONGARM, Console

INVENTORY = """\
hosts:
  here: {address: 127.0.0.1, transport: local}
  win1: {address: 192.0.2.1, transport: winrm, platform: windows}
"""
PLAYBOOK = """\
playbook: look-around
title: {en: Look around, ru: Осмотреться}
says: {en: Changes nothing., ru: Ничего не меняет.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: read
params:
  size: {type: size, default: 2 MiB, says: {en: How much., ru: Сколько.}}
  mode: {type: enum, choices: [fast, slow], default: fast}
  token: {type: secret}
steps:
  - name: Say it
    run: printf '%s %s\\n' "$size" "$mode"; test -n "$token"
    retry: read
"""
TOKEN = {"TOKEN": "a-token-nobody-may-see"}


@pytest.fixture
def here(console: Console) -> Console:
    """Return a longarm that knows this machine, and a playbook that only reads."""
    console.inventory(INVENTORY)
    (console.home / "look-around.yaml").write_text(PLAYBOOK)
    return console


def words(here: Console, *more: str) -> tuple[str, ...]:
    return ("repair", str(here.home / "look-around.yaml"), "here", "-p", "token=env:TOKEN", *more)


def test_parameters_are_typed_and_a_secret_is_kept_by_its_reference(here: Console) -> None:
    done = here(*words(here, "-p", "size=5MiB", "--json"), environ=TOKEN)
    document = done.json()
    assert (done.code, document["kind"], document["repair"]["params"]) == (0, "repair", {"mode": "fast", "size": 5 * 1024**2})
    assert document["repair"]["secrets"] == {"token": "env:TOKEN"}
    (step,) = document["hosts"][0]["repair"]["steps"]
    assert (step["state"], step["stdout"], document["hosts"][0]["repair"]["change"]) == ("ok", "5242880 fast\n", "unchanged")
    assert not any(TOKEN["TOKEN"].encode() in path.read_bytes() for path in here.home.rglob("*") if path.is_file())


def test_a_plan_is_a_run_that_changes_nothing_and_says_what_comes_next(here: Console) -> None:
    done = here(*words(here, "--plan"), environ=TOKEN)
    assert done.code == 0
    assert "Nothing was changed: this is what would be done on 1 host." in done.out
    assert f"longarm repair {here.home / 'look-around.yaml'} here -p mode=fast -p size=2097152 -p token=env:TOKEN" in done.out


def test_whoever_approves_a_plan_reads_the_scripts_with_their_values(here: Console) -> None:
    script = """printf '%s %s\\n' "$size" "$mode"; test -n "$token\""""
    document = here(*words(here, "--plan", "--json"), environ=TOKEN).json()
    (step,) = document["hosts"][0]["repair"]["plans"]
    assert step["script"].strip() == script
    assert step["variables"] == {"mode": "fast", "size": "2097152", "token": "***"}
    shown = here("run", "show", document["run"]).out
    assert [f"        {line}" in shown.splitlines() for line in (f"$ {script}", "mode=fast", "token='***'")] == [True] * 3
    page = html.unescape(here("report", "render", document["run"]).out)
    assert all(line in page for line in (script, "size=2097152", "token='***'"))
    assert not any(TOKEN["TOKEN"].encode() in path.read_bytes() for path in here.home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (("-p", "size=much"), 2, "“size” must be a size such as 200 MiB or 2 GB (declared in "),
        (("-p", "size=much"), 2, "look-around.yaml:10:"),
        (("-p", "mode=quick"), 2, "“mode” is one of fast, slow, not “quick”"),
        (("-p", "siz=1"), 2, "there is no parameter “siz”"),
        (("-p", "siz=1"), 2, "did you mean size?"),
        (("-p", "size"), 2, "-p size: a parameter is written name=value"),
        (("-p", "token=hunter2"), 2, "a secret is never typed here; say where it is kept"),
        (("--finding", "x/y"), 2, "a finding says itself which playbook repairs which host"),
    ],
)
def test_what_is_wrong_with_the_words_is_told_before_any_host_is_asked(
    here: Console, given: tuple[str, ...], code: int, expected: str
) -> None:
    done = here(*words(here, *given), environ=TOKEN)
    assert done.code == code
    assert expected in done.err
    assert "hunter2" not in done.err
    assert not (here.home / "longarm.db").exists()


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (("repair",), 2, "longarm repair PLAYBOOK TARGETS"),
        (("repair", "restart-servise", "here"), 2, "did you mean restart-service, "),
        (("repair", "standard", "here"), 2, "“standard” asks and changes nothing"),
        (("repair", "restart-service", "win1", "-p", "unit=a.service"), 2, "“restart-service” is not for win1"),
        (("repair", "restart-service", "here", "-p", "unit=sshd.service"), 2, "“unit” must match"),
        (("repair", "restart-service", "nowhere", "-p", "unit=a.service"), 6, "nowhere"),
        (("repair", "--finding", "20200101-000000-abcdef/here/fs-space/mount=/"), 6, "there is no run"),
        (("run", "retry", "20200101-000000-abcdef", "--only", "unknown"), 2, "unknown is none of failed, unreachable"),
    ],
)
def test_what_cannot_be_is_refused(here: Console, given: tuple[str, ...], code: int, expected: str) -> None:
    done = here(*given)
    assert (done.code, expected in done.err) == (code, True), done.err


def test_only_some_of_a_repair_is_tried_again_and_what_has_ended_is_not_resumed(here: Console) -> None:
    run = json.loads(here(*words(here, "--json"), environ=TOKEN).out)["run"]
    nothing = here("run", "retry", run, environ=TOKEN)
    assert (nothing.code, "no host of run" in nothing.err) == (6, True)
    ended = here("run", "resume", run, environ=TOKEN)
    assert (ended.code, "has ended: there is nothing left to do" in ended.err) == (6, True)
    diagnosis = here("diagnose", "here", "--check", "fs-space", "--fail-on", "never", "--json").json()["run"]
    other = here("run", "retry", diagnosis)
    assert (other.code, f"run {diagnosis} was no repair" in other.err) == (2, True)


def test_playbooks_and_their_parameters_are_completed(here: Console) -> None:
    def completed(line: str) -> list[str]:
        environ = {"_LONGARM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return [one.partition(",")[2] for one in here(environ=environ).out.splitlines()]

    assert completed("longarm repair restart-se") == ["restart-service"]
    assert completed("longarm repair restart-service here -p ") == ["unit=", "stable=", "url="]
    assert completed(f"longarm repair {here.home}/look-around.yaml here -p mode=f") == ["mode=fast"]


def test_a_mac_is_left_alone_unless_the_home_says_otherwise(console: Console) -> None:
    console.inventory("hosts: {mac1: {address: 127.0.0.1, port: 1, transport: ssh, platform: macos, credential: x}}\n")
    (console.home / "inventory.yaml").write_text(
        "credentials: {x: {user: anna, password: {env: WORD}}}\n" + (console.home / "inventory.yaml").read_text()
    )
    (console.home / "on-macs.yaml").write_text(PLAYBOOK.replace("[linux]", "[macos]").replace("look-around", "on-macs"))
    words = ("repair", str(console.home / "on-macs.yaml"), "mac1", "-p", "token=env:TOKEN")
    environ = {**TOKEN, "WORD": "x"}
    shipped = console("repair", "restart-service", "mac1", "-p", "unit=a.service")
    assert (shipped.code, "“restart-service” is not for mac1" in shipped.err) == (2, True)
    refused = console(*words, environ=environ)
    assert (refused.code, refused.out) == (5, "")
    assert "repairs were never tried on macOS, and mac1 has it" in refused.err
    assert "in config.yaml of the home: changes: {macos: true}" in refused.err
    assert console("run", "list", "--json").json() == [], "nothing was begun"
    (console.home / "config.yaml").write_text("changes: {macos: true}\n")
    allowed = console(*words, environ=environ)
    assert (allowed.code, "unreachable" in allowed.out) == (3, True), "nobody listens there, but it was tried"


def test_what_failed_is_repaired_again_as_it_was_asked_for(here: Console) -> None:
    ready = here.home / "ready"
    (here.home / "look-around.yaml").write_text(PLAYBOOK.replace('test -n "$token"', f'test -n "$token" && test -e {ready}'))
    failed = here(*words(here, "-p", "size=5MiB", "--case", "DEMO-1", "--json"), environ=TOKEN)
    assert (failed.code, failed.json()["hosts"][0]["outcome"]) == (1, "failed")
    assert f"longarm run retry {failed.json()['run']} --only failed" in [step["command"] for step in failed.json()["next"]]
    ready.touch()
    again = here("run", "retry", failed.json()["run"], "--json", environ=TOKEN)
    document = again.json()
    assert (again.code, document["hosts"][0]["outcome"], document["case"]) == (0, "ok", "DEMO-1")
    assert (document["repair"]["retries"], document["repair"]["params"]["size"]) == (failed.json()["run"], 5 * 1024**2)


RECORDED = """\
playbook: keep-it
title: {en: Keep it, ru: Оставить}
says: {en: Nothing of it can be undone., ru: Ничего из этого не отменить.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: disruptive
params:
  folder: {type: path}
  token: {type: secret}
steps:
  - name: Make the folder
    file: {path: "{{ params.folder }}/made", state: directory}
    rollback: [{name: Take it away, file: {path: "{{ params.folder }}/made", state: absent}}]
  - name: Say it
    run: |
      printf 'here at 127.0.0.1, not here2; %s\\n' "$token"
    on_failure: roll_back
"""


def test_a_repair_is_recorded_as_a_scenario_that_passes_at_once(here: Console) -> None:
    path = here.home / "keep-it.yaml"
    path.write_text(RECORDED)
    words = ("playbook", "test", str(path), "--record", "here", "-p", f"folder={here.home}", "-p", "token=env:TOKEN")
    done = here(*words, "--json", environ=TOKEN)
    assert done.out, done.err
    assert (done.code, done.json()["hosts"][0]["repair"]["change"]) == (0, "changed"), done.err
    assert (here.home / "made").is_dir()
    text = (here.home / "scenarios" / "keep-it.yaml").read_text()
    assert TOKEN["TOKEN"] not in text and "db01 at 192.0.2.1, not here2; ***" in text
    passed = here("playbook", "test", str(path), "--json")
    assert (passed.code, [row["state"] for row in passed.json()]) == (0, ["ok"])
    assert passed.json()[0]["faults"] == 12, "each of its two commands, made to fail in every way"
    (here.home / "made").rmdir()
    here(*words, environ=TOKEN)
    assert len(here("playbook", "test", str(path), "--json").json()) == 2, "another one behind it"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rotate-log", "--record", "here"), "“rotate-log” is a shipped playbook: its scenarios are not yours to write"),
        (("LOOK", "LOOK", "--record", "here"), "a recording is of one playbook"),
        (("LOOK", "--record", "here,win1"), "“here,win1” names 2 hosts: a recording is of one"),
    ],
)
def test_what_cannot_be_recorded_is_said(here: Console, words: tuple[str, ...], expected: str) -> None:
    done = here("playbook", "test", *(word.replace("LOOK", str(here.home / "look-around.yaml")) for word in words))
    assert done.code == 2 and expected in done.err


MARKED = """\
playbook: mark-it
title: {en: Mark it, ru: Отметить}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
params:
  mark: {type: path}
steps:
  - name: Mark it
    run: echo new >"$mark"
    rollback: [{name: Take the mark away, run: rm "$mark"}]
  - {name: Go wrong, run: exit 3}
"""


def test_what_is_told_to_come_next_works_as_it_stands(console: Console, tmp_path: Path) -> None:
    """Called with a home, an inventory and a customer of its own, by somebody whose own home is another one."""
    home, inventory, mark = tmp_path / "a home", tmp_path / "hosts.yaml", tmp_path / "mark"
    inventory.write_text("hosts:\n  here: {address: 127.0.0.1, transport: local, customer: acme}\n")
    (tmp_path / "mark-it.yaml").write_text(MARKED)
    called = ("--home", str(home), "--inventory", str(inventory), "--customer", "acme")
    done = console("repair", str(tmp_path / "mark-it.yaml"), "here", "-p", f"mark={mark}", *called)
    assert (done.code, mark.exists()) == (1, True)
    assert "here: not proved; can be undone: Mark it" in done.err
    told = [line.removeprefix("next: ") for line in done.err.splitlines() if line.startswith("next: ")]
    shown = [line.strip() for line in done.out.partition("Next:")[2].splitlines() if line.strip()]
    shown = [line.partition("  # ")[0].strip() for line in shown]
    assert [line for line in shown if " run rollback " in line] == [told[-1]]
    planned = console(*shlex.split(told[-1])[1:], "--plan", "--json")
    assert (planned.code, mark.exists()) == (0, True), planned.err
    (host,) = planned.json()["hosts"]
    stays, plan = host["repair"]["plans"]
    assert (stays["name"], stays["stays"]) == ("Go wrong", True)
    assert (plan["undoes"], plan["name"], plan["variables"]) == ("Mark it", "Take the mark away", {"mark": str(mark)})
    assert planned.json()["next"][0]["command"] == told[-1]
    undone = console(*shlex.split(told[-1])[1:])
    assert (undone.code, mark.exists()) == (0, False), undone.err
    assert len(shown) == 3
    for line in shown[1:]:
        words = shlex.split(line)[1:]
        words[-1] = words[-1] if not words[-1].endswith(".html") else str(tmp_path / words[-1])  # it is written where one is
        assert console(*words).code in (0, 1), line
    again = console(*shlex.split(told[-1])[1:-1])
    (host,) = console("run", "show", shlex.split(told[-1])[-2], *called[:4], "--json").json()["hosts"]
    since = host["repair"]["since"]
    shows = shlex.join(("longarm", *called[:4], "run", "show", since))
    assert (again.code, again.err.splitlines()[-1]) == (2, f"next: {shows}")
    missing = console("repair", str(tmp_path / "mark-it.yaml"), "qqqqqq", *called)
    assert missing.err.splitlines()[-1] == f"next: {shlex.join(('longarm', *called, 'inventory', 'list'))}"


def at_terminal(console: Console, words: tuple[str, ...], question: bytes, answer: bytes) -> tuple[bytes, int]:
    """Return what a command line shows at a terminal where one question is answered, and how it ends."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([LONGARM, *words], env=console.environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, end = b"", time.monotonic() + 60
    with process:
        try:
            while time.monotonic() < end:
                shown += (piece := os.read(ours, 65536))
                if question in shown and question not in shown[: -len(piece)]:
                    os.write(ours, answer)
        except OSError:  # the other end is closed
            return shown, process.wait(timeout=30)
        finally:
            process.kill()
            os.close(ours)
    raise AssertionError(shown.decode())


def test_at_a_terminal_undoing_is_asked_for(console: Console, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    console.inventory(INVENTORY)
    (console.home / "mark-it.yaml").write_text(MARKED)
    for answer, there, code in ((b"n\n", True, 1), (b"y\n", False, 0)):
        words = ("repair", str(console.home / "mark-it.yaml"), "here", "-p", f"mark={mark}")
        shown, ended = at_terminal(console, words, b"Undo it there now? [y/N]", answer)
        assert (ended, mark.exists()) == (code, there), shown.decode()
        assert b"not proved; can be undone: Mark it" in shown


SLOW = """\
playbook: take-time
title: {en: Take time, ru: Не спешить}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
params:
  log: {type: path}
steps:
  - {name: Take time, run: 'echo begun >>"$log"; until [ -e "$log.go" ]; do sleep 0.05; done; echo over >>"$log"'}
  - {name: Go on, run: 'echo second >>"$log"'}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_repair_that_is_told_to_stop_names_what_it_left_and_goes_on_with_that(
    console: Console, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    console.inventory(INVENTORY)
    (console.home / "take-time.yaml").write_text(SLOW)
    with console.start("repair", str(console.home / "take-time.yaml"), "here", "-p", f"log={log}", "--json") as running:
        while not log.exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    document = json.loads(out)
    assert (running.returncode, document["state"]) == (130, "interrupted")
    assert document["hosts"][0]["repair"]["left_open"] == ["Take time"]
    assert log.read_text() == "begun\n", "it goes on without us"
    assert err.decode().splitlines()[-1] == f"next: longarm run resume {document['run']}"
    Path(f"{log}.go").touch()
    done = console("run", "resume", document["run"], "--json")
    assert (done.code, log.read_text().split()) == (0, ["begun", "over", "second"])
    assert [step["state"] for step in done.json()["hosts"][0]["repair"]["steps"]] == ["changed", "changed"]
