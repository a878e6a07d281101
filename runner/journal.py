"""The journal of one host run over the store: an intent is on disk before its command is sent, the end of a step soon after."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from inventory.secret import MASKER
from playbooks.items import UNKNOWN, kept_item, listed_items
from playbooks.ports import Intent, comes_after, was_begun
from playbooks.results import Effect, Forecast, StepPlan, StepResult, StepState
from runner.host_run import Clock
from runner.store.changes import Journalled
from runner.store.port import Store
from runner.store.rows import Event, JournalRow
from runner.store.sentences import text_from_json, text_to_json

_ITEM: Final = re.compile(r"\.i\d+")


class StoreJournal:
    """What the interpreter writes to, for one host of one run; `earlier` is what an earlier process of the run wrote.

    The end of a step need not be waited for: the store keeps changes in their order, so it is on disk before the next
    intent is, and before the end of the host.
    """

    def __init__(self, store: Store, run: str, position: int, clock: Clock, earlier: Sequence[JournalRow] = ()) -> None:
        self._store, self._run, self._position, self._clock = store, run, position, clock
        self._moved: list[tuple[str, datetime | None]] = [(line.key, line.at) for line in moves_of(earlier)]
        self._ends = {key: result_of(line) for key, line in ended_lines(earlier).items()}
        self._intents = {line.key: line for line in earlier if line.event is Event.INTENT}
        self._items = items_of(earlier)
        self._waiting: list[Future[None]] = []
        self._open = set(self._intents) - set(self._ends)
        self._ending: dict[str, Future[None]] = {}
        """By the keys of steps that were intended and have ended: whether that is on disk."""
        self.earlier = [str(line.data["ident"]) for line in earlier if line.event is Event.INTENT]
        """Ids of the commands that an earlier process intended."""
        self.touched = any(result.effect is not Effect.NONE for result in self._ends.values())

    @property
    def open(self) -> set[str]:
        """Return the steps that were intended and whose ends nobody has seen, or are not on disk: who goes on asks for them."""
        lost = {key for key, written in self._ending.items() if written.done() and written.exception() is not None}
        return self._open | lost

    async def intend(self, intent: Intent) -> None:
        """Keep an intent; it is on disk when this returns, and so is everything before it."""
        self._open.add(intent.key)
        self._moved.append((intent.key, None))
        data = {
            "ident": intent.ident,
            "attempt": intent.attempt,
            "diff": _masked(list(intent.diff)),
            "items": _kept(intent.items),
            "touched": intent.touched,
        }
        self._write(Event.INTENT, intent.key, data)
        await self.settled()

    async def end(self, result: StepResult) -> None:
        """Keep how a step ended."""
        if not _same_end(self._ends.get(result.key), result):
            self._moved.append((result.key, None))
        self.touched = self.touched or result.effect is not Effect.NONE
        stdout, stderr = MASKER.data(result.stdout), MASKER.data(result.stderr)
        written = self._write(Event.END, result.key, _end_data(result), stdout=stdout, stderr=stderr)
        if result.key in self._open:
            self._open.discard(result.key)
            self._ending[result.key] = written

    async def planned(self, plans: Iterable[StepPlan]) -> None:
        """Keep what steps would do."""
        for plan in plans:
            self._write(Event.PLAN, plan.key, _plan_data(plan), script=MASKER.text(plan.script))
        await self.settled()

    async def settled(self) -> None:
        """Return when all that was written is on disk; raises StoreFailed for what could not be."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            await asyncio.shield(asyncio.wrap_future(future))

    def ended(self, key: str) -> StepResult | None:
        """Return how a step ended in an earlier process of this run."""
        return self._ends.get(key)

    def intended(self, key: str) -> Intent | None:
        """Return the last intent of a step from an earlier process whose end is not kept."""
        line = self._intents.get(key)
        if line is None or key in self._ends:
            return None
        return replace(intent_of(line), sent_s_ago=_seconds_since(line.at, self._clock()))

    def intended_after(self, key: str) -> bool:
        """Tell whether an earlier process of this run intended anything that comes after a step."""
        return any(comes_after(one, key) for one in self._intents)

    def begun(self, key: str) -> bool:
        """Tell whether an earlier process of this run began a step, or anything in it."""
        return was_begun(key, self._intents.keys(), self._ends)

    def moved_since(self, moment: datetime, *, undoing: bool) -> bool:
        """Tell whether anything was begun, or ended otherwise than before, after a moment of an earlier process of this run.

        `undoing`: what undoes a step counts, too.
        """
        return any((at is None or at > moment) and (undoing or not undoes(key)) for key, at in self._moved)

    def listed(self, key: str) -> Sequence[Any] | None:
        """Return the list of a loop as an earlier process of this run settled it."""
        return listed_items(key, [*self._intents, *self._ends], self._items)

    def _write(
        self, event: Event, key: str, data: Mapping[str, Any], *, stdout: bytes = b"", stderr: bytes = b"", script: str = ""
    ) -> Future[None]:
        line = JournalRow(
            run=self._run,
            position=self._position,
            event=event,
            key=key,
            at=self._clock(),
            data=data,
            stdout=stdout,
            stderr=stderr,
            script=script,
        )
        written = self._store.write(Journalled(line=line))
        self._waiting.append(written)
        return written


def plain_key(key: str) -> str:
    """Return the key of a step as its playbook has it, whichever item of a loop it was for."""
    return _ITEM.sub("", key)


def undoes(key: str) -> bool:
    """Tell whether the step of a key undoes another one."""
    return ".r" in key


