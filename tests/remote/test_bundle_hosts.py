"""The bundle on hosts in trouble: no room, nothing writable, no tools, no /proc, no root; and a script that leaves no trace."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from diagnostics.library import load_library
from inventory.host import Expectations
from playbooks.load import find_playbook
from remote.answer import Answer, Ended
from remote.bundle import BundleExchange
from remote.bundle.script import runner
from remote.question import Privilege, Question
from tests.remote.reaching import Asked, Reach, WithShell

SHELLS = {"dash": "dash", "bash": "bash", "ash": "busybox sh"}
DEADLINE_S = 90.0
NAMES = ("USER", "ROOT", "PREFER_ROOT")
BY_PRIVILEGE = tuple(Question(id=name.lower(), script="id -u", privilege=Privilege[name]) for name in NAMES)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")

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


async def ask(session: Asked, *questions: Question) -> Mapping[str, Answer]:
    try:
        return await session.ask(questions, deadline_s=DEADLINE_S)
    finally:
        await session.leave()


# --- disks ---------------------------------------------------------------------------------------------------------

ON_A_SICK_DISK = (
    Question(id="list", script="ls /proc/self/fd >/dev/null; echo fine"),
    Question(id="hung", script="echo before; sleep 1000", deadline_s=1),
    Question(id="flood", script="yes", max_bytes=1000, deadline_s=10),
    Question(id="wrong", script="if ("),
    Question(id="last", script="echo x >/tmp/longarm-test; echo $?"),
)
ENDED = [Ended.EXITED, Ended.TIMED_OUT, Ended.CAPPED, Ended.EXITED, Ended.EXITED]


@pytest.mark.fabric_too
@needs_root
async def test_works_when_every_filesystem_is_full(shell: str, prepared: RunIn) -> None:
    session = prepared(
        f"""\
        for where in /tmp /var/tmp /root /home /run /dev/shm; do
            [ -d $where ] || continue
            mount -t tmpfs -o size=4k,nr_inodes=2 full $where
            printf '%4096s' x >$where/x
        done
        ! echo more 2>/dev/null >/tmp/y
        exec {shell}
        """
    )
    answers = await ask(session, *ON_A_SICK_DISK)
    assert [answer.ended for answer in answers.values()] == ENDED
    assert answers["last"].stdout != b"0\n"


@pytest.mark.fabric_too
@needs_root
async def test_works_when_every_filesystem_is_read_only(shell: str, prepared: RunIn) -> None:
    session = prepared(
        f"""\
        mount --rbind / /
        for where in /tmp /var/tmp /home /run /dev/shm /dev /; do
            [ -d $where ] && mount --bind $where $where && mount -o remount,bind,ro $where
        done
        ! echo more 2>/dev/null >/tmp/y
        exec {shell}
        """
    )
    answers = await ask(session, *ON_A_SICK_DISK)
    assert [answer.ended for answer in answers.values()] == ENDED
    assert answers["last"].stdout != b"0\n"


def test_no_file_is_opened_for_writing(shell: str, tmp_path: Path) -> None:
    trace, exchange = tmp_path / "trace", BundleExchange(ON_A_SICK_DISK[:4])
    command = ["strace", "-f", "-qq", "-e", "trace=openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename,symlink,mknod"]
    child = subprocess.Popen(
        [*command, "-o", str(trace), *shell.split()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin
    child.stdin.write(exchange.script)
    child.stdin.flush()
    child.wait(timeout=60)
    child.stdin.close()
    calls = [line for line in trace.read_text().splitlines() if "(" in line and "O_RDONLY" not in line]
    assert any('"/dev/null", O_WRONLY' in call for call in calls)
    assert [call for call in calls if not re.search(r'"/dev/(null|tty)"|resumed>', call)] == []  # bash tries /dev/tty


# --- tools that are missing ----------------------------------------------------------------------------------------

BUILTINS_ONLY = (
    Question(id="first", script="echo first; echo to stderr >&2"),
    Question(id="uptime", script='read -r up rest </proc/uptime; [ "$up" ] && echo read'),
    Question(id="tool", script="longarm-no-such-tool"),
    Question(id="status", script="exit 9"),
    Question(id="big", script="i=0; while [ $i -lt 1000 ]; do echo longarm; i=$((i + 1)); done", max_bytes=2000),
)


@pytest.mark.fabric_too
async def test_a_path_without_any_tool(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_shell: WithShell
) -> None:
    (tmp_path / "bin").mkdir()
    programs = [shutil.which(word) or word for word in shell.split()]
    script = f"{{ PATH={tmp_path}/bin; command() {{ return 1; }}; }}\n"
    session = with_shell(*programs)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(
        "remote.bundle.script.runner", lambda: script + runner().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
    )
    answers = await ask(session, *BUILTINS_ONLY)
    assert [answers[name].ended for name in ("first", "uptime", "tool", "status")] == [Ended.EXITED] * 4
    assert (answers["first"].stdout, answers["first"].stderr) == (b"first\n", b"to stderr\n")
    assert (answers["tool"].exit_status, answers["status"].exit_status) == (127, 9)
    assert answers["uptime"].stdout == b"read\n"
    big = answers["big"]  # no `head`: the host cannot cut, we do
    assert (big.ended, len(big.stdout), big.stdout_cut, big.exit_status) == (Ended.CAPPED, 2000, 6000, 0)


@pytest.mark.fabric_too
async def test_a_path_without_head_still_has_deadlines(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_shell: WithShell
) -> None:
    for tool in ("sleep", "dd"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    programs = [shutil.which(word) or word for word in shell.split()]
    without = runner().replace(":/usr/local/sbin:/usr/sbin:/sbin", "").replace("command -v head", "false head")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("remote.bundle.script.runner", lambda: without)
    hung = Question(id="hung", script="echo before; sleep 1000", deadline_s=1)
    answers = await ask(with_shell(*programs), hung, Question(id="last", script="echo last"))
    assert (answers["hung"].ended, answers["hung"].stdout) == (Ended.TIMED_OUT, b"before\n")
    assert (answers["last"].ended, answers["last"].stdout) == (Ended.EXITED, b"last\n")


@pytest.mark.fabric_too
@needs_root
async def test_a_host_without_proc_is_honest(shell: str, prepared: RunIn) -> None:
    mark = secrets.token_hex(8)
    session = prepared(f"mount -t tmpfs none /proc\nexec {shell}\n")
    questions = (
        Question(id="first", script="echo first"),
        Question(id="hung", script=f"echo before; exec sh -c 'sleep 15' {mark}", deadline_s=1),
        Question(id="last", script="echo last"),
    )
    answers = await ask(session, *questions)
    assert [answer.ended for answer in answers.values()] == [Ended.EXITED, Ended.TIMED_OUT, Ended.EXITED]
    assert answers["last"].stdout == b"last\n"
    assert "may still run" in answers["hung"].why


@pytest.mark.fabric_too
@needs_root
async def test_without_proc_a_slow_question_before_one_that_is_asked_once_ends(shell: str, prepared: RunIn) -> None:
    slow = Question(id="slow", script="sleep 3; echo slow", calm=True)
    once = Question(id="once", script="sh -c 'echo once'", repeatable=False)
    answers = await ask(prepared(f"mount -t tmpfs none /proc\nexec {shell}\n"), slow, once)
    assert {answer.ended for answer in answers.values()} == {Ended.EXITED}
    assert [answer.stdout for answer in answers.values()] == [b"slow\n", b"once\n"]


@pytest.mark.fabric_too
@needs_root
async def test_a_kernel_without_lists_of_children(shell: str, monkeypatch: pytest.MonkeyPatch, with_shell: WithShell) -> None:
    slow = runner().replace("&& la_quick=1", "&& :")
    assert slow != runner()
    monkeypatch.setattr("remote.bundle.script.runner", lambda: slow)
    hung = Question(id="hung", script="echo before; sh -c 'sleep 1000 & setsid sleep 1000'; :", deadline_s=1)
    answers = await ask(with_shell(*shell.split()), hung, Question(id="last", script="echo last"))
    assert [answer.ended for answer in answers.values()] == [Ended.TIMED_OUT, Ended.EXITED]
    assert answers["hung"].unkillable == ()


# --- root ----------------------------------------------------------------------------------------------------------


def as_nobody(*command: str) -> tuple[str, ...]:
    return ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_root_asks_everything_as_root(shell: str, with_shell: WithShell) -> None:
    if os.geteuid() != 0:
        pytest.skip("runs as root only")
    answers = await ask(with_shell(*shell.split()), *BY_PRIVILEGE)
    assert [(answer.stdout, answer.as_root) for answer in answers.values()] == [(b"0\n", True)] * 3


@pytest.mark.fabric_too
@needs_root
async def test_without_sudo_root_questions_are_not_run(
    shell: str, everybodys: Path, monkeypatch: pytest.MonkeyPatch, with_shell: WithShell, reach: Reach
) -> None:
    for tool in ("sleep", "dd", "head", "id"):
        (everybodys / tool).symlink_to(shutil.which(tool) or tool)
    programs = [shutil.which(word) or word for word in as_nobody(*shell.split())]
    monkeypatch.setenv("PATH", str(everybodys))
    monkeypatch.setattr("remote.bundle.script.runner", lambda: runner().replace(":/usr/local/sbin:/usr/sbin:/sbin", ""))
    check_denied(await ask(with_shell(*programs), *BY_PRIVILEGE), "sudo", reach)


def check_denied(answers: Mapping[str, Answer], words: str, reach: Reach) -> None:
    user, root, prefer = (answers[name.lower()] for name in NAMES)
    assert (user.ended, user.stdout, user.as_root) == (Ended.EXITED, b"65534\n", False)
    assert (root.ended, root.exit_status) == (Ended.NOT_RUN, None)
    assert words in root.why
    either = "" if reach.fabric else root.why  # a function says as whom, and nothing is tried first
    assert (user.denied, root.denied, prefer.denied) == ("", root.why, either)
    assert (prefer.ended, prefer.stdout, prefer.as_root) == (Ended.EXITED, b"65534\n", False)


@pytest.fixture
def with_sudo(prepared: RunIn, tmp_path: Path) -> Callable[[str, str], Asked]:
    """Return a function that gives a session as `nobody` under sudo rules of the test's own."""

    def start(rules: str, shell: str) -> Asked:
        sudoers = tmp_path / "sudoers"
        sudoers.write_text(rules)
        sudoers.chmod(0o440)
        return prepared(f"mount --bind {sudoers} /etc/sudoers\nexec {' '.join(as_nobody(*shell.split()))}\n")

    return start


