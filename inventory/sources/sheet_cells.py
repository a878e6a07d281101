"""The cells of a CSV file with their places: RFC 4180, and what spreadsheets make of it."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from inventory.documents import FOREIGN
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.yaml_syntax import forbidden_character

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 1_000
MAX_ROWS = 250_000
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_QUOTED = re.compile(r'"(?:[^"]|"")*"[ ]*')
_SAMPLE = 16_384
"""So many characters are looked at to find what separates cells: `_QUOTED` remembers each of them while it matches."""
_ENCODED = "sources: [{csv: FILE, encoding: cp1251}]"
"""How it is said, whole: a file named on the command line has no declaration that a line could be added to."""
_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; spaces around its text are gone."""

    text: str
    place: Place


def _stop(place: Place, text: Text, hint: Text | None = None) -> InvalidFile:
    return InvalidFile([Problem(place=place, text=text, hint=hint)])


def text_of(data: bytes, file: str, encoding: str | None) -> str:
    """Return the text of a file in the encoding named, else that of its byte order mark, else UTF-8; raise InvalidFile."""
    start = Place(file, 1, 1)
    if len(data) > FOREIGN.bytes:
        raise _stop(start, Text("the file is bigger than {limit} MiB", limit=FOREIGN.bytes >> 20))
    if data.startswith(b"PK\x03\x04"):
        raise _stop(start, Text("this is a workbook, not CSV"), Text("save it as CSV"))
    used = encoding or next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(used).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        hint = Text("save it as UTF-8, or name its encoding in a file of ours: {example}", example=_ENCODED)
        raise _stop(Place(file, line, column), Text("this is not text in {encoding}", encoding=used), hint) from None
    if found := forbidden_character(text):
        before = text[: found[0]]
        place = Place(file, before.count("\n") + 1, found[0] - (before.rfind("\n") + 1) + 1)
        raise _stop(place, found[1], Text("is the encoding right? {example}", example=_ENCODED))
    return text


def delimiter_of(text: str) -> str:
    """Return what separates the cells of the first line: the most frequent candidate outside quotes.

    >>> delimiter_of('name;"a,b,c";port'), delimiter_of("name")
    (';', ',')
    """
    first = _END.split(_QUOTED.sub("", text[:_SAMPLE].lstrip("\r\n")), maxsplit=1)[0]
    return max(DELIMITERS, key=lambda candidate: (first.count(candidate), -DELIMITERS.index(candidate)))


def rows_of(text: str, file: str, delimiter: str | None, skip: int) -> list[list[Cell]]:
    """Return the rows that hold anything, after `skip` lines; raises InvalidFile with the place of what cannot be read."""
    reader = _Cells(text, file)
    for _ in range(skip):
        reader.next_line()
    if delimiter is None and (match := re.compile(r"sep=(.)(?:\r\n|\n|\r)").match(text, reader.position)):  # Excel's own line
        delimiter = match[1]
        reader.next_line()
    return reader.rows(delimiter or delimiter_of(text[reader.position : reader.position + _SAMPLE]))


class _Cells:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.position, self.line, self.line_start = 0, 1, 0

    def next_line(self) -> None:
        """Go to the beginning of the next line."""
        match = _END.search(self.text, self.position)
        self.position = match.end() if match else len(self.text)
        self.line, self.line_start = self.line + 1, self.position

    def rows(self, delimiter: str) -> list[list[Cell]]:
        """Return all rows from here on."""
        bare = re.compile(f"[^{re.escape(delimiter)}\r\n]*")
        rows: list[list[Cell]] = []
        while self.position < len(self.text):
            row = self._row(delimiter, bare)
            if any(cell.text for cell in row):
                rows.append(row)
            if len(rows) > MAX_ROWS:
                raise _stop(row[0].place, Text("more than {limit} rows", limit=MAX_ROWS))
        return rows

    def _row(self, delimiter: str, bare: re.Pattern[str]) -> list[Cell]:
        row = []
        while True:
            place = Place(self.file, self.line, self.position - self.line_start + 1)
            row.append(Cell(self._cell(place, bare, delimiter), place))
            if len(row) > MAX_COLUMNS:
                raise _stop(place, Text("more than {limit} columns", limit=MAX_COLUMNS))
            if self.text.startswith(delimiter, self.position):
                self.position += 1
                continue
            if self.position < len(self.text):
                self.next_line()
            return row

    def _cell(self, place: Place, bare: re.Pattern[str], delimiter: str) -> str:
        if not self.text.startswith('"', self.position):
            match = bare.match(self.text, self.position)
            assert match is not None  # it fits no character at all, too
            self.position = match.end()
            return match[0].strip()
        start = self.position + 1
        inner = self.text[start : (closing := self._closing(place, start))]
        self.position = closing + 1
        while self.text.startswith(" ", self.position):
            self.position += 1
        for line_break in _END.finditer(inner):
            self.line, self.line_start = self.line + 1, start + line_break.end()
        if self.position < len(self.text) and self.text[self.position] not in f"{delimiter}\r\n":
            at = Place(self.file, self.line, self.position - self.line_start + 1)
            raise _stop(at, Text("text follows a closing quote"), Text("within quotes a quote is written twice"))
        return inner.replace('""', '"').strip()

    def _closing(self, place: Place, start: int) -> int:
        """Return where the quote stands that closes a cell: the first one that is not one of two."""
        while (found := self.text.find('"', start)) >= 0:
            if not self.text.startswith('"', found + 1):
                return found
            start = found + 2
        raise _stop(place, Text("this quote is never closed"), Text("within quotes a quote is written twice"))
