"""Each host by the transport its inventory names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, SecretReference, Transport
from inventory.secret import Masker
from remote.breaker import Breaker
from remote.connect import Connector
from remote.credentials import CredentialStore
from remote.errors import ConnectFailed
from remote.known_hosts import KnownHosts
from remote.question import Question
from remote.session import Connect
from tests.remote.servers import Keys, StartPractice, free_port, known_key

ECHO = Question(id="echo", script="echo here")


@pytest.fixture
def connect(tmp_path: Path, host_key: Keys) -> Connect:
    known = KnownHosts(tmp_path / "trust" / "known_hosts")
    known.add("node", known_key(host_key))
    return Connector(known_hosts=known, credentials=CredentialStore(masker=Masker()), breaker=Breaker(), connect_deadline_s=20)


async def test_ssh_hosts_are_reached_by_ssh(connect: Connect, practice: StartPractice) -> None:
    running = await practice()
    async with connect(running.host) as session:
        assert session.facts.transport == "ssh"
        assert (await session.ask([ECHO], deadline_s=30))["echo"].stdout == b"here\n"


async def test_this_machine_is_asked_without_a_network(connect: Connect) -> None:
    async with connect(Host(name="here", address="localhost", transport=Transport.LOCAL)) as session:
        assert session.facts.transport == "local"
        assert (await session.ask([ECHO], deadline_s=30))["echo"].stdout == b"here\n"


@pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP])
async def test_windows_hosts_are_reached_by_winrm(
    connect: Connect, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_WIN", "secret")
    password = SecretReference(kind="env", value="PASSWORD_OF_WIN")
    reference = CredentialReference(name="ops", user="anna", password=password)
    with pytest.raises(ConnectFailed):
        async with connect(Host(name="win", address="127.0.0.1", port=free_port(), transport=transport, credential=reference)):
            pass


def test_the_vendor_is_not_imported_before_a_host_needs_it(repository: Path) -> None:
    program = "import sys, remote.connect, remote.known_hosts, remote.credentials; print('asyncssh' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=repository, check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"
