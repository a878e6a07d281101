"""Hosts, what is expected of them, and the credentials they are reached with: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, Union

from inventory.errors import Place

if TYPE_CHECKING:
    from inventory.secret_stores import DeclaredStore

Value: TypeAlias = Union[bool, int, float, str, "tuple[Value, ...]", "Mapping[str, Value]", None]
"""What a variable may hold: YAML's plain values, lists as tuples, mappings read-only."""


class Transport(StrEnum):
    """How a host is reached."""

    SSH = "ssh"
    WINRM = "winrm"
    PSRP = "psrp"
    LOCAL = "local"  # this machine, without a network


class Platform(StrEnum):
    """What runs on a host, as the inventory declares it."""

    LINUX = "linux"
    WINDOWS = "windows"
    MACOS = "macos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What the inventory declares that a host should do; checks compare, they never guess."""

    services: tuple[str, ...] = ()
    """Names of services that should be active (`postgresql` means `postgresql.service`)."""
    ports: tuple[str, ...] = ()
    """Listening sockets, `5432`, `tcp/5432` or `udp/123`, normalised to `tcp/5432`."""
    names: tuple[str, ...] = ()
    """DNS names that the host should be able to resolve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Findings that somebody has accepted: they stay visible, but do not count until it expires."""

    check: str
    subject: Mapping[str, str] = field(default_factory=dict, hash=False)
    """A glob (`*`, `?`) for each name of the subject; what is not named may be anything."""
    targets: str
    """The target expression of the hosts that it is for."""
    reason: str
    owner: str
    expires_at: datetime | None = None
    """The midnight (UTC) that ends its last day; None: never."""
    place: Place | None = None
    """Where its check stands."""
    targets_place: Place | None = None

    @property
    def last_day(self) -> str | None:
        """Return the last day on which it holds, `2027-01-31`, None where it never expires."""
        return None if self.expires_at is None else (self.expires_at - timedelta(days=1)).date().isoformat()

    def holds_at(self, moment: datetime) -> bool:
        """Tell whether it has not expired yet."""
        return self.expires_at is None or moment < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """Where a secret is kept; the secret itself is never in an inventory."""

    kind: str
    """`file`, `env`, `keyring` (value `service/user`), `prompt`, `secret`, or the name of a declared store."""
    value: str
    store: DeclaredStore | None = None
    """What is declared of the store that it names; None for the kinds that need none."""
    place: Place | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """Return it as a command line names it: `keyring:longarm/ops`."""
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReference:
    """Where one-time codes come from: a shared secret (RFC 6238), or a person who types one when a run begins."""

    secret: SecretReference | None = None
    """The shared secret, base32 or an `otpauth://totp/…` address, which then says digits, period and algorithm itself."""
    typed: SecretReference | None = None
    """Of kind `prompt`: the code itself."""
    digits: int = 6
    period_s: int = 30
    algorithm: str = "SHA1"
    per_host: bool = False
    """True: each host keeps account of used codes by itself, so that one code is good for many hosts, once on each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KerberosReference:
    """Where the tickets come from: a password or a keytab, for a principal; a cache; with none of them, what `kinit` got."""

    principal: str | None = None
    password: SecretReference | None = None
    keytab: str | None = None
    """Path of a file with the principal's keys, `~` allowed."""
    ccache: str | None = None
    """A cache as Kerberos names it, such as `FILE:/run/user/1000/krb5cc`."""
    optional: bool = False
    """True: without a ticket, or without the extra, the other proofs have to do."""


METHODS = ("gssapi-with-mic", "publickey", "password", "keyboard-interactive")
"""The ways to log in that a credential may order (RFC 4252, 4256, 4462), in the order that holds without one."""


class BecomeMethod(StrEnum):
    """By which program a user becomes another one on a host."""

    SUDO = "sudo"
    DOAS = "doas"
    SU = "su"
    NONE = "none"  # by none: what needs another user is not asked


