"""What counts as the question of a tool, and what its words mean, without a host: for versions that no package here has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inventory.host import Become, BecomeMethod
from remote.bundle.denials import why_denied
from remote.bundle.elevation import Elevation, Verdict, Want
from remote.bundle.exchange import BundleExchange
from remote.bundle.frames import FORMAT, Mark, Stream
from remote.bundle.terminal import TerminalTalk
from remote.bundle.wire import drive
from remote.question import Privilege, Question
from tests.remote.test_sudo import Given

SU = Become(method=BecomeMethod.SU)
DOAS = Become(method=BecomeMethod.DOAS)


def test_sudo_rs_asks_with_our_prompt_inside_of_its_own() -> None:
    """0.2.5 and later, as Ubuntu 25.10 has it (src/pam/converse.rs)."""
    elevation = Elevation(has_password=True)
    asked = f"[sudo: {elevation.prompt}] Password: ".encode()
    assert elevation.wants(b"", asked) is Want.PASSWORD
    elevation.password("secret")
    said = asked + b"\nsudo: Authentication failed, try again.\n" + asked
    assert elevation.wants(b"", said) is Want.STOP
    elevation.stop()
    denial = elevation.denial((said + b"\nsudo: Maximum 1 incorrect authentication attempts\n").decode(), "1")
    assert denial.startswith("the password for sudo was rejected: ") and elevation.prompt.strip() not in denial
    assert elevation.verdict(denial) is Verdict.REJECTED


@pytest.mark.parametrize("said", ["[sudo: authenticate] Password: ", "[sudo] password for ops: ", "Пароль: "])
def test_a_sudo_that_asks_in_words_of_its_own_gets_nothing(said: str) -> None:
    elevation = Elevation(has_password=True)
    assert elevation.wants(b"", said.encode()) is Want.ELSE
    elevation.stop()
    assert elevation.denial(said, "1").startswith("sudo asks in words of its own, so nothing was sent: ")


WORDS = {
    # sudo-rs 0.2 (src/common/error.rs)
    "sudo: interactive authentication is required": (Become(), "sudo asks for a password, and the credential names none: "),
    "sudo: I'm sorry ops. I'm afraid I can't do that": (Become(), "the user may not become root by sudo: "),
    "sudo: Sorry, user ops is not allowed to execute '/bin/sh' as root on node.": (
        Become(),
        "sudo allows the user some commands as root, and a shell is none of them: ",
    ),
    "sudo: sudo must be owned by uid 0 and have the setuid bit set": (
        Become(),
        "sudo has no power there (no new privileges, nosuid): ",
    ),
    "sudo: user 'oracle' not found": (Become(user="oracle"), "there is no user oracle: "),
    # sudo 1.8, and PAM modules behind it
    "sudo: no tty present and no askpass program specified": (Become(), "sudo insists on a terminal: "),
    "The account is locked due to 3 failed logins.": (Become(), "the account is expired or locked: "),
    "su: Permission denied": (SU, "the user may not become root by su: "),
    "sh: 1: doas: not found": (DOAS, "there is no doas: "),
    "doas: not installed setuid": (DOAS, "doas has no power there (no new privileges, nosuid): "),
}


@pytest.mark.parametrize("words", WORDS)
def test_words_of_other_versions_are_understood(words: str) -> None:
    become, says = WORDS[words]
    assert why_denied(words, become) == says + words


def test_without_a_terminal_doas_says_that_it_wants_one() -> None:
    elevation = Elevation(become=DOAS, has_password=True)
    denial = elevation.denial("doas: Authentication required", "1")
    assert denial == "doas insists on a terminal: doas: Authentication required"
    assert elevation.insists_on_terminal(denial)


def test_a_tool_that_said_nothing_of_use_is_told_by_its_status() -> None:
    elevation = Elevation(become=SU, has_password=True)
    assert [elevation.denial(words, "1") for words in ("", "Killed")] == ["su ended with status 1"] * 2


class Spoken:
    """A wire that says what a test has it say."""

    why = ""

    def __init__(self, pieces: AsyncIterator[tuple[Stream, bytes]], written: asyncio.Event) -> None:
        self._pieces, self._written = pieces, written
        self._next: asyncio.Task[tuple[Stream, bytes] | None] | None = None

    def write(self, _: bytes) -> None:
        self._written.set()

    async def read(self) -> tuple[Stream, bytes] | None:
        self._next = self._next or asyncio.create_task(self._piece())
        piece = await asyncio.shield(self._next)
        self._next = None
        return piece

    async def _piece(self) -> tuple[Stream, bytes] | None:
        return await anext(self._pieces, None)

    def close(self) -> None:
        pass


async def test_what_a_tool_says_last_in_its_terminal_is_waited_for() -> None:
    """The bundle's own streams may be over before it is here: the host seemed to end early, the password to get no verdict."""
    elevation, given = Elevation(become=SU, has_password=True, terminal=True), Given("wrong")
    exchange = BundleExchange([Question(id="who", script="id", privilege=Privilege.ROOT)], elevation=elevation)
    typed, over = asyncio.Event(), asyncio.Event()

    def marks(first: int, *told: tuple[str, ...]) -> bytes:
        return b"".join(
            Mark(0, at, kind, None, tuple(fields)).encode(exchange.nonce) for at, (kind, *fields) in enumerate(told, first)
        )

    async def bundle() -> AsyncIterator[tuple[Stream, bytes]]:
        asks, ends = marks(1, ("open", FORMAT, "user"), ("sudo",), ("sudoask",)), marks(4, ("sudone", "1"), ("done", "5"))
        yield "stderr", asks
        yield "stdout", asks + b"4711\n"
        await typed.wait()
        yield "stdout", ends
        asyncio.get_running_loop().call_soon(over.set)
        yield "stderr", ends

    async def terminal() -> AsyncIterator[tuple[Stream, bytes]]:
        yield "stdout", f"{elevation.mark}\r\nPassword: ".encode()
        await over.wait()
        yield "stdout", b"\r\nsu: Authentication failure\r\n"

    async def open_terminal(_: str) -> Spoken:
        return Spoken(terminal(), typed)

    wire = Spoken(bundle(), asyncio.Event())
    answers = await drive(exchange, wire, deadline_s=60, passwords=given, open_terminal=open_terminal)
    assert answers["who"].denied == "the password for su was rejected: su: Authentication failure"
    assert given.verdicts[0] is Verdict.REJECTED


