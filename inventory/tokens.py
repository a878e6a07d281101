"""The secrets that sources are asked with: read from where the inventory says, taught to the masker, never shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from inventory.errors import Place, SourceUnavailable, Text
from inventory.host import SecretReference
from inventory.secret import MASKER, Secret

_LARGEST = 64 * 1024


def token_of(reference: SecretReference, place: Place) -> Secret:
    """Return the secret behind `{env: NAME}` or `{file: PATH}`; raises SourceUnavailable."""
    text = _from_environment(reference.value, place) if reference.kind == "env" else _from_file(reference.value, place)
    if not text or not text.isprintable() or not text.isascii():
        raise SourceUnavailable(place, Text("what {where} holds is no token", where=reference.value))
    secret = Secret(text)
    MASKER.learn(secret)
    return secret


def _from_environment(name: str, place: Place) -> str:
    if name not in os.environ:
        text = Text("the environment variable {name} is not set", name=name)
        raise SourceUnavailable(place, text, Text("export {name}=…", name=name))
    return os.environ[name].strip()


def _from_file(name: str, place: Place) -> str:
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise SourceUnavailable(place, Text("others can read {path}", path=path), Text("chmod 600 {path}", path=path))
            return file.read(_LARGEST).decode("utf-8", "replace").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceUnavailable(place, Text("{path} cannot be read: {reason}", path=path, reason=reason)) from error
