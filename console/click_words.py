"""Click's complaints as sentences of ours: it has English ones only, and tells what is wrong by its words alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import click

from inventory.errors import Text

Kind = click.ParamType[Any] | None
Told = Callable[[str, Kind], Text]
_QUOTED = r"(?P<quoted>'.*'|\".*\")"
"""As `repr` writes a text."""


def _out_of_range(value: str, kind: Kind) -> Text:
    least, most = (None if bound is None else str(bound) for bound in (getattr(kind, "min", None), getattr(kind, "max", None)))
    if least is not None and most is not None:
        return Text("{value} is not from {least} to {most}", value=value, least=least, most=most)
    if least is not None:
        return Text("{value} is less than {least}", value=value, least=least)
    return Text("{value} is more than {most}", value=value, most=most)


def _none_of(value: str, kind: Kind) -> Text:
    choices = kind.choices if isinstance(kind, click.Choice) else ()
    return Text("{word} is none of {words}", word=value, words=", ".join(map(str, choices)))


_TOLD: tuple[tuple[str, Told], ...] = (
    (r"(?P<it>.+) is not in the range .+\.", _out_of_range),
    (rf"{_QUOTED} is not a valid integer( range)?\.", lambda it, _: Text("“{value}” is no whole number", value=it)),
    (rf"{_QUOTED} is not a valid float( range)?\.", lambda it, _: Text("“{value}” is no number", value=it)),
    (rf"{_QUOTED} is not (one of )?'.+'\.", _none_of),
    (rf"(File|Directory|Path) {_QUOTED} does not exist\.", lambda it, _: Text("{path} does not exist", path=it)),
    (rf"(File|Directory|Path) {_QUOTED} is a file\.", lambda it, _: Text("{path} is a file, not a folder", path=it)),
    (
        rf"(File|Directory|Path) {_QUOTED} is a directory\.",
        lambda it, _: Text("{path} is a folder, not a file", path=it),
    ),
    (rf"(File|Directory|Path) {_QUOTED} is not readable\.", lambda it, _: Text("{path} cannot be read by you", path=it)),
    (rf"Option {_QUOTED} does not take a value\.", lambda it, _: Text("{name} takes no value", name=it)),
    (r"Got unexpected extra arguments? \((?P<it>.*)\)", lambda it, _: Text("nobody asks for this: {words}", words=it)),
    (r"(?P<it>)Missing command\.", lambda _it, _: Text("a command is missing")),
)
"""By what click says: the sentence of ours, made of the value and of the kind that the parameter is to have."""


def _unquoted(written: str) -> str:
    """Return the text that `repr` wrote so; what no `repr` wrote stays as it is."""
    try:
        return str(ast.literal_eval(written))
    except (ValueError, SyntaxError):
        return written


def in_our_words(message: str, kind: Kind = None) -> Text:
    """Return a complaint of click's as a sentence of ours; what is a sentence of ours already stays as it is."""
    for pattern, told in _TOLD:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            return told(_unquoted(match["quoted"]) if "quoted" in match.groupdict() else match["it"], kind)
    return Text("{message}", message=message)
