"""A report reaches its case exactly once, whatever dies in between (design rule 9, faults F12 and F13)."""

import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventory.secret import Masker, Secret
from reports.cases.builtin import BuiltinCases
from reports.cases.delivery import deliver
from reports.cases.port import Capabilities, CaseError, CaseFile, CaseRefused, CaseSystem, CaseUnreachable
from reports.cases.testing import FakeCases, no_trouble
from reports.render import Audience, Format, render
from runner.desk import Desk
from runner.record import RunRecord
from runner.store.errors import StoreDamaged, StoreFailed
from runner.store.rows import OutboxRow, OutboxState

ROUNDS = 2000 if os.environ.get("LONGARM_SOAK") else 100
NOW = datetime(2026, 11, 22, 10, 50, tzinfo=UTC)
Trouble = Callable[[str], None]


class Cut(BaseException):
    """The process ends here."""


class Ledger:
    """An outbox in memory that outlives the process it is used by; `trouble` is called before and after each write."""

    def __init__(self, record: RunRecord, *rows: OutboxRow, trouble: Trouble = no_trouble) -> None:
        self.of, self.rows, self.data, self.trouble = record, {row.id: row for row in rows}, dict[str, bytes](), trouble

    def outbox(self) -> tuple[OutboxRow, ...]:
        return tuple(self.rows.values())

    def outbox_rendered(self, row: int, filename: str, data: bytes) -> OutboxRow:
        digest = hashlib.sha256(data).hexdigest()
        self.trouble("render")
        self.data.setdefault(digest, data)
        self.trouble("blob kept")
        if not self.rows[row].digest:
            self.rows[row] = replace(self.rows[row], filename=filename, digest=digest, state=OutboxState.RENDERED)
        self.trouble("rendered")
        return self.rows[row]

    def outbox_data(self, row: int) -> bytes:
        self.trouble("read")
        return self.data[self.rows[row].digest]

    def outbox_sent(self, row: int) -> OutboxRow:
        self.trouble("mark")
        self.rows[row] = replace(self.rows[row], state=OutboxState.SENT, error="", sent_at=NOW)
        self.trouble("marked")
        return self.rows[row]

    def outbox_failed(self, row: int, error: str) -> OutboxRow:
        self.trouble("note")
        held = self.rows[row]
        if held.state is not OutboxState.SENT:
            self.rows[row] = replace(held, state=OutboxState.FAILED, error=error, attempts=held.attempts + 1)
        return self.rows[row]

    def record(self, run: str) -> RunRecord:
        assert run == self.of.run
        return self.of


def owed(row: int, record: RunRecord, **more: object) -> OutboxRow:
    fields: dict[str, Any] = {"audience": "internal", "language": "en", "case": "DEMO-1", "customers": ("acme",)} | more
    return OutboxRow(
        id=row, run=record.run, kind="diagnose", state=OutboxState.PENDING, actor="l.weber", created_at=NOW, **fields
    )


def test_the_report_is_on_the_case(clean: RunRecord) -> None:
    ledger, cases = Ledger(clean, owed(1, clean), owed(2, clean, language="ru")), FakeCases("DEMO-1")
    first, second = deliver(ledger, [cases], Masker())
    assert (first.state, second.state) == ("sent", "sent")
    assert re.fullmatch(r"longarm-run-20261122-104755-7f3a9c-[0-9a-f]{8}\.html", first.filename)
    assert [file.data for file in cases.received] == [
        render(clean, audience=Audience.INTERNAL, language=code, format=Format.HTML) for code in ("en", "ru")
    ]
    assert all(file.internal for file in cases.received)
    assert "4 targeted = 4 seen" in cases.received[0].text
    assert deliver(ledger, [cases], Masker()) == () and len(cases.received) == 2


@pytest.mark.parametrize("seed", range(0, ROUNDS, 10))
def test_exactly_once_however_often_it_is_cut(clean: RunRecord, seed: int) -> None:
    for cut_at in range(seed, seed + 10):
        exactly_once(clean, random.Random(cut_at))


