"""Hosts that fish for the password of su or doas (T27): neither has a prompt of ours, so moment and whole text count."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest

from inventory.host import Become, BecomeMethod, CredentialReference, Host, SecretReference
from remote.answer import Ended
from remote.breaker import Breaker
from remote.bundle.frames import FORMAT, Mark
from remote.question import Privilege, Question
from remote.ssh_library import asyncssh
from tests.remote.servers import MakeConnector, StartPractice

CANARY = "canary-of-another-user"
ROOT = Question(id="root", script="id -u", privilege=Privilege.ROOT)
USER = Question(id="user", script="id -u")
SU = "Password: "
Process = asyncssh.SSHServerProcess[bytes]


@dataclass(frozen=True, slots=True)
class Script:
    """What a hostile host reads from what we send it."""

    nonce: str
    token: str

    def mark(self, sequence: int, kind: str, *fields: str, part: int = 0, index: int | None = None) -> bytes:
        return Mark(part, sequence, kind, index, fields).encode(self.nonce)

    @property
    def open(self) -> bytes:
        return self.mark(1, "open", FORMAT, "user")

    @property
    def sudo(self) -> bytes:
        return self.open + self.mark(2, "sudo")

    @property
    def asks(self) -> bytes:
        """All marks up to where a password may be asked for."""
        return self.sudo + self.mark(3, "sudoask")

    @property
    def in_a_question(self) -> bytes:
        return self.open + self.mark(2, "begin", "17.25", "user", part=1, index=0)


Fake: TypeAlias = Callable[[Script], tuple[bytes, bytes]]
OF_SU: dict[str, Fake] = {
    # what stdout says, what stderr says
    "before anything": lambda s: (b"", SU.encode()),
    "before su was asked for": lambda s: (s.open, s.open + SU.encode()),
    "before it is started": lambda s: (s.sudo, s.sudo + SU.encode()),
    "with the mark on one stream only": lambda s: (s.open, s.asks + SU.encode()),
    "with the mark on the other stream only": lambda s: (s.asks + SU.encode(), s.open),
    "inside of a question's output": lambda s: (s.in_a_question, s.in_a_question + SU.encode()),
    "on both streams": lambda s: (s.asks + SU.encode(), s.asks + SU.encode()),
    "twice at once": lambda s: (s.asks, s.asks + SU.encode() * 2),
    "as a whole line": lambda s: (s.asks, s.asks + SU.encode() + b"\n"),
    "after a line of words": lambda s: (s.asks, s.asks + b"Welcome\n" + SU.encode()),
    "after words on the other stream": lambda s: (s.asks + b"Welcome\n", s.asks + SU.encode()),
    "with words before it": lambda s: (s.asks, s.asks + b"Old " + SU.encode()),
    "with more on its line": lambda s: (s.asks, s.asks + SU.encode() + b"for root "),
    "in another language": lambda s: (s.asks, s.asks + "Пароль: ".encode()),
    "in small letters": lambda s: (s.asks, s.asks + SU.lower().encode()),
    "cut short": lambda s: (s.asks, s.asks + SU.strip().encode()),
    "as sudo asks": lambda s: (s.asks, s.asks + b"[sudo] password for anna: "),
    "as ssh asks": lambda s: (s.asks, s.asks + b"root@localhost's password: "),
    "for a new one": lambda s: (s.asks, s.asks + b"New password: "),
    "for a code": lambda s: (s.asks, s.asks + b"Verification code: "),
    "after the token": lambda s: (s.asks + s.token.encode() + b"\n", s.asks + SU.encode()),
    "after the other user's part has begun": lambda s: (
        s.asks + s.mark(1, "open", FORMAT, "root", part=2),
        s.asks + s.mark(1, "open", FORMAT, "root", part=2) + SU.encode(),
    ),
    "after su has ended": lambda s: (s.asks + s.mark(4, "sudone", "1"), s.asks + s.mark(4, "sudone", "1") + SU.encode()),
    "behind marks of a guessed nonce": lambda s: (
        s.asks.replace(s.nonce.encode(), b"0" * 32),
        s.asks.replace(s.nonce.encode(), b"0" * 32) + SU.encode(),
    ),
}
OF_DOAS: dict[str, Callable[[str], str]] = {
    # what the terminal says, given the mark of what we start in it; USER is who logs in
    "before the mark": lambda mark: "doas (USER@node) password: ",
    "on the line of the mark": lambda mark: f"{mark} doas (USER@node) password: ",
    "behind another mark": lambda mark: f"{'0' * 32}\r\ndoas (USER@node) password: ",
    "behind a part of the mark": lambda mark: f"{mark[:-1]}\r\ndoas (USER@node) password: ",
    "of another user": lambda mark: f"{mark}\r\ndoas (nobody@node) password: ",
    "of a longer user": lambda mark: f"{mark}\r\ndoas (USER2@node) password: ",
    "of no host": lambda mark: f"{mark}\r\ndoas (USER) password: ",
    "of a host with words in it": lambda mark: f"{mark}\r\ndoas (USER@node) please) password: ",
    "of a host too long": lambda mark: f"{mark}\r\ndoas (USER@{'n' * 33}) password: ",
    "after words": lambda mark: f"{mark}\r\nWelcome\r\ndoas (USER@node) password: ",
    "with words before it": lambda mark: f"{mark}\r\nnow doas (USER@node) password: ",
    "with more on its line": lambda mark: f"{mark}\r\ndoas (USER@node) password: again ",
    "twice at once": lambda mark: f"{mark}\r\n" + "doas (USER@node) password: " * 2,
    "as a whole line": lambda mark: f"{mark}\r\ndoas (USER@node) password: \r\n",
    "cut short": lambda mark: f"{mark}\r\ndoas (USER@node) password:",
    "in capitals": lambda mark: f"{mark}\r\n" + "doas (USER@node) password: ".upper(),
    "in another language": lambda mark: f"{mark}\r\ndoas (USER@node) пароль: ",
    "as su asks": lambda mark: f"{mark}\r\nPassword: ",
    "as sudo asks": lambda mark: f"{mark}\r\n[sudo] password for USER: ",
    "in colour": lambda mark: f"{mark}\r\n\x1b[1mdoas (USER@node) password: \x1b[0m",
}


_PATIENCE_S = 0.2


def _silent(_: str) -> str:
    return ""


@dataclass(slots=True)
class Fisher:
    """A host that plays a bundle up to where a password may be asked for, and fishes there."""

    fake: Fake
    terminal: Callable[[str], str] = _silent
    again: str = ""
    """What its terminal says once it was given a line."""
    got: bytearray = field(default_factory=bytearray)
    terminals: int = 0
    said: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing more comes into the terminal."""
    patience_s: float = _PATIENCE_S
    """How long it waits for what comes first: long where something must."""

    async def __call__(self, process: Process) -> None:
        if process.term_type is not None:
            await self._in_terminal(process)
            return
        said = bytearray()
        while not re.search(rb"# end [0-9a-f]{32}\n", said):
            said += await process.stdin.read(65536)
        text = said.decode()
        nonce = re.search(r"^# nonce (\w+)$", text, re.MULTILINE)
        token = re.search(r"echo ([0-9a-f]{32}); exec /bin/sh", text)
        assert nonce
        stdout, stderr = self.fake(Script(nonce[1], token[1] if token else "0" * 32))
        process.stdout.write(stdout)
        await asyncio.sleep(0.05)  # it comes first, as with a host that does not fish
        process.stderr.write(stderr)
        self.said = True
        if self.terminal is not _silent:
            await self.over.wait()
        await self._listen(process, "")
        process.exit(1)

    async def _listen(self, process: Process, again: str) -> None:
        """Keep what comes until nothing does."""
        patience_s = self.patience_s
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(patience_s):
                    data = await process.stdin.read(65536)
                if not data:
                    return
                self.got += data
                process.stdout.write(again.encode())
                patience_s = _PATIENCE_S

    async def _in_terminal(self, process: Process) -> None:
        self.terminals += 1
        mark = re.search(r"echo ([0-9a-f]{32}); doas", process.command or "")
        assert mark and CANARY not in (process.command or "")
        user = process.get_extra_info("username")
        process.stdout.write(self.terminal(mark[1]).replace("USER", user).encode())
        await self._listen(process, self.again.replace("USER", user))
        self.over.set()
        process.exit(1)


