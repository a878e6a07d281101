"""More than 1,000 inventories that nobody meant, as data: files of each kind, how `inventory check` ends, what must be told.

Names that could be an option, a command, a path or another host go through every kind of source (T12); the mistakes of each
format are those of its own tests; what hangs, floods, ends half-way or is too big stands here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.inventory.test_ansible import BROKEN as ANSIBLE
from tests.inventory.test_names import HOSTILE
from tests.inventory.test_netbox import REFUSED_URLS
from tests.inventory.test_sheet import BROKEN as SHEETS
from tests.inventory.test_ssh_config import BROKEN as SSH_CONFIGS


@dataclass(frozen=True)
class BadInventory:
    """One bad inventory: `{dir}` in its texts stands for the folder that it is in."""

    why: str
    declared: str
    """The inventory of the home."""
    told: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    code: int = 2
    size: int = 0
    """The size that its file `big` has, in bytes."""

    def write(self, folder: Path, home: Path) -> None:
        """Write its files into a folder and its declaration into a home."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.replace("{dir}", str(folder)).encode())
            if name.endswith(".sh"):
                path.chmod(0o755)
        if self.size:
            with (folder / "big").open("wb") as file:
                file.truncate(self.size)
        (home / "inventory.yaml").write_text(self.declared.replace("{dir}", str(folder)))


NAMES = list(
    dict.fromkeys(
        (
            *(name for name, _ in HOSTILE),
            "-v",
            "a/b",
            "a b",
            "user@host",
            "10.0.0.256",
            "10.0.0.1.",
            "1.2.3.4.5",
            "раша",
            "аpple",
            "münchen",
            "all",
            "NOT",
            "a%b",
        )
    )
)
"""The hostile names of the constructor's own test, and what is none only as a host."""


def _own(name: str) -> tuple[str, Mapping[str, str]]:
    return f"hosts: {{{json.dumps(name)}: {{}}}}\n", {}


def _yaml(name: str) -> tuple[str, Mapping[str, str]]:
    text = f"all:\n  hosts:\n    {json.dumps(name)}:\n"
    return "sources:\n  - ansible: '{dir}/hosts.yml'\n", {"hosts.yml": text}


def _ini(name: str) -> tuple[str, Mapping[str, str]]:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return "sources:\n  - ansible: '{dir}/hosts.ini'\n", {"hosts.ini": f'[web]\n"{escaped}"\n'}


def _address(name: str) -> tuple[str, Mapping[str, str]]:
    return f"hosts: {json.dumps({'h1': {'address': name}})}\n", {}


def _sheet(name: str) -> tuple[str, Mapping[str, str]]:
    quoted = name.replace('"', '""')
    return "sources:\n  - csv: '{dir}/hosts.csv'\n", {"hosts.csv": f'name,site\n"{quoted}",x\n'}


def _configuration(name: str) -> tuple[str, Mapping[str, str]]:
    return "sources:\n  - ssh_config: '{dir}/config'\n", {"config": f'Host h1\n  HostName "{name}"\n'}


