"""The messages of a session to an endpoint of PowerShell (PSRP), by pypsrp over our own connection.

They have the words of pywinrm's messages to shells of cmd, so that one way of carrying serves both (shell.py). What a runspace
can run itself is run there; anything else is started as a process by a script that is its console (psrp.ps1).
"""

from __future__ import annotations

import logging
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast
from xml.etree import ElementTree as ET

from pypsrp.complex_objects import Command, PSInvocationState, RunspacePoolState
from pypsrp.exceptions import WinRMError as PsrpError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import NAMESPACES, SelectorSet, WSMan
from winrm.exceptions import WinRMError, WinRMOperationTimeoutError

from inventory.errors import Text
from remote.windows.bundle import fixed, in_runspace, pack
from remote.windows.launch import Launch
from remote.windows.messages import SHELL_IDLE_S, Messages
from remote.windows.troubles import TROUBLES, EndpointRefused, Kind, trouble_of
from remote.windows.wire import Wire

T = TypeVar("T")

DEFAULT: Final = "Microsoft.PowerShell"
"""The endpoint that every Windows host has; members of Remote Management Users may use it."""
_ENDPOINTS: Final = "http://schemas.microsoft.com/powershell/"
_ROOM: Final = 4 * 1024 * 1024
"""Bytes of envelopes beside what the listener takes, which is text within XML within base64."""
_SWELL: Final = 3
_LONGEST: Final = 300
_OVER: Final = (
    "rsp:ReceiveResponse/rsp:CommandState[@State='http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done']"
)
_DONE: Final = (PSInvocationState.COMPLETED, PSInvocationState.STOPPED, PSInvocationState.FAILED)

REFUSALS: Final[Mapping[str, Text]] = {
    "ScriptsNotAllowed": Text("the endpoint takes no scripts: its language mode is NoLanguage"),
    "CommandNotFoundException": Text("the endpoint does not have the commands that longarm needs"),
    "MethodInvocationNotSupportedInConstrainedLanguage": Text("the endpoint allows no .NET: its language mode is constrained"),
    "CannotCreateTypeConstrainedLanguage": Text("the endpoint allows no .NET: its language mode is constrained"),
}
"""Why an endpoint runs nothing of ours, by the identifiers of its errors, which no language changes."""
GARBLED: Final = (
    PsrpError,
    ET.ParseError,
    RecursionError,
    struct.error,
    ArithmeticError,
    NotImplementedError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    StopIteration,
)
"""What a hostile or damaged answer makes pypsrp run into; all of it is told as what it is: not PSRP."""


TROUBLED: Final = tuple(kind for kind, _ in TROUBLES)
logging.getLogger("pypsrp").setLevel(logging.CRITICAL + 1)  # words of hosts, of any length


