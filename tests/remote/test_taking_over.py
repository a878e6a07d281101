"""What a known_hosts of OpenSSH's means for a host beside what is known of it, and what of it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.host import Host
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.openssh_known_hosts import OpensshKnownHosts
from remote.taking_over import imported
from tests.remote.test_known_hosts import FIRST, SECOND

LINES = {"1": FIRST.line, "2": SECOND.line}
WEB1 = Host(name="web1", address="192.0.2.1", groups=("web",))


def written(path: Path, marks: str) -> Path:
    """Write lines as `web1 1` or `@revoked web1 2`, the number of a key behind the names."""
    lines = [f"{words} {LINES[key]}\n" for line in marks.split("; ") if line for words, key in [line.rsplit(" ", 1)]]
    path.write_text("".join(lines))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("ours", "theirs", "state", "kept"),
    [
        ("", "", "not in the file", None),
        ("", "web1 1", "new", "web1 1"),
        ("web1 1", "web1 1", "known", None),
        ("web1 1; web1 2", "web1 1", "known", None),
        ("web1 1", "web1 1; web1 2", "new", "web1 1; web1 2"),
        ("", "@revoked web1 1", "revoked there", "@revoked web1 1"),
        ("", "web1 1; @revoked web1 1", "revoked there", "@revoked web1 1"),
        ("", "@revoked * 1; web1 1", "revoked there", "@revoked web1 1"),
        ("", "web1 1; @revoked web1 1; web1 2", "new", "web1 2; @revoked web1 1"),
        ("", "@cert-authority * 1; @revoked * 1", "revoked there", "@revoked web1 1"),
        ("", "@cert-authority web* 1; web1 2", "new", "@cert-authority web1 1; web1 2"),
        ("@cert-authority * 1", "@cert-authority web* 1", "known", None),
        ("web1 1", "web1 1; @revoked web1 1", "revoked there", "web1 1; @revoked web1 1"),
        ("web1 1; web1 2", "@revoked web1 1", "revoked there", "web1 1; web1 2; @revoked web1 1"),
        ("web1 1; web1 2", "web1 2; @revoked web1 1", "revoked there", "web1 1; web1 2; @revoked web1 1"),
        ("@revoked w* 1; web1 2", "web1 2; @revoked web1 1", "known", None),
        ("@revoked w* 1", "web1 1; @revoked web1 1", "revoked there", None),
        ("@revoked group=web 1", "web1 1", "revoked", None),
        ("@revoked WEB1 1", "web1 1; @revoked web1 2", "revoked", "@revoked web1 2"),
        ("@revoked * 1", "@cert-authority * 1", "revoked", None),
        ("@revoked * 1", "web1 1; web1 2", "new", "web1 2"),
        ("@revoked * 1; web1 2", "web1 1; web1 2", "known", None),
        ("web1 1", "web1 2", "changed", None),
        ("web1 1", "web1 2; @revoked * 1", "changed", "web1 1; @revoked web1 1"),
    ],
)
def test_what_either_revokes_is_not_kept(tmp_path: Path, ours: str, theirs: str, state: str, kept: str | None) -> None:
    known = KnownHosts(written(tmp_path / "ours", ours))
    before, path = known.path.read_text(), written(tmp_path / "theirs", theirs)
    one = imported(OpensshKnownHosts.of(path).keys(WEB1), known.trust(WEB1))
    taken = one.taken(replace_changed=False)
    assert (one.state, taken is None) == (state, kept is None)
    known.take([taken] if taken else [])
    wanted = set(written(tmp_path / "kept", f"{ours}; {kept}" if kept else ours).read_text().splitlines())
    assert set(known.path.read_text().splitlines()) == wanted and known.path.read_text().startswith(before)
    trust = known.trust(WEB1)
    assert {key.blob for key in one.keys if key.revoked} <= trust.revoked
    assert imported(OpensshKnownHosts.of(path).keys(WEB1), trust).taken(replace_changed=False) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "keeps"),
    [
        ("", "@revoked web1 1", False),
        ("web1 1", "@revoked web1 1", False),
        ("@cert-authority * 1", "@revoked web1 1", False),
        ("@revoked * 1; @cert-authority * 1", "@revoked web1 1", False),
        ("web2 2", "@revoked web1 1", False),
        ("web1 1; web1 2", "@revoked web1 1", True),
        ("@cert-authority group=web 2", "@revoked web1 1", True),
    ],
)
def test_whether_a_key_is_left_that_counts(tmp_path: Path, ours: str, theirs: str, keeps: bool) -> None:
    known, path = KnownHosts(written(tmp_path / "ours", ours)), written(tmp_path / "theirs", theirs)
    one = imported(OpensshKnownHosts.of(path).keys(WEB1), known.trust(WEB1))
    assert (one.state, one.keeps) == ("revoked there", keeps)


def test_each_key_is_shown_once(tmp_path: Path) -> None:
    theirs = OpensshKnownHosts.of(
        written(tmp_path / "theirs", "web1 1; @cert-authority * 2; @revoked * 1; @revoked * 2; web1 2")
    )
    one = imported(theirs.keys(WEB1), KnownHosts(tmp_path / "none").trust(WEB1))
    assert one.keys == tuple(HostKey.of(key.blob, revoked=True) for key in (FIRST, SECOND))


def test_a_changed_key_goes_for_what_the_file_trusts_now(tmp_path: Path) -> None:
    known = KnownHosts(written(tmp_path / "ours", "web1,web2 1"))
    path = written(tmp_path / "theirs", "web1 1; @revoked web1 1; web1 2")
    one = imported(OpensshKnownHosts.of(path).keys(WEB1), known.trust(WEB1))
    taken = one.taken(replace_changed=True)
    assert one.state == "changed" and taken is not None
    known.take([taken])
    assert known.path.read_text() == f"web2 {FIRST.line}\n@revoked web1 {FIRST.line}\nweb1 {SECOND.line}\n"
