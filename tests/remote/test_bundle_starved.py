"""The bundle where the host refuses it something: processes, files, memory, time, programs, a killable process.

Every answer is right, or honestly none: `exited` is never said of an answer that is not whole.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.answer import Answer, Ended
from remote.question import Question
from tests.conftest import SOAK
from tests.remote.reaching import Asked, WithShell

SHELLS = {"dash": "dash", "bash": "bash", "ash": "busybox sh"}
CGROUPS = Path("/sys/fs/cgroup")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and cgroups")

QUESTIONS = (
    Question(id="first", script="echo first; echo err >&2"),
    Question(id="pipe", script="echo one | cat | cat"),
    Question(id="loop", script="i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i + 1)); done; exit 5"),
    Question(id="kernel", script="cat /proc/version; cat /proc/self/comm"),
    Question(id="last", script="echo last"),
)
RunIn = Callable[[str], Asked]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return SHELLS[request.param]


@pytest.fixture
def prepared(tmp_path: Path, with_shell: WithShell) -> RunIn:
    """Return a function that gives a host whose shell runs after `preparation` in a mount namespace of its own."""

    def prepare(preparation: str) -> Asked:
        script = tmp_path / "prepare"
        script.write_text("set -e\nmount --make-rprivate /\n" + textwrap.dedent(preparation))
        return with_shell("unshare", "-m", "/bin/sh", str(script))

    return prepare


async def ask(session: Asked, *questions: Question, deadline_s: float = 60) -> Mapping[str, Answer]:
    try:
        return await session.ask(questions, deadline_s=deadline_s)
    finally:
        await session.leave()


def is_right(name: str, answer: Answer) -> bool:
    version = Path("/proc/version").read_bytes()
    right = {
        "first": (b"first\n", b"err\n", 0),
        "pipe": (b"one\n", b"", 0),
        "loop": (b"".join(b"line %d\n" % n for n in range(300)), b"", 5),
        "kernel": (version + b"cat\n", b"", 0),
        "last": (b"last\n", b"", 0),
    }
    return (answer.stdout, answer.stderr, answer.exit_status) == right[name]


def are_honest(answers: Mapping[str, Answer]) -> None:
    """Assert that each answer is right, says by its status or stderr that its commands failed, or is none and says why."""
    for name, answer in answers.items():
        if answer.ended is Ended.EXITED:
            assert is_right(name, answer) or answer.exit_status not in (0, None) or answer.stderr, (name, answer)
        else:
            assert answer.exit_status is None and (answer.why or answer.ended is Ended.TIMED_OUT), (name, answer)


# --- what a preparation takes away, and all answers are right --------------------------------------------------------

HARMLESS = {
    "noexec": """
        for where in /tmp /var/tmp /home /root /run /dev/shm /var; do
            [ -d $where ] && mount --bind $where $where && mount -o remount,bind,noexec,nosuid,nodev $where
        done""",
    "no /dev but null": """
        touch /dev/shm/null; mount -t tmpfs -o mode=755 dev /dev; mknod -m 666 /dev/null c 1 3""",
    "no /etc": "mount -t tmpfs -o mode=755 etc /etc",
    "no /tmp, /home, /var, /run": """
        for where in /tmp /home /var /run; do mount -t tmpfs -o size=4k,nr_inodes=1,mode=0 x $where; done""",
    "no core, no files": "ulimit -c 0; ulimit -f 0",
    "few descriptors": "ulimit -n 16",
    "a small stack": "ulimit -s 256",
    "no locked memory, no queues": "ulimit -l 0 2>/dev/null || :; ulimit -q 0 2>/dev/null || :",
    "a low priority": "renice -n 19 -p $$ >/dev/null",
    "an odd environment": """
        export IFS=: PS4=x ENV=/nowhere BASH_ENV=/nowhere CDPATH=/ POSIXLY_CORRECT=1 LC_ALL=xx_XX.UTF-8 TMPDIR=/no""",
    "a folder that is gone": "mkdir /dev/shm/gone-$$; cd /dev/shm/gone-$$; rmdir /dev/shm/gone-$$",
    "signals ignored": "trap '' HUP INT TERM PIPE USR1 CHLD",
}


@pytest.mark.fabric_too
@pytest.mark.parametrize("what", HARMLESS)
async def test_what_a_host_lacks_changes_no_answer(shell: str, prepared: RunIn, what: str) -> None:
    answers = await ask(prepared(f"{textwrap.dedent(HARMLESS[what])}\nexec {shell}\n"), *QUESTIONS)
    assert {name: is_right(name, answer) for name, answer in answers.items()} == dict.fromkeys(answers, True), answers


@pytest.mark.fabric_too
async def test_a_root_of_nothing_but_a_shell(shell: str, prepared: RunIn, tmp_path: Path) -> None:
    """No /proc, /dev, /tmp, /etc, no program but busybox's shell itself: an image out of nothing."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
    answers = await ask(prepared(f"exec chroot {root} /bin/busybox sh\n"), *QUESTIONS, deadline_s=20)
    are_honest(answers)


