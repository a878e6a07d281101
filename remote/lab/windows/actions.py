"""What the messages of WS-Management do on a practice Windows host."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Final

from remote.lab.windows import wsman
from remote.lab.windows.descriptions import configuration, described
from remote.lab.windows.faults import Fault, Kind
from remote.lab.windows.login import Doors
from remote.lab.windows.shells import Limits, Program, Shell, Shells
from remote.lab.windows.wsman import PREFIXES, Request, element, envelope

ADDRESS: Final = "http://127.0.0.1/wsman"
_ENVELOPE_ROOM: Final = 2048
"""What is left of an answer for everything but the output in it."""
_TOO_SLOW: Final = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "


class Service:
    """WS-Management of one host, for whoever is logged in."""

    def __init__(self, program: Program, doors: Doors, limits: Limits) -> None:
        self.doors, self.limits = doors, limits
        self.shells = Shells(program, limits)

    async def act(self, request: Request, user: str) -> bytes:
        """Do what a message asks and return the answer; raises Fault."""
        match request.action:
            case wsman.CREATE:
                return self._create(request, user)
            case wsman.COMMAND:
                return self._command(request, user)
            case wsman.SEND:
                return self._send(request, user)
            case wsman.RECEIVE:
                return await self._receive(request, user)
            case wsman.SIGNAL:
                return self._signal(request, user)
            case wsman.DELETE:
                self.shells.delete(self.shells.find(request.shell_id, user))
                return envelope(f"{wsman.TRANSFER}/DeleteResponse", request.message_id)
            case wsman.GET if request.resource_uri == wsman.CONFIG:
                return envelope(f"{wsman.TRANSFER}/GetResponse", request.message_id, configuration(self.limits, self.doors))
            case wsman.GET:
                shell = self.shells.find(request.shell_id, user)
                return envelope(f"{wsman.TRANSFER}/GetResponse", request.message_id, described(shell))
            case action:
                raise Fault(Kind.ACTION_NOT_SUPPORTED, f"The action is not supported: {action}")

    def _create(self, request: Request, user: str) -> bytes:
        if request.resource_uri != wsman.CMD:
            raise Fault(Kind.INVALID_RESOURCE, f"The resource URI is not supported: {request.resource_uri}")
        variables = request.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", PREFIXES)
        shell = self.shells.create(
            Shell(
                owner=user,
                resource_uri=request.resource_uri,
                environment={one.get("Name", ""): one.text or "" for one in variables},
                code_page=int(request.options.get("WINRS_CODEPAGE", "437")),
            )
        )
        selector = element("w:Selector", shell.id, Name="ShellId")
        created = element(
            "x:ResourceCreated",
            children=[
                element("a:Address", ADDRESS),
                element(
                    "a:ReferenceParameters",
                    children=[element("w:ResourceURI", wsman.CMD), element("w:SelectorSet", children=[selector])],
                ),
            ],
        )
        return envelope(f"{wsman.TRANSFER}/CreateResponse", request.message_id, created, described(shell))

    def _command(self, request: Request, user: str) -> bytes:
        shell = self.shells.find(request.shell_id, user)
        words = [request.text("rsp:CommandLine/rsp:Command")]
        words += [one.text or "" for one in request.body.iterfind("rsp:CommandLine/rsp:Arguments", PREFIXES)]
        running = self.shells.command(shell, " ".join(words))
        answer = element("rsp:CommandResponse", children=[element("rsp:CommandId", running.id)])
        return envelope(f"{wsman.SHELL}/CommandResponse", request.message_id, answer)

    def _send(self, request: Request, user: str) -> bytes:
        shell = self.shells.find(request.shell_id, user)
        for stream in request.body.iterfind("rsp:Send/rsp:Stream", PREFIXES):
            running = self.shells.running(shell, stream.get("CommandId", ""))
            if running.exit_status is not None:
                raise Fault(Kind.PIPE_CLOSED, "The pipe has been ended. ")
            try:
                data = base64.b64decode(stream.text or "", validate=True)
            except binascii.Error as error:
                raise Fault(Kind.SCHEMA, "The stream is not base64.") from error
            if data:
                running.stdin.put_nowait(data)
            if stream.get("End", "").lower() in {"true", "1"}:
                running.stdin.put_nowait(None)
        return envelope(f"{wsman.SHELL}/SendResponse", request.message_id, element("rsp:SendResponse"))

    async def _receive(self, request: Request, user: str) -> bytes:
        shell = self.shells.find(request.shell_id, user)
        desired = request.body.find("rsp:Receive/rsp:DesiredStream", PREFIXES)
        running = self.shells.running(shell, "" if desired is None else desired.get("CommandId", ""))
        most = max(1, (request.max_envelope_bytes - _ENVELOPE_ROOM) * 3 // 4)
        try:
            async with asyncio.timeout(request.operation_timeout_s):
                stdout, stderr, status = await running.received(most)
        except TimeoutError as error:
            raise Fault(Kind.OPERATION_TIMEOUT, _TOO_SLOW) from error
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

    def _signal(self, request: Request, user: str) -> bytes:
        shell = self.shells.find(request.shell_id, user)
        signal = request.body.find("rsp:Signal", PREFIXES)
        running = self.shells.running(shell, "" if signal is None else signal.get("CommandId", ""))
        running.task.cancel()
        del shell.commands[running.id]
        return envelope(f"{wsman.SHELL}/SignalResponse", request.message_id, element("rsp:SignalResponse"))
