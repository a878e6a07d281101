"""Get a file from a host: exactly as many bytes as it had when we looked, into a file that we named, compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from remote.files.carriers import Carrier, CarrierGaveUp, ExecCarrier
from remote.files.local_files import Sink, to_its_end
from remote.files.putting import OpenCarrier
from remote.files.steps import NO_DIGEST, Runs, Steps
from remote.files.transfer import Part, Progress, Reason, Transfer, TransferFailed, check_path
from remote.question import Privilege

_RESUMABLE = frozenset({Reason.LOST, Reason.TIMED_OUT})
_MOST_DIGITS = 18


@dataclass(slots=True)
class _Getting:
    """One file on its way."""

    steps: Steps
    path: str
    size: int
    carrier: Carrier
    sink: Sink
    progress: Progress | None

    async def receive(self) -> int:
        """Take everything from where the sink ends, and return where that was; only whole pieces are kept."""
        await self._at_a_piece()
        resumed_at = self.sink.size
        while self.sink.size < self.size:
            try:
                data = await self._read(self.sink.size)
            except CarrierGaveUp:
                await self.carrier.close()
                self.carrier = ExecCarrier(self.steps)
                await self._at_a_piece()
                continue
            await to_its_end(self.sink.add, data)
            if self.progress is not None:
                self.progress(self.sink.size, self.size)
        return resumed_at

    async def _at_a_piece(self) -> None:
        whole = min(self.sink.size, self.size)
        await to_its_end(self.sink.cut, whole - whole % self.carrier.read_bytes)

    async def _read(self, at: int) -> bytes:
        size = min(self.carrier.read_bytes, self.size - at)
        data = await self.carrier.read(self.path, at, size)
        if len(data) != size:
            raise self.steps.failed(Reason.SHRANK)
        return data

    async def compare(self) -> str:
        """Return what made the host's digest, which is ours; raises TransferFailed."""
        result = await self.steps.run("compare", path=self.path, size=self.size)
        if result.exit_status == NO_DIGEST:
            theirs, by = await self._read_again(), "reading back"
        else:
            theirs, _, by = result.stdout.decode(errors="replace").strip().partition(" ")
        if theirs != self.sink.digest():
            raise self.steps.failed(Reason.DIFFERS)
        return by

    async def _read_again(self) -> str:
        made, at = hashlib.sha256(), 0
        while at < self.size:
            data = await self._read(at)
            made.update(data)
            at += len(data)
        return made.hexdigest()


async def get_file(
    session: Runs,
    path: str,
    to: Path,
    *,
    max_bytes: int,
    deadline_s: float,
    privilege: Privilege,
    open_carrier: OpenCarrier,
    progress: Progress | None = None,
    resume: Part | None = None,
) -> Transfer:
    """Return how the file arrived, or raise TransferFailed; OSError where `to` cannot be written."""
    check_path(path)
    steps = Steps(session, path, privilege, deadline_s)
    try:
        size = _size((await steps.run("look", path=path)).stdout, steps)
    except TransferFailed as failed:
        failed.part = resume if failed.reason in _RESUMABLE else None  # what had arrived before is still there
        raise
    if size > max_bytes:
        raise steps.failed(Reason.TOO_LARGE, f"{size} > {max_bytes}")
    sink = Sink(to)
    going_on = resume is not None and (resume.name, resume.size_bytes) == (str(sink.part), size)
    getting = _Getting(steps, path, size, ExecCarrier(steps), sink, progress)
    try:
        await to_its_end(sink.open, resume=going_on)
        getting.carrier = await open_carrier(steps) or getting.carrier
        resumed_at = await getting.receive()
        by = await getting.compare()
        await to_its_end(sink.finish)
    except TransferFailed as failed:
        if failed.reason in _RESUMABLE:
            failed.part = Part(name=str(sink.part), size_bytes=size)
        else:
            sink.part.unlink(missing_ok=True)
        raise
    except BaseException:  # our own disk, the caller's progress, or whoever cancels
        if not going_on:  # nobody knows of it who could
            sink.part.unlink(missing_ok=True)
        raise
    finally:
        sink.close()
        await getting.carrier.close()
    return Transfer(
        path=path,
        size_bytes=size,
        digest=sink.digest(),
        carried_by=getting.carrier.name,
        compared_by=by,
        resumed_at=resumed_at,
    )


def _size(said: bytes, steps: Steps) -> int:
    words = said.strip()
    if not words.isdigit() or len(words) > _MOST_DIGITS:
        raise steps.failed(Reason.OTHER, words.decode(errors="replace")[:100])
    return int(words)
