"""What longarm writes, with which modes, and what it reads without being asked to (threats T8, T14, T17)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.conftest import LONGARM, Console
from tests.hostile import PAYLOADS, RAN, hidden_in

LOCAL = "hosts:\n  here: {transport: local}\n"
PROBES = "- {probe: q, script: echo secret of a host, parse: lines}\n"


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_everything_is_private_from_its_first_moment(console: Console, tmp_path: Path, umask: str) -> None:
    """Also what is removed again: each file is created for its owner alone, and no mode is mended afterwards."""
    strace = shutil.which("strace")
    assert strace
    console.inventory(LOCAL).chmod(0o600)
    (tmp_path / "probes.yaml").write_text(PROBES)
    answers = console.home / "answers.jsonl"
    calls = "openat,open,creat,mkdir,mkdirat,chmod,fchmod,fchmodat"
    words = [LONGARM, "diagnose", "here", "--probes", str(tmp_path / "probes.yaml"), "--answers", str(answers), "--case", "M-1"]
    traced = f'umask {umask}; exec "$@"'
    tracing = [strace, "-f", "-qq", "-y", "-e", f"trace={calls}", "-o", str(tmp_path / "trace")]
    command = ["sh", "-c", traced, "sh", *tracing, *words]
    done = subprocess.run(command, env=console.environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    trace = [line for line in (tmp_path / "trace").read_text().splitlines() if str(console.home) in line]
    made = [line for line in trace if re.search(r"O_CREAT|mkdir|creat\(", line) and "EEXIST" not in line]
    assert len(made) >= 8
    assert [line for line in made if not re.search(r", 0[67]00\b", line)] == []
    assert [line for line in trace if "chmod" in line] == []
    assert {mode & 0o077 for mode in modes(console.home).values()} == {0}


def test_the_lab_is_private_too(console: Console) -> None:
    before = os.umask(0)
    try:
        assert console("lab", "up", "--hosts", "1").code == 0
        found = modes(console.home)
    finally:
        os.umask(before)
        assert console("lab", "down").code == 0
    assert {path: mode for path, mode in found.items() if mode & 0o077} == {}


def test_a_process_that_dies_leaves_no_image_of_its_memory(console: Console) -> None:
    code = "import os, sys, console.main as m; m.run = lambda words: os.abort(); m.main()"
    command = ["sh", "-c", 'ulimit -c "$(ulimit -H -c)"; exec "$@"', "sh", sys.executable, "-c", code]
    died = subprocess.Popen(command, env=console.environ, cwd=console.home.parent, stderr=subprocess.DEVNULL)
    status = os.waitpid(died.pid, 0)[1]
    died.returncode = status
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)


PLANTED = ("asyncssh", "yaml", "inventory", "remote", "console", "conftest", "sitecustomize", "usercustomize", "json", "cel")


def test_nothing_in_the_current_directory_is_read(console: Console, tmp_path: Path) -> None:
    console.inventory(LOCAL)
    RAN.unlink(missing_ok=True)
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(f"open({str(RAN)!r}, 'w')\nraise SystemExit('planted')\n")
    for name in ("longarm.toml", "longarm.yaml", "inventory.yaml", ".env", "ansible.cfg", "known_hosts", "pyproject.toml"):
        (tmp_path / name).write_text("\0 broken on purpose")
    done = console("diagnose", "here", "--check", "mem-low")
    assert done.code in (0, 1, 3), done.err
    assert not RAN.exists() and "planted" not in done.err


@pytest.mark.parametrize("what", ["fifo", "/dev/zero", "/dev/full", "/proc/self/mem", "folder", "loop", "dangling", "socket"])
@pytest.mark.parametrize("option", ["--inventory", "--probes"])
def test_what_is_no_file_of_a_sane_size_is_refused(console: Console, tmp_path: Path, what: str, option: str) -> None:
    path = tmp_path / "odd"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        (path / "x.yaml").mkdir(parents=True)  # a folder stands for the files in it
    elif what == "loop":
        path.symlink_to(path)
    elif what == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path = Path(what)
    console.inventory(LOCAL)
    words = (
        ("--inventory", str(path), "inventory", "check")
        if option == "--inventory"
        else ("diagnose", "here", "--probes", str(path))
    )
    done = console(*words)
    assert done.code in (2, 6, 7), done.err
    assert str(path) in done.err


INVENTORY = """
hosts:
  h{n}:
    address: {text}
    site: {text}
    customer: {text}
    tags: [{text}]
    vars: {{{text}: {text}, x: {text}}}
    expect: {{services: [{text}], names: [{text}]}}
    credential: {text}
"""


def quoted(text: str) -> str:
    """Return a text as a double-quoted scalar of YAML, with escapes for everything that YAML would refuse."""
    whole = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return '"' + "".join(f"\\U{ord(c):08x}" if not (c.isascii() and c.isalnum()) else c for c in whole) + '"'


def test_hostile_inventories_are_refused_in_harmless_words(console: Console) -> None:
    said = [payload for payload in PAYLOADS if "Traceback" not in payload.text]  # for which each command's stderr is searched
    told = 0
    for first in range(0, len(said), 100):  # of very many mistakes only the first thousand are told
        folder = console.home.parent / f"from {first}"
        folder.mkdir()
        for n, payload in enumerate(said[first : first + 100]):
            (folder / f"{n:03}.yaml").write_text(INVENTORY.format(n=n, text=quoted(payload.text)))
        done = console("--inventory", str(folder), "inventory", "check")
        assert done.code == 2
        assert not hidden_in(done.err) and not hidden_in(done.out)
        told += len(re.findall(r"^.*/\d{3}\.yaml:\d+:\d+: ", done.err, re.MULTILINE))
    assert told > 3 * len(PAYLOADS)
    assert not RAN.exists()


@pytest.mark.long
def test_payloads_that_an_inventory_may_hold_stay_text(console: Console, tmp_path: Path) -> None:
    """Variables may hold anything, sites and customers any printable text: both are looked at, selected by and reported."""
    lines = ["hosts:"]
    for n, payload in enumerate(payload for payload in PAYLOADS if "\0" not in payload.text):
        lines += [f"  h{n}:", "    transport: local", f"    vars: {{x: {quoted(payload.text)}}}"]
        if payload.text.isprintable() and payload.text == payload.text.strip() and 0 < len(payload.text) < 200:
            lines += [f"    site: {quoted(payload.text)}", f"    customer: {quoted(payload.text)}"]
    console.inventory("\n".join(lines) + "\n")
    for words in (
        ("inventory", "check"),
        ("inventory", "list"),
        ("inventory", "list", "-o", "csv"),
        ("inventory", "show", "h0"),
    ):
        done = console(*words)
        assert not hidden_in(done.out) and not hidden_in(done.err), words
        assert "11111103" not in done.out
    (tmp_path / "probes.yaml").write_text(PROBES)
    done = console("diagnose", "all", "--across-customers", "--probes", str(tmp_path / "probes.yaml"))
    assert done.code == 0, done.err
    run = console("run", "list", "-o", "name").out.split()[0]
    for kind in ("text", "html", "csv", "junit", "json"):
        written = console("run", "export", run, "--format", kind).out
        assert not hidden_in(written) and "11111103" not in written
    assert not RAN.exists()
