"""WS-Management messages as a Windows machine reads and writes them (MS-WSMV; DSP0226)."""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER: Final = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MICROSOFT: Final = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CONFIG: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
IDENTITY: Final = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
CMD: Final = f"{SHELL}/cmd"
POWERSHELLS: Final = "http://schemas.microsoft.com/powershell/"
"""What the endpoints of PowerShell begin with; the rest is the name of their configuration."""
ANONYMOUS: Final = f"{ADDRESSING}/role/anonymous"

CREATE, DELETE, GET, PUT = (f"{TRANSFER}/{verb}" for verb in ("Create", "Delete", "Get", "Put"))
COMMAND, SEND, RECEIVE, SIGNAL = (f"{SHELL}/{verb}" for verb in ("Command", "Send", "Receive", "Signal"))
TERMINATE: Final = f"{SHELL}/signal/terminate"
CTRL_C: Final = f"{SHELL}/signal/ctrl_c"
DONE: Final = f"{SHELL}/CommandState/Done"
RUNNING: Final = f"{SHELL}/CommandState/Running"

Element: TypeAlias = ET.Element

PREFIXES: Final = {"s": SOAP, "a": ADDRESSING, "x": TRANSFER, "w": WSMAN, "p": MICROSOFT, "rsp": SHELL}
"""The prefixes that Windows writes (seen in what clients' test suites recorded of it)."""
LARGEST_REQUEST: Final = 500 * 1024
"""MaxEnvelopeSizekb of a machine as it is installed (winrm get winrm/config)."""
_ENVELOPE_ROOM: Final = 2048
"""What is left of an answer for everything but the output in it."""
_DURATION: Final = re.compile(r"P(?:\d+D)?T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_DEFAULT_TIMEOUT_S: Final = 60.0

for _prefix, _uri in {**PREFIXES, "cfg": CONFIG, "wsmid": IDENTITY}.items():
    ET.register_namespace(_prefix, _uri)


class NotWsman(Exception):
    """What came is no message of WS-Management."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message of a client."""

    message_id: str
    action: str
    resource_uri: str
    shell_id: str | None
    options: Mapping[str, str] = field(hash=False)
    operation_timeout_s: float
    max_envelope_bytes: int
    """How long an answer may be that the client takes."""
    body: ET.Element = field(hash=False)

    @property
    def room_bytes(self) -> int:
        """How much output fits into an answer, which carries it in base64."""
        return max(1, (self.max_envelope_bytes - _ENVELOPE_ROOM) * 3 // 4)

    def text(self, path: str) -> str:
        """Return the text of an element of the body, empty where there is none."""
        return self.body.findtext(path, "", PREFIXES)


def read_request(data: bytes) -> Request:
    """Return the message in an envelope, or raise NotWsman."""
    if b"<!DOCTYPE" in data:
        raise NotWsman("a document type is not allowed (DSP0226 R13.1-2)")
    try:
        root = ET.fromstring(data)  # noqa: S314 (no document type, so no entities)
    except ET.ParseError as error:
        raise NotWsman(str(error)) from error
    header, body = root.find("s:Header", PREFIXES), root.find("s:Body", PREFIXES)
    if root.tag != f"{{{SOAP}}}Envelope" or header is None or body is None:
        raise NotWsman("no SOAP 1.2 envelope with a header and a body")
    if not (most := header.findtext("w:MaxEnvelopeSize", str(LARGEST_REQUEST), PREFIXES)).isdecimal():
        raise NotWsman("MaxEnvelopeSize is no number")
    selectors = {one.get("Name"): one.text for one in header.iterfind("w:SelectorSet/w:Selector", PREFIXES)}
    return Request(
        message_id=header.findtext("a:MessageID", "", PREFIXES),
        action=header.findtext("a:Action", "", PREFIXES),
        resource_uri=header.findtext("w:ResourceURI", "", PREFIXES),
        shell_id=selectors.get("ShellId"),
        options={one.get("Name", ""): one.text or "" for one in header.iterfind("w:OptionSet/w:Option", PREFIXES)},
        operation_timeout_s=seconds(header.findtext("w:OperationTimeout", "", PREFIXES)),
        max_envelope_bytes=int(most),
        body=body,
    )


def seconds(duration: str, default: float = _DEFAULT_TIMEOUT_S) -> float:
    """Return a duration of XML Schema in seconds; the default (60 s for an operation) where there is none.

    >>> seconds("PT20S"), seconds("PT1M30.500S"), seconds("")
    (20.0, 90.5, 60.0)
    """
    if not (match := _DURATION.fullmatch(duration)):
        return default
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def element(name: str, text: str | None = None, children: Sequence[ET.Element] = (), **attributes: str) -> ET.Element:
    """Return an element by its prefixed name, `rsp:Shell`."""
    prefix, _, local = name.partition(":")
    made = ET.Element(f"{{{PREFIXES[prefix]}}}{local}", attributes)
    made.text = text
    made.extend(children)
    return made


def envelope(action: str, relates_to: str, *body: ET.Element) -> bytes:
    """Return an answer, with the elements of its header in the order in which Windows writes them."""
    header = element(
        "s:Header",
        children=[
            element("a:Action", action),
            element("a:MessageID", f"uuid:{str(uuid.uuid4()).upper()}"),
            element("a:To", ANONYMOUS),
            element("a:RelatesTo", relates_to),
        ],
    )
    root = element("s:Envelope", children=[header, element("s:Body", children=body)])
    root.set("{http://www.w3.org/XML/1998/namespace}lang", "en-US")
    return _written(root)


def identified(product_version: str) -> bytes:
    """Return the answer to Identify, which needs no login (DSP0226 11)."""
    answer = ET.Element(f"{{{IDENTITY}}}IdentifyResponse")
    words = {
        "ProtocolVersion": WSMAN,
        "ProductVendor": "Microsoft Corporation",
        "ProductVersion": f"OS: {product_version} SP: 0.0 Stack: 3.0",
    }
    for name, text in words.items():
        ET.SubElement(answer, f"{{{IDENTITY}}}{name}").text = text
    return _written(element("s:Envelope", children=[element("s:Header"), element("s:Body", children=[answer])]))


def _written(root: ET.Element) -> bytes:
    """Return it with every prefix declared, as Windows does: names stand in texts too (`w:QuotaLimit`), where nobody looks."""
    written: bytes = ET.tostring(root, encoding="utf-8")
    head, end, rest = written.partition(b">")
    declared = {f' xmlns:{prefix}="{uri}"'.encode() for prefix, uri in PREFIXES.items()}
    return head + b"".join(sorted(one for one in declared if one not in head)) + end + rest