WithSudo = Callable[[str, str], Asked]


@pytest.mark.fabric_too
@needs_root
async def test_denied_sudo_is_told_in_its_own_words(shell: str, with_sudo: WithSudo, reach: Reach) -> None:
    answers = await ask(with_sudo("root ALL=(ALL) ALL\n", shell), *BY_PRIVILEGE)
    check_denied(answers, "sudo: a password is required", reach)


@needs_root
async def test_what_is_asked_as_the_user_since_root_was_denied_has_deadlines_too(shell: str, with_sudo: WithSudo) -> None:
    prefer = Privilege.PREFER_ROOT
    hung = Question(id="hung", script="echo before; sleep 60", calm=True, deadline_s=2, privilege=prefer)
    flood = Question(id="flood", script="cat /dev/zero", deadline_s=30, max_bytes=5000, privilege=prefer)
    last = Question(id="last", script="echo last", privilege=prefer)
    for bad, ended in ((hung, Ended.TIMED_OUT), (flood, Ended.CAPPED)):
        answers = await ask(with_sudo("root ALL=(ALL) ALL\n", shell), bad, last)
        assert [answer.ended for answer in answers.values()] == [ended, Ended.EXITED]
        assert (answers["last"].stdout, answers["last"].as_root) == (b"last\n", False)


