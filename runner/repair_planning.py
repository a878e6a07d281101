"""Plans of repairs: a new one, and the rest of one that was cut off; what they were begun with is on disk with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from diagnostics.formats import decode_content, encode_content
from diagnostics.library import Library
from diagnostics.probe import Probe
from inventory.errors import Text, UsageError
from inventory.inventory import Inventory
from inventory.secret import Secret
from playbooks.model import Playbook, Step
from playbooks.params import ParamValue, settled_params
from playbooks.ports import Operator
from playbooks.scenario_files import keys_by_name
from remote.session import Connect
from runner.diagnosing import target_row
from runner.host_run import Clock
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
)
from runner.repairing import Repairing
from runner.request import NotResumable, RepairRequest, new_run_id
from runner.run import Plan
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, ResumeRun
from runner.store.port import Store, WholeRun
from runner.store.rows import RunRow

LONGEST_S: Final = 86_400.0
ASKING_S: Final = 60.0
"""What connecting, and asking the questions once, may take."""


def plan_of_repair(request: RepairRequest, store: Store, connect: Connect, clock: Clock) -> Plan:
    """Return the plan of a new repair, or of what one would do."""
    now, hosts, library, playbook = clock(), request.selection.hosts, request.library, request.playbook
    check_inventory({}, hosts, library)
    checks = checks_of(playbook, library)
    content = encode_content(library.content(checks))
    kind = RunKind.PLAN if request.only_plan else RunKind.REPAIR
    run = RunRow(
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
            "host_deadline_s": request.host_deadline_s or longest_s(playbook),
            "run_deadline_s": request.run_deadline_s,
            "languages": list(request.languages),
            "extra_probes": list(playbook.needs),
            "thresholds": {},
            **_asked(request),
        },
        versions={**versions_of(library), "playbook": playbook.digest},
        content_digest=digest_of(content),
        started_at=now,
    )
    rows = tuple(target_row(run.run, position, host) for position, host in enumerate(hosts))
    detail = f"{playbook.id}: {request.forced}" if request.forced else playbook.id
    return Plan(
        begin=BeginRun(run=run, hosts=rows, audit=audited(run, request.actor, "run.started", now, detail)),
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
            positions={row.host: row.position for row in rows},
        ),
        limits=limits_of(run),
        languages=request.languages,
        content=content,
    )


def plan_of_the_rest(
    whole: WholeRun,
    inventory: Inventory,
    library: Library,
    playbook: Playbook,
    secrets: Mapping[str, Secret],
    operator: Operator,
    store: Store,
    connect: Connect,
    clock: Clock,
    actor: str,
) -> Plan:
    """Return the plan of what a repair that was cut off has not done: each host is asked first how its last step ended."""
    check_resumable(whole.run, library)
    if playbook.digest != whole.run.versions["playbook"]:
        text = Text("the playbook “{name}” is not what run {run} was begun with", name=playbook.id, run=whole.run.run)
        raise NotResumable(text, Text("begin a run of its own: longarm repair {name} …", name=playbook.id))
    unfinished = [row for row in whole.hosts if row.outcome in UNFINISHED]
    hosts = tuple(inventory.hosts[row.host] for row in unfinished if row.host in inventory.hosts)
    check_customers(whole.run.run, unfinished, inventory)
    check_inventory({}, hosts, library)
    content = encode_content(
        both_contents(decode_content(store.blob(whole.run.content_digest)), library.content(whole.run.checks))
    )
    run = replace(whole.run, versions=versions_resumed(whole.run.versions, library), content_digest=digest_of(content))
    now = clock()
    return Plan(
        begin=ResumeRun(
            run=run,
            hosts=tuple(asked_again(row, inventory.hosts.get(row.host)) for row in unfinished),
            audit=audited(run, actor, "run.resumed", now),
        ),
        hosts=hosts,
        per_host=Repairing(
            playbook=playbook,
            params=params_again(playbook, run.request["params"], secrets),
            diagnosing=diagnosing_of(run, library, _needed(playbook, library), hosts, store, clock),
            store=store,
            connect=connect,
            operator=operator,
            actor=actor,
            forced=run.request["forced"],
            positions={row.host: row.position for row in whole.hosts},
            earlier=_by_position(whole.journal),
            samples=_by_position(whole.samples),
        ),
        limits=limits_of(run),
        languages=tuple(run.request["languages"]),
        content=content,
    )


def params_again(playbook: Playbook, kept: Mapping[str, Any], secrets: Mapping[str, Secret]) -> dict[str, ParamValue]:
    """Return the parameters that a run was begun with: what it kept of them, and its secrets."""
    given: dict[str, ParamValue] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return settled_params(playbook.params, {**given, **secrets})


def checks_of(playbook: Playbook, library: Library) -> tuple[str, ...]:
    """Return the checks that are asked before and after: what it fixes, what proves it, what its findings may have caused."""
    claimed = claimed_checks(playbook)
    unknown = [name for name in claimed if name not in library.checks]
    if unknown:
        raise UsageError(Text("“{name}” names checks that are not here: {checks}", name=playbook.id, checks=", ".join(unknown)))
    effects = [effect for rule in library.causes if rule.cause in claimed for effect in rule.effect]
    platforms = set(playbook.platforms)
    concerned = [name for name in effects if name in library.checks and platforms & set(library.checks[name].platforms)]
    return tuple(dict.fromkeys((*claimed, *concerned)))


def claimed_checks(playbook: Playbook) -> tuple[str, ...]:
    """Return the checks whose findings a repair claims to fix, and those that prove it."""
    return tuple(dict.fromkeys((*playbook.fixes, *(playbook.verify.checks if playbook.verify else ()))))


def longest_s(playbook: Playbook) -> float:
    """Return how long one host may take: what the playbook says of itself, or what its steps may take, and the questions."""
    verify = playbook.verify
    proving_s = verify.settle_s + verify.samples * (verify.every_s + ASKING_S) if verify else ASKING_S
    steps_s = playbook.durations.at_most_s or sum(_steps_s(playbook.steps))
    return min(LONGEST_S, ASKING_S + steps_s + proving_s)


def _steps_s(steps: Iterable[Step]) -> Iterator[float]:
    for step in steps:
        inner = step.values.get("playbook")
        once_s = sum(_steps_s(inner.steps)) if isinstance(inner, Playbook) else step.deadline_s
        yield once_s * (step.at_most if step.loop is not None else 1) + sum(_steps_s(step.rollback))


def _asked(request: RepairRequest) -> dict[str, Any]:
    """Return what was asked for, as the run keeps it: everything that `resume` and the report need."""
    playbook = request.playbook
    return {
        "params": {name: _plain(value) for name, value in request.params.items() if not isinstance(value, Secret)},
        "secrets": dict(request.secrets),
        "file": request.file,
        "forced": request.forced,
        "retries": request.retries,
        "risk": playbook.risk.value,
        "tier": playbook.tier.value,
        "says": dict(playbook.says),
        "claims": list(claimed_checks(playbook)),
        "steps": dict(keys_by_name(playbook.steps)),
        "samples": playbook.verify.samples if playbook.verify else 1,
        "settle_s": playbook.verify.settle_s if playbook.verify else 0.0,
    }


def _plain(value: ParamValue) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _needed(playbook: Playbook, library: Library) -> tuple[Probe, ...]:
    return tuple(library.probes[name] for name in playbook.needs)


def _by_position(rows: Sequence[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.position].append(row)
    return dict(found)
