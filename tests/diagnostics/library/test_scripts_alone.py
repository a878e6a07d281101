"""What the questions' scripts find out without a program, or with one where there were several: the same as before."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.library.linux import clock, interfaces, processes
from diagnostics.parsing import ASKING, SHORT, read_sources
from diagnostics.probe import NothingThere
from tests.diagnostics.library.test_scripts import PROBES, SHELLS, run

LONG = "x" * 50 + "\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "texts",
    [["a  b\\c\n\n end"], ["", "x\n"], ["one\n", "two\n"], [LONG * 60], ["x\n", LONG * 60], [""], [None], ["x\n", None]],
    ids=str,
)
def test_short_files_are_shown_as_cat_shows_them(shell: str, texts: list[str | None], tmp_path: Path) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    files = [tmp_path / f"{number}" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    wanted = subprocess.run(["cat", *map(str, files)], capture_output=True, check=False)
    asking = f"{ASKING}nl='\n'\n{SHORT}ask it short {' '.join(map(str, files))}\n"
    source = read_sources("q", run(SHELLS[shell], asking))["it"]
    ended = b"" if not wanted.stdout or wanted.stdout.endswith(b"\n") else b"\n"
    assert (source.data, bool(source.status)) == (wanted.stdout + ended, wanted.returncode != 0)


HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
NET = "eth0\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
OUT = "eth*\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0   \n"
HALF = OUT.replace("\t00000000\t0\t0\t0 ", "\t00000080\t0\t0\t0 ")
DOWN = OUT.replace("\t0003\t", "\t0002\t")
OUT6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00450003     eth1\n"
NET6 = f"fe80{'0' * 28} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001     eth1\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("ipv4", "ipv6", "interface", "programs"),
    [
        (HEAD + NET + OUT, OUT6, "eth*", False),
        (HEAD + NET * 13 + OUT, OUT6, "eth*", False),
        (HEAD + NET * 20 + OUT, OUT6, "eth*", True),
        (HEAD + NET + HALF, NET6, "eth*", True),
        (HEAD + NET + DOWN, NET6 + OUT6, "eth1", True),
        (HEAD + NET, OUT6, "eth1", True),
        (HEAD + NET, NET6, "", True),
        (None, OUT6, "eth1", True),
        (HEAD + OUT, None, "eth*", False),
    ],
)
def test_the_way_out_is_found_and_needs_no_program_where_it_is_among_the_first(
    shell: str, ipv4: str | None, ipv6: str | None, interface: str, programs: bool, tmp_path: Path
) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    for name, text in (("route", ipv4), ("ipv6_route", ipv6)):
        if text is not None:
            (tmp_path / name).write_text(text)
    script = PROBES["net.route"].question.script.replace("/proc/net/", f"{tmp_path}/").replace("/sys/class/net/*", "lo eth0")
    counted = f"sed() {{ echo sed >>'{tmp_path}/programs'; command sed \"$@\"; }}\nip() {{ echo '[]'; }}\n"
    facts = interfaces.parse_routes(run(SHELLS[shell], counted + script))
    assert (facts["interface"], facts["default"]) == (interface, bool(interface))
    assert (tmp_path / "programs").exists() is programs


def test_limits_that_may_not_be_read_are_a_failure_of_their_own() -> None:
    script = PROBES["proc.stat"].question.script.replace("/proc/sys/kernel/pid_max", "/proc/sys/kernel/no_such_limit")
    sources = read_sources("proc.stat", run([str(shutil.which("dash"))], script))
    assert (sources["limits"].status, sources["limits"].stderr.strip()) == (
        1,
        b"/proc/sys/kernel/no_such_limit could not be read",
    )
    assert len(sources["limits"].lines) == 3
    assert all(line.data.split(b":")[0].endswith(b"/status") for line in sources["seen"].lines)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "file", ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/tainted"]
)
def test_a_number_of_the_kernel_is_read_to_its_end(shell: str, file: str) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    script = PROBES["kernel.taint"].question.script.replace("/proc/sys/kernel/tainted", file)
    assert read_sources("kernel.taint", run(SHELLS[shell], script))["tainted"].data == Path(file).read_bytes()


ENDED = """import os, sys
children = [os.fork() or os._exit(0) for _ in range(6)]
for child in children:
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def careless() -> Iterator[int]:
    """A process with six ended children that it does not reap."""
    with subprocess.Popen([sys.executable, "-c", ENDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        yield parent.pid


@pytest.mark.parametrize("shell", SHELLS)
def test_who_does_not_reap_is_named_with_its_control_group(shell: str, careless: int) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    answer = run(SHELLS[shell], PROBES["proc.stat"].question.script)
    (found,) = (one for one in processes.parse_processes(answer)["parents"] if one["pid"] == careless)
    assert (found["zombies"], found["process"]) == (6, Path(f"/proc/{careless}/comm").read_text().strip())
    groups = [row.data for row in read_sources("proc.stat", answer)["units"].lines]
    own = [row for row in Path(f"/proc/{careless}/cgroup").read_text().splitlines() if re.search(":(name=systemd)?:/", row)]
    assert [row for row in groups if row.startswith(f"/proc/{careless}/".encode())] == [
        f"/proc/{careless}/cgroup:{row}".encode() for row in own
    ]


@pytest.mark.parametrize(("name", "asked"), [(None, False), (".hidden.pem", True), ("dangling", True)])
def test_folders_for_certificates_in_which_nothing_is_are_not_walked(name: str | None, asked: bool, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).symlink_to("/nowhere")
    script = re.sub(
        r"/etc/[a-z/-]+", "/nowhere", PROBES["sec.certs"].question.script.replace("/etc/ssl/private", str(tmp_path))
    )
    source = read_sources("sec.certs", run([str(shutil.which("dash"))], script))["certificates"]
    assert (source.status is not None) is asked


def test_who_is_not_told_who_keeps_the_clock_is_asked_for_no_time(tmp_path: Path) -> None:
    answer = run([str(shutil.which("dash"))], PROBES["time.now"].question.script, PATH=str(tmp_path))
    assert "clock" not in read_sources("time.now", answer)
    with pytest.raises(NothingThere, match="chronyc, ntpq or timedatectl"):
        clock.parse_clock(answer)
