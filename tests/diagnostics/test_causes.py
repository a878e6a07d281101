"""Causes: links with evidence, the order of events, no circles, and what could not be checked."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.cause_files import read_causes
from diagnostics.causes import CauseRule, acyclic, explain, strongest
from diagnostics.finding import CheckResult, Citation, Finding, Link
from diagnostics.library import Library
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.documents import parse_document
from inventory.errors import InvalidFile, Place

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WARNING = Severity.WARNING


def finding(
    check: str, disk: str, *, severity: Severity = Severity.WARNING, since: datetime | None = None, free: int = 1
) -> Finding:
    citation = Citation(question="disk.list", first=1, last=1)
    return Finding(
        check=check,
        host="h",
        subject={"disk": disk},
        severity=severity,
        params={"used": 95.0, "free": free} if check == "disk-full" else {},
        citations=(citation,),
        since=since or T0,
        dated=since is not None,
    )


def found(*findings: Finding) -> list[CheckResult]:
    checks = dict.fromkeys(one.check for one in findings)
    return [
        CheckResult(check=check, verdict=Verdict.FINDING, findings=tuple(one for one in findings if one.check == check))
        for check in checks
    ]


def rules(library: Library, text: str) -> tuple[CauseRule, ...]:
    return read_causes(parse_document(text.encode(), "causes.yaml"), library.checks, library.probes)


RULE = """
- rule: r
  cause: disk-full
  effect: [disk-expected]
  when: effect.subject.disk.startsWith(cause.subject.disk)
  weight: 0.7
  boost: {when: cause.params.free == 0, weight: 0.95}
  text: {en: a, ru: b}
