"""The practice Windows host against what real ones answered: conversations that public test suites recorded (SOURCES.md)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import pytest
from psrpcore import ClientRunspacePool, PSRPPayload, StreamType

from remote.lab.windows.actions import Service
from remote.lab.windows.bindings import Hardening
from remote.lab.windows.faults import Fault, Kind
from remote.lab.windows.login import Doors
from remote.lab.windows.runspaces import Endpoint, Piped, Told
from remote.lab.windows.shells import Limits, Running, Said, Shell, Shells
from remote.lab.windows.wsman import CMD, PREFIXES, read_request

SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
THEIRS = {
    "MessageID",
    "Address",
    "Owner",
    "ClientIP",
    "ProcessId",
    "ShellRunTime",
    "ShellInactivity",
    "MaxShellsPerUser",
    "CredSSP",
}
"""What is each machine's own."""
NEWER = {"ActivityId"}
"""What only some versions of Windows write."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what a real host answered."""

    request: str
    response: ET.Element
    status: int


def recorded(data: Path, name: str) -> list[Exchange]:
    root = parsed((data / "windows" / f"{name}.xml").read_bytes())
    pairs = zip(root.findall("request"), root.findall("response"), strict=True)
    return [Exchange(ET.tostring(ask[0], "unicode"), say[0], int(say.get("status", "200"))) for ask, say in pairs]


def parsed(data: bytes) -> ET.Element:
    """Return a document with its names resolved where they stand in texts and values too; KeyError for a prefix of none."""
    scopes: list[tuple[str, str]] = []
    last = ET.Element("")
    for event, node in ET.iterparse(BytesIO(data), ("start-ns", "end-ns", "start", "end")):
        match event:
            case "start-ns":
                scopes.append(cast("tuple[str, str]", node))
            case "end-ns":
                scopes.pop()
            case "start":
                if TYPE in node.attrib:
                    node.set(TYPE, resolved(node.attrib[TYPE], dict(scopes)))
            case _:
                last = node
                if node.tag == f"{SOAP}Value":
                    node.text = resolved(node.text or "", dict(scopes))
    return last


def resolved(name: str, scope: Mapping[str, str]) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{scope[prefix]}}}{local}"


@dataclass(slots=True)
class Ids:
    """Ids by the order in which they came, so that those of two conversations can be compared."""

    seen: dict[str, str] = field(default_factory=dict)

    def named(self, text: str) -> str:
        return UUID.sub(lambda match: self.seen.setdefault(match[0].upper(), f"id {len(self.seen)}"), text)


def shape(node: ET.Element, ids: Ids, depth: int = 0) -> list[str]:
    """Return an element as it is compared, a line for each: without what is a machine's own, streams of one name in one."""
    local = node.tag.rpartition("}")[2]
    given = {key: "theirs" if key == "Machine" else ids.named(value) for key, value in sorted(node.attrib.items())}
    text = "theirs" if local in THEIRS else ids.named((node.text or "").strip())
    lines = [f"{' ' * depth}{node.tag} {given} {text}"]
    children = [child for child in node if child.tag.rpartition("}")[2] not in NEWER]
    for child in children:
        lines += shape(child, ids, depth + 1)
    return lines


def merged(tree: ET.Element) -> ET.Element:
    """Return a tree whose neighbouring streams of one name are one: it is chance how output is cut."""
    for parent in tree.iter():
        before: ET.Element | None = None
        for child in list(parent):
            if (
                before is not None
                and child.tag.endswith("}Stream")
                and (child.tag, child.attrib) == (before.tag, before.attrib)
            ):
                before.text = base64.b64encode(
                    base64.b64decode(before.text or "") + base64.b64decode(child.text or "")
                ).decode()
                parent.remove(child)
            else:
                before = child
    return tree


async def answered(service: Service, request: str) -> ET.Element:
    message = read_request(request.encode())
    try:
        return parsed(await service.act(message, "vagrant"))
    except Fault as fault:
        return parsed(fault.envelope(message.message_id))


def streams(response: ET.Element, name: str) -> bytes:
    return b"".join(base64.b64decode(one.text or "") for one in response.iterfind(f".//rsp:Stream[@Name='{name}']", PREFIXES))


