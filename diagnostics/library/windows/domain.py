"""The clock and who keeps it, and the domain that the machine belongs to."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.windows.asking import PLATFORMS, Item, Source, Sources, question, read
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from inventory.errors import Text
from remote.answer import Answer
from remote.question import Privilege

_TIME = r"""
Ask clock { $o = Get-CimInstance Win32_OperatingSystem; @{ Now = ConvertTo-Utc (Get-Date)
        Booted = ConvertTo-Utc $o.LastBootUpTime; Joined = (Get-CimInstance Win32_ComputerSystem).PartOfDomain } }
Ask service { Get-CimInstance Win32_Service -Filter "Name='W32Time'" | ForEach-Object { @{ State = $_.State
            Start = $_.StartMode } } }
Ask settings { $p = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters'
    @{ Type = $p.Type; Servers = $p.NtpServer } }
Ask status {
    $l = @(& "$env:SystemRoot\System32\w32tm.exe" /query /status /verbose)
    @{ Exit = $LASTEXITCODE; Lines = @($l | Where-Object { $_.Contains(':') } | ForEach-Object {
                $_.Substring($_.IndexOf(':') + 1).Trim() }) }
}
"""
_LEAP, _STRATUM, _REFERENCE, _SOURCE, _PHASE, _LAST_ERROR, _SINCE = 0, 1, 5, 7, 9, 14, 15
"""Lines of `w32tm /query /status /verbose`; their order is the same in every language. Kept is what stands behind the colon."""
_STATUS_LINES = 16
_NUMBER = re.compile(r"(-?\d{1,10}) ?\(.*")
_SECONDS = re.compile(r"(-?\d{1,12})(?:[.,](\d{1,9}))?s")
_LOCAL_CLOCK = "0x4C4F434C"
"""«LOCL»: the machine follows its own clock."""
_NOT_RUNNING = 0x80070426


def parse_clock(answer: Answer) -> Facts:
    """Return what time it is on the machine (its own UTC), and since when it runs."""
    clock = read("win.time", answer)["clock"].one()
    now = clock.moment("Now")
    return {"utc_s": now, "uptime_s": max(0, now - clock.moment("Booted")), "joined": clock.flag("Joined"), "at": clock.at}


def parse_time(answer: Answer) -> Facts:
    """Return whether the time service keeps the clock right, and after whom.

    `synchronized`: the leap indicator is not 3 and the stratum is between 1 and 15 (RFC 5905), and the source is not the
    machine's own clock. Raises SourceFailed where w32tm says nothing of that; a service that does not run is a fact.
    """
    sources = read("win.time", answer)
    clock, status = sources["clock"].one(), sources["status"].one()
    service, settings = sources["service"].one(), sources["settings"].one()
    facts = {
        "uptime_s": max(0, clock.moment("Now") - clock.moment("Booted")),
        "joined": clock.flag("Joined"),
        "running": service.text("State") == "Running",
        "start": service.text("Start").lower(),
        "kind": settings.text("Type") if settings.has("Type") else "",
        "servers": settings.text("Servers") if settings.has("Servers") else "",
    }
    code = status.integer("Exit") & 0xFFFFFFFF
    if code == _NOT_RUNNING or not facts["running"]:
        return facts | {"synchronized": False, "source": "", "at": service.at}
    if code:
        raise SourceFailed("win.time", "w32tm", f"0x{code:08x}")
    return facts | _status(status)


def _status(one: Item) -> dict[str, Any]:
    lines = one.texts("Lines")
    if len(lines) != _STATUS_LINES:
        raise ParseError("win.time", "; ".join(lines).encode())
    leap, stratum, last = (_NUMBER.fullmatch(lines[place]) for place in (_LEAP, _STRATUM, _LAST_ERROR))
    phase, since = (_SECONDS.fullmatch(lines[place]) for place in (_PHASE, _SINCE))
    if not (leap and stratum and last and phase):
        raise ParseError("win.time", "; ".join(lines).encode())
    own = lines[_REFERENCE].upper().startswith(_LOCAL_CLOCK.upper())
    return {
        "synchronized": leap[1] != "3" and 1 <= int(stratum[1]) <= 15 and not own,
        "stratum": int(stratum[1]),
        "source": lines[_SOURCE],
        "offset_s": float(f"{phase[1]}.{phase[2] or 0}"),
        "last_error": int(last[1]),
        **({"since_s": int(since[1])} if since else {}),
        "at": one.at,
    }


_DOMAIN = r"""
$c = Get-CimInstance Win32_ComputerSystem
Ask computer { @{ Joined = $c.PartOfDomain; Domain = $c.Domain; Role = [int]$c.DomainRole } }
if ($c.PartOfDomain -and $c.DomainRole -lt 4) {
    Ask channel {
        $l = @(& "$env:SystemRoot\System32\nltest.exe" "/sc_query:$($c.Domain)")
        @{ Exit = $LASTEXITCODE; Lines = @($l | ForEach-Object { $_.Trim() } | Where-Object { $_ }) }
    }
}
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask events {
    Get-WinEvent -FilterHashtable @{ LogName = 'System'
        ProviderName = 'NETLOGON', 'Microsoft-Windows-Security-Kerberos'; Level = 1, 2
        StartTime = (Get-Date).AddDays(-3) } -MaxEvents 500 |
    Group-Object ProviderName, Id | ForEach-Object { @{ Provider = $_.Group[0].ProviderName; Id = $_.Group[0].Id
            Count = $_.Count; Last = ConvertTo-Utc $_.Group[0].TimeCreated } }
}
"""
_STATUSES = re.compile(r"Status = (\d{1,10}) 0x[0-9a-fA-F]{1,8} ([A-Z0-9_]{3,80})")
_DC = re.compile(r"\\\\\S{1,255}")


def parse_domain(answer: Answer) -> Facts:
    r"""Return how the secure channel to the domain stands; raise NothingThere outside of domains and on their controllers.

    `nltest /sc_query` tells the last state without touching the channel (`/sc_verify` would build a new one). It ends its
    lines with the number and the constant of a Win32 error, whatever the language: `Trusted DC Connection Status Status = 5
    0x5 ERROR_ACCESS_DENIED` is a machine whose password the domain does not know.
    """
    sources = read("win.domain", answer)
    computer = sources["computer"].one()
    if not computer.flag("Joined"):
        raise NothingThere("win.domain", "membership in a domain")
    if computer.integer("Role") >= 4:
        raise NothingThere("win.domain", "a secure channel (it is a domain controller)")
    channel = sources["channel"].one()
    lines = channel.texts("Lines")
    statuses = [match for line in lines for match in _STATUSES.finditer(line)]
    if not statuses:
        raise SourceFailed("win.domain", "nltest", f"exit status {channel.integer('Exit')}: {' '.join(lines)[:120]}")
    wrong = next((match for match in statuses if match[1] != "0"), None)
    now = sources["clock"].one().moment("Now")
    controllers = [match[0].strip("\\") for line in lines if (match := _DC.search(line))]
    return {
        "domain": computer.text("Domain"),
        "controller": controllers[0] if controllers else "",
        "broken": wrong is not None,
        "error": wrong[2] if wrong else "",
        "refused": wrong is not None
        and wrong[2] in ("ERROR_ACCESS_DENIED", "ERROR_TRUST_FAILURE", "ERROR_TRUSTED_RELATIONSHIP_FAILURE"),
        "events": _domain_events(sources["events"], now),
        "at": channel.at,
    }


def _domain_events(source: Source, now: int) -> list[dict[str, Any]]:
    return [
        {
            "provider": one.text("Provider"),
            "event": one.integer("Id"),
            "count": one.integer("Count"),
            "last_age_s": max(0, now - one.moment("Last")),
            "at": one.at,
        }
        for one in source.events()
    ]


_POLICY = r"""
Ask computer { @{ Joined = (Get-CimInstance Win32_ComputerSystem).PartOfDomain } }
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask last {
    $k = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Group Policy\State\Machine\Extension-List'
    $k = "$k\{00000000-0000-0000-0000-000000000000}"
    if (Test-Path $k) {
        $p = Get-ItemProperty $k
        $t = ([int64]$p.startTimeHi -shl 32) -bor ([int64]$p.startTimeLo -band 4294967295)
        @{ Time = [DateTime]::FromFileTimeUtc($t).ToString('o'); Status = $p.Status }
    }
}
Ask events {
    Get-WinEvent -FilterHashtable @{ LogName = 'System'; ProviderName = 'Microsoft-Windows-GroupPolicy'
        Level = 1, 2; StartTime = (Get-Date).AddDays(-3) } -MaxEvents 300 |
    Group-Object Id | ForEach-Object {
        $e = $_.Group[0]
        @{ Id = $e.Id; Count = $_.Count; Last = ConvertTo-Utc $e.TimeCreated; Data = @($e.Properties |
                Select-Object -First 8 | ForEach-Object { $t = [string]$_.Value
                    $t.Substring(0, [Math]::Min(100, $t.Length)) }) } }
}
"""
_POLICY_MEANS = {
    1006: "no_bind",
    1030: "no_list",
    1053: "user_not_found",
    1054: "no_controller",
    1055: "computer_not_found",
    1058: "file_unreadable",
    1096: "registry_unreadable",
    1097: "clock_differs",
    1110: "no_permission",
    1129: "no_network",
}
"""Event numbers of Microsoft-Windows-GroupPolicy; others are an extension's."""


