"""What Ansible does on a host, over a session that is open: the same login, trust, way and root (decision 35).

Ansible's own connections know neither our host keys nor our ways to a host, and have to be given every secret. Here it is
given none: a connection plugin passes each command and file on to a socket, which we serve for as long as one run takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from inventory.errors import Text
from inventory.host import Platform, Transport
from remote.accepting import accepting
from remote.answer import Ended
from remote.command import MOST_STDIN, Command, CommandResult
from remote.errors import ConnectionLost, DeadlineExceeded, RemoteError
from remote.files import Destination
from remote.question import Privilege
from remote.session import Session
from remote.threaded.worker import in_a_thread

T = TypeVar("T")
MOST_RUNS: Final = 4
"""How many run at once on this machine: each is several processes of Python."""
LEAVING_S: Final = 10.0
"""How long a run may take to end once it is stopped."""
MOST_OUTPUT: Final = 16 * 1024 * 1024
MOST_FETCHED: Final = 256 * 1024 * 1024
_FOLDERS: Final = "longarm-ansible-"
"""Locked as long as the process lives whose folder it is."""
_LONGEST_HEAD: Final = 4 * 1024 * 1024
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?")
_AS_SSH: Final = "umask 022\nunset LC_ALL\ncd 2>/dev/null || :\n"
"""What our commands have of their own, as a login by ssh has it: modules take their modes and words from there."""
_AS_ANOTHER: Final = 'exec su -s /bin/sh "$user" -c "$script"'
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class NoShell(RemoteError):
    """Ansible is asked for on a host that has no `sh` for it."""


class NoTurn(RemoteError):
    """Too many runs of Ansible were before this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleWay:
    """How one run of Ansible reaches one host."""

    folder: Path
    """Ours alone, and gone when the run is over."""
    socket: Path
    user: str
    """Who we are on the host."""
    end: float
    """When the deadline is over, on the monotonic clock."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for the run any more."""
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when the connection went away under a command: nobody knows how that ended."""

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline, at least one."""
        return max(1.0, self.end - time.monotonic())


async def with_ansible(session: Session, run: Callable[[AnsibleWay], T], *, deadline_s: float) -> T:
    """Return what `run` returns, called in a thread with a way to the session's host; raises what it raises.

    Raises NoShell on Windows, NoTurn where too many runs were before it, and DeadlineExceeded where the run has not ended by
    itself a while after its deadline.
    """
    host = session.host
    if host.platform is Platform.WINDOWS or host.transport in (Transport.WINRM, Transport.PSRP):
        raise NoShell(host.name, Text("Ansible is run on hosts that are reached by SSH, not by {way}", way=host.transport))
    end = time.monotonic() + deadline_s
    turns = _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST_RUNS))
    try:
        async with asyncio.timeout(deadline_s / 2):
            await turns.acquire()
    except TimeoutError as error:
        raise NoTurn(host.name, Text("half of its deadline was over before Ansible had a turn: nothing was begun")) from error
    try:
        async with asyncio.timeout(max(0.0, end - time.monotonic()) + LEAVING_S) as limit:
            with private_folder() as folder:
                way = AnsibleWay(folder=folder, socket=folder / "host", user=session.facts.user, end=end)
                async with _served(session, way):
                    return await _run(run, way)
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineExceeded(host.name, deadline_s) from error
        raise
    finally:
        turns.release()


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder of ours alone, which is gone afterwards; what a process of ours that was killed has left goes first."""
    _sweep()
    private, lock = _begun()
    try:
        with private as name:
            yield Path(name)
    finally:
        os.close(lock)


def _begun() -> tuple[TemporaryDirectory[str], int]:
    """Return a new folder and the descriptor that says, as long as it is open, that a process is at work in it."""
    while True:
        private = TemporaryDirectory(prefix=_FOLDERS, ignore_cleanup_errors=True)
        with suppress(FileNotFoundError):  # another one swept it before we had said so
            lock = os.open(private.name, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if Path(private.name).exists():
                return private, lock
            os.close(lock)
        private.cleanup()


def _sweep() -> None:
    """Remove the folders of ours whose processes are gone."""
    for folder in Path(gettempdir()).glob(f"{_FOLDERS}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # no folder, or gone by now
            continue
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # somebody is at work in it
            continue
        finally:
            os.close(lock)


async def _run(run: Callable[[AnsibleWay], T], way: AnsibleWay) -> T:
    """Return what a run returns; where nobody waits for it any more it is stopped, and given time to end."""
    work = asyncio.ensure_future(in_a_thread("ansible", run, way))
    try:
        return await asyncio.shield(work)
    finally:
        way.stopped.set()
        if not work.done():
            await asyncio.wait([work], timeout=LEAVING_S)
            work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


@asynccontextmanager
async def _served(session: Session, way: AnsibleWay) -> AsyncIterator[None]:
    """Answer what is asked on the socket until left; what is under way then is given up."""
    try:
        listener = socket.create_server(str(way.socket), family=socket.AF_UNIX)
    except OSError as error:
        text = Text("Ansible's socket cannot be made: {reason}", reason=str(error))
        raise NoShell(session.host.name, text, Text("TMPDIR=/tmp longarm …")) from error
    async with accepting(listener, partial(_answered, session, way), limit=_LONGEST_HEAD):
        yield


async def _answered(session: Session, way: AnsibleWay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request: a line of JSON and the bytes that it announces, both ways."""
    head = json.loads(await reader.readuntil(b"\n"))
    stdin = await reader.readexactly(head.get("stdin", 0))
    try:
        answer, out, err = await _done(session, way, head, stdin)
    except ConnectionLost as error:
        answer, out, err = {"unreachable": str(error)}, b"", b""
    except RemoteError as error:
        answer, out, err = {"failed": str(error)}, b"", b""
    except OSError as error:
        answer, out, err = {"failed": error.strerror or str(error)}, b"", b""
    line = json.dumps({**answer, "stdout": len(out), "stderr": len(err)}).encode()
    writer.write(line + b"\n" + out + err)
    await writer.drain()


