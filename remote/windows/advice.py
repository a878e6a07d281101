"""What to do at the Windows side, from what is seen from here; each is one command for an elevated PowerShell there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from inventory.errors import Text
from inventory.host import Host, WinrmAuth
from remote.errors import AuthenticationRefused, ConnectFailed, RemoteError
from remote.windows.doors import scheme_of

if TYPE_CHECKING:
    from remote.windows.looking import Greeting

MOST_SKEW_S: Final = 300.0
"""What Kerberos lets clocks differ by (RFC 4120 1.6)."""


def _there(command: str) -> Text:
    return Text("on the host: {command}", command=command)


LISTEN: Final = _there("Enable-PSRemoting -Force")
LISTEN_HTTPS: Final = _there(
    "New-Item WSMan:\\localhost\\Listener -Transport HTTPS -Address * -CertificateThumbPrint THUMBPRINT -Force"
)
CLOCK: Final = _there("w32tm /resync /rediscover")
FILTER: Final = Text(
    "if the password is right, UAC filters the token of a local administrator: on the host: {command}",
    command="New-ItemProperty HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System"
    " -Name LocalAccountTokenFilterPolicy -Value 1 -PropertyType DWORD -Force",
)
ACCOUNT: Final = Text("compare its credential in the inventory with the accounts of the host")
PSRP: Final = Text("it is no administrator there: say “transport: psrp” of this host, or let it be one")
NO_SHELL: Final = _there("Add-LocalGroupMember -SID S-1-5-32-580 -Member USER")
"""To the group Remote Management Users, whose name is in the machine's language."""
_NEEDS: Final[Mapping[WinrmAuth, str]] = {
    WinrmAuth.NTLM: "negotiate",
    WinrmAuth.KERBEROS: "negotiate",
    WinrmAuth.BASIC: "basic",
    WinrmAuth.CREDSSP: "credssp",
}
_SWITCHES: Final[Mapping[str, Text]] = {
    "negotiate": _there("Set-Item WSMan:\\localhost\\Service\\Auth\\Negotiate $true"),
    "basic": _there("Set-Item WSMan:\\localhost\\Service\\Auth\\Basic $true"),
    "credssp": _there("Enable-WSManCredSSP -Role Server -Force"),
}
NEGOTIATE: Final = _SWITCHES["negotiate"]
SEAL: Final = _there("Set-Item WSMan:\\localhost\\Service\\AllowUnencrypted $false")
SEALING: Final = frozenset({"negotiate", "kerberos", "credssp"})
"""The ways to log in that give a key to seal messages with."""
_CERTIFICATE: Final = _there("Set-Item WSMan:\\localhost\\Service\\Auth\\Certificate $true")


def advice(error: RemoteError, host: Host, said: Greeting | None) -> Text | None:
    """Return what answers a step that failed; None where it tells all itself."""
    if isinstance(error, AuthenticationRefused):
        return _refused(error, said)
    if isinstance(error, ConnectFailed) and said is None:
        return LISTEN if scheme_of(host) == "http" else LISTEN_HTTPS
    return None


def _refused(error: AuthenticationRefused, said: Greeting | None) -> Text:
    tried = WinrmAuth(error.tried[0].partition(":")[0])
    offered = {scheme.lower() for scheme in (said.schemes if said else error.offered_methods)}
    if tried is WinrmAuth.CERTIFICATE:
        return _CERTIFICATE
    if (needed := _NEEDS[tried]) not in offered and not (tried is WinrmAuth.KERBEROS and "kerberos" in offered):
        return _SWITCHES[needed]
    if tried is WinrmAuth.KERBEROS and said and said.ahead_s is not None and abs(said.ahead_s) > MOST_SKEW_S:
        return CLOCK
    local = "\\" not in error.user and "@" not in error.user
    return FILTER if local and tried is not WinrmAuth.KERBEROS else ACCOUNT
