"""Whom we trust and what we send (T9): a host that cannot prove itself is sent no user name, no key and no password."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import pytest

from inventory.host import CredentialReference, SecretReference
from remote.errors import HostKeyRefused
from remote.host_keys import HostKey
from remote.question import Question
from remote.ssh_library import asyncssh
from tests.remote.hostility import Forwarder, plain_messages
from tests.remote.reaching import Reach, none_at_all
from tests.remote.servers import Keys, MakeConnector, MakeKey, PracticeServer, StartPractice, known_key

DISCONNECT, KEXINIT, KEX_ECDH_INIT = 1, 20, 30
"""Messages of RFC 4253 and RFC 5656 (30 is the hybrid exchange's beginning too)."""


@pytest.fixture
def everything(user_key: Keys, monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    """Return a credential with every kind of proof that could leak."""
    monkeypatch.setenv("PRACTICE_PASSWORD", "hunter22")
    password = SecretReference(kind="env", value="PRACTICE_PASSWORD")
    return CredentialReference(name="all", user="anna", key=str(user_key.path), password=password)


Known = Callable[[HostKey, HostKey], tuple[HostKey, ...]]
REFUSED: dict[str, tuple[str, Known, str]] = {
    "changed": ("ed25519", lambda right, shown: (right,), "the host key changed: offered {shown}, known {right}"),
    "unknown": ("ed25519", lambda right, shown: (), "unknown host key {shown}"),
    "another kind": ("rsa", lambda right, shown: (right,), "the host key changed: offered {shown}, known {right}"),
    "ecdsa": ("ecdsa", lambda right, shown: (right,), "the host key changed: offered {shown}, known {right}"),
    "revoked": ("ed25519", lambda right, shown: (HostKey.of(shown.blob, revoked=True),), "the host key {shown} is revoked"),
    "known and revoked": (
        "ed25519",
        lambda right, shown: (shown, HostKey.of(shown.blob, revoked=True)),
        "the host key {shown} is revoked",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
async def test_nothing_is_sent_to_a_host_that_does_not_prove_itself(
    case: str,
    practice: StartPractice,
    connector: MakeConnector,
    make_key: MakeKey,
    host_key: Keys,
    user_key: Keys,
    everything: CredentialReference,
) -> None:
    kind, known, says = REFUSED[case]
    shown, right = make_key(kind), known_key(host_key)
    running = await practice(keys=(shown,), password="hunter22", credential=everything)
    connect = connector("node", known=known(right, known_key(shown)))
    async with Forwarder(running.host.port or 22) as wire:
        with pytest.raises(HostKeyRefused) as refused:
            async with connect(replace(running.host, port=wire.address)):
                pass
    assert str(refused.value) == says.format(shown=known_key(shown).fingerprint, right=right.fingerprint)
    assert refused.value.offered == (known_key(shown).fingerprint,)
    assert len(running.seen.connections) == 1
    assert (running.seen.users, running.seen.keys, running.seen.passwords) == ([], [], [])
    assert {KEXINIT, KEX_ECDH_INIT} <= set(plain_messages(bytes(wire.up))) <= {KEXINIT, KEX_ECDH_INIT, DISCONNECT}
    public = asyncssh.import_public_key(user_key.public).public_data
    assert not [secret for secret in (b"anna", b"hunter22", public) if secret in wire.up]


class ExchangesKeysAgain(asyncssh.SSHServerSession[bytes]):
    """Begins another key exchange when a command is to start, with a key that is not the one we logged in by."""

    def __init__(self, connection: asyncssh.SSHServerConnection, later: Keys) -> None:
        self.connection, self.later = connection, later

    def exec_requested(self, command: str) -> bool:
        pair = asyncssh.load_keypairs([str(self.later.path)])[0]
        self.connection._server_host_keys = OrderedDict({pair.algorithm: pair})
        asyncio.get_running_loop().call_later(0.2, self._exchange)  # once the command has started
        return True

    def _exchange(self) -> None:
        self.connection._send_kexinit()
        self.connection._kexinit_sent = True


@pytest.mark.fabric_too
async def test_a_key_that_changes_between_two_steps_ends_the_session(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey, reach: Reach
) -> None:
    later = make_key("ed25519")

    class Server(PracticeServer):
        def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
            return ExchangesKeysAgain(self.connection, later)

    running = await practice(server=Server, process=None)
    async with connector()(running.host) as session:
        answer = (await session.ask([Question(id="q", script="echo here")], deadline_s=20))["q"]
    assert answer.ended in none_at_all(reach) and answer.exit_status is None
    assert "Host key is not trusted" in answer.why


async def test_the_key_of_another_host_is_not_this_hosts_key(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey, host_key: Keys, everything: CredentialReference
) -> None:
    other = make_key("ed25519")
    running = await practice(keys=(other,), password="hunter22", credential=everything)
    connector("other", known=(known_key(other),))
    connect = connector("node")  # the same store: `other` is trusted there, under its own name
    with pytest.raises(HostKeyRefused, match="changed"):
        async with connect(running.host):
            pass
    assert (running.seen.users, running.seen.keys, running.seen.passwords) == ([], [], [])


async def test_a_key_that_changes_between_two_sessions_is_refused(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey
) -> None:
    first, second = await practice(), await practice(keys=(make_key("ed25519"),))
    connect = connector()
    async with connect(first.host):
        pass
    with pytest.raises(HostKeyRefused, match="changed"):
        async with connect(second.host):
            pass
    assert second.seen.users == []


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_a_host_with_many_keys_proves_the_one_we_know(
    kind: str, practice: StartPractice, connector: MakeConnector, make_key: MakeKey
) -> None:
    keys = {name: make_key(name) for name in ("ed25519", "ecdsa", "rsa")}
    running = await practice(keys=tuple(keys.values()))
    async with connector(known=(known_key(keys[kind]),))(running.host) as session:
        assert session.facts.host_key == known_key(keys[kind]).fingerprint


async def test_any_of_several_known_keys_will_do(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey, host_key: Keys
) -> None:
    running = await practice()
    async with connector(known=(known_key(make_key("ed25519")), known_key(host_key)))(running.host) as session:
        assert session.facts.host_key == known_key(host_key).fingerprint
