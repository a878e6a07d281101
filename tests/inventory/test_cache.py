"""The cache: the same inventory to the last place, read anew whenever anything that it was read from has changed."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inventory.cache
from inventory.cache import MOST_FILES, cached_inventory
from inventory.cache_hosts import HostTable
from inventory.copies import Copies
from inventory.errors import InvalidFile, LongarmError, NothingMatched
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.written import flow
from tests.inventory import netbox_server, test_sources_contract
from tests.inventory.ansible_corpus import WRITTEN, generated
from tests.inventory.test_ansible_differential import written
from tests.inventory.test_sources_contract import HOSTS
from tests.inventory.test_sources_contract import KINDS as SOURCES
from tests.inventory.typed import typed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def read(home: Path, *paths: Any, offline: bool = False, notes: list[str] | None = None) -> Inventory:
    cache = home / "cache"
    said: list[str] = [] if notes is None else notes
    copies = Copies(cache / "sources", offline=offline)
    return cached_inventory(paths, copies, cache / "inventory", note=lambda text: said.append(str(text)))


def from_cache(known: Inventory) -> bool:
    return isinstance(known.hosts, HostTable)


def picture(known: Inventory) -> dict[str, Any]:
    """Return everything that an inventory knows with its types, the places that hosts are compared without included."""
    rest = {field.name: getattr(known, field.name) for field in dataclasses.fields(known)}
    rest |= {"copies": [replace(copy, age=copy.age * 0) for copy in known.copies], "order": list(known.groups)}
    return {name: typed(value) for name, value in rest.items()}


def assert_same(home: Path, *paths: Any) -> None:
    anew = load_inventory(paths, Copies(home / "cache" / "sources"))
    assert not from_cache(read(home, *paths))
    known = read(home, *paths)
    assert from_cache(known)
    assert picture(known) == picture(anew)
    chosen = {name: known.select(name).hosts for name in known.hosts if "'" not in name}
    assert chosen == {name: (anew.hosts[name],) for name in chosen}


SEEDS = range(6)


@pytest.mark.parametrize("name", [*WRITTEN, *(f"seed {seed}" for seed in SEEDS)])
def test_what_ansible_says_is_the_same_from_the_cache(home: Path, name: str, tmp_path: Path) -> None:
    files = WRITTEN[name] if name in WRITTEN else generated(int(name.split()[1]))
    source = written(files, tmp_path / "files")
    (home / "inventory.yaml").write_text(f"sources: [{{ansible: {source}, programs: true, fresh: 1h}}]\n")
    try:
        load_inventory([home / "inventory.yaml"], Copies(home / "cache" / "sources"))
    except LongarmError:
        for _ in range(2):
            with pytest.raises(LongarmError):
                read(home, home / "inventory.yaml")
        assert not list(home.rglob("*.cache"))
        return
    assert_same(home, home / "inventory.yaml")


def test_our_own_files_are_the_same_from_the_cache(home: Path, tmp_path: Path) -> None:
    assert_same(home, ROOT / "tests/data/inventory/example.yaml")
    (tmp_path / "more.yaml").write_text(MORE)
    assert_same(home, tmp_path / "more.yaml")


MORE = """
proxy_programs: [/usr/bin/nc]
secret_stores:
  desk: {askpass: /usr/bin/desk, arguments: [a, b], deadline: 5s}
  corp: {vault: 'https://vault.example:8200', token: {env: T}, namespace: n}
  team: {ansible_vault: v.yml, password: {a: {env: A}, b: {file: /b}}}
credentials:
  one: {user: u, password: {desk: x}, become: {password: {corp: 'a/b#c'}}}
  two: {user: u, key: ~/k, passphrase: {team: p/q}, customer: acme}
  idle: {user: nobody, agent: true}
  keyed: {user: u, key: ~/k, certificate: ~/c, agent: named, become: {method: doas, user: postgres}}
  tickets: {user: u, kerberos: {principal: u@REALM, keytab: ~/kt, optional: true}}
  codes: {user: u, key: ~/k, otp: {secret: {env: OTP}}, methods: [publickey, keyboard-interactive]}
