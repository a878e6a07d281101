"""Changes of real hosts through a desk that a service keeps: several users at once, clients and services that are killed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.service.request import Request, Stream
from runner.service.wire import PROTOCOL, Frames, Kind, in_words
from tests.conftest import SOAK
from tests.console.test_host_shell import Person
from tests.hosts.realhosts import RealLab
from tests.hosts.support import FIXED, LONGARM, SupportDesk, host

pytestmark = pytest.mark.hosts
OLGA, IVAN, ANNA, EVE, RITA = "daemon", "bin", "games", "mail", "news"
"""Accounts of this machine: two of L2, one of L3, one that has no role, and one that has one by a group."""
GROUP = "longarm-l2"
"""It is in the groups that the service alone sees."""
CONFIG = f"""\
roles:
  - {{role: L2, users: [{OLGA}, {IVAN}]}}
  - {{role: L3, users: [{ANNA}]}}
  - {{role: L2, groups: [{GROUP}]}}
  - {{role: admin, users: [root]}}
changes: {{count_above: 2}}
"""
PLAYBOOK = """\
playbook: leave-lines
title: {en: Leave lines, ru: Оставить строки}
says: {en: Leaves a line for each step., ru: Оставляет строку за каждый шаг.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
params:
  file: {type: path}
steps:
  - {name: First, run: 'echo first >>"$file"', retry: never}
  - name: Second
    run: echo begun >>"$file"; until [ -e "$file.go" ]; do sleep 0.1; done; echo "ended by $$" >>"$file"; echo "said by $$"
    retry: never
    deadline: 90s
  - {name: Third, run: 'test ! -e "$file.bad"; s=$?; echo third >>"$file"; exit $s', retry: never}
"""
SHORT = "".join(f"  - {{name: Step {n}, run: 'echo {n} >>\"$file\"; sleep 0.05', retry: never}}\n" for n in range(1, 9))
BOOKS = {
    "leave-lines": PLAYBOOK,
    "leave-risky": PLAYBOOK.replace("leave-lines", "leave-risky").replace("reversible", "disruptive"),
    "leave-many": PLAYBOOK.replace("leave-lines", "leave-many").partition("  - {name: First")[0] + SHORT,
}


@dataclass(slots=True)
class Served:
    """A desk in the lab's network that a service keeps for the users of this machine."""

    desk: SupportDesk
    socket: Path
    service: subprocess.Popen[bytes] | None = None
    files: int = 0

    def start(self) -> None:
        """Start the service; it is open to everybody once this returns."""
        self.groups(RITA)
        words = self.desk.command("serve", "--socket", str(self.socket), "--mode", "0666")
        inside = words.index(self.desk.lab.desk) + 1  # in the network's own mounts
        words[inside:inside] = ["sh", "-c", f'mount --bind {self.socket.parent}/group /etc/group && exec "$@"', "sh"]
        self.service = subprocess.Popen(words, env=self.desk.env(), stderr=subprocess.PIPE)
        assert self.service.stderr is not None
        told = self.service.stderr.readline()
        assert b"is open on" in told, told + self.service.stderr.read()

    def groups(self, *members: str) -> None:
        """Let these be the members of the group by which the service knows one of L2."""
        group = self.socket.parent / "group"
        group.write_text(Path("/etc/group").read_text() + f"{GROUP}:x:64123:{','.join(members)}\n")

    def end(self, number: int) -> None:
        """End the service by a signal, and wait until it is gone with all that it forked."""
        assert self.service is not None
        self.service.send_signal(number)
        self.service.communicate(timeout=60)

    def started(self, user: str, *words: str) -> subprocess.Popen[str]:
        """Start longarm as a user of this machine."""
        return subprocess.Popen(
            as_user(user, *words), env=self.env, cwd="/", stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True
        )

    def longarm(self, user: str, *words: str, exit_code: int = 0) -> str:
        """Run longarm as a user and return its stdout, or why it was refused; another exit code shows everything it said."""
        with self.started(user, *words) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == exit_code, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out if exit_code != 5 or out else err

    def repair(self, user: str, targets: str, file: str, *more: str, exit_code: int = 0) -> dict[str, Any]:
        """Repair and return the document of the run."""
        document: dict[str, Any] = json.loads(self.longarm(user, *repair(targets, file, *more), exit_code=exit_code))
        return document

    @property
    def env(self) -> dict[str, str]:
        """Return what leads a client to the service."""
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent", "LONGARM_SOCKET": str(self.socket)}

    def file(self) -> str:
        """Return where a repair is to leave its lines on a host, each time elsewhere."""
        self.files += 1
        return f"/home/ops/lines-{self.files}"

    def lines(self, name: str, file: str) -> list[str]:
        """Return what was done on a host, in its order."""
        return self.desk.lab.enter(name, f"cat {file} 2>/dev/null || true").splitlines()

    def go(self, file: str, *names: str) -> None:
        """Let the second step come to its end."""
        for name in names:
            self.desk.lab.enter(name, f"touch {file}.go")

    def last_run(self) -> dict[str, Any]:
        """Return the newest run."""
        row: dict[str, Any] = json.loads(self.longarm(OLGA, "run", "list", "--json", "--limit", "1"))[0]
        return row


def as_user(user: str, *words: str) -> list[str]:
    """Return the command line of longarm as a user."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", str(LONGARM), *words]


def repair(targets: str, file: str, *more: str, playbook: str = "leave-lines") -> Sequence[str]:
    return ("repair", f"{playbook}.yaml", targets, "-p", f"file={file}", "--json", "--no-input", *more)


def until(true: Callable[[], object]) -> None:
    """Return once something is so."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def served(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Set a desk up with three playbooks of its own, and keep it as a service."""
    desk = SupportDesk(lab, tmp_path_factory.mktemp("served") / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(names=FIXED))
    desk.enrol(*FIXED)
    (desk.home / "config.yaml").write_text(CONFIG)
    (desk.home / "playbooks").mkdir()
    for name, text in BOOKS.items():
        (desk.home / "playbooks" / f"{name}.yaml").write_text(text)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        served = Served(desk, Path(place) / "desk.sock")
        served.start()
        try:
            yield served
        finally:
            served.end(signal.SIGTERM)


@contextmanager
def in_mid_step(served: Served, user: str, targets: str, file: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Give the client of a repair whose second step is on its way on the first host."""
    with served.started(user, *repair(targets, file, *more)) as client:
        try:
            until(lambda: "begun" in served.lines(targets.partition(",")[0], file))
            yield client
        finally:
            served.go(file, *targets.split(","))
            if client.poll() is None:
                client.communicate(timeout=120)


def done_once(lines: list[str]) -> bool:
    """Tell whether each step was done, once, in its order."""
    return [line.split()[0] for line in lines] == ["first", "begun", "ended", "third"]


# Leases


def test_of_two_who_change_a_host_at_once_one_does_and_the_other_is_told_who_why_and_since_when(served: Served) -> None:
    file, other = served.file(), served.file()
    with in_mid_step(served, OLGA, "web1", file) as first:
        served.go(other, "db1")
        second = served.repair(IVAN, "web1,db1", other, exit_code=5)
        (leased,) = json.loads(served.longarm(IVAN, "run", "leases", "--json"))
        served.go(file, "web1")
        out, err = first.communicate(timeout=120)
    mine, web, db = json.loads(out), host(second, "web1"), host(second, "db1")
    assert (first.returncode, host(mine, "web1")["outcome"]) == (0, "ok"), err
    assert (web["outcome"], web["error"]["kind"], web["repair"]["change"]) == ("refused", "HostLeased", "unchanged")
    told = rf"web1 is being changed by run {mine['run']} of {OLGA} since [-0-9]+ [:0-9]+ UTC \(\d+ s\): leave-lines"
    assert re.fullmatch(told, web["error"]["text"]), web["error"]["text"]
    assert (leased["host"], leased["run"], leased["actor"], leased["reason"]) == ("web1", mine["run"], OLGA, "leave-lines")
    assert (mine["actor"], second["actor"]) == (OLGA, IVAN)
    assert done_once(served.lines("web1", file)) and served.lines("web1", other) == []
    assert db["outcome"] == "ok" and done_once(served.lines("db1", other)), "the others go on"
    served.go(other, "web1")
    assert host(served.repair(IVAN, "web1", other), "web1")["outcome"] == "ok", "the lease was given back"


def meets(file: str, name: str, others: int) -> str:
    """Return a command that only looks: it ends once others are on their way too."""
    return f"touch {file}.{name}; until [ $(ls {file}.* | wc -l) -gt {others} ]; do sleep 0.05; done"


def test_two_who_only_look_are_on_a_host_at_once(served: Served) -> None:
    file = served.file()
    looking = [
        served.started(user, "host", "run", meets(file, user, 1), "web1", "--read-only", "--json") for user in (OLGA, IVAN)
    ]
    ended = [json.loads(one.communicate(timeout=60)[0]) for one in looking]
    assert [host(one, "web1")["outcome"] for one in ended] == ["ok", "ok"], "each has waited for the other"


def test_who_only_looks_is_not_kept_off_by_who_changes(served: Served) -> None:
    file = served.file()
    with in_mid_step(served, OLGA, "web1", file):
        looked = json.loads(served.longarm(IVAN, "diagnose", "web1", "--check", "fs-space", "--json"))
        planned = served.repair(ANNA, "web1", file, "--plan")
        assert served.lines("web1", file) == ["first", "begun"], "it was changed all the while"
    assert [host(one, "web1")["outcome"] for one in (looked, planned)] == ["ok", "ok"]
    assert done_once(served.lines("web1", file))


def test_who_changes_is_not_kept_off_by_who_only_looks(served: Served) -> None:
    file = served.file()
    with served.started(IVAN, "host", "run", meets(file, "seen", 2), "web1", "--read-only", "--json") as reader:
        until(lambda: served.desk.lab.enter("web1", f"ls {file}.seen 2>/dev/null || true"))
        served.go(file, "web1")
        assert host(served.repair(OLGA, "web1", file), "web1")["outcome"] == "ok"
        assert reader.poll() is None, "it looks still"
        served.desk.lab.enter("web1", f"touch {file}.third")
        assert host(json.loads(reader.communicate(timeout=60)[0]), "web1")["outcome"] == "ok"


def by_hand(served: Served, user: str, script: str, *more: str, exit_code: int = 0) -> dict[str, Any]:
    """Run a command by hand on web1 and return how the host ended."""
    return host(json.loads(served.longarm(user, "host", "run", script, "web1", "--json", *more, exit_code=exit_code)), "web1")


def test_by_hand_nobody_works_on_a_host_that_a_run_changes_unless_they_say_why(served: Served) -> None:
    file = served.file()
    with in_mid_step(served, OLGA, "web1", file) as client:
        refused = by_hand(served, IVAN, f"echo hand >>{file}", exit_code=5)
        assert (refused["outcome"], refused["error"]["kind"]) == ("refused", "HostLeased")
        assert f" of {OLGA} since " in refused["error"]["text"] and refused["error"]["text"].endswith(" s): leave-lines")
        with closing(Person(as_user(ANNA, "host", "shell", "web1"), served.env, Path("/"))) as anna:
            assert anna.ends() == 5, anna.screen
        assert re.search(rb"longarm run leases +# who has it, .*--beside REASON", anna.screen), anna.screen
        assert b"web1 is being changed by run" in b" ".join(anna.screen.split()), anna.screen
        assert by_hand(served, IVAN, f"cat {file}", "--read-only")["output"]["stdout"] == "first\nbegun\n"
        assert by_hand(served, IVAN, f"echo hand >>{file}", "--beside", "the shop is down")["outcome"] == "ok"
        served.go(file, "web1")
        out, _ = client.communicate(timeout=120)
    assert [line.split()[0] for line in served.lines("web1", file)] == ["first", "begun", "hand", "ended", "third"]
    run = json.loads(out)["run"]
    (hand,) = host(json.loads(served.longarm(OLGA, "run", "show", run, "--json")), "web1")["repair"]["by_hand"]
    assert (hand["actor"], hand["what"], hand["beside"]) == (IVAN, f"host run: echo hand >>{file}", "the shop is down")
    assert "beside it: the shop is down" in served.longarm(ANNA, "store", "audit", "--run", hand["run"])


def test_no_repair_begins_where_a_shell_is_open_and_none_is_kept_off_once_its_client_is_killed(served: Served) -> None:
    file = served.file()
    served.go(file, "web1")
    with closing(Person(as_user(ANNA, "host", "shell", "web1"), served.env, Path("/"))) as anna:
        anna.waits_for("[#$] ")
        refused = host(served.repair(OLGA, "web1", file, exit_code=5), "web1")
        assert refused["error"]["kind"] == "HostInHand"
        told = rf"{ANNA} works on web1 by hand since [-0-9]+ [:0-9]+ UTC \(\d+ s\), run [-0-9a-f]+: host shell"
        assert re.fullmatch(told, refused["error"]["text"]), refused["error"]["text"]
        (leased,) = json.loads(served.longarm(OLGA, "run", "leases", "--json"))
        assert (leased["host"], leased["actor"], leased["reason"], leased["state"]) == ("web1", ANNA, "host shell", "running")
        assert by_hand(served, IVAN, "true", exit_code=5)["error"]["kind"] == "HostInHand"
        assert by_hand(served, IVAN, "true", "--read-only")["outcome"] == "ok"
        anna.process.kill()
        anna.process.wait()
        until(lambda: json.loads(served.longarm(OLGA, "run", "leases", "--json")) == [])
    assert host(served.repair(OLGA, "web1", file), "web1")["outcome"] == "ok"
    assert done_once(served.lines("web1", file))


def kill_the_one_at_work(served: Served) -> None:
    """Kill the process that carries out the only command that is on its way."""
    assert served.service is not None
    (attendant,) = children(served.service.pid)
    (worker,) = children(attendant)
    os.kill(worker, signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_command_whose_process_was_killed_has_its_host_until_its_deadline_and_no_longer(served: Served) -> None:
    file = served.file()
    served.go(file, "web1")
    with served.started(IVAN, "host", "run", f"touch {file}.seen; sleep 600", "web1", "--deadline", "6") as client:
        until(lambda: served.desk.lab.enter("web1", f"ls {file}.seen 2>/dev/null || true"))
        kill_the_one_at_work(served)
        client.communicate(timeout=60)
    refused = host(served.repair(OLGA, "web1", file, exit_code=5), "web1")
    assert refused["error"]["text"].startswith("nobody saw how this ended on web1, and it may be at it until ")
    until(lambda: json.loads(served.longarm(OLGA, "run", "leases", "--json")) == [])
    assert host(served.repair(OLGA, "web1", file), "web1")["outcome"] == "ok"


def test_a_shell_whose_process_was_killed_keeps_nobody_off(served: Served) -> None:
    file = served.file()
    served.go(file, "web1")
    with closing(Person(as_user(ANNA, "host", "shell", "web1"), served.env, Path("/"))) as anna:
        anna.waits_for("[#$] ")
        kill_the_one_at_work(served)
        anna.ends()
    assert host(served.repair(OLGA, "web1", file), "web1")["outcome"] == "ok"


def test_what_was_done_by_hand_since_is_told_as_a_repair_is_tried_again(served: Served) -> None:
    file = served.file()
    served.go(file, "web1")
    served.desk.lab.enter("web1", f"touch {file}.bad")
    failed = served.repair(OLGA, "web1", file, exit_code=1)
    by_hand(served, IVAN, f"rm {file}.bad")
    with served.started(OLGA, "run", "retry", failed["run"], "--no-input") as again:
        _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert re.search(rf"web1: since then {IVAN} has worked on it by hand, [^:]+:.* host run: rm {file}.bad \(run ", err), err


# Clients and services that are killed


def test_a_repair_whose_client_is_killed_in_mid_step_goes_on_and_is_watched_by_another(served: Served) -> None:
    file = served.file()
    with in_mid_step(served, OLGA, "web1", file) as client:
        client.kill()
        client.communicate(timeout=60)
        run = served.last_run()
        assert (run["state"], run["actor"]) == ("running", OLGA)
        with served.started(OLGA, "run", "watch", run["run"]) as watching:
            served.go(file, "web1")
            assert watching.communicate(timeout=120) and watching.returncode == 0
    document = json.loads(served.longarm(OLGA, "run", "show", run["run"], "--json"))
    assert (host(document, "web1")["outcome"], document["state"]) == ("ok", "ended")
    assert done_once(served.lines("web1", file))


def test_a_service_killed_in_mid_step_asks_the_hosts_before_it_goes_on(served: Served) -> None:
    """On web1 the step comes to its end while there is no service; on db1 it goes on until after the next one asks."""
    file = served.file()
    with in_mid_step(served, OLGA, "web1,db1", file) as client:
        until(lambda: "begun" in served.lines("db1", file))
        served.end(signal.SIGKILL)
        assert client.communicate(timeout=60) and client.returncode == 7
        served.go(file, "web1")
        until(lambda: "ended" in " ".join(served.lines("web1", file)))
        served.start()
        run = served.last_run()
        assert run["state"] == "interrupted"
        refused = served.repair(IVAN, "web1", served.file(), exit_code=5)
        assert run["run"] in host(refused, "web1")["error"]["text"], "the host is that run's until its end is known"
        with served.started(IVAN, "run", "resume", run["run"], "--json") as resuming:
            until(lambda: "third" in served.lines("web1", file))
            assert is_running(served, run["run"]) and served.lines("db1", file)[-1] == "begun"
            served.go(file, "db1")
            document = json.loads(resuming.communicate(timeout=120)[0])
    assert resuming.returncode == 0
    for name in ("web1", "db1"):
        row, lines = host(document, name), served.lines(name, file)
        assert (row["outcome"], row["repair"]["change"], done_once(lines)) == ("ok", "changed", True)
        said = row["repair"]["steps"][1]["stdout"].split()
        assert said == ["said", *lines[2].split()[1:]], "it is what the one command said that began before"


def is_running(served: Served, run: str) -> bool:
    rows = json.loads(served.longarm(OLGA, "run", "list", "--json"))
    return any(row["run"] == run and row["state"] == "running" for row in rows)


def test_a_service_killed_at_any_moment_loses_nothing_and_does_nothing_twice(served: Served) -> None:
    moments = random.Random(20261130)
    for _ in range(30 if SOAK else 1):
        file, after = served.file(), moments.randint(1, 5)
        with served.started(OLGA, *repair("web1,db1", file, playbook="leave-many")) as client:
            until(lambda: len(served.lines("web1", file)) >= after)  # noqa: B023 (called at once)
            time.sleep(moments.uniform(0, 0.2))
            served.end(signal.SIGKILL)
            client.communicate(timeout=60)
        served.start()
        run = served.last_run()
        assert run["state"] == "interrupted"
        served.longarm(OLGA, "run", "resume", run["run"])
        document = json.loads(served.longarm(OLGA, "run", "show", run["run"], "--json"))
        for name in ("web1", "db1"):
            assert (host(document, name)["outcome"], served.lines(name, file)) == ("ok", [*"12345678"]), run


# Holds, freezes, waves, counts


def test_holds_and_freezes_of_others_keep_a_repair_off(served: Served) -> None:
    file = served.file()
    served.go(file, "web1", "db1")
    served.longarm(IVAN, "hold", "add", "web1", "--reason", "a demonstration")
    document = served.repair(OLGA, "web1,db1", file, exit_code=5)
    web, db = host(document, "web1"), host(document, "db1")
    assert (web["error"]["kind"], db["outcome"], served.lines("web1", file)) == ("HostHeld", "ok", [])
    assert f"web1 is held by {IVAN} since " in web["error"]["text"] and "a demonstration" in web["error"]["text"]
    served.longarm(OLGA, "hold", "remove", "web1", exit_code=6)
    served.longarm(IVAN, "hold", "remove", "web1")
    served.longarm(OLGA, "freeze", "--reason", "no role for that", exit_code=5)
    served.longarm(ANNA, "freeze", "--site", "lab", "--reason", "an audit")
    assert f"changes at site lab are frozen by {ANNA}" in served.longarm(OLGA, *repair("web1", file), exit_code=5)
    served.longarm(OLGA, "run", "retry", document["run"], "--only", "refused", exit_code=5)
    served.longarm(ANNA, "unfreeze", "--site", "lab")
    assert served.lines("web1", file) == []
    served.longarm(OLGA, "run", "retry", document["run"], "--only", "refused")
    assert done_once(served.lines("web1", file))


def test_waves_go_one_after_the_other_and_a_freeze_of_another_lets_no_further_one_begin(served: Served) -> None:
    file = served.file()
    with in_mid_step(served, OLGA, "web1,db1", file, "--batch", "1") as client:
        assert served.lines("db1", file) == []
        served.longarm(ANNA, "freeze", "--reason", "an alarm")
        served.go(file, "web1", "db1")
        document = json.loads(client.communicate(timeout=120)[0])
    served.longarm(ANNA, "unfreeze")
    web, db = host(document, "web1"), host(document, "db1")
    assert (client.returncode, web["outcome"], db["outcome"], db["error"]["kind"]) == (5, "ok", "not_started", "ChangesFrozen")
    assert done_once(served.lines("web1", file)) and served.lines("db1", file) == []


def test_whose_role_is_taken_away_meanwhile_changes_no_further_host(served: Served) -> None:
    file, config = served.file(), served.desk.home / "config.yaml"
    with in_mid_step(served, OLGA, "web1,db1", file, "--batch", "1") as client:
        config.write_text(CONFIG.replace(f"{OLGA}, ", ""))
        try:
            served.go(file, "web1", "db1")
            _, err = client.communicate(timeout=120)
        finally:
            config.write_text(CONFIG)
    document = json.loads(served.longarm(OLGA, "run", "show", served.last_run()["run"], "--json"))
    web, db = host(document, "web1"), host(document, "db1")
    assert (client.returncode, web["outcome"], db["outcome"], db["error"]["kind"]) == (5, "ok", "not_started", "RoleRefused"), (
        err
    )
    assert done_once(served.lines("web1", file)) and served.lines("db1", file) == [] and "Traceback" not in err


def test_who_is_taken_out_of_a_group_meanwhile_changes_no_further_host(served: Served) -> None:
    file = served.file()
    with in_mid_step(served, RITA, "web1,db1", file, "--batch", "1") as client:
        served.groups()
        try:
            served.go(file, "web1", "db1")
            client.communicate(timeout=120)
            assert "has no role" in served.longarm(RITA, "run", "show", served.last_run()["run"], exit_code=5)
        finally:
            served.groups(RITA)
    document = json.loads(served.longarm(ANNA, "run", "show", served.last_run()["run"], "--json"))
    web, db = host(document, "web1"), host(document, "db1")
    assert (document["actor"], web["outcome"], db["outcome"], db["error"]["kind"]) == (RITA, "ok", "not_started", "RoleRefused")
    assert done_once(served.lines("web1", file)) and served.lines("db1", file) == []


def test_the_wave_after_one_that_failed_does_not_begin(served: Served) -> None:
    file = served.file()
    served.go(file, "web1", "db1")
    served.desk.lab.enter("web1", f"touch {file}.bad")
    document = served.repair(OLGA, "web1,db1", file, "--batch", "1", "--max-failed", "0", exit_code=3)
    kinds = [host(document, name)["error"]["kind"] for name in ("web1", "db1")]
    assert (kinds, served.lines("db1", file)) == (["StepFailed", "TooManyFailed"], [])


def test_the_number_of_many_hosts_is_typed_at_the_terminal_of_the_client(served: Served) -> None:
    file, targets = served.file(), "web1,db1,app1"
    served.go(file, *targets.split(","))
    words = as_user(OLGA, "repair", "leave-lines.yaml", targets, "-p", f"file={file}", "--yes", "-q")
    for typed, code in (("2", 5), ("3", 0)):
        with closing(Person(words, served.env, Path("/"))) as olga:
            olga.waits_for("3 hosts are to be changed; type their number to go on: ")
            olga.types(f"{typed}\r")
            assert olga.ends() == code, olga.screen
        assert done_once(served.lines("app1", file)) is (code == 0)


# A second person, and who is who


def test_who_asks_cannot_approve_and_another_user_can(served: Served) -> None:
    file = served.file()
    served.go(file, "web1")
    waits = json.loads(served.longarm(OLGA, *repair("web1", file, playbook="leave-risky"), exit_code=5))
    run = waits["run"]
    assert (waits["kind"], waits["actor"], waits["repair"]["approval"]["state"]) == ("plan", OLGA, "waiting")
    assert "nobody approves what they asked for" in served.longarm(OLGA, "approve", run, exit_code=5)
    assert "is for L3" in served.longarm(IVAN, "approve", run, exit_code=5)
    assert "has no role" in served.longarm(EVE, "approve", run, exit_code=5)
    assert "its approval is waiting" in served.longarm(OLGA, "run", "start", run, exit_code=5)
    assert served.lines("web1", file) == []
    said = json.loads(served.longarm(ANNA, "approve", run, "--json"))
    assert (said["asked_by"], said["decided_by"]) == (OLGA, ANNA)
    done = json.loads(served.longarm(OLGA, "run", "start", run, "--json"))
    assert (done["repair"]["agreed"]["asked_by"], done["repair"]["agreed"]["approved_by"]) == (OLGA, ANNA)
    assert done_once(served.lines("web1", file))
    mine = json.loads(served.longarm(ANNA, *repair("web1", served.file(), playbook="leave-risky"), exit_code=5))["run"]
    assert "nobody approves what they asked for" in served.longarm(ANNA, "approve", mine, exit_code=5), "of L3 neither"


FORGER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(bytes.fromhex(sys.argv[2]))
    while data := client.recv(65536):
        os.write(1, data)
"""


def test_who_says_in_the_protocol_to_be_somebody_else_is_who_they_are(served: Served) -> None:
    """The user, the group, the number of the account: in the request, its environment, its words; only the kernel counts."""
    waits = json.loads(served.longarm(OLGA, *repair("web1", served.file(), playbook="leave-risky"), exit_code=5))
    claims = {"actor": ANNA, "user": ANNA, "caller": ANNA, "uid": 5, "gid": 60, "peer": {"uid": 5, "gid": 60, "pid": 1}}
    lies = {"SUDO_UID": "5", "SUDO_USER": ANNA, "USER": ANNA, "LOGNAME": ANNA, "LONGARM_ACTOR": ANNA}
    words = Request(
        arguments=("approve", waits["run"]),
        folder="/",
        environ=lies,
        stdin=Stream.NONE,
        stdout=Stream.OTHER,
        stderr=Stream.OTHER,
        terminal=False,
        columns=80,
        rows=24,
        reads=(),
        writes=(),
    ).words()
    said = in_words(Kind.HELLO, protocol=PROTOCOL, version="1", **claims) + in_words(Kind.REQUEST, **{**words, **claims})
    forging = [*as_user(OLGA)[:-1], sys.executable, "-c", FORGER, str(served.socket), said.hex()]
    done = subprocess.run(forging, env={**served.env, **lies}, capture_output=True, cwd="/", timeout=60, check=True)
    frames = [*Frames().take(done.stdout)]
    told = b"".join(frame.payload for frame in frames if frame.kind is Kind.ERR).decode()
    assert "nobody approves what they asked for" in told, done.stdout
    still = json.loads(served.longarm(ANNA, "run", "show", waits["run"], "--json"))
    assert still["repair"]["approval"]["state"] == "waiting"
    lines = json.loads(served.longarm("root", "store", "audit", "--run", waits["run"], "--json"))
    assert {line["actor"] for line in lines} == {OLGA}
