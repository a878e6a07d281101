"""`longarm inventory`: what is known, where it comes from, drawn, written in our own format; the walls of every command."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import console.main

Run = Callable[..., tuple[int, str, str]]
TWO = """
groups:
  acme: {customer: ACME, hosts: {a1: {address: 192.0.2.1}}, groups: {inner: {hosts: {a2: {vars: {role: 'x<y'}}}}}}
  beta: {customer: Beta, hosts: {b1: {}}}
hosts: {lab: {}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "inventory.yaml").write_text(TWO)
    monkeypatch.setenv("LONGARM_HOME", str(home))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("LONGARM_LANG", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        code = console.main.run(list(words))
        out, err = capsys.readouterr()
        return code, out, err.replace(str(home), "HOME")

    return run


def test_where_what_is_said_of_ssh_and_becoming_comes_from_is_shown_too(run: Run, tmp_path: Path) -> None:
    said = "{address: 192.0.2.1, proxy: 'socks5://p:1', proxy_credential: c, ssh_library: either, host_key_alias: a.example, "
    said += "ssh_algorithms: {kex: [+diffie-hellman-group14-sha1]}, become: {method: doas, user: oracle}, winrm: {auth: ntlm}}"
    credential = "credentials: {c: {user: u, password: {env: X}}}\n"
    hosts = f"hosts:\n  a: {said}\n  b: {{proxy_command: [/usr/bin/nc, '%h', '%p'], credential: c}}\n"
    (tmp_path / "other.yaml").write_text(f"{hosts}{credential}proxy_programs: [/usr/bin/nc]\n")
    code, out, _ = run("--inventory", str(tmp_path / "other.yaml"), "inventory", "show", "a,b", "--origin", "--json")
    assert code == 0
    rows = {(row["host"], row["key"]): row["value"] for row in json.loads(out)}
    assert (rows["a", "proxy"], rows["a", "proxy_credential"], rows["a", "ssh_library"]) == ("socks5://p:1", "c", "either")
    assert rows["a", "ssh_algorithms.kex"] == ["diffie-hellman-group14-sha1"]
    assert (rows["a", "become.method"], rows["a", "become.user"], rows["a", "winrm.auth"]) == ("doas", "oracle", "ntlm")
    assert rows["b", "proxy_command"] == ["/usr/bin/nc", "%h", "%p"] and rows["b", "credential"] == "c"


def test_where_each_value_comes_from_is_shown(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("inventory", "show", "a1", "--origin", "--json")
    assert code == 0
    assert [(row["key"], row["value"], row["origin"].rpartition("/")[2]) for row in json.loads(out)] == [
        ("name", "a1", "inventory.yaml:3:34"),
        ("address", "192.0.2.1", "inventory.yaml:3:48"),
        ("customer", "ACME", "inventory.yaml:3:20"),
    ]
    assert "origins" not in run("inventory", "show", "a1", "--json")[1]


def test_the_groups_are_drawn(run: Run) -> None:
    assert run("inventory", "graph")[1] == "[acme] 2\n├─ [inner] 1\n│  └─ a2\n└─ a1\n[beta] 1\n└─ b1\nlab\n"
    assert run("inventory", "graph", "inner", "--groups-only")[1] == "[acme] 1\n└─ [inner] 1\n"
    (first, *_) = json.loads(run("inventory", "graph", "--json")[1])["lines"]
    assert first == {"depth": 0, "name": "acme", "hosts": 2, "via": None, "last": [False]}


def test_the_drawing_says_through_which_host(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ways.yaml").write_text("hosts: {gate: {}}\ngroups: {dmz: {via: gate, hosts: {web1: {}}}}\n")
    assert run("--inventory", f"{tmp_path}/ways.yaml", "inventory", "graph")[1] == "[dmz] 1\n└─ web1 ← gate\ngate\n"


def test_the_drawing_is_a_picture_that_stands_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    assert run("inventory", "graph", "--svg", str(path))[0] == 0
    words = ["".join(one.itertext()) for one in ET.fromstring(path.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["[acme] 2", "[inner] 1", "a2", "a1", "[beta] 1", "b1", "lab"]
    code, _, err = run("inventory", "graph", "--svg", str(path))
    assert code == 2 and "is there already" in err
    assert run("inventory", "graph", "--svg", "/nowhere/x.svg")[0] == 2


def test_hosts_from_elsewhere_become_an_inventory_of_ours(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[web]\nweb1 ansible_host=192.0.2.7 ansible_user=deploy role=front\n")
    path = tmp_path / "ours.yaml"
    code, out, err = run("--inventory", f"ansible:{tmp_path}/hosts", "inventory", "import", "--to", str(path))
    assert (code, out) == (0, "") and "written: " in err and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == (
        "credentials:\n  ansible.deploy: {user: deploy, agent: true}\ngroups:\n  web: {hosts: [web1]}\n"
        "hosts:\n  web1: {address: 192.0.2.7, credential: ansible.deploy, vars: {role: front}}\n"
    )
    assert run("--inventory", str(path), "inventory", "list", "-o", "name")[1] == "web1\n"
    assert run("inventory", "import", "lab")[1] == "hosts:\n  lab: {}\n"


def test_a_relative_path_of_a_source_starts_in_the_folder_one_is_in(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "hosts").write_text("web1\n")
    monkeypatch.chdir(tmp_path)
    assert run("--inventory", "ansible:sub/hosts", "inventory", "list", "-o", "name")[1] == "web1\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--inventory", "ansible:", "inventory", "list"), 2, "--inventory ansible: needs a value"),
        (("--inventory", "netbox:http://example.net", "inventory", "list"), 2, "the source needs the key “token”"),
        (("--inventory", "netbox:http://example.net", "inventory", "list"), 2, "sources: [{netbox: https://NAME/, token: "),
        (("--inventory", "netbox:", "inventory", "list"), 2, "write it as --inventory netbox:https://NAME/"),
        (("--inventory", "ansible:/nowhere/hosts", "inventory", "list"), 2, "/nowhere/hosts:1:1: cannot be read"),
        (
            ("--inventory", "program:/nowhere/hosts", "inventory", "list"),
            7,
            "/nowhere/hosts cannot be run",
        ),
    ],
)
def test_a_source_on_the_command_line_that_cannot_be_is_told(run: Run, words: tuple[str, ...], code: int, told: str) -> None:
    ended, out, err = run(*words)
    assert (ended, out) == (code, "") and told in err


def test_of_very_many_mistakes_the_first_thousand_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text("name\n" + "-x\n" * 1_234)
    code, _, err = run("--inventory", f"csv:{tmp_path}/hosts.csv", "inventory", "list")
    assert code == 2 and err.count("“-x” begins with a hyphen") == 1_000 and err.endswith("\nand more like these: 234\n")


def test_a_copy_that_stands_in_is_told_with_its_age(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "hosts.sh"
    script.write_text('#!/bin/sh\necho \'{"hosts": {"p1": {}}}\'\n')
    script.chmod(0o755)
    words = ("--inventory", f"program:{script}", "inventory", "list", "-o", "name")
    assert run(*words) == (0, "p1\n", "")
    script.write_text("#!/bin/sh\necho no database >&2; exit 1\n")
    code, out, err = run(*words)
    assert (code, out) == (0, "p1\n") and "ended with 1: no database; a copy of " in err and " old) is used" in err
    assert "взята копия" in run("--lang", "ru", *words)[2]


def test_a_wall_is_around_every_command(run: Run) -> None:
    assert run("--customer", "acme", "inventory", "list", "-o", "name")[1] == "a1\na2\n"
    code, out, err = run("inventory", "show", "b1", "--customer", "ACME")
    assert (code, out) == (6, "") and "Beta" not in err
    assert run("inventory", "list", "--customer", "Nobody")[0] == 6
    assert "beta" not in run("--customer", "ACME", "inventory", "graph")[1]
    assert "b1" not in run("--customer", "ACME", "inventory", "import")[1]


def test_lists_of_runs_keep_within_the_wall(run: Run, tmp_path: Path) -> None:
    local = TWO.replace("{address: 192.0.2.1}", "{transport: local}").replace("b1: {}", "b1: {transport: local}")
    (tmp_path / "local.yaml").write_text(local)
    for host in ("a1", "b1"):
        words = ("--inventory", str(tmp_path / "local.yaml"), "--check", "fs-space", "--fail-on", "never")
        assert run("diagnose", host, *words)[0] in (0, 3)
        assert run("hold", "add", host, "--reason", "walled", "--inventory", str(tmp_path / "local.yaml"))[0] == 0
    theirs = {name: json.loads(run("run", "list", "--json", "--customer", name)[1]) for name in ("acme", "Beta", "nobody")}
    assert {name: [row["targets"] for row in rows] for name, rows in theirs.items()} == {
        "acme": ["a1"],
        "Beta": ["b1"],
        "nobody": [],
    }
    newest = json.loads(run("--customer", "acme", "run", "list", "--json", "--limit", "1")[1])
    assert newest == theirs["acme"], "the newest run is another customer's"
    reports = json.loads(run("report", "list", "--json", "--customer", "acme")[1])
    assert {row["run"] for row in reports} == {theirs["acme"][0]["run"]}
    assert [row["host"] for row in json.loads(run("hold", "list", "--json", "--customer", "acme")[1])] == ["a1"]
    assert json.loads(run("run", "leases", "--json", "--customer", "acme")[1]) == []


@pytest.mark.parametrize("place", ["before the command", "behind it"])
def test_a_customer_is_refused_where_it_would_narrow_nothing(run: Run, place: str) -> None:
    for words in (
        ("store", "prune", "--keep", "0", "--yes"),
        ("run", "show", "x"),
        ("store", "erase", "--case", "C"),
        ("version",),
    ):
        if place == "behind it" and words[1:2] == ("erase",):
            continue  # an option of its own
        code, out, err = (
            run("--customer", "acme", *words) if place == "before the command" else run(*words, "--customer", "acme")
        )
        assert (code, out) == (2, ""), words
        assert f"longarm {' '.join(words[: 1 if words[0] == 'version' else 2])} is not about the hosts of one customer" in err
        assert "--customer" not in run(*words[:2], "--help")[1] or words[1:2] == ("erase",)
    assert "о хостах одного заказчика" in run("store", "prune", "--customer", "acme", "--lang", "ru")[2]


def test_a_run_never_crosses_customers_unless_told_so(run: Run) -> None:
    code, out, err = run("diagnose", "all")
    assert (code, out) == (5, "")
    assert "these hosts belong to several customers: ACME, Beta" in err and "--across-customers" in err
    assert "принадлежат нескольким заказчикам" in run("diagnose", "all", "--lang", "ru")[2]


def test_the_case_of_one_customer_gets_no_report_about_another(run: Run, tmp_path: Path) -> None:
    local = TWO.replace("{address: 192.0.2.1}", "{transport: local}").replace("b1: {}", "b1: {transport: local}")
    (tmp_path / "local.yaml").write_text(local)
    words = ("--inventory", str(tmp_path / "local.yaml"), "--check", "fs-space", "--fail-on", "never", "--case", "C-1")
    assert run("diagnose", "a1", *words)[0] in (0, 3)
    code, out, err = run("diagnose", "b1", *words)
    assert (code, out) == (5, "")
    assert "the case C-1 is of another customer: ACME" in err and "say --across-customers" in err
    assert run("diagnose", "b1", *words, "--across-customers")[0] in (0, 3)
    getting = ("host", "get", "b1", "/etc/hostname", "--inventory", str(tmp_path / "local.yaml"), "--case", "C-1")
    code, out, err = run(*getting)
    assert (code, out) == (5, "") and "say --across-customers" in err
    assert run(*getting, "--across-customers")[0] == 0


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("command", ["check", "list", "show", "graph", "import"])
def test_each_command_has_help(run: Run, command: str, language: str) -> None:
    code, out, _ = run("inventory", command, "--help", "--lang", language)
    assert code == 0 and "--customer" in out and ("Know only" in out) == (language == "en")


def test_tab_knows_no_names_from_behind_the_wall(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from console.names import known_names
    from console.settings import Settings

    home = Path(__import__("os").environ["LONGARM_HOME"])
    settings = Settings(home=home, wall="ACME")
    known = known_names(settings.home, settings.files, settings.wall)
    assert known["name"] == ["a1", "a2"] and known["customer"] == ["ACME"]
    assert sorted(known_names(settings.home, settings.files)["customer"]) == ["ACME", "Beta"]
