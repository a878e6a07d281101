"""A part of a file on a Windows host, as questions, and what stood in the way of it."""

from __future__ import annotations

import re
from typing import Final

from inventory.errors import Text
from remote.answer import Answer
from remote.files.transfer import WORDS, Reason
from remote.question import Privilege, Question
from remote.windows.bundle import SHELL, fixed
from remote.windows.file_lines import HRESULTS

_NUMBER: Final = re.compile(rb"\bLaFile 0x([0-9A-F]{8})\b")
_PATTERN: Final = b"LaPattern "
_DIRECTORY: Final = 0x80070010
_ORIGIN_S: Final = 20


def origin_question(id_: str, path: str, privilege: Privilege) -> Question:
    """Return what asks for where a file is from."""
    return Question(
        id=id_,
        script=fixed("origin"),
        shell=SHELL,
        deadline_s=_ORIGIN_S,
        max_bytes=8192,
        privilege=privilege,
        variables=(("path", path),),
    )


def extract_question(
    id_: str, path: str, *, last: int | None, pattern: str, max_bytes: int, deadline_s: int, privilege: Privilege
) -> Question:
    """Return what asks for lines of a file; `pattern` is a regular expression of .NET."""
    wanted = {"path": path, "most": str(max_bytes), "last": "" if last is None else str(last), "pattern": pattern}
    return Question(
        id=id_,
        script=fixed("extract"),
        shell=SHELL,
        deadline_s=deadline_s,
        max_bytes=max_bytes + 1,
        privilege=privilege,
        variables=tuple(wanted.items()),
    )


def trouble_on_windows(answer: Answer) -> Text | None:
    """Return why an extract that ended with an error is none; None where it did not come from Windows."""
    if _PATTERN in answer.stderr:
        return Text("the host does not understand the pattern")
    if (match := _NUMBER.search(answer.stderr)) is None:
        return None
    number = int(match[1], 16)
    reason = Reason.IS_DIRECTORY if number == _DIRECTORY else HRESULTS.get(number)
    return WORDS[reason] if reason else Text("{reason}: {detail}", reason=WORDS[Reason.OTHER], detail=f"0x{number:08X}")
