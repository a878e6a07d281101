"""Undoing afterwards: what was done is read back from its results alone, and nothing is undone where that is not whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory.secret import Masker, Secret
from playbooks import items
from playbooks.frame import undone_by_item
from playbooks.items import MOST_BYTES
from playbooks.model import Playbook
from playbooks.params import settled_params
from playbooks.ports import Became, Change
from playbooks.results import HostChange, Played, StepPlan, StepState
from playbooks.testing import FakeHands, FakeJournal, StepScript, done, lost, said
from playbooks.undoing import Past, UndoingRefused, foresee_undoing, undo
from tests.playbooks.playing import HEAD, played, ports, short

OK = StepScript(changes=[done()])
BAD = StepScript(changes=[done(exit_status=1)])
PEERS = "params: {peers: {type: hosts, default: [db01, db02]}}\n"


def past_of(playbook: Playbook, script: Mapping[str, StepScript], **facts: Any) -> FakeJournal:
    """Return the journal of a playbook that was done."""
    journal = FakeJournal()
    played(playbook, FakeHands(script=script), facts=facts, journal=journal)
    return journal


def undone(playbook: Playbook, past: FakeJournal, script: Mapping[str, StepScript], **facts: Any) -> tuple[Played, FakeHands]:
    hands = FakeHands(script=script)
    params = settled_params(playbook.params, {})
    what = Past(results=past.ends, items=past.items, facts=facts)
    return asyncio.run(undo(playbook, params, what, ports(hands), {})), hands


def refused(playbook: Playbook, past: FakeJournal) -> str:
    """Return why nothing at all is undone."""
    with pytest.raises(UndoingRefused) as raised:
        undone(playbook, past, {})
    return str(raised.value)


def test_what_was_done_for_each_item_is_undone_the_last_first_and_nothing_is_done_again() -> None:
    steps = (
        "  - {run: see, retry: read, register: {name: was, parse: text}}\n"
        "  - {run: a, loop: params.peers, rollback: [{vars: {before: results.was.value}, run: 'echo \"$item$before\"'}]}\n"
        "  - {run: b, when: 'params.peers.size() > 5', rollback: [{run: never}]}\n"
        "  - {run: c, on_failure: continue, rollback: [{run: not c}]}\n"
        "  - {run: d, rollback: [{run: not d}]}\n"
        "  - {run: e}\n"
    )
    playbook = short(steps, PEERS)
    script = {"s1": StepScript(looks=[said(b"old\n")]), "s2.i1": OK, "s2.i2": OK, "s4": BAD, "s5": BAD}
    outcome, hands = undone(playbook, past_of(playbook, script), {f"{key}.r1": OK for key in ("s2.i1", "s2.i2", "s4", "s5")})
    assert [one.key for one in outcome.undone] == ["s5.r1", "s4.r1", "s2.i2.r1", "s2.i1.r1"]
    assert [dict(command.variables) for _, command in hands.sent[2:]] == [
        {"item": "db02", "before": "old"},
        {"item": "db01", "before": "old"},
    ]
    assert hands.asked == [] and outcome.steps == () and outcome.change is HostChange.ROLLED_BACK


def test_what_an_included_playbook_did_is_undone_too(tmp_path: Path) -> None:
    inner = HEAD.replace("short", "inner") + "steps:\n  - {run: a, rollback: [{run: not a}]}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    playbook = short("  - {include: inner}\n  - {run: b}\n", folder=tmp_path)
    outcome, _ = undone(playbook, past_of(playbook, {"s1.s1": OK, "s2": BAD}), {"s1.s1.r1": OK})
    assert [one.key for one in outcome.undone] == ["s1.s1.r1"]
    assert outcome.change is HostChange.PARTLY, "b failed, and nothing undoes it"


def test_a_value_that_was_masked_when_it_was_kept_is_not_put_back() -> None:
    steps = (
        "  - {run: see, retry: read, register: {name: was, parse: text}}\n"
        "  - {run: a, rollback: [{vars: {before: results.was.value}, run: 'echo \"$before\"'}]}\n"
    )
    playbook = short(steps)
    past = past_of(playbook, {"s1": StepScript(looks=[said(b"token\n")]), "s2": OK})
    past.ends["s1"] = replace(past.ends["s1"], stdout=b"***\n", data={"value": "***"})
    assert "masked" in refused(playbook, past)


def test_where_not_all_that_was_done_can_be_read_back_nothing_is_undone() -> None:
    playbook = short("  - {run: a, rollback: [{run: not a}]}\n  - {run: b, rollback: [{run: not b}]}\n  - {run: c}\n")
    past = past_of(playbook, {"s1": OK, "s2": OK, "s3": OK})
    del past.ends["s2"]
    assert "cannot be read back" in refused(playbook, past)


THOSE = "  - {run: mend, loop: facts.those, rollback: [{run: 'unmend \"$item\"'}]}\n"


@pytest.mark.parametrize("now", [["b", "a"], ["b"], ["c"], [], None])
def test_what_was_done_for_an_item_is_undone_for_that_one_whatever_the_list_is_by_now(now: list[str] | None) -> None:
    playbook = short(THOSE)
    journal = past_of(playbook, {"s1.i1": OK, "s1.i2": OK}, those=["a", "b"])
    facts = {} if now is None else {"those": now}
    outcome, hands = undone(playbook, journal, {"s1.i1.r1": OK, "s1.i2.r1": OK}, **facts)
    assert [dict(command.variables) for _, command in hands.sent] == [{"item": "b"}, {"item": "a"}]
    assert outcome.change is HostChange.ROLLED_BACK


NOT_KEPT = "for which item of its loop “run” was done is not kept, so nothing was undone"


def test_where_nobody_can_tell_for_which_item_something_was_done_nothing_is_undone() -> None:
    playbook = short(THOSE + "  - {run: after, rollback: [{run: before}]}\n")
    past = past_of(playbook, {"s1.i1": OK, "s1.i2": OK, "s2": OK}, those=["a", "b" * MOST_BYTES])
    assert past.items == {"s1": 2, "s1.i1": "a"}
    assert refused(playbook, past) == NOT_KEPT
    plans, _ = foreseen_undoing(playbook, past, {})
    assert {(plan.stays, str(plan.forecast.why)) for plan in plans} == {(True, NOT_KEPT)}


@pytest.mark.parametrize("release", ["this", "earlier"])
def test_an_item_that_what_undoes_it_never_names_need_not_be_kept(release: str) -> None:
    steps = "  - {run: mend, loop: facts.those, rollback: [{run: unmend}, {vars: {n: '1'}, run: 'echo \"$n\" items'}]}\n"
    playbook = short(steps + "  - {run: after, rollback: [{run: before}]}\n")
    past = past_of(playbook, {"s1.i1": OK, "s1.i2": OK, "s2": OK}, those=["a" * MOST_BYTES, b"bytes"])
    if release == "earlier":
        past.intents = [replace(one, items={}) for one in past.intents]
    undoing = {f"s1.i{number}.r{nth}": OK for number in (1, 2) for nth in (1, 2)} | {"s2.r1": OK}
    outcome, hands = undone(playbook, past, undoing)
    assert [dict(command.variables) for _, command in hands.sent] == [{}] + [{}, {"n": 1}] * 2
    assert outcome.change is HostChange.ROLLED_BACK


@pytest.mark.parametrize(
    "undoing",
    [
        "{run: 'unmend $Item'}",
        "{when: item != '', run: unmend}",
        "{vars: {n: item}, run: 'unmend \"$n\"'}",
        "{file: {path: '/x/{{ item }}', state: absent}}",
        "{template: {path: /x, content: '{{ item }}'}}",
        "{package: {names: ['{{ item }}']}}",
    ],
)
def test_an_item_is_named_wherever_what_undoes_it_names_it(undoing: str) -> None:
    playbook = short(f"  - {{run: mend, loop: params.peers, rollback: [{undoing}]}}\n", PEERS)
    assert [*undone_by_item(playbook.steps)] == ["s1"]
    past = past_of(playbook, {"s1.i1": OK, "s1.i2": OK})
    past.intents = [replace(one, items={}) for one in past.intents]
    assert refused(playbook, past) == NOT_KEPT


SECRET = Secret("hunter2hunter2")


@pytest.mark.parametrize(
    "item", ["svc-hunter2hunter2", {"unit": "svc-hunter2hunter2"}, {"hunter2hunter2": "x"}, ["a", ["hunter2hunter2"]]]
)
def test_an_item_with_a_secret_in_it_is_not_kept_and_nothing_passes_for_it(item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masker = Masker()
    masker.learn(SECRET)
    monkeypatch.setattr(items, "MASKER", masker)
    playbook = short("  - {run: mend, loop: facts.those, rollback: [{vars: {n: size(item)}, run: 'unmend \"$n\"'}]}\n")
    past = past_of(playbook, {"s1.i1": OK, "s1.i2": OK}, those=[item, "b"])
    assert past.items == {"s1": 2, "s1.i2": "b"}
    assert refused(playbook, past) == NOT_KEPT


def test_a_number_that_is_a_secret_is_not_kept_either(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = Masker()
    masker.learn(Secret("48151623"))
    monkeypatch.setattr(items, "MASKER", masker)
    assert items.kept_item([48151623]) is items.UNKNOWN and items.kept_item(4815) == 4815


def test_an_item_that_is_nothing_is_not_taken_for_the_one_behind_it() -> None:
    steps = "  - {run: mend, loop: '[null, \"b\"]', rollback: [{when: item != null, run: 'unmend \"$item\"'}]}\n"
    playbook, journal = short(steps), FakeJournal()
    played(playbook, FakeHands(script={"s1.i1": OK, "s1.i2": OK}), journal=journal)
    outcome, hands = undone(playbook, journal, {"s1.i2.r1": OK})
    assert [dict(command.variables) for _, command in hands.sent] == [{"item": "b"}]
    assert [(one.key, one.state) for one in outcome.undone] == [
        ("s1.i2.r1", StepState.CHANGED),
        ("s1.i1.r1", StepState.SKIPPED),
    ]


def test_what_an_included_playbook_did_for_an_item_is_undone_for_that_one(tmp_path: Path) -> None:
    inner = HEAD.replace("short", "inner") + "params: {unit: {type: string}}\nsteps:\n"
    inner += "  - {run: mend, rollback: [{run: 'unmend \"$unit\"'}]}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    playbook = short("  - {include: {playbook: inner, params: {unit: item}}, loop: facts.those}\n", folder=tmp_path)
    journal = FakeJournal()
    played(playbook, FakeHands(script={"s1.i1.s1": OK, "s1.i2.s1": OK}), facts={"those": ["a", "b"]}, journal=journal)
    for key in ("s1.i1", "s1.i2"):  # its process was gone before that
        del journal.ends[key]
    _, hands = undone(playbook, journal, {"s1.i1.s1.r1": OK, "s1.i2.s1.r1": OK}, those=["c", "a"])
    assert [dict(command.variables) for _, command in hands.sent] == [{"unit": "b"}, {"unit": "a"}]
    assert [*undone_by_item(playbook.steps)] == ["s1"]
    journal.intents = [replace(one, items={}) for one in journal.intents]
    assert refused(playbook, journal) == NOT_KEPT.replace("run", "include")


def foreseen_undoing(
    playbook: Playbook, past: FakeJournal, script: Mapping[str, StepScript], **facts: Any
) -> tuple[tuple[StepPlan, ...], FakeHands]:
    hands = FakeHands(script=script)
    params = settled_params(playbook.params, {})
    what = Past(results=past.ends, items=past.items, facts=facts)
    return asyncio.run(foresee_undoing(playbook, params, what, ports(hands), {})), hands


def test_a_plan_of_undoing_tells_what_would_be_undone_in_which_order_and_what_stays() -> None:
    steps = (
        "  - {run: a, loop: params.peers, rollback: [{run: 'unmend \"$item\"', plan: 'look at \"$item\"'}, {run: then}]}\n"
        "  - {name: Tell, run: b}\n"
        "  - {run: c, on_failure: continue, rollback: [{when: 'result.state == \"changed\"', run: not c}]}\n"
        "  - {run: d, retry: read}\n"
    )
    playbook = short(steps, PEERS)
    past = past_of(playbook, {"s1.i1": OK, "s1.i2": OK, "s2": OK, "s3": BAD, "s4": StepScript(looks=[said()])})
    looks = {"s1.i2.r1": [said(b"it would go\n")], "s1.i1.r1": [said()]}
    plans, hands = foreseen_undoing(playbook, past, {key: StepScript(looks=look) for key, look in looks.items()})
    assert hands.sent == [] and hands.touched == []
    told = [(plan.key, plan.undoes, plan.stays, plan.skipped) for plan in plans]
    assert told == [
        ("s3.r1", "run", False, True),
        ("s2", "Tell", True, False),
        ("s1.i2.r1", "run", False, False),
        ("s1.i2.r2", "run", False, False),
        ("s1.i1.r1", "run", False, False),
        ("s1.i1.r2", "run", False, False),
    ]
    assert str(plans[1].forecast.why) == "the playbook says nothing that undoes it"
    assert [plan.variables.get("item") for plan in plans] == [None, None, "db02", None, "db01", None]
    assert [plan.forecast.changes for plan in plans] == [False, False, True, None, False, None]
    script = {plan.key: StepScript(looks=looks.get(plan.key, []), changes=[done()]) for plan in plans}
    outcome, _ = undone(playbook, past, script)
    assert [one.key for one in outcome.undone] == [plan.key for plan in plans if not plan.stays]


def test_a_plan_of_undoing_says_why_nothing_of_it_would_be_undone() -> None:
    playbook = short("  - {run: a, rollback: [{run: not a}]}\n  - {run: b, rollback: [{run: not b}]}\n  - {run: c}\n")
    past = past_of(playbook, {"s1": OK, "s2": OK, "s3": OK})
    del past.ends["s2"]
    plans, _ = foreseen_undoing(playbook, past, {})
    assert [(plan.key, plan.stays) for plan in plans] == [("s3", True), ("s1", True)]
    assert all("cannot be read back" in str(plan.forecast.why) for plan in plans)


@pytest.mark.parametrize(
    ("first", "change"),
    [(lost(), HostChange.UNKNOWN), (done(exit_status=1), HostChange.PARTLY), (done(), HostChange.ROLLED_BACK)],
)
def test_what_undoing_came_to_is_told_as_it_was(first: Any, change: HostChange) -> None:
    playbook = short("  - {run: a, rollback: [{run: not a}]}\n")
    outcome, _ = undone(playbook, past_of(playbook, {"s1": OK}), {"s1.r1": StepScript(changes=[first])})
    assert outcome.change is change


INNER = HEAD.replace("short", "inner") + (
    "steps:\n  - {run: a, rollback: [{run: undo a}]}\n  - {run: b, on_failure: roll_back, rollback: [{run: undo b}]}\n"
)


def keys(hands: FakeHands) -> list[str]:
    """Return the steps of which something was sent, in order."""
    return [ident.removeprefix("run-0001.").removesuffix(".1") for ident, _ in hands.sent]


@pytest.mark.parametrize("how", ["continue", "roll_back"])
@pytest.mark.parametrize("ends", [lost(), done(exit_status=1)], ids=["unknown", "failed"])
def test_where_an_included_playbook_could_not_be_undone_nothing_more_is_touched(tmp_path: Path, how: str, ends: Change) -> None:
    (tmp_path / "inner.yaml").write_text(INNER)
    steps = (
        "  - {run: first, rollback: [{run: undo first}]}\n"
        f"  - {{include: {{playbook: inner}}, on_failure: {how}}}\n"
        "  - {run: after}\n"
    )
    script = {"s1": OK, "s2.s1": OK, "s2.s2": BAD, "s2.s2.r1": OK, "s2.s1.r1": StepScript(changes=[ends])}
    hands = FakeHands(script=script)
    outcome = played(short(steps, folder=tmp_path), hands)
    assert keys(hands) == ["s1", "s2.s1", "s2.s2", "s2.s2.r1", "s2.s1.r1"], "each once, and no more"
    assert outcome.change is (HostChange.UNKNOWN if ends.became is Became.UNKNOWN else HostChange.PARTLY)


@pytest.mark.parametrize("how", ["stop", "continue", "roll_back"])
def test_an_included_playbook_undoes_its_own_steps_and_no_other_and_none_twice(tmp_path: Path, how: str) -> None:
    (tmp_path / "inner.yaml").write_text(INNER)
    steps = (
        "  - {run: first, rollback: [{run: undo first}]}\n"
        f"  - {{include: {{playbook: inner}}, on_failure: {how}}}\n"
        "  - {run: after}\n"
    )
    script = dict.fromkeys(("s1", "s2.s1", "s2.s2.r1", "s2.s1.r1", "s1.r1", "s3"), OK)
    hands = FakeHands(script=script | {"s2.s2": BAD})
    outcome = played(short(steps, folder=tmp_path), hands)
    then = {"stop": [], "continue": ["s3"], "roll_back": ["s1.r1"]}[how]
    assert keys(hands) == ["s1", "s2.s1", "s2.s2", "s2.s2.r1", "s2.s1.r1", *then]
    assert outcome.change is (HostChange.ROLLED_BACK if how == "roll_back" else HostChange.PARTLY)
