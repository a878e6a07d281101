"""Keep the house: what `longarm store` does, asks and tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from console.faults import FAULT
from console.files import private
from console.listing import show_document, show_list
from console.settings import Settings
from console.terminal import complain_in_a_line, confirmed, tell, tell_hint
from console.words import say
from inventory.errors import Text, UsageError, utc
from inventory.fields import parse_duration
from reports.language import language
from runner.desk import Desk
from runner.names import customers_met
from runner.outcome import RunState
from runner.record import RunRecord
from runner.store.changes import Belonging
from runner.store.verified import Undone, Verification

_QUIET_BELOW = 200
"""Blobs that take no time worth a line."""


def take_backup(settings: Settings, to: Path) -> None:
    """Write a backup to a new file and tell how big it is."""
    with Desk.open(settings.home, write=False) as desk:
        made = desk.backup(to, _tenths(settings))
    _show(
        settings,
        {"file": made.path, "bytes": made.bytes, "sha256": made.sha256, "taken_at": made.taken_at, "blobs": made.blobs},
        Text("backup {file}: {size}, blobs: {blobs}", file=made.path, size=_size(settings, made.bytes), blobs=made.blobs),
    )


@contextmanager
def _there(backup: Path) -> Iterator[None]:
    """Let a backup that is not there be a mistake of the command line."""
    try:
        yield
    except FileNotFoundError:
        if backup.exists():
            raise
        raise UsageError(Text("{path}: there is no such file", path=str(backup)), Text("longarm store verify FILE")) from None


def restore_backup(settings: Settings, backup: Path, undo_erasures: bool, erasures_of: Sequence[Path]) -> None:
    """Make the home's store of a backup and tell how old it is, and what was erased and is there again."""
    with _there(backup):
        made, undone = Desk.restore(
            settings.home, backup, undo_erasures=undo_erasures, erasures_of=erasures_of, progress=_tenths(settings)
        )
    document = {"home": settings.home, "file": made.path, "sha256": made.sha256, "taken_at": made.taken_at, "blobs": made.blobs}
    _show(
        settings,
        document | {"undone": _undone(undone)},
        Text("{home} holds what was kept at {moment}", home=settings.home, moment=utc(made.taken_at)),
    )
    for one in undone:
        tell(settings, Text("there again, though erased on {day}: {what}", day=_day(one), what=one.belonging.named))
    tell_hint(settings, "longarm store erase" if undone else "longarm run list")


def verify_store(settings: Settings, audit: Path | None = None) -> int:
    """Look at every byte that is kept; FAULT where something is wrong, with a line for each thing."""
    exported = None if audit is None else audit.read_text("utf-8", errors="backslashreplace")
    with Desk.open(settings.home, write=False) as desk:
        found = desk.verify(_tenths(settings), audit=exported)
    return _tell_found(settings, found, {}, settings.home, "longarm --home DIR store restore FILE")


_AUDIT = {
    "at": Text("time"),
    "actor": Text("actor"),
    "action": Text("action"),
    "run": Text("run"),
    "case": Text("case"),
    "customers": Text("customers"),
    "detail": Text("detail"),
}


def show_audit(settings: Settings, run: str | None) -> None:
    """Show who did what, oldest first."""
    with Desk.open(settings.home, write=False) as desk:
        rows = desk.audit(desk.record(run).run if run else None)
    shown = [{name: getattr(row, name) for name in (*_AUDIT, "digests")} for row in rows]
    show_list(settings.output, _AUDIT, shown)


def export_audit(settings: Settings, to: Path) -> None:
    """Write the audit log with its digests to a new file of the user's own, and tell where it ends."""
    with Desk.open(settings.home, write=False) as desk:
        data = desk.audit_exported()
    try:
        with open(to, "x", encoding="utf-8", opener=private) as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(Text("{path} is there already", path=str(to)), Text("name a file that is not there yet")) from None
    end = json.loads(data.splitlines()[-1])
    document = {"file": to, "lines": end["lines"], "digest": end["digest"]}
    written = Text(
        "written: {path}, lines: {lines}, the last one is {digest}", path=str(to), lines=end["lines"], digest=end["digest"]
    )
    _show(settings, document, written)
    tell_hint(settings, f"longarm store verify --audit {to}")


