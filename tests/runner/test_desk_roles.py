"""Every door of the desk asks who is there: at a start, at a resumption, at each object; one that did not would be seen."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from diagnostics.library import Library
from inventory.errors import LongarmError
from inventory.host import CredentialReference, Host, Selection
from playbooks.demands import demands_of
from playbooks.model import Playbook, Risk, Tier
from playbooks.testing import FakeOperator
from remote.command import Command
from remote.errors import ConnectFailed
from remote.question import Privilege
from runner import desk_approvals, desk_base, desk_cases, desk_keeping, desk_looking, desk_runs, desk_stops
from runner.config import Config, load_config
from runner.desk import Desk
from runner.observer import Silent
from runner.request import DiagnoseRequest, RepairRequest, RestRequest, TaskRequest
from runner.roles import Caller, RoleRefused
from runner.store.changes import AskApproval, BeginRun, Belonging, TakeLease
from runner.store.errors import NothingStopped
from runner.store.port import PrunePlan, WholeRun
from runner.store.rows import ApprovalRow, Scope
from runner.store.sql import open_store
from runner.tasks import CommandTask
from tests.mutants import Mutant, calls, instead, mutants, without_keywords
from tests.runner.conftest import Rows
from tests.runner.fleet import OK, Act, ActingConnect, asking, fleet, inventory_of
from tests.runner.repairs import Bench

CONFIG = """\
roles:
  - {role: L1, users: [lena], customers: [acme]}
  - {role: L2, users: [olga, ivan], customers: [acme], sites: [berlin]}
  - {role: L3, users: [anna], customers: [acme]}
  - {role: L3, users: [berta], customers: [acme], sites: [berlin]}
  - {role: admin, groups: [keepers]}
