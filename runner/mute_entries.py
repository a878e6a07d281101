"""What `config.yaml` says of monitoring: which ways there are to keep it silent around a change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from inventory.egress import EgressFailed, origin_of
from inventory.errors import Place, Problem, Text
from inventory.fields import Fields
from inventory.host import SecretReference
from inventory.kept import KINDS
from inventory.nodes import Node
from inventory.sources.program import MAX_ARGUMENTS

_DEADLINE_S: Final = 15.0
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class HookKind(StrEnum):
    """How monitoring is told."""

    ALERTMANAGER = "alertmanager"  # a silence, API version 2
    URL = "url"  # a call over HTTP
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEntry:
    """One way to mute, as it is declared."""

    name: str
    kind: HookKind
    where: str
    """The address, or the whole path of the program."""
    stops: bool
    """Nothing is changed where it fails."""
    deadline_s: float
    place: Place
    token: SecretReference | None = None
    ca: Path | None = None
    label: str = "instance"
    """Of alerts, which holds the name of a host, perhaps with a port."""
    arguments: tuple[str, ...] = ()


def read_hooks(nodes: tuple[Node, ...], problems: list[Problem]) -> tuple[HookEntry, ...]:
    """Return the ways to mute of a list; mistakes are noted in `problems`."""
    entries: dict[str, HookEntry] = {}
    for node in nodes:
        entry = _entry(node, problems)
        if entry is not None and entry.name in entries:
            problems.append(Problem(place=entry.place, text=Text("two ways to mute are called “{name}”", name=entry.name)))
        elif entry is not None:
            entries[entry.name] = entry
    return tuple(entries.values())


def _entry(node: Node, problems: list[Problem]) -> HookEntry | None:
    before, fields = len(problems), Fields(node, problems, Text("a way to mute"))
    kinds = [kind for kind in HookKind if fields.has(kind.value)]
    if len(kinds) != 1:
        fields.problem(fields.place(), Text("one of {kinds} says how", kinds=", ".join(HookKind)))
        return None
    (kind,) = kinds
    ca, deadline_s = fields.text("ca") if kind is not HookKind.PROGRAM else None, fields.duration("deadline")
    entry = HookEntry(
        name=fields.text("name", required=True),
        kind=kind,
        where=_where(fields, kind),
        stops=fields.one_of("on_failure", ("stop", "go_on")) != "go_on",
        deadline_s=deadline_s or _DEADLINE_S,
        place=fields.place(),
        token=_token(fields) if kind is not HookKind.PROGRAM else None,
        ca=Path(ca) if ca else None,
        label=_label(fields) if kind is HookKind.ALERTMANAGER else "",
        arguments=_arguments(fields) if kind is HookKind.PROGRAM else (),
    )
    fields.done()
    return entry if len(problems) == before else None


def _where(fields: Fields, kind: HookKind) -> str:
    where = fields.text(kind.value, required=True)
    if kind is HookKind.PROGRAM:
        if not Path(where).is_absolute():
            fields.problem(fields.place(kind.value), Text("“{name}” is not the whole path of a program", name=where))
        return where
    try:
        origin_of(where)
    except EgressFailed as error:
        fields.problem(fields.place(kind.value), error.text, error.hint)
    return where


def _token(fields: Fields) -> SecretReference | None:
    if (named := fields.text("token")) is None:
        return None
    kind, _, value = named.partition(":")
    if kind not in KINDS or not value:
        text = Text("a secret is never written here: name where it is kept")
        fields.problem(fields.place("token"), text, Text("secret:NAME, env:NAME, file:PATH"))
    return SecretReference(kind=kind, value=value)


def _label(fields: Fields) -> str:
    label = fields.text("label") or "instance"
    if not _LABEL.fullmatch(label):
        fields.problem(fields.place("label"), Text("“{name}” is not the name of a label", name=label))
    return label


def _arguments(fields: Fields) -> tuple[str, ...]:
    arguments = fields.texts("arguments")
    if len(arguments) > MAX_ARGUMENTS:
        fields.problem(fields.place("arguments"), Text("more than {limit} arguments", limit=MAX_ARGUMENTS))
    return arguments
