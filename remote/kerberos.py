"""Kerberos (RFC 4462, gssapi-with-mic): the tickets of a credential, and what one login makes of them.

Needs the extra `longarm[kerberos]`, which is imported only where a credential asks for it. A credential that has a password
or a keytab gets a cache of its own, in memory: the user's tickets are neither used nor changed. Nothing is delegated.
"""

from __future__ import annotations

import ipaddress
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inventory.errors import Text
from inventory.host import Host, KerberosReference
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable
from remote.ssh_library import GSSError as Ended

if TYPE_CHECKING:
    import gssapi

_KRB5: Final = bytes.fromhex("06092a864886f712010202")
"""The mechanism 1.2.840.113554.1.2.2 in DER, as SSH names it."""
_DEADLINE_S: Final = 15.0
_BASE: Final = -1765328384
"""The first code of MIT's krb5_err.et."""

REASONS: Final[Mapping[int, Text]] = {
    _BASE + 1: Text("the account or its password has expired"),
    _BASE + 6: Text("the realm does not know this principal"),
    _BASE + 7: Text("the host is not in the realm, or has another name there"),
    _BASE + 18: Text("the account is locked"),
    _BASE + 23: Text("the account or its password has expired"),
    _BASE + 24: Text("the realm did not take the password or the keytab"),
    _BASE + 31: Text("the realm did not take the password or the keytab"),
    _BASE + 32: Text("the ticket has expired"),
    _BASE + 37: Text("the clocks differ too much"),
    _BASE + 141: Text("there is no ticket"),
    _BASE + 154: Text("the realm is not known: there is nothing of it in krb5.conf or in DNS"),
    _BASE + 156: Text("no KDC of the realm answered"),
    _BASE + 181: Text("the keytab has no key of this principal"),
    _BASE + 195: Text("there is no ticket"),
    _BASE + 220: Text("no KDC of the realm is known"),
}
"""What the codes of the Kerberos library mean to us (krb5_err.et); all others are told in its own words."""
_NO_TICKET: Final = REASONS[_BASE + 141]
KINIT: Final = Text("get a ticket: kinit")


def extra_installed() -> bool:
    """Tell whether the extra is installed, without importing it."""
    return find_spec("gssapi") is not None


class Tickets:
    """The tickets of one credential; hosts that share it share them."""

    def __init__(self, held: gssapi.Credentials) -> None:
        self._held = held
        self.principal = str(held.name)

    def for_login(self, host: Host, began: Callable[[], None]) -> Negotiation:
        """Return the negotiation of one login to a host; `began` is called when it goes out."""
        return Negotiation(self._held, service_of(host), began)

    def context_for(self, service: str, bound_to: bytes | None) -> gssapi.SecurityContext:
        """Return a context with a service that seals and proves both sides, bound to a TLS connection if there is one."""
        import gssapi
        from gssapi.raw import ChannelBindings

        flag = gssapi.RequirementFlag
        return gssapi.SecurityContext(
            name=gssapi.Name(service, gssapi.NameType.hostbased_service),
            creds=self._held,
            flags=flag.mutual_authentication | flag.integrity | flag.confidentiality | flag.out_of_sequence_detection,
            mech=gssapi.MechType.kerberos,
            usage="initiate",
            channel_bindings=ChannelBindings(application_data=bound_to) if bound_to else None,
        )


def service_of(host: Host, kind: str = "host") -> str:
    """Return the name that a host has in its realm: that of its address, or, where this is a number, its alias or its name.

    >>> service_of(Host(name="db1", address="db1.example.net")), service_of(Host(name="db1", address="192.0.2.1"))
    ('host@db1.example.net', 'host@db1')
    """
    try:
        ipaddress.ip_address(host.address.partition("%")[0])
    except ValueError:
        return f"{kind}@{host.address}"
    return f"{kind}@{host.host_key_alias or host.name}"


def tickets_of(reference: KerberosReference, password: Secret | None) -> Tickets:
    """Return the tickets that a reference means, or raise Unusable with the reason; waits at most 15 s for a KDC."""
    if not extra_installed():
        raise Unusable(Text("Kerberos needs the extra: pipx install 'longarm[kerberos]'"))
    if reference.keytab is not None and not Path(reference.keytab).expanduser().is_file():
        raise Unusable(Text("{path}: {reason}", path=reference.keytab, reason="No such file or directory"))
    ended: list[Tickets | Unusable] = []

    def acquire() -> None:
        try:
            ended.append(_acquired(reference, password))
        except Unusable as unusable:
            ended.append(unusable)

    thread = threading.Thread(target=acquire, name="kerberos", daemon=True)  # the library knows no deadline
    thread.start()
    thread.join(_DEADLINE_S)
    match ended:
        case [Tickets() as tickets]:
            return tickets
        case [Unusable() as unusable]:
            raise unusable
        case _:
            raise Unusable(Text("no KDC of the realm answered within {deadline_s} s", deadline_s=f"{_DEADLINE_S:g}"))


