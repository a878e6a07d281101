"""An Ansible inventory in our words: what is translated, what is said to be left out, what is a mistake, each at its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from inventory.errors import InvalidFile, Place
from inventory.host import Become, BecomeMethod, KerberosReference, Platform, Transport, Value
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.sources.ansible_files import AnsibleFiles
from inventory.sources.ansible_model import AnsibleInventory
from inventory.stamps import Looked
from inventory.written import written

BOMB = "b0: &b0 [" + "1," * 99 + "]\n" + "".join(f"b{n}: &b{n} [" + f"*b{n - 1}," * 20 + "]\n" for n in range(1, 5))
VAULTED = "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"


def load(folder: Path, files: Mapping[str, str], options: str = "", own: str = "") -> Inventory:
    for name, text in files.items():
        path = folder / "ansible" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
    source = "ansible" if len([name for name in files if "/" not in name]) > 1 else f"ansible/{next(iter(files))}"
    (folder / "inventory.yaml").write_text(f"sources:\n  - ansible: {source}\n{options}{own}")
    return load_inventory([folder / "inventory.yaml"])


def noted(known: Inventory, folder: Path) -> list[str]:
    return [str(note).replace(f"{folder}/ansible/", "") for note in known.notes]


def refused(folder: Path, files: Mapping[str, str], options: str = "") -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load(folder, files, options)
    return [str(problem).replace(f"{folder}/ansible/", "") for problem in caught.value.problems]


def test_how_a_host_is_reached_is_said_in_our_words(tmp_path: Path) -> None:
    text = """
