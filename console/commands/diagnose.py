"""`longarm diagnose TARGETS`: the main job."""

from __future__ import annotations

import click

from console import choices
from console.files import NewFile, ReadFile
from console.framework import Seconds, argument, command, fail_on_option, option
from console.settings import Settings
from inventory.errors import Text

_SECONDS = Seconds(min=1, max=86_400)


@command(
    "diagnose",
    Text("Ask hosts what is wrong with them, and say why."),
    argument("targets", shell_complete=choices.hosts),
    option("--case", text=Text("Leave the report on this case."), metavar="CASE", shell_complete=choices.cases),
    option(
        "--playbook", text=Text("Selection of checks; default: standard."), metavar="NAME", shell_complete=choices.playbooks
    ),
    option(
        "--check",
        text=Text("Only this check, repeatable."),
        metavar="ID",
        multiple=True,
        shell_complete=choices.checks,
    ),
    option(
        "--probes",
        text=Text("Ask the probes of this file too; without --check and --playbook: only them."),
        metavar="FILE",
        type=ReadFile(),
    ),
    option("--answers", text=Text("Write every answer to this file, one JSON line each."), metavar="FILE", type=NewFile()),
    fail_on_option(),
    option("--concurrency", text=Text("Hosts at once; default: 50."), metavar="N", type=click.IntRange(1, 1000), default=50),
    option("--deadline", text=Text("Seconds for one host; default: 120."), metavar="S", type=_SECONDS, default=120.0),
    option("--across-customers", text=Text("Let one run cover hosts of several customers."), is_flag=True),
    option("--run-deadline", text=Text("Seconds for the whole run."), metavar="S", type=_SECONDS),
    by_customer=True,
)
def diagnose(settings: Settings, targets: str, **wishes: object) -> int:
    """Diagnose hosts and return the run's exit code."""
    from console.diagnosing import Wishes, diagnose_hosts

    return diagnose_hosts(settings, targets, Wishes(**wishes))  # type: ignore[arg-type]