"""
PEOPLE = {
    name: Caller(name=name, uid=1000 + number, groups=frozenset({"keepers"} if name == "root" else {"users"}))
    for number, name in enumerate(("lena", "olga", "ivan", "anna", "root", "stranger", "berta"))
}
NONE = PEOPLE["stranger"]
REPAIR = "20261122-110000-aaaaaa"
PLAN = "20261122-110500-cccccc"
OF_ZETA = "20261122-120000-bbbbbb"
OF_L3 = "20261122-111000-dddddd"


@dataclass
class Scene:
    """A home in which olga has diagnosed two hosts of acme for a case, and has repaired one; zeta has a run too."""

    home: Path
    library: Library
    bench: Bench
    run: str = ""

    def connect(self) -> ActingConnect:
        return ActingConnect({"db-0": Act(OK), "db-1": Act(OK)})

    def asks(self, tier: Tier = Tier.L1) -> DiagnoseRequest:
        book = Playbook(id="standard", title={"en": "Standard", "ru": "Обычная"}, digest="p" * 64, tier=tier)
        return replace(asking(self.library, fleet("db-0"), case=None), playbook=book)

    def commands(self, privilege: Privilege, login: str) -> TaskRequest:
        task = CommandTask(command=Command(script="true", privilege=privilege))
        (host,) = fleet("db-0").hosts
        host = replace(host, credential=CredentialReference(name="theirs", user=login))
        return TaskRequest(selection=Selection(expression="db-0", hosts=(host,)), task=task, case=None, actor="x")

    def book(self, tier: Tier, risk: Risk, within: bool = False) -> Playbook:
        """Return a playbook; `within`: one that says that it is for L1 and only reads, and includes that."""
        book = replace(self.bench.playbook(), tier=tier, risk=risk)
        return including(book) if within else book

    def repairs(self, tier: Tier = Tier.L2, risk: Risk = Risk.REVERSIBLE, within: bool = False, **values: Any) -> RepairRequest:
        book = self.book(tier, risk, within)
        return replace(self.bench.asking("db-0", playbook=book), selection=fleet("db-0"), **values)

    def rest(self, tier: Tier, risk: Risk, within: bool = False) -> RestRequest:
        return RestRequest(
            inventory=inventory_of(fleet("db-0")),
            library=self.library,
            playbook=self.book(tier, risk, within),
            secrets={},
            operator=FakeOperator(),
        )


def including(inner: Playbook, tier: Tier = Tier.L1, risk: Risk = Risk.READ) -> Playbook:
    """Return a playbook that includes another one, as no file may: what it says of itself can be less."""
    step = replace(inner.steps[0], action="include", values={"playbook": inner})
    return replace(inner, id="outer", tier=tier, risk=risk, steps=(step,))


@pytest.fixture(scope="module")
def scene(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    scene = Scene(home=folder / "home", library=library, bench=Bench(folder))
    with Desk.open(scene.home, write=True, actor="olga") as desk:
        done = desk.diagnose(asking(library, fleet("db-0", "db-1"), actor="olga"), connect=scene.connect(), observer=Silent())
        scene.run = asyncio.run(done).run
        row = desk.outbox()[0]
        desk.outbox_rendered(row.id, "report.html", b"<html>")
        desk.case_attach("DEMO-1", "report.html", b"<html>", "text/html", True, "", customer="acme")
        desk.hold(fleet("db-9").hosts, reason="held by olga")
        desk.hold([replace(fleet("db-8").hosts[0], customer="zeta")], reason=OF_ZETA)
        desk.hold([replace(fleet("db-6").hosts[0], site="potsdam")], reason="held in potsdam")
        desk.freeze(Scope.CUSTOMER, "zeta", reason="secret")
        desk.freeze(Scope.SITE, "potsdam", reason="moving")
        desk.case_attach("ZETA-1", "report.html", b"<html>", "text/html", True, "", customer="zeta")
    rows = Rows()
    with closing(open_store(scene.home, write=True)) as store:
        for run, customer, tier in (
            (REPAIR, "acme", "L2"),
            (PLAN, "acme", "L2"),
            (OF_ZETA, "zeta", "L2"),
            (OF_L3, "acme", "L3"),
        ):
            hosts = (rows.host(0, run, customer=customer),)
            request = {"kind": "repair", "tier": tier, "risk": "disruptive"}
            row_of_run = rows.run(run, actor="olga", customers=(customer,), request=request, case=None)
            store.write(BeginRun(run=row_of_run, hosts=hosts, audit=rows.audit(run=run)), [b"content"]).result()
            if run == PLAN:
                waits = ApprovalRow(run=run, asked_by="olga", bound={}, expires_at=rows.now + timedelta(days=9999))
                store.write(AskApproval(approval=waits, audit=rows.audit("approval.asked", run=run))).result()
                continue
            if run == OF_L3:
                continue
            store.write(TakeLease(lease=rows.lease(host=f"db-{customer}", run=run, customer=customer))).result()
    (scene.home / "config.yaml").write_text(CONFIG)
    return scene


class Down:
    """A `Connect` that reaches nobody."""

    def __call__(self, host: Host) -> Any:
        raise ConnectFailed(host.name, "no route")


Op = Callable[[Desk, Scene], object]


def _diagnose(tier: Tier = Tier.L1) -> Op:
    return lambda desk, scene: asyncio.run(desk.diagnose(scene.asks(tier), connect=scene.connect(), observer=Silent()))


def _command(privilege: Privilege, login: str = "support") -> Op:
    return lambda desk, scene: asyncio.run(desk.carry_out(scene.commands(privilege, login), connect=Down(), observer=Silent()))


def _repair(tier: Tier = Tier.L2, risk: Risk = Risk.REVERSIBLE, within: bool = False, **values: Any) -> Op:
    return lambda desk, scene: asyncio.run(
        desk.repair(scene.repairs(tier, risk, within, **values), connect=Down(), observer=Silent())
    )


def _resume(desk: Desk, scene: Scene) -> object:
    rest = desk.resume(
        scene.run, inventory=inventory_of(fleet("db-0")), library=scene.library, connect=scene.connect(), observer=Silent()
    )
    return asyncio.run(rest)


def _resume_repair(tier: Tier = Tier.L2, risk: Risk = Risk.DISRUPTIVE, within: bool = False) -> Op:
    def op(desk: Desk, scene: Scene) -> object:
        rest = desk.resume_repair(REPAIR, scene.rest(tier, risk, within), connect=Down(), observer=Silent())
        return asyncio.run(rest)

    return op


def _only_ask(run: str, **moved: Any) -> Op:
    def op(desk: Desk, scene: Scene) -> object:
        (host,) = fleet("db-0").hosts
        there = inventory_of(Selection(expression="db-0", hosts=(replace(host, **moved),)))
        return asyncio.run(desk.only_ask(run, inventory=there, connect=Down(), observer=Silent()))

    return op


def _next_host(desk: Desk, scene: Scene) -> object:
    """Ask what is asked before each host of a repair that goes on: where it belongs may be another place by now."""
    rest = scene.rest(Tier.L2, Risk.DISRUPTIVE)
    still = desk._may_go_on(desk._whole(REPAIR), rest, demands_of(rest.playbook))
    return still([replace(fleet("db-0").hosts[0], customer="zeta")])


def _roll_back(
    tier: Tier = Tier.L2, risk: Risk = Risk.DISRUPTIVE, within: bool = False, run: str = REPAIR, **values: Any
) -> Op:
    return lambda desk, scene: asyncio.run(
        desk.roll_back(run, scene.repairs(tier, risk, within, **values), connect=Down(), observer=Silent())
    )


def _start(tier: Tier = Tier.L2, risk: Risk = Risk.DISRUPTIVE, within: bool = False) -> Op:
    return lambda desk, scene: asyncio.run(
        desk.start(PLAN, scene.repairs(tier, risk, within), connect=Down(), observer=Silent())
    )


def _decides(approved: bool) -> Op:
    return lambda desk, scene: desk.decide_approval(PLAN, approved=approved, reason="x")


DOORS: dict[str, Op] = {
    "diagnose": _diagnose(),
    "carry_out": _command(Privilege.USER),
    "repair": _repair(),
    "resume": _resume,
    "resume_repair": _resume_repair(),
    "only_ask": _only_ask(REPAIR),
    "start": _start(),
    "roll_back": _roll_back(),
    "decide_approval": _decides(True),
    "record": lambda desk, scene: desk.record(scene.run),
    "follow": lambda desk, scene: desk.follow(scene.run, Silent(), lambda: None),
    "answers": lambda desk, scene: [*desk.answers(scene.run)],
    "replay": lambda desk, scene: desk.replay(scene.run, library=scene.library),
    "evidence": lambda desk, scene: desk.evidence(digest_in(scene, "SELECT evidence_digest FROM host_run")),
    "outbox_rendered": lambda desk, scene: desk.outbox_rendered(1, "x.html", b"x"),
    "outbox_data": lambda desk, scene: desk.outbox_data(1),
    "outbox_failed": lambda desk, scene: desk.outbox_failed(1, "x"),
    "outbox_sent": lambda desk, scene: desk.outbox_sent(1),
    "case": lambda desk, scene: desk.case("DEMO-1"),
    "case_attach": lambda desk, scene: desk.case_attach("DEMO-1", "x", b"x", "text/plain", True, "", customer="acme"),
    "case_attachments": lambda desk, scene: desk.case_attachments("DEMO-1"),
    "attachment": lambda desk, scene: desk.attachment(digest_in(scene, "SELECT digest FROM case_attachment")),
    "audit": lambda desk, scene: desk.audit(),
    "audit_exported": lambda desk, scene: desk.audit_exported(),
    "backup": lambda desk, scene: desk.backup(scene.home.with_name(f"{desk.home.name}.tar")),
    "verify": lambda desk, scene: desk.verify(),
    "prunable": lambda desk, scene: desk.prunable(older_than=None, keep=99),
    "prune": lambda desk, scene: desk.prune(PrunePlan(found=desk._store.prunable(before=None, keep=99, cases=False))),
    "erasable": lambda desk, scene: desk.erasable(Belonging(customer="zeta")),
    "erase": lambda desk, scene: desk.erase(Belonging(customer="zeta")),
    "hold": lambda desk, scene: desk.hold(fleet("db-9").hosts, reason="x"),
    "remove_holds": lambda desk, scene: desk.remove_holds(["db-9"], owner="olga"),
    "freeze": lambda desk, scene: desk.freeze(Scope.CUSTOMER, "beta", reason="x"),
    "unfreeze": lambda desk, scene: desk.unfreeze(Scope.CUSTOMER, "beta"),
}
"""What must be refused to a stranger."""

LISTS: dict[str, Callable[[Desk], list[str]]] = {
    "runs": lambda desk: [row.run for row in desk.runs()],
    "leases": lambda desk: [row.run for row in desk.leases()],
    "leased": lambda desk: [row.lease.run for row in desk.leased()],
    "holds": lambda desk: [row.reason for row in desk.holds()],
    "outbox": lambda desk: [row.case for row in desk.outbox()],
    "cases": lambda desk: [row.ref for row in desk.cases()],
}
"""What shows a stranger nothing, and others their own."""

OPEN = {
    "open",
    "open_beside",
    "restore",
    "verify_backup",
    "stop",
    "delivering",
    "roles",
    "unmute_left",
    "freezes",
    "refuse_frozen",
    "refuse_held",
}
"""What anybody may: open a home, stop a run of this very process, wait to deliver, see roles and what keeps changes off."""

REFUSED: dict[str, tuple[str, Op]] = {
    "L1 uses what is marked for L2": ("lena", _diagnose(Tier.L2)),
    "L2 is root by a command": ("olga", _command(Privilege.ROOT)),
    "L2 is root by the login": ("olga", _command(Privilege.USER, login="root")),
    "L2 repairs by what is marked for L3": ("olga", _repair(Tier.L3)),
    "L1 disrupts": ("lena", _repair(Tier.L1, Risk.DISRUPTIVE)),
    "L2 tries again what another did that disrupts": ("ivan", _repair(risk=Risk.DISRUPTIVE, retries=REPAIR)),
    "L1 resumes what is another's": ("lena", _resume),
    "L2 resumes what is another's and disrupts": ("ivan", _resume_repair()),
    "L2 resumes what is marked for L3": ("olga", _resume_repair(Tier.L3)),
    "L2 resumes what disrupts, of another": ("ivan", _resume_repair(Tier.L2, Risk.DISRUPTIVE)),
    "L2 only asks what is another's and disrupts": ("ivan", _only_ask(REPAIR)),
    "L2 only asks what is marked for L3": ("olga", _only_ask(OF_L3)),
    "L2 only asks a host that is another customer's by now": ("olga", _only_ask(REPAIR, customer="zeta")),
    "a run of another customer": ("anna", lambda desk, scene: desk.record(OF_ZETA)),
    "a case of another customer": ("anna", lambda desk, scene: desk.case("ZETA-1")),
    "onto a case what is another customer's": (
        "anna",
        lambda desk, scene: desk.case_attach("DEMO-1", "x", b"x", "text/plain", True, "", customer="zeta"),
    ),
    "a host where they have no role, of a repair that they go on with": ("anna", _next_host),
    "L2 begins what another asked for and disrupts": ("ivan", _start()),
    "L2 begins what is marked for L3": ("olga", _start(tier=Tier.L3)),
    "L2 undoes what another did and disrupts": ("ivan", _roll_back()),
    "L2 undoes what is marked for L3": ("olga", _roll_back(Tier.L3)),
    "L1 undoes what they may plan to": ("lena", _roll_back(Tier.L1)),
    "a stranger plans to undo": ("stranger", _roll_back(only_plan=True)),
    "who may look at hosts plans to undo what was another customer's": ("anna", _roll_back(run=OF_ZETA, only_plan=True)),
    **{
        f"{who} {does} what {asks}, within what says less": (who, make)
        for does, door in (("repairs", _repair), ("resumes", _resume_repair), ("undoes", _roll_back), ("begins", _start))
        for who, asks, make in (
            ("olga", "is for L3", door(Tier.L3, Risk.READ, True)),
            ("lena", "changes", door(Tier.L1, Risk.REVERSIBLE, True)),
        )
    },
    "L2 tries again what another did, within what says that it only reads": (
        "ivan",
        _repair(Tier.L2, Risk.DISRUPTIVE, True, retries=REPAIR),
    ),
    "who asked approves": ("olga", _decides(True)),
    "L2 approves": ("ivan", _decides(True)),
    "L2 declines what another asked for": ("ivan", _decides(False)),
    "L1 breaks glass": ("lena", _repair(Tier.L1, Risk.READ, break_glass="x")),
    "L2 lets go of what another holds": ("ivan", DOORS["remove_holds"]),
    "L3 of a site lets go of what is held on another": (
        "berta",
        lambda desk, scene: desk.remove_holds(["db-6"], owner="olga"),
    ),
    "L3 of a site lets go of what is held on several": (
        "berta",
        lambda desk, scene: desk.remove_holds(["db-9", "db-6"], owner="olga"),
    ),
    "L2 lets go of their own where they have no role any more": ("olga", lambda desk, scene: desk.remove_holds(["db-6"])),
    "L2 freezes": ("olga", lambda desk, scene: desk.freeze(Scope.CUSTOMER, "acme", reason="x")),
    "L3 of a customer freezes a site": ("anna", lambda desk, scene: desk.freeze(Scope.SITE, "potsdam", reason="x")),
    "L3 of a customer freezes all": ("anna", lambda desk, scene: desk.freeze(Scope.DESK, None, reason="x")),
    "L3 of a site freezes a customer": ("berta", lambda desk, scene: desk.freeze(Scope.CUSTOMER, "acme", reason="x")),
    "L3 of a site lets a customer thaw": ("berta", lambda desk, scene: desk.unfreeze(Scope.CUSTOMER, "acme")),
    "L2 holds what is on another site": (
        "olga",
        lambda desk, scene: desk.hold([replace(fleet("x").hosts[0], site="potsdam")], reason="x"),
    ),
    "the audit of all by who has a role for some": ("anna", lambda desk, scene: desk.audit()),
}
ALLOWED: dict[str, tuple[str, Op]] = {
    "L1 diagnoses": ("lena", _diagnose()),
    "L2 diagnoses on their site": ("olga", _diagnose(Tier.L2)),
    "L2 runs a command": ("olga", _command(Privilege.USER)),
    "L3 is root by a command": ("anna", _command(Privilege.ROOT)),
    "L2 repairs": ("olga", _repair()),
    "L1 plans what L3 would do": ("lena", _repair(Tier.L3, Risk.DISRUPTIVE, only_plan=True)),
    "L2 tries their own again": ("olga", _repair(risk=Risk.DISRUPTIVE, retries=REPAIR)),
    "L2 resumes what is another's": ("ivan", _resume),
    "L2 resumes their own": ("olga", _resume_repair()),
    "L2 only asks their own": ("olga", _only_ask(REPAIR)),
    "L1 looks": ("lena", lambda desk, scene: desk.record(scene.run)),
    "L1 sees answers": ("lena", lambda desk, scene: [*desk.answers(scene.run)]),
    "L1 judges again": ("lena", lambda desk, scene: desk.replay(scene.run, library=scene.library)),
    "L2 of a site delivers": ("olga", lambda desk, scene: desk.outbox_data(1)),
    "L2 of a site attaches": ("olga", DOORS["case_attach"]),
    "L2 of a site opens a case": ("olga", lambda desk, scene: desk.case_attach("NEW-1", "x", b"x", "text/plain", True, "")),
    "L2 of a site looks at a case": ("olga", DOORS["case"]),
    "L2 begins their own": ("olga", _start()),
    "L2 begins what another asked for and can be undone": ("ivan", _start(risk=Risk.REVERSIBLE)),
    "L2 undoes their own": ("olga", _roll_back()),
    "L1 plans to undo what L3 did": ("lena", _roll_back(Tier.L3, only_plan=True)),
    "L2 undoes what another did and can be undone": ("ivan", _roll_back(risk=Risk.REVERSIBLE)),
    "L2 breaks glass": ("olga", _repair(risk=Risk.DISRUPTIVE, break_glass="x")),
    "L2 takes their own back": ("olga", _decides(False)),
    "L2 holds": ("ivan", lambda desk, scene: desk.hold(fleet("db-7").hosts, reason="x")),
    "L2 lets go of their own": ("olga", DOORS["remove_holds"]),
    "L3 of a customer lets go on any of their sites": ("anna", lambda desk, scene: desk.remove_holds(["db-6"], owner="olga")),
    "L3 freezes their customer": ("anna", lambda desk, scene: desk.freeze(Scope.CUSTOMER, "acme", reason="x")),
    **{f"who keeps the desk: {name}": ("root", op) for name, op in DOORS.items() if name != "erase"},
}


def digest_in(scene: Scene, query: str) -> str:
    with closing(sqlite3.connect(scene.home / "longarm.db")) as connection:
        return str(connection.execute(query).fetchone()[0])


def let(desk: Desk, who: Caller) -> None:
    """Let somebody ask the desk from now on."""
    desk.asks, desk.actor = lambda: who, who.name


def refused(desk: Desk, scene: Scene, who: Caller, op: Op) -> bool:
    let(desk, who)
    try:
        op(desk, scene)
    except RoleRefused:
        return True
    except (LongarmError, LookupError):  # what the scene does not have: it came past the door
        return False
    return False


def may(decides: Callable[[], None]) -> bool:
    """Tell whether a decision lets somebody in."""
    try:
        decides()
    except RoleRefused:
        return False
    return True


def wrong(make: type[Desk], scene: Scene, home: Path) -> Iterator[str]:
    """Yield what a desk lets happen, or refuses, otherwise than it should, on a copy of the scene's home."""
    shutil.copytree(scene.home, home)
    copied = replace(scene, home=home)
    with make.open(home, write=True) as desk:
        yield from (f"a stranger: {name}" for name, op in DOORS.items() if not refused(desk, copied, NONE, op))
        yield from (name for name, (who, op) in REFUSED.items() if not refused(desk, copied, PEOPLE[who], op))
        for name, listed in LISTS.items():
            shown = {}
            for who in ("stranger", "lena", "root"):
                let(desk, PEOPLE[who])
                shown[who] = {*listed(desk)}
            theirs = {OF_ZETA, "ZETA-1"} & shown["root"]
            told_apart = name == "outbox" or theirs
            if shown["stranger"] or not shown["lena"] or shown["root"] - shown["lena"] != theirs or not told_apart:
                yield name
        yield from (name for name, (who, op) in ALLOWED.items() if refused(desk, copied, PEOPLE[who], op))


