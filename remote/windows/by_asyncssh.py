"""Programs of a Windows host over a connection of asyncssh."""

from __future__ import annotations

import asyncio

from inventory.host import Host
from remote.session import SessionFacts
from remote.shell_session import EXEC_PAUSES_S
from remote.ssh_errors import reason_of
from remote.ssh_intake import Intake
from remote.ssh_library import asyncssh
from remote.ssh_wire import WINDOW, SshProgram
from remote.windows.ssh import NotStarted, WindowsSshSession


def windows_session(
    host: Host, connection: asyncssh.SSHClientConnection, intake: Intake, facts: SessionFacts
) -> WindowsSshSession:
    """Return a session to a Windows host that is logged in."""

    async def start_once(line: str) -> SshProgram:
        program = SshProgram()
        try:
            await connection.create_session(lambda: program, line, encoding=None, window=WINDOW)
        except asyncio.CancelledError:
            program.close()
            raise
        return program

    async def start(line: str) -> SshProgram:
        try:
            for pause_s in EXEC_PAUSES_S:
                try:
                    return await start_once(line)
                except asyncssh.ChannelOpenError:
                    await asyncio.sleep(0)  # what has ended the connection is told in this turn of the loop
                    if connection.is_closed():
                        raise
                    await asyncio.sleep(pause_s)
            return await start_once(line)
        except (asyncssh.Error, OSError) as error:
            raise NotStarted(reason_of(error)) from error

    return WindowsSshSession(
        host,
        facts,
        start=start,
        allow=intake.allow,
        is_closed=connection.is_closed,
        is_flooded=lambda: intake.flooded,
        abort=connection.abort,
    )
