"""Records of runs as bytes in any of the formats."""

from __future__ import annotations

from console.aftermath import answer_lines
from console.settings import Settings
from reports.render import Audience, Format, render
from runner.desk import Desk


def exported(settings: Settings, run: str, wanted: str) -> bytes:
    """Return a run in the format `wanted`; `answers` gives every answer as a line of JSON."""
    with Desk.open(settings.home, write=False) as desk:
        record = desk.record(run)
        if wanted == "answers":
            return "".join(answer_lines(desk, record.run)).encode()
    return render(record, audience=Audience.INTERNAL, language=settings.language, format=Format(wanted))