[web]
web1 ansible_host=192.0.2.1 ansible_port=2222 ansible_user=deploy ansible_ssh_private_key_file=~/.ssh/deploy
web2 ansible_ssh_host=192.0.2.2 ansible_user=deploy
win1 ansible_connection=winrm ansible_user=EXAMPLE\\\\admin
here ansible_connection=local
[web:vars]
site=Berlin
customer="'ООО «Ромашка»'"
role=front
"""
    known = load(tmp_path, {"hosts": text.replace("\"'", "").replace("'\"", "")})
    web1, web2, win1, here = known.hosts.values()
    assert (web1.address, web1.port, web1.site, web1.customer) == ("192.0.2.1", 2222, "Berlin", "ООО «Ромашка»")
    assert web1.credential and (web1.credential.user, web1.credential.key) == ("deploy", "~/.ssh/deploy")
    assert web1.groups == ("web",) and web1.vars == {"site": "Berlin", "customer": "ООО «Ромашка»", "role": "front"}
    assert (web2.address, web2.port) == ("192.0.2.2", None)
    assert web2.credential and web2.credential.name == "ansible.deploy" and web2.credential.key is None
    assert (win1.transport, win1.platform) == (Transport.WINRM, Platform.WINDOWS)
    assert win1.credential and win1.credential.user == "EXAMPLE\\admin"
    assert here.transport is Transport.LOCAL and known.notes == ()


def test_each_value_has_the_place_of_its_file(tmp_path: Path) -> None:
    known = load(
        tmp_path,
        {"hosts": "[web]\nweb1 ansible_host=192.0.2.1 a=1\n[web:vars]\nb=2\n", "group_vars/all.yml": "c: {d: 3}\n"},
    )
    web1 = known.hosts["web1"]
    assert {key: str(place).replace(f"{tmp_path}/ansible/", "") for key, place in web1.origins.items() if "." in key} == {
        "vars.a": "hosts:2:29",
        "vars.b": "hosts:4:1",
        "vars.c": "group_vars/all.yml:1:1",
        "vars.c.d": "group_vars/all.yml:1:5",
    }
    assert str(web1.address_place).endswith("hosts:2:6")


def test_what_is_nested_has_the_place_of_its_own_key(tmp_path: Path) -> None:
    web = "deep:\n  a: 1\n  b:\n    c: 2\n    api_token: canary1\nlist:\n  - x: 1\n  - {password: canary2}\n"
    merged = "base: &b\n  m: 1\nover:\n  <<: *b\n  n: 2\n"
    known = load(tmp_path, {"hosts": "[web]\nweb1\n", "group_vars/web.yml": web, "host_vars/web1.yml": merged})
    origins = {key: str(place).partition("_vars/")[2] for key, place in known.hosts["web1"].origins.items()}
    assert {key: place for key, place in origins.items() if key.startswith("vars.")} == {
        "vars.deep": "web.yml:1:1",
        "vars.deep.a": "web.yml:2:3",
        "vars.deep.b": "web.yml:3:3",
        "vars.deep.b.c": "web.yml:4:5",
        "vars.list": "web.yml:6:1",
        "vars.base": "web1.yml:1:1",
        "vars.base.m": "web1.yml:2:3",
        "vars.over": "web1.yml:3:1",
        "vars.over.m": "web1.yml:2:3",
        "vars.over.n": "web1.yml:5:3",
    }
    assert [note.split(" (")[0] for note in noted(known, tmp_path)] == [
        "group_vars/web.yml:5:5: “api_token” is left out: it looks like a secret",
        "group_vars/web.yml:8:6: “password” is left out: it looks like a secret",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        "-J ops@gw:2222",
        "-Jops@gw:2222",
        "-o ProxyJump=ops@gw:2222",
        '-o "ProxyJump ops@gw:2222"',
        "-oproxyjump=ssh://ops@gw:2222",
        "-J {{ jump }}:2222",
    ],
)
def test_the_way_that_ssh_is_told_is_ours(tmp_path: Path, arguments: str) -> None:
    text = f"web1\nlocal1 ansible_connection=local\n[all:vars]\njump=ops@gw\nansible_ssh_common_args={arguments}\n"
    known = load(tmp_path, {"hosts": text})
    gw = known.hosts["gw"]
    assert known.hosts["web1"].via == gw and known.hosts["local1"].via is None
    assert (gw.address, gw.port, gw.credential and gw.credential.name, gw.groups) == ("gw", 2222, "ansible.ops", ())
    (note,) = noted(known, tmp_path)
    assert note.startswith("hosts:5:1: gw becomes a host: others are reached through it")


def test_how_ssh_is_told_to_log_in_is_ours(tmp_path: Path) -> None:
    told = (
        "-i ~/k -o CertificateFile=~/c -o IdentitiesOnly=yes -o HostKeyAlias=db.example -o PreferredAuthentications=publickey"
    )
    text = (
        f"[all:vars]\nansible_ssh_common_args={told} -o PreferredAuthentications=publickey\n"
        "ansible_ssh_extra_args=-o IdentitiesOnly=no -o GSSAPIAuthentication=yes -C\n"
        "[x]\nweb1 ansible_user=ops\nweb2 ansible_user=ops ansible_ssh_private_key_file=~/own\n"
    )
    known = load(tmp_path, {"hosts": text})
    web1, web2 = (known.hosts[name].credential for name in ("web1", "web2"))
    assert web1 and (web1.key, web1.certificate, web1.only_named, web1.methods) == ("~/k", "~/c", True, ("publickey",))
    assert web1.kerberos == KerberosReference(optional=True) and web2 and web2.key == "~/own"
    assert known.hosts["web1"].host_key_alias == "db.example"
    (note,) = noted(known, tmp_path)
    assert "“ansible_ssh_extra_args” is left out: -C" in note


def test_a_login_without_a_user_is_named(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts": "web1 ansible_ssh_common_args='-o IdentityFile=~/k -o IdentitiesOnly=yes'\n"})
    assert known.hosts["web1"].credential is None
    assert [note.split(" (")[0].split(": ", 1)[1] for note in noted(known, tmp_path)] == [
        "“identitiesonly” is left out: no user is given with it",
        "“identityfile” is left out: no user is given with it",
    ]


def test_hosts_on_the_way_to_all_are_reached_by_what_is_before_them(tmp_path: Path) -> None:
    text = "web1\na\nb\n[all:vars]\nansible_ssh_common_args=-J a,b\nansible_ssh_extra_args=-J c\n"
    known = load(tmp_path, {"hosts": text})
    assert {name: host.via and host.via.name for name, host in known.hosts.items()} == {"web1": "b", "a": None, "b": "a"}


def test_a_credential_of_ours_stands_for_the_user_that_ansible_names(tmp_path: Path) -> None:
    own = "credentials: {ansible.deploy: {user: deploy, password: {env: DEPLOY}}}\n"
    known = load(tmp_path, {"hosts": "web1 ansible_user=deploy\n"}, own=own)
    credential = known.hosts["web1"].credential
    assert credential and credential.password and credential.password.value == "DEPLOY"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ansible_password=x1y2z3", "“ansible_password” is left out: it is a secret"),
        ("ansible_become_pass=x1y2z3", "“ansible_become_pass” is left out: it is a secret"),
        ("ansible_ssh_common_args='-o ProxyCommand=x'", "“ansible_ssh_common_args” is left out: longarm has no word for it"),
        ("ansible_ssh_common_args='-J {{ b | d }}'", "“ansible_ssh_common_args” is left out: longarm has no word for it"),
        ("ansible_ssh_common_args='-J'", "“ansible_ssh_common_args” is left out: longarm has no word for it"),
        ("ansible_ssh_extra_args='-J web0 -C -o A=b'", "“ansible_ssh_extra_args” is left out: -C -o A=b"),
        ("ansible_become_method=pbrun", "“ansible_become_method” is left out: longarm has no word for “pbrun”"),
        ("ansible_become_exe=/opt/sudo", "“ansible_become_exe” is left out"),
        ("ansible_winrm_server_cert_validation=ignore", "“ansible_winrm_server_cert_validation” is left out"),
        ("ansible_ssh_private_key_file=~/k", "“ansible_ssh_private_key_file” is left out: no user is given with it"),
        ("db_password=x1y2z3", "“db_password” is left out: it looks like a secret"),
        ("_private=x1y2z3", "the variable is left out"),
        ("ansible_connection=docker", "the host web1 is left out: longarm cannot reach one by “docker”"),
    ],
)
def test_what_has_no_word_of_ours_is_named_at_its_place(tmp_path: Path, line: str, told: str) -> None:
    known = load(tmp_path, {"hosts": f"web0\nweb1 {line}\n"})
    (note,) = noted(known, tmp_path)
    assert note.startswith("hosts:2:6: ") and told in note and "x1y2z3" not in repr(known)
    assert ("web1" in known.hosts) == ("docker" not in line)


def test_what_is_known_instead_is_named(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts": "web1 ansible_become_method=sesu\nweb2 ansible_connection=docker\n"})
    assert [note.hint and str(note.hint) for note in known.notes] == [
        "known here: sudo, doas, su",
        "known here: ssh, winrm, psrp, local",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ansible_become=yes",
        "ansible_become_user=root ansible_become_exe=sudo",
        "ansible_python_interpreter=/usr/bin/python3",
        "ansible_port=22",
    ],
)
def test_what_says_nothing_that_we_would_do_otherwise_is_not_noted(tmp_path: Path, line: str) -> None:
    assert noted(load(tmp_path, {"hosts": f"web1 {line}\n"}), tmp_path) == []


def test_what_ansible_vault_encrypted_is_left_out_and_hides_what_it_overrides(tmp_path: Path) -> None:
    deeper = VAULTED.replace("\n  ", "\n    ")
    files = {
        "hosts": "[g]\nh1\n[g:vars]\nkey_a=plain\n",
        "group_vars/g/vars.yml": f"key_a: {VAULTED}nested:\n  inner: {deeper}plain: 1\n",
        "group_vars/g/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
    }
    known = load(tmp_path, files)
    assert known.hosts["h1"].vars == {"plain": 1}
    assert sorted(note.split(" (")[0] for note in noted(known, tmp_path)) == [
        "group_vars/g/vars.yml:1:1: “key_a” is left out: ansible-vault encrypted it",
        "group_vars/g/vars.yml:4:1: “nested” is left out: ansible-vault encrypted it",
        "group_vars/g/vault.yml:1:1: left out: the file is encrypted by ansible-vault",
    ]


def test_names_of_plain_variables_are_filled_in_where_a_host_is_reached(tmp_path: Path) -> None:
    text = "web1 ansible_host='{{ inventory_hostname }}.{{ domain }}' domain=example.net note='{{ domain }}'\n"
    web1 = load(tmp_path, {"hosts": text}).hosts["web1"]
    assert web1.address == "web1.example.net" and web1.vars["note"] == "{{ domain }}"


def test_of_equal_keys_the_last_one_holds_however_many_there_are(tmp_path: Path) -> None:
    hosts = "".join(f"    h{n}: {{}}\n" for n in range(300))
    known = load(tmp_path, {"hosts.yml": f"all:\n  hosts:\n{hosts}{hosts.replace('{}', '{ansible_port: 7}')}"})
    assert {host.port for host in known.hosts.values()} == {7} and len(known.hosts) == len(known.notes) == 300


def test_secrets_in_lists_of_mappings_are_left_out_too(tmp_path: Path) -> None:
    users = "[{name: a, password: canary1}, {name: b, more: [{api_token: canary2, x: 1}]}]"
    text = f"all:\n  hosts:\n    web1:\n      users: {users}\n      deep: {{list: [[{{db_pass: canary3}}]]}}\n"
    text += "      urls: ['postgres://app:canary4@db/x']\n      url: redis://:canary5@cache\n      page: http://web:80/@x\n"
    known = load(tmp_path, {"hosts.yml": text})
    assert known.hosts["web1"].vars == {
        "users": ({"name": "a"}, {"name": "b", "more": ({"x": 1},)}),
        "deep": {"list": (({},),)},
        "page": "http://web:80/@x",
    }
    assert "canary" not in repr(known) and len([note for note in known.notes if "looks like a secret" in str(note)]) == 5
    assert load_written(tmp_path, known).hosts["web1"].vars == known.hosts["web1"].vars


def test_halves_of_characters_in_literals_become_their_escapes(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts": r"""web1 a="'\\ud800'" b="{'\\udfff': ['x\\udc00']}" """ + "\n"})
    assert known.hosts["web1"].vars == {"a": r"\ud800", "b": {r"\udfff": (r"x\udc00",)}}
    assert load_written(tmp_path, known).hosts["web1"].vars == known.hosts["web1"].vars


def test_the_items_of_a_set_have_one_order(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts": """web1 a="{'c', 'a', 'b'}"\n"""})
    assert known.hosts["web1"].vars == {"a": ("a", "b", "c")}


def load_written(folder: Path, known: Inventory) -> Inventory:
    (folder / "written.yaml").write_text(written(known, tuple(known.hosts.values())))
    return load_inventory([folder / "written.yaml"])


def test_a_program_is_run_only_where_the_source_allows_it(tmp_path: Path) -> None:
    files = {"list.sh": "#!/bin/sh\n" + """echo '{"g": {"hosts": ["h1"]}, "_meta": {"hostvars": {"h1": {"a": 1}}}}'\n"""}
    assert refused(tmp_path, files) == [
        "list.sh:1:1: this is a program, and programs of this source are not run (allow it: programs: true)"
    ]
    known = load(tmp_path, files, "    programs: true\n")
    assert known.hosts["h1"].vars == {"a": 1} and known.hosts["h1"].groups == ("g",)
    assert str(known.hosts["h1"].place).endswith("list.sh:1:18")


@pytest.mark.parametrize("named", ["{}", "ansible.builtin.{}", "ansible.legacy.{}"])
def test_plugins_are_known_by_their_whole_names_too(tmp_path: Path, named: str) -> None:
    transports = {"ssh": "ssh", "paramiko_ssh": "ssh", "winrm": "winrm", "psrp": "psrp", "local": "local"}
    lines = [f"{name.replace('_', '-')}1 ansible_connection={named.format(name)}" for name in transports]
    lines += [f"x ansible_become_method={named.format('su')} ansible_su_user=oracle"]
    known = load(tmp_path, {"hosts": "\n".join(lines) + "\n"})
    assert [host.transport.value for host in known.hosts.values()] == [*transports.values(), "ssh"]
    assert known.hosts["x"].become == Become(method=BecomeMethod.SU, user="oracle") and known.notes == ()


def test_what_belongs_to_another_plugin_says_nothing(tmp_path: Path) -> None:
    words = "ansible_{0}_host=10.0.0.{1} ansible_{0}_port=100{1} ansible_{0}_user=u{1}"
    every = " ".join(words.format(*one) for one in (("ssh", 1), ("winrm", 2), ("psrp", 3)))
    lines = [f"{name} ansible_connection={name} {every}\n" for name in ("ssh", "winrm", "psrp")]
    known = load(tmp_path, {"hosts": "".join(lines)})
    told = [(host.address, host.port, host.credential and host.credential.user) for host in known.hosts.values()]
    assert told == [(f"10.0.0.{n}", 1000 + n, f"u{n}") for n in (1, 2, 3)] and known.notes == ()


def test_the_items_of_a_set_in_yaml_have_one_order_too(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts.yml": "all:\n  hosts: {h1: {a: !!set {c, a, b}}}\n"})
    assert known.hosts["h1"].vars == {"a": ("a", "b", "c")}


@pytest.mark.parametrize(
    ("text", "items", "notes"),
    [
        ("{<<: *m, c: }", ("a", "b", "c"), []),
        ("{c: , <<: *m}", ("a", "b", "c"), []),
        ("{<<: [*m, {d: }], c: }", ("a", "b", "c", "d"), []),
        ("{<<: *m, a: }", ("a", "b"), []),
        ("{<<: *m, <<: {e: }}", ("a", "b", "e"), []),
        ("{<<: *s, z}", ("p", "z"), []),
        ("{<<: {yes: , 0x10: }, 16, 'yes'}", ("yes", 16, True), []),
        ("{'<<', c}", ("<<", "c"), []),
        ("{<<: *m, '<<': }", ("<<", "a", "b"), []),
        ("{1, '1'}", ("1", 1), []),
        ("{1, 0x1}", (1,), ["the key “0x1” stands here twice, first in line 5"]),
        ("{!!str 5, 5}", ("5", 5), []),
        ("{a, b, a}", ("a", "b"), ["the key “a” stands here twice, first in line 5"]),
        ("{yes, 1}", (True,), ["the key “1” stands here twice, first in line 5"]),
    ],
)
def test_a_set_has_what_it_merges_and_each_value_once(
    tmp_path: Path, text: str, items: tuple[Value, ...], notes: list[str]
) -> None:
    before = "all:\n  vars:\n    m: &m {a: 1, b: 2}\n    s: &s !!set {p}\n"
    known = load(tmp_path, {"hosts.yml": f"{before}    x: !!set {text}\n  hosts: {{h1: }}\n"})
    assert repr(known.hosts["h1"].vars["x"]) == repr(items)
    assert [str(note.text) for note in known.notes] == notes


def test_merge_keys_are_plain_and_all_of_them_count(tmp_path: Path) -> None:
    twice = "a: {<<: {b: 1, c: 1}, <<: {c: 2}, d: 3, d: 4}\n"
    known = load(tmp_path, {"hosts": "h1\n", "host_vars/h1.yml": f"{twice}e: {{'<<': {{f: 1}}, <<: {{f: 2}}}}\n"})
    assert known.hosts["h1"].vars == {"a": {"b": 1, "c": 2, "d": 4}, "e": {"<<": {"f": 1}, "f": 2}}
    assert [str(note.text) for note in known.notes] == ["the key “d” stands here twice, first in line 1"]


def test_numbers_that_cannot_be_stored_stay_text_with_their_tags_too(tmp_path: Path) -> None:
    known = load(tmp_path, {"hosts.yml": f"all:\n  hosts: {{h1: {{a: !!int {10**20}, b: !!float -.inf, c: !!float nan}}}}\n"})
    assert known.hosts["h1"].vars == {"a": str(10**20), "b": "-.inf", "c": "nan"}


def test_a_compiled_program_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9))
    (tmp_path / "list").chmod(0o755)
    (tmp_path / "hosts").write_text("h0 a=1\n")
    (tmp_path / "hosts").chmod(0o755)  # as all files are on some file systems
    run: list[Path] = []

    def answer(path: Path) -> bytes:
        run.append(path)
        return b'{"g": {"hosts": ["h1"]}, "_meta": {"hostvars": {}}}'

    inventory = AnsibleInventory(Place("inventory.yaml", 1, 1))
    AnsibleFiles(inventory, Looked(), answer).read(tmp_path)
    assert run == [tmp_path / "list"] and list(inventory.hosts) == ["h0", "h1"] and not inventory.problems


BROKEN: list[tuple[str, Mapping[str, str], str]] = [
    ("a name", {"hosts": "web$1\n"}, "hosts:1:1: “web$1” is not a host name: it contains '$'"),
    ("an option", {"hosts": "-oProxyCommand=id\n"}, "hosts:1:1: “-oProxyCommand=id” begins with a hyphen"),
    ("a port", {"hosts": "web1 ansible_port=70000\n"}, "hosts:1:6: “port” must be a whole number from 1 to 65535"),
    ("an address", {"hosts": "web1 ansible_host='a b'\n"}, "hosts:1:6: “a b” is not a host name"),
    ("a template", {"hosts": "web1 ansible_host='{{ x | y }}'\n"}, "hosts:1:6: “ansible_host” holds a template"),
    (
        "a filled-in name of an option",
        {"hosts": "web1 ansible_host='{{ x }}' x=-oA\n"},
        "hosts:1:6: “-oA” begins with a hyphen",
    ),
    ("no variable", {"hosts": "web1 oops\n"}, "hosts:1:6: “oops” is no variable"),
    ("no variable in vars", {"hosts": "[g]\nh\n[g:vars]\noops\n"}, "hosts:4:1: “oops” is no variable"),
    ("quotes", {"hosts": "web1 a='x\n"}, "hosts:1:1: this line cannot be read: No closing quotation"),
    ("a section", {"hosts": "[g x]\n"}, "hosts:1:1: “[g x]” is no section"),
    ("a kind of section", {"hosts": "[g:hots]\nh\n"}, "hosts:1:1: a section cannot be of the kind “hots”"),
    ("vars of nobody", {"hosts": "[g:vars]\nx=1\n"}, "hosts:1:1: no group “g” is declared"),
    ("a child that is nowhere", {"hosts": "[g:children]\nx\n"}, "hosts:2:1: no group “x” is declared"),
    ("a range backwards", {"hosts": "h[5:1]\n"}, "hosts:1:1: “h[5:1]” has a range that ends before it begins"),
    ("widths of a range", {"hosts": "h[01:100]\n"}, "hosts:1:1: the range “[01:100]” has ends of different length"),
    ("a huge range", {"hosts": "h[1:9999999]\n"}, "hosts:1:1: “h[1:9999999]” stands for more than 100000 names"),
    ("a long pattern", {"hosts": "[" * 100_000 + "\n"}, "…” has not 1 to 1000 characters"),
    ("a wide nest", {"hosts": "[c]\nh\n" + "".join(f"[p{n}:children]\nc\n" for n in range(101))}, "hosts:1:1: the group c is"),
    ("a long ring", {"hosts": "".join(f"[g{n}:children]\ng{(n + 1) % 3000}\n" for n in range(3000))}, " → … → "),
    ("a colon", {"hosts.ini": "h1:\n"}, "hosts.ini:1:1: “h1:” ends with a colon, but names no port"),
    ("a cycle", {"hosts": "[a:children]\nb\n[b:children]\na\n"}, "these groups are inside each other: "),
    ("itself", {"hosts": "[a:children]\na\n"}, "hosts:2:1: these groups are inside each other: a → a"),
    ("a section called yaml", {"hosts.yml": "[web]\nweb1 oops\n"}, "hosts.yml:2:6: “oops” is no variable"),
    ("a start of a document", {"hosts.yml": "---\n"}, "hosts.yml:2:1: hosts.yml must be a mapping"),
    ("a list in json", {"hosts.json": '["h1","h2"]\n'}, "hosts.json:1:1: hosts.json must be a mapping"),
    ("a broken line of yaml", {"hosts.yml": "all:\n\thosts:\n"}, "hosts.yml:2:1: not valid YAML"),
    ("a tag that lies", {"hosts.yml": "all:\n  vars: {a: !!int x}\n"}, "hosts.yml:2:13: “x” is not what its tag “!!int” says"),
    (
        "an octal that is none",
        {"hosts.yml": "all:\n  vars: {a: !!int 08}\n"},
        "hosts.yml:2:13: “08” is not what its tag “!!int”",
    ),
    ("a float that is none", {"hosts.yml": "all:\n  vars: {a: !!float 1:x}\n"}, "hosts.yml:2:13: “1:x” is not what its tag"),
    ("a tag of another kind", {"hosts.yml": "all: !!seq {}\n"}, "hosts.yml:1:6: the tag “!!seq” is not read"),
    ("a vault of no text", {"hosts.yml": "all: {vars: {a: !vault {b: 1}}}\n"}, "hosts.yml:1:17: the tag “!vault” is not read"),
    ("yaml", {"hosts.yml": "all:\n  hosts: [h1]\n"}, "hosts.yml:2:10: “hosts” must be a mapping"),
    ("yaml list", {"hosts.yml": "- h1\n"}, "hosts.yml:1:1: hosts.yml must be a mapping"),
    ("broken yaml", {"hosts.yml": "all: {hosts\n"}, "hosts.yml:2:1: not valid YAML"),
    ("a plugin", {"hosts.yml": "plugin: aws_ec2\n"}, "hosts.yml:1:9: inventory plugins of Ansible are not run"),
    ("toml", {"hosts.toml": "[all]\n"}, "hosts.toml:1:1: inventories in TOML are not read"),
    (
        "an encrypted inventory",
        {"hosts": "$ANSIBLE_VAULT;1.1;AES256\n61\n"},
        "hosts:1:1: the file is encrypted by ansible-vault",
    ),
    (
        "variables of no mapping",
        {"hosts": "h1\n", "host_vars/h1.yml": "- 1\n"},
        "host_vars/h1.yml:1:1: h1.yml must be a mapping",
    ),
    ("broken variables", {"hosts": "h1\n", "group_vars/all.yml": "a: [\n"}, "group_vars/all.yml:2:1: not valid YAML"),
    ("an object", {"hosts.yml": "all: !!python/object:os.x {}\n"}, "hosts.yml:1:6: the tag “!!python/object:os.x” is not read"),
    ("a bomb", {"hosts.yml": BOMB}, "the aliases stand for more"),
    ("not UTF-8", {"hosts": "h1 a=\udcff\n"}, "hosts:1:6: the file is not UTF-8 text"),
]


@pytest.mark.parametrize(("why", "files", "told"), BROKEN, ids=[why for why, _, _ in BROKEN])
def test_a_mistake_is_told_at_its_place(why: str, files: Mapping[str, str], told: str, tmp_path: Path) -> None:
    if why == "not UTF-8":
        (tmp_path / "ansible").mkdir()
        (tmp_path / "ansible" / "hosts").write_bytes(b"h1 a=\xff\n")
        (tmp_path / "inventory.yaml").write_text("sources:\n  - ansible: ansible/hosts\n")
        with pytest.raises(InvalidFile) as caught:
            load_inventory([tmp_path / "inventory.yaml"])
        assert told in str(caught.value)
        return
    assert told in refused(tmp_path, files)[0]


def test_a_folder_that_everyone_may_write_files_into_is_told(tmp_path: Path) -> None:
    load(tmp_path, {"hosts": "h1\n"})
    (tmp_path / "ansible" / "hosts").chmod(0o666)
    with pytest.raises(InvalidFile, match="everyone on this machine may write this file"):
        load_inventory([tmp_path / "inventory.yaml"])


@pytest.mark.parametrize(
    ("said", "method", "user"),
    [
        ("ansible_become_method=su ansible_become_user=oracle", BecomeMethod.SU, "oracle"),
        ("ansible_become_method=community.general.doas", BecomeMethod.DOAS, "root"),
        ("app=oracle ansible_become_user='{{ app }}'", BecomeMethod.SUDO, "oracle"),
        ("ansible_connection=winrm ansible_become_method=runas", BecomeMethod.SUDO, "root"),
    ],
)
def test_how_another_user_is_become_is_taken_over(tmp_path: Path, said: str, method: BecomeMethod, user: str) -> None:
    assert load(tmp_path, {"hosts": f"web1 {said}\n"}).hosts["web1"].become == Become(method=method, user=user)


def test_a_user_that_no_host_can_have_is_not_become(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="“-x” is not the name of a user"):
        load(tmp_path, {"hosts": "web1 ansible_become_user=-x\n"})
