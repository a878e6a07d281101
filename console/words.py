"""Say messages in the user's language; English needs no catalogue, so that it stays fast."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from inventory.errors import Text
from runner.called import PLAIN, Called

LANGUAGES = ("en", "ru")
_CODE: ContextVar[str] = ContextVar("language", default="en")
_CALLED: ContextVar[Called] = ContextVar("called", default=PLAIN)


def wanted_language(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Return the language to speak: `--lang`, then LONGARM_LANG, then the locale, else English.

    It is read before the arguments are parsed, since a mistake among them is told in that language too.

    >>> wanted_language(["run", "list", "--lang", "ru"], {})
    'ru'
    >>> wanted_language([], {"LANG": "ru_RU.UTF-8", "LC_ALL": "C"})
    'en'
    """
    for position, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return known(argument.removeprefix("--lang="))
        if argument == "--lang" and position + 1 < len(arguments):
            return known(arguments[position + 1])
    for name in ("LONGARM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return known(value)
    return "en"


def known(code: str) -> str:
    """Return the language that a locale name such as `ru_RU.UTF-8` means, English for others."""
    short = code[:2].lower()
    return short if short in LANGUAGES else "en"


def speak(code: str) -> None:
    """Use language `code` from now on."""
    _CODE.set(code)


def spoken() -> str:
    """Return the code of the language in use."""
    return _CODE.get()


def call_with(called: Called) -> None:
    """Remember the options of this command line: what is told to come next needs them too."""
    _CALLED.set(called)


def called() -> Called:
    """Return the options of this command line that what comes next needs too."""
    return _CALLED.get()


def say(text: Text) -> str:
    """Return `text` in the language in use."""
    if spoken() == "en":
        return str(text)
    from reports.language import language

    return language(spoken()).say(text)
