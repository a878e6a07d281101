"""Shipped repairs in folders that others may write to: what those put there leads root nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

import pytest

from tests.playbooks.mounted import NEEDS, SHELLS, mounted, script_of, told

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)

LOGS = """
mount -t tmpfs logs /var/log; mount -t tmpfs precious /mnt
mkdir -p /var/log/app; chown nobody /var/log/app
echo precious >/mnt/file; chmod 600 /mnt/file
"""
LOG = "/var/log/app/app.log"
GROWN = f"truncate -s 101M {LOG}; chown nobody:daemon {LOG}; chmod 4666 {LOG}; "
STAMPED = "date() { echo 20261201T000000Z; }\n"
COPY = f"{LOG}.20261201T000000Z.gz"
KEEP = "Keep a packed copy and empty it"
UNTOUCHED = "cat /mnt/file; stat -c %a:%U /mnt/file; ls /mnt"


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


@pytest.fixture
def logs() -> Iterator[tuple[str, ...]]:
    with mounted(LOGS) as within:
        yield within


def rotated(within: Sequence[str], shell: Sequence[str], path: str = LOG, copies: str = "/var/log") -> tuple[int, str, str]:
    return told(within, STAMPED + script_of("rotate-log", KEEP), shell, path=path, copies=copies)


def test_the_packed_copy_of_a_log_is_its_owners_and_no_program(logs: tuple[str, ...], shell: Sequence[str]) -> None:
    told(logs, GROWN + f"ln -s {LOG} /var/log/link")
    assert rotated(logs, shell) == (0, f"{COPY}\n", "")
    assert told(logs, f"stat -c %s {LOG}; stat -c '%a %U:%G' {COPY}; zcat {COPY} | wc -c")[1] == (
        f"0\n644 nobody:daemon\n{101 << 20}\n"
    )


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        (GROWN + f"ln -s /mnt/file {COPY}", "File exists|cannot overwrite existing file|can't create|cannot create"),
        (GROWN + f"ln -s /mnt/new {COPY}", "File exists|cannot overwrite existing file|can't create|cannot create"),
        (f"truncate -s 101M /mnt/file; ln -s /mnt/file {LOG}", f"{LOG} is not a file"),
        (f"truncate -s 101M /mnt/file; {GROWN} ln -s /mnt/file {LOG}.1", f"{LOG}.1 is not a file"),
        (GROWN + f"ln {LOG} /var/log/second", f"{LOG} is another file's name too"),
    ],
    ids=["copy", "new", "log", "rotated", "second"],
)
def test_what_was_planted_beside_a_log_leads_nowhere(
    logs: tuple[str, ...], shell: Sequence[str], planted: str, why: str
) -> None:
    before = told(logs, planted + "\n" + UNTOUCHED)[1]
    status, _, stderr = rotated(logs, shell)
    assert status != 0 and any(one in stderr for one in why.split("|")), stderr
    assert told(logs, UNTOUCHED)[1] == before


def test_a_folder_that_is_a_link_by_now_is_not_entered(logs: tuple[str, ...], shell: Sequence[str]) -> None:
    told(logs, f"truncate -s 101M /mnt/app.log; ln -s /mnt /var/log/app/deep; {GROWN}")
    before = told(logs, UNTOUCHED)[1]
    path = "/var/log/app/deep/app.log"
    looked = told(logs, script_of("rotate-log", "See that it is a log"), shell, path=path, copies="/var/log")
    assert looked == (1, "", f"a link leads from {path} to elsewhere\n")
    assert rotated(logs, shell, path) == (1, "", "a link leads from /var/log/app/deep to elsewhere\n")
    assert rotated(logs, shell, copies="/var/log/app/deep") == (1, "", "a link leads from /var/log/app/deep to elsewhere\n")
    assert told(logs, UNTOUCHED)[1] == before


def test_a_folder_for_copies_that_is_a_link_is_refused_before_anything_is_done(
    logs: tuple[str, ...], shell: Sequence[str]
) -> None:
    told(logs, f"touch {LOG}; mkdir /mnt/old; ln -s /mnt/old /mnt/link")
    see = script_of("rotate-log", "See that it is a log")
    why = "a link leads from /mnt/link to /mnt/old: the folder itself is to be named\n"
    assert told(logs, see, shell, path=LOG, copies="/mnt/link") == (1, "", why)
    for copies in ("/mnt/old", "/mnt/old/", "/var/log", "/var/log/"):
        assert told(logs, see, shell, path=LOG, copies=copies) == (0, "", "")
    told(logs, f"mount -t tmpfs var /var; mkdir -p /mnt/log/app; ln -s /mnt/log /var/log; touch {LOG}")
    assert told(logs, see, shell, path=LOG, copies="/var/log") == (0, "", "")


HOMES = """
mount -t tmpfs homes /home; mount -t tmpfs root /root; mount -t tmpfs program /mnt
mkdir -p -m 700 /root/.ssh /home/nobody/.ssh /home/bin
echo 'ssh-ed25519 AAAA1 of root' >/root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys
cp /root/.ssh/authorized_keys /home/nobody/.ssh/authorized_keys
chown nobody /home/nobody /home/nobody/.ssh; cd /home/nobody
"""
KEYS = "/home/nobody/.ssh/authorized_keys"
ALL_OF = "stat -c '%n %U %a' /root/.ssh/authorized_keys /home/nobody/.ssh/* /home/nobody/.ssh"
ITEM = {"path": KEYS, "owner": "nobody", "was": "root", "mode": "600", "before": "600"}


@pytest.fixture
def homes() -> Iterator[tuple[str, ...]]:
    with mounted(HOMES) as within:
        yield within


def set_right(within: Sequence[str], shell: Sequence[str], step: str = "Put it right", of: str = "run", **item: str) -> str:
    """Return what fix-permissions complains of; empty: it has done it."""
    status, _, stderr = told(within, script_of("fix-permissions", step, of), shell, **{**ITEM, **item})
    assert bool(status) == bool(stderr)
    return stderr


def test_keys_in_a_home_get_its_owner_and_back(homes: tuple[str, ...], shell: Sequence[str]) -> None:
    assert set_right(homes, shell) == ""
    assert f"{KEYS} nobody 600\n" in told(homes, ALL_OF)[1]
    assert set_right(homes, shell, "Put the old mode and owner back", before="640") == ""
    assert f"{KEYS} root 640\n" in told(homes, ALL_OF)[1]


def test_a_home_that_root_has_put_elsewhere_is_one(homes: tuple[str, ...], shell: Sequence[str]) -> None:
    told(homes, "mv /home/nobody /mnt/nobody; ln -s /mnt/nobody /home/nobody")
    assert set_right(homes, shell) == ""
    assert "/mnt/nobody/.ssh/authorized_keys nobody 600\n" in told(homes, "stat -c '%n %U %a' /mnt/nobody/.ssh/*")[1]
    told(homes, "ln -sfn /root /home/nobody")
    assert set_right(homes, shell) == "/home/nobody leads to a home of somebody else\n"


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        ("mv .ssh old; ln -s /root/.ssh .ssh", f"a link leads from {KEYS} to elsewhere\n"),
        (f"ln -sf /root/.ssh/authorized_keys {KEYS}", f"a link leads from {KEYS} to elsewhere\n"),
        (f"ln {KEYS} second", f"{KEYS} is another file's name too\n"),
        (f"rm {KEYS}; mkfifo {KEYS}", f"{KEYS} is neither a file nor a folder\n"),
        (f"echo root:secret: >{KEYS}", f"{KEYS} is root's and holds something else than keys\n"),
    ],
    ids=["above", "last", "second", "fifo", "secret"],
)
def test_what_a_home_s_owner_has_put_there_is_not_given_away(
    homes: tuple[str, ...], shell: Sequence[str], planted: str, why: str
) -> None:
    told(homes, f"cd /home/nobody; {planted}")
    before = told(homes, ALL_OF)[1]
    assert set_right(homes, shell) == why
    assert set_right(homes, shell, of="plan") == why
    if "secret" not in planted:  # what is put back is root's again, whatever it holds
        assert set_right(homes, shell, "Put the old mode and owner back") == why
    assert told(homes, ALL_OF)[1] == before


@pytest.mark.parametrize("was", ["daemon 4755", "root 775", "root 757", "root 777"])
def test_a_program_that_others_could_write_to_does_not_become_root_s(
    homes: tuple[str, ...], shell: Sequence[str], was: str
) -> None:
    item = {"path": "/mnt/su", "owner": "root", "was": was.split()[0], "mode": "4755", "before": was.split()[1]}
    told(homes, f"echo evil >/mnt/su; chown {item['was']} /mnt/su; chmod {item['before']} /mnt/su")
    refused = "others could write to /mnt/su: its package is to be installed again\n"
    assert set_right(homes, shell, **item) == set_right(homes, shell, of="plan", **item) == refused
    assert told(homes, "stat -c '%U %a' /mnt/su")[1] == f"{was}\n"
    told(homes, "chown root /mnt/su; chmod 755 /mnt/su")
    assert set_right(homes, shell, **{**item, "was": "root", "before": "755"}) == ""
    assert told(homes, "stat -c '%U %a' /mnt/su")[1] == "root 4755\n"


@pytest.mark.skipif(not shutil.which("sshd"), reason="server: not installed: sshd")
def test_what_sshd_thinks_is_heard_without_making_anything(homes: tuple[str, ...], shell: Sequence[str]) -> None:
    heard = script_of("fix-permissions", "Hear whether sshd and sudo agree")
    path = "/etc/ssh/ssh_host_ed25519_key"
    told(homes, f"mount -t tmpfs run /run; mount -t tmpfs ssh /etc/ssh; ssh-keygen -q -t ed25519 -N '' -f {path}")
    told(homes, "touch /etc/ssh/sshd_config")
    assert told(homes, heard, shell, path=path) == (0, "", "")
    told(homes, f"chmod 644 {path}")
    status, _, stderr = told(homes, heard, shell, path=path)
    assert (status, "no hostkeys available" in stderr) == (1, True)
    assert told(homes, "ls -d /run/sshd")[1] == ""


@pytest.mark.parametrize("names", ["", "ln /mnt/held /mnt/second; "], ids=["gone", "second"])
def test_of_deleted_files_those_are_emptied_that_have_no_name_left(shell: Sequence[str], names: str) -> None:
    holding = "echo text >/mnt/held; exec 7</mnt/held; " + names + "rm /mnt/held; files=/proc/self/fd/7\n"
    with mounted("mount -t tmpfs held /mnt") as within:
        script = holding + script_of("release-deleted", "Empty it") + "stat -L -c %s /proc/self/fd/7"
        done = told(within, script, shell, path="/mnt/held")
        kept = told(within, "cat /mnt/second")[1]
    if names:
        assert done[:2] == (1, "") and "it is not deleted" in done[2] and kept == "text\n"
    else:
        assert done == (0, "0\n", "")


OLD = """
mount -t tmpfs logs /var/log; mount -t tmpfs kept /mnt; mkdir -p /var/log/app /mnt/deep
touch -d '40 days ago' /var/log/app/a.log.1 /var/log/app/b.gz /var/log/app/live.log /mnt/deep/c.gz '/var/log/app/x y.gz'
touch /var/log/app/new.gz; ln -s /mnt/deep /var/log/app/deep; mkdir /var/log/other; mount --bind /mnt/deep /var/log/other
nl='
'; mkdir -p "/var/log/app/x$nl/mnt/deep"
mkdir -p /mnt/crash; mount --bind /mnt/crash /var/lib/systemd; mkdir -p /var/lib/systemd/coredump/deep
touch -d '40 days ago' /var/lib/systemd/coredump/deep/core.1; touch /var/lib/systemd/coredump/core.2
"""


def test_old_logs_go_and_what_a_link_leads_to_stays(shell: Sequence[str]) -> None:
    with mounted(OLD) as within:
        assert told(within, script_of("free-disk-space", "Remove old rotated logs"), shell, log_days="14") == (0, "", "")
        assert told(within, "rm -r /var/log/app/x*; ls /var/log/app /mnt/deep")[1].split() == [
            *("/mnt/deep:", "c.gz", "/var/log/app:", "deep", "live.log", "new.gz")
        ]
        mount = told(within, "df -P /var/lib/systemd/coredump | sed -n '$s/.*% //p'", shell)[1].strip()
        assert told(within, script_of("free-disk-space", "Remove old memory dumps"), shell, dump_days="7", mount=mount)[0] == 0
        assert told(within, "find /var/lib/systemd/coredump -type f")[1] == "/var/lib/systemd/coredump/core.2\n"


LINKED = """
mount -t tmpfs big /mnt; mkdir -p /mnt/log/app /mnt/log/zoo /mnt/crash /mnt/var/crash /mnt/var/lib/systemd
touch -d '40 days ago' /mnt/log/app/a.log.1 /mnt/log/zoo/b.gz /mnt/crash/core.1
ln -s /mnt/log /mnt/var/log; ln -s /mnt/crash /mnt/var/lib/systemd/coredump; mount --bind /mnt/var /var
"""
REMOVED = {"Remove old rotated logs": "a.log.1\nb.gz\n", "Remove old memory dumps": "core.1\n"}


@pytest.mark.parametrize("step", REMOVED)
def test_where_var_log_is_a_link_what_it_leads_to_is_cleared(shell: Sequence[str], step: str) -> None:
    words = {"mount": "/mnt", "below": "1", "log_days": "14", "dump_days": "7"}
    used = "df() { echo 'tmpfs 100 90 10 90% /mnt'; }\n"
    with mounted(LINKED) as within:
        before = told(within, "find /mnt -type f")[1].split()
        planned = told(within, used + script_of("free-disk-space", step, "plan"), shell, **words)
        assert "".join(sorted(line.rpartition("/")[2] + "\n" for line in planned[1].splitlines())) == REMOVED[step]
        assert told(within, used + script_of("free-disk-space", step), shell, **words) == (0, "", "")
        gone = set(before) - set(told(within, "find /mnt -type f")[1].split())
        assert "".join(sorted(line.rpartition("/")[2] + "\n" for line in gone)) == REMOVED[step]


@pytest.mark.parametrize("step", REMOVED)
def test_what_could_not_be_removed_in_any_folder_is_told(shell: Sequence[str], step: str) -> None:
    words = {"mount": "/mnt", "log_days": "14", "dump_days": "7"}
    failing = 'df() { echo \'tmpfs 100 90 10 90% /mnt\'; }\nfind() { command find "$@"; [ "$PWD" != "$stuck" ]; }\n'
    stuck = "/mnt/log/app" if step == "Remove old rotated logs" else "/mnt/crash"
    more = "mkdir /mnt/crash/deep /mnt/var/crash/deep\n"
    with mounted(LINKED + more) as within:
        assert told(within, failing + script_of("free-disk-space", step), shell, stuck=stuck, **words)[0] == 1
        assert told(within, failing + script_of("free-disk-space", step), shell, stuck="", **words)[0] == 0


@pytest.mark.parametrize("step", ["Remove old rotated logs", "Remove old memory dumps", "Shrink the journal"])
def test_a_filesystem_whose_space_cannot_be_seen_is_not_full(shell: Sequence[str], step: str) -> None:
    unseen = "df() { echo 'df: no file systems processed' >&2; return 1; }\n" + script_of("free-disk-space", step, "plan")
    words = {"mount": "/", "below": "80", "keep": "1", "log_days": "1", "dump_days": "1"}
    assert told((), unseen, shell, **words) == (2, "", "how full / is cannot be seen\n")
