"""Practice Windows hosts, and sessions to them by each way in."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import (
    CredentialReference,
    Host,
    Platform,
    SecretReference,
    SshLibrary,
    SshSettings,
    Transport,
    WinrmAuth,
    WinrmSettings,
)
from inventory.secret import Secret
from remote.breaker import Breaker
from remote.command import Command
from remote.credentials import Credential, TlsKey
from remote.host_keys import HostKey
from remote.kerberos import extra_installed
from remote.known_hosts import KnownHosts
from remote.lab.windows.faults import ENGLISH
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.pipelines import CapturedPipelines
from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Endpoint
from remote.lab.windows.shells import Limits, Program
from remote.lab.windows.ssh import Shell, WindowsShells
from remote.lab.windows.works import Works
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from remote.ways import Direct, Way
from remote.windows import shell, winrm
from remote.windows.winrm import WinrmConnector
from tests.conftest import SOAK
from tests.remote.realm import PASSWORD as REALM_PASSWORD
from tests.remote.realm import Realm, make_realm
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.certificates import Authority
from tests.remote_windows.played import ANSWERS, COMMANDS

__all__ = ["ntlm_accounts"]

SETTINGS = {
    "winrm_ntlm_http": WinrmSettings(scheme="http", auth=WinrmAuth.NTLM),
    "winrm_ntlm_https": WinrmSettings(auth=WinrmAuth.NTLM),
    "winrm_basic_https": WinrmSettings(auth=WinrmAuth.BASIC),
    "winrm_certificate": WinrmSettings(auth=WinrmAuth.CERTIFICATE),
}


NEEDS_KDC = [
    pytest.mark.server,
    pytest.mark.skipif(not extra_installed(), reason="needs the extra longarm[kerberos]"),
    pytest.mark.xdist_group("kerberos"),
]


class OneCredential:
    """A store with one credential for everybody."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential

    async def resolve(self, host: Host) -> Credential:
        return self.credential


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is tidied up after a deadline more time than a user waits: they have other work too, save in a soak."""
    assert winrm._OVERTIME_S + shell.TIDY_S + winrm._STUCK_S <= 2.0, "what a user waits"
    if SOAK:
        return
    for module in (shell, winrm):
        monkeypatch.setattr(module, "TIDY_S", 5.0)
    monkeypatch.setattr(winrm, "_STUCK_S", 10.0)
    monkeypatch.setattr(winrm, "_LEAVING_S", 10.0)


async def no_threads(named: str = "longarm winrm") -> None:
    """Wait until no thread has such a name any more; AssertionError with those that are still there after ten seconds."""
    for _ in range(1000):
        if not (left := [one.name for one in threading.enumerate() if one.name.startswith(named)]):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(left)


async def enough_for(session: Session) -> float:
    """Return a deadline within which a command gets far, and that passes soon: on a machine that does much else, longer."""
    began = time.monotonic()
    assert (await session.run(Command(script="'out'"), deadline_s=60.0)).succeeded
    return max(1.0, 10 * (time.monotonic() - began))


@asynccontextmanager
async def direct(host: Host) -> AsyncIterator[Way]:
    yield Direct(host)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("certificates"))


MakeConnector = Callable[..., WinrmConnector]


@pytest.fixture
def connector(tmp_path: Path, authority: Authority) -> MakeConnector:
    """Return a function that makes a connector with one credential, which has a password and a certificate."""

    def make(*, password: str = PASSWORD, breaker: Breaker | None = None, **more: object) -> WinrmConnector:
        paper = authority.certified("user", USER)
        credential = Credential(
            name="ops",
            user=USER,
            password=Secret(password),
            tls_key=TlsKey(certificate=paper.certificate, key=paper.key),
        )
        given: dict[str, object] = {
            "known_hosts": KnownHosts(tmp_path / "trust" / "known_hosts"),
            "credentials": OneCredential(credential),
            "breaker": breaker or Breaker(),
            "way_to": direct,
            "connect_deadline_s": 10.0,
        }
        return WinrmConnector(**(given | more))  # type: ignore[arg-type]

    return make


class LetsIn(asyncssh.SSHServer):
    """Lets the one user in by his password."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


