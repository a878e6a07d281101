"""Faults in the shapes that Windows gives them: of WS-Management by number, quotas as errors of WMI.

Numbers from wsmerror.h as PowerShell's sources repeat it; shapes from what public clients' test suites recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final
from xml.etree import ElementTree as ET

from remote.lab.windows.wsman import ADDRESSING, WSMAN, element, envelope

FAULT_ACTION: Final = f"{WSMAN.rsplit('/', 1)[0]}/wsman/fault"
_WSMAN_FAULT: Final = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
_WMI_ERROR: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"


class Kind(Enum):
    """A fault that Windows knows: its number, who is to blame, the subcode, whether it comes as an error of WMI."""

    OPERATION_TIMEOUT = (0x80338029, "Receiver", "w:TimedOut", False)
    SHELL_NOT_FOUND = (0x8033805B, "Sender", "w:InvalidSelectors", False)
    ACCESS_DENIED = (5, "Sender", "w:AccessDenied", False)
    INVALID_RESOURCE = (0x80338000, "Sender", "w:InvalidResourceURI", False)
    ACTION_NOT_SUPPORTED = (0x80338046, "Sender", "a:ActionNotSupported", False)
    SCHEMA = (0x80338041, "Sender", "w:SchemaValidationError", False)
    TOO_LARGE = (0x80338047, "Sender", "w:EncodingLimit", False)
    BUSY = (170, "Receiver", "w:InternalError", False)
    PIPE_CLOSED = (109, "Receiver", "w:InternalError", False)
    COMMAND_TERMINATED = (995, "Receiver", "w:InternalError", False)
    MAX_SHELLS = (0x803381A5, "Sender", "w:QuotaLimit", True)
    MAX_OPERATIONS = (0x803381A6, "Receiver", "w:InternalError", True)

    def __init__(self, number: int, blame: str, subcode: str, of_wmi: bool) -> None:
        self.number, self.blame, self.subcode, self.of_wmi = number, blame, subcode, of_wmi


@dataclass(frozen=True, slots=True)
class Fault(Exception):
    """A fault as an answer: its kind and its words, which on Windows are in the machine's language."""

    kind: Kind
    words: str
    machine: str = "win.example"

    def envelope(self, relates_to: str) -> bytes:
        """Return the fault as an answer to a message."""
        code = element(
            "s:Code",
            children=[
                element("s:Value", f"s:{self.kind.blame}"),
                element("s:Subcode", children=[element("s:Value", self.kind.subcode)]),
            ],
        )
        text = element("s:Text", self.words)
        text.set("{http://www.w3.org/XML/1998/namespace}lang", "en-US")
        detail = self._wmi_error() if self.kind.of_wmi else self._wsman_fault()
        fault = element("s:Fault", children=[code, element("s:Reason", children=[text]), detail])
        action = f"{ADDRESSING}/fault" if self.kind.subcode.startswith("a:") else FAULT_ACTION
        return envelope(action, relates_to, fault)

    def _wsman_fault(self) -> ET.Element:
        message = ET.Element(f"{{{_WSMAN_FAULT}}}Message")
        message.text = f"{self.words} "
        told = ET.Element(f"{{{_WSMAN_FAULT}}}WSManFault", {"Code": str(self.kind.number), "Machine": self.machine})
        told.append(message)
        return element("s:Detail", children=[told])

    def _wmi_error(self) -> ET.Element:
        error = ET.Element(
            f"{{{_WMI_ERROR}}}MSFT_WmiError", {f"{{{_BINDING}}}IsCIM_Error": "true", _TYPE: "p:MSFT_WmiError_Type"}
        )
        for name, kind, text in _ROWS:
            row = ET.SubElement(error, f"{{{_WMI_ERROR}}}{name}", {_TYPE: f"cim:{kind}"})
            row.text = text.format(number=self.kind.number, words=self.words) or None
            if not row.text:
                row.set(_NIL, "true")
        return element("s:Detail", children=[error])


_BINDING: Final = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE, _NIL = f"{{{_INSTANCE}}}type", f"{{{_INSTANCE}}}nil"
_ROWS: Final = (
    ("CIMStatusCode", "cimUnsignedInt", "27"),
    ("CIMStatusCodeDescription", "cimString", ""),
    ("ErrorSource", "cimString", ""),
    ("ErrorSourceFormat", "cimUnsignedShort", "0"),
    ("ErrorType", "cimUnsignedShort", "0"),
    ("Message", "cimString", "{words} "),
    ("MessageID", "cimString", "HRESULT 0x{number:08x}"),
    ("OtherErrorSourceFormat", "cimString", ""),
    ("OtherErrorType", "cimString", ""),
    ("OwningEntity", "cimString", ""),
    ("PerceivedSeverity", "cimUnsignedShort", "0"),
    ("ProbableCause", "cimUnsignedShort", "0"),
    ("ProbableCauseDescription", "cimString", ""),
    ("error_Category", "cimUnsignedInt", "30"),
    ("error_Code", "cimUnsignedInt", "{number}"),
    ("error_Type", "cimString", "HRESULT"),
    ("error_WindowsErrorMessage", "cimString", "{words} "),
)
