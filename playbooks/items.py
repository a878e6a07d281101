"""The items of loops as a journal keeps them: by them it is told, later, for which of them something was done."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from inventory.secret import MASKER

UNKNOWN: Final = object()
"""In the place of an item of which nobody can tell which it was."""
MOST_BYTES: Final = 16 * 1024
"""Of one item, and of all that the first line of a loop has of its list, as JSON."""
_NUMBER: Final = re.compile(r"\.i([1-9][0-9]*)(?:\.|$)")


def kept_item(item: Any) -> Any:
    """Return an item as a journal keeps it; UNKNOWN for what would not come back from there as it is, or is a secret in part.

    >>> kept_item({"unit": "nginx.service", "restarts": 3})
    {'unit': 'nginx.service', 'restarts': 3}
    >>> kept_item(b"bytes") is UNKNOWN
    True
    """
    try:
        kept = _plain(item)
        return kept if _size(kept) <= MOST_BYTES else UNKNOWN
    except TypeError:
        return UNKNOWN


def _plain(value: Any) -> Any:
    """Return a value made of texts, numbers, lists and mappings alone, with no secret in it; raises TypeError for any other."""
    match value:
        case None | bool():
            return value
        case str() | int() if MASKER.text(str(value)) == str(value):
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping() if all(isinstance(name, str) for name in value):
            return {_plain(name): _plain(below) for name, below in value.items()}
        case list() | tuple():
            return [_plain(below) for below in value]
    raise TypeError(type(value))


def _size(kept: Any) -> int:
    return len(json.dumps(kept))


def kept_list(key: str, items: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the first line of the loop at `key` keeps of its list: how long it is, and its items by their keys.

    And what does not fit there, which is kept with the first line of each item.

    >>> kept_list("s2", ["db01", b"bytes", "db02" * 5000, "db03"])
    ({'s2': 4, 's2.i1': 'db01', 's2.i4': 'db03'}, {})
    """
    first: dict[str, Any] = {key: len(items)}
    later: dict[str, Any] = {}
    left = MOST_BYTES
    for number, item in enumerate(items, 1):
        if (kept := kept_item(item)) is not UNKNOWN:
            left -= _size(kept)
            (first if left >= 0 else later)[f"{key}.i{number}"] = kept
    return first, later


def listed_items(key: str, keys: Collection[str], kept: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of the loop at `key` as its first process settled it, UNKNOWN where an item was not kept; None: none did.

    `keys` are those of all that was begun, `kept` what was kept of lists. A journal of an earlier release does not say how
    long a list was: UNKNOWN stands behind its items for whatever else was in it.

    >>> listed_items("s2", ["s2.i1"], {"s2": 2, "s2.i1": "db01", "s2.i2": "db02"})
    ['db01', 'db02']
    >>> listed_items("s2", ["s2.i1"], {}) == [UNKNOWN, UNKNOWN]
    True
    """
    begun = begun_of(key, keys)
    count = kept.get(key, begun + 1 if begun else None)
    return None if count is None else [kept.get(f"{key}.i{number}", UNKNOWN) for number in range(1, count + 1)]


def begun_of(key: str, keys: Collection[str]) -> int:
    """Return for how many items of the loop at `key` something was begun; `keys` are those of all that was.

    >>> begun_of("s2", ["s1", "s2.i1", "s2.i2.s1", "s20.i3"])
    2
    """
    behind = (one.removeprefix(key) for one in keys if one.startswith(f"{key}.i"))
    return max((int(found[1]) for one in behind if (found := _NUMBER.match(one))), default=0)
