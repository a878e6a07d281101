"""Faults in the shapes that Windows gives them: of WS-Management by number, quotas as errors of WMI.

Numbers from wsmerror.h as PowerShell's sources repeat it; shapes from what public clients' test suites recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, cast
from xml.etree import ElementTree as ET

from remote.lab.windows.wsman import ADDRESSING, WSMAN, element, envelope

FAULT_ACTION: Final = f"{WSMAN.rsplit('/', 1)[0]}/wsman/fault"
MACHINE: Final = "127.0.0.1"
"""What a fault calls the machine that it comes from: the name that it was asked by."""
_DETAILS: Final = f"{FAULT_ACTION}Detail/"
_WSMAN_FAULT: Final = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
_WMI_ERROR: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"


class Provider(Enum):
    """A part of Windows that names itself in the faults which it gives: its name and its file."""

    CMD = ("Shell cmd plugin", r"%systemroot%\system32\winrscmd.dll")
    SHELL = ("Shell provider", r"%systemroot%\system32\WsmSvc.dll")  # its part is a fault of its own within the fault


class Kind(Enum):
    """A fault that Windows knows: its number, who is to blame, the subcode, and the detail of DSP0226 where there is one."""

    OPERATION_TIMEOUT = (0x80338029, "Receiver", "w:TimedOut", "")
    SHELL_NOT_FOUND = (0x8033805B, "Sender", "w:InvalidSelectors", "UnexpectedSelectors")
    ACCESS_DENIED = (5, "Sender", "w:AccessDenied", "")
    INVALID_PARAMETER = (87, "Sender", "w:InvalidParameter", "InvalidValue")
    INVALID_RESOURCE = (0x80338000, "Sender", "a:DestinationUnreachable", "InvalidResourceURI")
    ACTION_NOT_SUPPORTED = (0x80338046, "Sender", "a:ActionNotSupported", "")
    SCHEMA = (0x80338041, "Sender", "w:SchemaValidationError", "")
    TOO_LARGE = (0x80338047, "Sender", "w:EncodingLimit", "MaxEnvelopeSizeExceeded")
    NO_FILE = (0x80070002, "Receiver", "w:InternalError", "")
    BUSY = (170, "Receiver", "w:InternalError", "")
    PIPE_CLOSED = (109, "Receiver", "w:InternalError", "")
    COMMAND_TERMINATED = (995, "Receiver", "w:InternalError", "")
    MAX_SHELLS = (0x803381A5, "Sender", "w:QuotaLimit", "")
    MAX_OPERATIONS = (0x803381A6, "Receiver", "w:InternalError", "")
    MAX_USER_OPERATIONS = (0x803381A7, "Sender", "w:QuotaLimit", "")
    MAX_SHELL_USERS = (0x803381AB, "Sender", "w:QuotaLimit", "")

    def __init__(self, number: int, blame: str, subcode: str, detail: str) -> None:
        self.number, self.blame, self.subcode, self.detail = number, blame, subcode, detail

    @property
    def of_wmi(self) -> bool:
        """Whether it comes as an error of WMI, as quotas do."""
        return self.number >> 8 == _QUOTAS


_QUOTAS: Final = 0x803381
ENGLISH: Final = "en-US"
RUSSIAN: Final = "ru-RU"
_RUSSIAN: Final[Mapping[Kind, str]] = {
    Kind.OPERATION_TIMEOUT: "Службе WS-Management не удалось завершить операцию за время, указанное в OperationTimeout. ",
    Kind.SHELL_NOT_FOUND: "Службе WS-Management не удается обработать запрос: он содержит недопустимые селекторы для ресурса. ",
    Kind.ACCESS_DENIED: "Отказано в доступе. ",
    Kind.INVALID_PARAMETER: "Параметр задан неверно. ",
    Kind.BUSY: "Требуемый ресурс занят. ",
    Kind.PIPE_CLOSED: "Канал был закрыт. ",
    Kind.NO_FILE: "Не удается найти указанный файл. ",
    Kind.MAX_SHELLS: "Служба WS-Management не может обработать запрос. Превышено число оболочек, разрешенных пользователю. ",
}
"""What a Russian Windows says of the same, from memory: that nobody goes by words is what matters."""


@dataclass(frozen=True, slots=True)
class Fault(Exception):
    """A fault as an answer: its kind and its words, which on Windows are in the machine's language."""

    kind: Kind
    words: str
    """What happened."""
    reason: str = ""
    """In more general words, if Windows has those for it."""
    provider: Provider | None = None
    language: str = ENGLISH

    def said_in(self, language: str) -> Fault:
        """Return it as a machine of this language says it."""
        return (
            self
            if language == ENGLISH
            else replace(self, words=_RUSSIAN.get(self.kind, self.words), reason="", language=language)
        )

    def envelope(self, relates_to: str) -> bytes:
        """Return the fault as an answer to a message."""
        code = element(
            "s:Code",
            children=[
                element("s:Value", f"s:{self.kind.blame}"),
                element("s:Subcode", children=[element("s:Value", self.kind.subcode)]),
            ],
        )
        text = element("s:Text", self.reason or self.words)
        text.set("{http://www.w3.org/XML/1998/namespace}lang", self.language)
        detail = [self._wmi_error()] if self.kind.of_wmi else self._wsman_fault()
        fault = element("s:Fault", children=[code, element("s:Reason", children=[text]), element("s:Detail", children=detail)])
        action = f"{ADDRESSING}/fault" if self.kind.subcode.startswith("a:") else FAULT_ACTION
        return envelope(action, relates_to, fault)

    def _wsman_fault(self) -> list[ET.Element]:
        message = ET.Element(f"{{{_WSMAN_FAULT}}}Message")
        said = message
        if self.provider is not None:
            name, path = self.provider.value
            said = ET.SubElement(message, f"{{{_WSMAN_FAULT}}}ProviderFault", {"provider": name, "path": path})
        if self.provider is Provider.SHELL:
            said = ET.SubElement(ET.SubElement(said, *self._numbered()), f"{{{_WSMAN_FAULT}}}Message")
        said.text = self.words
        told = ET.Element(*self._numbered())
        told.append(message)
        return [*([element("w:FaultDetail", _DETAILS + self.kind.detail)] if self.kind.detail else []), told]

    def _numbered(self) -> tuple[str, dict[str, str]]:
        return f"{{{_WSMAN_FAULT}}}WSManFault", {"Code": str(self.kind.number), "Machine": MACHINE}

    def _wmi_error(self) -> ET.Element:
        error = ET.Element(
            f"{{{_WMI_ERROR}}}MSFT_WmiError",
            {f"{{{_BINDING}}}IsCIM_Error": "true", _TYPE: _named(_WMI_ERROR, "MSFT_WmiError_Type")},
        )
        for name, kind, text in _ROWS:
            row = ET.SubElement(error, f"{{{_WMI_ERROR}}}{name}", {_TYPE: _named(_COMMON, kind)})
            row.text = text.format(number=self.kind.number, words=self.words) or None
            if not row.text:
                row.set(_NIL, "true")
        return error


def _named(namespace: str, name: str) -> str:
    """Return a name as the value of an attribute, with a prefix that is declared."""
    return cast("str", ET.QName(namespace, name))


_COMMON: Final = "http://schemas.dmtf.org/wbem/wscim/1/common"
_BINDING: Final = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE, _NIL = f"{{{_INSTANCE}}}type", f"{{{_INSTANCE}}}nil"
_ROWS: Final = (
    ("CIMStatusCode", "cimUnsignedInt", "27"),
    ("CIMStatusCodeDescription", "cimString", ""),
    ("ErrorSource", "cimString", ""),
    ("ErrorSourceFormat", "cimUnsignedShort", "0"),
    ("ErrorType", "cimUnsignedShort", "0"),
    ("Message", "cimString", "{words}"),
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
    ("error_WindowsErrorMessage", "cimString", "{words}"),
)