def test_every_door_is_one_of_these() -> None:
    public = {name for name, _ in inspect.getmembers(Desk, inspect.isroutine) if not name.startswith("_")}
    assert public == {*DOORS, *LISTS, *OPEN}


def test_everybody_may_what_their_role_says_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    assert [*wrong(Desk, scene, tmp_path / "home")] == []


DECIDING: dict[str, Callable[[Desk, WholeRun, RepairRequest], None]] = {
    "plan": lambda desk, whole, asked: desk._may_repair(replace(asked, only_plan=True), None, asked.selection.hosts),
    "repair": lambda desk, whole, asked: desk._may_repair(asked, None, asked.selection.hosts),
    "retry": lambda desk, whole, asked: desk._may_repair(
        replace(asked, retries=REPAIR), whole.run.actor, asked.selection.hosts
    ),
    "start": lambda desk, whole, asked: desk._may_start(whole, asked, asked.selection.hosts),
    "roll_back": lambda desk, whole, asked: desk._may_roll_back(whole, asked, asked.selection.hosts),
}


def test_what_is_included_is_decided_as_what_is_run_itself(scene: Scene) -> None:
    cells = [*itertools.product(Tier, Risk)]
    whats = {cell: scene.repairs(*cell) for cell in cells}
    with Desk.open(scene.home, write=True) as desk:
        whole = desk._whole(REPAIR)
        for who in PEOPLE.values():
            let(desk, who)
            for name, decides in DECIDING.items():
                let_in = {cell: may(partial(decides, desk, whole, asked)) for cell, asked in whats.items()}
                for outer, inner in itertools.product(cells, cells):
                    most = max(outer[0], inner[0], key=[*Tier].index), max(outer[1], inner[1], key=[*Risk].index)
                    asked = replace(whats[inner], playbook=including(whats[inner].playbook, *outer))
                    said = may(partial(decides, desk, whole, asked))
                    assert said is let_in[most], f"{who.name}: {name} {inner} in {outer}"


