"""The trust store: OpenSSH's lines under the inventory's names, never half read, never half written."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.errors import InvalidFile, UsageError
from inventory.host import Host
from remote.host_keys import HostKey, fingerprint
from remote.host_proof import proof_of
from remote.known_hosts import KnownHosts


def a_key(seed: bytes, type_: str = "ssh-ed25519") -> HostKey:
    name = type_.encode()
    return HostKey.of(len(name).to_bytes(4, "big") + name + b"\0\0\0\x20" + seed.ljust(32, b"\0"))


FIRST, SECOND, THIRD = a_key(b"1"), a_key(b"2"), a_key(b"3", "ssh-rsa")


def store(path: Path, text: str) -> KnownHosts:
    path.write_text(text)
    path.chmod(0o600)
    return KnownHosts(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "known_hosts"


def test_a_store_that_is_not_there_knows_no_host(file: Path) -> None:
    assert KnownHosts(file).keys("db1") == ()


def test_what_was_added_is_known_now_and_when_read_again(file: Path) -> None:
    known = KnownHosts(file)
    assert known.add("db1", FIRST, THIRD) == (FIRST, THIRD)
    assert known.add("db2", SECOND) == (SECOND,)
    for reader in (known, KnownHosts(file)):
        assert reader.keys("db1") == (FIRST, THIRD)
        assert reader.keys("db2") == (SECOND,)
        assert reader.names() == ("db1", "db2")


def test_adding_twice_writes_once(file: Path) -> None:
    known = KnownHosts(file)
    assert known.add("db1", FIRST, FIRST) == (FIRST,)
    assert known.add("db1", FIRST) == ()
    assert file.read_text() == f"db1 {FIRST.line}\n"


def test_modes_are_exact_whatever_the_umask(file: Path) -> None:
    before = os.umask(0)
    try:
        KnownHosts(file).add("db1", FIRST)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["known_hosts"]


def test_concurrent_enrolments_lose_nothing(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: KnownHosts(file).add(f"host{n}", a_key(str(n).encode())), range(40)))
    known = KnownHosts(file)
    assert sorted(known.names()) == sorted(f"host{n}" for n in range(40))
    assert all(known.keys(f"host{n}") == (a_key(str(n).encode()),) for n in range(40))


def test_removing_forgets_one_host_and_leaves_the_rest(tmp_path: Path) -> None:
    text = f"# ours\ndb1 {FIRST.line}\n\ndb1,db2 {SECOND.line} a comment\n@revoked db1 {THIRD.line}\n"
    known = store(tmp_path / "known_hosts", text)
    assert known.remove("db1") == 2
    assert known.path.read_text() == f"# ours\n\ndb2 {SECOND.line} a comment\n@revoked db1 {THIRD.line}\n"
    assert known.keys("db1") == (HostKey.of(THIRD.blob, revoked=True),)
    assert known.keys("db2") == (SECOND,)


def test_revoked_keys_are_told_for_their_host_and_for_every_host(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n@revoked db1 {FIRST.line}\n@revoked * {SECOND.line}\n")
    assert [key.revoked for key in known.keys("db1")] == [False, True, True]
    assert known.keys("db2") == (HostKey.of(SECOND.blob, revoked=True),)
    assert known.names() == ("db1",)


def test_a_key_is_revoked_however_the_name_is_written(tmp_path: Path) -> None:
    """As patterns are; a key that is known counts for the name as it stands only."""
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n@revoked DB1 {FIRST.line}\n")
    trust = known.trust(Host(name="db1", address="192.0.2.1"))
    assert trust.revoked == {FIRST.blob} and not proof_of(FIRST.blob, trust).trusted
    assert [key.revoked for key in known.keys("db1")] == [False, True]


@pytest.mark.parametrize("mark", ["@revoked db1", "@revoked DB1", "@revoked *"])
def test_a_revoked_key_is_not_enrolled(tmp_path: Path, mark: str) -> None:
    known = store(tmp_path / "known_hosts", f"{mark} {FIRST.line}\n")
    with pytest.raises(UsageError, match="is revoked"):
        known.add("db1", SECOND, FIRST)
    assert known.path.read_text() == f"{mark} {FIRST.line}\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("db1 ssh-ed25519", "name, key type and key are needed"),
        ("db1 ssh-ed25519 !!!!", "cannot be read"),
        (f"db1 ssh-rsa {FIRST.line.split()[1]}", "the line says ssh-rsa, its key is ssh-ed25519"),
        (f"@trusted db1 {FIRST.line}", "@trusted is not supported"),
        (f"@cert-authority [db1]:22 {FIRST.line}", "not a host name of the inventory"),
        (f"group=berlin {FIRST.line}", "not a host name of the inventory"),
        (f"|1|c2FsdA==|aGFzaA== {FIRST.line}", "not a host name of the inventory"),
        (f"*.example {FIRST.line}", "not a host name of the inventory"),
        (f"db1,,db2 {FIRST.line}", "not a host name of the inventory"),
        ("db1 ssh-ed25519 AAAA", "not an SSH public key"),
    ],
)
def test_a_broken_line_is_refused_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n{line}\n")
    with pytest.raises(InvalidFile, match=says) as refused:
        known.keys("db1")
    assert [problem.place.line for problem in refused.value.problems] == [2]


def test_a_broken_store_is_not_written_to(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", "rubbish\n")
    with pytest.raises(InvalidFile):
        known.add("db1", FIRST)
    assert known.path.read_text() == "rubbish\n"


def test_a_store_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n")
    known.path.chmod(0o620)
    with pytest.raises(InvalidFile, match="620"):
        known.keys("db1")


@pytest.mark.parametrize("name", ["", "#db1", "@revoked", "a b", "a,b", "a\nb", "*", "[::1]:22", "!db1"])
def test_a_name_that_would_be_read_differently_is_not_written(file: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        KnownHosts(file).add(name, FIRST)
    assert not file.exists()


@given(st.binary(max_size=300))
def test_no_bytes_make_a_key_by_accident(blob: bytes) -> None:
    try:
        key = HostKey.of(blob)
    except ValueError:
        return
    assert key.blob == blob
    assert key.type.isprintable()


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    for kind, *options in (["ed25519"], ["rsa", "-b", "2048"], ["ecdsa"]):
        path = tmp_path / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-f", path], check=True)
        listed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
        type_, encoded, _ = path.with_suffix(".pub").read_text().split(None, 2)
        known = store(tmp_path / "known_hosts", f"db1 {type_} {encoded}\n")
        (key,) = known.keys("db1")
        assert key.fingerprint == fingerprint(key.blob) == listed.split()[1]
