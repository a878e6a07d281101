"""From the words of `longarm host run` to a run."""

from __future__ import annotations

import getpass
import math
from collections.abc import Sequence
from dataclasses import dataclass

from console.diagnosing import case_named
from console.inventories import known_inventory
from console.settings import Settings
from console.tasking import CONNECTING_S, do_task
from console.terminal import confirmed, tell
from inventory.errors import Text, UsageError
from inventory.walls import refuse_mixed
from remote.command import COMMAND, Command
from remote.question import Privilege
from runner.request import TaskRequest
from runner.tasks import CommandTask

DECLINED = 5


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


def run_command(settings: Settings, script: str, targets: str, wishes: Wishes) -> int:
    """Run a command on the chosen hosts and return the exit code; who would touch more than one is asked first."""
    command = command_of(script, wishes)
    selection = known_inventory(settings).select(targets)
    if not wishes.across_customers:
        refuse_mixed(selection)
    request = TaskRequest(
        selection=selection,
        task=CommandTask(command=command),
        case=case_named(wishes.case),
        actor=getpass.getuser(),
        concurrency=wishes.concurrency,
        host_deadline_s=wishes.deadline + CONNECTING_S,
        run_deadline_s=wishes.run_deadline,
        languages=(settings.language,),
        across_customers=wishes.across_customers,
    )
    count = len(selection.hosts)
    if count > 1 and not confirmed(settings, Text("run this on {count} hosts?", count=count)):
        tell(settings, Text("nothing was run"), level=-1)
        return DECLINED
    return do_task(settings, request)[1]


def command_of(script: str, wishes: Wishes) -> Command:
    """Return the command that is meant; raises UsageError for one that cannot be."""
    if not script.strip():
        raise UsageError(Text("there is no command"))
    variables = dict(_variable(pair) for pair in wishes.var)
    try:
        return Command(
            script=script,
            variables=variables,
            deadline_s=math.ceil(wishes.deadline),
            max_bytes=wishes.max_bytes,
            privilege=Privilege.ROOT if wishes.root else Privilege.USER,
        )
    except ValueError as error:
        reason = str(error).removeprefix(f"{COMMAND}: ")
        hint = Text("names are lower-case letters, digits and _: file=/var/log/x")
        raise UsageError(Text("--var: {reason}", reason=reason), hint) from error


def _variable(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(Text("not NAME=VALUE: {pair}", pair=pair))
    return name, value
