"""What a repair was begun with, or approved for, is what it is done with: other hosts, plans and old approvals are refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from inventory.host import Become, CredentialReference, Host, Proxy, Selection, SshSettings, Transport, WinrmSettings
from playbooks.frame import Frame
from playbooks.model import Playbook
from playbooks.results import Forecast, StepPlan
from playbooks.testing import FakeOperator
from runner import desk_approvals
from runner.approved_plan import another_plan
from runner.approving import bound_to, drift
from runner.desk import Desk
from runner.desk_base import utc_now
from runner.diagnosing import target_row
from runner.host_run import Clock
from runner.observer import Silent
from runner.outcome import KEPT_OFF, Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import RepairRequest, RestRequest
from runner.roles import Caller
from runner.store.errors import NotApproved
from runner.store.opening import database, make_home
from runner.store.port import WholeRun
from runner.targets import changed_since, target_digests, target_of
from runner.undoing import NothingToUndo
from tests.runner.conftest import Rows
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench, hosts_folder
from tests.runner.test_repair import StoppingOnce

PLAN = WholeRun(run=Rows().run(), hosts=(), outbox=())
WAITS = 'touch "$HOME/begun"; n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; '
UNDONE = '    rollback:\n      - run: echo undone >>"$HOME/effects"\n'
TEXT = MEND.replace('run: echo "one" >>"$HOME/effects"', f'run: {WAITS}echo "one" >>"$HOME/effects"', 1)


@dataclass
class Cut:
    """A home in which a repair of two hosts that boris approved was cut off: the first is half done, the second not begun."""

    home: Path
    bench: Bench
    playbook: Playbook
    run: str = ""
    hosts: tuple[str, ...] = ("db-1", "db-2")
    connected: list[Host] = field(default_factory=list)

    def connect(self, host: Host) -> Any:
        self.connected.append(host)
        return self.bench.connect(host)

    def copied(self, folder: Path) -> Cut:
        shutil.copytree(self.home, folder / "home")
        return replace(self, home=folder / "home", connected=[])

    def resumed(self, selection: Selection | None = None, *, clock: Clock | None = None, **more: Any) -> RunRecord:
        rest = RestRequest(
            inventory=inventory_of(selection or self.bench.selection(*self.hosts)),
            library=self.bench.library,
            playbook=self.playbook,
            secrets={},
            operator=FakeOperator(),
        )
        with Desk.open(self.home, write=True, actor="anna", clock=clock) as desk:
            resumed = desk.resume_repair(self.run, replace(rest, **more), connect=self.connect, observer=Silent())
            return asyncio.run(resumed)

    def changed(self, sql: str) -> None:
        with closing(sqlite3.connect(database(self.home))) as connection:
            connection.execute(sql)
            connection.commit()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


@pytest.fixture(scope="module")
def cut() -> Iterator[Cut]:
    with hosts_folder() as folder:
        yield cut_off(Path(folder))


def cut_off(folder: Path) -> Cut:
    bench, home = Bench(folder), folder / "home"
    make_home(home)
    (home / "config.yaml").write_text("approvals: {from: reversible}\n")
    cut = Cut(home=home, bench=bench, playbook=bench.playbook(TEXT))
    asked = bench.asking(*cut.hosts, playbook=cut.playbook, concurrency=1)
    plan = approved(home, asked, bench)
    begun = bench.home("db-1") / "begun"
    for host in cut.hosts:
        bench.mark(host, "bad")
    with Desk.open(home, write=True, actor="anna") as desk:
        observer = StoppingOnce(desk, begun)
        stopped = asyncio.run(desk.start(plan, asked, connect=bench.connect, observer=observer))
    assert [host.outcome for host in stopped.hosts] == [Outcome.INTERRUPTED, Outcome.NOT_STARTED]
    for host in cut.hosts:
        (bench.home(host) / "go").touch()
    cut.run = stopped.run
    return cut


def approved(home: Path, asked: RepairRequest, bench: Bench) -> str:
    """Return the plan of a repair that anna asked for and boris has approved."""
    with Desk.open(home, write=True, actor="anna") as desk:
        plan = asyncio.run(desk.repair(asked, connect=bench.connect, observer=Silent()))
    with Desk.open(home, write=True, actor="boris") as desk:
        desk.decide_approval(plan.run, approved=True, reason="")
    return plan.run


def with_hosts(selection: Selection, change: Callable[[Host], Host], only: Sequence[str] = ()) -> Selection:
    hosts = tuple(change(host) if not only or host.name in only else host for host in selection.hosts)
    return replace(selection, hosts=hosts)


OTHER: dict[str, tuple[Callable[[Host], Host], str]] = {
    "address": (lambda host: replace(host, address="10.9.9.9"), "in another way: 127.0.0.1, now 10.9.9.9"),
    "port": (lambda host: replace(host, port=2222), "it is reached at another address, or in another way"),
    "way": (lambda host: replace(host, via=Host(name="jump", address="10.0.0.1")), "at another address, or in another way"),
    "login": (
        lambda host: replace(host, credential=CredentialReference(name="ops", user="root")),
        "it is reached as somebody else",
    ),
    "customer": (lambda host: replace(host, customer="ACME"), "ACME"),  # expressions tell the two apart
    "site": (lambda host: replace(host, site="elsewhere"), "its site is another one: -, now elsewhere"),
    "proxy": (
        lambda host: replace(host, ssh=SshSettings(proxy=Proxy(scheme="http", host="proxy", port=8080))),
        "it is reached at another address, or in another way",
    ),
    "command": (
        lambda host: replace(host, ssh=SshSettings(proxy_command=("/usr/bin/nc",))),
        "it is reached at another address, or in another way",
    ),
    "endpoint": (
        lambda host: replace(host, winrm=WinrmSettings(endpoint="Jea")),
        "it is reached at another address, or in another way",
    ),
    "become": (
        lambda host: replace(host, become=Become(user="postgres")),
        "its user becomes another one, or in another way",
    ),
    "tags": (lambda host: replace(host, tags=("scratch",)), "its tags are others"),
    "groups": (lambda host: replace(host, groups=("prod",)), "its groups are others"),
}


@pytest.mark.parametrize("what", ["address", "login", "site", "tags"])
def test_a_repair_does_not_go_on_on_what_is_another_host_by_now(cut: Cut, tmp_path: Path, what: str) -> None:
    change, said = OTHER[what]
    again = cut.copied(tmp_path)
    record = again.resumed(with_hosts(cut.bench.selection(*cut.hosts), change))
    assert (again.connected, record.state) == ([], RunState.INTERRUPTED), "what was begun can go on where it began"
    first, second = record.hosts
    assert [(one.outcome, one.error_kind) for one in record.hosts] == [
        (Outcome.INTERRUPTED, "TargetChanged"),
        (Outcome.REFUSED, "TargetChanged"),
    ]
    assert "TargetChanged" in KEPT_OFF
    assert str(first.error).startswith(f"db-1 is not what run {cut.run} began with: ") and str(first.error).endswith(said)
    assert str(first.hint) == f"look there; with the inventory as it was: longarm run resume {cut.run}"
    assert str(second.hint) == "a run of its own: longarm repair mend db-2 -p word=good"
    assert cut.bench.effects("db-2") == []


def test_only_the_host_that_changed_is_refused_and_its_row_stays_as_it_was(cut: Cut, tmp_path: Path) -> None:
    again = cut.copied(tmp_path)
    moved = with_hosts(cut.bench.selection(*cut.hosts), OTHER["address"][0], only=["db-1"])
    again.changed("UPDATE approval SET expires_at = '2026-01-01 00:00:00.000000'")
    assert [host.error_kind for host in again.resumed(moved).hosts] == ["TargetChanged", "NotApproved"]
    with Desk.open(again.home, write=False) as desk:
        assert [row.address for row in desk._whole(cut.run).hosts] == ["127.0.0.1", "127.0.0.1"]


def test_of_a_run_from_before_its_hosts_are_compared_with_what_was_kept_then(cut: Cut, tmp_path: Path) -> None:
    again = cut.copied(tmp_path)
    again.changed("UPDATE host_run SET target = NULL")
    moved = with_hosts(cut.bench.selection(*cut.hosts), OTHER["address"][0])
    assert [host.error_kind for host in again.resumed(moved).hosts] == ["TargetChanged", "TargetChanged"]


@pytest.mark.parametrize("what", OTHER)
def test_each_part_of_a_host_is_compared(rows: Rows, bench: Bench, what: str) -> None:
    host, book = Host(name="db-1", address="127.0.0.1", customer="Acme", transport=Transport.LOCAL), bench.playbook()
    row = replace(rows.host(1, address="127.0.0.1", customer="Acme", site=None, transport="local"), run="one")
    row = replace(row, target=target_digests("one", host, book))
    assert changed_since(row, host) is None
    assert changed_since(replace(row, run="another"), host) is not None, "a digest tells nothing beside its own run"
    change, said = OTHER[what]
    assert str(changed_since(row, change(host))).endswith(said)


@pytest.mark.parametrize("what", OTHER)
def test_an_approval_holds_for_no_other_host(bench: Bench, what: str) -> None:
    asked = bench.asking("db-1", "db-2")
    bound, other = bound_to(asked, PLAN), replace(asked, selection=with_hosts(asked.selection, OTHER[what][0], only=["db-2"]))
    assert drift(bound, bound_to(asked, PLAN)) is None
    assert (
        str(drift(bound, bound_to(other, PLAN)))
        == "the inventory says something else about its hosts than when it was asked for"
    )


def test_all_that_expressions_see_of_a_host_is_bound() -> None:
    """What they see is made in one place: who adds to it adds to what is bound."""
    book = Playbook(id="p", title={})
    host = Host(name="db-1", address="x", site="s", customer="c", tags=("t",), groups=("g",))
    seen = Frame(book, {}, {}, host).variables["host"]
    assert {*seen} - {"name"} <= target_of(host, book).keys()


def test_variables_of_a_host_are_bound_where_they_are_given_to_ansible(bench: Bench) -> None:
    host = bench.selection("db-1").hosts[0]
    other = replace(host, vars=MappingProxyType({"role": MappingProxyType({"name": "web"}), "ports": (80, 443)}))
    plain = bench.playbook()
    ansible = replace(plain, steps=(replace(plain.steps[0], action="ansible"),))
    outer = replace(plain, steps=(replace(plain.steps[0], action="include", values={"playbook": ansible}),))
    for book, counts in ((plain, False), (ansible, True), (outer, True)):
        one, two = (
            bound_to(bench.asking("db-1", playbook=book, selection=chosen), PLAN) for chosen in map(alone, (host, other))
        )
        assert (drift(one, two) is not None) is counts
        digests = target_digests("one", host, book)
        row = replace(target_row("one", 0, host), target=digests)
        assert (str(changed_since(row, other)) == "its variables are others") is counts


def alone(host: Host) -> Selection:
    return Selection(expression="all", hosts=(host,))


VOID: dict[str, tuple[str, str]] = {
    "time": ("UPDATE approval SET expires_at = '2026-01-01 00:00:00.000000'", "its time is over"),
    "gone": ("DELETE FROM approval", "it is not there any more"),
    "another's": ("UPDATE approval SET begun_as = 'x'", "it is not there any more"),
    "evidence": (
        "UPDATE host_run SET evidence_digest = 'x' WHERE run IN (SELECT run FROM approval)",
        "the evidence is not that on which it was asked for",
    ),
    "params": (
        """UPDATE run SET request = json_set(request, '$.params.word', 'worse') WHERE state = 'interrupted'""",
        "the parameters are not those that were asked for",
    ),
}


@pytest.mark.parametrize("what", VOID)
def test_a_host_that_was_not_begun_does_not_begin_where_the_approval_holds_no_more(cut: Cut, tmp_path: Path, what: str) -> None:
    sql, why = VOID[what]
    again = cut.copied(tmp_path)
    again.changed(sql)
    moved = with_hosts(cut.bench.selection(*cut.hosts), OTHER["address"][0], only=["db-1"])  # or it would be gone on with
    refused = again.resumed(moved).hosts[1]
    assert (refused.outcome, refused.error_kind, again.connected) == (Outcome.REFUSED, "NotApproved", [])
    assert str(refused.error).startswith("the approval of run ") and str(refused.error).endswith(
        f" does not hold any more: {why}"
    )
    assert str(refused.hint).startswith("ask for it anew: longarm repair mend db-2 -p word=")


def test_a_host_that_was_not_begun_does_not_begin_with_other_checks(cut: Cut, tmp_path: Path) -> None:
    again = cut.copied(tmp_path)
    moved = with_hosts(cut.bench.selection(*cut.hosts), OTHER["address"][0], only=["db-1"])
    refused = again.resumed(moved, library=replace(cut.bench.library, digest="f" * 64)).hosts[1]
    assert refused.error_kind == "NotApproved"
    assert str(refused.error).endswith("the checks and probes are not those that were asked for")


@pytest.mark.parametrize(("who", "action"), [("anna", "repair"), ("boris", "approve")])
def test_a_host_that_was_not_begun_does_not_begin_where_somebody_may_not_do_so_any_more(
    cut: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, action: str
) -> None:
    again = cut.copied(tmp_path)
    monkeypatch.setattr(desk_approvals, "caller_named", lambda name: None if name == who else Caller(name=name, uid=1))
    (again.home / "config.yaml").write_text("roles:\n  - {role: admin, users: [anna, boris]}\n")
    moved = with_hosts(cut.bench.selection(*cut.hosts), OTHER["address"][0], only=["db-1"])
    refused = again.resumed(moved).hosts[1]
    assert (refused.outcome, refused.error_kind) == (Outcome.REFUSED, "NotApproved")
    assert str(refused.error).endswith(f"{who} may not do this any more: “{action}”")


def test_a_host_on_which_a_step_was_only_left_out_was_not_begun(cut: Cut, tmp_path: Path) -> None:
    again = cut.copied(tmp_path)
    ended: dict[str, Any] = {
        "name": "Look",
        "action": "run",
        "state": "skipped",
        "effect": "none",
        "exit_status": None,
        "diff": [],
        "data": {},
    }
    ended |= {"attempts": 1, "duration_ms": 0, "why": None}
    mine = "run IN (SELECT id FROM run WHERE state = 'interrupted')"
    again.changed(f"UPDATE journal SET event = 'end', data = '{json.dumps(ended)}' WHERE {mine}")
    record = again.resumed(clock=lambda: utc_now() + timedelta(days=2))
    assert [host.error_kind for host in record.hosts] == ["NotApproved", "NotApproved"] and again.connected == []


def test_what_was_begun_goes_on_although_its_approval_holds_no_more(cut: Cut, tmp_path: Path) -> None:
    again = cut.copied(tmp_path)
    record = again.resumed(clock=lambda: utc_now() + timedelta(days=2))
    assert [(host.outcome, host.error_kind) for host in record.hosts] == [(Outcome.OK, ""), (Outcome.REFUSED, "NotApproved")]
    assert (cut.bench.effects("db-1"), cut.bench.effects("db-2")) == (["one", "two"], [])
    assert [host.name for host in again.connected] == ["db-1"]


def test_what_a_repair_did_is_not_undone_on_another_machine(home: Path, bench: Bench) -> None:
    book = bench.playbook(MEND.replace("    deadline: 100s\n", f"    deadline: 100s\n{UNDONE}", 1))
    asked = bench.asking("db-1", playbook=book)
    with Desk.open(home, write=True, actor="anna") as desk:
        done = asyncio.run(desk.repair(asked, connect=bench.connect, observer=Silent()))
        moved = replace(asked, selection=with_hosts(asked.selection, OTHER["address"][0]))
        with pytest.raises(NothingToUndo, match=r"can be undone: db-1: it is reached at another address.*, now 10\.9\.9\.9"):
            asyncio.run(desk.roll_back(done.run, moved, connect=bench.connect, observer=Silent()))
        assert bench.effects("db-1") == ["one", "two"]
        asyncio.run(desk.roll_back(done.run, asked, connect=bench.connect, observer=Silent()))
        assert bench.effects("db-1") == ["one", "two", "undone"]


LISTED = MEND.replace(
    '    run: echo "$word" >"$HOME/mark"',
    '    plan: cat "$HOME/files" 2>/dev/null || echo none\n    run: echo "$word" >"$HOME/mark"',
)


def listed(bench: Bench, host: str, text: str) -> None:
    """Write what the plan of a step says on a host."""
    (bench.home(host) / "files").write_text(text)


def started(home: Path, bench: Bench, text: str, before: str, now: str) -> HostRecord:
    """Return what became of a host on which the plan of a step said something else when the repair was approved."""
    make_home(home)
    (home / "config.yaml").write_text("approvals: {from: reversible}\n")
    asked = bench.asking("db-1", playbook=bench.playbook(text))
    listed(bench, "db-1", before)
    run = approved(home, asked, bench)
    listed(bench, "db-1", now)
    with Desk.open(home, write=True, actor="anna") as desk:
        (host,) = asyncio.run(desk.start(run, asked, connect=bench.connect, observer=Silent())).hosts
    return host


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("/a\n/b\n", "/a\n/c\n", "/c (lines in all: 2); approved was: /b (lines in all: 2)"),
        (
            "".join(f"/{n}\n" for n in range(10)),
            "".join(f"/{n}\n" for n in range(10_000)),
            "(lines in all: 401); approved was: ",
        ),
        ("".join(f"/{n}\n" for n in range(500)), "".join(f"/{n}\n" for n in [*range(499), 777]), " … 100 more lines, "),
        (f"/{'a' * 500}\n", f"/{'a' * 499}b\n", " … lines are cut, "),
        ("", "/a\n", "/a (lines in all: 1); approved was: nothing would change"),
        ("/a\n", "", "nothing would change; approved was: /a (lines in all: 1)"),
    ],
    ids=["another", "many", "far behind", "long", "more", "less"],
)
def test_a_host_on_which_something_else_would_be_done_than_was_approved_is_left_alone(
    home: Path, bench: Bench, before: str, now: str, said: str
) -> None:
    host = started(home, bench, LISTED, before, now)
    assert (host.outcome, host.error_kind, bench.effects("db-1")) == (Outcome.REFUSED, "NotApproved", [])
    begins = "step “Write the mark” would do something else than was approved: "
    assert str(host.error).startswith(begins) and said.strip() in str(host.error)
    assert str(host.hint) == "ask for it anew: longarm repair mend db-1 -p word=good"


def test_what_changes_by_itself_is_shown_and_binds_nobody(home: Path, bench: Bench) -> None:
    host = started(home, bench, LISTED, "/a\n# 12 MiB\n", "/a\n# 13 MiB\n")
    assert (host.outcome, bench.effects("db-1")) == (Outcome.OK, ["one", "two"])


def test_a_step_that_was_left_out_is_not_done(home: Path, bench: Bench) -> None:
    """What a script gets is bound too: it comes from facts, which are others on another day."""
    reads = '  - name: Look\n    run: cat "$HOME/files"\n    retry: read\n    register: seen\n'
    then = '  - name: Wipe\n    when: results.seen.stdout.startsWith("wipe")\n    run: echo wiped >>"$HOME/effects"\n'
    text = MEND.replace("steps:\n", f"steps:\n{reads}{then}")
    host = started(home, bench, text, "keep\n", "wipe\n")
    assert (host.error_kind, bench.effects("db-1")) == ("NotApproved", [])
    assert str(host.error).endswith(": nobody can tell beforehand; approved was: it is left out")


def test_the_values_of_a_script_are_bound(home: Path, bench: Bench) -> None:
    reads = '  - name: Look\n    run: cat "$HOME/files"\n    retry: read\n    register: seen\n'
    then = '  - name: Say\n    vars: {what: results.seen.stdout}\n    run: echo "$what" >>"$HOME/effects"\n'
    host = started(home, bench, MEND.replace("steps:\n", f"steps:\n{reads}{then}"), "one\n", "two\n")
    assert (host.error_kind, bench.effects("db-1")) == ("NotApproved", [])
    assert str(host.error).startswith("step “Say” would do something else than was approved: ")


def test_a_plan_that_is_not_as_it_was_kept_is_not_approved_and_not_begun(home: Path, bench: Bench) -> None:
    make_home(home)
    (home / "config.yaml").write_text("approvals: {from: reversible}\n")
    asked = bench.asking("db-1", playbook=bench.playbook(LISTED))
    with Desk.open(home, write=True, actor="anna") as desk:
        one, two = (asyncio.run(desk.repair(asked, connect=bench.connect, observer=Silent())).run for _ in range(2))
    with Desk.open(home, write=True, actor="boris") as desk:
        desk.decide_approval(two, approved=True, reason="")
    with closing(sqlite3.connect(database(home))) as connection:
        connection.execute("UPDATE journal SET data = replace(data, 'none', 'all!') WHERE event = 'plan'")
        connection.commit()
    with Desk.open(home, write=True, actor="boris") as desk:
        with pytest.raises(NotApproved, match="the plan is not the one that was asked for"):
            desk.decide_approval(one, approved=True, reason="")
        with pytest.raises(NotApproved, match="the plan is not the one that was asked for"):
            asyncio.run(desk.start(two, asked, connect=bench.connect, observer=Silent()))


def test_plans_are_compared_step_by_step() -> None:
    plan = StepPlan(key="s1", name="Say", action="run", forecast=Forecast(changes=True, diff=(" a",)), script="say")
    assert another_plan([plan], [plan]) is None and another_plan([], []) is None
    others = (
        replace(plan, key="s2"),
        replace(plan, action="powershell"),
        replace(plan, skipped=True),
        replace(plan, script="shout"),
        replace(plan, variables={"what": "it"}),
        replace(plan, forecast=Forecast(changes=None)),
        replace(plan, forecast=Forecast(changes=False, diff=(" a",))),
        replace(plan, forecast=Forecast(changes=True, diff=(" b",))),
    )
    assert all(another_plan([plan], [other]) is not None for other in others)
    assert str(another_plan([plan], [])).endswith(": there is no such step; approved was: a (lines in all: 1)")
    assert str(another_plan([], [plan])).endswith(": a (lines in all: 1); approved was: there is no such step")
    native = replace(plan, action="file", forecast=Forecast(changes=True, diff=(" # a comment", "+b")))
    assert another_plan([native], [replace(native, forecast=Forecast(changes=True, diff=(" # another", "+b")))]) is not None
