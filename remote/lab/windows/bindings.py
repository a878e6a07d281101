"""Channel bindings: what ties a login to the TLS connection that it came over, so that nobody can carry it to another one."""

from __future__ import annotations

import struct
from enum import Enum
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from spnego.channel_bindings import GssChannelBindings

_AUTHENTICATE: Final = b"NTLMSSP\0\3\0\0\0"
_RESPONSE_AT: Final = 20
"""Where an AUTHENTICATE message says how long its NtChallengeResponse is, and where it stands (MS-NLMP 2.2.1.3)."""
_PAIRS_AT: Final = 44
"""Where the pairs of an NTLMv2 response begin (MS-NLMP 2.2.2.7, 2.2.2.8)."""
_BINDINGS: Final = 10
"""MsvAvChannelBindings (MS-NLMP 2.2.2.1)."""


class Hardening(Enum):
    """CbtHardeningLevel of winrm/config/service/auth; a machine is installed with Relaxed."""

    NONE = "None"  # bindings are not looked at
    RELAXED = "Relaxed"  # those that are sent must be right
    STRICT = "Strict"  # a login without them is refused


def bindings_for(token: bytes, certificate: bytes, hardening: Hardening) -> GssChannelBindings | None:
    """Return what the login with this token is to be bound to; None where it need not be bound to anything."""
    if hardening is Hardening.NONE or (hardening is Hardening.RELAXED and unbound(token)):
        return None
    return server_end_point(certificate)


@cache
def server_end_point(certificate: bytes) -> GssChannelBindings:
    """Return the bindings to a host's certificate, DER (RFC 5929 4.1: its own hash, SHA-256 where that is older)."""
    read = x509.load_der_x509_certificate(certificate)
    algorithm = read.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return GssChannelBindings(application_data=b"tls-server-end-point:" + read.fingerprint(algorithm))


def unbound(token: bytes) -> bool:
    """Tell whether a token is an AUTHENTICATE message of NTLM, by itself or in SPNEGO, that is bound to nothing."""
    at = token.find(_AUTHENTICATE)
    if at < 0:
        return False
    message = token[at:]
    try:
        length, _, start = struct.unpack_from("<HHI", message, _RESPONSE_AT)
        response, at = message[start : start + length], _PAIRS_AT
        while at + 4 <= len(response):
            name, size = struct.unpack_from("<HH", response, at)
            if name == _BINDINGS:
                return not any(response[at + 4 : at + 4 + size])
            at += 4 + size
    except struct.error:
        return True
    return True
