"""A playbook that was cut off and goes on: what it did it knows by its journal, whatever the host and its facts are by now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from diagnostics.library import Library
from diagnostics.probe import Facts, Probe
from playbooks.items import MOST_BYTES
from playbooks.model import Playbook
from playbooks.ports import Change, Intent
from playbooks.results import Effect, HostChange, StepResult, StepState
from playbooks.testing import NEVER_ARRIVED, FakeHands, FakeJournal, StepScript, Unscripted, done, lost, said
from remote.answer import Answer
from remote.command import Command
from remote.question import Privilege, Question
from tests.playbooks.playing import HEAD, played, short, states

OK = StepScript(changes=[done()])
BAD = StepScript(changes=[done(exit_status=1)])
LOOP = "  - {run: 'mend \"$item\"', loop: facts.those, rollback: [{run: 'unmend \"$item\"'}]}\n"
SIZED = LOOP.replace('"$item"\'', '"$name"\', vars: {name: item.name}')
AFTER = "  - {run: after, on_failure: roll_back}\n"


def cut_off(playbook: Playbook, *did: str, **facts: Any) -> FakeJournal:
    """Return the journal of a process that was killed once it had intended what follows what it did."""
    journal = FakeJournal()
    with pytest.raises(Unscripted):
        played(playbook, dict.fromkeys(did, OK), facts=facts, journal=journal)
    return journal


def sent(hands: FakeHands) -> list[tuple[str, dict[str, Any]]]:
    """Return the keys of what was sent, with its variables."""
    return [(ident.split(".", 1)[1].rpartition(".")[0], dict(command.variables)) for ident, command in hands.sent]


@pytest.mark.parametrize("now", [["b", "c"], ["c", "b", "a"], ["c"], ["x", "y", "z", "a"], [], None])
def test_a_loop_goes_on_by_the_list_that_it_was_begun_with(now: list[str] | None) -> None:
    """What was mended is in no list of what is to be mended: by its number another item would pass for it."""
    playbook = short(LOOP + AFTER)
    journal = cut_off(playbook, "s1.i1", those=["a", "b", "c"])
    hands = FakeHands(script={"s1.i3": OK, "s2": OK}, recalls={"run-0001.s1.i2.1": done()})
    outcome = played(playbook, hands, facts={} if now is None else {"those": now}, journal=journal)
    assert states(outcome) == {"s1.i1": "changed", "s1.i2": "changed", "s1.i3": "changed", "s2": "changed"}
    assert sent(hands) == [("s1.i3", {"item": "c"}), ("s2", {})]
    lines: list[Intent | StepResult] = [*journal.intents, *journal.ends.values()]
    assert [one.key for one in lines if one.items] == ["s1.i1"], "the list is kept once, by the first process"


def sized(**sizes: int) -> list[dict[str, Any]]:
    return [{"name": name, "size": size} for name, size in sizes.items()]


@pytest.mark.parametrize("now", [sized(a=0, b=3), sized(b=3), sized(b=7, a=10), sized(c=1)])
def test_items_whose_sizes_changed_meanwhile_are_not_done_once_more(now: list[dict[str, Any]]) -> None:
    playbook = short(SIZED)
    journal = cut_off(playbook, "s1.i1", those=sized(a=10, b=7))
    hands = FakeHands(recalls={"run-0001.s1.i2.1": done()})
    assert states(played(playbook, hands, facts={"those": now}, journal=journal)) == {"s1.i1": "changed", "s1.i2": "changed"}
    assert hands.sent == []


@pytest.mark.parametrize("now", [["c"], ["c", "d", "e"]])
def test_how_many_items_a_loop_may_have_is_asked_once(now: list[str]) -> None:
    playbook = short(LOOP.replace("loop:", "at_most: 2, loop:"))
    journal = cut_off(playbook, "s1.i1", those=["a", "b"])
    outcome = played(playbook, FakeHands(recalls={"run-0001.s1.i2.1": done()}), facts={"those": now}, journal=journal)
    assert states(outcome) == {"s1.i1": "changed", "s1.i2": "changed"} and outcome.change is HostChange.CHANGED


@pytest.fixture
def including(tmp_path: Path) -> Playbook:
    """Return a playbook that includes another one on a condition."""
    inner = HEAD.replace("short", "inner") + "params: {unit: {type: string, default: x}}\nsteps:\n"
    inner += "  - {run: 'a \"$unit\"', rollback: [{run: 'not a \"$unit\"'}]}\n  - {run: b, when: facts.ill}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    steps = "  - {include: {playbook: inner, params: {unit: facts.unit}}, when: facts.ill}\n"
    return short(steps + AFTER, folder=tmp_path)


ILL: Mapping[str, Any] = {"ill": True, "unit": "x"}


def test_what_was_begun_within_an_include_goes_on_although_its_condition_holds_no_more(including: Playbook) -> None:
    journal = cut_off(including, **ILL)
    hands = FakeHands(script={"s2": OK}, recalls={"run-0001.s1.s1.1": done()})
    outcome = played(including, hands, facts={"ill": False, "unit": "x"}, journal=journal)
    assert states(outcome) == {"s1.s1": "changed", "s1.s2": "skipped", "s1": "changed", "s2": "changed"}
    journal = cut_off(including, **ILL)
    outcome = played(
        including, FakeHands(recalls={"run-0001.s1.s1.1": lost()}), facts={"ill": False, "unit": "x"}, journal=journal
    )
    assert outcome.left_open and outcome.change is HostChange.UNKNOWN


def test_what_an_include_did_is_undone_where_that_was_cut_off_and_its_condition_holds_no_more(including: Playbook) -> None:
    journal = FakeJournal()
    with pytest.raises(Unscripted):
        played(including, {"s1.s1": OK, "s1.s2": OK, "s2": BAD}, facts=ILL, journal=journal)
    hands = FakeHands(recalls={"run-0001.s1.s1.r1.1": done()})
    outcome = played(including, hands, facts={"ill": False, "unit": "x"}, journal=journal)
    assert states(outcome) == {"s1.s1": "changed", "s1.s2": "changed", "s1": "changed", "s2": "failed"}
    assert [(one.key, one.state) for one in outcome.undone] == [("s1.s1.r1", StepState.CHANGED)]
    assert journal.ends["s1"].state is StepState.CHANGED and hands.sent == []


def test_an_include_that_was_begun_and_cannot_be_gone_on_with_is_unknown(including: Playbook) -> None:
    journal = cut_off(including, **ILL)
    outcome = played(including, {}, facts={"ill": True}, journal=journal)
    assert states(outcome) == {"s1": "unknown"} and outcome.change is HostChange.UNKNOWN and outcome.left_open


@pytest.mark.parametrize("now", [["c"], ["c", "a", "b", "d"], ["b", "a"], []])
def test_a_rollback_that_was_cut_off_does_nothing_new_and_undoes_what_was_done(now: list[str]) -> None:
    playbook = short(LOOP + AFTER)
    journal = FakeJournal()
    with pytest.raises(Unscripted):
        played(playbook, {"s1.i1": OK, "s1.i2": OK, "s2": BAD}, facts={"those": ["a", "b"]}, journal=journal)
    hands = FakeHands(script={"s1.i1.r1": OK}, recalls={"run-0001.s1.i2.r1.1": done()})
    outcome = played(playbook, hands, facts={"those": now}, journal=journal)
    assert sent(hands) == [("s1.i1.r1", {"item": "a"})]
    assert [(one.key, one.state) for one in outcome.undone] == [
        ("s1.i2.r1", StepState.CHANGED),
        ("s1.i1.r1", StepState.CHANGED),
    ]


def test_what_was_not_begun_stays_so_once_something_after_it_was() -> None:
    steps = (
        "  - {run: a, when: facts.ill}\n"
        "  - {run: b, loop: facts.those, register: all}\n"
        "  - {run: c, loop: facts.those, when: facts.ill}\n"
        "  - {run: d, loop: facts.none.those, on_failure: continue}\n"
        "  - {run: e}\n"
        "  - {run: f, when: size(results.all.items) == 0}\n"
    )
    playbook = short(steps)
    journal = cut_off(playbook, ill=False, those=[], none={})
    assert [one.key for one in journal.intents] == ["s5"]
    hands = FakeHands(script={"s6": OK}, recalls={"run-0001.s5.1": done()})
    now = {"ill": True, "those": ["x"], "none": {"those": ["y"]}}
    outcome = played(playbook, hands, facts=now, journal=journal)
    skipped = dict.fromkeys(("s1", "s2", "s3"), "skipped")
    assert states(outcome) == {**skipped, "s4": "undecided", "s5": "changed", "s6": "changed"}
    assert sent(hands) == [("s6", {})]


def without_lists(journal: FakeJournal, *open_keys: str) -> FakeJournal:
    """Return a journal as earlier releases kept it; of the steps that are named it has no end."""
    ends = {key: replace(end, items={}) for key, end in journal.ends.items() if key not in open_keys}
    return FakeJournal(intents=[replace(one, items={}) for one in journal.intents], ends=ends)


def test_a_journal_of_an_earlier_release_does_not_tell_the_items_and_nothing_is_guessed() -> None:
    playbook = short(LOOP + AFTER)
    journal = without_lists(cut_off(playbook, "s1.i1", those=["a", "b", "c"]))
    outcome = played(playbook, {}, facts={"those": ["b", "c"]}, journal=journal)
    assert states(outcome) == {"s1.i1": "changed", "s1.i2": "unknown"} and outcome.change is HostChange.UNKNOWN
    assert "was not kept" in str(outcome.steps[-1].why)
    journal = without_lists(cut_off(playbook, "s1.i1", "s1.i2", those=["a", "b"]))  # up to the step after the loop
    outcome = played(playbook, FakeHands(recalls={"run-0001.s2.1": done()}), facts={"those": ["b", "c"]}, journal=journal)
    assert states(outcome) == {"s1.i1": "changed", "s1.i2": "changed", "s2": "changed"}
    journal.intents = [one for one in journal.intents if one.key != "s2"]  # there may have been another item
    del journal.ends["s2"]
    outcome = played(playbook, {}, facts={"those": ["b", "c"]}, journal=journal)
    assert states(outcome) == {"s1.i1": "changed", "s1.i2": "changed", "s1.i3": "unknown"}
    assert outcome.left_open and outcome.change is HostChange.PARTLY


def test_what_a_journal_of_an_earlier_release_tells_no_item_of_is_not_undone() -> None:
    playbook, journal = short(LOOP + AFTER), FakeJournal()
    script = {"s1.i1": OK, "s1.i2": OK, "s2": BAD, "s1.i2.r1": OK, "s1.i1.r1": OK}
    played(playbook, script, facts={"those": ["a", "b"]}, journal=journal)
    for open_keys, state in ((("s1.i2.r1", "s1.i1.r1"), HostChange.UNKNOWN), (("s1.i1.r1",), HostChange.UNKNOWN)):
        old = without_lists(journal, *open_keys)
        outcome = played(playbook, FakeHands(), facts={"those": ["b", "a"]}, journal=old)
        assert outcome.undone[-1].state is StepState.UNKNOWN and outcome.change is state and outcome.left_open
    old = without_lists(journal, "s1.i1.r1")
    old.intents = [one for one in old.intents if one.key != "s1.i1.r1"]
    outcome = played(playbook, FakeHands(), facts={"those": ["b", "a"]}, journal=old)
    assert [one.state for one in outcome.undone] == [StepState.CHANGED, StepState.UNKNOWN]
    assert outcome.change is HostChange.PARTLY and outcome.undone[-1].key == "s1.i1.r1"


def test_a_step_that_does_not_name_its_item_goes_on_without_it() -> None:
    playbook = short(LOOP.replace(' "$item"', "") + AFTER)
    journal = cut_off(playbook, "s1.i1", those=["a", b"bytes", "c"])
    hands = FakeHands(script={"s1.i3": OK, "s2": OK}, recalls={"run-0001.s1.i2.1": done()})
    outcome = played(playbook, hands, facts={}, journal=journal)
    assert outcome.change is HostChange.CHANGED and sent(hands) == [("s1.i3", {}), ("s2", {})]


def test_an_include_that_was_skipped_for_an_item_needs_it_no_more(tmp_path: Path) -> None:
    inner = HEAD.replace("short", "inner") + "steps:\n  - {run: mend}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    playbook = short("  - {include: inner, loop: facts.those, when: size(item) < 9}\n" + AFTER, folder=tmp_path)
    journal = cut_off(playbook, those=["a" * MOST_BYTES, "b"])
    hands = FakeHands(script={"s2": OK}, recalls={"run-0001.s1.i2.s1.1": done()})
    outcome = played(playbook, hands, facts={}, journal=journal)
    assert states(outcome) == {"s1.i1": "skipped", "s1.i2.s1": "changed", "s1.i2": "changed", "s2": "changed"}


def test_a_list_is_kept_once_with_the_first_line_of_its_loop(tmp_path: Path) -> None:
    inner = HEAD.replace("short", "inner") + "steps:\n  - {run: see, retry: read}\n  - {run: mend, loop: '[1, 2]'}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    playbook = short(LOOP + "  - {include: inner, loop: facts.those, when: item != 'a'}\n", folder=tmp_path)
    keys = ["s1.i1", "s1.i2", "s2.i2.s2.i1", "s2.i2.s2.i2"]
    journal, script = FakeJournal(), {**dict.fromkeys(keys, OK), "s2.i2.s1": StepScript(looks=[said()])}
    played(playbook, script, facts={"those": ["a", "b"]}, journal=journal)
    lines: list[Intent | StepResult] = [*journal.intents, *journal.ends.values()]
    assert [(one.key, type(one), one.items) for one in lines if one.items] == [
        ("s1.i1", Intent, {"s1": 2, "s1.i1": "a", "s1.i2": "b"}),
        ("s2.i2.s2.i1", Intent, {"s2.i2.s2": 2, "s2.i2.s2.i1": 1, "s2.i2.s2.i2": 2}),
        ("s2.i1", StepResult, {"s2": 2, "s2.i1": "a", "s2.i2": "b"}),
    ]


def test_of_a_long_list_the_first_line_has_what_fits_and_each_item_has_the_rest_with_its_own() -> None:
    playbook = short(LOOP + AFTER)
    those = [letter * (MOST_BYTES // 2 - 100) for letter in "abcd"]
    journal = cut_off(playbook, "s1.i1", "s1.i2", those=those)
    assert [sorted(one.items) for one in journal.intents] == [["s1", "s1.i1", "s1.i2"], [], ["s1.i3"]]
    assert all(len(json.dumps(one.items)) < MOST_BYTES + 100 for one in journal.intents)
    outcome = played(playbook, FakeHands(recalls={"run-0001.s1.i3.1": done()}), facts={"those": those}, journal=journal)
    expected = {"s1.i1": "changed", "s1.i2": "changed", "s1.i3": "changed", "s1.i4": "unknown"}
    assert states(outcome) == expected and outcome.change is HostChange.PARTLY, "the last item was in no line yet"


def _parsed(answer: Answer) -> Facts:
    return {"those": answer.stdout.decode().split(), "at": "mark 1 1"}


MARK = Probe(question=Question(id="mark", script="cat mark"), parse=_parsed, shape={"those": ["str"], "at": "at"})
LIBRARY = Library(probes={"mark": MARK}, checks={}, digest="d" * 64)


def test_a_probe_that_is_asked_anew_gives_a_loop_that_was_begun_no_other_list() -> None:
    playbook = short("  - {probe: mark}\n" + LOOP.replace("facts", "facts.mark") + AFTER, "needs: [mark]\n", library=LIBRARY)
    journal, probes = FakeJournal(), {"mark": MARK}
    with pytest.raises(Unscripted):
        played(playbook, FakeHands(script={"s2.i1": OK}, answers={"mark": [said(b"a b")]}), journal=journal, probes=probes)
    hands = FakeHands(script={"s3": OK}, answers={"mark": [said(b"b c d")]}, recalls={"run-0001.s2.i2.1": done()})
    outcome = played(playbook, hands, journal=journal, probes=probes)
    assert states(outcome) == {"s1": "ok", "s2.i1": "changed", "s2.i2": "changed", "s3": "changed"}
    assert sent(hands) == [("s3", {})]


def test_a_probe_that_failed_and_is_well_by_now_does_not_end_the_rollback_that_it_began() -> None:
    steps = "  - {run: a, rollback: [{run: not a}]}\n  - {probe: mark, on_failure: roll_back}\n  - {run: never}\n"
    playbook, journal, probes = short(steps, "needs: [mark]\n", library=LIBRARY), FakeJournal(), {"mark": MARK}
    with pytest.raises(Unscripted):
        unseen = replace(said(), exit_status=1)
        played(playbook, FakeHands(script={"s1": OK}, answers={"mark": [unseen]}), journal=journal, probes=probes)
    assert [one.key for one in journal.intents] == ["s1", "s1.r1"]
    hands = FakeHands(answers={"mark": [said(b"a")]}, recalls={"run-0001.s1.r1.1": done()})
    outcome = played(playbook, hands, journal=journal, probes=probes)
    assert (outcome.change, hands.sent, hands.asked) == (HostChange.ROLLED_BACK, [], [])


def test_what_a_probe_showed_is_not_what_it_was_at_the_beginning_where_it_cannot_be_asked_anew() -> None:
    undoing = "{vars: {those: size(facts.mark.those)}, run: 'not a \"$those\"'}"
    steps = f"  - {{probe: mark}}\n  - {{run: a, rollback: [{undoing}]}}\n  - {{run: b, on_failure: roll_back}}\n"
    playbook, journal, probes = short(steps, "needs: [mark]\n", library=LIBRARY), FakeJournal(), {"mark": MARK}
    beginning = {"mark": {"those": ["a", "b", "c"], "at": "mark 1 1"}}
    with pytest.raises(Unscripted):
        hands = FakeHands(script={"s2": OK}, answers={"mark": [said(b"a")]})
        played(playbook, hands, facts=beginning, journal=journal, probes=probes)
    for answer, state, told in ((said(b"a"), "changed", [{"those": 1}]), (replace(said(), exit_status=1), "undecided", [])):
        going_on = FakeJournal(intents=[*journal.intents], ends=dict(journal.ends))
        hands = FakeHands(script={"s2.r1": OK}, answers={"mark": [answer]}, recalls={"run-0001.s3.1": done(exit_status=1)})
        outcome = played(playbook, hands, facts=beginning, journal=going_on, probes=probes)
        assert states(outcome) == {"s1": "ok", "s2": "changed", "s3": "failed"}
        assert ([one.state.value for one in outcome.undone], [given for _, given in sent(hands)]) == ([state], told)


@pytest.mark.parametrize(
    ("became", "state", "effect"),
    [
        (done(), "undecided", Effect.MAYBE),
        (done(exit_status=1), "failed", Effect.MAYBE),
        (lost(), "unknown", Effect.MAYBE),
        (NEVER_ARRIVED, "undecided", Effect.NONE),
    ],
)
def test_what_was_begun_is_asked_for_though_its_values_cannot_be_had_any_more(
    became: Change, state: str, effect: Effect
) -> None:
    steps = "  - {probe: mark}\n  - {vars: {those: size(facts.mark.those)}, run: 'a \"$those\"'}\n"
    playbook, journal, probes = short(steps, "needs: [mark]\n", library=LIBRARY), FakeJournal(), {"mark": MARK}
    with pytest.raises(Unscripted):
        played(playbook, FakeHands(answers={"mark": [said(b"a")]}), journal=journal, probes=probes)
    hands = FakeHands(answers={"mark": [replace(said(), exit_status=1)]}, recalls={"run-0001.s2.1": became})
    outcome = played(playbook, hands, journal=journal, probes=probes)
    assert (states(outcome), outcome.steps[1].effect) == ({"s1": "ok", "s2": state}, effect)
    assert hands.sent == [], "nobody knows what to send"


def test_a_step_of_a_rollback_that_was_begun_is_gone_on_with_though_its_condition_holds_no_more() -> None:
    undoing = "{run: not a, when: size(facts.mark.those) == 1}"
    steps = f"  - {{probe: mark}}\n  - {{run: a, rollback: [{undoing}]}}\n  - {{run: b, on_failure: roll_back}}\n"
    playbook, journal, probes = short(steps, "needs: [mark]\n", library=LIBRARY), FakeJournal(), {"mark": MARK}
    with pytest.raises(Unscripted):
        hands = FakeHands(script={"s2": OK, "s3": BAD}, answers={"mark": [said(b"a")]})
        played(playbook, hands, journal=journal, probes=probes)
    assert [one.key for one in journal.intents][-1] == "s2.r1"
    hands = FakeHands(answers={"mark": [said(b"a b")]}, recalls={"run-0001.s2.r1.1": lost()})
    outcome = played(playbook, hands, journal=journal, probes=probes)
    assert [one.state.value for one in outcome.undone] == ["unknown"] and outcome.change is HostChange.UNKNOWN


class Killed(BaseException):
    """The process is gone."""


@dataclass(slots=True)
class Fate:
    """When a process is killed: at the given one of the moments that it passes."""

    at: int
    passed: int = 0

    def moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


@dataclass(slots=True, kw_only=True)
class World(FakeHands):
    """A host that does what is sent, and remembers it."""

    fate: Fate
    did: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: dict[str, Change] = field(default_factory=dict)

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        self.fate.moment()
        assert ident not in self.did, "sent twice under one id"
        self.did[ident] = dict(command.variables)
        self.ends[ident] = done(exit_status=1 if "bad" in command.script else 0)
        self.fate.moment()
        return self.ends[ident]

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        return self.ends.get(intent.ident, NEVER_ARRIVED)

    def effects(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what was done to it, in order, whatever the attempt was called."""
        return [(ident.split(".", 1)[1].rpartition(".")[0], given) for ident, given in self.did.items()]


