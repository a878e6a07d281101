"""Fakes of this package's seams: a session and a connector that answer from a script and refuse what was not scripted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from inventory.host import Host
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.detached import DetachedCommand, Offset, Standing, State
from remote.detached import Reason as Why
from remote.errors import RemoteError
from remote.files import Destination, Part, Progress, Reason, Transfer, TransferFailed
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.terminal import NoTerminal, Screen, Terminal

FAKE_FACTS = SessionFacts(transport="fake", user="tester", credential="fake", host_key="SHA256:fake")


class Fault(StrEnum):
    """What goes wrong when a detached command is sent to a fake host."""

    NEVER_ARRIVED = "never_arrived"  # nothing ran, and whoever sent it was not answered
    ANSWER_LOST = "answer_lost"  # it ran to its end as the script says, and whoever sent it was not answered
    GOES_ON = "goes_on"  # it is still running when `start` answers, and has ended when it is asked for
    REBOOT = "reboot"  # the host was rebooted in the midst of it
    KILLED = "killed"  # its supervisor was killed
    FORGOTTEN = "forgotten"  # it ran, and what the host knew of it is gone
    NO_PLACE = "no_place"  # the host has no place for its record


class UnscriptedQuestion(BaseException):
    """A fake was asked what its script does not know; a BaseException, so that no broad except can eat it."""


@dataclass(slots=True, kw_only=True)
class FakeHost:
    """What one host of a fake fleet does; `seen` keeps the ids of the questions in the order they were asked, `ran` what
    was run."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    results: Mapping[str, CommandResult] = field(default_factory=dict)
    """Of commands, by the text of their scripts."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What lies where on the host: `put` adds to it."""
    failing: Mapping[str, Reason] = field(default_factory=dict)
    """Why the transfer of a path fails."""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """What goes wrong with detached commands, by the text of their scripts, one for each time that they are sent."""
    detached: dict[str, Standing] = field(default_factory=dict)
    """What the host knows of detached commands, by id."""
    token: int = 0
    """The highest fence token that the host has seen."""
    terminal: Terminal | None = None
    drops: bool = False
    """The connection goes away with the first questions."""
    renewable: bool = True
    """Another one may take its place."""
    refuses: RemoteError | Exception | None = None
    """Raised instead of connecting."""
    connects_after: asyncio.Event | None = None
    """Connecting waits for it: a host that accepts and is silent."""
    answers_after: asyncio.Event | None = None
    """Asking waits for it, until the deadline of the call; then every answer is lost."""
    facts: SessionFacts = FAKE_FACTS
    seen: list[str] = field(default_factory=list)
    ran: list[Command] = field(default_factory=list)


