"""What `run` and `powershell` do: their guard or plan first, then the script."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from inventory.errors import Text
from playbooks.actions.doing import Doing, Done, became, ended_badly, not_answered
from playbooks.model import Retry
from playbooks.ports import Change
from playbooks.results import Effect, Forecast, StepState
from remote.answer import Answer, Ended

_EXISTS: Final = {
    "run": '[ -e "$creates" ] || [ -L "$creates" ]',
    "powershell": "if (-not (Test-Path -LiteralPath $creates)) { exit 1 }",
}
_MOST_SHOWN = 400


class Scripted:
    """Runs a script: detached where it may change something, as a question where it says that it only reads."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def plan(self, doing: Doing) -> Forecast:
        """Return what its guard or its plan says; without either nobody can predict a script."""
        if doing.step.retry is Retry.READ:
            return Forecast(changes=False)
        asked = await self._asked(doing)
        if asked is None:
            why = Text("cannot be predicted: the step has neither “unless”, “creates” nor “plan”")
            return Forecast(changes=None, why=why)
        return _forecast(doing, asked)

    async def perform(self, doing: Doing) -> Done:
        """Run the script unless there is nothing to do."""
        script, stdin = doing.values[self.name], doing.values.get("stdin")
        data = None if stdin is None else str(stdin).encode("utf-8", "surrogateescape")
        if doing.step.retry is Retry.READ:
            return self._read(doing, await doing.look(script, stdin=data))
        asked = await self._asked(doing)
        diff: tuple[str, ...] = ()
        if asked is not None:
            if (done := not_answered(asked)) is not None:
                return done
            forecast = _forecast(doing, asked)
            if forecast.changes is None:
                return Done(state=StepState.UNDECIDED, why=forecast.why, stderr=asked.stderr)
            if not forecast.changes:
                return Done(state=StepState.OK)
            diff = forecast.diff
        return await self.ended(doing, await doing.send(doing.command(script, stdin=data), diff), diff)

    async def ended(self, doing: Doing, change: Change, diff: tuple[str, ...]) -> Done:
        """Return how the script ended; unchanged where the step says that nothing was."""
        done = replace(became(change, _ok(doing)), diff=diff)
        if done.state is StepState.CHANGED and doing.changed is not None and not doing.changed(done):
            return replace(done, state=StepState.OK, effect=Effect.NONE)
        return done

    async def _asked(self, doing: Doing) -> Answer | None:
        """Return what the guard or the plan brought back; None where the step has none."""
        values = doing.values
        if values.get("creates") is not None:
            return await doing.look(_EXISTS[self.name], {"creates": values["creates"]})
        script = values.get("unless") or values.get("plan")
        return None if script is None else await doing.look(script)

    def _read(self, doing: Doing, answer: Answer) -> Done:
        """Return a script that only reads as the end of its step."""
        if (done := not_answered(answer)) is not None:
            return done
        common = replace(
            Done(state=StepState.OK),
            exit_status=answer.exit_status,
            stdout=answer.stdout,
            stderr=answer.stderr,
            duration_ms=answer.duration_ms,
        )
        if answer.exit_status in _ok(doing):
            return common
        return replace(common, state=StepState.FAILED, why=_why(answer))


def _why(answer: Answer) -> Text:
    """Return why a script that only reads ended badly: a look before anything is done says so on stderr."""
    return ended_badly(answer.exit_status, _said(answer))


def _said(answer: Answer) -> str:
    return answer.stderr[:300].decode("utf-8", "backslashreplace").strip()


def _ok(doing: Doing) -> frozenset[int]:
    return doing.values.get("ok_statuses") or frozenset({0})


def _shown(lines: list[str]) -> Iterator[str]:
    """Yield what is shown of a plan; where that is not all, its last line says so, and by a digest of all which it was.

    >>> [*_shown(["/var/tmp/a", "# it was 12 MiB"])]
    [' /var/tmp/a', ' # it was 12 MiB']
    >>> [*_shown([f"/{number}" for number in range(402)])][399:]
    [' /399', ' … 2 more lines, 9a21ca00f0350c91']
    """
    yield from (f" {line}"[:_MOST_SHOWN] for line in lines[:_MOST_SHOWN])
    if len(lines) > _MOST_SHOWN or any(len(line) >= _MOST_SHOWN for line in lines):
        digest = hashlib.sha256("\n".join(line for line in lines if not line.startswith("#")).encode()).hexdigest()
        more = f"{len(lines) - _MOST_SHOWN} more lines" if len(lines) > _MOST_SHOWN else "lines are cut"
        yield f" … {more}, {digest[:16]}"


def _forecast(doing: Doing, asked: Answer) -> Forecast:
    said = _said(asked)
    if asked.ended is not Ended.EXITED or asked.exit_status is None:
        return Forecast(changes=None, why=Text("the host did not say how it is: {why}", why=asked.why or said))
    if doing.values.get("plan") is not None:
        if asked.exit_status != 0:
            return Forecast(
                changes=None, why=Text("its plan ended with status {status}: {said}", status=asked.exit_status, said=said)
            )
        lines = asked.stdout.decode("utf-8", "backslashreplace").splitlines()
        return Forecast(changes=bool(lines), diff=tuple(_shown(lines)))
    if asked.exit_status not in (0, 1):
        what = Text("its guard ended with status {status}: {said}", status=asked.exit_status, said=said)
        return Forecast(changes=None, why=what)
    return Forecast(changes=asked.exit_status != 0)
