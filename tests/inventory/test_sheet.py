"""A spreadsheet saved as CSV: encodings, separators, quotes, and every mistake at its cell."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.sources.sheet_cells import rows_of


def load(folder: Path, data: str | bytes, options: str = "") -> Inventory:
    (folder / "hosts.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    (folder / "inventory.yaml").write_text(f"sources:\n  - csv: hosts.csv\n{options}")
    return load_inventory([folder / "inventory.yaml"])


def told(folder: Path, data: str | bytes, options: str = "") -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load(folder, data, options)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


ROMASHKA = "name;customer;site\nweb1;ООО «Ромашка»;Москва\n"


def test_our_own_words_need_no_mapping(tmp_path: Path) -> None:
    text = "name,address,port,platform,transport,site,customer,groups,tags,user,other\n"
    text += 'web1,192.0.2.1,2222.0,Windows,winrm,Berlin,ACME,"web; db",a|b,deploy,x\n'
    web1 = load(tmp_path, text).hosts["web1"]
    assert (web1.address, web1.port, web1.platform, web1.transport) == ("192.0.2.1", 2222, "windows", "winrm")
    assert (web1.site, web1.customer, web1.groups, web1.tags, web1.vars) == ("Berlin", "ACME", ("db", "web"), ("a", "b"), {})
    assert web1.credential and web1.credential.user == "deploy"
    assert str(web1.address_place) == f"{tmp_path}/hosts.csv:2:6" and str(web1.origins["port"]) == f"{tmp_path}/hosts.csv:2:16"


def test_a_column_says_through_which_host(tmp_path: Path) -> None:
    known = load(tmp_path, "name,via\ngate,\nweb1,gate\n")
    assert known.hosts["web1"].via == known.hosts["gate"] and str(known.hosts["web1"].origins["via"]).endswith("hosts.csv:3:6")
    assert "hosts.csv:2:6: no host “gat” is declared (did you mean gate?)" in told(tmp_path, "name,via\ngate,gat\n")


def test_columns_say_how_ssh_is_spoken(tmp_path: Path) -> None:
    text = (
        "name,proxy,ssh_library,ssh_algorithms,host_key_alias\n"
        'old,socks5://192.0.2.9:1080,Paramiko,"kex +diffie-hellman-group14-sha1, ciphers +3des-cbc",old.example\n'
        "new,none,,,\n"
    )
    old, new = load(tmp_path, text).hosts.values()
    assert old.ssh.proxy and old.ssh.proxy.host == "192.0.2.9"
    assert (old.ssh.library, old.host_key_alias) == ("paramiko", "old.example")
    assert (old.ssh.old_algorithms.kex, old.ssh.old_algorithms.ciphers) == (("diffie-hellman-group14-sha1",), ("3des-cbc",))
    assert new.ssh == Host(name="new", address="new").ssh


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("proxy", "ftp://x:1", "hosts.csv:2:6: “ftp://x:1” is not the URL of a proxy"),
        ("proxy", "socks5://u:canary77@x:1", "a secret is never written in an inventory"),
        ("ssh_library", "paramko", "“ssh_library” cannot be “paramko” (did you mean paramiko?)"),
        ("ssh_algorithms", "kex", "“kex” is no kind of algorithm with names behind it"),
        ("ssh_algorithms", "key +ssh-rsa", "“key +ssh-rsa” is no kind of algorithm with names behind it (did you mean kex?)"),
        ("ssh_algorithms", "kex diffie-hellman-group14-sha1", "“diffie-hellman-group14-sha1” replaces nothing"),
        ("ssh_algorithms", "ciphers +none", "“+none” is no algorithm that could be allowed"),
    ],
)
def test_what_is_said_wrongly_of_ssh_is_told_at_its_cell(tmp_path: Path, column: str, value: str, says: str) -> None:
    (problem,) = told(tmp_path, f"name,{column}\nweb1,{value}\n")
    assert "hosts.csv:2:6: " in problem and says in problem and "canary77" not in problem


def test_columns_are_mapped_by_their_titles(tmp_path: Path) -> None:
    text = "Report of 2026-11-25\n\nHost Name;IP;Location;Rack\nweb1;192.0.2.1;Berlin;r7\n"
    options = "    skip: 2\n    columns: {name: host name, address: IP, site: Location}\n    vars: {rack: Rack}\n"
    web1 = load(tmp_path, text, options).hosts["web1"]
    assert (web1.address, web1.site, web1.vars) == ("192.0.2.1", "Berlin", {"rack": "r7"})


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (ROMASHKA.encode(), ""),
        (ROMASHKA.encode("utf-8-sig"), ""),
        (ROMASHKA.encode("utf-16"), ""),
        (ROMASHKA.encode("cp1251"), "    encoding: cp1251\n"),
        (ROMASHKA.replace(";", "\t").encode(), ""),
        (ROMASHKA.replace(";", "|").encode(), ""),
        (ROMASHKA.replace(";", ",").encode(), ""),
        (b"sep=;\r\n" + ROMASHKA.replace("\n", "\r\n").encode(), ""),
        (ROMASHKA.replace("\n", "\r").encode(), ""),
        (ROMASHKA.replace(";", "\t").encode(), "    delimiter: tab\n"),
        (('"' + ROMASHKA.strip().replace(";", '";"').replace("\n", '"\n"') + '"').encode(), ""),
    ],
)
def test_what_spreadsheets_save_is_read(tmp_path: Path, data: bytes, options: str) -> None:
    web1 = load(tmp_path, data, options).hosts["web1"]
    assert (web1.customer, web1.site) == ("ООО «Ромашка»", "Москва")


def test_quotes_hold_separators_quotes_and_lines(tmp_path: Path) -> None:
    text = 'name,site,note\nweb1,"a, ""b""","two\nlines"\nweb2,c,"x"\n'
    known = load(tmp_path, text, "    vars: {note: note}\n").hosts
    assert known["web1"].site == 'a, "b"' and known["web1"].vars["note"] == "two\nlines"
    assert str(known["web2"].place) == f"{tmp_path}/hosts.csv:4:1" and known["web2"].vars["note"] == "x"


