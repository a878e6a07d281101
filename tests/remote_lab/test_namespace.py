"""The real shell of a practice host: what can be seen, written and reached from inside, and what is left afterwards."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.lab.rooms import give_rooms, new_rooms
from remote.lab.shell import why_not
from remote.lab.shims import Scripted, commands
from remote.lab.world import World
from tests.remote_lab.inside import ORDINARY, Shells, mounts_of_a_shell, processes_in

ROOT = os.geteuid() == 0
BUSYBOX = shutil.which("busybox")

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no real shell on this machine: {why_not()}")


@pytest.fixture(params=[None, ORDINARY] if ROOT else [None], ids=["as we are", "as nobody's friend"] if ROOT else ["as we are"])
def shells(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shells]:
    folder = Path("/var/tmp") / f"longarm-test-{os.getpid()}-{time.monotonic_ns()}"  # where an ordinary user may read too
    folder.mkdir(mode=0o755)
    yield Shells(folder, request.param)
    shutil.rmtree(folder)


def test_a_command_runs_in_the_scenario_and_its_status_comes_back(shells: Shells) -> None:
    world = World(
        hostname="db7",
        uptime_s=5400.0,
        files={"/etc/motd": {"text": "scenario\n"}, "/var/log/big": {"size": 3 << 30}},
        kernel={"/proc/loadavg": "9.99 9.99 9.99 1/2 3\n", "/proc/net/tcp": "no sockets\n", "/proc/stat": "cpu  1 2 3 4 5 6\n"},
        folders=("/run/systemd/system",),
    )
    script = (
        "cat /etc/motd /proc/loadavg /proc/net/tcp /proc/sys/kernel/hostname; stat -c %s /var/log/big; "
        "[ -d /run/systemd/system ]; echo $? $(id -u); read up _ </proc/uptime; echo ${up%??.*}; "
        "cut -d' ' -f 1-4 /proc/stat; exit 7"
    )
    done = shells.run(script, world=world)
    assert done.stdout == f"scenario\n9.99 9.99 9.99 1/2 3\nno sockets\ndb7\n{3 << 30}\n0 0\n54\ncpu  1 2\n"
    assert (done.returncode, done.stderr) == (7, "")


def test_a_signal_is_told_as_a_shell_tells_it(shells: Shells) -> None:
    assert shells.run("kill -TERM $$").returncode == 128 + 15


def test_a_user_who_is_not_root_may_not_open_what_is_closed(shells: Shells) -> None:
    world = World(hostname="x", root=False, files={"/etc/shadow": {"text": "root:*:\n"}}, closed=("/etc/shadow",))
    done = shells.run("id -u; cat /etc/shadow", world=world)
    assert done.stdout == "1000\n"
    assert "Permission denied" in done.stderr


def test_the_processors_of_a_scenario_are_idle_while_time_passes(shells: Shells) -> None:
    world = World(hostname="x", kernel={"/proc/stat": "cpu  10 0 20 9000 5 0 0 0 0 0\n"})
    script = """
        read first </proc/stat
        until read last </proc/stat; [ "$last" != "$first" ]; do sleep 0.1; done
        echo $first; echo $last
    """
    before, after = shells.run(script, world=world).stdout.splitlines()
    assert [word for at, word in enumerate(before.split()) if at != 4] == [
        word for at, word in enumerate(after.split()) if at != 4
    ]
    assert int(after.split()[4]) > int(before.split()[4]) >= 9000


PLACES = "/ /usr /usr/bin /usr/lib /etc /etc/ld.so.cache.d /root /var /var/log /run /sys /proc /proc/sys/kernel /dev /.scenario"
FILES = "/usr/bin/grep /etc/passwd /proc/loadavg /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger"


def test_nothing_but_its_own_tmp_can_be_written(shells: Shells) -> None:
    script = f"""
        for place in {PLACES}; do
            [ -d $place ] || continue
            (: >$place/new && echo wrote $place)
            mkdir $place/newer && echo made $place
        done
        for file in {FILES}; do
            [ -e $file ] || continue
            (printf 1 >>$file && echo wrote $file)
            rm -f $file && echo removed $file
        done
        chmod 777 / && echo changed /
        mv /usr/bin/cat /usr/bin/dog && echo moved
        : >/tmp/mine && echo mine
    """
    done = shells.run(script, world=World(hostname="x", kernel={"/proc/loadavg": "1 1 1 1/1 1\n"}))
    assert done.stdout == "mine\n"
    assert "Read-only file system" in done.stderr


def test_its_tmp_is_small_runs_nothing_and_is_gone_afterwards(shells: Shells) -> None:
    done = shells.run("dd if=/dev/zero of=/tmp/a bs=1M count=9; rm /tmp/a; cp /usr/bin/cat /tmp/cat; /tmp/cat /etc/passwd")
    assert done.returncode == 126
    assert re.search(r"File too large|No space left", done.stderr)
    assert "root" not in done.stdout
    assert shells.run("ls -A /tmp").stdout == ""


def test_files_and_variables_of_the_machine_are_not_to_be_seen(shells: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "of the machine")
    done = shells.run(
        f"env; ls /home {Path.home()} {Path(__file__).parent}; cat /etc/hostname /etc/ssh/* /etc/machine-id; ls / /etc /dev"
    )
    assert "CANARY" not in done.stdout
    seen = done.stdout.split()
    assert {"home", "root", "mnt", "opt", "boot", "srv"} & set(seen) <= {"root"}
    assert {"sda", "vda", "kmsg", "mem", "kvm", "net"} & set(seen) == set()
    assert shells.run("ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3: ls reads the folder


def test_no_process_of_the_machine_is_seen(shells: Shells) -> None:
    done = shells.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; echo /proc/[0-9]*")
    assert "pytest" not in done.stdout
    assert len(done.stdout.splitlines()[-1].split()) <= 5


def test_the_first_process_cannot_be_looked_into_nor_ended(shells: Shells) -> None:
    done = shells.run(
        "kill -KILL 1; kill -INT 1; kill -TERM 1; kill -STOP 1; ls /proc/1/fd; cat /proc/1/environ; sleep 0.2; echo alive"
    )
    assert done.stdout == "alive\n"
    assert done.stderr.count("Permission denied") == 2


def test_every_namespace_is_its_own(shells: Shells) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    inside = shells.run("".join(f"readlink /proc/self/ns/{kind};" for kind in kinds)).stdout.split()
    assert len(inside) == len(kinds)
    assert not {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds} & set(inside)


@pytest.mark.skipif(BUSYBOX is None, reason="needs busybox")
def test_there_is_no_way_into_a_network(shells: Shells) -> None:
    assert BUSYBOX
    with socket.create_server(("127.0.0.1", 0)) as machine:
        port = machine.getsockname()[1]
        script = f"busybox ip link; busybox nc -w 2 127.0.0.1 {port} </dev/null; echo $?; busybox ip link set lo up; echo $?"
        done = shells.run(script, busybox=BUSYBOX)
    links, *statuses = done.stdout.rsplit("\n", 3)[:3]
    assert links.count("LOOPBACK") == links.count("mtu") == 1
    assert "0" not in statuses


@pytest.mark.skipif(BUSYBOX is None, reason="needs busybox")
def test_there_are_no_capabilities_and_no_way_to_get_any(shells: Shells) -> None:
    assert BUSYBOX
    script = (
        "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; busybox mount -t tmpfs none /tmp || echo no mount; "
        "busybox unshare -U true || echo no user namespace; busybox unshare -m true || echo no mount namespace; "
        "busybox chroot / true || echo no chroot; busybox hostname other || echo no name; "
        "busybox mknod /tmp/disk b 254 0 || echo no device"
    )
    done = shells.run(script, busybox=BUSYBOX)
    held, refused = done.stdout.splitlines()[:6], done.stdout.splitlines()[6:]
    assert [line.split()[1] for line in held] == ["0" * 16] * 5 + ["1"]
    assert refused == ["no mount", "no user namespace", "no mount namespace", "no chroot", "no name", "no device"]


def test_a_fork_bomb_is_bounded_and_ends_with_its_session(shells: Shells) -> None:
    with shells.started("readlink /proc/self/ns/pid; bomb() { bomb | bomb & }; bomb; wait; sleep 600") as process:
        assert process.stdout
        inside = process.stdout.readline().decode().strip()
        most = 0
        for _ in range(20):
            most = max(most, len(processes_in(inside)))
            time.sleep(0.05)
        assert 1 < most <= 300
    assert left_in(inside) == []


def left_in(inside: str) -> list[int]:
    """Return what still lives in a namespace after ten seconds, as soon as nothing does: the kernel ends it one by one."""
    for _ in range(200):
        if not (left := processes_in(inside)):
            break
        time.sleep(0.05)
    return left


def test_what_was_left_in_the_background_ends_with_the_shell(shells: Shells) -> None:
    done = shells.run("readlink /proc/self/ns/pid; (trap '' TERM HUP; sleep 600) >/dev/null 2>&1 & echo; exit 3")
    assert done.returncode == 3
    assert left_in(done.stdout.split()[0]) == []


def test_a_session_whose_holder_dies_leaves_nothing(shells: Shells, tmp_path: Path) -> None:
    with shells.started("readlink /proc/self/ns/pid; trap '' HUP TERM; sleep 600 & wait") as process:
        assert process.stdout
        inside = process.stdout.readline().decode().strip()
        assert len(processes_in(inside)) >= 2
        process.kill()  # the keeper outside: those inside lose their parent, and go
        process.wait()
        assert left_in(inside) == []


def test_the_mounts_of_a_shell_are_its_own(shells: Shells) -> None:
    with shells.started("readlink /proc/self/ns/pid; sleep 600") as process:
        assert process.stdout
        first = str(min(processes_in(process.stdout.readline().decode().strip())))
        assert mounts_of_a_shell(first, root="") == {"/usr/lib", "/usr/bin/sh", "/dev/null", "/proc/sys"}
        assert mounts_of_a_shell() == set()
    assert mounts_of_a_shell() == set()


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare of util-linux")
def test_a_machine_without_namespaces_says_so_in_its_own_words() -> None:
    asked = f"{sys.executable} -c 'from remote.lab.shell import why_not; print(why_not())'"
    script = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {asked}"
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "no namespaces for a practice host: unshare: No space left on device\n"


@pytest.fixture
def rooms() -> Iterator[Path]:
    made = new_rooms()
    yield made
    shutil.rmtree(made)


def test_what_is_done_in_a_folder_that_lasts_is_there_for_the_next_shell_and_nowhere_else(rooms: Path, tmp_path: Path) -> None:
    shells = Shells(tmp_path, None)
    files: dict[str, dict[str, Any]] = {"/var/log/old.gz": {"size": 4096, "days": 40}, "/etc/motd": {"text": "hello\n"}}
    world = World(hostname="x", files=files, lasting=("/var/log", "/var/lib/longarm"))
    one, other = (give_rooms(world, rooms, name) for name in ("one", "other"))
    seen = "find /var/log -type f -mtime +30 -size 4096c; cat /etc/motd"
    assert shells.run(seen, world=one).stdout == "/var/log/old.gz\nhello\n"
    done = shells.run("rm /var/log/old.gz && echo new >/var/log/new && id -u && : >/etc/new", world=one)
    assert (done.stdout, done.returncode) == ("0\n", 2)
    assert shells.run(f"{seen}; cat /var/log/new", world=one).stdout == "hello\nnew\n"
    assert shells.run(seen, world=other).stdout == "/var/log/old.gz\nhello\n"


def test_nothing_can_be_run_from_a_folder_that_lasts(rooms: Path, tmp_path: Path) -> None:
    world = give_rooms(World(hostname="x", lasting=("/var/log",)), rooms, "x")
    script = "printf '#!/bin/sh\\necho ran\\n' >/var/log/x; chmod 755 /var/log/x; /var/log/x; mknod /var/log/n c 1 3"
    done = Shells(tmp_path, None).run(script, world=world)
    assert "ran" not in done.stdout
    assert "Permission denied" in done.stderr


def test_a_command_says_otherwise_once_its_files_are_gone(rooms: Path, tmp_path: Path) -> None:
    said = [
        Scripted(command="room", arguments=("/var",), stdout="full\n"),
        Scripted(command="room", arguments=("/var",), stdout="free\n", once_gone=("/var/log/a", "/var/log/b")),
        Scripted(command="room", arguments=("/home",), stdout="half\n"),
    ]
    files = commands(said, own=(), silent=()) | {"/var/log/a": {"text": ""}, "/var/log/b": {"text": ""}}
    world = give_rooms(World(hostname="x", files=files, lasting=("/var/log",), replaced=("cat",)), rooms, "x")
    script = "room /var; rm /var/log/a; room /var; rm /var/log/b; room /var; room /home; room /srv"
    done = Shells(tmp_path, None).run(script, world=world)
    assert done.stdout == "full\nfull\nfree\nhalf\n"
    assert "not captured: room /srv" in done.stderr