class FakeSession:
    """A session that answers from a script.

    >>> from remote.answer import answered
    >>> session = FakeSession(Host(name="db1", address="192.0.2.1"), {"kernel": answered(b"Linux")})
    >>> asyncio.run(session.ask([Question(id="kernel", script="uname")], deadline_s=1))["kernel"].stdout
    b'Linux'
    """

    def __init__(self, host: Host, script: Mapping[str, Answer] | FakeHost) -> None:
        self.host = host
        self.script = script if isinstance(script, FakeHost) else FakeHost(answers=script)
        self.facts = self.script.facts
        self._asked = False

    @property
    def seen(self) -> list[str]:
        """Return the ids of the questions asked so far."""
        return self.script.seen

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone, as the script says."""
        return self.script.drops and self._asked

    @property
    def renewable(self) -> bool:
        """Tell whether the script lets another connection take its place."""
        return self.script.renewable

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return the scripted answers, or raise UnscriptedQuestion; lost ones if the script holds them back too long."""
        ids = [question.id for question in questions]
        if unscripted := [id_ for id_ in ids if id_ not in self.script.answers]:
            raise UnscriptedQuestion(self.host.name, unscripted)
        self.script.seen += ids
        self._asked = True
        if await self._held_back(deadline_s):
            return dict.fromkeys(ids, Answer(ended=Ended.LOST, exit_status=None, why=f"no end after {deadline_s:g} s"))
        return {id_: self.script.answers[id_] for id_ in ids}

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return the scripted result, or raise UnscriptedQuestion; a lost one if the script holds it back too long."""
        if (result := self.script.results.get(command.script)) is None:
            raise UnscriptedQuestion(self.host.name, command.script)
        self.script.ran.append(command)
        if await self._held_back(deadline_s):
            return CommandResult(ended=Ended.LOST, exit_status=None, why=f"no end after {deadline_s:g} s")
        return result

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:  # noqa: ARG002 (the protocol's)
        """Return how a command stands whose result is scripted as that of `run`, or raise UnscriptedQuestion.

        As real hosts do, it is run once for each id, and not at all for a token lower than the highest that was seen.
        """
        for name in detached.forget:
            self._forget(name)
        if (known := self.script.detached.get(detached.id)) is not None:
            return known
        if detached.token < self.script.token:
            return Standing(id=detached.id, state=State.FENCED, why=str(self.script.token), whole=True)
        if (result := self.script.results.get(detached.command.script)) is None:
            raise UnscriptedQuestion(self.host.name, detached.command.script)
        faults = self.script.faults.get(detached.command.script, [])
        return self._started(detached, _done(detached.id, result), faults.pop(0) if faults else None)

    def _started(self, detached: DetachedCommand, done: Standing, fault: Fault | None) -> Standing:
        unanswered = Standing(id=detached.id, state=State.UNANSWERED, why="lost, as scripted")
        if fault is Fault.NEVER_ARRIVED:
            return unanswered
        if fault is Fault.NO_PLACE:
            return Standing(id=detached.id, state=State.FAILED, reason=Why.NO_PLACE, whole=True)
        self.script.token = detached.token
        self.script.ran.append(detached.command)
        self.script.detached[detached.id] = _after(done, fault)
        match fault:
            case None:
                return done
            case Fault.GOES_ON:
                return Standing(id=detached.id, state=State.RUNNING)
            case _:
                return unanswered

    async def collect(
        self,
        name: str,
        offset: Offset,
        *,
        privilege: Privilege = Privilege.USER,  # noqa: ARG002 (the protocol's: there is one user here)
        sent_s_ago: float | None = None,
        wait_s: int = 0,  # noqa: ARG002 (the protocol's: all that is still running has ended by then)
        deadline_s: float,  # noqa: ARG002 (the protocol's)
    ) -> Standing:
        """Return how a command stands; one that is not known is withdrawn."""
        if (known := self.script.detached.get(name)) is None:
            certain = sent_s_ago is not None
            state, reason = (State.FAILED, Why.NOT_STARTED) if certain else (State.UNKNOWN, Why.NOT_KNOWN)
            known = Standing(id=name, state=state, reason=reason, whole=True)
            if certain:
                self.script.detached[name] = known
        return replace(known, stdout=known.stdout[offset.stdout :], stderr=known.stderr[offset.stderr :])

    async def forget(
        self,
        names: Sequence[str],
        *,
        privilege: Privilege = Privilege.USER,  # noqa: ARG002 (the protocol's: there is one user here)
        deadline_s: float,  # noqa: ARG002 (the protocol's)
    ) -> frozenset[str]:
        """Remove the output of commands."""
        for name in names:
            self._forget(name)
        return frozenset(names)

    def _forget(self, name: str) -> None:
        if (known := self.script.detached.get(name)) is not None:
            self.script.detached[name] = replace(known, stdout=b"", stderr=b"")

    async def put(
        self,
        source: bytes | Path,
        to: Destination,
        *,
        deadline_s: float,
        progress: Progress | None = None,
        resume: Part | None = None,  # noqa: ARG002 (the protocol's: nothing is ever cut off here)
    ) -> Transfer:
        """Keep the file among the script's, or fail as it says."""
        data = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
        await self._arrives(to.path, deadline_s)
        self.script.files[to.path] = data
        return _arrived(to.path, data, progress)

    async def get(
        self,
        path: str,
        to: Path,
        *,
        max_bytes: int,
        deadline_s: float,
        privilege: Privilege = Privilege.USER,  # noqa: ARG002 (the protocol's: there is one user here)
        progress: Progress | None = None,
        resume: Part | None = None,  # noqa: ARG002 (the protocol's)
    ) -> Transfer:
        """Write one of the script's files, or fail as it says."""
        await self._arrives(path, deadline_s)
        if (data := self.script.files.get(path)) is None:
            raise TransferFailed(self.host.name, path, Reason.MISSING)
        if len(data) > max_bytes:
            raise TransferFailed(self.host.name, path, Reason.TOO_LARGE, f"{len(data)} > {max_bytes}")
        await asyncio.to_thread(to.write_bytes, data)
        return _arrived(path, data, progress)

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:  # noqa: ARG002 (the protocol's)
        """Return the scripted terminal, or raise NoTerminal."""
        if self.script.terminal is None:
            raise NoTerminal(self.host.name, "a fake has none")
        return self.script.terminal

    async def _arrives(self, path: str, deadline_s: float) -> None:
        if await self._held_back(deadline_s):
            raise TransferFailed(self.host.name, path, Reason.TIMED_OUT)
        if (reason := self.script.failing.get(path)) is not None:
            raise TransferFailed(self.host.name, path, reason)

    async def _held_back(self, deadline_s: float) -> bool:
        """Wait as long as the script says; tell whether that was too long."""
        if self.script.answers_after is not None:
            try:
                async with asyncio.timeout(deadline_s):
                    await self.script.answers_after.wait()
            except TimeoutError:
                return True
        return False


