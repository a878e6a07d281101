"""The casework of the desk: the reports that cases are to get, and the built-in case system."""

from __future__ import annotations

from contextlib import AbstractContextManager

from inventory.errors import LongarmError, Text
from inventory.secret import MASKER
from runner.desk_base import DeskBase
from runner.roles import ANY_SITE, Action, RoleRefused, Where
from runner.store.blobs import digest_of
from runner.store.changes import Attach, Rendered, SendFailed, Sent
from runner.store.lock import one_delivers
from runner.store.rows import AttachmentRow, CaseRow, OutboxRow, OutboxState


class NoSuchCase(LongarmError):
    """The built-in case system has no case of this name."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(Text("there is no case “{ref}”", ref=ref), Text("longarm case list"))


class CaseDesk(DeskBase):
    """What becomes of a case: its outbox, its files."""

    # The outbox: what `reports.cases.delivery` sends

    def delivering(self) -> AbstractContextManager[None]:
        """Return what lets one process at a time send what waits: two would send the same."""
        return one_delivers(self.home)

    def outbox(self, state: OutboxState | str | None = None) -> tuple[OutboxRow, ...]:
        """Return the reports that cases are to get or have got, oldest first."""
        rows = self._store.outbox(None if state is None else OutboxState(state))
        seen = self._seen(tuple({row.run for row in rows}))
        return tuple(row for row in rows if row.run in seen)

    def outbox_rendered(self, row: int, filename: str, data: bytes) -> OutboxRow:
        """Keep the rendered report of a row and return the row as it stands: the first rendering is the one that counts."""
        self._may(Action.CASE, self._where_of(row))
        self._write(Rendered(id=row, filename=filename, digest=digest_of(data)), data)
        return self._outbox_row(row)

    def outbox_data(self, row: int) -> bytes:
        """Return the bytes that were rendered for a row, verified."""
        self._may(Action.READ, self._where_of(row))
        return self._store.blob(self._outbox_row(row).digest)

    def outbox_sent(self, row: int) -> OutboxRow:
        """Note that the case has the report; a second time changes nothing."""
        self._may(Action.CASE, self._where_of(row))
        entry = self._outbox_row(row)
        self._write(Sent(id=row, audit=self._audited("report.sent", entry.run, entry.case, entry.customers, entry.digest)))
        return self._outbox_row(row)

    def outbox_failed(self, row: int, error: str) -> OutboxRow:
        """Note that an attempt failed, and why; a row that was sent stays sent."""
        self._may(Action.CASE, self._where_of(row))
        self._write(SendFailed(id=row, error=MASKER.text(error)))
        return self._outbox_row(row)

    # The built-in case system

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases that the caller may look at, oldest first."""
        return tuple(case for case in self._store.cases() if self._sees_case(case.ref))

    def case(self, ref: str) -> CaseRow:
        """Return one case; raises NoSuchCase, RoleRefused."""
        for case in self._store.cases():
            if case.ref == ref:
                self._may_case(Action.READ, ref)
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
        self._may_case(Action.CASE, ref, *((customer,) if customer else ()))
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
        self._may_case(Action.READ, ref)
        return self._store.attachments(ref)

    def attachment(self, digest: str) -> bytes:
        """Return the bytes of an attachment, verified, by its digest alone: it may be on any case."""
        self._may(Action.READ)
        return self._store.blob(digest)

    def _may_case(self, action: Action, ref: str, *besides: str) -> None:
        """Raise RoleRefused unless the caller may do something with what a case has by now; an empty one is nobody's."""
        names = dict.fromkeys((*self._store.customers(ref), *besides))
        if names:
            self._may(action, [Where(customer=name, site=ANY_SITE) for name in names])

    def _sees_case(self, ref: str) -> bool:
        try:
            self._may_case(Action.READ, ref)
        except RoleRefused:
            return False
        return True

    def _where_of(self, row: int) -> tuple[Where, ...]:
        return self._where_runs_were(self._outbox_row(row).run)

    def _outbox_row(self, row: int) -> OutboxRow:
        if (entry := self._store.outbox_row(row)) is None:
            raise LookupError(f"no outbox row {row}")
        return entry
