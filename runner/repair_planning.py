"""Plans of repairs: a new one, and the rest of one that was cut off; what they were begun with is on disk with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from diagnostics.formats import decode_content, encode_content
from diagnostics.library import Library
from diagnostics.probe import Probe
from inventory.errors import Text, UsageError
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.secret import MASKER, Secret
from playbooks.actions import ACTIONS
from playbooks.demands import demands_of
from playbooks.frame import undone_by_item
from playbooks.model import OnFailure, Playbook, Step, can_be_undone
from playbooks.params import ParamValue, given_words, settled_params
from playbooks.readiness import Passed
from playbooks.scenario_files import keys_by_name, titles_by_name
from playbooks.verdicts import claimed_checks
from remote.session import Connect
from runner.approved_plan import approved_of
from runner.diagnosing import target_row
from runner.gate import counts
from runner.host_run import Clock
from runner.journal import ended_lines, that_stand
from runner.leaving import left_gone, out_of_sight, states_before
from runner.outcome import RunKind, RunState
from runner.planning import (
    UNFINISHED,
    asked_again,
    audited,
    both_contents,
    check_customers,
    check_inventory,
    check_resumable,
    diagnosing_of,
    limits_of,
    versions_of,
    versions_resumed,
    went_beside,
)
from runner.repair_recording import agreed_of
from runner.repairing import Repairing
from runner.request import NoSuchRun, NotResumable, RepairRequest, RestRequest, new_run_id
from runner.run import Plan
from runner.spread import allowed, in_waves
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, ResumeRun
from runner.store.port import Store, WholeRun
from runner.store.rows import Event, HostRow, JournalRow, RunRow
from runner.targets import target_digests
from runner.undoing import Undoing, undoing_of

LONGEST_S: Final = 86_400.0
ASKING_S: Final = 60.0
"""What connecting, and asking the questions once, may take."""


def plan_of_repair(request: RepairRequest, store: Store, connect: Connect, clock: Clock) -> Plan:
    """Return the plan of a new repair, or of what one would do."""
    now, hosts, library, playbook = clock(), request.selection.hosts, request.library, request.playbook
    check_inventory({}, hosts, library)
    checks = checks_of(playbook, library)
    content = encode_content(library.content(checks))
    undoing = _undoing(request.undoes, playbook, library, store)
    run = _begun(request, now, checks, digest_of(content))
    rows = tuple(_row(run.run, position, host, playbook) for position, host in enumerate(hosts))
    agreed = f"approved by {request.agreed.approved_by}" if request.agreed else ""
    undoes = f"undoes {request.undoes}" if request.undoes else ""
    detail = ": ".join(filter(None, (playbook.id, undoes, request.forced, MASKER.text(request.break_glass), agreed)))
    return Plan(
        begin=BeginRun(
            run=run,
            hosts=rows,
            audit=audited(run, request.actor, "run.started", now, detail),
            approved=request.agreed.run if request.agreed else "",
        ),
        hosts=hosts,
        per_host=Repairing(
            playbook=playbook,
            params=request.params,
            diagnosing=diagnosing_of(run, library, _needed(playbook, library), hosts, store, clock),
            store=store,
            connect=connect,
            operator=request.operator,
            actor=request.actor,
            only_plan=request.only_plan,
            forced=request.forced,
            beside=went_beside(run, request.actor, now, run.request["beside"]),
            file=request.file,
            given=_given(request.params, request.secrets, request.case),
            can_be_forced=not (request.retries or request.undoes or request.agreed),
            recorded=request.recorded,
            approved=None if request.agreed is None else approved_of(request.agreed, store.run(request.agreed.run)),
            positions={row.host: row.position for row in rows},
            undoing=undoing,
        ),
        limits=limits_of(run),
        languages=request.languages,
        content=content,
        waves=in_waves(hosts, {row.host: row.position for row in rows}, request.batch, len(rows)),
        allowed=allowed(request.max_failed, len(rows)),
        hooks=() if request.only_plan else request.hooks,
    )


def _row(run: str, position: int, host: Host, playbook: Playbook) -> HostRow:
    """Return the row of a host that is to be repaired, with what it is as that begins."""
    return replace(target_row(run, position, host), target=target_digests(run, host, playbook))


def _begun(request: RepairRequest, now: datetime, checks: tuple[str, ...], content_digest: str) -> RunRow:
    """Return the row of a run that begins now."""
    hosts, library, playbook = request.selection.hosts, request.library, request.playbook
    kind = RunKind.PLAN if request.only_plan else RunKind.REPAIR
    return RunRow(
        run=new_run_id(now),
        playbook=playbook.id,
        title=dict(playbook.title),
        maintenance=playbook.maintenance.value,
        expression=request.selection.expression,
        actor=request.actor,
        case=request.case,
        customers=tuple(sorted({host.customer for host in hosts if host.customer})),
        state=RunState.RUNNING,
        checks=checks,
        request={
            "kind": kind.value,
            "concurrency": request.concurrency,
            "host_deadline_s": request.host_deadline_s or longest_s(playbook, undoes=bool(request.undoes)),
            "run_deadline_s": request.run_deadline_s,
            "languages": list(request.languages),
            "extra_probes": list(playbook.needs),
            "thresholds": {},
            **_asked(request),
        },
        versions={**versions_of(library), "playbook": playbook.digest},
        content_digest=content_digest,
        started_at=now,
    )


def plan_of_the_rest(whole: WholeRun, request: RestRequest, store: Store, connect: Connect, clock: Clock, actor: str) -> Plan:
    """Return the plan of what a repair that was cut off has not done: each host is asked first how its last step ended."""
    inventory, library, playbook = request.inventory, request.library, request.playbook
    check_resumable(whole.run, library)
    if playbook.digest != whole.run.versions["playbook"]:
        text = Text("the playbook “{name}” is not what run {run} was begun with", name=playbook.id, run=whole.run.run)
        raise NotResumable(text, only_ask(whole.run.run))
    unfinished = [row for row in whole.hosts if row.outcome in UNFINISHED]
    _check_unpruned(whole, unfinished)
    hosts = tuple(inventory.hosts[row.host] for row in unfinished if row.host in inventory.hosts)
    check_customers(whole.run.run, unfinished, inventory.hosts, only_ask(whole.run.run))
    check_inventory({}, hosts, library)
    content = encode_content(
        both_contents(decode_content(store.blob(whole.run.content_digest)), library.content(whole.run.checks))
    )
    reason = MASKER.text(request.beside)
    run = replace(
        whole.run,
        versions=versions_resumed(whole.run.versions, library),
        content_digest=digest_of(content),
        request={**whole.run.request, "beside": _reasons(whole.run.request.get("beside", ""), reason)},
    )
    begun = {line.position for line in whole.journal if line.event is Event.INTENT}
    now, total, earlier = clock(), len(whole.hosts) + run.erased_hosts, _by_position(whole.journal)
    positions = {row.host: row.position for row in whole.hosts}
    return Plan(
        begin=ResumeRun(
            run=run,
            hosts=tuple(_asked_again(row, inventory, earlier) for row in unfinished),
            audit=audited(run, actor, "run.resumed", now, f"beside: {reason}" if reason else ""),
        ),
        hosts=hosts,
        per_host=Repairing(
            playbook=playbook,
            params=params_again(playbook, run.request["params"], request.secrets),
            diagnosing=diagnosing_of(run, library, _needed(playbook, library), hosts, store, clock),
            store=store,
            connect=connect,
            operator=request.operator,
            actor=actor,
            forced=run.request["forced"],
            beside=went_beside(run, actor, now, reason),
            file=run.request["file"],
            given=_given(run.request["params"], run.request["secrets"], run.case),
            positions=positions,
            undoing=_undoing(run.request.get("undoes", ""), playbook, library, store),
            approved=None if (agreed := agreed_of(run.request)) is None else approved_of(agreed, store.run(agreed.run)),
            earlier=earlier,
            samples=_by_position(whole.samples),
        ),
        limits=limits_of(run),
        languages=tuple(run.request["languages"]),
        content=content,
        states=states_before(whole.hosts),
        waves=in_waves(hosts, positions, run.request.get("batch", ()), total),
        allowed=allowed(run.request.get("max_failed"), total),
        bad=sum(counts(row.outcome, row.error_kind) for row in whole.hosts if row.outcome not in UNFINISHED),
        begun=frozenset(row.host for row in whole.hosts if row.position in begun),
        first_wave=max((mute.wave + 1 for mute in whole.mutes), default=0),
    )


def _asked_again(row: HostRow, inventory: Inventory, earlier: Mapping[int, Sequence[JournalRow]]) -> HostRow:
    """Return the row of a host that is asked again: what it was as the repair began stays.

    Nobody can ask one that is gone how a step ended that was begun there.
    """
    host = inventory.hosts.get(row.host)
    if host is None and row.host in inventory.hidden:
        return out_of_sight(row)
    again = asked_again(row, host)
    if host is not None:
        began = {name: getattr(row, name) for name in ("address", "site", "customer", "platform", "transport", "target")}
        return replace(again, **began)
    return left_gone(row, earlier.get(row.position, ())) or again


def _check_unpruned(whole: WholeRun, unfinished: Sequence[HostRow]) -> None:
    """Raise NotResumable where a step was begun on a host, and what was seen and said there before was pruned."""
    begun = {line.position for line in whole.journal if line.event is Event.INTENT}
    for row in unfinished:
        pruned = (sample for sample in whole.samples if sample.position == row.position and sample.pruned_at is not None)
        if row.position in begun and any(pruned):
            text = Text("what run {run} saw on {host} before was pruned", run=whole.run.run, host=row.host)
            raise NotResumable(text, only_ask(whole.run.run))


def only_ask(run: str) -> Text:
    """Return how a repair ends that cannot go on: its hosts are asked what they were left with, and are free then."""
    return Text(
        "do no more of it, ask how its last steps ended, and free its hosts: longarm run resume {run} --only-ask", run=run
    )


def _reasons(*reasons: str) -> str:
    """Return why a run was begun and went on beside somebody, as its record has it: each reason once."""
    return "; ".join(dict.fromkeys(filter(None, reasons)))


def passed_of(whole: WholeRun, hosts: Sequence[Host]) -> list[Passed]:
    """Return what a repair that was cut off has behind it on these hosts."""
    names, lines = {host.name for host in hosts}, _by_position(whole.journal)
    standing = (that_stand(lines.get(row.position, ())) for row in whole.hosts if row.host in names)
    return [Passed(begun=frozenset(line.key for line in one), ended=frozenset(ended_lines(one))) for one in standing]


def _undoing(run: str, playbook: Playbook, library: Library, store: Store) -> Undoing | None:
    """Return what a run needs that undoes another one, None for one that does its playbook."""
    if not run:
        return None
    whole = store.run(run)
    if whole is None:  # it was erased meanwhile
        raise NoSuchRun(run)
    return undoing_of(whole, playbook, library, store)


def again_with(run: RunRow, host: str) -> tuple[str, ...]:
    """Return the words after `longarm repair` by which what a run did is asked for anew on one of its hosts."""
    given = _given(run.request["params"], run.request["secrets"], run.case)
    return (run.request["file"] or run.playbook, host, *given)


def _given(params: Mapping[str, Any], secrets: Mapping[str, str], case: str | None) -> tuple[str, ...]:
    """Return the words of a command line that say with what a repair is begun."""
    return (*given_words(params, secrets), *(("--case", case) if case else ()))


def params_again(playbook: Playbook, kept: Mapping[str, Any], secrets: Mapping[str, Secret]) -> dict[str, ParamValue]:
    """Return the parameters that a run was begun with: what it kept of them, and its secrets."""
    given: dict[str, ParamValue] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return settled_params(playbook.params, {**given, **secrets})


def checks_of(playbook: Playbook, library: Library) -> tuple[str, ...]:
    """Return the checks that are asked before and after: what it fixes and what proves it, what comes first, what follows.

    What follows are the checks whose findings those that it fixes may have caused.
    """
    claimed = claimed_checks(playbook)
    unknown = [name for name in claimed if name not in library.checks]
    if unknown:
        text = Text("“{name}” names checks that are not here: {checks}", name=playbook.id, checks=", ".join(unknown))
        raise UsageError(text, Text("longarm check list"))
    effects = [effect for rule in library.causes if rule.cause in claimed for effect in rule.effect]
    platforms = set(playbook.platforms)
    concerned = [name for name in effects if name in library.checks and platforms & set(library.checks[name].platforms)]
    return tuple(dict.fromkeys((*claimed, *playbook.not_while, *concerned)))


def longest_s(playbook: Playbook, *, undoes: bool = False) -> float:
    """Return how long one host may take: what the playbook says of itself, or what its steps may take, and the questions.

    What is undone takes its own time, which the playbook's own word does not cover: by a run that undoes, or where proof fails.
    """
    verify = playbook.verify
    proving_s = verify.settle_s + verify.samples * (verify.every_s + ASKING_S) if verify else ASKING_S
    steps_s = playbook.durations.at_most_s or sum(_steps_s(playbook.steps))
    undoing_s = 0.0
    if undoes or (verify and verify.on_failure is OnFailure.ROLL_BACK):
        undoing_s = sum(_undoing_s(playbook.steps)) + ASKING_S
    return min(LONGEST_S, ASKING_S + steps_s + proving_s + undoing_s)


def _steps_s(steps: Iterable[Step]) -> Iterator[float]:
    for step in steps:
        inner = step.values.get("playbook")
        once_s = sum(_steps_s(inner.steps)) if isinstance(inner, Playbook) else step.deadline_s
        yield once_s * (step.at_most if step.loop is not None else 1) + sum(_steps_s(step.rollback))


def _undoing_s(steps: Iterable[Step]) -> Iterator[float]:
    for step in steps:
        inner = step.values.get("playbook")
        once_s = sum(_undoing_s(inner.steps)) if isinstance(inner, Playbook) else 0.0
        yield (once_s + sum(_steps_s(step.rollback))) * (step.at_most if step.loop is not None else 1)


def _asked(request: RepairRequest) -> dict[str, Any]:
    """Return what was asked for, as the run keeps it: everything that `resume` and the report need."""
    playbook, asked = request.playbook, demands_of(request.playbook)
    return {
        "params": {name: _plain(value) for name, value in request.params.items() if not isinstance(value, Secret)},
        "secrets": dict(request.secrets),
        "file": request.file,
        "forced": request.forced,
        "beside": MASKER.text(request.beside),
        "retries": request.retries,
        "undoes": request.undoes,
        "batch": list(request.batch),
        "max_failed": request.max_failed,
        "break_glass": MASKER.text(request.break_glass),
        "agreed": None if request.agreed is None else {**asdict(request.agreed), "at": request.agreed.at.isoformat()},
        "risk": asked.risk.value,
        "tier": asked.tier.value,
        "says": dict(playbook.says),
        "claims": list(claimed_checks(playbook)),
        "includes": list(asked.names[1:]),
        "conflicts": list(asked.conflicts),
        "not_while": list(playbook.not_while),
        "steps": dict(keys_by_name(playbook.steps)),
        "sends": dict(_sends(playbook.steps)),
        "undo": list(can_be_undone(playbook.steps)),
        "undo_by_item": list(undone_by_item(playbook.steps)),
        "titles": {name: dict(titles) for name, titles in titles_by_name(playbook.steps)},
        "samples": playbook.verify.samples if playbook.verify else 1,
        "settle_s": playbook.verify.settle_s if playbook.verify else 0.0,
    }


def _sends(steps: Iterable[Step], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys of steps whose commands hosts know by their ids, and as whom they run; others run on the controller."""
    for index, step in enumerate(steps, 1):
        key = f"{prefix}s{index}"
        undoing = ((f"{key}.r{number}", one) for number, one in enumerate(step.rollback, 1))
        for name, one in ((key, step), *undoing):
            if not ACTIONS[one.action].on_controller:
                yield name, one.privilege.value
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from _sends(inner.steps, f"{key}.")


def _plain(value: ParamValue) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _needed(playbook: Playbook, library: Library) -> tuple[Probe, ...]:
    return tuple(library.probes[name] for name in playbook.needs)


def _by_position(rows: Sequence[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.position].append(row)
    return dict(found)
