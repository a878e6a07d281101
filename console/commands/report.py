"""`longarm report list | open | render`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from console import choices
from console.files import NewFile, write_whole
from console.framework import Group, argument, option
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell, write, write_bytes
from inventory.errors import Text

report = Group("report", Text("Reports of runs: list, open, render."))

_COLUMNS = {
    "report": Text("report"),
    "run": Text("run"),
    "started_at": Text("started"),
    "case": Text("case"),
    "audience": Text("audience"),
    "state": Text("state"),
    "bytes": Text("bytes"),
    "digest": Text("SHA-256"),
}


@report.add(
    "list",
    Text("List the reports of the latest runs: the page in the home, and what cases have got or wait for."),
    option("--limit", text=Text("Of at most so many runs; default: 20."), metavar="N", type=click.IntRange(1), default=20),
    by_customer=True,
)
def list_(settings: Settings, limit: int) -> None:
    """List reports."""
    from console.reporting import report_rows

    show_list(settings.output, _COLUMNS, report_rows(settings, limit))


@report.add(
    "open",
    Text("Open the report of a run in the browser, or print its path where there is none."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
)
def open_(settings: Settings, run_id: str) -> None:
    """Render the page anew and show it."""
    from console.aftermath import keep_reports
    from console.browsing import can_open
    from console.permits import refuse_closed_page
    from runner.desk import Desk

    refuse_closed_page(run_id)
    with Desk.open(settings.home, write=False) as desk:
        page = keep_reports(settings, desk.record(run_id))
    write(f"{page}\n")
    if can_open():
        webbrowser.open(page.as_uri())


@report.add(
    "render",
    Text("Render the report of a run."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option(
        "--format",
        text=Text("Form of the report."),
        type=click.Choice(("html", "json", "text", "junit", "csv")),
        default="html",
    ),
    option("--audience", text=Text("For whom it is."), type=click.Choice(("internal", "customer")), default="internal"),
    option("--to", text=Text("File to write; default: stdout."), metavar="FILE", type=NewFile()),
)
def render_(settings: Settings, run_id: str, format: str, audience: str, to: Path | None) -> None:  # noqa: A002 (the option's name)
    """Render a run for an audience."""
    from reports.render import Audience, Format, render
    from runner.desk import Desk

    with Desk.open(settings.home, write=False) as desk:
        record = desk.record(run_id)
    data = render(record, audience=Audience(audience), language=settings.language, format=Format(format))
    if to is None:
        write_bytes(data)
    else:
        write_whole(to, data)
        tell(settings, Text("written: {path}", path=str(to)))
