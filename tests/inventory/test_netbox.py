"""NetBox as a source, against a real HTTP server; and the guarded client beneath it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import pytest

from inventory.copies import Copies
from inventory.egress import Egress, EgressFailed, origin_of, refuse_address
from inventory.errors import InvalidFile, SourceUnavailable
from inventory.inventory import Inventory
from inventory.own import load_inventory
from inventory.sources import netbox as netbox_source
from inventory.written import written
from tests.inventory.netbox_server import NEW_TOKEN, TOKEN, Handler, NetBox, Server, at, certificate, device, dripping


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETBOX_TOKEN", TOKEN)
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:9")


@pytest.fixture
def netbox() -> Iterator[NetBox]:
    known = NetBox()
    server = Server(known)
    yield known
    server.stop()


def load(folder: Path, netbox: NetBox, options: str = "", own: str = "") -> Inventory:
    text = f"sources:\n  - netbox: {netbox.url}\n    token: {{env: NETBOX_TOKEN}}\n{options}{own}"
    (folder / "inventory.yaml").write_text(text)
    (folder / "home").mkdir(exist_ok=True)
    return load_inventory([folder / "inventory.yaml"], Copies(folder / "home" / "cache" / "sources"))


def refused(folder: Path, netbox: NetBox, options: str = "") -> str:
    with pytest.raises(SourceUnavailable) as caught:
        load(folder, netbox, options)
    assert str(caught.value.place) == f"{folder}/inventory.yaml:2:13" and TOKEN not in str(caught.value)
    return str(caught.value)


def test_devices_and_machines_are_hosts(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [
        device(
            7,
            "web1",
            primary_ip=at("192.0.2.1/24"),
            tenant={"id": 1, "name": "ООО «Ромашка»", "slug": "romashka"},
            tags=[{"id": 1, "name": "Front", "slug": "front"}],
            rack={"id": 1, "name": "R7"},
            custom_fields={"owner": "anna", "cost": 12, "none": None, "root_password": "canary77", "list": [1]},
        )
    ]
    netbox.machines = [
        device(9, "win1", primary_ip=at("2001:db8::1/64"), platform={"id": 1, "name": "Windows 2022", "slug": "windows-2022"})
    ]
    known = load(tmp_path, netbox)
    web1, win1 = known.hosts.values()
    assert (web1.address, web1.site, web1.customer, web1.tags) == ("192.0.2.1", "Berlin", "ООО «Ромашка»", ("front",))
    assert web1.vars == {"role": "server", "status": "active", "rack": "R7", "cf.owner": "anna", "cf.cost": 12}
    assert (win1.address, win1.platform) == ("2001:db8::1", "windows")
    assert str(web1.place) == str(web1.origins["site"]) == f"{netbox.url}/dcim/devices/7/"
    assert str(win1.place) == f"{netbox.url}/virtualization/virtual-machines/9/"
    assert "canary77" not in repr(known) and "cf.root_password" in str(known.notes[0])


@pytest.mark.parametrize("way", ["gate", {"id": 1, "display": "gate", "name": "gate"}])
def test_a_custom_field_says_through_which_host(netbox: NetBox, tmp_path: Path, way: object) -> None:
    netbox.devices = [device(1, "gate"), device(2, "web1", custom_fields={"jump": way}), device(3, "web2")]
    known = load(tmp_path, netbox, "    via: jump\n")
    assert known.hosts["web1"].via == known.hosts["gate"] and known.hosts["web2"].via is None
    assert "cf.jump" not in known.hosts["web1"].vars


def test_custom_fields_say_how_it_is_reached(netbox: NetBox, tmp_path: Path) -> None:
    said = {
        "px": "http://192.0.2.9:3128",
        "lib": {"value": "either", "label": "Either"},
        "old": "host_keys +ssh-rsa",
        "login": "ops",
    }
    netbox.devices = [device(1, "web1", custom_fields={**said, "proxy": "a word of their own"}), device(2, "web2")]
    options = "    fields: {proxy: px, ssh_library: lib, ssh_algorithms: old, credential: login}\n"
    known = load(tmp_path, netbox, options, "credentials: {ops: {user: ops, agent: true}}\n")
    web1, web2 = known.hosts.values()
    assert web1.ssh.proxy and (web1.ssh.proxy.scheme, web1.ssh.proxy.port) == ("http", 3128)
    assert (web1.ssh.library, web1.ssh.old_algorithms.host_keys) == ("either", ("ssh-rsa",))
    assert web1.credential and web1.credential.name == "ops" and web2.credential is None
    assert web1.vars["cf.proxy"] == "a word of their own" and "cf.px" not in web1.vars
    netbox.devices = [device(1, "web1", custom_fields={"px": "nonsense"})]
    with pytest.raises(InvalidFile, match="dcim/devices/1/: “nonsense” is not the URL of a proxy"):
        load(tmp_path, netbox, options)


def test_all_pages_are_read_and_the_server_does_not_say_where_they_are(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(number, f"h{number}") for number in range(1, 176)]
    assert len(load(tmp_path, netbox).hosts) == 175
    assert [path.split("offset=")[1].split("&")[0] for path in netbox.asked if "devices" in path] == ["0", "50", "100", "150"]


def test_filters_are_sent_and_the_token_is_no_part_of_the_address(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(1, "web1"), device(2, "pdu", role={"id": 2, "name": "PDU", "slug": "pdu"})]
    assert list(load(tmp_path, netbox, "    filter: {role: [server, 'a&b=c']}\n    lists: [devices]\n").hosts) == ["web1"]
    (path,) = netbox.asked
    assert "role=server&role=a%26b%3Dc&" in path and TOKEN not in path
    assert netbox.headers[0]["Authorization"] == f"Token {TOKEN}"


def test_what_has_no_name_is_counted(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(1, None), device(2, "web1"), device(3, "")]
    known = load(tmp_path, netbox)
    assert list(known.hosts) == ["web1"] and "without a name, and left out: 2" in str(known.notes[0])


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ([device(3, "PDU A")], "/dcim/devices/3/: “PDU A” is not a host name"),
        ([device(3, "-oProxyCommand=id")], "/dcim/devices/3/: “-oProxyCommand=id” begins with a hyphen"),
        ([device(3, "a"), device(4, "A")], "/dcim/devices/4/: the host A is declared twice, first at"),
        ([device(3, "a", primary_ip=at("x y"))], "/dcim/devices/3/: “x y” is not a host name"),
    ],
)
def test_what_cannot_be_a_host_is_told_with_its_address(
    netbox: NetBox, tmp_path: Path, devices: list[dict[str, Any]], told: str
) -> None:
    netbox.devices = devices
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, netbox)
    assert f"{netbox.url}{told}" in str(caught.value)


def as_handler(handler: BaseHTTPRequestHandler) -> Handler:
    return cast("Handler", handler)


def test_a_busy_server_is_asked_again_when_it_says(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(1, "web1")]

    def busy(handler: BaseHTTPRequestHandler, number: int) -> bool:
        if number < 3:
            as_handler(handler).answer(429 if number == 1 else 503, {}, Retry_After="0")
        return number < 3

    netbox.misbehave = busy
    assert list(load(tmp_path, netbox).hosts) == ["web1"]


def test_a_server_that_stays_busy_is_left_alone_for_as_long_as_it_says(netbox: NetBox) -> None:
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(429, {}, Retry_After="7")
    slept: list[float] = []
    egress = Egress(origin=origin_of(netbox.url), sleep=slept.append)
    with pytest.raises(EgressFailed, match="is busy"):
        egress.get("/x")
    assert slept == [7.0, 7.0, 7.0, 7.0] and len(netbox.asked) == 5


def test_a_wait_beyond_the_deadline_is_not_waited_for(netbox: NetBox, tmp_path: Path) -> None:
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(429, {}, Retry_After="3600")
    assert "localhost is busy (429)" in refused(tmp_path, netbox)
    assert len(netbox.asked) == 1


ANSWERS: list[tuple[str, int, object, str]] = [
    ("a wrong token", 403, {}, "localhost refuses the token (403)"),
    ("not found", 404, {}, "localhost answers 404"),
    ("a fault", 500, {}, "localhost answers 500"),
    ("a page for people", 200, b"<html>login</html>", "does not answer as NetBox does"),
    ("no list", 200, {"count": 1}, "does not answer as NetBox does"),
    ("no ids", 200, {"count": 1, "results": [{"name": "x"}]}, "does not answer as NetBox does"),
    ("a list of texts", 200, {"count": 1, "results": ["x"]}, "does not answer as NetBox does"),
    ("a negative count", 200, {"count": -1, "results": []}, "does not answer as NetBox does"),
    ("half a document", 200, b'{"count": 1, "results": [', "does not answer as NetBox does"),
    ("nested", 200, b"[" * 200_000, "does not answer as NetBox does"),
    ("fewer than counted", 200, {"count": 9, "results": []}, "changed while it was read"),
    ("too many", 200, {"count": 9_999_999, "results": [{"id": 1}]}, "more than 200000 hosts"),
]


@pytest.mark.parametrize(("status", "document", "told"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_that_is_none_is_told(netbox: NetBox, tmp_path: Path, status: int, document: object, told: str) -> None:
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(status, document)
    assert told in refused(tmp_path, netbox)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_followed(netbox: NetBox, tmp_path: Path, status: int) -> None:
    elsewhere = NetBox()
    server = Server(elsewhere)
    try:
        netbox.misbehave = lambda handler, _: as_handler(handler).answer(status, {}, Location=f"{elsewhere.url}/x")
        assert "localhost leads elsewhere" in refused(tmp_path, netbox)
    finally:
        server.stop()
    assert elsewhere.asked == []


def test_a_page_that_shifts_while_it_is_read_is_no_answer(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(number, f"h{number}") for number in range(1, 120)]

    def shift(_: BaseHTTPRequestHandler, number: int) -> bool:
        if number == 2:
            netbox.devices[:] = [*netbox.devices[30:], *(device(n, f"h{n}") for n in range(200, 230))]
        return False

    netbox.misbehave = shift
    load(tmp_path, netbox, "    lists: [devices]\n")
    netbox.asked.clear()
    netbox.devices = [device(number, f"h{number}") for number in range(1, 120)]
    netbox.misbehave = lambda _, number: number == 2 and netbox.devices.pop() is None
    assert len(load(tmp_path, netbox, "    lists: [devices]\n").copies) == 1


@pytest.mark.parametrize(
    ("bound", "value", "told"),
    [("_MOST_BYTES", 2_000, "more than 2000 bytes"), ("_MOST_DEADLINES", 0, "whole answer within 0 s")],
)
def test_all_pages_together_have_bounds(
    netbox: NetBox, tmp_path: Path, bound: str, value: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netbox_source, bound, value)
    netbox.devices = [device(number, f"h{number}") for number in range(1, 120)]
    assert told in refused(tmp_path, netbox)


def test_another_token_is_no_copy_of_the_first(netbox: NetBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netbox.devices = [device(1, "web1")]
    load(tmp_path, netbox)
    monkeypatch.setenv("OTHER_TOKEN", "f" * 40)
    own = tmp_path / "other.yaml"
    own.write_text(f"sources:\n  - netbox: {netbox.url}\n    token: {{env: OTHER_TOKEN}}\n    fresh: 1h\n")
    with pytest.raises(SourceUnavailable, match="localhost refuses the token"):
        load_inventory([own], Copies(tmp_path / "home" / "cache" / "sources"))


RECORDED = json.loads((Path(__file__).parents[1] / "data/inventory/netbox.json").read_text())
SEEN = {
    "2": {
        "core1": ("192.0.2.5", "TEST1", None, "linux", {"role": "core-server", "rack": "A1R1"}),
        "core2": ("core2", "TEST1", None, "linux", {"role": "core-server", "rack": "A1R1"}),
    },
    "3.7": {
        "panel-117": ("192.0.2.31", "MDF", "A University", "linux",
                      {"role": "patch-panel", "rack": "Plant 1", "status": "active"}),
    },
    "4": {
        "akron-rtr01": ("192.0.2.44", "DM-Akron", "Paper, Inc.", "windows",
                        {"role": "router", "rack": "Comms closet", "status": "active", "cf.cpe": "3232"}),
    },
}  # fmt: skip


@pytest.mark.parametrize("version", RECORDED)
def test_what_servers_of_each_version_answered_is_read(version: str, netbox: NetBox, tmp_path: Path) -> None:
    """tests/data/SOURCES.md says which servers."""
    netbox.devices = RECORDED[version]["results"]
    hosts = load(tmp_path, netbox).hosts
    seen = {name: (one.address, one.site, one.customer, str(one.platform), dict(one.vars)) for name, one in hosts.items()}
    assert seen == SEEN[version]


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"tags": 5}, {}),
        ({"tags": "abc", "custom_fields": [1], "primary_ip": "x", "site": 7, "role": []}, {}),
        ({"custom_fields": {"n": 1 << 70, "f": float("inf"), "h": "a\ud800", "b": True}}, None),
    ],
)
def test_what_netbox_would_not_say_harms_nothing(netbox: NetBox, tmp_path: Path, more: dict[str, Any], kept: Any) -> None:
    netbox.devices = [device(1, "web1", **{"role": None, "status": None} | more)]
    known = load(tmp_path, netbox)
    wanted = {"cf.n": str(1 << 70), "cf.f": "inf", "cf.h": r"a\ud800", "cf.b": True} if kept is None else kept
    assert known.hosts["web1"].vars == wanted
    (tmp_path / "again.yaml").write_text(written(known, tuple(known.hosts.values())))
    assert load_inventory([tmp_path / "again.yaml"]).hosts["web1"].vars == wanted


def test_one_deadline_is_over_all_of_it(netbox: NetBox, tmp_path: Path) -> None:
    netbox.misbehave = dripping
    assert "localhost gave no whole answer within 0.5 s" in refused(tmp_path, netbox, "    deadline: 500ms\n")


def test_more_than_the_limit_is_not_read(netbox: NetBox) -> None:
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(200, b"x" * 100_000)
    with pytest.raises(EgressFailed, match="answers with more than 50000 bytes"):
        Egress(origin=origin_of(netbox.url), max_bytes=50_000).get("/x")


def test_a_compressed_answer_is_refused(netbox: NetBox) -> None:
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(200, b"x", Content_Encoding="gzip")
    with pytest.raises(EgressFailed, match="Content-Encoding gzip"):
        Egress(origin=origin_of(netbox.url)).get("/x")


def test_half_an_answer_is_none(netbox: NetBox) -> None:
    def half(handler: BaseHTTPRequestHandler, _: int) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{}")
        handler.close_connection = True
        return True

    netbox.misbehave = half
    with pytest.raises(EgressFailed, match="IncompleteRead"):
        Egress(origin=origin_of(netbox.url)).get("/x")


def test_a_copy_stands_in_while_nobody_answers(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(1, "web1", primary_ip=at("192.0.2.1/24"))]
    load(tmp_path, netbox)
    (copy,) = (tmp_path / "home" / "cache" / "sources").iterdir()
    assert TOKEN.encode() not in copy.read_bytes()
    netbox.misbehave = lambda handler, _: as_handler(handler).answer(500, {})
    known = load(tmp_path, netbox)
    (used,) = known.copies
    assert known.hosts["web1"].address == "192.0.2.1" and "answers 500" in str(used.reason)


def test_a_deadline_of_years_is_taken(netbox: NetBox, tmp_path: Path) -> None:
    netbox.devices = [device(1, "web1")]
    assert list(load(tmp_path, netbox, "    deadline: 3000d\n").hosts) == ["web1"]


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:  # and listened at by nobody
        taken.bind(("127.0.0.1", 0))
        url = f"http://localhost:{taken.getsockname()[1]}"
        assert "localhost cannot be asked: Connection refused" in refused(tmp_path, NetBox(url=url))


@pytest.mark.parametrize(
    ("name", "days", "told"),
    [("localhost", 2, ""), ("other.example", 2, "the certificate of localhost is refused"), ("localhost", -1, "expired")],
)
def test_the_certificate_is_verified(tmp_path: Path, name: str, days: int, told: str) -> None:
    known = NetBox(devices=[device(1, "web1")])
    file = certificate(tmp_path, name, days=days)
    server = Server(known, file)
    try:
        assert "the certificate of localhost is refused" in refused(tmp_path, known)
        assert known.asked == []
        if told:
            assert told in refused(tmp_path, known, f"    ca: {file}\n")
        else:
            assert list(load(tmp_path, known, f"    ca: {file}\n").hosts) == ["web1"]
    finally:
        server.stop()


REFUSED_URLS = [
    "http://netbox.example.net/",
    "ftp://netbox.example.net/",
    "file:///etc/passwd",
    "https://",
    "https://user:pw@netbox.example.net/",
    "https://netbox.example.net/?q=1",
    "https://netbox.example.net/#x",
    "https://netbox.example.net:99999/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://net box/",
    "https://-x/",
    "https://[fe80::1%25eth0;id]/",
    "//netbox.example.net/",
    "netbox.example.net",
    "javascript:alert(1)",
    "https://netbox.example.net/\x07",
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_an_address_that_may_not_be_asked_is_refused_at_its_place(url: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - netbox: {json.dumps(url)}\n    token: {{env: NETBOX_TOKEN}}\n")
    with pytest.raises(InvalidFile) as caught:
        load_inventory([tmp_path / "inventory.yaml"])
    assert str(caught.value).startswith(f"{tmp_path}/inventory.yaml:2:13: ")


FORBIDDEN = [
    "169.254.169.254",
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "::",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:127.0.0.1",
    "2002:7f00:1::",
    "::127.0.0.1",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::127.0.0.1",
    "2001:0:a9fe:a9fe::1",
    "100.100.100.200",
    "fd00:ec2::254",
    "0.1.2.3",
    "255.255.255.255",
    "fe80::1%eth0",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_leads_to_an_address_of_nobody_is_not_followed(address: str) -> None:
    egress = Egress(origin=origin_of("https://netbox.example.net"), resolve=lambda *_: ["192.0.2.1", address])
    with pytest.raises(EgressFailed, match="where no service of yours can be"):
        egress.get("/x")


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "fd00::1", "203.0.113.1", "172.16.0.1", "64:ff9b::203.0.113.1"])
def test_private_addresses_are_those_of_services_that_somebody_named(address: str) -> None:
    refuse_address(address, "netbox.example.net")


def test_what_is_not_encrypted_stays_on_this_machine_whatever_its_name_leads_to() -> None:
    egress = Egress(origin=origin_of("http://localhost"), resolve=lambda *_: ["127.0.0.1", "10.0.0.1"])
    with pytest.raises(EgressFailed, match="“http://localhost” is not encrypted"):
        egress.get("/x")


def test_a_name_is_resolved_once(netbox: NetBox) -> None:
    asked: list[str] = []

    def resolve(name: str, _: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    netbox.misbehave = lambda handler, _: as_handler(handler).answer(200, {})
    egress = Egress(origin=origin_of(netbox.url), resolve=resolve)
    assert egress.get("/a") == egress.get("/b") == b"{}" and asked == ["localhost"]


def test_an_unknown_name_is_told() -> None:
    def resolve(_: str, __: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(EgressFailed, match=r"the name netbox\.example\.net is not known"):
        Egress(origin=origin_of("https://netbox.example.net"), resolve=resolve).get("/x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "inventory.yaml:2:5: the source needs the key “token”"),
        ("    token: abc\n", "inventory.yaml:3:12: a secret is never written in an inventory"),
        ("    token: {env: X}\n    lists: [racks]\n", "inventory.yaml:4:12: “lists” cannot be “racks”"),
        ("    token: {env: X}\n    filter: {limit: '1'}\n", "inventory.yaml:4:14: “limit” is no filter"),
        ("    token: {env: X}\n    deadline: 30\n", "inventory.yaml:4:15: “deadline” must be a duration"),
        ("    token: {env: X}\n    verify: false\n", "inventory.yaml:4:5: the source has no key “verify”"),
    ],
)
def test_a_mistake_in_the_declaration_is_told(options: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - netbox: https://netbox.example.net\n{options}")
    with pytest.raises(InvalidFile) as caught:
        load_inventory([tmp_path / "inventory.yaml"])
    assert told in str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(("token", "sent"), [(TOKEN, f"Token {TOKEN}"), (NEW_TOKEN, f"Bearer {NEW_TOKEN}")])
def test_each_version_of_tokens_is_sent_as_netbox_wants_it(
    netbox: NetBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, sent: str
) -> None:
    netbox.devices.append(device(1, "web1"))
    monkeypatch.setenv("NETBOX_TOKEN", token)
    text = f"sources:\n  - netbox: {netbox.url}\n    token: {{env: NETBOX_TOKEN}}\n"
    (tmp_path / "inventory.yaml").write_text(text)
    assert list(load_inventory([tmp_path / "inventory.yaml"]).hosts) == ["web1"]
    assert {headers["Authorization"] for headers in netbox.headers} == {sent}


def test_a_token_that_others_can_read_is_not_used(netbox: NetBox, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o644)
    text = f"sources:\n  - netbox: {netbox.url}\n    token: {{file: {tmp_path}/token}}\n"
    (tmp_path / "inventory.yaml").write_text(text)
    with pytest.raises(SourceUnavailable, match="can be read by others"):
        load_inventory([tmp_path / "inventory.yaml"])
    (tmp_path / "token").chmod(0o600)
    netbox.devices = [device(1, "web1")]
    assert list(load_inventory([tmp_path / "inventory.yaml"]).hosts) == ["web1"]


@pytest.mark.parametrize(
    ("where", "says"), [("keyring", "keyring:a/b cannot be read here"), ("vualt", "a secret cannot be kept in “vualt”")]
)
def test_a_token_that_cannot_be_resolved_is_told_at_its_place(netbox: NetBox, tmp_path: Path, where: str, says: str) -> None:
    (tmp_path / "inventory.yaml").write_text(f"sources:\n  - netbox: {netbox.url}\n    token: {{{where}: a/b}}\n")
    with pytest.raises(SourceUnavailable, match=says) as refused:
        load_inventory([tmp_path / "inventory.yaml"])
    assert str(refused.value.place).endswith("inventory.yaml:3:13") and netbox.asked == []