async def _done(
    session: Session, way: AnsibleWay, head: Mapping[str, Any], stdin: bytes
) -> tuple[dict[str, Any], bytes, bytes]:
    match head["do"]:
        case "put":
            to = Destination(path=head["to"], mode=0o600)
            await session.put(Path(head["from"]), to, deadline_s=way.left_s)
            return {}, b"", b""
        case "get":
            await session.get(head["from"], Path(head["to"]), max_bytes=MOST_FETCHED, deadline_s=way.left_s)
            return {}, b"", b""
    if len(stdin) > MOST_STDIN:
        return {"failed": f"more than {MOST_STDIN} bytes for one command"}, b"", b""
    command = _command(session, head["script"], head.get("user"), stdin if "stdin" in head else None, way.left_s)
    result = await session.run(command, deadline_s=way.left_s)
    if result.ended is Ended.LOST or (result.ended is Ended.EXITED and result.exit_status is None):
        way.lost.set()
    return _judged(result)


def _command(session: Session, script: str, user: str | None, stdin: bytes | None, left_s: float) -> Command:
    """Return a command of Ansible's as one of ours; `user`: whom it becomes, by the way in which the session becomes root."""
    become, text = session.host.become, _AS_SSH + script
    common: dict[str, Any] = {"stdin": stdin, "deadline_s": max(1, math.ceil(left_s)), "max_bytes": MOST_OUTPUT}
    if user is None:
        return Command(script=text, **common)
    if user == become.user:
        return Command(script=text, privilege=Privilege.ROOT, **common)
    if not _USER.fullmatch(user):
        raise NoShell(session.host.name, Text("“{name}” is no user to become", name=user))
    return Command(script=_AS_ANOTHER, variables={"user": user, "script": text}, privilege=Privilege.ROOT, **common)


def _judged(result: CommandResult) -> tuple[dict[str, Any], bytes, bytes]:
    """Return how a command ended: its status, or why it has none; what nobody knows the end of is no failure of its own."""
    if result.ended is Ended.EXITED and result.exit_status is not None:
        return {"status": result.exit_status}, result.stdout, result.stderr
    if result.denied:
        return {"failed": f"root could not be had: {result.denied}"}, b"", b""
    why = f"{result.ended.value}: {result.why}" if result.why else result.ended.value
    kind = "failed" if result.ended in (Ended.TIMED_OUT, Ended.CAPPED) else "unreachable"
    return {kind: why}, result.stdout, result.stderr
