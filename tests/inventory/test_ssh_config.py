# ruff: noqa: E501 - each configuration is one text
"""An ssh_config as a source: what `ssh -G` says of a name, longarm says too; mistakes at their place; nothing is run."""

from __future__ import annotations

import getpass
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.host import KerberosReference
from inventory.inventory import Inventory
from inventory.names import shown
from inventory.own import load_inventory
from inventory.sources import ssh_blocks
from inventory.sources.ssh_config import SshConfig, filled
from inventory.stamps import Looked

ASKED = ("web1", "web2", "db1", "db1.example.net", "gw", "10.0.0.5", "other")
WRITTEN: Mapping[str, str] = {
    "nothing": "",
    "one host": "Host web1\n  HostName 192.0.2.1\n  Port 2222\n  User deploy\n  IdentityFile /k/one\n",
    "before any host": "User everyone\nHost web1\n User web\n",
    "the first value holds": "Host web1\n Port 1\nHost web*\n Port 2\n User w\nHost *\n Port 3\n User all\n",
    "patterns": "Host web?\n User one\nHost *.example.net\n User net\nHost 10.0.0.*\n User ten\nHost w*1\n Port 9\n",
    "negated patterns": "Host web* !web2\n User web\nHost * !db1\n Port 7\nHost !web1\n User never\n",
    "several names": "Host web1 db1\tgw\n User x\n",
    "equals signs": "Host=web1\n User = deploy\n\tPort=2200\nHostName  =  192.0.2.9\n",
    "any case": "HOST web1\n hOsTnAmE 192.0.2.1\n USER Deploy\n",
    "upper case in a host name": "Host web1\n HostName WEB.Example.NET\n",
    "quotes": 'Host "web1"\n User "de ploy"\n IdentityFile "/my keys/one" # mine\n IdentityFile \'/k/two\'\n',
    "comments": "# Host web1\nHost web1 # the first\n User deploy # me\n   # Port 9\n",
    "tokens in a host name": "Host web* db1\n HostName %h.example.net\nHost gw\n HostName 100%%.example\n",
    "keys add up": "Host web1\n IdentityFile /k/a\n IdentityFile /k/b\nHost *\n IdentityFile /k/c\n IdentityFile /k/a\n",
    "certificates add up": "Host web1\n CertificateFile /k/a-cert.pub\nHost *\n CertificateFile /k/b-cert.pub\n",
    "a jump": "Host web1\n ProxyJump gw\nHost web2\n ProxyJump ops@gw:2222\nHost *\n ProxyJump none\n",
    "several jumps": "Host db1\n ProxyJump a,b@c:3\n",
    "jump or command": "Host web1\n ProxyJump gw\n ProxyCommand nc %h %p\nHost web2\n ProxyCommand nc -X 5 %h %p # x\n ProxyJump gw\n",
    "match host": "Match host web1,db*\n User m\nMatch host !web1,web*\n User n\n",
    "match original": "Host web1\n HostName 192.0.2.1\nMatch originalhost web1\n User o\nMatch host 192.0.2.*\n Port 5\n",
    "match sees the name set so far": "Match host 192.0.2.1\n User before\nHost web1\n HostName 192.0.2.1\nMatch host 192.0.2.1\n Port 6\n",
    "match host of a name set by another match": (
        "Match originalhost web1,gw\n HostName 192.0.2.7\nMatch host 192.0.2.7,gw\n Port 7\nMatch host web1\n Port 8\n"
        "Match originalhost web1 user root\n User r\nMatch host db1 originalhost db1,web1\n User d\n"
    ),
    "match host before and after its name is set": (
        "Match host 192.0.2.8\n Port 1\nMatch host web*\n HostName 192.0.2.8\nMatch host 192.0.2.8 originalhost web2\n Port 2\n"
        "Match host 192.0.2.8\n Port 3\nMatch host web1\n User never\n"
    ),
    "match user": "Host web1\n User deploy\nMatch user deploy\n Port 8\nMatch user !deploy,*\n Port 9\n",
    "match all": "Match all\n User a\n",
    "match several": "Host web1\n User deploy\nMatch host web* user deploy\n Port 8\nMatch host db* user deploy\n Port 9\n",
    "match negated": "Match !host web1\n User x\nMatch !originalhost db* !user x\n Port 4\n",
    "match final": "Match final host 192.0.2.1\n User f\nHost web1\n HostName 192.0.2.1\nMatch final all\n Port 44\n",
    "match final does not override": "Match final\n Port 4\nHost *\n Port 3\n",
    "match canonical without canonicalising": "Match canonical all\n User never\n",
    "match localuser": f"Match localuser {getpass.getuser()}\n User me\nMatch localuser nobodyelse\n Port 3\n",
    "settings after match": "Match host web1\n User a\nHost web2\n User b\n",
    "include": "Include {dir}/more\nHost web1\n Port 9\n",
    "include in a block": "Host web1\n Include {dir}/more\n User later\n",
    "include by pattern": "Include {dir}/conf.d/*.conf\n",
    "include of nothing": "Include {dir}/none/*.conf\nHost web1\n User x\n",
    "include under match": "Match host db*\n Include {dir}/more\n",
    "include of two": "Include {dir}/conf.d/a.conf {dir}/conf.d/b.conf\n",
    "a block of an included file ends with it": "Include {dir}/ends\nUser after\n",
    "other keywords": "Host *\n ServerAliveInterval 30\n ForwardAgent no\n Compression yes\n",
}
INCLUDED = {
    "more": "User included\nHost web1\n Port 77\n IdentityFile /k/inc\nHost db*\n Port 78\n",
    "ends": "Host web1\n User inside\n",
    "conf.d/a.conf": "Host web*\n User from-a\n",
    "conf.d/b.conf": "Host *\n User from-b\n Port 99\n",
}


