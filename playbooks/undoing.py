"""What undoes a playbook on a host afterwards: what was done is read back from its results, then its rollbacks are played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from diagnostics.expressions import Undecided
from diagnostics.probe import Probe
from inventory.errors import LongarmError, Text
from inventory.secret import MASK, Secret
from playbooks.foresight import Seer
from playbooks.frame import Frame, mentions_item
from playbooks.interpreter import Behind, Player, forget_facts
from playbooks.items import begun_of, listed_items
from playbooks.keys import Script
from playbooks.model import Playbook, Step
from playbooks.params import ParamValue
from playbooks.ports import Ports
from playbooks.results import GOOD, LEFT_OPEN, Effect, Forecast, HostChange, Played, StepPlan, StepResult
from playbooks.templates import NotRendered
from playbooks.values import NoValue, mentioned


class UndoingRefused(LongarmError):
    """It cannot be told what all of it was that was done on a host, so nothing of it is undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was done to one host, and what its playbook knew as it began."""

    results: Mapping[str, StepResult] = field(hash=False)
    """By key."""
    items: Mapping[str, Any] = field(hash=False)
    """What was kept of the lists of its loops."""
    facts: Mapping[str, Any] = field(hash=False)


_MASKED: Final = Text("what it needs was masked as a secret, and is not kept")
_NOTHING_UNDOES_IT: Final = Text("the playbook says nothing that undoes it")
_NOT_READ_BACK: Final = Text("what was done there cannot be read back from the journal, so nothing was undone")


async def foresee_undoing(
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    past: Past,
    ports: Ports,
    probes: Mapping[str, Probe],
) -> tuple[StepPlan, ...]:
    """Return what `undo`, called so, would do on the host as it is now, in its order; nothing is changed.

    What it would leave as it is stands among the rest, with why.
    """
    player, seer = _Recalling(playbook, params, past, ports, probes), Seer(ports, probes)
    await player.recall()
    if (why := player.obstacle()) is not None:
        return tuple(_stays(result, why) for result in reversed(player.touched()))
    for behind in reversed(player.behind):
        if not behind.step.rollback:
            seer.plans.append(_stays(behind.result, _NOTHING_UNDOES_IT))
        for index, step in enumerate(behind.step.rollback, 1):
            await seer.foresee(step, behind.see_again(), f"{behind.key}.r{index}", undoes=behind.step.name)
    return tuple(seer.plans)


def _stays(result: StepResult, why: Text) -> StepPlan:
    forecast = Forecast(changes=False, why=why)
    return StepPlan(key=result.key, name=result.name, action=result.action, forecast=forecast, undoes=result.name, stays=True)


async def undo(
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    past: Past,
    ports: Ports,
    probes: Mapping[str, Probe],
) -> Played:
    """Return what undoing came to; nothing of the playbook itself is done again.

    Raises UndoingRefused, before anything is undone, where it cannot be told what all of it was that was done.
    """
    player = _Recalling(playbook, params, past, ports, probes)
    await player.recall()
    if (why := player.obstacle()) is not None:
        raise UndoingRefused(why)
    await player.roll_back()
    return Played(steps=(), undone=tuple(player.undone), change=_change_of(player))


class _Beyond(Exception):
    """What was done has no result for a step: nothing after it was begun."""


class _Recalling(Player):
    """Walks through what was done once more, by its results alone."""

    def __init__(
        self,
        playbook: Playbook,
        params: Mapping[str, ParamValue],
        past: Past,
        ports: Ports,
        probes: Mapping[str, Probe],
    ) -> None:
        super().__init__(playbook, params, past.facts, ports, probes)
        self.past, self.kept = past.results, past.items
        self.end_s, self.recalled = None, False
        self.lost: list[str] = []
        """The names of includes whose steps cannot be read back: for which item they were done is not known."""

    async def recall(self) -> None:
        """Read back what was done."""
        with suppress(_Beyond):
            await self.steps(self.playbook.steps, self.frame, "")
        self.recalled = True

    async def step(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Read a step back; whether its condition held is what its result says."""
        frame.forget("item")
        frame.forget("result")
        if step.loop is None:
            return await self.instance(step, frame, key)
        if not (begun := begun_of(key, [*self.past])):
            if key not in self.past:
                raise _Beyond
            return await self.close(self.past[key])
        listed = listed_items(key, [*self.past], self.kept) or []
        return await self.loop(step, frame, key, listed[:begun], about_items=False)

    async def without_item(self, step: Step, frame: Frame, key: str) -> StepResult | None:
        """Read a step back for an item that is not known: what it did is known all the same, but for an include it is for."""
        if step.action == "include" and mentions_item(step):
            self.lost.append(step.name)
        return await self.instance(step, frame, key)

    async def instance(self, step: Step, frame: Frame, key: str, *, asked: bool = False) -> StepResult | None:  # noqa: ARG002
        """Read a step back for one item."""
        if step.action == "include" and any(one.startswith(f"{key}.") for one in self.past):
            return await self.include(step, frame, key)
        if (earlier := self.past.get(key)) is None:
            raise _Beyond
        if step.action == "probe":
            forget_facts(step, frame)
        return self.keep(step, frame, earlier)

    async def close(self, result: StepResult) -> StepResult | None:
        """Pass a step that was not begun, or whose parts are read back."""
        self.results.append(result)
        return None if result.state in GOOD else result

    async def roll_back(self, before: int = 0) -> None:
        """Undo, once all has been read back; as part of the past it has been done, or not, already."""
        if self.recalled:
            await super().roll_back(before)

    def obstacle(self) -> Text | None:
        """Return why nothing may be undone; None: all that was done is known."""
        unread = {one.key for one in self.touched()} - {behind.key for behind in self.behind}
        lost = [one.step.name for one in self.behind if any(map(one.lacks_item, one.step.rollback))]
        lost += self.lost if unread else []
        if lost:
            return Text("for which item of its loop “{step}” was done is not kept, so nothing was undone", step=lost[0])
        if unread:
            return _NOT_READ_BACK
        masked = any(MASK in str(result.seen()) for result in self.past.values())
        return _MASKED if masked and any(map(_needs_masked, self.behind)) else None

    def touched(self) -> list[StepResult]:
        """Return the results of what may have changed the host, in order."""
        return [result for result in self.past.values() if result.effect is not Effect.NONE]


def _needs_masked(behind: Behind) -> bool:
    """Tell whether a rollback would be given a value that was masked when it was kept."""
    frame = behind.see_again()
    given = (value for step in behind.step.rollback for value in _given(step, frame))
    return any(MASK in str(value) for value in given if not isinstance(value, Secret))


def _given(step: Step, frame: Frame) -> Iterator[Any]:
    try:
        values = frame.settled(step)
    except (Undecided, NotRendered, NoValue):
        return  # it will not be done either
    for key, value in values.items():
        if isinstance(step.values[key], Script):
            yield from mentioned(value, frame.for_scripts({"vars": values.get("vars", {})})).values()
        elif key != "vars":
            yield value


def _change_of(player: Player) -> HostChange:
    """Return what undoing did to the host, whatever was done to it before."""
    undone = player.undone
    if any(one.state in LEFT_OPEN and one.effect is not Effect.NONE for one in undone):
        return HostChange.UNKNOWN
    if all(one.effect is Effect.NONE for one in undone):
        return HostChange.UNCHANGED
    whole = not player.irreversible and all(one.state in GOOD for one in undone)
    return HostChange.ROLLED_BACK if whole else HostChange.PARTLY
