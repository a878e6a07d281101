"""Secrets in the KV engine of a HashiCorp Vault (or OpenBao), over its HTTP API and the one guarded client.

The paths and answers are those of the API documentation of Vault 1.15 (KV version 1 and 2, AppRole); a token is read only when
a secret is first wanted, known to the masker, and stands in a header alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import quote

from inventory.egress import Egress, EgressFailed
from inventory.errors import Text
from inventory.host import SecretReference
from inventory.secret import Masker, Secret
from inventory.secret_stores import VaultServer, is_plain_path
from inventory.secrets.unusable import Unusable, refuse

_LARGEST = 1024 * 1024
_TRIES = 1  # a sealed vault answers as a busy server does, and stays sealed until a person comes


class VaultStore:
    """`{STORE: web/db#password}`: a field of the secret at a path of the engine."""

    def __init__(self, declared: VaultServer, resolve: Callable[[SecretReference], Secret], masker: Masker) -> None:
        self._declared, self._resolve, self._masker = declared, resolve, masker
        self._token: Secret | None = None

    def read(self, entry: str) -> str:
        """Return a field, as text."""
        path, _, field = entry.rpartition("#")
        path = path.strip("/")
        if not field or not path or not is_plain_path(path):
            refuse(
                Text("“{entry}” is no place in a vault", entry=entry), Text("write it as {example}", example="web/db#password")
            )
        data = "data/" if self._declared.version == 2 else ""
        answer = self._asked(f"/v1/{_quoted(self._declared.mount)}/{data}{_quoted(path)}", path)
        found = answer.get("data")
        if self._declared.version == 2 and isinstance(found, dict):
            found = found.get("data")
        if not isinstance(found, dict):
            self._refuse_nothing(path)
        value = found.get(field)
        if not isinstance(value, str) or not value:
            refuse(
                Text("{path} in {store} has no text in the field {field}", path=path, store=self._declared.name, field=field)
            )
        return value

    def _asked(self, url: str, path: str) -> Mapping[str, Any]:
        client = self._client({"X-Vault-Token": self._current_token().reveal()})
        try:
            return self._document(client.get(url))
        except EgressFailed as error:
            self._explain(error, path)

    def _current_token(self) -> Secret:
        if self._token is None:
            self._token = self._resolve(self._declared.token) if self._declared.token else self._logged_in()
            if not self._token.reveal().isascii() or not self._token.reveal().isprintable():
                refuse(Text("what {where} holds is no token", where=self._declared.token or self._declared.name))
        return self._token

    def _logged_in(self) -> Secret:
        """Return the token that an application gets for its role."""
        declared = self._declared
        assert declared.secret_id is not None  # it was declared, else there is a token
        proof = {"role_id": declared.role_id, "secret_id": self._resolve(declared.secret_id).reveal()}
        try:
            answer = self._document(
                self._client({}).post(f"/v1/auth/{_quoted(declared.login)}/login", json.dumps(proof).encode())
            )
        except EgressFailed as error:
            if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN):
                text = Text("{host} does not let this role in ({status})", host=declared.origin.host, status=error.status)
                raise Unusable(text, Text("a secret_id may have expired, or be used up")) from error
            self._explain(error, f"auth/{declared.login}")
        auth = answer.get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(token, str) or not token:
            self._refuse_form()
        secret = Secret(token)
        self._masker.learn(secret)
        return secret

    def _client(self, headers: Mapping[str, str]) -> Egress:
        declared = self._declared
        namespace = {"X-Vault-Namespace": declared.namespace} if declared.namespace else {}
        return Egress(
            origin=declared.origin,
            headers={"X-Vault-Request": "true", **namespace, **headers},
            ca=declared.ca,
            deadline_s=declared.deadline_s,
            max_bytes=_LARGEST,
            most_tries=_TRIES,
        )

    def _document(self, body: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        return document if isinstance(document, dict) else self._refuse_form()

    def _refuse_form(self) -> NoReturn:
        text = Text("{host} does not answer as Vault does", host=self._declared.origin.host)
        refuse(text, Text("is the address that of Vault itself, without /v1?"))

    def _refuse_nothing(self, path: str) -> NoReturn:
        text = Text("{store} holds nothing at {path}", store=self._declared.name, path=path)
        refuse(text, Text("is the engine mounted at “{mount}”, and of version {version}?", **self._engine()))

    def _engine(self) -> dict[str, object]:
        return {"mount": self._declared.mount, "version": self._declared.version}

    def _explain(self, error: EgressFailed, path: str) -> NoReturn:
        host = self._declared.origin.host
        if error.status == HTTPStatus.NOT_FOUND:
            self._refuse_nothing(path)
        if error.status == HTTPStatus.FORBIDDEN:
            text = Text("{host} refuses the token for {path} (403)", host=host, path=path)
            raise Unusable(text, Text("has it expired, and does its policy allow to read there?")) from error
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unusable(Text("{host} is sealed, or under maintenance (503)", host=host)) from error
        raise Unusable(error.text, error.hint) from error


def _quoted(path: str) -> str:
    return quote(path, safe="/")
