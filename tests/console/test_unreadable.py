"""Files and folders that the user may not read or write, in a process that has no power over them: told, and nothing asked.

Root may read and write whatever there is, and tests often run as root: there longarm is started without that power.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console.conftest import LONGARM, Console, Done

POWERLESS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
FILES = {
    "inventory.yaml": "credentials: {c: {user: u, key: HOME/id}, p: {user: u, password: {file: HOME/word}}}\n"
    "hosts:\n  here: {transport: local}\n"
    "  db1: {address: 127.0.0.1, port: 9, credential: c}\n  db2: {address: 127.0.0.1, port: 9, credential: p}\n",
    "ansible.yaml": "sources: [{ansible: HOME/sources/hosts}]\n",
    "sheet.yaml": "sources: [{csv: HOME/sources/hosts}]\n",
    "ssh_config.yaml": "sources: [{ssh_config: HOME/sources/hosts}]\n",
    "vars.yaml": "sources: [{ansible: HOME/sources/}]\n",
    "sources/hosts": "web1\n",
    "sources/group_vars/all.yml": "a: b\n",
    "probes.yaml": "- {probe: one, script: 'echo', parse: lines}\n",
    "playbooks/one.yaml": "playbook: one\n",
    "id": "",
    "word": "",
    "known_hosts": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What is closed in a home, the command, and how that ends."""

    path: str
    command: str
    told: str
    code: int = 2
    mode: int = 0
    after_a_run: bool = False


CHECK, ASK = "inventory check", "diagnose here --check fs-space"
ROWS = {
    "the inventory": Closed(path="inventory.yaml", command=CHECK, told="inventory.yaml:1:1: cannot be read: Permission denied"),
    "an inventory that is named": Closed(
        path="sheet.yaml", command="inventory check --inventory HOME/sheet.yaml", told="sheet.yaml:1:1: cannot be read: Perm"
    ),
    **{
        f"a source, {kind}": Closed(
            path="sources/hosts",
            command=f"inventory check --inventory HOME/{kind}.yaml",
            told="sources/hosts:1:1: cannot be read: Permission denied",
        )
        for kind in ("ansible", "sheet", "ssh_config")
    },
    "the folder of a source": Closed(
        path="sources",
        command="inventory check --inventory HOME/sheet.yaml",
        told="hosts:1:1: cannot be read: Perm",
    ),
    "variables of a source": Closed(
        path="sources/group_vars/all.yml",
        command="inventory check --inventory HOME/vars.yaml",
        told="all.yml:1:1: cannot be read: Permission denied",
    ),
    "probes": Closed(
        path="probes.yaml",
        command=f"{ASK} --probes HOME/probes.yaml",
        told="HOME/probes.yaml cannot be read by you",
    ),
    "a folder of playbooks": Closed(path="playbooks", command="playbook list", told="denied: 'HOME/playbooks'", code=7),
    "a playbook, and the others are listed": Closed(
        path="playbooks/one.yaml", command="playbook list", told="one.yaml:1:1: cannot be read: Permission denied", code=0
    ),
    "known_hosts": Closed(
        path="known_hosts", command="diagnose db1 --check fs-space", told="Permission denied: 'HOME/known_hosts'", code=7
    ),
    "a key": Closed(path="id", command="diagnose db1 --check fs-space", told="HOME/id: Permission denied", code=4),
    "a file with a password": Closed(
        path="word", command="diagnose db2 --check fs-space", told="HOME/word: Permission denied", code=4
    ),
    "a home that is not writable": Closed(path=".", mode=0o500, command=ASK, told="Permission denied: 'HOME/lock'", code=7),
    "the store": Closed(path="longarm.db", command="run list", told="the store in HOME failed", code=7, after_a_run=True),
    "the store, to write": Closed(path="longarm.db", command=ASK, told="the store in HOME failed", code=7, after_a_run=True),
    "the folder of reports": Closed(path="reports", command=ASK, told="denied: 'HOME/reports", code=7, after_a_run=True),
    "the folder of answers": Closed(path="blobs", command=ASK, told="Permission denied: 'HOME/blobs", code=7, after_a_run=True),
}


@pytest.fixture
def closing(console: Console) -> Iterator[Console]:
    """Return a longarm with a home of files; what a test closes is open again afterwards."""
    console.home.mkdir(mode=0o700)
    for name, text in FILES.items():
        (console.home / name).parent.mkdir(exist_ok=True)
        (console.home / name).write_text(text.replace("HOME", str(console.home)))
        (console.home / name).chmod(0o600)
    yield console
    for path in (console.home, *console.home.iterdir()):
        path.chmod(0o700)


def powerless(console: Console, words: str) -> Done:
    """Run one command line in a process that may do no more than the modes of files say."""
    command = [*POWERLESS, LONGARM, *words.replace("HOME", str(console.home)).split(), "--no-input"]
    done = subprocess.run(command, env=console.environ, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_may_not_be_read_or_written_is_told_with_its_place(row: Closed, closing: Console) -> None:
    if row.after_a_run:
        assert closing("diagnose", "here", "--check", "fs-space", "--fail-on", "never").code == 0
    path: Path = closing.home / row.path
    path.chmod(row.mode)
    done = powerless(closing, row.command)
    path.chmod(0o700)
    assert done.code == row.code, done
    assert row.told.replace("HOME", str(closing.home)) in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert row.code in (0, 2) or "next: longarm " in done.err or "next: what was recorded before is kept" in done.err
    assert not (closing.home / "crashes").exists()


def test_the_power_is_gone(closing: Console) -> None:
    """Else what is closed would not be, and the rows would show nothing."""
    closing.home.joinpath("id").chmod(0)
    done = subprocess.run([*POWERLESS, "cat", closing.home / "id"], capture_output=True, check=False)
    assert (done.returncode, b"Permission denied" in done.stderr) == (1, True)
