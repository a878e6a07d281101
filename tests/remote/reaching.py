"""How the tests of hostile hosts come to them: by either SSH library, through a bastion, and from inside fabric.

`REACHES` is the table; conftest.py makes a test's `reach` of its rows. Through a bastion everything of the corpora applies:
each host proves itself at the far end of a channel. Inside fabric what concerns a running session does (`fabric_too`):
fabric connects to nothing, so trust, login and what comes before a session are the session's own there, tested by the others.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from inventory.host import CredentialReference, Host, SshLibrary
from remote.answer import Answer, Ended
from remote.errors import DeadlineExceeded
from remote.question import Privilege, Question
from remote.session import Session, SessionFacts
from remote.ssh import SshConnector
from remote.ways import Way
from tests.remote.servers import by_paramiko

BASTION = "bastion"
"""The name that it has in the inventory and in the trust store."""
MOST_BYTES = 256 * 1024
"""The cap of a command inside fabric: what a question has."""


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
            await with_fabric(self.session, function, deadline_s=deadline_s, max_bytes=MOST_BYTES)
        except DeadlineExceeded as error:
            logging.getLogger(__name__).debug("%s", error)
        return answers


def answer_of(connection: Any, question: Question) -> Answer:
    """Return what fabric gives a function for one command, whichever way it gives it."""
    import invoke

    from remote.fabric_connection import Unfinished

    run = connection.sudo if question.privilege is Privilege.ROOT else connection.run
    try:
        done = run(question.script, warn=True, timeout=question.deadline_s)
    except Unfinished as error:
        return error.result
    except invoke.exceptions.CommandTimedOut as error:
        return _as_answer(Ended.TIMED_OUT, error.result)
    return _as_answer(Ended.EXITED, done)


def _as_answer(ended: Ended, result: Any) -> Answer:
    status = result.exited if ended is Ended.EXITED else None
    return Answer(ended=ended, exit_status=status, stdout=result.stdout.encode(), stderr=result.stderr.encode())