def generated(seed: int) -> str:
    """Return a configuration made from a seed."""
    dice = random.Random(seed)
    patterns = ["web1", "web*", "db1", "*", "!web2", "*.example.net", "10.*", "?b1*", "gw", "!db*"]
    lines = []
    for _ in range(dice.randint(2, 9)):
        if dice.random() < 0.7:
            lines.append("Host " + " ".join(dice.sample(patterns, dice.randint(1, 3))))
        else:
            criteria = [
                f"host {','.join(dice.sample(patterns, 2))}",
                f"originalhost {dice.choice(patterns)}",
                "user u1,u2",
                "final",
            ]
            lines.append("Match " + " ".join(dice.sample(criteria, dice.randint(1, 2))))
        settings = [
            f"Port {dice.randint(1, 9000)}",
            f"User u{dice.randint(1, 4)}",
            dice.choice(["HostName %h.example.net", "HostName 10.0.0.7", "HostName db1"]),
            f"IdentityFile /k/{dice.randint(1, 4)}",
            "ProxyJump bastion",
            "ProxyCommand nc %h %p",
        ]
        lines += [f"  {line}" for line in dice.sample(settings, dice.randint(1, 3))]
    return "\n".join(lines) + "\n"


CORPUS = {**WRITTEN, **{f"seed {seed}": generated(seed) for seed in range(40)}}
COMPARED = ("hostname", "port", "user", "identityfile", "certificatefile", "proxyjump", "proxycommand")


def written(text: str, folder: Path) -> Path:
    for name, inner in INCLUDED.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(inner)
    path = folder / "config"
    path.write_text(text.replace("{dir}", str(folder)))
    return path


def theirs(path: Path, name: str) -> Mapping[str, list[str]]:
    done = subprocess.run(["ssh", "-G", "-F", str(path), name], capture_output=True, text=True, check=True, timeout=20)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        if keyword in COMPARED:
            found.setdefault(keyword, []).append(value)
    if all(key.startswith("~/.ssh/id_") for key in found.get("identityfile", [])):
        found.pop("identityfile", None)  # those that ssh tries when none is named
    return found


def ours(config: SshConfig, name: str) -> Mapping[str, list[str]]:
    effective = config.effective(name)
    address = filled(effective.text("hostname") or name, {"h": name}) or ""
    found = {
        "hostname": [address.lower()],
        "port": [effective.text("port") or "22"],
        "user": [effective.text("user") or getpass.getuser()],
        **{key: [one.arguments[0] for one in settings] for key, settings in effective.many.items()},
    }
    for key in ("proxyjump", "proxycommand"):
        if (value := effective.text(key)) and value != "none":
            found[key] = [value]
    return found


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
@pytest.mark.parametrize("name", CORPUS)
def test_both_say_the_same(name: str, tmp_path: Path) -> None:
    path = written(CORPUS[name], tmp_path)
    config = SshConfig(path, Looked())
    assert not config.reader.problems
    for host in ASKED:
        assert ours(config, host) == theirs(path, host), host