def _acquired(reference: KerberosReference, password: Secret | None) -> Tickets:
    import gssapi
    from gssapi.exceptions import ExpiredCredentialsError, GSSError
    from gssapi.raw import acquire_cred_with_password

    mechs = [gssapi.MechType.kerberos]
    try:
        name = gssapi.Name(reference.principal, gssapi.NameType.kerberos_principal) if reference.principal else None
        if password is not None:
            assert name is not None  # the inventory has seen to it
            packed = password.reveal().encode()
            held = gssapi.Credentials(acquire_cred_with_password(name, packed, usage="initiate", mechs=mechs).creds)
        else:
            held = gssapi.Credentials(name=name, usage="initiate", mechs=mechs, store=_store(reference))
        if not held.lifetime:
            raise Unusable(REASONS[_BASE + 32], KINIT)
        return Tickets(held)
    except ExpiredCredentialsError as error:
        raise Unusable(REASONS[_BASE + 32], KINIT) from error
    except GSSError as error:
        reason, asked = reason_of(error), reference.keytab is None and password is None
        if reference.keytab is not None and reason == _NO_TICKET:
            reason = REASONS[_BASE + 181]
        raise Unusable(Text("Kerberos: {reason}", reason=reason), KINIT if asked else None) from error


def _store(reference: KerberosReference) -> dict[str, str] | None:
    if reference.keytab is not None:
        keytab = str(Path(reference.keytab).expanduser())
        return {"client_keytab": f"FILE:{keytab}", "ccache": f"MEMORY:longarm-{secrets.token_hex(8)}"}
    return None if reference.ccache is None else {"ccache": reference.ccache}


def reason_of(error: gssapi.raw.GSSError) -> Text | str:
    """Return why the Kerberos library refused, in our words where there are some."""
    code = error.min_code - (1 << 32) if error.min_code >= 1 << 31 else error.min_code
    if (reason := REASONS.get(code)) is not None:
        return reason
    told = error.get_all_statuses(error.min_code, False) or error.get_all_statuses(error.maj_code, True)
    return "; ".join(told)[:300]


class Negotiation:
    """What asyncssh wants of a security context, for one login; why it failed is in `trouble`."""

    def __init__(self, held: gssapi.Credentials, service: str, began: Callable[[], None]) -> None:
        self._held, self._service, self._began = held, service, began
        self._context: gssapi.SecurityContext | None = None
        self._started = False
        self.trouble: Text | str = ""

    @property
    def mechs(self) -> Sequence[bytes]:
        """Return the one mechanism that is offered."""
        if not self._started:
            self._started = True
            self._began()
        return (_KRB5,)

    @property
    def complete(self) -> bool:
        """Whether both sides are done."""
        return self._context is not None and bool(self._context.complete)

    @property
    def provides_integrity(self) -> bool:
        """Whether the login can be signed for; without it, it is not gone on with."""
        from gssapi import RequirementFlag

        return self._context is not None and bool(self._context.actual_flags & RequirementFlag.integrity)

    def reset(self) -> None:
        """Forget the context."""
        self._context = None

    def step(self, token: bytes | None = None) -> bytes | None:
        """Return what is to be sent next; raises asyncssh's GSSError. Runs in a thread: it may ask a KDC."""
        import gssapi
        from gssapi.exceptions import GSSError

        try:
            if self._context is None:
                flags = gssapi.RequirementFlag.mutual_authentication | gssapi.RequirementFlag.integrity
                name = gssapi.Name(self._service, gssapi.NameType.hostbased_service)
                self._context = gssapi.SecurityContext(
                    name=name, creds=self._held, flags=flags, mech=gssapi.MechType.kerberos, usage="initiate"
                )
            answer = self._context.step(token)
        except GSSError as error:
            self.trouble = reason_of(error)
            raise Ended(error.maj_code, error.min_code) from error
        return None if answer is None else bytes(answer)

    def sign(self, data: bytes) -> bytes:
        """Return the signature for the login."""
        assert self._context is not None
        return bytes(self._context.get_signature(data))
