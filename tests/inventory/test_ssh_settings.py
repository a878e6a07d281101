"""How a host is spoken to by SSH: old algorithms for single hosts, proxies on the way to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.host import OldAlgorithms, Proxy
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.sources.proxy_commands import meaning
from inventory.written import written

OLD = """
groups:
  old: {ssh_algorithms: {kex: [+diffie-hellman-group14-sha1], ciphers: +aes128-cbc}, hosts: [switch1, switch2]}
hosts:
  switch1: {ssh_algorithms: {ciphers: [+3des-cbc, +aes128-cbc], user_keys: [+ssh-rsa]}}
  switch2:
"""


def load(folder: Path, text: str) -> Inventory:
    (folder / "a.yaml").write_text(text)
    return load_inventory([folder / "a.yaml"])


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load(folder, text)
    return [str(problem).replace(f"{folder}/a.yaml", "a") for problem in caught.value.problems]


def test_old_algorithms_merge_by_kind_and_are_read_back(tmp_path: Path) -> None:
    known = load(tmp_path, OLD)
    kex = ("diffie-hellman-group14-sha1",)
    assert known.hosts["switch2"].ssh.old_algorithms == OldAlgorithms(kex=kex, ciphers=("aes128-cbc",))
    expected = OldAlgorithms(kex=kex, ciphers=("3des-cbc", "aes128-cbc"), user_keys=("ssh-rsa",))
    assert known.hosts["switch1"].ssh.old_algorithms == expected
    assert known.hosts["switch1"].origins["ssh_algorithms.kex"].line == 3
    (tmp_path / "written.yaml").write_text(written(known, tuple(known.hosts.values())))
    again = load_inventory([tmp_path / "written.yaml"])
    assert {name: host.ssh for name, host in again.hosts.items()} == {name: host.ssh for name, host in known.hosts.items()}


def test_a_host_names_its_library(tmp_path: Path) -> None:
    known = load(
        tmp_path, "groups: {odd: {ssh_library: either, hosts: [a, b]}}\nhosts: {a: {ssh_library: paramiko}, b: {}, c: {}}\n"
    )
    assert {name: host.ssh.library.value for name, host in known.hosts.items()} == {
        "a": "paramiko", "b": "either", "c": "asyncssh",
    }  # fmt: skip
    (tmp_path / "written.yaml").write_text(written(known, tuple(known.hosts.values())))
    again = load_inventory([tmp_path / "written.yaml"])
    assert [host.ssh.library for host in again.hosts.values()] == [host.ssh.library for host in known.hosts.values()]
    assert told(tmp_path, "hosts: {a: {ssh_library: paramico}}\n") == [
        "a:1:26: “ssh_library” cannot be “paramico” (did you mean paramiko?)"
    ]


def test_what_cannot_be_allowed_is_told_with_its_place(tmp_path: Path) -> None:
    assert told(tmp_path, "hosts:\n  a: {ssh_algorithms: {cipher: [+3des-cbc]}}\n") == [
        "a:2:24: “ssh_algorithms” has no key “cipher” (did you mean ciphers?)"
    ]
    assert told(tmp_path, "hosts:\n  a: {ssh_algorithms: {ciphers: [3des-cbc, +aes128-ctr], macs: [+none]}}\n") == [
        "a:2:34: “3des-cbc” replaces nothing, it is added (write +3des-cbc: it is offered last, after all that is safe)",
        "a:2:44: “+aes128-ctr” is no algorithm that could be allowed (did you mean aes128-cbc, aes192-cbc, aes256-cbc?)",
        "a:2:65: “+none” is no algorithm that could be allowed (one of +hmac-sha1, +hmac-sha1-96, +hmac-md5)",
    ]
    assert told(tmp_path, "hosts:\n  a: {ssh_algorithms: [+ssh-rsa]}\n") == [
        "a:2:23: “ssh_algorithms” must be a mapping, that is lines of “key: value”"
    ]


# --- proxies -------------------------------------------------------------------------------------------------------

PROXIES = """
proxy_programs: [/usr/bin/nc.openbsd]
credentials:
  web: {user: anna, password: {env: PROXY_PASSWORD}}
groups:
  berlin:
    proxy: socks5h://proxy.example:1080/
    hosts: {a: {}, b: {proxy: none}, c: {proxy: "http://anna@[2001:DB8::1]:3128", proxy_credential: web}}
    groups:
      behind: {via: a, hosts: [d, e]}
