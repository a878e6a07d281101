"""One playbook on one host: steps in their order, each intended before it is sent, none repeated that may not be.

Pure but for its ports: the same code runs live, in scenarios, and on where an earlier process was cut off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from diagnostics.expressions import Undecided
from diagnostics.probe import Probe
from inventory.errors import Text
from playbooks.actions import ACTIONS
from playbooks.actions.doing import Doer, Doing, Done, Sender
from playbooks.frame import Frame, NotRead, names_item, read_value, too_many
from playbooks.model import OnFailure, Playbook, Retry, Step
from playbooks.params import BadParams, ParamValue, settled_params
from playbooks.ports import Became, Change, Intent, Ports
from playbooks.results import GOOD, LEFT_OPEN, Effect, Played, StepResult, StepState, change_of
from playbooks.templates import NotRendered
from playbooks.values import NoValue
from remote.command import Command

REPEATABLE: Final = frozenset((Retry.READ, Retry.IDEMPOTENT, Retry.GUARDED))
_AGAIN: Final = frozenset((StepState.FAILED, StepState.TIMED_OUT, StepState.UNDECIDED))
"""What another attempt may mend."""
COLLECTING_S: Final = 30.0
"""How much longer than a command itself its host has to tell how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A step that may have changed the host, and what it saw then: what a rollback needs."""

    step: Step
    frame: Frame
    key: str
    item: Any
    result: StepResult


async def play(
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    ports: Ports,
    probes: Mapping[str, Probe] | None = None,
) -> Played:
    """Return what a playbook came to on one host, never raising for what the host does.

    `params` are all of them, as `settled_params` gives them; `facts` those of the probes that it needs, by the names that
    expressions have for these; `probes` what `probe` may ask.
    """
    player = _Player(ports, probes or {}, playbook.durations.at_most_s)
    complete = await player.steps(playbook.steps, Frame(playbook, params, dict(facts), ports.hands.host), "")
    return Played(
        steps=tuple(player.results),
        undone=tuple(player.undone),
        change=change_of(player.results, player.undone, complete=complete, irreversible=player.irreversible),
    )


class _Player:
    def __init__(self, ports: Ports, probes: Mapping[str, Probe], at_most_s: float | None) -> None:
        self.ports, self.probes = ports, probes
        self.results: list[StepResult] = []
        self.undone: list[StepResult] = []
        self.behind: list[Behind] = []
        self.irreversible = False
        self.end_s = None if at_most_s is None else ports.clock.now_s() + at_most_s

    async def steps(self, steps: tuple[Step, ...], frame: Frame, prefix: str) -> bool:
        """Do steps in their order; tell whether all of them ended well, or were allowed not to."""
        complete = True
        for index, step in enumerate(steps, 1):
            key = f"{prefix}s{index}"
            if self.end_s is not None and self.ports.clock.now_s() > self.end_s:
                why = Text("the playbook has taken longer than its durations allow: nothing more is begun")
                await self.close(StepResult(key=key, name=step.name, action=step.action, state=StepState.TIMED_OUT, why=why))
                return False
            failed = await self.step(step, frame, key)
            if failed is None:
                continue
            complete = False
            if failed.state in LEFT_OPEN or step.on_failure is OnFailure.STOP:
                return False
            if step.on_failure is OnFailure.ROLL_BACK:
                await self.roll_back()
                return False
        return complete

    async def step(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Do one step, for each item where it loops; return the result that did not end well, None: all did."""
        nothing = StepResult(key=key, name=step.name, action=step.action, state=StepState.SKIPPED)
        frame.forget("item")
        frame.forget("result")
        try:
            about_items = names_item(step)
            if step.when is not None and not about_items and not frame.holds(step.when):
                await self.close(replace(nothing, why=Text("its condition does not hold")))
                return None
            items = [None] if step.loop is None else list(frame.evaluate(step.loop))
        except Undecided as undecided:
            return await self.close(replace(nothing, state=StepState.UNDECIDED, why=_missing(undecided)))
        if step.loop is None:
            return await self.instance(step, frame, key)
        if len(items) > step.at_most:
            return await self.close(replace(nothing, state=StepState.FAILED, why=too_many(step, len(items))))
        if not items:
            await self.close(replace(nothing, why=Text("its loop has no items")))
        return await self.loop(step, frame, key, items, about_items=about_items)

    async def loop(self, step: Step, frame: Frame, key: str, items: list[Any], *, about_items: bool) -> StepResult | None:
        """Do a step for each item; the first that does not end well ends it, unless the step says otherwise."""
        failed: StepResult | None = None
        seen: list[Any] = []
        for number, item in enumerate(items, 1):
            frame.set("item", item)
            wrong = await self.instance(step, frame, f"{key}.i{number}", asked=about_items)
            seen.append(self.results[-1].seen())
            if wrong is not None:
                failed = failed or wrong
                if step.on_failure is not OnFailure.CONTINUE or wrong.state in LEFT_OPEN:
                    break
        if step.register is not None:
            frame.keep(step.register, {"items": seen, "changed": any(one["changed"] for one in seen)})
        return failed

    async def instance(self, step: Step, frame: Frame, key: str, *, asked: bool = False) -> StepResult | None:
        """Do a step once, that is for one item; return its result where it did not end well."""
        again = step.action == "probe" or step.retry is Retry.READ  # what only reads is asked anew
        earlier = None if again else self.ports.journal.ended(key)
        if earlier is not None and step.action != "include":
            return self.keep(step, frame, earlier)
        if asked and step.when is not None:
            result = StepResult(key=key, name=step.name, action=step.action, state=StepState.SKIPPED)
            try:
                if not frame.holds(step.when):
                    await self.close(replace(result, why=Text("its condition does not hold")))
                    return None
            except Undecided as undecided:
                return await self.close(replace(result, state=StepState.UNDECIDED, why=_missing(undecided)))
        if step.action == "include":
            return await self.include(step, frame, key)
        result = await _Attempts(self, step, frame, key).result()
        await self.ports.journal.end(result)
        return self.keep(step, frame, result)

    def keep(self, step: Step, frame: Frame, result: StepResult) -> StepResult | None:
        """Keep a result for the steps that follow and for the rollback; return it where it did not end well."""
        self.results.append(result)
        if step.register is not None and step.loop is None:
            frame.keep(step.register, result.seen())
        if result.effect is not Effect.NONE:
            item = frame.variables.get("item")
            self.behind.append(Behind(step=step, frame=frame, key=result.key, item=item, result=result))
        return None if result.state in GOOD else result

    async def close(self, result: StepResult) -> StepResult | None:
        """Keep a step that was not begun."""
        await self.ports.journal.end(result)
        self.results.append(result)
        return None if result.state in GOOD else result

    async def include(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Do the steps of another playbook with a frame of its own."""
        result = StepResult(key=key, name=step.name, action=step.action, state=StepState.OK)
        playbook: Playbook = step.values["playbook"]
        try:
            params = settled_params(playbook.params, frame.given(step))
        except Undecided as undecided:
            return await self.close(replace(result, state=StepState.UNDECIDED, why=_missing(undecided)))
        except BadParams as error:
            return await self.close(replace(result, state=StepState.REFUSED, why=error.text))
        before = len(self.results)
        inner = Frame(playbook, params, frame.facts, self.ports.hands.host)
        complete = await self.steps(playbook.steps, inner, f"{key}.")
        frame.set("facts", frame.facts)
        if complete:
            changed = any(one.effect is not Effect.NONE for one in self.results[before:])
            return await self.close(replace(result, state=StepState.CHANGED if changed else StepState.OK))
        worst = next((one for one in self.results[before:] if one.state in LEFT_OPEN), None)
        state = worst.state if worst is not None else StepState.FAILED
        return await self.close(replace(result, state=state, why=Text("a step of “{name}” did not end well", name=playbook.id)))

    async def roll_back(self) -> None:
        """Undo what was done, the last first; where undoing fails nothing more is touched."""
        for behind in reversed(self.behind):
            if not behind.step.rollback:
                self.irreversible = True
                continue
            frame = behind.frame
            for index, step in enumerate(behind.step.rollback, 1):
                if behind.item is not None:
                    frame.set("item", behind.item)
                frame.set("result", behind.result.seen())
                key = f"{behind.key}.r{index}"
                done = self.ports.journal.ended(key) or await _Attempts(self, step, frame, key).result(when=step.when)
                await self.ports.journal.end(done)
                self.undone.append(done)
                if done.state not in GOOD:
                    return
        self.behind.clear()


class _Attempts:
    """The attempts at one step for one item, within its deadline."""

    def __init__(self, player: _Player, step: Step, frame: Frame, key: str) -> None:
        self.player, self.step, self.frame, self.key = player, step, frame, key
        self.ports = player.ports
        self.intended = self.ports.journal.intended(key)
        self.number = self.intended.attempt if self.intended else 1
        self.began_s = self.ports.clock.now_s()
        self.end_s = self.began_s + step.deadline_s

    async def result(self, *, when: Any = None) -> StepResult:
        """Return how the step ended."""
        try:
            if when is not None and not self.frame.holds(when):
                return self.made(Done(state=StepState.SKIPPED, why=Text("its condition does not hold")))
        except Undecided as undecided:
            return self.made(Done(state=StepState.UNDECIDED, why=_missing(undecided)))
        done, touched, tried = await self.attempted(), None, 1
        while self.again(done, tried):
            touched = done if done.effect is not Effect.NONE else touched
            await self.ports.clock.sleep(self.step.every_s)
            tried, self.number = tried + 1, self.number + 1
            done = await self.attempted()
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
            await self.ports.journal.intend(Intent(key=self.key, ident=self.ident(), attempt=self.number))
        try:
            doing = self.doing()
            done = self.parsed(await self.recalled(action.doer, doing) or await action.doer.perform(doing))
        except Undecided as undecided:
            return Done(state=StepState.UNDECIDED, why=_missing(undecided))
        except (NotRendered, NoValue) as error:
            return Done(state=StepState.UNDECIDED, why=error.text)
        if done.facts:
            self.frame.facts.update(done.facts)
            self.frame.set("facts", self.frame.facts)
        late = self.ports.clock.now_s() + self.step.every_s >= self.end_s
        if late and done.state in GOOD and self.step.until is not None and not self.reached(done):
            return replace(done, state=StepState.TIMED_OUT, why=Text("what it waits for did not come before its deadline"))
        return done

    async def recalled(self, doer: Doer, doing: Doing) -> Done | None:
        """Return how ended what an earlier process sent; None where it sent nothing, or that never arrived."""
        intent, self.intended = self.intended, None
        if intent is None or not isinstance(doer, Sender):
            return None
        change = await self.ports.hands.recall(intent, privilege=self.step.privilege, deadline_s=doing.left_s() + COLLECTING_S)
        if change.became is Became.NOT_BEGUN and not change.denied:
            self.number += 1
            return None
        return await doer.ended(doing, change, intent.diff)

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
            probes=self.player.probes,
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
        """Return what became of a command that was intended before it was sent."""
        await self.ports.journal.intend(Intent(key=self.key, ident=self.ident(), attempt=self.number, diff=diff))
        return await self.ports.hands.change(self.ident(), command, deadline_s=command.deadline_s + COLLECTING_S)

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
            duration_ms=round((self.ports.clock.now_s() - self.began_s) * 1000),
            why=done.why,
        )


def _missing(undecided: Undecided) -> Text:
    return Text("it cannot be decided: {reason} {detail}", reason=undecided.why.reason, detail=undecided.why.detail)
