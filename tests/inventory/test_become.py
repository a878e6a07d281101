"""How another user is become: set for hosts, groups and all, said by credentials, merged key by key, written again as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.host import Become, BecomeMethod
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.written import written

TEXT = """
credentials:
  ops: {user: ops, agent: true, become: {method: su, user: admin, password: {env: OPS}}}
  plain: {user: plain, agent: true}
defaults: {credential: ops}
groups:
  alpine: {become: {method: doas}, hosts: [edge]}
  quiet: {become: {method: none}}
hosts:
  edge: {}
  db: {become: {user: oracle}}
  bare: {credential: plain}
  both: {credential: plain, become: {method: su, user: oracle}}
"""


def load(folder: Path, text: str) -> Inventory:
    (folder / "inventory.yaml").write_text(text)
    return load_inventory([folder / "inventory.yaml"])


EXPECTED = {
    "edge": Become(method=BecomeMethod.DOAS, user="admin"),
    "db": Become(method=BecomeMethod.SU, user="oracle"),
    "bare": Become(),
    "both": Become(method=BecomeMethod.SU, user="oracle"),
}


def test_what_is_set_for_a_host_holds_over_its_credential_key_by_key(tmp_path: Path) -> None:
    known = load(tmp_path, TEXT)
    assert {name: host.become for name, host in known.hosts.items()} == EXPECTED
    assert str(known.hosts["edge"].origins["become.method"]).endswith("inventory.yaml:7:29")
    assert [host.name for host in known.select("become=su").hosts] == ["db", "both"]


def test_it_is_written_as_it_is_read(tmp_path: Path) -> None:
    known = load(tmp_path, TEXT)
    again = load(tmp_path, written(known, tuple(known.hosts.values())))
    assert {name: host.become for name, host in again.hosts.items()} == EXPECTED
    assert again.credentials["ops"].become_password == known.credentials["ops"].become_password


MISTAKES = {
    "hosts: {a: {become: {method: sud}}}": "1:30: “method” cannot be “sud” (did you mean sudo",
    "hosts: {a: {become: {user: -x}}}": "1:28: “-x” is not the name of a user",
    "hosts: {a: {become: {user: ''}}}": "1:28: “” is not the name of a user",
    "hosts: {a: {become: {password: {env: X}}}}": "1:22: a password belongs to a credential (write it in the credential: ",
    "hosts: {a: {become: sudo}}": "1:21: “become” must be a mapping",
    "credentials: {c: {user: u, become: {password: x}}}": "1:47: a secret is never written in an inventory",
    "credentials: {c: {user: u, become: {methd: su}}}": "1:37: “become” has no key “methd” (did you mean method?)",
    "credentials: {c: {user: u, agent: true, sudo_password: {env: X}}}": "1:41: the credential c has no key “sudo_password”",
    "groups: {g: {become: {method: su}, hosts: [a]}, h: {become: {method: doas}, hosts: [a]}}\nhosts: {a: {}}": (
        "1:70: two groups of the host a give “become.method” different values"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_each_mistake_has_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidFile) as told:
        load(tmp_path, text + "\n")
    assert str(told.value.problems[0]).removeprefix(f"{tmp_path}/inventory.yaml:").startswith(MISTAKES[text])
