"""The interpreter: order, conditions, loops, repeats, rollback, and what is never done twice; all on a scripted host."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.errors import Text
from inventory.host import Platform
from playbooks.ports import Became, Change, Intent
from playbooks.results import HostChange, StepState
from playbooks.testing import (
    FAKE_HOST,
    FAULTS,
    NEVER_ARRIVED,
    FakeHands,
    FakeJournal,
    FakeOperator,
    FaultyHands,
    StepScript,
    done,
    lost,
    said,
)
from playbooks.verdicts import wrong_step
from remote.command import Command
from remote.detached.following import WAIT_S
from remote.windows.detached import GRACE_S
from tests.playbooks.playing import foreseen, played, short, states

DATA = Path(__file__).parent.parent / "data" / "playbooks"
OK = StepScript(changes=[done()])
THREE = "  - {name: A, run: a}\n  - {name: B, run: b}\n  - {name: C, run: c}\n"


def test_steps_are_done_in_their_order_each_intended_before_it_is_sent() -> None:
    journal, hands = FakeJournal(), FakeHands(script={"s1": OK, "s2": OK, "s3": OK})
    outcome = played(short(THREE), hands, journal=journal)
    assert states(outcome) == {"s1": "changed", "s2": "changed", "s3": "changed"}
    assert outcome.change is HostChange.CHANGED
    assert [one.ident for one in journal.intents] == [ident for ident, _ in hands.sent]
    assert [ident for ident, _ in hands.sent] == ["run-0001.s1.1", "run-0001.s2.1", "run-0001.s3.1"]


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_nothing_more_is_done_and_what_is_never_repeated_is_not(fault: str) -> None:
    hands = FaultyHands(script={"s1": OK, "s2": OK, "s3": OK}, at=2, fault=fault)
    outcome = played(short(THREE), hands)
    assert [ident for ident, _ in hands.sent] == ["run-0001.s1.1", "run-0001.s2.1"]
    expected = {
        "lost": (StepState.UNKNOWN, HostChange.UNKNOWN),
        "timed_out": (StepState.TIMED_OUT, HostChange.PARTLY),
        "status": (StepState.FAILED, HostChange.PARTLY),
        "reboot": (StepState.INTERRUPTED, HostChange.UNKNOWN),
        "fenced": (StepState.FENCED, HostChange.PARTLY),
        "denied": (StepState.REFUSED, HostChange.PARTLY),
    }
    assert (outcome.steps[-1].state, outcome.change) == expected[fault]
    assert outcome.failed is outcome.steps[-1]


@pytest.mark.parametrize("platform", Platform)
def test_a_host_is_asked_until_it_can_say_that_nothing_begins(platform: Platform) -> None:
    asked_for_s = []

    class Timed(FakeHands):
        async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
            asked_for_s.append(deadline_s - command.deadline_s)
            return await super().change(ident, command, deadline_s=deadline_s)

    hands = Timed(script={"s1": OK}, host=replace(FAKE_HOST, platform=platform))
    played(short("  - {name: A, run: a, deadline: 10s}\n"), hands)
    certain_s = 2 * GRACE_S + WAIT_S if platform is Platform.WINDOWS else WAIT_S
    assert asked_for_s and all(certain_s < seconds for seconds in asked_for_s)


def test_nothing_begun_is_unchanged() -> None:
    outcome = played(short(THREE), FaultyHands(script={}, at=1, fault="denied"))
    assert outcome.change is HostChange.UNCHANGED


def test_a_condition_that_does_not_hold_skips_and_one_that_cannot_be_decided_stops() -> None:
    playbook = short(
        "  - {run: a, when: params.really}\n  - {run: b, when: facts.x.y > 1}\n  - {run: c}\n",
        "params: {really: {type: bool, default: false}}\nneeds: [x]\n",
    )
    outcome = played(playbook, {"s2": OK, "s3": OK}, facts={"x": {"y": 2}})
    assert states(outcome) == {"s1": "skipped", "s2": "changed", "s3": "changed"}
    undecided = played(playbook, {}, facts={})
    assert states(undecided) == {"s1": "skipped", "s2": "undecided"}
    assert "facts.x" in str(undecided.steps[-1].why)
    assert undecided.change is HostChange.UNCHANGED


def test_a_loop_does_its_step_for_each_item_and_has_a_bound() -> None:
    step = (
        "  - {run: 'echo \"$item\"', loop: params.peers, at_most: 2, register: all}\n"
        "  - {run: b, when: size(results.all.items) == 2}\n"
    )
    playbook = short(step, "params: {peers: {type: hosts, default: [db01, db02]}}\n")
    hands = FakeHands(script={"s1.i1": OK, "s1.i2": OK, "s2": OK})
    assert states(played(playbook, hands)) == {"s1.i1": "changed", "s1.i2": "changed", "s2": "changed"}
    assert [command.variables for _, command in hands.sent[:2]] == [{"item": "db01"}, {"item": "db02"}]
    many = played(playbook, FakeHands(), params={"peers": ("a", "b", "c")})
    assert states(many) == {"s1": "failed"} and "at_most" in str(many.steps[0].why)


def test_an_empty_loop_is_skipped_and_a_condition_about_items_is_asked_for_each() -> None:
    more = "params: {peers: {type: hosts, default: [db01, db02]}}\n"
    playbook = short("  - {run: a, loop: params.peers, when: item != 'db01'}\n", more)
    assert states(played(playbook, {"s1.i2": OK})) == {"s1.i1": "skipped", "s1.i2": "changed"}
    assert states(played(playbook, {}, params={"peers": ()})) == {"s1": "skipped"}


def test_what_a_step_printed_is_read_as_it_says() -> None:
    step = (
        "  - {run: a, retry: read, register: {name: one, parse: json, shape: {free: int}}}\n"
        "  - {run: b, when: results.one.value.free > 3}\n"
    )
    outcome = played(short(step), {"s1": StepScript(looks=[said(b'{"free": 4}')]), "s2": OK})
    assert states(outcome) == {"s1": "ok", "s2": "changed"}
    wrong = played(short(step), {"s1": StepScript(looks=[said(b'{"free": "much"}')])})
    assert states(wrong) == {"s1": "failed"} and "int is declared" in str(wrong.steps[0].why)


@pytest.mark.parametrize(("retry", "sent"), [("never", 1), ("idempotent", 3)])
def test_a_failed_step_is_tried_again_only_if_it_may(retry: str, sent: int) -> None:
    more = "" if retry == "never" else ", attempts: 3, every: 1s"
    step = f"  - {{run: a, retry: {retry}{more}}}\n"
    hands = FakeHands(script={"s1": StepScript(changes=[done(exit_status=1), done(exit_status=1), done()])})
    outcome = played(short(step), hands)
    assert len(hands.sent) == sent
    assert outcome.steps[0].state is (StepState.CHANGED if sent == 3 else StepState.FAILED)
    assert outcome.steps[0].attempts == sent


def test_a_lost_idempotent_step_is_repeated_once_under_another_id() -> None:
    hands = FakeHands(script={"s1": StepScript(changes=[lost(), done()])})
    assert states(played(short("  - {run: a, retry: idempotent}\n"), hands)) == {"s1": "changed"}
    assert [ident for ident, _ in hands.sent] == ["run-0001.s1.1", "run-0001.s1.2"]


def test_a_lost_guarded_step_is_repeated_only_where_its_guard_says_that_it_is_not_done() -> None:
    step = "  - {run: a, retry: guarded, unless: g}\n"
    finished = FakeHands(script={"s1": StepScript(looks=[said(exit_status=1), said()], changes=[lost()])})
    assert states(played(short(step), finished)) == {"s1": "changed"}, "it was done, by the attempt that was lost"
    assert len(finished.sent) == 1
    undone = FakeHands(script={"s1": StepScript(looks=[said(exit_status=1)], changes=[lost(), done()])})
    assert states(played(short(step), undone)) == {"s1": "changed"}
    assert len(undone.sent) == 2


def test_until_asks_again_and_has_a_deadline() -> None:
    step = "  - {run: a, retry: read, until: result.stdout == 'up', every: 5s, deadline: 20s}\n"
    looks = [said(b"down"), said(b"down"), said(b"up")]
    outcome = played(short(step), {"s1": StepScript(looks=looks)})
    assert (outcome.steps[0].state, outcome.steps[0].attempts) == (StepState.OK, 3)
    never = played(short(step), {"s1": StepScript(looks=[said(b"down")])})
    assert (never.steps[0].state, never.steps[0].attempts) == (StepState.TIMED_OUT, 4)


ROLLBACK = """\
  - {name: A, run: a, rollback: [{run: not a}, {run: again, when: result.changed}]}
  - {name: B, run: b, loop: params.peers, rollback: [{run: 'echo not "$item"'}]}
  - {name: C, run: c, on_failure: roll_back}
