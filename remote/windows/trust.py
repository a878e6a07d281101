"""Which certificate a Windows host may show: one that was enrolled under its inventory name, or one of a trusted authority.

An enrolled certificate stands in longarm's known_hosts as a key of the kind `x509-certificate`: most Windows hosts have
certificates that they signed themselves.
"""

from __future__ import annotations

import hashlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

from remote.host_keys import CERTIFICATE, HostKey
from remote.known_hosts import Trust

_DIGEST: Final = hashlib.sha256().digest_size


def certificate_key(der: bytes) -> HostKey:
    """Return a certificate as known_hosts keeps it: by its SHA-256, which is its fingerprint.

    >>> certificate_key(b"").fingerprint
    'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    name, digest = CERTIFICATE.encode(), hashlib.sha256(der).digest()
    return HostKey.of(len(name).to_bytes(4, "big") + name + len(digest).to_bytes(4, "big") + digest)


def pinned(trust: Trust) -> tuple[HostKey, ...]:
    """Return the certificates that were enrolled for a host."""
    return tuple(key for key in trust.keys if key.type == CERTIFICATE)


def verifying(ca: str | None) -> ssl.SSLContext:
    """Return what verifies hosts by the authorities of a file, or by the system's; OSError where they cannot be read.

    The environment (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) has no say.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        context.load_verify_locations(cafile=str(Path(ca).expanduser()))
        return context
    paths = ssl.get_default_verify_paths()
    if Path(paths.openssl_cafile).is_file():
        context.load_verify_locations(cafile=paths.openssl_cafile)
    if Path(paths.openssl_capath).is_dir():
        context.load_verify_locations(capath=paths.openssl_capath)
    return context


shared = lru_cache(maxsize=16)(verifying)
"""The same for all hosts that need nothing else: loading the system's authorities takes 20 ms."""


def comparing() -> ssl.SSLContext:
    """Return what takes any certificate: whoever uses it compares that with the enrolled ones before anything is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
