"""`longarm host shell` in a terminal of the test's, on a real sshd: joined, resized, recorded, and ours put back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from inventory.secret import Masker, Secret
from runner.casts import MOST_BYTES, Cast, screen_of
from tests.console.conftest import LONGARM, Console
from tests.console.conftest import serving as serving_desk
from tests.remote.conftest import host_key, make_key, user_key  # noqa: F401 (fixtures)
from tests.remote.servers import Keys, serving, sshd_command

DEADLINE_S = 40.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[int]:  # noqa: F811 (fixtures)
    folder = tmp_path_factory.mktemp("sshd")
    port, command = sshd_command(folder, host_key, user_key, PrintMotd="no", PrintLastLog="no")
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield port


@pytest.fixture(params=["alone", "service"])
def home(
    request: pytest.FixtureRequest,
    console: Console,
    sshd: int,
    user_key: Keys,  # noqa: F811 (fixtures)
    host_key: Keys,  # noqa: F811
) -> Iterator[Console]:
    """Return a longarm that knows the sshd as `node`, alone or as the client of a service."""
    console.inventory(
        f"hosts:\n  node: {{address: 127.0.0.1, port: {sshd}, credential: key}}\n"
        f"credentials:\n  key: {{user: {os.environ.get('USER', 'root')}, key: {user_key.path}}}\n"
    )
    public = host_key.path.with_suffix(".pub")
    shown = subprocess.run(["ssh-keygen", "-lf", public], capture_output=True, text=True, check=True)
    assert console("host", "enrol", "node", "--fingerprint", f"node={shown.stdout.split()[1]}").code == 0
    with serving_desk(console) if request.param == "service" else nullcontext():
        yield console


class Person:
    """A person in front of a terminal of 100 columns: starts a command, types, waits for what the screen shows."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.ours, theirs = pty.openpty()
        self.theirs = theirs
        self.size(30, 100)
        self.before = termios.tcgetattr(theirs)
        self.screen = b""
        self.process = subprocess.Popen(
            words,
            env={**environ, "TERM": "xterm", "PS1": "$ "},
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def types(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def waits_for(self, pattern: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while not re.search(pattern.encode(), self.screen):
            assert time.monotonic() < end and self.process.poll() is None, self.screen
            self._look(0.2)

    def ends(self) -> int:
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, self.screen
            self._look(0.1)
        self._look(0.0)
        assert termios.tcgetattr(self.theirs) == self.before, "our terminal is as it was"
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def _look(self, wait_s: float) -> None:
        while select.select([self.ours], [], [], wait_s)[0]:
            self.screen += os.read(self.ours, 65536)
            wait_s = 0.0


class Typist(Person):
    """One who starts longarm as the user of the test."""

    def __init__(self, home: Console, *arguments: str) -> None:
        super().__init__([LONGARM, *arguments], home.environ, home.home.parent)


@pytest.fixture
def typist(home: Console) -> Iterator[Typist]:
    person = Typist(home, "host", "shell", "node", "--case", "C-SHELL")
    yield person
    person.close()


@pytest.mark.server
def test_both_terminals_are_joined_and_what_was_shown_is_on_the_case(typist: Typist, home: Console) -> None:
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("stty size; echo mark-$((40 + 2))\r")
    typist.waits_for("30 100\r\n(.|\n)*mark-42")
    typist.size(40, 132)
    typist.process.send_signal(signal.SIGWINCH)
    typist.types('until [ "$(stty size)" = "40 132" ]; do sleep 0.1; done; echo grown-$((40 + 2))\r')
    typist.waits_for("grown-42")
    typist.types("exit\r")
    assert typist.ends() == 0
    (attached,) = home("case", "show", "C-SHELL", "--json").json()
    (row,) = home("run", "list", "--json").json()
    assert attached["file"].startswith(f"longarm-terminal-{row['run']}-") and attached["file"].endswith(".cast")
    document = home("run", "show", row["run"], "--json").json()
    assert (document["kind"], document["hosts"][0]["outcome"]) == ("terminal", "ok")
    (line,) = home("run", "export", row["run"], "--format", "answers").out.splitlines()
    cast = json.loads(line)["stdout"].encode()
    head = json.loads(cast.splitlines()[0])
    assert (head["version"], head["width"], head["height"]) == (2, 100, 30)
    assert "mark-42" in "".join(screen_of(cast))
    assert b'"r", "132x40"' in cast


@pytest.mark.server
def test_a_host_that_hangs_can_be_left(typist: Typist) -> None:
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("echo begun; sleep 1000\r")
    typist.waits_for("begun\r\n")
    typist.types("\r~.")
    assert typist.ends() == 0


@pytest.mark.server
def test_a_term_signal_puts_the_terminal_back_and_the_recording_on_the_case(typist: Typist, home: Console) -> None:
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("echo begun-$((40 + 2))\r")
    typist.waits_for("begun-42\r\n")
    typist.process.send_signal(signal.SIGTERM)
    assert typist.ends() == 130
    (attached,) = home("case", "show", "C-SHELL", "--json").json()
    (row,) = home("run", "list", "--json").json()
    assert attached["file"].startswith(f"longarm-terminal-{row['run']}-") and attached["state"] == "sent"
    assert home("run", "show", row["run"], "--json").json()["hosts"][0]["outcome"] == "interrupted"
    (line,) = home("run", "export", row["run"], "--format", "answers").out.splitlines()
    assert "begun-42" in "".join(screen_of(json.loads(line)["stdout"].encode()))


@pytest.mark.server
def test_a_screen_that_takes_nothing_for_a_while_costs_nothing(typist: Typist, home: Console) -> None:
    """Far more than a terminal holds, while nobody looks: what could not be written at once ended the session."""
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("head -c 300000 /dev/zero | tr '\\0' x; echo end-$((40 + 2))\r")
    time.sleep(1.5)
    typist.waits_for("end-42\r\n")
    assert typist.screen.count(b"x") >= 300_000
    typist.types("exit\r")
    assert typist.ends() == 0


@pytest.mark.server
def test_who_closes_the_window_has_left_and_the_recording_is_kept(typist: Typist, home: Console) -> None:
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("echo begun-$((40 + 2)); yes\r")
    typist.waits_for("begun-42\r\ny\r\ny")
    os.close(typist.ours)
    typist.ours = os.open(os.devnull, os.O_RDONLY)
    assert typist.process.wait(timeout=DEADLINE_S) == 0
    (row,) = home("run", "list", "--json").json()
    document = home("run", "show", row["run"], "--json").json()
    assert (document["kind"], document["hosts"][0]["outcome"]) == ("terminal", "ok")
    (line,) = home("run", "export", row["run"], "--format", "answers").out.splitlines()
    assert "begun-42" in "".join(screen_of(json.loads(line)["stdout"].encode()))


@pytest.mark.server
def test_a_lost_connection_is_a_failure(typist: Typist) -> None:
    typist.waits_for("to leave a host that hangs(.|\n)*[#$] ")
    typist.types("echo pid-$PPID-\r")
    typist.waits_for(r"pid-(\d+)-\r\n")
    (pid,) = re.findall(rb"pid-(\d+)-\r\n", typist.screen)
    os.kill(int(pid), signal.SIGKILL)
    assert typist.ends() == 1
    assert b"the connection was lost" in typist.screen


def test_without_a_terminal_there_is_none(console: Console) -> None:
    done = console("host", "shell", "node")
    assert done.code == 2
    assert "longarm host run" in done.err


# --- recordings ----------------------------------------------------------------------------------------------------


def test_a_secret_is_masked_however_it_is_cut() -> None:
    masker = Masker()
    masker.learn(Secret("s3cret-in-a-cast"))
    text = "before s3cret-in-a-cast after é s3cret-in-a-cast".encode()
    for size in (1, 2, 3, 5, 7, 16, 100):
        cast = Cast(80, 24, "xterm", began_s=0, masker=masker)
        for at in range(0, len(text), size):
            cast.shown(at / 10, text[at : at + size])
        data = cast.data(9.0)
        assert b"s3cret" not in data
        assert "".join(screen_of(data)) == "before *** after é ***", size


def test_what_is_cut_off_at_the_end_is_masked_too() -> None:
    masker = Masker()
    masker.learn(Secret("s3cret-in-a-cast"))
    cast = Cast(80, 24, "xterm", began_s=0, masker=masker)
    cast.shown(0.1, b"before s3cret-in-")
    assert "".join(screen_of(cast.data(1.0))) == "before ***"


def test_an_endless_screen_ends_its_recording() -> None:
    cast = Cast(80, 24, "xterm", began_s=0, masker=Masker())
    for number in range(40):
        cast.shown(float(number), b"x" * (MOST_BYTES // 16))
    data = cast.data(50.0)
    assert len(data) < 1.2 * MOST_BYTES
    assert "the recording ends here" in "".join(screen_of(data))


def test_a_screen_told_byte_by_byte_takes_no_more_room() -> None:
    cast = Cast(80, 24, "xterm", began_s=0, masker=Masker())
    for number in range(MOST_BYTES // 120):
        cast.shown(float(number), b"x")
    data = cast.data(50.0)
    assert len(data) < MOST_BYTES
    assert "the recording ends here" in "".join(screen_of(data))
