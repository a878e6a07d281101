"""What of an answer its script said itself: the lines that tell its sources apart, and say nothing of the host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_HEAD = re.compile(rb"@longarm ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_WELL = {"of", "ended", "count"}
"""What the end of a source of a Windows question is made of that was seen whole (`windows/asking.py`)."""


def words_of_the_host(lines: Iterable[bytes], first: bytes) -> list[bytes]:
    r"""Return those of some lines of an answer that its sources said; `first` is the first line of the answer's stdout.

    The marks of a script carry a number that `first` names (`parsing.py`): a line of a file that looks like one stays. An
    empty line before the end of a source is the mark's own.

    >>> mark = b"@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> head = b"@longarm " + mark[1:]
    >>> words_of_the_host([head, mark + b" source disk", b"91%", b"", mark + b" end 0", mark + b" absent x y"], head)
    [b'91%']
    >>> words_of_the_host([b'{"of":"os","it":{"Build":20348}}', b'{"of":"os","ended":"ok","count":1}'], b"")
    [b'{"of":"os","it":{"Build":20348}}']
    """
    if (head := _HEAD.fullmatch(first)) is None:
        return [line for line in lines if not _ends_well(line)]
    mark, said = b"@" + head[1] + b" ", list[bytes]()
    for line in lines:
        if line.startswith(mark + b"end ") and said and not said[-1]:
            said.pop()
        if line != first and not line.startswith(mark):
            said.append(line)
    return said


def _ends_well(line: bytes) -> bool:
    """Tell whether a line is the end of a source of a Windows question that was seen whole; one that failed says why."""
    if not line.startswith(b"{") or b'"ended"' not in line:
        return False
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == _WELL and document["ended"] == "ok"
