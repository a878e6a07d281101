"""Commands on a Windows host that outlive their connection: what a session asks about them, in scripts of PowerShell.

What the host says comes as from `sh` (remote/detached/asking.py), and is understood there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from inventory.secret import Secret
from remote.answer import Ended
from remote.command import Command, CommandResult, Value
from remote.detached.asking import ASKING_S, HEADING, PIECE, caps_of, told
from remote.detached.standing import START, DetachedCommand, Offset, Reason, Standing, State, check_id
from remote.question import Privilege
from remote.windows.bundle import OPTIONS, command_line, given, in_lines, launch, pack, write_command, write_work
from remote.windows.command_lines import CommandReader

if TYPE_CHECKING:
    from remote.windows.session import WindowsSession

GRACE_S: Final = 60
"""How long a command that was launched may take to begin: two powershell.exe start one after the other before it."""

_OF_STDERR: Final[Mapping[str, Value]] = {"LaMostErr": 64 * 1024, "LaTailErr": 32 * 1024}
"""Bytes of stderr that are kept in all, and how many of these are the last ones where it says more."""


async def start(session: WindowsSession, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
    """Return how a command stands that was started detached, as the `Session` protocol says."""
    command = detached.command
    most, tail = caps_of(command)
    try:
        job = supervisor(detached)
    except ValueError as error:  # NUL in a value
        return Standing(id=detached.id, state=State.FAILED, reason=Reason.NOT_STARTED, why=str(error), whole=True)
    gives = sum(isinstance(value, Secret) for value in command.variables.values()) + (command.stdin is not None)
    values: dict[str, Value] = {
        "LaId": detached.id,
        "LaToken": detached.token,
        "LaJob": job,
        "LaGives": gives,
        "LaOptions": OPTIONS,
        "LaMost": most,
        "LaTail": tail,
        "LaForget": " ".join(detached.forget),
        "LaWait": wait_s,
        **_from(START),
    }
    asked = _Asked("start", values, privilege=command.privilege, wait_s=wait_s, more=given(command) if gives else None)
    return told(detached.id, START, await asked.of(session, deadline_s))


async def collect(
    session: WindowsSession,
    name: str,
    offset: Offset,
    *,
    privilege: Privilege,
    sent_s_ago: float | None,
    wait_s: int,
    deadline_s: float,
) -> Standing:
    """Return how a command stands, as the `Session` protocol says."""
    check_id(name)
    age = -1 if sent_s_ago is None else max(0, int(sent_s_ago)) + 1
    values: dict[str, Value] = {"LaId": name, "LaWait": wait_s, "LaAge": age, **_from(offset)}
    asked = _Asked("collect", values, privilege=privilege, wait_s=wait_s)
    return told(name, offset, await asked.of(session, deadline_s))


async def forget(session: WindowsSession, names: Sequence[str], *, privilege: Privilege, deadline_s: float) -> frozenset[str]:
    """Return the ids of which nothing is left, as the `Session` protocol says."""
    for name in names:
        check_id(name)
    asked = _Asked("drop", {"LaForget": " ".join(names)}, privilege=privilege, wait_s=0)
    result = await asked.of(session, deadline_s)
    return frozenset(result.stdout.decode(errors="replace").split()) & frozenset(names)


def supervisor(detached: DetachedCommand) -> str:
    """Return the text that supervises a command on its host; raises ValueError for NUL in a value."""
    most, tail = caps_of(detached.command)
    child = pack(write_command(replace(detached.command, privilege=Privilege.USER), secrets.token_hex(16), detached=True))
    values: dict[str, Value] = {
        "LaId": detached.id,
        "LaDeadline": detached.command.deadline_s,
        "LaGrace": GRACE_S,
        "LaMost": most,
        "LaTail": tail,
        **_OF_STDERR,
        "LaChild": b"".join(in_lines(child)).decode("ascii"),
        "LaArguments": command_line(on_stdin=True).partition(" ")[2],
    }
    return write_work("supervise", values, secrets.token_hex(16))


class _Asked:
    """One of the scripts about detached commands on its way to a host."""

    def __init__(
        self,
        work: str,
        values: Mapping[str, Value],
        *,
        privilege: Privilege,
        wait_s: int,
        more: Iterator[bytes] | None = None,
    ) -> None:
        self._work, self._more, self._wait_s = work, more, wait_s
        self._values = {**values, "LaGrace": GRACE_S, "LaNeedsAdmin": privilege is Privilege.ROOT}

    async def of(self, session: WindowsSession, deadline_s: float) -> CommandResult:
        """Return what it brought back, as a command's; one that went wrong there is lost, and says why."""
        nonce = secrets.token_hex(16)
        command = Command(
            script=self._work,
            deadline_s=max(1, min(self._wait_s + ASKING_S, int(deadline_s))),
            max_bytes=HEADING + PIECE,
        )
        reader = CommandReader(command, nonce)
        script = write_work(self._work, self._values, nonce)
        started = launch(script, variables=session.has_variables, more=self._more)
        result = reader.finish(await session.carry(started, reader, deadline_s=deadline_s))
        if result.ended is Ended.EXITED and result.exit_status != 0:
            return replace(result, ended=Ended.LOST, exit_status=None, why=result.stderr.decode("utf-8", "replace")[:400])
        return result


def _from(offset: Offset) -> Mapping[str, Value]:
    return {"LaOutFrom": offset.stdout, "LaErrFrom": offset.stderr, "LaPiece": PIECE, **_OF_STDERR}
