"""A little library of one probe and a few checks: what the engine's tests judge with."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from diagnostics.cause_files import read_causes
from diagnostics.check import Check
from diagnostics.check_files import read_check
from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.library import Library
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from inventory.documents import parse_document
from remote.answer import Answer
from remote.question import Question

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def parse_disks(answer: Answer) -> Facts:
    """Return disks from lines `name used free`; the first word may also say how the parser ends."""
    disks: list[dict[str, Any]] = []
    for number, line in enumerate(answer.stdout.decode("utf-8", "backslashreplace").splitlines(), 1):
        words = line.split()
        endings: dict[str, Exception] = {
            "absent": NothingThere("disk.list", "lsdisk"),
            "failed": SourceFailed("disk.list", "lsdisk", "status 3"),
            "fault": KeyError("a fault"),
        }
        if words and words[0] in endings:
            raise endings[words[0]]
        place = {"question": "disk.list", "stream": "stdout", "first": number, "last": number}
        try:
            disk: dict[str, Any] = {"name": words[0], "at": place} | ({"used": float(words[1])} if words[1] != "-" else {})
            disks.append(disk | {"free": int(words[2])} | ({"failed_at_s": int(words[3])} if len(words) > 3 else {}))
        except (IndexError, ValueError):
            raise ParseError("disk.list", line.encode()) from None
    return {"disks": disks, "count": len(disks)}


DISKS = Probe(
    question=Question(id="disk.list", script="lsdisk", ok_statuses=frozenset({0, 2})),
    parse=parse_disks,
    shape={
        "disks": [{"name": "str", "used": "float? percent", "free": "int bytes", "failed_at_s": "int?", "at": "at"}],
        "count": "int",
    },
    summary="The disks",
)
UPTIME = Probe(
    question=Question(id="sys.up", script="up"), parse=lambda answer: {"up_s": len(answer.stdout)}, shape={"up_s": "int"}
)

DISK_FULL = """
check: disk-full
title: {en: Disk full, ru: Диск полон}
platforms: [linux]
needs: [disk.list]
each: {item: facts.disk_list.disks}
when: '!item.name.startsWith("loop")'
subject: {disk: item.name}
params: {used: item.used, free: item.free}
cite: item.at
since: item.failed_at_s
thresholds: {warning: 90.0, warning_clear: 80.0, critical: 98.0, critical_clear: 90.0, little: 1 KiB}
severity:
  warning: {raise: item.used > thresholds.warning, clear: item.used < thresholds.warning_clear}
  critical:
    raise: item.used > thresholds.critical && item.free < thresholds.little
    clear: item.used < thresholds.critical_clear
finding:
  en: "{{ subject.disk }}: {{ params.used | percent }}"
  ru: "{{ subject.disk }}: {{ params.used | percent }}"
remedy: {playbook: free-space, params: {disk: subject.disk, keep: 2 * MiB}}
"""
DISK_NONE = """
check: disk-none
title: {en: No disk, ru: Нет диска}
platforms: [linux]
needs: [disk.list, sys.up]
applies: facts.sys_up.up_s > 0
severity: {info: {raise: facts.disk_list.count == 0}}
finding: {en: No disk., ru: Нет диска.}
"""
DISK_EXPECTED = """
check: disk-expected
title: {en: Disk missing, ru: Диска нет}
platforms: [linux]
needs: [disk.list]
expects: services
each: {item: expected.services}
subject: {disk: item}
severity: {critical: {raise: "!facts.disk_list.disks.exists(d, d.name == item)"}}
finding: {en: "{{ subject.disk }}", ru: "{{ subject.disk }}"}
"""
CAUSES = """
- rule: full-disk-hides-disk
  cause: disk-full
  effect: disk-expected
  when: effect.subject.disk.startsWith(cause.subject.disk)
  weight: 0.7
  boost: {when: cause.params.free == 0, weight: 0.95}
  text: {en: Because., ru: Потому.}
"""


@pytest.fixture(scope="session")
def library() -> Library:
    probes = {probe.id: probe for probe in (DISKS, UPTIME)}
    checks: dict[str, Check] = {}
    for text in (DISK_FULL, DISK_NONE, DISK_EXPECTED):
        check = read_check(parse_document(text.encode(), "check.yaml"), probes)
        checks[check.id] = check
    causes = read_causes(parse_document(CAUSES.encode(), "causes.yaml"), checks, probes)
    return Library(probes=probes, checks=checks, causes=causes, digest="d1")


@pytest.fixture(scope="session")
def evidence_of() -> Callable[..., Evidence]:
    def evidence(platform: str = "linux", **answers: Answer) -> Evidence:
        by_id = {name.replace("_", "."): answer for name, answer in answers.items()}
        return Evidence(host="web-1", taken_at=NOW, platform=platform, answers=by_id, versions={"longarm": "0.1.0"})

    return evidence


@pytest.fixture(scope="session")
def context_of() -> Callable[..., Context]:
    def context(*checks: str, **more: Any) -> Context:
        return Context(now=NOW, checks=checks, library_digest="d1", **more)

    return context
