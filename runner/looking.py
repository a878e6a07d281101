"""Looks at hosts that leave nothing in the store: whether they can be reached, and what their probes tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from diagnostics.facts import Found, facts_of
from diagnostics.library import Library, in_order, with_expectations
from diagnostics.redaction import redact
from inventory.errors import Text
from inventory.host import Host, Platform
from remote.answer import Answer, Ended
from remote.hearing import Hearing
from remote.question import Question
from remote.session import Connect, Session
from remote.windows.bundle import SHELL as POWERSHELL
from runner.fan_out import FanOut, Limits
from runner.host_run import HostRun, run_host
from runner.outcome import Coverage, Outcome

_NOTHING = Question(id="ping", script=":")
_NOTHING_OF_WINDOWS = Question(id="ping", script="$null", shell=POWERSHELL, deadline_s=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinged:
    """How far one host could be reached."""

    host: str
    outcome: Outcome
    """`ok`: reached, logged in, and its shell answers; `incomplete`: all but the last."""
    user: str = ""
    login_ms: int | None = None
    """From the first packet until we are logged in."""
    round_trip_ms: int | None = None
    """Of one question: the way there and back, a shell started in between."""
    error: Text | None = None
    hint: Text | None = None
    error_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Echo:
    user: str
    login_ms: int
    round_trip_ms: int
    answer: Answer


async def ping(
    hosts: Sequence[Host], connect: Connect, limits: Limits, ended: Callable[[Pinged], None]
) -> tuple[tuple[Pinged, ...], Coverage]:
    """Return how far each host could be reached, in inventory order, and the sum; `ended` is told as they come."""
    now = asyncio.get_running_loop().time
    begun: dict[str, float] = {}
    pinged: dict[str, Pinged] = {}

    async def echo(session: Session, left_s: float) -> _Echo:
        start = now()
        nothing = _NOTHING_OF_WINDOWS if session.host.platform is Platform.WINDOWS else _NOTHING
        answer = (await session.ask([nothing], deadline_s=left_s))[nothing.id]
        login_ms = round((start - begun[session.host.name]) * 1000)
        return _Echo(user=session.facts.user, login_ms=login_ms, round_trip_ms=round((now() - start) * 1000), answer=answer)

    async def took(run: HostRun[_Echo]) -> None:
        pinged[run.host.name] = found = _pinged(run)
        ended(found)

    def started(host: Host, _: Hearing) -> None:
        begun[host.name] = now()

    await FanOut(hosts, echo, connect, limits=limits, clock=_clock, started=started, ended=took).drive()
    found = tuple(pinged[host.name] for host in hosts)
    return found, Coverage.of(one.outcome for one in found)


def _clock() -> datetime:
    return datetime.now(UTC)


def _pinged(run: HostRun[_Echo]) -> Pinged:
    if (echo := run.value) is None:
        outcome = run.outcome or Outcome.UNKNOWN
        return Pinged(host=run.host.name, outcome=outcome, error=run.error, hint=run.hint, error_kind=run.error_kind)
    well = echo.answer.ended is Ended.EXITED and echo.answer.exit_status == 0
    return Pinged(
        host=run.host.name,
        outcome=Outcome.OK if well else Outcome.INCOMPLETE,
        user=echo.user,
        login_ms=echo.login_ms,
        round_trip_ms=echo.round_trip_ms if well else None,
        error=None if well else Text("logged in, and its shell does not answer: {why}", why=echo.answer.why),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the probes of the library tell of one host now."""

    host: str
    taken_at: datetime
    found: Mapping[str, Found]
    """By probe: facts, or why there are none."""


async def facts(host: Host, connect: Connect, library: Library, probes: Sequence[str], *, deadline_s: float) -> HostRun[Facts]:
    """Return what these probes tell of a host, or how it ended without; answers are redacted before they are parsed."""
    asking = [library.probes[name] for name in probes if host.platform.value in library.probes[name].platforms]
    questions = [with_expectations(question, host.expect) for question in in_order(asking, host.platform.value)]

    async def ask(session: Session, left_s: float) -> Facts:
        taken_at = _clock()
        answers = redact(await session.ask(questions, deadline_s=left_s), library.probes)
        return Facts(host=host.name, taken_at=taken_at, found={probe.id: facts_of(probe, answers) for probe in asking})

    return await run_host(host, ask, connect, deadline_s=deadline_s, clock=_clock)
