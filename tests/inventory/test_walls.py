"""Customers are walls: of hosts, groups, credentials, waivers and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.errors import InvalidFile, NothingMatched
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.walls import CustomersMixed, refuse_mixed

TWO = """
credentials:
  acme-ops: {user: ops, key: ~/.ssh/acme, customer: ACME}
  beta-ops: {user: ops, key: ~/.ssh/beta, customer: Beta}
  ours: {user: support, agent: true}
groups:
  acme: {customer: ACME, credential: acme-ops, hosts: {a1: {}, a2: {credential: ours}}}
  beta: {customer: Beta, credential: beta-ops, hosts: {b1: {}}}
  web: {hosts: [a1, b1], groups: [front]}
  front: {hosts: [b1]}
hosts: {lab: {credential: ours}}
waivers:
  - {check: fs-space, targets: beta, reason: r, owner: o, expires: never}
"""


def load(folder: Path, text: str) -> Inventory:
    (folder / "inventory.yaml").write_text(text)
    return load_inventory([folder / "inventory.yaml"])


@pytest.mark.parametrize("name", ["ACME", "acme"])
def test_behind_a_wall_nothing_of_the_others_is_known(tmp_path: Path, name: str) -> None:
    whole = load(tmp_path, TWO + "  - {check: fs-space, targets: customer=Gamma, reason: r, owner: o, expires: never}\n")
    acme = whole.of_customer(name)
    assert whole.notes and acme.notes == ()
    assert list(acme.hosts) == ["a1", "a2"] and acme.waivers == ()
    assert {key: group.hosts for key, group in acme.groups.items()} == {"acme": ("a1", "a2"), "web": ("a1",)}
    assert acme.groups["web"].groups == () and list(acme.credentials) == ["acme-ops", "ours"]
    for target in ("b1", "beta", "front", "customer=Beta", "credential=beta-ops", "lab"):
        with pytest.raises(NothingMatched) as caught:
            acme.select(target)
        assert not {"b1", "beta-ops", "Beta"} & set(caught.value.nearest)


def test_upper_and_lower_case_do_not_make_two_customers(tmp_path: Path) -> None:
    known = load(
        tmp_path,
        "hosts:\n  a: {customer: Acme}\n  b: {customer: acme, via: a}\n  c: {customer: ACME}\n"
        "credentials: {x: {user: u, agent: true, customer: acmE}}\ndefaults: {credential: x}\n",
    )
    assert {host.customer for host in known.hosts.values()} == {"Acme"}
    refuse_mixed(known.select("all"))
    refuse_mixed(known.of_customer("acme").select("all"))
    assert [str(note.text) for note in known.notes] == [
        "“acme” is taken for the customer “Acme”",
        "“ACME” is taken for the customer “Acme”",
    ]


def test_a_customer_without_hosts_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NothingMatched) as caught:
        load(tmp_path, TWO).of_customer("Acma")
    assert caught.value.nearest == ("ACME",)


@pytest.mark.parametrize(
    ("target", "mixed"), [("acme, lab", False), ("all", True), ("web", True), ("b1", False), ("lab", False)]
)
def test_one_selection_has_one_customer(tmp_path: Path, target: str, mixed: bool) -> None:
    selection = load(tmp_path, TWO).select(target)
    if mixed:
        with pytest.raises(CustomersMixed) as caught:
            refuse_mixed(selection)
        assert caught.value.customers == ("ACME", "Beta")
    else:
        refuse_mixed(selection)


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ("hosts: {x: {customer: Beta, credential: c}}\n", "2:41: the credential c is for hosts of ACME, not of Beta"),
        ("hosts: {x: {credential: c}}\n", "2:25: the credential c is for hosts of ACME, but this one has no customer"),
        (
            "defaults: {credential: c}\nhosts: {x: {customer: ACME}, y: {customer: Beta}}\n",
            "2:24: the credential c is for hosts of ACME, not of Beta",
        ),
    ],
)
def test_a_credential_of_one_customer_is_never_used_for_another(tmp_path: Path, hosts: str, told: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, "credentials: {c: {user: u, key: k, customer: acme}}\n".replace("acme", "ACME") + hosts)
    assert told in str(caught.value)


def test_the_wall_of_a_credential_knows_no_case(tmp_path: Path) -> None:
    known = load(tmp_path, "credentials: {c: {user: u, key: k, customer: acme}}\nhosts: {x: {customer: ACME, credential: c}}\n")
    assert known.hosts["x"].credential == known.credentials["c"]