def verify_archive(settings: Settings, backup: Path, erasures_of: Sequence[Path]) -> int:
    """Look at every byte of a backup, restoring nothing; FAULT where something is wrong with it."""
    with _there(backup):
        looked = Desk.verify_backup(settings.home, backup, erasures_of=erasures_of, progress=_tenths(settings))
    made = looked.backup
    more = {
        "file": backup,
        "sha256": made and made.sha256,
        "taken_at": made and made.taken_at,
        "undoes": _undone(looked.undone),
    }
    code = _tell_found(settings, looked.found, more, backup, "longarm store backup FILE")
    for one in looked.undone:
        what = Text("restoring it would undo an erasure of {day}: {what}", day=_day(one), what=one.belonging.named)
        tell(settings, what)
    return code


def _tell_found(settings: Settings, found: Verification, more: Mapping[str, object], place: Path, hint: str) -> int:
    for problem in found.problems:
        complain_in_a_line(f"{place}: {say(problem)}")
    counts = {name: getattr(found, name) for name in ("runs", "hosts", "blobs", "pruned", "orphans")}
    whole = Text(
        "everything is whole; runs: {runs}, hosts: {hosts}, blobs: {blobs}, pruned: {pruned}, left over: {orphans}", **counts
    )
    document = {
        "whole": not found.problems,
        "schema": found.schema,
        **counts,
        "problems": [say(problem) for problem in found.problems],
        **more,
    }
    _show(settings, document, Text("problems: {count}", count=len(found.problems)) if found.problems else whole)
    if found.problems:
        tell_hint(settings, hint)
    return FAULT if found.problems else 0


def _undone(undone: Sequence[Undone]) -> list[Mapping[str, object]]:
    return [
        {"customer": one.belonging.customer, "case": one.belonging.case, "erased_at": one.erased_at.isoformat()}
        for one in undone
    ]


def _day(one: Undone) -> str:
    return f"{one.erased_at:%Y-%m-%d}"


def prune_store(settings: Settings, older_than: str | None, keep: int | None, cases: bool, runs: Sequence[str] = ()) -> None:
    """Remove old evidence, once somebody has agreed to how much; runs for a case, or that can go on, are counted and stay."""
    age = _age(older_than)
    if runs and (age is not None or keep is not None or cases):
        raise UsageError(Text("--run names what goes: nothing else says it"), Text("leave the others out"))
    if age is None and keep is None and not runs:
        raise UsageError(Text("say what is old: --older-than AGE, --keep N, or both"), Text("longarm store prune --help"))
    with Desk.open(settings.home, write=True, alone=True) as desk:
        records = [desk.record(run) for run in runs]
        plan = desk.prunable(older_than=age, keep=keep or 0, cases=cases, runs=[record.run for record in records])
        found, size = plan.found, _size(settings, plan.bytes)
        if found.kept_for_cases:
            tell(settings, Text("kept, since they are for a case (--cases): {count}", count=found.kept_for_cases))
        if found.kept_to_go_on:
            count = found.kept_to_go_on
            tell(settings, Text("kept, since they can go on (longarm run resume RUN, or --run RUN): {count}", count=count))
        for record in records:
            _tell_going_on(settings, record)
        of = {"runs": len(found.runs), "hosts": found.hosts, "left": len(plan.orphans), "size": size}
        question = Text("remove the evidence of runs: {runs}, hosts: {hosts}, left over: {left}; {size}?", **of)
        pruned = not plan.nothing and confirmed(settings, question)
        if pruned:
            desk.prune(plan)
    document = {
        "pruned": pruned,
        "runs": list(found.runs),
        "hosts": found.hosts,
        "bytes": plan.bytes,
        "orphans": len(plan.orphans),
        "kept_for_cases": found.kept_for_cases,
        "kept_to_go_on": found.kept_to_go_on,
    }
    done = Text("removed the evidence of runs: {runs}, hosts: {hosts}, left over: {left}; {size}", **of)
    _show(settings, document, done if pruned else Text("nothing was removed"))