def offers_pipes(script: Script) -> tuple[bytes, bytes]:
    return script.asks + b"4711\n", script.asks


@pytest.fixture
def with_password(reference: CredentialReference, monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    monkeypatch.setenv("BECOME_PASSWORD", CANARY)
    return replace(reference, become_password=SecretReference(kind="env", value="BECOME_PASSWORD"))


async def fished(fisher: Fisher, host: Host, method: BecomeMethod, connector: MakeConnector) -> str:
    """Return why there was no root."""
    async with connector()(replace(host, become=Become(method=method))) as session:
        answers = await session.ask([USER, ROOT], deadline_s=20)
    assert answers["root"].ended is not Ended.EXITED
    assert fisher.said
    return answers["root"].denied


def test_there_are_twenty_fakes_of_each() -> None:
    assert len(OF_SU) >= 20 and len(OF_DOAS) >= 20


@pytest.mark.fabric_too
@pytest.mark.parametrize("fake", OF_SU)
async def test_a_fake_prompt_of_su_gets_nothing(
    fake: str, practice: StartPractice, connector: MakeConnector, with_password: CredentialReference
) -> None:
    fisher = Fisher(OF_SU[fake])
    running = await practice(process=fisher, credential=with_password)
    await fished(fisher, running.host, BecomeMethod.SU, connector)
    assert CANARY.encode() not in fisher.got


@pytest.mark.fabric_too
@pytest.mark.parametrize("fake", OF_DOAS)
async def test_a_fake_prompt_of_doas_gets_nothing(
    fake: str, practice: StartPractice, connector: MakeConnector, with_password: CredentialReference
) -> None:
    fisher = Fisher(offers_pipes, OF_DOAS[fake])
    running = await practice(process=fisher, credential=with_password)
    await fished(fisher, running.host, BecomeMethod.DOAS, connector)
    assert fisher.terminals > 0
    assert CANARY.encode() not in fisher.got


@pytest.mark.fabric_too
@pytest.mark.parametrize("fake", OF_SU)
async def test_what_a_bundle_says_opens_no_terminal_unless_it_is_a_pid_at_its_moment(
    fake: str, practice: StartPractice, connector: MakeConnector, with_password: CredentialReference
) -> None:
    fisher = Fisher(OF_SU[fake])
    running = await practice(process=fisher, credential=with_password)
    await fished(fisher, running.host, BecomeMethod.DOAS, connector)
    assert fisher.terminals == 0


async def test_the_prompts_themselves_get_it_once(
    practice: StartPractice, connector: MakeConnector, with_password: CredentialReference
) -> None:
    """The measure of the fakes: a host that plays the tool to the letter is not told from it, and is not given it twice."""
    right = "\rdoas (USER@node) password: "
    of_su = Fisher(lambda s: (s.asks, s.asks + SU.encode()), patience_s=10)
    of_doas = Fisher(offers_pipes, lambda mark: f"greetings\r\n{mark}\r\n{right}", again=f"\r\n{right}", patience_s=10)
    for method, fisher in ((BecomeMethod.SU, of_su), (BecomeMethod.DOAS, of_doas)):
        running = await practice(process=fisher, credential=with_password)
        await fished(fisher, running.host, method, connector)
        assert fisher.got.count(CANARY.encode()) == 1, method


async def test_a_bad_password_for_su_goes_out_three_times_to_twenty_hosts(
    practice: StartPractice, connector: MakeConnector, with_password: CredentialReference
) -> None:
    fishers: list[Fisher] = []

    async def refuse(process: Process) -> None:
        fisher = Fisher(lambda s: (s.asks, s.asks + SU.encode()), patience_s=20)
        fishers.append(fisher)
        await fisher(process)

    running = await practice(process=refuse, credential=with_password)
    connect, host = connector(breaker=Breaker(limit=3)), replace(running.host, become=Become(method=BecomeMethod.SU))

    async def one() -> str:
        async with connect(host) as session:
            return (await session.ask([ROOT], deadline_s=60))["root"].denied

    whys = await asyncio.gather(*(one() for _ in range(20)))
    assert sum(fisher.got.count(CANARY.encode()) for fisher in fishers) == 3
    assert any("no verdict of other hosts" in why or "not tried" in why or why == "" for why in whys)
