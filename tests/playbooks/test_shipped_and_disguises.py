"""Whom repairs take for whom: a client of DHCP is no matter of what a process calls itself, nor our own connection of a word.

`renew-dhcp` as root would run such a process's words; `restart-service` and its kin would refuse what is ordinary.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.playbooks.mounted import SHELLS, script_of, told

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and ip")

SEE, ASK = script_of("renew-dhcp", "See who manages it"), script_of("renew-dhcp", "Ask DHCP anew")
NO_MANAGER = "nmcli() { return 1; }; networkctl() { return 1; }\n"
NOT_FOUND = (1, "", "nothing here asks DHCP for lo\n")


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


@contextlib.contextmanager
def client(name: str, *, user: int, called: str) -> Iterator[str]:
    """Return the number of a process of `user` whose program is `name` and that calls itself `called`, for the interface lo."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        program = Path(folder, name)
        shutil.copy("/bin/dash", program)
        script = "while read -r line; do :; done"
        with subprocess.Popen(
            [called, "-c", script, "lo", " "], executable=program, user=user, stdin=subprocess.PIPE
        ) as process:
            yield str(process.pid)
            assert process.poll() is None, "it was not ended"
            process.communicate()


ONE_BY_ONE = pytest.mark.xdist_group("dhclient")
"""Each looks at all processes of this machine, those that another of them makes included."""


@ONE_BY_ONE
def test_dhclient_of_root_is_the_one(shell: Sequence[str]) -> None:
    with client("dhclient", user=0, called="dhclient") as pid:
        assert told((), NO_MANAGER + SEE, shell, interface="lo") == (0, f"by=dhclient\npid={pid}\n", "")


@ONE_BY_ONE
@pytest.mark.parametrize(
    ("name", "user", "called"), [("dhclient", 65534, "dhclient"), ("evil", 0, "dhclient"), ("evil", 65534, "dhcpcd")]
)
def test_who_only_calls_itself_so_is_not(shell: Sequence[str], name: str, user: int, called: str) -> None:
    with client(name, user=user, called=called) as pid:
        assert told((), NO_MANAGER + SEE, shell, interface="lo") == NOT_FOUND
        asked = told((), ASK, shell, interface="lo", by=called, pid=pid)
        assert asked == (1, "", f"process {pid} is not root's {called}\n")


@ONE_BY_ONE
def test_another_interface_is_not_this_one(shell: Sequence[str]) -> None:
    told_so = "nmcli() { printf 'lxo:connected\\nl.o:connected\\n'; }; networkctl() { return 1; }\n"
    assert told((), told_so + SEE, shell, interface="lo") == NOT_FOUND
    dotted = told_so + SEE.replace("/sys/class/net/$interface", "/sys/class/net/lo")
    assert told((), dotted.replace("l.o:", "lyo:"), shell, interface="l.o") == (1, "", "nothing here asks DHCP for l.o\n")
    assert told((), dotted, shell, interface="l.o") == (0, "by=networkmanager\npid=\n", "")


GUARDS = {
    "restart-service": ("See that nothing stands in the way", "restarted"),
    "rerun-job": ("See that it is a job that does not run", "run"),
    "release-deleted": ("See who has it open", "restarted"),
}
SYSTEMCTL = """
unit=some.service
systemctl() {
  printf '%s\\n' Id=some.service "$shown" SuccessAction=none FailureAction=none StartLimitAction=none Requires=sysinit.target \\
    Conflicts=shutdown.target
}
"""


def guard(playbook: str) -> str:
    """Return what of a repair's first look refuses a service for what it is or calls."""
    step, done = GUARDS[playbook]
    lines = re.sub(r"(?s).*\n( *of\(\) \{)", r"\1", script_of(playbook, step)).splitlines()
    last = next(at for at, line in enumerate(lines) if "take it down" in line)
    text = textwrap.dedent("\n".join(lines[: last + 3]))
    return text.replace(f"is not {done} from here", "is not touched from here")


def guarded(shell: Sequence[str], shown: Sequence[str]) -> dict[str, str]:
    """Return what the repairs have against services of which systemd shows each of these; empty: nothing."""
    each = "while IFS= read -r shown; do (\n" + guard("restart-service") + "\n) 2>&1 && echo; done <<'END'\n"
    _, said, _ = told((), SYSTEMCTL + each + "\n".join(shown) + "\nEND", shell)
    return dict(zip(shown, said.splitlines(), strict=True))


def calling(argv: str, kind: str = "ExecStop") -> str:
    """Return how systemd shows what a service calls."""
    path = argv.split()[0]
    return f"{kind}={{ path={path} ; argv[]={argv} ; ignore_errors=no ; pid=0 ; code=(null) ; status=0/0 }}"


ORDINARY = [
    calling("/usr/sbin/rabbitmqctl shutdown"),
    calling("/usr/bin/redis-cli -p 6379 shutdown"),
    calling("/bin/sh -c echo stopping; redis-cli shutdown"),
    calling("/opt/tomcat/bin/shutdown.sh"),
    calling("/usr/bin/env PORT=1 /opt/app/run", "ExecStart"),
    calling("/usr/bin/systemctl try-restart other.service"),
    "Names=systemd-timesyncd.service dbus-org.freedesktop.timesync1.service",
    "Names=avahi-daemon.service dbus-org.freedesktop.Avahi.service",
    "Names=ModemManager.service dbus-org.freedesktop.ModemManager1.service",
]
TAKES_DOWN = [
    calling("/usr/sbin/shutdown -h now", "ExecStart"),
    calling("/sbin/reboot", "ExecStartPost"),
    calling("/usr/sbin/kexec -e"),
    calling("/bin/sh -c reboot"),
    calling("/bin/bash -e -c sync; /sbin/poweroff -f"),
    calling("/bin/sh -c test -e /run/x && reboot"),
    calling("/bin/sh -c if true; then exec halt; fi"),
    calling("/bin/busybox reboot -f"),
    calling("/usr/bin/sudo -n /sbin/reboot"),
    calling("/usr/bin/systemctl --no-block reboot"),
    calling("/bin/sh -c systemctl reboot; true"),
    calling("/usr/bin/systemctl isolate rescue.target"),
]
CARRIES_US = [f"Names=some.service dbus-org.freedesktop.{name}.service" for name in ("login1", "network1", "NetworkManager")]


