"""Root by a password (T7, T27): sudo gets it once, when sudo asks; nobody else ever does, and every refusal has its reason."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inventory.errors import Text
from inventory.host import Host, Transport
from remote.answer import Answer, Ended
from remote.bundle.elevation import Verdict
from remote.errors import RemoteError
from remote.local import LocalSession
from remote.question import Privilege, Question

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")
HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
RIGHT = r"Пар оль\n'$HOME\"  #с  "
SHELLS = {"dash": "dash", "bash": "bash", "ash": "busybox sh"}
WHO = Question(id="who", script="id -u", privilege=Privilege.ROOT)
EITHER = Question(id="either", script="id -u", privilege=Privilege.PREFER_ROOT)
USER = Question(id="user", script="id -u")
SOUND = "19000:0:99999:7:::"
"""The rest of a line of shadow(5): changed long ago, for good."""
ASKS = "nobody ALL=(ALL) ALL\n"


@dataclass(slots=True)
class Given:
    """A password as a test gives it, and how often it was asked for and how that ended."""

    password: str
    kept: RemoteError | None = None
    offered: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    async def offer(self) -> Given:
        if self.kept is not None:
            raise self.kept
        self.offered += 1
        return self

    def ended(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)


OnSudo = Callable[..., LocalSession]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return SHELLS[request.param]


@pytest.fixture
def on_sudo(tmp_path: Path) -> OnSudo:
    """Return a function that gives a session as `nobody`, whose password is RIGHT, under sudo rules of the test's own."""
    hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=RIGHT.encode(), capture_output=True, check=True)

    def start(rules: str, passwords: Given | None, shell: str = "dash", *, ages: str = SOUND) -> LocalSession:
        shadow = f"root:*:{SOUND}\nnobody:{hashed.stdout.decode().strip()}:{ages}\n"
        for name, text in (("sudoers", rules), ("shadow", shadow)):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o440)
        script = tmp_path / "prepare"
        script.write_text(
            "set -e\nmount --make-rprivate /\n"
            f"mount --bind {tmp_path}/sudoers /etc/sudoers\nmount --bind {tmp_path}/shadow /etc/shadow\n"
            "[ ! -d /run/sudo ] || mount -t tmpfs none /run/sudo\n"
            f'exec setpriv --reuid=65534 --regid=65534 --clear-groups {shell} "$@"\n'
        )
        return LocalSession(HERE, shell=("unshare", "-m", "/bin/sh", str(script)), passwords=passwords)

    return start


async def ask(session: LocalSession, *questions: Question) -> Mapping[str, Answer]:
    try:
        return await session.ask(questions, deadline_s=90)
    finally:
        await session.leave()


async def test_a_right_password_gives_root(shell: str, on_sudo: OnSudo) -> None:
    given = Given(RIGHT)
    answers = await ask(on_sudo(ASKS, given, shell), USER, WHO, EITHER)
    assert [(answer.ended, answer.stdout) for answer in answers.values()] == [
        (Ended.EXITED, b"65534\n"),
        (Ended.EXITED, b"0\n"),
        (Ended.EXITED, b"0\n"),
    ]
    assert [answer.as_root for answer in answers.values()] == [False, True, True]
    assert {answer.denied for answer in answers.values()} == {""}
    assert {answer.stderr for answer in answers.values()} == {b""}
    assert (given.offered, given.verdicts) == (1, [Verdict.ACCEPTED])


async def test_a_right_password_gives_root_where_sigterm_is_ignored(shell: str, on_sudo: OnSudo) -> None:
    """What is ignored when a shell starts stays so: the guard could not be dismissed by it, and would read the password."""
    session = on_sudo(ASKS, Given(RIGHT), f"""sh -c "trap '' TERM; exec {shell}" """)
    answers = await ask(session, USER, WHO)
    assert [answer.stdout for answer in answers.values()] == [b"65534\n", b"0\n"]


async def test_sudo_without_a_password_is_given_none(shell: str, on_sudo: OnSudo) -> None:
    given = Given(RIGHT)
    answers = await ask(on_sudo("nobody ALL=(ALL) NOPASSWD: /bin/sh\n", given, shell), WHO)
    assert (answers["who"].stdout, given.offered) == (b"0\n", 0)


async def test_a_wrong_password_is_sent_once_and_the_rest_is_asked_as_the_user(shell: str, on_sudo: OnSudo) -> None:
    given = Given("wrong")
    answers = await ask(on_sudo(ASKS, given, shell), USER, WHO, EITHER)
    assert (given.offered, given.verdicts) == (1, [Verdict.REJECTED])
    assert answers["who"].ended is Ended.NOT_RUN
    assert (answers["either"].ended, answers["either"].stdout) == (Ended.EXITED, b"65534\n")
    [why] = {answer.denied for answer in answers.values()} - {""}
    assert why.startswith("the password for sudo was rejected: ")
    assert "1 incorrect password attempt" in why
    assert "longarm-" not in why, "the prompt is ours"


EXPIRED, LOCKED = "0:0:99999:7:::", "19000:0:99999:7::1:"
REASONS: dict[str, tuple[str, str, str, list[Verdict]]] = {
    "not in sudoers": ("root ALL=(ALL) ALL\n", "", "the user may not become root by sudo: ", [Verdict.ACCEPTED]),
    "may do other things": (
        "nobody ALL=(ALL) /bin/true\n",
        "",
        "sudo allows the user some commands as root, and a shell is none of them: ",
        [Verdict.ACCEPTED],
    ),
    "password expired": (ASKS, EXPIRED, "the password is expired and has to be changed first: ", [Verdict.UNANSWERED]),
    "account expired": (ASKS, LOCKED, "the account is expired or locked: ", [Verdict.UNANSWERED]),
    "one try": (f"Defaults passwd_tries=1\n{ASKS}", "wrong", "the password for sudo was rejected: ", [Verdict.REJECTED]),
}


