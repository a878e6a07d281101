"""Kerberos against a real KDC and sshd: tickets of the user's, of a password, of a keytab; and every way to have none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, KerberosReference, SecretReference
from remote.credentials import CredentialStore
from remote.errors import AuthenticationRefused, CredentialUnusable
from remote.kerberos import extra_installed
from tests.remote.realm import PASSWORD, REALM, Realm, make_realm
from tests.remote.servers import Keys, MakeConnector, MakeKey, serving, sshd_command

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not extra_installed(), reason="needs the extra longarm[kerberos]"),
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd lets in root by its tickets only if it runs as root"),
    pytest.mark.xdist_group("kerberos"),
]
SERVICE = "host/localhost"


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Realm:
    """Make a realm; nothing runs yet."""
    return make_realm(tmp_path_factory.mktemp("realm"), (SERVICE,), ("host/strange.example",))


@pytest.fixture
def kerberos(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    """Run the KDC, and let the library in this process know of the realm, and of no tickets."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, realm.environ[name])
    (realm.folder / "ccache").unlink(missing_ok=True)
    with realm.kdc():
        yield realm


@pytest.fixture
def host(realm: Realm, tmp_path: Path, host_key: Keys, user_key: Keys) -> Iterator[Host]:
    """Run an sshd that takes tickets of the realm; it is reached by a number and called `localhost` in the realm."""
    settings = {"GSSAPIAuthentication": "yes", "GSSAPIStrictAcceptorCheck": "no", "PermitRootLogin": "prohibit-password"}
    port, command = sshd_command(tmp_path, host_key, user_key, **settings)
    environ = {**realm.environ, "KRB5_KTNAME": f"FILE:{realm.folder / 'host.keytab'}"}
    words = ["env", *(f"{key}={value}" for key, value in environ.items()), *command, "-e"]
    with serving(words, b"Server listening", tmp_path / "log"):
        yield Host(name="node", address="127.0.0.1", port=port, host_key_alias="localhost")


def credential(realm: Realm, tickets: KerberosReference) -> CredentialReference:
    return CredentialReference(name="tickets", user=realm.user, kerberos=tickets)


async def proofs(connector: MakeConnector, host: Host, reference: CredentialReference) -> str:
    async with connector()(replace(host, credential=reference)) as session:
        return str(session.facts.proofs)


async def test_the_tickets_that_the_user_has_let_us_in(kerberos: Realm, host: Host, connector: MakeConnector) -> None:
    kerberos.run("kinit", kerberos.principal, given=PASSWORD + "\n")
    before = (kerberos.folder / "ccache").read_bytes()
    assert await proofs(connector, host, credential(kerberos, KerberosReference())) == f"kerberos {kerberos.principal}"
    assert (kerberos.folder / "ccache").read_bytes()[: len(before)] == before  # a ticket for the host is added


