"""What a host says of a detached command, in the words of the interpreter."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from playbooks.ports import Became, Change
from remote.detached import Reason, Standing, State

_BECAME: Final = {
    State.DONE: Became.DONE,
    State.FENCED: Became.FENCED,
    State.INTERRUPTED: Became.INTERRUPTED,
    State.UNKNOWN: Became.UNKNOWN,
    State.RUNNING: Became.UNKNOWN,  # nobody waited for its end
    State.UNANSWERED: Became.UNKNOWN,
}
_UNFIT: Final = frozenset({Reason.NO_PLACE, Reason.NO_TOOL})
_NEVER_ARRIVED: Final = frozenset({Reason.NOT_STARTED, Reason.NOT_BEGUN})


def change_of(standing: Standing) -> Change:
    """Return what became of a command that stands so; what is not certain to have run nothing is never NOT_BEGUN.

    >>> change_of(Standing(id="12345678", state=State.FAILED, reason=Reason.NOT_STARTED)).became
    <Became.NOT_BEGUN: 'not_begun'>
    """
    became = _became(standing)
    return Change(
        became=became,
        exit_status=standing.exit_status,
        stdout=standing.stdout,
        stderr=standing.stderr,
        duration_ms=standing.duration_ms,
        why=standing.words or (Text("{why}", why=standing.why) if standing.why else None),
        denied=standing.reason is Reason.DENIED,
        unfit=became is Became.NOT_BEGUN and standing.reason in _UNFIT,
        never_arrived=became is Became.NOT_BEGUN and standing.reason in _NEVER_ARRIVED,
    )


def _became(standing: Standing) -> Became:
    if standing.state is not State.FAILED:
        return _BECAME[standing.state]
    if standing.ran is False:
        return Became.NOT_BEGUN
    return Became.LATE if standing.reason is Reason.LATE else Became.UNKNOWN