@pytest.mark.parametrize("case", REASONS)
async def test_each_refusal_has_its_reason(case: str, on_sudo: OnSudo) -> None:
    rules, fault, says, verdicts = REASONS[case]
    given = Given("wrong" if fault == "wrong" else RIGHT)
    answers = await ask(on_sudo(rules, given, ages=fault if ":" in fault else SOUND), USER, WHO)
    assert answers["user"].ended is Ended.EXITED
    assert (answers["who"].ended, answers["who"].denied) == (Ended.NOT_RUN, answers["who"].why)
    assert answers["who"].why.startswith(says)
    assert given.verdicts == verdicts


async def test_a_lecture_before_the_prompt_does_no_harm(on_sudo: OnSudo) -> None:
    answers = await ask(on_sudo(f"Defaults lecture=always\n{ASKS}", Given(RIGHT)), WHO)
    assert answers["who"].stdout == b"0\n"


async def test_a_password_that_is_kept_back_is_said(shell: str, on_sudo: OnSudo) -> None:
    given = Given(RIGHT, kept=RemoteError("here", Text("rejected 3 times in this run")))
    answers = await ask(on_sudo(ASKS, given, shell), WHO, EITHER)
    assert answers["who"].denied == "sudo asks for a password: rejected 3 times in this run"
    assert answers["either"].stdout == b"65534\n"


async def test_without_a_password_of_ours_the_reason_names_what_is_missing(on_sudo: OnSudo) -> None:
    answers = await ask(on_sudo(ASKS, None), WHO)
    words = "sudo asks for a password, and the credential names none: sudo: a password is required"
    assert answers["who"].denied == words


async def test_a_hung_root_question_and_what_it_started_are_ended(shell: str, on_sudo: OnSudo) -> None:
    hung = Question(id="hung", script="echo before; setsid sleep 1000", deadline_s=1, privilege=Privilege.ROOT)
    answers = await ask(on_sudo(ASKS, Given(RIGHT), shell), hung, WHO)
    assert (answers["hung"].ended, answers["hung"].stdout, answers["hung"].unkillable) == (Ended.TIMED_OUT, b"before\n", ())
    assert answers["who"].stdout == b"0\n"


async def test_what_root_had_begun_ends_with_its_shell_and_before_others_are_asked(
    shell: str, on_sudo: OnSudo, tmp_path: Path
) -> None:
    """Its lanes are orphans then, of a session that is the user's: they went on to the next question, two writers at once."""
    kills = Question(id="kills", script="kill -KILL $$; sleep 1000", deadline_s=60, privilege=Privilege.ROOT)
    after = Question(id="after", script=f": >{tmp_path}/made", privilege=Privilege.ROOT)
    answers = await ask(on_sudo("nobody ALL=(ALL) NOPASSWD: ALL\n", None, shell), USER, kills, after, EITHER)
    assert not (tmp_path / "made").exists()
    assert (answers["user"].ended, answers["user"].stdout) == (Ended.EXITED, b"65534\n")
    assert answers["kills"].ended is Ended.LOST
    assert answers["after"].ended is Ended.NOT_RUN
    assert answers["either"].ended is Ended.LOST  # right perhaps, and nothing proves it


@pytest.mark.parametrize("password", [RIGHT, "wrong"], ids=["as root", "as the user"])
async def test_a_session_that_is_left_ends_everything_after_a_password_too(
    password: str, shell: str, on_sudo: OnSudo, everybodys: Path
) -> None:
    """The guard is another one by then (reaper.sh): it must notice as the first one did."""
    os.mkfifo(fifo := everybodys / "fifo")
    fifo.chmod(0o666)
    script = f"setsid sh -c 'echo $$ >{fifo}; exec sleep 1000'"
    stays = Question(id="stays", script=script, deadline_s=1000, privilege=Privilege.PREFER_ROOT)
    session = on_sudo(ASKS, Given(password), shell)
    asking = asyncio.create_task(session.ask([stays], deadline_s=90))
    pid = int(await asyncio.to_thread(fifo.read_text))
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await session.leave()
    assert not await asyncio.to_thread(lives_on, pid)


def lives_on(pid: int) -> bool:
    """Tell whether a process outside of every group of ours is still there a while after its session was left."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/cmdline").read_bytes():
                time.sleep(0.05)
                continue
        return False
    return True


@contextlib.contextmanager
def watched(canary: bytes) -> Iterator[set[str]]:
    """Look at the arguments and the environment of every process, without a pause, for a secret."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        if canary in (process / name).read_bytes():
                            seen.add(f"{process.name} {name}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


async def test_the_password_is_in_no_argument_and_no_environment(shell: str, on_sudo: OnSudo) -> None:
    slow = Question(id="slow", script="sleep 0.5; env; cat /proc/$PPID/environ", privilege=Privilege.ROOT)
    with watched(RIGHT.encode()) as seen:
        answers = await ask(on_sudo(ASKS, Given(RIGHT), shell), slow)
    assert answers["slow"].as_root
    assert RIGHT.encode() not in answers["slow"].stdout + answers["slow"].stderr
    assert seen == set()


async def test_the_watch_sees_an_argument() -> None:
    leak = Question(id="leak", script="sh -c 'sleep 0.5; :' a-canary-of-this-test")
    with watched(b"a-canary-of-this-test") as seen:
        for _ in range(20):  # one look at everything takes a busy machine longer than that
            await ask(LocalSession(HERE), leak)
            if seen:
                return
    pytest.fail("it saw nothing")
