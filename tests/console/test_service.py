"""The desk as a service: one on each home, clients that leave, ends and kills, users who may and may not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.service.wire import PROTOCOL, Frames, Kind, in_words, packed
from tests.console.conftest import LONGARM, Console, Done, serving
from tests.console.test_host_shell import Typist
from tests.forked import Forked

pytestmark = pytest.mark.xdist_group("service")  # one lab for the module


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("service") / "home", forked)
    assert console("lab", "up", "--hosts", "4", "--shell", "answers", "--this-machine").code == 0
    yield console
    assert console("lab", "down").code == 0


@pytest.fixture(scope="module")
def open_place() -> Iterator[Path]:
    """Give a folder that every user of this machine can look into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@dataclass(frozen=True)
class Served:
    """A home whose service runs as long as this module, open to the group nogroup."""

    console: Console
    socket: Path

    @property
    def env(self) -> dict[str, str]:
        """Return what leads a client there."""
        return {"LONGARM_SOCKET": str(self.socket)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, forked: Forked, open_place: Path) -> Iterator[Served]:
    console = Console(tmp_path_factory.mktemp("served") / "home", forked)
    assert console("lab", "up", "--hosts", "1", "--shell", "answers", "--this-machine").code == 0
    (console.home / "config.yaml").write_text("roles: [{role: admin, users: [root]}, {role: L2, users: [nobody]}]\n")
    path = open_place / "desk.sock"
    console.environ["LONGARM_SOCKET"] = str(path)
    try:
        with serving(console, "--socket", str(path), *(["--group", "nogroup"] if os.geteuid() == 0 else [])):
            yield Served(console, path)
    finally:
        assert console("lab", "down", environ={"LONGARM_SOCKET": ""}).code == 0


@pytest.fixture
def go(tmp_path: Path) -> Iterator[Path]:
    """Return the file that a slow command waits for; nothing waits any longer than its test."""
    yield (path := tmp_path / "go")
    path.touch()


def told(process: subprocess.Popen[bytes], pattern: str) -> str:
    """Return the next line on stderr of a process that matches."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(pattern, line.decode()):
            return line.decode()
    raise AssertionError(f"nothing like {pattern!r} was told")


def run_of(process: subprocess.Popen[bytes]) -> str:
    """Return the run that a command has begun."""
    return told(process, r"^run ").split()[1].rstrip(":")


def state_of(console: Console, run: str) -> str:
    return str(next(row["state"] for row in console("run", "list", "--json").json() if row["run"] == run))


def state_in_the_end(console: Console, run: str) -> str:
    """Return the state of a run once it is not on its way any more."""
    until = time.monotonic() + 60
    while (state := state_of(console, run)) == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    return state


def slow(console: Console, go: Path) -> subprocess.Popen[bytes]:
    """Start a command on this machine that ends once a file is there."""
    return console.start("host", "run", f"until [ -e '{go}' ]; do sleep 0.05; done; echo done", "this-machine")


def children(pid: int) -> list[int]:
    """Return the processes that a process has forked."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(process: subprocess.Popen[bytes]) -> Done:
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out.decode(), err.decode())


# One service for each home


def test_a_second_service_on_the_same_home_is_refused(lab: Console) -> None:
    with serving(lab):
        second = lab("serve", "--socket", "other.sock")
        assert second.code == 7
        assert "is in use by process" in second.err
        assert "longarm serve" in second.err
        assert lab("run", "list").code == 0


def test_who_opens_the_home_beside_a_service_can_read_and_not_write(lab: Console) -> None:
    alone = {"LONGARM_SOCKET": ""}
    with serving(lab):
        assert lab("run", "list", environ=alone).code == 0
        busy = lab("diagnose", "lab-web-01", environ=alone)
        assert (busy.code, "is in use by process" in busy.err) == (7, True)
    assert lab("diagnose", "lab-web-01", "--fail-on", "never").code == 0


def test_a_socket_that_was_left_behind_is_no_service(lab: Console) -> None:
    with serving(lab) as service:
        service.kill()
        service.wait()
        left = lab.home / "desk.sock"
        assert left.is_socket()
        assert lab("run", "list").code == 0, "the home is free: it is opened in process"
    with serving(lab):
        assert "a service of" in lab("doctor").out
    assert not left.exists()


