"""What ansible-vault encrypted: opened as Ansible opens it, used where a host is reached, shown nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventory.ansible_vault import VaultClosed, VaultKeys
from inventory.cache import cached_inventory
from inventory.copies import Copies
from inventory.errors import InvalidFile, Place, SourceUnavailable
from inventory.host import SecretReference
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.secret import Secret
from inventory.secrets.in_ansible_vault import AnsibleVaultStore
from inventory.secrets.unattended import unattended
from inventory.sources.ansible import AnsibleSource
from inventory.sources.ansible_model import AnsibleInventory
from inventory.sources.found import Reading
from inventory.written import written
from tests.inventory.conftest import Listing
from tests.inventory.test_ansible_differential import ours, read, sorted_lists, theirs

ansible = pytest.importorskip("ansible.parsing.vault", reason="ansible-core is not installed")
PASSWORDS = {"dev": "dev password", "prod": "prod password"}


def encrypted(text: str, vault_id: str = "dev") -> str:
    """Return what ansible-vault itself makes of a text."""
    secret = ansible.VaultSecret(PASSWORDS[vault_id].encode())
    return str(ansible.VaultLib([(vault_id, secret)]).encrypt(text, secret, vault_id).decode())


def tagged(text: str, vault_id: str = "dev", indent: int = 2) -> str:
    """Return a value that is encrypted on its own, as YAML."""
    return "!vault |\n" + "".join(f"{' ' * indent}{line}\n" for line in encrypted(text, vault_id).splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the passwords and an inventory that names them; `ansible` in it is the source."""
    for name, password in PASSWORDS.items():
        (tmp_path / f"{name}.pass").write_text(password + "\n")
        (tmp_path / f"{name}.pass").chmod(0o600)
    (tmp_path / "ansible").mkdir()
    declare(tmp_path, "dev", "prod")
    return tmp_path


def declare(folder: Path, *ids: str, more: str = "") -> None:
    """Write an inventory of ours with Ansible's as its source, and these passwords."""
    passwords = ", ".join(f"{name}: {{file: {folder}/{name}.pass}}" for name in ids)
    source = f"ansible: {folder}/ansible, vault: {{{passwords}}}{more}"
    (folder / "inventory.yaml").write_text(f"sources: [{{{source}}}]\n")


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / "ansible" / name.replace("__", "/").replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def load(folder: Path) -> Inventory:
    return load_inventory([folder / "inventory.yaml"])


def noted(known: Inventory, folder: Path) -> list[str]:
    return [str(note).replace(f"{folder}/ansible/", "").split(" (")[0] for note in known.notes]


MIXED = {
    "hosts": "[web]\nh1\nh2\n",
    "group_vars__all__vars_yml": f"x: {tagged('x value', 'prod')}nested:\n  k: {tagged('5', indent=4)}  l: [1]\nplain: 1\n",
    "group_vars__all__vault_yml": encrypted("n: 5\nl: [1, {a: b}]\nempty: ''\nplain: 2\n", "prod"),
    "host_vars__h1": encrypted("own: h1\nn: 6\n"),
    "host_vars__h2_yml": f"y: {tagged('ключ с пробелом ')}",
}


def test_both_open_the_same(folder: Path, ansible_list: Listing) -> None:
    """`ansible-inventory` opens whole files and leaves single values closed: what those are, Ansible's own code says."""
    put(folder, **MIXED)
    ids = [word for name in PASSWORDS for word in ("--vault-id", f"{name}@{folder}/{name}.pass")]
    library = ansible.VaultLib([(name, ansible.VaultSecret(password.encode())) for name, password in PASSWORDS.items()])

    def opened(found: dict[str, Any]) -> Any:
        closed = found.get("__ansible_vault")
        return library.decrypt(closed.encode()).decode() if closed else found.get("__ansible_unsafe", found)

    assert ours(as_ansible(folder)) == sorted_lists(json.loads(ansible_list(folder / "ansible", *ids), object_hook=opened))


