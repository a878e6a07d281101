"""`longarm repair PLAYBOOK TARGETS`: put right what is wrong, and prove it."""

from __future__ import annotations

import click

from console import choices
from console.framework import Seconds, argument, beside_option, command, fail_on_option, option
from console.settings import Settings
from inventory.errors import Text

_SECONDS = Seconds(min=1, max=86_400)
_COUNT = {"metavar": "N", "type": click.IntRange(1)}


@command(
    "repair",
    Text("Repair hosts by a playbook, and prove it: the same questions before and after."),
    argument("playbook", required=False, shell_complete=choices.playbooks),
    argument("targets", required=False, shell_complete=choices.hosts),
    option(
        "-p",
        "--param",
        text=Text("A parameter of the playbook, repeatable; a secret as secret:NAME, env:NAME, file:PATH."),
        metavar="NAME=VALUE",
        multiple=True,
        shell_complete=choices.params,
    ),
    option("--plan", text=Text("Change nothing: show what each step would do."), is_flag=True),
    option(
        "--finding",
        text=Text("Instead of a playbook and hosts: the finding of a run that offers its repair."),
        metavar="RUN/ID",
        shell_complete=choices.findings,
    ),
    option("--force", text=Text("Repair even where there is no finding, for this reason."), metavar="REASON"),
    beside_option(),
    option(
        "--break-glass",
        text=Text("Begin without the second person that it needs, for this reason; it stands in every report."),
        metavar="REASON",
    ),
    option("--case", text=Text("Leave the report on this case."), metavar="CASE", shell_complete=choices.cases),
    fail_on_option(),
    option("--count", text=Text("How many hosts these are: of many it has to be given, or typed when asked."), **_COUNT),
    option(
        "--batch",
        text=Text("Sizes of the waves: numbers of hosts or shares of all, the last one repeated; one ends before the next."),
        metavar="1,10%,rest",
    ),
    option(
        "--max-failed",
        text=Text("Begin no further host once more than so many, a number or a share of all, have ended badly."),
        metavar="N|N%",
    ),
    option("--concurrency", text=Text("Hosts at once; default: 10."), metavar="N", type=click.IntRange(1, 1000), default=10),
    option("--deadline", text=Text("Seconds for one host; default: what the playbook says."), metavar="S", type=_SECONDS),
    option("--across-customers", text=Text("Let one run cover hosts of several customers."), is_flag=True),
    option("--run-deadline", text=Text("Seconds for the whole run."), metavar="S", type=_SECONDS),
    by_customer=True,
)
def repair(settings: Settings, playbook: str | None, targets: str | None, **wishes: object) -> int:
    """Repair hosts and return the run's exit code."""
    from console.repairing import Wishes, repair_hosts

    return repair_hosts(settings, playbook, targets, Wishes(**wishes))  # type: ignore[arg-type]
