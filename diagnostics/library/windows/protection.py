"""What protects the machine: Defender, the firewall, BitLocker, certificates."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.windows.asking import PLATFORMS, Item, Source, question, read, strings
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege

_DEFENDER = r"""
Ask status {
    $m = Get-MpComputerStatus
    @{ Service = $m.AMServiceEnabled; RealTime = $m.RealTimeProtectionEnabled; Mode = $m.AMRunningMode
        Age = $m.AntivirusSignatureAge
        Version = $m.AntivirusSignatureVersion; Tamper = $m.IsTamperProtected; QuickAge = $m.QuickScanAge }
}
Ask threats { Get-MpThreat | Where-Object { $_.IsActive } | Select-Object -First 20 | ForEach-Object {
        @{ Name = $_.ThreatName; Severity = [int]$_.SeverityID } } }
Ask products { Get-CimInstance -Namespace root\SecurityCenter2 AntiVirusProduct | ForEach-Object {
        @{ Name = $_.displayName; State = [int64]$_.productState } } }
"""
_STOPPED = ("0x800106ba", "HRESULT 0x800106ba")
"""The service of Defender does not run: another product took over, or somebody stopped it."""
_NEVER_DAYS = 3650
"""More than this is how Windows says never (65535, 4294967295)."""
_PASSIVE = ("Passive Mode", "SxS Passive Mode", "EDR Block Mode")
"""AMRunningMode of a Defender that leaves protection to another product."""
_NOT_RUNNING = "Not running"
_ON = 0x1000
"""In the state of a product that Security Center keeps: it scans."""


def parse_defender(answer: Answer) -> Facts:
    """Return how Microsoft Defender stands; raise NothingThere where there is none, or where another product took over.

    Where Defender is installed, its service does not run and no other product is known (servers keep no list of them),
    `service` is false. `passive`: it is there beside another product. Servers are made passive by hand, and what protects
    them then is not to be seen; where there is a list of products, and none but Defender is on, nothing protects.
    `threats` are those that are active, and left out where this account may not list them. `mode` is AMRunningMode (Normal,
    Passive Mode, EDR Block Mode, Not running, …), which is not translated.
    """
    sources = read("win.defender", answer)
    others = _others(sources["products"])
    status = sources["status"]
    if status.absent():
        raise NothingThere("win.defender", "Microsoft Defender")
    if status.absent(*_STOPPED):
        if others:
            raise NothingThere("win.defender", f"Microsoft Defender in charge ({strings(others)} is)")
        return {"service": False, "real_time": False, "passive": False, "mode": "", "names": "", "at": status.at}
    one = status.one()
    mode = one.text("Mode") if one.has("Mode") else ""
    unlisted = sources["products"].absent()
    age = one.integer("Age") if one.has("Age") else _NEVER_DAYS + 1
    listed = sources["threats"]
    threats = [] if listed.denied else [_name(item) for item in listed.usable()]
    return {
        "service": one.flag("Service") and mode != _NOT_RUNNING,
        "real_time": one.flag("RealTime"),
        "passive": (mode in _PASSIVE and unlisted) or (bool(others) and (mode in _PASSIVE or not one.flag("RealTime"))),
        "mode": mode,
        "signature_age_days": min(age, _NEVER_DAYS),
        **({} if listed.denied else {"threats": len(threats)}),
        "names": strings(threats, most=3),
        "at": one.at,
    }


def _name(item: Item) -> str:
    return item.text("Name") if item.has("Name") else "?"


def _others(products: Source) -> list[str]:
    """Return the products besides Defender that are on; servers have no Security Center to ask."""
    if products.absent():
        return []
    on = [one for one in products.usable() if one.integer("State") & _ON]
    return [one.text("Name") for one in on if "defender" not in one.text("Name").lower()]


_FIREWALL = r"""
Ask profiles { Get-NetFirewallProfile -PolicyStore ActiveStore | ForEach-Object { @{ Name = [string]$_.Name
            On = [int]$_.Enabled; In = [int]$_.DefaultInboundAction } } }
