"""Hosts that prove themselves by a certificate: which count, what is said of others, and that nothing is sent to them."""

from __future__ import annotations

import base64
import getpass
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.certificates import Certificate
from remote.enrol import certified
from remote.errors import ConnectFailed, HostCertificateRefused, HostKeyRefused
from remote.host_keys import HostKey
from remote.host_proof import proof_of
from remote.known_hosts import KnownHosts, Trust
from remote.question import Question
from remote.ssh_library import asyncssh
from tests.remote.hostility import Forwarder, plain_messages
from tests.remote.servers import Keys, MakeConnector, MakeKey, StartPractice, known_key, serving, sshd_command

DISCONNECT, KEXINIT, KEX_ECDH_INIT = 1, 20, 30


def sign(authority: Keys, key: Keys, *words: str) -> Path:
    """Let ssh-keygen sign a key, for the host `node` unless `words` say otherwise, and return the certificate."""
    what = words or ("-h", "-n", "node")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority.path, "-I", "the node", *what, key.path.with_suffix(".pub")], check=True
    )
    return key.path.with_name(key.path.name + "-cert.pub")


def blob_of(certificate: Path) -> bytes:
    return bytes(asyncssh.read_certificate(certificate).public_data)


def authority_of(keys: Keys) -> HostKey:
    return HostKey.of(known_key(keys).blob, authority=True)


@dataclass(frozen=True)
class Case:
    words: tuple[str, ...] = ("-h", "-n", "node")
    says: str = ""


CASES = {
    "expired": Case(("-h", "-n", "node", "-V", "20200101:20200201"), r"it expired on 2020-0\d-\d\d"),
    "not yet": Case(("-h", "-n", "node", "-V", "20900101:20910101"), "it is valid from 20(89|90)-"),
    "another name": Case(("-h", "-n", "db2,db3"), "it is for db2, db3, not for node, 127.0.0.1"),
    "no name": Case(("-h",), "it is for –, not for node"),
    "a user's": Case(("-n", "node"), "it is for a user, not for a host"),
}


@pytest.mark.parametrize("case", list(CASES))
async def test_nothing_is_sent_to_a_host_whose_certificate_does_not_count(
    case: str, practice: StartPractice, connector: MakeConnector, make_key: MakeKey, user_key: Keys
) -> None:
    authority, own = make_key("ed25519"), make_key("ed25519")
    certificate = sign(authority, own, *CASES[case].words)
    running = await practice(keys=(own,), server_host_certs=[str(certificate)])
    running.host = replace(running.host, name="node")
    trusted = connector(known=())._known_hosts
    trusted.mark(("no*", "!nobody"), authority_of(authority))
    async with Forwarder(running.host.port or 22) as wire:
        with pytest.raises(HostCertificateRefused, match=CASES[case].says) as refused:
            async with connector(known=())(replace(running.host, port=wire.address)):
                pass
    assert not refused.value.foreign
    assert (running.seen.users, running.seen.keys) == ([], [])
    assert {KEXINIT, KEX_ECDH_INIT} <= set(plain_messages(bytes(wire.up))) <= {KEXINIT, KEX_ECDH_INIT, DISCONNECT}
    assert asyncssh.import_public_key(user_key.public).public_data not in wire.up


@pytest.mark.parametrize(
    ("revoke", "says"), [("authority", "its authority SHA256:.* is revoked"), ("key", "its key SHA256:.* is revoked")]
)
async def test_what_is_revoked_is_refused_whatever_it_is_signed_with(
    revoke: str, says: str, practice: StartPractice, connector: MakeConnector, make_key: MakeKey
) -> None:
    authority, own = make_key("ed25519"), make_key("ed25519")
    running = await practice(keys=(own,), server_host_certs=[str(sign(authority, own))])
    trusted = connector(known=())._known_hosts
    trusted.mark(("*",), authority_of(authority))
    trusted.mark(("group=berlin",), known_key(authority if revoke == "authority" else own, revoked=True))
    with pytest.raises(HostCertificateRefused, match=says):
        async with connector(known=())(replace(running.host, groups=("berlin",))):
            pass
    assert running.seen.users == []
    async with connector(known=())(running.host) as session:  # revoked for a group that this host is not in
        assert session.facts.host_certificate.startswith("“the node”, SHA256:")


async def test_an_authority_of_others_is_not_ours(practice: StartPractice, connector: MakeConnector, make_key: MakeKey) -> None:
    ours, theirs, own = make_key("ed25519"), make_key("ed25519"), make_key("ed25519")
    running = await practice(keys=(own,), server_host_certs=[str(sign(theirs, own))])
    trusted = connector(known=())._known_hosts
    trusted.mark(("*",), authority_of(ours))
    trusted.mark(("web*", "group=berlin", "!node"), authority_of(theirs))  # for others, and not for this one
    with pytest.raises(HostCertificateRefused, match=r"its authority SHA256:\S+ is not trusted for node") as refused:
        async with connector(known=())(replace(running.host, groups=("berlin",))):
            pass
    assert (refused.value.foreign, running.seen.users) == (True, [])


async def test_a_host_whose_key_is_known_by_itself_needs_no_certificate(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey
) -> None:
    authority, own = make_key("ed25519"), make_key("ed25519")
    expired = sign(authority, own, *CASES["expired"].words)
    running = await practice(keys=(own,), server_host_certs=[str(expired)])
    connector(known=())._known_hosts.mark(("*",), authority_of(authority))
    async with connector(known=(known_key(own),))(running.host) as session:
        assert (session.facts.host_key, session.facts.host_certificate) == (known_key(own).fingerprint, "")