def as_ansible(folder: Path) -> AnsibleInventory:
    """Return Ansible's picture of the source, everything in it opened."""
    passwords = tuple((name, SecretReference(kind="file", value=f"{folder}/{name}.pass")) for name in PASSWORDS)
    source = AnsibleSource(path=folder / "ansible", place=Place("inventory.yaml", 1, 1), passwords=passwords)
    known = source.inventory(Reading(copies=Copies(), now=datetime.now(UTC)))
    assert not known.problems and known.vaults is not None
    of_groups = [variables for one in known.groups.values() for variables in (one.variables, one.files)]
    of_hosts = [variables for one in known.hosts.values() for variables in (one.variables, one.files)]
    for variables in (*of_groups, *of_hosts):
        for name, given in variables.items():
            if given.sealed is not None and given.sealed.node is not None:
                variables[name] = replace(given, value=known.vaults.value(given.sealed))
    return known


def test_passwords_become_references_to_where_they_stand(folder: Path) -> None:
    put(
        folder,
        hosts="h1\nh2\nh3 ansible_become_user=app\n",
        group_vars__all__vars_yml="ansible_user: ops\nansible_password: '{{ vault_login }}'\n"
        f"ansible_become_password: {tagged('sudo hunter2', 'prod')}",
        group_vars__all__vault_yml=encrypted("vault_login: login hunter2\n"),
        host_vars__h2_yml=f"ansible_password: {tagged('own hunter2')}",
    )
    known = load(folder)
    resolved = {name: [resolve(one) for one in secrets(known, name)] for name in known.hosts}
    assert resolved == {
        "h1": ["login hunter2", "sudo hunter2"],
        "h2": ["own hunter2", "sudo hunter2"],
        "h3": ["login hunter2", "sudo hunter2"],
    }
    assert len({host.credential.name for host in known.hosts.values() if host.credential}) == 2
    assert "hunter2" not in repr(known) and "password" not in " ".join(known.hosts["h1"].vars)
    again = folder / "again.yaml"
    again.write_text(written(known, list(known.hosts.values())))
    assert "hunter2" not in again.read_text()
    assert [resolve(one) for one in secrets(load_inventory([again]), "h2")] == resolved["h2"]


def secrets(known: Inventory, name: str) -> list[Any]:
    credential = known.hosts[name].credential
    assert credential is not None and credential.user == "ops"
    return [credential.password, credential.become_password]


def resolve(reference: Any) -> str | None:
    return None if reference is None else AnsibleVaultStore(reference.store, unattended).read(reference.value)


def test_what_says_how_a_host_is_reached_is_opened_and_the_rest_stays_closed(folder: Path) -> None:
    put(
        folder,
        hosts="h1 ansible_host='{{ address }}.{{ zone }}'\n",
        group_vars__all__vault_yml=encrypted(
            "address: db\nansible_port: 2222\nansible_user: ops\nrole: web\ncommunity: public77\n"
        ),
        group_vars__all__vars_yml=f"zone: {tagged('example.net')}site: {tagged('Берлин')}rack: {tagged('r1')}",
    )
    declare(folder, "dev", more=", reveal: [role, rack]")
    known = load(folder)
    (host,) = known.hosts.values()
    assert (host.address, host.port, host.site) == ("db.example.net", 2222, "Берлин")
    assert host.vars == {"role": "web", "rack": "r1"}
    assert "public77" not in repr(known)
    assert sorted(noted(known, folder)) == [
        "group_vars/all/vars.yml:1:1: “zone” is left out: ansible-vault encrypted it",
        "group_vars/all/vault.yml:1:1: “address” is left out: ansible-vault encrypted it",
        "group_vars/all/vault.yml:5:1: “community” is left out: ansible-vault encrypted it",
    ]


