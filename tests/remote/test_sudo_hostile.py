"""Hosts that fish for the password of sudo (T27) or play at having answered (T28): none gets it, none is believed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest

from inventory.host import CredentialReference, SecretReference
from remote.answer import Ended
from remote.breaker import Breaker
from remote.bundle.frames import FORMAT, Mark
from remote.question import Privilege, Question
from remote.ssh_library import asyncssh
from tests.remote.servers import MakeConnector, Practice, StartPractice

CANARY = "canary-of-sudo"
A_MOMENT_S = 0.4
"""From the last word of a host to its end; no deadline comes before that, since it would have nothing to wait for."""
ROOT = Question(id="root", script="id -u", privilege=Privilege.ROOT)
USER = Question(id="user", script="id -u")
Process = asyncssh.SSHServerProcess[bytes]


@dataclass(slots=True)
class Script:
    """What a hostile host reads from the script that we send it, and the pieces it answers with."""

    nonce: str
    prompt: str
    token: str
    before: str
    """The prompt of the script before this one."""

    def mark(self, sequence: int, kind: str, *fields: str, part: int = 0, index: int | None = None, nonce: str = "") -> bytes:
        return Mark(part, sequence, kind, index, fields).encode(nonce or self.nonce)

    @property
    def open(self) -> bytes:
        return self.mark(1, "open", FORMAT, "user")

    @property
    def sudo(self) -> bytes:
        return self.mark(2, "sudo")

    @property
    def asks(self) -> bytes:
        """All marks up to where sudo may ask for a password."""
        return self.open + self.sudo + self.mark(3, "sudoask")

    @property
    def in_a_question(self) -> bytes:
        return self.open + self.mark(2, "begin", "17.25", "user", part=1, index=0)


Fake: TypeAlias = Callable[[Script], tuple[bytes, bytes]]
FAKES: dict[str, Fake] = {
    # what stdout says, what stderr says
    "sudo's usual prompt, before anything": lambda s: (b"", b"[sudo] password for anna: "),
    "sudo's usual prompt, where sudo may ask": lambda s: (s.asks, s.asks + b"[sudo] password for anna: "),
    "su's prompt": lambda s: (s.asks, s.asks + b"Password: "),
    "the prompt without any mark": lambda s: (b"", s.prompt.encode()),
    "before sudo was asked": lambda s: (s.open, s.open + s.prompt.encode()),
    "while sudo may not ask": lambda s: (s.open + s.sudo, s.open + s.sudo + s.prompt.encode()),
    "on the other stream": lambda s: (s.asks + s.prompt.encode(), s.asks),
    "on both streams": lambda s: (s.asks + s.prompt.encode(), s.asks + s.prompt.encode()),
    "with the mark on one stream only": lambda s: (s.open, s.asks + s.prompt.encode()),
    "inside of a question's output": lambda s: (s.in_a_question, s.in_a_question + s.prompt.encode()),
    "the prompt of the command before": lambda s: (s.asks, s.asks + s.before.encode()),
    "twice at once": lambda s: (s.asks, s.asks + s.prompt.encode() * 2),
    "twice, on two lines": lambda s: (s.asks, s.asks + (s.prompt + "\n" + s.prompt).encode()),
    "with more on its line": lambda s: (s.asks, s.asks + s.prompt.encode() + b"please"),
    "with words before it on its line": lambda s: (s.asks, s.asks + b"now " + s.prompt.encode()),
    "as a whole line": lambda s: (s.asks, s.asks + s.prompt.encode() + b"\n"),
    "in other letters": lambda s: (s.asks, s.asks + s.prompt.upper().encode()),
    "cut short": lambda s: (s.asks, s.asks + s.prompt.encode()[:-1]),
    "after the token": lambda s: (s.asks + s.token.encode() + b"\n", s.asks + s.prompt.encode()),
    "after root's part has begun": lambda s: (
        s.asks + s.mark(1, "open", FORMAT, "root", part=2),
        s.asks + s.mark(1, "open", FORMAT, "root", part=2) + s.prompt.encode(),
    ),
    "after sudo has ended": lambda s: (
        s.asks + s.mark(4, "sudone", "1"),
        s.asks + s.mark(4, "sudone", "1") + s.prompt.encode(),
    ),
    "behind marks of a guessed nonce": lambda s: (
        s.asks.replace(s.nonce.encode(), b"0" * 32),
        s.asks.replace(s.nonce.encode(), b"0" * 32) + s.prompt.encode(),
    ),
    "behind too many words": lambda s: (s.asks, s.asks + b"welcome\n" * 1000 + s.prompt.encode()),
}


@dataclass(slots=True)
class Fisher:
    """A host that answers each script with what a fake makes of it, keeps all that it is sent, and goes on as told."""

    fake: Fake
    then: Callable[[Process, Script], Awaitable[None]] | None = None
    got: bytearray = field(default_factory=bytearray)
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    before: str = "longarm-none: "

    async def __call__(self, process: Process) -> None:
        at = len(self.got)
        while not re.search(rb"# end [0-9a-f]{32}\n", self.got[at:]):
            self.got += await process.stdin.read(65536)
        script = self.read(bytes(self.got[at:]).decode())
        stdout, stderr = self.fake(script)
        process.stdout.write(stdout)
        await asyncio.sleep(0.05)  # it comes first, as with a host that does not fish
        process.stderr.write(stderr)
        self.sent.set()
        if self.then is not None:
            await self.then(process, script)
        while data := await process.stdin.read(65536):
            self.got += data

    async def leave(self, process: Process, _: Script) -> None:
        """Read on for a moment, in which whoever is fooled answers, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(A_MOMENT_S):
                while data := await process.stdin.read(65536):
                    self.got += data
        process.exit(0)

    def read(self, text: str) -> Script:
        nonce = re.search(r"^# nonce (\w+)$", text, re.MULTILINE)
        given = re.search(r"(longarm-[0-9a-f]{32}: ).*echo ([0-9a-f]{32}); exec /bin/sh", text)
        assert nonce and given
        script = Script(nonce[1], given[1], given[2], self.before)
        self.before = given[1]
        return script

    async def password(self, process: Process) -> str:
        """Return the line that was sent for sudo."""
        line = (await process.stdin.readline()).decode()
        self.got += line.encode()
        return line


