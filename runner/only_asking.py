"""What a repair that was cut off left open, asked of its hosts and no more: nothing is done there, and their run ends.

It takes no playbook: hosts know each command by its id. It is for runs that cannot go on, whose leases nobody else can free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from inventory.errors import Text
from inventory.host import Host
from inventory.inventory import Inventory
from playbooks.actions.doing import became
from playbooks.ports import Intent
from playbooks.results import LEFT_OPEN, Effect, HostChange, StepResult, StepState
from playbooks.standings import change_of
from remote.detached import Reason, Standing
from remote.lasting import LastingConnect
from remote.question import Privilege
from remote.session import Connect, Session
from runner.diagnosing import Judged
from runner.hands import SessionHands
from runner.host_run import Clock, HostRun
from runner.journal import StoreJournal, intent_of, left_open, plain_key
from runner.leaving import BY_US, left, left_gone, out_of_sight, states_before
from runner.outcome import Outcome, RunKind, RunState
from runner.planning import UNFINISHED, audited, check_unfinished, limits_of
from runner.recording import Kept, host_record
from runner.request import CONNECTING_S, NotResumable
from runner.run import Plan
from runner.store.changes import ResumeRun
from runner.store.port import Store, WholeRun
from runner.store.rows import Event, HostRow, JournalRow, RunRow
from runner.store.sentences import as_kept
from runner.targets import changed_since

WAITS_S = 60.0
"""How long a command that is at work still is waited for."""
_FORGETTING_S: Final = 20.0
ONLY_ASKED: Final = "OnlyAsked"
"""The kind of error of a host whose repair ended by that: its rest was not done."""
_NOT_DONE: Final = Text("the rest of it was not done: the run only asked how its last step had ended")
_NOT_BEGUN: Final = Text("not begun: the run only asked how its last steps had ended")
_AT_WORK: Final = Text("“{step}” is at work there still")
_NOT_HEARD: Final = Text("the host did not say how “{step}” ended")
_WHOSE: Final = Text("the host does not know it, and the run did not keep where else it could be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one host said of what was left open there."""

    ended: tuple[StepResult, ...]
    open: Text | None = None
    """Why something is open still; None: nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyAsking:
    """Everything that asking the hosts of one run needs."""

    run: RunRow
    store: Store = field(hash=False)
    connect: Connect = field(hash=False)
    clock: Clock
    lines: Mapping[str, Sequence[JournalRow]] = field(hash=False)
    """By host: what the run has written of it."""

    async def ask(self, session: Session, left_s: float) -> Heard:
        """Return what a host says of each step that was left open; the ends are on disk."""
        lines = self.lines[session.host.name]
        position = lines[0].position
        journal, ended = StoreJournal(self.store, self.run.run, position, self.clock, lines), list[StepResult]()
        end = asyncio.get_running_loop().time() + min(left_s, WAITS_S)
        async with AsyncExitStack() as stack:
            hands = SessionHands(session, LastingConnect(self.connect), stack, 0)
            for line in left_open(lines):
                found = await self._asked(hands, journal, line, end)
                if isinstance(found, Text):
                    return Heard(ended=tuple(ended), open=found)
                ended.append(found)
                await journal.end(found)
                await journal.settled()
            if not any(one.state in LEFT_OPEN for one in ended):  # else a person looks first
                await hands.forget(journal.earlier, deadline_s=_FORGETTING_S)
        return Heard(ended=tuple(ended))

    async def _asked(self, hands: SessionHands, journal: StoreJournal, line: JournalRow, end: float) -> StepResult | Text:
        """Return how a step ended, or why that is not known yet."""
        intent, name = journal.intended(line.key) or intent_of(line), self._named(line.key)
        sends = self.run.request.get("sends")  # earlier releases did not keep it
        if sends is not None and plain_key(line.key) not in sends:
            return self._unknown(line, BY_US)
        ways = (Privilege.USER, Privilege.ROOT) if sends is None else (Privilege(sends[plain_key(line.key)]),)
        for privilege in ways:
            left_s = max(1.0, end - asyncio.get_running_loop().time())
            standing = await hands.standing(intent, privilege=privilege, deadline_s=left_s)
            if standing.reason is Reason.DENIED and sends is not None:
                return Text("root could not be had: {why}", why=standing.why)
            if not (standing.final and standing.whole):
                at_work = standing.ran or standing.place  # the last word of the host, whatever came after it
                return Text((_AT_WORK if at_work else _NOT_HEARD).template, step=name)
            if standing.ran:
                return self._result(line, intent, standing)
        return self._result(line, intent, standing) if sends is not None else self._unknown(line, _WHOSE)

    def _result(self, line: JournalRow, intent: Intent, standing: Standing) -> StepResult:
        done = became(change_of(standing))
        effect = Effect.MAYBE if done.effect is Effect.NONE and intent.touched else done.effect  # of an attempt before it
        return StepResult(
            key=line.key,
            name=self._named(line.key),
            action="",  # its playbook says it
            state=done.state,
            effect=effect,
            exit_status=done.exit_status,
            stdout=done.stdout,
            stderr=done.stderr,
            diff=intent.diff,
            attempts=intent.attempt,
            sent=1,
            duration_ms=done.duration_ms,
            why=done.why,
        )

    def _unknown(self, line: JournalRow, why: Text) -> StepResult:
        name = self._named(line.key)
        return StepResult(key=line.key, name=name, action="", state=StepState.UNKNOWN, effect=Effect.MAYBE, why=why)

    def _named(self, key: str) -> str:
        names: Mapping[str, str] = self.run.request["steps"]
        return names.get(plain_key(key), key)

    def judge(self, target: HostRow, ended: HostRun[Heard]) -> Judged:
        """Return how a host ended: where it did not say all, its run asks it again, and has it until then."""
        row = replace(target, started_at=ended.started_at, ended_at=ended.ended_at, change=HostChange.UNKNOWN)
        heard = ended.value
        if heard is None or heard.open is not None:
            error = heard.open if heard is not None else ended.error
            hint = Text("longarm run resume {run} --only-ask", run=self.run.run)
            kind = ended.error_kind if heard is None else ONLY_ASKED
            row = replace(row, outcome=Outcome.INTERRUPTED, error=as_kept(error), hint=as_kept(hint), error_kind=kind)
        else:
            row = left(row, self.lines[target.host], heard.ended, _NOT_DONE, ONLY_ASKED)
        return Judged(row=row, record=host_record(row, Kept(), RunState.RUNNING))


def plan_of_asking(whole: WholeRun, inventory: Inventory, store: Store, connect: Connect, clock: Clock, actor: str) -> Plan:
    """Return the plan of asking the hosts of a repair that was cut off what they were left with; raises NotResumable.

    A host that the inventory does not know any more cannot be asked: nobody knows how it ended there. One that only others
    see is left to them.
    """
    run, now = whole.run, clock()
    check_unfinished(run)
    if run.request.get("kind") != RunKind.REPAIR:
        text = Text("run {run} was no repair: it left nothing open", run=run.run)
        raise NotResumable(text, Text("longarm run resume {run}", run=run.run))
    unfinished = [row for row in whole.hosts if row.outcome in UNFINISHED]
    _refuse_other_machines(unfinished, inventory)
    lines = {row.host: [line for line in whole.journal if line.position == row.position] for row in unfinished}
    asked = [row.host for row in unfinished if left_open(lines[row.host]) and row.host in inventory.hosts]
    hosts: tuple[Host, ...] = tuple(inventory.hosts[name] for name in asked)
    rows = [_begins(row, lines[row.host], inventory) for row in unfinished]
    return Plan(
        begin=ResumeRun(run=run, hosts=tuple(rows), audit=audited(run, actor, "run.asked", now)),
        hosts=hosts,
        per_host=OnlyAsking(run=run, store=store, connect=connect, clock=clock, lines=lines),
        limits=replace(limits_of(run), host_deadline_s=CONNECTING_S + WAITS_S + _FORGETTING_S, run_deadline_s=None),
        languages=tuple(run.request["languages"]),
        content=store.blob(run.content_digest),
        states=states_before(whole.hosts),
        only_asks=True,
    )


def _refuse_other_machines(rows: Sequence[HostRow], inventory: Inventory) -> None:
    """Raise NotResumable for a host that is another machine by now: that one knows nothing of what was left open."""
    for row in rows:
        host = inventory.hosts.get(row.host)
        if host is not None and (what := changed_since(row, host, ("address", "platform"))) is not None:
            text = Text("{host} is not what run {run} began with: {what}", host=row.host, run=row.run, what=what)
            hint = Text("with the inventory as it was, or without that host: longarm run resume {run} --only-ask", run=row.run)
            raise NotResumable(text, hint)


def _begins(row: HostRow, lines: Sequence[JournalRow], inventory: Inventory) -> HostRow:
    """Return the row of a host as asking begins."""
    if row.host in inventory.hosts and left_open(lines):
        return _waiting(row)
    if row.host not in inventory.hosts and row.host in inventory.hidden:
        return out_of_sight(row)
    return _unasked(row, lines)


def _waiting(row: HostRow) -> HostRow:
    """Return the row of a host that is asked: what was seen there before stays."""
    return replace(row, outcome=None, error=None, hint=None, error_kind="", ended_at=None, change=None)


def _unasked(row: HostRow, lines: Sequence[JournalRow]) -> HostRow:
    """Return the row of a host on which nothing was left open, or that cannot be asked any more."""
    if left_open(lines) and (gone := left_gone(row, lines)) is not None:
        return gone
    if any(line.event is Event.INTENT for line in lines):
        return left(row, lines, (), _NOT_DONE, ONLY_ASKED)
    return replace(row, outcome=Outcome.NOT_STARTED, error=_NOT_BEGUN, hint=None, error_kind=ONLY_ASKED)