def _program(name: str) -> tuple[str, Mapping[str, str]]:
    text = json.dumps({"hosts": {name: {}}})
    return "sources:\n  - program: '{dir}/list.sh'\n", {"list.sh": f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n"}


WAYS: Mapping[str, tuple[Callable[[str], tuple[str, Mapping[str, str]]], str]] = {
    "ours": (_own, "inventory.yaml:1:9: "),
    "Ansible's YAML": (_yaml, "hosts.yml:3:"),
    "Ansible's INI": (_ini, "hosts.ini:"),
    "an address": (_address, "inventory.yaml:1:27: "),
    "CSV": (_sheet, "hosts.csv:2:"),
    "ssh_config": (_configuration, "config:"),
    "a program": (_program, "list.sh:1:12: "),
}
"""The kinds of sources, and where each has the name; what breaks a line is told where that ends."""
_WORDS = ("all", "ALL", "and", "or", "not", "NOT")
FINE_THERE = {
    *(("an address", word) for word in _WORDS),
    *(("ssh_config", word) for word in (*_WORDS, "%h")),
    *(("CSV", name) for name in ("web1\n", "\nweb1", " web1", "web1 ", "web1\u00a0")),
    *(("Ansible's YAML", name) for name in ("web1:22", "1.2.3.4:22")),
    *(("Ansible's INI", name) for name in ("web1:22", "1.2.3.4:22")),
}
"""What is no mistake in one way: no address is a word of target expressions, cells are trimmed, Ansible writes ports so."""


def names() -> Iterator[BadInventory]:
    """Yield each name by each way in."""
    for way, (make, place) in WAYS.items():
        for number, name in enumerate(NAMES):
            if (way, name) not in FINE_THERE:
                declared, files = make(name)
                yield BadInventory(f"{way}: {number} {name[:30]}", declared, place, files)


def _text(told: str) -> str:
    """Return what is told without the hint, which the command line puts beneath."""
    return told.partition(" (")[0]


def formats() -> Iterator[BadInventory]:
    """Yield the mistakes of each format, from the tests of the formats."""
    for why, ansible, told in ANSIBLE:
        if why != "not UTF-8":
            top = next(iter(ansible))
            yield BadInventory(f"ansible: {why}", f"sources:\n  - ansible: '{{dir}}/{top}'\n", _text(told), ansible)
    for why, text, told in SSH_CONFIGS:
        yield BadInventory(f"ssh_config: {why}", "sources:\n  - ssh_config: '{dir}/config'\n", _text(told), {"config": text})
    for why, data, options, told in SHEETS:
        if "inventory.yaml" not in told:
            yield BadInventory(
                f"csv: {why}", f"sources:\n  - csv: '{{dir}}/hosts.csv'\n{options}", _text(told), {"hosts.csv": data}
            )
    for url in REFUSED_URLS:
        declared = f"sources:\n  - netbox: {json.dumps(url)}\n    token: {{env: NETBOX_TOKEN}}\n"
        yield BadInventory(f"netbox: {url[:50]!r}", declared, "inventory.yaml:2:13: ")


def _run(why: str, script: str, told: str, code: int = 7, options: str = "") -> BadInventory:
    files = {"list.sh": f"#!/bin/sh\n{script}\n"}
    return BadInventory(f"program: {why}", f"sources:\n  - program: '{{dir}}/list.sh'\n{options}", told, files, code)


def programs() -> Iterator[BadInventory]:
    """Yield programs that fail in each way."""
    quick = "    deadline: 300ms\n"
    yield _run("hangs", "sleep 60", "had not ended after 0.3 s", options=quick)
    yield _run("hangs with its output closed", "exec >&- 2>&-; sleep 60", "had not ended after 0.3 s", options=quick)
    yield _run("leaves a child with its output", "sleep 60 & exit 0", "had not ended after 0.3 s", options=quick)
    yield _run("drips", "while :; do printf ' '; sleep 0.05; done", "had not ended after 0.3 s", options=quick)
    yield _run("floods", "yes", "prints more than 10000 bytes", options="    max_bytes: 10 kB\n")
    yield _run("fails", "echo no database >&2; exit 3", "ended with 3: no database")
    yield _run("is killed", "kill -9 $$", "ended with -9")
    yield _run("drives the terminal", "printf '\\033[2J\\033]0;x\\007' >&2; exit 1", "ended with 1")
    yield _run("prints nothing wrong but fails", "echo '{\"hosts\": {}}'; exit 1", "ended with 1")
    yield _run("prints half", 'echo \'{"hosts": {"a": {\'', "list.sh:2:1: not valid YAML", 2)
    yield _run("prints text", "echo hello", "list.sh:1:1: the inventory must be a mapping", 2)
    yield _run("prints bytes", "printf '\\377\\376'", "list.sh:1:1: the file is not UTF-8", 2)
    yield _run("prints NUL", 'printf \'{"hosts": "\\000"}\'', "U+0000", 2)
    yield _run(
        "prints a key twice", 'echo \'{"hosts": {}, "hosts": {}}\'', "list.sh:1:15: the key “hosts” stands here twice", 2
    )
    yield _run("prints a number too big", 'echo \'{"hosts": {"a": {"port": 1e999}}}\'', "not a number that can be stored", 2)
    yield _run("prints what is nested", f"echo '{{\"hosts\": {'[' * 100}{']' * 100}}}'", "nested deeper than 64 levels", 2)
    yield _run(
        "names a credential of nobody", 'echo \'{"hosts": {"a": {"credential": "x"}}}\'', "no credential “x” is declared", 2
    )
    yield _run("brings a secret", 'echo \'{"hosts": {"a": {"vars": {"db_password": "x"}}}}\'', "looks like a secret", 2)
    yield _run(
        "nests groups in a ring",
        'echo \'{"groups": {"a": {"groups": ["b"]}, "b": {"groups": ["a"]}}}\'',
        "are inside each other: a → b → a",
        2,
    )
    yield BadInventory(
        "program: is not there",
        "sources:\n  - program: /nowhere/list\n",
        "inventory.yaml:2:14: /nowhere/list cannot be run",
        code=7,
    )
    yield BadInventory(
        "program: is a folder", "sources:\n  - program: /tmp\n", "inventory.yaml:2:14: /tmp cannot be run", code=7
    )
    yield BadInventory(
        "program: has no shebang", "sources:\n  - program: '{dir}/x.sh'\n", "cannot be run", {"x.sh": "echo\n"}, 7
    )


DECLARED: list[tuple[str, str, str]] = [
    ("no list", "sources: {ansible: x}\n", "1:10: “sources” must be a list"),
    ("an item that is no mapping", "sources: [x]\n", "1:11: the source must be a mapping"),
    ("no kind", "sources: [{}]\n", "1:11: a source is exactly one of"),
    ("an unknown kind", "sources: [{ansibel: x}]\n", "1:11: a source is exactly one of"),
    ("two kinds", "sources: [{ansible: x, csv: y}]\n", "1:11: a source is exactly one of"),
    ("no path", "sources: [{ansible: null}]\n", "1:21: “ansible” has no value"),
    ("a list of paths", "sources: [{ansible: [a, b]}]\n", "1:21: “ansible” must be a text"),
    ("an unknown key", "sources: [{ssh_config: x, user: y}]\n", "1:27: the source has no key “user”"),
    ("programs that are no boolean", "sources: [{ansible: x, programs: yes}]\n", "1:34: “programs” must be true or false"),
    ("a deadline without a unit", "sources: [{program: x, deadline: 30}]\n", "1:34: “deadline” must be a duration"),
    ("freshness without a unit", "sources: [{program: x, fresh: 30}]\n", "1:31: “fresh” must be a duration"),
    (
        "arguments that are no texts",
        "sources: [{program: x, arguments: [{a: b}]}]\n",
        "1:36: “arguments” must be a list of texts",
    ),
    ("too many arguments", f"sources: [{{program: x, arguments: [{'a, ' * 65}]}}]\n", "more than 64 arguments"),
    ("too many sources", "sources:\n" + "- {ansible: x}\n" * 101, "102:3: more than 100 sources"),
    (
        "a file that is not there",
        "sources: [{ansible: /nowhere/x}]\n",
        "/nowhere/x:1:1: cannot be read: No such file or directory",
    ),
    ("a configuration that is not there", "sources: [{ssh_config: /nowhere/x}]\n", "/nowhere/x:1:1: cannot be read"),
    ("a sheet that is not there", "sources: [{csv: /nowhere/x}]\n", "/nowhere/x:1:1: cannot be read"),
    ("a device", "sources: [{csv: /dev/zero}]\n", "/dev/zero:1:1: is not a regular file"),
    ("NUL in a path", 'sources: [{csv: "a\\0b"}]\n', "1:17: the text contains the character NUL"),
    (
        "a token written out",
        "sources: [{netbox: 'https://n.example', token: abc}]\n",
        "a secret is never written in an inventory",
    ),
    (
        "a wall that is torn",
        "credentials: {c: {user: u, key: k, customer: A}}\nhosts: {x: {credential: c}}\n",
        "2:25: the credential c is for hosts of A",
    ),
]
BIG = 64 * 1024 * 1024 + 1


def declarations() -> Iterator[BadInventory]:
    """Yield declarations that cannot be meant, and files beyond every limit."""
    for why, declared, told in DECLARED:
        place = told if told.startswith("/") or not told[0].isdigit() else f"inventory.yaml:{told}"
        yield BadInventory(f"declared: {why}", declared, place)
    for kind in ("ansible", "ssh_config", "csv"):
        yield BadInventory(
            f"{kind}: too big", f"sources:\n  - {kind}: '{{dir}}/big'\n", "the file is bigger than 64 MiB", size=BIG
        )
    cycle = {"a": "Include {dir}/b\n", "b": "Include {dir}/a\n"}
    yield BadInventory(
        "ssh_config: a ring of two", "sources:\n  - ssh_config: '{dir}/a'\n", "b:1:1: these files include each other", cycle
    )
    deep = {f"c{n}": f"Include {{dir}}/c{n + 1}\n" for n in range(20)} | {"c20": "Host web1\n"}
    yield BadInventory("ssh_config: too deep", "sources:\n  - ssh_config: '{dir}/c0'\n", "deeper than 16 levels", deep)
    wide = {"hosts.csv": "name" + ",x" * 1001 + "\n"}
    yield BadInventory("csv: too wide", "sources:\n  - csv: '{dir}/hosts.csv'\n", "more than 1000 columns", wide)


VAULT = "$ANSIBLE_VAULT;1.1;AES256\n"
SEALED = {
    "of another form": ("$ANSIBLE_VAULT;3.0;AES256\n3132\n", "it has a form of ansible-vault that longarm does not know"),
    "cut": (VAULT, "what ansible-vault wrote is not whole"),
    "of an odd length": (VAULT + "313\n", "what ansible-vault wrote is not whole"),
    "no hexadecimal": (VAULT + "zz\n", "what ansible-vault wrote is not whole"),
    "not three parts": (VAULT + "3132\n", "what ansible-vault wrote is not whole"),
    "of another password": (VAULT + b"6161\n6262\n6363".hex() + "\n", "no password that is given opens it"),
}


def vaults() -> Iterator[BadInventory]:
    """Yield what ansible-vault may have encrypted and nobody can open, as an inventory and as variables of it."""
    declared = "sources:\n  - ansible: '{dir}/hosts'\n    vault: {env: HOME}\n"
    for why, (text, told) in SEALED.items():
        yield BadInventory(f"ansible-vault: an inventory {why}", declared, f"hosts:1:1: {told}", {"hosts": text})
        files = {"hosts": "web1\n", "group_vars/all.yml": text}
        yield BadInventory(f"ansible-vault: variables {why}", declared, f"all.yml:1:1: {told}", files)
    open_to_none = "sources:\n  - ansible: '{dir}/hosts'\n    vault: {file: '{dir}/none'}\n"
    files = {"hosts": "web1\n", "group_vars/all.yml": VAULT + b"6161\n6262\n6363".hex() + "\n"}
    yield BadInventory("ansible-vault: no password there", open_to_none, "none: No such file", files, code=7)


def table() -> list[BadInventory]:
    """Return all of them."""
    return [*names(), *formats(), *programs(), *declarations(), *vaults()]
