"""Old and odd servers: what is too old is refused by name, with the line that allows it; what is allowed is spoken and told."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, OldAlgorithms, SshSettings
from inventory.own import load_inventory
from remote.answer import Ended
from remote.enrol import offered_keys
from remote.errors import AlgorithmsRefused, AuthenticationRefused
from remote.files import Destination
from remote.question import Question
from remote.session import Session
from remote.ssh_library import asyncssh
from remote.ssh_options import algorithm_options
from tests.remote.hostility import Forwarder
from tests.remote.servers import SBIN, Keys, MakeConnector, MakeKey, free_port, known_key, serving, sshd_command, tinysshd

pytestmark = pytest.mark.server
HELLO = Question(id="hello", script="echo hello")
OLD_SSHD = {
    "KexAlgorithms": "diffie-hellman-group14-sha1",
    "HostKeyAlgorithms": "ssh-rsa",
    "Ciphers": "3des-cbc,aes128-cbc",
    "MACs": "hmac-sha1",
}
LINE = (
    "ssh_algorithms: {kex: [+diffie-hellman-group14-sha1], host_keys: [+ssh-rsa], ciphers: [+aes128-cbc], macs: [+hmac-sha1]}"
)


@pytest.fixture(scope="module")
def rsa_key(make_key: MakeKey) -> Keys:
    return make_key("rsa")


@pytest.fixture(scope="module")
def old_host(tmp_path_factory: pytest.TempPathFactory, rsa_key: Keys) -> Iterator[Host]:
    """Return a host whose OpenSSH knows nothing newer than SHA-1, RSA and CBC, with an RSA key for host and user."""
    folder = tmp_path_factory.mktemp("old")
    port, command = sshd_command(folder, rsa_key, rsa_key, **OLD_SSHD)
    reference = CredentialReference(name="test", user=getpass.getuser(), key=str(rsa_key.path))
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield Host(name="node", address="127.0.0.1", port=port, credential=reference)


def allowed(host: Host, folder: Path, line: str) -> Host:
    """Return the host as an inventory has it that holds the line of a hint."""
    (folder / "inventory.yaml").write_text(f"hosts:\n  {host.name}:\n    {line}\n")
    return replace(host, ssh=load_inventory([folder / "inventory.yaml"]).hosts[host.name].ssh)


@pytest.mark.parametrize("cipher", ["3des-cbc", "aes128-cbc"])
async def test_each_cipher_of_an_old_server_is_spoken_once_it_is_allowed(
    cipher: str, old_host: Host, connector: MakeConnector, rsa_key: Keys, tmp_path: Path
) -> None:
    """By name: the other one that the server offers stays refused."""
    host = allowed(old_host, tmp_path, LINE.replace("aes128-cbc", cipher))
    async with connector(known=(known_key(rsa_key),))(host) as session:
        answer = (await session.ask([HELLO], deadline_s=60))["hello"]
    assert (answer.ended, answer.stdout) == (Ended.EXITED, b"hello\n")
    assert dict(session.facts.algorithms)["cipher"] == cipher
    assert f"ciphers +{cipher}" in session.facts.allowed


async def test_each_step_towards_an_old_server_is_refused_with_the_line_that_allows_it(
    old_host: Host, connector: MakeConnector, rsa_key: Keys, tmp_path: Path
) -> None:
    connect = connector(known=(known_key(rsa_key),))
    with pytest.raises(AlgorithmsRefused, match="ciphers 3des-cbc, aes128-cbc; macs hmac-sha1") as refused:
        async with connect(old_host):
            pass
    assert str(refused.value.hint).endswith(LINE)
    with pytest.raises(AlgorithmsRefused) as unseen:
        await offered_keys(old_host)
    assert unseen.value.offered == refused.value.offered
    host = allowed(old_host, tmp_path, LINE)
    assert [key.key for key in await offered_keys(host)] == [known_key(rsa_key)]
    async with connect(host) as session:
        answer = (await session.ask([HELLO], deadline_s=60))["hello"]
        facts = session.facts
    assert (answer.ended, answer.stdout) == (Ended.EXITED, b"hello\n")
    assert dict(facts.algorithms) | {"server": ""} == {
        "kex": "diffie-hellman-group14-sha1",
        "host_key_algorithm": "ssh-rsa",
        "cipher": "aes128-cbc",
        "mac": "hmac-sha1",
        "strict_kex": "yes",
        "server": "",
    }
    assert facts.allowed.startswith("kex +diffie-hellman-group14-sha1, host_keys +ssh-rsa, ciphers +aes128-cbc")


async def test_a_user_key_that_is_taken_with_sha1_only(
    connector: MakeConnector, rsa_key: Keys, tmp_path: Path, old_host: Host
) -> None:
    """OpenSSH 9.2 says that it takes RSA with SHA-2 also where its configuration forbids it, as old servers do not know it."""
    port, command = sshd_command(tmp_path, rsa_key, rsa_key, **OLD_SSHD, PubkeyAcceptedAlgorithms="ssh-rsa")
    host, connect = allowed(replace(old_host, port=port), tmp_path, LINE), connector(known=(known_key(rsa_key),))
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"):
        with pytest.raises(AuthenticationRefused, match=r"tried key [^ ]*id_rsa [^ ]*;") as refused:
            async with connect(host):
                pass
        assert str(refused.value.hint).endswith("ssh_algorithms: {user_keys: [+ssh-rsa]}")
        async with connect(allowed(host, tmp_path, LINE[:-1] + ", user_keys: [+ssh-rsa]}")) as session:
            assert session.facts.allowed.startswith("kex +diffie-hellman-group14-sha1, host_keys +ssh-rsa, user_keys +ssh-rsa")
            assert session.facts.proofs.endswith(" with SHA-1")


async def test_what_nobody_should_allow_has_no_line(
    tmp_path: Path, host_key: Keys, user_key: Keys, connector: MakeConnector, reference: CredentialReference
) -> None:
    port, command = sshd_command(tmp_path, host_key, user_key, MACs="umac-64@openssh.com", Ciphers="aes128-ctr")
    host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"), pytest.raises(AlgorithmsRefused) as refused:
        async with connector()(host):
            pass
    assert (str(refused.value), refused.value.hint) == (
        "no connection: it offers nothing that is safe: macs umac-64@openssh.com",
        None,
    )


def test_what_we_offer_is_what_the_library_does_without_sha1() -> None:
    safe = asyncssh.SSHClientConnectionOptions(config=None, known_hosts=([], [], []), client_keys=None, agent_path=None)
    offered = algorithm_options(OldAlgorithms())
    weak = ("-sha1", "ssh-rsa", "ssh-dss", "-cbc", "arcfour", "md5", "-sha1-etm@openssh.com")
    for option in ("kex_algs", "encryption_algs", "mac_algs", "signature_algs"):
        theirs = [name.decode() for name in getattr(safe, option)]
        assert set(offered[option]) == {name for name in theirs if not name.endswith(weak)}


def test_what_is_allowed_comes_last_and_for_the_one_host() -> None:
    more = algorithm_options(OldAlgorithms(kex=("diffie-hellman-group1-sha1",), ciphers=("3des-cbc",)))
    assert more["kex_algs"] == [*algorithm_options(OldAlgorithms())["kex_algs"], "diffie-hellman-group1-sha1"]
    assert more["encryption_algs"][-1] == "3des-cbc"


async def test_dropbear_with_an_rsa_key_only(
    tmp_path: Path, rsa_key: Keys, reference: CredentialReference, connector: MakeConnector
) -> None:
    key, port = tmp_path / "host_key", free_port()
    converting = await asyncio.create_subprocess_exec("dropbearconvert", "openssh", "dropbear", rsa_key.path, key)
    assert await converting.wait() == 0
    command = [shutil.which("dropbear", path=SBIN), "-F", "-E", "-p", f"127.0.0.1:{port}", "-r", key, "-P", tmp_path / "pid"]
    host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
    with serving([str(word) for word in command], b"Not backgrounding", tmp_path / "log"):
        assert [one.key for one in await offered_keys(host)] == [known_key(rsa_key)]
        with pytest.raises(AuthenticationRefused):  # its keys are those of root's own home
            async with connector(known=(known_key(rsa_key),))(host):
                pass


@pytest.mark.skipif(os.geteuid() != 0, reason="tinysshd reads ~/.ssh of a real user: needs root for a mount namespace")
async def test_tinysshd(tmp_path: Path, user_key: Keys, reference: CredentialReference, connector: MakeConnector) -> None:
    with tinysshd(tmp_path, user_key) as port:
        host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
        (offered,) = await offered_keys(host)
        async with connector(known=(offered.key,))(host) as session:
            answer = (await session.ask([HELLO], deadline_s=60))["hello"]
            algorithms = dict(session.facts.algorithms)
    assert (answer.ended, answer.stdout) == (Ended.EXITED, b"hello\n")
    assert (algorithms["cipher"], algorithms["host_key_algorithm"]) == ("chacha20-poly1305@openssh.com", "ssh-ed25519")
    assert host.ssh == SshSettings()


async def test_each_command_for_tinyssh_goes_over_a_connection_of_its_own(tinysshd_session: Session, tmp_path: Path) -> None:
    """It ends the connection with its only channel, and takes no second one beside that."""
    asked = await asyncio.gather(*(tinysshd_session.ask([HELLO], deadline_s=60) for _ in range(3)))
    assert [answers["hello"].stdout for answers in asked] == [b"hello\n"] * 3
    transfer = await tinysshd_session.put(b"a file", Destination(path=f"{tmp_path}/file"), deadline_s=60)
    assert (transfer.carried_by, (tmp_path / "file").read_bytes()) == ("exec", b"a file")
    assert not tinysshd_session.dropped


async def test_a_tinyssh_that_is_gone_has_not_run_what_comes_later(
    tmp_path: Path, reference: CredentialReference, user_key: Keys, connector: MakeConnector
) -> None:
    with tinysshd(tmp_path, user_key) as port:
        host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
        (offered,) = await offered_keys(host)
        async with connector(known=(offered.key,))(host) as session:
            first = (await session.ask([HELLO], deadline_s=60))["hello"]
            async with Forwarder(port) as wire:
                wire.take_no_more()
                session.host = replace(host, port=wire.address)
                later = (await session.ask([HELLO], deadline_s=60))["hello"]
    assert (first.ended, later.ended, later.exit_status) == (Ended.EXITED, Ended.NOT_RUN, None)
    assert "Connection refused" in later.why
