"""How a check ended on a host: exactly one of four, each with its reason (design rule 1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Could not see is not all clear, and not a failure either."""

    CLEAR = "clear"
    FINDING = "finding"
    NOT_APPLICABLE = "not_applicable"  # `why` says what is missing on this host, on purpose
    UNKNOWN = "unknown"  # applies, but could not be seen; `why` names the question and how it ended


class Severity(StrEnum):
    """How bad a finding is; `rank` orders them."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return 0 for info, 1 for warning, 2 for critical."""
        return ("info", "warning", "critical").index(self.value)


class Reason(StrEnum):
    """Why a check is not applicable or unknown; the reports put these into words."""

    PLATFORM = "platform"  # the check is for other platforms
    NOTHING_THERE = "nothing_there"  # the tool or file is not on this host
    DOES_NOT_APPLY = "does_not_apply"  # the check's own conditions leave this host, or everything on it, out
    NOT_EXPECTED = "not_expected"  # the inventory declares nothing that could be compared
    TIMED_OUT = "timed_out"
    CAPPED = "capped"
    LOST = "lost"
    NOT_RUN = "not_run"  # detail: why, e.g. sudo's refusal
    STATUS = "status"  # exited with an undeclared status; detail: which
    NOT_UNDERSTOOD = "not_understood"  # the parser did not understand the text
    SOURCE_FAILED = "source_failed"  # one source of the probe reported failure; detail: which and how
    MISSING_VALUE = "missing_value"  # an expression needed a value that the facts lack; detail: the path, and of which item
    NOT_COVERED = "not_covered"  # what was seen is not all that the check is about; detail: what would say that it is
    NOT_EVALUATED = "not_evaluated"  # an expression failed otherwise; detail: the engine's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The reason behind a verdict that is neither clear nor finding."""

    reason: Reason
    question: str = ""
    detail: str = ""
    """Hostile text: host output or an engine's message, to be shown as data only."""