defaults: {vars: {thresholds: {fs-space: {warning: 70.5}}, deep: {a: [1, {b: null}], c: {d: [true, 1.0, 1e300, '']}}}}
groups:
  g: {customer: acme, tags: [t], groups: {inner: {hosts: {"h[1:3]": {address: '10.0.0.[1:3]', port: 22}}}}, credential: two}
  dmz: {via: gate, expect: {services: [a], ports: [80, udp/1], names: [n]}, hosts: {gate: {}, in1: {}, in2: {tags: [x, y]}}}
hosts:
  lone: {transport: local, credential: one}
  win: {platform: windows, transport: winrm}
  sud: {credential: one, become: {user: oracle}}
  sus: {credential: one, become: {method: su}}
  doa: {credential: keyed, ssh_library: either}
  non: {become: {method: none}, ssh_library: paramiko, proxy: 'http://proxy.example:3128', proxy_credential: one}
  cmd: {proxy_command: [/usr/bin/nc, '%h', '%p'], credential: keyed}
  krb: {platform: windows, transport: psrp, credential: tickets, winrm: {scheme: http, auth: kerberos, endpoint: Desk}}
  csp: {platform: windows, transport: winrm, winrm: {auth: credssp, allow_credssp: true, ca: /etc/ca.pem}}
  old:
    credential: codes
    host_key_alias: other
    ssh_algorithms: {kex: [+diffie-hellman-group14-sha1], host_keys: [+ssh-rsa]}
    proxy: socks5://proxy.example:1080
waivers:
  - {check: fs-space, targets: g, reason: r, owner: o, expires: 2027-01-01, subject: {mount: '/x*'}}
  - {check: fs-space, targets: nothing-there, reason: r, owner: o, expires: never}
"""

SIMPLE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Co", "Cf", "Zl", "Zp")), max_size=12)
NAMES = st.text("abcdefghij", min_size=3, max_size=6)
VALUES = st.recursive(
    SIMPLE | TEXTS, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(NAMES, inner, max_size=3)
)


@given(variables=st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=4))
def test_any_variables_are_the_same_from_the_cache(tmp_path_factory: pytest.TempPathFactory, variables: list[Any]) -> None:
    home = tmp_path_factory.mktemp("home")
    hosts = "".join(f"  h{number}: {{vars: {flow(one)}}}\n" for number, one in enumerate(variables))
    (home / "inventory.yaml").write_text(f"groups: {{g: {{vars: {flow(variables[0])}, hosts: [h0]}}}}\nhosts:\n{hosts}")
    try:
        load_inventory([home / "inventory.yaml"])
    except InvalidFile:  # a name that looks like a secret, numbers that do not fit: what is refused is not kept
        with pytest.raises(InvalidFile):
            read(home, home / "inventory.yaml")
        return
    assert_same(home, home / "inventory.yaml")


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_of_source_is_the_same_from_the_cache(home: Path, kind: str, tmp_path: Path) -> None:
    declaration = SOURCES[kind].make(tmp_path, HOSTS)
    fresh = declaration[:-1] + ", fresh: 1h}" if kind in ("program", "netbox") else declaration
    (home / "inventory.yaml").write_text(f"sources: [{fresh}]\ngroups: {{mine: {{hosts: [web1]}}}}\n")
    try:
        first, second = read(home, home / "inventory.yaml"), read(home, home / "inventory.yaml")
        assert (from_cache(first), from_cache(second)) == (False, True)
        third = load_inventory([home / "inventory.yaml"], Copies(home / "cache" / "sources"))
        assert picture(second) == picture(third)
        assert len(second.copies) == (1 if fresh != declaration else 0)
        for path in (home / "cache" / "inventory").iterdir():
            assert netbox_server.TOKEN.encode() not in path.read_bytes() and path.stat().st_mode & 0o777 == 0o600
    finally:
        while test_sources_contract.SERVERS:
            test_sources_contract.SERVERS.pop().stop()


def test_expressions_choose_the_same_and_miss_with_the_same_words(home: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(MORE)
    read(home, tmp_path / "more.yaml")
    known, anew = read(home, tmp_path / "more.yaml"), load_inventory([tmp_path / "more.yaml"])
    for expression in EXPRESSIONS:
        assert outcome(read(home, tmp_path / "more.yaml"), expression) == outcome(anew, expression), expression
        assert outcome(known, expression) == outcome(anew, expression), expression
    assert known.select("h1").hosts[0] is known.hosts["h1"]
    assert picture(known.of_customer("ACME")) == picture(anew.of_customer("ACME"))
    for customer in ("acne", "zzz"):
        with pytest.raises(NothingMatched) as here:
            known.of_customer(customer)
        with pytest.raises(NothingMatched) as there:
            anew.of_customer(customer)
        assert str(here.value) == str(there.value) and here.value.nearest == there.value.nearest


EXPRESSIONS = (
    """