"""
PEERS = "params: {peers: {type: hosts, default: [db01, db02]}}\n"


def test_what_was_done_is_undone_the_last_first() -> None:
    script = {"s1": OK, "s2.i1": OK, "s2.i2": OK, "s3": StepScript(changes=[done(exit_status=1)])}
    undo = {"s2.i2.r1": OK, "s2.i1.r1": OK, "s1.r1": OK, "s1.r2": OK}
    hands = FakeHands(script=script | undo)
    playbook = short(ROLLBACK, PEERS)
    outcome = played(playbook, hands)
    assert [step.key for step in outcome.undone] == ["s2.i2.r1", "s2.i1.r1", "s1.r1", "s1.r2"]
    assert [dict(command.variables) for _, command in hands.sent[4:6]] == [{"item": "db02"}, {"item": "db01"}]
    assert outcome.change is HostChange.PARTLY  # C failed and has nothing that undoes it
    assert outcome.failed is not None and outcome.failed.key == "s3"


def test_a_host_is_rolled_back_where_all_that_may_have_changed_has_been_undone() -> None:
    step = "  - {run: a, rollback: [{run: not a}]}\n  - {run: b, on_failure: roll_back, rollback: [{run: not b}]}\n"
    script = {"s1": OK, "s2": StepScript(changes=[done(exit_status=1)]), "s2.r1": OK, "s1.r1": OK}
    outcome = played(short(step), script)
    assert [one.key for one in outcome.undone] == ["s2.r1", "s1.r1"]
    assert outcome.change is HostChange.ROLLED_BACK


def test_where_undoing_fails_nothing_more_is_touched() -> None:
    step = "  - {run: a, rollback: [{run: not a}]}\n  - {run: b, on_failure: roll_back, rollback: [{run: not b}]}\n"
    bad = StepScript(changes=[done(exit_status=1)])
    outcome = played(short(step), {"s1": OK, "s2": bad, "s2.r1": bad})
    assert [one.key for one in outcome.undone] == ["s2.r1"]
    assert outcome.change is HostChange.PARTLY


def test_what_nobody_knows_is_not_undone() -> None:
    step = "  - {run: a, rollback: [{run: not a}]}\n  - {run: b, on_failure: roll_back}\n"
    outcome = played(short(step), {"s1": OK, "s2": StepScript(changes=[lost()])})
    assert outcome.undone == () and outcome.change is HostChange.UNKNOWN


def test_continue_goes_on_after_a_failure_but_not_after_what_nobody_knows() -> None:
    step = "  - {run: a, on_failure: continue}\n  - {run: b}\n"
    outcome = played(short(step), {"s1": StepScript(changes=[done(exit_status=1)]), "s2": OK})
    assert states(outcome) == {"s1": "failed", "s2": "changed"} and outcome.change is HostChange.PARTLY
    assert states(played(short(step), {"s1": StepScript(changes=[lost()])})) == {"s1": "unknown"}


def test_a_duration_that_was_answered_is_one_where_a_run_goes_on_too() -> None:
    step = (
        "  - ask: {question: {en: 'How long?', ru: 'Сколько?'}, answer: {type: duration}}\n    register: wait\n"
        "  - {run: a, when: results.wait.answer > duration('60s')}\n"
    )
    first = played(short(step), {"s2": OK}, operator=FakeOperator({"s1": ["90s"]}))
    assert states(first) == {"s1": "ok", "s2": "changed"}
    kept = replace(first.steps[0], data=json.loads(json.dumps(dict(first.steps[0].data))))
    goes_on = played(short(step), {"s2": OK}, journal=FakeJournal(ends={"s1": kept}), operator=FakeOperator())
    assert states(goes_on) == {"s1": "ok", "s2": "changed"}


def test_an_operator_answers_what_its_type_takes() -> None:
    step = (
        "  - ask: {question: {en: 'How many?', ru: 'Сколько?'}, answer: {type: int, maximum: 5}}\n    register: many\n"
        "  - {run: 'a \"$count\"', vars: {count: results.many.answer + 1}}\n"
    )
    hands = FakeHands(script={"s2": OK})
    operator = FakeOperator({"s1": ["nine", "9", "3"]})
    assert states(played(short(step), hands, operator=operator)) == {"s1": "ok", "s2": "changed"}
    assert [str(asked.wrong) for asked in operator.asked[1:]] == ["“answer” must be a whole number", "“answer” is at most 5"]
    assert dict(hands.sent[0][1].variables) == {"count": 4}
    silent = played(short(step), FakeHands())
    assert states(silent) == {"s1": "refused"} and str(silent.steps[0].why) == "nobody answered in time"


def test_a_cut_off_run_goes_on_where_it_was() -> None:
    journal = FakeJournal()
    first = FakeHands(script={"s1": OK, "s2": StepScript(changes=[lost()])})
    played(short(THREE), first, journal=journal)
    del journal.ends["s2"]  # the process died before it could write that down
    second = FakeHands(script={"s3": OK}, recalls={"run-0001.s2.1": done(b"late")})
    outcome = played(short(THREE), second, journal=journal)
    assert states(outcome) == {"s1": "changed", "s2": "changed", "s3": "changed"}
    assert [ident for ident, _ in second.sent] == ["run-0001.s3.1"]
    assert outcome.steps[1].stdout == b"late"


@pytest.mark.parametrize(
    ("became", "retry", "state", "sent"),
    [
        (Became.UNKNOWN, "never", "unknown", []),
        (Became.INTERRUPTED, "never", "interrupted", []),
        (Became.UNKNOWN, "idempotent", "changed", ["run-0001.s1.2"]),
        (Became.NOT_BEGUN, "never", "changed", ["run-0001.s1.2"]),
        (Became.FENCED, "never", "fenced", []),
        (Became.LATE, "never", "timed_out", []),
    ],
)
def test_what_an_earlier_process_intended_is_asked_for_before_anything_is_sent(
    became: Became, retry: str, state: str, sent: list[str]
) -> None:
    journal = FakeJournal(intents=[Intent(key="s1", ident="run-0001.s1.1", attempt=1)])
    hands = FakeHands(script={"s1": OK}, recalls={"run-0001.s1.1": Change(became=became)})
    assert states(played(short(f"  - {{run: a, retry: {retry}}}\n"), hands, journal=journal)) == {"s1": state}
    assert [ident for ident, _ in hands.sent] == sent


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ([NEVER_ARRIVED, NEVER_ARRIVED, done()], "changed"),
        ([NEVER_ARRIVED] * 4, "failed"),
        ([NEVER_ARRIVED, lost()], "unknown"),
        ([FAULTS["denied"]], "refused"),
        ([Change(became=Became.NOT_BEGUN)], "failed"),
    ],
)
def test_what_never_arrived_is_sent_again_under_another_id_and_nothing_else_is(changes: list[Change], state: str) -> None:
    hands, journal = FakeHands(script={"s1": StepScript(changes=changes)}), FakeJournal()
    outcome = played(short("  - {run: a, retry: never}\n"), hands, journal=journal)
    assert (states(outcome), outcome.steps[0].attempts) == ({"s1": state}, 1)
    idents = [f"run-0001.s1.{number}" for number in range(1, len(changes) + 1)]
    assert [ident for ident, _ in hands.sent] == idents
    assert journal.intents[-1].ident == idents[-1], "it is on disk before it is sent"


def test_an_included_playbook_has_names_of_its_own() -> None:
    playbook = short(
        "  - include: {playbook: small, params: {what: params.word}}\n  - {run: b}\n",
        PEERS.replace("peers: {type: hosts, default: [db01, db02]}", "word: {type: string, default: cron}"),
        folder=DATA,
    )
    looks = [said(b"service systemd yes yes yes\n")]
    script = {"s1.s1": StepScript(looks=[said(b"cron\n")]), "s1.s2": StepScript(looks=looks, changes=[done()]), "s2": OK}
    hands = FakeHands(script=script)
    outcome = played(playbook, hands)
    assert states(outcome) == {"s1.s1": "ok", "s1.s2": "changed", "s1": "changed", "s2": "changed"}
    assert hands.asked[0].variables == (("what", "cron"),)
    broken = played(playbook, {"s1.s1": StepScript(looks=[said(exit_status=1)])})
    assert states(broken) == {"s1.s1": "failed", "s1": "failed"}


def test_a_playbook_that_takes_too_long_begins_nothing_more() -> None:
    steps = "  - {run: a, retry: read, until: result.stdout == 'up', every: 10s, deadline: 1m}\n  - {run: b}\n"
    looks = [said(b"no")] * 3 + [said(b"up")]
    outcome = played(short(steps, "durations: {at_most: 20s}\n"), {"s1": StepScript(looks=looks)})
    assert states(outcome) == {"s1": "ok", "s2": "timed_out"}


def test_where_its_time_is_over_a_playbook_did_not_go_on_though_the_step_may_fail() -> None:
    steps = "  - {run: a, retry: read, until: result.stdout == 'up', every: 10s, deadline: 1m}\n"
    playbook = short(
        steps + "  - {run: b, on_failure: continue}\n  - {run: c}\n",
        "durations: {at_most: 20s}\n",
    )
    outcome = played(playbook, {"s1": StepScript(looks=[said(b"no")] * 3 + [said(b"up")])})
    assert states(outcome) == {"s1": "ok", "s2": "timed_out"}
    assert wrong_step(playbook, outcome) is outcome.steps[1], "the last step was not done"
    may_fail = short(steps + "  - {run: b, on_failure: continue}\n  - {run: c}\n")
    looks = StepScript(looks=[said(b"up")])
    outcome = played(may_fail, {"s1": looks, "s2": StepScript(changes=[FAULTS["timed_out"]]), "s3": OK})
    assert states(outcome) == {"s1": "ok", "s2": "timed_out", "s3": "changed"}
    assert wrong_step(may_fail, outcome) is None


def test_a_plan_says_what_it_cannot_know() -> None:
    steps = """\
  - {run: a}
  - {run: b, unless: g}
  - {run: c, plan: p}
  - {run: d, retry: read, register: seen}
  - {run: e, when: results.seen.stdout == 'x', creates: /there}
  - {run: f, register: later}
  - {run: g, when: later.changed || results.later.changed}
