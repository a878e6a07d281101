"""Put a file on a host: a part beside the target, compared, handed over, renamed; never half a file under its name.

The part lies in a folder that only we can enter. The target's folder may be somebody else's, who may then put a link in the
place of anything in it while root writes: each step goes into our folder first and looks whether it is still ours.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

from remote.command import CommandResult
from remote.files.carriers import Carrier, CarrierGaveUp, ExecCarrier
from remote.files.local_files import opened, to_its_end
from remote.files.steps import NO_DIGEST, Runs, Steps
from remote.files.transfer import Destination, Part, Progress, Reason, Transfer, TransferFailed, check_path

OpenCarrier = Callable[[Steps], Awaitable[Carrier | None]]
"""Returns a better carrier than commands, None where the host has none."""
_RESUMABLE = frozenset({Reason.LOST, Reason.TIMED_OUT})
_TIDYING_S = 2.0


@dataclass(slots=True)
class _Putting:
    """One file on its way."""

    steps: Steps
    source: BytesIO | BufferedReader
    part: Part
    carrier: Carrier
    progress: Progress | None

    async def send(self, arrived: int) -> None:
        """Send all from `arrived` on."""
        while arrived < self.part.size_bytes:
            data = await to_its_end(self._piece, arrived)
            try:
                await self.carrier.write(self.part.name, arrived, data)
            except CarrierGaveUp:
                await self.carrier.close()
                self.carrier = ExecCarrier(self.steps)
                arrived = await arrived_of(self.steps, self.part)
                continue
            arrived += len(data)
            if self.progress is not None:
                self.progress(arrived, self.part.size_bytes)

    async def finish(self, to: Destination) -> str:
        """Put the part in the place of its target and return what compared it."""
        result = await self._end(to, self.part.digest)
        if result.exit_status != NO_DIGEST:
            return result.stdout.decode(errors="replace").strip()
        if await self._read_back() != self.part.digest:
            raise self.steps.failed(Reason.DIFFERS)
        await self._end(to, "")
        return "reading back"

    async def _end(self, to: Destination, wanted: str) -> CommandResult:
        owner, mode = to.owner or "", f"{to.mode:04o}"
        return await self.steps.run("finish", path=to.path, part=self.part.name, wanted=wanted, owner=owner, mode=mode)

    async def _read_back(self) -> str:
        made, at = hashlib.sha256(), 0
        while at < self.part.size_bytes:
            data = await self.carrier.read(self.part.name, at, self.carrier.read_bytes)
            if not data:
                raise self.steps.failed(Reason.PART_LOST)
            made.update(data)
            at += len(data)
        return made.hexdigest()

    def _piece(self, at: int) -> bytes:
        self.source.seek(at)
        data = self.source.read(min(self.carrier.write_bytes, self.part.size_bytes - at))
        if not data:
            raise ValueError("the file to put became shorter while it was sent")
        return data


async def put_file(
    session: Runs,
    source: bytes | Path,
    to: Destination,
    *,
    deadline_s: float,
    open_carrier: OpenCarrier,
    progress: Progress | None = None,
    resume: Part | None = None,
) -> Transfer:
    """Return how the file arrived, or raise TransferFailed; OSError where `source` cannot be read."""
    check_path(to.path)
    steps = Steps(session, to.path, to.privilege, deadline_s)
    async with opened(source) as (file, size, digest), _tidied(steps, to, size, digest, resume) as (part, arrived):
        putting = _Putting(steps, file, part, await open_carrier(steps) or ExecCarrier(steps), progress)
        try:
            await putting.send(arrived)
            compared_by = await putting.finish(to)
        finally:
            await putting.carrier.close()
    carried_by = putting.carrier.name
    return Transfer(
        path=to.path, size_bytes=size, digest=digest, carried_by=carried_by, compared_by=compared_by, resumed_at=arrived
    )


@asynccontextmanager
async def _tidied(
    steps: Steps, to: Destination, size: int, digest: str, resume: Part | None
) -> AsyncIterator[tuple[Part, int]]:
    """Yield the part and how much of it has arrived; what fails for good leaves none behind."""
    arrived = 0
    if resume is not None and (resume.digest, resume.size_bytes) == (digest, size):
        part, arrived = resume, await arrived_of(steps, resume)
    else:
        name = f".longarm-{secrets.token_hex(8)}.part"  # of a folder for us alone, and of what lies in it
        part = Part(name=f"{to.path.rpartition('/')[0]}/{name}/{name}", digest=digest, size_bytes=size)
        await steps.run("begin", path=to.path, part=part.name)
    try:
        yield part, arrived
    except TransferFailed as failed:
        if failed.reason in _RESUMABLE:
            failed.part = part
        else:
            await _forget(steps, part)
        raise
    except BaseException:  # our own file, the caller's progress, or whoever cancels
        await _forget(steps, part)
        raise


async def _forget(steps: Steps, part: Part) -> None:
    with suppress(TransferFailed):
        await Steps(steps.session, steps.path, steps.privilege, _TIDYING_S).run("forget", part=part.name)


async def arrived_of(steps: Steps, part: Part) -> int:
    """Return how many bytes of a part have arrived; raises TransferFailed where it is gone, or longer than the whole."""
    said = (await steps.run("arrived", part=part.name)).stdout.strip()
    if not said.isdigit() or int(said) > part.size_bytes:
        raise steps.failed(Reason.PART_LOST)
    return int(said)
