"""A program as a source, and the copies that stand for it while it cannot be run."""

from __future__ import annotations

import json
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inventory.copies import Copies
from inventory.errors import InvalidFile, SourceUnavailable
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.secret import MASKER, Secret


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path


def load(folder: Path, script: str, options: str = "", *, offline: bool = False) -> Inventory:
    path = folder / "hosts.sh"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    (folder / "inventory.yaml").write_text(f"sources:\n  - program: hosts.sh\n{options}")
    return load_inventory([folder / "inventory.yaml"], Copies(folder / "home" / "cache" / "sources", offline=offline))


def refused(folder: Path, script: str, options: str = "") -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        load(folder, script, options)
    assert str(caught.value.place) == f"{folder}/inventory.yaml:2:14" and caught.value.hint
    return caught.value


ONE = """echo '{"hosts": {"web1": {"address": "192.0.2.1"}}}'\n"""


def test_it_gets_its_arguments_as_they_are_and_no_secrets_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY_PASSWORD", "hunter2")
    script = """[ "$1" = '$(id); *' ] && [ -z "$LEGACY_PASSWORD" ] && [ "$PWD" = / ] && ! read -r line && """ + ONE
    assert list(load(folder, script, "    arguments: ['$(id); *']\n").hosts) == ["web1"]


def test_it_may_say_through_which_hosts(folder: Path) -> None:
    known = load(folder, """echo '{"hosts": {"gate": {}, "web1": {"via": "gate"}}}'\n""")
    assert known.hosts["web1"].via == known.hosts["gate"]


