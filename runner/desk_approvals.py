"""Repairs that need a second person at the desk: asked for, approved or declined, begun, void."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from diagnostics.formats import decode_diagnosis
from inventory.errors import Text
from inventory.host import Host
from inventory.secret import MASKER
from playbooks.demands import Demands, demands_of
from runner.approving import bound_to, drift, plan_digests, standing
from runner.callers import caller_named
from runner.config import load_config
from runner.desk_base import DeskBase, wheres_of
from runner.planning import audited
from runner.request import Agreed, RepairRequest
from runner.roles import Action, Allowed, Whose, decide
from runner.store.changes import AskApproval, DecideApproval, Note
from runner.store.errors import NotApproved
from runner.store.port import WholeRun
from runner.store.rows import ApprovalRow, ApprovalState, AuditRow, RunRow


class ApprovalDesk(DeskBase):
    """Who may begin what only together with somebody else."""

    def _decide(self, whole: WholeRun, *, approved: bool, reason: str) -> ApprovalRow:
        """Approve or decline what a plan waits for, and return the request as it stands."""
        row = _waited_for(whole)
        self._may_decide(whole, row, approved=approved)
        now = self._clock()
        if (stands := standing(row, now)) != ApprovalState.WAITING.value:
            text = Text("run {run} does not wait for an approval: it is {state}", run=row.run, state=stands)
            raise NotApproved(text, Text("longarm run show {run}", run=row.run))
        kept = plan_digests(whole)
        if approved and (changed := drift({name: row.bound.get(name, "") for name in kept}, kept)) is not None:
            raise self._voided(whole, row, changed)
        state = ApprovalState.APPROVED if approved else ApprovalState.DECLINED
        decided = replace(row, state=state, decided_by=self.actor, decided_at=now, reason=MASKER.text(reason.strip()))
        if approved:
            decided = replace(decided, expires_at=now + timedelta(seconds=load_config(self.home).valid_s))
        audit = self._of_run(whole, f"approval.{state.value}", f"asked for by {row.asked_by}: {decided.reason}")
        self._write(DecideApproval(approval=decided, was=ApprovalState.WAITING, audit=audit))
        return decided

    def _needs_second_person(self, request: RepairRequest) -> bool:
        """Tell whether a repair waits for somebody else before it begins."""
        asked = demands_of(request.playbook)
        return not request.only_plan and load_config(self.home).second_person(asked.names, asked.risk)

    def _note_broken_glass(self, run: RunRow, request: RepairRequest) -> None:
        """Note that a run begins without the second person that it needs: the audit says so before anything is done."""
        detail = f"{run.playbook} on {run.expression}: {MASKER.text(request.break_glass)}"
        self._write(Note(audit=audited(run, self.actor, "approval.glass_broken", self._clock(), detail)))

    def _ask_approval(self, whole: WholeRun, request: RepairRequest) -> None:
        """Let a plan wait for a second person."""
        expires_at = self._clock() + timedelta(seconds=load_config(self.home).valid_s)
        bound = bound_to(request, whole)
        row = ApprovalRow(run=whole.run.run, asked_by=self.actor, bound=bound, expires_at=expires_at)
        audit = self._of_run(whole, "approval.asked", f"{whole.run.playbook}: {whole.run.expression}")
        self._write(AskApproval(approval=row, audit=audit))

    def _agreed(self, whole: WholeRun, request: RepairRequest) -> Agreed:
        """Return who approved what a plan waits for; raises NotApproved, and voids what is not as it was asked for."""
        row = _waited_for(whole)
        if (stands := standing(row, self._clock())) != ApprovalState.APPROVED.value or row.decided_at is None:
            hint = Text("longarm approve {run}", run=row.run) if row.state is ApprovalState.WAITING else None
            raise NotApproved(Text("run {run} may not begin: its approval is {state}", run=row.run, state=stands), hint)
        if (changed := drift(row.bound, bound_to(request, whole))) is not None:
            raise self._voided(whole, row, changed)
        asked = demands_of(request.playbook)
        for name, action, of in ((row.asked_by, Action.REPAIR, Whose.OWN), (row.decided_by, Action.APPROVE, Whose.OTHERS)):
            if not self._still_may(asked, name, action, of, request.selection.hosts):
                raise self._voided(
                    whole, row, Text("{who} may not do this any more: “{action}”", who=name, action=action.value)
                )
        return Agreed(
            run=row.run,
            asked_by=row.asked_by,
            approved_by=row.decided_by,
            at=row.decided_at,
            reason=row.reason,
            findings=tuple(sorted(_found(whole))),
        )

    def _still_may(self, asked: Demands, name: str, action: Action, of: Whose, hosts: Sequence[Host]) -> bool:
        """Tell whether somebody who asked, or approved, could do so now: accounts go, and roles are taken away."""
        roles, caller = self.roles(), caller_named(name)
        if roles.alone:
            return True
        where = wheres_of(hosts)
        return caller is not None and isinstance(
            decide(roles, caller, action, where=where, tier=asked.tier, risk=asked.risk, whose=of), Allowed
        )

    def _may_decide(self, whole: WholeRun, row: ApprovalRow, *, approved: bool) -> None:
        """Raise RoleRefused unless the caller may approve, or decline, where the hosts of a plan are."""
        action = Action.APPROVE if approved else Action.DECLINE
        self._may(action, self._where_runs_were(whole.run.run), owner=row.asked_by)

    def _voided(self, whole: WholeRun, row: ApprovalRow, why: Text) -> NotApproved:
        """Note that an approval holds no more, and why, and return that as an error."""
        audit = self._of_run(whole, "approval.void", str(why))
        self._write(DecideApproval(approval=replace(row, state=ApprovalState.VOID, void=why), was=row.state, audit=audit))
        hint = Text(
            "ask for it anew: longarm repair {playbook} …",
            playbook=shlex.quote(whole.run.request["file"] or whole.run.playbook),
        )
        return NotApproved(Text("the approval of run {run} is void: {why}", run=row.run, why=why), hint)

    def _of_run(self, whole: WholeRun, action: str, detail: str) -> AuditRow:
        return audited(whole.run, self.actor, action, self._clock(), detail)


def _waited_for(whole: WholeRun) -> ApprovalRow:
    if whole.approval is None:
        raise NotApproved(Text("run {run} waits for nobody's approval", run=whole.run.run), Text("longarm run list"))
    return whole.approval


def _found(whole: WholeRun) -> Iterator[str]:
    """Yield the findings that a plan saw on its hosts, by their ids."""
    for row in whole.hosts:
        if row.diagnosis is not None:
            yield from (finding.id for finding in decode_diagnosis(row.diagnosis).findings)
