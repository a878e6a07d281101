"""WinRM with tickets of a real KDC: sealed over HTTP, bound over HTTPS, by password, by keytab, and every way to have none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, KerberosReference, SecretReference, WinrmAuth, WinrmSettings
from remote.answer import Ended
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.errors import AuthenticationRefused, CredentialUnusable
from remote.kerberos import extra_installed
from remote.known_hosts import KnownHosts
from remote.lab.windows.bindings import Hardening
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.mishaps import Mishaps
from remote.session import Session
from remote.windows.winrm import WinrmConnector, WinrmSession
from tests.remote.realm import PASSWORD, Realm, make_realm
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import direct, host_at, practice
from tests.remote_windows.played import CASES

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not extra_installed(), reason="needs the extra longarm[kerberos]"),
    pytest.mark.xdist_group("kerberos"),
]
HTTP = WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Realm:
    return make_realm(tmp_path_factory.mktemp("realm"), ("HTTP/win1",), ("HTTP/other",))


@pytest.fixture
def kerberos(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    """Run the KDC; this process knows of the realm, has the keys of the practice host, and no tickets of its own."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, realm.environ[name])
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{realm.folder / 'host.keytab'}")
    monkeypatch.setenv("LONGARM_TEST_WORD", PASSWORD)
    (realm.folder / "ccache").unlink(missing_ok=True)
    with realm.kdc():
        yield realm


def by_password(realm: Realm) -> CredentialReference:
    return CredentialReference(
        name="ops", user=realm.principal, password=SecretReference(kind="env", value="LONGARM_TEST_WORD")
    )


def named(host: Host, reference: CredentialReference) -> Host:
    return replace(host, host_key_alias="win1", credential=reference)


def connector(folder: Path) -> WinrmConnector:
    known = KnownHosts(folder / "known_hosts")
    return WinrmConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker(), way_to=direct)


@asynccontextmanager
async def connected(
    host: WindowsHost, reference: CredentialReference, folder: Path, settings: WinrmSettings = HTTP
) -> AsyncIterator[Session]:
    async with host.listening() as port, connector(folder)(named(host_at(port, settings), reference)) as session:
        yield session


async def test_a_password_gets_tickets_of_its_own_and_messages_are_sealed(kerberos: Realm, tmp_path: Path) -> None:
    host = practice()
    async with connected(host, by_password(kerberos), tmp_path) as session:
        answers = await session.ask(list(CASES), deadline_s=20)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}
        assert session.facts.proofs == "kerberos"
        assert isinstance(session, WinrmSession) and session.calls == 5, "one POST more, for the login"
    assert host.seen.messages == ["Create", "Command", "Receive", "Delete"]
    assert not (kerberos.folder / "ccache").exists(), "the user's own cache is not touched"


async def test_a_keytab_and_a_new_connection(kerberos: Realm, tmp_path: Path) -> None:
    tickets = KerberosReference(principal=kerberos.principal, keytab=str(kerberos.folder / "user.keytab"))
    reference = CredentialReference(name="robot", user=kerberos.principal, kerberos=tickets)
    host = practice(Mishaps(drop_before={3}))
    async with connected(host, reference, tmp_path) as session:
        answers = await session.ask(list(CASES), deadline_s=20)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}


async def test_a_login_over_tls_is_bound_to_its_certificate(kerberos: Realm, tmp_path: Path, authority: Authority) -> None:
    paper = authority.certified("win", "win1", "127.0.0.1")
    settings = WinrmSettings(auth=WinrmAuth.KERBEROS)
    known = KnownHosts(tmp_path / "known_hosts")
    for shown in (paper, authority.certified("other", "win1", "127.0.0.1")):
        host = practice(certificate=shown.der, hardening=Hardening.STRICT)
        async with host.listening(authority.server_context(paper)) as port:
            at = named(host_at(port, replace(settings, ca=str(authority.file))), by_password(kerberos))
            connect = WinrmConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker(), way_to=direct)
            if shown is paper:
                async with connect(at) as session:
                    assert (await session.ask(list(CASES)[:1], deadline_s=20))[next(iter(CASES)).id].ended is Ended.EXITED
            else:
                with pytest.raises(AuthenticationRefused):
                    async with connect(at):
                        pass


async def test_why_there_is_no_ticket_is_told_before_the_host_is_asked(
    kerberos: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = practice()
    monkeypatch.setenv("LONGARM_TEST_WORD", "wrong")
    with pytest.raises(CredentialUnusable, match="did not take the password"):
        async with connected(host, by_password(kerberos), tmp_path):
            pass
    assert host.seen.calls == 0


async def test_a_host_that_the_realm_does_not_know_is_refused(kerberos: Realm, tmp_path: Path) -> None:
    host = practice()
    async with host.listening() as port:
        with pytest.raises(AuthenticationRefused, match="not in the realm"):
            async with connector(tmp_path)(
                replace(named(host_at(port, HTTP), by_password(kerberos)), host_key_alias="nowhere")
            ):
                pass
    assert host.seen.calls == 0