def test_characters_that_json_writes_as_pairs_are_read(folder: Path) -> None:
    script = r"""printf '%s' '{"hosts":{"web1":{"vars":{"a":"\ud83d\ude00","b":"\\ud83d\\ude00","c":"\u042f\/"}}}}'"""
    assert load(folder, script).hosts["web1"].vars == {"a": "😀", "b": r"\ud83d\ude00", "c": "Я/"}
    mixed = r"""printf '%s' '{"hosts":{"web1":{"vars":{"a":"\\\uD83D\uDE00\n"}}}}'"""
    assert load(folder, mixed).hosts["web1"].vars == {"a": "\\😀\n"}


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ('{"hosts": {"web1": {"adress": "x"}}}', "hosts.sh:1:21: the host web1 has no key “adress” (did you mean address?)"),
        ('{"hosts": {"web1": {"address": ', "hosts.sh:2:1: not valid YAML"),
        ('{"credentials": {"x": {"user": "root"}}}', "hosts.sh:1:2: the program's output has no key “credentials”"),
        ('{"sources": [{"program": "/bin/sh"}]}', "hosts.sh:1:2: the program's output has no key “sources”"),
        ('{"waivers": []}', "hosts.sh:1:2: the program's output has no key “waivers”"),
        ('{"hosts": {"$(id)": {}}}', "hosts.sh:1:12: “$(id)” is not a host name"),
        ("oops", "hosts.sh:1:1: the inventory must be a mapping"),
        ('{"hosts": {"a": {}}, "groups": {"g": {"hosts": ["b"]}}}', "hosts.sh:1:49: no host “b” is declared"),
    ],
)
def test_what_it_prints_wrongly_is_told_at_its_place(folder: Path, printed: str, told: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        load(folder, f"echo '{printed}'\n")
    assert told in str(caught.value)


def test_one_that_fails_is_told_with_what_it_said_without_secrets(folder: Path) -> None:
    MASKER.learn(Secret("correct-horse"))
    error = refused(folder, "echo 'login with correct-horse failed\x1b[2J' >&2; exit 3\n")
    assert "hosts.sh ended with 3: login with *** failed" in str(error)
    assert "correct-horse" not in str(error) and "\x1b" not in str(error)


def died(pid: int) -> bool:
    """Wait for a process that was killed to be gone, which takes the kernel a moment."""
    state = Path(f"/proc/{pid}/stat")
    for _ in range(1000):
        try:
            if state.read_text().split()[2] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_one_that_hangs_is_ended_with_all_that_it_started(folder: Path) -> None:
    script, pid = f"sleep 600 & echo $! > {folder}/pid; wait\n", folder / "pid"
    for deadline, shown in (("500ms", "0.5 s"), ("60s", "60 s")):  # a busy machine takes more than half a second to start it
        pid.unlink(missing_ok=True)
        assert f"had not ended after {shown}" in str(refused(folder, script, f"    deadline: {deadline}\n"))
        if pid.exists() and pid.read_text():
            break
    assert died(int(pid.read_text()))


def test_one_that_floods_is_ended(folder: Path) -> None:
    assert "prints more than 100000 bytes" in str(refused(folder, "yes\n", "    max_bytes: 100000\n"))


def test_one_that_floods_stderr_is_read_to_its_end(folder: Path) -> None:
    assert list(load(folder, "yes | head -c 3000000 >&2\n" + ONE).hosts) == ["web1"]


@pytest.mark.parametrize("mode", [0o757, 0o644])
def test_one_that_others_may_change_or_that_is_none_is_not_run(folder: Path, mode: int) -> None:
    load(folder, ONE)
    (folder / "hosts.sh").chmod(mode)
    with pytest.raises(SourceUnavailable, match="others may change it" if mode & stat.S_IWOTH else "cannot be run"):
        load_inventory([folder / "inventory.yaml"])


def test_a_copy_stands_in_while_it_fails_and_its_age_is_told(folder: Path) -> None:
    assert load(folder, ONE).copies == ()
    known = load(folder, "exit 9\n")
    (copy,) = known.copies
    assert list(known.hosts) == ["web1"] and copy.age >= timedelta(0)
    assert "ended with 9" in str(copy.reason) and str(copy.place) == f"{folder}/inventory.yaml:2:14"


BAD = """echo '{"hosts": {"-x": {}}}'\n"""


@pytest.mark.parametrize("option", ["fresh", "stale", "deadline"])
def test_very_long_times_are_taken_or_told(folder: Path, option: str) -> None:
    assert list(load(folder, ONE, f"    {option}: 30000d\n").hosts) == ["web1"]
    with pytest.raises(InvalidFile, match=rf"inventory.yaml:3:\d+: “{option}” must be a duration such as"):
        load(folder, ONE, f"    {option}: 40000d\n")


@pytest.mark.parametrize("bad", [BAD, "echo '{'\n", """echo '{"host": {}}'\n"""])
def test_what_cannot_be_read_becomes_no_copy(folder: Path, bad: str) -> None:
    load(folder, ONE)
    with pytest.raises(InvalidFile):
        load(folder, bad, "    fresh: 0s\n")
    known = load(folder, "exit 9\n", "    fresh: 1h\n")  # neither fresh for an hour nor in the place of the one that could be
    assert list(known.hosts) == ["web1"] and len(known.copies) == 1


def test_a_copy_of_tomorrow_is_not_fresh(folder: Path) -> None:
    """The clock was wrong when it was taken, or is now: for how long it would be fresh nobody knows."""
    load(folder, ONE)
    (copy,) = (folder / "home" / "cache" / "sources").iterdir()
    head, _, data = copy.read_bytes().partition(b"\n")
    later = json.loads(head) | {"taken_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    copy.write_bytes(json.dumps(later).encode() + b"\n" + data)
    assert list(load(folder, ONE.replace("web1", "web2"), "    fresh: 1h\n").hosts) == ["web2"]
    copy.write_bytes(json.dumps(later).encode() + b"\n" + data)
    (used,) = load(folder, "exit 9\n", "    fresh: 1h\n").copies
    assert used.age == timedelta(0)


def test_a_copy_that_is_too_old_does_not_stand_in(folder: Path) -> None:
    load(folder, ONE)
    with pytest.raises(SourceUnavailable):
        load(folder, "exit 9\n", "    stale: 0s\n")


def test_a_fresh_copy_spares_the_program(folder: Path) -> None:
    script = f"echo x >> {folder}/runs\n" + ONE
    load(folder, script, "    fresh: 1h\n")
    (copy,) = load(folder, script, "    fresh: 1h\n").copies
    assert (folder / "runs").read_text() == "x\n" and copy.reason is None


def test_offline_nothing_is_run(folder: Path) -> None:
    with pytest.raises(SourceUnavailable, match="was never asked yet"):
        load(folder, f"touch {folder}/ran\n" + ONE, offline=True)
    assert not (folder / "ran").exists()
    load(folder, ONE)
    assert list(load(folder, "exit 9\n", offline=True).hosts) == ["web1"]


@pytest.mark.parametrize("spoil", [b"", b"{}\n", b"\xff\xfe", b'{"format": 1}\nhosts: {evil: {}}'])
def test_a_copy_that_is_not_whole_is_none(folder: Path, spoil: bytes) -> None:
    load(folder, ONE)
    (copy,) = (folder / "home" / "cache" / "sources").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600 and stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    copy.write_bytes(spoil)
    with pytest.raises(SourceUnavailable):
        load(folder, "exit 9\n")


def test_other_arguments_have_another_copy(folder: Path) -> None:
    load(folder, ONE, "    arguments: [a]\n")
    with pytest.raises(SourceUnavailable):
        load(folder, "exit 9\n", "    arguments: [b]\n")


def test_a_program_of_another_user_is_not_run(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    load(folder, ONE)
    os.chown(folder / "hosts.sh", 12345, 12345)
    with pytest.raises(SourceUnavailable, match="others may change it"):
        load_inventory([folder / "inventory.yaml"])
