"""The plan of a playbook on one host: what each step would do, as far as anybody can know; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from diagnostics.expressions import Undecided
from diagnostics.probe import Probe
from inventory.errors import Text
from playbooks.actions import ACTIONS
from playbooks.actions.doing import Doing, Done
from playbooks.frame import Frame, NotRead, names_item, read_value, too_many
from playbooks.keys import Script
from playbooks.model import OnFailure, Playbook, Retry, Step
from playbooks.params import BadParams, ParamValue, settled_params
from playbooks.ports import Change, Ports
from playbooks.results import GOOD, Forecast, StepPlan, StepResult
from playbooks.templates import NotRendered
from playbooks.values import NoValue, for_sh, mentioned
from remote.command import Command


async def foresee(
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    ports: Ports,
    probes: Mapping[str, Probe] | None = None,
) -> tuple[StepPlan, ...]:
    """Return what each step would do on the host as it is now; what only reads is done, for those that follow."""
    seer = Seer(ports, probes or {})
    await seer.steps(playbook.steps, Frame(playbook, params, dict(facts), ports.hands.host), "")
    return tuple(seer.plans)


async def _refused(command: Command, diff: tuple[str, ...]) -> Change:
    raise AssertionError(f"a plan sends nothing that changes: {command.script[:60]} {diff[:1]}")


def _script(step: Step, frame: Frame) -> tuple[str, dict[str, str]]:
    """Return the script of a step and the variables that it mentions, as it gets them; of secrets nothing is shown."""
    script = step.values.get(step.action)
    if not isinstance(script, Script):
        return "", {}
    try:
        values = frame.settled(step)
    except (Undecided, NotRendered):
        values = {}  # its `vars` are not known before the run; the parameters are
    truth = ("$false", "$true") if step.action == "powershell" else ("", "1")
    given = mentioned(script.text, frame.for_scripts(values), any_case=step.action == "powershell")
    return script.text, {name: _shown(value, truth) for name, value in given.items()}


def _shown(value: Any, truth: tuple[str, str]) -> str:
    """Return a value as the script gets it; `truth` is what it gets for no and yes."""
    try:
        word = for_sh(value)
        return truth[word] if isinstance(word, bool) else str(word)
    except NoValue as error:
        return str(error)


class Seer:
    """Foresees steps on one host, one after the other."""

    def __init__(self, ports: Ports, probes: Mapping[str, Probe]) -> None:
        self.ports, self.probes = ports, probes
        self.plans: list[StepPlan] = []
        self.undoes = ""
        self.stopped = False
        """Whether a run would end here, so that nothing of what follows is foreseen."""

    async def steps(self, steps: tuple[Step, ...], frame: Frame, prefix: str) -> None:
        """Plan steps in their order."""
        for index, step in enumerate(steps, 1):
            frame.forget("item")
            await self.foresee(step, frame, f"{prefix}s{index}")

    async def foresee(self, step: Step, frame: Frame, key: str, *, undoes: str = "") -> None:
        """Plan one step; `undoes` names the step that it would undo."""
        self.undoes, before = undoes, len(self.plans)
        if self.stopped:
            return
        try:
            await self.step(step, frame, key)
        except Undecided as undecided:
            why = Text("depends on {what}, which only a run gives", what=undecided.why.detail)
            self.note(step, frame, key, Forecast(changes=None, why=why))
        except (NotRendered, NoValue) as error:
            self.note(step, frame, key, Forecast(changes=None, why=error.text))
        kept_off = [plan.key for plan in self.plans[before:] if plan.skipped] == [key]
        if step.register is not None and step.register.name not in frame.results and not kept_off:
            frame.unsure.add(step.register.name)

    def note(self, step: Step, frame: Frame, key: str, forecast: Forecast, *, skipped: bool = False) -> None:
        """Keep what a step would do, with its script as it would be run."""
        script, variables = _script(step, frame)
        self.plans.append(
            StepPlan(
                key=key,
                name=step.name,
                action=step.action,
                forecast=forecast,
                skipped=skipped,
                script=script,
                variables=variables,
                undoes=self.undoes,
            )
        )

    async def step(self, step: Step, frame: Frame, key: str) -> None:
        """Plan a step for each item where it loops; raises what keeps anybody from telling."""
        about_items = names_item(step)
        if step.when is not None and not about_items and not frame.holds(step.when):
            self.note(step, frame, key, Forecast(changes=False, why=Text("its condition does not hold")), skipped=True)
            return
        if step.loop is None:
            await self.instance(step, frame, key)
            return
        items = list(frame.evaluate(step.loop))
        if len(items) > step.at_most:
            self.note(step, frame, key, Forecast(changes=None, why=too_many(step, len(items))))
            return
        if not items:
            self.note(step, frame, key, Forecast(changes=False, why=Text("its loop has no items")), skipped=True)
            if step.register is not None:
                frame.keep(step.register, {"items": [], "changed": False})
        for number, item in enumerate(items, 1):
            frame.set("item", item)
            if about_items and step.when is not None and not frame.holds(step.when):
                why = Text("its condition does not hold")
                self.note(step, frame, f"{key}.i{number}", Forecast(changes=False, why=why), skipped=True)
                continue
            await self.instance(step, frame, f"{key}.i{number}")

    async def instance(self, step: Step, frame: Frame, key: str) -> None:
        """Plan a step once; what only reads is done, for those that follow."""
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
        self.note(step, frame, key, await doer.plan(doing))
        if step.action == "probe" or (step.action in ("run", "powershell") and step.retry is Retry.READ):
            done = await doer.perform(doing)
            frame.facts.update(done.facts)
            frame.set("facts", frame.facts)
            if step.until is not None:  # a run waits for it: what is seen now is not what it goes on with
                return
            if done.state not in GOOD and step.on_failure is not OnFailure.CONTINUE:
                self.fails(done)
                return
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

    def fails(self, done: Done) -> None:
        """Keep that a look fails: a run would end there, unless what it does before makes that another one."""
        reason = done.why or done.state.value
        if all(plan.forecast.changes is False for plan in self.plans[:-1]):
            forecast = Forecast(changes=False, why=Text("the run would end here: {reason}", reason=reason))
            self.stopped = True
        else:
            forecast = Forecast(
                changes=None, why=Text("it fails as long as nothing before it is done: {reason}", reason=reason)
            )
        self.plans[-1] = replace(self.plans[-1], forecast=forecast)

    async def include(self, step: Step, frame: Frame, key: str) -> None:
        """Plan the steps of another playbook."""
        playbook: Playbook = step.values["playbook"]
        try:
            params = settled_params(playbook.params, frame.given(step))
        except BadParams as error:
            self.note(step, frame, key, Forecast(changes=None, why=error.text))
            return
        await self.steps(playbook.steps, Frame(playbook, params, frame.facts, self.ports.hands.host), f"{key}.")
        self.stopped = self.stopped and step.on_failure is not OnFailure.CONTINUE
        frame.set("facts", frame.facts)
