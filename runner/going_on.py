"""A repair that was cut off and goes on: whether its hosts are what it began with, and what was approved of it still holds."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from inventory.errors import Text
from inventory.host import Host
from runner.approving import bound_again, drift
from runner.host_run import Clock
from runner.repair_planning import again_with, params_again
from runner.repair_recording import agreed_of
from runner.request import Agreed, RestRequest
from runner.roles import Action, Whose
from runner.store.errors import NotApproved
from runner.store.port import Store, WholeRun
from runner.store.rows import ApprovalRow, ApprovalState, Event, HostRow, RunRow
from runner.targets import TargetChanged, changed_since

StillMay: TypeAlias = Callable[[str, Action, Whose, Sequence[Host]], bool]
"""Tells whether somebody who asked, or approved, could do so on these hosts now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingOn:
    """The run that goes on, and what is asked before each of its hosts beside who may do it."""

    run: RunRow
    rows: Mapping[str, HostRow] = field(hash=False)
    """By host."""
    begun: frozenset[int]
    """Positions of the hosts to which something was sent: what was only left out changed none."""
    agreed: Agreed | None
    """Who approved it; None: nobody had to."""
    approval: ApprovalRow | None
    """What the run made use of, as it is kept; None: there is none, or it is not there any more."""
    drifted: Text | None
    """What is not any more as it was approved."""
    clock: Clock = field(hash=False)
    still_may: StillMay = field(hash=False)

    def refuse(self, hosts: Sequence[Host]) -> None:
        """Raise TargetChanged for a host that the inventory says something else of than when the run began.

        And NotApproved for one that was not begun, where what a second person approved does not hold any more.
        """
        for host in hosts:
            row = self.rows[host.name]
            if (what := changed_since(row, host)) is not None:
                raise self._changed(row, what)
            if row.position not in self.begun and self.agreed is not None:
                self._refuse_not_agreed(self.agreed, host)

    def _changed(self, row: HostRow, what: Text) -> TargetChanged:
        run, text = row.run, Text("{host} is not what run {run} began with: {what}", host=row.host, run=row.run, what=what)
        if row.position in self.begun:
            return TargetChanged(text, Text("look there; with the inventory as it was: longarm run resume {run}", run=run))
        return TargetChanged(text, Text("a run of its own: longarm repair {again}", again=self._again(row.host)))

    def _refuse_not_agreed(self, agreed: Agreed, host: Host) -> None:
        """Raise NotApproved where the approval that the run made use of would not hold now, for a host that was not begun."""
        if (why := self._void(host)) is not None:
            text = Text("the approval of run {run} does not hold any more: {why}", run=agreed.run, why=why)
            raise NotApproved(text, Text("ask for it anew: longarm repair {again}", again=self._again(host.name)))

    def _void(self, host: Host) -> Text | None:
        row = self.approval
        if row is None or row.state is not ApprovalState.BEGUN or row.begun_as != self.run.run:
            return Text("it is not there any more")
        if self.clock() >= row.expires_at:
            return Text("its time is over")
        if self.drifted is not None:
            return self.drifted
        for name, action, of in ((row.asked_by, Action.REPAIR, Whose.OWN), (row.decided_by, Action.APPROVE, Whose.OTHERS)):
            if not self.still_may(name, action, of, [host]):
                return Text("{who} may not do this any more: “{action}”", who=name, action=action.value)
        return None

    def _again(self, host: str) -> str:
        """Return what to type after `longarm repair` for the same on a host, begun anew."""
        return shlex.join(again_with(self.run, host))


def going_on_of(whole: WholeRun, request: RestRequest, store: Store, clock: Clock, still_may: StillMay) -> GoingOn:
    """Return what is asked before each host of a repair that goes on."""
    agreed = agreed_of(whole.run.request)
    plan = None if agreed is None else store.run(agreed.run)
    approval = None if plan is None else plan.approval
    drifted = None
    if plan is not None and approval is not None:
        params = params_again(request.playbook, whole.run.request["params"], request.secrets)
        now = bound_again(request, whole.run.request, params, plan)
        drifted = drift({name: approval.bound.get(name, "") for name in now}, now)
    return GoingOn(
        run=whole.run,
        rows={row.host: row for row in whole.hosts},
        begun=frozenset(line.position for line in whole.journal if line.event is Event.INTENT),
        agreed=agreed,
        approval=approval,
        drifted=drifted,
        clock=clock,
        still_may=still_may,
    )
