"""What a client may give to the service, asked at every place where it counts: no check could be left out unseen."""

from __future__ import annotations

import ast
import json
import os
import pwd
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests import forked as forks
from tests.console.conftest import Console
from tests.console.permitted import PHRASES, STUMBLED, Case
from tests.forked import PERMITTED, ROOT, Forked
from tests.mutants import Mutant, calls, instead, mutants, with_one_branch, without_context, without_operands

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="acts for other users on a home of root's: needs root")
INVENTORY = """\
hosts:
  me: {address: localhost, transport: local, customer: acme}
  two: {address: localhost, transport: local, customer: acme}
  far: {address: 127.0.0.1, port: 1, customer: acme}
  hidden-host: {address: 127.0.0.1, port: 1, customer: zeta}
"""
CONFIG = """\
roles:
  - {role: L2, users: [nobody, root], customers: [acme]}
  - {role: admin, users: [games]}
"""
PLAYBOOK = """\
playbook: look
title: {en: Look, ru: Посмотреть}
says: {en: The desk's., ru: Дежурных.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: read
params: {token: {type: secret}}
steps:
  - {name: Look, run: 'test -n "$token"', retry: read}
"""
WITHOUT = PLAYBOOK.replace("params: {token: {type: secret}}\n", "")
BOOKS = {
    "look.yaml": PLAYBOOK,
    "both.yaml": WITHOUT,
    "fails.yaml": WITHOUT.replace("""'test -n "$token"'""", "'false'"),
    "waits.yaml": WITHOUT.replace(
        """'test -n "$token"'""", """'awk "BEGIN {printf 1 >ARGV[1]}" %s; until test -e %s.go; do sleep 0.1; done'"""
    ),
}
CARRIES, INVENTED, KEEPS, PROBES, MACHINE, CLOSED, MISTAKES, PLAYBOOKS, ASKED, OTHERS = PHRASES


NOBODY, GAMES, MAIL = (pwd.getpwnam(name).pw_uid for name in ("nobody", "games", "mail"))
"""One of L2 for a customer, an admin by role, and one who has none."""
ROOT_USER, ALONE = 0, None
"""The account of the service as its client, and in process."""
GUARDED, DOOR, KEEPER, APART = "refuse_this_machine", "refuse_unpermitted", "is_keeper", "is_apart"
CASES = (
    Case(DOOR, NOBODY, "check list", CARRIES, 5),
    Case(DOOR, ROOT_USER, "check list", CARRIES, 5),
    Case(DOOR, ALONE, "check list", code=0),
    Case(DOOR, NOBODY, "inventory list --inventory given.yaml", INVENTED, 2),
    Case(DOOR, ROOT_USER, "inventory list --inventory given.yaml", INVENTED, 2),
    Case(DOOR, ALONE, "inventory list --inventory given.yaml", code=0),
    Case(f"{DOOR} {KEEPER} {APART}", NOBODY, "secret list", KEEPS, 5),
    Case(f"{DOOR} {KEEPER} {APART}", GAMES, "secret list", code=0),
    Case(f"{DOOR} {KEEPER} {APART}", ROOT_USER, "secret list", code=0),
    Case(f"{DOOR} {KEEPER} {APART}", ALONE, "secret list", code=0),
    Case(DOOR, NOBODY, "diagnose far --probes probes.yaml", PROBES, 5),
    Case(DOOR, GAMES, "diagnose far --probes probes.yaml", code=2, shows="No such file"),
    Case(DOOR, ALONE, "diagnose far --probes probes.yaml", code=4),
    Case(DOOR, NOBODY, "inventory list -o name", code=0, shows="far", hides="hidden-host"),
    Case(GUARDED, NOBODY, "host run true me", MACHINE, 5),
    Case(GUARDED, NOBODY, "host get me /etc/hostname", MACHINE, 5),
    Case(GUARDED, NOBODY, "host shell me", MACHINE, 5),
    Case(GUARDED, NOBODY, "repair fails.yaml me --plan", MACHINE, 5),
    Case(GUARDED, NOBODY, "run retry {failed} --only failed", MACHINE, 5),
    Case(GUARDED, NOBODY, "run start {planned}", MACHINE, 5),
    Case(GUARDED, NOBODY, "run resume {cut}", MACHINE, 5),
    Case(GUARDED, NOBODY, "run resume {cut} --only-ask", MACHINE, 5),
    Case(GUARDED, NOBODY, "host run true far", code=4),
    Case(GUARDED, GAMES, "host run true two", code=0),
    Case(GUARDED, ALONE, "host run true two", code=0),
    Case("refuse_closed_page is_apart", NOBODY, "report open {failed}", CLOSED, 5),
    Case("refuse_closed_page is_apart", GAMES, "report open {failed}", CLOSED, 5),
    Case("refuse_closed_page is_apart", ROOT_USER, "report open {failed}", code=0),
    Case("refuse_closed_page is_apart", ALONE, "report open {failed}", code=0),
    Case("known_inventory", NOBODY, "diagnose hiden-host", code=6, hides="hidden-host"),
    Case("known_inventory", GAMES, "diagnose hiden-host", code=6, shows="hidden-host"),
    Case("known_inventory", ROOT_USER, "diagnose hiden-host", code=6, shows="hidden-host"),
    Case("refuse_asking", ROOT_USER, "host ping hidden-host", code=5, shows="no role for zeta"),
    Case("refuse_asking", ALONE, "host facts hidden-host --probe fs.stat", code=5, shows="no role for zeta"),
    Case("refuse_asking", ALONE, "doctor --host hidden-host", code=5, shows="no role for zeta"),
    Case("refuse_asking", NOBODY, "host ping far", code=4),
    Case("seen_of", ROOT_USER, "inventory list -o name", code=0, shows="far", hides="hidden-host"),
    Case("seen_of", GAMES, "inventory list -o name", code=0, shows="hidden-host"),
    Case("seen_of", ALONE, "inventory show all", code=0, shows="far", hides="hidden-host"),
    Case("seen_of", ALONE, "inventory graph", code=0, shows="far", hides="hidden-host"),
    Case("seen_of", ALONE, "inventory import", code=0, shows="far", hides="hidden-host"),
    Case("seen_of", ALONE, "inventory list --inventory empty.yaml", code=6),
    Case("seen_of", MAIL, "inventory list -o name", code=5, shows="no role", hides="far"),
    Case("own_playbook", NOBODY, "repair /etc/look.yaml far", PLAYBOOKS, 5),
    Case("own_playbook", NOBODY, "repair mine.yaml far", PLAYBOOKS, 5),
    Case("own_playbook", GAMES, "playbook show look.yaml", code=0, shows="The desk's."),
    Case("own_playbook", ALONE, "playbook show mine.yaml", code=0, shows="Mine."),
    Case("own_playbook", ALONE, "playbook show ./both.yaml", code=0, shows="Mine."),
    Case("own_playbook", ALONE, "playbook show both.yaml", code=0, shows="The desk's."),
    Case("own_playbook", ALONE, "playbook show look.yaml", code=0, shows="The desk's."),
    Case("own_playbook", ALONE, "playbook show neither.yaml", code=2),
    Case("refuse_own_secret", NOBODY, "repair look.yaml far -p token=file:/etc/hostname", ASKED, 5),
    Case("refuse_own_secret", NOBODY, "repair look.yaml far -p token=prompt:"),
    Case("refuse_own_secret", GAMES, "repair look.yaml far -p token=file:/etc/hostname"),
    Case("refuse_others_secret", NOBODY, "run retry {kept} --only refused", OTHERS, 5),
    Case("refuse_others_secret", GAMES, "run retry {kept} --only refused"),
    Case("refuse_others_secret", NOBODY, "run retry {typed} --only refused"),
)
MISTAKEN = (
    Case("told_to_keepers", NOBODY, "inventory check", MISTAKES, 2, hides="adress"),
    Case("told_to_keepers", GAMES, "inventory check", code=2, shows="adress"),
    Case("told_to_keepers", ALONE, "inventory check", code=2, shows="adress"),
)
"""In a home whose inventory has a mistake."""


