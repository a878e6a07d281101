"""What is written in our own format is read back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.documents import parse_document
from inventory.host import Host, Value
from inventory.inventory import Inventory
from inventory.nodes import plain
from inventory.own import load_inventory
from inventory.written import flow, written
from tests.inventory.ansible_corpus import WRITTEN
from tests.inventory.test_ansible import load as load_ansible
from tests.inventory.test_own import EXAMPLE


def told(host: Host) -> Host:
    """Return a host without where it was said."""
    credential = replace(host.credential, place=None) if host.credential else None
    return replace(host, credential=credential, waivers=(), place=None, via=told(host.via) if host.via else None)


def read_back(known: Inventory, folder: Path) -> Inventory:
    path = folder / "written.yaml"
    path.write_text(written(known, tuple(known.hosts.values())))
    return load_inventory([path])


def same(one: Inventory, other: Inventory) -> None:
    assert {name: told(host) for name, host in one.hosts.items()} == {name: told(host) for name, host in other.hosts.items()}
    assert [told(host).vars for host in one.hosts.values()] == [told(host).vars for host in other.hosts.values()]
    members = ({name: set(group.hosts) for name, group in known.groups.items() if group.hosts} for known in (one, other))
    assert next(members) == next(members)


def test_the_example_is_read_back(tmp_path: Path) -> None:
    known = load_inventory([EXAMPLE])
    same(known, read_back(known, tmp_path))


NOT_TAKEN_OVER = {"a program", "a program beside files", "templates stay templates", "other languages"}
REACHED = sorted(set(WRITTEN) - NOT_TAKEN_OVER)


@pytest.mark.parametrize("name", REACHED)
def test_ansible_inventories_are_read_back(name: str, tmp_path: Path) -> None:
    known = load_ansible(tmp_path, WRITTEN[name])
    same(known, read_back(known, tmp_path))


def test_what_only_others_may_call_so_is_told_in_comments(tmp_path: Path) -> None:
    files = {"hosts": "[web1]\nweb1 customer=Acme site=Berlin role=front\n[k:children]\nweb1\n[web1.group]\nx\n"}
    known = load_ansible(tmp_path, files)
    text = written(known, tuple(known.hosts.values()))
    assert text.startswith(
        "# the group web1 is called web1.group1 here: a host has its name\n"
        "# variables that are named like keys of ours are left out: customer, site\n"
    )
    again = read_back(known, tmp_path)
    (web1, x) = again.hosts.values()
    assert (web1.customer, web1.site, web1.vars) == ("Acme", "Berlin", {"role": "front"})
    assert web1.groups == ("k", "web1.group1") and x.groups == ("web1.group",)


def test_only_the_chosen_hosts_and_what_they_need_are_written(tmp_path: Path) -> None:
    known = load_inventory([EXAMPLE])
    text = written(known, known.select("db-main").hosts)
    assert "web01" not in text and "legacy" not in text and "db-main" in text and "ops" in text
    (tmp_path / "part.yaml").write_text(text)
    assert load_inventory([tmp_path / "part.yaml"]).hosts["db-main"].groups == ("berlin", "db", "nightly")


def test_the_hosts_on_the_way_are_written_too(tmp_path: Path) -> None:
    (tmp_path / "ways.yaml").write_text("hosts: {gate: {}, inner: {via: gate}, web1: {via: inner}, web2: {}}\n")
    known = load_inventory([tmp_path / "ways.yaml"])
    same(known, read_back(known, tmp_path))
    (tmp_path / "part.yaml").write_text(written(known, known.select("web1").hosts))
    part = load_inventory([tmp_path / "part.yaml"])
    assert set(part.hosts) == {"web1", "inner", "gate"} and told(part.hosts["web1"]) == told(known.hosts["web1"])


CREDENTIALS = """
credentials:
  keys: {user: u, key: /k, certificate: /k-cert.pub, agent: named, methods: [publickey, keyboard-interactive]}
  codes: {user: u, otp: {secret: {env: X}, digits: 8, period: 60s, algorithm: SHA256, per_host: true}}
  typed: {user: u, password: {env: X}, otp: {prompt: code}}
  tickets: {user: u, kerberos: true}
  robot: {user: u, kerberos: {principal: robot@X.TEST, keytab: /etc/robot.keytab}}
  other: {user: u, kerberos: {principal: anna@X.TEST, password: {env: X}}}
  cached: {user: u, agent: true, kerberos: {ccache: "FILE:/tmp/cc", optional: true}}
"""


def test_credentials_are_read_back(tmp_path: Path) -> None:
    names = ("keys", "codes", "typed", "tickets", "robot", "other", "cached")
    hosts = "".join(f"  {name}: {{credential: {name}, host_key_alias: {name}.example}}\n" for name in names)
    (tmp_path / "own.yaml").write_text(f"{CREDENTIALS}hosts:\n{hosts}")
    known = load_inventory([tmp_path / "own.yaml"])
    again = read_back(known, tmp_path)
    same(known, again)
    for name in names:
        one, other = known.hosts[name], again.hosts[name]
        assert one.credential is not None and other.credential is not None
        assert replace(one.credential, place=None) == replace(other.credential, place=None)
        assert other.host_key_alias == f"{name}.example"


TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_is_read_back(value: Value) -> None:
    found = plain(parse_document(f"value: {flow(value)}\n".encode(), "x.yaml"))
    assert isinstance(found, Mapping) and as_plain(found["value"]) == as_plain(value)


def as_plain(value: Value) -> str:
    """Return a form in which 1, 1.0 and true differ."""
    if isinstance(value, Mapping):
        return repr({key: as_plain(item) for key, item in value.items()})
    return repr([as_plain(item) for item in value]) if isinstance(value, tuple) else repr(value)


def test_stores_of_secrets_are_written_with_what_refers_to_them(tmp_path: Path) -> None:
    """Each kind of store, with every key that it can have."""
    (tmp_path / "a.yaml").write_text(
        "secret_stores:\n"
        "  desk: {askpass: /usr/bin/desk, arguments: [a, 'b c'], deadline: 5s}\n"
        "  idle: {askpass: /usr/bin/idle}\n"
        "  team: {ansible_vault: v.yml, password: {env: A}}\n"
        "  both: {ansible_vault: v.yml, password: {a: {env: A}, b: {file: /b}}}\n"
        "  corp: {vault: 'https://vault.example:8200', token: {env: T}, namespace: n, mount: kv, version: 1, ca: ca.pem}\n"
        "  role: {vault: 'https://vault.example', role_id: r, secret_id: {keyring: a/b}, login: elsewhere}\n"
        "credentials:\n"
        "  one: {user: u, password: {desk: x}, become: {password: {corp: 'a/b#c'}}}\n"
        "  two: {user: u, key: k, passphrase: {team: p/q}, become: {password: {both: r}}}\n"
        "  three: {user: u, password: {role: 'a#b'}, become: {password: {secret: s}}}\n"
        "hosts: {h1: {credential: one}, h2: {credential: two}, h3: {credential: three}}\n"
    )
    known = load_inventory([tmp_path / "a.yaml"])
    (tmp_path / "b.yaml").write_text(written(known, list(known.hosts.values())))
    again = load_inventory([tmp_path / "b.yaml"])
    assert sorted(again.secret_stores) == ["both", "corp", "desk", "role", "team"]
    assert again.secret_stores == {name: known.secret_stores[name] for name in again.secret_stores}
    assert {name: replace(one, place=None) for name, one in again.credentials.items()} == {
        name: replace(one, place=None) for name, one in known.credentials.items()
    }
