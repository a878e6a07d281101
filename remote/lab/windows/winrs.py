"""Shells of cmd (WinRS; MS-WSMV 3.1.4): their commands and streams."""

from __future__ import annotations

import asyncio
import base64
import binascii

from remote.lab.windows import wsman
from remote.lab.windows.faults import Fault, Kind, Provider
from remote.lab.windows.shells import IDLE_TIMEOUT_S, Asked, Program, Running, Said, Shell, Shells, no_command, too_slow
from remote.lab.windows.wsman import PREFIXES, Request, element, envelope


class Winrs:
    """What the messages to shells of cmd do."""

    def __init__(self, shells: Shells, program: Program) -> None:
        self._shells, self._program = shells, program

    def create(self, request: Request, user: str) -> Shell:
        """Open a shell."""
        variables = request.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", PREFIXES)
        return self._shells.keep(
            Shell(
                owner=user,
                resource_uri=request.resource_uri,
                environment={one.get("Name", ""): one.text or "" for one in variables},
                code_page=int(request.options.get("WINRS_CODEPAGE", "437")),
                idle_timeout_s=wsman.seconds(request.text("rsp:Shell/rsp:IdleTimeOut"), default=IDLE_TIMEOUT_S),
            )
        )

    def command(self, request: Request, shell: Shell) -> bytes:
        """Start a command."""
        name = request.text("rsp:CommandLine/rsp:Command")
        words = [name, *(one.text or "" for one in request.body.iterfind("rsp:CommandLine/rsp:Arguments", PREFIXES))]
        if request.options.get("WINRS_SKIP_CMD_SHELL", "").lower() == "true" and "\\" not in name:
            raise Fault(Kind.NO_FILE, "The system cannot find the file specified. ", provider=Provider.CMD)
        self._shells.count_operation(shell)
        asked = Asked(
            line=_stripped(" ".join(words)), environment=shell.environment, code_page=shell.code_page, user=shell.owner
        )
        running = Running(asked)
        shell.commands[running.id] = running
        self._shells.started.append(asked.line)
        running.task = self._shells.watch(asyncio.create_task(self._run(running)))
        answer = element("rsp:CommandResponse", children=[element("rsp:CommandId", running.id)])
        return envelope(f"{wsman.SHELL}/CommandResponse", request.message_id, answer)

    def send(self, request: Request, shell: Shell) -> bytes:
        """Give a command what it is to read."""
        for stream in request.body.iterfind("rsp:Send/rsp:Stream", PREFIXES):
            running = _running(shell, stream.get("CommandId", ""))
            if running.exit_status is not None:
                raise Fault(Kind.PIPE_CLOSED, "The pipe has been ended. ")
            if data := decoded(stream.text):
                running.stdin.put_nowait(data)
            if stream.get("End", "").lower() in {"true", "1"}:
                running.stdin.put_nowait(None)
        return envelope(f"{wsman.SHELL}/SendResponse", request.message_id, element("rsp:SendResponse"))

    async def receive(self, request: Request, shell: Shell) -> bytes:
        """Wait for output, or for the end, as long as the message allows."""
        desired = request.body.find("rsp:Receive/rsp:DesiredStream", PREFIXES)
        if desired is None or not (command_id := desired.get("CommandId", "")):
            raise Fault(Kind.INVALID_PARAMETER, "The parameter is incorrect. ", provider=Provider.CMD)
        running = _running(shell, command_id)
        try:
            async with asyncio.timeout(request.operation_timeout_s):
                stdout, stderr, status = await running.received(request.room_bytes)
        except TimeoutError as error:
            raise too_slow() from error
        said = [
            element("rsp:Stream", base64.b64encode(data).decode(), Name=name, CommandId=running.id)
            for name, data in (("stdout", stdout), ("stderr", stderr))
            if data
        ]
        state = element("rsp:CommandState", CommandId=running.id, State=wsman.RUNNING)
        if status is not None:
            said += [element("rsp:Stream", Name=name, CommandId=running.id, End="true") for name in ("stdout", "stderr")]
            state.set("State", wsman.DONE)
            state.append(element("rsp:ExitCode", str(status)))
        answer = element("rsp:ReceiveResponse", children=[*said, state])
        return envelope(f"{wsman.SHELL}/ReceiveResponse", request.message_id, answer)

    def signal(self, request: Request, shell: Shell) -> bytes:
        """End a command, whichever signal it is, and forget it."""
        signal = request.body.find("rsp:Signal", PREFIXES)
        running = _running(shell, "" if signal is None else signal.get("CommandId", ""))
        running.close()
        del shell.commands[running.id]
        return envelope(f"{wsman.SHELL}/SignalResponse", request.message_id, element("rsp:SignalResponse"))

    async def _run(self, running: Running) -> None:
        said = await self._program(running)
        if said is None:
            name = running.asked.line.split(" ", 1)[0].strip('"')
            text = f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
            said = Said(stderr=text.encode(), exit_status=1)
        running.write("stdout", said.stdout)
        running.write("stderr", said.stderr)
        running.end(said.exit_status)


def decoded(text: str | None) -> bytes:
    """Return the bytes of a stream, or raise the fault of one that is not base64."""
    try:
        return base64.b64decode(text or "", validate=True)
    except binascii.Error as error:
        raise Fault(Kind.SCHEMA, "The stream is not base64.") from error


def _running(shell: Shell, command_id: str) -> Running:
    if (running := shell.commands.get(command_id.upper())) is None:
        raise no_command()
    return running


def _stripped(line: str) -> str:
    """Return a line without the quotes around all of it, as `cmd /c` takes it (Ruby's client sends it so).

    >>> _stripped('"cmd /c exit 3"'), _stripped('"a b" c')
    ('cmd /c exit 3', '"a b" c')
    """
    return line[1:-1] if line.count('"') == 2 and line[0] == line[-1] == '"' else line