def test_empty_rows_and_cells_say_nothing(tmp_path: Path) -> None:
    known = load(tmp_path, "name,site\n\n,\nweb1,\nweb2\n,,\n").hosts
    assert [(host.name, host.site) for host in known.values()] == [("web1", None), ("web2", None)]


BROKEN: list[tuple[str, str | bytes, str, str]] = [
    ("nothing", "", "", "hosts.csv:1:1: there is no row with the titles of columns"),
    (
        "no name",
        "Hostname\nweb1\n",
        "",
        "say which one it is, in a file of ours: sources: [{csv: FILE, columns: {name: Hostname}}]",
    ),
    (
        "a title that is not there",
        "name\nweb1\n",
        "    columns: {site: Locaton}\n",
        "inventory.yaml:3:21: no column is called “Locaton”",
    ),
    ("two of one title", "name,Name\na,b\n", "", "hosts.csv:1:6: two columns are called “name”, the first at"),
    ("an open quote", 'name\n"web1\n', "", "hosts.csv:2:1: this quote is never closed"),
    ("an open quote behind two", 'name\n"web1""\n', "", "hosts.csv:2:1: this quote is never closed"),
    ("text after a quote", 'name\n"web1"x\n', "", "hosts.csv:2:7: text follows a closing quote"),
    (
        "too many cells",
        "name\nweb1,x\n",
        "    delimiter: ','\n",
        "hosts.csv:2:6: this row has more cells than there are titles",
    ),
    ("a formula", 'name,site\nweb1,"=HYPERLINK(""x"")"\n', "", "hosts.csv:2:6: this is a formula, not a value"),
    ("a formula as a name", "name\n=1+1\n", "", "hosts.csv:2:1: this is a formula, not a value"),
    ("a row without a name", "name,site\n,b\n", "", "hosts.csv:2:1: this row has no name of a host"),
    ("a host twice", "name\nweb1\nWEB1\n", "", "hosts.csv:3:1: the host WEB1 is declared twice, first at"),
    ("a name", "name\nweb 1\n", "", "hosts.csv:2:1: “web 1” is not a host name"),
    ("an address", "name,address\nweb1,10.0.0.256\n", "", "hosts.csv:2:6: “10.0.0.256” looks like an address, but is none"),
    ("a port", "name,port\nweb1,22.5\n", "", "hosts.csv:2:6: “port” must be a whole number from 1 to 65535"),
    ("a platform", "name,platform\nweb1,linx\n", "", "hosts.csv:2:6: “platform” cannot be “linx” (did you mean linux?)"),
    ("a tag", "name,tags\nweb1,ok -x\n", "", "hosts.csv:2:6: “-x” cannot be a name"),
    ("a user", "name,user\nweb1,-x\n", "", "hosts.csv:2:6: “-x” is not the name of a user"),
    ("another encoding", "name\nM\xfcnchen\n".encode("latin-1"), "", "hosts.csv:2:2: this is not text in utf-8"),
    ("half a character", "name\nweb1".encode("utf-16") + b"x", "", "this is not text in utf-16"),
    ("the wrong encoding", ROMASHKA.encode("utf-16")[2:], "    encoding: cp1252\n", "the control character U+0000"),
    ("a workbook", b"PK\x03\x04rest", "", "hosts.csv:1:1: this is a workbook, not CSV (save it as CSV)"),
    ("no encoding", "name\n", "    encoding: zip\n", "inventory.yaml:3:15: “zip” is no encoding of text"),
    ("no separator", "name\n", "    delimiter: xx\n", "inventory.yaml:3:16: “delimiter” cannot be “xx” (one of , ; | tab)"),
    (
        "a word that is none",
        "name\n",
        "    columns: {adress: x}\n",
        "inventory.yaml:3:15: “columns” has no key “adress” (did you mean address?)",
    ),
    ("a variable that is none", "name\n", "    vars: {-x: name}\n", "inventory.yaml:3:12: “-x” cannot be a name"),
    (
        "a key that is none",
        "name\n",
        "    colums: {}\n",
        "inventory.yaml:3:5: the source has no key “colums” (did you mean columns?)",
    ),
    ("no skip", "name\n", "    skip: -1\n", "inventory.yaml:3:11: “skip” must be a whole number from 0 to 1000"),
    (
        "an unknown credential",
        "name,credential\nweb1,ops\n",
        "",
        "declare it in a file of ours (--inventory takes several): credentials: {",
    ),
]


@pytest.mark.parametrize(("why", "data", "options", "wanted"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_mistake_is_told_at_its_cell(why: str, data: str | bytes, options: str, wanted: str, tmp_path: Path) -> None:
    assert any(wanted in line for line in told(tmp_path, data, options)), told(tmp_path, data, options)


@pytest.mark.parametrize("cell", ["a" * (1 << 18), '""' * (1 << 17)], ids=["text", "quotes"])
def test_a_huge_cell_takes_no_more_memory_than_its_text_does(cell: str) -> None:
    tracemalloc.start()
    try:
        rows = rows_of(f'name\n"{cell}"\n', "hosts.csv", None, 0)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert rows[1][0].text == cell.replace('""', '"')


def test_a_column_of_secrets_is_left_out(tmp_path: Path) -> None:
    known = load(tmp_path, "name,pw\nweb1,canary77\n", "    vars: {root_password: pw}\n")
    assert "canary77" not in repr(known) and "root_password" in str(known.notes[0].text)
