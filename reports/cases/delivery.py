"""The delivery job: what the outbox holds reaches its case exactly once (design rule 9).

Killed at any moment and run again, it ends the same: bytes are rendered and kept once, and the
case is asked for the file with this name and digest before anything is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import PurePath
from typing import Final, Protocol, TypeAlias

from inventory.errors import LongarmError, Text
from reports.cases.port import CaseDiffers, CaseFile, CaseSystem
from reports.render import FORMATS, Audience, Format, render
from runner.record import Delivery, RunRecord
from runner.recording import delivery_of
from runner.store.errors import StoreFailed
from runner.store.rows import OutboxRow, OutboxState

REPORT: Final = Format.HTML
MEDIA_TYPES: Final = {
    ".html": FORMATS[REPORT].media_type,
    ".txt": "text/plain",
    ".bin": "application/octet-stream",
    ".cast": "application/x-asciicast",
}
"""Of reports, extracts of files and recordings of terminals, by the end of their names."""
Record: TypeAlias = Callable[[str], RunRecord]


class Outbox(Protocol):
    """What of the `Desk` the delivery job needs."""

    def outbox(self) -> tuple[OutboxRow, ...]:
        """Return the reports that cases are to get or have got, oldest first."""

    def outbox_rendered(self, row: int, filename: str, data: bytes) -> OutboxRow:
        """Keep the rendered report of a row, unless it has one, and return the row."""

    def outbox_data(self, row: int) -> bytes:
        """Return the bytes that were rendered for a row."""

    def outbox_sent(self, row: int) -> OutboxRow:
        """Note that the case has the report."""

    def outbox_failed(self, row: int, error: str) -> OutboxRow:
        """Note that an attempt failed, and why."""

    def record(self, run: str) -> RunRecord:
        """Return the record of a run."""


class Leaks(Protocol):
    """The last look before bytes leave (`inventory.secret.Masker`)."""

    def leaks(self, data: bytes) -> bool:
        """Tell whether `data` holds a known secret."""


class Withheld(LongarmError):
    """A report that is not sent, whatever the case system would say: fail closed."""


def deliver(
    desk: Outbox, systems: Sequence[CaseSystem], masker: Leaks, *, rows: Iterable[OutboxRow] | None = None
) -> tuple[Delivery, ...]:
    """Send what waits, or these rows, each attempted once, and return how each ended.

    The first system that knows a case gets its reports. What went wrong stands on the row, which is
    tried again by the next call; a row that was sent is never touched.
    """
    waiting, record = desk.outbox() if rows is None else rows, cache(desk.record)
    return tuple(
        delivery_of(_attempt(desk, systems, masker, row, record)) for row in waiting if row.state is not OutboxState.SENT
    )


def _attempt(desk: Outbox, systems: Sequence[CaseSystem], masker: Leaks, row: OutboxRow, record: Record) -> OutboxRow:
    try:
        system = _system_of(systems, row)
        rendered = row if row.digest else _rendered(desk, masker, row, record)
        _send(desk, system, masker, rendered, record)
    except StoreFailed:
        raise  # nothing could be noted on any row
    except LongarmError as error:  # of this row only: a damaged run, say, does not keep the others from their cases
        return desk.outbox_failed(row.id, str(error))
    return desk.outbox_sent(row.id)


def _system_of(systems: Sequence[CaseSystem], row: OutboxRow) -> CaseSystem:
    system = next((system for system in systems if system.get(row.case) is not None), None)
    if system is None:
        raise Withheld(Text("no case system knows “{case}”", case=row.case))
    if Audience(row.audience) is Audience.INTERNAL and not system.caps.internal_notes:
        raise Withheld(Text("{system} has no private notes: no internal report is sent to it", system=system.name))
    return system


def _rendered(desk: Outbox, masker: Leaks, row: OutboxRow, record: Record) -> OutboxRow:
    """Render the report, keep its bytes, and return the row with their name and digest."""
    data = _made(record, row, REPORT)
    if masker.leaks(data):
        raise Withheld(Text("the rendered report holds a known secret: it was not kept and is not sent"))
    return desk.outbox_rendered(row.id, filename(row.run, data), data)


def _send(desk: Outbox, system: CaseSystem, masker: Leaks, row: OutboxRow, record: Record) -> None:
    """Make sure that the case has the kept bytes; they are sent only if it does not."""
    found = system.find_attachment(row.case, row.filename)
    if found == row.digest:
        return
    if found is not None:
        raise CaseDiffers(system.name, row.filename, found)
    data, comment = desk.outbox_data(row.id), _made(record, row, Format.TEXT)
    if masker.leaks(data) or masker.leaks(comment):
        raise Withheld(Text("the report or its comment holds a known secret: it is not sent"))
    if system.caps.max_bytes is not None and len(data) > system.caps.max_bytes:
        raise Withheld(
            Text(
                "{system} takes {most} bytes, the report has {size}",
                system=system.name,
                most=system.caps.max_bytes,
                size=len(data),
            )
        )
    file = CaseFile(
        name=row.filename, media_type=MEDIA_TYPES[PurePath(row.filename).suffix], data=data, digest=row.digest,
        customer=row.customers[0] if len(row.customers) == 1 else None,
    )  # fmt: skip
    system.comment(row.case, comment.decode(), internal=Audience(row.audience) is Audience.INTERNAL, files=[file])


def _made(record: Record, row: OutboxRow, kind: Format) -> bytes:
    return render(record(row.run), audience=Audience(row.audience), language=row.language, format=kind)


def filename(run: str, data: bytes) -> str:
    """Return the name that a report has on every case: ASCII, with the run and the head of its SHA-256.

    >>> filename("20261122-104755-7f3a9c", b"")
    'longarm-run-20261122-104755-7f3a9c-e3b0c442.html'
    """
    return f"longarm-run-{run}-{hashlib.sha256(data).hexdigest()[:8]}{FORMATS[REPORT].suffix}"