"""


@pytest.mark.parametrize(
    ("cause_at", "effect_at", "weight"),
    [
        (T0, T0 + timedelta(hours=1), 0.7),
        (T0 + timedelta(minutes=10), T0, 0.7),
        (T0 + timedelta(minutes=11), T0, None),
        (None, T0, 0.5),
        (T0, None, 0.5),
        (None, None, 0.5),
    ],
)
def test_a_cause_begins_before_its_effect(
    library: Library, cause_at: datetime | None, effect_at: datetime | None, weight: float | None
) -> None:
    results = found(finding("disk-full", "a", since=cause_at), finding("disk-expected", "a1", since=effect_at))
    links, _ = explain(results, rules(library, RULE), {})
    assert [link.weight for link in links] == ([weight] if weight else [])


def test_time_says_nothing_about_two_states(library: Library) -> None:
    results = found(finding("disk-full", "a"), finding("disk-expected", "a1"))
    (link,) = explain(results, rules(library, RULE + "  order: any\n"), {})[0]
    assert link.weight == 0.7


def test_a_link_quotes_both_sides_and_a_decoy_does_not_link(library: Library) -> None:
    results = found(finding("disk-full", "a", free=0), finding("disk-full", "zz"), finding("disk-expected", "a1"))
    (link,) = explain(results, rules(library, RULE), {})[0]
    assert (link.cause, link.effect, link.rule, link.weight) == ("h/disk-full/disk=a", "h/disk-expected/disk=a1", "r", 0.75)
    assert link.cause_citations == link.effect_citations == (Citation(question="disk.list", first=1, last=1),)


def test_weak_links_are_dropped(library: Library) -> None:
    results = found(finding("disk-full", "a"), finding("disk-expected", "a1"))
    assert explain(results, rules(library, RULE.replace("0.7", "0.55")), {})[0] == ()


def test_facts_that_are_missing_make_no_link(library: Library) -> None:
    rule = RULE.replace("cause.params.free == 0", "facts.disk_list.count > 1")
    results = found(finding("disk-full", "a"), finding("disk-expected", "a1"))
    assert [link.weight for link in explain(results, rules(library, rule), {})[0]] == [0.5]
    assert [link.weight for link in explain(results, rules(library, rule), {"disk_list": {"count": 2}})[0]] == [0.75]


def test_a_link_that_a_missing_fact_left_open_is_named(library: Library) -> None:
    """The cause was found; that it explains the effect hangs on a fact which was not read."""
    rule = RULE.replace("when: effect", "when: facts.disk_list.count > 1 && effect")
    both = found(finding("disk-full", "a"), finding("disk-expected", "a1"))
    links, unchecked = explain(both, rules(library, rule), {})
    assert links == ()
    assert [(one.finding, one.check, one.rule) for one in unchecked] == [("h/disk-expected/disk=a1", "disk-full", "r")]
    elsewhere = found(finding("disk-full", "zz"), finding("disk-expected", "a1"))
    assert explain(elsewhere, rules(library, rule), {})[1] == ()  # a clear no, whatever the missing fact is
    assert explain(both, rules(library, rule.replace("0.7", "0.55")), {})[1] == ()  # too weak a link anyway
    late = found(finding("disk-full", "a", since=T0 + timedelta(hours=1)), finding("disk-expected", "a1", since=T0))
    assert explain(late, rules(library, rule), {})[1] == ()
    other = rule + RULE.replace("rule: r", "rule: s")
    links, unchecked = explain(both, rules(library, other), {})
    assert ([link.rule for link in links], unchecked) == (["s"], ())  # explained by the same check another way


def test_the_unknown_cause_of_an_effect_is_named_unless_it_cannot_be(library: Library) -> None:
    lost = CheckResult(check="disk-full", verdict=Verdict.UNKNOWN, why=Why(reason=Reason.LOST))
    effect = found(finding("disk-expected", "a1"))
    _, unchecked = explain([lost, *effect], rules(library, RULE), {})
    assert [(one.finding, one.check, one.rule) for one in unchecked] == [("h/disk-expected/disk=a1", "disk-full", "r")]
    narrow = RULE.replace("when: effect", 'when: effect.subject.disk == "z" && effect')
    assert explain([lost, *effect], rules(library, narrow), {})[1] == ()
    clear = CheckResult(check="disk-full", verdict=Verdict.CLEAR)
    assert explain([clear, *effect], rules(library, RULE), {})[1] == ()


def test_a_cause_that_was_seen_in_part_is_named_where_it_explains_nothing_yet(library: Library) -> None:
    part = CheckResult(
        check="disk-full",
        verdict=Verdict.FINDING,
        findings=(finding("disk-full", "a"),),
        unseen=(Why(reason=Reason.MISSING_VALUE),),
    )
    effects = found(finding("disk-expected", "a1"), finding("disk-expected", "b1"))
    links, unchecked = explain([part, *effects], rules(library, RULE), {})
    assert [link.effect for link in links] == ["h/disk-expected/disk=a1"]
    assert [one.finding for one in unchecked] == ["h/disk-expected/disk=b1"]


def link(cause: str, effect: str, weight: float, rule: str = "r") -> Link:
    return Link(cause=cause, effect=effect, rule=rule, weight=weight)


def test_circles_are_opened_at_their_weakest_link() -> None:
    links = [link("a", "b", 0.9), link("b", "c", 0.5), link("c", "a", 0.6), link("x", "a", 0.4), link("c", "y", 0.4)]
    assert {(one.cause, one.effect) for one in acyclic(links)} == {("a", "b"), ("c", "a"), ("x", "a"), ("c", "y")}


def test_of_several_rules_for_a_pair_the_strongest_speaks() -> None:
    assert [one.rule for one in strongest([link("a", "b", 0.5, "weak"), link("a", "b", 0.9, "strong")])] == ["strong"]


_NODES = "abcdef"
_LINKS = st.lists(
    st.builds(link, st.sampled_from(_NODES), st.sampled_from(_NODES), st.sampled_from([0.4, 0.5, 0.5, 0.9])), max_size=20
).map(lambda links: [one for one in links if one.cause != one.effect])


@given(_LINKS, st.randoms(use_true_random=False))
def test_what_is_left_has_no_circle_and_does_not_hang_on_the_order(links: list[Link], chance: Random) -> None:
    kept = acyclic(strongest(links))
    waiting = {one.effect for one in kept} | {one.cause for one in kept}
    left = list(kept)
    while left:
        free = waiting - {one.effect for one in left}
        assert free, "a circle"
        left = [one for one in left if one.cause not in free]
        waiting -= free
    shuffled = list(links)
    chance.shuffle(shuffled)
    assert acyclic(strongest(shuffled)) == kept
    best = max(links, key=lambda one: one.weight, default=None)
    alone = best and not any((one.cause, one.effect) == (best.effect, best.cause) for one in links)
    if best and alone and sum(one.weight == best.weight for one in links) == 1:
        assert (best.cause, best.effect) in {(one.cause, one.effect) for one in kept}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cause: disk-full", "cause: disk-ful", "there is no check “disk-ful” (did you mean disk-full"),
        ("[disk-expected]", "[disk-expectd]", "there is no check “disk-expectd”"),
        ("cause.subject.disk)", "cause.subject.dsk)", "“dsk” is not declared here (did you mean disk?)"),
        ("cause.params.free", "effect.params.free", "“free” is not declared here"),
        ("weight: 0.7", "weight: 0.3", "a weight lies between 0.4 and 1"),
        ("weight: 0.7", "wait: 0.7", "has no key “wait”"),
        ("text: {en: a, ru: b}", "text: {en: a}", "“text” needs the key “ru”"),
        ("  weight: 0.7", "  order: sometimes\n  weight: 0.7", "order"),
    ],
)
def test_a_mistake_in_a_rule_is_told(library: Library, old: str, new: str, expected: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        rules(library, RULE.replace(old, new))
    assert expected in str(caught.value)


def test_two_rules_of_one_name_are_refused(library: Library) -> None:
    with pytest.raises(InvalidFile, match="twice"):
        rules(library, RULE + RULE)


def test_a_rule_knows_where_it_stands(library: Library) -> None:
    assert rules(library, RULE)[0].place == Place("causes.yaml", 2, 3)
