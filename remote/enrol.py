"""First contact: the keys a host offers, for a person to compare before they are trusted.

One connection per kind of key, side by side, cut after the key exchange: no user name and no proof is sent.
Each key was proved by the host (it signed the exchange); whose host it is only a fingerprint from elsewhere tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from inventory.errors import Text
from inventory.host import METHODS, Host, SshLibrary
from remote.errors import AlgorithmsRefused, ConnectFailed, DeadlineExceeded
from remote.host_keys import HostKey
from remote.host_proof import HostProof, proof_of
from remote.known_hosts import KnownHosts, Taken, Trust
from remote.ssh_errors import reason_of
from remote.ssh_facts import lacking, proposals
from remote.ssh_intake import Intake
from remote.ssh_library import asyncssh
from remote.ssh_options import (
    CERTIFICATE_ALGORITHMS,
    PORT,
    algorithm_options,
    asking_options,
    host_key_algorithms,
    host_key_kinds,
    login_options,
)
from remote.ways import Direct, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedKey:
    """A key that a host proved to hold; `key` is what `KnownHosts.add` takes."""

    type: str
    fingerprint: str
    line: str
    key: HostKey


NEW, KNOWN, CHANGED, REVOKED = "new", "known", "changed", "revoked"
WRONG, UNSEEN = "not the expected one", "not reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one host showed, and what that means beside what we know and expect."""

    host: Host
    state: str
    keys: tuple[HostKey, ...] = ()
    error: str = ""


def judged(offered: Sequence[OfferedKey], trust: Trust, expected: str | None) -> Offer:
    """Return what the offered keys mean beside what is known and revoked, and the expected fingerprint.

    Revoked ones are marked as such. A host that shows one, and none that is known, is not trusted for any other key: which
    of them it should have, only the expected fingerprint tells.
    """
    keys = tuple(replace(offer.key, revoked=offer.key.blob in trust.revoked) for offer in offered)
    if expected is not None:
        keys = tuple(key for key in keys if key.fingerprint == expected) or keys
        if keys[0].fingerprint != expected:
            return Offer(host=trust.host, state=WRONG, keys=keys)
    if set(keys) & set(trust.keys):
        return Offer(host=trust.host, state=KNOWN, keys=keys)
    if revoked := tuple(key for key in keys if key.revoked):
        return Offer(host=trust.host, state=REVOKED, keys=revoked)
    return Offer(host=trust.host, state=CHANGED if trust.keys else NEW, keys=keys)


def vouched(offers: Iterable[Offer], expected: Mapping[str, str]) -> bool:
    """Tell whether somebody said beforehand which key each of these hosts shows, so that nobody has to be asked."""
    return set(expected) >= {offer.host.name for offer in offers}


def keep(known: KnownHosts, offers: Iterable[Offer]) -> None:
    """Write the offered keys in one step; those of a changed host replace what was known."""
    known.take([Taken(host=offer.host, keys=offer.keys, anew=offer.state == CHANGED) for offer in offers])


async def offered_keys(host: Host, *, deadline_s: float = 15.0, way: Way | None = None) -> tuple[OfferedKey, ...]:
    """Return every key the host offers, asked by the way that leads there; or raise ConnectFailed or
    DeadlineExceeded.

    A host may offer one key of each kind; kinds that it does not have are left out. It is asked by the library that its
    inventory names.
    """
    way = way or Direct(host)
    if host.ssh.library is not SshLibrary.PARAMIKO:
        try:
            return await _by_asyncssh(host, deadline_s, way)
        except ConnectFailed as error:
            if host.ssh.library is not SshLibrary.EITHER or not error.not_spoken:
                raise
    from remote.threaded.enrol import keys_of

    return tuple(_offered(blob) for blob in await keys_of(host, way, deadline_s))


async def _by_asyncssh(host: Host, deadline_s: float, way: Way) -> tuple[OfferedKey, ...]:
    kinds = host_key_kinds(host.ssh.old_algorithms).values()
    intakes = [Intake(way) for _ in kinds]
    try:
        async with asyncio.timeout(deadline_s):
            answers = await asyncio.gather(*(_key_of(host, *one) for one in zip(kinds, intakes, strict=True)))
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    if keys := tuple(answer for answer in answers if isinstance(answer, OfferedKey)):
        return keys
    if offered := _without_ours(host, intakes):
        raise AlgorithmsRefused(host.name, offered)
    if failed := next((answer for answer in answers if isinstance(answer, ConnectFailed)), None):
        raise failed
    reasons = dict.fromkeys(answer for answer in answers if isinstance(answer, str))
    raise ConnectFailed(host.name, "; ".join(reasons) or Text("the host offers no kind of key that is accepted"))


