"""Reasons that an option asks for: others will read them."""

from __future__ import annotations

from inventory.errors import Text, UsageError


def reason_given(words: str | None, option: str) -> str:
    """Return the reason that was given with an option, empty where there is none; raise UsageError for one without a word."""
    if words is not None and not words.strip():
        raise UsageError(
            Text("{option} needs a reason: it stands in every report", option=option), Text('{option} "REASON"', option=option)
        )
    return (words or "").strip()
