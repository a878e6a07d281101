"""What a playbook asks of who runs it, together with all that it includes: the greatest of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from playbooks.model import Playbook, Risk, Step, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """For whom it is, what it can do to a host, and by which names: whoever decides about it goes by these."""

    tier: Tier
    risk: Risk
    names: tuple[str, ...]
    """Its own and those of all that it includes, its own first."""
    conflicts: tuple[str, ...]
    """What none of them may meet on a host."""


def demands_of(playbook: Playbook) -> Demands:
    """Return what is asked by a playbook and all that it includes, whatever it says of itself."""
    every = (playbook, *included_in(playbook.steps))
    return Demands(
        tier=max((one.tier for one in every), key=[*Tier].index),
        risk=max((one.risk for one in every), key=[*Risk].index),
        names=tuple(dict.fromkeys(one.id for one in every)),
        conflicts=tuple(dict.fromkeys(name for one in every for name in one.conflicts)),
    )


def gives_variables(playbook: Playbook) -> bool:
    """Tell whether anything in a playbook is given the variables that the inventory has of a host: Ansible alone is."""
    every = (playbook, *included_in(playbook.steps))
    return any(step.action == "ansible" for one in every for step in one.steps)


def included_in(steps: tuple[Step, ...]) -> Iterator[Playbook]:
    """Yield the playbooks that steps include, and those that these include."""
    for step in steps:
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield inner
            yield from included_in(inner.steps)
