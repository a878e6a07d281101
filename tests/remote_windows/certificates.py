"""Certificates for practice Windows hosts and their users."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    @property
    def der(self) -> bytes:
        """Return the certificate as it goes over the wire."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority of the lab."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    name: str = "lab authority"

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """Return a new one, with its certificate in `ca.pem`."""
        authority = cls(folder=folder, key=ec.generate_private_key(ec.SECP256R1()))
        authority._write("ca", authority.name, authority.key, x509.BasicConstraints(ca=True, path_length=0))
        return authority

    @property
    def file(self) -> Path:
        """Return the file with its certificate."""
        return self.folder / "ca.pem"

    def certified(self, file: str, name: str, address: str = "") -> Paper:
        """Return a certificate for a name, and for an address if there is one."""
        more = [x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])] if address else []
        return self._write(file, name, ec.generate_private_key(ec.SECP256R1()), *more)

    def _write(self, file: str, name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> Paper:
        now = datetime.now(UTC)

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder(named(self.name), named(name), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        paper = Paper(certificate=self.folder / f"{file}.pem", key=self.folder / f"{file}.key")
        paper.certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        paper.key.write_bytes(key.private_bytes(*form))
        return paper

    def server_context(self, paper: Paper) -> ssl.SSLContext:
        """Return what a host listens with that shows a certificate and takes those of users."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(paper.certificate, paper.key)
        tls.load_verify_locations(self.file)
        tls.verify_mode = ssl.CERT_OPTIONAL
        return tls
