"""`longarm run list | show | watch | leases | start | resume | retry | rollback | unmute | export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from console import choices
from console.faults import FAULT
from console.files import NewFile, ReadFile, write_whole
from console.framework import Among, Group, argument, beside_option, fail_on_option, option
from console.listing import show_list
from console.settings import Output, Settings
from console.terminal import tell, write_bytes
from console.words import say
from inventory.errors import Text
from runner.outcome import FailOn

if TYPE_CHECKING:
    from runner.record import RunSummary

run = Group("run", Text("Runs: list, show, watch, leases, start, resume, retry, rollback, unmute, export."))

_RETRIED = ("failed", "unreachable", "refused", "timed_out", "incomplete", "interrupted", "not_started", "findings")
"""Outcomes after which a host may be repaired again: all but those where it was well, and where nobody knows."""
_COLUMNS = {
    "run": Text("run"),
    "state": Text("state"),
    "kind": Text("kind"),
    "started_at": Text("started"),
    "playbook": Text("playbook"),
    "targets": Text("targets"),
    "case": Text("case"),
    "result": Text("result"),
    "actor": Text("actor"),
}


def _listed(row: RunSummary, *, table: bool) -> dict[str, object]:
    counts = {outcome.value: count for outcome, count in row.coverage.counts.items() if count}
    return {
        "run": row.run,
        "state": (row.approval if table else "") or row.state,
        "approval": row.approval or None,
        "kind": row.kind,
        "started_at": row.started_at,
        "playbook": row.playbook,
        "targets": row.expression,
        "case": row.case,
        "result": _result(row) if table else counts,
        "hosts": row.coverage.targeted,
        "seen": row.coverage.seen,
        "actor": row.actor,
    }


def _result(row: RunSummary) -> str:
    """Return how many hosts ended how: `findings 1, ok 2`."""
    from reports.words import OUTCOMES

    return ", ".join(f"{say(OUTCOMES[outcome])} {count}" for outcome, count in row.coverage.counts.items() if count)


@run.add(
    "list",
    Text("List the latest runs, newest first."),
    option("--limit", text=Text("At most so many; default: 20."), metavar="N", type=click.IntRange(1, 1_000_000), default=20),
    by_customer=True,
)
def list_(settings: Settings, limit: int) -> None:
    """List runs."""
    from runner.desk import Desk

    with Desk.open(settings.home, write=False) as desk:
        rows = [_listed(row, table=settings.output is Output.TABLE) for row in desk.runs(limit, customer=settings.wall)]
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


_LEASES = {
    "host": Text("host"),
    "run": Text("run"),
    "state": Text("state"),
    "actor": Text("actor"),
    "reason": Text("reason"),
    "since": Text("since"),
    "age": Text("age"),
}


@run.add(
    "leases",
    Text("List the hosts that a run alone may change, or somebody works on by hand: which, whose, why, since when."),
    by_customer=True,
)
def leases(settings: Settings) -> None:
    """List leases."""
    from console.stopping import lease_line
    from runner.desk import Desk

    with Desk.open(settings.home, write=False) as desk:
        rows = [lease_line(one) for one in desk.leased() if settings.within(one.lease.customer)]
    show_list(settings.output, _LEASES, rows)


@run.add(
    "resume",
    Text("Do the rest of an interrupted run."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option("--probes", text=Text("The probe file that the run was started with."), metavar="FILE", type=ReadFile()),
    option(
        "--answers",
        text=Text("Write every answer to this file, one JSON line each."),
        metavar="FILE",
        type=NewFile(),
    ),
    option(
        "--only-ask",
        text=Text("Of a repair that cannot go on: ask the hosts how its last steps ended, do nothing more, and free them."),
        is_flag=True,
    ),
    beside_option(),
    fail_on_option(),
    by_customer=True,
)
def resume(
    settings: Settings,
    run_id: str,
    probes: Path | None,
    answers: Path | None,
    only_ask: bool,
    beside: str | None,
    fail_on: str,
) -> int:
    """Resume a run and settle what follows from it."""
    from console.aftermath import Aftermath, writable
    from console.diagnosing import resume_run
    from console.repairing import resume_repair
    from runner.desk import Desk
    from runner.outcome import RunKind

    if only_ask:
        from console.only_asking import only_ask_repair

        return only_ask_repair(settings, run_id, FailOn(fail_on), beside)
    with Desk.open(settings.home, write=False) as desk:
        kind = desk.record(run_id).kind
    if kind is RunKind.REPAIR:
        return resume_repair(settings, run_id, FailOn(fail_on), beside)
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
        "--count",
        text=Text("How many hosts these are: of many it has to be given, or typed when asked."),
        metavar="N",
        type=click.IntRange(1),
    ),
    option(
        "--break-glass",
        text=Text("Begin without the second person that it needs, for this reason; it stands in every report."),
        metavar="REASON",
    ),
    beside_option(),
    fail_on_option(),
    by_customer=True,
)
def retry(
    settings: Settings,
    run_id: str,
    only: tuple[str, ...],
    count: int | None,
    break_glass: str | None,
    beside: str | None,
    fail_on: str,
) -> int:
    """Begin a new repair of some hosts of an earlier one."""
    from console.repairing import retry_repair

    return retry_repair(settings, run_id, only, FailOn(fail_on), count, break_glass, beside)


@run.add(
    "rollback",
    Text("Undo what a repair did, by what its steps say undoes them, on hosts of it; as a run of its own, with proof."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    argument("targets", metavar="[TARGETS]", required=False, shell_complete=choices.hosts),
    option(
        "--plan",
        text=Text("Change nothing: show what would be undone on each host, in which order, and what cannot be, and why."),
        is_flag=True,
    ),
    option(
        "--count",
        text=Text("How many hosts these are: of many it has to be given, or typed when asked."),
        metavar="N",
        type=click.IntRange(1),
    ),
    beside_option(),
    fail_on_option(),
    by_customer=True,
)
def rollback(
    settings: Settings, run_id: str, targets: str | None, plan: bool, count: int | None, beside: str | None, fail_on: str
) -> int:
    """Undo a repair, or plan that."""
    from console.rolling_back import roll_back_repair

    return roll_back_repair(settings, run_id, targets, FailOn(fail_on), count, beside, plan=plan)


@run.add(
    "start",
    Text("Begin a repair that a second person has approved."),
    argument("run_id", metavar="RUN", shell_complete=choices.approved),
    beside_option(),
    fail_on_option(),
    by_customer=True,
)
def start(settings: Settings, run_id: str, beside: str | None, fail_on: str) -> int:
    """Begin what was approved."""
    from console.repairing import start_repair

    return start_repair(settings, run_id, FailOn(fail_on), beside)


@run.add(
    "watch",
    Text("Look on at a run that is on its way elsewhere, then show it; Ctrl-C stops looking, not the run."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    fail_on_option(),
)
def watch(settings: Settings, run_id: str, fail_on: str) -> int:
    """Watch a run to its end and return its exit code."""
    from console.watching import watch_run

    return watch_run(settings, run_id, FailOn(fail_on))


_UNMUTED = {
    "run": Text("run"),
    "hook": Text("monitoring by"),
    "state": Text("state"),
    "until": Text("until"),
    "error": Text("error"),
}


@run.add("unmute", Text("Let monitoring speak again that repairs which were cut off had muted; every repair does it too."))
def unmute(settings: Settings) -> int:
    """Unmute; 7 where something stays muted."""
    from console.repairing import unmute_left

    rows = unmute_left(settings)
    show_list(settings.output, _UNMUTED, [{name: getattr(row, name) for name in _UNMUTED} for row in rows])
    return FAULT if any(row.state.value != "unmuted" for row in rows) else 0


_FORMATS = ("json", "html", "text", "junit", "csv", "answers")


@run.add(
    "export",
    Text("Write a run to stdout or a file."),
    argument("run_id", metavar="RUN", shell_complete=choices.runs),
    option("--format", text=Text("What to write; answers: one JSON line each."), type=click.Choice(_FORMATS), default="json"),
    option("--to", text=Text("File to write; default: stdout."), metavar="FILE", type=NewFile()),
)
def export(settings: Settings, run_id: str, format: str, to: Path | None) -> None:  # noqa: A002 (the option's name)
    """Export a run in one of the formats."""
    from console.exporting import exported

    data = exported(settings, run_id, format)
    if to is None:
        write_bytes(data)
    else:
        write_whole(to, data)
        tell(settings, Text("written: {path}", path=str(to)))