Ask connections { Get-NetConnectionProfile | ForEach-Object { @{ Kind = [int]$_.NetworkCategory } } }
"""
_PROFILES = {0: "Public", 1: "Private", 2: "Domain"}
"""NetworkCategory of MSFT_NetConnectionProfile, as the profiles of the firewall are named (they are not translated)."""


def parse_firewall(answer: Answer) -> Facts:
    """Return the firewall's profiles as they are in force (policies included), and which are in use now."""
    sources = read("win.firewall", answer)
    items = sources["profiles"].usable("the firewall's own list of profiles")
    used = {_PROFILES.get(one.integer("Kind"), "") for one in sources["connections"].usable()}
    if len(items) < 3:
        raise ParseError("win.firewall", b"fewer than three profiles")
    return {
        "profiles": [
            {
                "profile": one.text("Name"),
                "on": one.integer("On") == 1,
                "used": one.text("Name") in used,
                "lets_in": one.integer("In") == 2,
                "at": one.at,
            }
            for one in items
        ]
    }


_BITLOCKER = r"""
Ask volumes {
    Get-CimInstance -Namespace root\cimv2\Security\MicrosoftVolumeEncryption Win32_EncryptableVolume |
    ForEach-Object {
        $v = $_
        $c = $v.ConversionStatus
        if ($null -eq $c) {
            try {
                $m = Invoke-CimMethod -InputObject $v -MethodName GetConversionStatus
                if ($m.ReturnValue -eq 0) { $c = $m.ConversionStatus }
            } catch { $c = $null }
        }
        @{ Drive = $v.DriveLetter; Protected = $v.ProtectionStatus; Converted = $c; Kind = $v.VolumeType } }
}
Ask computer { @{ Mobile = [int](Get-CimInstance Win32_ComputerSystem).PCSystemType -eq 2
        Drive = (Get-CimInstance Win32_OperatingSystem).SystemDrive } }
"""
_CONVERTED = {0: "plain", 1: "encrypted", 2: "encrypting", 3: "decrypting", 4: "encrypting_paused", 5: "decrypting_paused"}
"""ConversionStatus of Win32_EncryptableVolume."""


def parse_bitlocker(answer: Answer) -> Facts:
    """Return the volumes that BitLocker could protect; raise NothingThere on an edition without it.

    ConversionStatus is a property on Windows 10 and later, elsewhere what a method returns; `state` is left out where neither
    says anything, as of a volume that is locked.
    """
    sources = read("win.bitlocker", answer)
    computer = sources["computer"].one()
    items = sources["volumes"].usable("BitLocker")
    system = computer.text("Drive").upper()
    return {
        "mobile": computer.flag("Mobile"),
        "volumes": [_volume(one, system) for one in items if one.has("Drive")],
    }


def _volume(one: Item, system: str) -> dict[str, Any]:
    return {
        "drive": one.text("Drive"),
        "system": one.text("Drive").upper() == system,
        "protection": one.choice("Protected", {0: "off", 1: "on", 2: "unknown"}),
        **({"state": one.choice("Converted", _CONVERTED)} if one.has("Converted") else {}),
        "at": one.at,
    }


