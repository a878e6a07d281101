"""The audit is a chain: whatever was changed, left out, put elsewhere or cut off is found; what was erased breaks nothing."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.desk import Desk
from runner.store import opening
from runner.store.audit_log import (
    AuditBroken,
    AuditLine,
    Head,
    chained,
    content_digest,
    continues,
    exported,
    problems,
    read_exported,
)
from runner.store.blobs import digest_of
from runner.store.changes import Belonging, Erase, Note
from runner.store.opening import database, make_home
from runner.store.sql import open_store
from runner.store.verifying import audit_problems, verify

if TYPE_CHECKING:
    from tests.runner.conftest import Rows

CHAIN = ("salt", "content", "erased", "previous", "digest")


@pytest.fixture
def kept(home: Path, rows: Rows) -> Path:
    """Return a home whose audit has six lines: of a run, a case, an erasure of what that run was for, and more."""
    make_home(home)
    with closing(open_store(home, write=True)) as store:
        store.write(rows.begin(), [b"content"]).result()
        store.write(rows.attach(), [b"<html>"]).result()
        store.write(rows.end()).result()
        mask = rows.audit("note", run=None, customers=("zeta", "beta"), digests=(digest_of(b"x"),), detail="причина: «диск»")
        store.write(Note(audit=mask)).result()
        erasure = rows.audit("store.erased", run=None, digests=(digest_of(b"customer:acme"),), detail="runs 1")
        store.write(Erase(belonging=Belonging(customer="acme"), audit=erasure)).result()
        store.write(Note(audit=rows.audit("note", run="r-2", case="CASE-2"))).result()
        store.finish()
    return home


def lines_of(home: Path) -> tuple[AuditLine, ...]:
    with closing(open_store(home, write=False)) as store:
        return store.audit_lines()


def export_of(home: Path) -> str:
    with Desk.open(home, write=False) as desk:
        return desk.audit_exported()


def changed(home: Path, *statements: tuple[str, tuple[Any, ...]]) -> list[str]:
    """Return what is said of a store after these statements, which are taken back."""
    before = database(home).read_bytes()
    with closing(sqlite3.connect(database(home))) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = [str(problem) for problem in verify(home).problems]
    database(home).write_bytes(before)
    return found


@pytest.fixture
def still(kept: Path) -> Path:
    """Return that home with nothing in its write-ahead log."""
    with closing(sqlite3.connect(database(kept))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return kept


def flips(connection: sqlite3.Connection, seed: int) -> Iterator[tuple[str, int, str, Any]]:
    """Yield table, row, column and value for every byte of the audit, with one bit of that byte turned."""
    rng = random.Random(seed)
    for table, key in (("audit", "id"), ("audit_head", "number")):
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [name for name, *_ in cursor.description]
        for row in (dict(zip(names, values, strict=True)) for values in cursor.fetchall()):
            for column, value in row.items():
                if isinstance(value, int):
                    yield table, row[key], column, value ^ 1 << rng.randrange(3, 20)  # 1 to 6 are other lines
                    continue
                data = (value or "").encode()
                yield from (
                    (table, row[key], column, data[:at] + bytes([byte ^ 1 << rng.randrange(8)]) + data[at + 1 :])
                    for at, byte in enumerate(data)
                )
                if value is None:
                    yield table, row[key], column, b"x"
                elif data:
                    yield table, row[key], column, None if column in ("run", "case_ref") else data[:-1]


def flip(table: str, number: int, column: str, value: Any) -> tuple[str, tuple[Any, ...]]:
    key = "id" if table == "audit" else "number"
    put = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    return f"UPDATE {table} SET {column} = {put} WHERE {key} = ?", (value, number)


def test_a_flipped_byte_anywhere_in_the_log_is_found(still: Path) -> None:
    tried = 0
    with (
        closing(sqlite3.connect(database(still))) as disk,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as memory,
    ):
        disk.backup(memory)
        assert [*audit_problems(memory)] == []
        for one in [*flips(memory, seed=6)]:
            memory.execute("BEGIN")
            memory.execute(*flip(*one))
            try:
                found: object = [*audit_problems(memory)]
            except sqlite3.DatabaseError as error:  # bytes that are no text
                found = error
            memory.execute("ROLLBACK")
            assert found, one
            tried += 1
        assert tried > 1500
        for one in random.Random(6).sample([*flips(memory, seed=7)], 20):
            assert changed(still, flip(*one)), one


def test_a_row_that_is_gone_is_found_and_so_are_two_that_changed_places(still: Path) -> None:
    numbers = [line.number for line in lines_of(still)]
    assert numbers == [1, 2, 3, 4, 5, 6]
    for number in numbers:
        assert changed(still, ("DELETE FROM audit WHERE id = ?", (number,))), number
    for one, other in itertools.combinations(numbers, 2):
        swap = [(0, one), (one, other), (other, 0)]
        moved = [("UPDATE audit SET id = ? WHERE id = ?", (to, of)) for to, of in swap]
        assert changed(still, *moved), (one, other)
        contents = "actor, action, run, case_ref, customers, digests, detail, salt, content, erased"
        take = f"({contents}) = (SELECT {contents} FROM audit b WHERE b.id = ?)"
        assert changed(
            still,
            ("CREATE TEMP TABLE kept AS SELECT * FROM audit", ()),
            (f"UPDATE audit SET {take} WHERE id = ?", (other, one)),
            (f"UPDATE audit SET {take.replace('audit b', 'kept b')} WHERE id = ?", (one, other)),
        ), (one, other)


def test_a_line_that_nobody_wrote_is_found(still: Path) -> None:
    more = "INSERT INTO audit SELECT 7, at, actor, action, run, case_ref, customers, digests, detail, salt, content, erased"
    assert changed(still, (f"{more}, digest, digest FROM audit WHERE id = 6", ()))
    assert changed(still, ("INSERT INTO audit_head VALUES (7, 'x')", ()))


@pytest.mark.parametrize("left", range(6))
def test_a_tail_that_was_cut_off_is_found_by_the_last_line_that_is_kept_beside_or_by_an_export(still: Path, left: int) -> None:
    export, lines = export_of(still), lines_of(still)
    cut = ("DELETE FROM audit WHERE id > ?", (left,))
    assert changed(still, cut)[-1] == f"the audit ends with line {left}, and line 6 was written"
    digest = lines[left - 1].digest if left else "0" * 64
    head = ("UPDATE audit_head SET number = ?, digest = ?", (left, digest)) if left else ("DELETE FROM audit_head", ())
    clever = (
        []
        if left in (0, 5)
        else [f"line {number} of the audit is not what was written" for number in range(1, min(left, 3) + 1)]
    )
    assert changed(still, cut, head) == clever, "only what an erasure touched misses the line that says so"
    with closing(sqlite3.connect(database(still))) as connection:
        for statement, values in (cut, head):
            connection.execute(statement, values)
        connection.commit()
    with Desk.open(still, write=False) as desk:
        problem = desk.verify(audit=export).problems[-1]
    assert str(problem) == "the audit does not hold what was exported of it: line 6 is gone, or another one"


def test_an_export_holds_while_the_log_grows_and_after_an_erasure(kept: Path, rows: Rows) -> None:
    first = export_of(kept)
    with closing(open_store(kept, write=True)) as store:
        store.write(Note(audit=rows.audit("note", customers=("beta", "acme")))).result()
        store.write(
            Erase(belonging=Belonging(customer="beta"), audit=rows.audit("store.erased", run=None, digests=()))
        ).result()
        store.finish()
    with Desk.open(kept, write=False) as desk:
        assert desk.verify(audit=first).problems == () == desk.verify(audit=desk.audit_exported()).problems
        names = {name for row in desk.audit() for name in row.customers}
    assert names == {"zeta", "acme"}, "what others have in a line stays"
    assert b"beta" not in database(kept).read_bytes() and b"beta" in first.encode()


def test_what_was_erased_leaves_a_digest_that_nobody_can_guess_from(kept: Path, rows: Rows) -> None:
    begun = lines_of(kept)[0]
    assert (begun.row.customers, begun.row.case, begun.row.digests, begun.row.detail) == ((), None, (), "")
    erasing = lines_of(kept)[4]
    assert {*erasing.erased} == {1, 2, 3} and erasing.erased[1] != begun.content
    guessed = rows.audit()
    for salt in (begun.salt, "", erasing.salt):
        assert content_digest(guessed, salt) != begun.content
    assert chained(Head(), guessed).content != chained(Head(), guessed).content, "a salt of its own for each line"


def test_what_was_left_of_an_erased_line_cannot_be_changed_either(still: Path) -> None:
    for column, value in (("detail", "nothing"), ("customers", '["zeta"]'), ("case_ref", "CASE-9"), ("salt", "0" * 32)):
        assert changed(still, (f"UPDATE audit SET {column} = ? WHERE id = 1", (value,)))
    assert changed(still, ("UPDATE audit SET erased = '{}' WHERE id = 5", ()))


def test_every_byte_of_an_export_counts(still: Path) -> None:
    export = export_of(still)
    lines, head = read_exported(export)
    assert [*problems(lines, head)] == [] and lines == lines_of(still)
    assert continues(lines, head) and continues(lines, Head())
    data, rng = export.encode(), random.Random(7)
    for at, byte in enumerate(data):
        broken = data[:at] + bytes([byte ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        assert wrong(broken.decode(errors="backslashreplace")), at
        assert wrong(data[:at].decode()), at
    pieces = export.splitlines(keepends=True)
    for at in range(len(pieces)):
        assert wrong("".join(pieces[:at] + pieces[at + 1 :])), at
    for one, other in itertools.combinations(range(len(pieces)), 2):
        swapped = [*pieces]
        swapped[one], swapped[other] = pieces[other], pieces[one]
        assert wrong("".join(swapped)), (one, other)


def wrong(export: str) -> bool:
    """Tell whether an export is refused or found to be broken by itself."""
    try:
        lines, head = read_exported(export)
    except AuditBroken:
        return True
    return bool([*problems(lines, head)])


@pytest.mark.parametrize(
    "text", ["", "\n", "[]\n", "{}\n", "null\n", '{"format": "longarm-audit/2", "lines": 0, "digest": ""}\n']
)
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(AuditBroken):
        read_exported(text)


def test_a_log_of_nothing_is_whole(home: Path) -> None:
    with Desk.open(home, write=False) as desk:
        export = desk.audit_exported()
        assert desk.verify(audit=export).problems == ()
    assert read_exported(export) == ((), Head())


def test_another_log_is_no_continuation(kept: Path, rows: Rows) -> None:
    other = chained(Head(), rows.audit("note"))
    with Desk.open(kept, write=False) as desk:
        text = "".join(f"{line}\n" for line in exported([other]))
        assert len(desk.verify(audit=text).problems) == 1


def test_an_export_that_was_changed_is_not_blamed_on_the_store(kept: Path) -> None:
    with Desk.open(kept, write=False) as desk:
        (first, *rest), _ = read_exported(desk.audit_exported())
        for changed in ([replace(first, salt="x"), *rest], rest):
            with pytest.raises(AuditBroken, match="the export is not what was written: line"):
                desk.verify(audit="".join(f"{line}\n" for line in exported(changed)))


def test_lines_from_before_the_chain_are_chained_as_they_are(kept: Path, rows: Rows) -> None:
    before = [line.row for line in lines_of(kept)]
    with closing(sqlite3.connect(database(kept))) as connection:
        for column in CHAIN:
            connection.execute(f"ALTER TABLE audit DROP COLUMN {column}")
        for table in ("audit_head", "approval", "plan_script"):
            connection.execute(f"DROP TABLE {table}")
        for table, column in (("hold", "site"), ("journal", "script_digest"), ("host_run", "target")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = ?", (opening.SCHEMAS[opening.SCHEMAS.index("0005") - 1],))
        connection.commit()
    with closing(open_store(kept, write=True)) as store:
        store.write(Note(audit=rows.audit("note"))).result()
    assert verify(kept).problems == ()
    lines = lines_of(kept)
    assert [line.row for line in lines] == [*before, rows.audit("note")]
    assert len({line.salt for line in lines}) == 7 and [line.number for line in lines] == [1, 2, 3, 4, 5, 6, 7]


def test_a_backup_with_another_audit_is_not_restored(kept: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(kept))) as connection:
        connection.execute("UPDATE audit SET actor = 'boris' WHERE id = 4")
        connection.commit()
    with Desk.open(kept, write=False) as desk:
        desk.backup(tmp_path / "kept.tar")
    looked = Desk.verify_backup(tmp_path / "other", tmp_path / "kept.tar")
    assert [str(one) for one in looked.found.problems] == ["line 4 of the audit is not what was written"]
