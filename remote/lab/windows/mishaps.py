"""What goes wrong on a practice Windows host, to order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from remote.lab.windows.faults import Fault, Kind


@dataclass(slots=True, kw_only=True)
class Mishaps:
    """What goes wrong, by the number of the message (from 1, logins not counted)."""

    drop_before: set[int] = field(default_factory=set)
    """The connection breaks when the message has come: nothing is done."""
    drop_after: set[int] = field(default_factory=set)
    """It breaks when the message has been acted on: the answer is lost."""
    drop_login: set[int] | range = field(default_factory=set)
    """The connection breaks at the empty message of a login; these are counted by themselves, from 1 (NTLM takes two)."""
    behind: Mapping[int, Callable[[], Awaitable[object]]] = field(default_factory=dict)
    """What is waited for when it has been acted on, before its answer or its loss."""
    bad_mic: set[int] = field(default_factory=set)
    """It is refused as one whose seal is broken: HTTP 400."""
    reboot: set[int] = field(default_factory=set)
    """All shells vanish before it."""
    faults: Mapping[int, Kind | Fault] = field(default_factory=dict)
    """It is answered with a fault, in words of its own where a kind alone is given."""
    unclear: set[int] = field(default_factory=set)
    """It is acted on, and who stands between answers `unclear_as` in the host's place, without a word and without its seal."""
    unclear_as: HTTPStatus = HTTPStatus.GATEWAY_TIMEOUT
    """504: he did not wait for the host."""
    cut_short: set[int] = field(default_factory=set)
    """It is acted on, and the connection ends in the middle of the answer, in good order (FIN)."""
    hang: set[int] = field(default_factory=set)
    """It is never answered; the connection stays."""
    messages_per_connection: int | None = None
    """The connection breaks when so many have been answered on it, as behind a proxy or a balancer; None: it stays."""
    closes: bool = False
    """Each answer to a message says that the connection ends with it, as some proxies do (RFC 9112 9.6)."""
    delay_s: float = 0.0
    """Before each answer."""
    clock_ahead_s: float = 0.0
    """How far the host's clock is ahead of ours (`Date` in each answer)."""
