"""Fakes of this package's seams: a session and a connector that answer from a script and refuse what was not scripted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inventory.host import Host
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.errors import RemoteError
from remote.files import Destination, Part, Progress, Reason, Transfer, TransferFailed
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.terminal import NoTerminal, Screen, Terminal

FAKE_FACTS = SessionFacts(transport="fake", user="tester", credential="fake", host_key="SHA256:fake")


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


def _fake_host(script: FakeHost | Mapping[str, Answer] | RemoteError) -> FakeHost:
    match script:
        case FakeHost():
            return script
        case RemoteError():
            return FakeHost(refuses=script)
        case _:
            return FakeHost(answers=script)
