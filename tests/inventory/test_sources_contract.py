"""One contract for every kind of source: what it knows, with its origin, and how it lies under our own files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.copies import Copies
from inventory.errors import InvalidFile, LongarmError, NothingMatched, SourceUnavailable
from inventory.inventory import Inventory
from inventory.own import load_inventory
from tests.inventory.netbox_server import TOKEN, NetBox, Server, at, device

SECRET = "hunter2-canary"


@dataclass(frozen=True)
class Wanted:
    """A host that a source is to know."""

    name: str
    address: str
    port: int = 22
    variables: Mapping[str, str | int] | None = None


@dataclass(frozen=True)
class Kind:
    """How a kind of source is made to know hosts, all in one group `web` where it has groups, and what it cannot hold."""

    make: Callable[[Path, list[Wanted]], str]
    """Writes what the source reads into a folder and returns its declaration."""
    missing: str
    """A declaration of something that is not there."""
    holds_groups: bool = True
    holds_variables: bool = True
    holds_ports: bool = True


def program(folder: Path, hosts: list[Wanted]) -> str:
    known = {one.name: {"address": one.address, "port": one.port, "vars": dict(one.variables or {})} for one in hosts}
    document = {"hosts": known, "groups": {"web": {"hosts": [one.name for one in hosts]}}}
    path = folder / "hosts.sh"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(document)}\nEND\n")
    path.chmod(0o755)
    return f"{{program: {path}}}"


def ansible(folder: Path, hosts: list[Wanted]) -> str:
    lines = ["[web]"]
    for one in hosts:
        variables = {"ansible_host": one.address, "ansible_port": one.port, **(one.variables or {})}
        lines.append(" ".join([one.name, *(f"{name}={value}" for name, value in variables.items())]))
    (folder / "hosts.ini").write_text("\n".join(lines) + "\n")
    return f"{{ansible: {folder}/hosts.ini}}"


def ssh_config(folder: Path, hosts: list[Wanted]) -> str:
    lines = [f'Host "{one.name}"\n  HostName {one.address}\n  Port {one.port}\n' for one in hosts]
    (folder / "ssh_config").write_text("".join(lines))
    return f"{{ssh_config: {folder}/ssh_config}}"


def sheet(folder: Path, hosts: list[Wanted]) -> str:
    names = sorted({name for one in hosts for name in one.variables or {}})
    rows = [["name", "address", "port", "groups", *names]]
    rows += [
        [one.name, one.address, str(one.port), "web", *(str((one.variables or {}).get(n, "")) for n in names)] for one in hosts
    ]
    (folder / "hosts.csv").write_text("".join(";".join(row) + "\n" for row in rows))
    return f"{{csv: {folder}/hosts.csv, vars: {{{', '.join(f'{name}: {name}' for name in names)}}}}}"


def netbox(folder: Path, hosts: list[Wanted]) -> str:
    known = NetBox(
        devices=[device(number, one.name, primary_ip=at(f"{one.address}/24")) for number, one in enumerate(hosts, 1)]
    )
    SERVERS.append(Server(known))
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    return f"{{netbox: '{known.url}', token: {{file: {folder}/token}}}}"


SERVERS: list[Server] = []
"""Those of the test that runs."""


@pytest.fixture(autouse=True)
def stopped_servers() -> Iterator[None]:
    yield
    while SERVERS:
        SERVERS.pop().stop()


KINDS = {
    "netbox": Kind(
        netbox,
        "{netbox: 'http://localhost:1', token: {env: PATH}}",
        holds_groups=False,
        holds_variables=False,
        holds_ports=False,
    ),
    "csv": Kind(sheet, "{csv: /nowhere/hosts.csv}"),
    "ssh_config": Kind(ssh_config, "{ssh_config: /nowhere/config}", holds_groups=False, holds_variables=False),
    "ansible": Kind(ansible, "{ansible: /nowhere/hosts}"),
    "program": Kind(program, "{program: /nowhere/hosts}"),
}
HOSTS = [Wanted("web1", "192.0.2.1", 2222, {"role": "front"}), Wanted("web2", "192.0.2.2", 22, {"role": "back"})]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def load(folder: Path, *sources: str, own: str = "") -> Inventory:
    path = folder / "inventory.yaml"
    path.write_text("sources:\n" + "".join(f"  - {source}\n" for source in sources) + own)
    return load_inventory([path])


def made(kind: Kind, folder: Path, hosts: list[Wanted]) -> str:
    folder.mkdir(exist_ok=True)
    return kind.make(folder, hosts)


def test_it_knows_hosts_with_address_and_port(kind: Kind, tmp_path: Path) -> None:
    known = load(tmp_path, made(kind, tmp_path, HOSTS)).hosts
    assert [(host.name, host.address, host.port or 22) for host in known.values()] == [
        ("web1", "192.0.2.1", 2222 if kind.holds_ports else 22),
        ("web2", "192.0.2.2", 22),
    ]


def test_each_host_and_value_has_its_origin(kind: Kind, tmp_path: Path) -> None:
    known = load(tmp_path, made(kind, tmp_path, HOSTS)).hosts
    for host in known.values():
        assert host.place and host.address_place
        assert str(tmp_path) in str(host.place) or "://" in str(host.place)
        for key in {"port"} | ({"vars.role"} if kind.holds_variables else set()):
            assert host.port is None or host.origins[key].file == host.address_place.file
    if kind.holds_variables:
        assert [host.vars["role"] for host in known.values()] == ["front", "back"]


def test_what_our_own_files_say_holds_over_it_and_defaults_do_not(kind: Kind, tmp_path: Path) -> None:
    own = "defaults: {port: 1, site: nowhere}\ngroups: {dmz: {hosts: [web1], site: berlin}}\n"
    own += "hosts: {web2: {address: 198.51.100.9, port: 9}}\n"
    known = load(tmp_path, made(kind, tmp_path, HOSTS), own=own).hosts
    assert (known["web1"].port, known["web1"].site, known["web1"].address) == (
        2222 if kind.holds_ports else 1,
        "berlin",
        "192.0.2.1",
    )
    assert (known["web2"].port, known["web2"].address) == (9, "198.51.100.9")
    assert known["web2"].site in ("nowhere", "Berlin")  # the default, or what the source itself says
    assert "dmz" in known["web1"].groups and known["web1"].origins["site"].file == str(tmp_path / "inventory.yaml")


def test_a_later_source_lies_over_an_earlier_one(kind: Kind, tmp_path: Path) -> None:
    first = made(kind, tmp_path / "a", HOSTS)
    second = made(kind, tmp_path / "b", [Wanted("WEB1", "203.0.113.7", 2200), Wanted("db1", "203.0.113.8")])
    known = load(tmp_path, first, second).hosts
    assert [host.address for host in known.values()] == ["203.0.113.7", "192.0.2.2", "203.0.113.8"]
    assert known["web1"].port == (2200 if kind.holds_ports else None)
    known = load(tmp_path, second, first).hosts
    assert known["WEB1"].address == "192.0.2.1" and known["WEB1"].port == (2222 if kind.holds_ports else None)


def test_its_groups_can_be_chosen_and_given_settings(kind: Kind, tmp_path: Path) -> None:
    if not kind.holds_groups:
        with pytest.raises(NothingMatched):
            load(tmp_path, made(kind, tmp_path, HOSTS)).select("web")
        return
    known = load(tmp_path, made(kind, tmp_path, HOSTS), own="groups: {web: {tags: [front]}}\n")
    assert [host.name for host in known.select("web and tag=front").hosts] == ["web1", "web2"]


def test_what_is_not_there_is_told_where_it_is_declared(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(LongarmError) as caught:
        load(tmp_path, kind.missing)
    error = caught.value
    assert isinstance(error, InvalidFile | SourceUnavailable)
    places = [problem.place for problem in error.problems] if isinstance(error, InvalidFile) else [error.place]
    assert all(place.file.startswith((str(tmp_path / "inventory.yaml"), "/nowhere")) for place in places)


def test_no_secret_becomes_a_variable(kind: Kind, tmp_path: Path) -> None:
    if not kind.holds_variables:
        return
    hosts = [Wanted("web1", "192.0.2.1", variables={"db_password": SECRET, "role": "x"})]
    try:
        known = load(tmp_path, made(kind, tmp_path, hosts))
    except InvalidFile as error:
        assert "looks like a secret" in str(error) and SECRET not in str(error)
        return
    assert SECRET not in repr(known) and known.hosts["web1"].vars == {"role": "x"}
    assert any("db_password" in str(note) for note in known.notes) and not any(SECRET in str(note) for note in known.notes)


def test_a_name_that_could_be_an_option_is_refused(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile):
        load(tmp_path, made(kind, tmp_path, [Wanted("-oProxyCommand=id", "192.0.2.1")]))


def test_reading_twice_says_the_same(kind: Kind, tmp_path: Path) -> None:
    source = made(kind, tmp_path, HOSTS)
    assert load(tmp_path, source).hosts == load(tmp_path, source).hosts
    assert load_inventory([tmp_path / "inventory.yaml"], Copies(tmp_path / "copies")).copies == ()
