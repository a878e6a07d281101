"""Another user by doas, su and sudo as they are installed: by their own rules, in a terminal where they want one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from remote.answer import Ended
from remote.bundle.elevation import Verdict
from remote.question import Privilege, Question
from tests.remote.becoming import (
    BINARY,
    EITHER,
    ME,
    OF_OTHER,
    OTHER,
    OTHER_UID,
    PASSWORD,
    SHELLS,
    SU,
    UID,
    USER,
    WAYS,
    WHO,
    OnHost,
    Way,
    ask,
    doas_conf,
    session_on,
    sudoers,
)
from tests.remote.test_sudo import Given, lives_on

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")
SOAK = bool(os.environ.get("LONGARM_SOAK"))
in_one_shell = pytest.mark.parametrize("shell", [*SHELLS.values()] if SOAK else ["dash"])
"""For what is the same in all of them once the other user's shell is there; all of them at length."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return SHELLS[request.param]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def on_host(tmp_path: Path) -> OnHost:
    return partial(session_on, tmp_path)


async def test_the_right_password_gives_root_and_leaves_answers_as_they_are(way: Way, shell: str, on_host: OnHost) -> None:
    given = Given(PASSWORD)
    answers = await ask(on_host(way, given, shell), ME, WHO, EITHER, BINARY)
    assert {answer.denied for answer in answers.values()} == {""}
    assert [answers[name].stdout for name in ("me", "who", "either")] == [b"%d\n" % UID, b"0\n", b"0\n"]
    assert [answer.as_root for answer in answers.values()] == [False, True, True, True]
    said = answers["binary"]
    assert said.stdout == b"\0\1\3\4\n\r\n\x11\x13\x7f\xff\x1a\x1c" + b"\0" * 300_000
    assert (said.stderr, said.ended) == (b"\r\n\4err\xff", Ended.EXITED)
    assert given.verdicts == [Verdict.ACCEPTED]


@in_one_shell
async def test_a_wrong_password_is_sent_once_and_the_rest_is_asked_as_the_user(way: Way, shell: str, on_host: OnHost) -> None:
    given = Given("wrong")
    answers = await ask(on_host(way, given, shell), ME, WHO, EITHER)
    assert answers["who"].denied.startswith(f"the password for {way.method.value} was rejected: ")
    assert (given.offered, given.verdicts) == (1, [Verdict.REJECTED])
    assert answers["who"].ended is Ended.NOT_RUN
    assert (answers["either"].ended, answers["either"].stdout) == (Ended.EXITED, b"%d\n" % UID)
    assert answers["who"].denied == answers["either"].denied and "longarm-" not in answers["who"].denied.replace(USER, "")


# --- what is left, and what else may be in the way ----------------------------------------------------------------


async def test_no_ticket_is_left(way: Way, on_host: OnHost) -> None:
    """Whoever logs in as the same user afterwards could be root by it."""
    script = "for file in /run/sudo/ts/*; do od -An -v -tu1 $file; done; ls /run/doas >&2"
    tickets = Question(id="tickets", script=script, privilege=Privilege.ROOT)
    answers = await ask(on_host(way, Given(PASSWORD)), tickets, WHO)
    assert answers["who"].stdout == b"0\n"
    assert [*valid_tickets(bytes(int(byte) for byte in answers["tickets"].stdout.split()))] == []


LOCK, DISABLED = 4, 1
"""Of timestamp.h of sudo: a record that is nobody's, and the flag of one that lets nobody in; `sudo -n` makes both."""


def valid_tickets(file: bytes) -> Iterator[bytes]:
    """Yield each record that counts: version, size, type, flags of two bytes each, then the rest."""
    while file:
        _, size, kind, flags = struct.unpack("=HHHH", file[:8])
        if kind != LOCK and not flags & DISABLED:
            yield file[:size]
        file = file[size:]


@pytest.mark.parametrize("language", ["ru", "de", "fr"] if SOAK else ["ru"])
async def test_a_login_in_another_language_changes_nothing(language: str, way: Way, on_host: OnHost) -> None:
    session = on_host(way, Given("wrong"), env=f"LANG=C.UTF-8 LANGUAGE={language} LC_MESSAGES={language}_XX.UTF-8")
    answers = await ask(session, WHO)
    assert answers["who"].denied.startswith(f"the password for {way.method.value} was rejected: ")


SLOW = "auth required pam_exec.so quiet /bin/sleep {}\n"


def slow(way: Way, seconds: int) -> Way:
    """Return a way on a host whose directory takes its time over each login (as sssd does without its server)."""
    pam = f"/etc/pam.d/{way.method.value}"
    return replace(way, rules={**way.rules, f"pam.d/{way.method.value}": SLOW.format(seconds) + Path(pam).read_text()})


@pytest.mark.parametrize("name", ["sudo", "doas", "su"])
async def test_a_slow_directory_is_waited_for(name: str, on_host: OnHost) -> None:
    answers = await ask(on_host(slow(WAYS[name], 1), Given(PASSWORD)), WHO)
    assert answers["who"].stdout == b"0\n"


