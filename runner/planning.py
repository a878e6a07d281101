"""Plans of runs: a new one from what somebody asks, the rest of an interrupted one from what was recorded."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from diagnostics.content import Content
from diagnostics.formats import decode_content, decode_diagnosis, encode_content
from diagnostics.library import Library
from diagnostics.probe import Probe
from diagnostics.thresholds import Thresholds, host_problems
from diagnostics.waivers import waiver_problems
from inventory.errors import InvalidFile, Text, UsageError
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.secret import MASKER
from inventory.version import VERSION
from playbooks.model import Maintenance
from remote.bundle.frames import FORMAT as BUNDLE
from runner.by_hand import ByHand
from runner.diagnosing import Diagnosing, target_row
from runner.fan_out import Limits
from runner.host_run import Clock
from runner.outcome import Outcome, RunKind, RunState
from runner.request import DiagnoseRequest, NotResumable, TaskRequest, new_run_id
from runner.run import Plan
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, ResumeRun
from runner.store.port import Store, WholeRun
from runner.store.rows import AuditRow, HostRow, RunRow, StateRow
from runner.tasking import Tasking

UNFINISHED = (None, Outcome.INTERRUPTED, Outcome.NOT_STARTED)
"""Outcomes of hosts that `resume` asks again."""

VANISHED = Text("not asked: the inventory does not know this host any more")


def plan_of(request: DiagnoseRequest, store: Store, clock: Clock) -> Plan:
    """Return the plan of a new run."""
    now, hosts, library = clock(), request.selection.hosts, request.library
    check_inventory(request.playbook.thresholds, hosts, library)
    checks = _concerned(request)
    content = encode_content(library.content(checks))
    run = RunRow(
        run=new_run_id(now),
        playbook=request.playbook.id,
        title=dict(request.playbook.title),
        maintenance=request.playbook.maintenance.value,
        expression=request.selection.expression,
        actor=request.actor,
        case=request.case,
        customers=tuple(sorted({host.customer for host in hosts if host.customer})),
        state=RunState.RUNNING,
        checks=checks,
        request={
            "tier": request.playbook.tier.value,
            "concurrency": request.concurrency,
            "host_deadline_s": request.host_deadline_s,
            "run_deadline_s": request.run_deadline_s,
            "languages": list(request.languages),
            "checks_chosen": request.checks != request.playbook.checks,
            "extra_probes": [probe.id for probe in request.extra_probes],
            "thresholds": {check: dict(values) for check, values in request.playbook.thresholds.items()},
        },
        versions={**versions_of(library), "playbook": request.playbook.digest},
        content_digest=digest_of(content),
        started_at=now,
    )
    rows = tuple(target_row(run.run, position, host) for position, host in enumerate(hosts))
    return Plan(
        begin=BeginRun(run=run, hosts=rows, audit=audited(run, request.actor, "run.started", now)),
        hosts=hosts,
        per_host=diagnosing_of(run, library, request.extra_probes, hosts, store, clock),
        limits=limits_of(run),
        languages=request.languages,
        content=content,
    )


def _concerned(request: DiagnoseRequest) -> tuple[str, ...]:
    """Return the checks of a run: those that were named, or those of the playbook that concern a platform of its hosts."""
    if request.checks != request.playbook.checks:
        return request.checks
    platforms = {host.platform.value for host in request.selection.hosts}
    known = request.library.checks
    return tuple(name for name in request.checks if platforms & set(known[name].platforms)) or request.checks


def plan_of_task(request: TaskRequest, store: Store, clock: Clock) -> Plan:
    """Return the plan of a run that does a task."""
    now, hosts, task = clock(), request.selection.hosts, request.task
    content = encode_content(Content())
    run = RunRow(
        run=new_run_id(now),
        playbook=f"host-{task.kind.value}",
        title=dict(task.title),
        maintenance=Maintenance.CORRECTIVE.value,
        expression=request.selection.expression,
        actor=request.actor,
        case=request.case,
        customers=tuple(sorted({host.customer for host in hosts if host.customer})),
        state=RunState.RUNNING,
        checks=(),
        request={
            "kind": task.kind.value,
            "subject": MASKER.text(task.subject),
            "read_only": request.read_only,
            "beside": MASKER.text(request.beside),
            "concurrency": request.concurrency,
            "host_deadline_s": request.host_deadline_s,
            "run_deadline_s": request.run_deadline_s,
            "languages": list(request.languages),
        },
        versions={"longarm": VERSION, "bundle": BUNDLE, "python": platform.python_version()},
        content_digest=digest_of(content),
        started_at=now,
    )
    rows = tuple(target_row(run.run, position, host) for position, host in enumerate(hosts))
    versions = {"longarm": VERSION, "bundle": BUNDLE}
    said = ("read-only" if request.read_only else "may change") if task.kind.by_hand else ""
    detail = ": ".join(filter(None, (said, run.request["subject"])))  # what was typed cannot say it of itself
    return Plan(
        begin=BeginRun(run=run, hosts=rows, audit=audited(run, request.actor, "run.started", now, detail)),
        hosts=hosts,
        per_host=Tasking.of(run.run, task, versions, clock, _by_hand(request, run, rows, store, clock)),
        limits=limits_of(run),
        languages=request.languages,
        content=content,
    )


def _by_hand(request: TaskRequest, run: RunRow, rows: Sequence[HostRow], store: Store, clock: Clock) -> ByHand | None:
    """Return what has each host while a task is done there; None for one that changes nothing, or is said to only look."""
    task = request.task
    if not task.kind.by_hand or request.read_only:
        return None
    return ByHand(
        store=store,
        clock=clock,
        run=run.run,
        actor=run.actor,
        kind=task.kind,
        subject=run.request["subject"],
        lasts_s=task.lasts_s,
        beside=went_beside(run, request.actor, run.started_at, run.request["beside"]),
        positions={row.host: row.position for row in rows},
    )


def plan_of_rest(whole: WholeRun, inventory: Inventory, library: Library, store: Store, clock: Clock, actor: str) -> Plan:
    """Return the plan of what an interrupted run has not done; what it did stays as it is."""
    check_resumable(whole.run, library)
    unfinished = [row for row in whole.hosts if row.outcome in UNFINISHED]
    hosts = tuple(inventory.hosts[row.host] for row in unfinished if row.host in inventory.hosts)
    check_customers(whole.run.run, unfinished, inventory.hosts)
    check_inventory(whole.run.request["thresholds"], hosts, library)
    content = encode_content(
        both_contents(decode_content(store.blob(whole.run.content_digest)), library.content(whole.run.checks))
    )
    run = replace(whole.run, versions=versions_resumed(whole.run.versions, library), content_digest=digest_of(content))
    extra = tuple(library.probes[probe] for probe in run.request["extra_probes"])
    diagnosing = diagnosing_of(run, library, extra, hosts, store, clock)
    now = clock()
    changed = run.versions["library"] != library.digest
    detail = f"library {run.versions['library']} at the start, {library.digest} now" if changed else ""
    return Plan(
        begin=ResumeRun(
            run=run,
            hosts=tuple(asked_again(row, inventory.hosts.get(row.host)) for row in unfinished),
            audit=audited(run, actor, "run.resumed", now, detail),
        ),
        hosts=hosts,
        per_host=diagnosing,
        limits=limits_of(run),
        languages=tuple(run.request["languages"]),
        content=content,
        states=tuple(
            diagnosing.states(row, row.ended_at, decode_diagnosis(row.diagnosis))
            for row in whole.hosts
            if row.diagnosis is not None and row.ended_at is not None and row.outcome not in UNFINISHED
        ),
    )


def check_customers(run: str, rows: Sequence[HostRow], hosts: Mapping[str, Host], hint: Text | None = None) -> None:
    """Raise NotResumable for a host that belongs to another customer by now: the run, and its case, are of the first.

    `hint`: what to do, where something may have been begun there.
    """
    for row in rows:
        host = hosts.get(row.host)
        if host is not None and (host.customer or "").casefold() != (row.customer or "").casefold():
            text = Text(
                "{host} belonged to {customer} when run {run} began, and now to {other}",
                host=row.host,
                customer=row.customer or "-",
                run=run,
                other=host.customer or "-",
            )
            raise NotResumable(text, hint or Text("begin a run of its own: longarm diagnose {host}", host=row.host))


def check_inventory(thresholds: Thresholds, hosts: Sequence[Host], library: Library) -> None:
    """Raise UsageError or InvalidFile for thresholds and waivers that mean nothing: judging would pass over them."""
    for problem in library.threshold_problems(thresholds):
        raise UsageError(Text("the playbook's thresholds: {problem}", problem=problem), Text("longarm check show CHECK"))
    waivers = (waiver for host in hosts for waiver in host.waivers)
    problems = [*host_problems(hosts, library.checks, thresholds), *waiver_problems(waivers, library.checks)]
    if problems:
        raise InvalidFile(problems)


def check_resumable(run: RunRow, library: Library) -> None:
    """Raise NotResumable for a run that has ended, or whose questions cannot be asked any more."""
    check_unfinished(run)
    if unknown := [check for check in run.checks if check not in library.checks]:
        text = Text("run {run} needs checks that are not here: {names}", run=run.run, names=", ".join(unknown))
        raise NotResumable(text, Text("longarm check list"))
    if unknown := [probe for probe in run.request["extra_probes"] if probe not in library.probes]:
        raise NotResumable(
            Text("run {run} needs probes that are not here: {names}", run=run.run, names=", ".join(unknown)),
            Text("give the same --probes as at its start"),
        )


def check_unfinished(run: RunRow) -> None:
    """Raise NotResumable for a run that has ended, or is never gone on with."""
    if not RunKind(run.request.get("kind", RunKind.DIAGNOSE)).resumable:
        raise NotResumable(
            Text("run {run} was neither a diagnosis nor a repair: it is not done again by itself", run=run.run),
            Text("longarm run show {run}", run=run.run),
        )
    if run.state is RunState.ENDED:
        text = Text("run {run} has ended: there is nothing left to do", run=run.run)
        raise NotResumable(text, Text("longarm run show {run}", run=run.run))


def diagnosing_of(
    run: RunRow, library: Library, extra: tuple[Probe, ...], hosts: Sequence[Host], store: Store, clock: Clock
) -> Diagnosing:
    """Return what asks and judges the hosts of a run."""
    earlier: defaultdict[str, list[StateRow]] = defaultdict(list)
    for state in store.states([host.name for host in hosts]):
        earlier[state.host].append(state)
    return Diagnosing(
        run=run.run,
        library=library,
        checks=run.checks,
        extra=extra,
        thresholds=run.request["thresholds"],
        earlier=dict(earlier),
        versions={"longarm": VERSION, "bundle": BUNDLE, "probes": library.digest},
        clock=clock,
    )


def limits_of(run: RunRow) -> Limits:
    """Return the limits that a run was begun with."""
    return Limits(
        concurrency=run.request["concurrency"],
        host_deadline_s=run.request["host_deadline_s"],
        run_deadline_s=run.request["run_deadline_s"],
    )


def versions_of(library: Library) -> dict[str, str]:
    """Return what a run is made with."""
    return {
        "longarm": VERSION,
        "library": library.digest,
        "bundle": BUNDLE,
        "python": platform.python_version(),
    }


def versions_resumed(versions: Mapping[str, str], library: Library) -> dict[str, str]:
    """Return the versions as they were at the start, with those of the resumption where they differ."""
    now = {name: value for name, value in versions_of(library).items() if versions.get(name) != value}
    return {**versions, **{f"{name}, resumed": value for name, value in now.items()}}


def both_contents(recorded: Content, now: Content) -> Content:
    """Return the words that a run began with, and those that only the library of now has."""
    return Content(
        checks={**now.checks, **recorded.checks},
        rules={**now.rules, **recorded.rules},
        questions={**now.questions, **recorded.questions},
    )


def asked_again(row: HostRow, host: Host | None) -> HostRow:
    """Return the row of a host that a resumed run asks, or cannot ask any more."""
    if host is None:
        return replace(row, outcome=Outcome.NOT_STARTED, error=VANISHED, hint=None, error_kind="", ended_at=None)
    return target_row(row.run, row.position, host)


def went_beside(run: RunRow, actor: str, now: datetime, reason: str) -> AuditRow | None:
    """Return what the audit says of a run that goes beside what has a host, None where there is no reason to."""
    return audited(run, actor, "host.beside", now, reason) if reason else None


def audited(run: RunRow, actor: str, action: str, now: datetime, detail: str = "") -> AuditRow:
    """Return what the audit says of a run."""
    return AuditRow(
        at=now,
        actor=actor,
        action=action,
        run=run.run,
        case=run.case,
        customers=run.customers,
        digests=(run.content_digest, *(run.versions[name] for name in ("library", "playbook") if name in run.versions)),
        detail=detail,
    )
