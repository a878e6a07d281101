"""The one place that decides whether a host is the one that the inventory means: by a key that is known, or by a certificate.

A certificate counts if an authority that is trusted for this host signed it, for this host, for now; names are those that
the inventory gives it: its own, its address, its alias. One that does not count is refused, unless the key that it is
for is known by itself, as with OpenSSH.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from inventory.errors import Text
from inventory.host import Host
from remote.certificates import FOREVER, HOST, Certificate, is_certificate, moment
from remote.host_keys import HostKey
from remote.known_hosts import Trust
from remote.ssh_library import asyncssh


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProof:
    """How a host showed who it is; `wrong` says why that is not enough, None where it is."""

    key: HostKey
    """The key that it holds."""
    trusted: bool
    certificate: Certificate | None = None
    """What it showed of an authority, None for a bare key."""
    by_certificate: bool = False
    """Whether it is the certificate that is trusted, not the key itself."""
    wrong: Text | None = None
    """What is wrong with its certificate."""

    @property
    def told(self) -> str:
        """Return the certificate that is trusted in a few words, hostile text among them; empty where it is the key."""
        if not self.by_certificate or self.certificate is None:
            return ""
        one = self.certificate
        end = f", < {moment(one.valid_before_s)}" if one.valid_before_s != FOREVER else ""
        return f"“{one.key_id[:80]}”, {one.authority.fingerprint}{end}"


def names_of(host: Host) -> tuple[str, ...]:
    """Return the names that a certificate of this host may be for, in lower case."""
    return tuple(dict.fromkeys(name.lower() for name in (host.name, host.address, host.host_key_alias) if name))


def proof_of(blob: bytes, trust: Trust) -> HostProof:
    """Return what the key or certificate that a host showed is worth; ValueError if it cannot even be read."""
    if not is_certificate(blob):
        shown = HostKey.of(blob)
        revoked = shown.blob in trust.revoked
        key = HostKey.of(blob, revoked=revoked)
        return HostProof(key=key, trusted=not revoked and shown in trust.keys)
    certificate = Certificate.of(blob)
    key, wrong = certificate.key, _wrong(blob, certificate, trust)
    revoked = key.blob in trust.revoked
    known = not revoked and key in trust.keys
    return HostProof(
        key=HostKey.of(key.blob, revoked=revoked),
        trusted=wrong is None or known,
        certificate=certificate,
        by_certificate=wrong is None,
        wrong=None if known else wrong,
    )


def public_key(proof: HostProof) -> asyncssh.SSHKey:
    """Return the key of a host, to see by it whether the key exchange was signed with it."""
    return asyncssh.import_public_key(proof.key.line)


def _wrong(blob: bytes, certificate: Certificate, trust: Trust) -> Text | None:
    """Return why a certificate does not count, None if it does; its signature is looked at last, since that costs most."""
    authority, host = certificate.authority, trust.host
    if authority.blob in trust.revoked:
        return Text("its authority {authority} is revoked", authority=authority.fingerprint)
    if certificate.key.blob in trust.revoked:
        return Text("its key {key} is revoked", key=certificate.key.fingerprint)
    if authority.blob not in {one.blob for one in trust.authorities}:
        return Text("its authority {authority} is not trusted for {host}", authority=authority.fingerprint, host=host.name)
    if certificate.kind != HOST:
        return Text("it is for a user, not for a host")
    if certificate.weak:
        return Text("it is signed with SHA-1")
    if certificate.critical:  # none is defined for hosts
        return Text("it has options that are not known here: {options}", options=", ".join(certificate.critical)[:80])
    names = names_of(host)
    if not set(names) & {principal.lower() for principal in certificate.principals}:
        others = ", ".join(principal[:80] for principal in certificate.principals[:5]) or "–"
        return Text("it is for {others}, not for {names}", others=others, names=", ".join(names))
    return certificate.out_of_time(time.time()) or _unsigned(blob)


def _unsigned(blob: bytes) -> Text | None:
    kind = HostKey.of(blob).type
    try:
        asyncssh.import_certificate(f"{kind} {base64.b64encode(blob).decode()}")
    except asyncssh.KeyImportError as error:
        return Text("it is not signed as it says: {reason}", reason=str(error))
    return None