async def test_a_host_of_an_authority_that_shows_a_bare_key_is_unknown(
    practice: StartPractice, connector: MakeConnector, make_key: MakeKey
) -> None:
    running = await practice()
    connector(known=())._known_hosts.mark(("*",), authority_of(make_key("ed25519")))
    with pytest.raises(HostKeyRefused, match="unknown host key"):
        async with connector(known=())(running.host):
            pass
    assert running.seen.users == []


async def test_what_a_host_shows_instead_of_a_certificate_is_told(
    practice: StartPractice, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, own = make_key("ed25519"), make_key("ed25519")
    running = await practice(keys=(own,), server_host_certs=[str(sign(authority, own))])
    trust = Trust(host=running.host, authorities=(authority_of(authority),))
    proof = await certified(trust)
    assert proof is not None and proof.by_certificate and proof.key == known_key(own)
    assert await certified(Trust(host=running.host)) is None
    assert await certified(replace(trust, host=(await practice()).host)) is None  # it has a bare key only

    async def rubbish(*_: object, **__: object) -> bytes:
        return b"\0\0\0\x20ssh-ed25519-cert-v01@openssh.com rubbish"

    monkeypatch.setattr("remote.enrol.offered_certificate", rubbish)
    with pytest.raises(ConnectFailed, match="the host key cannot be used"):
        await certified(trust)


def test_a_certificate_with_another_signature_or_a_weak_one_does_not_count(make_key: MakeKey) -> None:
    authority, own = make_key("rsa"), make_key("ed25519")
    trust = Trust(host=Host(name="node", address="192.0.2.1"), authorities=(authority_of(authority),))
    good = blob_of(sign(authority, own, "-h", "-n", "node", "-t", "rsa-sha2-512"))
    assert proof_of(good, trust).trusted
    forged = proof_of(good[:-1] + bytes([good[-1] ^ 1]), trust)
    assert not forged.trusted and "it is not signed as it says" in str(forged.wrong)
    weak = proof_of(blob_of(sign(authority, own, "-h", "-n", "node", "-t", "ssh-rsa")), trust)
    assert not weak.trusted and "SHA-1" in str(weak.wrong)
    strange = sign(authority, own, "-h", "-n", "node", "-O", "critical:wipe=all").read_text().split()[1]
    judged = proof_of(base64.b64decode(strange), trust)
    assert not judged.trusted and "options that are not known here: wipe" in str(judged.wrong)


def test_a_certificate_is_read_as_ssh_keygen_shows_it(make_key: MakeKey) -> None:
    authority = make_key("ecdsa")
    for kind in ("ed25519", "ecdsa", "rsa"):
        own = make_key(kind)
        blob = blob_of(sign(authority, own, "-h", "-n", "node,NODE.example", "-z", "77", "-V", "20200101:20300101"))
        shown = Certificate.of(blob)
        assert (shown.key, shown.authority.fingerprint) == (known_key(own), known_key(authority).fingerprint)
        assert (shown.key_id, shown.serial, shown.principals) == ("the node", 77, ("node", "NODE.example"))
        assert shown.valid_before_s - shown.valid_after_s == 3653 * 86400
        for end in range(0, len(blob), 7):  # cut off anywhere it is no certificate, and nothing worse
            with pytest.raises(ValueError):
                Certificate.of(blob[:end])


@pytest.fixture
def signed_sshd(
    tmp_path: Path, make_key: MakeKey, user_key: Keys, request: pytest.FixtureRequest
) -> Iterator[tuple[int, Keys]]:
    """Start OpenSSH's sshd with a certificate for the host `db1.example`, and return its port and the authority."""
    authority, own = make_key("rsa"), make_key(request.param)
    certificate = sign(authority, own, "-h", "-n", "db1.example", "-t", "rsa-sha2-256")
    port, command = sshd_command(tmp_path, own, user_key, HostCertificate=str(certificate))
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"):
        yield port, authority


@pytest.mark.server
@pytest.mark.parametrize("signed_sshd", ["ed25519", "ecdsa", "rsa"], indirect=True)
async def test_openssh_with_a_certificate_lets_us_in_and_the_facts_say_by_which(
    signed_sshd: tuple[int, Keys], tmp_path: Path, connector: MakeConnector, user_key: Keys
) -> None:
    port, authority = signed_sshd
    known = KnownHosts(tmp_path / "home" / "known_hosts")
    known.mark(("group=db",), authority_of(authority))
    credential = CredentialReference(name="test", user=getpass.getuser(), key=str(user_key.path))
    host = Host(name="db1", address="127.0.0.1", port=port, groups=("db",), host_key_alias="db1.example", credential=credential)
    nonce = secrets.token_hex(8)
    async with connector(known_hosts=known)(host) as session:
        answer = (await session.ask([Question(id="q", script=f"echo {nonce}")], deadline_s=20))["q"]
    assert answer.stdout.decode().strip() == nonce
    assert session.facts.host_certificate == f"“the node”, {known_key(authority).fingerprint}"
    with pytest.raises(HostCertificateRefused, match=r"it is for db1\.example, not for db1, 127.0.0.1"):
        async with connector(known_hosts=known)(replace(host, host_key_alias=None)):
            pass