@needs_root
async def test_a_cut_before_root_was_asked_for_is_not_a_denial(with_sudo: WithSudo) -> None:
    session = with_sudo("root ALL=(ALL) ALL\n", "dash")
    answers = await ask(session, Question(id="end", script="kill -KILL -$(ps -o sid= -p $$ | tr -d ' ')"), *BY_PRIVILEGE)
    assert answers["root"].ended is Ended.NOT_RUN
    assert {answer.denied for answer in answers.values()} == {""}


@needs_root
async def test_denied_root_is_told_of_the_standard_playbook(with_sudo: WithSudo) -> None:
    library, checks = load_library(), find_playbook("standard").checks
    answers = await ask(with_sudo("root ALL=(ALL) ALL\n", "dash"), *library.questions(checks, "linux", Expectations()))
    words = "sudo asks for a password, and the credential names none: sudo: a password is required"
    assert {answer.denied for answer in answers.values()} == {"", words}


@pytest.mark.fabric_too
@needs_root
async def test_sudo_without_a_password_asks_root_questions_as_root(shell: str, with_sudo: WithSudo, reach: Reach) -> None:
    tricky = Question(id="tricky", script="printf '%s' \"it's $v\"", privilege=Privilege.ROOT, variables=(("v", "'\\''"),))
    answers = await ask(with_sudo("nobody ALL=(root) NOPASSWD: /bin/sh\n", shell), *BY_PRIVILEGE, tricky)
    either = not reach.fabric  # a function says as whom
    assert [answers[name.lower()].stdout for name in NAMES] == [b"65534\n", b"0\n", b"0\n" if either else b"65534\n"]
    assert [answer.as_root for answer in answers.values()] == [False, True, either, True]
    assert answers["tricky"].stdout == b"it's '\\''"
    assert {answer.denied for answer in answers.values()} == {""}
    assert {answer.ended for answer in answers.values()} == {Ended.EXITED}


