"""Repairs that cannot go on: their hosts are asked how the last steps ended, nothing more is done there, and they are free."""

from __future__ import annotations

from console.aftermath import Aftermath, settle
from console.conduct import Work, conduct
from console.diagnosing import refuse_others
from console.inventories import inventory_to_go_on
from console.permits import refuse_this_machine
from console.settings import Settings
from console.wiring import connector, credential_store, secrets_of
from inventory.errors import Text, UsageError
from runner.config import load_config
from runner.desk import Desk
from runner.mute_hooks import hooks_of
from runner.outcome import FailOn, Outcome


def only_ask_repair(settings: Settings, run: str, fail_on: FailOn, beside: str | None = None) -> int:
    """Ask the hosts of a repair that was cut off, settle what follows and return the exit code; its playbook is not read."""
    if beside is not None:
        text = Text("what only asks needs no reason to go beside anything")
        raise UsageError(text, Text("leave one of the two out"))
    inventory, credentials = inventory_to_go_on(settings), credential_store(settings)
    connect = connector(settings, credentials)
    hooks = hooks_of(load_config(settings.home).mute, secrets_of(settings).get)
    with Desk.open(settings.writable_home(), write=True) as desk:
        record = desk.record(run)
        unfinished = [host for host in record.hosts if host.outcome in (Outcome.INTERRUPTED, Outcome.NOT_STARTED)]
        refuse_others(settings, run, unfinished)
        waiting = [inventory.hosts[host.host] for host in unfinished if host.host in inventory.hosts]
        refuse_this_machine(waiting)
        work = Work(
            prepare=lambda: credentials.prepare(waiting),
            start=lambda observer: desk.only_ask(
                record.run, inventory=inventory, hooks=hooks, connect=connect, observer=observer
            ),
        )
        record = conduct(settings, desk, work)
        return settle(settings, desk, record, Aftermath(fail_on=fail_on))