def test_what_is_refused_is_the_same_in_each_repair_that_restarts_or_runs() -> None:
    assert guard("restart-service") == guard("rerun-job") == guard("release-deleted")


def test_a_service_is_refused_for_what_it_calls_not_for_a_word_in_it(shell: Sequence[str]) -> None:
    said = guarded(shell, [*ORDINARY, *TAKES_DOWN, *CARRIES_US])
    assert [shown for shown in ORDINARY if said[shown]] == []
    assert [shown for shown in TAKES_DOWN if "it may start the host anew or take it down" not in said[shown]] == []
    assert [shown for shown in CARRIES_US if "our own connection may go through dbus-org." not in said[shown]] == []


THREADS = """
import os, sys, threading
def thread(nice):
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as name:
        name.write(f"a) R 1\\n1 (b) {nice}")
    ready.wait()
    for_ever.wait()
ready, for_ever = threading.Barrier(4), threading.Event()
for nice in (3, 7, -2):
    threading.Thread(target=thread, args=[nice], daemon=True).start()
ready.wait()
print("ready", flush=True)
sys.stdin.read()
"""
OF_BUSYBOX = 'renice() { busybox renice "$@"; }; ionice() { busybox ionice "$@"; }\n'


@pytest.fixture
def busy() -> Iterator[str]:
    """Return the number of a process of four threads, each with a priority of its own and a name like a line of its own."""
    with subprocess.Popen([sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield str(process.pid)
        process.communicate()


def threads(pid: str) -> list[str]:
    """Return the numbers of a process's threads, the oldest first."""
    return sorted((one.name for one in Path(f"/proc/{pid}/task").iterdir()), key=int)


def had(pid: str) -> list[tuple[str, int]]:
    """Return what each thread of a process has: its disk class and its priority."""
    tasks = threads(pid)
    disks = [subprocess.run(["ionice", "-p", task], capture_output=True, text=True, check=True).stdout for task in tasks]
    return [(disk.strip(), os.getpriority(os.PRIO_PROCESS, int(task))) for disk, task in zip(disks, tasks, strict=True)]


@pytest.mark.skipif(not shutil.which("ionice"), reason="needs ionice")
@pytest.mark.parametrize("tools", ["", OF_BUSYBOX], ids=["util-linux", "busybox"])
def test_each_thread_gets_back_what_it_had(busy: str, shell: Sequence[str], tools: str) -> None:
    tasks = threads(busy)
    subprocess.run(["ionice", "-c", "2", "-n", "6", "-p", tasks[1]], check=True)
    name = Path(f"/proc/{busy}/comm").read_text("utf-8").strip()
    before = had(busy)
    assert [nice for _, nice in before] == [os.getpriority(os.PRIO_PROCESS, 0), 3, 7, -2]
    words = {"pid": busy, "name": name, "way": "nice"}
    seen = told((), tools + script_of("tame-process", "See that it is still the one"), shell, **words)
    assert (seen[0], seen[2]) == (0, "")
    values = dict(line.split("=", 1) for line in seen[1].splitlines())
    assert [one.split(":")[1] for one in values["tasks"].split()] == [str(nice) for _, nice in before]
    words |= values
    assert told((), tools + script_of("tame-process", "Let others come first"), shell, **words) == (0, "", "")
    assert had(busy) == [("idle", 19)] * 4
    assert told((), tools + script_of("tame-process", "Give it its priority back"), shell, **words) == (0, "", "")
    assert had(busy) == before


SYSTEMD_219 = """
systemctl() {
  case "$*" in
    *--value*) echo "systemctl: unrecognized option '--value'" >&2; return 1 ;;
    *ControlGroup*) echo 'ControlGroup=/system.slice/report.service' ;;
    *CPUQuotaPerSecUSec*) echo "CPUQuotaPerSecUSec=$limit" ;;
  esac
}
"""


@pytest.mark.parametrize(("limit", "quota"), [("infinity", ""), ("2s 500ms", "250%"), ("", None), ("soon", None)])
def test_the_limit_of_a_service_is_read_of_old_systemd_too(
    busy: str, shell: Sequence[str], tmp_path: Path, limit: str, quota: str | None
) -> None:
    group = tmp_path / "cgroup"
    group.write_text("0::/system.slice/report.service\n", "utf-8")
    name = Path(f"/proc/{busy}/comm").read_text("utf-8").strip()
    see = script_of("tame-process", "See that it is still the one").replace('"/proc/$pid/cgroup"', str(group))
    status, stdout, stderr = told((), SYSTEMD_219 + see, shell, pid=busy, name=name, way="limit", limit=limit)
    if quota is None:
        assert (status, stderr) == (1, "what limit report.service has cannot be read: it could not be put back\n")
    else:
        assert (status, stderr) == (0, "") and f"\nunit=report.service\nquota={quota}\n" in stdout
    plan = SYSTEMD_219 + script_of("tame-process", "Limit its service", "plan")
    planned = told((), plan, shell, unit="report.service", percent="50", limit="2s")
    assert planned == (0, "CPU of report.service: 2s becomes 50 % of a processor, until the next boot\n", "")
