"""A spreadsheet saved as CSV, as a source: a row for each host, columns by the names in its first row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inventory.documents import FOREIGN, read_guarded
from inventory.errors import Place, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform, Transport
from inventory.names import BadName, group_name, host_name, label, shown
from inventory.nodes import MapNode, ScalarNode
from inventory.settings import Leaf
from inventory.sources.declared import path_from
from inventory.sources.found import Access, Found, FoundHost, Reading
from inventory.sources.sheet_cells import DELIMITERS, Cell, rows_of, text_of
from inventory.sources.ssh_said import SSH_WORDS, put_ssh

_WORDS = ("name", "address", "port", "platform", "transport", "site", "customer", "credential", "via", "user", "groups", "tags")
WORDS = (*_WORDS, *SSH_WORDS)
_CHOICES = {"platform": tuple(map(str, Platform)), "transport": tuple(map(str, Transport))}
_CHECKS = {"credential": group_name, "via": host_name}
_PORT = re.compile(r"([1-9][0-9]{0,4})(\.0)?")  # spreadsheets make 22.0 of 22
_BETWEEN = re.compile(r"[,;|\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSource:
    """A declared CSV file."""

    path: Path
    place: Place
    columns: Mapping[str, str] = field(default_factory=dict)
    """The title of the column that holds a word of ours."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The title of the column that holds a variable."""
    encoding: str | None = None
    delimiter: str | None = None
    skip: int = 0
    titles_at: Mapping[str, Place] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"csv {self.path}"

    def read(self, reading: Reading) -> Found:
        """Return the hosts of its rows; raises InvalidFile where it is no CSV."""
        reading.files.add(self.path)
        text = text_of(read_guarded(self.path, FOREIGN.bytes), str(self.path), self.encoding)
        rows = rows_of(text, str(self.path), self.delimiter, self.skip)
        found = Found()
        if not rows:
            found.problem(Place(str(self.path), 1, 1), Text("there is no row with the titles of columns"))
            return found
        table = _Table(self, rows[0], found)
        for row in rows[1:] if not found.problems else ():
            table.add(row)
        return found


class _Table:
    def __init__(self, source: SheetSource, titles: list[Cell], found: Found) -> None:
        self.found, self.width = found, len(titles)
        self.positions: dict[str, int] = {}
        for position, cell in enumerate(titles):
            if cell.text:
                self.positions.setdefault(cell.text.casefold(), position)
        self.titles = titles
        self.words: dict[str, int] = {}
        for word in WORDS:
            at = self._position(source, source.columns.get(word, word), word in source.columns)
            if at is not None:
                self.words[word] = at
        self.variables: dict[str, int] = {}
        for name, title in source.variables.items():
            if (at := self._position(source, title, named=True)) is not None:
                self.variables[name] = at
        if "name" not in self.words and not found.problems:
            example = "sources: [{csv: FILE, columns: {name: Hostname}}]"
            hint = Text("say which one it is, in a file of ours: {example}", example=example)
            found.problem(titles[0].place, Text("no column is called “{title}”", title="name"), hint)

    def _position(self, source: SheetSource, title: str, named: bool) -> int | None:
        position = self.positions.get(title.strip().casefold())
        if position is None:
            if named:
                known = [cell.text for cell in self.titles if cell.text]
                place = source.titles_at.get(title, source.place)
                what = Text("no column is called “{title}”", title=shown(title))
                self.found.problem(place, what, did_you_mean(title, known))
            return None
        twice = [cell for cell in self.titles if cell.text.casefold() == title.strip().casefold()]
        if len(twice) > 1:
            what = Text("two columns are called “{title}”, the first at {place}", title=shown(title), place=twice[0].place)
            self.found.problem(twice[1].place, what)
        return position

    def add(self, row: list[Cell]) -> None:
        """Add the host of a row."""
        if over := [cell for cell in row[self.width :] if cell.text]:
            self.found.problem(over[0].place, Text("this row has more cells than there are titles"), _QUOTES)
            return
        for cell in row:
            if cell.text.startswith("="):
                self.found.problem(cell.place, Text("this is a formula, not a value"), Text("save the sheet with values only"))
                return
        name = row[self.words["name"]] if self.words["name"] < len(row) else None
        if name is None or not name.text:
            self.found.problem(row[0].place, Text("this row has no name of a host"))
            return
        if known := self.found.hosts.get(name.text.lower()):
            text = Text("the host {name} is declared twice, first at {place}", name=shown(name.text), place=known.place)
            self.found.problem(name.place, text)
            return
        host = self.found.host(name.text, name.place)
        for word, position in self.words.items() if host is not None else ():
            if host is not None and word != "name" and position < len(row) and row[position].text:
                self._put(host, word, row[position])
        for variable, position in self.variables.items():
            given = row[position] if position < len(row) else None
            if host is None or given is None or not given.text or self.found.withhold(variable, given.text, given.place):
                continue
            host.put_variable(variable, Leaf(given.place, given.text))

    def _put(self, host: FoundHost, word: str, cell: Cell) -> None:
        text, place = cell.text, cell.place
        if word == "address":
            self.found.put_address(host, text, place)
        elif word == "user":
            if "credential" not in host.layer.values:
                self.found.put_access(host, "csv", Access(user=text), place)
        elif word in ("groups", "tags"):
            parts = dict.fromkeys(filter(None, _BETWEEN.split(text)))
            if word == "tags":
                host.tag({tag: place for part in parts if (tag := self.found.checked(part, place, group_name)) is not None})
            else:
                host.groups += [part for part in parts if self.found.group(part, place) is not None]
        elif word in SSH_WORDS:
            put_ssh(self.found, host, word, text, place)
        elif (value := self._value(word, text, place)) is not None:
            host.put(word, value, place)

    def _value(self, word: str, text: str, place: Place) -> str | int | None:
        """Return the value of a single setting; None after noting what is wrong with it."""
        if word == "port":
            match = _PORT.fullmatch(text)
            if match and int(match[1]) <= 65535:
                return int(match[1])
            what = Text("“{key}” must be a whole number from {minimum} to {maximum}", key=word, minimum=1, maximum=65535)
            self.found.problem(place, what)
            return None
        if choices := _CHOICES.get(word):
            if (low := text.lower()) in choices:
                return low
            hint = did_you_mean(low, choices) or Text("one of {choices}", choices=", ".join(choices))
            self.found.problem(place, Text("“{key}” cannot be “{value}”", key=word, value=shown(text)), hint)
            return None
        return self.found.checked(text, place, _CHECKS.get(word, label))


