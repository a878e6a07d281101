"""Every command that changes something, one after the other, on a desk in process and on one that a service keeps: the same."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from console.main import ROOT
from console.whereabouts import WHERE, Where
from tests.console.conftest import Console, Done, serving
from tests.console.test_both_ways import commands, same
from tests.console.test_service import as_user
from tests.forked import Forked

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")]
INVENTORY = """\
defaults: {transport: local, customer: acme}
hosts:
  one: {address: 127.0.0.1, site: berlin}
  two: {address: 127.0.0.1, site: bremen}
"""
CONFIG = """\
roles:
  - {role: admin, users: [root]}
  - {role: L3, users: [daemon]}
"""
PLAYBOOK = """\
playbook: touch
title: {en: Touch it, ru: Тронуть}
says: {en: Leaves a line., ru: Оставляет строку.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
params: {file: {type: path, default: /nowhere}}
steps:
  - name: Touch
    run: 'awk -v file="$file" "BEGIN { print \\"touched\\" >>file }"'
    retry: read
"""
LOOK = '''awk -v file="$file" "BEGIN { print \\"touched\\" >>file }"'''
"""A look that leaves a trace, in a language that lint does not read."""
SLOW = (
    r"""'awk -v file="$file.begun" "BEGIN { printf \"\" >file }"; until test -e "$file.go"; do sleep 0.05; done; """
    r"""awk -v file="$file" "BEGIN { print \"slow\" >>file }"'"""
)
BACK = """rollback: [{name: Take it back, run: 'echo undone >>"$file"'}]"""
BOOKS = {
    "touch.yaml": PLAYBOOK,
    "fails.yaml": PLAYBOOK.replace(f"'{LOOK}'", "'false'"),
    "slow.yaml": PLAYBOOK.replace(f"'{LOOK}'", SLOW),
    "left.yaml": PLAYBOOK.replace(f"'{LOOK}'", SLOW).replace("retry: read", "retry: never"),
    "risky.yaml": PLAYBOOK.replace("risk: reversible", "risk: disruptive"),
    "undoable.yaml": PLAYBOOK.replace("retry: read", BACK),
}
TOUCH = "-p file={trace} --concurrency 1"
CUT = f"repair slow.yaml one {TOUCH}"
LEFT = f"repair left.yaml one {TOUCH}"
"""Interrupted in their midst by Ctrl-C: by a question, and by what changes something."""
STORY: Sequence[tuple[int, str]] = (
    (0, f"repair touch.yaml one {TOUCH} --plan"),
    (0, f"repair touch.yaml one,two {TOUCH} --batch 1 --count 2"),
    (0, f"repair touch.yaml one {TOUCH} --json"),
    (2, f"repair touch.yaml one,two {TOUCH} --count 3"),
    (0, "hold add one --reason both"),
    (0, "hold list"),
    (5, f"repair touch.yaml one,two {TOUCH}"),
    (5, "run retry {last} --only refused"),
    (6, "hold remove one --owner nobody"),
    (0, "hold remove one"),
    (0, "run retry {last} --only refused"),
    (0, "freeze --site berlin --reason both"),
    (0, "freeze --list"),
    (5, f"repair touch.yaml one {TOUCH}"),
    (5, "host run true one"),
    (0, "unfreeze --site berlin"),
    (0, "host run true one"),
    (3, "repair fails.yaml one,two --batch 1 --max-failed 0 --concurrency 1"),
    (1, "run retry {last} --only not_started"),
    (5, f"repair risky.yaml one {TOUCH}"),
    (5, "approve {last}"),
    (5, "run start {last}"),
    (0, "daemon: approve {last} --reason seen"),
    (0, "run start {last}"),
    (5, f"repair risky.yaml one {TOUCH} --lang ru"),
    (0, "daemon: approve {last} --refuse --reason no"),
    (5, "run start {last}"),
    (0, f"repair risky.yaml one {TOUCH} --break-glass fire"),
    (130, CUT),
    (0, "run leases"),
    (0, "run resume {last}"),
    (6, "run resume {last}"),
    (130, LEFT),
    (2, "run resume {last} --only-ask --beside both"),
    (1, "run resume {last} --only-ask"),
    (6, "run resume {last} --only-ask"),
    (0, "run unmute"),
    (2, "run rollback {last}"),
    (0, f"repair undoable.yaml one {TOUCH}"),
    (0, "run rollback {last} one"),
    (2, "run rollback {last}"),
    (0, "diagnose one --check fs-space --case DAY-1 --fail-on never"),
    (0, "case deliver"),
    (0, "run list"),
    (0, "store audit"),
    (0, "store prune --older-than 90d --yes"),
    (0, "store erase --case DAY-1 --yes"),
)
"""How each command line of a long day ends."""
PLANS = 4
"""That are made meanwhile, one of them as what was approved begins: a step that is said only to read is done for them too."""
LOOKING = {
    *("case list", "case show", "config show", "doctor", "host facts", "host get", "host ping", "hold list"),
    *("inventory check", "inventory graph", "inventory import", "inventory list", "inventory show", "lab list", "lab status"),
    *("playbook graph", "playbook list", "playbook show", "report list", "report open", "report render", "run export"),
    *("run leases", "run list", "run show", "run watch", "store audit", "store backup", "store verify"),
}
"""What the service carries out, and what changes neither a host nor the desk."""
SITTING = {"host shell"}
"""What nobody does without a terminal: tests/console/test_host_shell.py."""