@pytest.mark.fabric_too
@pytest.mark.parametrize("path", ["", "/nowhere", ":", "."])
async def test_an_empty_path(shell: str, path: str, monkeypatch: pytest.MonkeyPatch, with_shell: WithShell) -> None:
    programs = [shutil.which(word) or word for word in shell.split()]
    monkeypatch.setenv("PATH", path)
    answers = await ask(with_shell(*programs), *QUESTIONS)
    are_honest(answers)
    assert is_right("loop", answers["loop"]) and is_right("first", answers["first"])


# --- limits that bite ------------------------------------------------------------------------------------------------

BITING = {
    "descriptors": [f"ulimit -n {n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)],
    "memory": [f"ulimit -v {n}" for n in (1500, 2500, 4000, 6000, 9000)],
    "data": [f"ulimit -d {n}" for n in (100, 500, 1000)],
    "time": ["ulimit -t 1"],
}


@pytest.mark.fabric_too
@pytest.mark.parametrize("kind", BITING)
async def test_limits_that_bite_make_no_false_answer(shell: str, prepared: RunIn, kind: str) -> None:
    for limit in BITING[kind]:
        are_honest(await ask(prepared(f"{limit}\nexec {shell}\n"), *QUESTIONS, deadline_s=15))


@pytest.mark.fabric_too
async def test_a_question_that_uses_up_its_time(shell: str, prepared: RunIn) -> None:
    busy = Question(id="busy", script="while :; do :; done", deadline_s=10)
    answers = await ask(prepared(f"ulimit -t 1\nexec {shell}\n"), busy)
    assert (answers["busy"].ended, answers["busy"].exit_status) != (Ended.EXITED, 0)


# --- no process to be had --------------------------------------------------------------------------------------------


@pytest.fixture
def pids() -> Iterator[Path]:
    """A cgroup of this test's own that limits processes; its file `limit` is pids.max."""
    parent = CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "pids"
    group = parent / f"longarm-test-{secrets.token_hex(4)}"
    group.mkdir()
    yield group
    is_empty(group)
    group.rmdir()


def is_empty(group: Path) -> None:
    """Wait until no process is left in a cgroup; AssertionError with those that stay longer than bash tries again."""
    for _ in range(1500):
        if not (left := (group / "cgroup.procs").read_text().split()):
            return
        time.sleep(0.02)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    raise AssertionError(commands)


@pytest.mark.fabric_too
@pytest.mark.parametrize("limit", range(1, 24) if SOAK else (1, 3, 6, 9, 16))
async def test_forks_that_fail_make_no_false_answer(shell: str, prepared: RunIn, pids: Path, limit: int) -> None:
    (pids / "pids.max").write_text(f"{limit}\n")
    deadline_s = 60 if limit >= 16 else 4  # bash tries again for 15 s
    answers = await ask(prepared(f"echo $$ >{pids}/cgroup.procs\nexec {shell}\n"), *QUESTIONS, deadline_s=deadline_s)
    are_honest(answers)
    if limit >= 16:
        assert all(is_right(name, answer) for name, answer in answers.items())


# --- what cannot be killed -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """What makes a process that outlives SIGKILL, and the file with the pids of those that it has made."""

    script: str
    pids: Path


@contextmanager
def frozen_process(_: Path) -> Iterator[Stuck]:
    """Freeze it by cgroup v1, where it is in state D then; v2 lets SIGKILL through (measured: Linux 6.18)."""
    group = CGROUPS / "freezer" / f"longarm-test-{secrets.token_hex(4)}"
    group.mkdir()
    begun = f"sh -c 'echo $$ >{group}/cgroup.procs; exec sleep 1000' & until grep -q . {group}/cgroup.procs; do sleep 0.1; done"
    yield Stuck(script=f"{begun}; echo FROZEN >{group}/freezer.state; wait", pids=group / "cgroup.procs")
    (group / "freezer.state").write_text("THAWED")
    is_empty(group)
    group.rmdir()


@contextmanager
def frozen_filesystem(folder: Path) -> Iterator[Stuck]:
    """Let it write to a filesystem that is frozen: it waits in state D."""
    image, mounted, pids = folder / "image", folder / "mounted", folder / "pids"
    image.touch()
    os.truncate(image, 2**23)
    mounted.mkdir()
    for words in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(mounted)]):
        subprocess.run(words, check=True)
    subprocess.run(["fsfreeze", "-f", str(mounted)], check=True)
    try:
        yield Stuck(script=f"sh -c 'echo $$ >{pids}; : >{mounted}/new' & wait", pids=pids)
    finally:
        subprocess.run(["fsfreeze", "-u", str(mounted)], check=True)
        while subprocess.run(["umount", str(mounted)], check=False).returncode:  # until who was killed there has gone
            time.sleep(0.1)


