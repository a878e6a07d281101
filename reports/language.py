"""The reader's language: sentences by gettext, numbers and dates by babel, both loaded when first needed."""

from __future__ import annotations

import gettext
import hashlib
import io
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.compiled import keep, kept
from inventory.errors import LongarmError, Text, utc

if TYPE_CHECKING:
    from babel import Locale
    from babel.numbers import NumberPattern

LANGUAGES = ("en", "ru")
DOMAIN = "longarm"
LOCALE = Path(__file__).parent / "locale"
_SIZES = (Text("{n} B"), Text("{n} KiB"), Text("{n} MiB"), Text("{n} GiB"), Text("{n} TiB"), Text("{n} PiB"), Text("{n} EiB"))
_DAYS, _HOURS, _MINUTES, _SECONDS = Text("{n} d"), Text("{n} h"), Text("{n} min"), Text("{n} s")


class UnknownLanguage(LongarmError):
    """A language that longarm has no catalogue for."""

    def __init__(self, code: str) -> None:
        super().__init__(Text("no words in “{code}”: choose one of {codes}", code=code, codes=", ".join(LANGUAGES)))


class Language:
    """Everything that differs between readers: words, plurals, numbers, dates, sizes."""

    def __init__(self, code: str, translations: gettext.NullTranslations) -> None:
        self.code, self._translations = code, translations

    def say(self, text: Text | str, /, **params: object) -> str:
        """Return a sentence in this language; parameters that are sentences themselves are translated too.

        >>> language("en").say("{host}: {error}", host="db01", error=Text("no end after {deadline_s} s", deadline_s=5))
        'db01: no end after 5 s'
        """
        if isinstance(text, Text):
            template, params = text.template, {**text.params, **params}
        else:
            template = text
        translated = self._translations.gettext(template) if template else ""
        return self._filled(translated, params) if params else translated

    def plural(self, one: str, many: str, n: int, /, **params: object) -> str:
        """Return the form of a sentence that fits `n`, which is its parameter `{n}`.

        >>> language("en").plural("{n} host", "{n} hosts", 1)
        '1 host'
        """
        return self._filled(self._translations.ngettext(one, many, n), {"n": n, **params})

    def pick(self, words: Mapping[str, str], otherwise: str = "") -> str:
        """Return content in this language, else in English, else `otherwise`."""
        return words.get(self.code) or words.get("en") or otherwise

    def number(self, value: float, *, digits: int = 1) -> str:
        """Return a number with this language's separators and at most `digits` decimals.

        >>> language("en").number(12345.67)
        '12,345.7'
        """
        if abs(value) < 1000 and value == int(value):
            return str(int(value))  # looks the same in every language of ours
        return str(_pattern("#,##0." + "#" * digits).apply(value, _locale(self.code)))

    def percent(self, value: float) -> str:
        """Return a share given in percent; what is not all or nothing is never rounded to it.

        >>> [language("en").percent(value) for value in (98.43, 99.98, 100.0, 0.01, 7)]
        ['98.4%', '99.9%', '100%', '0.1%', '7%']
        """
        shown = min(value, 99.9) if value < 100 else value
        return self.say("{n}%", n=self.number(0.1 if 0 < shown < 0.1 else shown))

    def bytes(self, count: float) -> str:
        """Return a size in binary units.

        >>> [language("en").bytes(count) for count in (0, 1023, 1024, 5 * 1024**3, -1536)]
        ['0 B', '1,023 B', '1 KiB', '5 GiB', '-1.5 KiB']
        """
        size, unit = float(count), 0
        while abs(size) >= 1023.95 and unit < len(_SIZES) - 1:
            size, unit = size / 1024, unit + 1
        return self.say(_SIZES[unit], n=self.number(size))

    def duration(self, milliseconds: float) -> str:
        """Return a span of time in at most two units.

        >>> [language("en").duration(ms) for ms in (0, 999, 1234, 61_000, 5_400_000, 266_400_000)]
        ['0 ms', '999 ms', '1.2 s', '1 min 1 s', '1 h 30 min', '3 d 2 h']
        """
        if milliseconds < 0:
            return "-" + self.duration(-milliseconds)
        if round(milliseconds) < 1000:
            return self.say("{n} ms", n=round(milliseconds))
        if milliseconds < 59_950:
            return self.say(_SECONDS, n=self.number(milliseconds / 1000))
        seconds = round(milliseconds / 1000)
        if seconds < 3600:
            parts = [(_MINUTES, seconds // 60), (_SECONDS, seconds % 60)]
        elif seconds < 86_400:
            parts = [(_HOURS, seconds // 3600), (_MINUTES, seconds % 3600 // 60)]
        else:
            parts = [(_DAYS, seconds // 86_400), (_HOURS, seconds % 86_400 // 3600)]
        return " ".join(self.say(unit, n=self.number(n)) for unit, n in parts if n or unit == parts[0][0])

    def date(self, moment: datetime) -> str:
        """Return date and time of day with the zone that `moment` carries, as tables and messages have it.

        >>> from datetime import UTC
        >>> language("en").date(datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC))
        '2026-11-22 10:47:55 UTC'
        """
        return utc(moment)

    def _filled(self, template: str, params: Mapping[str, object]) -> str:
        return template.format_map({name: self._param(value) for name, value in params.items()})

    def _param(self, value: object) -> object:
        if isinstance(value, Text):
            return self.say(value)
        if isinstance(value, datetime):
            return self.date(value)
        if isinstance(value, (list, tuple)):
            return ", ".join(str(self._param(item)) for item in value)
        return value


@cache
def _locale(code: str) -> Locale:
    from babel import Locale

    return Locale.parse(code)


@cache
def _pattern(text: str) -> NumberPattern:
    from babel.numbers import parse_pattern

    return parse_pattern(text)


@cache
def language(code: str) -> Language:
    """Return the language with this code, or raise UnknownLanguage; English needs no catalogue."""
    if code not in LANGUAGES:
        raise UnknownLanguage(code)
    return Language(code, gettext.NullTranslations() if code == "en" else _catalogue(code))


@cache
def own_words() -> str:
    """Return every sentence that longarm itself can say, in all its languages."""
    return "\n".join((LOCALE / code / "LC_MESSAGES" / f"{DOMAIN}.po").read_text("utf-8") for code in LANGUAGES if code != "en")


def _catalogue(code: str) -> gettext.NullTranslations:
    source = LOCALE / code / "LC_MESSAGES" / f"{DOMAIN}.po"
    words = source.read_bytes()
    of = hashlib.sha256(words).hexdigest()  # a .mo file is the same whoever compiles it
    if (made := kept(source, of)) is None:
        made = _made(words, code)
        keep(source, of, made)
    return gettext.GNUTranslations(io.BytesIO(made))


def _made(words: bytes, code: str) -> bytes:
    """Return a catalogue as gettext reads it."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    made = io.BytesIO()
    write_mo(made, read_po(io.BytesIO(words), locale=code, domain=DOMAIN))
    return made.getvalue()