def exactly_once(record: RunRecord, chance: random.Random) -> None:
    """Deliver two reports while processes die and the system fails, up to 12 times, before, in and after every step."""
    left = [chance.randrange(1, 13)]

    def trouble(moment: str) -> None:
        if left[0] and chance.random() < 0.35:
            left[0] -= 1
            if moment in ("find", "store", "stored") and chance.random() < 0.5:
                raise chance.choice((CaseUnreachable("fake", "no answer in time"), CaseRefused("fake", "503")))
            raise Cut(moment)

    ledger = Ledger(record, owed(1, record), owed(2, record, language="ru"), trouble=trouble)
    cases = FakeCases("DEMO-1", trouble=trouble)
    rendered: dict[int, str] = {}
    while not all(row.state is OutboxState.SENT for row in ledger.outbox()):
        with suppress(Cut):
            deliver(ledger, [cases], Masker())
        for row in ledger.outbox():
            assert rendered.setdefault(row.id, row.digest) in ("", row.digest), "rendered twice"
            rendered[row.id] = row.digest
    assert sorted((file.name, hashlib.sha256(file.data).hexdigest()) for file in cases.received) == sorted(
        (row.filename, row.digest) for row in ledger.outbox()
    )


def test_an_error_stays_on_the_row_until_it_is_sent(clean: RunRecord) -> None:
    answers = iter([CaseUnreachable("fake", "connection reset"), None])

    def trouble(moment: str) -> None:
        if moment == "store" and (error := next(answers)):
            raise error

    ledger, cases = Ledger(clean, owed(1, clean)), FakeCases("DEMO-1", trouble=trouble)
    (failed,) = deliver(ledger, [cases], Masker())
    assert (failed.state, failed.attempts, failed.error) == ("failed", 1, "fake did not answer: connection reset")
    (sent,) = deliver(ledger, [cases], Masker())
    assert (sent.state, sent.error) == ("sent", "") and len(cases.received) == 1


def test_a_run_that_cannot_be_read_keeps_no_other_from_its_case(clean: RunRecord) -> None:
    class Damaged(Ledger):
        def record(self, run: str) -> RunRecord:
            if run == "20261101-000000-000000":
                raise StoreDamaged(Path("home"), "ab12", "it is missing")
            return super().record(run)

    ledger = Damaged(clean, replace(owed(1, clean), run="20261101-000000-000000"), owed(2, clean))
    cases = FakeCases("DEMO-1")
    failed, sent = deliver(ledger, [cases], Masker())
    assert (failed.state, failed.error) == ("failed", "evidence ab12 is damaged: it is missing")
    assert sent.state == "sent" and len(cases.received) == 1


def test_a_store_that_fails_is_no_matter_of_one_row(clean: RunRecord) -> None:
    def trouble(moment: str) -> None:
        if moment == "render":
            raise StoreFailed(Path("home"), "No space left on device")

    ledger = Ledger(clean, owed(1, clean), trouble=trouble)
    with pytest.raises(StoreFailed):
        deliver(ledger, [FakeCases("DEMO-1")], Masker())
    assert ledger.rows[1].state is OutboxState.PENDING


def test_a_secret_is_never_kept_nor_sent(small: RunRecord) -> None:
    masker = Masker()
    masker.learn(Secret("pg_wal/xlogtemp.2211"))
    ledger, cases = Ledger(small, owed(1, small)), FakeCases("DEMO-1")
    (held,) = deliver(ledger, [cases], masker)
    assert held.state == "failed" and "known secret" in held.error
    assert not cases.received and not ledger.data


def test_a_secret_that_is_learned_after_rendering_stops_the_report(small: RunRecord) -> None:
    masker = Masker()

    def trouble(moment: str) -> None:
        if moment == "find":
            masker.learn(Secret("sudo: a password is required"))

    ledger, cases = Ledger(small, owed(1, small)), FakeCases("DEMO-1", trouble=trouble)
    (held,) = deliver(ledger, [cases], masker)
    assert held.state == "failed" and not cases.received


def test_no_internal_report_where_customers_read_along(clean: RunRecord) -> None:
    ledger, cases = Ledger(clean, owed(1, clean)), FakeCases("DEMO-1", caps=Capabilities(internal_notes=False))
    (held,) = deliver(ledger, [cases], Masker())
    assert held.state == "failed" and "no private notes" in held.error and not cases.received


