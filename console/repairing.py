"""From the words of `longarm repair` to a run, and from its record to the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from console.aftermath import Aftermath, settle
from console.authoring import playbook_path
from console.carrying_out import asked_again, begun_with, carried_out, declined, hosts_again
from console.conduct import Work, conduct
from console.diagnosing import case_named, refuse_others
from console.inventories import inventory_to_go_on, known_inventory
from console.operating import operator_of
from console.permits import refuse_own_secret, refuse_this_machine
from console.reasons import reason_given
from console.rolling_back import offered
from console.settings import Settings
from console.spreading import counted, refuse_unsaid_all
from console.terminal import tell, tell_hint
from console.wiring import connector, credential_store, secrets_of
from diagnostics.finding import Finding
from diagnostics.library import load_library
from inventory.errors import LongarmError, Text, UsageError, utc
from inventory.fields import did_you_mean
from inventory.host import SecretReference, Selection
from inventory.inventory import Inventory
from inventory.kept import KINDS
from inventory.walls import refuse_mixed
from playbooks.lint import sound_playbook
from playbooks.load import SHIPPED, load_playbook
from playbooks.model import Playbook
from playbooks.params import BadParams, ParamType, ParamValue, settled_params
from playbooks.verdicts import causes_of
from reports.by_hand import MOST
from reports.repair_commands import cause_repair
from runner.config import load_config
from runner.content import refuse_unsigned
from runner.desk import Desk, login_name
from runner.mute_hooks import hooks_of
from runner.outcome import FailOn, Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import AT_ONCE, RepairRequest, RestRequest
from runner.spread import batch_of, limit_of
from runner.store.rows import MuteRow

if TYPE_CHECKING:
    from playbooks.scenario_writing import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `repair` as they were given."""

    param: Sequence[str] = ()
    plan: bool = False
    finding: str | None = None
    force: str | None = None
    case: str | None = None
    fail_on: str = "warning"
    concurrency: int = AT_ONCE
    deadline: float | None = None
    run_deadline: float | None = None
    across_customers: bool = False
    recorded: Callable[[Recording], None] | None = None
    """Is given what was done on each host as a scenario."""
    count: int | None = None
    batch: str | None = None
    max_failed: str | None = None
    break_glass: str | None = None
    beside: str | None = None


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
    refuse_unsaid_all(selection, inventory)
    if not wishes.across_customers:
        refuse_mixed(selection)
    path = playbook_path(settings.home, asked.playbook)
    file = "" if path.parent == SHIPPED else str(path.resolve())
    refuse_unsigned(settings.home, file)
    book = sound_playbook(path, library)
    given, references = _given(book, wishes.param, asked.params)
    secrets = {name: secrets_of(settings).get(reference) for name, reference in references.items()}
    request = RepairRequest(
        selection=selection,
        playbook=book,
        library=library,
        params=_settled(book, {**given, **secrets}),
        secrets={name: str(reference) for name, reference in references.items()},
        file=file,
        case=case_named(wishes.case),
        actor=login_name(),
        operator=operator_of(settings),
        only_plan=wishes.plan,
        forced=reason_given(wishes.force, "--force"),
        beside=reason_given(wishes.beside, "--beside"),
        hooks=() if wishes.plan else hooks_of(load_config(settings.home).mute, secrets_of(settings).get),
        batch=batch_of(wishes.batch) if wishes.batch is not None else (),
        max_failed=limit_of(wishes.max_failed) if wishes.max_failed is not None else None,
        break_glass=reason_given(wishes.break_glass, "--break-glass"),
        concurrency=wishes.concurrency,
        host_deadline_s=wishes.deadline,
        run_deadline_s=wishes.run_deadline,
        languages=(settings.language,),
        across_customers=wishes.across_customers,
        recorded=wishes.recorded,
    )
    if not wishes.plan and not counted(settings, len(selection.hosts), wishes.count):
        return declined(settings)
    fail_on = FailOn(wishes.fail_on)
    return offered(settings, *carried_out(settings, request, fail_on, lambda desk: partial(desk.repair, request)), fail_on)