@pytest.mark.parametrize("name", ["hosts", "hosts_yml"])
def test_an_inventory_that_is_encrypted_as_a_whole_is_read(folder: Path, name: str) -> None:
    plain = {
        "hosts": "[web]\nh1 ansible_port=2222 note=inner\n",
        "hosts_yml": "web: {hosts: {h1: {ansible_port: 2222, note: inner}}}\n",
    }
    put(folder, **{name: encrypted(plain[name], "prod")})
    known = load(folder)
    assert (known.hosts["h1"].port, known.hosts["h1"].groups, dict(known.hosts["h1"].vars)) == (2222, ("web",), {})


def test_what_is_wrong_in_an_encrypted_file_is_told_without_its_words(folder: Path) -> None:
    wrong = {
        "hosts": (
            "[web]\nh1\nhunter2 is no = variable\n[hunter2 x]\n",
            "hosts:4:1: what ansible-vault encrypted here cannot be read",
        ),
        "group_vars__all_yml": ("hunter2: [1\n", "what ansible-vault encrypted here cannot be read"),
        "host_vars__h1_yml": ("hunter2: !!python/object x\n", "what ansible-vault encrypted here cannot be read"),
    }
    for name, (text, says) in wrong.items():
        put(folder, hosts="h1\n")
        put(folder, **{name: encrypted(text)})
        with pytest.raises(InvalidFile) as refused:
            load(folder)
        assert says in str(refused.value) and "hunter2" not in str(refused.value), name
        (folder / "ansible" / name.replace("__", "/").replace("_yml", ".yml")).unlink()


def test_a_password_that_does_not_fit_is_told_at_the_place(folder: Path) -> None:
    put(folder, hosts="h1\n", group_vars__all__a_yml=f"ansible_port: {tagged('22', 'prod')}plain: 1\n")
    declare(folder, "dev")
    known = load(folder)
    assert (known.hosts["h1"].port, dict(known.hosts["h1"].vars)) == (None, {"plain": 1})
    assert noted(known, folder)[0].startswith("group_vars/all/a.yml:1:1: left out: no password that is given opens it")
    put(folder, group_vars__all__b_yml=encrypted("x: 1\n", "prod"))
    with pytest.raises(InvalidFile, match=r"b\.yml:1:1: no password that is given opens it .vault id prod; tried dev"):
        load(folder)


def test_without_a_password_all_is_left_out_and_the_way_to_it_is_told(folder: Path) -> None:
    put(folder, **MIXED)
    (folder / "inventory.yaml").write_text(f"sources: [{{ansible: {folder}/ansible}}]\n")
    known = load(folder)
    assert known.hosts["h1"].vars == {"plain": 1}
    (note,) = [note for note in known.notes if note.place.file.endswith("vault.yml")]
    assert str(note.hint) == "say where its password is kept: vault: {prompt: vault password}"


def test_a_password_that_cannot_be_had_stops_the_reading(folder: Path) -> None:
    put(folder, **MIXED)
    (folder / "prod.pass").unlink()
    with pytest.raises(SourceUnavailable, match=r"prod\.pass: No such file"):
        load(folder)


def test_nothing_decrypted_is_kept_in_the_home(folder: Path) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)

    def read(offline: bool = False) -> Inventory:
        copies = Copies(home / "cache" / "sources", offline=offline)
        return cached_inventory([folder / "inventory.yaml"], copies, home / "cache" / "inventory")

    put(folder, hosts="h1\n", group_vars__all_yml=f"ansible_user: ops\nansible_password: {tagged('hunter2')}")
    read()
    (cache,) = home.rglob("*.cache")  # a reference is no secret
    assert [resolve(one) for one in secrets(read(), "h1")] == ["hunter2", None]
    cache.unlink()
    read(offline=True)  # nobody is asked for a password then, so what is found is not what holds
    put(folder, group_vars__all_yml=f"ansible_user: {tagged('hunter2')}")
    assert read().hosts["h1"].credential is not None
    assert not list(home.rglob("*.cache"))


def test_a_nested_password_is_found_by_the_keys_that_lead_to_it(folder: Path) -> None:
    deep = tagged("deep hunter2", indent=12)
    way = "all:\n  children:\n    a/b~c:\n      hosts:\n        h1:\n          "
    put(folder, hosts_yml=f"{way}ansible_user: ops\n          ansible_password: {deep}")
    known = load(folder)
    password, _ = secrets(known, "h1")
    assert password.value == "all/children/a~1b~0c/hosts/h1/ansible_password"
    assert resolve(password) == "deep hunter2"