@pytest.mark.fabric_too
@needs_root
async def test_root_questions_have_deadlines_and_caps_too(shell: str, with_sudo: WithSudo) -> None:
    answers = await ask(
        with_sudo("nobody ALL=(root) NOPASSWD: ALL\n", shell),
        Question(id="hung", script="echo before; setsid sleep 1000", deadline_s=1, privilege=Privilege.ROOT),
        Question(id="flood", script="yes >&2", deadline_s=10, privilege=Privilege.ROOT),
        Question(id="last", script="echo last", privilege=Privilege.PREFER_ROOT),
        Question(id="user", script="echo user"),
    )
    assert [answer.ended for answer in answers.values()] == [Ended.TIMED_OUT, Ended.CAPPED, Ended.EXITED, Ended.EXITED]
    assert answers["hung"].stdout == b"before\n"
    assert answers["hung"].unkillable == ()


@pytest.mark.fabric_too
@needs_root
async def test_a_survivor_is_reported_and_holds_up_nobody(shell: str, with_sudo: WithSudo) -> None:
    """A process of another user's cannot be killed: it stands here for one in state D."""
    stays = Question(id="stays", script="echo before; sudo -n setsid sleep 20", deadline_s=1)
    questions = (Question(id="first", script="echo first"), stays, Question(id="last", script="echo last; echo err >&2"))
    session = with_sudo("nobody ALL=(root) NOPASSWD: ALL\n", shell)
    answers = await ask(session, *questions)
    assert [answer.ended for answer in answers.values()] == [Ended.EXITED, Ended.TIMED_OUT, Ended.EXITED]
    assert (answers["last"].stdout, answers["last"].stderr) == (b"last\n", b"err\n")
    assert answers["stays"].unkillable
    for pid in answers["stays"].unkillable:
        assert b"sleep" in command_of(pid)
        os.kill(pid, 9)


# --- the script itself ---------------------------------------------------------------------------------------------


@pytest.fixture
def scripts(tmp_path: Path) -> list[Path]:
    questions = [*ON_A_SICK_DISK[:3], *BY_PRIVILEGE, Question(id="v", script="echo $v", variables=(("v", "it's"),))]
    whole = tmp_path / "bundle"
    whole.write_bytes(b"#!/bin/sh\n" + BundleExchange(questions).script)
    fixed = Path(__file__).parents[2] / "remote"
    return [whole, *sorted((fixed / "bundle").glob("*.sh")), *sorted((fixed / "detached").glob("*.sh"))]


def test_shellcheck_has_nothing_to_say(scripts: list[Path]) -> None:
    # texts travel single-quoted (SC2016), and use the variables of the script (SC2034) once they are evaluated
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-e", "SC2016,SC2034", *scripts], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("interpreter", [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]], ids=" ".join)
def test_every_shell_can_parse_it(scripts: list[Path], interpreter: list[str]) -> None:
    for script in scripts:
        done = subprocess.run([*interpreter, "-n", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_script_that_was_cut_runs_nothing(shell: str, tmp_path: Path) -> None:
    script = BundleExchange([Question(id="q", script=f"echo x >{tmp_path}/ran")]).script
    for at in (0, 1, 50, 100, len(script) // 2, len(script) - 60, len(script) - 43, len(script) - 42):
        done = subprocess.run(shell.split(), input=script[:at], capture_output=True, check=False)
        assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []
