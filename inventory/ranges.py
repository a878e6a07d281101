"""Ranges in host names and addresses: `web[01:20]`, `rack[a:c]-[1:4]`, `web[01:20:2]`.

>>> expand_range("web[08:10]")
('web08', 'web09', 'web10')
>>> expand_range("rack[a:b]-[1:5:2]")
('racka-1', 'racka-3', 'racka-5', 'rackb-1', 'rackb-3', 'rackb-5')
"""

from __future__ import annotations

import itertools
import math
import re

from inventory.errors import Text
from inventory.names import BadName, shown

MAX_EXPANDED = 100_000
"""So many names may one pattern stand for."""
MAX_PATTERN = 1_000
"""So many characters may a pattern have: each of its names is as long."""

_RANGE = re.compile(r"\[(?:([0-9]{1,9}):([0-9]{1,9})|([a-z]):([a-z])|([A-Z]):([A-Z]))(?::([1-9][0-9]{0,5}))?\]")


def expand_range(text: str) -> tuple[str, ...]:
    """Return all the names that a text with ranges stands for, the last range running fastest; raise BadName.

    Numbers are filled with zeros to the width of the first one. A text without a range stands
    for itself; brackets that are no range stay, for the constructor of the name to refuse.
    """
    if len(text) > MAX_PATTERN:
        raise BadName(text, Text("“{name}” has not 1 to {limit} characters", name=shown(text), limit=MAX_PATTERN))
    choices: list[tuple[str, ...]] = []
    last = 0
    for match in _RANGE.finditer(text):
        choices += [(text[last : match.start()],), _values(text, match)]
        last = match.end()
    if math.prod(map(len, choices)) > MAX_EXPANDED:
        raise BadName(text, Text("“{name}” stands for more than {limit} names", name=shown(text), limit=MAX_EXPANDED))
    return tuple("".join(parts) for parts in itertools.product(*choices, (text[last:],)))


def _values(text: str, match: re.Match[str]) -> tuple[str, ...]:
    first, last = (part for part in match.groups()[:-1] if part is not None)
    start, stop = (int(first), int(last)) if first.isdigit() else (ord(first), ord(last))
    numbers = range(start, stop + 1, int(match[7] or 1))
    if not numbers:
        raise BadName(text, Text("“{name}” has a range that ends before it begins", name=shown(text)))
    if len(numbers) > MAX_EXPANDED:
        raise BadName(text, Text("“{name}” stands for more than {limit} names", name=shown(text), limit=MAX_EXPANDED))
    if not first.isdigit():
        return tuple(map(chr, numbers))
    return tuple(str(number).zfill(len(first)) for number in numbers)
