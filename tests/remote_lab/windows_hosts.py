"""Practice Windows hosts for tests: in a loop of their own thread, since the clients of WinRM block."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pypsrp._utils import get_pwsh_script

from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.runspaces import Call, Endpoint, Piped, Told, Wrong
from remote.lab.windows.shells import Limits, Running, Said

USER, PASSWORD = "vagrant", "Пароль of the lab"
BASIC_USER, BASIC_PASSWORD = "basic", "only ASCII"
"""What `requests`, and so pywinrm, can send: it encodes what Basic sends as Latin-1."""
WORDS = "привет, мир\r\n"


async def program(running: Running) -> Said | None:
    """Know a handful of commands: words with an exit status, the input back, patience, much output."""
    match running.asked.line.split(" "):
        case ["cmd", "/c", "exit", status]:
            return Said(stdout=WORDS.encode(), stderr=b"to the other side", exit_status=int(status))
        case ["cat"]:
            got = b""
            while (piece := await running.stdin.get()) is not None:
                got += piece
            return Said(stdout=got)
        case ["patience", seconds]:
            await asyncio.sleep(float(seconds))
            return Said(stdout=b"at last")
        case ["much", kibibytes]:
            return Said(stdout=bytes(range(256)) * 4 * int(kibibytes))
        case ["environment", name]:
            return Said(stdout=running.asked.environment.get(name, "").encode())
    return None


@dataclass
class Disk:
    """What an endpoint of PowerShell knows: two scripts, and those by which pypsrp's Client copies files."""

    files: dict[str, bytes] = field(default_factory=dict)

    async def __call__(self, piped: Piped) -> Told | None:
        match piped.calls:
            case [Call(text="Invoke-Expression") as call, Call(text="Out-String")]:
                return SCRIPTS.get(str(call.argument("Command")))
            case [Call(is_script=True) as call] if call.text == get_pwsh_script("copy.ps1"):
                return self._copied(str(call.argument(None)), [one async for one in piped.objects()])
            case [Call(is_script=True) as call] if call.text == get_pwsh_script("fetch.ps1"):
                return self._fetched(str(call.argument(None)))
        return None

    def _copied(self, path: str, pieces: list[str]) -> Told:
        data = b"".join(base64.b64decode(piece) for piece in pieces[:-1])
        if base64.b64decode(pieces[-1]).decode() != hashlib.sha1(data, usedforsecurity=False).hexdigest():
            return Told(failed=Wrong(id="Corrupt", words="the file is not what was sent"))
        self.files[path] = data
        return Told(output=[path])

    def _fetched(self, path: str) -> Told:
        if (data := self.files.get(path)) is None:
            return Told(failed=Wrong(id="PathNotFound", words=f"The path at '{path}' does not exist"))
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return Told(output=[base64.b64encode(data).decode(), digest])


SCRIPTS: Mapping[str, Told] = {
    "Get-Words": Told(output=["привет, мир", "and more"]),
    "Write-Wrong": Told(output=["before"], errors=[Wrong(id="Wrong,Write-Wrong", words="не вышло")]),
}


def windows_host(
    *schemes: str,
    limits: Limits | None = None,
    mishaps: Mishaps | None = None,
    allow_unencrypted: bool = False,
    disk: Disk | None = None,
) -> WindowsHost:
    """Return a host that lets its users in by these ways; the endpoint of PowerShell is there if it has a disk."""
    passwords = {BASIC_USER: BASIC_PASSWORD}
    doors = Doors(passwords=passwords, schemes=schemes or ("negotiate",), allow_unencrypted=allow_unencrypted)
    endpoints = {} if disk is None else {"Microsoft.PowerShell": Endpoint(program=disk)}
    return WindowsHost(program, doors=doors, endpoints=endpoints, limits=limits, mishaps=mishaps)


@contextmanager
def listening(host: WindowsHost, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Let a host listen in a thread of its own, and give its port; its loop ends with it."""
    with all_listening([host], tls) as (port,):
        yield port


@contextmanager
def all_listening(hosts: Sequence[WindowsHost], tls: ssl.SSLContext | None = None) -> Iterator[list[int]]:
    """Let hosts listen in one thread of their own, and give their ports; their loop ends with it."""
    ports: list[int] = []
    started, leave = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            ports.extend([await stack.enter_async_context(host.listening(tls)) for host in hosts])
            started.set()
            await leave.wait()

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(loop.run_until_complete, serve())
        try:
            assert started.wait(30)
            yield ports
        finally:
            loop.call_soon_threadsafe(leave.set)
            serving.result(30)  # raises what a program of a host has raised
            loop.close()


@pytest.fixture
def ntlm_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let NTLM know the one user, under each name of a domain that clients send for a local one: Go's sends the challenge's."""
    accounts = tmp_path / "ntlm-users"
    domains = ("", "WIN", "LAB", socket.gethostname().upper())
    accounts.write_text("".join(f"{domain}:{USER}:{PASSWORD}\n" for domain in domains))
    monkeypatch.setenv("NTLM_USER_FILE", str(accounts))
    monkeypatch.setenv("NETBIOS_COMPUTER_NAME", "WIN")


@dataclass(frozen=True)
class Certificates:
    """An authority, and certificates of it for the host (127.0.0.1, localhost), for another one and for the host's user."""

    folder: Path

    @property
    def authority(self) -> str:
        return str(self.folder / "lab-authority.pem")

    def file(self, name: str, kind: str = "pem") -> str:
        return str(self.folder / f"{name}.{kind}")

    def der(self, name: str) -> bytes:
        return ssl.PEM_cert_to_DER_cert((self.folder / f"{name}.pem").read_text())

    def context(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """Return what a host listens with that speaks this version only, and asks for a client's certificate."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = tls.maximum_version = version
        tls.load_cert_chain(self.file("win"), self.file("win", "key"))
        tls.load_verify_locations(self.authority)
        tls.verify_mode = ssl.CERT_OPTIONAL
        return tls


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make them."""
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.now(UTC)
    ca_key = ec.generate_private_key(ec.SECP256R1())

    def certified(name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> None:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab authority")])
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        file = name.replace(" ", "-")
        pem = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / f"{file}.pem").write_bytes(pem)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{file}.key").write_bytes(private)

    certified("lab authority", ca_key, x509.BasicConstraints(ca=True, path_length=0))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    for host in ("win", "other"):
        certified(host, ec.generate_private_key(ec.SECP256R1()), names)
    certified(USER, ec.generate_private_key(ec.SECP256R1()))
    return Certificates(folder)
