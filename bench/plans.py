"""`python -m bench.plans`: how much room the plan of a repair takes in the store, beside the same with scripts in each line.

A plan keeps what each step would send. Hosts of a run are mostly sent the same, so a script is kept once and named by its
digest (migration 0008). Each playbook is planned on real shells of this machine, which changes nothing; then a copy of the
store is given every script in every line, as it was before, and both are as small as SQLite makes them (VACUUM).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from bench.run import HERE
from diagnostics.library import Library, load_library
from inventory.host import Host, Selection, Transport
from playbooks.load import SHIPPED, load_playbook
from playbooks.params import settled_params
from playbooks.testing import FakeOperator
from remote.local import LocalSession
from remote.session import Session
from runner.desk import Desk
from runner.observer import Silent
from runner.request import RepairRequest
from runner.store.encoding import script_of

PLANNED: Mapping[Path, Mapping[str, str]] = {
    HERE / "steps" / "longarm.yaml": {},
    SHIPPED / "repair-packages.yaml": {},
    SHIPPED / "restart-service.yaml": {"unit": "cron.service"},
}
"""With their parameters; none of them lists files of this machine, which would be most of what is kept."""
SCRIPTS = """
SELECT journal.id, data, script FROM journal JOIN plan_script ON plan_script.run = journal.run AND digest = script_digest
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one plan takes."""

    playbook: str
    lines: int
    """Of the journal that have a script."""
    scripts: int
    kept_bytes: int
    """The database as it is."""
    before_bytes: int
    """The same with the scripts in the lines."""
    evidence_bytes: int
    """What lies beside it in files either way."""


@asynccontextmanager
async def here(host: Host) -> AsyncIterator[Session]:
    """Open a session to this machine."""
    session = LocalSession(host)
    try:
        yield session
    finally:
        await session.leave()


def planned(home: Path, path: Path, library: Library, count: int) -> None:
    """Plan a repair of so many hosts."""
    hosts = tuple(Host(name=f"host-{number:05}", address="127.0.0.1", transport=Transport.LOCAL) for number in range(count))
    playbook = load_playbook(path, library)
    request = RepairRequest(
        selection=Selection(expression="all", hosts=hosts),
        playbook=playbook,
        library=library,
        params=settled_params(playbook.params, PLANNED[path]),
        case=None,
        actor="bench",
        operator=FakeOperator(),
        only_plan=True,
        forced="bench",
    )
    with Desk.open(home, write=True, actor="bench") as desk:
        record = asyncio.run(desk.repair(request, connect=here, observer=Silent()))
    assert all(host.repair is not None and host.repair.plans for host in record.hosts), "a host was not planned"


def room(folder: Path, path: Path, library: Library, count: int) -> Room:
    """Return what the plan of a playbook takes on so many hosts."""
    home, before = folder / path.stem, folder / f"{path.stem}.before"
    home.mkdir(mode=0o700)
    planned(home, path, library, count)
    shutil.copytree(home, before)
    with closing(sqlite3.connect(home / "longarm.db")) as store:
        (lines,) = store.execute("SELECT count(*) FROM journal WHERE script_digest IS NOT NULL").fetchone()
        (scripts,) = store.execute("SELECT count(*) FROM plan_script").fetchone()
    return Room(
        playbook=path.stem,
        lines=lines,
        scripts=scripts,
        kept_bytes=smallest(home),
        before_bytes=smallest(before, as_before=True),
        evidence_bytes=sum(file.stat().st_size for file in (home / "blobs").rglob("*") if file.is_file()),
    )


def smallest(home: Path, *, as_before: bool = False) -> int:
    """Return the bytes of a store's database, where they are fewest; `as_before`: with the scripts in the lines."""
    with closing(sqlite3.connect(home / "longarm.db", isolation_level=None)) as store:
        if as_before:
            lines = store.execute(SCRIPTS).fetchall()
            texts = [
                (json.dumps(json.loads(data) | {"script": script_of({"script": script})}), number)
                for number, data, script in lines
            ]
            store.executemany("UPDATE journal SET data = ? WHERE id = ?", texts)
            store.execute("DELETE FROM plan_script")
        for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            store.execute(statement).fetchall()
    return (home / "longarm.db").stat().st_size


HEADS = ("lines", "scripts", "kept KiB", "before KiB", "kept / before", "evidence KiB")


def table(rows: Sequence[Room]) -> str:
    """Return the figures."""
    lines = ["plan of".ljust(18) + "".join(head.rjust(15) for head in HEADS)]
    for row in rows:
        kept, before, evidence = (size / 1024 for size in (row.kept_bytes, row.before_bytes, row.evidence_bytes))
        figures = (row.lines, row.scripts, f"{kept:.0f}", f"{before:.0f}", f"{kept / before:.2f}", f"{evidence:.0f}")
        lines.append(row.playbook.ljust(18) + "".join(str(figure).rjust(15) for figure in figures))
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    asked = parser.parse_args()
    library = load_library()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        rows = [room(Path(folder), path, library, asked.hosts) for path in PLANNED]
    print(f"{asked.hosts} hosts, databases after VACUUM", table(rows), sep="\n")


if __name__ == "__main__":
    main()
