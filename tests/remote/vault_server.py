"""A real HTTP server that speaks the part of Vault's API that is documented for KV and AppRole, written by hand (1.15)."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN, ROLE, SECRET_ID, ISSUED = "hvs.CAESIJtokentokentoken", "role-4f2c", "2f0f3a5e-secret-id", "hvs.CAESIissuedissued"
_MEANT = {"request_id": "2c0b", "lease_id": "", "renewable": False, "lease_duration": 2764800, "wrap_info": None, "auth": None}


@dataclass
class Vault:
    """What the server keeps, by full path of the API, and what it was asked."""

    kept: dict[str, Any] = field(default_factory=dict)
    namespace: str | None = None
    answers: tuple[int, bytes] | None = None
    """What it answers to everything, where it misbehaves."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def keep(self, mount: str, path: str, values: dict[str, Any], version: int = 2) -> None:
        """Keep a secret as `vault kv put` does."""
        if version == 1:
            self.kept[f"/v1/{mount}/{path}"] = values
        else:
            metadata = {"created_time": "2026-11-01T00:00:00Z", "deletion_time": "", "destroyed": False, "version": 1}
            self.kept[f"/v1/{mount}/data/{path}"] = {"data": values, "metadata": metadata}


class _Handler(BaseHTTPRequestHandler):
    vault: Vault

    def do_GET(self) -> None:
        self.vault.asked.append(("GET", self.path))
        if self._refused():
            return
        if self.headers.get("X-Vault-Token") not in (TOKEN, ISSUED):
            self._answer(403, {"errors": ["permission denied"]})
        elif self.path in self.vault.kept:
            self._answer(200, {**_MEANT, "data": self.vault.kept[self.path]})
        else:
            self._answer(404, {"errors": []})

    def do_POST(self) -> None:
        self.vault.asked.append(("POST", self.path))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if self.path == "/v1/auth/approle/login" and body == {"role_id": ROLE, "secret_id": SECRET_ID}:
            self._answer(200, {**_MEANT, "data": None, "auth": {"client_token": ISSUED, "policies": ["default"]}})
        else:
            self._answer(400, {"errors": ["invalid role or secret ID"]})

    def _refused(self) -> bool:
        if self.vault.answers is not None:
            self._answer(*self.vault.answers)
            return True
        if self.headers.get("X-Vault-Namespace") != self.vault.namespace or self.headers.get("X-Vault-Request") != "true":
            self._answer(404, {"errors": ["no handler for route"]})
            return True
        return False

    def _answer(self, status: int, document: object) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


class VaultServing:
    """The server of one test, on loopback."""

    def __init__(self, vault: Vault) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"vault": vault}))
        self._server.daemon_threads = True
        vault.url = f"http://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
