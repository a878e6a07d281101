"""`longarm playbook`: from nothing to a tested playbook, in both languages; broken ones end with places, never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import jsonschema
import pytest

from console.authoring import playbook_paths
from diagnostics.library import load_library
from inventory.errors import UsageError
from tests.conftest import SOAK
from tests.console.conftest import Console
from tests.playbooks.test_broken import COUNT, tried

SOME = COUNT if SOAK else 16
"""Of the broken playbooks, through the command line."""
DATA = Path(__file__).parent.parent / "data" / "playbooks"


def test_from_nothing_to_a_tested_playbook(console: Console, tmp_path: Path) -> None:
    begun = console("playbook", "new", "restart-it", "--dir", str(tmp_path))
    path = tmp_path / "restart-it.yaml"
    assert begun.code == 0 and f"written: {path}" in begun.err
    assert console("playbook", "lint", str(path), "--json").json() == []
    tested = console("playbook", "test", str(path), "--json")
    assert tested.code == 0 and [(row["state"], row["faults"]) for row in tested.json()] == [("ok", 6), ("ok", 6)]
    again = console("playbook", "new", "restart-it", "--dir", str(tmp_path))
    assert again.code == 2 and "is there already" in again.err
    assert console("playbook", "new", "Restart It", "--dir", str(tmp_path)).code == 2


def test_lint_tells_and_mends(console: Console, tmp_path: Path) -> None:
    console("playbook", "new", "restart-it", "--dir", str(tmp_path))
    path = tmp_path / "restart-it.yaml"
    good = path.read_text()
    path.write_text(good.replace("privilege: root", "privilege: rot"))
    told = console("playbook", "lint", str(path), "--json")
    assert told.code == 2 and told.json()[0]["place"] == f"{path}:21:16" and told.json()[0]["hint"] == "did you mean root?"
    russian = console("playbook", "lint", str(path), "--lang", "ru")
    assert russian.code == 2 and "«privilege»" in russian.out
    mended = console("playbook", "lint", "--fix", str(path))
    assert mended.code == 0 and path.read_text() == good
    path.write_text(good.replace("steps:\n", 'steps:\n  - run: eval "$unit"\n'))
    assert console("playbook", "lint", str(path)).code == 1


def test_broken_playbooks_end_with_places_and_never_with_a_traceback(console: Console, tmp_path: Path) -> None:
    broken = [(text, error) for _, text, error in tried(tmp_path, load_library(), COUNT) if error is not None]
    for number, (text, error) in enumerate(random.Random(4).sample(broken, SOME)):
        path = tmp_path / "broken.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        told = console("playbook", "lint", str(path), "--json")
        assert told.code == 2 and "Traceback" not in told.err, told
        assert [row["place"] for row in told.json()] == [str(problem.place) for problem in error.problems], text
        shown = console("playbook", "lint", str(path), "--lang", ("en", "ru")[number % 2])
        assert shown.code == 2 and "Traceback" not in shown.err, shown
        assert all(str(problem.place) in shown.out for problem in error.problems), shown


def test_a_scenario_that_fails_says_why(console: Console, tmp_path: Path) -> None:
    console("playbook", "new", "restart-it", "--dir", str(tmp_path))
    scenarios = tmp_path / "scenarios" / "restart-it.yaml"
    scenarios.write_text(scenarios.read_text().replace("change: partly", "change: changed"))
    told = console("playbook", "test", str(tmp_path / "restart-it.yaml"))
    assert told.code == 1 and "The service stays down: the host is partly, not changed" in told.err
    scenarios.unlink()
    none = console("playbook", "test", str(tmp_path / "restart-it.yaml"))
    assert none.code == 2 and "has no scenarios" in none.err


def test_playbooks_are_listed_shown_and_drawn(console: Console, tmp_path: Path) -> None:
    assert "standard" in console("playbook", "list", "-o", "name").out
    shown = console("playbook", "show", str(DATA / "every-action.yaml"), "--json").json()
    assert [step["action"] for step in shown["steps"]][:3] == ["run", "run", "run"] and len(shown["params"]) == 9
    assert shown["steps"][0]["script"] == 'journalctl --vacuum-size="$keep"'
    assert "├─ s1  run  Shrink the journal" in console("playbook", "graph", str(DATA / "every-action.yaml")).out
    picture = tmp_path / "p.svg"
    assert console("playbook", "graph", str(DATA / "every-action.yaml"), "--svg", str(picture)).code == 0
    assert picture.read_text().startswith("<svg ")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_schema_is_one(console: Console, language: str) -> None:
    schema = console("playbook", "schema", "--lang", language).json()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert ("Кому можно его запускать." if language == "ru" else "Who may run it.") in schema["properties"]["tier"][
        "description"
    ]


@pytest.mark.parametrize(
    ("code", "beneath", "said"),
    [
        ("en", "Steps:", ("  token  secret  must be given", "      undo:", "  after 30 s, 3 times")),
        ("ru", "Шаги:", ("  token  secret  нужно указать", "      отмена:", "  через 30 с, 3 раза")),
    ],
)
def test_a_playbook_is_shown_as_text_with_its_scripts(console: Console, code: str, beneath: str, said: tuple[str, ...]) -> None:
    lines = console("playbook", "show", str(DATA / "every-action.yaml"), "--lang", code).out.splitlines()
    assert lines[lines.index(beneath) + 1].startswith("  s1  Shrink the journal  [run, root, ")
    assert '      run: journalctl --vacuum-size="$keep"' in lines
    assert '              run: rm -f -- "$mount/mark"' in lines, "what undoes a step has its script as well"
    assert "          def rebuild(connection, times):" in lines
    assert not [line for line in said if line not in lines], lines
    assert "  A full /var whose packages and logs can go" in console("playbook", "show", "free-disk-space").out.splitlines()


@pytest.mark.parametrize(
    ("code", "head", "step"),
    [
        ("en", "repair · corrective · L2 · interrupts what runs · linux", "s1  Remove downloaded packages  [run, root, 120 s]"),
        (
            "ru",
            "ремонт · исправляющее обслуживание · L2 · прерывает работу · linux",
            "s1  Удалить загруженные пакеты  [run, root, 120 с]",
        ),
    ],
)
def test_a_playbook_is_shown_in_one_language(console: Console, code: str, head: str, step: str) -> None:
    lines = console("playbook", "show", "free-disk-space", "--lang", code).out.splitlines()
    assert lines[1] == head
    assert f"  {step}" in lines


def test_mistakes_in_scenarios_keep_no_playbook_from_being_shown(console: Console, tmp_path: Path) -> None:
    console("playbook", "new", "restart-it", "--dir", str(tmp_path))
    path, scenarios = tmp_path / "restart-it.yaml", tmp_path / "scenarios" / "restart-it.yaml"
    whole = console("playbook", "show", str(path)).out
    scenarios.write_text(scenarios.read_text().replace("change: partly", "change: portly"))
    told = console("playbook", "show", str(path))
    assert told.code == 0 and told.out == whole[: whole.index("\nScenarios:")]
    assert "the scenarios are left out" in told.err and f"{scenarios}:" in told.err and "portly" in told.err


@pytest.mark.parametrize("name", ["standart", "none.yaml", "../../etc/passwd", "/dev/null", "/"])
@pytest.mark.parametrize("verb", ["show", "lint", "test", "graph"])
def test_what_is_no_playbook_is_told(console: Console, verb: str, name: str) -> None:
    told = console("playbook", verb, name)
    assert told.code == 2 and "Traceback" not in told.err + told.out


def test_a_folder_that_cannot_be_read_is_told_with_what_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)  # root may read everything
    with pytest.raises(UsageError, match="Permission denied") as raised:
        playbook_paths(tmp_path, str(tmp_path))
    assert str(raised.value.hint) == "name what can be read: longarm playbook lint FILE.yaml"
