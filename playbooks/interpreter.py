"""One playbook on one host: steps in their order, each intended before it is sent, none repeated that may not be.

Pure but for its ports: the same code runs live, in scenarios, and on where an earlier process was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from diagnostics.expressions import Undecided
from diagnostics.facts import in_expressions as probe_name
from diagnostics.probe import Probe
from inventory.errors import Text
from playbooks.attempts import Attempts, missing
from playbooks.frame import Frame, mentions_item, names_item, too_many
from playbooks.items import UNKNOWN, kept_list
from playbooks.model import OnFailure, Playbook, Retry, Step
from playbooks.params import BadParams, Param, ParamValue, in_expressions, settled_params
from playbooks.ports import Ports
from playbooks.results import GOOD, LEFT_OPEN, Effect, Played, StepResult, StepState, change_of

_ITEM_NOT_KEPT: Final = Text("which item of its loop it is for was not kept: somebody has to look there")
_CLOSED: Final = (StepState.SKIPPED, StepState.UNDECIDED)
"""How a step ends whose condition keeps it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A step that may have changed the host, and what it saw then: what a rollback needs."""

    step: Step
    frame: Frame
    key: str
    item: Any
    """Of a step that loops; UNKNOWN: nobody can tell which it was."""
    result: StepResult

    def see_again(self) -> Frame:
        """Return the frame with what the step saw of itself."""
        if self.step.loop is None or self.item is UNKNOWN:
            self.frame.forget("item")
        else:
            self.frame.set("item", self.item)
        self.frame.set("result", self.result.seen())
        return self.frame

    def lacks_item(self, undoing: Step) -> bool:
        """Tell whether a step that undoes it names an item that nobody can tell any more."""
        return self.step.loop is not None and self.item is UNKNOWN and mentions_item(undoing)


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
    return await Player(playbook, params, facts, ports, probes or {}).play()


class Player:
    """What plays a playbook on one host, and can undo what it did there; made as `play` is called."""

    def __init__(
        self,
        playbook: Playbook,
        params: Mapping[str, ParamValue],
        facts: Mapping[str, Any],
        ports: Ports,
        probes: Mapping[str, Probe],
    ) -> None:
        self.playbook, self.ports, self.probes = playbook, ports, probes
        self.frame = Frame(playbook, params, dict(facts), ports.hands.host)
        self.results: list[StepResult] = []
        self.undone: list[StepResult] = []
        self.behind: list[Behind] = []
        self.items: dict[str, Any] = {}
        """What the next line of the journal has to keep of the lists of loops."""
        self.later: dict[str, Any] = {}
        """Items that are kept with a line of their own."""
        self.complete = self.irreversible = self.stuck = False
        """`stuck`: something could not be undone, so nothing more is touched."""
        at_most_s = playbook.durations.at_most_s
        self.end_s = None if at_most_s is None else ports.clock.now_s() + at_most_s

    async def play(self) -> Played:
        """Do the steps, and return what they came to."""
        self.complete = await self.steps(self.playbook.steps, self.frame, "")
        return self.played()

    async def undo(self) -> Played:
        """Undo what the steps did, the last first, and return what all of it came to."""
        await self.roll_back()
        self.complete = self.complete and not self.undone
        return self.played()

    @property
    def left(self) -> bool:
        """Tell whether something that was done is there to be undone."""
        return bool(self.behind) and not self.stuck

    @property
    def undoing_begun(self) -> bool:
        """Tell whether an earlier process began to undo what the steps as a whole had done."""
        keys = (f"{behind.key}.r{number}" for behind in self.behind for number in range(1, len(behind.step.rollback) + 1))
        return any(map(self.ports.journal.begun, keys))

    def played(self) -> Played:
        """Return what was done up to now, and what that came to."""
        return Played(
            steps=tuple(self.results),
            undone=tuple(self.undone),
            change=change_of(self.results, self.undone, complete=self.complete, stays=self.irreversible or bool(self.behind)),
        )

    async def steps(self, steps: tuple[Step, ...], frame: Frame, prefix: str) -> bool:
        """Do steps in their order; tell whether all of them ended well, or were allowed not to."""
        complete, before = True, len(self.behind)
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
            if self.stuck or failed.state in LEFT_OPEN or step.on_failure is OnFailure.STOP:
                return False
            if step.on_failure is OnFailure.ROLL_BACK:
                await self.roll_back(before)
                return False
        return complete

    async def step(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Do one step, for each item where it loops; return the result that did not end well, None: all did."""
        nothing = StepResult(key=key, name=step.name, action=step.action, state=StepState.SKIPPED)
        frame.forget("item")
        frame.forget("result")
        listed = None if step.loop is None else self.ports.journal.listed(key)
        begun, earlier = listed is not None or self.ports.journal.begun(key), self.earlier(step, key)
        if earlier is not None and not begun and (step.loop is not None or earlier.state in _CLOSED):
            return self.passed(earlier)
        about_items = names_item(step)
        try:
            asked = not about_items and not begun and earlier is None
            if asked and step.when is not None and not frame.holds(step.when):
                await self.close(replace(nothing, why=Text("its condition does not hold")))
                return None
            items = (
                [] if step.loop is None else self.left_of(key, listed) if listed is not None else [*frame.evaluate(step.loop)]
            )
        except Undecided as undecided:
            return await self.close(replace(nothing, state=StepState.UNDECIDED, why=missing(undecided)))
        if step.loop is None:
            return await self.instance(step, frame, key)
        if listed is None:
            if len(items) > step.at_most:
                return await self.close(replace(nothing, state=StepState.FAILED, why=too_many(step, len(items))))
            first, later = kept_list(key, items)
            self.items, self.later = self.items | first, self.later | later
        if not items:
            await self.close(replace(nothing, why=Text("its loop has no items")))
        return await self.loop(step, frame, key, items, about_items=about_items)

    def earlier(self, step: Step, key: str) -> StepResult | None:
        """Return how a step ended in an earlier process of the run, where that stands.

        What only reads is asked anew, but not once something after it was begun: what was read before a change undoes it.
        """
        reads = step.action == "probe" or step.retry is Retry.READ
        return None if reads and not self.ports.journal.intended_after(key) else self.ports.journal.ended(key)

    def left_of(self, key: str, listed: Sequence[Any]) -> list[Any]:
        """Return the items that a loop is gone on with: none that was not begun, once something after the loop was."""
        journal, numbers = self.ports.journal, range(1, len(listed) + 1)
        if not journal.intended_after(f"{key}.i{len(listed)}"):
            return [*listed]
        keys = (f"{key}.i{number}" for number in numbers)
        begun = takewhile(lambda one: journal.begun(one) or journal.ended(one) is not None, keys)
        return [item for item, _ in zip(listed, begun, strict=False)]

    async def loop(self, step: Step, frame: Frame, key: str, items: list[Any], *, about_items: bool) -> StepResult | None:
        """Do a step for each item; the first that does not end well ends it, unless the step says otherwise."""
        failed: StepResult | None = None
        seen: list[Any] = []
        for number, item in enumerate(items, 1):
            one = f"{key}.i{number}"
            if item is UNKNOWN:
                frame.forget("item")
                wrong = await self.without_item(step, frame, one)
            else:
                frame.set("item", item)
                self.items |= {one: self.later.pop(one)} if one in self.later else {}
                wrong = await self.instance(step, frame, one, asked=about_items)
            seen.append(self.results[-1].seen())
            if wrong is not None:
                failed = failed or wrong
                if step.on_failure is not OnFailure.CONTINUE or wrong.state in LEFT_OPEN:
                    break
        if step.register is not None:
            frame.keep(step.register, {"items": seen, "changed": any(one["changed"] for one in seen)})
        return failed

    async def without_item(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Go on for an item that is not known any more, as far as the journal alone tells what was done."""
        begun, earlier = self.ports.journal.begun(key), self.ports.journal.ended(key)
        if earlier is not None and (step.action != "include" or not begun):
            return self.keep(step, frame, earlier)
        if begun and not mentions_item(step):
            return await self.instance(step, frame, key)
        return await self.close(self.unknown(step, key, _ITEM_NOT_KEPT, begun=begun))

    def unknown(self, step: Step, key: str, why: Text, *, begun: bool) -> StepResult:
        """Return that nobody knows what became of a step, or what it would be."""
        effect = Effect.MAYBE if begun else Effect.NONE
        return StepResult(key=key, name=step.name, action=step.action, state=StepState.UNKNOWN, effect=effect, why=why)

    async def instance(self, step: Step, frame: Frame, key: str, *, asked: bool = False) -> StepResult | None:
        """Do a step once, that is for one item; return its result where it did not end well."""
        earlier, begun = self.earlier(step, key), self.ports.journal.begun(key)
        if earlier is not None and step.action != "include":
            if step.action == "probe" and earlier.state is StepState.OK:
                forget_facts(step, frame)
                await self.attempts(step, frame, key).attempted()
            return self.keep(step, frame, earlier)
        if earlier is not None and not begun:
            return self.passed(earlier)
        if asked and step.when is not None and not begun:
            result = StepResult(key=key, name=step.name, action=step.action, state=StepState.SKIPPED)
            try:
                if not frame.holds(step.when):
                    await self.close(replace(result, why=Text("its condition does not hold")))
                    return None
            except Undecided as undecided:
                return await self.close(replace(result, state=StepState.UNDECIDED, why=missing(undecided)))
        if step.action == "include":
            return await self.include(step, frame, key)
        result = await self.attempts(step, frame, key).result()
        await self.ports.journal.end(result)
        return self.keep(step, frame, result)

    def attempts(self, step: Step, frame: Frame, key: str) -> Attempts:
        """Return the attempts at a step, whose first line in the journal keeps what there is to keep of lists."""
        items, self.items = self.items, {}
        return Attempts(self.ports, self.probes, step, frame, key, items)

    def passed(self, earlier: StepResult) -> StepResult | None:
        """Pass a step that an earlier process did not begin."""
        self.results.append(earlier)
        return None if earlier.state in GOOD else earlier

    def keep(self, step: Step, frame: Frame, result: StepResult) -> StepResult | None:
        """Keep a result for the steps that follow and for the rollback; return it where it did not end well."""
        self.results.append(result)
        if step.register is not None and step.loop is None:
            frame.keep(step.register, _seen(step, result))
        if result.effect is not Effect.NONE:
            item = frame.variables.get("item", UNKNOWN)
            self.behind.append(Behind(step=step, frame=frame, key=result.key, item=item, result=result))
        return None if result.state in GOOD else result

    async def close(self, result: StepResult) -> StepResult | None:
        """Keep a step that was not begun."""
        items, self.items = self.items, {}
        await self.ports.journal.end(replace(result, items=items))
        return self.passed(result)

    async def include(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Do the steps of another playbook with a frame of its own."""
        result = StepResult(key=key, name=step.name, action=step.action, state=StepState.OK)
        playbook: Playbook = step.values["playbook"]
        try:
            params = settled_params(playbook.params, frame.given(step))
        except (Undecided, BadParams) as error:
            why = missing(error) if isinstance(error, Undecided) else error.text
            if self.ports.journal.begun(key):
                return await self.close(self.unknown(step, key, why, begun=True))
            state = StepState.UNDECIDED if isinstance(error, Undecided) else StepState.REFUSED
            return await self.close(replace(result, state=state, why=why))
        before, undone = len(self.results), len(self.undone)
        inner = Frame(playbook, params, frame.facts, self.ports.hands.host)
        complete = await self.steps(playbook.steps, inner, f"{key}.")
        frame.set("facts", frame.facts)
        if complete:
            changed = any(one.effect is not Effect.NONE for one in self.results[before:])
            return await self.close(replace(result, state=StepState.CHANGED if changed else StepState.OK))
        done = (*self.results[before:], *self.undone[undone:])
        worst = next((one for one in done if one.state in LEFT_OPEN), None)
        state = worst.state if worst is not None else StepState.FAILED
        return await self.close(replace(result, state=state, why=Text("a step of “{name}” did not end well", name=playbook.id)))

    async def roll_back(self, before: int = 0) -> None:
        """Undo what was done, the last first and each once; where undoing fails nothing more is touched, now or later.

        An included playbook undoes its own steps alone: `before` is how many were behind it as it began.
        """
        while len(self.behind) > before and not self.stuck:
            behind = self.behind[-1]
            if not behind.step.rollback:
                self.irreversible = True
            for index, step in enumerate(behind.step.rollback, 1):
                key = f"{behind.key}.r{index}"
                done = self.ports.journal.ended(key) or await self.undoing(behind, step, key)
                await self.ports.journal.end(done)
                self.undone.append(done)
                if done.state not in GOOD:
                    self.stuck = True
                    return
            self.behind.pop()

    async def undoing(self, behind: Behind, step: Step, key: str) -> StepResult:
        """Return how a step ended that undoes another one; for an item that nobody can tell nothing is undone."""
        if behind.lacks_item(step):
            return self.unknown(step, key, _ITEM_NOT_KEPT, begun=self.ports.journal.begun(key))
        return await self.attempts(step, behind.see_again(), key).result(when=step.when)


def forget_facts(probing: Step, frame: Frame) -> None:
    """Take away what a probe showed: its facts are not kept, and older ones must not pass for them."""
    frame.facts.pop(probe_name(probing.values["probe"]), None)
    frame.set("facts", frame.facts)


def _seen(step: Step, result: StepResult) -> dict[str, Any]:
    """Return what the steps that follow see of a result; an answer that was kept as a number is a duration again."""
    seen, param = result.seen(), step.values.get("answer")
    if isinstance(param, Param) and "answer" in seen:
        seen |= in_expressions({"answer": param}, {"answer": seen["answer"]})
    return seen