def saying(conversation: list[Exchange]) -> Said:
    """Return what the program said that was recorded."""
    receives = [one.response for one in conversation if one.response.find(".//rsp:ReceiveResponse", PREFIXES) is not None]
    stdout, stderr = (b"".join(streams(one, name) for one in receives) for name in ("stdout", "stderr"))
    status = [one.findtext(".//rsp:ExitCode", "", PREFIXES) for one in receives]
    return Said(stdout=stdout, stderr=stderr, exit_status=int(status[-1]) if status else 0)


def doors() -> Doors:
    return Doors(schemes=("basic", "negotiate", "kerberos"), hardening=Hardening.RELAXED)


@pytest.mark.parametrize(
    "name", ["winrs-command", "winrs-stdin", "winrs-no-file", "winrs-no-command", "winrs-no-command-id", "config"]
)
async def test_we_answer_as_a_real_host_did(name: str, repository: Path) -> None:
    conversation = recorded(repository / "tests" / "data", name)
    said = saying(conversation)

    async def program(running: Running) -> Said:
        while name == "winrs-stdin" and await running.stdin.get() is not None:
            pass
        return said

    service = Service(program, doors(), Limits(), {})
    ours, theirs = Ids(), Ids()
    known: dict[str, str] = {}
    for exchange in conversation:
        request = exchange.request
        for their_id, our_id in known.items():
            request = request.replace(their_id, our_id)
        await asyncio.sleep(0)  # a program that has said all, as it had when it was recorded
        answer = await answered(service, request)
        for path in (".//rsp:ShellId", ".//rsp:CommandId"):
            if (their_id := exchange.response.findtext(path, "", PREFIXES)) and (our_id := answer.findtext(path, "", PREFIXES)):
                known[their_id] = our_id
        assert shape(merged(answer), ours) == shape(merged(exchange.response), theirs)
        assert (answer.find(f".//{SOAP}Fault") is None) == (exchange.status == 200)
    assert not service.shells.open or name == "winrs-no-file"


PROGRESS = "0x41010"
"""PROGRESS_RECORD (MS-PSRP 2.2.2.25): what a fresh machine says of its modules."""


def messages(streams_: list[ET.Element]) -> list[tuple[str, bool]]:
    """Return the types of the objects in streams of PSRP, and whether they are of a pipeline."""
    told = []
    for one in streams_:
        data = base64.b64decode(one.text or "")
        kind = int.from_bytes(data[25:29], "little")  # behind the 21 bytes of its fragment and 4 of its destination
        told.append((hex(kind), one.get("CommandId") is not None))
    return [one for one in told if one[0] != PROGRESS]


@pytest.mark.parametrize("name", ["psrp-script", "psrp-shell-gone", "psrp-too-slow"])
async def test_we_answer_as_a_real_endpoint_of_powershell_did(name: str, repository: Path) -> None:
    conversation = recorded(repository / "tests" / "data", name)
    slow = name == "psrp-too-slow"
    let_go = asyncio.Event()

    async def program(piped: Piped) -> Told:
        if slow:
            await let_go.wait()
        return Told(output=("words",) * (1 if slow else 8))

    service = Service(program_of_nothing, doors(), Limits(), {"Microsoft.PowerShell": Endpoint(program=program)})
    opened: list[tuple[str, bool]] = []
    theirs_opened: list[tuple[str, bool]] = []
    ours, theirs = Ids(), Ids()
    for number, exchange in enumerate(conversation):
        their_streams = exchange.response.findall(".//rsp:Stream", PREFIXES)
        if their_streams and their_streams[0].get("CommandId") is None:  # a pool opens in as many answers as it likes
            theirs_opened += messages(their_streams)
            if len(opened) < len(theirs_opened):
                opened += messages((await answered(service, exchange.request)).findall(".//rsp:Stream", PREFIXES))
            continue
        refused = exchange.response.find(f".//{SOAP}Fault") is not None
        if name == "psrp-shell-gone" and refused:
            service.shells.lose_all()
        if slow and exchange.response.find(".//rsp:ExitCode", PREFIXES) is not None:
            let_go.set()
        request = re.sub(r"PT\d+S<", "PT0.01S<", exchange.request) if refused else exchange.request
        answer = await answered(service, request)
        if their_streams:
            assert answer.find(f".//{SOAP}Fault") is None, ET.tostring(answer)
            assert messages(answer.findall(".//rsp:Stream", PREFIXES)) == messages(their_streams), number
        for tree in (answer, exchange.response):
            for parent in tree.iter():
                for stream in [one for one in parent if one.tag.endswith("}Stream")]:
                    parent.remove(stream)
        assert shape(answer, ours) == shape(exchange.response, theirs), number
    assert opened == theirs_opened


