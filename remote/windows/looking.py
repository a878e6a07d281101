"""What a Windows host shows before anybody logs in: its certificate, the ways in that it names, and its clock."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from inventory.errors import Text
from inventory.host import Host
from remote.enrol import OfferedKey
from remote.errors import ConnectFailed, DeadlineExceeded, TlsRefused
from remote.host_keys import HostKey
from remote.known_hosts import Trust
from remote.ssh_errors import reason_of
from remote.threaded.worker import in_a_thread
from remote.ways import Way
from remote.windows.doors import port_of, scheme_of
from remote.windows.troubles import CutOff
from remote.windows.trust import certificate_key, comparing, pinned, shared
from remote.windows.wire import Door, Heard, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The certificate that a host showed, and whether an authority that counts vouches for it; `why` says why not."""

    key: HostKey
    verified: bool
    why: str = ""

    @property
    def offered(self) -> OfferedKey:
        """Return it as something that can be enrolled."""
        return OfferedKey(type=self.key.type, fingerprint=self.key.fingerprint, line=self.key.line, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a host answers to whoever says nothing of himself."""

    status: int
    schemes: tuple[str, ...]
    """The ways to log in that it names, hostile text."""
    ahead_s: float | None
    """By how much its clock is ahead of ours, to a second; None: it does not tell."""
    connect_ms: float


def by_https(host: Host) -> bool:
    """Tell whether a host shows a certificate."""
    return scheme_of(host) == "https"


async def shown_certificate(host: Host, *, way: Way, deadline_s: float = 15.0) -> Shown:
    """Return the certificate that a host shows; raises ConnectFailed or DeadlineExceeded. Nothing of ours is sent."""
    try:
        async with asyncio.timeout(deadline_s):
            try:
                return Shown(key=await _shown(host, way, shared(host.winrm.ca)), verified=True)
            except ssl.SSLCertVerificationError as error:
                why = getattr(error, "verify_message", "") or str(error)
                return Shown(key=await _shown(host, way, comparing()), verified=False, why=why)
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    except ssl.SSLError as error:
        reason = Text("no TLS: {reason}", reason=error.reason or str(error))
        hint = Text("compare scheme and port in the inventory: {line}", line=f"{scheme_of(host)}, {port_of(host)}")
        raise ConnectFailed(host.name, reason, hint) from error
    except OSError as error:
        raise ConnectFailed(host.name, reason_of(error)) from error


async def _shown(host: Host, way: Way, tls: ssl.SSLContext) -> HostKey:
    wire = await way.socket()
    name = host.host_key_alias or host.address.partition("%")[0]
    _, writer = await asyncio.open_connection(sock=wire, ssl=tls, server_hostname=name)
    try:
        return certificate_key(writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"")
    finally:
        writer.transport.abort()


def refusal(host: Host, shown: Shown, trust: Trust) -> TlsRefused | None:
    """Return why a certificate does not count; None: it does."""
    known = pinned(trust)
    if shown.key.blob in trust.revoked:
        return TlsRefused(host.name, "", offered=shown.key.fingerprint, revoked=True)
    if shown.key in known or (shown.verified and not known):
        return None
    return TlsRefused(
        host.name, shown.why, offered=shown.key.fingerprint if known else "", known=tuple(key.fingerprint for key in known)
    )


async def greeting(host: Host, way: Way, *, deadline_s: float = 10.0) -> Greeting:
    """Return what a host says to an empty message of nobody; raises ConnectFailed or DeadlineExceeded."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            wire = await way.socket()
            took_ms = (time.monotonic() - began) * 1000
            door = Door(host=host.address, port=port_of(host), socket=lambda: wire, tls=comparing() if by_https(host) else None)
            speaks = Wire(door)
            try:
                said = await in_a_thread("greeting", _greeted, speaks, deadline_s)
            finally:
                speaks.cut(for_good=True)  # a host that goes on and on would hold the thread
    except (TimeoutError, CutOff) as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    except http.client.HTTPException as error:
        raise ConnectFailed(host.name, Text("it does not speak {protocol}", protocol="HTTP")) from error
    except OSError as error:
        raise ConnectFailed(host.name, reason_of(error)) from error
    schemes = tuple(dict.fromkeys(one.partition(" ")[0] for one in said.challenges))
    return Greeting(status=said.status, schemes=schemes, ahead_s=_ahead_s(said.date), connect_ms=took_ms)


def _greeted(wire: Wire, deadline_s: float) -> Heard:
    wire.end = time.monotonic() + deadline_s
    try:
        wire.connect()
        return wire.greet()
    finally:
        wire.close_session()


def _ahead_s(date: str) -> float | None:
    try:
        theirs = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # the host's text: no date, or one of a zone that there is not
        return None
    return (theirs.replace(tzinfo=theirs.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
