"""Files to and from a Windows host: each by one powershell.exe, whole or not at all, digests of both sides compared."""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remote.command import Value
from remote.files.local_files import Sink, opened, to_its_end
from remote.files.transfer import Destination, Part, Progress, Reason, Transfer, TransferFailed
from remote.question import Privilege
from remote.windows.bundle import launch, write_work
from remote.windows.file_lines import FileReader, Outcome
from remote.windows.paths import beside, checked_path

if TYPE_CHECKING:
    from remote.windows.session import WindowsSession

_RESUMABLE: Final = frozenset({Reason.LOST, Reason.TIMED_OUT})
_TIDYING_S: Final = 2.0
_LINE: Final = 36 * 1024
_LINES: Final = 2
"""So many lines of so many bytes in one message: 96 KiB in base64."""


@dataclass(slots=True)
class _Steps:
    """What is done on one host for one file, within one deadline."""

    session: WindowsSession
    path: str
    end: float

    async def take(self, work: str, values: dict[str, Value], reader: FileReader, more: Iterator[bytes] | None) -> Outcome:
        """Return how one step ended."""
        left_s = self.end - time.monotonic()
        if left_s <= 0:
            return Outcome(reason=Reason.TIMED_OUT)
        script = write_work(work, values, reader.nonce)
        started = launch(script, variables=self.session.has_variables, more=more)
        ending = await self.session.carry(started, reader, deadline_s=left_s)
        return reader.ended(ending, late=time.monotonic() >= self.end)

    async def forget(self, part: Part) -> None:
        """Remove what has arrived, if the host can still be told so."""
        await self.take("forget", {"LaPart": part.name}, FileReader(secrets.token_hex(16), most=0), None)

    def failed(self, outcome: Outcome) -> TransferFailed:
        """Return the error that this file did not arrive."""
        return TransferFailed(self.session.host.name, self.path, outcome.reason or Reason.OTHER, outcome.detail)


async def put_file(
    session: WindowsSession,
    source: bytes | Path,
    to: Destination,
    *,
    deadline_s: float,
    progress: Progress | None = None,
    resume: Part | None = None,
) -> Transfer:
    """Return how the file arrived, or raise TransferFailed; OSError where `source` cannot be read.

    It has the rights that its folder gives it: a mode means nothing to Windows, and an owner is refused.
    """
    steps = _Steps(session, to.path, time.monotonic() + deadline_s)
    path = _path(steps, to.path)
    if to.owner is not None:
        raise steps.failed(Outcome(reason=Reason.OTHER, detail="no owner can be given on Windows"))
    async with opened(source) as (file, size, digest):
        part, arrived = Part(name="", digest=digest, size_bytes=size), 0
        if resume is not None and (resume.digest, resume.size_bytes) == (digest, size):
            part, arrived = resume, await _arrived(steps, resume)
        else:
            part = Part(name=beside(path, f".longarm-{secrets.token_hex(8)}.part"), digest=digest, size_bytes=size)
        values: dict[str, Value] = {
            "LaPath": path,
            "LaPart": part.name,
            "LaAt": arrived,
            "LaSize": size,
            "LaDigest": digest,
            "LaNeedsAdmin": to.privilege is Privilege.ROOT,
        }
        reader = FileReader(secrets.token_hex(16), most=0)
        pieces = _pieces(file, arrived, size, _in_loop(progress))
        try:
            outcome = await steps.take("put", values, reader, pieces)
        except BaseException:  # our own file, the caller's progress, or whoever cancels
            await _Steps(session, to.path, time.monotonic() + _TIDYING_S).forget(part)
            raise
    if outcome.reason is None and (outcome.bytes, outcome.digest) != (size, digest):
        outcome = Outcome(reason=Reason.DIFFERS)
    if outcome.reason is not None:
        error = steps.failed(outcome)
        error.part = part if outcome.reason in _RESUMABLE else None
        raise error
    carried_by = session.facts.transport
    return Transfer(
        path=to.path, size_bytes=size, digest=digest, carried_by=carried_by, compared_by="powershell", resumed_at=arrived
    )


async def _arrived(steps: _Steps, part: Part) -> int:
    outcome = await steps.take("arrived", {"LaPart": part.name}, FileReader(secrets.token_hex(16), most=0), None)
    if outcome.reason is not Reason.LOST or outcome.bytes > part.size_bytes:
        raise steps.failed(outcome if outcome.reason is not None else Outcome(reason=Reason.PART_LOST))
    return outcome.bytes


