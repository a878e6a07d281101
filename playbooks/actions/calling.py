"""Calling a function of a file that lies beside the playbook; what runs is what was digested when the playbook was loaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from diagnostics.shapes import Misfit, fit, storable
from inventory.errors import LongarmError, Text
from playbooks.actions.doing import Doing, Done
from playbooks.actions.printed import Printed, kept_apart
from playbooks.ports import CallResult
from playbooks.results import MOST_SEEN, Effect, Forecast, StepState
from remote.answer import Ended
from remote.errors import ConnectFailed, DeadlineExceeded, RemoteError


class NoSuchFunction(LongarmError):
    """A file beside the playbook that cannot be loaded, or that has no such function."""


class Call:
    """Gives the function a `fabric.Connection`, in a thread, at most once."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that nobody can predict a function."""
        return Forecast(changes=None, why=Text("cannot be predicted: it is a function of Python"))

    async def perform(self, doing: Doing) -> Done:
        """Return what the function returns."""
        file, _, name = doing.values["python"].partition(":")
        given = {one: doing.variables[one] for one in doing.step.values.get("vars", {})}
        printed = Printed()

        def called(connection: Any) -> CallResult:
            try:
                with printed.taking():
                    function = loaded(doing.values["code"], file, name)
                    value, raised = function(connection, **given), None
            except (NoSuchFunction, RemoteError, TimeoutError):
                raise
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 (a function of L3: its own step fails)
                value, raised = None, Text("{kind}: {message}", kind=type(error).__name__, message=str(error)[:300])
            return CallResult(value=value, raised=raised, stdout=printed.value("stdout"), stderr=printed.value("stderr"))

        try:
            with kept_apart():
                async with asyncio.timeout(doing.left_s() + 10.0):
                    ended = await doing.ports.hands.fabric(doing.key, called, deadline_s=doing.left_s())
        except (DeadlineExceeded, TimeoutError):
            why = Text("the function did not end before the deadline: nobody knows what it did")
            ended, state = _cut_off(printed, why), StepState.UNKNOWN
        except (NoSuchFunction, ConnectFailed) as error:
            return Done(state=StepState.FAILED, why=error.text)
        except RemoteError as error:
            ended, state = _cut_off(printed, error.text), StepState.UNKNOWN if _went_away(error) else StepState.FAILED
        else:
            state = StepState.CHANGED if ended.raised is None else StepState.FAILED
        return _done(doing, ended, state)


def _went_away(error: RemoteError) -> bool:
    """Tell whether the connection went away under a command of the function: nobody knows how that ended."""
    from remote.fabric_connection import Unfinished  # which takes 0.2 s, and is loaded by now

    return isinstance(error, Unfinished) and error.result.ended is Ended.LOST


def _cut_off(printed: Printed, why: Text) -> CallResult:
    return CallResult(raised=why, stdout=printed.value("stdout"), stderr=printed.value("stderr"))


def loaded(code: bytes, file: str, name: str) -> Callable[..., Any]:
    """Return the function of a file's code; raises NoSuchFunction."""
    module = ModuleType(f"longarm_playbook_{file.removesuffix('.py').replace('/', '_')}")
    try:
        exec(compile(code, file, "exec"), module.__dict__)  # noqa: S102 (reviewed code of L3, pinned by the playbook's digest)
    except (Exception, SystemExit) as error:
        raise NoSuchFunction(Text("{file} cannot be loaded: {reason}", file=file, reason=str(error)[:300])) from error
    function = module.__dict__.get(name)
    if not callable(function):
        raise NoSuchFunction(Text("{file} has no function “{name}”", file=file, name=name))
    found: Callable[..., Any] = function
    return found


def _done(doing: Doing, called: CallResult, state: StepState) -> Done:
    """Return what a function came to as its step's end; a mapping may say that nothing was changed."""
    said: dict[str, Any] = {"stdout": called.stdout, "stderr": called.stderr}
    if called.raised is not None:
        return Done(state=state, effect=Effect.MAYBE, **said, why=called.raised)
    value, register = called.value, doing.step.register
    if isinstance(value, Mapping) and value.get("changed") is False:
        state, effect = StepState.OK, Effect.NONE
    else:
        effect = Effect.CHANGED
    kept = value_of(value)
    try:
        if register is not None and register.shape is not None:
            kept = fit(kept, register.shape, "value")
    except Misfit as misfit:
        why = Text("what it returned is not what the step says of it: {reason}", reason=str(misfit))
        return Done(state=StepState.FAILED, effect=effect, **said, why=why)
    return Done(state=state, effect=effect, **said, data={} if kept is None else {"value": kept})


def value_of(value: Any) -> Any:
    """Return what a function returned as the steps that follow see it, and the record keeps it; None: it is not there.

    All of it is plain (texts, finite numbers of 64 bits, true and false, lists, mappings by text), within MOST_SEEN.

    >>> value_of({"rows": (1, 2)}), value_of({"when": object()}), value_of(float("nan"))
    ({'rows': [1, 2]}, None, None)
    """
    try:
        text = json.dumps(value, ensure_ascii=False) if storable(value) else ""
    except (TypeError, ValueError, RecursionError):
        return None
    return json.loads(text) if 0 < len(text.encode()) <= MOST_SEEN else None
