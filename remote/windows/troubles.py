"""What goes wrong when we speak WS-Management, in our words: one table of exceptions, one of the numbers of Windows.

Nothing is told by text: what Windows says is in the machine's language.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from winrm.exceptions import (
    AuthenticationError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from inventory.errors import Text
from remote.errors import RemoteError
from remote.windows.envelopes import HostileXml
from remote.windows.negotiation import BadSeal, NoContext, NotSealed

ACCESS_DENIED: Final = 5
ACCESS_DENIED_HRESULT: Final = 0x80070005
BUSY: Final = 170
OPERATION_TIMEOUT: Final = 0x80338029
SHELL_NOT_FOUND: Final = 0x8033805B
PIPE_ENDED: Final = 109
ENDED: Final = 995
"""ERROR_OPERATION_ABORTED (winerror.h): what had been begun was ended."""
TAKES_NO_MORE: Final = frozenset({PIPE_ENDED, 232, 233})
"""ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED (winerror.h): the command has ended, and says why itself."""
NO_ROOM: Final = frozenset({0x803381A5, 0x803381A6, 0x803381A7, 0x803381A8, 0x803381AB, *range(0x803381E4, 0x803381EB)})
"""Quotas (wsmerror.h): of shells, of operations in one shell, of users, and those of a plug-in. Nothing was begun."""
_PASSED_ON: Final = frozenset({500, 502, 504})
"""Statuses of HTTP that, without a fault, may come of who stands between us and the host, or after it began (RFC 9110 15.6)."""
_LONGEST: Final = 300
NOT_SEALED: Final = Text("it answers without a seal: who stands between may have read it, and may have written it")

NUMBERS: Final[Mapping[int, Text]] = {
    ACCESS_DENIED: Text("the user may log in, but open no shell of this kind"),
    ACCESS_DENIED_HRESULT: Text("the user may log in, but open no shell of this kind"),
    BUSY: Text("it is busy"),
    PIPE_ENDED: Text("the command takes no more input"),
    ENDED: Text("the command was ended by somebody else"),
    SHELL_NOT_FOUND: Text("it does not know the shell any more: it restarted, or the shell was idle for too long"),
    0x803381A5: Text("this user has as many shells as the host allows (MaxShellsPerUser)"),
    0x803381A6: Text("this user has as many operations as the host allows (MaxConcurrentOperationsPerUser)"),
    0x803381AB: Text("more users have shells than the host allows (MaxConcurrentUsers)"),
    0x80338047: Text("it takes no message that long (MaxEnvelopeSizekb)"),
}
"""What the numbers of WS-Management and of Windows mean to us (wsmerror.h, winerror.h); all others are told as numbers."""


class Kind(Enum):
    """What is to be done about a trouble."""

    WAITS = auto()
    """Nothing was to be had in time: ask again."""
    DROPPED = auto()
    """The connection is of no use any more; what was asked last may have been done."""
    REFUSED = auto()
    """It does not let us in."""
    ANSWERED = auto()
    """It said no: what was asked was not done."""
    UNCLEAR = auto()
    """What it said does not tell whether what was asked was done: no WS-Management, or a fault that may come of either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong, and the number that the host gave it; 0: none."""

    kind: Kind
    reason: Text | str
    number: int = 0

    @property
    def of_room(self) -> bool:
        """Tell whether a quota of the host is used up."""
        return self.number in NO_ROOM

    @property
    def loses(self) -> bool:
        """Tell whether an answer may have got lost that would come if it was asked for again: its way is gone, or its shell."""
        passed_on = self.kind is Kind.UNCLEAR and self.number in _PASSED_ON
        return self.kind is Kind.DROPPED or self.number == SHELL_NOT_FOUND or passed_on


class Dropped(OSError):
    """The connection is gone."""


class CutOff(Exception):
    """We ended it ourselves: the deadline passed, or nobody waits any more."""


class NotPinned(Exception):
    """The host shows another certificate than the one that was enrolled."""


class CertificateRevoked(NotPinned):
    """The host shows a certificate that is revoked."""


class EndpointRefused(WinRMError):
    """An endpoint of PowerShell let us in, and what was asked of it failed; `reason` says why."""

    def __init__(self, reason: Text | str) -> None:
        self.reason = reason
        super().__init__(str(reason))


class Unauthorized(AuthenticationError):
    """HTTP 401; `schemes` are those that the host offers, hostile text."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes
        super().__init__(", ".join(schemes))


