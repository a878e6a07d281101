"""Repairs that are undone afterwards: offered where they were not proved, and done on the hosts that are named."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from functools import partial

from console.carrying_out import asked_again, carried_out, declined, hosts_again
from console.inventories import known_inventory
from console.reasons import reason_given
from console.settings import Settings
from console.spreading import counted
from console.terminal import agreed, tell, tell_hint
from inventory.errors import Text, UsageError
from inventory.host import Selection
from inventory.inventory import Inventory
from playbooks.load import load_playbook
from reports.undoing import to_undo, undo_words
from runner.outcome import FailOn
from runner.record import RunRecord


def roll_back_repair(
    settings: Settings,
    run: str,
    targets: str | None,
    fail_on: FailOn,
    count: int | None = None,
    beside: str | None = None,
    *,
    plan: bool = False,
) -> int:
    """Undo a repair on hosts of it, or plan that, settle what follows and return the exit code."""
    inventory = known_inventory(settings)
    record, request = asked_again(
        settings,
        run,
        lambda record: _chosen(record, targets, inventory),
        load_playbook,  # it was sound when the repair was done
    )
    request = replace(request, beside=reason_given(beside, "--beside"))
    if not plan and not counted(settings, len(request.selection.hosts), count):
        return declined(settings)
    asked = replace(request, only_plan=plan)
    _, code = carried_out(settings, asked, fail_on, lambda desk: partial(desk.roll_back, record.run, asked))
    return code


def offered(settings: Settings, record: RunRecord, code: int, fail_on: FailOn) -> int:
    """Offer to undo what was not proved, where something undoes it; return the exit code, that of undoing where it was done."""
    hosts = to_undo(record)
    if not hosts:
        return code
    for host in hosts:
        assert host.repair is not None
        steps = ", ".join(host.repair.undoable)
        tell(settings, Text("{host}: not proved; can be undone: {steps}", host=host.host, steps=steps), level=-1)
    words = undo_words(record, hosts)
    if _agreed(settings):
        return roll_back_repair(settings, record.run, words[-1], fail_on)
    tell_hint(settings, shlex.join(("longarm", *words)), level=-1)
    return code


def _agreed(settings: Settings) -> bool:
    """Tell whether somebody sits there and says so; `--yes` was said before anybody knew that it would be asked."""
    if settings.yes or settings.no_input or not sys.stdin or not sys.stdin.isatty():
        return False
    return agreed(Text("Undo it there now?"))


def _chosen(record: RunRecord, targets: str | None, inventory: Inventory) -> Selection:
    """Return the hosts on which a repair is undone: those that are named, else those on which it was not proved."""
    if targets is not None:
        return inventory.select(targets)
    names = [host.host for host in to_undo(record)]
    since = {host.host: host.repair.since for host in record.hosts if host.repair and host.repair.since}
    if not names and since:
        last = max(since.values())
        where = ", ".join(host for host, run in since.items() if run == last)
        text = Text("run {other} has worked on {host} since run {run}", other=last, host=where, run=record.run)
        raise UsageError(text, Text("longarm run show {run}", run=last))
    if not names:
        text = Text(
            "run {run} left nothing unproved that could be undone: name the hosts if it is to be undone", run=record.run
        )
        raise UsageError(text, Text("longarm run rollback {run} HOSTS", run=record.run))
    return hosts_again(names, inventory, ",".join(names))