class _Glance(asyncssh.SSHClient):
    """Looks at what a host shows of itself, and goes no further."""

    shown: bytes | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        def seen(key_data: bytes) -> asyncssh.SSHKey:
            self.shown = key_data
            raise asyncssh.HostKeyNotVerifiable("seen")

        conn.validate_server_host_key = seen  # type: ignore[method-assign]


async def offered_certificate(host: Host, *, deadline_s: float = 15.0, way: Way | None = None) -> bytes | None:
    """Return the wire form of the certificate that a host shows, None if it has none; raises as `offered_keys` does.

    Like `offered_keys` it sends nothing. Whether the host holds the key of the certificate is seen at the login.
    """
    glance, old = _Glance(), host.ssh.old_algorithms
    options = login_options("nobody", methods=METHODS, known_types=frozenset(), certificates=True, old=old)
    options = asyncssh.SSHClientConnectionOptions(options, server_host_key_algs=CERTIFICATE_ALGORITHMS)
    try:
        async with asyncio.timeout(deadline_s):
            intake = Intake(way or Direct(host))
            await asyncssh.connect(
                host.address, host.port or PORT, options=options, tunnel=intake, client_factory=lambda: glance
            )
    except asyncssh.KeyExchangeFailed as error:
        if "host key" in error.reason:
            return None
        raise ConnectFailed(host.name, error.reason) from error
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    except asyncssh.HostKeyNotVerifiable:
        return glance.shown
    except (asyncssh.Error, OSError, ValueError, LookupError) as error:
        raise ConnectFailed(host.name, reason_of(error)) from error
    raise AssertionError("a host was trusted that nobody looked at")


async def certified(trust: Trust, *, deadline_s: float = 15.0, way: Way | None = None) -> HostProof | None:
    """Return what the certificate that a host shows is worth; None where no authority is trusted for it, or it shows none.

    Raises as `offered_keys` does.
    """
    host = trust.host
    blob = await offered_certificate(host, deadline_s=deadline_s, way=way) if trust.authorities else None
    try:
        return None if blob is None else proof_of(blob, trust)
    except ValueError as error:
        raise ConnectFailed(host.name, Text("the host key cannot be used: {reason}", reason=str(error))) from error


def _without_ours(host: Host, intakes: Iterable[Intake]) -> Mapping[str, tuple[str, ...]]:
    """Return by kind what the host offers where it offers nothing that we take, all our kinds of keys together."""
    both = next((found for one in intakes if one.connection and (found := proposals(one.connection))), None)
    if both is None:
        return {}
    ours, theirs = both
    return lacking(replace(ours, host_keys=host_key_algorithms(frozenset(), host.ssh.old_algorithms)), theirs)


async def _key_of(host: Host, algorithms: tuple[str, ...], intake: Intake) -> OfferedKey | ConnectFailed | str | None:
    """Return the key that the host proves with these algorithms; None if it has none; else what went wrong."""
    try:
        key = await asyncssh.get_server_host_key(
            host.address,
            host.port or PORT,
            tunnel=intake,  # type: ignore[arg-type]  # it makes what asyncssh wants, without its channel types
            server_host_key_algs=algorithms,
            kex_algs=algorithm_options(host.ssh.old_algorithms)["kex_algs"],  # it has a default that goes before the options
            options=asking_options(host.ssh.old_algorithms),
            config=None,
            client_version="longarm",
        )
    except ConnectFailed as error:  # of the way to the host
        return error
    except asyncssh.KeyExchangeFailed as error:
        return None if "host key" in error.reason else error.reason
    except (asyncssh.Error, OSError, ValueError, LookupError) as error:
        return reason_of(error)
    return None if key is None else _offered(key.public_data)


def _offered(blob: bytes) -> OfferedKey:
    offered = HostKey.of(blob)
    return OfferedKey(type=offered.type, fingerprint=offered.fingerprint, line=offered.line, key=offered)
