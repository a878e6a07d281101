"""How the tests of hostile hosts come to them: by either SSH library, through a bastion, and from inside fabric.

`REACHES` is the table; conftest.py makes a test's `reach` of its rows. Through a bastion everything of the corpora applies:
each host proves itself at the far end of a channel. Inside fabric what concerns a running session does (`fabric_too`):
fabric connects to nothing, so whom to trust, login and what comes before a session are the session's own there, tested by the
others.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, cast

from inventory.host import CredentialReference, Host, SshLibrary
from remote.answer import Answer, Ended
from remote.errors import DeadlineExceeded
from remote.files import Destination
from remote.question import Privilege, Question
from remote.session import Session, SessionFacts
from remote.ssh import SshConnector
from remote.ways import Way
from tests.remote.servers import MakeConnector, StartPractice, by_paramiko, instead

BASTION = "bastion"
"""The name that it has in the inventory and in the trust store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One way of coming to a host."""

    name: str
    library: SshLibrary = SshLibrary.ASYNCSSH
    bastion: str = ""
    """What stands in front of it: `sshd` with the limits it comes with, `practice` (asyncssh's server), empty: nothing."""
    bastion_library: SshLibrary = SshLibrary.ASYNCSSH
    fabric: bool = False
    one_in: int = 1
    """Of so many tests one runs in CI, always the same; all in a soak."""
    local: bool = False
    """No connection at all: this machine's own shell."""


_PARAMIKO = SshLibrary.PARAMIKO
REACHES = {reach.name: reach for reach in (
    Reach(name="asyncssh"),
    Reach(name="paramiko", library=_PARAMIKO, one_in=4),
    Reach(name="asyncssh behind sshd", bastion="sshd", one_in=8),
    Reach(name="paramiko behind sshd", library=_PARAMIKO, bastion="sshd", bastion_library=_PARAMIKO, one_in=8),
    Reach(name="asyncssh behind practice by paramiko", bastion="practice", bastion_library=_PARAMIKO, one_in=8),
    Reach(name="paramiko behind practice by asyncssh", library=_PARAMIKO, bastion="practice", one_in=8),
    Reach(name="inside fabric", fabric=True, one_in=8),
)}  # fmt: skip

SHELL_REACHES = {reach.name: reach for reach in (
    Reach(name="here", local=True),
    *(replace(reach, one_in=24) for reach in REACHES.values()),
)}  # fmt: skip
"""For what a host's shell has to bear: that hardly depends on the way to it."""


class Asked(Protocol):
    """A host whose shell is of the test's own, for one bundle."""

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return the answers of one bundle."""

    async def leave(self) -> None:
        """Be done with it."""


WithShell = Callable[..., Asked]
"""Of the words of a shell."""


class AskedOverSsh:
    """One that is behind an SSH server of ours, which runs that shell for whoever logs in."""

    def __init__(self, shell: Sequence[str], practice: StartPractice, connector: MakeConnector) -> None:
        self._shell, self._practice, self._connector = shell, practice, connector

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Connect, ask and leave."""
        running = await self._practice(process=instead(*self._shell))
        async with self._connector()(running.host) as session:
            return await session.ask(questions, deadline_s=deadline_s)

    async def leave(self) -> None:
        """Do nothing: the connection is closed, and the server ends with the test."""


class Reaching(SshConnector):
    """Comes to every host as a reach says."""

    def __init__(self, reach: Reach, bastion: Host | None, **given: Any) -> None:
        super().__init__(**given)
        self._reach, self._bastion = reach, bastion
        if bastion is not None:  # the deadlines that are tested are those of the host behind it
            self._jumps = SshConnector(**(given | {"connect_deadline_s": 20.0}))._jumps

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        async with super().__call__(self._placed(host)) as session:
            yield (
                cast("Session", InsideFabric(session)) if self._reach.fabric else session
            )  # the part of it that the corpora use

    @asynccontextmanager
    async def way_to(self, host: Host) -> AsyncIterator[Way]:
        async with super().way_to(self._placed(host)) as way:
            yield way

    def _placed(self, host: Host) -> Host:
        host = by_paramiko(host) if self._reach.library is SshLibrary.PARAMIKO else host
        return host if self._bastion is None else replace(host, via=self._bastion)


def the_bastion(reach: Reach, port: int, credential: CredentialReference) -> Host:
    """Return the host in front as an inventory has it."""
    host = Host(name=BASTION, address="127.0.0.1", port=port, credential=credential)
    return by_paramiko(host) if reach.bastion_library is SshLibrary.PARAMIKO else host


def none_at_all(reach: Reach) -> set[Ended]:
    """Return how a question may have ended that a host has not begun: of a command that was sent nobody knows it."""
    return {Ended.NOT_RUN, Ended.LOST} if reach.fabric else {Ended.NOT_RUN}


class InsideFabric:
    """A session whose questions are commands of a Python function of L3, one after the other."""

    def __init__(self, session: Session) -> None:
        self.session, self.host = session, session.host

    @property
    def facts(self) -> SessionFacts:
        return self.session.facts

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return what the function saw: a command that it was not let wait for is one that has not run."""
        from remote.fabric_connection import with_fabric

        late = Answer(ended=Ended.NOT_RUN, exit_status=None, why=f"no end after {deadline_s:g} s")
        answers = {question.id: late for question in questions}

        def function(connection: Any) -> None:
            for question in questions:
                answers[question.id] = answer_of(connection, question)

        try:
            await with_fabric(self.session, function, deadline_s=deadline_s)
        except DeadlineExceeded as error:
            logging.getLogger(__name__).debug("%s", error)
        return answers

    async def put(self, data: bytes, destination: Destination, *, deadline_s: float) -> None:
        """Have the function put a file."""
        from remote.fabric_connection import with_fabric

        await with_fabric(self.session, lambda c: c.put(BytesIO(data), destination.path), deadline_s=deadline_s)

    async def get(self, path: str, local: Path, *, max_bytes: int, deadline_s: float) -> None:
        """Have the function get one."""
        from remote.fabric_connection import with_fabric

        await with_fabric(self.session, lambda c: c.get(path, local), deadline_s=deadline_s, max_bytes=max_bytes)


def answer_of(connection: Any, question: Question) -> Answer:
    """Return what fabric gives a function for one command, whichever way it gives it."""
    import invoke

    from remote.fabric_connection import Unfinished

    connection.bridge.max_bytes = question.max_bytes
    run = connection.sudo if question.privilege is Privilege.ROOT else connection.run
    try:
        done = run(question.script, warn=True, timeout=question.deadline_s, env=dict(question.variables))
    except Unfinished as error:
        return error.result
    except invoke.exceptions.CommandTimedOut as error:
        done = error.result
    answer: Answer = done.answer
    return replace(answer, stdout=done.stdout.encode(), stderr=done.stderr.encode())
