"""What keeps a change off, and what voids an approval: asked at each start and resumption, none of it could be left out."""

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
from pathlib import Path
from typing import Any

import pytest

from inventory.errors import LongarmError
from inventory.host import Host
from playbooks.model import Playbook, Risk
from playbooks.testing import FakeOperator
from remote.command import Command
from remote.errors import ConnectFailed
from remote.hearing import Hearing
from remote.question import Privilege
from runner import desk_approvals, desk_runs, desk_stops
from runner.callers import caller_named
from runner.desk import Desk
from runner.observer import Observer, Silent
from runner.outcome import Outcome
from runner.request import RepairRequest, RestRequest, TaskRequest
from runner.roles import Caller
from runner.store.lock import run_held
from runner.store.rows import Scope
from runner.tasks import CommandTask
from tests.mutants import Mutant, mutants
from tests.runner.fleet import asking, fleet, inventory_of
from tests.runner.repairs import MEND, Bench, hosts_folder

CONFIG = """\
roles:
  - {role: L2, users: [daemon]}
  - {role: L3, users: [games]}
  - {role: admin, users: [root]}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfG5sAfYnDDiaDDBEiFc1c9DKkH5Ym3Xo5wsxeiWSdF"
HOSTS = ("db-1", "db-2")
TAKEN_BACK = """    deadline: 100s
    rollback:
      - {name: Take it back, run: 'echo bad >"$HOME/mark"', retry: idempotent}
verify:"""
UNDOABLE = MEND.replace("    deadline: 100s\nverify:", TAKEN_BACK)


@dataclass
class Scene:
    """A home with plans of which one was approved and one waits, a repair that ended, one that was cut off, one to undo."""

    home: Path
    bench: Bench
    approved: str = ""
    waiting: str = ""
    done: str = ""
    cut: str = ""
    undoable: str = ""

    def asked(self, **values: Any) -> RepairRequest:
        return self.bench.asking(*HOSTS, **{"playbook": self.book(), "forced": "a test", "concurrency": 1, **values})

    def book(self, text: str = MEND) -> Playbook:
        return replace(self.bench.playbook(text), risk=Risk.DISRUPTIVE)


def who(name: str) -> Caller:
    caller = caller_named(name)
    assert caller is not None, f"every Debian has an account {name}"
    return caller


ASKS, APPROVES, KEEPS = (who(name) for name in ("daemon", "games", "root"))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with hosts_folder() as folder:  # where the users of its hosts may go
        yield made_in(folder)


def made_in(folder: Path) -> Scene:
    scene = Scene(folder / "home", Bench(folder))
    for name in HOSTS:
        scene.bench.mark(name, "bad")
    scene.home.mkdir(mode=0o700)
    (scene.home / "config.yaml").write_text(CONFIG)
    with Desk.open(scene.home, write=True, caller=ASKS) as desk:
        for name, glass in (("approved", ""), ("waiting", ""), ("done", "x"), ("cut", "x"), ("undoable", "x")):
            book = scene.book(UNDOABLE if name == "undoable" else MEND)
            asked = scene.asked(playbook=book, break_glass=glass, forced="a test", file=str(folder / "playbook.yaml"))
            setattr(scene, name, asyncio.run(desk.repair(asked, connect=scene.bench.connect, observer=Silent())).run)
    with Desk.open(scene.home, write=True, caller=APPROVES) as desk:
        desk.decide_approval(scene.approved, approved=True, reason="seen")
        desk.case_attach("ZETA-1", "report.html", b"<html>", "text/html", True, "", customer="zeta")
    with closing(sqlite3.connect(scene.home / "longarm.db")) as store:
        store.execute("UPDATE run SET state = 'interrupted', ended_at = NULL WHERE id = ?", (scene.cut,))
        store.execute("UPDATE host_run SET outcome = 'interrupted' WHERE run = ?", (scene.cut,))
        store.execute("DELETE FROM journal WHERE run = ? AND event = 'end' AND step LIKE 's2%'", (scene.cut,))
        store.commit()
    return scene


class Down:
    """A `Connect` that reaches nobody."""

    def __call__(self, host: Any) -> Any:
        raise ConnectFailed(host.name, "no route")


Op = Callable[[Desk, Scene, Observer], Any]


def _diagnose(desk: Desk, scene: Scene, observer: Observer) -> object:
    asked = asking(scene.bench.library, scene.bench.selection("db-1"), case="ZETA-1")
    return asyncio.run(desk.diagnose(asked, connect=Down(), observer=observer))


def _command(case: str | None = None) -> Op:
    def op(desk: Desk, scene: Scene, observer: Observer) -> object:
        task = CommandTask(command=Command(script="true", privilege=Privilege.USER))
        asked = TaskRequest(selection=scene.bench.selection(*HOSTS), task=task, case=case, actor="x", concurrency=1)
        return asyncio.run(desk.carry_out(asked, connect=Down(), observer=observer))

    return op


def _repair(**values: Any) -> Op:
    return lambda desk, scene, observer: asyncio.run(desk.repair(scene.asked(**values), connect=Down(), observer=observer))


def _start(which: str = "approved", **values: Any) -> Op:
    return lambda desk, scene, observer: asyncio.run(
        desk.start(getattr(scene, which), scene.asked(**values), connect=Down(), observer=observer)
    )


def _resume(desk: Desk, scene: Scene, observer: Observer) -> object:
    rest = desk.resume_repair(
        scene.cut,
        RestRequest(
            inventory=inventory_of(scene.bench.selection(*HOSTS)),
            library=scene.bench.library,
            playbook=scene.book(),
            secrets={},
            operator=FakeOperator(),
        ),
        connect=Down(),
        observer=observer,
    )
    return asyncio.run(rest)


def _undo(**values: Any) -> Op:
    def op(desk: Desk, scene: Scene, observer: Observer) -> object:
        asked = scene.asked(playbook=scene.book(UNDOABLE), **values)
        return asyncio.run(desk.roll_back(scene.undoable, asked, connect=Down(), observer=observer))

    return op


def _approve(which: str) -> Op:
    return lambda desk, scene, _: desk.decide_approval(getattr(scene, which), approved=True, reason="x")


def _in_use(which: str) -> Callable[[Op], Op]:
    """Let a run be in somebody's hands meanwhile."""

    def wrapped(op: Op) -> Op:
        def meanwhile(desk: Desk, scene: Scene, observer: Observer) -> object:
            with run_held(desk.home, getattr(scene, which)):
                return op(desk, scene, observer)

        return meanwhile

    return wrapped


