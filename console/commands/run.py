"""`longarm run list | show | resume | retry | export`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.framework import Among, Group, argument, option
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell, write_bytes
from inventory.errors import Text
from runner.outcome import FailOn

run = Group("run", Text("Past runs: list, show, resume, retry, export."))

_RETRIED = ("failed", "unreachable", "refused", "timed_out", "incomplete", "interrupted", "not_started", "findings")
"""Outcomes after which a host may be repaired again: all but those where it was well, and where nobody knows."""
_COLUMNS = {
    "run": Text("run"),
    "state": Text("state"),
    "started_at": Text("started"),
    "playbook": Text("playbook"),
    "targets": Text("targets"),
    "case": Text("case"),
    "hosts": Text("hosts"),
    "seen": Text("seen"),
    "actor": Text("actor"),
}


@run.add(
    "list",
    Text("List the latest runs, newest first."),
    option("--limit", text=Text("At most so many; default: 20."), metavar="N", type=click.IntRange(1, 1_000_000), default=20),
)
def list_(settings: Settings, limit: int) -> None:
    """List runs."""
    from runner.desk import Desk

    with Desk.open(settings.home, write=False) as desk:
        rows = [
            {
                "run": row.run,
                "state": row.state,
                "started_at": row.started_at,
                "playbook": row.playbook,
                "targets": row.expression,
                "case": row.case,
                "hosts": row.coverage.targeted,
                "seen": row.coverage.seen,
                "actor": row.actor,
            }
            for row in desk.runs(limit)
        ]
    show_list(settings.output, _COLUMNS, rows)


@run.add(
    "show", Text("Show a run; the end of its id is enough."), argument("run_id", metavar="RUN", shell_complete=choices.runs)
)
def show(settings: Settings, run_id: str) -> None:
    """Show the coverage, the findings and the hosts of a run."""
    from console.aftermath import show_record
    from runner.desk import Desk

    with Desk.open(settings.home, write=False) as desk:
        show_record(settings, desk.record(run_id))


@run.add(
    "resume",
    Text("Do the rest of an interrupted run."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option(
        "--probes", text=Text("The probe file that the run was started with."), metavar="FILE", type=click.Path(path_type=Path)
    ),
    option(
        "--answers",
        text=Text("Write every answer to this file, one JSON line each."),
        metavar="FILE",
        type=click.Path(path_type=Path),
    ),
    option(
        "--fail-on",
        text=Text("Severity from which findings give exit code 1; default: warning."),
        type=click.Choice([str(row) for row in FailOn]),
        default=str(FailOn.WARNING),
    ),
)
def resume(settings: Settings, run_id: str, probes: Path | None, answers: Path | None, fail_on: str) -> int:
    """Resume a run and settle what follows from it."""
    from console.aftermath import Aftermath, writable
    from console.diagnosing import resume_run
    from console.repairing import resume_repair
    from runner.desk import Desk
    from runner.outcome import RunKind

    with Desk.open(settings.home, write=False) as desk:
        kind = desk.record(run_id).kind
    if kind is RunKind.REPAIR:
        return resume_repair(settings, run_id, FailOn(fail_on))
    return resume_run(settings, run_id, probes, Aftermath(fail_on=FailOn(fail_on), answers=writable(answers)))


@run.add(
    "retry",
    Text("Repair those hosts of an earlier repair again that ended so; what is unknown is never tried again by itself."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option(
        "--only",
        text=Text("How they ended, with commas; default: failed,unreachable."),
        type=Among(_RETRIED),
        metavar="OUTCOMES",
        default="failed,unreachable",
    ),
    option(
        "--fail-on",
        text=Text("Severity from which findings give exit code 1; default: warning."),
        type=click.Choice([str(row) for row in FailOn]),
        default=str(FailOn.WARNING),
    ),
)
def retry(settings: Settings, run_id: str, only: tuple[str, ...], fail_on: str) -> int:
    """Begin a new repair of some hosts of an earlier one."""
    from console.repairing import retry_repair

    return retry_repair(settings, run_id, only, FailOn(fail_on))


_FORMATS = ("json", "html", "text", "junit", "csv", "answers")


@run.add(
    "export",
    Text("Write a run to stdout or a file."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option("--format", text=Text("What to write; answers: one JSON line each."), type=click.Choice(_FORMATS), default="json"),
    option("--to", text=Text("File to write; default: stdout."), metavar="FILE", type=click.Path(path_type=Path)),
)
def export(settings: Settings, run_id: str, format: str, to: Path | None) -> None:  # noqa: A002 (the option's name)
    """Export a run in one of the formats."""
    from console.exporting import exported

    data = exported(settings, run_id, format)
    if to is None:
        write_bytes(data)
    else:
        to.write_bytes(data)
        tell(settings, Text("written: {path}", path=str(to)))