def resume_repair(settings: Settings, run: str, fail_on: FailOn, beside: str | None = None) -> int:
    """Go on with a repair that was cut off, settle what follows and return the exit code."""
    inventory, library = inventory_to_go_on(settings), load_library()
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    hooks = hooks_of(load_config(settings.home).mute, secrets_of(settings).get)
    with Desk.open(settings.writable_home(), write=True) as desk:
        record = desk.record(run)
        unfinished = [host for host in record.hosts if host.outcome in (Outcome.INTERRUPTED, Outcome.NOT_STARTED)]
        refuse_others(settings, run, unfinished)
        tell_by_hand(settings, record, [host.host for host in unfinished])
        book, secrets = begun_with(settings, record, library, load_playbook)  # it was sound when the run began
        waiting = [inventory.hosts[host.host] for host in unfinished if host.host in inventory.hosts]
        refuse_this_machine(waiting)
        work = Work(
            prepare=lambda: credentials.prepare(waiting),
            start=lambda observer: desk.resume_repair(
                record.run,
                RestRequest(
                    inventory=inventory,
                    library=library,
                    playbook=book,
                    secrets=secrets,
                    operator=operator_of(settings),
                    hooks=hooks,
                    beside=reason_given(beside, "--beside"),
                ),
                connect=connect,
                observer=observer,
            ),
        )
        record = conduct(settings, desk, work)
        code = settle(settings, desk, record, Aftermath(fail_on=fail_on))
    return offered(settings, record, code, fail_on)


def retry_repair(
    settings: Settings,
    run: str,
    only: Sequence[str],
    fail_on: FailOn,
    count: int | None = None,
    break_glass: str | None = None,
    beside: str | None = None,
) -> int:
    """Begin a new repair of those hosts of an earlier one that ended so, settle what follows and return the exit code."""
    inventory = known_inventory(settings)
    record, request = asked_again(settings, run, lambda record: _again(record, only, inventory))
    tell_left_out(settings, record, only)
    glass, beside = reason_given(break_glass, "--break-glass"), reason_given(beside, "--beside")
    again = replace(request, retries=record.run, break_glass=glass, beside=beside)
    tell_by_hand(settings, record, [host.name for host in again.selection.hosts])
    if not counted(settings, len(again.selection.hosts), count):
        return declined(settings)
    return offered(settings, *carried_out(settings, again, fail_on, lambda desk: partial(desk.repair, again)), fail_on)


def start_repair(settings: Settings, run: str, fail_on: FailOn, beside: str | None = None) -> int:
    """Begin what a second person has approved, settle what follows and return the exit code."""
    inventory = known_inventory(settings)
    record, request = asked_again(settings, run, lambda record: _all(record, inventory))
    again = replace(request, beside=reason_given(beside, "--beside") or record.beside)  # that of the plan goes along
    done = carried_out(settings, again, fail_on, lambda desk: partial(desk.start, record.run, again))
    return offered(settings, *done, fail_on)


def tell_by_hand(settings: Settings, record: RunRecord, hosts: Sequence[str]) -> None:
    """Tell what people have done by hand, since an earlier run began there, on hosts that are to be changed again."""
    for host in record.hosts:
        hands = host.repair.by_hand if host.repair and host.host in hosts else ()
        for hand in hands[-MOST:]:
            values = {"host": host.host, "actor": hand.actor, "since": utc(hand.since), "what": hand.what, "run": hand.run}
            text = Text("{host}: since then {actor} has worked on it by hand, {since}: {what}", **values)
            if hand.run:
                text = Text("{host}: since then {actor} has worked on it by hand, {since}: {what} (run {run})", **values)
            tell(settings, text, level=-1)
        if (more := len(hands) - MOST) > 0:
            tell(settings, Text("{host}: by hand before that: {count}", host=host.host, count=more), level=-1)


