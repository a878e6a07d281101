"""`longarm host enrol` beyond key by key: authorities, a known_hosts of OpenSSH's, rotation; against OpenSSH itself."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.console.conftest import Console
from tests.remote.servers import Keys, serving, sshd_command

pytestmark = pytest.mark.server


def make_key(path: Path, kind: str = "ed25519") -> Keys:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "a test key", "-f", path], check=True)
    return Keys(path=path, public=path.with_suffix(".pub").read_text().strip())


def fingerprint(keys: Keys) -> str:
    listed = subprocess.run(["ssh-keygen", "-lf", keys.path], check=True, capture_output=True, text=True)
    return listed.stdout.split()[1]


@contextmanager
def sshd(folder: Path, console: Console, *keys: Keys, **settings: str) -> Iterator[int]:
    """Run sshd with some host keys, and tell longarm of it as db1 in the group db."""
    folder.mkdir(exist_ok=True)
    user = folder / "user"
    user_key = Keys(path=user, public=user.with_suffix(".pub").read_text().strip()) if user.exists() else make_key(user)
    port, command = sshd_command(folder, keys[0], user_key, **settings)
    config = folder / "sshd_config"
    config.write_text(config.read_text() + "".join(f"HostKey {key.path}\n" for key in keys[1:]))
    credential = f"{{user: {getpass.getuser()}, key: {user_key.path}}}"
    host = f"db1: {{address: 127.0.0.1, port: {port}, credential: c}}"
    console.inventory(f"credentials: {{c: {credential}}}\ngroups: {{db: {{hosts: {{{host}}}}}}}\nhosts: {{web1: {{}}}}\n")
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield port


def states(console: Console, *arguments: str) -> list[tuple[str, str]]:
    rows = console("host", "enrol", *arguments, "--json", "--yes").json()
    return [(row["state"], row["type"]) for row in rows]


@pytest.mark.long
def test_an_authority_is_trusted_for_a_group_and_the_doctor_tells_by_which_certificate(
    console: Console, tmp_path: Path
) -> None:
    authority, own = make_key(tmp_path / "ca"), make_key(tmp_path / "own")
    subprocess.run(["ssh-keygen", "-q", "-s", authority.path, "-h", "-I", "of db1", "-n", "db1", f"{own.path}.pub"], check=True)
    with sshd(tmp_path / "sshd", console, own, HostCertificate=f"{own.path}-cert.pub"):
        assert console("doctor", "--host", "db1").code == 4
        unasked = console("host", "enrol", "--ca", f"{authority.path}.pub", "group=db")
        assert (unasked.code, "--yes" in unasked.err) == (2, True)
        private = console("host", "enrol", "--ca", str(authority.path), "db", "--yes")
        assert private.code == 2 and "private key" in private.err and f"{authority.path}.pub" in private.err
        assert states(console, "--ca", f"{authority.path}.pub", "db") == [("new", "ssh-ed25519")]
        line = (console.home / "known_hosts").read_text()
        assert line == f"@cert-authority group=db {' '.join(authority.public.split()[:2])}\n"
        assert states(console, "--ca", authority.public, "db") == [("known", "ssh-ed25519")]
        shown = console("doctor", "--host", "db1")
        assert shown.code == 0, shown.out
        assert f"{fingerprint(own)}, by the certificate “of db1”, {fingerprint(authority)}" in shown.out
        assert "by a certificate: 1" in console("doctor").out
        assert states(console, "db1") == [("known", "ssh-ed25519")]  # and its key is not kept beside its authority
        assert console("host", "enrol", "db1", "--fingerprint", "db1=SHA256:x").code == 4
        report = console("diagnose", "db1", "--check", "fs-space", "--json")
        assert report.code == 0, report.err
        strange = make_key(tmp_path / "strange")
        revoked = f"@revoked * {' '.join(authority.public.split()[:2])}\n@cert-authority * {strange.public}\n"
        (console.home / "known_hosts").write_text(line + revoked)
        refused = console("doctor", "--host", "db1")
        assert refused.code == 4
        assert f"its authority {fingerprint(authority)} is revoked" in refused.out


def test_patterns_stay_patterns_and_other_targets_become_names(console: Console, tmp_path: Path) -> None:
    authority = make_key(tmp_path / "ca")
    console.inventory("defaults: {site: x}\nhosts: {web1: {}, web2: {}, db1: {customer: acme}}\n")
    for targets in ("web*,db1", "site=x", "all"):
        assert console("host", "enrol", "--ca", f"{authority.path}.pub", targets, "--yes").code == 0
    walled = make_key(tmp_path / "walled")
    assert console("--customer", "acme", "host", "enrol", "--ca", f"{walled.path}.pub", "all", "--yes").code == 0
    names = [line.split()[1] for line in (console.home / "known_hosts").read_text().splitlines()]
    assert names == ["web*,db1", "web1,web2,db1", "*", "db1"]


def test_a_known_hosts_of_openssh_is_taken_over_hashed_and_with_patterns(console: Console, tmp_path: Path) -> None:
    keys = {kind: make_key(tmp_path / kind, kind) for kind in ("ed25519", "ecdsa", "rsa")}
    public = {kind: " ".join(key.public.split()[:2]) for kind, key in keys.items()}
    authority, revoked = make_key(tmp_path / "ca").public, make_key(tmp_path / "lost").public
    theirs = tmp_path / "theirs"
    with sshd(tmp_path / "sshd", console, *keys.values()) as port:
        theirs.write_text(f"[127.0.0.1]:{port},gone.example {public['ed25519']}\n127.0.0.1 {public['rsa']}\n")
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", theirs], check=True, capture_output=True)
        assert theirs.read_text().startswith("|1|")
        more = f"@cert-authority 127.*,!127.0.0.2 {authority}\n@revoked web1 {revoked}\nold 1024 35 1234\n"
        theirs.write_text(theirs.read_text() + f"[127.0.0.?]:{port} {public['ecdsa']}\n" + more)
        told = console("host", "enrol", "all", "--from-known-hosts", str(theirs), "--yes", "--json")
        assert told.code == 4  # web1 is left without a key
        assert f"lines that cannot be used: {len(theirs.read_text().splitlines())}" in told.err
        rows = [(row["host"], row["state"], row["type"]) for row in told.json()]
        assert sorted(rows) == [
            ("db1", "new", "ecdsa-sha2-nistp256"),
            ("db1", "new", "ssh-ed25519"),
            ("web1", "revoked", "ssh-ed25519"),
        ]
        assert console("doctor", "--host", "db1").code == 0
        other = tmp_path / "other"
        other.write_text(f"[127.0.0.1]:{port} {public['rsa']}\n")
        assert console("host", "enrol", "db1", "--from-known-hosts", str(other), "--yes").code == 4
        assert console("host", "enrol", "db1", "--from-known-hosts", str(other), "--yes", "--replace").code == 0
        missing = console("host", "enrol", "web1", "--from-known-hosts", str(other), "--yes")
        assert missing.code == 3 and "not in the file" in missing.out
    lines = (console.home / "known_hosts").read_text().splitlines()
    assert lines == [f"@revoked web1 {' '.join(revoked.split()[:2])}", f"db1 {public['rsa']}"]


@pytest.mark.long
def test_keys_rotate_on_request_and_only_by_what_the_host_signs_for(console: Console, tmp_path: Path) -> None:
    old, new, third = make_key(tmp_path / "old"), make_key(tmp_path / "new", "ecdsa"), make_key(tmp_path / "third", "rsa")
    folder = tmp_path / "sshd"
    with sshd(folder, console, old):
        assert console("host", "enrol", "db1", "--yes").code == 0
        assert states(console, "--rotate", "db1") == [("kept", "ssh-ed25519")]
    with sshd(folder, console, old, new):
        assert console("doctor", "--host", "db1").code == 0
        before = (console.home / "known_hosts").read_text()
        asked = console("host", "enrol", "--rotate", "db1")
        assert (asked.code, "--yes" in asked.err, (console.home / "known_hosts").read_text()) == (2, True, before)
        assert states(console, "--rotate", "db1") == [("kept", "ssh-ed25519"), ("new", "ecdsa-sha2-nistp256")]
    with sshd(folder, console, new, third):
        assert states(console, "--rotate", "db1") == [
            ("kept", "ecdsa-sha2-nistp256"),
            ("new", "ssh-rsa"),
            ("gone", "ssh-ed25519"),
        ]
    lines = [line.split()[1] for line in (console.home / "known_hosts").read_text().splitlines()]
    assert lines == ["ecdsa-sha2-nistp256", "ssh-rsa"]
    with sshd(folder, console, old):  # the key that is gone is a changed key from now on
        refused = console("host", "enrol", "--rotate", "db1", "--yes", "--json")
        assert (refused.code, [row["state"] for row in refused.json()]) == (4, ["changed"])
        assert console("doctor", "--host", "db1").code == 4


def test_what_a_known_hosts_of_openssh_revokes_is_kept_as_revoked_and_all_hosts_are_done(
    console: Console, tmp_path: Path
) -> None:
    key, other, here = (" ".join(make_key(tmp_path / name).public.split()[:2]) for name in ("key", "other", "here"))
    console.inventory(
        f"hosts: {{{', '.join(f'web{number}: {{address: localhost, port: 2299{number}}}' for number in range(4))}}}\n"
    )
    (console.home / "known_hosts").write_text(f"@revoked web0* {here}\n")
    (console.home / "known_hosts").chmod(0o600)
    theirs = tmp_path / "theirs"
    lines = f"[localhost]:22992 {key}\n@revoked [localhost]:22992 {key}\n[localhost]:22993 {other}\n"
    theirs.write_text(f"[localhost]:22991 {other}\n{lines}")
    words = ("host", "enrol", "--from-known-hosts", str(theirs), "--yes", "--json")
    done = console(*words, "web1,web2,web3")
    assert done.code == 4, done.err
    assert "enrolled: 2\nrevoked: 1\n" in done.err and "left without a key that counts: web2" in done.err
    assert [(row["host"], row["state"]) for row in done.json()] == [("web1", "new"), ("web2", "revoked"), ("web3", "new")]
    kept = f"@revoked web0* {here}\nweb1 {other}\n@revoked web2 {key}\nweb3 {other}\n"
    assert (console.home / "known_hosts").read_text() == kept
    again = console(*words, "web1,web2,web3")
    assert (again.code, (console.home / "known_hosts").read_text()) == (4, kept)
    assert "enrolled" not in again.err and "left without a key that counts: web2" in again.err
    theirs.write_text(f"[localhost]:22990 {here}\n")
    left = console(*words, "web0")
    assert (left.code, [row["state"] for row in left.json()]) == (4, ["revoked"])
    assert "not taken over, since it is revoked here: the key of web0" in left.err
    assert (console.home / "known_hosts").read_text() == kept


def test_a_file_that_only_revokes_enrols_nobody(console: Console, tmp_path: Path) -> None:
    first, second = (" ".join(make_key(tmp_path / name).public.split()[:2]) for name in ("first", "second"))
    console.inventory("hosts: {web1: {address: 127.0.0.1}, web2: {address: 127.0.0.1}}\n")
    (theirs := tmp_path / "theirs").write_text(f"@revoked 127.0.0.1 {first}\n")
    words = ("host", "enrol", "all", "--from-known-hosts", str(theirs))
    asked = console(*words)
    assert asked.code == 2 and "revoke these keys of 2 hosts?" in asked.err
    done = console(*words, "--yes", "--json")
    assert (done.code, [row["state"] for row in done.json()]) == (4, ["revoked", "revoked"])
    assert "revoked: 2" in done.err and "enrolled:" not in done.err
    assert "left without a key that counts: web1, web2" in done.err and "longarm host enrol web1,web2" in done.err
    assert (console.home / "known_hosts").read_text() == f"@revoked web1 {first}\n@revoked web2 {first}\n"
    trusted(console, f"web1 {first}\nweb1 {second}\nweb2 {first}\n")
    theirs.write_text(f"127.0.0.1 {second}\n@revoked 127.0.0.1 {first}\n")
    kept = console(*words[:2], "web1", *words[3:], "--yes", "--json")
    assert (kept.code, [row["state"] for row in kept.json()]) == (0, ["known", "revoked"])
    assert "revoked: 1" in kept.err and "enrolled:" not in kept.err and "without" not in kept.err


def hosts_at(console: Console, port: int, *names: str) -> None:
    """Let these all be what listens on a port, in the group db; the credential stays."""
    credentials = (console.home / "inventory.yaml").read_text().splitlines()[0]
    hosts = "".join(f"{name}: {{address: 127.0.0.1, port: {port}, credential: c}}, " for name in names)
    console.inventory(f"{credentials}\ngroups: {{db: {{hosts: {{{hosts[:-2]}}}}}}}\n")


def trusted(console: Console, text: str) -> None:
    (console.home / "known_hosts").write_text(text)
    (console.home / "known_hosts").chmod(0o600)


@pytest.mark.parametrize(("mark", "known"), [("bb", "old"), ("group=db,!aa,!cc", "own")])
def test_a_host_that_shows_a_revoked_key_is_refused_and_the_others_are_done(
    console: Console, tmp_path: Path, mark: str, known: str
) -> None:
    keys = {"own": make_key(tmp_path / "own"), "old": make_key(tmp_path / "old")}
    lines = {name: " ".join(key.public.split()[:2]) for name, key in keys.items()}
    before = f"bb {lines[known]}\n@revoked {mark} {lines['own']}\n"
    with sshd(tmp_path / "sshd", console, keys["own"], MaxStartups="100") as port:
        hosts_at(console, port, "aa", "bb", "cc")
        trusted(console, before)
        done = console("host", "enrol", "all", "--yes", "--replace", "--json")
        rows = [(row["host"], row["state"], row["fingerprint"]) for row in done.json()]
        shown = fingerprint(keys["own"])
        assert (done.code, rows) == (4, [("aa", "new", shown), ("bb", "revoked", shown), ("cc", "new", shown)]), done.err
        assert "a revoked key is never kept" in done.err and "changed key" not in done.err
        assert (console.home / "known_hosts").read_text() == f"{before}aa {lines['own']}\ncc {lines['own']}\n"
        again = console("host", "enrol", "all", "--yes", "--json")
        assert (again.code, [row["state"] for row in again.json()]) == (4, ["known", "revoked", "known"])
        assert console("host", "enrol", "bb", "--fingerprint", f"bb={shown}").code == 4
        assert [console("host", "ping", name).code for name in ("aa", "bb", "cc")] == [0, 4, 0]
        assert console("doctor", "--host", "bb").code == 4
        told = console("host", "enrol", "--rotate", "all", "--yes", "--json")
        assert (told.code, [row["state"] for row in told.json()]) == (4, ["kept", "revoked", "kept"])


def test_a_host_whose_other_key_is_revoked_is_spoken_to(console: Console, tmp_path: Path) -> None:
    lost, good = make_key(tmp_path / "lost"), make_key(tmp_path / "good", "rsa")
    lines = [" ".join(key.public.split()[:2]) for key in (lost, good)]
    with sshd(tmp_path / "sshd", console, lost, good):
        trusted(console, f"db1 {lines[0]}\ndb1 {lines[1]}\n@revoked d* {lines[0]}\n")
        assert sorted(states(console, "db1")) == [("known", "ssh-rsa"), ("revoked", "ssh-ed25519")]
        assert (console("host", "ping", "db1").code, console("doctor", "--host", "db1").code) == (0, 0)


def test_a_host_that_nobody_knows_does_not_rotate(console: Console, tmp_path: Path) -> None:
    own, other = make_key(tmp_path / "own"), make_key(tmp_path / "other")
    with sshd(tmp_path / "sshd", console, own, MaxStartups="100") as port:
        hosts_at(console, port, "aa", "bb")
        gone = "hosts: {gone: {address: 127.0.0.1, port: 1, credential: c}}\n"
        console.inventory((console.home / "inventory.yaml").read_text() + gone)
        trusted(console, f"bb {other.public}\ngone {own.public}\n")
        told = console("host", "enrol", "--rotate", "all", "--yes", "--json")
        assert (told.code, {row["host"]: row["state"] for row in told.json()}) == (
            4,
            {"aa": "refused", "bb": "changed", "gone": "not reached"},
        )
        assert console("host", "enrol", "--rotate", "gone", "--yes").code == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--ca", "nowhere.pub"), "No such file"),
        (("--ca", "ssh-ed25519 !!!"), "something else than public keys"),
        (("--rotate", "--ca", "x"), "one way to enrol at a time: --ca, --rotate"),
        (("--from-known-hosts", "nowhere"), "does not exist"),
    ],
)
def test_what_cannot_be_used_is_said(console: Console, words: tuple[str, ...], says: str) -> None:
    console.inventory("hosts: {web1: {}}\n")
    done = console("host", "enrol", "all", *words, "--yes")
    assert (done.code, says in done.err) == (2, True), done.err