async def test_a_password_and_a_keytab_have_a_cache_of_their_own(
    kerberos: Realm, host: Host, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERBEROS_PASSWORD", PASSWORD)
    password = SecretReference(kind="env", value="KERBEROS_PASSWORD")
    by_password = KerberosReference(principal=kerberos.principal, password=password)
    by_keytab = KerberosReference(principal=kerberos.principal, keytab=str(kerberos.folder / "user.keytab"))
    for tickets in (by_password, by_keytab):
        assert await proofs(connector, host, credential(kerberos, tickets)) == f"kerberos {kerberos.principal}"
    assert not (kerberos.folder / "ccache").exists()
    other = KerberosReference(ccache=f"FILE:{kerberos.folder / 'other'}")
    kerberos.run("kinit", "-c", f"FILE:{kerberos.folder / 'other'}", "-k", "-t", str(by_keytab.keytab), kerberos.principal)
    assert await proofs(connector, host, credential(kerberos, other)) == f"kerberos {kerberos.principal}"


async def test_a_principal_that_may_not_log_in_is_refused_and_keys_come_next(
    kerberos: Realm, host: Host, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch, user_key: Keys
) -> None:
    monkeypatch.setenv("KERBEROS_PASSWORD", PASSWORD)
    password = SecretReference(kind="env", value="KERBEROS_PASSWORD")
    robot = credential(kerberos, KerberosReference(principal=f"robot@{REALM}", password=password))
    with pytest.raises(AuthenticationRefused) as refused:
        await proofs(connector, host, robot)
    assert refused.value.tried == (f"kerberos robot@{REALM}",)
    assert "gssapi-with-mic" in refused.value.offered_methods
    both = await proofs(connector, host, replace(robot, key=str(user_key.path)))
    assert both.startswith(f"kerberos robot@{REALM}, key {user_key.path}")


async def test_a_host_that_is_not_in_the_realm_is_told_so(kerberos: Realm, host: Host, connector: MakeConnector) -> None:
    kerberos.run("kinit", kerberos.principal, given=PASSWORD + "\n")
    with pytest.raises(AuthenticationRefused, match="the host is not in the realm, or has another name there"):
        await proofs(connector, replace(host, host_key_alias=None), credential(kerberos, KerberosReference()))
    with pytest.raises(AuthenticationRefused):  # a name of the realm, but not this host's: its keytab has no such key
        await proofs(connector, replace(host, host_key_alias="strange.example"), credential(kerberos, KerberosReference()))


async def test_clocks_that_differ_are_told(
    realm: Realm, host: Host, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, realm.environ[name])
    with realm.kdc():
        realm.run("kinit", realm.principal, given=PASSWORD + "\n")
    with realm.kdc("faketime", "-f", "+1h"), pytest.raises(AuthenticationRefused, match="the clocks differ too much"):
        await proofs(connector, host, credential(realm, KerberosReference()))


WRONG = SecretReference(kind="env", value="WRONG")
WITHOUT = {
    "no ticket": (KerberosReference(), "there is no ticket"),
    "another cache": (KerberosReference(ccache="FILE:/nowhere/ccache"), "there is no ticket"),
    "wrong password": (
        KerberosReference(principal="robot", password=WRONG),
        "did not take the",
    ),
    "nobody": (
        KerberosReference(principal="nobody", password=WRONG),
        "does not know this",
    ),
    "no keytab": (KerberosReference(principal="robot", keytab="/nowhere/keytab"), "/nowhere/keytab: No such file"),
    "another's keytab": (KerberosReference(principal="robot", keytab="{folder}/host.keytab"), "the keytab has no key of this"),
    "no KDC": (
        KerberosReference(principal="robot@NOWHERE.TEST", password=WRONG),
        "no KDC of the realm answered",
    ),
    "no realm": (
        KerberosReference(principal="robot@UNHEARD.TEST", password=WRONG),
        "the realm is not known",
    ),
}


@pytest.mark.parametrize("case", list(WITHOUT))
async def test_a_credential_without_tickets_says_why_before_any_host_is_asked(
    case: str, kerberos: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", "the-wrong-one")
    tickets, says = WITHOUT[case]
    if tickets.keytab:
        tickets = replace(tickets, keytab=tickets.keytab.format(folder=kerberos.folder))
    unreachable = Host(name="db1", address="192.0.2.1", credential=credential(kerberos, tickets))
    with pytest.raises(CredentialUnusable, match=says):
        await CredentialStore().resolve(unreachable)


async def test_tickets_that_are_optional_are_missed_without_a_word_until_nothing_else_does(
    kerberos: Realm, host: Host, connector: MakeConnector, user_key: Keys, make_key: MakeKey
) -> None:
    reference = replace(credential(kerberos, KerberosReference(optional=True)), key=str(user_key.path))
    assert (await proofs(connector, host, reference)).startswith(f"key {user_key.path}")
    with pytest.raises(AuthenticationRefused, match="Kerberos: there is no ticket"):
        await proofs(connector, host, replace(reference, key=str(make_key("ed25519").path)))


async def test_without_the_extra_a_credential_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote.kerberos.extra_installed", lambda: False)
    reference = CredentialReference(name="tickets", user="anna", kerberos=KerberosReference())
    with pytest.raises(CredentialUnusable, match=r"pipx install 'longarm\[kerberos\]'"):
        await CredentialStore().resolve(Host(name="db1", address="192.0.2.1", credential=reference))


def test_nothing_is_imported_for_whoever_needs_no_tickets() -> None:
    program = "import remote.ssh, remote.kerberos, sys; assert 'gssapi' not in sys.modules; import gssapi"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)


async def test_an_expired_ticket_is_told(kerberos: Realm) -> None:
    kerberos.run("kinit", "-l", "1s", kerberos.principal, given=PASSWORD + "\n")
    kerberos.run("sleep", "2")
    reference = credential(kerberos, KerberosReference())
    with pytest.raises(CredentialUnusable, match="the ticket has expired"):
        await CredentialStore().resolve(Host(name="db1", address="192.0.2.1", credential=reference))