class FakeConnect:
    """A `Connect` over scripted hosts, by name; a host that is not scripted raises UnscriptedQuestion.

    `connected` lists every attempt in order, `open` counts the sessions that are open now and
    `most_open` the most that ever were.
    """

    def __init__(self, fleet: Mapping[str, FakeHost | Mapping[str, Answer] | RemoteError]) -> None:
        self.fleet = {name: _fake_host(script) for name, script in fleet.items()}
        self.connected: list[str] = []
        self.open = self.most_open = 0

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[FakeSession]:
        """Open a fake session to `host`, or raise what its script says."""
        if (script := self.fleet.get(host.name)) is None:
            raise UnscriptedQuestion(host.name)
        self.connected.append(host.name)
        if script.connects_after is not None:
            await script.connects_after.wait()
        if script.refuses is not None:
            raise script.refuses
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            yield FakeSession(host, script)
        finally:
            self.open -= 1


def _arrived(path: str, data: bytes, progress: Progress | None) -> Transfer:
    if progress is not None:
        progress(len(data), len(data))
    digest = hashlib.sha256(data).hexdigest()
    return Transfer(path=path, size_bytes=len(data), digest=digest, carried_by="fake", compared_by="fake")


def _done(name: str, result: CommandResult) -> Standing:
    """Return the standing of a command that ended as its result is scripted."""
    offset = Offset(stdout=len(result.stdout), stderr=len(result.stderr))
    late, done = result.ended is Ended.TIMED_OUT, result.ended in (Ended.EXITED, Ended.CAPPED)
    assert late or done, "a detached command exits, is capped or is late: all else is a Fault"
    return Standing(
        id=name,
        state=State.FAILED if late else State.DONE,
        exit_status=result.exit_status if done else None,
        reason=Why.LATE if late else None,
        stdout=result.stdout,
        stderr=result.stderr,
        offset=offset,
        whole=True,
        stdout_cut=result.stdout_cut,
        stderr_cut=result.stderr_cut,
        duration_ms=result.duration_ms,
        unkillable=result.unkillable,
    )


def _after(done: Standing, fault: Fault | None) -> Standing:
    """Return what the host knows of a command after what went wrong."""
    match fault:
        case Fault.REBOOT:
            return Standing(id=done.id, state=State.INTERRUPTED, reason=Why.REBOOTED, whole=True)
        case Fault.KILLED:
            return Standing(id=done.id, state=State.INTERRUPTED, reason=Why.KILLED, whole=True)
        case Fault.FORGOTTEN:
            return Standing(id=done.id, state=State.UNKNOWN, reason=Why.GONE, whole=True)
        case _:
            return done


def _fake_host(script: FakeHost | Mapping[str, Answer] | RemoteError) -> FakeHost:
    match script:
        case FakeHost():
            return script
        case RemoteError():
            return FakeHost(refuses=script)
        case _:
            return FakeHost(answers=script)