_QUOTES = Text("a cell with the separator in it needs quotes")


def declare(fields: Fields, value: str, folder: Path) -> SheetSource | None:
    """Return the sheet that a declaration means."""
    encoding, delimiter = fields.text("encoding"), fields.text("delimiter")
    if encoding is not None and not _is_encoding(encoding):
        fields.problem(
            fields.place("encoding"),
            Text("“{name}” is no encoding of text", name=shown(encoding)),
            Text("for instance {names}", names="utf-8, utf-16, cp1251, cp1252, koi8-r"),
        )
        return None
    if delimiter == "tab":
        delimiter = "\t"
    if delimiter is not None and (len(delimiter) != 1 or delimiter not in DELIMITERS):
        hint = Text("one of {choices}", choices=", ; | tab")
        fields.problem(fields.place("delimiter"), Text("“{key}” cannot be “{value}”", key="delimiter", value=delimiter), hint)
        return None
    columns, titles = fields.fields("columns"), dict[str, Place]()
    named = {word: title for word in WORDS if (title := columns.text(word)) is not None}
    for word, title in named.items():
        titles[title] = columns.place(word)
    columns.done()
    variables = {}
    for key, cell in _pairs(fields):
        try:
            variables[group_name(key.text)] = cell.text
            titles[cell.text] = cell.place
        except BadName as error:
            fields.problem(key.place, error.text, error.hint)
    return SheetSource(
        path=path_from(value, folder),
        place=fields.place("csv"),
        columns=named,
        variables=variables,
        encoding=encoding,
        delimiter=delimiter,
        skip=fields.integer("skip", minimum=0, maximum=1000) or 0,
        titles_at=titles,
    )


def _pairs(fields: Fields) -> list[tuple[ScalarNode, ScalarNode]]:
    """Return the variables of a declaration with the titles of their columns."""
    node = fields.mapping("vars") or MapNode(fields.place(), ())
    pairs = []
    for key, value in node.entries:
        if isinstance(value, ScalarNode) and value.value is not None:
            pairs.append((key, value))
        else:
            fields.problem(value.place, Text("“{key}” must be a text", key=shown(key.text)))
    return pairs


def _is_encoding(name: str) -> bool:
    try:
        return len(name) < 40 and b"a".decode(name, "replace") is not None  # refuses zip and hex, which are no text
    except (LookupError, ValueError):
        return False
