"""A real HTTP server that speaks NetBox's pages, and misbehaves when told to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "0123456789abcdef0123456789abcdef01234567"
NEW_TOKEN = "nbt_9d1Jw4sKq0pZ.4ldp8sGjWmWsFmUlrVvU0Y1Pb3qXo7Tn6hRcAeZ2"
"""One of version 2 (NetBox 4.5): a key and a secret, sent as OAuth sends tokens."""
Misbehave = Callable[[BaseHTTPRequestHandler, int], bool]
"""Answers in its own way (True), or lets the server answer (False); gets the number of the request, from 1."""


@dataclass
class NetBox:
    """What the server knows and what it was asked."""

    devices: list[dict[str, Any]] = field(default_factory=list)
    machines: list[dict[str, Any]] = field(default_factory=list)
    misbehave: Misbehave | None = None
    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    url: str = ""


def device(number: int, name: str | None, **more: Any) -> dict[str, Any]:
    """Return a device in the form that NetBox documents for 4.1 (recorded ones: tests/data/inventory/netbox.json)."""
    return {
        "id": number,
        "url": f"http://netbox.invalid/api/dcim/devices/{number}/",
        "display": name or f"unnamed {number}",
        "name": name,
        "device_type": {"id": 1, "manufacturer": {"id": 1, "name": "Dell", "slug": "dell"}, "model": "R650", "slug": "r650"},
        "role": {"id": 1, "name": "Server", "slug": "server"},
        "tenant": None,
        "platform": None,
        "serial": "",
        "site": {"id": 1, "name": "Berlin", "slug": "berlin"},
        "rack": None,
        "status": {"value": "active", "label": "Active"},
        "primary_ip": None,
        "tags": [],
        "custom_fields": {},
        **more,
    }


def at(address: str) -> dict[str, Any]:
    """Return a primary IP address as NetBox nests it."""
    return {"id": 1, "family": {"value": 4, "label": "IPv4"}, "address": address}


class Handler(BaseHTTPRequestHandler):
    """Answers lists page by page."""

    netbox: NetBox

    def do_GET(self) -> None:
        netbox = self.netbox
        netbox.asked.append(self.path)
        netbox.headers.append(dict(self.headers))
        if netbox.misbehave is not None and netbox.misbehave(self, len(netbox.asked)):
            return
        if self.headers.get("Authorization") not in (f"Token {TOKEN}", f"Bearer {NEW_TOKEN}"):
            self.answer(403, {"detail": "Invalid token"})
            return
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        known = {"/api/dcim/devices/": netbox.devices, "/api/virtualization/virtual-machines/": netbox.machines}[parts.path]
        roles = query.get("role")
        things = [one for one in known if not roles or one["role"]["slug"] in roles]
        offset, limit = int(query["offset"][0]), min(int(query["limit"][0]), 50)  # MAX_PAGE_SIZE of this server
        page = things[offset : offset + limit]
        more = f"http://elsewhere.invalid/api/?offset={offset + limit}" if offset + limit < len(things) else None
        self.answer(200, {"count": len(things), "next": more, "previous": None, "results": page})

    def answer(self, status: int, document: object, **headers: str) -> bool:
        """Send a document as JSON; true, as `Misbehave` wants it."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


class Server:
    """The server of one test, on loopback."""

    def __init__(self, netbox: NetBox, certificate: Path | None = None) -> None:
        handler = type("Bound", (Handler,), {"netbox": netbox})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        netbox.url = f"{'https' if certificate else 'http'}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def certificate(folder: Path, name: str, *, days: int = 2) -> Path:
    """Write a certificate for a name that signs itself, with its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.{days}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path


def dripping(handler: BaseHTTPRequestHandler, _: int) -> bool:
    """Answer so slowly that no timeout of a single read is ever reached."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)
    return True
