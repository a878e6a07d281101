"""Reports as rows of a list: the pages in the home, and what cases have got or are to get."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from console.settings import Settings
from reports.render import Audience
from runner.desk import Desk
from runner.record import RunSummary
from runner.store.rows import OutboxRow

Row = Mapping[str, object]


def report_rows(settings: Settings, limit: int) -> list[Row]:
    """Return the reports of the newest `limit` runs, newest run first: a run's page in the home, then what its case got."""
    with Desk.open(settings.home, write=False) as desk:
        outbox = desk.outbox()
        sizes = {file.digest: file.size_bytes for case in desk.cases() for file in desk.case_attachments(case.ref)}
        rows: list[Row] = []
        for run in desk.runs(limit, customer=settings.wall):
            rows += _kept(run, settings.home / "reports" / f"{run.run}.html")
            rows += [_owed(run, row, sizes.get(row.digest)) for row in outbox if row.run == run.run]
    return rows


def _kept(run: RunSummary, page: Path) -> Iterator[Row]:
    """Yield the row of a run's page, as it stands on disk; none where there is no page."""
    if page.is_file():
        data = page.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        yield _row(
            run, report=page.name, audience=Audience.INTERNAL, state="kept", bytes=len(data), digest=digest, path=str(page)
        )


def _owed(run: RunSummary, row: OutboxRow, size: int | None) -> Row:
    return _row(
        run,
        report=row.filename,
        case=row.case,
        audience=row.audience,
        language=row.language,
        state=row.state,
        bytes=size,
        digest=row.digest,
        error=row.error,
    )


def _row(run: RunSummary, **known: object) -> Row:
    unknown = dict.fromkeys(("report", "case", "audience", "language", "state", "bytes", "digest", "path", "error"))
    return {**unknown, "run": run.run, "started_at": run.started_at, **known}