FREEZERS = {
    **({"a process": frozen_process} if (CGROUPS / "freezer").is_dir() else {}),
    **({"a filesystem": frozen_filesystem} if Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") else {}),
}


@pytest.fixture(params=FREEZERS)
def stuck(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stuck]:
    """Return what gets stuck where something is frozen."""
    with FREEZERS[request.param](tmp_path) as made:
        yield made


@pytest.mark.fabric_too
async def test_a_process_in_state_d_is_reported_and_holds_up_nobody(shell: str, stuck: Stuck, with_shell: WithShell) -> None:
    questions = (
        Question(id="first", script="echo first; echo err >&2"),
        Question(id="stuck", script=f"echo before; {stuck.script}", deadline_s=4),
        Question(id="last", script="echo last"),
    )
    answers = await ask(with_shell(*shell.split()), *questions)
    assert is_right("first", answers["first"]) and is_right("last", answers["last"])
    assert answers["stuck"].ended is Ended.TIMED_OUT
    assert answers["stuck"].stdout in (b"before\n", b""), "what its filter had not passed on when it was killed is lost"
    in_state_d = [int(pid) for pid in stuck.pids.read_text().split()]
    assert set(in_state_d) <= set(answers["stuck"].unkillable) and in_state_d


# --- big answers -----------------------------------------------------------------------------------------------------


async def test_ten_megabytes_of_every_byte_arrive_whole(shell: str, tmp_path: Path, with_shell: WithShell) -> None:
    data = os.urandom(10 * 2**20)
    (tmp_path / "big").write_bytes(data)
    big = Question(id="big", script=f"cat {tmp_path}/big", max_bytes=11 * 2**20, deadline_s=60)
    answers = await ask(with_shell(*shell.split()), big, Question(id="last", script="echo last"))
    assert (answers["big"].ended, answers["big"].exit_status) == (Ended.EXITED, 0)
    assert hashlib.sha256(answers["big"].stdout).digest() == hashlib.sha256(data).digest()
    assert is_right("last", answers["last"])
