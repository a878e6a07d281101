"""`longarm store` from outside: what is printed, what is asked, the exit codes."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.console.conftest import Console

LOCAL = "hosts:\n  me: {transport: local, customer: acme, address: localhost}\n"


@pytest.fixture
def used(console: Console) -> Console:
    """Return a longarm that has diagnosed this machine once for a case, and once for none."""
    console.inventory(LOCAL)
    for more in (("--case", "CASE-1"), ()):
        done = console("diagnose", "me", "--check", "fs-space", "--fail-on", "never", *more)
        assert done.code in (0, 3), done
    return console


def test_what_a_customer_has_under_another_spelling_is_told(console: Console) -> None:
    for name in ("Acme", "ACME", "Beta"):
        console.inventory(f"hosts: {{me: {{transport: local, address: localhost, customer: {name}}}}}\n")
        assert console("diagnose", "me", "--check", "fs-space", "--fail-on", "never").code in (0, 3)
    told = "kept under another spelling, and not erased: "
    none = console("store", "erase", "--customer", "acme", "--yes")
    assert none.code == 6 and f"{told}ACME, Acme" in none.err
    assert f"{told}Acme\n" in console("store", "erase", "--customer", "ACME", "--yes").err
    assert told not in console("store", "erase", "--customer", "Beta", "--yes").err
    assert told not in console("store", "erase", "--customer", "Acme", "--yes").err


def test_holds_and_freezes_that_an_erasure_lifts_are_told(console: Console) -> None:
    console.inventory(LOCAL)
    assert console("hold", "add", "me", "--reason", "being moved").code == 0
    assert console("freeze", "--customer", "acme", "--reason", "audit").code == 0
    assert console("freeze", "--customer", "acme", "--reason", "again").code == 0
    assert console("hold", "remove", "me").code == 0
    told = "holds and freezes that nobody has removed end with it: 2\n"
    asked = console("store", "erase", "--customer", "acme")
    assert asked.code == 2 and told in asked.err and "holds and freezes: 3?" in asked.err
    erased = console("store", "erase", "--customer", "acme", "--yes", "-q")
    assert erased.out.endswith(", holds and freezes: 3\n") and told in erased.err
    assert console("store", "audit", "--json").json()[-1]["detail"].endswith(", holds and freezes 3")


def run_of(console: Console, case: str | None) -> str:
    return str(next(run["run"] for run in console("run", "list", "--json").json() if run["case"] == case))


@pytest.mark.long
def test_a_store_is_backed_up_verified_restored_pruned_and_erased(used: Console, tmp_path: Path) -> None:
    made = used("store", "backup", str(tmp_path / "kept.tar"), "--json").json()
    assert (tmp_path / "kept.tar").stat().st_size == made["bytes"]
    again = used("store", "backup", str(tmp_path / "kept.tar"))
    assert (again.code, "is there already" in again.err) == (2, True)
    full = used("store", "restore", str(tmp_path / "kept.tar"))
    assert (full.code, "has a store already" in full.err, "--home" in full.err) == (7, True, True)

    verified = used("store", "verify", "--json").json()
    assert (verified["whole"], verified["runs"], verified["hosts"]) == (True, 2, 2)

    refused = used("store", "prune", "--keep", "0")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    pruned = used("store", "prune", "--keep", "0", "--yes", "--json").json()
    alone = run_of(used, None)
    assert (pruned["runs"], pruned["kept_for_cases"]) == ([alone], 1)
    assert "The evidence of 1 host was pruned" in used("run", "show", alone).out
    assert "удалены" in used("run", "show", alone, "--lang", "ru").out
    assert used("run", "export", alone, "--format", "json").json()["hosts"][0]["evidence_pruned_at"]
    gone = used("run", "export", alone, "--format", "answers")
    assert (gone.code, "was pruned on" in gone.err, gone.out) == (7, True, "")
    assert used("store", "prune", "--keep", "0", "--yes").out == "nothing was removed\n"

    report = used.home / "reports" / f"{run_of(used, 'CASE-1')}.html"
    assert report.exists()
    erased = used("store", "erase", "--case", "CASE-1", "--yes", "--json").json()
    assert (erased["erased"], erased["runs"], erased["attachments"], report.exists()) == (True, 1, 1, False)
    none = used("store", "erase", "--case", "CASE-1", "--yes")
    assert (none.code, "nothing in" in none.err) == (6, True)

    kept, ours = str(tmp_path / "kept.tar"), ("--erasures-of", str(used.home))
    looked = used("store", "verify", kept, "--json").json()
    assert (looked["whole"], looked["runs"], looked["hosts"], looked["pruned"]) == (True, 2, 2, 0)
    assert [(one["case"], one["customer"]) for one in looked["undoes"]] == [("CASE-1", None)]
    assert "восстановление отменило бы удаление" in used("store", "verify", kept, "--lang", "ru").err

    other = used.elsewhere(tmp_path / "other")
    refused = other("store", "restore", kept, *ours)
    assert (refused.code, "case:CASE-1" in refused.err, "--undo-erasures" in refused.err) == (7, True, True)
    undone = other("store", "restore", kept, *ours, "--undo-erasures")
    assert (undone.code, "case:CASE-1" in undone.err, "longarm store erase" in undone.err) == (0, True, True)
    assert len(other("run", "list", "--json").json()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["store", "prune"], 2, ["--older-than AGE"]),
        (["store", "prune", "--older-than", "old"], 2, ["is no age", "90d"]),
        (["store", "prune", "--run", "nosuch", "--keep", "0"], 2, ["--run names what goes", "leave the others out"]),
        (["store", "prune", "--run", "nosuch"], 6, ["nosuch", "longarm run list"]),
        (["store", "erase"], 2, ["--customer NAME"]),
        (["store", "erase", "--customer", "a", "--case", "b"], 2, ["--case CASE"]),
        (["store", "erase", "--customer", "nobody"], 6, ["nobody", "next:"]),
        (["store", "backup", "kept.tar"], 2, ["there is no store", "longarm diagnose TARGETS"]),
        (["store", "restore", "missing.tar"], 2, ["missing.tar: there is no such file"]),
        (["store", "restore", "/etc/hostname"], 7, ["was not restored", "next:"]),
        (["store", "restore", "kept.tar", "--erasures-of", "nowhere"], 2, ["nowhere"]),
        (["store", "restore", "/etc/hostname", "--erasures-of", "/usr"], 2, ["/usr is no home", "--erasures-of DIR"]),
        (["store", "verify", "missing.tar"], 2, ["missing.tar: there is no such file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_said(console: Console, arguments: list[str], code: int, told: list[str]) -> None:
    console.inventory(LOCAL)
    done = console(*arguments)
    assert (done.code, done.out) == (code, "")
    for part in told:
        assert part in done.err


def test_the_audit_is_shown_exported_and_compared_with_what_was_exported(used: Console, tmp_path: Path) -> None:
    run = run_of(used, "CASE-1")
    assert [row["action"] for row in used("store", "audit", "--run", run[-6:], "--json").json()][:2] == [
        "run.started",
        "run.ended",
    ]
    table = used("store", "audit").out
    assert "ACTION" in table and "report.sent" in table and "ДЕЙСТВИЕ" in used("store", "audit", "--lang", "ru").out
    export = str(tmp_path / "audit.jsonl")
    made = used("store", "audit", "--export", export, "--json").json()
    assert made["lines"] == len(used("store", "audit", "--json").json()) == len(Path(export).read_text().splitlines()) - 1
    assert Path(export).stat().st_mode & 0o777 == 0o600
    again = used("store", "audit", "--export", export)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert used("store", "erase", "--case", "CASE-1", "--yes").code == 0
    assert used("store", "verify", "--audit", export).code == 0
    with closing(sqlite3.connect(used.home / "longarm.db")) as connection:
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE id = 1")
        connection.execute("DELETE FROM audit WHERE id = 2")
        connection.commit()
    told = used("store", "verify", "--audit", export, "--json")
    problems = told.json()["problems"]
    assert told.code == 7 and problems[0] == "line 1 of the audit is not what was written"
    assert problems[1] == "line 3 of the audit does not follow line 1"
    assert used("store", "verify", "--audit", "/etc/hostname").code == 7


def test_a_damaged_store_fails_its_verification(used: Console) -> None:
    blob = next(path for path in (used.home / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"")
    done = used("store", "verify")
    assert done.code == 7
    assert done.err.startswith(f"{used.home}: evidence {blob.parent.name}{blob.name} is damaged")
    assert "store restore" in done.err


DOCTOR = ["doctor", "--json"]


@pytest.mark.parametrize("emptied", [True, False])
def test_a_lost_database_is_a_problem_and_nothing_of_a_case_is_pruned(used: Console, tmp_path: Path, emptied: bool) -> None:
    kept = str(tmp_path / "kept.tar")
    assert used("store", "backup", kept).code == 0
    for path in used.home.glob("longarm.db*"):
        path.unlink()
    if emptied:
        (used.home / "longarm.db").touch(0o600)
    blobs = sorted((used.home / "blobs").rglob("*"))
    for arguments in (
        ["store", "verify"],
        ["run", "list"],
        ["diagnose", "me", "--check", "fs-space"],
        ["store", "prune", "--older-than", "1d", "--yes"],
        ["store", "backup", str(tmp_path / "again.tar")],
        ["freeze", "--reason", "moving"],
    ):
        done = used(*arguments)
        assert (done.code, done.out) == (7, ""), arguments
        assert "has lost its database" in done.err and "longarm store restore FILE" in done.err
    (row,) = [row for row in used(*DOCTOR).json() if row["what"] == "store"]
    assert row["state"] == "problem" and "longarm store restore FILE" in row["next"]
    assert sorted((used.home / "blobs").rglob("*")) == blobs
    assert used("store", "restore", kept).code == 0
    assert (len(used("run", "list", "--json").json()), used("store", "verify").code) == (2, 0)


def test_what_belongs_to_no_run_is_counted_before_it_is_pruned(used: Console) -> None:
    stray = used.home / "blobs" / "ab" / ("c" * 62)
    stray.write_bytes(b"of a run that nobody knows any more")
    asked = used("store", "prune", "--older-than", "1d")
    assert asked.code == 2 and "runs: 0, hosts: 0, left over: 1; " in asked.err
    assert "left over: 1; " in used("store", "prune", "--older-than", "1d", "--yes").out
    assert not stray.exists()


def test_what_is_no_backup_fails_its_verification(console: Console) -> None:
    done = console("store", "verify", "/etc/hostname", "--json")
    assert (done.code, done.json()["whole"], done.json()["sha256"]) == (7, False, None)
    assert "/etc/hostname: it ends too early\n" in done.err
    assert "longarm store backup FILE" in done.err


def set_schema(home: Path, schema: str) -> None:
    with closing(sqlite3.connect(home / "longarm.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (schema,))
        connection.commit()


WRITING = [["diagnose", "me", "--check", "fs-space"], ["store", "prune", "--keep", "1"], ["case", "deliver"]]
READING = [["run", "list"], ["store", "verify"], ["store", "backup", "kept.tar"], ["case", "list"]]


@pytest.mark.parametrize("arguments", [*WRITING, *READING], ids=" ".join)
def test_a_store_from_a_newer_version_is_not_touched(console: Console, arguments: list[str]) -> None:
    console.inventory(LOCAL)
    assert console("store", "prune", "--keep", "1").code == 0  # makes a store
    set_schema(console.home, "9999")
    before = (console.home / "longarm.db").read_bytes()
    done = console(*arguments)
    assert (done.code, done.out) == (7, "")
    assert "written by a newer longarm (schema 9999" in done.err
    assert "next: update longarm; nothing was changed" in done.err
    assert (console.home / "longarm.db").read_bytes() == before


def test_an_older_store_is_brought_up_to_date_by_what_writes(console: Console) -> None:
    console.inventory(LOCAL)
    assert console("hold", "add", "me", "--reason", "being moved").code == 0
    with closing(sqlite3.connect(console.home / "longarm.db")) as connection:
        for column in ("run.erased_hosts", "host_run.pruned_at", "host_run.change", "host_run.flags", "host_run.target"):
            connection.execute("ALTER TABLE {} DROP COLUMN {}".format(*column.split(".")))
        for column in ("salt", "content", "erased", "previous", "digest"):
            connection.execute(f"ALTER TABLE audit DROP COLUMN {column}")
        for table in ("doomed", "journal", "plan_script", "lease", "sample", "hold", "freeze", "mute", "audit_head"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP TABLE approval")
        connection.commit()
    set_schema(console.home, "0001")
    read = console("run", "list")
    assert read.code == 7
    assert "has schema 0001" in read.err
    assert "brings it up to date" in read.err
    assert console("case", "deliver").code == 0
    assert (console("run", "list").code, console("store", "verify").code) == (0, 0)
    assert [row["action"] for row in console("store", "audit", "--json").json()] == ["hold.added"]


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_home_that_another_process_writes_to_is_said_with_who_it_is(console: Console, arguments: list[str]) -> None:
    console.inventory(LOCAL)
    assert console("store", "prune", "--keep", "1").code == 0
    with (console.home / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid": 4711, "command": "longarm diagnose all", "since": "2026-11-22T10:47:55+00:00"}\n')
        lock.flush()
        done = console(*arguments)
        assert (done.code, done.out) == (7, "")
        assert "in use by process 4711 (longarm diagnose all) since 2026-11-22 10:47:55 UTC" in done.err
        assert "next: wait for it" in done.err
        assert console("run", "list").code == 0


OFFERED = {
    "store era": "erase",
    "store restore --und": "--undo-erasures",
    "store verify --era": "--erasures-of",
    "store erase --customer ac": "acme",
    "store erase --case CA": "CASE-1",
}


@pytest.mark.parametrize(("words", "offered"), OFFERED.items())
def test_completion_knows_customers_and_cases(used: Console, words: str, offered: str) -> None:
    line = f"longarm {words}"
    environ = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_LONGARM_COMPLETE": "bash_complete"}
    assert f"plain,{offered}" in used(environ=environ).out.splitlines()


def test_a_prune_that_removed_nothing_is_no_deed(console: Console) -> None:
    done = console("store", "prune", "--keep", "0", "--json")
    assert (done.code, done.json()["pruned"]) == (0, False)
    assert [row["action"] for row in console("store", "audit", "--json").json()] == []
