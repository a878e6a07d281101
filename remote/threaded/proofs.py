"""Proofs that `Login` hands out, as paramiko takes them; no key leaves asyncssh's hands, or the agent's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.threaded.library import paramiko
from remote.threaded.worker import Home

_CERTIFICATE = "-cert-v01@openssh.com"


@dataclass(frozen=True, slots=True)
class _Blob:
    key_type: str
    key_blob: bytes


class Key(paramiko.PKey):  # type: ignore[misc]  # paramiko says nothing of its types
    """A key pair of asyncssh's that signs when paramiko asks for it."""

    def __init__(self, pair: asyncssh.SSHKeyPair, home: Home) -> None:
        self._pair, self._home = pair, home
        length = int.from_bytes(pair.public_data[:4], "big")
        self.public_blob = _Blob(pair.public_data[4 : 4 + length].decode("ascii"), pair.public_data)

    def get_name(self) -> str:
        """Return the type of the key, or of its certificate."""
        return self.public_blob.key_type

    def asbytes(self) -> bytes:
        """Return the wire form of the key, or of its certificate."""
        return self.public_blob.key_blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:
        """Return the signature, which an agent may take its time for; called in the connection's thread."""
        if algorithm is not None and algorithm.startswith("rsa-"):
            self._pair.set_sig_algorithm(algorithm.removesuffix(_CERTIFICATE).encode())
        return self._home.result_of(self._signed(data))

    async def _signed(self, data: bytes) -> bytes:
        by_agent = getattr(self._pair, "sign_async", None)
        return bytes(await by_agent(data) if by_agent is not None else self._pair.sign(data))


class AsksAgain(paramiko.AuthenticationException):  # type: ignore[misc]  # paramiko says nothing of its types
    """A host that goes on asking when it has been told that there is no answer."""


class Challenges:
    """Answers keyboard-interactive as `Login` does."""

    def __init__(self, login: Login, home: Home) -> None:
        self._login, self._home = login, home
        self.declined = False
        """There was no answer: the method is over for us, whatever the host makes of it."""

    def __call__(self, name: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """Return the answers, none where we have none; a host that asks on after that is left."""
        if self.declined:
            raise AsksAgain("it asks again after no answer")
        answers = self._home.result_of(self._login.kbdint_challenge_received(name, instructions, "", prompts))
        self.declined = answers is None
        return answers or []