def parse_policy(answer: Answer) -> Facts:
    """Return when the machine's group policies were last applied, and what kept them from it in the last three days."""
    sources = read("win.policy", answer)
    if not sources["computer"].one().flag("Joined"):
        raise NothingThere("win.policy", "membership in a domain")
    now = sources["clock"].one().moment("Now")
    errors = [
        {
            "event": one.integer("Id"),
            "means": _POLICY_MEANS.get(one.integer("Id"), "extension"),
            "count": one.integer("Count"),
            "last_age_s": max(0, now - one.moment("Last")),
            "at": one.at,
        }
        for one in sources["events"].events()
    ]
    return {"errors": errors, **_applied(sources, now), "at": sources["events"].at}


def _applied(sources: Sources, now: int) -> dict[str, Any]:
    """Return how long ago policies were applied; nothing where that was never written down."""
    items = sources["last"].usable()
    return {"age_s": max(0, now - items[0].moment("Time"))} if items else {}


_TIME_QUESTION = question("win.time", _TIME)
_TIME_ASKS = Text("What time it is on the machine, and whether its clock is kept right")

PROBES: tuple[Probe, ...] = (
    Probe(
        question=_TIME_QUESTION,
        parse=parse_clock,
        summary="What time it is on the machine",
        shape={"utc_s": "int", "uptime_s": "int seconds", "joined": "bool", "at": "at"},
        name="win.clock",
        asks=_TIME_ASKS,
        platforms=PLATFORMS,
    ),
    Probe(
        question=_TIME_QUESTION,
        parse=parse_time,
        summary="Whether the time service keeps the clock right, and after whom",
        shape={
            "uptime_s": "int seconds",
            "joined": "bool",
            "running": "bool",
            "start": "str",
            "kind": "str",
            "servers": "str",
            "synchronized": "bool",
            "stratum": "int?",
            "source": "str",
            "offset_s": "float? seconds",
            "last_error": "int?",
            "since_s": "int? seconds",
            "at": "at",
        },
        name="win.time-service",
        asks=_TIME_ASKS,
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.domain", _DOMAIN, deadline_s=40, privilege=Privilege.ROOT),
        parse=parse_domain,
        summary="Whether the domain still knows this machine",
        shape={
            "domain": "str",
            "controller": "str",
            "broken": "bool",
            "error": "str",
            "refused": "bool",
            "events": [{"provider": "str", "event": "int", "count": "int", "last_age_s": "int seconds", "at": "at"}],
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.policy", _POLICY, deadline_s=20),
        parse=parse_policy,
        summary="When group policies were applied last, and what kept them from it",
        shape={
            "errors": [{"event": "int", "means": "str", "count": "int", "last_age_s": "int seconds", "at": "at"}],
            "age_s": "int? seconds",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
