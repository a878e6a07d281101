"""What the sources of a captured answer said, read from the marks that every script of the library writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from remote.answer import Answer

_MARK = re.compile(rb"@longarm ([0-9a-f-]{36})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one source of an answer said."""

    text: str
    words: str
    exit_status: int


def told(answer: Answer) -> dict[str, Told]:
    r"""Return the sources of an answer by name; those that were absent are not among them.

    >>> from remote.answer import answered
    >>> mark = "0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> told(answered(f"@longarm {mark}\n@{mark} source running\n6.1.0\n\n@{mark} end 0\n@{mark} absent x y\n".encode()))
    {'running': Told(text='6.1.0\n', words='', exit_status=0)}
    """
    words = {name: text for name, (text, _) in _sources(answer.stderr).items()}
    return {
        name: Told(text=text, words=words.get(name, ""), exit_status=status)
        for name, (text, status) in _sources(answer.stdout).items()
    }


def _sources(stream: bytes) -> dict[str, tuple[str, int]]:
    if not (head := _MARK.match(stream)):
        return {}
    mark = head[1].decode()
    pattern = rf"^@{mark} source ([^\n]+)\n(.*?)\n?^@{mark} end (\d+)$"
    rows = re.findall(pattern, stream.decode("utf-8", "replace"), re.MULTILINE | re.DOTALL)
    return {name: (text, int(status)) for name, text, status in rows}
