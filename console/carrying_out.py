"""What every change does that the desk begins: asked for as an earlier one was, carried out, settled."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from console.aftermath import Aftermath, settle
from console.approvals import code_of
from console.authoring import playbook_path
from console.conduct import Work, conduct
from console.operating import operator_of
from console.permits import refuse_others_secret, refuse_this_machine
from console.settings import Settings
from console.spreading import DECLINED
from console.terminal import tell
from console.wiring import connector, credential_store, secrets_of
from diagnostics.library import Library, load_library
from inventory.errors import Text, UsageError
from inventory.host import SecretReference, Selection
from inventory.inventory import Inventory
from inventory.secret import Secret
from playbooks.lint import sound_playbook
from playbooks.model import Playbook
from runner.config import load_config
from runner.content import refuse_unsigned
from runner.desk import Desk, login_name
from runner.mute_hooks import hooks_of
from runner.outcome import FailOn
from runner.record import RunRecord
from runner.repair_planning import params_again
from runner.request import RepairRequest

Begin: TypeAlias = Callable[..., Coroutine[Any, Any, RunRecord]]
"""What a desk begins, once it has a `connect` and an `observer`."""


def carried_out(
    settings: Settings, request: RepairRequest, fail_on: FailOn, begin: Callable[[Desk], Begin]
) -> tuple[RunRecord, int]:
    """Begin a repair, settle what follows, and return the record and the exit code."""
    refuse_this_machine(request.selection.hosts)
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        work = Work(
            prepare=lambda: credentials.prepare(request.selection.hosts),
            start=lambda observer: begin(desk)(connect=connect, observer=observer),
        )
        record = conduct(settings, desk, work)
        return record, code_of(settings, record, settle(settings, desk, record, Aftermath(fail_on=fail_on)))


def asked_again(
    settings: Settings,
    run: str,
    choose: Callable[[RunRecord], Selection],
    load: Callable[[Path, Library], Playbook] = sound_playbook,
) -> tuple[RunRecord, RepairRequest]:
    """Return an earlier repair, or plan of one, and what asks for the same on hosts of it."""
    library = load_library()
    with Desk.open(settings.home, write=False) as desk:
        record = desk.record(run)
        book, secrets = begun_with(settings, record, library, load)
    assert record.repair is not None
    request = RepairRequest(
        selection=choose(record),
        playbook=book,
        library=library,
        params=params_again(book, record.repair.params, secrets),
        secrets=record.repair.secrets,
        file=record.repair.file,
        case=record.case,
        actor=login_name(),
        operator=operator_of(settings),
        forced=record.repair.forced,
        retries=record.repair.retries,
        hooks=hooks_of(load_config(settings.home).mute, secrets_of(settings).get),
        batch=record.repair.batch,
        max_failed=record.repair.max_failed,
        languages=(settings.language,),
        across_customers=len(record.customers) > 1,
    )
    return record, request


def begun_with(
    settings: Settings, record: RunRecord, library: Library, load: Callable[[Path, Library], Playbook]
) -> tuple[Playbook, dict[str, Secret]]:
    """Return the playbook of an earlier repair, and its secrets, read anew from where they were kept."""
    if record.repair is None:
        raise UsageError(Text("run {run} was no repair", run=record.run), Text("longarm run show {run}", run=record.run))
    refuse_unsigned(settings.home, record.repair.file)
    path = Path(record.repair.file) if record.repair.file else playbook_path(settings.home, record.playbook)
    book = load(path, library)
    secrets = {}
    for name, kept in record.repair.secrets.items():
        kind, _, value = kept.partition(":")
        refuse_others_secret(kind, name, record.run)
        secrets[name] = secrets_of(settings).get(SecretReference(kind=kind, value=value))
    return book, secrets


def hosts_again(names: Sequence[str], inventory: Inventory, expression: str) -> Selection:
    """Return hosts of an earlier run as the inventory has them now; raises UsageError for those that it has no more."""
    if gone := [name for name in names if name not in inventory.hosts]:
        text = Text("the inventory does not know {hosts} any more", hosts=", ".join(gone))
        raise UsageError(text, Text("longarm inventory list"))
    return Selection(expression=expression, hosts=tuple(inventory.hosts[name] for name in names))


def declined(settings: Settings) -> int:
    """Tell that nothing was done, and return the exit code."""
    tell(settings, Text("nothing was changed"), level=-1)
    return DECLINED