@asynccontextmanager
async def ssh_session(
    shell: Shell, library: SshLibrary, folder: Path, *, works: Works | None = None, plays: WindowsShells | None = None
) -> AsyncIterator[Session]:
    """Yield a session by SSH to a practice Windows host with a default shell; `plays` is what its commands come to."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    plays = plays or WindowsShells(Captured(answers=ANSWERS, works=works or Works(COMMANDS)), shell)
    listening = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=LetsIn, server_host_keys=[key], process_factory=plays, encoding=None, line_editor=False
    )
    known = KnownHosts(folder / "known_hosts")
    known.add("win1", HostKey.of(key.public_data))
    store = OneCredential(Credential(name="ops", user=USER, password=Secret(PASSWORD)))
    connector = SshConnector(known_hosts=known, credentials=store, breaker=Breaker())  # type: ignore[arg-type]
    host = host_at(listening.get_port(), transport=Transport.SSH, ssh=SshSettings(library=library))
    async with listening, connector(host) as session:
        yield session


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Realm:
    return make_realm(tmp_path_factory.mktemp("realm"), ("HTTP/win1",), ("HTTP/other",))


@pytest.fixture
def kerberos(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    """Run the KDC; this process knows of the realm, has the keys of the practice host, and no tickets of its own."""
    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, realm.environ[name])
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{realm.folder / 'host.keytab'}")
    monkeypatch.setenv("LONGARM_TEST_WORD", REALM_PASSWORD)
    (realm.folder / "ccache").unlink(missing_ok=True)
    with realm.kdc():
        yield realm


def by_password(realm: Realm) -> CredentialReference:
    """Return the user of the realm whom a password makes tickets for."""
    return CredentialReference(
        name="ops", user=realm.principal, password=SecretReference(kind="env", value="LONGARM_TEST_WORD")
    )


def named(host: Host, reference: CredentialReference) -> Host:
    """Return a host by the name that its keys in the realm are for."""
    return replace(host, host_key_alias="win1", credential=reference)


def practice(
    mishaps: Mishaps | None = None, limits: Limits | None = None, program: Program | None = None, **doors: object
) -> WindowsHost:
    """Return a practice host that plays what is written down, and lets its user in by every way; `language` is its own."""
    language = str(doors.pop("language", ENGLISH))
    given: Mapping[str, object] = {
        "passwords": {USER: PASSWORD},
        "schemes": ("basic", "negotiate", "kerberos", "certificate"),
    }
    program = program or Captured(answers=ANSWERS, works=Works(COMMANDS))
    endpoints = {}
    if isinstance(program, Captured):
        runs = CapturedPipelines(captured=program)
        endpoints = {"Microsoft.PowerShell": Endpoint(program=runs, version=program.version)}
    return WindowsHost(
        program,
        doors=Doors(**{**given, **doors}),  # type: ignore[arg-type]
        endpoints=endpoints,
        limits=limits,
        mishaps=mishaps,
        language=language,
    )


@asynccontextmanager
async def connected(
    make: MakeConnector, host: WindowsHost, transport: Transport = Transport.WINRM, *, endpoint: str | None = None
) -> AsyncIterator[Session]:
    """Yield a session to a host that listens in a loop of its own, and see that no thread is left of it."""
    settings = WinrmSettings(scheme="http", auth=WinrmAuth.NTLM, endpoint=endpoint)
    with listening(host) as port:
        async with make()(host_at(port, settings, transport=transport)) as session:
            yield session
    await no_threads()


def host_at(port: int, settings: WinrmSettings = SETTINGS["winrm_ntlm_http"], **more: object) -> Host:
    """Return what an inventory says of the practice host."""
    reference = CredentialReference(name="ops", user=USER)
    given: dict[str, object] = {"transport": Transport.WINRM, "platform": Platform.WINDOWS, "credential": reference}
    return Host(name="win1", address="127.0.0.1", port=port, winrm=settings, **(given | more))  # type: ignore[arg-type]