def _tell_going_on(settings: Settings, record: RunRecord) -> None:
    """Tell of a run that is to be pruned and can go on until then what becomes of it."""
    if record.state is RunState.INTERRUPTED and record.kind.resumable:
        text = Text(
            "run {run} was cut off and can go on: where it changed a host, it cannot any more afterwards", run=record.run
        )
        tell(settings, text, level=-1)


def erase_from_store(settings: Settings, customer: str | None, case: str | None) -> None:
    """Erase what belongs to a customer or a case, once somebody has agreed to how much."""
    if customer is not None and case is not None:
        raise UsageError(Text("a customer or a case, not both"), Text("erase each of them: --customer NAME, then --case CASE"))
    if customer is None and case is None:
        raise UsageError(Text("say whose: --customer NAME or --case CASE"), Text("longarm store erase --help"))
    belonging = Belonging(customer=customer, case=case)
    try:
        _erase(settings, belonging)
    finally:
        if customer is not None:
            _tell_other_spellings(settings, customer)


def _tell_other_spellings(settings: Settings, customer: str) -> None:
    """Tell what of a customer is kept under a name that differs in upper and lower case: an inventory once said so."""
    others = [name for name in customers_met(settings.home) if name != customer and name.casefold() == customer.casefold()]
    if others:
        tell(settings, Text("kept under another spelling, and not erased: {names}", names=", ".join(others)), level=-1)


def _erase(settings: Settings, belonging: Belonging) -> None:
    with Desk.open(settings.home, write=True, alone=True) as desk:
        found = desk.erasable(belonging)
        how_much = {
            "runs": len(found.runs),
            "shared_runs": len(found.shared),
            "hosts": found.hosts,
            "reports": len(found.reports),
            "attachments": len(found.attachments),
            "cases": len(found.cases),
            "stops": found.stops,
        }
        what = Text(
            "runs: {runs}, in part: {shared_runs}, hosts: {hosts}, reports: {reports}, attachments: {attachments},"
            " holds and freezes: {stops}",
            **how_much,
        )
        if found.standing:
            lifted = Text("holds and freezes that nobody has removed end with it: {count}", count=found.standing)
            tell(settings, lifted, level=-1)
        agreed = confirmed(settings, Text("erase for good {what}?", what=what))
        if agreed:
            desk.erase(belonging)
    done = Text("erased: {what}", what=what) if agreed else Text("nothing was removed")
    _show(settings, {"erased": agreed, **how_much}, done)
    if agreed:
        hint = Text("not touched: the inventory, known_hosts, crash files and backups; hosts may be named there")
        tell(settings, hint)


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if (seconds := parse_duration(text)) is None:
        raise UsageError(Text("“{text}” is no age", text=text), Text("such as 90d, 12h or 30m"))
    return timedelta(seconds=seconds)


def _size(settings: Settings, size: int) -> str:
    return language(settings.language).bytes(size)


def _show(settings: Settings, document: Mapping[str, object], text: Text) -> None:
    show_document(settings.output, document, lambda: say(text) + "\n")


def _tenths(settings: Settings) -> Callable[[int, int], None]:
    """Return what tells each tenth of long work."""

    def progress(done: int, total: int) -> None:
        if total >= _QUIET_BELOW and done * 10 // total > (done - 1) * 10 // total:
            tell(settings, Text("blobs: {done} of {all}", done=done, all=total))

    return progress
