"""What a Windows machine tells of its shells and of its service."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from remote.lab.windows import wsman
from remote.lab.windows.login import Doors
from remote.lab.windows.shells import Limits, Shell
from remote.lab.windows.wsman import element


def described(shell: Shell, *, running: bool = False) -> ET.Element:
    """Return a shell as Windows describes it; `running`: some while after it was made."""
    psrp = shell.runspace is not None
    words = {
        "ShellId": shell.id,
        "ResourceUri": shell.resource_uri,
        "Owner": shell.owner,
        "ClientIP": "127.0.0.1",
        **({"ProcessId": "2912"} if psrp else {}),
        "IdleTimeOut": f"PT{shell.idle_timeout_s:.3f}S",
        "InputStreams": "stdin pr" if psrp else "stdin",
        "OutputStreams": "stdout" if psrp else "stdout stderr",
        **(_OF_POWERSHELL if psrp else {}),
        "ShellRunTime": "P0DT0H0M0S",
        "ShellInactivity": "P0DT0H0M0S",
        **({"MemoryUsed": "58MB", "ChildProcesses": "0"} if psrp and running else {}),
    }
    return element("rsp:Shell", children=[element(f"rsp:{name}", text) for name, text in words.items()])


_OF_POWERSHELL: Final = {
    "MaxIdleTimeOut": "PT2147483.647S",
    "Locale": "en-US",
    "DataLocale": "en-US",
    "CompressionMode": "NoCompression",
    "ProfileLoaded": "Yes",
    "Encoding": "UTF8",
    "BufferMode": "Block",
    "State": "Connected",
}


def configuration(limits: Limits, doors: Doors) -> ET.Element:
    """Return winrm/config, with every row and in the order in which Windows gives it (Server 2016, as pypsrp recorded it)."""
    on = ("basic", "kerberos", "negotiate", "certificate")
    auth = [_config(name.capitalize(), _word(name in doors.schemes)) for name in on]
    hardening = _config("CbtHardeningLevel", doors.hardening.value)
    quota = {"MaxEnvelopeSizekb": limits.max_envelope_bytes // 1024, "MaxTimeoutms": int(limits.max_timeout_s * 1000)}
    client = {
        "Basic": "true",
        "Digest": "true",
        "Kerberos": "true",
        "Negotiate": "true",
        "Certificate": "true",
        "CredSSP": "false",
    }
    return _config(
        "Config",
        *_rows(**quota, MaxBatchItems=32000, MaxProviderRequests=_UNLIMITED),
        _config(
            "Client",
            *_rows(NetworkDelayms=5000, URLPrefix="wsman", AllowUnencrypted="false"),
            _config("Auth", *_rows(**client)),
            _ports(),
            _config("TrustedHosts"),
        ),
        _config(
            "Service",
            *_rows(RootSDDL="O:NSG:BAD:P(A;;GA;;;BA)(A;;GR;;;IU)S:P(AU;FA;GA;;;WD)(AU;SA;GXGW;;;WD)"),
            *_rows(MaxConcurrentOperations=_UNLIMITED, MaxConcurrentOperationsPerUser=1500, EnumerationTimeoutms=240000),
            *_rows(MaxConnections=300, MaxPacketRetrievalTimeSeconds=120, AllowUnencrypted=_word(doors.allow_unencrypted)),
            _config("Auth", *auth, *_rows(CredSSP="false"), hardening),
            _ports(),
            *_rows(IPv4Filter="*", IPv6Filter="*"),
            *_rows(EnableCompatibilityHttpListener="false", EnableCompatibilityHttpsListener="false"),
            *_rows(CertificateThumbprint="", AllowRemoteAccess="true"),
        ),
        _config(
            "Winrs",
            *_rows(AllowRemoteShellAccess="true", IdleTimeout=7200000, MaxConcurrentUsers=2147483647),
            *_rows(MaxShellRunTime=2147483647, MaxProcessesPerShell=2147483647, MaxMemoryPerShellMB=2147483647),
            *_rows(MaxShellsPerUser=limits.max_shells_per_user),
        ),
    )


_UNLIMITED: Final = 2**32 - 1


def _ports() -> ET.Element:
    return _config("DefaultPorts", *_rows(HTTP=5985, HTTPS=5986))


def _word(yes: bool) -> str:
    return str(yes).lower()


def _rows(**rows: str | int) -> list[ET.Element]:
    return [_config(name, str(value)) for name, value in rows.items()]


def _config(name: str, *content: ET.Element | str) -> ET.Element:
    made = ET.Element(f"{{{wsman.CONFIG}}}{name}")
    for one in content:
        if isinstance(one, str):
            made.text = one
        else:
            made.append(one)
    return made
