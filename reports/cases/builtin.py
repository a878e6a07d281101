"""The case system that is always there: cases and their files in longarm's own store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from reports.cases.port import Capabilities, Case, CaseFile
from runner.desk import NoSuchCase
from runner.store.rows import AttachmentRow, CaseRow


class CaseDesk(Protocol):
    """What of the `Desk` this needs."""

    def case(self, ref: str) -> CaseRow:
        """Return one case; raises NoSuchCase."""

    def case_attachments(self, ref: str) -> tuple[AttachmentRow, ...]:
        """Return the files on a case."""

    def case_attach(
        self,
        ref: str,
        filename: str,
        data: bytes,
        media_type: str,
        internal: bool,
        comment: str,
        *,
        customer: str | None = None,
    ) -> str:
        """Put a file on a case."""


class BuiltinCases:
    """Every reference is a case here: one that is new is opened by its first file."""

    name: Final = "builtin"
    caps: Final = Capabilities(internal_notes=True)

    def __init__(self, desk: CaseDesk) -> None:
        self._desk = desk

    def get(self, ref: str) -> Case | None:
        """Return the case; one that is not there yet has no title."""
        try:
            row = self._desk.case(ref)
        except NoSuchCase:
            return Case(ref=ref)
        return Case(ref=row.ref, title=row.title)

    def find_attachment(self, ref: str, name: str) -> str | None:
        """Return the digest that the store keeps for the file of this name."""
        return next((row.digest for row in self._desk.case_attachments(ref) if row.filename == name), None)

    def comment(self, ref: str, text: str, *, internal: bool, files: Sequence[CaseFile] = (), html: str | None = None) -> None:  # noqa: ARG002
        """Attach the files, each with the comment as its description."""
        for file in files:
            self._desk.case_attach(ref, file.name, file.data, file.media_type, internal, text, customer=file.customer)
