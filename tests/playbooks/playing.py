"""Short playbooks for the tests of the interpreter: steps as YAML, ports that are fakes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostics.library import Library
from diagnostics.probe import Probe
from inventory.documents import parse_document
from playbooks.foresight import foresee
from playbooks.interpreter import play
from playbooks.load import read_playbook
from playbooks.model import Playbook
from playbooks.params import ParamValue, settled_params
from playbooks.ports import Ports
from playbooks.results import Played, StepPlan
from playbooks.testing import FakeClock, FakeHands, FakeJournal, FakeOperator, StepScript

HEAD = """\
playbook: short
title: {en: Short, ru: Короткий}
kind: repair
maintenance: corrective
tier: L2
risk: reversible
platforms: [linux]
"""


def short(steps: str, more: str = "", *, library: Library | None = None, folder: Path | None = None) -> Playbook:
    """Return a playbook of these steps."""
    return read_playbook(
        parse_document((HEAD + more + "steps:\n" + steps).encode(), "p.yaml"), "0" * 64, library, folder=folder
    )


def ports(hands: FakeHands, journal: FakeJournal | None = None, operator: FakeOperator | None = None, **more: Any) -> Ports:
    """Return fakes of all ports; a run over a journal that has lines is one that goes on."""
    journal = journal or FakeJournal()
    journal.goes_on()
    return Ports(
        run="run-0001",
        hands=hands,
        journal=journal,
        operator=operator or FakeOperator(),
        clock=FakeClock(),
        **more,
    )


def played(
    playbook: Playbook,
    hands: FakeHands | Mapping[str, StepScript],
    *,
    params: Mapping[str, ParamValue] | None = None,
    facts: Mapping[str, Any] | None = None,
    probes: Mapping[str, Probe] | None = None,
    **more: Any,
) -> Played:
    """Return what a playbook comes to."""
    host = hands if isinstance(hands, FakeHands) else FakeHands(script=hands)
    settled = settled_params(playbook.params, params or {})
    return asyncio.run(play(playbook, settled, facts or {}, ports(host, **more), probes))


def foreseen(
    playbook: Playbook,
    hands: FakeHands | Mapping[str, StepScript],
    *,
    params: Mapping[str, ParamValue] | None = None,
    facts: Mapping[str, Any] | None = None,
    **more: Any,
) -> tuple[StepPlan, ...]:
    """Return a playbook's plan."""
    host = hands if isinstance(hands, FakeHands) else FakeHands(script=hands)
    return asyncio.run(foresee(playbook, settled_params(playbook.params, params or {}), facts or {}, ports(host, **more)))


def states(steps: Played) -> dict[str, str]:
    """Return how each step ended, by key."""
    return {step.key: step.state.value for step in steps.steps}
