"""The attempts at one step on one host: each intended before it is sent, none made anew that may not be."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from diagnostics.expressions import Undecided
from diagnostics.probe import Probe
from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions import ACTIONS
from playbooks.actions.doing import Doer, Doing, Done, Sender, became
from playbooks.frame import Frame, NotRead, read_value
from playbooks.model import Retry, Step
from playbooks.ports import Became, Change, Intent, Ports
from playbooks.results import GOOD, Effect, StepResult, StepState
from playbooks.templates import NotRendered
from playbooks.values import NoValue
from remote.command import Command
from remote.windows.detached import GRACE_S

REPEATABLE: Final = frozenset((Retry.READ, Retry.IDEMPOTENT, Retry.GUARDED))
_AGAIN: Final = frozenset((StepState.FAILED, StepState.TIMED_OUT, StepState.UNDECIDED))
"""What another attempt may mend."""
SENDINGS: Final = 4
"""How often a command goes out whose connection is lost before it begins, each time under an id of its own."""
COLLECTING_S: Final = 30.0
"""How much longer than a command itself its host has to tell how it ended."""
COLLECTING_ON_WINDOWS_S: Final = COLLECTING_S + 2 * GRACE_S
"""The same on Windows, where the supervisor may take so long to come, and then the command: only after that it never begins."""


class Attempts:
    """The attempts at one step for one item, within its deadline."""

    def __init__(
        self, ports: Ports, probes: Mapping[str, Probe], step: Step, frame: Frame, key: str, items: Mapping[str, Any]
    ) -> None:
        self.ports, self.probes, self.step, self.frame, self.key, self.items = ports, probes, step, frame, key, items
        self.intended = self.ports.journal.intended(key)
        self.number = self.intended.attempt if self.intended else 1
        self.sent = 0
        """How often a command went out."""
        self.touched = Done(state=StepState.FAILED, effect=Effect.MAYBE) if self.intended and self.intended.touched else None
        """What an attempt before the last one did, where that may have changed something; of an earlier process only that."""
        self.began_s = self.ports.clock.now_s()
        self.end_s = self.began_s + step.deadline_s
        on_windows = self.ports.hands.host.platform is Platform.WINDOWS
        self.collecting_s = COLLECTING_ON_WINDOWS_S if on_windows else COLLECTING_S

    async def result(self, *, when: Any = None) -> StepResult:
        """Return how the step ended; whether it is to be done was decided by whoever intended it."""
        try:
            if when is not None and self.intended is None and not self.frame.holds(when):
                return self.made(Done(state=StepState.SKIPPED, why=Text("its condition does not hold")))
        except Undecided as undecided:
            return self.made(Done(state=StepState.UNDECIDED, why=missing(undecided)))
        done, tried = await self.attempted(), 1
        while self.again(done, tried):
            self.touched = done if done.effect is not Effect.NONE else self.touched
            await self.ports.clock.sleep(self.step.every_s)
            tried, self.number = tried + 1, self.number + 1
            done = await self.attempted()
        touched = self.touched
        if touched is not None and done.effect is Effect.NONE:  # nothing is left to do, because an attempt before did it
            state = StepState.CHANGED if done.state is StepState.OK else done.state
            effect = Effect.CHANGED if done.state in GOOD else touched.effect
            done = replace(done, state=state, effect=effect, diff=touched.diff)
        return replace(self.made(done), attempts=tried)

    def again(self, done: Done, tried: int) -> bool:
        """Tell whether another attempt is made: there is time, it may be, and it may help."""
        step = self.step
        if step.retry not in REPEATABLE or self.ports.clock.now_s() + step.every_s >= self.end_s:
            return False
        if done.state in GOOD:
            return step.until is not None and not self.reached(done)
        if done.state in (StepState.INTERRUPTED, StepState.UNKNOWN):
            return tried < max(step.attempts, 2)
        return done.state in _AGAIN and (tried < step.attempts or step.until is not None)

    def reached(self, done: Done) -> bool:
        """Tell whether what the step waits for is so."""
        self.frame.set("result", self.made(done).seen())
        try:
            return self.step.until is None or self.frame.holds(self.step.until)
        except Undecided:
            return False

    async def attempted(self) -> Done:
        """Return how one attempt ended."""
        action = ACTIONS[self.step.action]
        assert action.doer is not None  # an include is not attempted
        if action.on_controller:
            if self.intended is not None:
                why = Text("an earlier process began it, and nobody saw its end")
                return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, why=why)
            await self.ports.journal.intend(self.intent())
        try:
            doing = self.doing()
            done = self.parsed(await self.recalled(action.doer, doing) or await action.doer.perform(doing))
        except (Undecided, NotRendered, NoValue) as error:
            why = missing(error) if isinstance(error, Undecided) else error.text
            return await self.undecided(why)
        if done.facts:
            self.frame.facts.update(done.facts)
            self.frame.set("facts", self.frame.facts)
        late = self.ports.clock.now_s() + self.step.every_s >= self.end_s
        if late and done.state in GOOD and self.step.until is not None and not self.reached(done):
            return replace(done, state=StepState.TIMED_OUT, why=Text("what it waits for did not come before its deadline"))
        return done

    async def recalled(self, doer: Doer, doing: Doing) -> Done | None:
        """Return how ended what an earlier process sent; None where it sent nothing, or that never arrived."""
        if not isinstance(doer, Sender) or (heard := await self.heard()) is None:
            return None
        return await doer.ended(doing, heard[1], heard[0].diff)

    async def undecided(self, why: Text) -> Done:
        """Return that it cannot be decided what is to be done; of what an earlier process sent, how that ended.

        What that came to only its values could tell, also where its command ended well.
        """
        if (heard := await self.heard()) is None:
            return Done(state=StepState.UNDECIDED, why=why)
        done = replace(became(heard[1], self.step.values.get("ok_statuses") or frozenset({0})), diff=heard[0].diff)
        return replace(done, state=StepState.UNDECIDED, effect=Effect.MAYBE, why=why) if done.state in GOOD else done

    async def heard(self) -> tuple[Intent, Change] | None:
        """Return what an earlier process intended and what became of it; None as `recalled` does."""
        intent, self.intended = self.intended, None
        if intent is None:
            return None
        left_s = max(1.0, self.end_s - self.ports.clock.now_s())
        change = await self.ports.hands.recall(intent, privilege=self.step.privilege, deadline_s=left_s + self.collecting_s)
        if change.became is Became.NOT_BEGUN and not change.denied:
            self.number += 1
            return None
        self.sent += 1  # by that process
        return intent, change

    def doing(self) -> Doing:
        """Return what the action gets."""
        values = self.frame.settled(self.step)
        changed = self.step.values.get("changed")

        def says_changed(done: Done) -> bool:
            self.frame.set("result", self.made(self.parsed(done)).seen())
            try:
                return changed is None or self.frame.holds(changed)
            except Undecided:
                return True  # it ran: what cannot be decided is not taken for nothing

        return Doing(
            key=self.key,
            step=self.step,
            values=values,
            variables=self.frame.for_scripts(values),
            ports=self.ports,
            end_s=self.end_s,
            send=self.send,
            probes=self.probes,
            changed=None if changed is None else says_changed,
        )

    def parsed(self, done: Done) -> Done:
        """Return how it ended with its output read as the step says; one that cannot be read is a failure."""
        register = self.step.register
        if register is None or register.parse is None or done.state not in GOOD or "value" in done.data:
            return done
        if done.exit_status is None:  # there was nothing to do, so nothing was printed
            return done
        try:
            return replace(done, data={**done.data, "value": read_value(register, done.stdout)})
        except NotRead as error:
            why = Text("its output is not what the step says of it: {reason}", reason=str(error))
            return replace(done, state=StepState.FAILED, why=why)

    async def send(self, command: Command, diff: tuple[str, ...]) -> Change:
        """Return what became of a command that was intended before it was sent; one that never arrived is sent again."""
        for sending in range(1, SENDINGS + 1):
            await self.ports.journal.intend(self.intent(diff))
            self.sent += 1
            change = await self.ports.hands.change(self.ident(), command, deadline_s=command.deadline_s + self.collecting_s)
            if not change.never_arrived or sending == SENDINGS or self.ports.clock.now_s() >= self.end_s:
                break
            self.number += 1
            left_s = math.ceil(self.end_s - self.ports.clock.now_s())
            command = replace(command, deadline_s=max(1, min(command.deadline_s, left_s)))
        return change

    def intent(self, diff: tuple[str, ...] = ()) -> Intent:
        """Return what is about to be done, as the journal keeps it."""
        items, self.items = self.items, {}  # once: neither another intent nor the end has them too
        touched = self.touched is not None
        return Intent(key=self.key, ident=self.ident(), attempt=self.number, diff=diff, items=items, touched=touched)

    def ident(self) -> str:
        """Return the id of this attempt's command, which no other has."""
        name = f"{self.ports.run}.{self.key}.{self.number}"
        return name if len(name) <= 64 else f"{self.ports.run}.{hashlib.sha256(name.encode()).hexdigest()[:20]}"

    def made(self, done: Done) -> StepResult:
        """Return the end of an attempt as the result of the step."""
        return StepResult(
            key=self.key,
            name=self.step.name,
            action=self.step.action,
            state=done.state,
            effect=done.effect,
            exit_status=done.exit_status,
            stdout=done.stdout,
            stderr=done.stderr,
            diff=done.diff,
            data=done.data,
            items=self.items,
            sent=self.sent,
            duration_ms=round((self.ports.clock.now_s() - self.began_s) * 1000),
            why=done.why,
        )


def missing(undecided: Undecided) -> Text:
    """Return what a step needs to know and does not."""
    return Text("it cannot be decided: {reason} {detail}", reason=undecided.why.reason, detail=undecided.why.detail)
