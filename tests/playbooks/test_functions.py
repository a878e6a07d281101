"""The action `python` over a real session to this machine: what is called, what it prints, what it gives back."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from playbooks.actions.printed import _PRINTING, MOST_PRINTED, Printed, kept_apart
from playbooks.ports import CallResult, Intent
from playbooks.results import Effect, HostChange, StepResult, StepState
from playbooks.testing import FakeJournal, StepScript, Unscripted
from remote.local import LocalSession
from tests.playbooks.playing import played, short, states
from tests.playbooks.real_hands import going_away_at, played_here


def called(folder: Path, code: str, step: str = "python: 'f.py:f'", more: str = "") -> StepResult:
    (folder / "f.py").write_text(code)
    outcome, _ = played_here(short(f"  - {{{step}}}\n{more}", folder=folder))
    return outcome.steps[-1]


def test_a_function_that_an_earlier_process_began_is_not_called_again(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def f(connection):\n    return {'changed': False}\n")
    playbook = short("  - {python: 'f.py:f', register: x}\n", folder=tmp_path)
    outcome, _ = played_here(playbook)
    assert (outcome.steps[0].state, outcome.change) == (StepState.OK, HostChange.UNCHANGED)
    journal = FakeJournal(intents=[Intent(key="s1", ident="run-0001.s1.1", attempt=1)])
    assert states(played_here(playbook, journal=journal)[0]) == {"s1": "unknown"}


def test_what_runs_is_what_was_digested(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("def f(connection, times):\n    return times * 2\n")
    playbook = short("  - {python: 'f.py:f', vars: {times: '21'}, register: x}\n", folder=tmp_path)
    (tmp_path / "f.py").write_text("raise SystemExit\n")
    outcome, _ = played_here(playbook)
    assert outcome.steps[0].data == {"value": 42} and outcome.steps[0].effect is Effect.CHANGED


@pytest.mark.parametrize(
    ("code", "why", "effect"),
    [
        ("def f(connection): raise OSError('no')\n", "OSError: no", Effect.MAYBE),
        ("import sys\ndef f(connection): sys.exit(3)\n", "SystemExit: 3", Effect.MAYBE),
        ("def g(connection): pass\n", "f.py has no function “f”", Effect.NONE),
        ("def f(:\n", "f.py cannot be loaded", Effect.NONE),
        ("raise SystemExit\n", "f.py cannot be loaded", Effect.NONE),
    ],
)
def test_a_function_that_fails_fails_its_step(tmp_path: Path, code: str, why: str, effect: Effect) -> None:
    step = called(tmp_path, code)
    assert (step.state, step.effect) == (StepState.FAILED, effect) and why in str(step.why)


def test_where_the_connection_goes_away_under_a_command_nobody_knows_what_the_function_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalSession, "run", going_away_at("mkfs", LocalSession.run))
    step = called(tmp_path, "def f(connection): connection.run('mkfs')\n")
    assert (step.state, step.effect) == (StepState.UNKNOWN, Effect.MAYBE) and "the host hung up" in str(step.why)


PRINTS = """\
import os, subprocess, sys
print("loaded")
def f(connection):
    print("from the function", connection.run("echo from the host").stdout)
    print("to stderr", file=sys.stderr)
    os.system("echo from a program")
    subprocess.run(["echo", "from another"], check=True)
    %s
"""


@pytest.mark.parametrize("end", ["return 1", "raise OSError('no')"])
def test_what_a_function_prints_is_its_steps_and_never_on_our_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], end: str
) -> None:
    streams = sys.stdout, sys.stderr
    step = called(tmp_path, PRINTS % end)
    assert step.stdout.decode() == "loaded\nfrom the function from the host\n\n" and step.stderr == b"to stderr\n"
    out, err = capfd.readouterr()
    assert out == "" and err == "from a program\nfrom another\n", "what its programs print goes to stderr"
    assert (sys.stdout, sys.stderr) == streams
    os.write(1, b"ours")
    print(" again", flush=True)
    assert capfd.readouterr().out == "ours again\n"


LATE = """\
import os, subprocess, sys, threading, time
def f(connection):
    print("in time")
    until = time.monotonic() + 120
    while not os.path.exists(%(go)r) and time.monotonic() < until: time.sleep(0.01)
    print("late")
    sys.stdout.buffer.write(b"late bytes\\n")
    one = threading.Thread(target=print, args=("of a thread of its own",))
    one.start(); one.join()
    subprocess.run(["echo", "from a late program"])
    open(%(gone)r, "w").close()
