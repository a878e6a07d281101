"""Checks and probes as rows of lists and as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from console.settings import Settings
from console.words import say
from diagnostics.library import load_library
from inventory.errors import Text, UsageError
from inventory.fields import did_you_mean

T = TypeVar("T")


def named(known: Mapping[str, T], name: str, what: Text) -> T:
    """Return the thing of this name; UsageError with the nearest names if there is none."""
    if (found := known.get(name)) is None:
        raise UsageError(Text("no such {what}: {name}", what=what, name=name), did_you_mean(name, known))
    return found


def check_rows(settings: Settings) -> list[Mapping[str, object]]:
    """Return a row for each check."""
    return [
        {"check": check.id, "platforms": check.platforms, "needs": check.needs, "title": check.title[settings.language]}
        for check in load_library().checks.values()
    ]


def check_document(name: str) -> Mapping[str, object]:
    """Return one check as a document: what it needs, its thresholds, its levels, its words."""
    check = named(load_library().checks, name, Text("check"))
    levels = {
        level.severity.value: {"raise": level.rises.text, "clear": level.clears.text if level.clears else None}
        for level in check.levels
    }
    return {
        "check": check.id,
        "title": check.title,
        "platforms": check.platforms,
        "needs": check.needs,
        "expects": check.expects,
        "thresholds": check.thresholds,
        "lowest": check.lowest,
        "severity": levels,
        "finding": check.finding,
        "cause": check.cause,
        "remedy": check.remedy.playbook if check.remedy else None,
        "place": str(check.place),
    }


def probe_rows() -> list[Mapping[str, object]]:
    """Return a row for each probe."""
    return [
        {
            "probe": probe.id,
            "privilege": probe.question.privilege,
            "deadline_s": probe.question.deadline_s,
            "summary": say(Text(probe.summary)),
        }
        for probe in load_library().probes.values()
    ]


def probe_document(name: str) -> Mapping[str, object]:
    """Return one probe as a document, its script included."""
    probe = named(load_library().probes, name, Text("probe"))
    question = probe.question
    return {
        "probe": probe.id,
        "question": question.id,
        "summary": say(Text(probe.summary)),
        "platforms": probe.platforms,
        "privilege": question.privilege,
        "deadline_s": question.deadline_s,
        "max_bytes": question.max_bytes,
        "ok_statuses": sorted(question.ok_statuses),
        "shape": probe.shape,
        **({"script_at_first": probe.first.script} if probe.first else {}),
        "script": question.script,
    }
