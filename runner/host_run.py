"""
How one host of a run ended. Exceptions become values here and nowhere else:

    ConnectFailed                                              unreachable
    HostKeyRefused AuthenticationRefused CredentialUnusable
    CredentialBlocked                                          refused
    DeadlineExceeded TimeoutError                              timed_out
    ConnectionLost, any other RemoteError, and a bug of ours   failed, by its class name
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from inventory.errors import LongarmError, Text
from inventory.host import Host
from remote.errors import (
    AlgorithmsRefused,
    AuthenticationRefused,
    ConnectFailed,
    ConnectionLost,
    CredentialBlocked,
    CredentialUnusable,
    DeadlineExceeded,
    HostCertificateRefused,
    HostKeyRefused,
    JumpFailed,
    ProxyFailed,
    RemoteError,
    TlsRefused,
)
from remote.patience import PATIENCE, Patience
from remote.session import Connect, Session
from runner.outcome import Outcome

T = TypeVar("T")
Job: TypeAlias = Callable[[Session, float], Awaitable[T]]
"""Gets the seconds that are left, and brings back what it has when they are over."""
Clock: TypeAlias = Callable[[], datetime]

OUTCOMES: tuple[tuple[type[RemoteError], Outcome], ...] = (
    (JumpFailed, Outcome.UNREACHABLE),
    (ProxyFailed, Outcome.UNREACHABLE),
    (AlgorithmsRefused, Outcome.UNREACHABLE),
    (ConnectFailed, Outcome.UNREACHABLE),
    (HostCertificateRefused, Outcome.REFUSED),
    (TlsRefused, Outcome.REFUSED),
    (HostKeyRefused, Outcome.REFUSED),
    (AuthenticationRefused, Outcome.REFUSED),
    (CredentialUnusable, Outcome.REFUSED),
    (CredentialBlocked, Outcome.REFUSED),
    (DeadlineExceeded, Outcome.TIMED_OUT),
    (ConnectionLost, Outcome.FAILED),
    (RemoteError, Outcome.FAILED),
)
"""Most specific first; a test walks the tree of remote/errors.py for gaps."""

GRACE_S = 1.0
"""A job that keeps its deadline brings partial answers back; past this it is cut off without them."""
LEAVING_S = 5.0
"""How long leaving a host may take once its answers are there; it costs none of them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRun(Generic[T]):
    """How one host ended: `value` is what its job returned; without one, `outcome` says why there is none."""

    host: Host
    started_at: datetime | None = None
    ended_at: datetime | None = None
    value: T | None = None
    outcome: Outcome | None = None
    error: Text | None = None
    hint: Text | None = None
    error_kind: str = ""


async def run_host(host: Host, job: Job[T], connect: Connect, *, deadline_s: float, clock: Clock) -> HostRun[T]:
    """Return how `job` ended on `host`.

    Cancellation is not caught: the run itself marks what was in flight as interrupted.
    """
    started_at, now = clock(), asyncio.get_running_loop().time
    over = now() + deadline_s
    done: list[HostRun[T]] = []
    patience = Patience()
    PATIENCE.set(patience)
    try:
        async with asyncio.timeout_at(over) as patience.limit, connect(host) as session:
            limit, over = patience.limit, over + patience.waited_s
            limit.reschedule(over + GRACE_S)
            value = await job(session, max(over - now(), 0.001))
            done.append(HostRun(host=host, started_at=started_at, ended_at=_not_before(started_at, clock()), value=value))
            limit.reschedule(now() + LEAVING_S)
    except Exception as error:  # noqa: BLE001 - a fault of ours: shown as such, and the run goes on
        if not done:
            return _without_value(host, error, started_at, _not_before(started_at, clock()), deadline_s)
        _log.warning("leaving host %s failed, its answers stand", host.name, exc_info=error)
    return done[0]


def _not_before(began: datetime, now: datetime) -> datetime:
    """Return the time of an end: where the clock was stepped back meanwhile, nothing took less than no time."""
    return max(began, now)


def _without_value(host: Host, error: Exception, started_at: datetime, ended_at: datetime, deadline_s: float) -> HostRun[T]:
    if isinstance(error, TimeoutError):
        error = DeadlineExceeded(host.name, deadline_s)
    if isinstance(error, RemoteError):
        return _stopped(host, error, started_at, ended_at)
    return broken(HostRun(host=host, started_at=started_at, ended_at=ended_at), error)


def attempt(make: Callable[[], T]) -> T | Exception:
    """Return what `make` makes of a host's answers, or the bug that stopped it, as a value."""
    try:
        return make()
    except Exception as bug:  # noqa: BLE001 - a fault of ours: shown as such, and the run goes on
        return bug


def broken(ended: HostRun[T], bug: Exception) -> HostRun[T]:
    """Return the host run as failed by a bug of ours, which the log tells in full."""
    _log.error("a fault of longarm on host %s", ended.host.name, exc_info=bug)
    text = (
        bug.text if isinstance(bug, LongarmError) else Text("a fault in longarm: {kind}: {words}", kind=_kind(bug), words=bug)
    )
    return HostRun(
        host=ended.host,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        outcome=Outcome.FAILED,
        error=text,
        error_kind=_kind(bug),
    )


def _stopped(host: Host, error: RemoteError, started_at: datetime, ended_at: datetime) -> HostRun[T]:
    return HostRun(
        host=host,
        started_at=started_at,
        ended_at=ended_at,
        outcome=next(outcome for kind, outcome in OUTCOMES if isinstance(error, kind)),
        error=error.text,
        hint=error.hint,
        error_kind=_kind(error),
    )


def _kind(error: Exception) -> str:
    return type(error).__name__
