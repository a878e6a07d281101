"""The library: questions for a host, words for a run, tests that checks bring along."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from diagnostics.check_files import read_check
from diagnostics.check_tests import NoSuchCapture, load_capture, run_check_tests
from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.facts import facts_of
from diagnostics.formats import encode_evidence
from diagnostics.library import Library, UnknownCheck, digest_of, in_order, load_library, with_expectations
from diagnostics.probe import Probe, Redaction
from diagnostics.redaction import redact
from diagnostics.verdict import Reason, Why
from inventory.documents import parse_document
from inventory.errors import Text
from inventory.host import Expectations
from remote.answer import Ended, answered
from remote.question import Privilege, Question

NONE = Expectations()
SHARING = Probe(name="own.x", question=Question(id="own.both", script="x"), parse=None, asks=Text("Both of them"))


def test_each_question_is_asked_once_and_only_where_its_check_applies(library: Library) -> None:
    extra = Probe(question=Question(id="own.one", script="x"), parse=None)
    windows = Probe(question=Question(id="own.two", script="x"), parse=None, platforms=("windows",))
    asked = library.questions(["disk-full", "disk-none", "disk-expected"], "linux", NONE, [extra, windows])
    assert [question.id for question in asked] == ["disk.list", "sys.up", "own.one"]
    assert [question.id for question in library.questions(["disk-full"], "windows", NONE, [extra, windows])] == ["own.two"]


def test_probes_that_read_the_same_are_asked_once_and_each_reads_what_it_was_asked_for_before(library: Library) -> None:
    """Evidence of a version whose probes had questions of their own: one of them was not asked then, and stays unknown."""
    secret = Redaction(pattern=re.compile(b"two"))

    def reading(name: str, *redact: Redaction) -> Probe:
        return replace(
            SHARING,
            name=f"own.{name}",
            parse=lambda answer: {name: answer.stdout},
            formerly=lambda answer: {f"{name} then": answer.stdout},
            redact=redact,
        )

    one, two = reading("one"), reading("two", secret)
    assert in_order([one, two], "linux") == (SHARING.question,)
    answers = redact({"own.both": answered(b"one two")}, {one.id: one, two.id: two})
    assert (facts_of(one, answers), facts_of(two, answers)) == ({"one": b"one ***"}, {"two": b"one ***"})
    before = {"own.one": answered(b"1"), "own.both.later": answered(b"2")}
    assert facts_of(one, before) == {"one then": b"1"}
    assert facts_of(two, before) == Why(reason=Reason.NOT_RUN, question="own.both", detail="not asked")
    assert facts_of(one, {"own.one": answered(b"", exit_status=3)}) == Why(reason=Reason.STATUS, question="own.one", detail="3")
    both = replace(library, probes={**library.probes, one.id: one, two.id: two})
    check = replace(both.checks["disk-full"], needs=("own.one", "own.two"))
    assert replace(both, checks={check.id: check}).content([check.id]).questions == {"own.both": "Both of them"}


def test_what_is_not_expected_is_not_asked(library: Library) -> None:
    assert library.questions(["disk-expected"], "linux", NONE) == ()
    assert len(library.questions(["disk-expected"], "linux", Expectations(services=("a",)))) == 1


def test_expectations_reach_a_script_as_variables() -> None:
    question = Question(id="q", script="x", variables=(("services", ""), ("ports", ""), ("fixed", "1")))
    filled = with_expectations(question, Expectations(services=("a", "b")))
    assert filled.variables == (("services", "a b"), ("ports", ""), ("fixed", "1"))


def test_an_unknown_check_is_named_with_the_nearest(library: Library) -> None:
    with pytest.raises(UnknownCheck) as caught:
        library.questions(["disk-ful"], "linux", NONE)
    assert "disk-full" in str(caught.value.hint)


def test_the_words_of_a_run_are_those_of_its_checks(library: Library) -> None:
    content = library.content(["disk-full", "disk-expected"])
    assert sorted(content.checks) == ["disk-expected", "disk-full"]
    assert sorted(content.rules) == ["full-disk-hides-disk"]
    assert content.questions == {"disk.list": "The disks"}
    assert library.content(["disk-full"]).rules == {}


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    first = digest_of(tmp_path)
    (tmp_path / "checks" / "a.yaml").write_text("a")
    second = digest_of(tmp_path)
    (tmp_path / "checks" / "a.yaml").write_text("b")
    assert len({first, second, digest_of(tmp_path)}) == 3
    assert digest_of(tmp_path) == digest_of(tmp_path)


@pytest.fixture
def rules_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library as it was read from its files; from now on reading them is a failure."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", str(tmp_path))
    read = load_library()

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the files were read again")

    monkeypatch.setattr("diagnostics.library.load_checks", refuse)
    return read


def test_rules_that_are_kept_are_those_of_the_files(rules_kept: Library) -> None:
    again = load_library()
    assert (again.checks, again.causes, again.digest) == (rules_kept.checks, rules_kept.causes, rules_kept.digest)
    assert [str(test) for test in again.checks["fs-space"].tests] == [str(test) for test in rules_kept.checks["fs-space"].tests]


@pytest.mark.parametrize("what", ["engine_mark", "digest_of"])
def test_rules_are_kept_for_the_same_engine_and_files_only(
    rules_kept: Library, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"diagnostics.library.{what}", lambda *_: "another")
    with pytest.raises(AssertionError, match="read again"):
        load_library()


def test_a_torn_file_of_rules_is_not_believed(rules_kept: Library, tmp_path: Path) -> None:
    [file] = tmp_path.rglob("rules.*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="read again"):
        load_library()


def test_the_shipped_library_loads() -> None:
    library = load_library()
    assert library.digest
    assert all(check.id == name for name, check in library.checks.items())


CHECK = """
check: disk-calm
title: {en: a, ru: b}
platforms: [linux]
needs: [disk.list]
each: {item: facts.disk_list.disks}
subject: {disk: item.name}
params: {used: item.used}
thresholds: {limit: 90.0}
severity: {warning: {raise: item.used > thresholds.limit, clear: item.used < 50.0}}
finding: {en: a, ru: b}
tests:
"""


@pytest.fixture
def tested(library: Library, tmp_path: Path) -> Callable[[str], str]:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "disk.list.stdout").write_text("a 95.0 1\nb 60.0 1\n")
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / "disk.list.status").write_text("timed_out\n")
    status = tmp_path / "status"
    status.mkdir()
    (status / "disk.list.status").write_text("3\n")
    (status / "disk.list.stderr").write_text("oh\n")
    (tmp_path / "empty").mkdir()

    def problem(line: str) -> str:
        check = read_check(parse_document((CHECK + f"  - {line}\n").encode(), "c.yaml"), library.probes)
        (result,) = run_check_tests(check, replace(library, checks={check.id: check}, causes=()), tmp_path)
        assert result.place.line == 13
        return result.problem

    return problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{evidence: full, expect: {severity: warning, subject: {disk: a}, params: {used: 95.0}}}", ""),
        ("{evidence: full, expect: [{subject: {disk: b}}, {subject: {disk: a}}], thresholds: {limit: 10.0}}", ""),
        ("{evidence: full, expect: [{}, {}], earlier: [{severity: warning, subject: {disk: b}}]}", ""),
        ("{evidence: lost, expect: unknown}", ""),
        ("{evidence: status, expect: unknown}", ""),
        ("{evidence: empty, expect: unknown}", ""),
        ("{evidence: full, expect: clear}", "finding instead of clear; found warning disk=a {'used': 95.0}"),
        ("{evidence: full, expect: {subject: {disk: b}}}", "no finding like"),
        ("{evidence: full, expect: {severity: critical}}", "no finding like"),
        ("{evidence: full, expect: {}, thresholds: {limit: 10.0}}", "more findings than expected; found warning disk=b"),
        ("{evidence: lost, expect: clear}", "unknown (timed_out: disk.list ) instead of clear"),
    ],
)
def test_the_tests_of_a_check_tell_what_differs(tested: Callable[[str], str], line: str, problem: str) -> None:
    told = tested(line)
    assert told.startswith(problem) if problem else told == ""


def test_stored_evidence_is_a_capture_too(
    tmp_path: Path, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    evidence, context = evidence_of(disk_list=answered(b"a 5.0 1\n")), context_of("disk-full", services=("a",))
    (tmp_path / "web.evidence").write_bytes(encode_evidence(evidence, context))
    assert load_capture(tmp_path / "web.evidence") == load_capture(tmp_path / "web") == (evidence, context)
    with pytest.raises(NoSuchCapture, match="nothing"):
        load_capture(tmp_path / "nothing")


def test_a_capture_says_how_a_question_ended(tmp_path: Path) -> None:
    (tmp_path / "q.status").write_text("lost")
    answer = load_capture(tmp_path)[0].answers["q"]
    assert (answer.ended, answer.exit_status) == (Ended.LOST, None)


SAMPLED = Probe(
    question=Question(id="cpu.twice", script="later", privilege=Privilege.PREFER_ROOT),
    first=Question(id="cpu.twice.first", script="before"),
    parse=lambda first, last: {"grown": len(last.stdout) - len(first.stdout)},
    shape={"grown": "int"},
    redact=(Redaction(pattern=re.compile(b"key=(?P<secret>.+)")),),
)


def test_what_is_sampled_twice_is_asked_before_and_after_everything_else(library: Library) -> None:
    sampling = replace(library, probes={"cpu.twice": SAMPLED, **library.probes})
    asked = sampling.questions(["disk-full", "disk-none"], "linux", NONE, [SAMPLED])
    assert [question.id for question in asked] == ["cpu.twice.first", "disk.list", "sys.up", "cpu.twice"]


def test_a_pair_of_samples_needs_both() -> None:
    first, last = answered(b"1"), answered(b"123")
    assert facts_of(SAMPLED, {"cpu.twice.first": first, "cpu.twice": last}) == {"grown": 2}
    for missing, answers in (("cpu.twice.first", {"cpu.twice": last}), ("cpu.twice", {"cpu.twice.first": first})):
        why = facts_of(SAMPLED, answers)
        assert isinstance(why, Why) and (why.reason, why.question) == (Reason.NOT_RUN, missing)


def test_both_samples_are_redacted() -> None:
    kept = redact({name: answered(b"key=abc\n") for name in ("cpu.twice.first", "cpu.twice", "other")}, {"cpu.twice": SAMPLED})
    assert [answer.stdout for answer in kept.values()] == [b"key=***\n", b"key=***\n", b"key=abc\n"]


def test_a_first_sample_is_named_after_its_probe() -> None:
    with pytest.raises(ValueError, match=r"cpu.twice.first"):
        replace(SAMPLED, first=Question(id="cpu.once", script="before"))


def test_in_the_shipped_library_a_second_sample_comes_after_all_questions_of_root() -> None:
    """The bundle asks what needs no root first: a second sample that did not want root would be taken too early."""
    sampled = [probe for probe in load_library().probes.values() if probe.first and "linux" in probe.platforms]
    assert sampled
    for probe in sampled:
        assert probe.first and probe.first.privilege is Privilege.USER
        assert probe.question.privilege is Privilege.PREFER_ROOT
