"""Lists of things: one description of the columns, written as table, JSON, JSON lines, CSV or names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from console.fitting import fitted, terminal_width
from console.identifiers import WORDS
from console.settings import Output
from console.terminal import write
from console.words import say
from inventory.errors import Place, Text, utc
from reports.visible import json_escaped

Rows = Sequence[Mapping[str, object]]


def show_list(output: Output, columns: Mapping[str, Text], rows: Rows) -> None:
    """Write `rows` to stdout; `columns` names the fields a table shows, the first one is the name."""
    write(WRITERS[output](columns, rows))


def show_document(output: Output, document: Mapping[str, object], text: Callable[[], str]) -> None:
    """Write one thing: its JSON where a machine reads, else the text that is for people."""
    if output is Output.JSON:
        write(as_json(document))
    elif output is Output.JSONL:
        write(json_line(document))
    else:
        write(text())


def as_json(value: object) -> str:
    """Return `value` as indented JSON with a final newline."""
    return json_escaped(json.dumps(value, ensure_ascii=False, indent=2, default=_plain)) + "\n"


def json_line(value: object) -> str:
    """Return `value` as one line of JSON."""
    return json_escaped(_line(value)) + "\n"


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path | Text | Place):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"no JSON form: {type(value).__name__}")


_line: Final = json.JSONEncoder(ensure_ascii=False, default=_plain, separators=(",", ":")).encode


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, Text):
        return say(value)
    if isinstance(value, tuple | list):
        return " ".join(map(_cell, value))
    return str(value)


def _plain_cell(value: object) -> str:
    """Return a cell as programs read it: a time as in JSON."""
    return str(_plain(value)) if isinstance(value, datetime) else _cell(value)


def _table(columns: Mapping[str, Text], rows: Rows) -> str:
    body = [[_in_words(name, _cell(row[name])).replace("\n", " ") for name in columns] for row in rows]
    return fitted([say(title).upper() for title in columns.values()], body, terminal_width())


def _in_words(column: str, cell: str) -> str:
    """Return a cell as people read it: what is an identifier elsewhere is a word in a table."""
    words = WORDS.get(column, {})
    return say(words[cell]) if cell in words else cell


def _csv(columns: Mapping[str, Text], rows: Rows) -> str:
    from reports.table import guarded

    sheet = io.StringIO()
    table = csv.writer(sheet, lineterminator="\n")
    table.writerow(columns)
    table.writerows([guarded(_plain_cell(row[name])) for name in columns] for row in rows)
    return sheet.getvalue()


def _names(columns: Mapping[str, Text], rows: Rows) -> str:
    first = next(iter(columns))
    return "".join(f"{_cell(row[first])}\n" for row in rows)


WRITERS: Mapping[Output, Callable[[Mapping[str, Text], Rows], str]] = {
    Output.TABLE: _table,
    Output.JSON: lambda _, rows: as_json(list(rows)),
    Output.JSONL: lambda _, rows: "".join(map(json_line, rows)),
    Output.CSV: _csv,
    Output.NAME: _names,
}