def test_customers_get_their_own_edition_where_they_read_along(clean: RunRecord) -> None:
    ledger, cases = Ledger(clean, owed(1, clean, audience="customer")), FakeCases("DEMO-1")
    (sent,) = deliver(ledger, [cases], Masker())
    (got,) = cases.received
    assert sent.state == "sent" and not got.internal
    assert got.data == render(clean, audience=Audience.CUSTOMER, language="en", format=Format.HTML)
    assert got.text.encode() == render(clean, audience=Audience.CUSTOMER, language="en", format=Format.TEXT)


def test_what_is_for_no_customer_is_not_sent_to_one(clean: RunRecord) -> None:
    first, *rest = clean.hosts
    mixed = replace(clean, hosts=(replace(first, customer="zeta"), *rest))
    ledger, cases = Ledger(mixed, owed(1, mixed, audience="customer")), FakeCases("DEMO-1")
    (held,) = deliver(ledger, [cases], Masker())
    assert held.state == "failed" and not cases.received


def test_a_file_that_is_too_big_is_said_to_be(clean: RunRecord) -> None:
    ledger, cases = Ledger(clean, owed(1, clean)), FakeCases("DEMO-1", caps=Capabilities(internal_notes=True, max_bytes=1000))
    (held,) = deliver(ledger, [cases], Masker())
    assert held.state == "failed" and "takes 1000 bytes" in held.error and not cases.received


def test_another_file_of_that_name_is_left_alone(clean: RunRecord) -> None:
    ledger, cases = Ledger(clean, owed(1, clean)), FakeCases("DEMO-1")
    deliver(ledger, [cases], Masker())
    cases.received = [replace(cases.received[0], data=b"changed")]
    ledger.rows[1] = replace(ledger.rows[1], state=OutboxState.FAILED)
    (held,) = deliver(ledger, [cases], Masker())
    assert held.state == "failed" and "holds another file" in held.error
    assert [file.data for file in cases.received] == [b"changed"]


def test_the_first_system_that_knows_the_case_gets_it(clean: RunRecord) -> None:
    ledger = Ledger(clean, owed(1, clean), owed(2, clean, case="RT-7"), owed(3, clean, case="NOBODYS"))
    first, second = FakeCases("RT-7"), FakeCases("DEMO-1", "RT-7")
    assert [delivery.state for delivery in deliver(ledger, [first, second], Masker())] == ["sent", "sent", "failed"]
    assert [file.ref for file in first.received] == ["RT-7"] and [file.ref for file in second.received] == ["DEMO-1"]


@pytest.fixture(params=["fake", "builtin"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CaseSystem]:
    """Each case system that there is: one contract for all."""
    if request.param == "fake":
        yield FakeCases("DEMO-1")
        return
    with Desk.open(tmp_path / "home", write=True) as desk:
        yield BuiltinCases(desk)


class TestContract:
    """What every case system does."""

    def test_what_was_put_there_is_found(self, system: CaseSystem) -> None:
        data = "отчёт".encode()
        digest = hashlib.sha256(data).hexdigest()
        assert system.get("DEMO-1") is not None
        assert system.find_attachment("DEMO-1", "report.html") is None
        file = CaseFile(name="report.html", media_type="text/html", data=data, digest=digest)
        system.comment("DEMO-1", "Ёлки: 3 ◆", internal=True, files=[file])
        assert system.find_attachment("DEMO-1", "report.html") == digest
        assert system.find_attachment("DEMO-1", "other.html") is None
        assert issubclass(CaseUnreachable, CaseError)


WORKER = Path(__file__).with_name("delivering.py")


@pytest.mark.long
def test_the_builtin_cases_get_it_once_even_by_kill_9(tmp_path: Path) -> None:
    """A real process on a real store is killed at every step of the delivery in turn, and the next one goes on."""
    done = subprocess.run([sys.executable, WORKER, tmp_path], capture_output=True, text=True, check=True)
    steps = int(done.stdout)
    assert steps > 8, "the delivery has more steps than that"
    for step in range(1, steps + 1):
        with Desk.open(tmp_path / f"cut-{step}", write=False) as desk:
            (row,) = desk.outbox()
            (attached,) = desk.case_attachments("DEMO-1")
            assert row.state is OutboxState.SENT
            assert (attached.filename, attached.digest) == (row.filename, row.digest)
            assert hashlib.sha256(desk.attachment(attached.digest)).hexdigest() == row.digest
            assert attached.internal and attached.customer == "acme"
