"""What has to be there before a playbook is begun: whoever answers it, and what its actions run on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from inventory.errors import Text, UsageError
from playbooks.actions import ACTIONS
from playbooks.model import Playbook, Step
from playbooks.ports import Operator, comes_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What an earlier process of a run has behind it on one host: keys of its journal."""

    begun: frozenset[str] = frozenset()
    """Of all that it began; the ended ones too."""
    ended: frozenset[str] = frozenset()


_NOTHING: Final = (Passed(),)
"""Of a run that begins: nothing is behind it, wherever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A step, and where it stands."""

    step: Step
    key: str
    loop: str
    """The key of the outermost step that loops and that it is in, or is; empty: none."""
    undoes: bool = False

    def behind(self, passed: Passed) -> bool:
        """Tell whether a host does not come to it any more: it has ended there, or what comes after it was begun."""
        if not self.loop and self.key in passed.ended:
            return True
        if self.undoes:
            return False
        whole = self.loop or self.key
        return any(comes_after(one, whole) and not one.startswith(f"{whole}.") for one in passed.begun)


def refuse_unready(playbook: Playbook, operator: Operator, hosts: Sequence[Passed] = _NOTHING) -> None:
    """Raise UsageError where a step asks and nobody is there, and what an action says that this machine lacks.

    Half of a repair would be done before a step in its middle could say so. Of a run that goes on only those steps count
    that one of its `hosts` still comes to.
    """
    _refuse(_placed(playbook.steps), operator, hosts)


def refuse_unready_undoing(playbook: Playbook, operator: Operator, hosts: Sequence[Passed] = _NOTHING) -> None:
    """Raise the same for the steps by which a playbook is undone."""
    _refuse((one for one in _placed(playbook.steps) if one.undoes), operator, hosts)


def _refuse(steps: Iterable[_Placed], operator: Operator, hosts: Sequence[Passed]) -> None:
    for one in steps:
        step, action = one.step, ACTIONS[one.step.action]
        if all(one.behind(passed) for passed in hosts):
            continue
        if action.asks and not operator.present:
            text = Text(
                "{place}: step “{step}” asks somebody, and nobody is there to answer", place=str(step.place), step=step.name
            )
            raise UsageError(text, Text("begin it at a terminal, without --no-input"))
        if (lacking := action.lacking()) is not None:
            raise lacking


def _placed(steps: tuple[Step, ...], prefix: str = "", loop: str = "") -> Iterator[_Placed]:
    """Yield steps, what undoes them, and those of the playbooks that they include."""
    for index, step in enumerate(steps, 1):
        key = f"{prefix}s{index}"
        within = loop or (key if step.loop is not None else "")
        yield _Placed(step=step, key=key, loop=within)
        for nth, undoing in enumerate(step.rollback, 1):
            yield _Placed(step=undoing, key=f"{key}.r{nth}", loop=within, undoes=True)
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from _placed(inner.steps, f"{key}.", within)
