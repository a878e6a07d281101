"""Runs scenarios: the plan, the run and the verdicts on a scripted host, then every fault at every command that changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from diagnostics.check_tests import NoSuchCapture, load_capture
from diagnostics.diagnose import diagnose
from diagnostics.facts import fact_tree, facts_of
from diagnostics.library import Library
from inventory.errors import Text
from playbooks.attempts import REPEATABLE
from playbooks.foresight import foresee
from playbooks.interpreter import Player
from playbooks.model import Playbook, Step
from playbooks.params import BadParams, ParamValue, settled_params
from playbooks.ports import Ports
from playbooks.results import Effect, HostChange, Played, StepPlan, StepResult, StepState
from playbooks.scenario_files import Expected, Scenario
from playbooks.testing import CALL_FAULTS, FakeClock, FakeHands, FakeJournal, FakeOperator, FaultyHands, Unscripted
from playbooks.verdicts import FindingVerdict, claimed_checks, takes_back, verdicts

RUN = "scenario"


class Ended(Protocol):
    """How a repair ended on a host, scripted or real."""

    @property
    def steps(self) -> Sequence[StepResult]:
        """Return how its steps ended."""

    @property
    def undone(self) -> Sequence[StepResult]:
        """Return how those ended that undo them."""

    @property
    def change(self) -> HostChange:
        """Return what became of the host."""


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
        found = _verdicts(scenario, playbook, library)
        played, hands = _played(scenario, playbook, params, facts, library, found, _hands(scenario))
        problems += ended_otherwise(scenario.expected, played)
        problems += _judged(scenario, found)
        for at, key in enumerate(hands.touched, 1):
            for fault in _possible(scenario, key):
                faults += 1
                problems += _with_fault(scenario, playbook, params, facts, library, found, at, fault)
    except Unscripted as asked:
        where = Text("the host was asked what the scenario does not script: {key}, {what}", key=asked.key, what=asked.what)
        problems.append(where)
    except (BadParams, NoSuchCapture) as error:
        problems.append(error.text)
    return ScenarioResult(scenario=scenario, problems=tuple(problems), faults=faults)


def _possible(scenario: Scenario, key: str) -> Iterator[str]:
    """Yield what can become of a command, or of what is called on this machine, by the key of its step."""
    called = scenario.script[key].call is not None
    yield from (fault for fault in scenario.faults if not called or fault in CALL_FAULTS)


def _hands(scenario: Scenario) -> FakeHands:
    return FakeHands(script=scenario.script, answers=scenario.probes, host=scenario.host)


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
    hands = _hands(scenario)
    plans = asyncio.run(foresee(playbook, params, facts, _ports(scenario, hands), library.probes))
    yield from planned_otherwise(scenario.expected, plans)
    if hands.touched:
        yield Text("the plan changed something: {key}", key=hands.touched[0])


def planned_otherwise(expected: Expected, plans: Iterable[StepPlan]) -> Iterator[Text]:
    """Yield what a plan says otherwise than expected."""
    by_key = {plan.key: plan for plan in plans}
    for key, wanted in expected.plan.items():
        found = by_key.get(key)
        told = "nothing at all" if found is None else word_of(found)
        if told != wanted:
            why = "" if found is None or found.forecast.why is None else f": {found.forecast.why}"
            yield Text("the plan of {key} says {told}, not {wanted}{why}", key=key, told=told, wanted=wanted, why=why)


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
    found: Sequence[FindingVerdict],
    hands: FakeHands,
) -> tuple[Played, FakeHands]:
    """Return what a playbook comes to on a host, that it takes back what is not proved included."""

    async def seen_through() -> Played:
        player = Player(playbook, params, facts, _ports(scenario, hands), library.probes)
        played = await player.play()
        return await player.undo() if takes_back(playbook, played, found, left=player.left) else played

    return asyncio.run(seen_through()), hands


def ended_otherwise(expected: Expected, played: Ended) -> Iterator[Text]:
    """Yield what ended otherwise than expected."""
    for wanted, steps in ((expected.steps, played.steps), (expected.undone, played.undone)):
        found = {step.key: step for step in steps}
        for key, state in wanted.items():
            told = found[key].state.value if key in found else "not done"
            if told != state:
                why = "" if key not in found or found[key].why is None else f": {found[key].why}"
                yield Text("{key} ended {told}, not {wanted}{why}", key=key, told=told, wanted=state, why=why)
    if expected.change is not None and played.change.value != expected.change:
        yield Text("the host is {told}, not {wanted}", told=played.change.value, wanted=expected.change)


def _verdicts(scenario: Scenario, playbook: Playbook, library: Library) -> tuple[FindingVerdict, ...]:
    """Return what became of the findings of a scenario by its evidence; nothing where it has none."""
    if scenario.before is None or not scenario.after:
        return ()
    checks = tuple(dict.fromkeys((*claimed_checks(playbook), *scenario.expected.verdicts)))
    before, *after = (_diagnosed(path, checks, library) for path in (scenario.before, *scenario.after))
    return verdicts(before, after, checks)


def _judged(scenario: Scenario, found: Sequence[FindingVerdict]) -> Iterator[Text]:
    if not scenario.expected.verdicts or (scenario.real is not None and scenario.before is None):
        return  # only a real host can tell
    if scenario.before is None or not scenario.after:
        yield Text("verdicts need evidence from before and after")
        return
    yield from judged_otherwise(scenario.expected, found)


def judged_otherwise(expected: Expected, found: Sequence[FindingVerdict]) -> Iterator[Text]:
    """Yield what became of findings otherwise than expected."""
    for check, fix in expected.verdicts.items():
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
    found: Sequence[FindingVerdict],
    at: int,
    fault: str,
) -> Iterator[Text]:
    """Yield what a playbook does wrong when one of its commands becomes something else: what holds for every playbook."""
    hands = FaultyHands(script=scenario.script, answers=scenario.probes, host=scenario.host, at=at, fault=fault)
    played, _ = _played(scenario, playbook, params, facts, library, found, hands)
    key, after = hands.touched[at - 1], hands.touched[at:]
    step = _step_of(key, playbook.steps)
    sent = [ident for ident, _ in hands.sent]
    if len(set(sent)) != len(sent):
        yield Text("{fault} at {key}: a command was sent twice under one id", fault=fault, key=key)
    again = key in after
    if again and (step is None or step.retry not in REPEATABLE):
        yield Text("{fault} at {key}: what is never repeated was sent again", fault=fault, key=key)
    ends = fault == "fenced" or (fault in ("lost", "reboot") and (step is None or step.retry not in REPEATABLE))
    if ends and not again and after and (step is None or step.action != "reboot"):
        yield Text("{fault} at {key}: something was done after it", fault=fault, key=key)
    open_end = any(one.key == key and one.state in (StepState.UNKNOWN, StepState.INTERRUPTED) for one in played.steps)
    if open_end and played.change is not HostChange.UNKNOWN:
        yield Text("{fault} at {key}: the host is said to be {change}", fault=fault, key=key, change=played.change.value)
    if fault in ("fenced", "denied") and any(one.key == key and one.effect is not Effect.NONE for one in played.steps):
        yield Text("{fault} at {key}: it is said to have changed something", fault=fault, key=key)


def _step_of(key: str, steps: tuple[Step, ...]) -> Step | None:
    """Return the step of a key, that of a rollback too."""
    head, _, rest = key.partition(".")
    step = steps[int(head[1:]) - 1]
    if rest.startswith("i"):
        rest = rest.partition(".")[2]
    if rest.startswith("r"):
        return step.rollback[int(rest[1:]) - 1]
    inner = step.values.get("playbook")
    if not rest:
        return step
    return _step_of(rest, inner.steps) if isinstance(inner, Playbook) else None