def load(folder: Path, text: str) -> Inventory:
    written(text, folder)
    (folder / "inventory.yaml").write_text("sources:\n  - ssh_config: config\n")
    return load_inventory([folder / "inventory.yaml"])


def test_thousands_of_match_lines_are_not_asked_by_each_of_thousands_of_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was quadratic: 2,000 hosts with a line each took 16 s."""
    names, asked = [f"h{number}" for number in range(300)], 0
    lines = [f"Host {name}\n HostName 10.0.0.{name[1:]}\n" for name in names[:200]] + [f"Host {' '.join(names)}\n Port 9\n"]
    lines += [f"Match originalhost {name}\n User u\nMatch host 10.0.0.{name[1:]}\n IdentityFile /k\n" for name in names]

    def counted(criteria: tuple[ssh_blocks.Criterion, ...], about: ssh_blocks.Asked) -> bool:
        nonlocal asked
        asked += 1
        return ssh_blocks.fits_match(criteria, about)

    monkeypatch.setattr("inventory.sources.ssh_config.fits_match", counted)
    config = SshConfig(written("".join(lines), tmp_path), Looked())
    found = [config.effective(name) for name in names]
    assert all(one.text("user") == "u" for one in found)
    assert sum("identityfile" in one.many for one in found) == 200
    assert asked <= 2 * len(names)


def test_the_hosts_are_those_that_are_named(tmp_path: Path) -> None:
    text = "Host web1 web2 !web3 db*\n User ops\nHost bastion\nHost *\n IdentityFile ~/.ssh/%r\nHost web1\n HostName %h.example.net\n"
    known = load(tmp_path, text)
    assert list(known.hosts) == ["web1", "web2", "bastion"]
    web1, bastion = known.hosts["web1"], known.hosts["bastion"]
    assert web1.address == "web1.example.net" and str(web1.address_place) == f"{tmp_path}/config:7:2"
    assert web1.credential and (web1.credential.user, web1.credential.key) == ("ops", "~/.ssh/ops")
    assert (
        bastion.credential and bastion.credential.user == getpass.getuser() and str(bastion.place) == f"{tmp_path}/config:3:1"
    )


def test_a_program_of_the_configuration_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = f"Match exec 'touch {ran}'\n User x\nHost web1\n ProxyCommand touch {ran}\n"
    known = load(tmp_path, text)
    assert not ran.exists() and known.hosts["web1"].credential is None
    assert [str(note.text) for note in known.notes] == [
        "this Match counts as not fitting: “exec” is not asked",
        f"“ProxyCommand” is left out: {shown(f'touch {ran}')}",
    ]


def test_jumps_are_hosts_the_first_of_them_nearest_to_us(tmp_path: Path) -> None:
    text = "Host web1\n ProxyJump ops@gw:2200,b2\nHost b?\n HostName %h.example.net\n User hop\n IdentityFile /k/%r\n"
    known = load(tmp_path, text)
    gw, b2 = known.hosts["gw"], known.hosts["b2"]
    assert list(known.hosts) == ["web1", "gw", "b2"]
    assert known.hosts["web1"].via == b2 and b2.via == gw and gw.via is None
    assert (gw.address, gw.port, gw.credential and gw.credential.user) == ("gw", 2200, "ops")
    assert (b2.address, b2.credential and b2.credential.key) == ("b2.example.net", "/k/hop")
    assert str(gw.place) == str(known.hosts["web1"].origins["via"]) == str(b2.origins["via"]) == f"{tmp_path}/config:2:2"
    assert [str(note).replace(f"{tmp_path}/", "") for note in known.notes] == [
        f"config:2:2: {name} becomes a host: others are reached through it (declare it yourself to give it a site, groups or another credential)"
        for name in ("gw", "b2")
    ]


LOGINS = """
Host web1
 HostKeyAlias db.example
 User ops
 IdentityFile /k/%n
 CertificateFile /certs/%n-cert.pub
 IdentitiesOnly yes
 PreferredAuthentications hostbased,keyboard-interactive,publickey
 GSSAPIAuthentication yes
