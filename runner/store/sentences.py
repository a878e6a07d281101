"""Sentences for people as JSON and back: the template stays a template, what it is filled with is masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.errors import Text
from inventory.secret import MASKER


def text_to_json(text: Text | None) -> dict[str, Any] | None:
    """Return a sentence as plain JSON values.

    >>> text_to_json(Text("{host} is {state}", host="db1", state=Text("gone")))
    {'template': '{host} is {state}', 'params': {'host': 'db1', 'state': {'template': 'gone', 'params': {}}}}
    """
    if text is None:
        return None
    return {"template": text.template, "params": {name: _plain(value) for name, value in text.params.items()}}


def text_from_json(value: Mapping[str, Any] | None) -> Text | None:
    """Return the sentence that was kept.

    >>> str(text_from_json({"template": "{host} is gone", "params": {"host": "db1"}}))
    'db1 is gone'
    """
    return None if value is None else _text(value)


def as_kept(text: Text | None) -> Text | None:
    """Return a sentence as it comes back from the store: masked, with plain parameters."""
    return text_from_json(text_to_json(text))


def _plain(value: object) -> object:
    match value:
        case Text():
            return text_to_json(value)
        case None | bool() | int() | float():
            return value
        case _:
            return MASKER.text(str(value))


def _text(value: Mapping[str, Any]) -> Text:
    params = {name: _text(param) if isinstance(param, dict) else param for name, param in value["params"].items()}
    return Text(value["template"], **params)
