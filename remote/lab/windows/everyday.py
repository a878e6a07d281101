"""What a practice Windows host says beside its captures: that it is there, and what it runs; it has no files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from remote.answer import Answer, answered
from remote.command import EXTRACT, ORIGIN

_RELEASE = re.compile(rb'"Version":"(\d+\.\d+\.\d+)"')
_NO_FILE = answered(b"", stderr=b"RuntimeException 0x80131501 OperationStopped: LaFile 0x80070002", exit_status=1)


class Everyday(Mapping[str, Answer]):
    """The answers of a host: captured ones, then what any host can tell of itself, then that a question was not captured.

    `version`: of its PowerShell.
    """

    def __init__(self, captured: Mapping[str, Answer], version: str) -> None:
        self._captured = captured
        release = _RELEASE.search(captured["win.system"].stdout)
        system = f"{release[1].decode()}.0" if release else None
        told = {"Version": version, "System": system, "Mode": "FullLanguage"}
        self._own = {
            "ping": answered(b""),
            "doctor.nothing": answered(b"ok"),
            "doctor.shell": answered(json.dumps(told).encode()),
            ORIGIN: _NO_FILE,
            EXTRACT: _NO_FILE,
        }

    def __getitem__(self, question: str) -> Answer:
        if question in self._captured:
            return self._captured[question]
        missing = answered(b"", stderr=f"practice host: not captured: {question}".encode(), exit_status=1)
        return self._own.get(question, missing)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._captured, **self._own})

    def __len__(self) -> int:
        return len({*self._captured, *self._own})
