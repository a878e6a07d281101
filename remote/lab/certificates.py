"""Certificates of practice Windows hosts and of the trainee: signed by themselves, made for one lab and gone with it."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_VALID_DAYS = 365


def make_certificate(name: str, path: Path) -> bytes:
    """Write a new key and its certificate for a name to one file that only its owner reads, and return the latter in DER."""
    key, moment = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(named, named, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(moment - timedelta(hours=1)).not_valid_after(moment + timedelta(days=_VALID_DAYS))
    certificate = builder.sign(key, hashes.SHA256())
    with open(path, "xb", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.write(certificate.public_bytes(Encoding.PEM))
    return certificate.public_bytes(Encoding.DER)


def server_side(own: Path, trainee: Path) -> ssl.SSLContext:
    """Return what a practice host listens with: it shows its own certificate and takes the trainee's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    context.load_verify_locations(trainee)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
