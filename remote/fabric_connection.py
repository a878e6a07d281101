"""A `fabric.Connection` for Python functions of L3, over a session that is open: the same login, trust, way and root.

fabric by itself accepts any host key, reads ssh_config, offers every key it finds, and gives the sudo password to whatever
prints the prompt. Here it connects to nothing: `run`, `sudo`, `put` and `get` are those of the session, with its deadlines
and caps, and what would need a connection of fabric's own is refused (decision 16).
"""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError as Given
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from inventory.errors import Text
from inventory.secret import MASKER
from remote.answer import Ended
from remote.bundle.attempt import STDERR_LIMIT
from remote.bundle.kept import masked_part
from remote.bundle.script import quote
from remote.command import Command, CommandResult
from remote.errors import DeadlineExceeded, RemoteError
from remote.files import Destination
from remote.question import Privilege
from remote.session import Session
from remote.threaded.library import paramiko  # before fabric, which imports it too
from remote.threaded.worker import in_a_thread

import fabric  # isort: skip
import invoke  # isort: skip
from fabric.transfer import Result as Transferred  # isort: skip

T = TypeVar("T")
MOST_FUNCTIONS: Final = 16
"""How many functions run at once: each has a thread."""
LEAVING_S: Final = 2.0
"""How long a function may go on after its deadline, when every call of its connection has failed."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class NotOffered(RemoteError):
    """Something of fabric's that is refused here; `what` names it."""

    def __init__(self, host: str, what: str) -> None:
        self.what = what
        super().__init__(host, Text("fabric's {what} is not offered here", what=what))


class Unfinished(RemoteError):
    """A command that has no exit status of its own: nobody may take it for a success. `result` is what there is."""

    def __init__(self, host: str, result: CommandResult) -> None:
        self.result = result
        why = result.denied or result.why or str(result.ended)
        super().__init__(host, Text("the command did not end by itself: {why}", why=why))


async def with_fabric(
    session: Session, function: Callable[[fabric.Connection], T], *, deadline_s: float, max_bytes: int = 16 * 1024 * 1024
) -> T:
    """Return what `function` returns, called in a thread with a connection to the session's host; raises what it raises.

    After `deadline_s` every call of the connection fails, and DeadlineExceeded is raised whatever the function does.
    """
    turns = _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST_FUNCTIONS))
    bridge = None
    try:
        async with asyncio.timeout(deadline_s) as limit, turns:
            left_s = max(0.001, (limit.when() or 0.0) - asyncio.get_running_loop().time())
            bridge = Bridge(session, left_s, max_bytes)
            work = asyncio.ensure_future(in_a_thread("fabric", _called, function, Connection(bridge)))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                bridge.close()
                await asyncio.wait([work], timeout=LEAVING_S)
                work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
                raise
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineExceeded(session.host.name, deadline_s) from error
        raise
    finally:
        if bridge is not None:
            bridge.close()


def _called(function: Callable[[fabric.Connection], T], connection: fabric.Connection) -> T:
    """Return what `function` returns; one that would end the program (`sys.exit`) fails instead: other hosts are at work."""
    try:
        return function(connection)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the function would end the program: {error!r}") from error


def fabric_connection(session: Session, *, deadline_s: float, max_bytes: int = 16 * 1024 * 1024) -> fabric.Connection:
    """Return a connection for other threads than the one that calls this; after `deadline_s` its calls fail."""
    return Connection(Bridge(session, deadline_s, max_bytes))


class Bridge:
    """From a thread to the session in its event loop; nothing passes after the deadline, or once it is closed."""

    def __init__(self, session: Session, deadline_s: float, max_bytes: int) -> None:
        self.session, self.max_bytes = session, max_bytes
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._end, self._deadline_s = time.monotonic() + deadline_s, deadline_s
        self._waiting: set[Future[Any]] = set()
        self._closed = False

    @property
    def left_s(self) -> float:
        """Return the seconds that are left, or raise DeadlineExceeded."""
        left_s = self._end - time.monotonic()
        if left_s <= 0 or self._closed:
            raise DeadlineExceeded(self.session.host.name, self._deadline_s)
        return left_s

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the session makes of some work; called in a thread that is not the event loop's."""
        if threading.get_ident() == self._home:
            work.close()
            raise RuntimeError("a connection of fabric is for other threads than that of the event loop")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waiting.add(future)
        try:
            return future.result()
        except Given:
            raise DeadlineExceeded(self.session.host.name, self._deadline_s) from None
        finally:
            self._waiting.discard(future)

    def close(self) -> None:
        """Let everything that is waited for fail."""
        self._closed = True
        for future in tuple(self._waiting):
            future.cancel()