all;h1;H1;h[1:3];h*;g;inner,lone;not g;g and not h1;tag=t;tag=x,tag=y;site=x;site!=x;port=22;customer=ACME;customer!=acme
via=gate;credential=two;platform=windows;transport=local;address=10.0.0.*;become=su;become=none;deep=1;thresholds.fs-space.warning=70.5;nope;h9
tag=tt;not zzz;gg;dep=1;(;credentials=two;cutsomer=acme;'h1';'g'
""".strip()
    .replace("\n", ";")
    .split(";")
)


def outcome(known: Inventory, expression: str) -> object:
    try:
        return [host.name for host in known.select(expression).hosts]
    except LongarmError as error:
        return str(error), str(error.hint)


def test_one_host_is_made_alone(home: Path, tmp_path: Path) -> None:
    text = "groups: {g: {site: s, hosts: {'h[00001:02000]': {tags: [a]}}}}\n"
    (tmp_path / "big.yaml").write_text(text)
    read(home, tmp_path / "big.yaml")
    known = read(home, tmp_path / "big.yaml")
    assert [host.name for host in known.select("h01234").hosts] == ["h01234"]
    assert isinstance(known.hosts, HostTable) and list(known.hosts._made) == [1233]


CHANGES: Mapping[str, Callable[[Path], object]] = {
    "another text": lambda folder: (folder / "hosts").write_text("web1 role=other\n"),
    "the same length": lambda folder: (folder / "hosts").write_text("web1 role=backs\n"),
    "another file in its place": lambda folder: replaced(folder / "hosts"),
    "its mode": lambda folder: (folder / "hosts").chmod(0o640),
    "variables of a group": lambda folder: grown(folder / "group_vars", "all.yml"),
    "variables of a host": lambda folder: grown(folder / "host_vars", "web1"),
    "a file within variables": lambda folder: grown(folder / "group_vars" / "web", "b.yml"),
    "a file less": lambda folder: (folder / "group_vars" / "web" / "a.yml").unlink(),
    "our own file": lambda folder: extended(folder / "home" / "inventory.yaml"),
    "the source gone": lambda folder: (folder / "hosts").unlink(),
}


def replaced(path: Path) -> None:
    status = path.stat()
    (path.with_name("new")).write_bytes(path.read_bytes())
    os.utime(path.with_name("new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_name("new").replace(path)


def extended(path: Path) -> None:
    path.write_text(path.read_text() + "hosts: {more: {}}\n")


def grown(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("more: 1\n")


@pytest.mark.parametrize("old", [False, True], ids=["young", "old"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, old: bool) -> None:
    if old:  # by times alone, as for files that nobody has touched for a while
        monkeypatch.setattr("inventory.stamps.YOUNG_NS", -(10**12))
    (tmp_path / "hosts").write_text("[web]\nweb1 role=front\n")
    (tmp_path / "group_vars" / "web").mkdir(parents=True)
    (tmp_path / "group_vars" / "web" / "a.yml").write_text("a: 1\n")
    (home / "inventory.yaml").write_text(f"sources: [{{ansible: {tmp_path}/hosts}}]\n")
    read(home, home / "inventory.yaml")
    assert from_cache(read(home, home / "inventory.yaml"))
    CHANGES[change](tmp_path)
    notes: list[str] = []
    try:
        known = read(home, home / "inventory.yaml", notes=notes)
    except LongarmError:
        assert change == "the source gone"
    else:
        assert not from_cache(known) and picture(known) == picture(load_inventory([home / "inventory.yaml"]))
        assert from_cache(read(home, home / "inventory.yaml"))
    assert len(notes) == 1 and notes[0].endswith(" has changed")


def test_two_writings_within_one_tick_are_told_apart(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose clock stands still: nothing but the content of a young file tells."""
    file, real = tmp_path / "a.yaml", Path.stat
    file.write_text("hosts: {web1: {}}\n")
    frozen = file.stat()

    def still(path: Path, **options: Any) -> Any:
        found = real(path, **options)
        return frozen if found.st_ino == frozen.st_ino and found.st_dev == frozen.st_dev else found

    monkeypatch.setattr(Path, "stat", still)
    assert list(read(home, file).hosts) == ["web1"]
    assert from_cache(read(home, file))
    file.write_text("hosts: {web2: {}}\n")
    assert list(read(home, file).hosts) == ["web2"]


def test_what_changes_while_it_is_read_is_not_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("hosts: {web1: {}}\n")
    before = inventory.cache._keep

    def late(*arguments: Any) -> None:
        file.write_text("hosts: {web2: {}}\n")
        before(*arguments)

    monkeypatch.setattr("inventory.cache._keep", late)
    assert list(read(home, file).hosts) == ["web1"]
    monkeypatch.undo()
    known = read(home, file)
    assert list(known.hosts) == ["web2"] and not from_cache(known)


def test_a_file_that_comes_to_fit_an_include_is_seen(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"Include {tmp_path}/config.d/*/x.conf\nHost a\n")
    (tmp_path / "config.d" / "one").mkdir(parents=True)
    (home / "inventory.yaml").write_text(f"sources: [{{ssh_config: {tmp_path}/config}}]\n")
    assert list(read(home, home / "inventory.yaml").hosts) == ["a"]
    assert from_cache(read(home, home / "inventory.yaml"))
    (tmp_path / "config.d" / "one" / "x.conf").write_text("Host b\n")
    assert sorted(read(home, home / "inventory.yaml").hosts) == ["a", "b"]
    (tmp_path / "config.d" / "two").mkdir()
    (tmp_path / "config.d" / "two" / "x.conf").write_text("Host c\n")
    assert sorted(read(home, home / "inventory.yaml").hosts) == ["a", "b", "c"]


PROGRAM = '#!/bin/sh\necho x >> {count}\necho \'{{"hosts": {{"web1": {{}}}}}}\'\n'


def test_a_program_is_asked_as_often_as_its_source_says(home: Path, tmp_path: Path) -> None:
    program, count = tmp_path / "hosts", tmp_path / "count"
    program.write_text(PROGRAM.format(count=count))
    program.chmod(0o755)
    for declared, asked in (("", 3), (", fresh: 1h", 3), (", fresh: 1ms", 6)):
        (home / "inventory.yaml").write_text(f"sources: [{{program: {program}{declared}}}]\n")
        for _ in range(3):
            assert list(read(home, home / "inventory.yaml").hosts) == ["web1"]
        assert len(count.read_text().split()) == asked
        assert from_cache(read(home, home / "inventory.yaml", offline=True))


def test_an_old_copy_that_stood_in_is_not_remembered_as_the_answer(home: Path, tmp_path: Path) -> None:
    program = tmp_path / "hosts"
    program.write_text(PROGRAM.format(count=tmp_path / "count"))
    program.chmod(0o755)
    (home / "inventory.yaml").write_text(f"sources: [{{program: {program}}}]\n")
    read(home, home / "inventory.yaml")
    program.write_text("#!/bin/sh\nexit 1\n")
    for _ in range(2):
        known = read(home, home / "inventory.yaml")
        assert not from_cache(known) and known.copies[0].reason is not None


def test_a_damaged_cache_is_made_anew(home: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(MORE)
    read(home, tmp_path / "more.yaml")
    (cache,) = (home / "cache" / "inventory").iterdir()
    good, chance = cache.read_bytes(), random.Random(4)
    wrong = [good[:at] for at in (0, 1, 50, 100, len(good) // 2, len(good) - 1)]
    wrong += [
        good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :] for at in chance.sample(range(len(good)), 60)
    ]
    wrong += [b"longarm inventory cache 1 " + good[26:], good + b"x", b"\0" * 1000]
    for data in wrong:
        cache.write_bytes(data)
        notes: list[str] = []
        known = read(home, tmp_path / "more.yaml", notes=notes)
        assert not from_cache(known) and notes == ["the inventory is read anew: what was kept is damaged"]
        assert from_cache(read(home, tmp_path / "more.yaml"))


def test_a_cache_that_others_could_have_written_is_not_used(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("hosts: {web1: {}}\n")
    read(home, tmp_path / "a.yaml")
    (cache,) = (home / "cache" / "inventory").iterdir()
    cache.chmod(0o620)
    assert not from_cache(read(home, tmp_path / "a.yaml"))
    assert cache.stat().st_mode & 0o777 == 0o600
    cache.rename(tmp_path / "elsewhere")
    cache.symlink_to(tmp_path / "elsewhere")
    assert not from_cache(read(home, tmp_path / "a.yaml"))


def test_another_version_user_or_home_reads_anew(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("hosts: {web1: {}}\n")
    for change in ("VERSION", "_code", "HOME", "LOGNAME"):
        read(home, tmp_path / "a.yaml")
        assert from_cache(read(home, tmp_path / "a.yaml"))
        if change.isupper() and change != "VERSION":
            monkeypatch.setenv(change, "/elsewhere" if change == "HOME" else "somebody")
        else:
            monkeypatch.setattr(f"inventory.cache_key.{change}", "9.9" if change == "VERSION" else lambda: "other code")
        assert not from_cache(read(home, tmp_path / "a.yaml")), change


def test_old_caches_go(home: Path, tmp_path: Path) -> None:
    for number in range(MOST_FILES + 3):
        (tmp_path / f"{number}.yaml").write_text("hosts: {web1: {}}\n")
        read(home, tmp_path / f"{number}.yaml")
    folder = home / "cache" / "inventory"
    assert len(list(folder.iterdir())) == MOST_FILES
    for name, age_s in (("begun.new", 60), ("killed.new", 7200)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    read(home, tmp_path / "0.yaml")
    assert [path.name for path in folder.glob("*.new")] == ["begun.new"]


def test_a_home_that_is_not_there_or_cannot_be_written_reads_as_well(tmp_path: Path, home: Path) -> None:
    (tmp_path / "a.yaml").write_text("hosts: {web1: {}}\n")
    assert list(read(tmp_path / "nowhere", tmp_path / "a.yaml").hosts) == ["web1"]
    assert not (tmp_path / "nowhere").exists()
    (home / "cache").write_text("in the way")
    assert list(read(home, tmp_path / "a.yaml").hosts) == ["web1"]


def test_several_at_once_disturb_nobody(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("groups: {g: {hosts: {'h[1:500]': {}}}}\n")
    program = (
        "import sys; from pathlib import Path; from inventory.copies import Copies\n"
        "from inventory.cache import cached_inventory\n"
        "home, file = map(Path, sys.argv[1:])\n"
        "for number in range(8):\n"
        "    known = cached_inventory([file], Copies(), home / 'cache' / 'inventory', anew=number % 2 == 0)\n"
        "    assert len(known.hosts) == 500 and known.select('h7').hosts[0].name == 'h7'\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, home, tmp_path / "a.yaml"], cwd=ROOT) for _ in range(4)]
    assert [one.wait(300) for one in running] == [0] * 4
    assert from_cache(read(home, tmp_path / "a.yaml"))
    assert [path.suffix for path in (home / "cache" / "inventory").iterdir()] == [".cache"]


def test_what_has_no_form_here_is_not_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("hosts: {web1: {}}\n")
    real = inventory.cache._keep

    def odd(slot: Any, known: Inventory, reading: Any) -> None:
        (host,) = known.hosts.values()
        strange = replace(host, vars={"x": object()})  # type: ignore[dict-item]
        real(slot, replace(known, hosts={"web1": strange}), reading)

    monkeypatch.setattr("inventory.cache._keep", odd)
    assert list(read(home, tmp_path / "a.yaml").hosts) == ["web1"]
    assert not list(home.rglob("*.cache"))
