"""The commands that follow a repair or a plan: what does it, what repairs a finding, what comes first."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import playbooks
from diagnostics.finding import Finding
from playbooks.params import given_words
from runner.outcome import Outcome, RunKind
from runner.record import RunRecord
from runner.request import AT_ONCE


def offer_of(record: RunRecord, finding: Finding) -> str:
    """Return the command that repairs a finding of a diagnosis; empty where no playbook that comes with longarm does."""
    remedy = finding.remedy
    if record.kind is not RunKind.DIAGNOSE or remedy is None or finding.waived or remedy.playbook not in _shipped():
        return ""
    return record.called.command("repair", "--finding", f"{record.run}/{finding.id}", *_case(record))


def cause_repair(record: RunRecord, cause: Finding) -> str:
    """Return the command that repairs a cause which a run has seen; empty where there is none."""
    words_ = repair_of_cause(record, cause)
    return record.called.command(*words_) if words_ else ""


def repair_of_cause(record: RunRecord, cause: Finding) -> tuple[str, ...]:
    """Return the words after `longarm` that repair a cause; empty where it is gone, or no playbook of ours repairs it."""
    stands = (one.id for host in record.hosts if host.diagnosis for one in host.diagnosis.findings)
    if cause.remedy is None or cause.remedy.playbook not in _shipped() or cause.id not in stands:
        return ()
    return ("repair", "--finding", f"{record.run}/{cause.id}", *_case(record))


def others_of(record: RunRecord) -> list[tuple[str, ...]]:
    """Return the words after `longarm` that repair, by the same playbook, what a plan saw and is not for."""
    assert record.repair is not None
    found = (one for host in record.hosts if host.diagnosis for one in host.diagnosis.findings if not one.waived)
    same = (one for one in found if one.remedy is not None and one.remedy.playbook == record.playbook)
    return [("repair", "--finding", f"{record.run}/{one.id}", *_case(record)) for one in same if record.playbook in _shipped()]


def _case(record: RunRecord) -> tuple[str, ...]:
    return ("--case", record.case) if record.case else ()


@cache
def _shipped() -> frozenset[str]:
    return frozenset(path.stem for path in (Path(playbooks.__file__).parent / "library").glob("*.yaml"))


def command_of(record: RunRecord) -> tuple[str, ...]:
    """Return the words after `longarm` that do what was planned, without its secrets' values, which no run keeps."""
    assert record.repair is not None
    words_ = ["repair", record.repair.file or record.playbook, record.expression]
    words_ += given_words(record.repair.params, record.repair.secrets)
    words_ += ["--force", record.repair.forced] if record.repair.forced else []
    words_ += ["--concurrency", str(record.repair.concurrency)] if record.repair.concurrency != AT_ONCE else []
    words_ += ["--batch", ",".join(record.repair.batch)] if record.repair.batch else []
    words_ += ["--max-failed", record.repair.max_failed] if record.repair.max_failed is not None else []
    return (*words_, *_case(record))


def mends_nothing(record: RunRecord) -> bool:
    """Tell whether a plan has nothing to do on any host, although what it claims to fix was found: somebody else goes on.

    A host that was not seen whole may have something to do for it.
    """
    assert record.repair is not None
    found = [one for host in record.hosts if host.diagnosis for one in host.diagnosis.findings if not one.waived]
    return does_nothing(record) and any(one.check in record.repair.claims for one in found)


def does_nothing(record: RunRecord) -> bool:
    """Tell whether a plan has nothing to do on any host, and all of them were seen whole."""
    seen = [host.repair.plans for host in record.hosts if host.repair and host.outcome in (Outcome.OK, Outcome.FINDINGS)]
    return len(seen) == len(record.hosts) and all(plan.forecast.changes is False for plans in seen for plan in plans)
