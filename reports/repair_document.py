"""The part of `longarm-run/1` that tells of a repair."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from inventory.errors import Text
from playbooks.results import StepPlan, StepResult
from playbooks.verdicts import FindingVerdict
from reports import words
from reports.by_hand import MOST
from reports.language import Language
from reports.repair_commands import cause_repair
from reports.sentences import sentence
from runner.record import RunRecord
from runner.repair_record import HostRepair, MuteNote, RunRepair
from runner.request import Agreed
from runner.store.rows import ApprovalRow, HandRow


def run_repair(repair: RunRepair, tongue: Language) -> dict[str, Any]:
    """Return what a repair was begun with, and what became of its hosts."""
    return {
        "planned": repair.planned,
        "params": dict(sorted(repair.params.items())),
        "secrets": dict(repair.secrets),
        "risk": repair.risk,
        "tier": repair.tier,
        "claims": list(repair.claims),
        "forced": repair.forced or None,
        "undoes": repair.undoes or None,
        "retries": repair.retries or None,
        "batch": list(repair.batch),
        "max_failed": repair.max_failed,
        "break_glass": repair.break_glass or None,
        "agreed": _agreed(repair.agreed) if repair.agreed else None,
        "approval": _approval(repair.approval, tongue) if repair.approval else None,
        "mutes": [_mute(one, tongue) for one in repair.mutes],
        "changes": {change.value: count for change, count in repair.changes.items()},
    }


def _agreed(agreed: Agreed) -> dict[str, Any]:
    """Return who approved a repair."""
    return {
        "run": agreed.run,
        "asked_by": agreed.asked_by,
        "approved_by": agreed.approved_by,
        "at": _time(agreed.at),
        "reason": agreed.reason or None,
    }


def _approval(row: ApprovalRow, tongue: Language) -> dict[str, Any]:
    """Return what a plan waits for, or waited for."""
    return {
        "state": row.state.value,
        "asked_by": row.asked_by,
        "expires_at": _time(row.expires_at),
        "decided_by": row.decided_by or None,
        "decided_at": None if row.decided_at is None else _time(row.decided_at),
        "reason": row.reason or None,
        "void": _said(row.void, tongue) if row.void else None,
        "begun_as": row.begun_as,
        "bound": dict(sorted(row.bound.items())),
    }


def host_repair(repair: HostRepair, record: RunRecord, tongue: Language) -> dict[str, Any]:
    """Return what was done to one host, and what that came to."""
    return {
        "change": repair.change.value,
        "flags": list(repair.flags),
        "samples": repair.samples,
        "verdicts": [_fix(one, record, tongue) for one in repair.verdicts],
        "consequences": [_fix(one, record, tongue) for one in repair.consequences],
        "plans": [_step_plan(plan, tongue) for plan in repair.plans],
        "steps": [_step(step, tongue) for step in repair.steps],
        "undone": [_step(step, tongue) for step in repair.undone],
        "left_open": list(repair.left_open),
        "causes": [
            {"finding": one.id, "text": sentence(one, record.content, tongue), "repair": cause_repair(record, one) or None}
            for one in repair.causes
        ],
        "undoable": list(repair.undoable),
        "since": repair.since,
        "by_hand": [_hand(one) for one in repair.by_hand[-MOST:]],
        "by_hand_before": max(0, len(repair.by_hand) - MOST),
    }


def _hand(one: HandRow) -> dict[str, Any]:
    return {
        "run": one.run or None,
        "actor": one.actor,
        "kind": one.kind.value,
        "what": one.what,
        "since": _time(one.since),
        "until": None if one.outcome is None else _time(one.until),
        "beside": one.beside or None,
    }


def _mute(one: MuteNote, tongue: Language) -> dict[str, Any]:
    return {
        "hook": one.hook,
        "wave": one.wave,
        "state": one.state,
        "since": _time(one.since),
        "until": _time(one.until),
        "error": _said(one.error, tongue),
    }


def _fix(one: FindingVerdict, record: RunRecord, tongue: Language) -> dict[str, Any]:
    return {
        "check": one.check,
        "subject": one.key,
        "fix": one.fix.value,
        "before": sentence(one.before, record.content, tongue) if one.before else None,
        "after": sentence(one.after, record.content, tongue) if one.after else None,
        "why": _said(words.reason(one.why), tongue) if one.why else None,
    }


def _step(step: StepResult, tongue: Language) -> dict[str, Any]:
    return {
        "key": step.key,
        "name": step.name,
        "action": step.action,
        "state": step.state.value,
        "effect": step.effect.value,
        "exit_status": step.exit_status,
        "attempts": step.attempts,
        "sent": step.sent,
        "duration_ms": step.duration_ms,
        "why": _said(step.why, tongue),
        "diff": list(step.diff),
        "stdout": step.stdout.decode("utf-8", "replace"),
        "stderr": step.stderr.decode("utf-8", "replace"),
        "data": dict(step.data),
    }


def _step_plan(plan: StepPlan, tongue: Language) -> dict[str, Any]:
    return {
        "key": plan.key,
        "name": plan.name,
        "action": plan.action,
        "changes": plan.forecast.changes,
        "skipped": plan.skipped,
        "undoes": plan.undoes or None,
        "stays": plan.stays,
        "why": _said(plan.forecast.why, tongue),
        "diff": list(plan.forecast.diff),
        "script": plan.script or None,
        "variables": dict(sorted(plan.variables.items())),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _said(text: Text | None, tongue: Language) -> str | None:
    return tongue.say(text) if text else None