def test_the_service_keeps_only_a_home_that_is_closed_to_others(lab: Console) -> None:
    lab.home.chmod(0o750)
    try:
        refused = lab("serve")
        assert refused.code == 7
        assert "chmod 700" in refused.err
    finally:
        lab.home.chmod(0o700)


def test_a_file_in_the_place_of_the_socket_stays(lab: Console) -> None:
    place = lab.home.parent / "precious"
    place.write_text("precious")
    refused = lab("serve", "--socket", str(place))
    assert refused.code == 2
    assert place.read_text() == "precious"


# Several at once


def test_runs_of_several_clients_go_on_side_by_side(served: Served, go: Path) -> None:
    lab = served.console
    waiting = slow(lab, go)
    run = run_of(waiting)
    assert lab("diagnose", "lab-web-01", "--fail-on", "never").code == 0, "it does not wait for the other"
    assert state_of(lab, run) == "running"
    refused = lab("store", "prune", "--older-than", "90d", "--yes")
    assert (refused.code, "in use by another process" in refused.err) == (7, True)
    go.touch()
    assert ended(waiting).code == 0
    assert lab("store", "prune", "--older-than", "90d", "--yes").code == 0
    assert state_of(lab, run) == "ended"


def test_a_run_is_watched_by_another_client(served: Served, go: Path) -> None:
    lab = served.console
    waiting = slow(lab, go)
    run = run_of(waiting)
    with lab.start("run", "watch", run) as watching:
        told(watching, "")
        go.touch()
        watched = ended(watching)
    assert watched.code == 0
    assert "this-machine  ok" in watched.err
    assert ended(waiting).code == 0
    assert watched.out == lab("run", "show", run).out


# Clients that leave


def test_a_killed_client_takes_its_run_with_it_nowhere(served: Served, go: Path) -> None:
    lab = served.console
    client = slow(lab, go)
    run = run_of(client)
    client.kill()
    client.communicate(timeout=60)
    assert state_of(lab, run) == "running"
    go.touch()
    assert state_in_the_end(lab, run) == "ended"
    (host,) = lab("run", "show", run, "--json").json()["hosts"]
    assert host["outcome"] == "ok"


def test_ctrl_c_at_the_client_interrupts_the_run(served: Served, go: Path) -> None:
    lab = served.console
    client = slow(lab, go)
    run = run_of(client)
    client.send_signal(signal.SIGINT)
    done = ended(client)
    assert done.code == 130, done.err
    assert "stopping" in done.err
    assert state_of(lab, run) == "interrupted"


def test_three_times_ctrl_c_leaves_at_once_and_the_run_is_interrupted(served: Served, go: Path) -> None:
    lab = served.console
    client = slow(lab, go)
    run = run_of(client)
    for _ in range(4):
        client.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert ended(client).code == 130
    assert state_in_the_end(lab, run) == "interrupted"


# A service that ends


def test_the_service_brings_what_is_on_its_way_to_a_safe_point(lab: Console) -> None:
    with serving(lab) as service:
        client = lab.start("diagnose", "all", "--concurrency", "1")
        run = run_of(client)
        service.terminate()
        done = ended(client)
        assert service.wait(60) == 0
        assert done.code == 130, done.err
        assert f"longarm run resume {run}" in done.err
        assert not (lab.home / "desk.sock").exists()
    assert state_of(lab, run) == "interrupted"
    with serving(lab):
        assert lab("run", "resume", run, "--fail-on", "never").code in (0, 3), "this machine may hide something from us"
        assert state_of(lab, run) == "ended"


def test_what_does_not_come_to_a_safe_point_in_time_is_ended(lab: Console, go: Path) -> None:
    with serving(lab, "--grace", "1") as service:
        client = slow(lab, go)
        run = run_of(client)
        (attendant,) = children(service.pid)
        (worker,) = children(attendant)
        os.kill(worker, signal.SIGSTOP)
        service.terminate()
        assert service.wait(60) == 0
        assert ended(client).code == 7
    assert state_of(lab, run) == "interrupted"
    assert not Path(f"/proc/{worker}").exists()


