"""What a practice Windows host says of times: as long ago as when its answers were taken, whenever it is asked.

A Windows question tells its host's own time, which is compared with ours. Answers that are a year old would all come from a
clock that is a year behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from remote.answer import Answer

_MOMENT = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{7}Z)"')
"""As PowerShell writes times for us: `ToString('o')` of a DateTime in UTC, in JSON."""


def now() -> datetime:
    """Return what time it is."""
    return datetime.now(UTC)


class Moved(Mapping[str, Answer]):
    """Answers whose times are moved by what has passed since they were taken, anew each time that one is looked up."""

    def __init__(self, answers: Mapping[str, Answer], taken: datetime, clock: Callable[[], datetime] = now) -> None:
        self._answers, self._taken, self._clock = answers, taken, clock

    def __getitem__(self, question: str) -> Answer:
        answer, passed = self._answers[question], self._clock() - self._taken

        def moved(match: re.Match[bytes]) -> bytes:
            moment = datetime.fromisoformat(match[1].decode() + "+00:00") + passed
            return b'"' + moment.strftime("%Y-%m-%dT%H:%M:%S").encode() + match[2] + b'"'

        return replace(answer, stdout=_MOMENT.sub(moved, answer.stdout))

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)
