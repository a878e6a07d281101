"""Waiting: the same small question again and again, until it says yes or the step's deadline is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.doing import Doing, Done, not_answered
from playbooks.actions.native import NotThere, script
from playbooks.actions.service_state import look_at_service, read_service
from playbooks.results import Forecast, StepState
from remote.answer import Answer, Ended


class Wait:
    """Waits for a path, a port, a service or a script."""

    async def plan(self, doing: Doing) -> Forecast:  # noqa: ARG002 (a doer's)
        """Return that nothing is changed by waiting."""
        return Forecast(changes=False)

    async def perform(self, doing: Doing) -> Done:
        """Ask until it is so."""
        clock = doing.ports.clock
        began = clock.now_s()
        try:
            asked, variables = _question(doing)
        except NotThere as error:
            return Done(state=StepState.REFUSED, why=error.text)
        while True:
            answer = await doing.look(asked, variables)
            if answer.ended is Ended.NOT_RUN and answer.denied:
                return not_answered(answer) or Done(state=StepState.REFUSED)
            waited_s = round(clock.now_s() - began)
            if _is_so(doing, answer):
                return Done(state=StepState.OK, data={"waited_s": waited_s}, stdout=answer.stdout)
            if clock.now_s() + doing.step.every_s > doing.end_s:
                said = (answer.why or answer.stderr[:200].decode("utf-8", "backslashreplace")).strip()
                why = Text("it did not become so within {seconds} s", seconds=waited_s)
                if said:
                    why = Text("it did not become so within {seconds} s: {said}", seconds=waited_s, said=said)
                return Done(state=StepState.TIMED_OUT, data={"waited_s": waited_s}, why=why)
            await clock.sleep(doing.step.every_s)


def _question(doing: Doing) -> tuple[str, Mapping[str, Any] | None]:
    values, suffix = doing.values, "ps1" if doing.platform is Platform.WINDOWS else "sh"
    if values.get("path") is not None:
        return script(f"path_is.{suffix}"), {"path": values["path"]}
    if values.get("port") is not None:
        if not 0 < values["port"] < 65536:
            raise NotThere(Text("{port} is no port", port=values["port"]))
        return script(f"port_is.{suffix}"), {"port": values["port"]}
    if values.get("service") is not None:
        return look_at_service({"name": values["service"]}, doing.platform)
    return values["script"], None


def _is_so(doing: Doing, answer: Answer) -> bool:
    """Tell whether it is as the step waits for; no answer is no."""
    if answer.ended is not Ended.EXITED or answer.exit_status is None:
        return False
    gone = bool(doing.values.get("gone"))
    if doing.values.get("service") is not None:
        try:
            return (read_service(answer)["active"] == "yes") is not gone
        except ValueError:
            return False
    if answer.exit_status > 1:
        return False  # the question itself failed
    return (answer.exit_status == 0) is not gone