""".replace("later.changed || ", "")
    looks = {
        "s2": StepScript(looks=[said()]),
        "s3": StepScript(looks=[said(b"would remove 3 files\n")]),
        "s4": StepScript(looks=[said(b"x")]),
        "s5": StepScript(looks=[said(exit_status=1)]),
    }
    hands = FakeHands(script=looks)
    plans = {plan.key: plan.forecast for plan in foreseen(short(steps), hands)}
    changes = {key: forecast.changes for key, forecast in plans.items()}
    assert changes == {"s1": None, "s2": False, "s3": True, "s4": False, "s5": True, "s6": None, "s7": None}
    assert "cannot be predicted" in str(plans["s1"].why)
    assert plans["s3"].diff == (" would remove 3 files",)
    assert "results.later" in str(plans["s7"].why)
    assert hands.sent == []


def test_a_rollback_that_was_cut_off_goes_on_and_undoes_nothing_twice() -> None:
    step = "  - {run: a, rollback: [{run: not a}]}\n  - {run: b, on_failure: roll_back, rollback: [{run: not b}]}\n"
    journal, bad = FakeJournal(), StepScript(changes=[done(exit_status=1)])
    played(short(step), {"s1": OK, "s2": bad, "s2.r1": OK, "s1.r1": OK}, journal=journal)
    del journal.ends["s1.r1"]
    second = FakeHands(script={"s1.r1": OK}, recalls={"run-0001.s1.r1.1": done()})
    outcome = played(short(step), second, journal=journal)
    assert second.sent == [] and outcome.change is HostChange.ROLLED_BACK


def test_whether_it_changed_something_is_what_the_step_says() -> None:
    step = "  - {run: a, ok_statuses: [0, 3], changed: result.exit_status == 3}\n"
    assert states(played(short(step), {"s1": StepScript(changes=[done(exit_status=3)])})) == {"s1": "changed"}
    assert states(played(short(step), {"s1": StepScript(changes=[done()])})) == {"s1": "ok"}
    unseen = "  - {run: a, changed: results.x.changed}\n"
    steps = "  - {run: 'true', register: x, when: 'false'}\n" + unseen
    outcome = played(short(steps), {"s2": StepScript(changes=[done()])})
    assert states(outcome) == {"s1": "skipped", "s2": "changed"}, "it ran: what cannot be decided is not nothing"


def test_scripts_of_ours_get_our_variables_alone() -> None:
    more = "params: {found: {type: string, default: x}, one: {type: secret}, word: {type: string, default: w}}\n"
    steps = '  - service: {name: cron, state: started}\n  - file: {path: /x, content: y, validate: \'grep "$word" "$file"\'}\n'
    looks = [said(b"service systemd yes no yes\n"), said(b"service systemd yes yes yes\n")]
    files = [said(b"absent -:-:-:0\n\n"), said(b"file 644:root:root:1\ncontent\ny")]
    script = {"s1": StepScript(looks=looks, changes=[done()]), "s2": StepScript(looks=files, changes=[done()])}
    hands = FakeHands(script=script)
    outcome = played(short(steps, more), hands, params={"one": "s3cret"})
    assert states(outcome) == {"s1": "changed", "s2": "changed"}
    service, put = (command.variables for _, command in hands.sent)
    assert set(service) == {"name", "manager", "does"}
    assert set(put) == {"path", "validate", "mode", "owner", "group", "word"}
    assert all("one" not in dict(question.variables) for question in hands.asked)


def test_a_look_of_ours_does_not_take_as_long_as_the_step_may() -> None:
    steps = "  - package: {names: curl}\n  - {run: a, unless: g, deadline: 10m}\n"
    looks = {"s1": StepScript(looks=[said(b"manager apt\npackage curl 1 -\n")]), "s2": StepScript(looks=[said()])}
    hands = FakeHands(script=looks)
    assert states(played(short(steps), hands)) == {"s1": "ok", "s2": "ok"}
    assert [question.deadline_s for question in hands.asked] == [60, 600]


def test_a_host_that_needs_a_reboot_is_said_to_until_it_had_one() -> None:
    steps = "  - package: {names: kernel}\n"
    looks = [said(b"manager apt\npackage kernel - -\nreboot no\n"), said(b"manager apt\npackage kernel 2 -\nreboot yes\n")]
    script = {"s1": StepScript(looks=looks, changes=[done()])}
    assert played(short(steps), script).needs_reboot
    boots = [said(b"boot 11111111-1111-1111-1111-11111111111%d\nneeded no\n" % number) for number in (1, 2)]
    script["s2"] = StepScript(looks=boots, changes=[done()])
    outcome = played(short(steps + "  - reboot: {}\n"), script)
    assert states(outcome) == {"s1": "changed", "s2": "changed"} and not outcome.needs_reboot


def test_what_was_read_before_a_change_is_not_read_anew_where_a_cut_off_run_goes_on() -> None:
    step = (
        "  - {run: see, retry: read, register: {name: was, parse: text}}\n"
        "  - {run: change, rollback: [{vars: {before: results.was.value}, run: 'echo \"$before\"'}]}\n"
        "  - {run: look, retry: read}\n"
        "  - {run: more, on_failure: roll_back}\n"
    )
    journal, cut = FakeJournal(), StepScript(looks=[said()])
    first = FakeHands(script={"s1": StepScript(looks=[said(b"old\n")]), "s2": OK, "s3": cut, "s4": OK})
    played(short(step), first, journal=journal)
    for key in ("s3", "s4"):
        del journal.ends[key]
    journal.intents = [one for one in journal.intents if one.key == "s2"]
    bad = StepScript(changes=[done(exit_status=1)])
    second = FakeHands(script={"s1": StepScript(looks=[said(b"new\n")]), "s3": cut, "s4": bad, "s2.r1": OK})
    outcome = played(short(step), second, journal=journal)
    assert outcome.change is HostChange.PARTLY and [one.key for one in outcome.undone] == ["s2.r1"]
    assert dict(second.sent[-1][1].variables) == {"before": "old"}
    assert [question.id for question in second.asked] == ["step.s3"]


def test_how_often_a_command_went_out_is_told() -> None:
    (step,) = played(short("  - {run: a}\n"), {"s1": StepScript(changes=[NEVER_ARRIVED, NEVER_ARRIVED, done()])}).steps
    assert (step.attempts, step.sent) == (1, 3)
    for changes in ({"run-0001.s1.1": done()}, {}):  # what an earlier process sent, or never did
        journal = FakeJournal(intents=[Intent(key="s1", ident="run-0001.s1.1", attempt=1)])
        (step,) = played(short("  - {run: a}\n"), FakeHands(script={"s1": OK}, recalls=changes), journal=journal).steps
        assert step.sent == 1, "told as of a run that nobody cut off"


def test_where_a_host_has_no_place_for_the_record_of_a_change_it_is_refused_and_not_tried_again() -> None:
    steps = "  - {run: a, retry: idempotent, attempts: 3}\n  - {run: b}\n"
    unfit = Change(became=Became.NOT_BEGUN, unfit=True, why=Text("no place"))
    outcome = played(short(steps), {"s1": StepScript(changes=[unfit])})
    assert [(one.state, str(one.why), one.attempts) for one in outcome.steps] == [(StepState.REFUSED, "no place", 1)]
    assert outcome.change is HostChange.UNCHANGED


def test_a_plan_ends_where_a_look_says_that_the_run_would() -> None:
    steps = "  - {run: see that, retry: read}\n  - {run: a, plan: p}\n"
    (plan,) = foreseen(short(steps), {"s1": StepScript(looks=[said(stderr=b"it is sleep now\n", exit_status=1)])})
    assert (plan.forecast.changes, str(plan.forecast.why)) == (
        False,
        "the run would end here: it ended with status 1: it is sleep now",
    )
    goes_on = steps.replace("read}", "read, on_failure: continue}")
    script = {"s1": StepScript(looks=[said(exit_status=1)]), "s2": StepScript(looks=[said(b"x\n")])}
    assert [plan.forecast.changes for plan in foreseen(short(goes_on), script)] == [False, True]


@pytest.mark.parametrize("asks", ["has(results.made)", "!has(results.made)", "!has(results.made) || results.made.changed"])
def test_a_plan_decides_nothing_by_what_only_a_run_registers(asks: str) -> None:
    steps = f"  - {{run: make, register: made}}\n  - {{run: a, when: '{asks}'}}\n"
    _, second = foreseen(short(steps), {})
    assert (second.forecast.changes, second.skipped, "results.made" in str(second.forecast.why)) == (None, False, True)
    never = steps.replace("run: make", "run: make, when: 'false'")
    assert [plan.skipped for plan in foreseen(short(never), {})] == [True, asks == "has(results.made)"]


def test_a_plan_goes_on_behind_a_look_that_what_comes_before_may_mend() -> None:
    steps = "  - {run: make, plan: p}\n  - {run: see that, retry: read}\n  - {run: a, plan: p}\n"
    script = {
        "s1": StepScript(looks=[said(b"would make it\n")]),
        "s2": StepScript(looks=[said(exit_status=1, stderr=b"it is not there\n")]),
        "s3": StepScript(looks=[said(b"would do it\n")]),
    }
    plans = foreseen(short(steps), script)
    assert [plan.forecast.changes for plan in plans] == [True, None, True]
    assert "it is not there" in str(plans[1].forecast.why)
