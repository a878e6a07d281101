"""Credentials: who to be on a host, resolved from references once per run; every password read is taught to the masker.

A credential that names no proof (`{user: root}`), and a host without any credential, are meant as `ssh` means
them: the keys of the running agent, then `~/.ssh/id_ed25519`, `id_ecdsa` and `id_rsa` as far as they exist; the
user is then the one who runs us. A default key that needs a passphrase is left to the agent.

On this machine itself (transport `local`) nobody logs in: only `sudo_password` is read, and no proof is asked for.
"""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from inventory.host import CredentialReference, Host, Transport
from inventory.secret import MASKER, Masker, Secret
from remote.errors import CredentialUnusable
from remote.secrets.asked import Ask
from remote.secrets.in_file import private_bytes
from remote.secrets.resolver import Secrets
from remote.secrets.unusable import Unusable, refuse

if TYPE_CHECKING:
    import asyncssh

DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrivateKey:
    """A private key, parsed, with the certificate beside its file, if there is one."""

    path: str
    fingerprint: str
    key: asyncssh.SSHKey
    certificate: asyncssh.SSHCertificate | None = None

    def __repr__(self) -> str:
        return f"PrivateKey({self.path}, {self.fingerprint})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credential:
    """Who to be on a host and the proofs to offer, in the order: agent first if `agent_first`, keys, agent, password."""

    name: str
    user: str
    keys: tuple[PrivateKey, ...] = ()
    use_agent: bool = False
    agent_first: bool = False
    password: Secret | None = None
    sudo_password: Secret | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What has to be resolved for a host: its reference, and whether nobody logs in there."""

    reference: CredentialReference | None
    here: bool

    @classmethod
    def by(cls, host: Host) -> _Wanted:
        return cls(host.credential, host.transport is Transport.LOCAL)


class CredentialStore:
    """Resolves the credential references of a run, each once; hosts that share one share the answer."""

    def __init__(self, ask: Ask | None = None, *, masker: Masker = MASKER) -> None:
        self._secrets = Secrets(ask, masker=masker)
        self._resolved: dict[_Wanted, Credential | Unusable] = {}
        self._one_at_a_time = asyncio.Lock()

    def prepare(self, hosts: Iterable[Host]) -> None:
        """Resolve what the hosts name before a run begins, so that no prompt falls into a live table.

        What cannot be used is told by `resolve`, host by host.
        """
        for wanted in dict.fromkeys(_Wanted.by(one) for host in hosts for one in way_to(host)):
            if wanted not in self._resolved:
                self._resolved[wanted] = self._read(wanted)

    async def resolve(self, host: Host) -> Credential:
        """Return the credential of a host, or raise CredentialUnusable; read and asked for once, then remembered."""
        wanted = _Wanted.by(host)
        if wanted not in self._resolved:
            async with self._one_at_a_time:  # a person is asked one thing at a time
                if wanted not in self._resolved:
                    self._resolved[wanted] = await asyncio.to_thread(self._read, wanted)
        match self._resolved[wanted]:
            case Unusable() as unusable:
                name = wanted.reference.name if wanted.reference else "default"
                raise CredentialUnusable(host.name, name, unusable.reason)
            case credential:
                return credential

    def _read(self, wanted: _Wanted) -> Credential | Unusable:
        try:
            return self._for_here(wanted.reference) if wanted.here else self._credential(wanted.reference)
        except Unusable as unusable:
            return unusable

    def _for_here(self, reference: CredentialReference | None) -> Credential:
        if reference is None:
            return Credential(name="default", user=_login_user())
        sudo_password = self._secrets.line(reference.sudo_password) if reference.sudo_password else None
        return Credential(name=reference.name, user=reference.user, sudo_password=sudo_password)

    def _credential(self, reference: CredentialReference | None) -> Credential:
        if reference is None:
            return _like_ssh("default", _login_user())
        sudo_password = self._secrets.line(reference.sudo_password) if reference.sudo_password else None
        if reference.key is None and reference.password is None and not reference.agent:
            return _like_ssh(reference.name, reference.user, sudo_password)
        agent = reference.agent and "SSH_AUTH_SOCK" in os.environ
        if reference.agent and not agent and reference.key is None and reference.password is None:
            refuse(Text("no SSH agent is running (SSH_AUTH_SOCK is not set)"))
        return Credential(
            name=reference.name,
            user=reference.user,
            keys=self._keys(reference, reference.key, agent=agent) if reference.key else (),
            use_agent=agent,
            password=self._secrets.get(reference.password) if reference.password else None,
            sudo_password=sudo_password,
        )

    def _keys(self, reference: CredentialReference, path: str, *, agent: bool) -> tuple[PrivateKey, ...]:
        passphrase = self._secrets.get(reference.passphrase) if reference.passphrase else None
        try:
            return (private_key(Path(path).expanduser(), passphrase),)
        except NeedsPassphrase:
            if agent:  # the agent holds it unlocked
                return ()
            raise


def way_to(host: Host) -> Iterator[Host]:
    """Yield a host and those that it is reached through, the nearest to it first."""
    one: Host | None = host
    while one is not None:
        yield one
        one = one.via


class NeedsPassphrase(Unusable):
    """A private key that is encrypted, and no passphrase for it."""


def private_key(path: Path, passphrase: Secret | None = None) -> PrivateKey:
    """Return the private key in a file (and the certificate in `PATH-cert.pub`), or raise Unusable.

    Like `ssh` it refuses a key that others can read.
    """
    from remote.ssh_library import asyncssh

    data = private_bytes(path)
    try:
        key = asyncssh.import_private_key(data, passphrase.reveal() if passphrase else None)
    except asyncssh.KeyImportError as error:
        if passphrase is None and "assphrase" in str(error):
            raise NeedsPassphrase(Text("{path} needs a passphrase, and none is named", path=path)) from error
        raise Unusable(Text("{path} is not a private key that can be read: {reason}", path=path, reason=str(error))) from error
    except asyncssh.KeyEncryptionError as error:
        raise Unusable(Text("{path} cannot be decrypted: {reason}", path=path, reason=str(error))) from error
    return PrivateKey(path=str(path), fingerprint=key.get_fingerprint(), key=key, certificate=_certificate(path))


def _certificate(path: Path) -> asyncssh.SSHCertificate | None:
    from remote.ssh_library import asyncssh

    beside = path.with_name(path.name + "-cert.pub")
    try:
        return asyncssh.read_certificate(beside)
    except FileNotFoundError:
        return None
    except (asyncssh.KeyImportError, OSError) as error:
        raise Unusable(
            Text("{path} is not a certificate that can be read: {reason}", path=beside, reason=str(error))
        ) from error


def _like_ssh(name: str, user: str, sudo_password: Secret | None = None) -> Credential:
    keys: list[PrivateKey] = []
    reasons: list[str] = []
    for path in (Path("~/.ssh").expanduser() / file for file in DEFAULT_KEYS):
        if path.exists():
            try:
                keys.append(private_key(path))
            except Unusable as unusable:
                reasons.append(str(unusable))
    agent = "SSH_AUTH_SOCK" in os.environ
    if not keys and not agent:
        why = "; ".join(reasons) or f"no {', '.join(DEFAULT_KEYS)} in ~/.ssh"
        refuse(Text("nothing to offer: no SSH agent is running, {why}", why=why))
    return Credential(name=name, user=user, keys=tuple(keys), use_agent=agent, agent_first=True, sudo_password=sudo_password)


def _login_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise Unusable(Text("the login user is not known: {reason}", reason=str(error))) from error
