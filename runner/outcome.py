"""The outcome algebra: how a host ended, and how a run adds up (design rule 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from diagnostics.verdict import Severity


class Outcome(StrEnum):
    """How one targeted host ended: exactly one of these."""

    OK = "ok"
    FINDINGS = "findings"
    INCOMPLETE = "incomplete"  # reached, but something that applies could not be seen
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"  # authentication, host key, policy; or nothing there by which a change could be done safely
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    NOT_STARTED = "not_started"

    @property
    def seen(self) -> bool:
        """Tell whether everything that applies on the host was seen."""
        return self in (Outcome.OK, Outcome.FINDINGS)


class RunKind(StrEnum):
    """What a run was begun for."""

    DIAGNOSE = "diagnose"
    COMMAND = "command"  # `host run`
    FILE = "file"  # `host get`
    TERMINAL = "terminal"  # `host shell`
    REPAIR = "repair"
    PLAN = "plan"  # `repair --plan`: changes nothing

    @property
    def resumable(self) -> bool:
        """Tell whether a run that was cut off can go on: it asks the hosts first, and repeats nothing that may not be."""
        return self in (RunKind.DIAGNOSE, RunKind.REPAIR)

    @property
    def changes(self) -> bool:
        """Tell whether a run may change its hosts: then holds and freezes keep it off."""
        return self.by_hand or self is RunKind.REPAIR

    @property
    def by_hand(self) -> bool:
        """Tell whether somebody does by it what nobody but they know: it may only look, and may change anything."""
        return self in (RunKind.COMMAND, RunKind.TERMINAL)


KEPT_OFF = frozenset(
    {
        *("HostLeased", "HostInHand", "HostConflicting", "HostHeld", "ChangesFrozen"),
        *("NotApproved", "OtherPlatform", "RoleRefused", "WorkedOnSince", "WorkedByHand", "UndoingRefused", "TargetChanged"),
    }
)
"""Kinds of errors by which longarm itself refuses a host: exit code 5."""
_SPOKEN_FOR = KEPT_OFF - {"ChangesFrozen", "RoleRefused"}
_OVER = frozenset({"NotApproved", "UndoingRefused", "WorkedByHand", "WorkedOnSince"})
"""What keeps from going on where something was begun, too: going on later would find the same."""


def when_kept_off(kind: str, *, begun: bool = False) -> Outcome:
    """Return how a host ends that a kind of error has kept off; `begun`: an earlier process of the run did something there.

    What was begun can go on later: it is never told as not begun, or somebody would begin it again.

    >>> [str(when_kept_off(kind)) for kind in ("HostHeld", "ChangesFrozen", "TooManyFailed")]
    ['refused', 'not_started', 'not_started']
    >>> [str(when_kept_off(kind, begun=True)) for kind in ("HostHeld", "ChangesFrozen", "WorkedOnSince", "OtherPlatform")]
    ['interrupted', 'interrupted', 'refused', 'interrupted']
    """
    if begun and kind not in _OVER:
        return Outcome.INTERRUPTED
    return Outcome.REFUSED if kind in _SPOKEN_FOR else Outcome.NOT_STARTED


class RunState(StrEnum):
    """Where a run stands; only ENDED runs have a report."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"  # its process is gone or was told to stop: `run resume` does the rest
    ENDED = "ended"


class FailOn(StrEnum):
    """The severity from which findings make the exit code 1."""

    WARNING = "warning"
    CRITICAL = "critical"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many of the targeted hosts ended how; the counts add up to `targeted`, always."""

    targeted: int
    counts: Mapping[Outcome, int] = field(hash=False)

    def __post_init__(self) -> None:
        if sum(self.counts.values()) != self.targeted:
            raise AssertionError(f"accounting: {self.targeted} targeted, {dict(self.counts)} accounted for")

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Coverage:
        """Return the coverage of hosts that ended so; every outcome has a count, zero included."""
        counts = Counter(outcomes)
        return cls(targeted=counts.total(), counts={outcome: counts[outcome] for outcome in Outcome})

    @property
    def seen(self) -> int:
        """Return how many hosts were seen completely."""
        return sum(count for outcome, count in self.counts.items() if outcome.seen)


def exit_code(
    outcomes: Iterable[Outcome],
    worst: Severity | None,
    fail_on: FailOn,
    *,
    interrupted: bool = False,
    kept_off: bool = False,
) -> int:
    """Return the exit code of a run by design.md's order: 130, 5, 4, 3, 1, 0; `kept_off`: we refused a host (`KEPT_OFF`).

    >>> exit_code([Outcome.OK, Outcome.REFUSED, Outcome.UNREACHABLE], None, FailOn.WARNING)
    4
    >>> exit_code([Outcome.FINDINGS], Severity.WARNING, FailOn.CRITICAL)
    0
    """
    ended = set(outcomes)
    if interrupted:
        return 130
    if kept_off:
        return 5
    if Outcome.REFUSED in ended:
        return 4
    if ended - {Outcome.OK, Outcome.FINDINGS, Outcome.FAILED}:
        return 3
    if Outcome.FAILED in ended:
        return 1
    if fail_on is not FailOn.NEVER and worst is not None and worst.rank >= Severity(fail_on.value).rank:
        return 1
    return 0
