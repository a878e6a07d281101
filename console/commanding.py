"""From the words of `longarm host run` to a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from console.diagnosing import case_named
from console.inventories import known_inventory
from console.permits import refuse_this_machine
from console.reasons import reason_given
from console.settings import Settings
from console.spreading import DECLINED, counted, refuse_unsaid_all
from console.tasking import do_task
from console.terminal import confirmed, tell
from inventory.errors import Text, UsageError
from inventory.walls import refuse_mixed
from remote.command import Command
from remote.question import Privilege, is_variable_name
from runner.config import load_config
from runner.desk import login_name
from runner.request import CONNECTING_S, TaskRequest
from runner.tasks import CommandTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `host run` as they were given."""

    case: str | None = None
    root: bool = False
    var: Sequence[str] = ()
    deadline: float = 60.0
    max_bytes: int = 2**20
    concurrency: int = 50
    across_customers: bool = False
    run_deadline: float | None = None
    count: int | None = None
    read_only: bool = False
    beside: str | None = None


def run_command(settings: Settings, script: str, targets: str, wishes: Wishes) -> int:
    """Run a command on the chosen hosts and return the exit code; who would touch more than one is asked first."""
    command = command_of(script, wishes)
    inventory = known_inventory(settings)
    selection = inventory.select(targets)
    refuse_this_machine(selection.hosts)
    refuse_unsaid_all(selection, inventory)
    if not wishes.across_customers:
        refuse_mixed(selection)
    request = TaskRequest(
        selection=selection,
        task=CommandTask(command=command),
        case=case_named(wishes.case),
        actor=login_name(),
        concurrency=wishes.concurrency,
        host_deadline_s=wishes.deadline + CONNECTING_S,
        run_deadline_s=wishes.run_deadline,
        languages=(settings.language,),
        across_customers=wishes.across_customers,
        read_only=wishes.read_only,
        beside=reason_given(wishes.beside, "--beside"),
    )
    count = len(selection.hosts)
    if wishes.count is None and 1 < count <= load_config(settings.home).count_above:
        agreed = confirmed(settings, Text("run this on {count} hosts?", count=count))
    else:
        agreed = counted(settings, count, wishes.count)
    if not agreed:
        tell(settings, Text("nothing was run"), level=-1)
        return DECLINED
    return do_task(settings, request)[1]


def command_of(script: str, wishes: Wishes) -> Command:
    """Return the command that is meant; raises UsageError for one that cannot be."""
    if not script.strip():
        raise UsageError(Text("there is no command"), Text("longarm host run COMMAND TARGETS"))
    variables = dict(_variable(pair) for pair in wishes.var)
    return Command(
        script=script,
        variables=variables,
        deadline_s=math.ceil(wishes.deadline),
        max_bytes=wishes.max_bytes,
        privilege=Privilege.ROOT if wishes.root else Privilege.USER,
    )


def _variable(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(Text("not NAME=VALUE: {pair}", pair=pair), Text("--var file=/var/log/x"))
    if not is_variable_name(name):
        hint = Text("names are lower-case letters, digits and _: file=/var/log/x")
        raise UsageError(Text("--var: “{name}” is not a name", name=name), hint)
    return name, value