def changing() -> set[str]:
    """Return the commands that change something: all that are carried out for clients, but for what is said only to look.

    What an admin does to the home itself is tried line by line in test_both_ways.
    """
    there = {name for name in commands(ROOT) if WHERE[name] in (Where.THERE, Where.NAMED)}
    assert there >= LOOKING | SITTING, "it is no command any more"
    return there - LOOKING - SITTING


@dataclass(frozen=True)
class Desk:
    """A home, and how somebody else than its keeper gives it a command."""

    console: Console
    socket: Path | None

    def does(self, line: str) -> Done:
        """Return how a command line ended; `{last}` is the newest run."""
        trace = self.console.home.parent / "trace"
        if line in (CUT, LEFT):
            return self._cut(line.format(trace=trace).split(), trace)
        last = self.console("run", "list", "-o", "name", "--limit", "1").out.strip() if "{last}" in line else ""
        user, _, words = line.rpartition(": ")
        given = words.format(trace=trace, last=last).split(" ")
        if not user:
            return self.console(*given)
        if self.socket is None:
            return self.console(*given, environ={"SUDO_UID": "1"})
        return as_user(user, *given, env={"LONGARM_SOCKET": str(self.socket), "COLUMNS": "200"})

    def _cut(self, words: list[str], trace: Path) -> Done:
        for mark in ("begun", "go"):
            Path(f"{trace}.{mark}").unlink(missing_ok=True)
        process = self.console.start(*words)
        until = time.monotonic() + 60
        while not Path(f"{trace}.begun").exists():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        Path(f"{trace}.go").touch()
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
def desks(tmp_path: Path, forked: Forked) -> Iterator[tuple[Desk, Desk]]:
    consoles = []
    for name in ("alone", "client"):
        (tmp_path / name).mkdir()
        console = Console(tmp_path / name / "home", forked)
        console.inventory(INVENTORY)
        (console.home / "config.yaml").write_text(CONFIG)
        (console.home / "playbooks").mkdir()
        for book, text in BOOKS.items():
            (console.home / "playbooks" / book).write_text(text)
        consoles.append(console)
    alone, client = consoles
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        path = Path(place) / "desk.sock"
        client.environ["LONGARM_SOCKET"] = str(path)
        with serving(client, "--socket", str(path), "--mode", "0666"):
            yield Desk(alone, None), Desk(client, path)


def test_a_day_of_changes_says_the_same_both_ways(desks: tuple[Desk, Desk]) -> None:
    alone, client = desks
    unlike = []
    for code, line in STORY:
        here, there = alone.does(line), client.does(line)
        heard = [
            (done.code, same(done.out, desk.console), sorted(same(done.err, desk.console).splitlines()))
            for done, desk in ((here, alone), (there, client))
        ]
        if heard[0] != heard[1] or here.code != code:
            unlike.append(f"{line}: {code}\n  {here}\n  {there}")
    assert not unlike, "\n".join(unlike)
    lines = [(desk.console.home.parent / "trace").read_text() for desk in desks]
    assert lines[0] == lines[1] and lines[0].count("touched") == 8 + PLANS
    assert "slow" in lines[0] and lines[0].count("undone") == 1


def test_every_command_that_changes_something_is_of_that_day() -> None:
    done = [line.removeprefix("daemon: ") for code, line in STORY if code == 0]
    assert {name for name in changing() if not any(f"{line} ".startswith(f"{name} ") for line in done)} == set()
