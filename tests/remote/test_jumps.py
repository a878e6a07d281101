"""Hosts that are reached through others: real sshd in between, one connection for all, and who is to blame for a failure."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from inventory.host import CredentialReference, Host
from inventory.own import load_inventory
from inventory.secret import Masker
from remote.answer import Ended
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.enrol import offered_keys
from remote.errors import HostKeyRefused, JumpFailed
from remote.jumps import Jumps
from remote.patience import PATIENCE, Patience, patience
from remote.proxies import Proxies
from remote.question import Question
from remote.reach import greeting
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from remote.tunnels import Tunnel
from tests.conftest import SOAK
from tests.remote.servers import Keys, MakeConnector, StartPractice, by_paramiko, free_port, known_key

pytestmark = pytest.mark.server
HELLO = Question(id="hello", script="echo hello")
BEHIND = 300 if SOAK else 40
DEADLINE_S = 600.0 if SOAK else 60.0  # this machine is all of the 300 hosts
Gate = tuple[Host, Callable[[], int]]


@pytest.fixture
def gate(stock_sshd: tuple[int, Path], reference: CredentialReference) -> Gate:
    """Return the host in between, and a function that tells how often somebody has logged in to it in this test."""
    port, log = stock_sshd
    before = log.read_bytes().count(b"Accepted publickey")
    host = Host(name="gate", address="127.0.0.1", port=port, credential=reference)
    return host, lambda: log.read_bytes().count(b"Accepted publickey") - before


async def hello(connect: SshConnector, host: Host) -> str:
    async with connect(host) as session:
        assert session.facts.via == (host.via.name if host.via else "")
        answer = (await session.ask([HELLO], deadline_s=DEADLINE_S))["hello"]
    assert answer.ended is Ended.EXITED
    return answer.stdout.decode()


@pytest.mark.parametrize("behind_it", ["asyncssh", "paramiko"])
@pytest.mark.parametrize("in_front", ["asyncssh", "paramiko"])
async def test_many_hosts_share_one_connection_to_a_stock_sshd(
    in_front: str,
    behind_it: str,
    gate: Gate,
    openssh_port: int,
    connector: MakeConnector,
    reference: CredentialReference,
    nothing_stays: None,
) -> None:
    """Whichever library speaks to the bastion, and to the hosts behind it."""
    bastion, logins = gate
    bastion = by_paramiko(bastion) if in_front == "paramiko" else bastion
    hosts = [
        Host(name=f"node{number}", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
        for number in range(BEHIND)
    ]
    hosts = [by_paramiko(host) for host in hosts] if behind_it == "paramiko" else hosts
    connect = connector("gate", *(host.name for host in hosts), connect_deadline_s=DEADLINE_S)
    assert await asyncio.gather(*(hello(connect, host) for host in hosts)) == ["hello\n"] * BEHIND
    assert logins() == 1


async def test_a_chain_of_two(
    gate: Gate, openssh_port: int, practice: StartPractice, connector: MakeConnector, reference: CredentialReference
) -> None:
    bastion, logins = gate
    second = Host(name="second", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
    running = await practice(name="inner")
    assert await hello(connector("gate", "second", "inner"), replace(running.host, via=second)) == "hello\n"
    assert logins() == 1


CONFIG = """\
Host node
  Port {port}
  ProxyJump gate,second
Host gate
  Port {gate}
Host s?cond
  Port {port}
Host *
  HostName 127.0.0.1
  User {user}
  IdentityFile {key}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
