"""Monitoring is muted around each wave of a repair, and speaks again however that ended: a program's, a real Alertmanager."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runner.desk_base import login_name
from tests.console.conftest import Console, serving
from tests.console.test_hold import INVENTORY, LOOK, PLAYBOOK, repair, touched, trace, waited_for  # noqa: F401 (trace: a fixture)
from tests.reports.test_formats import SCHEMA, whole
from tests.runner.test_mute_hooks import real_alertmanager, silences

PROGRAM = """\
#!/bin/sh
{ cat; echo; } >>"$1.documents"
echo "$LONGARM_ACTION $LONGARM_REFERENCE $(cat "$1" 2>/dev/null | wc -l)" >>"$1.mutes"
[ ! -e "$1.broken" ] || { echo "no such scheduler" >&2; exit 3; }
echo "ticket-1"
"""


@pytest.fixture
def here(console: Console, trace: Path) -> Console:  # noqa: F811
    """Return a longarm whose monitoring is muted by a program that notes what it was told, and how much was changed by then."""
    console.inventory(INVENTORY)
    (console.home / "touch-it.yaml").write_text(PLAYBOOK)
    program = console.home / "mute"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    configure(console, trace)
    return console


def configure(here: Console, trace: Path, **more: str) -> None:  # noqa: F811
    entry: dict[str, Any] = {"name": "scheduler", "program": str(here.home / "mute"), "arguments": [str(trace)], **more}
    (here.home / "config.yaml").write_text(json.dumps({"mute": [entry]}))


def asked(trace: Path) -> list[str]:  # noqa: F811
    """Return what the program was asked: the action, the reference, and how many changes had been made."""
    path = Path(f"{trace}.mutes")
    return path.read_text().splitlines() if path.exists() else []


def test_monitoring_is_silent_around_each_wave(here: Console, trace: Path) -> None:  # noqa: F811
    done = here(*repair(here, trace, "one, two"), "--batch", "1")
    assert (done.code, asked(trace)) == (0, ["mute  0", "unmute ticket-1 1", "mute  1", "unmute ticket-1 2"])
    documents = [json.loads(line) for line in Path(f"{trace}.documents").read_text().splitlines()]
    run = done.json()["run"]
    assert [(one["action"], one["hosts"], one["key"]) for one in documents] == [
        ("mute", ["one"], f"longarm {run}/0"),
        ("unmute", ["one"], f"longarm {run}/0"),
        ("mute", ["two"], f"longarm {run}/1"),
        ("unmute", ["two"], f"longarm {run}/1"),
    ]
    for one in documents:
        assert datetime.fromisoformat(one["until"]) > datetime.now(UTC), "it ends by itself, and not before the change does"
        assert (one["actor"], one["reason"]) == (login_name(), "touch-it")
    mutes = done.json()["repair"]["mutes"]
    assert [(one["hook"], one["wave"], one["state"], one["error"]) for one in mutes] == [
        ("scheduler", 0, "unmuted", None),
        ("scheduler", 1, "unmuted", None),
    ]
    Draft202012Validator(whole(SCHEMA)).validate(done.json())
    assert "silent during wave 1, and unmuted since" in (here.home / "reports" / f"{run}.html").read_text()


def test_what_is_not_changed_is_not_muted(here: Console, trace: Path) -> None:  # noqa: F811
    here("hold", "add", "one", "--reason", "a demonstration")
    assert here(*repair(here, trace, "one")).code == 5
    here("hold", "remove", "one")
    assert here(*repair(here, trace, "one"), "--plan").code == 0
    assert asked(trace) == []


def test_it_speaks_again_after_what_failed(here: Console, trace: Path) -> None:  # noqa: F811
    (here.home / "touch-it.yaml").write_text(PLAYBOOK.replace(LOOK, f"{LOOK}; exit 1"))
    done = here(*repair(here, trace, "one"))
    assert (done.code, asked(trace)) == (1, ["mute  0", "unmute ticket-1 1"])


def test_where_it_cannot_be_muted_nothing_is_changed(here: Console, trace: Path) -> None:  # noqa: F811
    Path(f"{trace}.broken").touch()
    done = here(*repair(here, trace, "one, two"))
    hosts = done.json()["hosts"]
    assert (done.code, touched(trace)) == (3, 0)
    assert [(host["outcome"], host["error"]["kind"]) for host in hosts] == [("not_started", "MuteFailed")] * 2
    assert "“scheduler”" in hosts[0]["error"]["text"]
    assert "no such scheduler" in hosts[0]["error"]["text"]
    assert asked(trace) == ["mute  0", "unmute  0"], "what it may have done is taken back"
    russian = here("run", "show", done.json()["run"], "--lang", "ru").out
    assert "мониторинг не заглушён через «scheduler»" in russian


def test_where_that_is_allowed_the_change_goes_on_and_it_is_told(here: Console, trace: Path) -> None:  # noqa: F811
    configure(here, trace, on_failure="go_on")
    Path(f"{trace}.broken").touch()
    done = here(*repair(here, trace, "one"))
    (mute,) = done.json()["repair"]["mutes"]
    assert (done.code, touched(trace), mute["state"]) == (0, 1, "muting"), "nobody knows: it could not be taken back either"
    assert "no such scheduler" in mute["error"]
    assert "Monitoring, by scheduler: perhaps muted since wave 1" in here("run", "show", done.json()["run"]).out
    left = here("run", "unmute", "--json")
    assert (left.code, left.json()[0]["state"]) == (7, "muting")
    Path(f"{trace}.broken").unlink()
    again = here("run", "unmute", "--json")
    assert (again.code, again.json()[0]["state"]) == (0, "unmuted")
    assert here("run", "unmute", "--json").json() == []


@contextmanager
def being_changed(here: Console, trace: Path, rest: str = "true") -> Iterator[subprocess.Popen[bytes]]:  # noqa: F811
    """Give a repair of host `one` that changes it in this very moment; the change comes to its end afterwards."""
    begun = LOOK.replace("$file", f"{trace}.begun")
    waiting = f"{begun}; until [ -e '{trace}.go' ]; do sleep 0.1; done; {LOOK}; {rest}"
    (here.home / "touch-it.yaml").write_text(PLAYBOOK.replace(LOOK, waiting))
    repairing = here.start(*repair(here, trace, "one"))
    try:
        waited_for(Path(f"{trace}.begun").exists)
        yield repairing
        Path(f"{trace}.go").touch()
        repairing.communicate(timeout=120)
    finally:
        repairing.kill()
        repairing.wait()
        Path(f"{trace}.go").touch()


def cut_off(here: Console, trace: Path, number: int) -> int:  # noqa: F811
    """Return how a repair ended that got a signal while its host was being changed."""
    with being_changed(here, trace) as repairing:
        assert asked(trace) == ["mute  0"]
        repairing.send_signal(number)
        repairing.communicate(timeout=120)
    return repairing.returncode


def test_it_speaks_again_after_ctrl_c(here: Console, trace: Path) -> None:  # noqa: F811
    assert cut_off(here, trace, signal.SIGINT) == 130
    assert [line.split()[0] for line in asked(trace)] == ["mute", "unmute"]


@pytest.mark.parametrize("following", ["resume", "unmute", "repair"])
def test_what_a_killed_repair_left_muted_speaks_again_with_the_next_one(
    here: Console,
    trace: Path,  # noqa: F811
    following: str,
) -> None:
    assert cut_off(here, trace, signal.SIGKILL) == -signal.SIGKILL
    assert [line.split()[0] for line in asked(trace)] == ["mute"]
    run = here("run", "list", "-o", "name").out.strip()
    command = {"resume": ("run", "resume", run), "unmute": ("run", "unmute"), "repair": repair(here, trace, "two")}[following]
    assert here(*command).code == 0
    done = [line.split()[0] for line in asked(trace)]
    assert done == (["mute", "unmute"] if following == "unmute" else ["mute", "unmute", "mute", "unmute"])
    assert {mute["state"] for mute in here("run", "show", run, "--json").json()["repair"]["mutes"]} == {"unmuted"}


@dataclass(frozen=True)
class Alerts:
    """An Alertmanager to which somebody has told that both hosts are down."""

    url: str

    def states(self) -> dict[str, str]:
        """Return by host whether its alert goes out to people (`active`) or is kept silent (`suppressed`)."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=20) as answer:
            return {one["labels"]["instance"]: one["status"]["state"] for one in json.load(answer)}

    def left(self) -> list[str]:
        """Return the states of all silences."""
        return [one["status"]["state"] for one in silences(self.url)]


