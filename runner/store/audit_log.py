"""The audit log as a chain: each line carries the digest of the one before it and of its own content.

What an erasure may take out of a line (whose it was, the digests, the detail) is apart from what is chained: the chain holds a
salted digest of it. An erasure leaves that digest, takes the salt, so that nobody can guess what was there, and says in its own
line what each line that it touched holds from then on. Nothing else changes a line without being found.

The chain has no key: whoever may write to a store could make a whole new one. What was exported to somewhere else tells that.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from inventory.errors import LongarmError, Text
from runner.store.blobs import digest_of
from runner.store.rows import AuditRow

FORMAT: Final = "longarm-audit/1"
NOTHING: Final = "0" * 64
"""What the first line says of the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last line of a log: what is not there any more after a tail was cut off."""

    number: int = 0
    digest: str = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One row of the audit as it is chained."""

    number: int
    row: AuditRow
    salt: str
    content: str
    """Digest of what an erasure may take out, as it was when the line was written."""
    erased: Mapping[int, str] = field(default_factory=dict, hash=False)
    """Of an erasure: the lines that it touched, with the digest of what they hold from then on."""
    previous: str
    digest: str


class AuditBroken(LongarmError):
    """An exported log that is not one, or not as it was exported."""


_ANOTHER: Final = Text("take another copy of it, or export it anew: longarm store audit --export FILE")


def chained(head: Head, row: AuditRow, erased: Mapping[int, str] | None = None) -> AuditLine:
    """Return the line that a row makes behind the last one of a log."""
    salt = new_salt()
    line = AuditLine(
        number=head.number + 1,
        row=row,
        salt=salt,
        content=content_digest(row, salt),
        erased=erased or {},
        previous=head.digest,
        digest="",
    )
    return AuditLine(**{**_values(line), "digest": _digest(line)})


def content_digest(row: AuditRow, salt: str) -> str:
    """Return the digest of what an erasure may take out of a row."""
    return digest_of(_canonical([salt, row.case, list(row.customers), list(row.digests), row.detail]))


def new_salt() -> str:
    """Return 128 random bits as text: customers' names are few enough to be guessed, and their digests with them."""
    return secrets.token_hex(16)


def problems(lines: Iterable[AuditLine], head: Head) -> Iterator[Text]:
    """Yield what is wrong with a whole log: lines that were changed, left out, put elsewhere, or cut off at its end."""
    whole = tuple(lines)
    now = {number: digest for line in whole for number, digest in line.erased.items() if number < line.number}
    before = Head()
    for line in whole:
        if line.previous != before.digest or line.number <= before.number:
            yield Text("line {number} of the audit does not follow line {before}", number=line.number, before=before.number)
        if _digest(line) != line.digest or content_digest(line.row, line.salt) != now.get(line.number, line.content):
            yield Text("line {number} of the audit is not what was written", number=line.number)
        before = Head(number=line.number, digest=line.digest)
    if before != head:
        yield Text("the audit ends with line {found}, and line {number} was written", found=before.number, number=head.number)


def continues(lines: Iterable[AuditLine], exported: Head) -> bool:
    """Tell whether a log still holds what was exported of it, to its last line then."""
    if exported == Head():
        return True
    return any((line.number, line.digest) == (exported.number, exported.digest) for line in lines)


def exported(lines: Iterable[AuditLine]) -> Iterator[str]:
    """Yield a log as lines of JSON, the last one saying which line is the last."""
    head = Head()
    for line in lines:
        yield _json(_document(line))
        head = Head(number=line.number, digest=line.digest)
    yield _json({"format": FORMAT, "lines": head.number, "digest": head.digest})


def read_exported(text: str) -> tuple[tuple[AuditLine, ...], Head]:
    """Return an exported log and its head; raises AuditBroken for what `exported` cannot have written."""
    pieces = text.split("\n")
    if pieces.pop() or not pieces:
        raise AuditBroken(Text("the export does not end with a whole line"), _ANOTHER)
    lines, head = [], None
    for number, piece in enumerate(pieces, start=1):
        try:
            document = json.loads(piece)
            if number == len(pieces):
                head, again = Head(number=document["lines"], digest=document["digest"]), document
                known = document.keys() == {"format", "lines", "digest"} and document["format"] == FORMAT
            else:
                lines.append(_line(document))
                known, again = True, _document(lines[-1])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            known = False
        if not known or _json(again) != piece:
            raise AuditBroken(Text("line {number} of the export is not one of an audit log", number=number), _ANOTHER)
    assert head is not None
    return tuple(lines), head


def read_whole(text: str) -> Head:
    """Return the head of an exported log; raises AuditBroken also for one that says what was never chained so."""
    lines, head = read_exported(text)
    for problem in problems(lines, head):
        raise AuditBroken(Text("the export is not what was written: {problem}", problem=problem), _ANOTHER)
    return head


# Inside


def _digest(line: AuditLine) -> str:
    """Return the digest of what is chained of a line."""
    row = line.row
    erased = {str(number): digest for number, digest in line.erased.items()}
    facts = [FORMAT, line.number, _moment(row.at), row.actor, row.action, row.run, line.content, erased, line.previous]
    return digest_of(_canonical(facts))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _values(line: AuditLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in ("number", "row", "salt", "content", "erased", "previous")}


def _document(line: AuditLine) -> dict[str, Any]:
    row = line.row
    return {
        "number": line.number,
        "at": _moment(row.at),
        "actor": row.actor,
        "action": row.action,
        "run": row.run,
        "case": row.case,
        "customers": list(row.customers),
        "digests": list(row.digests),
        "detail": row.detail,
        "salt": line.salt,
        "content": line.content,
        "erased": {str(number): digest for number, digest in line.erased.items()},
        "previous": line.previous,
        "digest": line.digest,
    }


def _line(document: Mapping[str, Any]) -> AuditLine:
    row = AuditRow(
        at=datetime.fromisoformat(document["at"]),
        actor=document["actor"],
        action=document["action"],
        run=document["run"],
        case=document["case"],
        customers=tuple(document["customers"]),
        digests=tuple(document["digests"]),
        detail=document["detail"],
    )
    return AuditLine(
        number=document["number"],
        row=row,
        salt=document["salt"],
        content=document["content"],
        erased={int(number): digest for number, digest in document["erased"].items()},
        previous=document["previous"],
        digest=document["digest"],
    )
