"""The part of `longarm-run/1` that tells of a repair."""

from __future__ import annotations

from typing import Any

from inventory.errors import Text
from playbooks.results import StepPlan, StepResult
from playbooks.verdicts import FindingVerdict
from reports import words
from reports.language import Language
from reports.sentences import sentence
from runner.record import RunRecord
from runner.repair_record import HostRepair, RunRepair


def run_repair(repair: RunRepair) -> dict[str, Any]:
    """Return what a repair was begun with, and what became of its hosts."""
    return {
        "planned": repair.planned,
        "params": dict(sorted(repair.params.items())),
        "secrets": dict(repair.secrets),
        "risk": repair.risk,
        "tier": repair.tier,
        "claims": list(repair.claims),
        "forced": repair.forced or None,
        "retries": repair.retries or None,
        "changes": {change.value: count for change, count in repair.changes.items()},
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
        "duration_ms": step.duration_ms,
        "why": _said(step.why, tongue),
        "diff": list(step.diff),
        "stdout": step.stdout.decode("utf-8", "replace"),
        "stderr": step.stderr.decode("utf-8", "replace"),
    }


def _step_plan(plan: StepPlan, tongue: Language) -> dict[str, Any]:
    return {
        "key": plan.key,
        "name": plan.name,
        "action": plan.action,
        "changes": plan.forecast.changes,
        "skipped": plan.skipped,
        "why": _said(plan.forecast.why, tongue),
        "diff": list(plan.forecast.diff),
    }


def _said(text: Text | None, tongue: Language) -> str | None:
    return tongue.say(text) if text else None