def test_a_killed_service_is_recovered_by_its_next_start(lab: Console, go: Path) -> None:
    with serving(lab) as service:
        client = slow(lab, go)
        run = run_of(client)
        service.kill()
        service.wait()
        done = ended(client)
        assert done.code == 7
        assert "the service went away" in done.err
    with serving(lab):
        assert state_of(lab, run) == "interrupted"
        assert lab("diagnose", "lab-web-01", "--fail-on", "never").code == 0
    assert not list((lab.home / "running").iterdir())


# Who is at the other end


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users: needs root")


def as_user(name: str, *words: str, env: dict[str, str]) -> Done:
    """Run longarm as another user."""
    done = subprocess.run(
        ["setpriv", f"--reuid={name}", f"--regid={name if name != 'nobody' else 'nogroup'}", "--clear-groups", LONGARM, *words],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent", **env},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@needs_root
def test_users_are_known_by_the_kernel_and_get_what_is_theirs_to_see(served: Served) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o660
    done = as_user("nobody", "diagnose", "lab-web-01", "--json", "--fail-on", "never", env=served.env)
    assert done.code == 0, done.err
    assert done.json()["actor"] == "nobody"
    assert "to it you are nobody (uid 65534; groups: nogroup)" in " ".join(
        as_user("nobody", "doctor", env=served.env).out.split()
    )
    stranger = as_user("bin", "run", "list", env=served.env)
    assert (stranger.code, "Permission denied" in stranger.err) == (7, True)
    assert "nobody" in [row["actor"] for row in served.console("run", "list", "--json").json()]


@needs_root
@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("secret", "list"), 5, "only an admin of the desk"),
        (("secret", "set", "root-password"), 5, "only an admin of the desk"),
        (("store", "erase", "--case", "X", "--yes"), 5, "nobody"),
        (("store", "backup", "/tmp/all-of-it"), 5, "nobody"),
        (("store", "restore", "/tmp/all-of-it"), 5, "only an admin of the desk"),
        (("host", "run", "id", "lab-web-01", "--root"), 5, "nobody"),
        (("host", "run", "id", "this-machine"), 5, "the rights of the service"),
        (("host", "get", "this-machine", "/etc/shadow"), 5, "the rights of the service"),
        (("host", "enrol", "lab-web-01"), 5, "only an admin of the desk"),
        (("diagnose", "all", "--inventory", "/etc/hostname"), 2, "no other"),
        (("diagnose", "all", "--inventory", "program:/bin/id"), 2, "no other"),
        (("diagnose", "lab-web-01", "--probes", "/etc/hostname"), 5, "run as commands on hosts"),
        (("repair", "/etc/passwd.yaml", "lab-web-01"), 5, "none of the service's playbooks"),
        (("repair", "free-disk-space", "this-machine", "--yes"), 5, "the rights of the service"),
        (("repair", "free-disk-space", "this-machine", "--plan"), 5, "the rights of the service"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_a_client_does_nothing_with_the_rights_of_the_service(
    served: Served, words: tuple[str, ...], code: int, why: str
) -> None:
    done = as_user("nobody", *words, env=served.env)
    assert done.code == code, done.err
    assert why in done.err


@needs_root
def test_who_has_a_role_may_let_the_service_s_own_machine_be_looked_at(served: Served) -> None:
    done = as_user("nobody", "diagnose", "this-machine", "--check", "fs-space", "--fail-on", "never", env=served.env)
    assert done.code in (0, 3), done.err


@needs_root
def test_who_cannot_look_into_the_home_is_told_how_to_get_the_report(served: Served) -> None:
    done = as_user("nobody", "diagnose", "lab-web-01", "--fail-on", "never", env=served.env)
    run = served.console("run", "list", "--json", "--limit", "1").json()[0]["run"]
    assert str(served.console.home) not in done.err
    assert f"next: longarm report render {run} --to {run}.html" in done.err
    opened = as_user("nobody", "report", "open", run, env=served.env)
    assert (opened.code, opened.out) == (5, "")
    assert f"longarm report render {run} --to {run}.html" in opened.err
    assert served.console("report", "open", run).out.strip() == f"{served.console.home}/reports/{run}.html"


@needs_root
def test_the_names_of_others_hosts_are_neither_hinted_at_nor_chosen(served: Served) -> None:
    config = served.console.home / "config.yaml"
    before = config.read_text()
    config.write_text("roles: [{role: admin, users: [root]}, {role: L2, users: [nobody], customers: [acme]}]\n")
    try:
        for words in (("diagnose", "lab-wbe-01"), ("diagnose", "all"), ("inventory", "check")):
            done = as_user("nobody", *words, env=served.env)
            assert done.code == 5, done.err
            assert "lab-web-01" not in done.err + done.out
    finally:
        config.write_text(before)


def offered(served: Served, line: str) -> list[str]:
    """Return what bash would be offered for a line of another user's."""
    done = as_user("nobody", env={**served.env, "_LONGARM_COMPLETE": "bash_complete", "COMP_LINE": line})
    assert (done.code, done.err) == (0, "")
    return [value.split(",", 1)[1] for value in done.out.splitlines() if value]


@needs_root
def test_tab_offers_what_the_service_lets_be_seen(served: Served) -> None:
    done = as_user("nobody", "diagnose", "lab-web-01", "--case", "TAB-1", "--fail-on", "never", env=served.env)
    run = as_user("nobody", "run", "list", "--limit", "1", "-o", "name", env=served.env).out.strip()
    assert run in done.err
    assert offered(served, "longarm diagnose lab-") == ["lab-web-01"]
    assert offered(served, f"longarm run show {run[:-1]}") == [run]
    assert offered(served, "longarm case show TAB") == ["TAB-1"]
    assert offered(served, "longarm secret remove ") == []
    assert offered(served, f"longarm repair --finding {run}/") == []
    assert offered(served, "longarm approve ") == offered(served, "longarm hold remove lab-web-01 --owner ") == []
    config = served.console.home / "config.yaml"
    before = config.read_text()
    config.write_text("roles: [{role: admin, users: [root]}, {role: L2, users: [nobody], customers: [acme]}]\n")
    try:
        assert offered(served, "longarm diagnose lab-") == []
        assert offered(served, f"longarm run show {run[:-1]}") == []
    finally:
        config.write_text(before)


@needs_root
def test_mistakes_of_the_inventory_are_told_to_who_keeps_it(served: Served) -> None:
    inventory = served.console.home / "inventory.yaml"
    inventory.write_text("hosts: {secret-host: {adress: 192.0.2.1}}\n")
    try:
        for words in (("inventory", "check"), ("diagnose", "all")):
            theirs = as_user("nobody", *words, env=served.env)
            assert (theirs.code, "secret-host" in theirs.err, "adress" in theirs.err) == (2, False, False)
            assert "mistakes in it: 1" in theirs.err
        assert "adress" in served.console("inventory", "check").err
    finally:
        inventory.unlink()


WITH_SECRET = """
playbook: with-secret
title: {en: With a secret, ru: С секретом}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
fixes: [fs-space]
params: {token: {type: secret}}
steps:
  - {name: Use it, run: 'printf %s "$token" | wc -c', retry: read}
verify: [fs-space]
"""


@needs_root
def test_a_secret_of_who_began_a_run_is_not_read_for_who_goes_on_with_it(served: Served) -> None:
    kept = served.console.home / "token"
    kept.write_text("hunter2-hunter2")
    playbooks = served.console.home / "playbooks"
    playbooks.mkdir(exist_ok=True)
    (playbooks / "with-secret.yaml").write_text(WITH_SECRET)
    kept.chmod(0o600)
    begun = served.console("repair", "with-secret.yaml", "this-machine", "-p", f"token=file:{kept}", "--force", "x", "--yes")
    assert "run " in begun.err, begun.err
    run = served.console("run", "list", "--json", "--limit", "1").json()[0]["run"]
    for verb in (("retry", "--only", "failed,unreachable,incomplete,findings"), ("start",)):
        done = as_user("nobody", "run", verb[0], run, *verb[1:], env=served.env)
        assert done.code == 5, done.err
        assert "was begun with a secret (token)" in done.err


MINE = """
playbook: mine
title: {en: Mine, ru: Моя}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: read
params: {mode: {type: enum, choices: [fast, slow], default: fast}}
steps:
  - {name: Look, run: 'echo "$mode"', retry: read}
"""


@needs_root
def test_the_desk_s_own_playbooks_are_listed_shown_completed_and_no_others_are_taken(served: Served) -> None:
    folder, theirs = served.console.home / "playbooks", served.socket.parent / "unlike.yaml"
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(MINE)
    (folder / "broken.yaml").write_text(MINE.replace("steps:", "stebs:"))
    theirs.write_text(MINE)
    beside = served.console.home.parent / "mine.yaml"
    try:
        listed = as_user("nobody", "playbook", "list", "-o", "name", env=served.env)
        alone = served.console("playbook", "list", "-o", "name", environ={"LONGARM_SOCKET": ""})
        assert (listed.code, listed.out, listed.err) == (0, alone.out, alone.err)
        assert {"free-disk-space", "mine.yaml"} <= {*listed.out.split()} and "broken.yaml" not in listed.out
        assert "left out: broken.yaml" in listed.err and "broken.yaml:10:1: " in listed.err
        for words in (("show", "--json"), ("graph",)):
            there = as_user("nobody", "playbook", words[0], "mine.yaml", *words[1:], env=served.env)
            here = served.console("playbook", words[0], "mine.yaml", *words[1:], environ={"LONGARM_SOCKET": ""})
            assert (there.code, there.out) == (0, here.out), there.err
        assert offered(served, "longarm repair mi") == ["mine.yaml"]
        assert offered(served, "longarm repair mine.yaml lab-web-01 -p ") == ["mode="]
        assert offered(served, "longarm repair mine.yaml lab-web-01 -p mode=f") == ["mode=fast"]
        assert "did you mean mine.yaml?" in as_user("nobody", "repair", "mine", "lab-web-01", env=served.env).err
        assert as_user("nobody", "playbook", "show", str(theirs), env=served.env).code == 0, "one's own is read here"
        beside.write_text(MINE.replace("Mine", "Another"))
        for named, title in (("mine.yaml", "Mine"), ("./mine.yaml", "Another")):
            both = [served.console("playbook", "show", named, environ=environ) for environ in ({}, {"LONGARM_SOCKET": ""})]
            assert both[0] == both[1] and title in both[0].out, both
        assert "\nmine.yaml:2:1" in served.console("playbook", "lint", "mine.yaml").out, "who writes one means their own"
        refused = as_user("nobody", "repair", str(theirs), "lab-web-01", env=served.env)
        assert (refused.code, f"an admin puts it into {folder}" in refused.err) == (5, True)
    finally:
        (folder / "mine.yaml").unlink()
        (folder / "broken.yaml").unlink()
        beside.unlink(missing_ok=True)


@needs_root
def test_files_are_written_with_the_rights_of_the_client(served: Served) -> None:
    closed = served.console.home.parent / "closed"
    closed.mkdir(mode=0o700)
    theirs = served.socket.parent / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    assert as_user("nobody", "diagnose", "lab-web-01", "--fail-on", "never", env=served.env).code == 0
    run = served.console("run", "list", "--json", "--limit", "1").json()[0]["run"]
    assert as_user("nobody", "run", "export", run, "--to", f"{theirs}/run.json", env=served.env).code == 0
    assert (theirs / "run.json").stat().st_uid == 65534
    assert json.loads((theirs / "run.json").read_text())["run"] == run
    for there in (closed / "run.json", served.console.home / "inventory.yaml", Path("/etc/run.json")):
        assert as_user("nobody", "run", "export", run, "--to", str(there), env=served.env).code == 7
        assert not there.exists()


@needs_root
def test_a_socket_of_an_unexpected_user_gets_nothing() -> None:
    impostor = (
        "import socket, sys\n"
        "door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[1]); door.listen(); print('open', flush=True)\n"
        "connection, _ = door.accept(); print(repr(connection.recv(4096)), flush=True)\n"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o777)
        path = Path(name) / "desk.sock"
        words = ["setpriv", "--reuid=bin", "--regid=bin", "--clear-groups", sys.executable, "-c", impostor, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd="/") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            path.chmod(0o666)
            done = as_user("nobody", "run", "list", env={"LONGARM_SOCKET": str(path)})
            assert (done.code, "belongs to user 2" in done.err) == (7, True)
            assert process.stdout.readline() == b"b''\n", "nothing was said to it"


# Other versions


def answering(path: Path, hello: bytes) -> subprocess.Popen[bytes]:
    """Start something that greets clients so, as a service of another version does."""
    code = (
        "import socket, sys\n"
        "door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[1]); door.listen(); print('open', flush=True)\n"
        "connection, _ = door.accept(); connection.recv(4096); connection.sendall(bytes.fromhex(sys.argv[2]))\n"
        "connection.recv(4096)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path), hello.hex()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (in_words(Kind.HELLO, protocol=PROTOCOL + 1, version="99.1"), "the service, 99.1, do not understand"),
        (in_words(Kind.HELLO, version="0.0"), "the service, 0.0, do not understand"),
        (b"\xffwhat is this?", "do not understand"),
        (packed(Kind.BUSY), "as much as it may"),
    ],
)
def test_a_client_and_a_service_that_differ_say_so(console: Console, tmp_path: Path, hello: bytes, said: str) -> None:
    with answering(tmp_path / "desk.sock", hello):
        done = console("run", "list", environ={"LONGARM_SOCKET": str(tmp_path / "desk.sock")})
    assert done.code == 7
    assert said in done.err