@pytest.fixture
def with_sudo_password(reference: CredentialReference, monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    monkeypatch.setenv("SUDO_PASSWORD", CANARY)
    return replace(reference, become_password=SecretReference(kind="env", value="SUDO_PASSWORD"))


def honest(script: Script) -> tuple[bytes, bytes]:
    return script.asks, script.asks + script.prompt.encode()


def test_there_are_twenty_fakes_and_more() -> None:
    assert len(FAKES) >= 20


@pytest.mark.fabric_too
@pytest.mark.parametrize("fake", FAKES)
async def test_a_fake_prompt_gets_nothing(
    fake: str, practice: StartPractice, connector: MakeConnector, with_sudo_password: CredentialReference
) -> None:
    fisher = Fisher(FAKES[fake])
    fisher.then = fisher.leave
    running = await practice(process=fisher, credential=with_sudo_password)
    async with connector()(running.host) as session:
        for _ in range(2):  # the second command knows the first one's prompt
            answers = await session.ask([USER, ROOT], deadline_s=60)
            assert answers["root"].ended is not Ended.EXITED
            assert fisher.sent.is_set()
            fisher.sent.clear()
    assert CANARY.encode() not in fisher.got


@pytest.mark.fabric_too
async def test_the_prompt_of_sudo_itself_gets_it_and_nothing_follows_until_it_was_taken(
    practice: StartPractice, connector: MakeConnector, with_sudo_password: CredentialReference
) -> None:
    """The measure of the fakes: a host that plays sudo to the letter is not told from sudo."""
    lines: list[str] = []

    async def takes_it(process: Process, script: Script) -> None:
        lines.append(await fisher.password(process))
        process.stdout.write(script.token.encode() + b"\n")
        lines.append(await fisher.password(process))
        await fisher.leave(process, script)

    fisher = Fisher(honest, takes_it)
    running = await practice(process=fisher, credential=with_sudo_password)
    async with connector()(running.host) as session:
        await session.ask([ROOT], deadline_s=60)
    assert lines == [f"={CANARY}\n", "go\n"]
    assert fisher.got.count(CANARY.encode()) == 1


@pytest.mark.fabric_too
async def test_a_host_that_refused_it_is_not_given_it_again(
    practice: StartPractice, connector: MakeConnector, with_sudo_password: CredentialReference
) -> None:
    offered = 0

    async def count(process: Process, script: Script) -> None:
        nonlocal offered
        with suppress(TimeoutError):  # that it is given again; the first time it comes
            async with asyncio.timeout(A_MOMENT_S if offered else None):
                offered += CANARY in await fisher.password(process)
        process.stderr.write(b"Sorry, try again.\n" + script.prompt.encode())
        await fisher.leave(process, script)

    fisher = Fisher(honest, count)
    running = await practice(process=fisher, credential=with_sudo_password)
    async with connector()(running.host) as session:
        for _ in range(3):
            await session.ask([ROOT], deadline_s=60)
    assert offered == 1


@pytest.mark.fabric_too
async def test_a_bad_password_for_sudo_goes_out_three_times_to_forty_hosts(
    practice: StartPractice, connector: MakeConnector, with_sudo_password: CredentialReference
) -> None:
    offered = 0

    async def count_and_refuse(process: Process, script: Script) -> None:
        nonlocal offered
        words = b"\nsudo: no password was provided\n"
        if CANARY in (await process.stdin.readline()).decode():
            offered += 1
            process.stderr.write(b"Sorry, try again.\n" + script.prompt.encode())
            await process.stdin.readline()
            words += b"sudo: 1 incorrect password attempt\n"
        process.stderr.write(words + script.mark(4, "sudone", "1") + script.mark(5, "done", "5"))
        process.stdout.write(script.mark(4, "sudone", "1") + script.mark(5, "done", "5"))

    async def refuse(process: Process) -> None:
        await Fisher(honest, count_and_refuse)(process)

    running = await practice(process=refuse, credential=with_sudo_password)
    connect = connector(breaker=Breaker(limit=3))
    whys = await asyncio.gather(*(why_not(connect, running) for _ in range(40)))
    assert offered == 3
    assert sum(why.startswith("the password for sudo was rejected: ") for why in whys) == 3
    blocked = "sudo asks for a password: not tried: credential test was rejected 3 times in this run"
    assert sum(why == blocked for why in whys) == 37


async def why_not(connect: Callable[..., object], running: Practice) -> str:
    async with connect(running.host) as session:  # type: ignore[attr-defined]
        return str((await session.ask([ROOT], deadline_s=30))["root"].denied)


PRETENCES: dict[str, Fake] = {
    "a word of another tool": lambda s: (b"restart host\n", b""),
    "a result in JSON": lambda s: (b'{"changed": false, "rc": 0, "stdout": "0"}\n', b""),
    "only an end": lambda s: (s.open + s.mark(1, "end", "17.25", "ok", part=1, index=0), s.open),
    "a status without a beginning": lambda s: (s.open + s.mark(1, "status", "0", part=1, index=0), s.open),
    "frames of a guessed nonce": lambda s: (whole(s, "f" * 32), whole(s, "f" * 32)),
    "frames of no nonce": lambda s: (whole(s).replace(s.nonce.encode(), b""), b""),
    "frames of the nonce in capitals": lambda s: (whole(s, s.nonce.upper()), whole(s, s.nonce.upper())),
    "frames on one stream only": lambda s: (whole(s), b""),
    "frames that skip a number": lambda s: (whole(s, skip=1), whole(s, skip=1)),
}


def whole(script: Script, nonce: str = "", skip: int = 0) -> bytes:
    """Return all that a host says that answered the first question with `0`."""
    marks: Sequence[bytes] = (
        script.mark(1, "open", FORMAT, "user", nonce=nonce),
        script.mark(1, "open", FORMAT, "user", part=1, nonce=nonce),
        script.mark(2, "begin", "17.25", "user", part=1, index=0, nonce=nonce),
        b"0\n",
        script.mark(2, "status", "0", part=1, index=0, nonce=nonce),
        script.mark(3 + skip, "end", "17.25", "ok", part=1, index=0, nonce=nonce),
        script.mark(4 + skip, "close", str(4 + skip), part=1, nonce=nonce),
        script.mark(2, "done", "2", nonce=nonce),
    )
    return b"".join(marks)


@pytest.mark.fabric_too
@pytest.mark.parametrize("pretence", PRETENCES)
async def test_what_a_host_says_about_success_decides_nothing(
    pretence: str, practice: StartPractice, connector: MakeConnector, with_sudo_password: CredentialReference
) -> None:
    async def leaves(process: Process, _: Script) -> None:
        process.exit(0)

    running = await practice(process=Fisher(PRETENCES[pretence], leaves), credential=with_sudo_password)
    async with connector()(running.host) as session:
        answer = (await session.ask([USER], deadline_s=20))["user"]
    assert answer.ended in {Ended.NOT_RUN, Ended.LOST}
    assert answer.exit_status is None
