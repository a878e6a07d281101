"""What a command does with hosts of an inventory that was kept: the same as the one that read it."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from console.inventories import inventory_to_go_on
from console.settings import Settings
from tests.console.conftest import Console, Done
from tests.console.test_trusting import make_key
from tests.remote.servers import serving, sshd_command

OURS = """
credentials: {c: {user: u, agent: true, become: {password: {env: LONGARM_TEST_WORD}}}}
hosts:
  doa: {become: {method: doas}, credential: c}
  sus: {credential: c, become: {method: su, user: oracle}}
  non: {become: {method: none}}
  far: {proxy: 'socks5://proxy.example:1080'}
  par: {ssh_library: paramiko}
  krb: {platform: windows, transport: winrm, winrm: {auth: kerberos}}
"""
WORD = {"LONGARM_TEST_WORD": "wrong"}


def twice(console: Console, *words: str) -> tuple[Done, Done]:
    """Return how a command ended that read the inventory, and how the one after it, which had it from the cache."""
    first = console(*words, environ=WORD)
    assert len(list(console.home.rglob("*.cache"))) == 1
    return first, console(*words, environ=WORD)


def test_what_is_imported_is_the_same(console: Console) -> None:
    console.inventory(OURS)
    first, second = twice(console, "inventory", "import")
    assert (first.code, second) == (0, first)
    for said in ("method: doas", "method: su", "ssh_library: paramiko", "auth: kerberos", "socks5://proxy.example:1080"):
        assert said in first.out


def test_what_is_imported_from_ansible_is_the_same(console: Console, tmp_path: Path) -> None:
    console.inventory("")
    (tmp_path / "hosts").write_text("h1 ansible_host=127.0.0.1 ansible_user=root ansible_become_method=su\n")
    first, second = twice(console, "inventory", "import", "--inventory", f"ansible:{tmp_path}/hosts")
    assert (first.code, second, "method: su" in first.out) == (0, first, True)


@pytest.mark.parametrize("method", ["su", "doas", "sudo", "none"])
def test_another_user_is_become_in_the_same_way(console: Console, method: str) -> None:
    credential = "credentials: {c: {user: nobody, agent: true, become: {password: {env: LONGARM_TEST_WORD}}}}\n"
    become = f"{{method: {method}, user: daemon}}" if method != "none" else "{method: none}"
    console.inventory(f"{credential}hosts: {{me: {{transport: local, credential: c, become: {become}}}}}\n")
    for words in (("host", "run", "id -un", "me"), ("host", "run", "id -un", "me", "--root"), ("host", "ping", "me")):
        first, second = twice(console, *words, "--json")
        assert "a fault" not in first.err + second.err
        (here,), (there,) = (done.json()["hosts"] if words[1] == "run" else done.json() for done in (first, second))
        assert (first.code, here["outcome"]) == (second.code, there["outcome"])
        if words[1] == "run":
            assert here["output"] == there["output"]


@pytest.mark.server
@pytest.mark.parametrize(("library", "spoke"), [("paramiko", True), ("either", False)])
def test_a_host_is_spoken_to_by_the_library_that_its_inventory_names(
    console: Console, tmp_path: Path, library: str, spoke: bool
) -> None:
    host_key, user_key = make_key(tmp_path / "host"), make_key(tmp_path / "user")
    port, command = sshd_command(tmp_path, host_key, user_key)
    host = f"{{address: 127.0.0.1, port: {port}, credential: c, ssh_library: {library}}}"
    console.inventory(f"credentials: {{c: {{user: {getpass.getuser()}, key: {user_key.path}}}}}\nhosts: {{h: {host}}}\n")
    (console.home / "known_hosts").write_text(f"h {host_key.public}\n")
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"):
        for done in twice(console, "diagnose", "h", "--check", "fs-space", "--fail-on", "never", "--json"):
            (one,) = done.json()["hosts"]
            assert (one["outcome"], "paramiko" in one["session"].get("library", "")) == ("ok", spoke), done.err


def test_who_goes_on_with_a_repair_takes_no_host_for_gone_that_the_home_knows(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(
        "hosts:\n  one: {customer: acme}\n  two: {customer: zeta}\n  three: {customer: acme}\n"
    )
    other = tmp_path / "other.yaml"
    other.write_text("hosts:\n  three: {customer: acme}\n")
    for walled, named, hosts, hidden in (
        (None, (), {"one", "two", "three"}, set[str]()),
        ("acme", (), {"one", "three"}, {"two"}),
        (None, (other,), {"three"}, {"one", "two"}),
        ("acme", (other,), {"three"}, {"one", "two"}),
    ):
        for _ in range(2):  # read, and from the cache
            known = inventory_to_go_on(Settings(home=tmp_path, inventories=named, wall=walled))
            assert ({*known.hosts}, {*known.hidden}) == (hosts, hidden)
    (tmp_path / "inventory.yaml").unlink()
    assert inventory_to_go_on(Settings(home=tmp_path, inventories=(other,))).hidden == set(), "there is but that one"
