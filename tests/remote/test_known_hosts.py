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
from remote.known_hosts import KnownHosts, Taken


def a_key(seed: bytes, type_: str = "ssh-ed25519") -> HostKey:
    name = type_.encode()
    return HostKey.of(len(name).to_bytes(4, "big") + name + b"\0\0\0\x20" + seed.ljust(32, b"\0"))


FIRST, SECOND, THIRD = a_key(b"1"), a_key(b"2"), a_key(b"3", "ssh-rsa")


def store(path: Path, text: str) -> KnownHosts:
    path.write_text(text)
    path.chmod(0o600)
    return KnownHosts(path)


def keys(known: KnownHosts, name: str) -> tuple[HostKey, ...]:
    return known.trust(Host(name=name, address="192.0.2.1")).keys


def revoked(known: KnownHosts, name: str) -> set[bytes]:
    return set(known.trust(Host(name=name, address="192.0.2.1")).revoked)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "known_hosts"


def test_a_store_that_is_not_there_knows_no_host(file: Path) -> None:
    assert keys(KnownHosts(file), "db1") == ()


def test_what_was_added_is_known_now_and_when_read_again(file: Path) -> None:
    known = KnownHosts(file)
    assert known.add("db1", FIRST, THIRD) == (FIRST, THIRD)
    assert known.add("db2", SECOND) == (SECOND,)
    for reader in (known, KnownHosts(file)):
        assert keys(reader, "db1") == (FIRST, THIRD)
        assert keys(reader, "db2") == (SECOND,)
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
    assert all(keys(known, f"host{n}") == (a_key(str(n).encode()),) for n in range(40))


def test_removing_forgets_one_host_and_leaves_the_rest(tmp_path: Path) -> None:
    text = f"# ours\ndb1 {FIRST.line}\n\ndb1,db2 {SECOND.line} a comment\n@revoked db1 {THIRD.line}\n"
    known = store(tmp_path / "known_hosts", text)
    assert known.remove("db1") == 2
    assert known.path.read_text() == f"# ours\n\ndb2 {SECOND.line} a comment\n@revoked db1 {THIRD.line}\n"
    assert not keys(known, "db1") and revoked(known, "db1") == {THIRD.blob}
    assert keys(known, "db2") == (SECOND,)


def test_revoked_keys_are_told_for_their_host_and_for_every_host(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n@revoked db1 {FIRST.line}\n@revoked * {SECOND.line}\n")
    assert keys(known, "db1") == (FIRST,) and revoked(known, "db1") == {FIRST.blob, SECOND.blob}
    assert not keys(known, "db2") and revoked(known, "db2") == {SECOND.blob}
    assert known.names() == ("db1",)


def test_a_key_is_revoked_however_the_name_is_written(tmp_path: Path) -> None:
    """As patterns are; a key that is known counts for the name as it stands only."""
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n@revoked DB1 {FIRST.line}\n")
    trust = known.trust(Host(name="db1", address="192.0.2.1"))
    assert trust.revoked == {FIRST.blob} and not proof_of(FIRST.blob, trust).trusted


@pytest.mark.parametrize("mark", ["@revoked db1", "@revoked DB1", "@revoked *"])
def test_a_revoked_key_is_not_enrolled(tmp_path: Path, mark: str) -> None:
    known = store(tmp_path / "known_hosts", f"{mark} {FIRST.line}\n")
    with pytest.raises(UsageError, match="is revoked"):
        known.add("db1", SECOND, FIRST)
    assert known.path.read_text() == f"{mark} {FIRST.line}\n"


@pytest.mark.parametrize("mark", ["db1", "DB1", "*", "d*", "group=db", "other,d?1"])
def test_keys_of_several_hosts_are_taken_all_or_none(tmp_path: Path, mark: str) -> None:
    text = f"db1 {THIRD.line}\n@revoked {mark} {FIRST.line}\n"
    known = store(tmp_path / "known_hosts", text)
    one, other = (Host(name=name, address=name, groups=("db",)) for name in ("db1", "web1"))
    with pytest.raises(UsageError, match="of db1 is revoked"):
        known.take([Taken(host=other, keys=(SECOND,)), Taken(host=one, keys=(FIRST,), anew=True)])
    assert known.path.read_text() == text
    again = HostKey.of(FIRST.blob, revoked=True)  # which holds already, however it is written
    assert known.take([Taken(host=other, keys=(SECOND,)), Taken(host=one, keys=(SECOND, again), anew=True)]) == (SECOND, SECOND)
    assert known.path.read_text() == f"@revoked {mark} {FIRST.line}\nweb1 {SECOND.line}\ndb1 {SECOND.line}\n"


def test_authorities_and_revoked_keys_are_taken_with_keys(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n")
    host = Host(name="db1", address="192.0.2.1")
    known.take([Taken(host=host, keys=(SECOND, HostKey.of(FIRST.blob, revoked=True), HostKey.of(THIRD.blob, authority=True)))])
    trust = known.trust(host)
    assert trust.keys == (FIRST, SECOND) and set(trust.revoked) == {FIRST.blob}
    assert trust.authorities == (HostKey.of(THIRD.blob, authority=True),)
    assert trust.key_types == {"ssh-ed25519"}


def test_a_key_that_is_revoked_is_not_of_a_kind_to_ask_for(tmp_path: Path) -> None:
    known = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\ndb1 {THIRD.line}\n@revoked d* {FIRST.line}\n")
    assert known.trust(Host(name="db1", address="192.0.2.1")).key_types == {"ssh-rsa"}


def test_a_writer_that_is_stopped_leaves_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, written = store(tmp_path / "known_hosts", f"db1 {FIRST.line}\n"), list[bytes]()

    def stopped(path: Path, folder: object, data: bytes) -> None:
        written.append(data)
        raise KeyboardInterrupt

    monkeypatch.setattr("remote.known_hosts.replace_whole", stopped)
    with pytest.raises(KeyboardInterrupt):
        known.take([Taken(host=Host(name=name, address=name), keys=(SECOND,), anew=True) for name in ("db1", "db2")])
    assert known.path.read_text() == f"db1 {FIRST.line}\n"
    assert written == [f"db1 {SECOND.line}\ndb2 {SECOND.line}\n".encode()]


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
        keys(known, "db1")
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
        keys(known, "db1")


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
        (key,) = keys(known, "db1")
        assert key.fingerprint == fingerprint(key.blob) == listed.split()[1]
