"""The gate of a changing run: asked right before each host begins, it tells what keeps that host off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from inventory.errors import LongarmError, Text
from inventory.host import Host
from runner.desk_stops import freeze_over
from runner.host_run import Clock, HostRun
from runner.outcome import Outcome, when_kept_off
from runner.spread import BAD
from runner.store.errors import ChangesFrozen, HostHeld, HostInHand, HostLeased
from runner.store.port import Store


class TooManyFailed(LongarmError):
    """More hosts of a run ended badly than were allowed to; `bad` of them by now."""

    def __init__(self, bad: int, allowed: int) -> None:
        self.bad, self.allowed = bad, allowed
        text = Text("not begun: {bad} hosts have ended badly, {allowed} were allowed to", bad=bad, allowed=allowed)
        super().__init__(
            text, Text("once it is known why those did: longarm run retry RUN --only failed,unreachable,not_started")
        )


Still: TypeAlias = Callable[[Sequence[Host]], None]
"""Raises RoleRefused for hosts where whoever began a run may not do this any more."""


@dataclass(slots=True, kw_only=True)
class Gate:
    """What is asked of the store as it is now, and what this run itself has come to."""

    store: Store
    clock: Clock
    still: Still
    allowed: int | None = None
    """How many hosts may end badly; None: any number."""
    bad: int = 0
    """How many have by now, in earlier processes of the run too."""
    begun: frozenset[str] = frozenset()
    """The hosts on which an earlier process of the run began something: too many that ended badly do not keep these off."""
    shut: LongarmError | None = None
    """Why no host begins any more."""

    def __post_init__(self) -> None:
        self._shut_by_bad()

    def count(self, outcome: Outcome | None, kind: str) -> None:
        """Take note of how a host ended, in the very moment in which that is known."""
        self.bad += counts(outcome, kind)
        self._shut_by_bad()

    def _shut_by_bad(self) -> None:
        if self.allowed is not None and self.bad > self.allowed and self.shut is None:
            self.shut = TooManyFailed(self.bad, self.allowed)

    def held(self, host: Host) -> HostRun[Any] | None:
        """Return the end of a host that somebody holds now; None where nobody does."""
        why = self._held(host)
        return None if why is None else _kept_off(host, why)

    def passed(self, host: Host) -> HostRun[Any] | None:
        """Return the end of a host that may not begin now; None where nothing is in its way."""
        why = self.keeps_off(host)
        return None if why is None else _kept_off(host, why)

    def keeps_off(self, host: Host) -> LongarmError | None:
        """Return what keeps a host off now, None where nothing does."""
        if self.shut is not None and not (isinstance(self.shut, TooManyFailed) and host.name in self.begun):
            return self.shut
        if (row := freeze_over(self.store, host, self.clock())) is not None:
            return ChangesFrozen(row)
        try:
            self.still([host])
        except LongarmError as error:  # also where nobody can tell: the configuration is broken by now
            return error
        return self._held(host)

    def _held(self, host: Host) -> HostHeld | None:
        now = self.clock()
        holds = [row for row in self.store.holds([host.name]) if row.counts(now)]
        return HostHeld(holds) if holds else None


_IN_OTHER_HANDS: Final = frozenset(error.__name__ for error in (HostHeld, HostLeased, HostInHand))
"""What keeps a host off that nothing is wrong with."""


def counts(outcome: Outcome | None, kind: str) -> bool:
    """Tell whether a host that ended so, with an error of this kind, counts as one that ended badly."""
    return outcome in BAD and kind not in _IN_OTHER_HANDS


def _kept_off(host: Host, error: LongarmError) -> HostRun[Any]:
    kind = type(error).__name__
    return HostRun(host=host, outcome=when_kept_off(kind), error=error.text, hint=error.hint, error_kind=kind)
