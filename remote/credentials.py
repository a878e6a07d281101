"""Credentials: who to be on a host, resolved from references once per run; every password read is taught to the masker.

A credential that names no proof (`{user: root}`), and a host without any credential, are meant as `ssh` means
them: the keys of the running agent, then `~/.ssh/id_ed25519`, `id_ecdsa` and `id_rsa` as far as they exist; the
user is then the one who runs us. A default key that needs a passphrase is left to the agent.

On this machine itself (transport `local`) nobody logs in: only the password of `become` is read, and no proof is asked for.
"""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from inventory.host import METHODS, CodeReference, CredentialReference, Host, KerberosReference, Transport, WinrmAuth
from inventory.secret import MASKER, Masker, Secret
from inventory.secrets.unusable import Unusable, refuse
from remote.errors import CredentialUnusable
from remote.one_time_codes import CodeSource, source_of
from remote.private_keys import LeftToAgent, PrivateKey, PublicKey, private_key, public_key
from remote.secrets.asked import Ask
from remote.secrets.resolver import Secrets

if TYPE_CHECKING:
    from remote.kerberos import Tickets

DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsKey:
    """The files of a certificate that proves a user by TLS, and of its key."""

    certificate: Path
    key: Path
    passphrase: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credential:
    """Who to be on a host and the proofs to offer: the keys that are named, then the agent's (`agent_first`: before them)."""

    name: str
    user: str
    keys: tuple[PrivateKey, ...] = ()
    in_agent: PublicKey | None = None
    """The key that is named and that only the agent can use."""
    use_agent: bool = False
    agent_first: bool = False
    only_named: bool = False
    """Of the agent's keys, offer only `in_agent`."""
    password: Secret | None = None
    otp: CodeSource | None = None
    tickets: Tickets | None = None
    no_tickets: str = ""
    """Why there are none, where the credential can do without."""
    tls_key: TlsKey | None = None
    """For WinRM, where `keys` are of no use."""
    methods: tuple[str, ...] = METHODS
    """The ways to log in that may be used, in this order."""
    become_password: Secret | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What has to be resolved for a host: its reference, whether nobody logs in there, and whether it is by WS-Management."""

    reference: CredentialReference | None
    here: bool
    windows: bool = False
    by_kerberos: bool = False
    """Tickets are to be had with the password where the credential says nothing of them."""

    @classmethod
    def by(cls, host: Host) -> _Wanted:
        windows = host.transport in (Transport.WINRM, Transport.PSRP)
        by_kerberos = windows and host.winrm.auth is WinrmAuth.KERBEROS
        return cls(host.credential, host.transport is Transport.LOCAL, windows, by_kerberos)

    @classmethod
    def on_the_way(cls, host: Host) -> Iterator[_Wanted]:
        """Yield what a host itself wants and what its proxy does."""
        yield cls.by(host)
        if host.via is None and host.ssh.proxy is not None and host.ssh.proxy.credential is not None:
            yield cls(host.ssh.proxy.credential, here=False)


class CredentialStore:
    """Resolves the credential references of a run, each once; hosts that share one share the answer."""

    def __init__(self, ask: Ask | None = None, *, secrets: Secrets | None = None, masker: Masker = MASKER) -> None:
        self._secrets = secrets or Secrets(ask, masker=masker)
        self._resolved: dict[_Wanted, Credential | Unusable] = {}
        self._one_at_a_time = asyncio.Lock()

    def prepare(self, hosts: Iterable[Host]) -> None:
        """Resolve what the hosts name before a run begins, so that no prompt falls into a live table.

        What cannot be used is told by `resolve`, host by host.
        """
        for wanted in dict.fromkeys(wanted for host in hosts for one in way_to(host) for wanted in _Wanted.on_the_way(one)):
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
                raise CredentialUnusable(host.name, name, unusable.text, unusable.hint)
            case credential:
                return credential

    def _read(self, wanted: _Wanted) -> Credential | Unusable:
        try:
            if wanted.windows:
                return self._for_windows(wanted.reference, by_kerberos=wanted.by_kerberos)
            return self._for_here(wanted.reference) if wanted.here else self._credential(wanted.reference)
        except Unusable as unusable:
            return unusable

    def _for_here(self, reference: CredentialReference | None) -> Credential:
        if reference is None:
            return Credential(name="default", user=_login_user())
        become_password = self._secrets.line(reference.become_password) if reference.become_password else None
        return Credential(name=reference.name, user=reference.user, become_password=become_password)

    def _for_windows(self, reference: CredentialReference | None, *, by_kerberos: bool) -> Credential:
        """Return a password, tickets or a certificate: WS-Management takes nothing else."""
        if reference is None:
            refuse(Text("a Windows host needs a credential"), Text("give it one with a password, a certificate or tickets"))
        kerberos = reference.kerberos
        if kerberos is None and by_kerberos and reference.password is not None:
            kerberos = KerberosReference(principal=reference.user, password=reference.password)
        tickets, no_tickets = self._tickets(kerberos) if kerberos else (None, "")
        found = Credential(
            name=reference.name,
            user=reference.user,
            password=self._secrets.get(reference.password) if reference.password else None,
            tickets=tickets,
            no_tickets=no_tickets,
            tls_key=self._tls_key(reference) if reference.key and reference.certificate else None,
        )
        if found.password is None and found.tickets is None and found.tls_key is None:
            refuse(Text("it has neither password nor tickets nor a certificate with its key {why}", why=no_tickets))
        return found

    def _tls_key(self, reference: CredentialReference) -> TlsKey:
        passphrase = self._secrets.get(reference.passphrase) if reference.passphrase else None
        key, certificate = Path(reference.key or "").expanduser(), Path(reference.certificate or "").expanduser()
        for path in (key, certificate):
            if not path.is_file():
                refuse(Text("{path}: {reason}", path=str(path), reason="No such file or directory"))
        return TlsKey(certificate=certificate, key=key, passphrase=passphrase)

    def _credential(self, reference: CredentialReference | None) -> Credential:
        if reference is None:
            return _like_ssh("default", _login_user())
        become_password = self._secrets.line(reference.become_password) if reference.become_password else None
        tickets, no_tickets = self._tickets(reference.kerberos) if reference.kerberos else (None, "")
        required = reference.kerberos if reference.kerberos and not reference.kerberos.optional else None
        others = reference.password or reference.otp or required
        if reference.key is None and others is None and not reference.agent:
            return replace(
                _like_ssh(reference.name, reference.user, become_password, tickets),
                no_tickets=no_tickets,
                methods=reference.methods or METHODS,
            )
        agent = reference.agent and "SSH_AUTH_SOCK" in os.environ
        if reference.agent and not agent and reference.key is None and others is None:
            refuse(Text("no SSH agent is running (SSH_AUTH_SOCK is not set)"))
        key = self._key(reference, Path(reference.key).expanduser(), agent=agent) if reference.key else None
        return Credential(
            name=reference.name,
            user=reference.user,
            keys=(key,) if isinstance(key, PrivateKey) else (),
            in_agent=key if isinstance(key, PublicKey) else None,
            use_agent=agent,
            only_named=reference.only_named,
            password=self._secrets.get(reference.password) if reference.password else None,
            otp=self._codes(reference.otp) if reference.otp else None,
            tickets=tickets,
            no_tickets=no_tickets,
            methods=reference.methods or _usual_methods(reference),
            become_password=become_password,
        )

    def _key(self, reference: CredentialReference, path: Path, *, agent: bool) -> PrivateKey | PublicKey:
        passphrase = self._secrets.get(reference.passphrase) if reference.passphrase else None
        certificate = Path(reference.certificate).expanduser() if reference.certificate else None
        if agent and (path.suffix == ".pub" or not path.exists()):
            return public_key(path, certificate)
        try:
            return private_key(path, passphrase, certificate)
        except LeftToAgent:
            if agent:  # which holds it unlocked
                return public_key(path, certificate)
            raise

    def _codes(self, reference: CodeReference) -> CodeSource:
        origin = reference.secret or reference.typed
        assert origin is not None  # the inventory has seen to it
        return source_of(reference, self._secrets.get(origin))

    def _tickets(self, reference: KerberosReference) -> tuple[Tickets | None, str]:
        """Return the tickets; where they are optional and there are none, why."""
        from remote.kerberos import tickets_of  # and with it asyncssh

        try:
            return tickets_of(reference, self._secrets.get(reference.password) if reference.password else None), ""
        except Unusable as unusable:
            if reference.optional:
                return None, str(unusable)
            raise


def _usual_methods(reference: CredentialReference) -> tuple[str, ...]:
    """Return the ways to log in, as they are tried unless the credential orders them.

    One that has codes answers questions first: PAM gives what comes as a password to the question for the code too.
    """
    if reference.otp is None:
        return METHODS
    return (*(method for method in METHODS if method != "password"), "password")


def way_to(host: Host) -> Iterator[Host]:
    """Yield a host and those that it is reached through, the nearest to it first."""
    one: Host | None = host
    while one is not None:
        yield one
        one = one.via


def _like_ssh(name: str, user: str, become_password: Secret | None = None, tickets: Tickets | None = None) -> Credential:
    keys: list[PrivateKey] = []
    reasons: list[str] = []
    for path in (Path("~/.ssh").expanduser() / file for file in DEFAULT_KEYS):
        if path.exists():
            try:
                keys.append(private_key(path))
            except Unusable as unusable:
                reasons.append(str(unusable))
    agent = "SSH_AUTH_SOCK" in os.environ
    if not keys and not agent and tickets is None:
        why = "; ".join(reasons) or f"no {', '.join(DEFAULT_KEYS)} in ~/.ssh"
        refuse(Text("nothing to offer: no SSH agent is running, {why}", why=why))
    return Credential(
        name=name,
        user=user,
        keys=tuple(keys),
        use_agent=agent,
        agent_first=True,
        tickets=tickets,
        become_password=become_password,
    )


def _login_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise Unusable(Text("the login user is not known: {reason}", reason=str(error))) from error
