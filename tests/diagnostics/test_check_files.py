"""Loading checks: every mistake at once, each with its place and what to write instead."""

from pathlib import Path

import pytest

from diagnostics.check import out_of_order
from diagnostics.check_files import load_checks, read_check, unknown_names
from diagnostics.library import Library
from diagnostics.verdict import Severity, Verdict
from inventory.documents import parse_document
from inventory.errors import InvalidFile

GOOD = """\
check: disk-full
title: {en: Disk full, ru: Диск полон}
platforms: [linux]
needs: [disk.list]
each: {item: facts.disk_list.disks}
subject: {disk: item.name}
params: {used: item.used}
cite: item.at
thresholds: {warning: 90.0, warning_clear: 80.0, critical: 98.0, little: 5 GiB, count: 3}
severity:
  warning:
    raise: item.used > thresholds.warning
finding: {en: "{{ subject.disk }}", ru: "{{ params.used | percent }}"}
tests:
  - {evidence: full, expect: {severity: warning, subject: {disk: a}}}
  - {evidence: many, expect: [{severity: warning}, {params: {used: 95.0}}], services: [a], now: 5}
  - {evidence: calm, expect: clear, thresholds: {warning: 50.0}, earlier: [{severity: warning, subject: {disk: a}}]}
"""


def problems(library: Library, text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        read_check(parse_document(text.encode(), "c.yaml"), library.probes)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_check_is_compiled_with_all_its_parts(library: Library) -> None:
    check = read_check(parse_document(GOOD.encode(), "c.yaml"), library.probes)
    assert check.thresholds == {"warning": 90.0, "warning_clear": 80.0, "critical": 98.0, "little": 5 * 1024**3, "count": 3}
    assert [level.severity for level in check.levels] == [Severity.WARNING]
    assert [test.verdict for test in check.tests] == [Verdict.FINDING, Verdict.FINDING, Verdict.CLEAR]
    assert check.tests[1].expected == {"services": ("a",)}
    assert check.tests[2].earlier[0].subject == {"disk": "a"}
    assert check.content.title["ru"] == "Диск полон"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("check: disk-full", "check: Disk Full", "c.yaml:1:8: a check's id is lower case: words and hyphens"),
        ("check: disk-full\n", "", "c.yaml:1:1: a check needs the key “check”"),
        (", ru: Диск полон}", "}", "c.yaml:2:8: “title” needs the key “ru”"),
        ("[linux]", "[linus]", "c.yaml:3:12: there is no platform “linus” (did you mean linux?)"),
        ("[disk.list]", "[disk.lst]", "c.yaml:4:8: there is no probe “disk.lst” (did you mean disk.list?)"),
        ("facts.disk_list.disks}", "facts.disk_list.dsks}", "“dsks” is not declared here (did you mean disks?)"),
        ("facts.disk_list.disks}", "facts.disk_list.count}", "c.yaml:5:14: int where list is needed"),
        ("{item: facts", "{disk: facts", "c.yaml:5:8: “each” has no key “disk”"),
        ("disk: item.name", "disk: item.at", "map where str or int or float or bool or null is needed"),
        ("disk: item.name", "Disk: item.name", "“Disk” is not a name"),
        ("cite: item.at", "cite: item.name", "str where map or list is needed"),
        ("warning_clear: 80.0", "warning_clear: 95.0", "“warning_clear” lies on the wrong side of its bound"),
        ("little: 5 GiB", "little: five", "little"),
        ("\nseverity:", "\nlowest: {litle: 1 GiB}\nseverity:", "there is no threshold “litle” (did you mean little?)"),
        ("\nseverity:", "\nlowest: {little: 6 GiB}\nseverity:", "the threshold “little” itself is lower"),
        ("little: 5 GiB", "little: [1]", "a threshold is a number or a size such as 5 GiB"),
        ("thresholds.warning\n", "thresholds.wrning\n", "c.yaml:12:35: “wrning” is not declared here (did you mean warning"),
        ("    raise: item", "    rise: item", "“warning” has no key “rise” (did you mean raise?)"),
        ("  warning:\n    raise", "  warnin:\n    raise", "“severity” has no key “warnin” (did you mean warning?)"),
        ("item.used > thresholds.warning\n", "item.used\n", "float where bool is needed"),
        ("item.used > thresholds.warning\n", '"item.used >"\n', "c.yaml:12:24: the expression ends too early"),
        (
            "{{ subject.disk }}",
            "{{ subject.dsk }}",
            "uses “subject.dsk”, which the check does not have (did you mean disk?)",
        ),
        ("{{ subject.disk }}", "{{ host }}", "the text uses “host”"),
        ("cite: item.at", "covers: facts.disk_list.count", "c.yaml:8:9: int where bool is needed"),
        ("cite: item.at", "cites: item.at", "a check has no key “cites” (did you mean cite"),
        ("expect: clear", "expect: claer", "“expect”"),
        ("{severity: warning}, {", "{severity: warn}, {", "“severity”"),
        ("needs: [disk.list]", "needs: [disk.list]\nexpects: hosts", "“expects”"),
        ("needs: [disk.list]", "needs: [disk.list]\nremedy: {playbook: x, params: {a: subject.b}}", "“b” is not declared here"),
        ("needs: [disk.list]", "needs: [disk.list]\nneeds: [disk.list]", "needs"),
    ],
)
def test_a_mistake_is_told_with_its_place(library: Library, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert expected in "\n".join(problems(library, GOOD.replace(old, new)))


def test_all_mistakes_of_a_file_are_told_at_once(library: Library) -> None:
    text = GOOD.replace("item.name", "item.nam").replace("cite: item.at", "cite: item.att").replace("[linux]", "[linus]")
    assert [line.split(":")[1] for line in problems(library, text)] == ["3", "6", "8"]


def test_all_mistakes_of_all_files_are_told_at_once(library: Library, tmp_path: Path) -> None:
    for name, text in {
        "disk-full": GOOD,
        "other": GOOD,
        "disk-bad": GOOD.replace("disk-full", "disk-bad").replace("item.at", "item.att"),
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        (tmp_path / f"{name}.yaml").chmod(0o644)
    with pytest.raises(InvalidFile) as caught:
        load_checks(list(tmp_path.glob("*.yaml")), library.probes)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 2
    assert "disk-bad.yaml:8:12" in told[0]
    assert "not named like its check" in told[1]


@pytest.mark.parametrize(
    ("thresholds", "wrong"),
    [
        ({"warning": 90.0, "critical": 98.0, "warning_clear": 80.0, "critical_clear": 90.0}, ""),
        ({"warning": 10.0, "critical": 5.0, "warning_clear": 15.0, "critical_clear": 8.0}, ""),
        ({"warning": 10.0, "critical": 5.0, "warning_clear": 8.0}, "warning_clear"),
        ({"warning": 90.0, "warning_clear": 99.0}, ""),
    ],
)
def test_clear_bounds_lie_on_the_calm_side(thresholds: dict[str, float], wrong: str) -> None:
    assert out_of_order(thresholds) == wrong


@pytest.mark.parametrize(
    ("overrides", "wrong"),
    [
        ({"warning": 85}, ""),
        ({"warning": 98}, ""),  # no warning before the critical finding, but none after it either
        ({"warning": 99}, "warning"),
        ({"critical": 89.0, "critical_clear": 85.0}, "warning"),
        ({"warning": 95, "warning_clear": 96.0}, "warning_clear"),
        ({"warning": 70}, "warning_clear"),
        ({"warning": 70, "warning_clear": 60}, ""),
        ({"critical": 99, "critical_clear": 99.5}, "critical_clear"),
    ],
)
def test_overrides_keep_the_order_of_the_shipped_thresholds(library: Library, overrides: dict[str, float], wrong: str) -> None:
    told = [str(problem) for problem in library.threshold_problems({"disk-full": overrides})]
    assert [text.partition(" (")[0] for text in told] == (
        [f"the threshold disk-full.{wrong} lies on the wrong side of its bound"] if wrong else []
    )
    assert all(f"{name} {value:g}" in text for text in told for name, value in overrides.items())


def test_the_order_of_bounds_that_fall_is_kept_too() -> None:
    falling = {"warning": 10.0, "critical": 5.0}
    assert out_of_order({"warning": 4.0, "critical": 5.0}, falling) == "warning"
    assert out_of_order({"warning": 20.0, "critical": 5.0}, falling) == ""


@pytest.mark.parametrize(
    ("template", "unknown"),
    [
        ("{{ subject.a | percent }} {% if params.b is none %}x{% else %}{{ params.b|bytes }}{% endif %}", []),
        ("{{ subject }}", ["subject"]),
        ("{{ params.c }} {{ self.x }}", ["params.c", "self.x"]),
        ("{{ 'subject.zzz' }} subject.yyy", []),
        ("{% for x in params.b %}", ["for", "x"]),
    ],
)
def test_texts_use_only_what_the_check_has(template: str, unknown: list[str]) -> None:
    assert list(unknown_names(template, {"subject": {"a": 1}, "params": {"b": 1}})) == unknown


def test_overrides_of_thresholds_are_verified(library: Library) -> None:
    overrides = {"disk-full": {"warning": 50, "wrning": 1, "little": 1.5, "critical": True}, "disk-ful": {"warning": 1}}
    told = [str(problem) for problem in library.threshold_problems(overrides)]  # type: ignore[arg-type]
    assert told == [
        "disk-full has no threshold “wrning” (it has warning, warning_clear, critical, critical_clear, little)",
        "the threshold disk-full.little is a whole number",
        "the threshold disk-full.critical is a number",
        "there is no check “disk-ful”",
    ]