"""


def test_what_a_function_prints_that_nobody_waits_for_any_more_is_not_on_our_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go, gone = tmp_path / "go", tmp_path / "gone"
    monkeypatch.setattr("remote.fabric_connection.LEAVING_S", 0.05)
    with open(1, "w", closefd=False, encoding="utf-8") as ours:
        monkeypatch.setattr(sys, "stdout", ours)
        step = called(tmp_path, LATE % {"go": str(go), "gone": str(gone)}, "python: 'f.py:f', deadline: 1s")
        assert (step.state, step.stdout) == (StepState.UNKNOWN, b"in time\n")
        go.touch()
        print("our answer")
        sys.stdout.flush()
        sys.stdout.buffer.write(b"in bytes\n")
        sys.stdout.buffer.flush()
        until = time.monotonic() + 120
        while (not gone.exists() or _PRINTING) and time.monotonic() < until:
            time.sleep(0.01)
        assert gone.exists()
        with kept_apart():
            pass
        assert sys.stdout is ours, "they are ours again once the function is over"
        print("the last word", flush=True)
        monkeypatch.undo()
    out, err = capfd.readouterr()
    assert out == "our answer\nin bytes\nthe last word\n"
    assert err == "of a thread of its own\nfrom a late program\n"


def test_functions_beside_each_other_keep_what_is_theirs() -> None:
    printed, both, streams = [Printed(), Printed()], threading.Barrier(2), sys.stdout

    def function(number: int) -> None:
        with kept_apart(), printed[number].taking():
            for _ in range(3):
                both.wait()
                print(number)

    threads = [threading.Thread(target=function, args=(number,)) for number in (0, 1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.value("stdout") for one in printed] == [b"0\n0\n0\n", b"1\n1\n1\n"] and sys.stdout is streams


def test_of_much_that_is_printed_the_head_and_the_end_are_kept(tmp_path: Path) -> None:
    step = called(tmp_path, "def f(c):\n    for one in range(100_000): print('line', one)\n")
    assert step.stdout.startswith(b"line 0\n") and b"line 99999\n" in step.stdout
    assert len(step.stdout) < MOST_PRINTED + 100 and b"bytes are left out" in step.stdout


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("{'rows': (1, 2)}", {"rows": [1, 2]}),
        ("None", None),
        ("object()", None),
        ("[float('nan')]", None),
        ("'x' * 70000", None),
    ],
)
def test_what_is_plain_is_kept_of_what_it_returns(tmp_path: Path, value: str, kept: object) -> None:
    step = called(tmp_path, f"def f(connection):\n    return {value}\n")
    assert step.state is StepState.CHANGED and step.data.get("value") == kept


def test_a_registered_function_gives_its_value_to_the_steps_that_follow(tmp_path: Path) -> None:
    code = "def f(connection):\n    return {'rows': 3, 'name': 'shop'}\n"
    then = '  - {run: "true", when: %s}\n'
    for step, when in (
        ("register: x", "results.x.value.rows == 3"),
        ("register: {name: x, shape: {rows: int}}", "results.x.value.rows > 2"),
    ):
        (tmp_path / "f.py").write_text(code)
        playbook = short(f"  - {{python: 'f.py:f', {step}}}\n" + then % when, folder=tmp_path)
        outcome, _ = played_here(playbook)
        assert states(outcome) == {"s1": "changed", "s2": "changed"}


def test_a_declared_shape_is_verified_by_lint_and_at_the_end(tmp_path: Path) -> None:
    register = "python: 'f.py:f', register: {name: x, shape: {rows: int}}"
    step = called(tmp_path, "def f(connection):\n    return {'rows': 'many'}\n", register)
    assert step.state is StepState.FAILED and step.effect is Effect.CHANGED
    assert "value.rows: int is declared, not str" in str(step.why)
    with pytest.raises(InvalidFile, match="row"):
        short(f"  - {{{register}}}\n  - {{run: a, when: results.x.value.row == 1}}\n", folder=tmp_path)
    with pytest.raises(InvalidFile, match="what “python” gives is not read from what it prints"):
        short("  - {python: 'f.py:f', register: {name: x, parse: lines}}\n", folder=tmp_path)


def test_a_scripted_host_never_calls_it(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(f"open('{tmp_path}/loaded', 'w')\ndef f(connection):\n    open('{tmp_path}/called', 'w')\n")
    playbook = short("  - {python: 'f.py:f'}\n", folder=tmp_path)
    outcome = played(playbook, {"s1": StepScript(call=CallResult(value=7, stdout=b"said\n"))})
    assert (outcome.steps[0].data, outcome.steps[0].stdout) == ({"value": 7}, b"said\n")
    with pytest.raises(Unscripted):
        played(playbook, {})
    assert [path.name for path in tmp_path.iterdir()] == ["f.py"]