hosts:
  d:
  e: {proxy: socks5://other:1080}
  f: {proxy_command: [/usr/bin/nc.openbsd, -X, "5", -x, "p:1", "%h", "%p"]}
"""


def test_a_proxy_is_named_by_its_url_and_credential(tmp_path: Path) -> None:
    known = load(tmp_path, PROXIES)
    ways = {name: host.ssh.proxy and host.ssh.proxy.url for name, host in known.hosts.items()}
    berlin = "socks5://proxy.example:1080"
    assert ways == {
        "a": berlin,
        "b": None,
        "c": "http://[2001:db8::1]:3128",
        "d": berlin,
        "e": "socks5://other:1080",
        "f": None,
    }
    proxy = known.hosts["c"].ssh.proxy
    assert proxy is not None and proxy.credential == known.credentials["web"] and proxy.user == "anna"
    assert known.hosts["f"].ssh.proxy_command == ("/usr/bin/nc.openbsd", "-X", "5", "-x", "p:1", "%h", "%p")
    assert [str(note).replace(str(tmp_path), "") for note in known.notes] == [
        "/a.yaml:13:14: e is not reached through this proxy (set it for a: that is whom we connect to)"
    ]
    (tmp_path / "written.yaml").write_text(written(known, tuple(known.hosts.values())))
    again = load_inventory([tmp_path / "written.yaml"])
    assert {name: told_of(host.ssh.proxy) for name, host in again.hosts.items()} == {
        name: told_of(host.ssh.proxy) for name, host in known.hosts.items()
    }
    assert again.hosts["f"].ssh == known.hosts["f"].ssh


def told_of(proxy: Proxy | None) -> Proxy | None:
    if proxy is None or proxy.credential is None:
        return proxy
    return replace(proxy, credential=replace(proxy.credential, place=None))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{proxy: proxy:1080}", "a:3:14: “proxy:1080” is not the URL of a proxy (write socks5://HOST:PORT, "),
        ("{proxy: socks4://proxy:1080}", "“socks4://proxy:1080” is not the URL of a proxy"),
        ("{proxy: http://proxy}", "“http://proxy” is not the URL of a proxy"),
        ("{proxy: socks5://-p:1080}", "a:3:14: “-p” begins with a hyphen"),
        ("{proxy: socks5://anna:hunter22@proxy:1080}", "a:3:14: a secret is never written in an inventory"),
        ("{proxy: socks5://anna:hunter22@proxy}", "“socks5://…@proxy” is not the URL of a proxy"),
        ("{proxy: socks5://anna@proxy:1080}", "a:3:14: no password of anna is named (proxy_credential: NAME)"),
        ("{proxy: socks5://anna@proxy:1080, proxy_credential: bert}", "the credential bert is of bert, not of anna"),
        ("{proxy: socks5://proxy:1080, proxy_credential: key}", "the credential key has no password, and a proxy"),
        ("{proxy: socks5://proxy:1080, proxy_credential: theirs}", "the credential theirs is for hosts of Theirs"),
        ("{proxy_command: /usr/bin/nc}", "a:3:22: /usr/bin/nc may not be run for a connection (if you trust it"),
        ("{proxy_command: [nc, '%h']}", "a:3:23: “nc” is not the whole path of a program (as in /usr/bin/nc)"),
        ("{proxy_command: [/usr/bin/ok, '%h:%C']}", "“%C” stands for nothing (only %h, %p and %r are filled in)"),
        ("{proxy_command: [/usr/bin/ok, '%']}", "“%” stands for nothing"),
        ("{proxy: http://p:1, proxy_command: [/usr/bin/ok]}", "there is a “proxy” too, at"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_is_told_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    theirs = "theirs: {user: x, password: {env: X}, customer: Theirs}"
    credentials = f"{{bert: {{user: bert, password: {{env: X}}}}, key: {{user: anna, key: k}}, {theirs}}}"
    (problem,) = told(tmp_path, f"proxy_programs: [/usr/bin/ok]\nhosts:\n  h: {text}\ncredentials: {credentials}\n")
    assert says in problem and "hunter22" not in problem


def test_a_source_cannot_allow_a_program(tmp_path: Path) -> None:
    program = tmp_path / "hosts.sh"
    hosts = '"hosts": {"a": {"proxy_command": ["/usr/bin/id"]}}'
    more = '"proxy_programs": ["/usr/bin/id"]'
    program.write_text(f"#!/bin/sh\necho '{{{hosts}, {more}}}'\n")
    program.chmod(0o755)
    problems = told(tmp_path, "sources: [{program: hosts.sh}]\n")
    assert any("has no key “proxy_programs”" in problem for problem in problems)
    program.write_text(f"#!/bin/sh\necho '{{{hosts}}}'\n")
    (problem,) = told(tmp_path, "sources: [{program: hosts.sh}]\n")
    assert "/usr/bin/id may not be run for a connection" in problem


MEANT: dict[str, str] = {
    "ssh -W %h:%p gw": "via gw",
    "/usr/bin/ssh -q -W [%h]:%p -p 2222 -l ops gw": "via ops@gw:2222",
    "exec ssh -J a,b gw -W %h:%p": "via a,b,gw",
    "ssh -i ~/.ssh/gw -W %h:%p gw": "via gw, left -i '~/.ssh/gw'",
    "nc -x proxy:1080 %h %p": "proxy socks5://proxy:1080",
    "nc -X 5 -x proxy %h %p": "proxy socks5://proxy:1080",
    "netcat -X connect -x proxy:3128 %h %p": "proxy http://proxy:3128",
    "ncat --proxy proxy:3128 --proxy-type http %h %p": "proxy http://proxy:3128",
    "ncat --proxy-type=socks5 --proxy=proxy %h %p": "proxy socks5://proxy:1080",
    "connect-proxy -H proxy:3128 %h %p": "proxy http://proxy:3128",
    "connect -S proxy %h %p": "proxy socks5://proxy:1080",
    "corkscrew proxy 3128 %h %p": "proxy http://proxy:3128",
}
OF_THEIR_OWN = (
    "nc %h %p",
    "nc -X 4 -x proxy:1080 %h %p",
    "nc -x proxy:1080 %h 22; id",
    "nc -x proxy:1080 other %p",
    "nc -P anna -x proxy:1080 %h %p",
    "ssh gw nc %h %p",
    "ssh -W other:22 gw",
    "ssh -W %h:%p $(id)",
    "ssh -W %h:%p gw | tee /tmp/x",
    "aws ssm start-session --target %h",
    "cloudflared access ssh --hostname %h",
    "corkscrew proxy",
    "connect -H proxy:3128 %h",
    "ssh 'unclosed",
    "",
)


@pytest.mark.parametrize("command", MEANT)
def test_what_a_proxy_command_really_means(command: str) -> None:
    means = meaning(command)
    assert means is not None
    said = [f"{name} {value}" for name in ("via", "proxy", "left") if (value := getattr(means, name))]
    assert ", ".join(said) == MEANT[command]


@pytest.mark.parametrize("command", OF_THEIR_OWN)
def test_a_program_of_its_own_means_nothing_to_us(command: str) -> None:
    assert meaning(command) is None


def test_proxies_of_an_ssh_config_and_of_ansible(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "Host a\n ProxyCommand nc -x proxy:1080 %h %p\nHost b\n ProxyCommand ssh -o Compression=yes -W %h:%p ops@gw\n"
        "Host c\n ProxyCommand /opt/tunnel %h\nHost d\n ProxyCommand none\n"
    )
    (tmp_path / "hosts").write_text(
        "e ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p -q ops@gw\"'\n"
        "f ansible_ssh_common_args='-C -o ProxyCommand=\"nc -X connect -x proxy:3128 %h %p\"'\n"
    )
    known = load(tmp_path, "sources: [{ssh_config: config}, {ansible: hosts}]\n")
    found = {name: host.ssh.proxy.url if host.ssh.proxy else host.via and host.via.name for name, host in known.hosts.items()}
    assert found == {
        "a": "socks5://proxy:1080", "b": "gw", "c": None, "d": None, "e": "gw", "f": "http://proxy:3128", "gw": None,
    }  # fmt: skip
    notes = "\n".join(map(str, known.notes))
    assert "config:6:2: “ProxyCommand” is left out: /opt/tunnel %h (no command of others is run: allow the program" in notes
    assert "config:4:2: “ProxyCommand” is left out: -o Compression=yes (what is said of the host in between" in notes
    assert "“ansible_ssh_common_args” is left out: -C" in notes