def unmute_left(settings: Settings) -> tuple[MuteRow, ...]:
    """Return how unmuting ended of what runs that were cut off had muted."""
    hooks = hooks_of(load_config(settings.home).mute, secrets_of(settings).get)
    with Desk.open(settings.writable_home(), write=True) as desk:
        return asyncio.run(desk.unmute_left(hooks))


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
        record = desk.record(run)
    finding = _finding(record, name)
    tell_causes(settings, record, finding)
    if finding.remedy is None:
        raise UsageError(Text("no playbook is offered for {finding}", finding=finding.id), Text("longarm playbook list"))
    params = {name: value for name, value in finding.remedy.params.items() if value is not None}
    return Asked(playbook=finding.remedy.playbook, targets=finding.host, params=params)


def tell_causes(settings: Settings, record: RunRecord, finding: Finding) -> None:
    """Tell what explained a finding that is to be repaired, and how that is repaired: it may bring the finding back."""
    diagnoses = (host.diagnosis for host in record.hosts if host.host == finding.host and host.diagnosis)
    for cause in (one for diagnosis in diagnoses for one in causes_of(diagnosis).get(finding.id, ())):
        tell(settings, Text("{finding} follows from {cause}", finding=finding.id, cause=cause.id), level=-1)
        if command := cause_repair(record, cause):
            tell_hint(settings, command, level=-1)


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
            refuse_own_secret(kind, name)
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


def _all(record: RunRecord, inventory: Inventory) -> Selection:
    """Return all hosts of a run as the inventory has them now."""
    return hosts_again([host.host for host in record.hosts], inventory, record.expression)


def _again(record: RunRecord, only: Sequence[str], inventory: Inventory) -> Selection:
    """Return those hosts of a run that ended so; what nobody knows the end of is never tried again blindly."""
    names = [host.host for host in _ended_so(record, only) if not _unsettled(host)]
    if not names:
        raise NothingToRetry(record, only, [host.host for host in _ended_so(record, only)])
    return hosts_again(names, inventory, ", ".join(names))


def _ended_so(record: RunRecord, only: Sequence[str]) -> list[HostRecord]:
    wanted = {Outcome(one) for one in only}
    return [host for host in record.hosts if host.outcome in wanted]


def _unsettled(host: HostRecord) -> bool:
    return host.repair is not None and host.repair.unsettled


def tell_left_out(settings: Settings, record: RunRecord, only: Sequence[str]) -> None:
    """Tell which hosts of an earlier run are not tried again, since nobody knows what it did there, and what to do instead."""
    if names := [host.host for host in _ended_so(record, only) if _unsettled(host)]:
        text = Text("left out, since nobody knows how a step ended there: {hosts}", hosts=", ".join(names))
        tell(settings, text, level=-1)
        tell_hint(settings, str(_to_know(record, names)), level=-1)


def _to_know(record: RunRecord, hosts: Sequence[str]) -> Text:
    """Return how to find out what a run did to hosts: it asks them itself, unless it has ended."""
    if record.state is RunState.ENDED:
        return Text("longarm diagnose {hosts}", hosts=",".join(hosts))
    return Text("longarm run resume {run}", run=record.run)


class NothingToRetry(LongarmError):
    """No host of the run ended so, but such as nobody knows what was done to."""

    def __init__(self, record: RunRecord, only: Sequence[str], unsettled: Sequence[str]) -> None:
        text = Text("no host of run {run} ended as {outcomes}", run=record.run, outcomes=", ".join(only))
        if not unsettled:
            super().__init__(text, Text("longarm run show {run}", run=record.run))
            return
        text = Text("nobody knows how a step of run {run} ended on {hosts}", run=record.run, hosts=", ".join(unsettled))
        super().__init__(text, _to_know(record, unsettled))
