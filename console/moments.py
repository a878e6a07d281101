"""Moments to come, as people write them: how long from now, a day, or a day and a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from inventory.errors import Text, UsageError

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def moment_to_come(text: str, now: datetime) -> datetime:
    """Return the moment that is meant, or raise UsageError; a day means its end, and a time without a zone is UTC.

    >>> now = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
    >>> [f"{moment_to_come(text, now):%d %H:%M}" for text in ("2h", "2026-11-30", "2026-11-30 18:00+02:00")]
    ['30 06:00', '01 00:00', '30 16:00']
    """
    if span := _SPAN.fullmatch(text):
        return now + int(span[1]) * _UNITS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            moment += timedelta(days=1)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = Text("write {examples}", examples="2h, 3d, 2026-12-24, “2026-12-24 18:00” (UTC), “2026-12-24 18:00+03:00”")
        raise UsageError(Text("“{text}” is no moment", text=text), hint) from None