@pytest.fixture
def alerts(here: Console, tmp_path: Path) -> Iterator[Alerts]:
    """Run the real Alertmanager; the home mutes by it."""
    (tmp_path / "alertmanager").mkdir()
    with real_alertmanager(tmp_path / "alertmanager") as url:
        (here.home / "config.yaml").write_text(json.dumps({"mute": [{"name": "alerts", "alertmanager": url}]}))
        end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        down = [{"labels": {"alertname": "Down", "instance": name}, "endsAt": end} for name in ("one", "two:9100")]
        words = urllib.request.Request(f"{url}/api/v2/alerts", json.dumps(down).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(words, timeout=20).close()
        yield Alerts(url)


SILENT_ABOUT_ONE = {"one": "suppressed", "two:9100": "active"}
LOUD = {"one": "active", "two:9100": "active"}


@pytest.mark.alertmanager
@pytest.mark.parametrize(("rest", "code"), [("true", 0), ("exit 1", 1)])
def test_a_real_alertmanager_is_silent_about_a_host_while_it_is_changed(
    here: Console,
    trace: Path,  # noqa: F811
    alerts: Alerts,
    rest: str,
    code: int,
) -> None:
    assert alerts.states() == LOUD
    with being_changed(here, trace, rest) as repairing:
        assert (alerts.states(), touched(trace)) == (SILENT_ABOUT_ONE, 0)
        (silence,) = silences(alerts.url)
        assert silence["createdBy"] == login_name() and silence["comment"].endswith("/0: touch-it")
    assert (repairing.returncode, touched(trace)) == (code, 1)
    assert (alerts.states(), alerts.left()) == (LOUD, ["expired"])


@pytest.mark.alertmanager
@pytest.mark.parametrize("following", ["resume", "unmute"])
def test_a_real_alertmanager_speaks_again_after_a_repair_that_was_killed(
    here: Console,
    trace: Path,  # noqa: F811
    alerts: Alerts,
    following: str,
) -> None:
    with being_changed(here, trace) as repairing:
        repairing.kill()
        repairing.communicate(timeout=120)
        assert (alerts.states(), alerts.left()) == (SILENT_ABOUT_ONE, ["active"]), "nobody has taken it back yet"
        assert datetime.fromisoformat(silences(alerts.url)[0]["endsAt"]) > datetime.now(UTC), "it ends by itself even so"
    run = here("run", "list", "-o", "name").out.strip()
    assert here("run", following, *([run] if following == "resume" else [])).code == 0
    assert alerts.states() == LOUD
    assert alerts.left() == ["expired"] * (2 if following == "resume" else 1)
    assert {mute["state"] for mute in here("run", "show", run, "--json").json()["repair"]["mutes"]} == {"unmuted"}


@pytest.mark.alertmanager
def test_a_real_alertmanager_speaks_again_after_a_service_that_was_killed(here: Console, trace: Path, alerts: Alerts) -> None:  # noqa: F811
    (here.home / "playbooks").mkdir()
    (here.home / "playbooks" / "touch-it.yaml").symlink_to(here.home / "touch-it.yaml")
    with serving(here) as service, being_changed(here, trace) as repairing:
        service.kill()
        service.wait()
        repairing.communicate(timeout=120)
        assert (repairing.returncode, alerts.states(), alerts.left()) == (7, SILENT_ABOUT_ONE, ["active"])
    with serving(here):
        run = here("run", "list", "-o", "name").out.strip()
        assert here("run", "resume", run).code == 0
        assert (alerts.states(), {*alerts.left()}) == (LOUD, {"expired"})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{name: x}", "one of alertmanager, url, program says how"),
        ("{name: x, program: mute}", "“mute” is not the whole path of a program"),
        ("{name: x, url: 'http://monitoring.example.net/'}", "is not encrypted"),
        ("{name: x, url: 'https://u:p@monitoring.example.net/'}", "no user and no password belongs into an address"),
        ("{name: x, alertmanager: 'https://a.example.net', label: 'a-b'}", "“a-b” is not the name of a label"),
        ("{name: x, alertmanager: 'https://a.example.net', token: hunter2}", "a secret is never written here"),
        ("{name: x, program: /bin/true, token: 'env:X'}", "has no key “token”"),
        ("{name: x, program: /bin/true, on_failure: maybe}", "on_failure"),
    ],
)
def test_mistakes_of_the_configuration_are_told_with_their_places(
    here: Console,
    trace: Path,  # noqa: F811
    entry: str,
    expected: str,
) -> None:
    (here.home / "config.yaml").write_text(f"mute:\n  - {entry}\n")
    done = here(*repair(here, trace, "one"))
    assert (done.code, "config.yaml:2:" in done.err, expected in done.err, touched(trace)) == (2, True, True, 0), done.err
    assert "hunter2" not in done.err


def test_a_program_that_others_may_change_is_not_run(here: Console, trace: Path) -> None:  # noqa: F811
    (here.home / "mute").chmod(0o777)
    done = here(*repair(here, trace, "one"))
    assert (done.code, "others may change it" in done.json()["hosts"][0]["error"]["text"]) == (3, True)
    assert (asked(trace), touched(trace)) == ([], 0)