def moves_of(lines: Iterable[JournalRow]) -> Iterator[JournalRow]:
    """Yield the lines by which something came about: intents, and ends of steps that are not what stood there already."""
    ends: dict[str, StepResult] = {}
    for line in lines:
        if line.event is Event.INTENT:
            ends.pop(line.key, None)
            yield line
        elif line.event is Event.END:
            result = result_of(line)
            if not _same_end(ends.get(line.key), result):
                yield line
            ends[line.key] = result


def _same_end(one: StepResult | None, other: StepResult) -> bool:
    return one is not None and (one.state, one.effect) == (other.state, other.effect)


def that_stand(lines: Sequence[JournalRow]) -> Sequence[JournalRow]:
    """Return the lines of an earlier process that a run goes on by: where it began nothing, what was answered and no more.

    A step that had nothing to do, or could not be decided, is looked at anew with what the host shows now.
    """
    if any(line.event is Event.INTENT for line in lines):
        return lines
    return [line for line in lines if line.data.get("action") == "ask"]


def ended_lines(lines: Iterable[JournalRow]) -> dict[str, JournalRow]:
    """Return the lines by which steps ended, by key: of one that was left out at first and begun later none, until it has."""
    ends: dict[str, JournalRow] = {}
    for line in lines:
        if line.event is Event.INTENT:
            ends.pop(line.key, None)
        elif line.event is Event.END:
            ends[line.key] = line
    return ends


def left_open(lines: Iterable[JournalRow]) -> list[JournalRow]:
    """Return the last intent of each step whose end nobody has seen."""
    last: dict[str, JournalRow] = {}
    for line in lines:
        if line.event is Event.INTENT:
            last[line.key] = line
        elif line.event is Event.END:
            last.pop(line.key, None)
    return [*last.values()]


def items_of(lines: Iterable[JournalRow]) -> dict[str, Any]:
    """Return what lines of a journal keep of the lists of loops."""
    return {key: item for line in lines for key, item in line.data.get("items", {}).items()}  # earlier releases kept none


def intent_of(line: JournalRow) -> Intent:
    """Return the intent that a line of a journal holds."""
    data = line.data
    return Intent(
        key=line.key,
        ident=data["ident"],
        attempt=data["attempt"],
        diff=tuple(data["diff"]),
        items=data.get("items", {}),
        touched=data.get("touched", False),
    )


def result_of(line: JournalRow) -> StepResult:
    """Return the end of a step that a line of a journal holds."""
    data = line.data
    return StepResult(
        key=line.key,
        name=data["name"],
        action=data["action"],
        state=StepState(data["state"]),
        effect=Effect(data["effect"]),
        exit_status=data["exit_status"],
        stdout=line.stdout,
        stderr=line.stderr,
        diff=tuple(data["diff"]),
        data=data["data"],
        items=data.get("items", {}),  # earlier releases kept none
        attempts=data["attempts"],
        sent=data.get("sent", 0),  # earlier releases kept none
        duration_ms=data["duration_ms"],
        why=text_from_json(data["why"]),
    )


def plan_of_step(line: JournalRow) -> StepPlan:
    """Return the plan of a step that a line of a journal holds."""
    data = line.data
    forecast = Forecast(changes=data["changes"], diff=tuple(data["diff"]), why=text_from_json(data["why"]))
    return StepPlan(
        key=line.key,
        name=data["name"],
        action=data["action"],
        forecast=forecast,
        skipped=data["skipped"],
        script=line.script or data.get("script", ""),  # before schema 0008 it was there
        variables=data.get("variables", {}),  # earlier releases kept none
        undoes=data.get("undoes", ""),
        stays=data.get("stays", False),
    )


def as_kept_plan(plan: StepPlan) -> StepPlan:
    """Return the plan of a step as it is read again once it was kept: without secrets."""
    forecast = replace(plan.forecast, diff=tuple(_masked(list(plan.forecast.diff))))
    return replace(plan, forecast=forecast, variables=_masked(plan.variables), script=MASKER.text(plan.script))


def _end_data(result: StepResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "action": result.action,
        "state": result.state.value,
        "effect": result.effect.value,
        "exit_status": result.exit_status,
        "diff": _masked(list(result.diff)),
        "data": _masked(dict(result.data)),
        "items": _kept(result.items),
        "attempts": result.attempts,
        "sent": result.sent,
        "duration_ms": result.duration_ms,
        "why": text_to_json(result.why),
    }


def _plan_data(plan: StepPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "action": plan.action,
        "changes": plan.forecast.changes,
        "diff": _masked(list(plan.forecast.diff)),
        "why": text_to_json(plan.forecast.why),
        "skipped": plan.skipped,
        "variables": _masked(plan.variables),
        "undoes": plan.undoes,
        "stays": plan.stays,
    }


def _kept(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return items as they may be kept: one that has become a secret since is left out, as `kept_item` does it."""
    kept = {key: kept_item(item) for key, item in items.items()}
    return {key: item for key, item in kept.items() if item is not UNKNOWN}


def _masked(value: Any) -> Any:
    """Return a value as it may be kept: known secrets are masked in every text of it, the names of values too."""
    match value:
        case str():
            return MASKER.text(value)
        case Mapping():
            return {MASKER.text(str(name)): _masked(below) for name, below in value.items()}
        case list() | tuple():
            return [_masked(item) for item in value]
        case None | bool() | int() | float():
            return value
    return MASKER.text(str(value))


def _seconds_since(then: datetime, now: datetime) -> float | None:
    """Return how long ago something was; None where the clock went back meanwhile: nobody knows."""
    passed_s = (now - then).total_seconds()
    return passed_s if passed_s >= 0 else None