@dataclass(slots=True)
class MortalJournal(FakeJournal):
    """A journal whose process may be killed before each of its lines and after it."""

    fate: Fate = field(default_factory=lambda: Fate(0))

    async def intend(self, intent: Intent) -> None:
        self.fate.moment()
        self.intents.append(intent)
        self.fate.moment()

    async def end(self, result: StepResult) -> None:
        self.fate.moment()
        self.ends[result.key] = result


INCLUDING = "  - {include: {playbook: inner, params: {unit: item.name}}, loop: facts.those, when: facts.ill}\n"
FOR_SOME = SIZED.replace("loop:", "when: item.size > 5, at_most: 3, loop:")


@pytest.mark.parametrize(("last", "undone"), [("good", 0), ("bad", 2)])
@pytest.mark.parametrize(("loop", "count"), [(INCLUDING, 4), (FOR_SOME, 2)])
def test_wherever_it_is_killed_all_is_done_once_for_the_items_of_the_beginning(
    tmp_path: Path, loop: str, count: int, last: str, undone: int
) -> None:
    inner = HEAD.replace("short", "inner") + "params: {unit: {type: string}}\nsteps:\n"
    inner += "  - {run: 'a \"$unit\"', rollback: [{run: 'not a \"$unit\"'}]}\n  - {run: 'b \"$unit\"'}\n"
    (tmp_path / "inner.yaml").write_text(inner)
    playbook = short(f"{loop}  - {{run: see, retry: read}}\n  - {{run: {last}, on_failure: roll_back}}\n", folder=tmp_path)
    those = sized(a=10, b=7) if loop is INCLUDING else sized(a=10, x=0, b=7)
    before, after = {"ill": True, "those": those}, {"ill": False, "those": sized(c=9, a=0, b=3, d=8)}

    def lived(at: int) -> tuple[World, Fate, FakeJournal]:
        fate = Fate(at)
        world = World(fate=fate, script={"s2": StepScript(looks=[said()])})
        journal = MortalJournal(fate=fate)
        try:
            played(playbook, world, facts=before, journal=journal)
        except Killed:
            began = bool(journal.intents or journal.ends)
            played(playbook, world, facts=after if began else before, journal=journal)
        return world, fate, journal

    undisturbed, fate, whole = lived(0)
    assert len(undisturbed.did) == count + 1 + undone
    for at in range(1, fate.passed + 1):
        world, _, journal = lived(at)
        assert world.effects() == undisturbed.effects(), f"killed at {at}"
        assert {key: end.state for key, end in journal.ends.items()} == {key: end.state for key, end in whole.ends.items()}


@pytest.mark.parametrize("half", [True, False], ids=["half done", "never arrived"])
def test_what_an_attempt_before_the_last_may_have_done_is_not_forgotten(half: bool) -> None:
    """It was cut off as the second attempt was about to be sent, and what it guards holds by now."""
    playbook = short("  - {run: mend, unless: is mended, retry: guarded, attempts: 3, every: 1s, rollback: [{run: unmend}]}\n")
    journal, changes = FakeJournal(), [done(exit_status=1)] if half else [NEVER_ARRIVED]
    with pytest.raises(Unscripted):
        played(playbook, {"s1": StepScript(looks=[said(exit_status=1)] * 2, changes=changes)}, journal=journal)
    assert [one.attempt for one in journal.intents] == [1, 2]
    never = {"run-0001.s1.2": NEVER_ARRIVED}
    hands = FakeHands(script={"s1": StepScript(looks=[said()])}, recalls=never)
    outcome = played(playbook, hands, journal=journal)
    assert hands.sent == []
    assert (states(outcome), outcome.change) == (
        ({"s1": "changed"}, HostChange.CHANGED) if half else ({"s1": "ok"}, HostChange.UNCHANGED)
    )
