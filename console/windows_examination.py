"""`longarm doctor --host` for a Windows host: the way to it step by step; what fails names the command for the Windows side."""

from __future__ import annotations

import asyncio
import json
import time

from console.examination import NOTE, OK, PROBLEM, Row, row
from console.faults import exit_of
from console.host_examination import address_of, ending_of, tenths
from console.settings import Settings
from console.wiring import connector, credential_store
from console.words import say
from inventory.errors import Text
from inventory.host import Host, Transport
from remote.answer import Answer, Ended
from remote.connect import Connector
from remote.errors import RemoteError
from remote.event_loop import new_event_loop
from remote.known_hosts import KnownHosts
from remote.question import Question
from remote.session import Session, SessionFacts
from remote.windows.advice import CLOCK, MOST_SKEW_S, NEGOTIATE, NO_SHELL, PSRP, SEAL, SEALING, advice
from remote.windows.bundle import SHELL
from remote.windows.looking import Greeting, by_https, greeting, refusal, shown_certificate
from remote.windows.troubles import NOT_SEALED

_DEADLINE_S = 60.0
UNSEEN = 3
_STEPS = ("name", "connection", "sealing", "certificate", "login", "algorithms", "shell", "administrator", "round trip")
_QUESTION = Question(
    id="doctor.shell",
    script=(
        "Write-Json @{ Version = [string]$PSVersionTable.PSVersion; System = [string][Environment]::OSVersion.Version; "
        "Mode = [string]$ExecutionContext.SessionState.LanguageMode }"
    ),
    shell=SHELL,
    deadline_s=20,
    max_bytes=2000,
)
_NOTHING = Question(id="doctor.nothing", script="'ok'", shell=SHELL, deadline_s=20, max_bytes=100)


def examine_windows(settings: Settings, host: Host) -> tuple[list[Row], int]:
    """Return a row for each step, and the exit code: that of what stopped us, else 0."""
    walk = _Walk(settings, host)
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        try:
            loop.run(walk.walk())
        except RemoteError as error:
            hint = (advice(error, host, walk.said) if walk.step != _STEPS[0] else None) or error.hint
            walk.rows.append(row(walk.step, PROBLEM, say(error.text), hint))
            return walk.rows, exit_of(error)
    return walk.rows, UNSEEN if any(one["state"] == PROBLEM for one in walk.rows) else 0


class _Walk:
    def __init__(self, settings: Settings, host: Host) -> None:
        self.settings, self.host = settings, host
        self.rows: list[Row] = []
        self.said: Greeting | None = None
        self.step = _STEPS[0]

    def _add(self, step: str, state: str, detail: str, hint: Text | None = None) -> None:
        self.rows.append(row(step, state, detail, hint))
        left_out = "sealing" if by_https(self.host) else "certificate"
        self.step = next((one for one in _STEPS[_STEPS.index(step) + 1 :] if one != left_out), step)

    async def walk(self) -> None:
        """Add a row for each step that worked; the one that fails raises."""
        credentials = credential_store(self.settings)
        connect = connector(self.settings, credentials, once_more=True)
        self._add("name", OK, await address_of(self.host))
        if self.host.via:
            await asyncio.to_thread(credentials.prepare, [self.host.via])
        await self._before_login(connect)
        await asyncio.to_thread(credentials.prepare, [self.host])
        async with connect(self.host) as session:
            facts = session.facts
            self._add("login", OK, f"{facts.user} ({facts.credential}): {facts.proofs}")
            self._add("algorithms", *_algorithms(facts))
            self.rows += await inside(session)

    async def _before_login(self, connect: Connector) -> None:
        async with connect.way_to(self.host) as way:
            self.said = said = await greeting(self.host, way)
            told = [
                f"HTTP {said.status}",
                ", ".join(said.schemes) or say(Text("no login by password is offered")),
                say(Text("{n} ms", n=tenths(said.connect_ms))),
            ]
            state, hint = OK, None
            if said.ahead_s is not None and abs(said.ahead_s) > MOST_SKEW_S:
                told.append(say(Text("its clock is {n} s ahead of ours", n=tenths(said.ahead_s))))
                state, hint = NOTE, CLOCK
            self._add("connection", state, "; ".join(told), hint)
            if said.schemes and not by_https(self.host):
                self._add("sealing", *_sealing(said))
            if by_https(self.host):
                shown = await shown_certificate(self.host, way=way)
                trust = KnownHosts(self.settings.home / "known_hosts").trust(self.host)
                if (refused := refusal(self.host, shown, trust)) is not None:
                    raise refused
                self._add("certificate", OK, shown.key.fingerprint)


async def inside(session: Session) -> list[Row]:
    """Return what PowerShell is like on a Windows host, by whichever way, and what its distance is."""
    answer = (await session.ask([_QUESTION], deadline_s=_DEADLINE_S))[_QUESTION.id]
    rows = [row("shell", *_shell(answer, session.facts))]
    if answer.ended is not Ended.EXITED:
        return rows
    admin = say(Text("yes")) if answer.as_root else say(Text("no: some questions go unanswered"))
    began = time.monotonic()
    await session.ask([_NOTHING], deadline_s=_DEADLINE_S)
    took_ms = (time.monotonic() - began) * 1000
    trip = say(Text("{ms} ms for one question", ms=tenths(took_ms)))
    return [*rows, row("administrator", OK if answer.as_root else NOTE, admin), row("round trip", OK, trip)]


def _sealing(said: Greeting) -> tuple[str, str, Text | None]:
    """Return by which ways to log in messages are sealed: over HTTP nothing goes out, and nothing is believed, without."""
    if seals := [one for one in said.schemes if one.lower() in SEALING]:
        return OK, ", ".join(seals), None
    detail = Text("it offers {schemes}, which seals nothing: over HTTP nothing is sent so", schemes=", ".join(said.schemes))
    return PROBLEM, say(detail), NEGOTIATE


def _algorithms(facts: SessionFacts) -> tuple[str, str]:
    return NOTE if facts.allowed else OK, ", ".join(filter(None, (*(value for _, value in facts.algorithms), facts.allowed)))


def _shell(answer: Answer, facts: SessionFacts) -> tuple[str, str, Text | None]:
    if answer.ended is not Ended.EXITED or answer.exit_status != 0:
        return PROBLEM, ending_of(answer), _missing(answer, facts)
    try:
        told = json.loads(answer.stdout)
        detail = f"PowerShell {told['Version']}, Windows {told['System']}, {told['Mode']}"
    except (ValueError, LookupError, TypeError):
        return PROBLEM, say(Text("what the host says cannot be understood")), None
    return (NOTE, f"{detail}, psrp", PSRP) if facts.instead_of else (OK, detail, None)


def _missing(answer: Answer, facts: SessionFacts) -> Text | None:
    """Return what to do where no PowerShell was to be had."""
    if facts.transport == Transport.SSH.value:
        return None
    if str(NOT_SEALED) in answer.why:
        return SEAL
    return NO_SHELL if answer.ended is Ended.NOT_RUN else None