@dataclass(frozen=True)
class Scene:
    """A home with runs of each kind, and a folder in which those stand who give commands."""

    home: Path
    folder: Path
    runs: dict[str, str]
    program: Forked

    def wrong(self, cases: tuple[Case, ...], home: Path, mutant: Mutant | None = None) -> list[str]:
        """Return the cases that end otherwise than they should, on a copy of the home."""
        shutil.copytree(self.home, home, ignore=shutil.ignore_patterns("lock*"))
        source = home.with_name(f"{home.name}.source")
        source.write_text(mutant.source if mutant else "")
        order = {
            "mutant": str(source) if mutant else "",
            "module": ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts) if mutant else "",
            "folder": str(self.folder),
            "cases": [asdict(case) | {"words": case.words.format(**self.runs)} for case in cases],
        }
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LONGARM_HOME": str(home), "PERMITTED": json.dumps(order)}
        code, out, err = self.program.run((), environ, self.folder, timeout_s=120)
        assert code == 0, f"{mutant}: {err.decode()}"
        return list(json.loads(out))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("permits")
    (folder / "spool").mkdir()
    console = Console(folder / "home", forked)
    console.inventory(INVENTORY)
    (console.home / "config.yaml").write_text(CONFIG)
    (console.home / "playbooks").mkdir()
    for name, text in BOOKS.items():
        (console.home / "playbooks" / name).write_text(text.replace("%s", str(folder / "begun")))
    for name in ("mine.yaml", "both.yaml"):
        (folder / name).write_text(WITHOUT.replace("The desk's.", "Mine."))
    (folder / "token").write_text("a-token")
    (folder / "token").chmod(0o600)
    (folder / "empty.yaml").write_text("hosts: {}\n")
    (folder / "given.yaml").write_text(INVENTORY)
    (folder / "probes.yaml").write_text("- {probe: own.date, summary: The date, script: date, deadline: 60s, parse: none}\n")
    runs = {}
    for name, words in (
        ("failed", ("repair", "fails.yaml", "me")),
        ("planned", ("repair", "fails.yaml", "me", "--plan")),
        ("typed", ("repair", "look.yaml", "far", "-p", f"token=file:{folder / 'token'}")),
        ("kept", ("repair", "look.yaml", "far", "-p", f"token=file:{folder / 'token'}")),
        ("cut", ()),
    ):
        if words:
            console(*words)
        else:
            _cut_off(console, folder / "begun")
        runs[name] = console("run", "list", "-o", "name", "--limit", "1").out.strip()
    assert len({*runs.values()}) == 5
    with closing(sqlite3.connect(console.home / "longarm.db")) as store:
        store.execute("UPDATE run SET request = replace(request, 'file:', 'prompt:') WHERE id = ?", (runs["typed"],))
        store.commit()
    with forks.forking(PERMITTED) as program:
        yield Scene(console.home, folder, runs, program)