class OurOwn(Exception):
    """What went wrong here while input was made for a pipeline: of our own file, or of whoever watches; no host's trouble."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


class Pipelines:
    """One pipeline in a runspace of its own; `wait_s` is how long the host may take for the next message."""

    def __init__(self, wire: Wire, launch: Launch, *, most: int, endpoint: str) -> None:
        self._connection = _Connection(wire, _SWELL * most + _ROOM)
        self._launch, self._endpoint = launch, endpoint
        self._pool: RunspacePool | None = None
        self._asked: PowerShell | None = None
        self._on_its_way = False
        self._failed: Exception | None = None
        self._status: int | None = None
        self.shells: list[str] = []
        self._ran = False
        self.refused = False
        """Whether the endpoint ran nothing of it, and said why."""

    @property
    def wait_s(self) -> float:
        """Return how long the host may take."""
        return float(self._connection.operation_timeout)

    @wait_s.setter
    def wait_s(self, seconds: float) -> None:
        self._connection.operation_timeout = cast("int", round(seconds, 3))  # it is only written out

    @property
    def named(self) -> str:
        """Return the id of a pipeline whose start was not answered; empty where it is of no use without its input.

        What a runspace runs itself is whole in one message: it has begun, or it has not.
        """
        if not self._launch.script or self._asked is None or self._asked.state != PSInvocationState.NOT_STARTED:
            return ""
        return str(uuid.UUID(self._asked.id)).upper()

    def created(self, _: dict[str, str]) -> str:
        """Return the id of a new runspace, which is ours: it can be deleted, whatever is heard of its creation."""
        self._asked = None
        pool = self._pool = _Runspace(self._connection, configuration_name=self._endpoint, idle_timeout=SHELL_IDLE_S)
        self.shells.append(str(pool.id))
        self._connection.opening = True
        try:
            _read(pool.open)
        except TROUBLED as error:
            if pool.state == RunspacePoolState.BEFORE_OPEN and trouble_of(error).kind is Kind.ANSWERED:
                self.shells.pop()  # there is none
            raise
        self._connection.opening = False
        return self.shells[-1]

    def started(self, _: str, __: str) -> str:
        """Return the id of a pipeline that has been started; why its input did not arrive is told when it is heard."""
        assert self._pool is not None
        asked = self._asked = self._asked or self._pipeline(self._pool)
        asked._command_id = asked.id  # noqa: SLF001 (else what is heard of it before its start is answered is the runspace's)
        try:
            _read(lambda: asked.begin_invoke(input=self._input(), remote_stream_options=0))
        except TROUBLED as error:
            if not self._on_its_way or trouble_of(error).kind is Kind.DROPPED:
                raise
            self._failed = error
        return str(uuid.UUID(asked.id)).upper()

    def get_command_output_raw(self, _: str, __: str) -> tuple[bytes, bytes, int | None, bool]:
        """Return what the pipeline said since, its exit status, and whether it is over."""
        assert self._asked is not None
        asked = self._asked
        try:
            _read(asked.poll_invoke)
        except TROUBLED as error:
            self._ran |= trouble_of(error).kind is Kind.DROPPED  # what it said is lost: it may have been anything
            raise
        said, wrong = self._said(asked)
        if asked.state == PSInvocationState.FAILED:
            raise self._refusal(asked)
        over = asked.state in _DONE or self._connection.over
        if self._failed is not None and not over:
            raise self._failed
        return said, wrong, self._status, over

    def cleanup_command(self, _: str, __: str) -> None:
        """Stop the pipeline."""
        if self._asked is not None and self._asked.state == PSInvocationState.RUNNING:
            _read(self._asked.stop)

    def send_command_input(self, _: str, __: str, ___: bytes, end: bool = False) -> None:
        """Refuse it: a pipeline is started with its input."""
        raise AssertionError(f"nothing is sent behind a pipeline: {end}")

    def close_shell(self, shell: str, close_session: bool = True) -> None:  # noqa: ARG002 (pywinrm's)
        """Delete the runspace."""
        selectors = SelectorSet()
        selectors.add_option("ShellId", shell)
        _read(lambda: self._connection.delete(_ENDPOINTS + self._endpoint, selector_set=selectors))

    def _pipeline(self, pool: RunspacePool) -> PowerShell:
        if self._launch.script:
            return _asking(pool, in_runspace(), pack(self._launch.script))
        file, _, arguments = self._launch.line.partition(" ")
        name, value = next(iter(self._launch.variables.items()), ("", ""))
        return _asking(pool, fixed("psrp"), file, arguments, name, value)

    def _input(self) -> Iterator[str] | None:
        return None if self._launch.stdin is None else self._pieces(self._launch.stdin)

    def _pieces(self, stdin: Iterator[bytes]) -> Iterator[str]:
        self._on_its_way = True
        try:
            for piece in stdin:
                yield piece.decode("ascii")
        except TROUBLED as error:
            raise OurOwn(error) from error
        yield ""

    def _said(self, asked: PowerShell) -> tuple[bytes, bytes]:
        """Return what it wrote since, and note the number that says how its process ended: it comes before the end does."""
        output, asked.output[:] = list(asked.output), []
        warnings, asked.streams.warning[:] = list(asked.streams.warning), []
        said = b"".join(one.encode("utf-8", "replace") for one in output if isinstance(one, str))
        self._ran |= bool(output)
        self._status = next((one for one in reversed(output) if isinstance(one, int)), self._status)
        return said, "".join(str(one.message or "") for one in warnings).encode("utf-8", "replace")

    def _refusal(self, asked: PowerShell) -> EndpointRefused:
        error: Any = asked.streams.error[-1] if asked.streams.error else None
        identifier = str(getattr(error, "fq_error", None) or "").partition(",")[0]
        self.refused = identifier in REFUSALS and not self._ran
        return EndpointRefused(REFUSALS.get(identifier) or f"{identifier or 'the pipeline failed'}: {error}"[:_LONGEST])


def _asking(pool: RunspacePool, script: str, *arguments: str) -> PowerShell:
    asked = PowerShell(pool)
    asked.commands.append(_Once(script, protocol_version=pool.protocol_version or "", is_script=True))
    for argument in arguments:
        asked.add_argument(argument)
    return asked


class _Once(Command):
    """A command that pypsrp need not copy: it copies each one twice, for lxml, which neither uses (2 ms a host)."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Command:
        return self


class _Runspace(RunspacePool):
    """A runspace whose warnings are not told: pypsrp gives them to Python's, which write a host's words to our stderr."""

    def _process_runspacepool_warning(self, message: Any) -> None:
        """Leave it out."""


class _Connection(WSMan):
    """pypsrp's messages over our connection; errors come as pywinrm tells them, so that one table reads both."""

    def __init__(self, wire: Wire, most: int) -> None:
        super().__init__("host", ssl=False, auth="basic", username="", password="", encryption="never", no_proxy=True)
        self.messages = Messages(wire)
        self.transport = cast("Any", _Transport(self.messages, most))
        self.opening = self.over = False

    def receive(self, *arguments: Any, **named: Any) -> Any:
        """Return what a runspace or its pipeline says; one that is being opened is waited for, until the wire ends that.

        Notes whether a pipeline is over: what itself says of that may have been lost with a connection.
        """
        while True:
            try:
                said = super().receive(*arguments, **named)
            except WinRMOperationTimeoutError:
                if not self.opening:
                    raise
            else:
                self.over = said.find(_OVER, NAMESPACES) is not None
                return said


class _Transport:
    """What pypsrp sends by."""

    endpoint = "http://host/wsman"

    def __init__(self, messages: Messages, most: int) -> None:
        self._messages, self._room = messages, most

    def send(self, message: bytes, **_: Any) -> bytes:
        """Return the answer to a message; raises ValueError when it was too much."""
        said = self._messages.send_message(cast("Any", message))
        self._room -= len(said)
        if self._room < 0:
            raise ValueError("the host sent more than all caps together")
        return said


def _read(call: Callable[[], T]) -> T:
    """Return what a call of pypsrp's brings; raises pywinrm's errors, OSError, or ValueError for what is no PSRP."""
    try:
        return call()
    except WinRMError:
        raise
    except GARBLED as error:
        raise ValueError(f"not PSRP: {type(error).__name__}") from error