_CERTIFICATES = r"""
Ask certificates {
    foreach ($s in 'My', 'WebHosting') {
        if (Test-Path "HKLM:\SOFTWARE\Microsoft\SystemCertificates\$s") {
            $store = New-Object Security.Cryptography.X509Certificates.X509Store($s, 'LocalMachine')
            $store.Open('ReadOnly')
            foreach ($x in $store.Certificates) {
                @{ Store = $s; Print = $x.Thumbprint; Subject = $x.Subject; Name = $x.GetNameInfo('DnsName', $false)
                    Issuer = $x.Issuer; From = ConvertTo-Utc $x.NotBefore; To = ConvertTo-Utc $x.NotAfter
                    Key = $x.HasPrivateKey }
            }
            $store.Close()
        }
    }
}
Ask bindings {
    foreach ($k in 'SslBindingInfo', 'SslSniBindingInfo') {
        $p = "HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters\$k"
        if (Test-Path $p) { Get-ChildItem $p | Where-Object { $_.GetValue('SslCertHash') } | ForEach-Object {
                @{ Where = $_.PSChildName
                    Print = [BitConverter]::ToString([byte[]]$_.GetValue('SslCertHash')).Replace('-', '') } } } }
    $r = Get-Item 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp'
    if ($h = $r.GetValue('SSLCertificateSHA1Hash')) { @{ Where = 'RDP'
            Print = [BitConverter]::ToString([byte[]]$h).Replace('-', '') } }
}
"""
_PRINT = re.compile(r"[0-9A-Fa-f]{40,64}")


def parse_certificates(answer: Answer) -> Facts:
    """Return the machine's certificates that have a private key, and where each is bound (http.sys, Remote Desktop).

    `replaced`: another one for the same subject is valid longer, so nobody misses this one once it is unbound.
    """
    sources = read("win.certificates", answer)
    bound: dict[str, list[str]] = {}
    for one in sources["bindings"].usable():
        bound.setdefault(_print(one), []).append(one.text("Where"))
    items = [one for one in sources["certificates"].usable() if one.flag("Key")]
    newest: dict[str, int] = {}
    for one in items:
        newest[one.text("Subject")] = max(newest.get(one.text("Subject"), 0), one.moment("To"))
    if not items:
        raise NothingThere("win.certificates", "a certificate with a private key")
    return {"certificates": [_certificate(one, bound, newest) for one in items]}


def _print(one: Item) -> str:
    if not _PRINT.fullmatch(text := one.text("Print")):
        raise one.odd("Print")
    return text.upper()


def _certificate(one: Item, bound: dict[str, list[str]], newest: dict[str, int]) -> dict[str, Any]:
    places = bound.get(_print(one), [])
    return {
        "store": one.text("Store"),
        "thumbprint": _print(one),
        "name": one.text("Name") if one.has("Name") and one.text("Name") else one.text("Subject"),
        "issuer": one.text("Issuer"),
        "not_before_s": one.moment("From"),
        "not_after_s": one.moment("To"),
        "bound": strings(places, most=3),
        "replaced": newest[one.text("Subject")] > one.moment("To"),
        "at": one.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.defender", _DEFENDER, deadline_s=20),
        parse=parse_defender,
        summary="Whether Microsoft Defender protects, and how old its signatures are",
        shape={
            "service": "bool",
            "real_time": "bool",
            "passive": "bool",
            "mode": "str",
            "signature_age_days": "int? days",
            "threats": "int?",
            "names": "str",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.firewall", _FIREWALL, deadline_s=20),
        parse=parse_firewall,
        summary="Which profiles of the firewall are on",
        shape={"profiles": [{"profile": "str", "on": "bool", "used": "bool", "lets_in": "bool", "at": "at"}]},
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.bitlocker", _BITLOCKER, deadline_s=20, privilege=Privilege.ROOT),
        parse=parse_bitlocker,
        summary="Which volumes BitLocker protects",
        shape={
            "mobile": "bool",
            "volumes": [{"drive": "str", "system": "bool", "protection": "str", "state": "str?", "at": "at"}],
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.certificates", _CERTIFICATES),
        parse=parse_certificates,
        summary="The machine's certificates, until when they are valid and where they are bound",
        shape={
            "certificates": [
                {
                    "store": "str",
                    "thumbprint": "str",
                    "name": "str",
                    "issuer": "str",
                    "not_before_s": "int",
                    "not_after_s": "int",
                    "bound": "str",
                    "replaced": "bool",
                    "at": "at",
                }
            ]
        },
        platforms=PLATFORMS,
    ),
)
