"""Our own inventory format: what it means, which value holds, and every mistake with its place."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory import drafts
from inventory.errors import InvalidFile
from inventory.host import CredentialReference, Expectations, Host, Platform, SecretReference, Transport
from inventory.inventory import Inventory
from inventory.own import load_inventory

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "data" / "inventory" / "example.yaml"

Load = Callable[..., Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads the texts of files as one inventory."""

    def load(*texts: str) -> Inventory:
        paths = [tmp_path / f"{name}.yaml" for name, _ in zip("abcdef", texts, strict=False)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return load_inventory(paths)

    return load


@pytest.fixture
def told(load: Load, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that loads texts which are wrong, and returns the problems as the console prints them."""

    def told(*texts: str) -> list[str]:
        with pytest.raises(InvalidFile) as caught:
            load(*texts)
        return [str(problem).replace(f"{tmp_path}/", "").replace(".yaml", "") for problem in caught.value.problems]

    return told


def test_the_example_of_the_documentation_is_the_file_that_is_tested_here() -> None:
    example, waivers, *_ = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "inventory.md").read_text(), re.DOTALL)
    assert example == EXAMPLE.read_text()
    assert waivers.startswith("waivers:\n")


def test_the_waiver_of_the_documentation_can_be_read(load: Callable[..., Inventory]) -> None:
    waivers = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "inventory.md").read_text(), re.DOTALL)[1]
    (waiver,) = load("hosts: {nas: {tags: [backup]}}\n", waivers).hosts["nas"].waivers
    assert (waiver.owner, waiver.last_day, waiver.subject) == ("anna", "2027-01-31", {"mount": "/mnt/*"})


def test_the_codes_and_tickets_of_the_documentation_can_be_read(load: Callable[..., Inventory]) -> None:
    codes, tickets = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "inventory.md").read_text(), re.DOTALL)[2:4]
    ops, vpn, web = (one.otp for one in load("", codes).credentials.values())
    assert ops is not None and vpn is not None and web is not None
    assert (str(ops.secret), str(vpn.typed), web.per_host) == ("keyring:longarm/ops-otp", "prompt:code of the token", True)
    mine, robot, desk = (one.kerberos for one in load("", tickets).credentials.values())
    assert mine is not None and robot is not None and desk is not None
    assert (mine.principal, robot.principal, str(desk.password)) == (None, "robot@EXAMPLE.NET", "keyring:corp/desk")


def test_the_stores_of_the_documentation_can_be_read(load: Callable[..., Inventory]) -> None:
    stores = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "inventory.md").read_text(), re.DOTALL)[4]
    known = load("hosts: {nas: {credential: web}}\n", stores)
    assert list(known.secret_stores) == ["desk", "team", "corp"]
    password = known.credentials["web"].password
    assert password is not None and (str(password), password.store) == ("corp:web/deploy#password", known.secret_stores["corp"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{env: {askpass: /x}}", "a:1:17: “env” is a kind of secret already"),
        ("{s: {}}", "a:1:17: a store is exactly one of askpass, ansible_vault, vault"),
        ("{s: {askpas: /x}}", "a:1:17: a store is exactly one of askpass, ansible_vault, vault (did you mean askpass?)"),
        ("{s: {askpass: /x, vault: 'https://v.example'}}", "a:1:17: a store is exactly one of askpass, ansible_vault, vault"),
        ("{s: {askpass: /x, deadlin: 1s}}", "a:1:34: the store s has no key “deadlin” (did you mean deadline?)"),
        ("{s: {ansible_vault: f}}", "a:1:20: the store s needs the key “password”"),
        ("{s: {ansible_vault: f, password: x}}", "a:1:49: a secret is never written in an inventory"),
        ("{s: {ansible_vault: f, password: {t: x}}}", "a:1:50: a secret cannot be kept in “t”"),
        ("{s: {ansible_vault: f, password: {dev: {env: X}, prod: {evn: X}}}}", "(did you mean env?)"),
        ("{s: {vault: 'http://v.example', token: {env: X}}}", "a:1:28: “http://v.example” is not encrypted"),
        ("{s: {vault: 'https://v.example'}}", "a:1:17: a vault is opened by a token, or by role_id and secret_id"),
        ("{s: {vault: 'https://v.example', role_id: r}}", "a:1:17: a vault is opened by a token, or by role_id and secret_id"),
        ("{s: {vault: 'https://v.example', token: {env: X}, mount: ../x}}", "“mount” must be a path"),
        ("{s: {vault: 'https://v.example', token: {env: X}, version: 3}}", "“version” must be a whole number from 1 to 2"),
    ],
)
def test_a_mistake_in_a_store_is_told_at_its_place(load: Callable[..., Inventory], text: str, says: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        load(f"secret_stores: {text}\n")
    told = [re.sub(r"^\S*/(\w)\.yaml", r"\1", str(problem)) for problem in refused.value.problems]
    assert any(says in one for one in told), told


def test_a_store_is_known_to_files_before_the_one_that_declares_it(load: Callable[..., Inventory]) -> None:
    known = load("credentials: {c: {user: u, password: {desk: x}}}\n", "secret_stores: {desk: {askpass: /x}}\n")
    assert known.credentials["c"].password is not None and known.credentials["c"].password.store is not None
    with pytest.raises(InvalidFile, match="the store desk is declared twice, first at"):
        load("secret_stores: {desk: {askpass: /x}}\n", "secret_stores: {desk: {askpass: /y}}\n")


def test_the_example_says_what_the_documentation_says() -> None:
    inventory = load_inventory([EXAMPLE])
    assert list(inventory.hosts) == ["web01", "web02", "web03", "web-old", "db-main", "here"]
    web, old, main, here = (inventory.hosts[name] for name in ("web02", "web-old", "db-main", "here"))
    ops, legacy = inventory.credentials["ops"], inventory.credentials["legacy"]
    assert (web.address, web.groups, web.site, web.tags) == (
        "10.0.0.12",
        ("berlin", "nightly", "web"),
        "berlin",
        ("frontend", "nightly"),
    )
    assert web.customer == "ООО «Ромашка»" and web.credential == ops and web.transport is Transport.SSH
    assert web.expect == Expectations(services=("nginx",), ports=("tcp/80", "tcp/443"))
    assert old.credential == legacy and old.expect.ports == ("tcp/80", "tcp/443", "udp/123")
    assert main.vars == {"thresholds": {"fs-space": {"warning": 80, "critical": 98}}, "role": "primary"}
    assert (main.port, main.expect.names, main.groups) == (2222, ("ldap.example.net",), ("berlin", "db", "nightly"))
    assert (here.transport, here.address, here.groups, here.platform) == (Transport.LOCAL, "here", (), Platform.LINUX)
    assert inventory.groups["berlin"].hosts == ("web01", "web02", "web03", "web-old", "db-main")
    assert inventory.groups["berlin"].groups == ("web", "db")
    assert ops.passphrase == SecretReference(kind="keyring", value="longarm/ops") and ops.key == "~/.ssh/id_ed25519"
    assert legacy.password == SecretReference(kind="env", value="LEGACY_PASSWORD") and not legacy.agent
    assert legacy.become_password == legacy.password and ops.become_password is None
    assert str(web.place) == f"{EXAMPLE}:22:11"


def test_an_empty_file_is_an_inventory_without_hosts(load: Load) -> None:
    assert load("").hosts == {} and load("hosts:\ngroups:\n").groups == {} and load_inventory([]).credentials == {}


def test_hosts_keep_the_order_of_files_and_lines(load: Load) -> None:
    inventory = load("hosts: {z: }\ngroups: {g: {hosts: {m: null}}}\n".replace("z: ", "z: null"), "hosts: {a: null, b: null}")
    assert list(inventory.hosts) == ["z", "m", "a", "b"]


def test_several_files_and_folders_make_one_inventory(tmp_path: Path) -> None:
    folder = tmp_path / "inventory.d"
    folder.mkdir()
    (folder / "20-groups.yml").write_text("groups: {web: {site: berlin, hosts: ['web[1:2]']}}")
    (folder / "10-hosts.yaml").write_text("hosts: {'web[1:2]': {}, db: {}}")
    (folder / ".hidden.yaml").write_text("nonsense: [")
    (folder / "notes.txt").write_text("nonsense: [")
    more = tmp_path / "more.yaml"
    more.write_text("groups: {web: {tags: x, hosts: [db]}}\ndefaults: {customer: acme}")
    inventory = load_inventory([folder, more, more, folder / "10-hosts.yaml"])
    assert [(host.name, host.site, host.tags, host.customer) for host in inventory.hosts.values()] == [
        (name, "berlin", ("x",), "acme") for name in ("web1", "web2", "db")
    ]


PRECEDENCE = """
defaults:
  {site: D, port: 1, platform: macos, tags: [D], expect: {ports: 1},
   vars: {a: D, b: D, c: D, d: D, deep: {x: D, y: D}, list: [D]}}
groups:
  outer: {port: 2, vars: {b: O, c: O, d: O, deep: {y: O}}, tags: [O, D], expect: {ports: [2]}, groups: [inner]}
  inner: {vars: {c: I, d: I, deep: {z: I}, list: [I, I]}, tags: I, expect: {ports: [2, 3]}, hosts: [h]}
hosts:
  h: {vars: {d: H, deep: {w: H}}, tags: [H, I], expect: {ports: [4]}}
  lone: {}
"""


def test_precedence_defaults_outer_inner_host(load: Load) -> None:
    host = load(PRECEDENCE).hosts["h"]
    assert (host.site, host.port, host.platform) == ("D", 2, Platform.MACOS)
    assert host.vars == {
        "a": "D",
        "b": "O",
        "c": "I",
        "d": "H",
        "deep": {"x": "D", "y": "O", "z": "I", "w": "H"},
        "list": ("I", "I"),
    }
    assert host.tags == ("D", "O", "I", "H")
    assert host.expect.ports == ("tcp/1", "tcp/2", "tcp/3", "tcp/4")
    assert load(PRECEDENCE).hosts["lone"].vars["deep"] == {"x": "D", "y": "D"}


@pytest.mark.parametrize(
    "order", ["{hosts: [h], site: x}\n  b: {hosts: [h], site: y}", "{hosts: [h], site: y}\n  b: {hosts: [h], site: x}"]
)
def test_the_order_of_groups_never_decides(told: Callable[..., list[str]], order: str) -> None:
    (problem,) = told(f"groups:\n  a: {order}\nhosts: {{h: {{}}}}")
    assert problem == (
        "a:3:25: two groups of the host h give “site” different values, here and at a:2:25 "
        "(set it on the host, or put one group inside the other)"
    )


@pytest.mark.parametrize(
    "text",
    [
        # the host, a group inside both, both in agreement, a group against the defaults, the innermost of a diamond
        "groups:\n  a: {hosts: [h], site: x}\n  b: {hosts: [h], site: y}\nhosts: {h: {site: z}}",
        "groups:\n  a: {groups: [c], site: x}\n  b: {groups: [c], site: y}\n  c: {site: z, hosts: {h: {}}}",
        "groups:\n  a: {hosts: [h], site: z}\n  b: {hosts: [h], site: z}\nhosts: {h: {}}",
        "defaults: {site: x}\ngroups:\n  a: {hosts: {h: {}}, site: z}",
        "groups:\n  a: {groups: [b, c], site: x}\n  b: {groups: [c], site: y}\n  c: {site: z, hosts: {h: {}}}",
    ],
)
def test_who_may_decide(load: Load, text: str) -> None:
    assert load(text).hosts["h"].site == "z"


def test_disagreement_is_told_once_for_all_hosts_and_for_inner_keys(told: Callable[..., list[str]]) -> None:
    groups = "groups:\n  a: {hosts: ['h[1:50]'], vars: {t: {u: 1}}}\n  b: {hosts: ['h[1:50]'], vars: {t: {u: true}}}\n"
    (problem,) = told(groups + "hosts: {'h[1:50]': {}}")
    assert "two groups of the host h1 give “vars.t.u” different values, here and at a:2:" in problem


def test_a_mapping_is_a_mapping_everywhere(told: Callable[..., list[str]]) -> None:
    assert told("defaults: {vars: {t: {u: 1}}}\nhosts: {h: {vars: {t: 2}}}") == [
        "a:2:23: “vars.t” is a mapping in one place and a single value in the other, at a:1:22"
    ]
    assert told("defaults: {vars: {t: {u: 1}}}\ngroups: {g: {vars: {t: 2}, hosts: {h: {}}}}") == [
        "a:2:24: “vars.t” is a mapping in one place and a single value in the other, at a:1:22"
    ]


def test_ranges_of_hosts_share_settings_and_count_their_addresses(load: Load) -> None:
    hosts = load("hosts:\n  r[a:b]n[1:2]: {address: '10.0.[1:2].[5:6]', site: x}\n  10.1.0.[1:2]: {}\n").hosts
    assert [(host.name, host.address) for host in hosts.values()] == [
        ("ran1", "10.0.1.5"), ("ran2", "10.0.1.6"), ("rbn1", "10.0.2.5"), ("rbn2", "10.0.2.6"),
        ("10.1.0.1", "10.1.0.1"), ("10.1.0.2", "10.1.0.2"),
    ]  # fmt: skip


def test_ipv6_addresses_are_names_and_addresses(load: Load) -> None:
    hosts = load("hosts:\n  2001:DB8::1: {}\n  six: {address: 'fe80::1%eth0'}\n").hosts
    assert [(host.name, host.address) for host in hosts.values()] == [("2001:db8::1", "2001:db8::1"), ("six", "fe80::1%eth0")]


MISTAKES = {
    "hosts: [a, b]": "a:1:8: “hosts” must be a mapping, that is lines of “key: value”",
    "- hosts": "a:1:1: the inventory must be a mapping, that is lines of “key: value”",
    "host: {a: {}}": "a:1:1: the inventory has no key “host” (did you mean hosts?)",
    "hosts: {h: {adress: x}}": "a:1:13: the host h has no key “adress” (did you mean address?)",
    "hosts: {h: {hosts: {}}}": "a:1:13: the host h has no key “hosts” (it knows address, site, customer, platform,",
    "hosts: {h: 10.0.0.1}": "a:1:12: the host h must be a mapping",
    "hosts: {h: {address: -oProxyCommand=id}}": "a:1:22: “-oProxyCommand=id” begins with a hyphen",
    "hosts: {'-oProxyCommand=id': {}}": "a:1:9: “-oProxyCommand=id” begins with a hyphen",
    "hosts: {$(id): {}}": "a:1:9: “$(id)” is not a host name: it contains '$'",
    "hosts: {сервер: {}}": "a:1:9: “сервер” is not a host name: it contains “с” (CYRILLIC SMALL LETTER ES)",
    "hosts: {'web[3:1]': {}}": "a:1:9: “web[3:1]” has a range that ends before it begins",
    "hosts: {'web[1-3]': {}}": "a:1:9: “web[1-3]” is not a host name: it contains '[' (a range is written [01:20]",
    "hosts: {'web[1:999999]': {}}": "a:1:9: “web[1:999999]” stands for more than 100000 names",
    "hosts: {'web[1:3]': {address: '10.0.0.[1:2]'}}": "a:1:31: 3 hosts, but 2 addresses",
    "hosts: {'web[1:3]': {address: 10.0.0.1}}": "a:1:31: 3 hosts, but 1 addresses",
    "hosts: {h: {port: 0}}": "a:1:19: “port” must be a whole number from 1 to 65535",
    "hosts: {h: {port: '22'}}": "a:1:19: “port” must be a whole number from 1 to 65535",
    "hosts: {h: {transport: telnet}}": "a:1:24: “transport” cannot be “telnet” (one of ssh, winrm, psrp, local)",
    "hosts: {h: {platform: widnows}}": "a:1:23: “platform” cannot be “widnows” (did you mean windows?)",
    "hosts: {h: {site: ' x'}}": "a:1:19: “ x” cannot be a name",
    "hosts: {h: {site: }}": "a:1:13: this has no value: did a comma or a colon tear a text apart?",
    "hosts:\n  h:\n    site:\n": "a:3:10: “site” has no value",
    "hosts: {h: {tags: [a b]}}": "a:1:20: “a b” cannot be a name",
    "hosts: {h: {expect: {port: 80}}}": "a:1:22: “expect” has no key “port” (did you mean ports?)",
    "hosts: {h: {expect: {ports: [70000]}}}": "a:1:30: “70000” is not a port (write 5432, tcp/5432 or udp/123)",
    "hosts: {h: {expect: {services: -x}}}": "a:1:32: “-x” is not the name of a service",
    "hosts: {h: {expect: {names: a b}}}": "a:1:29: “a b” is not a host name",
    "hosts: {h: {vars: [1]}}": "a:1:19: “vars” must be a mapping",
    "hosts: {h: {vars: {site: x}}}": "a:1:20: “site” is not a variable (write it beside “vars”, or choose another name)",
    "hosts: {h: {vars: {a b: x}}}": "a:1:20: “a b” cannot be a name",
    "hosts: {h: {vars: {thresholds: 5}}}": "a:1:32: “thresholds” must be values by check and name",
    "hosts: {h: {vars: {thresholds: {fs-space: 85}}}}": "a:1:32: “thresholds” must be values by check and name",
    "hosts: {h: {vars: {thresholds: {fs-space: {warning: [1]}}}}}": "a:1:32: “thresholds” must be values by check",
    "hosts: {h: {vars: {x: {db_password: hunter2}}}}": "a:1:24: “db_password” looks like a secret (variables",
    "hosts: {h: {vars: {x: [{token: hunter2}]}}}": "a:1:25: “token” looks like a secret",
    "hosts: {h: {vars: {db_password: 20241122}}}": "a:1:20: “db_password” looks like a secret",
    "hosts: {h: {vars: {ports_password: [hunter2pw]}}}": "a:1:20: “ports_password” looks like a secret",
    "hosts: {h: {vars: {Private-Key: 1.5}}}": "a:1:20: “Private-Key” looks like a secret",
    "hosts: {h: {vars: {mysql_root_pw: hunter2}}}": "a:1:20: “mysql_root_pw” looks like a secret",
    "hosts: {h: {vars: {db_pass: hunter2}}}": "a:1:20: “db_pass” looks like a secret",
    "hosts: {h: {vars: {aws_secret_key: hunter2}}}": "a:1:20: “aws_secret_key” looks like a secret",
    "hosts: {h: {vars: {url: 'pg://u:hunter2@db'}}}": "a:1:20: “url” looks like a secret",
    "hosts: {h: {vars: {urls: ['pg://u:hunter2@db']}}}": "a:1:20: “urls” looks like a secret",
    "hosts: {h: {vars: {api-key: hunter2}}}": "a:1:20: “api-key” looks like a secret",
    "hosts: {h: {credential: op}}\ncredentials: {ops: {user: x, agent: true}}": "a:1:25: no credential “op” is declared (did",
    "hosts: {h: {}, H: {}}": "a:1:16: the host H is declared twice, first at a:1:9 (to put a host into one",
    "hosts: {'h[1:5]': {}, 'h[3:9]': {}}": "a:1:23: the host h3 is declared twice, first at a:1:9",
    "hosts: {h: {}}\ngroups: {g: {hosts: {h: {}}}}": "a:2:22: the host h is declared twice, first at a:1:9",
    "hosts: {h: {}}\ngroups: {g: {hosts: [hh]}}": "a:2:22: no host “hh” is declared (did you mean h?)",
    "groups: {g: {hosts: [[a]]}}": "a:1:22: a name is expected here",
    "groups: {g: {groups: [a b]}}": "a:1:23: no group “a b” is declared",
    "groups: {g: {groups: [f]}, gg: {}}": "a:1:23: no group “f” is declared",
    "groups: {g: {groups: [gg]}, gh: {}}": "a:1:23: no group “gg” is declared (did you mean g?)",
    "groups: {a b: {}}": "a:1:10: “a b” cannot be a name",
    "groups: {all: {}}": "a:1:10: “all” is a word of the target expressions",
    "groups: {g: {}, G: {}}": "a:1:17: “G” is also the name of something else, at a:1:10",
    "groups: {h: {}}\nhosts: {h: {}}": "a:1:10: “h” is also the name of something else, at a:2:9",
    "groups: {g: {address: x}}": "a:1:14: the group g has no key “address”",
    "groups: {g: {groups: {f: {site: x}}}, f: {site: x}}": "a:1:49: “site” of the group f is given twice, first at a:1:33",
    "groups: {a: {groups: [a]}}": "a:1:23: these groups are inside each other: a → a (take one of them out)",
    "credentials: {c: {user: u}}": "a:1:15: the credential c proves nothing (give it one of key, password or agent: true)",
    "credentials: {c: {agent: true}}": "a:1:18: the credential c needs the key “user”",
    "credentials: {c: {user: -u, agent: true}}": "a:1:25: “-u” is not the name of a user",
    "credentials: {c: {user: u, agent: yes}}": "a:1:35: “agent” must be true or false",
    "credentials: {c: {user: u, key: k, passphrase: {vault: x}}}": "a:1:49: a secret cannot be kept in “vault”",
    "credentials: {c: {user: u, key: k, passphrase: {evn: X}}}": "a:1:49: a secret cannot be kept in “evn” (did you mean env?)",
    "credentials: {c: {user: u, password: {keyring: x}}}": "a:1:48: a keyring entry is written SERVICE/USER",
    "credentials: {c: {user: u, password: {env: [x]}}}": "a:1:44: “env” must be a text",
    "credentials: {c: {user: u, agent: true, passphrase: {env: X}}}": "a:1:41: a passphrase without a key",
    "credentials: {c: {user: u, agent: true, certificate: x}}": "a:1:41: a certificate without a key",
    "credentials: {c: {user: u, agent: named}}": "a:1:35: which key of the agent is meant, is said by “key”",
    "credentials: {c: {user: u, agent: nemd, key: k}}": "a:1:35: “agent” must be true or false",
    "credentials: {c: {user: u, otp: x}}": "a:1:33: “otp” must be a mapping",
    "credentials: {c: {user: u, otp: {digits: 6}}}": "a:1:28: one-time codes come from a secret or from a person",
    "credentials: {c: {user: u, otp: {prompt: x, secret: {env: X}}}}": "a:1:28: one-time codes come from a secret or",
    "credentials: {c: {user: u, otp: {secret: JBSWY3DPEHPK3PXP}}}": "a:1:42: a secret is never written in an inventory",
    "credentials: {c: {user: u, otp: {secret: {env: X}, digits: 5}}}": "a:1:60: “digits” must be a whole number from 6 to 10",
    "credentials: {c: {user: u, otp: {secret: {env: X}, period: 1h}}}": "a:1:60: “period” must be from 5 to 600 seconds",
    "credentials: {c: {user: u, otp: {secret: {env: X}, algorithm: MD5}}}": "a:1:63: “algorithm” cannot be “MD5” (one of SHA1,",
    "credentials: {c: {user: u, otp: {secret: {valt: X}}}}": "a:1:43: a secret cannot be kept in “valt”",
    "credentials: {c: {user: u, kerberos: {keytab: k}}}": "a:1:28: tickets without a principal (name whose they are",
    "credentials: {c: {user: u, kerberos: {principal: p, keytab: k, ccache: c}}}": "a:1:64: tickets come from one of",
    "credentials: {c: {user: u, kerberos: false}}": "a:1:15: the credential c proves nothing",
    "credentials: {c: {user: u, key: k, methods: [pubkey]}}": "a:1:46: “pubkey” is not a way to log in",
    "hosts: {h: {host_key_alias: -x}}": "a:1:29: “-x” begins with a hyphen",
    "credentials: {a b: {user: u, agent: true}}": "a:1:15: “a b” cannot be a name",
    "credentials: {c: x}": "a:1:18: the credential c must be a mapping",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_each_mistake_has_its_place_and_its_sentence(told: Callable[..., list[str]], text: str) -> None:
    problems = told(text)
    assert problems[0].startswith(MISTAKES[text]), problems


@pytest.mark.parametrize("key", ["password", "passphrase", "become: {password"])
@pytest.mark.parametrize(
    "secret", ["hunter2", "'hunter2 hunter2'", "[hunter2]", "{env: [hunter2]}", "{env: X, hunter2: y}", "123456"]
)
def test_a_secret_written_out_is_refused_and_not_repeated(told: Callable[..., list[str]], key: str, secret: str) -> None:
    problems = told(f"credentials:\n  c:\n    user: u\n    key: k\n    {key}: {secret}{'}' * key.count('{')}\n")
    assert problems and not any("hunter2" in problem or "123456" in problem for problem in problems)
    assert problems[0].startswith("a:5:")


def test_every_mistake_of_every_file_is_told_at_once(told: Callable[..., list[str]]) -> None:
    problems = told(
        "hosts:\n  a: {prot: 22}\n  b: {transport: x}\n  'c d': {}\n",
        "hosts: {a: {}, e: {credential: none}}\ngroups: {g: {hosts: [f]}}\n",
    )
    assert [problem.split(" ")[0] for problem in problems] == ["a:2:7:", "a:3:18:", "a:4:3:", "b:1:9:", "b:1:32:", "b:2:22:"]


def test_a_file_that_cannot_be_read_does_not_hide_the_mistakes_of_the_others(told: Callable[..., list[str]]) -> None:
    problems = told("hosts: {a: {prot: 22}}", "hosts: [", "groups: {g: {hosts: [in-b]}}")
    assert [problem.split(" ")[0] for problem in problems] == ["a:1:13:", "b:2:1:"]


def test_the_same_host_in_two_files_names_both_places(told: Callable[..., list[str]]) -> None:
    (problem,) = told("hosts: {web: {}}", "hosts: {x: {}, web: {}}")
    assert problem.startswith("b:1:16: the host web is declared twice, first at a:1:9")


def test_credentials_and_defaults_given_twice_name_both_places(told: Callable[..., list[str]]) -> None:
    assert told(
        "credentials: {c: {user: u, agent: true}}\ndefaults: {port: 1}",
        "credentials: {c: {user: u, agent: true}}\ndefaults: {port: 1}",
    ) == [
        "b:1:15: the credential c is declared twice, first at a:1:15",
        "b:2:18: “port” of “defaults” is given twice, first at a:2:18",
    ]


def test_cycles_are_named_and_however_long_in_one_line(told: Callable[..., list[str]]) -> None:
    assert told("groups:\n  a: {groups: [b]}\n  b: {groups: [c]}\n  c: {groups: [a]}\n  d: {groups: [a]}") == [
        "a:4:16: these groups are inside each other: a → b → c → a (take one of them out)"
    ]
    rows = "".join(f"  g{n}: {{groups: [g{(n + 1) % 5000}]}}\n" for n in range(5000))
    (problem,) = told("groups:\n" + rows)
    assert problem.startswith("a:5001:20: ") and problem.count("→") == 20 and "… → g4991 → " in problem


def test_groups_that_are_all_inside_each_other_are_told_a_hundred_times(told: Callable[..., list[str]]) -> None:
    names = ", ".join(f"g{n}" for n in range(100))
    assert len(told("groups:\n" + "".join(f"  g{n}: {{groups: [{names}]}}\n" for n in range(100)))) == 100


@pytest.mark.parametrize("written", ["hosts: ['a{n}-[1:100]']", "hosts: {{'a[1:100]': {{}}}}"])
def test_ranges_come_to_a_million_names_at_most(
    told: Callable[..., list[str]], written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drafts.MAX_FROM_RANGES == 1_000_000
    monkeypatch.setattr(drafts, "MAX_FROM_RANGES", 1_000)
    problems = told("groups:\n" + "".join(f"  g{n}: {{{written.format(n=n)}}}\n" for n in range(40)))
    assert len(problems) <= 11 and problems[-1].startswith("a:12:") and "ranges stand for more than 1000 names" in problems[-1]


def test_a_range_of_hosts_that_nobody_declares_is_one_mistake(told: Callable[..., list[str]]) -> None:
    assert told("groups: {g: {hosts: ['a[1:1000]']}}") == ["a:1:22: no host “a1” is declared"]


def chain(length: int) -> str:
    rows = "".join(f"  g{n}: {{groups: [g{n + 1}], vars: {{v{n}: {n}}}}}\n" for n in range(length))
    return f"groups:\n{rows}  g{length}: {{hosts: {{h: {{}}}}}}\n"


def test_groups_nest_deep_but_not_absurdly_deep(load: Load, told: Callable[..., list[str]]) -> None:
    host = load(chain(100)).hosts["h"]
    assert len(host.groups) == 101 and len(host.vars) == 100
    assert told(chain(5000)) == ["a:103:3: the group g101 is inside more than 100 others"]


def test_a_file_that_everyone_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text("hosts: {h: {}}")
    path.chmod(0o646)
    with pytest.raises(InvalidFile, match="everyone on this machine may write this file"):
        load_inventory([path])


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"none\.yaml:1:1: cannot be read: No such file"):
        load_inventory([tmp_path / "none.yaml"])


def test_there_is_an_end_to_the_number_of_hosts(told: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MAX_HOSTS", 20)
    assert told("hosts: {'a[1:10]': {prot: 1}, 'b[1:10]': {}, 'c[1:10]': {}}", "groups: {g: {hosts: [c9]}}") == [
        "a:1:21: the host a[1:10] has no key “prot” (did you mean port, proxy?)",
        "a:1:46: more than 20 hosts",
    ]


def test_many_unknown_names_are_told_without_searching_for_each(told: Callable[..., list[str]]) -> None:
    names = ", ".join(f"unknown{n}" for n in range(2000))
    assert len(told(f"hosts: {{'h[1:2000]': {{}}}}\ngroups: {{g: {{hosts: [{names}]}}}}")) == 2000


def test_variables_keep_their_types_and_are_read_only(load: Load) -> None:
    host = load(
        "hosts: {h: {vars: {a: 1, b: 1.5, c: yes, d: true, e: [x, {y: z}], f: null, password_max_days: 90, g: {}}}}"
    ).hosts["h"]
    assert host.vars == {
        "a": 1,
        "b": 1.5,
        "c": "yes",
        "d": True,
        "e": ("x", {"y": "z"}),
        "f": None,
        "password_max_days": 90,
        "g": {},
    }
    with pytest.raises(TypeError):
        host.vars["a"] = 2  # type: ignore[index]


def test_two_hosts_may_share_an_address(load: Load) -> None:
    hosts = load("hosts: {a: {address: 127.0.0.1, port: 1}, b: {address: 127.0.0.1, port: 1}}").hosts
    assert isinstance(hosts["a"], Host) and hosts["a"].address == hosts["b"].address


def test_a_prompt_may_do_without_words(load: Load) -> None:
    credentials = load("credentials:\n  c:\n    user: u\n    password:\n      prompt:\n").credentials
    assert isinstance(credentials["c"], CredentialReference) and credentials["c"].password == SecretReference(
        kind="prompt", value=""
    )


WORDS = st.sampled_from(
    ["hosts", "groups", "defaults", "credentials", "vars", "expect", "ports", "site", "user", "password", "env", "h", "g",
     "web[1:3]", "web[3:1]", "80", "ssh", "true", "null", "-x", "б", "address", "credential", "tags", "thresholds", "10.0.0.1",
     "2001:db8::1", "a b"]
)  # fmt: skip
TREES = st.recursive(
    WORDS.map(lambda word: f"'{word}'"),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(WORDS, inner, max_size=4).map(
            lambda items: "{" + ", ".join(f"'{k}': {v}" for k, v in items.items()) + "}"
        )
    ),
    max_leaves=25,
)


@given(top=st.dictionaries(st.sampled_from(["hosts", "groups", "defaults", "credentials"]), TREES, min_size=1))
def test_any_tree_gives_an_inventory_or_an_invalid_file(tmp_path_factory: pytest.TempPathFactory, top: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in top.items()))
    try:
        inventory = load_inventory([path])
    except InvalidFile as error:
        assert error.problems and all(problem.place.file == str(path) and problem.place.line >= 1 for problem in error.problems)
    else:
        assert all(host.name == name for name, host in inventory.hosts.items())


def test_what_only_sounds_like_a_secret_is_a_variable(load: Load) -> None:
    host = load(
        "hosts: {h: {vars: {ask_password: true, token: 5, secret: [a], password: {max_days: 90},"
        " proxy_pass: 'http://a:80/b@c', pwd: /srv, compass: n}}}"
    ).hosts["h"]
    known = {"ask_password": True, "token": 5, "secret": ("a",), "password": {"max_days": 90}}
    assert host.vars == known | {"proxy_pass": "http://a:80/b@c", "pwd": "/srv", "compass": "n"}


# --- hosts that are reached through others -------------------------------------------------------------------------


def test_a_group_says_through_which_host_its_hosts_are_reached_and_that_one_itself_is_not(load: Load) -> None:
    text = """
groups:
  dmz:
    via: gate
    hosts: {gate: {address: 192.0.2.1}, web1: {}, web2: {via: Inner}}
hosts:
  inner: {via: gate}
  free:
"""
    hosts = load(text).hosts
    ways = {name: host.via and host.via.name for name, host in hosts.items()}
    assert ways == {"gate": None, "web1": "gate", "web2": "inner", "inner": "gate", "free": None}
    assert hosts["web2"].via is not None and hosts["web2"].via.via is hosts["inner"].via
    assert hosts["web1"].via == hosts["gate"]
    assert {host.name for host in load(text).select("via=gate").hosts} == {"web1", "inner"}


def test_a_way_that_is_none_is_told_with_its_place(told: Callable[..., list[str]]) -> None:
    assert told("hosts:\n  a: {via: bb}\n  b: {via: c}\n  c: {via: d}\n  d: {via: b}\n  e: {via: b}\n") == [
        "a:2:12: no host “bb” is declared (did you mean b?)",
        "a:3:12: hosts are reached through each other: b → c → d → b",
    ]
    assert told("hosts:\n  a: {via: b, transport: winrm}\n  b: {transport: local}\n") == [
        "a:2:12: the way to a through b is SSH, and b is not",
    ]
    (walls,) = told("hosts:\n  a: {via: b, customer: ours}\n  b: {customer: theirs}\n")
    assert walls.startswith("a:2:12: a is not of the customer of b (customers are walls: ")
    chain = "".join(f"  h{number}: {{via: h{number + 1}}}\n" for number in range(9))
    assert told(f"hosts:\n{chain}  h9:\n") == ["a:2:13: h0 is reached through more than 8 hosts"]


def test_ways_of_a_whole_fleet_share_their_hosts(load: Load) -> None:
    hosts = load("groups:\n  fleet: {via: gate, hosts: {'n[0001:2000]': {}}}\nhosts: {gate: {}}\n").hosts
    assert len({id(host.via) for name, host in hosts.items() if name != "gate"}) == 1