def test_a_newer_client_is_greeted_and_let_go(served: Served) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(served.socket))
        client.sendall(in_words(Kind.HELLO, protocol=PROTOCOL + 1, version="99.1"))
        (hello,) = Frames().take(client.recv(4096))
        assert hello.words()["protocol"] == PROTOCOL
        assert client.recv(4096) == b""


def test_the_service_of_another_home_is_not_taken_for_the_named_one(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    done = served.console("run", "list", "--home", str(tmp_path / "other"))
    assert (done.code, f"not {tmp_path / 'other'}" in done.err) == (7, True)


def test_a_named_socket_without_a_service_is_an_error(console: Console, tmp_path: Path) -> None:
    done = console("run", "list", environ={"LONGARM_SOCKET": str(tmp_path / "none.sock")})
    assert (done.code, "no service answers on" in done.err) == (7, True)


# The unit


def test_the_unit_is_one_that_systemd_takes_and_calls_safe(console: Console, tmp_path: Path) -> None:
    unit = tmp_path / "longarm.service"
    unit.write_text(console("serve", "--unit", "--home", "/var/lib/longarm", "--group", "nogroup").out)
    looked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (looked.returncode, looked.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout
    for wanted in ("NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=longarm", "StateDirectoryMode=0700"):
        assert wanted in unit.read_text().splitlines()


# Somebody at a terminal


def test_questions_reach_the_terminal_of_the_client(served: Served) -> None:
    with closing(Typist(served.console, "host", "run", "echo hi", "lab-web-01,this-machine")) as person:
        person.waits_for(r"run this on 2 hosts\? \[y/N\] ")
        person.types("n\r")
        assert person.ends() == 5
        assert b"nothing was run" in person.screen


def test_a_secret_is_typed_unseen_and_kept_by_the_service(served: Served) -> None:
    with closing(Typist(served.console, "secret", "set", "typed")) as person:
        for prompt, typed in (
            ("Secret secret:typed: ", "correct horse"),
            ("The same again: ", "correct horse"),
            ("(?i)again: (.|\n)*passphrase[^\n]*: ", "battery staple"),
        ):
            person.waits_for(prompt)
            person.types(typed + "\r")
        person.waits_for("(?i)passphrase[^\n]*: (.|\n)*: ")
        person.types("battery staple\r")
        assert person.ends() == 0, person.screen
        assert b"kept: secret:typed" in person.screen
        assert b"horse" not in person.screen
        assert b"staple" not in person.screen
    (row,) = (row for row in served.console("secret", "list", "--json").json() if row["secret"] == "secret:typed")
    assert row["set_at"]


def test_tab_gives_up_a_service_that_does_not_answer(tmp_path: Path) -> None:
    """A shell that waits for names waits for nothing else: what is typed meanwhile is not seen."""
    path = tmp_path / "desk.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen()
        env = {
            **os.environ,
            "LONGARM_SOCKET": str(path),
            "COMP_LINE": "longarm run show ",
            "_LONGARM_COMPLETE": "bash_complete",
        }
        typed = subprocess.Popen([LONGARM], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with typed, door.accept()[0] as client:
            client.recv(4096)
            client.sendall(in_words(Kind.HELLO, protocol=PROTOCOL, version="0"))
            client.recv(65536)
            client.sendall(packed(Kind.SEND_FILES))
            out, err = typed.communicate(timeout=60)
    assert (typed.returncode, out.strip(), err) == (0, b"", b"")
