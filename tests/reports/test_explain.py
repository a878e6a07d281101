"""Roots first, consequences beneath, every finding told exactly once."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from diagnostics.finding import CheckResult, Diagnosis, Finding, Link
from diagnostics.verdict import Severity, Verdict
from reports.explain import DEEPEST, Told, explain, problems
from reports.summary import tally
from runner.record import RunRecord


def diagnosis(severities: list[Severity], links: list[tuple[int, int, float]]) -> Diagnosis:
    """Return findings `0`, `1`, … of these severities, linked (cause, effect, weight)."""
    found = tuple(
        Finding(check="svc-failed", host="h", subject={"unit": str(n)}, severity=one) for n, one in enumerate(severities)
    )
    return Diagnosis(
        host="h",
        results=(CheckResult(check="svc-failed", verdict=Verdict.FINDING if found else Verdict.CLEAR, findings=found),),
        links=tuple(Link(cause=name(cause), effect=name(effect), rule="r", weight=weight) for cause, effect, weight in links),
    )


def name(n: int) -> str:
    return f"h/svc-failed/unit={n}"


def shape(told: Told) -> object:
    """Return a tree of subjects: `0` or `("0", …effects)`."""
    unit = str(told.finding.subject["unit"])
    return (unit, *map(shape, told.effects)) if told.effects else unit


W, C, I = Severity.WARNING, Severity.CRITICAL, Severity.INFO  # noqa: E741


def test_consequences_stand_beneath_their_cause() -> None:
    assert [shape(root) for root in explain(diagnosis([W, W, C], [(0, 1, 0.9), (1, 2, 0.9)]))] == [("0", ("1", "2"))]


def test_a_root_counts_as_bad_as_the_worst_that_follows_from_it() -> None:
    roots = explain(diagnosis([W, I, C], [(1, 2, 0.9)]))
    assert [shape(root) for root in roots] == [("1", "2"), "0"]
    assert roots[0].worst is C


def test_the_strongest_cause_is_above_and_the_others_are_named() -> None:
    (two, one) = sorted(
        explain(diagnosis([C, W, W], [(1, 0, 0.5), (2, 0, 0.9)])), key=lambda root: len(root.effects), reverse=True
    )
    assert shape(two) == ("2", "0") and shape(one) == "1"
    assert [link.cause for link in two.effects[0].also] == [name(1)]


def test_circles_and_strangers_explain_nothing() -> None:
    links = [(0, 1, 0.9), (1, 0, 0.8), (2, 2, 0.9), (7, 2, 0.9), (0, 9, 0.9)]
    assert [shape(root) for root in explain(diagnosis([W, W, W], links))] == [("0", "1"), "2"]


def test_a_long_chain_is_told_whole_but_not_ever_deeper() -> None:
    (root,) = explain(diagnosis([W] * 300, [(n, n + 1, 0.9) for n in range(299)]))
    assert sum(1 for _ in root) == 300

    def depth(told: Told) -> int:
        return 1 + max(map(depth, told.effects), default=0)

    assert depth(root) == DEEPEST + 2


severity = st.sampled_from(list(Severity))


@given(
    st.lists(severity, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.floats(0, 1, width=16)), max_size=40),
)
def test_every_finding_is_told_exactly_once(severities: list[Severity], links: list[tuple[int, int, float]]) -> None:
    whole = diagnosis(severities, links)
    roots = explain(whole)
    assert sorted(told.finding.id for root in roots for told in root) == sorted(finding.id for finding in whole.findings)
    assert [root.worst.rank for root in roots] == sorted((root.worst.rank for root in roots), reverse=True)
    assert all(told.link is None or told.link.effect == told.finding.id for root in roots for told in root)


def test_the_same_root_on_many_hosts_is_one_problem(fleet: Callable[[int], RunRecord]) -> None:
    record = fleet(100)
    found = problems(record.hosts)
    assert len({(problem.check, problem.key) for problem in found}) == len(found) < 10
    assert sum(problem.findings for problem in found) == tally(record).findings
    assert [problem.worst.rank for problem in found] == sorted((problem.worst.rank for problem in found), reverse=True)
