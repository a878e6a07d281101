"""Runs scenarios: the plan, the run and the verdicts on a scripted host, then every fault at every command that changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diagnostics.check_tests import NoSuchCapture, load_capture
from diagnostics.diagnose import diagnose
from diagnostics.facts import fact_tree, facts_of
from diagnostics.library import Library
from inventory.errors import Text
from playbooks.foresight import foresee
from playbooks.interpreter import REPEATABLE, play
from playbooks.model import Playbook, Step
from playbooks.params import BadParams, ParamValue, settled_params
from playbooks.ports import Ports
from playbooks.results import Effect, HostChange, Played, StepPlan, StepState
from playbooks.scenario_files import Scenario
from playbooks.testing import FakeClock, FakeHands, FakeJournal, FakeOperator, FaultyHands, Unscripted
from playbooks.verdicts import verdicts

RUN = "scenario"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """How one scenario ended."""

    scenario: Scenario
    problems: tuple[Text, ...]
    """What is not as expected; empty: all is."""
    faults: int
    """How many faults were tried."""


def run_scenario(scenario: Scenario, playbook: Playbook, library: Library) -> ScenarioResult:
    """Return how a scenario ends: milliseconds, no network, no waiting."""
    problems: list[Text] = []
    faults = 0
    try:
        params = settled_params(playbook.params, scenario.params)
        facts = _facts(scenario, playbook, library)
        problems += _planned(scenario, playbook, params, facts, library)
        played = _played(scenario, playbook, params, facts, library, FakeHands(script=scenario.script, host=scenario.host))
        problems += _compared(scenario, played[0])
        problems += _verdicts(scenario, playbook, library)
        for at in range(1, len(played[1].sent) + 1):
            for fault in scenario.faults:
                faults += 1
                problems += _with_fault(scenario, playbook, params, facts, library, at, fault)
    except Unscripted as asked:
        where = Text("the host was asked what the scenario does not script: {key}, {what}", key=asked.key, what=asked.what)
        problems.append(where)
    except (BadParams, NoSuchCapture) as error:
        problems.append(error.text)
    return ScenarioResult(scenario=scenario, problems=tuple(problems), faults=faults)


def _ports(scenario: Scenario, hands: FakeHands) -> Ports:
    return Ports(run=RUN, hands=hands, journal=FakeJournal(), operator=FakeOperator(scenario.operator), clock=FakeClock())


def _facts(scenario: Scenario, playbook: Playbook, library: Library) -> dict[str, Any]:
    """Return the facts of a scenario: those of its evidence, and over these the ones that it gives itself."""
    if scenario.before is None:
        return dict(scenario.facts)
    evidence, _ = load_capture(scenario.before)
    found = fact_tree({name: facts_of(library.probes[name], evidence.answers) for name in playbook.needs})
    return {**found, **scenario.facts}


def _planned(
    scenario: Scenario, playbook: Playbook, params: Mapping[str, ParamValue], facts: Mapping[str, Any], library: Library
) -> Iterator[Text]:
    if not scenario.expected.plan:
        return
    hands = FakeHands(script=scenario.script, host=scenario.host)
    plans = {plan.key: plan for plan in asyncio.run(foresee(playbook, params, facts, _ports(scenario, hands), library.probes))}
    for key, wanted in scenario.expected.plan.items():
        found = plans.get(key)
        told = "nothing at all" if found is None else word_of(found)
        if told != wanted:
            why = "" if found is None or found.forecast.why is None else f": {found.forecast.why}"
            yield Text("the plan of {key} says {told}, not {wanted}{why}", key=key, told=told, wanted=wanted, why=why)
    if hands.sent:
        yield Text("the plan changed something: {key}", key=hands.sent[0][0])


def word_of(plan: StepPlan) -> str:
    """Return what a plan says of a step in one word.

    >>> from playbooks.results import Forecast
    >>> word_of(StepPlan(key="s1", name="a", action="run", forecast=Forecast(changes=None)))
    'unpredictable'
    """
    if plan.skipped:
        return "skipped"
    return {True: "change", False: "nothing", None: "unpredictable"}[plan.forecast.changes]


def _played(
    scenario: Scenario,
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    library: Library,
    hands: FakeHands,
) -> tuple[Played, FakeHands]:
    return asyncio.run(play(playbook, params, facts, _ports(scenario, hands), library.probes)), hands


def _compared(scenario: Scenario, played: Played) -> Iterator[Text]:
    expected = scenario.expected
    for wanted, steps in ((expected.steps, played.steps), (expected.undone, played.undone)):
        found = {step.key: step for step in steps}
        for key, state in wanted.items():
            told = found[key].state.value if key in found else "not done"
            if told != state:
                why = "" if key not in found or found[key].why is None else f": {found[key].why}"
                yield Text("{key} ended {told}, not {wanted}{why}", key=key, told=told, wanted=state, why=why)
    if expected.change is not None and played.change.value != expected.change:
        yield Text("the host is {told}, not {wanted}", told=played.change.value, wanted=expected.change)


def _verdicts(scenario: Scenario, playbook: Playbook, library: Library) -> Iterator[Text]:
    wanted = scenario.expected.verdicts
    if not wanted:
        return
    if scenario.before is None or not scenario.after:
        yield Text("verdicts need evidence from before and after")
        return
    checks = tuple(dict.fromkeys((*playbook.fixes, *(playbook.verify.checks if playbook.verify else ()), *wanted)))
    before, *after = (_diagnosed(path, checks, library) for path in (scenario.before, *scenario.after))
    found = verdicts(before, after, checks)
    for check, fix in wanted.items():
        told = sorted({one.fix.value for one in found if one.check == check})
        if told != [fix]:
            yield Text(
                "the verdict on {check} is {told}, not {wanted}", check=check, told=", ".join(told) or "none", wanted=fix
            )


def _diagnosed(path: Path, checks: tuple[str, ...], library: Library) -> Any:
    evidence, context = load_capture(path)
    return diagnose(evidence, replace(context, checks=checks, library_digest=library.digest), library).results


def _with_fault(
    scenario: Scenario,
    playbook: Playbook,
    params: Mapping[str, ParamValue],
    facts: Mapping[str, Any],
    library: Library,
    at: int,
    fault: str,
) -> Iterator[Text]:
    """Yield what a playbook does wrong when one of its commands becomes something else: what holds for every playbook."""
    hands = FaultyHands(script=scenario.script, host=scenario.host, at=at, fault=fault)
    played, _ = _played(scenario, playbook, params, facts, library, hands)
    key = hands.sent[at - 1][0].split(".", 1)[1].rpartition(".")[0]
    step = _step_of(key, playbook.steps)
    sent = [ident for ident, _ in hands.sent]
    if len(set(sent)) != len(sent):
        yield Text("{fault} at {key}: a command was sent twice under one id", fault=fault, key=key)
    again = [ident for ident in sent[at:] if ident.split(".", 1)[1].rpartition(".")[0] == key]
    if again and (step is None or step.retry not in REPEATABLE):
        yield Text("{fault} at {key}: what is never repeated was sent again", fault=fault, key=key)
    ends = fault == "fenced" or (fault in ("lost", "reboot") and (step is None or step.retry not in REPEATABLE))
    if ends and not again and len(sent) > at and (step is None or step.action != "reboot"):
        yield Text("{fault} at {key}: something was done after it", fault=fault, key=key)
    open_end = any(one.key == key and one.state in (StepState.UNKNOWN, StepState.INTERRUPTED) for one in played.steps)
    if open_end and played.change is not HostChange.UNKNOWN:
        yield Text("{fault} at {key}: the host is said to be {change}", fault=fault, key=key, change=played.change.value)
    if fault in ("fenced", "denied") and any(one.key == key and one.effect is not Effect.NONE for one in played.steps):
        yield Text("{fault} at {key}: it is said to have changed something", fault=fault, key=key)


def _step_of(key: str, steps: tuple[Step, ...]) -> Step | None:
    """Return the step of a key, None for one of a rollback."""
    head, _, rest = key.partition(".")
    step = steps[int(head[1:]) - 1]
    if not rest or rest.startswith("i"):
        return step
    inner = step.values.get("playbook")
    return _step_of(rest, inner.steps) if isinstance(inner, Playbook) else None