async def program_of_nothing(running: Running) -> None:
    raise AssertionError(running.asked.line)


def body(envelope: ET.Element) -> list[str]:
    return shape(cast("ET.Element", envelope.find(f".//{SOAP}Body")), Ids())


def test_a_shell_too_many_is_refused_as_a_real_host_did(repository: Path) -> None:
    """Its words too, which are the machine's: no client may go by them, and none has to guess them."""
    real = parsed((repository / "tests" / "data" / "windows" / "max-shells.xml").read_bytes())
    shells = Shells(Limits())
    for _ in range(30):
        shells.keep(Shell(owner="vagrant", resource_uri=CMD))
    with pytest.raises(Fault) as refused:
        shells.keep(Shell(owner="vagrant", resource_uri=CMD))
    assert body(parsed(refused.value.envelope("uuid:1"))) == body(real)


def test_a_quota_has_the_shape_that_was_recorded(repository: Path) -> None:
    real = parsed((repository / "tests" / "data" / "windows" / "quota.xml").read_bytes())
    ours = parsed(Fault(Kind.MAX_OPERATIONS, "WMI Message. ", "Reason text. ").envelope("uuid:1"))
    for tree in (real, ours):
        for one in tree.iter():
            if one.tag.endswith("error_WindowsErrorMessage"):
                one.text = "theirs"
    assert body(ours) == body(real)


@pytest.mark.parametrize("kind", Kind)
def test_each_name_in_a_fault_has_its_namespace(kind: Kind) -> None:
    fault = parsed(Fault(kind, "words").envelope("uuid:1"))
    blame, subcode = (one.text or "" for one in fault.iter(f"{SOAP}Value"))
    assert blame == f"{SOAP}{kind.blame}"
    assert subcode == f"{{{PREFIXES[kind.subcode[0]]}}}{kind.subcode[2:]}"


async def test_what_a_pool_says_first_opens_a_client_that_nobody_here_wrote() -> None:
    service = Service(program_of_nothing, doors(), Limits(), {"Microsoft.PowerShell": Endpoint(program=nothing_known)})
    client = ClientRunspacePool()
    client.open()
    sent = client.data_to_send()
    assert sent is not None
    creation = base64.b64encode(sent.data).decode()
    body = f'<rsp:Shell ShellId="{client.runspace_pool_id}"><creationXml xmlns="http://schemas.microsoft.com/powershell">{creation}'
    await answered(
        service, request_for("http://schemas.xmlsoap.org/ws/2004/09/transfer/Create", body + "</creationXml></rsp:Shell>")
    )
    shell_id = str(client.runspace_pool_id).upper()
    receive = "<rsp:Receive><rsp:DesiredStream>stdout</rsp:DesiredStream></rsp:Receive>"
    action = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Receive"
    answer = await answered(service, request_for(action, receive, shell_id))
    for stream in answer.iterfind(".//rsp:Stream", PREFIXES):
        client.receive_data(PSRPPayload(base64.b64decode(stream.text or ""), StreamType.default, None))
    while client.next_event() is not None:
        pass
    assert client.state.name == "Opened"
    assert str(client.application_private_data["PSVersionTable"]["PSVersion"]).startswith("5.1")


async def nothing_known(piped: Piped) -> None:
    raise AssertionError(piped.calls)


def request_for(action: str, body: str, shell_id: str = "") -> str:
    selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>' if shell_id else ""
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items())
    return (
        f"<s:Envelope {names}><s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:1</a:MessageID>"
        f"<w:ResourceURI>http://schemas.microsoft.com/powershell/Microsoft.PowerShell</w:ResourceURI>{selectors}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
