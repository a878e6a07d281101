"""Values with the type of each part: `==` takes an enum for its text, 1 for True, and leaves out where a host was declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def typed(value: Any) -> Any:
    """Return a value as a tree of types and contents; which kind of mapping one is does not count.

    >>> from inventory.host import BecomeMethod
    >>> typed((BecomeMethod.SU, {"a": 1}))
    ('tuple', [('BecomeMethod', 'su'), ('mapping', [('a', ('int', 1))])])
    """
    kind = type(value).__name__
    if is_dataclass(value):
        return kind, [(field.name, typed(getattr(value, field.name))) for field in fields(value)]
    if isinstance(value, Mapping):
        return "mapping", [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, tuple | list):
        return kind, [typed(item) for item in value]
    return kind, str(value) if isinstance(value, str) else value