def _pieces(file: BytesIO | BufferedReader, at: int, size: int, progress: Progress | None) -> Iterator[bytes]:
    file.seek(at)
    while at < size:
        lines = [data for _ in range(_LINES) if (data := file.read(min(_LINE, size - at)))]
        if not lines:
            raise ValueError("the file to put became shorter while it was sent")
        yield b"".join(base64.b64encode(line) + b"\n" for line in lines)
        at += sum(map(len, lines))
        if progress is not None:
            progress(at, size)
    yield b".\n"


async def get_file(
    session: WindowsSession,
    path: str,
    to: Path,
    *,
    max_bytes: int,
    deadline_s: float,
    privilege: Privilege,
    progress: Progress | None = None,
    resume: Part | None = None,
) -> Transfer:
    """Return how the file arrived, or raise TransferFailed; OSError where `to` cannot be written."""
    steps = _Steps(session, path, time.monotonic() + deadline_s)
    there, sink = _path(steps, path), Sink(to)
    before = resume if resume is not None and resume.name == str(sink.part) else None
    getting = _Getting(sink, resume, max_bytes, _in_loop(progress))
    reader = FileReader(secrets.token_hex(16), most=max_bytes, size=getting.announced, piece=getting.piece)
    try:
        await to_its_end(sink.open, resume=before is not None)
        resumed_at = sink.size
        values: dict[str, Value] = {
            "LaPath": there,
            "LaAt": resumed_at,
            "LaMost": max_bytes,
            "LaNeedsAdmin": privilege is Privilege.ROOT,
        }
        outcome = getting.judged(await steps.take("get", values, reader, None))
        if outcome.reason is None:
            await to_its_end(sink.finish)
    except BaseException:  # our own disk, the caller's progress, or whoever cancels
        if before is None:  # nobody knows of it who could go on with it
            sink.part.unlink(missing_ok=True)
        raise
    finally:
        sink.close()
    if outcome.reason is not None:
        error = steps.failed(outcome)
        size = before.size_bytes if getting.size is None and before is not None else getting.size
        if outcome.reason in _RESUMABLE and size is not None:  # what had arrived before is still there
            error.part = Part(name=str(sink.part), size_bytes=size)
        else:
            sink.part.unlink(missing_ok=True)
        raise error
    return Transfer(
        path=path,
        size_bytes=sink.size,
        digest=sink.digest(),
        carried_by=session.facts.transport,
        compared_by="powershell",
        resumed_at=resumed_at,
    )


@dataclass(slots=True)
class _Getting:
    """One file on its way here."""

    sink: Sink
    resume: Part | None
    max_bytes: int
    progress: Progress | None
    size: int | None = None
    wrong: Reason | None = None

    def announced(self, size: int) -> None:
        """Take the size that the host names."""
        self.size = size
        if size > self.max_bytes:
            self.wrong = Reason.TOO_LARGE
        elif self.sink.size > size or (self.resume is not None and self.resume.size_bytes != size):
            self.wrong = Reason.PART_LOST

    def piece(self, data: bytes) -> None:
        """Take a piece; one that nobody announced is not kept."""
        if self.size is None or self.wrong is not None or self.sink.size + len(data) > self.size:
            self.wrong = self.wrong or Reason.OTHER
            return
        self.sink.add(data)
        if self.progress is not None:
            self.progress(self.sink.size, self.size)

    def judged(self, outcome: Outcome) -> Outcome:
        """Return how it ended, with what is wrong here too."""
        if self.wrong is not None:
            return Outcome(reason=self.wrong)
        if outcome.reason is None and (outcome.bytes, outcome.digest) != (self.sink.size, self.sink.digest()):
            return Outcome(reason=Reason.DIFFERS)
        return outcome


def _path(steps: _Steps, path: str) -> str:
    try:
        return checked_path(path)
    except ValueError as error:
        raise steps.failed(Outcome(reason=Reason.OTHER, detail=str(error))) from error


def _in_loop(progress: Progress | None) -> Progress | None:
    """Return what tells progress in the event loop, from whichever thread; what it raises is raised there."""
    if progress is None:
        return None
    loop, home = asyncio.get_running_loop(), threading.get_ident()

    async def tell(arrived: int, whole: int) -> None:
        progress(arrived, whole)

    def told(arrived: int, whole: int) -> None:
        if threading.get_ident() == home:
            progress(arrived, whole)
        else:
            asyncio.run_coroutine_threadsafe(tell(arrived, whole), loop).result()

    return told
