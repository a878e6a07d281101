"""The runs of the desk: begun, resumed, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from diagnostics.library import Library
from inventory.errors import Text
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.walls import refuse_case_of_others
from playbooks.demands import Demands, demands_of
from playbooks.model import Risk, Tier
from remote.lasting import ONCE, LastingConnect
from remote.session import Connect
from runner.content import refuse_unsigned
from runner.desk_approvals import ApprovalDesk
from runner.desk_base import wheres_of
from runner.desk_looking import LookingDesk, kind_of
from runner.desk_stops import StopDesk
from runner.gate import Still
from runner.observer import Guarded, Observer
from runner.outcome import RunKind
from runner.planning import UNFINISHED, plan_of, plan_of_rest, plan_of_task
from runner.record import RunRecord
from runner.recording import host_record
from runner.repair_recording import CHANGING
from runner.request import DiagnoseRequest, NotResumable, RepairRequest, RestRequest, TaskRequest, risk_of
from runner.roles import Action
from runner.run import FleetRun, Plan
from runner.store.lock import run_held
from runner.store.port import WholeRun
from runner.store.rows import ApprovalRow, Event, MuteRow
from runner.untried import refuse_untried

if TYPE_CHECKING:
    from runner.mute_hooks import Hook

T = TypeVar("T")
R = TypeVar("R", DiagnoseRequest, TaskRequest, RepairRequest)

_ASKED = {RunKind.COMMAND: Action.COMMAND, RunKind.FILE: Action.FILE, RunKind.TERMINAL: Action.TERMINAL}


class RunDesk(LookingDesk, StopDesk, ApprovalDesk):
    """What makes runs of questions, of tasks and of repairs."""

    _running: tuple[FleetRun, asyncio.Task[None]] | None = None

    async def diagnose(self, request: DiagnoseRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Diagnose hosts and return the record, which is on disk, as is the report it owes its case.

        Being cancelled is like `stop`: every host is accounted for before the cancellation goes on. Raises RoleRefused, and
        CaseOfOthers for a case of another customer, before any host is asked.
        """
        request = self._mine(request)
        self._may(Action.DIAGNOSE, wheres_of(request.selection.hosts), tier=request.playbook.tier)
        self._refuse_case_of_others(request)
        plan = plan_of(request, self._store, self._clock)
        return await self._begin(plan, LastingConnect(connect, most_new=ONCE), Guarded(observer))

    async def carry_out(self, request: TaskRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Do a task on hosts and return the record, which is on disk, as is what its case is to get.

        Raises RoleRefused, CaseOfOthers for a case of another customer, and ChangesFrozen for what may change a host where
        changes are frozen, before any host is touched.
        """
        request = self._mine(request)
        self._may_carry_out(request, request.selection.hosts)
        self._refuse_case_of_others(request)
        if request.task.kind.changes:
            self.refuse_frozen(request.selection.hosts)
        plan, still = plan_of_task(request, self._store, self._clock), partial(self._may_carry_out, request)
        return await self._begin(plan, LastingConnect(connect), Guarded(observer), still)

    async def repair(self, request: RepairRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Repair hosts, or plan that, and return the record, which is on disk, as is the report it owes its case.

        No host is changed that another run may change, or that somebody holds: it is refused, and the others go on. What
        needs a second person is planned, and waits (`decide_approval`, `start`). Raises RoleRefused, CaseOfOthers for a case
        of another customer, and ChangesFrozen where changes are frozen, before any host is touched.
        """
        from playbooks.readiness import refuse_unready  # what acts on hosts: a diagnosis does without
        from runner.repair_planning import plan_of_repair

        request = self._mine(request)
        retried = self._retried(request.retries).run if request.retries else None
        owner = None if retried is None else retried.actor
        self._may_repair(request, owner, request.selection.hosts)
        refuse_unsigned(self.home, request.file)
        self._refuse_case_of_others(request)
        if not request.only_plan:
            refuse_untried(self.home, request.selection.hosts)
            self.refuse_frozen(request.selection.hosts)
        waits = self._needs_second_person(request) and not request.break_glass
        broken = "" if request.only_plan else request.break_glass
        if broken:
            self._may(Action.BREAK_GLASS, wheres_of(request.selection.hosts))
        asked = replace(request, only_plan=request.only_plan or waits, break_glass=broken, agreed=None)
        if retried is not None:
            asked = replace(asked, concurrency=retried.request["concurrency"])
        if not asked.only_plan:
            refuse_unready(request.playbook, request.operator)
        plan = plan_of_repair(asked, self._store, connect, self._clock)
        if broken:
            self._note_broken_glass(plan.begin.run, asked)
        still, left = partial(self._may_repair, request, owner), None if asked.only_plan else request.hooks
        record = await self._begin(plan, LastingConnect(connect), Guarded(observer), still, left)
        if not waits or not any(host.repair and host.repair.plans for host in record.hosts):
            return record
        self._ask_approval(self._whole(record.run), request)
        return self.record(record.run)

    async def start(self, run: str, request: RepairRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Begin what a second person has approved, and return the record of the repair.

        `request` is what the plan was asked for with, made anew. Raises NotApproved unless it is approved, that holds still,
        and all that it is bound to is as it was; RoleRefused, also where who asked, or approved, may not do so any more.
        """
        from playbooks.readiness import refuse_unready
        from runner.repair_planning import plan_of_repair

        with self._held(run) as whole:
            request = self._mine(request)
            self._may_start(whole, request, request.selection.hosts)
            refuse_unsigned(self.home, request.file)
            self._refuse_case_of_others(request)
            refuse_untried(self.home, request.selection.hosts)
            self.refuse_frozen(request.selection.hosts)
            refuse_unready(request.playbook, request.operator)
            kept = whole.run.request
            limits = {name: kept[name] for name in ("concurrency", "host_deadline_s", "run_deadline_s")}
            asked = replace(request, **limits, agreed=self._agreed(whole, request))
            plan = plan_of_repair(asked, self._store, connect, self._clock)
            still = partial(self._may_start, whole, request)
            return await self._begin(plan, LastingConnect(connect), Guarded(observer), still, request.hooks)

    async def roll_back(self, run: str, request: RepairRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Undo on the selected hosts what a repair did there, by the rollbacks of its steps, and return the record of that.

        `request` is what the repair was asked for with, made anew. It is a run of its own, with leases, a journal, and the
        same questions before and after; whoever agreed to the repair agreed to what undoes it. A host on which another repair
        has begun a step since is refused. With `only_plan` it tells what would be undone, takes no lease and changes nothing.
        Raises NotResumable for what is no repair that has ended, or was done by another playbook, NothingToUndo, RoleRefused,
        CaseOfOthers, ChangesFrozen.
        """
        from playbooks.readiness import refuse_unready_undoing
        from runner.repair_planning import plan_of_repair
        from runner.undoing import check_undoable

        with nullcontext(self._readable(run)[0]) if request.only_plan else self._held(run) as whole:
            request = self._mine(request)
            self._may_roll_back(whole, request, request.selection.hosts)
            refuse_unsigned(self.home, request.file)
            check_undoable(whole, request.playbook, request.selection.hosts)
            self._refuse_case_of_others(request)
            if not request.only_plan:
                refuse_untried(self.home, request.selection.hosts)
                self.refuse_frozen(request.selection.hosts)
                refuse_unready_undoing(request.playbook, request.operator)
            at_once = whole.run.request["concurrency"]
            asked = replace(request, undoes=whole.run.run, break_glass="", agreed=None, concurrency=at_once)
            plan = plan_of_repair(asked, self._store, connect, self._clock)
            still, left = partial(self._may_roll_back, whole, request), None if request.only_plan else request.hooks
            return await self._begin(plan, LastingConnect(connect), Guarded(observer), still, left)

    def decide_approval(self, run: str, *, approved: bool, reason: str) -> ApprovalRow:
        """Approve or decline what a plan waits for, and return the request as it stands.

        Whoever asked for it cannot approve it, but may take it back. Raises NotApproved where nothing waits, RoleRefused.
        """
        return self._decide(self._whole(run), approved=approved, reason=reason)

    async def resume_repair(
        self,
        run: str,
        request: RestRequest,
        *,
        connect: Connect,
        observer: Observer,
    ) -> RunRecord:
        """Go on with a repair that was cut off, and return the record of the whole run.

        Each unfinished host is asked first how its last step ended; what nobody can know is `unknown`, and nothing of it is
        repeated. Raises RoleRefused, NotResumable for a run that has ended, or whose playbook is another one by now,
        ChangesFrozen where changes are frozen by now, and HostHeld where somebody holds a host that was being changed: one that
        had not begun is refused alone. So is one that is not what it was as the run began, and one that had not begun and is no
        more approved. Where somebody works by hand a host is refused unless there is a reason to go `beside` that, given
        now; it can be gone on with later if it had begun.
        """
        from playbooks.readiness import refuse_unready, refuse_unready_undoing
        from runner.repair_planning import passed_of, plan_of_the_rest

        with self._held(run) as whole:
            playbook, asked = request.playbook, demands_of(request.playbook)
            self._may_resume(whole, asked.tier, asked.risk)
            refuse_unsigned(self.home, whole.run.request["file"])
            plan = plan_of_the_rest(whole, request, self._store, connect, self._clock, self.actor)
            refuse = refuse_unready_undoing if whole.run.request.get("undoes") else refuse_unready
            refuse(playbook, request.operator, passed_of(whole, plan.hosts))
            refuse_untried(self.home, plan.hosts)
            self.refuse_frozen(plan.hosts)
            begun = {line.position for line in whole.journal if line.event is Event.INTENT}
            changing = [row.host for row in whole.hosts if row.position in begun and row.outcome in UNFINISHED]
            self.refuse_held(changing)
            plan = replace(plan, hooks=request.hooks)
            still = self._may_go_on(whole, request, asked)
            return await self._drive(plan, LastingConnect(connect), Guarded(observer), still, request.hooks)

    async def only_ask(
        self, run: str, *, inventory: Inventory, hooks: Sequence[Hook] = (), connect: Connect, observer: Observer
    ) -> RunRecord:
        """Ask the hosts of a repair that was cut off how the steps ended that it left open, and return the record of the run.

        Nothing more is done there, whatever the playbook is by now, and the hosts are free; what nobody can know is `unknown`.
        A host that does not answer, or where the step is at work still, is `interrupted` and stays the run's own. Raises
        RoleRefused, and NotResumable for a run that has ended, or is no repair.
        """
        from runner.only_asking import plan_of_asking

        with self._held(run) as whole:
            self._may_only_ask(whole, inventory)
            plan = plan_of_asking(whole, inventory, self._store, connect, self._clock, self.actor)
            return await self._drive(plan, LastingConnect(connect), Guarded(observer), left=hooks)

    async def unmute_left(self, hooks: Sequence[Hook]) -> tuple[MuteRow, ...]:
        """Let monitoring speak again that runs which were cut off had muted, and return how that ended for each.

        Whoever works here does that: it takes nothing from anybody. Told are runs that the caller may look at.
        """
        if not (rows := self._store.left_muted()):
            return ()
        from runner.muting import Muting

        ended: list[MuteRow] = []
        for run in dict.fromkeys(row.run for row in rows):
            whole = self._whole(run)
            muting = Muting(hooks=hooks, store=self._store, run=whole.run, actor=self.actor, clock=self._clock)
            theirs = [row for row in rows if row.run == run]
            ended += await muting.unmute_left(theirs, [row.host for row in whole.hosts])
        seen = self._seen([*dict.fromkeys(row.run for row in ended)])
        return tuple(row for row in ended if row.run in seen)

    async def resume(
        self, run: str, *, inventory: Inventory, library: Library, connect: Connect, observer: Observer
    ) -> RunRecord:
        """Ask the unfinished hosts of an interrupted run and return the record of the whole run.

        Raises RoleRefused, and NotResumable for a run that has ended, or that needs checks or probes that `library` lacks.
        """
        with self._held(run) as whole:
            self._may_resume(whole, Tier(whole.run.request.get("tier", Tier.L1)), Risk.READ)
            plan = plan_of_rest(whole, inventory, library, self._store, self._clock, self.actor)
            return await self._drive(plan, LastingConnect(connect, most_new=ONCE), Guarded(observer))

    def stop(self) -> None:
        """Stop the run that is on its way: no further host is begun, those in flight are interrupted.

        A second call leaves at once, without accounting; the run can be resumed either way.
        """
        if self._running is not None:
            run, task = self._running
            if run.stopped:
                task.cancel()
            run.stop()

    # Inside

    def _mine(self, request: R) -> R:
        """Return a request in the name of whoever asks, whatever it says itself, where there are others to be told from."""
        return request if self.roles().alone else replace(request, actor=self.actor)

    def _retried(self, run: str) -> WholeRun:
        """Return the run that is tried again; raises NotResumable for one that undid another: that would do it anew."""
        whole = self._whole(run)
        if undone := whole.run.request.get("undoes"):
            text = Text("run {run} was to undo run {other}: what it left is undone by another one", run=run, other=undone)
            raise NotResumable(text, Text("longarm run rollback {run} HOSTS", run=undone))
        return whole

    def _may_carry_out(self, request: TaskRequest, hosts: Sequence[Host]) -> None:
        """Raise RoleRefused unless the caller may do a task on these hosts."""
        self._may(_ASKED[request.task.kind], wheres_of(hosts), risk=risk_of(request))

    def _may_repair(self, request: RepairRequest, owner: str | None, hosts: Sequence[Host]) -> None:
        """Raise RoleRefused unless the caller may repair these hosts, plan it, or try again what a run of `owner` did."""
        action = Action.PLAN if request.only_plan else Action.RETRY if request.retries else Action.REPAIR
        asked = demands_of(request.playbook)
        self._may(action, wheres_of(hosts), tier=asked.tier, risk=asked.risk, owner=owner)

    def _may_roll_back(self, whole: WholeRun, request: RepairRequest, hosts: Sequence[Host]) -> None:
        """Raise RoleRefused unless the caller may undo there what a run did, or plan that, and so look at it."""
        asked, where = demands_of(request.playbook), wheres_of(hosts)
        action, owner = (Action.PLAN, None) if request.only_plan else (Action.ROLL_BACK, whole.run.actor)
        self._may(action, where, tier=asked.tier, risk=asked.risk, owner=owner)

    def _may_start(self, whole: WholeRun, request: RepairRequest, hosts: Sequence[Host]) -> None:
        """Raise RoleRefused unless the caller may begin what was approved on these hosts."""
        asked, owner = demands_of(request.playbook), whole.approval.asked_by if whole.approval else whole.run.actor
        self._may(Action.START, wheres_of(hosts), tier=asked.tier, risk=asked.risk, owner=owner)

    def _may_resume(self, whole: WholeRun, tier: Tier, risk: Risk, hosts: Sequence[Host] | None = None) -> None:
        """Raise RoleRefused unless the caller may go on with a run on these hosts; None: where all of its hosts were."""
        where = self._where_runs_were(whole.run.run) if hosts is None else wheres_of(hosts)
        self._may(Action.RESUME, where, tier=tier, risk=risk, owner=whole.run.actor)

    def _may_go_on(self, whole: WholeRun, request: RestRequest, asked: Demands) -> Still:
        """Return what is asked before each host of a repair that goes on."""
        from runner.going_on import going_on_of

        going_on = going_on_of(whole, request, self._store, self._clock, partial(self._still_may, asked))

        def still(hosts: Sequence[Host]) -> None:
            self._may_resume(whole, asked.tier, asked.risk, hosts)
            going_on.refuse(hosts)

        return still

    def _may_only_ask(self, whole: WholeRun, inventory: Inventory) -> None:
        """Raise RoleRefused unless the caller may go on with a run where its hosts were, and where they are by now."""
        asked_for, names = whole.run.request, [row.host for row in whole.hosts if row.outcome in UNFINISHED]
        now = wheres_of(inventory.hosts[name] for name in names if name in inventory.hosts)
        where = (*self._where_runs_were(whole.run.run), *now)
        tier, risk = Tier(asked_for.get("tier", Tier.L1)), Risk(asked_for.get("risk", Risk.READ))
        self._may(Action.RESUME, where, tier=tier, risk=risk, owner=whole.run.actor)

    def _refuse_case_of_others(self, request: DiagnoseRequest | TaskRequest | RepairRequest) -> None:
        if request.case is not None and not request.across_customers:
            refuse_case_of_others(request.selection, request.case, self._store.customers(request.case))

    async def _drive(
        self,
        plan: Plan,
        connect: Connect,
        observer: Observer,
        still: Still | None = None,
        left: Sequence[Hook] | None = None,
    ) -> RunRecord:
        """Carry a plan out; `left`: what first lets monitoring speak that runs which were cut off had muted."""
        run = FleetRun(plan, self._store, connect, observer, still)
        task = asyncio.create_task(self._driven(run, left))
        self._running = run, task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                run.stop()
                await task
            raise
        finally:
            self._running = None
        whole = self._whole(run.id)
        made = {} if kind_of(whole) in CHANGING else run.records  # what was done is read from the journal
        state = whole.run.state
        hosts = (made.get(row.host) or host_record(row, kept, state) for row, kept in self._kept_all(whole, made))
        record = self._record(whole, state, hosts)
        observer.run_ended(record)
        return record

    async def _driven(self, run: FleetRun, left: Sequence[Hook] | None) -> None:
        if left is not None:
            await self.unmute_left(left)  # that may last: who stops the run meanwhile has stopped it
        await run.drive()

    async def _begin(
        self,
        plan: Plan,
        connect: Connect,
        observer: Observer,
        still: Still | None = None,
        left: Sequence[Hook] | None = None,
    ) -> RunRecord:
        with run_held(self.home, plan.begin.run.run):
            return await self._drive(plan, connect, observer, still, left)

    @contextmanager
    def _held(self, part: str) -> Iterator[WholeRun]:
        """Give a run as it is, with nobody else who goes on with it; raises RunBusy."""
        run = self._whole(part).run.run
        with run_held(self.home, run):
            yield self._whole(run)
