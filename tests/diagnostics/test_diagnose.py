"""diagnose: one verdict for each check, nothing unseen is clear, hysteresis, citations, the same to the byte."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.check_files import read_check
from diagnostics.context import Context, Earlier
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import CheckResult, Citation, Finding, Remedy
from diagnostics.formats import decode_evidence, encode_diagnosis, encode_evidence
from diagnostics.library import Library, load_library
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.documents import parse_document
from remote.answer import Answer, Ended, answered
from tests.diagnostics.conftest import DISK_FULL

UP = answered(b"x")
ALL = ("disk-full", "disk-none", "disk-expected")


@pytest.fixture
def judged(
    library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> Callable[..., CheckResult]:
    def result(check: str, disks: Answer | str, up: Answer = UP, platform: str = "linux", **context: Any) -> CheckResult:
        answer = answered(disks.encode()) if isinstance(disks, str) else disks
        diagnosis = diagnose(evidence_of(platform, disk_list=answer, sys_up=up), context_of(check, **context), library)
        (one,) = diagnosis.results
        return one

    return result


def test_what_raises_is_a_finding_with_everything_that_belongs_to_it(
    judged: Callable[..., CheckResult], context_of: Callable[..., Context]
) -> None:
    result = judged("disk-full", "a 50.0 9999\nb 99.0 10\nc 95.0 9999\n")
    assert result.verdict is Verdict.FINDING
    worst, other = result.findings
    assert worst == Finding(
        check="disk-full",
        host="web-1",
        subject={"disk": "b"},
        severity=Severity.CRITICAL,
        params={"used": 99.0, "free": 10},
        citations=(Citation(question="disk.list", first=2, last=2),),
        remedy=Remedy(playbook="free-space", params={"disk": "b", "keep": 2 * 1024 * 1024}),
        since=context_of().now,
    )
    assert (other.severity, other.key, worst.id) == (Severity.WARNING, "disk=c", "web-1/disk-full/disk=b")


def test_nothing_that_raises_is_clear(judged: Callable[..., CheckResult]) -> None:
    assert judged("disk-full", "a 50.0 9999\n") == CheckResult(check="disk-full", verdict=Verdict.CLEAR)
    assert judged("disk-full", "").verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("covers", "reason"),
    [("facts.sys_up.up_s > 1", Reason.NOT_COVERED), ("facts.disk_list.disks.all(d, d.used > 0.0)", Reason.MISSING_VALUE)],
)
def test_what_was_not_all_seen_is_not_clear_and_what_was_seen_counts(
    covers: str, reason: Reason, library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    text = DISK_FULL.replace("[disk.list]", "[disk.list, sys.up]") + f"covers: {covers}\n"
    check = read_check(parse_document(text.encode(), "check.yaml"), library.probes)
    covered = replace(library, checks={check.id: check})

    def result(disks: bytes, up: bytes = b"x") -> CheckResult:
        evidence = evidence_of("linux", disk_list=answered(disks), sys_up=answered(up))
        return diagnose(evidence, context_of(check.id), covered).results[0]

    unseen, found, whole = result(b"a 5.0 1\nloop - 1\n"), result(b"a 95.0 1\nloop - 1\n"), result(b"a 5.0 1\n", b"xx")
    assert (unseen.verdict, unseen.why and unseen.why.reason, unseen.complete) == (Verdict.UNKNOWN, reason, False)
    assert (found.verdict, [why.reason for why in found.unseen], found.complete) == (Verdict.FINDING, [reason], False)
    assert (whole.verdict, whole.complete) == (Verdict.CLEAR, True)


def test_an_item_that_cannot_be_judged_makes_the_check_unknown(judged: Callable[..., CheckResult]) -> None:
    result = judged("disk-full", "a - 9999\nb 5.0 1\n")
    assert result.verdict is Verdict.UNKNOWN
    assert result.why == Why(reason=Reason.MISSING_VALUE, detail="item.used (disk=a)")
    assert not result.complete


def test_a_finding_does_not_hide_what_could_not_be_judged(judged: Callable[..., CheckResult]) -> None:
    result = judged("disk-full", "a - 9999\nb 95.0 1000000\n")
    assert result.verdict is Verdict.FINDING
    assert result.unseen == (Why(reason=Reason.MISSING_VALUE, detail="item.used (disk=a)"),)
    assert not result.complete


def test_items_that_the_check_is_not_about_make_it_not_applicable_only_if_there_is_no_other(
    judged: Callable[..., CheckResult],
) -> None:
    assert judged("disk-full", "loop1 100.0 0\n").why == Why(
        reason=Reason.DOES_NOT_APPLY, detail='!item.name.startsWith("loop")'
    )
    assert judged("disk-full", "loop1 100.0 0\nb 5.0 1\n").verdict is Verdict.CLEAR


LOST = [
    (Answer(ended=Ended.TIMED_OUT, exit_status=None, why="10 s"), Reason.TIMED_OUT, "10 s"),
    (Answer(ended=Ended.CAPPED, exit_status=None, stdout=b"a 50.0 1\n"), Reason.CAPPED, ""),
    (Answer(ended=Ended.LOST, exit_status=None, why="reset"), Reason.LOST, "reset"),
    (Answer(ended=Ended.NOT_RUN, exit_status=None, why="sudo: no"), Reason.NOT_RUN, "sudo: no"),
    (answered(b"a 50.0 1\n", exit_status=1, stderr=b"oh\n"), Reason.STATUS, "1: oh"),
    (Answer(ended=Ended.EXITED, exit_status=None, stdout=b"a 50.0 1\n"), Reason.STATUS, "none"),
    (Answer(ended=Ended.EXITED, exit_status=0, stdout=b"a 50.0 1\n", stdout_cut=5), Reason.CAPPED, ""),
    (answered(b"what is this\xff\n"), Reason.NOT_UNDERSTOOD, "what is this\\xff"),
    (answered(b"failed\n"), Reason.SOURCE_FAILED, "lsdisk: status 3"),
    (answered(b"fault\n"), Reason.NOT_UNDERSTOOD, "a fault of the parser: KeyError: 'a fault'"),
]


@pytest.mark.parametrize(("answer", "reason", "detail"), LOST, ids=lambda value: str(value)[:40])
def test_only_a_declared_exit_that_is_understood_gives_facts(
    judged: Callable[..., CheckResult], answer: Answer, reason: Reason, detail: str
) -> None:
    result = judged("disk-full", answer)
    assert result.verdict is Verdict.UNKNOWN
    assert result.why == Why(reason=reason, question="disk.list", detail=detail)


def test_a_declared_status_is_parsed(judged: Callable[..., CheckResult]) -> None:
    assert judged("disk-full", answered(b"a 5.0 1\n", exit_status=2)).verdict is Verdict.CLEAR


def test_a_question_that_nobody_asked_is_unknown(
    library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    (result,) = diagnose(evidence_of(), context_of("disk-full"), library).results
    assert result.why == Why(reason=Reason.NOT_RUN, question="disk.list", detail="not asked")


def test_not_applicable_comes_before_unknown(judged: Callable[..., CheckResult]) -> None:
    lost = Answer(ended=Ended.LOST, exit_status=None)
    assert judged("disk-full", lost, platform="windows").why == Why(reason=Reason.PLATFORM, detail="windows")
    assert judged("disk-expected", lost).why == Why(reason=Reason.NOT_EXPECTED, detail="services")
    assert judged("disk-none", "absent\n", up=lost).why == Why(
        reason=Reason.NOTHING_THERE, question="disk.list", detail="lsdisk"
    )
    assert judged("disk-none", lost).verdict is Verdict.UNKNOWN
    assert judged("disk-expected", "absent\n").why == Why(reason=Reason.NOT_EXPECTED, detail="services")
    assert judged("disk-none", "", up=answered(b"")).why == Why(reason=Reason.DOES_NOT_APPLY, detail="facts.sys_up.up_s > 0")


def test_what_is_expected_is_unknown_where_it_cannot_be_asked_for(judged: Callable[..., CheckResult]) -> None:
    result = judged("disk-expected", "absent\n", services=("a",))
    assert result.verdict is Verdict.UNKNOWN
    assert result.unseen == (Why(reason=Reason.NOTHING_THERE, question="disk.list", detail="lsdisk"),)


def test_a_check_without_items_judges_the_host(judged: Callable[..., CheckResult]) -> None:
    (finding,) = judged("disk-none", "").findings
    assert (finding.key, finding.id, finding.severity) == ("", "web-1/disk-none/", Severity.INFO)


def test_every_expectation_is_judged(judged: Callable[..., CheckResult]) -> None:
    result = judged("disk-expected", "a 5.0 1\n", services=("a", "b", "c"))
    assert [finding.subject for finding in result.findings] == [{"disk": "b"}, {"disk": "c"}]


def earlier(key: str, severity: Severity, context: Context) -> tuple[Earlier, ...]:
    return (Earlier(check="disk-full", key=key, severity=severity, since=context.now - timedelta(days=3)),)


@pytest.mark.parametrize(
    ("was", "disk", "severity", "held"),
    [
        (Severity.WARNING, "a 85.0 1", Severity.WARNING, True),
        (Severity.WARNING, "a 80.0 1", Severity.WARNING, True),
        (Severity.WARNING, "a 79.0 1", None, False),
        (Severity.CRITICAL, "a 97.0 1", Severity.CRITICAL, True),
        (Severity.CRITICAL, "a 85.0 1", Severity.WARNING, True),
        (Severity.CRITICAL, "a 70.0 1", None, False),
        (Severity.WARNING, "a 97.0 1", Severity.WARNING, False),
        (Severity.WARNING, "a 99.0 1", Severity.CRITICAL, False),
        (Severity.INFO, "a 85.0 1", None, False),
        (Severity.WARNING, "b 85.0 1", None, False),
    ],
)
def test_a_finding_stays_until_its_clear_bound(
    judged: Callable[..., CheckResult],
    context_of: Callable[..., Context],
    was: Severity,
    disk: str,
    severity: Severity | None,
    held: bool,
) -> None:
    before = earlier("disk=a", was, context_of())
    result = judged("disk-full", disk + "\n", earlier=before)
    assert [(one.severity, one.held) for one in result.findings] == ([(severity, held)] if severity else [])
    if severity:
        assert result.findings[0].since == before[0].since


def test_the_event_itself_says_when_it_began(judged: Callable[..., CheckResult], context_of: Callable[..., Context]) -> None:
    (finding,) = judged(
        "disk-full", "a 95.0 1 1700000000\n", earlier=earlier("disk=a", Severity.WARNING, context_of())
    ).findings
    assert (finding.since, finding.dated) == (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), True)
    (finding,) = judged("disk-full", "a 95.0 1 99999999999999\n").findings
    assert (finding.since, finding.dated) == (context_of().now, False)


def test_one_subject_is_one_finding_the_worst(judged: Callable[..., CheckResult]) -> None:
    (finding,) = judged("disk-full", "a 95.0 1000000\na 99.0 1\na 92.0 1000000\n").findings
    assert finding.severity is Severity.CRITICAL
    assert [one.first for one in finding.citations] == [1, 2, 3]


def test_thresholds_are_overridden_by_name_in_their_own_type(judged: Callable[..., CheckResult]) -> None:
    good = {"disk-full": {"warning": 50, "little": "1 MiB"}}
    assert judged("disk-full", "a 60.0 1000000\n", thresholds=good).findings[0].severity is Severity.WARNING
    assert judged("disk-full", "a 99.0 1000000\n", thresholds=good).findings[0].severity is Severity.CRITICAL


@pytest.mark.parametrize("wrong", [{"warning": "50"}, {"wrning": 50}, {"little": 1.5}, {"warning": True}])
def test_a_threshold_that_cannot_be_meant_is_not_judged_by_another_one(
    judged: Callable[..., CheckResult], wrong: dict[str, object]
) -> None:
    result = judged("disk-full", "a 60.0 1000000\n", thresholds={"disk-full": wrong})
    assert result.verdict is Verdict.UNKNOWN
    assert result.why
    assert next(iter(wrong)) in result.why.detail


def test_too_many_items_are_unknown_not_cut(judged: Callable[..., CheckResult]) -> None:
    result = judged("disk-full", "a 5.0 1\n" * 10_001)
    assert result.verdict is Verdict.UNKNOWN
    assert result.why and "10001 items" in result.why.detail


def test_a_cause_explains_its_effect_and_an_unknown_one_is_named(
    library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    context = context_of(*ALL, services=("b2", "c2"))
    diagnosis = diagnose(evidence_of(disk_list=answered(b"b 99.0 0\n"), sys_up=UP), context, library)
    (link,) = diagnosis.links
    assert (link.cause, link.effect, link.weight) == ("web-1/disk-full/disk=b", "web-1/disk-expected/disk=b2", 0.75)
    diagnosis = diagnose(evidence_of(disk_list=answered(b"b - 0\n"), sys_up=UP), context, library)
    assert [(one.finding, one.check) for one in diagnosis.unchecked] == [
        ("web-1/disk-expected/disk=b2", "disk-full"),
        ("web-1/disk-expected/disk=c2", "disk-full"),
    ]


# --- the algebra -----------------------------------------------------------------------------------------------------

_LINES = st.lists(
    st.one_of(
        st.builds(
            "{} {} {}".format, st.sampled_from(["a", "b", "loop1"]), st.floats(0, 100) | st.just("-"), st.integers(0, 9999)
        ),
        st.sampled_from(["absent", "failed", "fault", "what is this", ""]),
    ),
    max_size=4,
).map(lambda lines: "\n".join(lines).encode())
_ANSWERS = st.builds(
    Answer,
    ended=st.sampled_from(Ended),
    exit_status=st.sampled_from([0, 0, 0, 1, 2, 127, None]),
    stdout=_LINES,
    stderr=st.binary(max_size=9),
    stdout_cut=st.sampled_from([0, 0, 0, 7]),
    why=st.text(max_size=9),
)
_EARLIER = st.lists(
    st.builds(
        Earlier,
        check=st.just("disk-full"),
        key=st.sampled_from(["disk=a", "disk=b"]),
        severity=st.sampled_from(Severity),
        since=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    ),
    max_size=2,
).map(tuple)


@given(
    disks=st.none() | _ANSWERS,
    up=st.none() | _ANSWERS,
    platform=st.sampled_from(["linux", "linux", "windows"]),
    services=st.lists(st.sampled_from(["a", "b", "z"]), max_size=2, unique=True).map(tuple),
    checks=st.permutations(ALL).flatmap(lambda names: st.integers(0, 3).map(lambda count: tuple(names[:count]))),
    before=_EARLIER,
)
def test_for_any_answers_and_losses_each_check_ends_once_and_nothing_unseen_is_clear(
    library: Library,
    evidence_of: Callable[..., Evidence],
    context_of: Callable[..., Context],
    disks: Answer | None,
    up: Answer | None,
    platform: str,
    services: tuple[str, ...],
    checks: tuple[str, ...],
    before: tuple[Earlier, ...],
) -> None:
    answers = {name: answer for name, answer in (("disk_list", disks), ("sys_up", up)) if answer}
    evidence, context = evidence_of(platform, **answers), context_of(*checks, services=services, earlier=before)
    diagnosis = diagnose(evidence, context, library)

    assert tuple(result.check for result in diagnosis.results) == checks
    for result in diagnosis.results:
        needed = [answers.get(name.replace(".", "_")) for name in library.checks[result.check].needs]
        seen = all(a and a.ended is Ended.EXITED and a.exit_status in (0, 2) and not a.stdout_cut for a in needed)
        assert seen or result.verdict not in (Verdict.CLEAR, Verdict.FINDING)
        assert (result.verdict is Verdict.UNKNOWN) <= bool(result.unseen)
        assert (result.verdict is Verdict.CLEAR) <= (result.complete and result.why is None)
        assert len({finding.id for finding in result.findings}) == len(result.findings)

    again = decode_evidence(encode_evidence(evidence, context))
    assert encode_diagnosis(diagnose(*again, library)) == encode_diagnosis(diagnosis)


def test_results_that_contradict_themselves_cannot_be_made() -> None:
    why = Why(reason=Reason.LOST)
    clear = CheckResult(check="x", verdict=Verdict.CLEAR)
    for wrong in (
        {"unseen": (why,)},
        {"why": why},
        {"verdict": Verdict.FINDING},
        {"verdict": Verdict.UNKNOWN},
        {"verdict": Verdict.NOT_APPLICABLE, "why": why, "unseen": (why,)},
    ):
        with pytest.raises(ValueError, match="x"):
            replace(clear, **wrong)
    assert replace(clear, verdict=Verdict.UNKNOWN, why=why).unseen == (why,)


_SEEDED = """
import sys
from pathlib import Path
from diagnostics.diagnose import diagnose
from diagnostics.formats import decode_evidence, encode_diagnosis
from diagnostics.library import load_library
evidence, context = decode_evidence(sys.stdin.buffer.read())
sys.stdout.buffer.write(encode_diagnosis(diagnose(evidence, context, load_library())))
"""


def test_replay_does_not_hang_on_the_order_of_hashes(
    evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    library = load_library()
    answers = {name.replace(".", "_"): answered(b"nonsense", exit_status=len(name) % 2) for name in library.probes}
    stored = encode_evidence(
        evidence_of(**answers), context_of(*library.checks, services=("a", "b"), ports=("tcp/1",), names=("x",))
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", _SEEDED],
            input=stored,
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for seed in (1, 2)
    }
    assert len(said) == 1
    assert len(said.pop()) > 100