class _Runner(fabric.runners.Remote):  # type: ignore[misc]  # fabric says nothing of its types
    """Runs a command over the session; keeps invoke's words for what came of it.

    A result's `answer` has what invoke has no words for: whether it ran as root, what could not be ended at its deadline.
    """

    privilege = Privilege.USER

    def _run_body(self, command: str, **kwargs: Any) -> fabric.Result:
        self._setup(command, kwargs)
        bridge: Bridge = self.context.bridge
        for what in ("pty", "watchers", "asynchronous", "disown"):
            if self.opts[what]:
                raise NotOffered(bridge.session.host.name, what)
        limit_s = min(bridge.left_s, self.opts["timeout"] or math.inf)
        result = bridge.call(bridge.session.run(self._command(command, limit_s), deadline_s=bridge.left_s))
        return self._judged(result, bridge.session.host.name, limit_s)

    def _command(self, command: str, limit_s: float) -> Command:
        """Return the command with its environment: values are quoted, names are names."""
        for name in self.env:
            if not _NAME.fullmatch(name):
                raise ValueError(f"not the name of a variable: {name!r}")
        exports = "".join(f"export {name}={quote(str(value))}\n" for name, value in self.env.items())
        return Command(
            script=exports + command,
            deadline_s=max(1, math.ceil(limit_s)),
            max_bytes=self.context.bridge.max_bytes,
            privilege=self.privilege,
        )

    def _judged(self, result: CommandResult, host: str, limit_s: float) -> fabric.Result:
        result = masked(result, self.context.bridge.max_bytes)
        if result.ended not in (Ended.EXITED, Ended.TIMED_OUT) or (result.ended is Ended.EXITED and result.exit_status is None):
            raise Unfinished(host, result)
        out, err = (data.decode(self.encoding, "replace") for data in (result.stdout, result.stderr))
        exited = -1 if result.exit_status is None else result.exit_status
        made = self.generate_result(**self.result_kwargs, stdout=out, stderr=err, exited=exited)
        made.answer = result.answer()
        if result.ended is Ended.TIMED_OUT:
            raise invoke.exceptions.CommandTimedOut(made, timeout=math.ceil(limit_s))
        if exited and not self.opts["warn"]:
            raise invoke.exceptions.UnexpectedExit(made)
        return made


class _RootRunner(_Runner):
    privilege = Privilege.ROOT


class Connection(fabric.Connection):  # type: ignore[misc]  # likewise
    """fabric's connection without its own way to a host."""

    def __init__(self, bridge: Bridge) -> None:
        session = bridge.session
        overrides = {
            "run": {"hide": True, "in_stream": False, "encoding": "utf-8", "echo": False},
            "runners": {"remote": _Runner},
            "load_ssh_configs": False,
        }
        config = fabric.Config(overrides=overrides, lazy=True, ssh_config=paramiko.SSHConfig())
        super().__init__(host=session.host.address, user=session.facts.user, port=session.host.port or 22, config=config)
        self._set(bridge=bridge, client=None, original_host=session.host.name)

    @property
    def is_connected(self) -> bool:
        """Tell whether calls are passed on: the session is open, that is whose it is."""
        return True

    def open(self) -> None:
        """Return at once: the session is open."""

    def close(self) -> None:
        """Return at once: the session belongs to whoever opened it."""

    def sudo(self, command: str, *, user: str | None = None, password: str | None = None, **kwargs: Any) -> fabric.Result:
        """Run a command as root, as the session becomes root: no password is given to fabric, and no prompt is matched."""
        if password is not None or user not in (None, "root"):
            self._refuse("sudo with a password or for another user than root")
        return self._run(_RootRunner(context=self, inline_env=True), command, **kwargs)

    def put(self, local: Any, remote: str | None = None, preserve_mode: bool = True) -> Transferred:
        """Put a file, a path or an open file, under an absolute path: whole, compared, or not at all."""
        if remote is None:
            self._refuse("put without a path on the host")
        source = Path(local) if isinstance(local, str | Path) else _bytes(local.read())
        mode = source.stat().st_mode & 0o777 if preserve_mode and isinstance(source, Path) else 0o644
        work = self.bridge.session.put(source, Destination(path=remote, mode=mode), deadline_s=self.bridge.left_s)
        self.bridge.call(work)
        return Transferred(local=local, orig_local=local, remote=remote, orig_remote=remote, connection=self)

    def get(self, remote: str, local: Any = None, preserve_mode: bool = False) -> Transferred:  # noqa: ARG002 (fabric's signature)
        """Get a file into a path of yours: no name of the host's is ever written to, and no more than the cap."""
        if not isinstance(local, str | Path):
            self._refuse("get without a path of yours")
        work = self.bridge.session.get(remote, Path(local), max_bytes=self.bridge.max_bytes, deadline_s=self.bridge.left_s)
        self.bridge.call(work)
        return Transferred(local=str(local), orig_local=local, remote=remote, orig_remote=remote, connection=self)

    def create_session(self) -> NoReturn:
        """Refuse."""
        self._refuse("channels")

    def open_gateway(self) -> NoReturn:
        """Refuse."""
        self._refuse("gateways")

    def shell(self, **_: Any) -> NoReturn:
        """Refuse."""
        self._refuse("shell")

    def sftp(self) -> NoReturn:
        """Refuse."""
        self._refuse("sftp")

    def forward_local(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        self._refuse("forward_local")

    def forward_remote(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        self._refuse("forward_remote")

    def _refuse(self, what: str) -> NoReturn:
        raise NotOffered(self.bridge.session.host.name, what)


def masked(result: CommandResult, max_bytes: int) -> CommandResult:
    """Return the result as a function may print it: a host can repeat the password that it was given."""

    def clean(data: bytes, most: int, cut: int) -> bytes:
        return MASKER.data(data) if result.ended is Ended.EXITED else masked_part(data, most, cut, MASKER)

    stdout = clean(result.stdout, max_bytes, result.stdout_cut)
    stderr = clean(result.stderr, STDERR_LIMIT, result.stderr_cut)
    return replace(result, stdout=stdout, stderr=stderr, why=MASKER.text(result.why), denied=MASKER.text(result.denied))


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
