"""Endpoints of PowerShell (PSRP; MS-PSRP, over MS-WSMV 3.1.4): runspaces, their pipelines, and what comes of these.

psrpcore speaks the protocol. Nothing runs PowerShell: a pipeline that an endpoint knows is answered, any other fails.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from psrpcore import (
    CreatePipelineEvent,
    EndOfPipelineInputEvent,
    GetAvailableRunspacesEvent,
    PipelineInputEvent,
    PSRPCoreError,
    PSRPPayload,
    ServerPipeline,
    ServerRunspacePool,
    SetMaxRunspacesEvent,
    SetMinRunspacesEvent,
    StreamType,
)
from psrpcore.types import (
    ErrorCategory,
    ErrorCategoryInfo,
    ErrorRecord,
    NETException,
    PipelineState,
    PSInvocationState,
    PSVersion,
)

from remote.lab.windows import wsman
from remote.lab.windows.faults import Fault, Kind
from remote.lab.windows.shells import Shell, Shells, no_command, too_slow
from remote.lab.windows.winrs import decoded
from remote.lab.windows.wsman import PREFIXES, Request, element, envelope

_CREATION: Final = f"{{{wsman.POWERSHELLS.rstrip('/')}}}creationXml"
_LARGEST_FRAGMENT: Final = 32 * 1024
"""Bytes of an object that leave in one piece, as Windows sends them (MS-PSRP 2.2.4 leaves it to the implementation)."""
_HEAD: Final = 21
"""Bytes before a fragment; the last four are its length (MS-PSRP 2.2.4)."""
_PID_AT: Final = _HEAD + 24
"""Where the first fragment of a pipeline has its id: behind the heads of fragment and message (MS-PSRP 2.2.4, 2.2.1). pypsrp
writes it with its bytes in another order than the id of the command, and Windows does not mind (recorded)."""
_NO_MORE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One command of a pipeline: a cmdlet by its name, or a script."""

    text: str
    is_script: bool
    arguments: tuple[tuple[str | None, Any], ...] = field(default=(), hash=False)

    def argument(self, name: str | None) -> Any:
        """Return the first argument of this name (None: without a name), None where there is none."""
        return next((value for key, value in self.arguments if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """An error record: the id that no language changes, the category, the words."""

    id: str
    words: str
    category: ErrorCategory = ErrorCategory.NotSpecified


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a pipeline ended: what it wrote to its output and its errors; `failed`: what it stopped at."""

    output: Sequence[Any] = ()
    errors: Sequence[Wrong] = ()
    failed: Wrong | None = None


@dataclass(slots=True, eq=False)
class Piped:
    """What is asked of a pipeline; its program reads what comes, and may write before it ends."""

    calls: tuple[Call, ...]
    user: str
    write: Callable[[Any], None]
    """Writes an object to the output."""
    warn: Callable[[str], None]
    input: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def objects(self) -> AsyncIterator[Any]:
        """Yield the objects of its input."""
        while (one := await self.input.get()) is not _NO_MORE:
            yield one


PipelineProgram: TypeAlias = Callable[[Piped], Awaitable[Told | None]]
"""Answers a pipeline: returns how it ended, or None if this endpoint knows no such pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A configuration of a PowerShell session by its program; `visible`: the commands of one that speaks no language (JEA)."""

    program: PipelineProgram
    visible: frozenset[str] | None = None
    version: str = "5.1.20348.2849"


class Pipeline:
    """A pipeline in a runspace, and what waits to be received of it."""

    def __init__(self, runspace: Runspace, command_id: str, first: bytes) -> None:
        self.id = command_id
        self.server = ServerPipeline(runspace.pool, uuid.UUID(bytes_le=first[_PID_AT : _PID_AT + 16]))
        self.asked: Piped | None = None
        self.waiting = Waiting()
        self.task: asyncio.Task[None] | None = None


class Waiting:
    """Fragments that wait to be received; `ended`: no more will come."""

    def __init__(self) -> None:
        self._fragments: deque[bytes] = deque()
        self._something = asyncio.Event()
        self.ended = False

    def put(self, fragment: bytes) -> None:
        """Let a fragment wait."""
        self._fragments.append(fragment)
        self._something.set()

    def end(self) -> None:
        """Say that no more will come."""
        self.ended = True
        self._something.set()

    async def taken(self, most: int) -> list[bytes]:
        """Wait for something, and return fragments of at most so many bytes together, at least one if there is one."""
        await self._something.wait()
        fragments: list[bytes] = []
        while self._fragments and (not fragments or most >= len(self._fragments[0])):
            fragments.append(self._fragments.popleft())
            most -= len(fragments[-1])
        if not self._fragments and not self.ended:
            self._something.clear()
        return fragments

    @property
    def over(self) -> bool:
        """Whether all was received that ever will be."""
        return self.ended and not self._fragments


class Runspace:
    """One runspace pool of a client."""

    def __init__(self, endpoint: Endpoint, user: str, shells: Shells) -> None:
        versions = {"PSVersion": PSVersion(endpoint.version), "PSEdition": "Desktop", "WSManStackVersion": PSVersion("3.0")}
        self.pool = ServerRunspacePool(application_private_data={"PSVersionTable": versions})
        self.endpoint, self._user, self._shells = endpoint, user, shells
        self.waiting = Waiting()
        self.pipelines: dict[str, Pipeline] = {}
        """By the id of their command."""
        self._by_pid: dict[uuid.UUID, Pipeline] = {}

    def add(self, command_id: str, first: bytes) -> Pipeline:
        """Keep a new pipeline; `first` is its first fragment. Raises ValueError for what is none, or whose id is taken."""
        if command_id in self.pipelines:
            raise ValueError(command_id)
        pipeline = Pipeline(self, command_id, first)
        self.pipelines[command_id] = self._by_pid[pipeline.server.pipeline_id] = pipeline
        return pipeline

    def close(self) -> None:
        """Stop all pipelines."""
        for pipeline in self.pipelines.values():
            if pipeline.task is not None:
                pipeline.task.cancel()

    def heard(self, data: bytes) -> None:
        """Take fragments of the client and do what they say; raises the fault of what is no PSRP."""
        self.pool.receive_data(PSRPPayload(data, StreamType.default, None))
        try:
            while (event := self.pool.next_event()) is not None:
                match event:
                    case CreatePipelineEvent():
                        self._start(self._by_pid[event.pipeline_id])
                    case PipelineInputEvent():
                        self._input(event.pipeline_id, event.data)
                    case EndOfPipelineInputEvent():
                        self._input(event.pipeline_id, _NO_MORE)
                    case SetMaxRunspacesEvent() | SetMinRunspacesEvent():
                        self.pool.runspace_availability_response(event.ci, True)
                    case GetAvailableRunspacesEvent():
                        self.pool.runspace_availability_response(event.ci, self.pool.max_runspaces)
                self.drain()
        except (PSRPCoreError, KeyError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise Fault(Kind.INVALID_PARAMETER, f"The parameter is incorrect. {error!r}") from error
        self.drain()

    def drain(self) -> None:
        """Let what the pool wants to say wait for whoever receives it, one fragment for each object that fits into one."""
        while (payload := self.pool.data_to_send(_LARGEST_FRAGMENT)) is not None:
            target = self if payload.pipeline_id is None else self._by_pid[payload.pipeline_id]
            for fragment in _fragments(payload.data):
                target.waiting.put(fragment)

    def _input(self, pipeline_id: uuid.UUID, value: Any) -> None:
        asked = self._by_pid[pipeline_id].asked
        if asked is not None:
            asked.input.put_nowait(value)

    def _start(self, pipeline: Pipeline) -> None:
        metadata: Any = pipeline.server.metadata
        calls = tuple(
            Call(text=one.command_text, is_script=one.is_script, arguments=tuple(one.parameters)) for one in metadata.commands
        )

        def write(value: Any) -> None:
            pipeline.server.write_output(value)
            self.drain()

        def warn(words: str) -> None:
            pipeline.server.write_warning(words)
            self.drain()

        pipeline.asked = Piped(calls=calls, user=self._user, write=write, warn=warn)
        if metadata.no_input:
            pipeline.asked.input.put_nowait(_NO_MORE)
        self._shells.started.append("; ".join(call.text for call in calls))
        pipeline.server.state = PSInvocationState.Running  # `start` would say so to the client, and Windows does not (recorded)
        pipeline.task = self._shells.watch(asyncio.create_task(self._run(pipeline, pipeline.asked)))

    async def _run(self, pipeline: Pipeline, asked: Piped) -> None:
        told = self._refused(asked) or await self.endpoint.program(asked) or Told(failed=_NOT_KNOWN)
        for value in told.output:
            asked.write(value)
        for wrong in told.errors:
            record = _record(wrong)
            pipeline.server.write_error(record.Exception, record.CategoryInfo, fully_qualified_error_id=wrong.id)
            self.drain()
        if told.failed is None:
            pipeline.server.complete()
        else:
            state = PipelineState(PipelineState=int(PSInvocationState.Failed), ExceptionAsErrorRecord=_record(told.failed))
            pipeline.server.prepare_message(state)
        self.drain()
        pipeline.waiting.end()

    def _refused(self, asked: Piped) -> Told | None:
        """Return what an endpoint without a language says to scripts, and to commands that it does not show."""
        if self.endpoint.visible is None:
            return None
        for call in asked.calls:
            if call.is_script:
                return Told(failed=_NO_LANGUAGE)
            if call.text not in self.endpoint.visible:
                words = (
                    f"The term '{call.text}' is not recognized as the name of a cmdlet, function, script file, or operable "
                    "program. Check the spelling of the name, or if a path was included, verify that the path is correct and "
                    "try again."
                )
                return Told(failed=Wrong(id="CommandNotFoundException", words=words, category=ErrorCategory.ObjectNotFound))
        return None


_NO_LANGUAGE: Final = Wrong(
    id="ScriptsNotAllowed",
    words="The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode.",
    category=ErrorCategory.ParserError,
)
_NOT_KNOWN: Final = Wrong(id="LongarmNotKnown", words="This practice host runs no PowerShell, and knows no such script.")


def _record(wrong: Wrong) -> ErrorRecord:
    return ErrorRecord(
        Exception=NETException(Message=wrong.words, HResult=-2146233087),
        CategoryInfo=ErrorCategoryInfo(Category=wrong.category, Reason="RuntimeException"),
        FullyQualifiedErrorId=wrong.id,
    )


class Runspaces:
    """What the messages to endpoints of PowerShell do."""

    def __init__(self, shells: Shells) -> None:
        self._shells = shells

    def create(self, request: Request, user: str, endpoint: Endpoint) -> Shell:
        """Open a runspace pool."""
        asked = request.body.find("rsp:Shell", PREFIXES)
        creation = None if asked is None else asked.findtext(_CREATION)
        if asked is None or not creation:
            raise Fault(Kind.SCHEMA, "A shell of PowerShell needs creationXml.")
        runspace = Runspace(endpoint, user, self._shells)
        runspace.heard(decoded(creation))
        shell = Shell(owner=user, resource_uri=request.resource_uri, runspace=runspace)
        shell.idle_timeout_s = wsman.seconds(request.text("rsp:Shell/rsp:IdleTimeOut"), default=shell.idle_timeout_s)
        if wanted := asked.get("ShellId"):
            shell.id = wanted.upper()
        return self._shells.keep(shell)

    def command(self, request: Request, shell: Shell) -> bytes:
        """Make a pipeline; it starts when all of it has come."""
        runspace = _runspace(shell)
        self._shells.count_operation(shell)
        line = request.body.find("rsp:CommandLine", PREFIXES)
        wanted = "" if line is None else line.get("CommandId", "")
        fragments = decoded(request.text("rsp:CommandLine/rsp:Arguments"))
        try:
            pipeline = runspace.add(str(uuid.UUID(wanted) if wanted else uuid.uuid4()).upper(), fragments)
        except ValueError as error:
            raise Fault(Kind.INVALID_PARAMETER, "The parameter is incorrect. ") from error
        runspace.heard(fragments)
        answer = element("rsp:CommandResponse", children=[element("rsp:CommandId", pipeline.id)])
        return envelope(f"{wsman.SHELL}/CommandResponse", request.message_id, answer)

    def send(self, request: Request, shell: Shell) -> bytes:
        """Take more of what a pipeline is, or its input."""
        for stream in request.body.iterfind("rsp:Send/rsp:Stream", PREFIXES):
            _runspace(shell).heard(decoded(stream.text))
        return envelope(f"{wsman.SHELL}/SendResponse", request.message_id, element("rsp:SendResponse"))

    async def receive(self, request: Request, shell: Shell) -> bytes:
        """Wait for what the pool or a pipeline says, as long as the message allows."""
        desired = request.body.find("rsp:Receive/rsp:DesiredStream", PREFIXES)
        pipeline = None
        if desired is not None and (wanted := desired.get("CommandId")) is not None:
            pipeline = _pipeline(shell, wanted)
        waiting = _runspace(shell).waiting if pipeline is None else pipeline.waiting
        try:
            async with asyncio.timeout(request.operation_timeout_s):
                fragments = await waiting.taken(request.room_bytes)
        except TimeoutError as error:
            raise too_slow() from error
        named: dict[str, Any] = {} if pipeline is None else {"CommandId": pipeline.id}
        said = [element("rsp:Stream", base64.b64encode(one).decode(), Name="stdout", **named) for one in fragments]
        if pipeline is not None and waiting.over:
            state = element("rsp:CommandState", CommandId=pipeline.id, State=wsman.DONE)
            state.append(element("rsp:ExitCode", "0"))
            said.append(state)
        answer = element("rsp:ReceiveResponse", children=said)
        return envelope(f"{wsman.SHELL}/ReceiveResponse", request.message_id, answer)

    def signal(self, request: Request, shell: Shell) -> bytes:
        """Stop a pipeline; any signal but `crtl_c` (as Windows spells it) forgets it too."""
        signal = request.body.find("rsp:Signal", PREFIXES)
        pipeline = _pipeline(shell, "" if signal is None else signal.get("CommandId", ""))
        if pipeline.task is not None:
            pipeline.task.cancel()
        if not pipeline.waiting.ended and pipeline.asked is not None:
            pipeline.server.stop()
            _runspace(shell).drain()
            pipeline.waiting.end()
        if not request.text("rsp:Signal/rsp:Code").endswith("/crtl_c"):
            del _runspace(shell).pipelines[pipeline.id]
        return envelope(f"{wsman.SHELL}/SignalResponse", request.message_id, element("rsp:SignalResponse"))


def _fragments(data: bytes) -> Iterator[bytes]:
    """Yield the fragments in a payload one by one, as Windows sends each in a stream of its own."""
    at = 0
    while at < len(data):
        end = at + _HEAD + int.from_bytes(data[at + _HEAD - 4 : at + _HEAD], "big")
        yield data[at:end]
        at = end


def _runspace(shell: Shell) -> Runspace:
    if shell.runspace is None:
        raise Fault(Kind.INVALID_PARAMETER, "The parameter is incorrect. ")
    return shell.runspace


def _pipeline(shell: Shell, command_id: str) -> Pipeline:
    if (pipeline := _runspace(shell).pipelines.get(command_id.upper())) is None:
        raise no_command()
    return pipeline
