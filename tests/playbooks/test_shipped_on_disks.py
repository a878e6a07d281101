"""What `repair-filesystem` sees of the disks below a filesystem, and `reboot` of who holds a lock: real ones of this machine.

The kernel's log is played.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from subprocess import PIPE

import pytest

from tests.playbooks.mounted import NEEDS, SHELLS, mounted, script_of, shipped, told

MISSING = [name for name in ("mkfs.ext4", "losetup") if not shutil.which(name)]
pytestmark = [
    pytest.mark.skipif(bool(NEEDS or MISSING), reason=f"needs root, unshare and {MISSING}"),
    pytest.mark.xdist_group("disks"),
]  # each looks at who on this machine uses such a place

# a filesystem on an encrypted volume that lies on an array of a partition and a disk
DISKS = """
mount -t tmpfs disks /mnt; mkdir '/mnt/my data'
truncate -s 4M /mnt/image; mkfs.ext4 -q -F /mnt/image; mount -o loop /mnt/image '/mnt/my data'
device=$(losetup -n -O NAME -j /mnt/image); device=${device##*/}
mkdir -p /mnt/sys/sda/sda2 "/mnt/sys/$device/slaves" /mnt/sys/dm-0/slaves /mnt/sys/md0/slaves /mnt/sys/nvme0n1 /mnt/class
echo 2 >/mnt/sys/sda/sda2/partition
ln -s ../../dm-0 "/mnt/sys/$device/slaves/dm-0"; ln -s ../../md0 /mnt/sys/dm-0/slaves/md0
ln -s ../../sda/sda2 /mnt/sys/md0/slaves/sda2; ln -s ../../nvme0n1 /mnt/sys/md0/slaves/nvme0n1
for one in "$device" dm-0 md0 sda sda/sda2 nvme0n1; do ln -s "/mnt/sys/$one" "/mnt/class/${one##*/}"; done
mount --bind /mnt/class /sys/class/block
cp -a "/dev/$device" /mnt/my-data # as /dev/mapper/NAME is without udev: no link
mkdir /mnt/mapped; mount /mnt/my-data /mnt/mapped
"""
SEE = "See what it is and who uses it"


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[str, ...]]:
    with mounted(DISKS) as within:
        yield within
        told(within, "umount /mnt/mapped '/mnt/my data'")


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


def seen(within: Sequence[str], shell: Sequence[str], log: str, **variables: str) -> tuple[int, str, str]:
    played = f"dmesg() {{ {log}; }}\njournalctl() {{ :; }}\n"
    return told(
        within, played + script_of("repair-filesystem", SEE), shell, **{"mount": "/mnt/my data/", "stop_users": "", **variables}
    )


def test_a_filesystem_with_a_blank_in_its_name_on_disks_that_report_nothing(
    disks: tuple[str, ...], shell: Sequence[str]
) -> None:
    status, stdout, stderr = seen(disks, shell, "echo '[ 1.0] I/O error, dev sdaa, sector 8 op 0x0:(READ)'")
    assert (status, stderr) == (0, "")
    assert stdout.startswith("device=/dev/loop") and "\ntype=ext4\noptions=relatime,rw\nusing=\n" in stdout


@pytest.mark.parametrize(
    ("line", "disk"),
    [
        ("blk_update_request: critical medium error, dev sda, sector 2048 op 0x0:(READ)", "sda"),
        ("I/O error, dev nvme0c1n1, sector 2048 op 0x1:(WRITE)", "nvme0n1"),
        ("I/O error, dev md0, sector 2048 op 0x1:(WRITE)", "md0"),
    ],
)
def test_errors_of_a_disk_below_volumes_and_arrays_are_its_own(
    disks: tuple[str, ...], shell: Sequence[str], line: str, disk: str
) -> None:
    status, stdout, stderr = seen(disks, shell, f"echo '[ 9.1] {line}'")
    assert (status, stdout) == (1, "")
    assert stderr == f"[ 9.1] {line}\n{disk} reports errors itself: copy it before anything else\n"


def test_a_volume_without_udev_is_known_by_its_number(disks: tuple[str, ...], shell: Sequence[str]) -> None:
    status, stdout, stderr = seen(disks, shell, ":", mount="/mnt/mapped")
    assert (status, stdout.splitlines()[:1], stderr) == (0, ["device=/mnt/my-data"], "")
    line = "I/O error, dev sda, sector 8 op 0x0:(READ)"
    status, _, stderr = seen(disks, shell, f"echo '[ 9.1] {line}'", mount="/mnt/mapped")
    assert (status, "sda reports errors itself" in stderr) == (1, True)


def test_a_log_that_may_not_be_read_is_not_clear(disks: tuple[str, ...], shell: Sequence[str]) -> None:
    status, stdout, stderr = seen(disks, shell, "echo 'dmesg: read kernel buffer failed' >&2; return 1")
    assert (status, stdout) == (1, "")
    assert "whether the disk itself fails is not known" in stderr


def test_a_disk_that_cannot_be_seen_is_not_clear(disks: tuple[str, ...], shell: Sequence[str]) -> None:
    told(disks, "mv /mnt/class/nvme0n1 /mnt/kept")
    status, _, stderr = seen(disks, shell, ":")
    told(disks, "mv /mnt/kept /mnt/class/nvme0n1")
    assert (status, "what nvme0n1 of /dev/loop" in stderr) == (1, True)


def test_what_asks_is_not_ended(disks: tuple[str, ...], shell: Sequence[str]) -> None:
    held = "exec 7</mnt/my\\ data\n"
    status, _, stderr = told(
        disks,
        held + "dmesg() { :; }\n" + script_of("repair-filesystem", SEE),
        shell,
        mount="/mnt/my data",
        stop_users="yes",
    )
    assert (status, "which our own connection or the host needs" in stderr) == (1, True)


@pytest.mark.parametrize(("ended", "status"), [(0, 0), (1, 8), (2, 8)])
def test_no_status_of_xfs_repair_but_0_is_mended(shell: Sequence[str], ended: int, status: int) -> None:
    played = f"xfs_repair() {{ return {ended}; }}\n"
    done = told((), played + script_of("repair-filesystem", "Mend it"), shell, type="xfs", device="/dev/none")
    assert done == (status, "", f"xfs_repair ended with status {ended}\n" if ended else "")


WAIT = "Wait until packages and arrays are left alone"
LOCK = "/var/lib/dpkg/lock"
LOCKS = f"""
mount -t tmpfs -o size=1m dpkg /var/lib/dpkg; mount -t tmpfs -o size=1m other /mnt
touch {LOCK} /mnt/lock; [ "$(stat -c %i {LOCK})" = "$(stat -c %i /mnt/lock)" ]
"""
HOLDS = (
    "import fcntl, sys; held = open(sys.argv[1], 'w'); fcntl.lockf(held, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize("playbook", ["reboot", "repair-packages"])
def test_a_lock_is_held_by_who_has_that_very_file_open(shell: Sequence[str], playbook: str) -> None:
    if playbook == "reboot":
        waits = str(next(step for step in shipped(playbook).steps if step.titles["en"] == WAIT).values["script"].text)
    else:
        waits = script_of(playbook, "See that nothing stands in the way").partition("\nfor place in")[0]
    refused = (1, "", f"another process holds {LOCK}\n")
    with mounted(LOCKS) as within:
        for held, expected in ((LOCK, refused), ("/mnt/lock", (0, "", ""))):
            with subprocess.Popen([*within, sys.executable, "-c", HOLDS, held], stdin=PIPE, stdout=PIPE) as holder:
                assert holder.stdout is not None and holder.stdout.readline() == b"\n"
                assert told(within, waits, shell) == expected
                holder.communicate()
        played = waits.replace("cat /proc/locks", 'printf "1: OFDLCK ADVISORY WRITE -1 00:2a:%s 0 EOF\\n" "${file#*:}"')
        assert told(within, played, shell) == refused
        assert told(within, waits, shell) == (0, "", "")
