"""This machine as the host of a playbook: real shells and tools, commands that change something run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from inventory.errors import Text
from inventory.host import Host, Transport
from playbooks.foresight import foresee
from playbooks.interpreter import play
from playbooks.model import Playbook
from playbooks.params import ParamValue, settled_params
from playbooks.ports import Became, CallResult, Change, Ports, Recap
from playbooks.results import Played, StepPlan
from playbooks.testing import FakeClock, FakeHands, FakeJournal, FakeOperator
from remote.ansible_bridge import AnsibleWay, with_ansible
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.fabric_connection import with_fabric
from remote.local import LocalSession
from remote.question import Question

HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)


@dataclass(slots=True, kw_only=True)
class RealHands(FakeHands):
    """A session to this machine; what the tests look at of a fake is there too."""

    session: LocalSession
    host: Host = HERE
    denied: list[str] = field(default_factory=list)

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Ask for real."""
        self.asked += questions
        return await self.session.ask(questions, deadline_s=deadline_s)

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Run for real."""
        self.sent.append((ident, command))
        result = await self.session.run(command, deadline_s=deadline_s)
        became = {Ended.EXITED: Became.DONE, Ended.TIMED_OUT: Became.LATE, Ended.NOT_RUN: Became.NOT_BEGUN}
        return Change(
            became=became.get(result.ended, Became.UNKNOWN),
            exit_status=result.exit_status,
            stdout=result.stdout,
            stderr=result.stderr,
            why=Text("{why}", why=result.why) if result.why else None,
        )

    async def fabric(self, key: str, function: Callable[[Any], CallResult], *, deadline_s: float) -> CallResult:
        """Call for real."""
        return await with_fabric(self.session, function, deadline_s=deadline_s)

    async def ansible(self, key: str, run: Callable[[AnsibleWay], Recap], *, deadline_s: float) -> Recap:
        """Run for real."""
        return await with_ansible(self.session, run, deadline_s=deadline_s)


Run: TypeAlias = Callable[..., Awaitable[CommandResult]]


def going_away_at(word: str, run: Run) -> Run:
    """Return what runs commands like `run`, and loses the connection under one that has a word in it."""

    async def going_away(session: LocalSession, command: Command, *, deadline_s: float) -> CommandResult:
        if word in command.script:
            return CommandResult(ended=Ended.LOST, exit_status=None, why="the host hung up")
        return await run(session, command, deadline_s=deadline_s)

    return going_away


async def _ports(shell: Sequence[str] | None, host: Host = HERE) -> tuple[RealHands, Ports]:
    hands = RealHands(host=host, session=LocalSession(host, shell=shell))
    return hands, Ports(run="run-0001", hands=hands, journal=FakeJournal(), operator=FakeOperator(), clock=FakeClock())


def played_here(
    playbook: Playbook,
    shell: Sequence[str] | None = None,
    *,
    params: Mapping[str, ParamValue] | None = None,
    journal: FakeJournal | None = None,
    host: Host = HERE,
) -> tuple[Played, RealHands]:
    """Return what a playbook comes to on this machine."""

    async def go() -> tuple[Played, RealHands]:
        hands, ports = await _ports(shell, host)
        ports = replace(ports, journal=journal or ports.journal)
        try:
            return await play(playbook, settled_params(playbook.params, params or {}), {}, ports), hands
        finally:
            await hands.session.leave()

    return asyncio.run(go())


def foreseen_here(
    playbook: Playbook, shell: Sequence[str] | None = None, *, params: Mapping[str, ParamValue] | None = None
) -> tuple[StepPlan, ...]:
    """Return a playbook's plan on this machine."""

    async def go() -> Any:
        hands, ports = await _ports(shell)
        try:
            plans = await foresee(playbook, settled_params(playbook.params, params or {}), {}, ports)
        finally:
            await hands.session.leave()
        assert hands.sent == [], "a plan changes nothing"
        return plans

    plans: tuple[StepPlan, ...] = asyncio.run(go())
    return plans