def test_of_several_names_for_a_password_the_one_holds_that_ansible_takes(folder: Path) -> None:
    names = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_become_password", "ansible_become_pass")
    put(folder, hosts="h1\n", group_vars__all_yml="ansible_user: ops\n" + "".join(f"{name}: {tagged(name)}" for name in names))
    known = load(folder)
    assert [resolve(one) for one in secrets(known, "h1")] == ["ansible_ssh_password", "ansible_become_pass"]
    assert known.notes == ()


def test_what_is_cut_or_changed_is_not_opened() -> None:
    keys, good = VaultKeys({"dev": lambda: Secret("dev password\n")}), encrypted("hunter2")
    assert keys.opened(good.encode()) == b"hunter2"
    assert keys.opened(encrypted("").encode()) == b""
    for bad in (
        good[:-20],
        good.replace("1.2", "1.3"),
        good.replace("AES256", "AES"),
        good[:60] + "zz" + good[62:],
        good + "00",
    ):
        with pytest.raises(VaultClosed):
            keys.opened(bad.encode())
    flipped = good[:-2] + ("0" if good[-2] != "0" else "1") + good[-1]
    with pytest.raises(VaultClosed):
        keys.opened(flipped.encode())


NO_META = """#!/bin/sh
case $1 in
--list) echo '{"web": {"hosts": ["h1", "h2"], "vars": {"v": 1}}, "db": ["h3"]}' ;;
--host) case $2 in h1) echo '{"ansible_port": 2222, "own": "h1"}' ;; h2) ;; *) echo '{"own": "h3"}' ;; esac ;;
esac
"""


def program(folder: Path, text: str, more: str = "") -> None:
    (folder / "ansible").rmdir()
    (folder / "ansible").write_text(text)
    (folder / "ansible").chmod(0o755)
    (folder / "inventory.yaml").write_text(f"sources: [{{ansible: {folder}/ansible, programs: true{more}}}]\n")


def test_a_program_without_meta_is_asked_for_each_host(folder: Path, ansible_list: Listing) -> None:
    program(folder, NO_META)
    assert ours(read(folder / "ansible")) == sorted_lists(theirs(ansible_list(folder / "ansible")))
    known = load(folder)
    assert {name: (host.port, dict(host.vars)) for name, host in known.hosts.items()} == {
        "h1": (2222, {"v": 1, "own": "h1"}),
        "h2": (None, {"v": 1}),
        "h3": (None, {"own": "h3"}),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#!/bin/sh\necho '[\"h1\"]'\n", "must be a mapping"),
        ('#!/bin/sh\n[ "$1" = --list ] && echo \'{"g": ["h1"]}\' || echo \'[1]\'\n', "--host h1 prints no JSON object"),
        ('#!/bin/sh\n[ "$1" = --list ] && echo \'{"g": ["h1"]}\' || echo no\n', "--host h1 prints no JSON object"),
        ('#!/bin/sh\n[ "$1" = --list ] && echo \'{"g": ["h1"]}\' || exit 3\n', "ended with 3"),
        ('#!/bin/sh\n[ "$1" = --list ] && echo \'{"g": ["h1", "h2", "h3"]}\' || exec sleep 30\n', "had not ended after"),
        ("#!/bin/sh\necho '{\"g\": ['\nseq 1 1001 | sed 's/.*/\"h&\",/'\necho '\"h0\"]}'\n", "“_meta” is missing"),
    ],
)
def test_a_program_that_does_not_say_it_of_each_host_is_told(folder: Path, text: str, says: str) -> None:
    program(folder, text, ", deadline: 1500ms" if "sleep" in text else ", deadline: 120s")
    with pytest.raises((InvalidFile, SourceUnavailable), match=says):
        load(folder)
