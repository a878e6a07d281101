"""The way in to every report: one pure function, and a table of what it can make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from inventory.errors import LongarmError, Text
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """The facts about one format."""

    media_type: str
    suffix: str
    make: Callable[[RunRecord, Language], bytes]


FORMATS: Final[Mapping[Format, FormatRow]] = {
    Format.HTML:  FormatRow(media_type="text/html",        suffix=".html", make=html),
    Format.JSON:  FormatRow(media_type="application/json", suffix=".json", make=json_document),
    Format.TEXT:  FormatRow(media_type="text/plain",       suffix=".txt",  make=text),
    Format.JUNIT: FormatRow(media_type="application/xml",  suffix=".xml",  make=junit),
    Format.CSV:   FormatRow(media_type="text/csv",         suffix=".csv",  make=csv_table),
}  # fmt: skip


class AudienceRefused(LongarmError):
    """No report is made for this audience: better none than one that says too much."""

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        super().__init__(Text("no report is made for the audience “{audience}” yet", audience=audience.value))


def render(record: RunRecord, *, audience: Audience, language: str, format: Format) -> bytes:  # noqa: A002 - the contract's words
    """Return a report on a run; the same record gives the same bytes.

    Raises AudienceRefused for every audience but internal: a report for customers is built from
    an allow-list, which this release does not have.
    """
    if audience is not Audience.INTERNAL:
        raise AudienceRefused(audience)
    return FORMATS[format].make(record, _language(language))


def load_ahead(code: str) -> None:
    """Load what rendering in a language needs (80 ms), so that a report is not late by it."""
    _language(code).date(datetime.now(UTC))
    load_templates()


_language = language
