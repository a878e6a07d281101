"""The way in to every report: one pure function, and a table of what it can make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from inventory.errors import Text
from reports.customer_edition import NotForCustomers, customer_html, customer_text
from reports.document import json_document
from reports.junit import junit
from reports.language import Language, language
from reports.page import html, load_templates
from reports.plain import text
from reports.table import csv_table
from runner.record import RunRecord


class Audience(StrEnum):
    """Whom a report is for."""

    INTERNAL = "internal"
    CUSTOMER = "customer"


class Format(StrEnum):
    """What a report can be rendered as."""

    HTML = "html"
    JSON = "json"
    TEXT = "text"
    JUNIT = "junit"
    CSV = "csv"


Make: TypeAlias = Callable[[RunRecord, Language], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """The facts about one format."""

    media_type: str
    suffix: str
    make: Make
    for_customers: Make | None = None
    """None: programs read it, and customers get what people read."""


FORMATS: Final[Mapping[Format, FormatRow]] = {
    Format.HTML:  FormatRow(media_type="text/html",        suffix=".html", make=html, for_customers=customer_html),
    Format.JSON:  FormatRow(media_type="application/json", suffix=".json", make=json_document),
    Format.TEXT:  FormatRow(media_type="text/plain",       suffix=".txt",  make=text, for_customers=customer_text),
    Format.JUNIT: FormatRow(media_type="application/xml",  suffix=".xml",  make=junit),
    Format.CSV:   FormatRow(media_type="text/csv",         suffix=".csv",  make=csv_table),
}  # fmt: skip


def render(record: RunRecord, *, audience: Audience, language: str, format: Format) -> bytes:  # noqa: A002 - the contract's words
    """Return a report on a run; the same record gives the same bytes.

    Raises NotForCustomers for a customer's edition of what is for none of them, or in a format that has none.
    """
    row, tongue = FORMATS[format], _language(language)
    if audience is Audience.INTERNAL:
        return row.make(record, tongue)
    if row.for_customers is None:
        forms = ", ".join(kind.value for kind, one in FORMATS.items() if one.for_customers)
        raise NotForCustomers(Text("for customers there is no such form; there is: {forms}", forms=forms))
    return row.for_customers(record, tongue)


def load_ahead(code: str) -> None:
    """Load what rendering in a language needs (80 ms), so that a report is not late by it."""
    _language(code).number(0.5)
    load_templates()


_language = language
