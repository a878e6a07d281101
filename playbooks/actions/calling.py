"""Calling a function of a file that lies beside the playbook; what runs is what was digested when the playbook was loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from inventory.errors import LongarmError, Text
from playbooks.actions.doing import Doing, Done
from playbooks.results import Effect, Forecast, StepState
from remote.errors import DeadlineExceeded, RemoteError


class NoSuchFunction(LongarmError):
    """A file beside the playbook that cannot be loaded, or that has no such function."""


class FunctionFailed(LongarmError):
    """What the function itself raised."""


class Call:
    """Gives the function a `fabric.Connection`, in a thread, at most once."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that nobody can predict a function."""
        return Forecast(changes=None, why=Text("cannot be predicted: it is a function of Python"))

    async def perform(self, doing: Doing) -> Done:
        """Return what the function returns."""
        file, _, name = doing.values["python"].partition(":")
        try:
            function = loaded(doing.values["code"], file, name)
        except NoSuchFunction as error:
            return Done(state=StepState.FAILED, why=error.text)
        given = {one: doing.variables[one] for one in doing.step.values.get("vars", {})}

        def called(connection: Any) -> Any:
            try:
                return function(connection, **given)
            except (RemoteError, TimeoutError):
                raise
            except Exception as error:  # a function of L3 may raise anything: it fails its own step, and hides no fault of ours
                raise FunctionFailed(Text("{kind}: {message}", kind=type(error).__name__, message=str(error)[:300])) from error

        try:
            async with asyncio.timeout(doing.left_s() + 10.0):
                value = await doing.ports.hands.fabric(called, deadline_s=doing.left_s())
        except (DeadlineExceeded, TimeoutError):
            why = Text("the function did not end before the deadline: nobody knows what it did")
            return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, why=why)
        except (RemoteError, FunctionFailed) as error:
            return Done(state=StepState.FAILED, effect=Effect.MAYBE, why=error.text)
        return _done(value)


def loaded(code: bytes, file: str, name: str) -> Callable[..., Any]:
    """Return the function of a file's code; raises NoSuchFunction."""
    module = ModuleType(f"longarm_playbook_{file.removesuffix('.py').replace('/', '_')}")
    try:
        exec(compile(code, file, "exec"), module.__dict__)  # noqa: S102 (reviewed code of L3, pinned by the playbook's digest)
    except Exception as error:
        raise NoSuchFunction(Text("{file} cannot be loaded: {reason}", file=file, reason=str(error)[:300])) from error
    function = module.__dict__.get(name)
    if not callable(function):
        raise NoSuchFunction(Text("{file} has no function “{name}”", file=file, name=name))
    found: Callable[..., Any] = function
    return found


def _done(value: Any) -> Done:
    """Return what a function returned as its step's end; a mapping may say that nothing was changed."""
    data = {"value": value} if isinstance(value, str | int | float | bool | list | dict) else {}
    if isinstance(value, Mapping) and value.get("changed") is False:
        return Done(state=StepState.OK, data=data)
    return Done(state=StepState.CHANGED, effect=Effect.CHANGED, data=data)
