"""What was erased from a home, kept beside its store: a backup that is older than an erasure would bring it back.

`erasures.jsonl` outlives the database, which may be lost and restored; it holds when, and the SHA-256 of
`customer:NAME` or `case:CASE`, never a name. Only a backup that still holds the name shows whose erasure it undoes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inventory.errors import Text, UsageError
from runner.places import ERASURES
from runner.store.blobs import create, digest_of, is_digest, sync
from runner.store.changes import Belonging
from runner.store.errors import StoreError
from runner.store.opening import database
from runner.store.verified import Undone

_NAMES = """
SELECT customer, NULL FROM host_run UNION SELECT customer, NULL FROM check_state UNION SELECT customer, NULL FROM lease
UNION SELECT customer, NULL FROM case_attachment UNION SELECT customer, NULL FROM support_case
UNION SELECT NULL, case_ref FROM run UNION SELECT NULL, case_ref FROM outbox
UNION SELECT NULL, case_ref FROM case_attachment UNION SELECT NULL, ref FROM support_case
"""
"""Everybody to whom something in a database belongs (`erasable` of runner.store.removing)."""


_AUDITED = "SELECT at, action, digests FROM audit WHERE action IN (?, ?)"
ERASED, RESTORED = "store.erased", "store.restored"
"""What the audit calls it; a restoring notes the erasures that were known by then."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Erasure:
    """That something was erased, without whose it was."""

    at: datetime
    digest: str
    """SHA-256 of `Belonging.named`."""


def erasures_in(home: Path) -> tuple[Erasure, ...]:
    """Return the erasures that a home has recorded, oldest first; raises StoreError for a line that is none."""
    path = _file(home)
    if not path.exists():
        return ()
    return tuple(_erasure(path, *numbered) for numbered in enumerate(path.read_bytes().splitlines(), start=1))


def erasures_elsewhere(home: Path) -> tuple[Erasure, ...]:
    """Return the erasures of a home that was named; raises UsageError for a folder that is none: nothing would hold of it."""
    if not _file(home).exists() and not database(home).exists():
        names = {"database": database(home).name, "erasures": ERASURES}
        text = Text("{path} is no home: there is neither {database} nor {erasures} in it", path=str(home), **names)
        raise UsageError(text, Text("name the home whose erasures are to hold: --erasures-of DIR"))
    return erasures_in(home)


def record_erasures(home: Path, erasures: Iterable[Erasure]) -> None:
    """Add erasures to those of a home; when this returns, they are on the disk."""
    known = erasures_in(home)
    if not (new := {*erasures} - {*known}):
        return
    lines = [json.dumps({"at": one.at.isoformat(), "digest": one.digest}) + "\n" for one in sorted({*known, *new})]
    aside = _file(home).with_suffix(".new")
    create(aside, "".join(lines).encode())
    aside.rename(_file(home))
    sync(home)


def undone_by(unpacked: Path, erasures: Iterable[Erasure]) -> tuple[Undone, ...]:
    """Return the erasures, oldest first, that came after a backup was taken and whose data its database still holds.

    Its own audit tells which came before, whatever the clock said. One that it does not know and that is dated earlier came
    from elsewhere, or the clock was stepped back: nobody can tell, so it counts.
    """
    known = tuple(_known(unpacked))
    later = {
        erasure.digest: erasure.at
        for erasure in sorted(erasures)
        if not any(
            digest == erasure.digest and (at == erasure.at or (restored and at > erasure.at)) for at, digest, restored in known
        )
    }
    with closing(sqlite3.connect(f"{database(unpacked).as_uri()}?mode=ro", uri=True)) as connection:
        there = [*belongings(connection)]
    undone = [
        Undone(belonging=belonging, erased_at=later[digest])
        for belonging in there
        if (digest := digest_of(belonging.named.encode())) in later
    ]
    return tuple(sorted(undone, key=lambda one: (one.erased_at, one.belonging.named)))


def _known(unpacked: Path) -> Iterator[tuple[datetime, str, bool]]:
    """Yield of each erasure in the audit of a database when it was and whose; true: it was known by then, in a restoring."""
    with closing(sqlite3.connect(f"{database(unpacked).as_uri()}?mode=ro", uri=True)) as connection:
        for at, action, digests in connection.execute(_AUDITED, (ERASED, RESTORED)):
            moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
            yield from ((moment, digest, action == RESTORED) for digest in json.loads(digests))


def belongings(connection: sqlite3.Connection) -> Iterator[Belonging]:
    """Yield everybody to whom something in a database belongs."""
    for customer, case in connection.execute(_NAMES):
        if customer is not None or case is not None:
            yield Belonging(customer=customer, case=case)


def _erasure(path: Path, number: int, line: bytes) -> Erasure:
    try:
        words = json.loads(line.decode())
        erasure = Erasure(at=datetime.fromisoformat(words["at"]).astimezone(UTC), digest=words["digest"])
    except (ValueError, KeyError, TypeError, OverflowError):
        erasure = None
    if erasure is None or not is_digest(erasure.digest):
        text = Text("{path}:{line} is not the record of an erasure", path=str(path), line=number)
        raise StoreError(path.parent, text, Text("mend the file: what it does not say may be brought back"))
    return erasure


def _file(home: Path) -> Path:
    return home / ERASURES
