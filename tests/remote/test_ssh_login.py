# ruff: noqa: ASYNC221 (nothing else runs in these loops)
"""Logging in: which proofs go out, how often, and what a refusal says."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, SecretReference
from remote.breaker import Breaker
from remote.errors import AuthenticationRefused, ConnectFailed, ConnectionLost, CredentialBlocked, RemoteError
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.ssh_session import SshSession
from tests.remote.hostility import GOOD, Challenger, Endless, Greedy
from tests.remote.servers import Keys, MakeConnector, MakeKey, Practice, PracticeServer, StartPractice

BAD = "the-wrong-one"


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    monkeypatch.setenv("GOOD_PASSWORD", GOOD)
    return CredentialReference(name="good", user="anna", password=SecretReference(kind="env", value="GOOD_PASSWORD"))


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    monkeypatch.setenv("BAD_PASSWORD", BAD)
    return CredentialReference(name="bad", user="anna", password=SecretReference(kind="env", value="BAD_PASSWORD"))


async def outcome(connect: SshConnector, host: Host) -> str:
    """Return `in`, or the name of the error."""
    try:
        async with connect(host):
            return "in"
    except RemoteError as error:
        return type(error).__name__


async def test_a_password_lets_us_in_and_is_sent_once(
    practice: StartPractice, connector: MakeConnector, good: CredentialReference
) -> None:
    running = await practice(accepts="", password=GOOD, credential=good)
    async with connector()(running.host) as session:
        assert (session.facts.user, session.facts.credential) == ("anna", "good")
    assert running.seen.passwords == [GOOD]


async def test_a_wrong_password_is_sent_once_and_the_refusal_says_what_was_tried(
    practice: StartPractice, connector: MakeConnector, bad: CredentialReference, user_key: Keys, make_key: MakeKey
) -> None:
    other = make_key("ed25519")
    running = await practice(password=GOOD, credential=replace(bad, key=str(other.path)))
    with pytest.raises(AuthenticationRefused) as refused:
        async with connector()(running.host):
            pass
    assert running.seen.passwords == [BAD]
    assert [word.split()[0] for word in refused.value.tried] == ["key", "password"]
    assert set(refused.value.offered_methods) >= {"publickey", "password"}
    assert BAD not in str(refused.value)


async def test_a_key_that_is_not_accepted_is_told_by_its_fingerprint(
    practice: StartPractice, connector: MakeConnector, user_key: Keys, make_key: MakeKey
) -> None:
    running = await practice(accepts=make_key("ed25519").public)
    with pytest.raises(AuthenticationRefused) as refused:
        async with connector()(running.host):
            pass
    assert refused.value.tried == (f"key {user_key.path} {running.seen.keys[0]}",)


async def test_a_host_that_takes_no_keys_is_shown_none(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice(accepts="", password=GOOD)
    with pytest.raises(AuthenticationRefused, match="tried nothing"):
        async with connector()(running.host):
            pass
    assert running.seen.keys == []


class OneTimeCode(Challenger):
    prompts = (("Verification code: ", False),)


class Visible(Challenger):
    prompts = (("Password: ", True),)


@pytest.mark.parametrize(
    ("server", "ends", "sent"),
    [
        (Challenger, "in", [GOOD]),
        (OneTimeCode, "AuthenticationRefused", []),
        (Visible, "AuthenticationRefused", []),
        (Endless, "AuthenticationRefused", []),
        (Greedy, "AuthenticationRefused", [GOOD]),
    ],
)
async def test_keyboard_interactive_gets_the_password_once_and_only_for_a_hidden_password_prompt(
    practice: StartPractice,
    connector: MakeConnector,
    good: CredentialReference,
    server: type[PracticeServer],
    ends: str,
    sent: list[str],
) -> None:
    running = await practice(accepts="", server=server, credential=good)
    assert await outcome(connector(), running.host) == ends
    assert running.seen.passwords == sent


@pytest.mark.parametrize("server", [PracticeServer, Challenger])
async def test_a_bad_password_goes_out_exactly_three_times_to_two_hundred_hosts(
    practice: StartPractice, connector: MakeConnector, bad: CredentialReference, server: type[PracticeServer]
) -> None:
    running = await practice(accepts="", password=GOOD, credential=bad, server=server)
    ends = await fleet(connector, running, 200)
    assert running.seen.passwords == [BAD] * 3
    assert ends == {"AuthenticationRefused": 3, "CredentialBlocked": 197}


async def test_a_good_password_reaches_every_host(
    practice: StartPractice, connector: MakeConnector, good: CredentialReference
) -> None:
    running = await practice(accepts="", password=GOOD, credential=good)
    assert await fleet(connector, running, 60) == {"in": 60}
    assert len(running.seen.passwords) == 60


async def test_unreachable_hosts_and_refused_keys_cost_a_password_nothing(
    practice: StartPractice, connector: MakeConnector, good: CredentialReference, make_key: MakeKey
) -> None:
    stranger = await practice(keys=(make_key("ed25519"),), accepts="", password=GOOD, credential=good)
    running = await practice(accepts="", password=GOOD, credential=good)
    connect = connector(breaker=Breaker(limit=1))
    for _ in range(3):
        assert await outcome(connect, stranger.host) == "HostKeyRefused"
    assert await outcome(connect, running.host) == "in"


async def fleet(connector: MakeConnector, running: Practice, count: int) -> dict[str, int]:
    """Log in to one server under many names, fifty at once, and count how that ended."""
    names = [f"host{number}" for number in range(count)]
    connect, at_once = connector(*names), asyncio.Semaphore(50)

    async def one(name: str) -> str:
        async with at_once:
            return await outcome(connect, replace(running.host, name=name))

    return dict(Counter(await asyncio.gather(*map(one, names))))


async def test_a_blocked_credential_is_not_even_connected_with(
    practice: StartPractice, connector: MakeConnector, bad: CredentialReference
) -> None:
    running = await practice(accepts="", password=GOOD, credential=bad)
    connect = connector(breaker=Breaker(limit=1))
    assert await outcome(connect, running.host) == "AuthenticationRefused"
    with pytest.raises(CredentialBlocked, match="bad was rejected 1 times"):
        async with connect(running.host):
            pass
    assert len(running.seen.connections) == 1


async def test_a_user_that_no_host_can_have_is_a_credential_that_cannot_be_used(
    practice: StartPractice, connector: MakeConnector, reference: CredentialReference
) -> None:
    running = await practice(credential=replace(reference, user="anna\x07"))
    assert await outcome(connector(), running.host) == "CredentialUnusable"
    assert len(running.seen.connections) == 0


async def test_the_agents_key_lets_us_in(
    practice: StartPractice, connector: MakeConnector, agent: Path, user_key: Keys
) -> None:
    subprocess.run(["ssh-add", "-q", user_key.path], check=True)
    running = await practice(credential=CredentialReference(name="by agent", user="anna", agent=True))
    assert await outcome(connector(), running.host) == "in"


class NotesTheEnd(PracticeServer):
    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.over.set()


async def test_a_login_that_is_cancelled_before_there_is_a_session_hangs_up(
    practice: StartPractice, connector: MakeConnector, agent: Path, user_key: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two stands one wait, for the agent to let go: a cancellation that comes with the host's yes ends it there."""
    subprocess.run(["ssh-add", "-q", user_key.path], check=True)
    by_agent = CredentialReference(name="by agent", user="anna", agent=True)
    running = await practice(server=NotesTheEnd, credential=by_agent)
    accepted, sessions = Login.accepted, []

    async def opens() -> None:
        async with connector()(running.host) as session:
            sessions.append(session)

    def let_in_and_cancelled(login: Login) -> None:
        accepted(login)
        task.cancel()

    monkeypatch.setattr(Login, "accepted", let_in_and_cancelled)
    task = asyncio.create_task(opens())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (sessions, len(running.seen.connections), bool(running.seen.keys)) == ([], 1, True)
    async with asyncio.timeout(20):  # what only a connection that stays open reaches
        await running.seen.over.wait()


