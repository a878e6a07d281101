r"""Parts of the Windows questions: how a script reports each source that it asked, and how a parser reads that.

A script begins with `ASKING` and asks each source by name; what the block returns are its items:

    Ask disks { Get-CimInstance Win32_LogicalDisk | ForEach-Object { @{ Id = $_.DeviceID } } }

Each item is one line of JSON, `{"of":"disks","it":{…}}`, and each source ends with one more that counts them, or says by
identifiers why it failed (the words of Windows are in the machine's language): `FullyQualifiedErrorId`, the HRESULT, the
category. JSON escapes what it quotes, so no value can pass for a line; a source without its end is not understood.

Where a script bounds how many items it sends, `FULL` tells whether there were more: what was not sent may be ill as well.

A question that needs the rights of an administrator says so (`Privilege.ROOT`), and is not asked without them; `Ask-Admin` is
for one source of a question that tells the rest to everybody. Many sources show others less, and say nothing about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from diagnostics.parsing import INT64, at, numbered
from diagnostics.probe import NothingThere, ParseError, SourceFailed
from remote.answer import Answer
from remote.question import Privilege, Question

PLATFORMS: Final = ("windows",)
_SHELL: Final = "powershell"
"""What the bundle for Windows takes (remote.windows.bundle.SHELL, which is not loaded for it: 30 ms)."""
ASKING: Final = r"""
function Ask([string]$LaOf, [scriptblock]$LaHow) {
    $LaCount = 0
    try {
        & $LaHow | ForEach-Object { Write-Json @{ of = $LaOf; it = $_ }; $LaCount++ }
        Write-Json @{ of = $LaOf; ended = 'ok'; count = $LaCount }
    } catch {
        $LaCode = '0x{0:X8}' -f $_.Exception.GetBaseException().HResult
        Write-Json @{ of = $LaOf; ended = 'failed'; id = [string]$_.FullyQualifiedErrorId; code = $LaCode
            category = [string]$_.CategoryInfo.Category }
    }
}
function Ask-Admin([string]$LaOf, [scriptblock]$LaHow) {
    $LaWho = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
    if ($LaWho.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { Ask $LaOf $LaHow }
    else { Write-Json @{ of = $LaOf; ended = 'denied' } }
}
"""
"""What each script begins with; Windows PowerShell 4 to 5.1, PowerShell 7. A block that is asked sees these functions'
variables (scopes are dynamic), so their names are none that a block would use."""

FULL: Final = "Ask full { @{ Full = [bool]$global:full } }\n"
"""Behind the source that sets `$global:full` where it leaves something out."""
NOT_ADMIN: Final = "access denied: the account has no rights of an administrator here"
ABSENT: Final = (
    "CommandNotFoundException",
    "PathNotFound",
    "NoMatchingLogsFound",
    "NoMatchingProvidersFound",
    "HRESULT 0x8004100e",  # WBEM_E_INVALID_NAMESPACE
    "HRESULT 0x80041010",  # WBEM_E_INVALID_CLASS
)
"""How the identifiers of errors begin (with FullyQualifiedErrorId) that say: this Windows has no such thing."""
_DENIED_IDS: Final = ("UnauthorizedAccess", "System.UnauthorizedAccessException", "HRESULT 0x80041003", "HRESULT 0x80070005")
_DENIED_CODES: Final = ("0x80070005", "0x80041003")
_NO_EVENTS: Final = "NoMatchingEventsFound"
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?(Z|[+-]\d\d:\d\d)")
_TICKS: Final = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a source, and the line that it stands on.

    Values are read as ConvertTo-Json of either version writes them: what carries properties of its own as
    `{"value": …}`, lists as `{"value": […], "Count": n}`, a list of one as what is in it.
    """

    question: str
    line: int
    fields: Mapping[str, Any]

    @property
    def at(self) -> dict[str, str | int]:
        """Return its place."""
        return at(self.question, self.line)

    def text(self, name: str) -> str:
        """Return a text; raise ParseError where there is none."""
        value = plain(self._given(name))
        if not isinstance(value, str):
            raise self.odd(name)
        return writable(value).strip(" \0")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts: none, one or many."""
        values = many(self.fields.get(name))
        if not all(isinstance(value, str) for value in values):
            raise self.odd(name)
        return [writable(value).strip(" \0") for value in values]

    def integer(self, name: str) -> int:
        """Return a whole number of at most 64 bits."""
        value = plain(self._given(name))
        if type(value) is not int or value not in INT64:
            raise self.odd(name)
        return value

    def integers(self, name: str) -> list[int]:
        """Return a list of whole numbers: none, one or many."""
        values = many(self.fields.get(name))
        if not all(type(value) is int and value in INT64 for value in values):
            raise self.odd(name)
        return values

    def flag(self, name: str) -> bool:
        """Return yes or no."""
        value = plain(self._given(name))
        if not isinstance(value, bool):
            raise self.odd(name)
        return value

    def choice(self, name: str, names: Mapping[int, str]) -> str:
        """Return the name of an enumeration's value, which comes as its number or its name."""
        value = plain(self._given(name))
        if type(value) is int and value in names:
            return names[value]
        found = [known for known in names.values() if isinstance(value, str) and known.lower() == value.strip().lower()]
        if not found:
            raise self.odd(name)
        return found[0]

    def moment(self, name: str) -> int:
        r"""Return a time as seconds since 1970.

        >>> old = {"value": "/Date(0)/", "DateTime": "1 января 1970 г."}
        >>> item = Item("q", 1, {"a": "2024-07-14T00:06:22.9280000Z", "b": "/Date(1720915582928)/", "c": old})
        >>> item.moment("a"), item.moment("b"), item.moment("c")
        (1720915582, 1720915582, 0)
        """
        value = plain(self._given(name))
        if isinstance(value, str) and (match := _ISO.fullmatch(value)):
            try:
                return int(datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00")).astimezone(UTC).timestamp())
            except (ValueError, OverflowError):
                raise self.odd(name) from None
        if isinstance(value, str) and (match := _TICKS.fullmatch(value)):
            return int(match[1]) // 1000
        raise self.odd(name)

    def has(self, name: str) -> bool:
        """Tell whether there is a value."""
        return plain(self.fields.get(name)) is not None

    def maybe(self, **read: tuple[Callable[[str], Any], str]) -> dict[str, Any]:
        """Return those of these facts that have a value: fact=(how it is read, the name of its field)."""
        return {fact: how(name) for fact, (how, name) in read.items() if self.has(name)}

    def odd(self, name: str) -> ParseError:
        """Return the error for a field that is not what it should be."""
        return ParseError(self.question, f"{name}: {self.fields.get(name)!r:.120}".encode("utf-8", "backslashreplace"))

    def _given(self, name: str) -> Any:
        if name not in self.fields:
            raise self.odd(name)
        return self.fields[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one source of a script returned and how it ended."""

    question: str
    name: str
    ended: str
    """ok, failed, denied"""
    items: tuple[Item, ...]
    end: Item
    """The line of its end: cited where there is nothing else to cite."""

    @property
    def at(self) -> dict[str, str | int]:
        """Return the place of all its lines."""
        return at(self.question, self.items[0].line if self.items else self.end.line, self.end.line)

    @property
    def error(self) -> str:
        """Return the identifier of the error that it ended with, "" where there is none."""
        return "" if self.ended != "failed" else self.end.text("id")

    @property
    def code(self) -> str:
        """Return the HRESULT of that error in lower case, "" where there is none."""
        return "" if self.ended != "failed" else self.end.text("code").lower()

    @property
    def denied(self) -> bool:
        """Tell whether it was not to be had for this account."""
        if self.ended == "denied":
            return True
        return self.error.startswith(_DENIED_IDS) or self.code in _DENIED_CODES

    def absent(self, *more: str) -> bool:
        """Tell whether this Windows has no such thing; `more` are identifiers or codes that say so of this source."""
        if self.ended != "failed" or self.denied:
            return False
        return self.error.lower().startswith(tuple(map(str.lower, (*ABSENT, *more)))) or self.code in more

    def usable(self, what: str = "", *, absent: Collection[str] = ()) -> tuple[Item, ...]:
        """Return its items; raise NothingThere where there is no such thing (`what`), SourceFailed where it failed."""
        if self.ended == "ok":
            return self.items
        if what and self.absent(*absent):
            raise NothingThere(self.question, what)
        raise SourceFailed(
            self.question, self.name, NOT_ADMIN if self.denied else f"{self.error.partition(',')[0]} {self.code}"
        )

    def events(self) -> tuple[Item, ...]:
        """Return events: that none matched is told as an error, and is none; access denied is another one."""
        return () if self.error.startswith(_NO_EVENTS) else self.usable()

    def one(self) -> Item:
        """Return its only item; raise as `usable` does, and ParseError for another count."""
        items = self.usable()
        if len(items) != 1:
            raise ParseError(self.question, f"{self.name}: {len(items)} items instead of one".encode())
        return items[0]


class Sources(dict[str, Source]):
    """The sources of one answer by name; one that the script should have asked and did not is a ParseError."""

    def __init__(self, question: str, found: Mapping[str, Source]) -> None:
        super().__init__(found)
        self.question = question

    def __missing__(self, name: str) -> Source:
        raise ParseError(self.question, f"source {name} is missing".encode())


def full(sources: Sources) -> bool:
    """Tell whether there was more than a script may send."""
    return sources["full"].one().flag("Full")


def read(question: str, answer: Answer) -> Sources:
    r"""Return the sources of an answer to a script that begins with `ASKING`; raise ParseError where they do not add up.

    >>> from remote.answer import answered
    >>> sources = read("q", answered(b'{"of":"a","it":{"Id":"C:"}}\n{"of":"a","ended":"ok","count":1}\n'))
    >>> sources["a"].one().text("Id"), sources["a"].at["last"]
    ('C:', 2)
    """
    found: dict[str, Source] = {}
    items: list[Item] = []
    for line in numbered(answer.stdout):
        fields = _document(question, line.data)
        name = fields.get("of")
        if not isinstance(name, str) or name in found or (items and items[0].fields["of"] != name):
            raise ParseError(question, line.data)
        if isinstance(fields.get("it"), dict):
            items.append(Item(question, line.number, fields))
            continue
        found[name] = _ended(question, name, Item(question, line.number, fields), items)
        items = []
    if items or not found:
        raise ParseError(question, answer.stdout[-200:] or b"nothing was said")
    return Sources(question, found)


def _ended(question: str, name: str, end: Item, items: list[Item]) -> Source:
    ended = end.text("ended")
    if ended not in ("ok", "failed", "denied") or (ended == "ok" and end.integer("count") != len(items)):
        raise end.odd("count" if ended == "ok" else "ended")
    inner = tuple(Item(question, item.line, item.fields["it"]) for item in items)
    return Source(question=question, name=name, ended=ended, items=inner, end=end)


def _document(question: str, data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data.decode("utf-8").rstrip("\r"), parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ParseError(question, data) from None
    if not isinstance(document, dict):
        raise ParseError(question, data)
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name twice")
    return document


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def plain(value: Any) -> Any:
    """Return a value without what ConvertTo-Json of Windows PowerShell wraps around it.

    >>> plain({"value": "C:", "PSPath": "x"}), plain([7]), plain({"value": [1, 2], "Count": 2})
    ('C:', 7, [1, 2])
    """
    if isinstance(value, dict) and "value" in value:
        return plain(value["value"])
    return plain(value[0]) if isinstance(value, list) and len(value) == 1 else value


def many(value: Any) -> list[Any]:
    """Return a list however ConvertTo-Json wrote it.

    >>> many(None), many("one"), many({"value": ["a", "b"], "Count": 2}), many([{"value": "a", "ReadCount": 1}])
    ([], ['one'], ['a', 'b'], ['a'])
    """
    while isinstance(value, dict) and "value" in value:
        value = value["value"]
    if value is None:
        return []
    return [plain(one) for one in value if one is not None] if isinstance(value, list) else [value]


def writable(text: str) -> str:
    r"""Return a text that can be kept: halves of UTF-16 pairs, which JSON may hold, show as `\ud800`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def question(
    name: str,
    script: str,
    *,
    deadline_s: int = 15,
    max_bytes: int = 64 * 1024,
    privilege: Privilege = Privilege.USER,
    variables: tuple[tuple[str, str], ...] = (),
) -> Question:
    """Return a question in PowerShell whose script asks its sources by `Ask`; it travels without blanks at the margins."""
    lines = (line.strip() for line in (ASKING + script).splitlines())
    return Question(
        id=name,
        script="\n".join(line for line in lines if line and not line.startswith("#")),
        shell=_SHELL,
        deadline_s=deadline_s,
        max_bytes=max_bytes,
        privilege=privilege,
        variables=variables,
    )


def strings(values: Iterator[str] | Collection[str], *, most: int = 5) -> str:
    """Return the first few of these texts as one line for people, and how many more there are.

    >>> strings(["a", "b", "c"], most=2)
    'a, b (+1)'
    """
    listed = list(values)
    return ", ".join(listed[:most]) + (f" (+{len(listed) - most})" if len(listed) > most else "")
