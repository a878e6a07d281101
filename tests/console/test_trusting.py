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
        assert told.code == 0
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
        assert console("host", "enrol", "--rotate", "db1", "--yes").code == 3
        assert console("doctor", "--host", "db1").code == 4


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
