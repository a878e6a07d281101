"""The journal of one host run over the store: an intent is on disk before its command is sent, the end of a step soon after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Any

from inventory.secret import MASKER
from playbooks.ports import Intent
from playbooks.results import Effect, Forecast, StepPlan, StepResult, StepState
from runner.host_run import Clock
from runner.store.changes import Journalled
from runner.store.port import Store
from runner.store.rows import Event, JournalRow
from runner.store.sentences import text_from_json, text_to_json


class StoreJournal:
    """What the interpreter writes to, for one host of one run; `earlier` is what an earlier process of the run wrote.

    The end of a step need not be waited for: the store keeps changes in their order, so it is on disk before the next
    intent is, and before the end of the host.
    """

    def __init__(self, store: Store, run: str, position: int, clock: Clock, earlier: Sequence[JournalRow] = ()) -> None:
        self._store, self._run, self._position, self._clock = store, run, position, clock
        self._ends = {line.key: result_of(line) for line in earlier if line.event is Event.END}
        self._intents = {line.key: line for line in earlier if line.event is Event.INTENT}
        self._waiting: list[Future[None]] = []
        self.open = set(self._intents) - set(self._ends)
        """Steps that were intended and whose ends nobody has seen."""
        self.earlier = [str(line.data["ident"]) for line in earlier if line.event is Event.INTENT]
        """Ids of the commands that an earlier process intended."""
        self.touched = any(result.effect is not Effect.NONE for result in self._ends.values())

    async def intend(self, intent: Intent) -> None:
        """Keep an intent; it is on disk when this returns, and so is everything before it."""
        self.open.add(intent.key)
        data = {"ident": intent.ident, "attempt": intent.attempt, "diff": _masked(list(intent.diff))}
        self._write(Event.INTENT, intent.key, data)
        await self.settled()

    async def end(self, result: StepResult) -> None:
        """Keep how a step ended."""
        self.open.discard(result.key)
        self.touched = self.touched or result.effect is not Effect.NONE
        streams = {"stdout": MASKER.data(result.stdout), "stderr": MASKER.data(result.stderr)}
        self._write(Event.END, result.key, _end_data(result), **streams)

    async def planned(self, plans: Iterable[StepPlan]) -> None:
        """Keep what steps would do."""
        for plan in plans:
            self._write(Event.PLAN, plan.key, _plan_data(plan))
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

    def _write(self, event: Event, key: str, data: Mapping[str, Any], stdout: bytes = b"", stderr: bytes = b"") -> None:
        line = JournalRow(
            run=self._run,
            position=self._position,
            event=event,
            key=key,
            at=self._clock(),
            data=data,
            stdout=stdout,
            stderr=stderr,
        )
        self._waiting.append(self._store.write(Journalled(line=line)))


def intent_of(line: JournalRow) -> Intent:
    """Return the intent that a line of a journal holds."""
    data = line.data
    return Intent(key=line.key, ident=data["ident"], attempt=data["attempt"], diff=tuple(data["diff"]))


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
        attempts=data["attempts"],
        duration_ms=data["duration_ms"],
        why=text_from_json(data["why"]),
    )


def plan_of_step(line: JournalRow) -> StepPlan:
    """Return the plan of a step that a line of a journal holds."""
    data = line.data
    forecast = Forecast(changes=data["changes"], diff=tuple(data["diff"]), why=text_from_json(data["why"]))
    return StepPlan(key=line.key, name=data["name"], action=data["action"], forecast=forecast, skipped=data["skipped"])


def _end_data(result: StepResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "action": result.action,
        "state": result.state.value,
        "effect": result.effect.value,
        "exit_status": result.exit_status,
        "diff": _masked(list(result.diff)),
        "data": _masked(dict(result.data)),
        "attempts": result.attempts,
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
    }


def _masked(value: Any) -> Any:
    """Return a value as it may be kept: known secrets are masked in every text of it."""
    match value:
        case str():
            return MASKER.text(value)
        case Mapping():
            return {str(name): _masked(below) for name, below in value.items()}
        case list() | tuple():
            return [_masked(item) for item in value]
        case None | bool() | int() | float():
            return value
    return MASKER.text(str(value))


def _seconds_since(then: datetime, now: datetime) -> float | None:
    """Return how long ago something was; None where the clock went back meanwhile: nobody knows."""
    passed_s = (now - then).total_seconds()
    return passed_s if passed_s >= 0 else None