def _cut_off(console: Console, begun: Path) -> None:
    repairing = console.start("repair", "waits.yaml", "me")
    until = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < until and repairing.poll() is None
        time.sleep(0.05)
    repairing.send_signal(signal.SIGKILL)
    repairing.communicate()
    Path(f"{begun}.go").touch()
    console("run", "unmute")  # whoever writes next notes that it was cut off


def test_each_permit_is_asked_wherever_it_counts(scene: Scene, tmp_path: Path) -> None:
    assert scene.wrong(CASES, tmp_path / "home") == []
    broken = _with_a_mistake(scene, tmp_path)
    assert broken.wrong(MISTAKEN, tmp_path / "mistaken") == []


def _with_a_mistake(scene: Scene, folder: Path) -> Scene:
    home = folder / "with-a-mistake"
    shutil.copytree(scene.home, home)
    (home / "inventory.yaml").write_text("hosts: {secret-host: {adress: 192.0.2.1}}\n")
    return Scene(home, scene.folder, scene.runs, scene.program)


PERMITS, SERVED, INVENTORIES = (ROOT / "console" / f"{name}.py" for name in ("permits", "served", "inventories"))
DOORS, LISTED = ROOT / "runner" / "doors.py", ROOT / "console" / "commands" / "inventory.py"
UNSEEN = "__import__('console.inventories').inventories.known_inventory"
CALLED = (
    "refuse_unpermitted",
    "refuse_this_machine",
    "refuse_closed_page",
    "refuse_own_secret",
    "refuse_others_secret",
    "refuse_asking",
)


def _is_function(*names: str) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.FunctionDef) and (node.name in names or not names)


def _made() -> Iterator[tuple[str, Mutant]]:
    """Yield mutants, each with the function whose cases are to see it."""
    asking = ("is_apart", "is_keeper")
    yield from ((_around(one), one) for one in mutants(PERMITS, lambda statement: isinstance(statement, ast.If)))
    yield from ((_around(one), one) for one in without_operands(PERMITS, _is_function()))
    yield from ((_around(one), one) for one in with_one_branch(PERMITS, lambda _: True))
    for one in (
        *mutants(SERVED, lambda statement: isinstance(statement, ast.If)),
        *without_operands(SERVED, _is_function(*asking)),
    ):
        if (name := _around(one)) in asking:
            yield name, one
    yield from (("known_inventory", one) for one in with_one_branch(INVENTORIES, lambda test: "is_keeper" in ast.unparse(test)))
    yield from (("told_to_keepers", one) for one in without_context(INVENTORIES, "told_to_keepers"))
    yield from ((_around(one), one) for one in mutants(DOORS, lambda statement: isinstance(statement, ast.If)))
    yield from (("seen_of", one) for one in instead(LISTED, "seen_inventory", UNSEEN))
    for path in sorted((ROOT / "console").rglob("*.py")):
        for name in CALLED:
            yield from ((name, one) for one in mutants(path, lambda statement: calls(statement, name)))  # noqa: B023 (at once)


def _around(mutant: Mutant) -> str:
    """Return the name of the function in which a mutant differs, empty where it is in none."""
    found = [node for node in ast.walk(ast.parse(mutant.path.read_text())) if isinstance(node, ast.FunctionDef)]
    return next((node.name for node in found if node.lineno <= mutant.line <= (node.end_lineno or 0)), "")


@pytest.mark.long
def test_no_permit_could_be_left_out_and_none_of_its_parts(scene: Scene, tmp_path: Path) -> None:
    made, broken, unseen = [*_made()], _with_a_mistake(scene, tmp_path), []
    assert len(made) > 30
    for number, (name, mutant) in enumerate(made):
        where, cases = (broken, MISTAKEN) if name == "told_to_keepers" else (scene, CASES)
        chosen = tuple(case for case in cases if name in case.guards.split())
        assert chosen, name
        wrong = where.wrong(chosen, tmp_path / str(number), mutant)
        seen = any(not one.startswith(STUMBLED) for one in wrong)  # that it stumbled lets nobody in and keeps nobody out
        if not seen and not (wrong and mutant.narrows):
            unseen.append(f"{mutant} ({name})")
        shutil.rmtree(tmp_path / str(number))
    assert unseen == []