async def test_without_a_credential_agent_keys_come_first_as_with_ssh(
    practice: StartPractice, connector: MakeConnector, agent: Path, user_key: Keys
) -> None:
    subprocess.run(["ssh-add", "-q", user_key.path], check=True)
    running = await practice()
    async with connector()(replace(running.host, credential=None)) as session:
        assert session.facts.credential == "default"


async def test_an_agent_that_is_gone_is_said(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    running = await practice(credential=CredentialReference(name="by agent", user="anna", agent=True))
    rejections: list[object] = []
    monkeypatch.setattr("remote.breaker.Breaker.rejected", lambda _, credential: rejections.append(credential))
    with pytest.raises(AuthenticationRefused, match=r"agent .*No such file.*takes .*publickey"):
        async with connector()(running.host):
            pass
    assert rejections == []  # nothing was offered


async def test_a_certificate_lets_us_in(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey, tmp_path: Path
) -> None:
    authority, own = make_key("ed25519"), make_key("ed25519")
    subprocess.run(["ssh-keygen", "-q", "-s", authority.path, "-I", "anna", "-n", "anna", own.path], check=True)
    trusted = tmp_path / "authorized"
    trusted.write_text(f"cert-authority {authority.public}\n")
    running = await practice(
        accepts="",
        authorized_client_keys=str(trusted),
        credential=CredentialReference(name="by certificate", user="anna", key=str(own.path)),
    )
    assert await outcome(connector(), running.host) == "in"


async def test_a_host_that_lets_anybody_in_is_told_no_proof(practice: StartPractice, connector: MakeConnector) -> None:
    class Open(PracticeServer):
        def begin_auth(self, username: str) -> bool:
            return False

    running = await practice(server=Open)
    async with connector()(running.host) as session:
        assert session.facts.credential == ""
    assert running.seen.keys == []


class HangsUp(PracticeServer):
    """Leaves in the middle of a login, with a word or without."""

    word = True

    def validate_password(self, username: str, password: str) -> bool:
        super().validate_password(username, password)
        if self.word:
            self.connection.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many authentication failures")
        else:
            self.connection.abort()
        return False


class HangsUpSilently(HangsUp):
    word = False


@pytest.mark.parametrize(("server", "kind"), [(HangsUp, AuthenticationRefused), (HangsUpSilently, ConnectionLost)])
async def test_a_host_that_leaves_during_the_login_is_not_tried_again_by_itself(
    practice: StartPractice,
    connector: MakeConnector,
    bad: CredentialReference,
    server: type[PracticeServer],
    kind: type[RemoteError],
) -> None:
    running = await practice(accepts="", password=GOOD, credential=bad, server=server)
    breaker = Breaker(limit=1)
    with pytest.raises(kind) as ended:
        async with connector(breaker=breaker)(running.host):
            pass
    assert not isinstance(ended.value, ConnectFailed)
    assert await outcome(connector(breaker=breaker), running.host) == "CredentialBlocked"


@pytest.mark.asyncssh_only
@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the kernel cannot be told")
async def test_the_kernel_watches_over_a_peer_that_goes_away(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()
    async with connector()(running.host) as session:
        assert isinstance(session, SshSession)
        opened = session._connection.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15


async def test_a_host_that_takes_no_more_passwords_after_a_wrong_one_has_not_accepted_it(
    practice: StartPractice, connector: MakeConnector, bad: CredentialReference, make_key: MakeKey
) -> None:
    """RFC 4252 5.1: methods that cannot help any more are left out; taken for accepted, one of them locks an account."""

    class TakesOne(PracticeServer):
        def password_auth_supported(self) -> bool:
            return not self.seen.passwords

    running = await practice(accepts=make_key("ed25519").public, password=GOOD, credential=bad, server=TakesOne)
    breaker = Breaker()
    assert await outcome(connector(breaker=breaker), running.host) == "AuthenticationRefused"
    (tally,) = breaker._secrets.values()
    assert (tally.acceptances, tally.rejected) == (0, 1)
