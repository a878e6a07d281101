"""The casework of the desk: the reports that cases are to get, and the built-in case system."""

from __future__ import annotations

from inventory.errors import LongarmError, Text
from inventory.secret import MASKER
from runner.desk_base import DeskBase
from runner.store.blobs import digest_of
from runner.store.changes import Attach, Rendered, SendFailed, Sent
from runner.store.rows import AttachmentRow, CaseRow, OutboxRow, OutboxState


class NoSuchCase(LongarmError):
    """The built-in case system has no case of this name."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(Text("there is no case “{ref}”", ref=ref), Text("longarm case list"))


class CaseDesk(DeskBase):
    """What becomes of a case: its outbox, its files."""

    # The outbox: what `reports.cases.delivery` sends

    def outbox(self, state: OutboxState | str | None = None) -> tuple[OutboxRow, ...]:
        """Return the reports that cases are to get or have got, oldest first."""
        return self._store.outbox(None if state is None else OutboxState(state))

    def outbox_rendered(self, row: int, filename: str, data: bytes) -> OutboxRow:
        """Keep the rendered report of a row and return the row as it stands: the first rendering is the one that counts."""
        self._write(Rendered(id=row, filename=filename, digest=digest_of(data)), data)
        return self._outbox_row(row)

    def outbox_data(self, row: int) -> bytes:
        """Return the bytes that were rendered for a row, verified."""
        return self._store.blob(self._outbox_row(row).digest)

    def outbox_sent(self, row: int) -> OutboxRow:
        """Note that the case has the report; a second time changes nothing."""
        entry = self._outbox_row(row)
        self._write(Sent(id=row, audit=self._audited("report.sent", entry.run, entry.case, entry.customers, entry.digest)))
        return self._outbox_row(row)

    def outbox_failed(self, row: int, error: str) -> OutboxRow:
        """Note that an attempt failed, and why; a row that was sent stays sent."""
        self._write(SendFailed(id=row, error=MASKER.text(error)))
        return self._outbox_row(row)

    # The built-in case system

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases, oldest first."""
        return self._store.cases()

    def case(self, ref: str) -> CaseRow:
        """Return one case; raises NoSuchCase."""
        for case in self._store.cases():
            if case.ref == ref:
                return case
        raise NoSuchCase(ref)

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
        """Put a file on a case, which is opened if it is new, and return its digest; the same file again changes nothing."""
        now, digest = self._clock(), digest_of(data)
        attachment = AttachmentRow(
            case=ref,
            filename=filename,
            digest=digest,
            media_type=media_type,
            size_bytes=len(data),
            internal=internal,
            comment=comment,
            actor=self.actor,
            customer=customer,
            attached_at=now,
        )
        customers = (customer,) if customer else ()
        self._write(Attach(attachment=attachment, audit=self._audited("case.attached", None, ref, customers, digest)), data)
        return digest

    def case_attachments(self, ref: str) -> tuple[AttachmentRow, ...]:
        """Return the files on a case, in the order they came."""
        return self._store.attachments(ref)

    def attachment(self, digest: str) -> bytes:
        """Return the bytes of an attachment, verified."""
        return self._store.blob(digest)

    def _outbox_row(self, row: int) -> OutboxRow:
        if (entry := self._store.outbox_row(row)) is None:
            raise LookupError(f"no outbox row {row}")
        return entry