"""


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
async def test_the_way_of_an_ssh_config_is_gone_as_ssh_goes_it(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference, tmp_path: Path
) -> None:
    bastion, logins = gate
    config = tmp_path / "ssh_config"
    config.write_text(CONFIG.format(port=openssh_port, gate=bastion.port, user=reference.user, key=reference.key))
    ssh = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "node", "echo hello"]
    theirs = await asyncio.to_thread(subprocess.run, ssh, capture_output=True, text=True, timeout=60)
    assert (theirs.stdout, logins()) == ("hello\n", 1), theirs.stderr
    (tmp_path / "inventory.yaml").write_text("sources: [{ssh_config: ssh_config}]\n")
    hosts = load_inventory([tmp_path / "inventory.yaml"]).hosts
    assert await hello(connector("gate", "second", "node"), hosts["node"]) == "hello\n"
    assert list(hosts) == ["node", "gate", "second"] and logins() == 2


async def test_a_connection_that_nobody_needs_is_closed_and_one_that_broke_is_opened_again(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference
) -> None:
    bastion, logins = gate
    inner = Host(name="inner", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
    connect = connector("gate", "inner")
    for _ in range(2):
        assert await hello(connect, inner) == "hello\n"
    assert logins() == 2
    async with connect.way_to(inner) as way:
        assert isinstance(way, Tunnel)
        way.through.abort()
        await way.through.wait_closed()
        assert await hello(connect, inner) == "hello\n"
    assert logins() == 4


async def test_hosts_do_not_spend_their_time_on_the_code_that_their_gate_waits_for() -> None:
    asked, given = asyncio.Event(), asyncio.Event()
    gate = Host(name="gate", address="192.0.2.1")
    inner = Host(name="inner", address="192.0.2.2", via=gate)

    @asynccontextmanager
    async def open_(host: Host) -> AsyncIterator[Any]:
        async with jumps.way_to(host) if host is inner else nullcontext():
            with patience().standing_still() if host is gate else nullcontext():  # as a login does for the next one-time code
                asked.set()
                await given.wait()
            yield AsyncMock(is_closed=lambda: False, way_to=lambda _: AsyncMock())

    jumps = Jumps(open_, Proxies(CredentialStore(masker=Masker()), Breaker()))

    async def reach(via: Host, limit: asyncio.Timeout) -> None:
        PATIENCE.set(Patience(limit))
        async with jumps.way_to(Host(name="node", address="192.0.2.3", via=via)):
            pass

    async with asyncio.timeout(60) as first, asyncio.timeout(60) as second, asyncio.timeout(60) as beside:
        waiting = [asyncio.create_task(reach(inner, first))]  # behind a chain
        await asked.wait()
        waiting.append(asyncio.create_task(reach(gate, second)))  # comes while it stands still
        await asyncio.sleep(0)
        assert (first.when(), second.when()) == (None, None)
        assert beside.when() is not None
        given.set()
        await asyncio.gather(*waiting)
        assert first.when() is not None and second.when() is not None


async def test_a_gate_that_is_down_is_asked_once_and_named_for_each_host(
    connector: MakeConnector, reference: CredentialReference, nothing_stays: None
) -> None:
    down = Host(name="gate", address="127.0.0.1", port=free_port(), credential=reference)
    hosts = [Host(name=f"node{number}", address="192.0.2.1", credential=reference, via=down) for number in range(5)]
    connect = connector("gate", *(host.name for host in hosts))
    for host in hosts:
        with pytest.raises(JumpFailed, match=r"^via gate: no connection: Connection refused") as failed:
            await hello(connect, host)
        assert (failed.value.host, failed.value.via) == (host.name, "gate")


async def test_a_host_that_the_gate_cannot_reach_says_so(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference
) -> None:
    bastion, _ = gate
    connect = connector("gate", "dead", "inner")
    dead = Host(name="dead", address="127.0.0.1", port=free_port(), credential=reference, via=bastion)
    with pytest.raises(JumpFailed, match="via gate: Connection refused"):
        await hello(connect, dead)
    assert await hello(connect, replace(dead, name="inner", port=openssh_port)) == "hello\n"


async def test_each_host_on_the_way_is_verified_under_its_own_name(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference, make_key: Callable[[str], Keys]
) -> None:
    """A gate that we do not know gets nothing, and one that plays the host behind it is not believed."""
    bastion, logins = gate
    inner = Host(name="inner", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
    with pytest.raises(JumpFailed, match="via gate: unknown host key") as unknown:
        await hello(connector("inner"), inner)
    assert str(unknown.value.hint) == "longarm host enrol gate"
    assert logins() == 0
    connector("changed", known=(known_key(make_key("ed25519")),))
    with pytest.raises(HostKeyRefused, match="the host key changed"):
        await hello(connector("gate"), replace(inner, name="changed"))


async def test_a_refusal_of_the_gate_counts_once(
    gate: Gate, connector: MakeConnector, reference: CredentialReference, make_key: Callable[[str], Keys]
) -> None:
    bastion, _ = gate
    wrong = replace(reference, name="wrong", key=str(make_key("ed25519").path))
    hosts = [Host(name=f"node{number}", address="192.0.2.1", credential=reference, via=replace(bastion, credential=wrong))
             for number in range(6)]  # fmt: skip
    breaker = Breaker()
    connect = connector("gate", *(host.name for host in hosts), breaker=breaker, credentials=CredentialStore())
    results = await asyncio.gather(*(hello(connect, host) for host in hosts), return_exceptions=True)
    assert {type(result) for result in results} == {JumpFailed}
    assert all("was refused; tried key" in str(result) for result in results)


async def test_somebody_who_gives_up_leaves_the_connection_to_the_others(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference, nothing_stays: None
) -> None:
    bastion, logins = gate
    inner = Host(name="inner", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
    connect = connector("gate", "inner")
    first, second = asyncio.create_task(hello(connect, inner)), asyncio.create_task(hello(connect, inner))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "hello\n"
    assert first.cancelled()
    assert logins() == 1
    alone = asyncio.create_task(hello(connect, inner))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait([alone], timeout=10)
    assert alone.cancelled()


class Slow(asyncssh.SSHServer):
    """Lets everybody in, and connects to where it is told once it may."""

    def __init__(self) -> None:
        self.asked, self.may, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def begin_auth(self, username: str) -> bool:
        return False

    async def connection_requested(self, *_: object) -> asyncssh.SSHTCPSession[bytes]:
        self.asked.set()
        await self.may.wait()
        session = asyncssh.SSHTCPSession[bytes]()
        session.connection_lost = lambda _: self.over.set()  # type: ignore[assignment,method-assign]
        return session


async def test_a_channel_that_is_opened_after_its_host_was_given_up_is_closed() -> None:
    """One behind a gate that needs long: every attempt would leave the host a connection that nobody logs in on."""
    slow, key = Slow(), asyncssh.generate_private_key("ssh-ed25519")
    node = Host(name="node", address="192.0.2.1", via=Host(name="gate", address="127.0.0.1"))
    listening = await asyncssh.listen("127.0.0.1", 0, server_factory=lambda: slow, server_host_keys=[key])
    asking = asyncssh.connect("127.0.0.1", listening.get_port(), known_hosts=None, username="anna", config=None)
    async with listening, asking as through:
        way = Tunnel(node, through)
        reaching = asyncio.create_task(way.connection(asyncio.Protocol))
        await slow.asked.wait()
        reaching.cancel()
        await asyncio.wait([reaching])
        assert reaching.cancelled()
        slow.may.set()
        await slow.over.wait()
        await way.close()


async def test_keys_are_seen_through_the_gate(
    gate: Gate, openssh_port: int, connector: MakeConnector, reference: CredentialReference, host_key: Keys
) -> None:
    bastion, _ = gate
    inner = Host(name="inner", address="127.0.0.1", port=openssh_port, credential=reference, via=bastion)
    async with connector("gate").way_to(inner) as way:
        (offered,) = await offered_keys(inner, deadline_s=20, way=way)
        assert (await greeting(inner, way)).version.startswith("SSH-2.0-OpenSSH")
    assert offered.key == known_key(host_key)