IN_PIECES = (b"dash: 1: exec: ", b"/usr/bin/su: not found\n")
"""As dash says it: each word of its complaint by itself, the first of which ends like a question."""


def asking_su() -> tuple[BundleExchange, bytes, bytes]:
    """Return an exchange with a host on which su is tried, what marks the beginning of that on each stream, and its end."""
    elevation = Elevation(become=SU, has_password=True)
    exchange = BundleExchange([Question(id="who", script="id", privilege=Privilege.ROOT)], elevation=elevation)
    told = (("open", FORMAT, "user"), ("sudo",), ("sudoask",), ("sudone", "1"), ("done", "5"))
    marks = [Mark(0, at, kind, None, tuple(fields)).encode(exchange.nonce) for at, (kind, *fields) in enumerate(told, 1)]
    return exchange, b"".join(marks[:3]), b"".join(marks[3:])


async def test_what_comes_in_pieces_is_no_question() -> None:
    """A reader between the two pieces took the first one for a question, and told it so."""
    exchange, asks, ends = asking_su()

    async def bundle() -> AsyncIterator[tuple[Stream, bytes]]:
        yield "stdout", asks
        yield "stderr", asks
        for piece in IN_PIECES:
            yield "stderr", piece
        yield "stdout", ends
        yield "stderr", ends

    answers = await drive(exchange, Spoken(bundle(), asyncio.Event()), deadline_s=60, passwords=Given("never sent"))
    assert answers["who"].denied == "there is no su: dash: 1: exec: /usr/bin/su: not found"


async def test_a_question_is_what_nothing_follows() -> None:
    """Nothing more comes then: the tool gets the end of its input."""
    exchange, asks, ends = asking_su()
    stopped = asyncio.Event()

    async def bundle() -> AsyncIterator[tuple[Stream, bytes]]:
        yield "stdout", asks
        yield "stderr", asks
        yield "stderr", b"LDAP Password: "
        stopped.clear()  # our script was written too
        await stopped.wait()
        yield "stdout", ends
        yield "stderr", ends

    answers = await drive(exchange, Spoken(bundle(), stopped), deadline_s=60, passwords=Given("never sent"))
    assert answers["who"].denied == "su asks in words of its own, so nothing was sent: LDAP"


async def test_what_comes_in_pieces_in_a_terminal_is_no_question_either() -> None:
    elevation = Elevation(become=DOAS, has_password=True, terminal=True)

    async def terminal() -> AsyncIterator[tuple[Stream, bytes]]:
        yield "stdout", f"{elevation.mark}\r\nsh: 1: ".encode()
        yield "stdout", b"doas: not found\r\n"

    async def open_terminal(_: str) -> Spoken:
        return Spoken(terminal(), asyncio.Event())

    async def never() -> bytes:
        raise AssertionError("nothing was asked for")

    assert await TerminalTalk(elevation, never).hold(open_terminal, 4711)
    assert elevation.denial("", "127") == "there is no doas: sh: 1: doas: not found"


def test_a_password_that_was_not_taken_is_told_at_once() -> None:
    """Other hosts wait for the verdict; only what asks in words of its own is waited for."""
    elevation = Elevation(has_password=True)
    exchange = BundleExchange(
        [Question(id="who", script="id", privilege=Privilege.ROOT)], elevation=elevation, clock=lambda: 100.0
    )
    told = (("open", FORMAT, "user"), ("sudo",), ("sudoask",))
    asks = b"".join(Mark(0, at, kind, None, tuple(fields)).encode(exchange.nonce) for at, (kind, *fields) in enumerate(told, 1))
    exchange.feed_stdout(asks)
    exchange.feed_stderr(asks + elevation.prompt.encode())
    assert exchange.wants(100.0) is Want.PASSWORD
    elevation.password("wrong")
    exchange.feed_stderr(b"\nNew password: ")
    assert (exchange.wants(100.0), exchange.due) == (None, 100.5)
    exchange.feed_stderr(b"\n" + elevation.prompt.encode())
    assert exchange.wants(100.0) is Want.STOP
