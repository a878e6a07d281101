"""`longarm playbook`: from nothing to a tested playbook, in both languages; broken ones end with places, never a traceback."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from tests.console.conftest import Console

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


@pytest.mark.parametrize("name", ["standart", "none.yaml", "../../etc/passwd", "/dev/null", "/"])
@pytest.mark.parametrize("verb", ["show", "lint", "test", "graph"])
def test_what_is_no_playbook_is_told(console: Console, verb: str, name: str) -> None:
    told = console("playbook", verb, name)
    assert told.code == 2 and "Traceback" not in told.err + told.out