def trouble_of(error: Exception) -> Trouble:
    """Return what an exception of speaking with the host means; TypeError if it is none of these."""
    for kind, make in TROUBLES:
        if isinstance(error, kind):
            return make(error)
    raise TypeError(f"not an error of WinRM: {error!r}") from error


def _fault(error: Exception) -> Trouble:
    assert isinstance(error, WSManFaultError)
    number = (error.wmierror_code or error.wsman_fault_code or 0) % 2**32
    kind = Kind.UNCLEAR if number == ENDED else Kind.ANSWERED
    subcode = str(error.fault_subcode or "")[:_LONGEST]
    reason = NUMBERS.get(number)
    if reason is None and number:
        reason = Text("it answers with the fault {number}", number=f"0x{number:08X}" if number > 0xFFFF else str(number))
    return Trouble(kind=kind, reason=reason or Text("it answers with the fault {number}", number=subcode), number=number)


def _status(error: Exception) -> Trouble:
    assert isinstance(error, WinRMTransportError)
    if error.code == 400:  # a seal that it does not know: of another connection, or broken
        return Trouble(kind=Kind.DROPPED, reason=Text("it answers {status}", status="HTTP 400"), number=400)
    kind = Kind.UNCLEAR if error.code in _PASSED_ON else Kind.ANSWERED
    return Trouble(kind=kind, reason=Text("it answers {status}", status=f"HTTP {error.code}"), number=error.code)


def _refused(_: Exception) -> Trouble:
    return Trouble(kind=Kind.REFUSED, reason=Text("it answers {status}", status="HTTP 401"), number=401)


def _stopped(error: Exception) -> Trouble:
    return Trouble(kind=Kind.REFUSED, reason=str(error) or Text("the certificate changed"))


def _endpoint(error: Exception) -> Trouble:
    assert isinstance(error, EndpointRefused)
    return Trouble(kind=Kind.ANSWERED, reason=error.reason)


def _waits(_: Exception) -> Trouble:
    return Trouble(kind=Kind.WAITS, reason=Text("it had nothing to say in time"), number=OPERATION_TIMEOUT)


def _cut(_: Exception) -> Trouble:
    return Trouble(kind=Kind.DROPPED, reason=Text("the deadline passed"))


def _dropped(error: Exception) -> Trouble:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Trouble(kind=Kind.DROPPED, reason=(reason or type(error).__name__)[:_LONGEST])


def _unreadable(error: Exception) -> Trouble:
    said = str(error)[:_LONGEST] or type(error).__name__
    return Trouble(kind=Kind.UNCLEAR, reason=Text("what the host sent is not WS-Management: {reason}", reason=said))


def _not_sealed(_: Exception) -> Trouble:
    return Trouble(kind=Kind.UNCLEAR, reason=NOT_SEALED)


TROUBLES: Final[tuple[tuple[type[Exception], Callable[[Exception], Trouble]], ...]] = (
    (WSManFaultError, _fault),
    (WinRMTransportError, _status),
    (WinRMOperationTimeoutError, _waits),
    (AuthenticationError, _refused),
    (NoContext, _refused),
    (EndpointRefused, _endpoint),
    (WinRMError, _unreadable),
    (CutOff, _cut),
    (NotPinned, _stopped),
    (RemoteError, _stopped),
    (NotSealed, _not_sealed),
    (BadSeal, _unreadable),
    (HostileXml, _unreadable),
    (OSError, _dropped),
    (http.client.HTTPException, _dropped),
    (StopIteration, _unreadable),  # pywinrm looks for what is not there
    (LookupError, _unreadable),
    (ValueError, _unreadable),
    (TypeError, _unreadable),
    (AttributeError, _unreadable),
    (AssertionError, _unreadable),
)
"""What an exception of a call becomes: pywinrm's, of the connection, and what a hostile answer makes pywinrm run into."""
