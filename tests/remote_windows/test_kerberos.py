"""WinRM with tickets of a real KDC: sealed over HTTP, bound over HTTPS, by password, by keytab, and every way to have none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from inventory.host import CredentialReference, KerberosReference, Transport, WinrmAuth, WinrmSettings
from remote.answer import Ended
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.errors import AuthenticationRefused, CredentialUnusable
from remote.known_hosts import KnownHosts
from remote.lab.windows.bindings import Hardening
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.mishaps import Mishaps
from remote.session import Session
from remote.windows.winrm import WinrmConnector, WinrmSession
from tests.remote.realm import Realm
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import NEEDS_KDC, by_password, direct, host_at, named, practice
from tests.remote_windows.played import CASES

pytestmark = NEEDS_KDC
HTTP = WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS)


def connector(folder: Path) -> WinrmConnector:
    known = KnownHosts(folder / "known_hosts")
    return WinrmConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker(), way_to=direct)


@asynccontextmanager
async def connected(
    host: WindowsHost,
    reference: CredentialReference,
    folder: Path,
    settings: WinrmSettings = HTTP,
    transport: Transport = Transport.WINRM,
) -> AsyncIterator[Session]:
    async with host.listening() as port:
        at = named(host_at(port, settings, transport=transport), reference)
        async with connector(folder)(at) as session:
            yield session


MESSAGES = {
    Transport.WINRM: ["Create", "Command", "Receive", "Delete"],
    Transport.PSRP: ["Create", "Receive", "Command", "Receive", "Delete"],
}


@pytest.mark.parametrize("transport", MESSAGES)
async def test_a_password_gets_tickets_of_its_own_and_messages_are_sealed(
    transport: Transport, kerberos: Realm, tmp_path: Path
) -> None:
    host = practice()
    async with connected(host, by_password(kerberos), tmp_path, transport=transport) as session:
        answers = await session.ask(list(CASES), deadline_s=20)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}
        assert all(answers[question.id].stdout == expected.stdout for question, expected in CASES.items())
        assert (session.facts.proofs, session.facts.transport) == ("kerberos", transport.value)
        assert isinstance(session, WinrmSession) and session.calls == host.seen.calls
        assert transport is Transport.PSRP or session.calls == 5
    assert [one for one, _ in groupby(host.seen.messages)] == MESSAGES[transport]
    assert host.seen.calls == len(host.seen.messages) + 1, "one POST more, for the login"
    assert len(host.service.shells.started) == 1 and not host.service.shells.open
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