def _changed(statement: str) -> Callable[[Path], object]:
    def change(home: Path) -> None:
        with closing(sqlite3.connect(home / "longarm.db")) as store:
            store.execute(statement)
            store.commit()

    return change


def _frozen(home: Path) -> None:
    with Desk.open(home, write=True, caller=KEEPS) as desk:
        desk.freeze(Scope.DESK, None, reason="an audit")


def _held(home: Path) -> None:
    with Desk.open(home, write=True, caller=KEEPS) as desk:
        desk.hold(fleet("db-1").hosts, reason="a demonstration")


def _configured(text: str) -> Callable[[Path], object]:
    return lambda home: (home / "config.yaml").write_text(text)


def _as_it_is(_: Path) -> None:
    pass


SIGNED = _configured(f"{CONFIG}library: {{signers: [{KEY}]}}\n")
WITHOUT_WHO_ASKED = _configured(CONFIG.replace("daemon", "bin"))
WITHOUT_WHO_APPROVED = _configured(CONFIG.replace("games", "bin"))
EXPIRED = _changed("UPDATE approval SET expires_at = '2026-01-01 00:00:00.000000'")
OTHER_EVIDENCE = _changed("UPDATE host_run SET evidence_digest = 'e'")
FILE = {"file": "/nowhere/playbook.yaml"}
OF_ZETA = {"case": "ZETA-1"}
CASES: dict[str, tuple[Callable[[Path], object], Caller, Op, str]] = {
    "a command where changes are frozen": (_frozen, ASKS, _command(), "ChangesFrozen"),
    "a repair there": (_frozen, ASKS, _repair(), "ChangesFrozen"),
    "what was approved, there": (_frozen, ASKS, _start(), "ChangesFrozen"),
    "the rest of a repair there": (_frozen, ASKS, _resume, "ChangesFrozen"),
    "the undoing of a repair there": (_frozen, ASKS, _undo(), "ChangesFrozen"),
    "a plan there": (_frozen, ASKS, _repair(only_plan=True), ""),
    "the plan of undoing a repair there": (_frozen, ASKS, _undo(only_plan=True), ""),
    "the rest of a repair on a host that is held": (_held, ASKS, _resume, "HostHeld"),
    "a repair that nobody signed": (SIGNED, ASKS, _repair(**FILE), "LibraryRefused"),
    "what was approved, that nobody signed": (SIGNED, ASKS, _start(**FILE), "LibraryRefused"),
    "the rest of one that nobody signed": (SIGNED, ASKS, _resume, "LibraryRefused"),
    "the plan of undoing one that nobody signed": (SIGNED, ASKS, _undo(only_plan=True, **FILE), "LibraryRefused"),
    "the undoing of one that nobody signed": (SIGNED, ASKS, _undo(**FILE), "LibraryRefused"),
    "questions for the case of another": (_as_it_is, ASKS, _diagnose, "CaseOfOthers"),
    "a command for it": (_as_it_is, ASKS, _command("ZETA-1"), "CaseOfOthers"),
    "a repair for it": (_as_it_is, ASKS, _repair(**OF_ZETA), "CaseOfOthers"),
    "what was approved, for it": (_as_it_is, ASKS, _start(**OF_ZETA), "CaseOfOthers"),
    "the undoing of a repair, for it": (_as_it_is, ASKS, _undo(**OF_ZETA), "CaseOfOthers"),
    "what waits for nobody is approved": (_as_it_is, APPROVES, _approve("done"), "NotApproved"),
    "what waits is approved": (_as_it_is, APPROVES, _approve("waiting"), ""),
    "it is approved twice": (_as_it_is, APPROVES, _approve("approved"), "NotApproved"),
    "it is approved too late": (EXPIRED, APPROVES, _approve("waiting"), "NotApproved"),
    "it is approved on other evidence": (OTHER_EVIDENCE, APPROVES, _approve("waiting"), "NotApproved"),
    "what waits begins": (_as_it_is, ASKS, _start("waiting"), "NotApproved"),
    "what waits for nobody begins": (_as_it_is, ASKS, _start("done"), "NotApproved"),
    "it begins too late": (EXPIRED, ASKS, _start(), "NotApproved"),
    "it begins as something else": (_as_it_is, ASKS, _start(forced="another"), "NotApproved"),
    "it begins on other evidence": (OTHER_EVIDENCE, ASKS, _start(), "NotApproved"),
    "it begins though who asked may not": (WITHOUT_WHO_ASKED, KEEPS, _start(), "NotApproved"),
    "it begins though who approved may not": (WITHOUT_WHO_APPROVED, ASKS, _start(), "NotApproved"),
    "it begins while somebody begins it": (_as_it_is, ASKS, _in_use("approved")(_start()), "RunBusy"),
    "a repair goes on while somebody goes on with it": (_as_it_is, ASKS, _in_use("cut")(_resume), "RunBusy"),
    "that is planned while somebody has it": (_as_it_is, ASKS, _in_use("undoable")(_undo(only_plan=True)), ""),
    "a repair is undone while somebody has it": (_as_it_is, ASKS, _in_use("undoable")(_undo()), "RunBusy"),
    "a repair is undone": (_as_it_is, ASKS, _undo(), ""),
    "what was approved begins": (_as_it_is, ASKS, _start(), ""),
}
"""What becomes of a home, who does what there then, and by which error it is refused; by none: it is not."""


