"""What `remount` sees of a mount in a real mount namespace, and which account `unlock-account` speaks of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.playbooks.mounted import NEEDS, SHELLS, mounted, script_of, told

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)

MOUNTS = """
mount -t tmpfs srv /srv; mkdir '/srv/my share' /srv/local /srv/late; mount -t tmpfs local /srv/local
printf '%s\\n' '# no entry' 'files:/share /srv/my\\040share/ fuse.sshfs defaults 0 0' >/srv/fstab
echo 'local /srv/local/ tmpfs defaults 0 0' >>/srv/fstab
printf 'late /srv/late tmpfs defaults 0 0' >>/srv/fstab # the last line without an end
mount --bind /srv/fstab /etc/fstab
"""
SEE = "See what is there"
SLOW = 'stat() { read -r _ <"$slow"; }\n'
PATIENCE = "sleep 5;"


def impatient(script: str) -> str:
    """Return a look that waits less for what never answers: no test needs to wait for the whole of it."""
    assert script.count(PATIENCE) == 1
    return script.replace(PATIENCE, "sleep 0.2;")


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


@pytest.fixture(scope="module")
def mounts() -> Iterator[tuple[str, ...]]:
    with mounted(MOUNTS) as within:
        yield within


@pytest.fixture
def share(mounts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Mount what looks like sshfs and never answers: its server is this process."""
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
    words = ["mount", "-i", "-t", "fuse.sshfs", "-o", options, "files:/share", "/srv/my share"]
    try:
        subprocess.run([*mounts, *words], check=True, pass_fds=[server])
        yield mounts
    finally:
        os.close(server)
        told(mounts, "umount -l '/srv/my share'")


def test_a_share_that_hangs_is_taken_away(share: tuple[str, ...], shell: Sequence[str]) -> None:
    mount = "/srv/my share/"
    see = impatient(script_of("remount", SEE))
    assert told(share, see, shell, mount=mount) == (0, "there=yes\nhangs=yes\ntype=fuse.sshfs\n", "")
    planned = told(share, script_of("remount", "Take away what hangs", "plan"), shell, mount=mount)
    assert planned[1].startswith(f"{mount} (fuse.sshfs files:/share ")
    assert told(share, script_of("remount", "Take away what hangs"), shell, mount=mount)[0] == 0
    assert told(share, see, shell, mount=mount) == (0, "there=no\nhangs=no\ntype=fuse.sshfs\n", "")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[str]:
    """Return the path of what says nothing until the test is over: who reads it ends then."""
    path = tmp_path / "slow"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    yield str(path)
    os.close(held)


def test_a_filesystem_of_this_host_that_is_slow_stays(mounts: tuple[str, ...], shell: Sequence[str], slow: str) -> None:
    see = script_of("remount", SEE)
    assert told(mounts, see, shell, mount="/srv/local") == (0, "there=yes\nhangs=no\ntype=tmpfs\n", "")
    why = "/srv/local (tmpfs) is of no other machine: it is slow, and not taken away\n"
    assert told(mounts, SLOW + impatient(see), shell, mount="/srv/local", slow=slow) == (1, "", why)


def test_the_last_line_of_fstab_counts_without_its_end(mounts: tuple[str, ...], shell: Sequence[str]) -> None:
    see = script_of("remount", SEE)
    assert told(mounts, see, shell, mount="/srv/late") == (0, "there=no\nhangs=no\ntype=tmpfs\n", "")
    assert told(mounts, see, shell, mount="/") == (1, "", "the root filesystem is not taken away\n")


SHADOW = """
mount -t tmpfs etc /mnt
printf '%s\\n' 'jxdoe:!$6$x:19000:0:99999:7::11111:' 'j.doe:$6$y:19000:0:99999:7::20000:' >/mnt/shadow
mount --bind /mnt/shadow /etc/shadow
"""


def test_the_account_is_the_one_of_that_name(shell: Sequence[str]) -> None:
    with mounted(SHADOW) as within:
        see = script_of("unlock-account", "See whose it is")
        assert told(within, see, shell, user="j.doe") == (0, "last=20000\n", "")
        assert told(within, see, shell, user="jxdoe")[0] == 1
        assert told(within, see, shell, user="..doe") == (1, "", "there is no account ..doe on this host\n")
        planned = told(within, script_of("unlock-account", "Move its last day", "plan"), shell, user="j.doe", until="never")
        assert planned == (0, "last day of j.doe: 20000 becomes none (days since 1970)\n", "")


NUMBERS = {"0123": 20000, "123": 11111, "infinity": 20001, "inf": 11112}


@pytest.mark.parametrize(("user", "last"), NUMBERS.items())
def test_a_name_is_no_number(shell: Sequence[str], user: str, last: int) -> None:
    lines = " ".join(f"'{name}:$6$y:19000:0:99999:7::{day}:'" for name, day in NUMBERS.items())
    with mounted(
        f"mount -t tmpfs etc /mnt; printf '%s\\n' {lines} >/mnt/shadow; mount --bind /mnt/shadow /etc/shadow"
    ) as within:
        see = script_of("unlock-account", "See whose it is")
        assert told(within, see, shell, user=user) == (0, f"last={last}\n", "")
        planned = told(within, script_of("unlock-account", "Move its last day", "plan"), shell, user=user, until="never")
        assert planned == (0, f"last day of {user}: {last} becomes none (days since 1970)\n", "")
        assert told(within, see, shell, user="00123") == (1, "", "there is no account 00123 on this host\n")
