"""The plan of a playbook on one host: what each step would do, as far as anybody can know; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostics.expressions import Undecided
from diagnostics.probe import Probe
from inventory.errors import Text
from playbooks.actions import ACTIONS
from playbooks.actions.doing import Doing
from playbooks.frame import Frame, NotRead, names_item, read_value, too_many
from playbooks.model import Playbook, Retry, Step
from playbooks.params import BadParams, ParamValue, settled_params
from playbooks.ports import Change, Ports
from playbooks.results import GOOD, Forecast, StepPlan, StepResult
from playbooks.templates import NotRendered
from playbooks.values import NoValue
from remote.command import Command


async def foresee(
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    ports: Ports,
    probes: Mapping[str, Probe] | None = None,
) -> tuple[StepPlan, ...]:
    """Return what each step would do on the host as it is now; what only reads is done, for those that follow."""
    seer = _Seer(ports, probes or {})
    await seer.steps(playbook.steps, Frame(playbook, params, dict(facts), ports.hands.host), "")
    return tuple(seer.plans)


async def _refused(command: Command, diff: tuple[str, ...]) -> Change:
    raise AssertionError(f"a plan sends nothing that changes: {command.script[:60]} {diff[:1]}")


class _Seer:
    def __init__(self, ports: Ports, probes: Mapping[str, Probe]) -> None:
        self.ports, self.probes = ports, probes
        self.plans: list[StepPlan] = []

    async def steps(self, steps: tuple[Step, ...], frame: Frame, prefix: str) -> None:
        for index, step in enumerate(steps, 1):
            key = f"{prefix}s{index}"
            frame.forget("item")
            try:
                await self.step(step, frame, key)
            except Undecided as undecided:
                why = Text("depends on {what}, which only a run gives", what=undecided.why.detail)
                self.note(step, key, Forecast(changes=None, why=why))
            except (NotRendered, NoValue) as error:
                self.note(step, key, Forecast(changes=None, why=error.text))

    def note(self, step: Step, key: str, forecast: Forecast, *, skipped: bool = False) -> None:
        self.plans.append(StepPlan(key=key, name=step.name, action=step.action, forecast=forecast, skipped=skipped))

    async def step(self, step: Step, frame: Frame, key: str) -> None:
        about_items = names_item(step)
        if step.when is not None and not about_items and not frame.holds(step.when):
            self.note(step, key, Forecast(changes=False, why=Text("its condition does not hold")), skipped=True)
            return
        if step.loop is None:
            await self.instance(step, frame, key)
            return
        items = list(frame.evaluate(step.loop))
        if len(items) > step.at_most:
            self.note(step, key, Forecast(changes=None, why=too_many(step, len(items))))
            return
        if not items:
            self.note(step, key, Forecast(changes=False, why=Text("its loop has no items")), skipped=True)
        for number, item in enumerate(items, 1):
            frame.set("item", item)
            if about_items and step.when is not None and not frame.holds(step.when):
                why = Text("its condition does not hold")
                self.note(step, f"{key}.i{number}", Forecast(changes=False, why=why), skipped=True)
                continue
            await self.instance(step, frame, f"{key}.i{number}")

    async def instance(self, step: Step, frame: Frame, key: str) -> None:
        if step.action == "include":
            await self.include(step, frame, key)
            return
        doer = ACTIONS[step.action].doer
        assert doer is not None  # but for an include, which is not here
        values = frame.settled(step)
        doing = Doing(
            key=key,
            step=step,
            values=values,
            variables=frame.for_scripts(values),
            ports=self.ports,
            end_s=self.ports.clock.now_s() + step.deadline_s,
            send=_refused,
            probes=self.probes,
        )
        self.note(step, key, await doer.plan(doing))
        if step.action == "probe" or (step.action in ("run", "powershell") and step.retry is Retry.READ):
            done = await doer.perform(doing)
            frame.facts.update(done.facts)
            frame.set("facts", frame.facts)
            if step.register is not None and step.loop is None and done.state in GOOD:
                data = dict(done.data)
                if step.register.parse is not None:
                    try:
                        data["value"] = read_value(step.register, done.stdout)
                    except NotRead:
                        return  # what names it is undecided, and says so
                result = StepResult(
                    key=key,
                    name=step.name,
                    action=step.action,
                    state=done.state,
                    exit_status=done.exit_status,
                    stdout=done.stdout,
                    stderr=done.stderr,
                    data=data,
                )
                frame.keep(step.register, result.seen())

    async def include(self, step: Step, frame: Frame, key: str) -> None:
        playbook: Playbook = step.values["playbook"]
        try:
            params = settled_params(playbook.params, frame.given(step))
        except BadParams as error:
            self.note(step, key, Forecast(changes=None, why=error.text))
            return
        await self.steps(playbook.steps, Frame(playbook, params, frame.facts, self.ports.hands.host), f"{key}.")
        frame.set("facts", frame.facts)
