"""The JSON Schema of playbooks, made from the declarations: what editors complete and underline with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inventory.errors import Text
from playbooks.actions import ACTIONS
from playbooks.actions.row import Action
from playbooks.declared import CHECK, PARAM, PLAYBOOK, STEP
from playbooks.keys import ID_PATTERN, schema_of, schema_of_keys
from playbooks.model import Kind
from playbooks.params import TYPES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OF_STEPS: Final = ("steps", "risk")


def playbook_schema(say: Callable[[Text], str] = str) -> dict[str, Any]:
    """Return the schema of a playbook (JSON Schema 2020-12), described in the language that `say` speaks.

    >>> sorted(playbook_schema()["$defs"])
    ['check', 'param', 'step']
    """
    whole = schema_of_keys(PLAYBOOK, say)
    whole["properties"]["playbook"]["pattern"] = ID_PATTERN
    diagnostic = {"properties": {"kind": {"const": Kind.DIAGNOSTIC.value}}}
    return {
        "$schema": DIALECT,
        "title": "a playbook of longarm",
        **whole,
        "if": diagnostic,
        "then": {"required": ["checks"]},
        "else": {"required": list(_OF_STEPS)},
        "$defs": {
            "param": _param(say),
            "check": {"anyOf": [{"type": "string"}, schema_of_keys(CHECK, say)]},
            "step": {"oneOf": [_step(action, say) for action in ACTIONS.values()]},
        },
    }


def _param(say: Callable[[Text], str]) -> dict[str, Any]:
    kinds = [
        {
            "if": {"properties": {"type": {"const": row.type.value}}},
            "then": {"properties": {"default": dict(row.schema)}},
        }
        for row in TYPES.values()
    ]
    schema = schema_of_keys(PARAM, say, allOf=kinds)
    for key in ("default", "minimum", "maximum"):
        del schema["properties"][key]["type"]
    return schema


def _step(action: Action, say: Callable[[Text], str]) -> dict[str, Any]:
    keys = [key for key in STEP if key.name not in action.without]
    schema = schema_of_keys([action.main, *action.beside, *keys], say, title=action.name)
    if "retry" in schema["properties"]:
        schema["properties"]["retry"]["enum"] = [retry.value for retry in action.retries]
    if action.main.below and not any(key.required for key in action.main.below):
        schema["properties"][action.name] = {"anyOf": [schema_of(action.main, say), {"type": "null"}]}
    return {"description": say(action.says), **schema, "required": [action.name]}