def test_what_is_included_needs_the_second_person_that_it_needs_itself(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.home, tmp_path / "home")
    config = tmp_path / "home" / "config.yaml"
    with Desk.open(tmp_path / "home", write=True, caller=PEOPLE["anna"]) as desk:
        asked = scene.repairs(Tier.L3, Risk.DISRUPTIVE, within=True)
        assert desk._needs_second_person(asked)
        mild = replace(asked, playbook=including(scene.book(Tier.L1, Risk.READ)))
        assert not desk._needs_second_person(mild)
        config.write_text(f"{CONFIG}approvals: {{from: never, playbooks: [mend]}}\n")
        assert desk._needs_second_person(mild), "it is named by its own name"
        config.write_text(f"{CONFIG}approvals: {{from: never, playbooks: [other]}}\n")
        assert not desk._needs_second_person(mild)


def test_a_refused_start_leaves_no_run_behind_and_reaches_nobody(scene: Scene) -> None:
    connect = scene.connect()
    with Desk.open(scene.home, write=True, caller=NONE) as desk:
        before = len(desk._store.runs(99))
        with pytest.raises(RoleRefused, match="stranger has no role for acme/berlin"):
            asyncio.run(desk.diagnose(scene.asks(), connect=connect, observer=Silent()))
        assert (len(desk._store.runs(99)), connect.connected) == (before, [])