@pytest.mark.parametrize("name", ["sudo", "doas", "su"])
async def test_one_that_is_too_slow_is_told_and_costs_no_answer_of_the_user(
    name: str, on_host: OnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.bundle.exchange.ROOT_GRACE_S", 1.0)
    given = Given(PASSWORD)
    answers = await ask(on_host(slow(WAYS[name], 30), given), ME, WHO)
    assert (answers["me"].ended, answers["who"].ended) == (Ended.EXITED, Ended.NOT_RUN)
    assert answers["who"].why == f"{name} gave no verdict within 1 s"
    assert given.verdicts in ([], [Verdict.UNANSWERED])


async def test_a_lecture_before_the_prompt_does_no_harm(on_host: OnHost) -> None:
    for tty in ("", "Defaults requiretty\n"):
        way = sudoers(f"Defaults lecture=always\n{tty}{USER} ALL=(ALL) ALL\n")
        assert (await ask(on_host(way, Given(PASSWORD)), WHO))["who"].stdout == b"0\n"


async def test_a_terminal_alone_is_enough_where_no_password_is_wanted(on_host: OnHost) -> None:
    way = sudoers(f"Defaults requiretty\n{USER} ALL=(ALL) NOPASSWD: ALL\n")
    answers = await ask(on_host(way, None), ME, WHO, EITHER)
    assert [answer.stdout for answer in answers.values()] == [b"%d\n" % UID, b"0\n", b"0\n"]


async def test_doas_and_sudo_without_a_password_are_given_none(on_host: OnHost) -> None:
    for way in (doas_conf(f"permit nopass {USER}\n"), sudoers(f"{USER} ALL=(ALL) NOPASSWD: /bin/sh\n")):
        given = Given(PASSWORD)
        assert (await ask(on_host(way, given), WHO))["who"].stdout == b"0\n"
        assert given.offered == 0


# --- another user than root ---------------------------------------------------------------------------------------

TO_OTHER = {
    "to oracle by sudo": (sudoers(f"{USER} ALL=({OTHER}) ALL\n"), PASSWORD),
    "to oracle by sudo without a password": (sudoers(f"{USER} ALL=({OTHER}) NOPASSWD: ALL\n"), None),
    "to oracle by sudo in a terminal": (sudoers(f"Defaults requiretty\n{USER} ALL=({OTHER}) ALL\n"), PASSWORD),
    "to oracle by doas": (doas_conf(f"permit {USER} as {OTHER}\n"), PASSWORD),
    "to oracle by su": (SU, OF_OTHER),
    "to oracle by su of busybox": (WAYS["su of busybox"], OF_OTHER),
}
NOT_ROOT = f"the inventory says to become {OTHER}, which is not root"


@in_one_shell
@pytest.mark.parametrize("case", TO_OTHER)
async def test_another_user_sees_what_root_would_rather_see_and_nothing_that_only_root_may(
    case: str, shell: str, on_host: OnHost
) -> None:
    way, password = TO_OTHER[case]
    answers = await ask(on_host(way, password and Given(password), shell, user=OTHER), ME, WHO, EITHER)
    assert (answers["me"].stdout, answers["me"].denied) == (b"%d\n" % UID, "")
    assert (answers["either"].stdout, answers["either"].as_root) == (b"%d\n" % OTHER_UID, False)
    assert answers["either"].denied == NOT_ROOT
    assert (answers["who"].ended, answers["who"].why) == (Ended.NOT_RUN, NOT_ROOT)


@pytest.mark.parametrize("case", [*TO_OTHER, *WAYS])
async def test_what_another_user_started_is_ended_when_the_session_is_left(
    case: str, on_host: OnHost, everybodys: Path
) -> None:
    """And all that stood above it: the tool itself does not stay behind, stopped."""
    (way, password), user = (TO_OTHER[case], OTHER) if case in TO_OTHER else ((WAYS[case], PASSWORD), "root")
    os.mkfifo(fifo := everybodys / "fifo")
    fifo.chmod(0o666)
    script = f"setsid sh -c 'echo $$ $PPID >{fifo}; exec sleep 1000'"
    stays = Question(id="stays", script=script, deadline_s=1000, privilege=Privilege.PREFER_ROOT)
    session = on_host(way, password and Given(password), user=user)
    asking = asyncio.create_task(session.ask([stays], deadline_s=90))
    pids = [int(pid) for pid in (await asyncio.to_thread(fifo.read_text)).split()]
    parents = [*pids, *ancestors(pids[1], until=os.getpid())]
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await session.leave()
    assert [pid for pid in parents if await asyncio.to_thread(lives_on, pid)] == []


def ancestors(pid: int, until: int) -> list[int]:
    """Return the pids above a process, up to one of ours."""
    found = []
    while pid not in (0, 1, until):
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found
