"""What a Windows machine tells of its shells and of its service."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from remote.lab.windows import wsman
from remote.lab.windows.login import Doors
from remote.lab.windows.shells import Limits, Shell
from remote.lab.windows.wsman import element


def described(shell: Shell) -> ET.Element:
    """Return a shell as Windows describes it."""
    words = {
        "ShellId": shell.id,
        "ResourceUri": shell.resource_uri,
        "Owner": shell.owner,
        "ClientIP": "127.0.0.1",
        "IdleTimeOut": "PT7200.000S",
        "InputStreams": "stdin",
        "OutputStreams": "stdout stderr",
        "ShellRunTime": "P0DT0H0M0S",
        "ShellInactivity": "P0DT0H0M0S",
    }
    return element("rsp:Shell", children=[element(f"rsp:{name}", text) for name, text in words.items()])


def configuration(limits: Limits, doors: Doors) -> ET.Element:
    """Return winrm/config, as far as clients read it."""
    service = _config(
        "Service",
        _config("AllowUnencrypted", str(doors.allow_unencrypted).lower()),
        _config("Auth", *(_config(name.capitalize(), str(name in doors.schemes).lower()) for name in _AUTH)),
        _config("MaxConcurrentOperationsPerUser", "1500"),
        _config("MaxConnections", "300"),
    )
    winrs = _config(
        "Winrs",
        _config("AllowRemoteShellAccess", "true"),
        _config("IdleTimeout", "7200000"),
        _config("MaxShellsPerUser", str(limits.max_shells_per_user)),
        _config("MaxProcessesPerShell", "25"),
        _config("MaxMemoryPerShellMB", "1024"),
    )
    first = (
        _config("MaxEnvelopeSizekb", str(limits.max_envelope_bytes // 1024)),
        _config("MaxTimeoutms", "60000"),
        _config("MaxBatchItems", "32000"),
    )
    return _config("Config", *first, service, winrs)


_AUTH = ("basic", "kerberos", "negotiate", "certificate")


def _config(name: str, *content: ET.Element | str) -> ET.Element:
    made = ET.Element(f"{{{wsman.CONFIG}}}{name}")
    for one in content:
        if isinstance(one, str):
            made.text = one
        else:
            made.append(one)
    return made