Host web2
 IdentityFile /k/web2
 CertificateFile /k/web2-cert.pub
Host web3
 GSSAPIAuthentication yes
 HostKeyAlias -x
 PreferredAuthentications hostbased
Host web4
"""


def test_how_ssh_would_log_in_is_how_we_do(tmp_path: Path) -> None:
    known = load(tmp_path, LOGINS)
    web1, web2, web3, web4 = (host.credential for host in known.hosts.values())
    assert known.hosts["web1"].host_key_alias == "db.example"
    assert web1 and (web1.user, web1.key, web1.certificate) == ("ops", "/k/web1", "/certs/web1-cert.pub")
    assert (web1.agent, web1.only_named, web1.methods) == (True, True, ("keyboard-interactive", "publickey"))
    assert web1.kerberos == KerberosReference(optional=True)
    assert web2 and (web2.key, web2.certificate, web2.agent, web2.only_named) == ("/k/web2", None, True, False)
    assert web3 and (web3.user, web3.kerberos, web3.agent) == (getpass.getuser(), KerberosReference(optional=True), False)
    assert web4 is None
    assert [str(note).removeprefix(f"{tmp_path}/").partition(" (")[0] for note in known.notes] == [
        "config:15:2: “HostKeyAlias” is left out: “-x” begins with a hyphen, as an option of a command does",
        "config:16:2: “PreferredAuthentications” is left out: hostbased",
    ]


def test_a_jump_that_is_named_is_that_host_and_none_is_the_direct_way(tmp_path: Path) -> None:
    text = "Host gw\n HostName 192.0.2.1\n Port 2222\n User ops\nHost web1\n ProxyJump 192.0.2.1:2222\nHost web2\n ProxyJump none\nHost *\n ProxyJump GW\n"
    known = load(tmp_path, text)
    assert {name: host.via and host.via.name for name, host in known.hosts.items()} == {"gw": None, "web1": "gw", "web2": None}
    assert known.notes == ()


def test_what_a_jump_says_of_a_known_host_and_is_not_so_is_noted(tmp_path: Path) -> None:
    known = load(tmp_path, "Host web1 web2\n ProxyJump ops@gw:2222\nHost gw\n User root\n")
    assert known.hosts["web2"].via == known.hosts["gw"]
    assert [str(note.text) for note in known.notes] == [
        "no credential of gw has the user ops",
        "gw is reached at port 22, not at 2222",
    ]


def test_ways_that_contradict_each_other_are_noted_and_never_a_ring(tmp_path: Path) -> None:
    known = load(tmp_path, "Host x\n ProxyJump a,b\nHost y\n ProxyJump b,a\nHost a b\n User u\n")
    assert {name: host.via and host.via.name for name, host in known.hosts.items()} == {"x": "b", "y": "a", "a": None, "b": "a"}
    assert [str(note.text) for note in known.notes] == ["a has a way of its own, and is not reached through b"]


def test_jumps_that_never_end_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="is reached through more than 8 hosts"):
        load(tmp_path, "Host web1\nHost *\n ProxyJump %h.x\n")


@pytest.mark.parametrize("seed", range(60))
def test_however_ways_cross_each_host_has_the_one_that_its_hops_have(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    names = ["a", "b", "c", "d", "e"]
    hops = [*names, "n1", "n2", "u@n3:22", "A", "none"]
    lines = [
        f"Host {name}\n ProxyJump {','.join(dice.sample(hops[:-1], dice.randint(1, 3)))}\n" for name in dice.sample(names, 3)
    ]
    lines.append(f"Host {' '.join(names)}\nHost {dice.choice('an*')}*\n ProxyJump {dice.choice(hops)}\n")
    try:
        known = load(tmp_path, "".join(lines))
    except InvalidFile as error:
        assert all("reached through" in str(problem) for problem in error.problems)  # a ring that is written as such
        return
    assert set(names) <= set(known.hosts) and any(host.via for host in known.hosts.values())
    for host in known.hosts.values():
        assert host.via is None or (host.via == known.hosts[host.via.name] and "via" in host.origins)


def test_long_chains_are_told_as_any_others(tmp_path: Path) -> None:
    text = "".join(f"Host h{number}\n ProxyJump z,h{number + 1}\n" for number in range(3000))
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, text)
    assert "config:2:2: h0 is reached through more than 8 hosts" in str(caught.value)


def test_the_way_of_ssh_is_none_for_hosts_that_it_does_not_reach(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host win1\n ProxyJump gw\n")
    (tmp_path / "inventory.yaml").write_text("sources:\n  - ssh_config: config\nhosts: {win1: {transport: winrm}}\n")
    known = load_inventory([tmp_path / "inventory.yaml"])
    assert known.hosts["win1"].via is None and list(known.hosts) == ["win1"]


def test_private_addresses_of_another_customer_are_other_hosts(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host web1\n ProxyJump 10.0.0.1\n")
    own = "hosts:\n  theirs: {address: 10.0.0.1, customer: theirs}\n  web1: {customer: ours}\n"
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - ssh_config: config\n{own}")
    known = load_inventory([tmp_path / "inventory.yaml"])
    assert known.hosts["web1"].via == known.hosts["10.0.0.1"]
    ours = own.replace("customer: theirs", "customer: ours")
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - ssh_config: config\n{ours}")
    known = load_inventory([tmp_path / "inventory.yaml"])
    assert known.hosts["web1"].via == known.hosts["theirs"] and "10.0.0.1" not in known.hosts


def test_a_way_of_our_own_holds_over_that_of_ssh(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host web1 web2\n ProxyJump gw\n")
    own = "groups:\n  dmz: {via: gate, hosts: [web1, web2]}\nhosts: {gate: {}}\n"
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - ssh_config: config\n{own}")
    known = load_inventory([tmp_path / "inventory.yaml"])
    assert known.hosts["web1"].via == known.hosts["gate"] and "gw" not in known.hosts and known.notes == ()


BROKEN = [
    ("a port", "Host web1\n Port 99999\n", "config:2:2: “Port” must be a whole number from 1 to 65535"),
    ("a name", "Host web1\n HostName -oProxyCommand=id\n", "config:2:2: “-oproxycommand=id” begins with a hyphen"),
    ("a user", "Host web1\n User -x\n", "config:2:2: “-x” is not the name of a user"),
    ("a host", "Host we$b1\n", "config:1:1: “we$b1” is not a host name"),
    ("a jump", "Host web1\n ProxyJump gw,b$2\n", "config:2:2: “b$2” is not a host name"),
    ("a jump's port", "Host web1\n ProxyJump gw:0\n", "config:2:2: “0” is not a port"),
    ("a jump's user", "Host web1\n ProxyJump -x@gw\n", "config:2:2: “-x” is not the name of a user"),
    ("a quote", 'Host "web1\n', "config:1:1: this line cannot be read: no closing quote"),
    ("no value", "Host web1\n User\n", "config:2:2: “user” has no value"),
    ("no keyword", "Host web1\n = x\n", "config:2:2: this line cannot be read: no keyword"),
    ("a condition", "Match hots web1\n", "config:1:1: “hots” is no condition of Match (did you mean host?)"),
    ("a condition without a value", "Match host\n", "config:1:1: “host” has no value"),
    ("a cycle", "Include {dir}/config\n", "config:1:1: these files include each other: "),
    ("a token of an Include", "Include {dir}/%h\n", "config:1:1: “Include” is not read here"),
    ("control characters", "Host web1\n User \x1b[2J\n", "config:2:7: the file contains the control character U+001B"),
]


@pytest.mark.parametrize(("why", "text", "told"), BROKEN, ids=[why for why, _, _ in BROKEN])
def test_a_mistake_is_told_at_its_place(why: str, text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, text)
    assert told in str(caught.value).replace(f"{tmp_path}/config", "config", 1)


def test_files_that_include_very_many_are_told_once_for_each_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_blocks, "MAX_FILES", 50)
    folder = tmp_path / "d"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}").write_text(f"Include {folder}/[012][0-9]\n" * 3)
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, f"Include {folder}/*\n")
    told = [str(problem.text) for problem in caught.value.problems]
    assert 1 <= told.count("more than 50 files") <= ssh_blocks.MAX_INCLUDES + 1


def test_a_misspelt_keyword_is_named(tmp_path: Path) -> None:
    (note,) = load(tmp_path, "Host web1\n HostNme x\n").notes
    assert str(note) == f"{tmp_path}/config:2:2: “hostnme” is no keyword (did you mean hostname, host?)"