STUMBLED = "stumbled"


def ended(make: type[Desk], scene: Scene, home: Path, name: str) -> str:
    """Return the error by which something was refused on a copy of the scene's home, empty where it was not."""
    change, caller, op, _ = CASES[name]
    shutil.copytree(scene.home, home)
    change(home)
    with make.open(home, write=True, caller=caller) as desk:
        try:
            op(desk, replace(scene, home=home), Silent())
        except LongarmError as error:
            return type(error).__name__
        except (AssertionError, AttributeError, LookupError, NameError, TypeError) as error:
            return f"{STUMBLED}: {error!r}"
        finally:
            shutil.rmtree(home)
    return ""


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_nothing_else_is(scene: Scene, tmp_path: Path, name: str) -> None:
    assert ended(Desk, scene, tmp_path / "home", name) == CASES[name][3]


class TakingAway(Silent):
    """Takes the role of whoever works here away in the very moment in which their first host begins."""

    def __init__(self, config: Path, text: str) -> None:
        self._config, self._text = config, text

    def host_started(self, host: Host, hearing: Hearing) -> None:
        self._config.write_text(self._text)


WORK: dict[str, Op] = {
    "a command": _command(),
    "a repair": _repair(break_glass="x"),
    "what was approved": _start(),
    "the rest of a repair": _resume,
    "the undoing of a repair": _undo(),
}
"""What changes hosts, one after the other."""


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize(
    ("text", "kind"), [(CONFIG.replace("daemon", "bin"), "RoleRefused"), ("roles: [{role: L9}]\n", "InvalidFile")]
)
def test_a_role_that_is_taken_away_meanwhile_lets_no_further_host_begin(
    scene: Scene, tmp_path: Path, name: str, text: str, kind: str
) -> None:
    shutil.copytree(scene.home, tmp_path / "home")
    meanwhile = TakingAway(tmp_path / "home" / "config.yaml", text)
    with Desk.open(tmp_path / "home", write=True, caller=ASKS) as desk:
        record = WORK[name](desk, replace(scene, home=tmp_path / "home"), meanwhile)
    first, second = record.hosts
    begun = Outcome.INTERRUPTED if name == "the rest of a repair" else Outcome.NOT_STARTED  # there both had begun
    assert (second.outcome, second.error_kind) == (begun, kind), first