def test_what_is_asked_for_is_asked_in_the_name_of_who_asks(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.home, tmp_path / "home")
    with Desk.open(tmp_path / "home", write=True, caller=PEOPLE["lena"]) as desk:
        asked = replace(scene.asks(), actor="anna")
        assert asyncio.run(desk.diagnose(asked, connect=scene.connect(), observer=Silent())).actor == "lena"


def test_what_was_taken_away_is_gone_at_the_next_step(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.home, tmp_path / "home")
    with Desk.open(tmp_path / "home", write=True, caller=PEOPLE["olga"]) as desk:
        assert desk.record(scene.run).run == scene.run
        (tmp_path / "home" / "config.yaml").write_text(CONFIG.replace("olga, ", ""))
        with pytest.raises(RoleRefused, match="olga has no role"):
            desk.record(scene.run)
        with pytest.raises(RoleRefused, match="olga has no role"):
            _resume(desk, scene)


def test_the_roles_are_read_anew_where_the_configuration_is_another_one(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(scene.home, tmp_path / "home")
    config, read = tmp_path / "home" / "config.yaml", list[Path]()

    def reading(home: Path) -> Config:
        read.append(home)
        return load_config(home)

    monkeypatch.setattr(desk_base, "load_config", reading)
    with Desk.open(tmp_path / "home", write=False, caller=PEOPLE["olga"]) as desk:
        lately = [desk.roles() for _ in range(2)]
        assert len(read) == 2, "it could be changed again in the same moment"
        monkeypatch.setattr("time.time_ns", lambda: config.stat().st_ctime_ns + 3_000_000_000)
        later = [desk.roles() for _ in range(3)]
        assert len(read) == 3 and lately[0] == later[0] == later[-1]
        config.write_text(CONFIG.replace("olga, ", "olaf, "))
        assert desk.roles() != later[0]
        config.unlink()
        assert desk.roles().alone


def test_what_is_frozen_at_a_customer_is_shown_to_who_may_look_there(scene: Scene) -> None:
    shown = {}
    for who in ("stranger", "lena", "root"):
        with Desk.open(scene.home, write=False, caller=PEOPLE[who]) as desk:
            shown[who] = [row.reason for row in desk.freezes()]
    assert shown == {"stranger": ["moving"], "lena": ["moving"], "root": ["secret", "moving"]}


def test_who_holds_what_is_told_to_who_may_look_there(scene: Scene) -> None:
    for who, told in (("stranger", False), ("root", True)):
        with Desk.open(scene.home, write=True) as desk:
            let(desk, PEOPLE[who])
            with pytest.raises(NothingStopped) as refusal:
                desk.remove_holds(["db-9"])
        assert ("held by olga" in str(refusal.value)) is told


def test_holds_on_a_site_are_shown_to_who_may_look_there(scene: Scene) -> None:
    shown = {}
    for who in ("lena", "berta"):
        with Desk.open(scene.home, write=False, caller=PEOPLE[who]) as desk:
            shown[who] = [row.reason for row in desk.holds()]
    assert shown == {"lena": ["held by olga", "held in potsdam"], "berta": ["held by olga"]}


def test_further_back_is_looked_where_the_newest_runs_are_others(scene: Scene) -> None:
    with Desk.open(scene.home, write=False, caller=PEOPLE["lena"]) as desk:
        assert [row.run for row in desk.runs(1)] != [OF_ZETA] and len(desk.runs(1)) == 1


MODULES = (desk_approvals, desk_base, desk_cases, desk_keeping, desk_looking, desk_runs, desk_stops)


def _checks(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return any(isinstance(below, ast.Raise) and "RoleRefused" in ast.unparse(below) for below in statement.body)
    return calls(
        statement,
        "_may",
        "_may_case",
        "_may_repair",
        "_may_resume",
        "_may_start",
        "_may_decide",
        "_may_roll_back",
        "_may_only_ask",
    )


def _all_mutants() -> list[Mutant]:
    paths = [Path(module.__file__ or "") for module in MODULES]
    found = [mutant for path in paths for mutant in (*mutants(path, _checks), *without_keywords(path, "_may"))]
    return [*found, *instead(Path(desk_runs.__file__ or ""), "demands_of", "lambda playbook: playbook")]


@pytest.mark.long
def test_no_check_could_be_left_out_at_any_door(scene: Scene, tmp_path: Path) -> None:
    made = _all_mutants()
    assert len(made) > 35
    unseen = []
    for number, mutant in enumerate(made):
        home = tmp_path / str(number)
        if next(wrong(_desk_of(mutant), scene, home), None) is None:
            unseen.append(f"{mutant}")
        shutil.rmtree(home)
    assert unseen == []


def _desk_of(mutant: Mutant) -> type[Desk]:
    """Return a desk with the methods of a mutant's class."""
    module = mutant.load()
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    of = next(one for one in own if hasattr(one, "_may"))
    changed = {name: value for name, value in vars(of).items() if inspect.isfunction(value) and name != "__init__"}
    return type("Mutant", (Desk,), changed)
