"""From the words of `longarm repair` to a run, and from its record to the exit code."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.aftermath import Aftermath, settle
from console.authoring import playbook_path
from console.conduct import Work, conduct
from console.diagnosing import case_named, refuse_others
from console.inventories import known_inventory
from console.operating import operator_of
from console.settings import Settings
from console.wiring import connector, credential_store, secrets_of
from diagnostics.finding import Finding
from diagnostics.library import Library, load_library
from inventory.errors import LongarmError, Text, UsageError
from inventory.fields import did_you_mean
from inventory.host import SecretReference, Selection
from inventory.inventory import Inventory
from inventory.kept import KINDS
from inventory.secret import Secret
from inventory.walls import refuse_mixed
from playbooks.load import SHIPPED, load_playbook
from playbooks.model import Playbook
from playbooks.params import BadParams, ParamType, ParamValue, settled_params
from runner.desk import Desk
from runner.outcome import FailOn, Outcome, RunKind
from runner.record import RunRecord
from runner.repair_planning import params_again
from runner.request import RepairRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `repair` as they were given."""

    param: Sequence[str] = ()
    plan: bool = False
    finding: str | None = None
    force: str | None = None
    case: str | None = None
    fail_on: str = "warning"
    concurrency: int = 10
    deadline: float | None = None
    run_deadline: float | None = None
    across_customers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which playbook, with what, for which hosts."""

    playbook: str
    targets: str
    params: Mapping[str, ParamValue]


def repair_hosts(settings: Settings, playbook: str | None, targets: str | None, wishes: Wishes) -> int:
    """Carry out a repair, or the plan of one, settle what follows from it and return the exit code."""
    asked = _asked(settings, playbook, targets, wishes)
    library, inventory = load_library(), known_inventory(settings)
    selection = inventory.select(asked.targets)
    if not wishes.across_customers:
        refuse_mixed(selection)
    path = playbook_path(asked.playbook)
    book = load_playbook(path, library)
    given, references = _given(book, wishes.param, asked.params)
    secrets = {name: secrets_of(settings).get(reference) for name, reference in references.items()}
    request = RepairRequest(
        selection=selection,
        playbook=book,
        library=library,
        params=_settled(book, {**given, **secrets}),
        secrets={name: str(reference) for name, reference in references.items()},
        file="" if path.parent == SHIPPED else str(path.resolve()),
        case=case_named(wishes.case),
        actor=getpass.getuser(),
        operator=operator_of(settings),
        only_plan=wishes.plan,
        forced=wishes.force or "",
        concurrency=wishes.concurrency,
        host_deadline_s=wishes.deadline,
        run_deadline_s=wishes.run_deadline,
        languages=(settings.language,),
        across_customers=wishes.across_customers,
    )
    return _carried_out(settings, request, FailOn(wishes.fail_on))


def resume_repair(settings: Settings, run: str, fail_on: FailOn) -> int:
    """Go on with a repair that was cut off, settle what follows and return the exit code."""
    inventory, library = known_inventory(settings), load_library()
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        record = desk.record(run)
        unfinished = [host for host in record.hosts if host.outcome in (Outcome.INTERRUPTED, Outcome.NOT_STARTED)]
        refuse_others(settings, run, unfinished)
        book, secrets = _begun_with(settings, record, library)
        waiting = [inventory.hosts[host.host] for host in unfinished if host.host in inventory.hosts]
        work = Work(
            prepare=lambda: credentials.prepare(waiting),
            start=lambda observer: desk.resume_repair(
                record.run,
                inventory=inventory,
                library=library,
                playbook=book,
                secrets=secrets,
                operator=operator_of(settings),
                connect=connect,
                observer=observer,
            ),
        )
        return settle(settings, desk, conduct(settings, desk, work), Aftermath(fail_on=fail_on))


def retry_repair(settings: Settings, run: str, only: Sequence[str], fail_on: FailOn) -> int:
    """Begin a new repair of those hosts of an earlier one that ended so, settle what follows and return the exit code."""
    inventory, library = known_inventory(settings), load_library()
    with Desk.open(settings.home, write=False) as desk:
        record = desk.record(run)
        book, secrets = _begun_with(settings, record, library)
    assert record.repair is not None
    request = RepairRequest(
        selection=_again(record, only, inventory),
        playbook=book,
        library=library,
        params=params_again(book, record.repair.params, secrets),
        secrets=record.repair.secrets,
        file=record.repair.file,
        case=record.case,
        actor=getpass.getuser(),
        operator=operator_of(settings),
        forced=record.repair.forced,
        retries=record.run,
        languages=(settings.language,),
        across_customers=len(record.customers) > 1,
    )
    return _carried_out(settings, request, fail_on)


def _carried_out(settings: Settings, request: RepairRequest, fail_on: FailOn) -> int:
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        work = Work(
            prepare=lambda: credentials.prepare(request.selection.hosts),
            start=lambda observer: desk.repair(request, connect=connect, observer=observer),
        )
        return settle(settings, desk, conduct(settings, desk, work), Aftermath(fail_on=fail_on))


def _asked(settings: Settings, playbook: str | None, targets: str | None, wishes: Wishes) -> Asked:
    """Return what is asked for: in words, or by a finding of an earlier run that offers its repair."""
    if wishes.finding is None:
        if playbook is None or targets is None:
            raise UsageError(Text("say which playbook is to repair which hosts"), Text("longarm repair PLAYBOOK TARGETS"))
        return Asked(playbook=playbook, targets=targets, params={})
    if playbook is not None:
        raise UsageError(Text("a finding says itself which playbook repairs which host"), Text("leave the others out"))
    run, _, name = wishes.finding.partition("/")
    with Desk.open(settings.home, write=False) as desk:
        finding = _finding(desk.record(run), name)
    if finding.remedy is None:
        raise UsageError(Text("no playbook is offered for {finding}", finding=finding.id), Text("longarm playbook list"))
    params = {name: value for name, value in finding.remedy.params.items() if value is not None}
    return Asked(playbook=finding.remedy.playbook, targets=finding.host, params=params)


def _finding(record: RunRecord, name: str) -> Finding:
    found = {one.id: one for host in record.hosts if host.diagnosis for one in host.diagnosis.findings}
    if name not in found:
        hint = did_you_mean(name, found) or Text("longarm run show {run}", run=record.run)
        raise UsageError(Text("run {run} has no finding “{name}”", run=record.run, name=name), hint)
    return found[name]


def _given(
    playbook: Playbook, words: Sequence[str], offered: Mapping[str, ParamValue]
) -> tuple[dict[str, ParamValue], dict[str, SecretReference]]:
    """Return the parameters as they were typed, and where the secret ones are kept; raise UsageError for what is neither."""
    given, references = dict(offered), dict[str, SecretReference]()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(Text("-p {word}: a parameter is written name=value", word=word), _how(playbook))
        param = playbook.params.get(name)
        if param is not None and param.type is ParamType.SECRET:
            kind, _, where = value.partition(":")
            if kind not in KINDS or not (where or kind == "prompt"):
                text = Text("-p {name}=…: a secret is never typed here; say where it is kept", name=name)
                raise UsageError(text, Text("-p {name}=secret:NAME, env:NAME, file:PATH, keyring:SERVICE/USER", name=name))
            references[name] = SecretReference(kind=kind, value=where)
        else:
            given[name] = value
    return given, references


def _settled(playbook: Playbook, given: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """Return all parameters, or raise UsageError that says what is wrong with which `-p`, and where it is declared."""
    try:
        return settled_params(playbook.params, given)
    except BadParams as error:
        places = [playbook.params[name].place for name in given if name in playbook.params]
        where = next((place for place in places if place is not None), playbook.place)
        text = Text("-p: {problem} (declared in {place})", problem=error.text, place=str(where)) if where else error.text
        raise UsageError(text, error.hint or _how(playbook)) from error


def _how(playbook: Playbook) -> Text:
    return Text("longarm playbook show {name}", name=playbook.id)


def _begun_with(settings: Settings, record: RunRecord, library: Library) -> tuple[Playbook, dict[str, Secret]]:
    """Return the playbook of an earlier repair, and its secrets, read anew from where they were kept."""
    if record.repair is None or record.kind is not RunKind.REPAIR:
        raise UsageError(Text("run {run} was no repair", run=record.run), Text("longarm run show {run}", run=record.run))
    book = load_playbook(Path(record.repair.file) if record.repair.file else playbook_path(record.playbook), library)
    secrets = {}
    for name, kept in record.repair.secrets.items():
        kind, _, value = kept.partition(":")
        secrets[name] = secrets_of(settings).get(SecretReference(kind=kind, value=value))
    return book, secrets


def _again(record: RunRecord, only: Sequence[str], inventory: Inventory) -> Selection:
    """Return those hosts of a run that ended so; what nobody knows the end of is never tried again blindly."""
    wanted = {Outcome(one) for one in only}
    names = [host.host for host in record.hosts if host.outcome in wanted]
    gone = [name for name in names if name not in inventory.hosts]
    if gone:
        raise UsageError(Text("the inventory does not know {hosts} any more", hosts=", ".join(gone)))
    if not names:
        raise NothingToRetry(record.run, only)
    return Selection(expression=", ".join(names), hosts=tuple(inventory.hosts[name] for name in names))


class NothingToRetry(LongarmError):
    """No host of the run ended so."""

    def __init__(self, run: str, only: Sequence[str]) -> None:
        text = Text("no host of run {run} ended as {outcomes}", run=run, outcomes=", ".join(only))
        super().__init__(text, Text("longarm run show {run}", run=run))