SEEN_BY = {
    "raise NotApproved(": "NotApproved",
    "raise self._voided(": "NotApproved",
    "raise HostHeld(": "HostHeld",
    "raise ChangesFrozen(": "ChangesFrozen",
    "refuse_frozen(": "ChangesFrozen",
    "refuse_held(": "HostHeld",
    "refuse_unsigned(": "LibraryRefused",
    "refuse_case_of_others(": "CaseOfOthers",
}
"""What keeps something off, and the error that is missed where it is left out."""
MODULES = (desk_approvals, desk_runs, desk_stops)


def _refusal(statement: ast.stmt) -> str:
    """Return by which error a statement keeps something off: a raise under a condition, or a call; empty: by none."""
    match statement:
        case ast.If(body=[*_, ast.Raise() as raised]):
            text = ast.unparse(raised)
        case ast.Expr(value=ast.Call()):
            text = ast.unparse(statement)
        case _:
            return ""
    return next((error for form, error in SEEN_BY.items() if form in text), "")


def _made() -> Iterator[tuple[str, Mutant]]:
    """Yield mutants, each with the error that is missed in it."""
    for module, error in itertools.product(MODULES, dict.fromkeys(SEEN_BY.values())):
        yield from ((error, one) for one in mutants(Path(module.__file__ or ""), lambda line: _refusal(line) == error))  # noqa: B023


@pytest.mark.long
def test_none_of_it_could_be_left_out_unseen(scene: Scene, tmp_path: Path) -> None:
    made, unseen = [*_made()], []
    assert len(made) > 15
    for number, (error, mutant) in enumerate(made):
        desk, chosen = _desk_of(mutant), [name for name, case in CASES.items() if case[3] == error]
        stumbled, seen = False, False
        for at, name in enumerate(chosen):
            end = ended(desk, scene, tmp_path / f"{number}-{at}", name)
            stumbled |= end.startswith(STUMBLED)  # which is no answer to whether it is refused
            if seen := end != error and not end.startswith(STUMBLED):
                break
        if not seen and not (stumbled and mutant.narrows):
            unseen.append(f"{mutant}: {mutant.path.read_text().splitlines()[mutant.line - 1]}")
    assert unseen == []


def _desk_of(mutant: Mutant) -> type[Desk]:
    """Return a desk with the methods of a mutant's class."""
    module = mutant.load()
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    of = next(one for one in own if hasattr(one, "_may"))
    changed = {name: value for name, value in vars(of).items() if inspect.isfunction(value) and name != "__init__"}
    return type("Mutant", (Desk,), changed)