ROOT = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """How the user of the login becomes another one, and whom."""

    method: BecomeMethod = BecomeMethod.SUDO
    user: str = ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReference:
    """Who to be on a host and where the proof is kept; resolved in `remote`."""

    name: str
    user: str
    key: str | None = None
    """Path of a private key file, `~` allowed."""
    certificate: str | None = None
    """Path of a certificate for that key; None: the one beside it, `KEY-cert.pub`, if there is one."""
    passphrase: SecretReference | None = None
    agent: bool = False
    """Offer the keys of the running SSH agent."""
    only_named: bool = False
    """Of the agent's keys, offer only the one that `key` names."""
    password: SecretReference | None = None
    otp: CodeReference | None = None
    kerberos: KerberosReference | None = None
    methods: tuple[str, ...] = ()
    """The ways to log in that may be used, in this order; empty: all."""
    become_method: BecomeMethod | None = None
    become_user: str | None = None
    """Both hold where nothing is set for the host; None: not said."""
    become_password: SecretReference | None = None
    """What sudo, doas or su on the host asks for; not a proof to log in with, and all that is used on this machine itself."""
    customer: str | None = None
    """The one customer whose hosts it is for; None: those of any."""
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OldAlgorithms:
    """Algorithms that are offered only where the inventory allows it, by their names on the wire (RFC 4250 4.11)."""

    kex: tuple[str, ...] = ()
    host_keys: tuple[str, ...] = ()
    """Signatures that the host may prove its key with."""
    user_keys: tuple[str, ...] = ()
    """Signatures that we may prove the user's key with."""
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """What connects us to a host that we cannot connect to ourselves."""

    scheme: str
    """`socks5` (RFC 1928; it resolves names) or `http` (CONNECT, RFC 9110 9.3.6)."""
    host: str
    port: int
    user: str | None = None
    credential: CredentialReference | None = None
    """Whose user and password it is given; None: it asks for none."""

    @property
    def url(self) -> str:
        """Return what it is called, `socks5://proxy:1080`."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class SshLibrary(StrEnum):
    """What speaks SSH with a host."""

    ASYNCSSH = "asyncssh"
    PARAMIKO = "paramiko"
    EITHER = "either"  # asyncssh; paramiko where that one cannot speak with the host


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """What the inventory says of the SSH connection to one host; what is reached through another host needs no proxy."""

    proxy: Proxy | None = None
    proxy_command: tuple[str, ...] = ()
    """The path of an allowed program and its arguments: its stdin and stdout are the connection. Never with a `proxy`."""
    old_algorithms: OldAlgorithms = OldAlgorithms()
    library: SshLibrary = SshLibrary.ASYNCSSH


class WinrmAuth(StrEnum):
    """How one logs in by WinRM."""

    NTLM = "ntlm"
    KERBEROS = "kerberos"
    CERTIFICATE = "certificate"  # of the user, over HTTPS
    BASIC = "basic"  # over HTTPS
    CREDSSP = "credssp"  # gives the host the password itself


@dataclass(frozen=True, slots=True, kw_only=True)
class WinrmSettings:
    """What the inventory says of the WinRM connection to one host."""

    scheme: str | None = None
    """`http` or `https`; None: https, unless the port is 5985."""
    auth: WinrmAuth | None = None
    """None: what the credential has: tickets, a certificate, or a password (which is NTLM's)."""
    ca: str | None = None
    """Path of the certificates of the authorities that the host's is checked against; None: those of this system."""
    allow_credssp: bool = False
    """Whether the host may be given the password itself."""
    endpoint: str | None = None
    """The endpoint of PowerShell that psrp opens (JEA); None: Microsoft.PowerShell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One managed machine, with everything that groups gave it merged in."""

    name: str
    address: str
    port: int | None = None
    """None: the transport's own port."""
    transport: Transport = Transport.SSH
    platform: Platform = Platform.LINUX
    groups: tuple[str, ...] = ()
    """Every group it is in, parents included, sorted."""
    site: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    vars: Mapping[str, Value] = field(default_factory=dict, hash=False)
    credential: CredentialReference | None = None
    become: Become = Become()
    via: Host | None = None
    """The host that it is reached through, which may itself be reached through another."""
    host_key_alias: str | None = None
    """One more name that a certificate of this host may be for, beside its name and its address."""
    ssh: SshSettings = SshSettings()
    winrm: WinrmSettings = WinrmSettings()
    expect: Expectations = Expectations()
    places: Mapping[str, Place] = field(default_factory=dict, hash=False, compare=False, repr=False)
    """Where the thresholds of its variables are set, by `check` and `check.name`."""
    origins: Mapping[str, Place] = field(default_factory=dict, hash=False, compare=False, repr=False)
    """Where each value that holds was set: `site`, `vars.role`, `tags.nightly`, `ports.tcp/80`."""
    address_place: Place | None = field(default=None, hash=False, compare=False, repr=False)
    """Where its address was set; None: it is reached by its name."""
    waivers: tuple[Waiver, ...] = ()
    """Those whose targets it is among, in the order of the files."""
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The hosts that a target expression chose, in inventory order; never empty."""

    expression: str
    hosts: tuple[Host, ...]
