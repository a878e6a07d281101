"""Restarts: shutdowns that nobody asked for, stop errors, and whether Windows waits for a restart."""

from __future__ import annotations

from typing import Any

from diagnostics.library.windows.asking import FULL, PLATFORMS, Item, full, question, read
from diagnostics.probe import Facts, Probe
from remote.answer import Answer

_BOOTS = (
    r"""
Ask clock { $o = Get-CimInstance Win32_OperatingSystem; @{ Now = ConvertTo-Utc (Get-Date)
        Booted = ConvertTo-Utc $o.LastBootUpTime } }
Ask events {
    $x = "*[System[((Provider[@Name='Microsoft-Windows-Kernel-Power'] and EventID=41) or " +
        "(Provider[@Name='Microsoft-Windows-WER-SystemErrorReporting'] and EventID=1001) or " +
        "(Provider[@Name='EventLog'] and EventID=6008)) and TimeCreated[timediff(@SystemTime) <= 2592000000]]]"
    $e = @(Get-WinEvent -LogName System -FilterXPath $x -MaxEvents 61)
    $global:full = $e.Count -gt 60
    $e | Select-Object -First 60 | ForEach-Object {
        @{ Id = $_.Id; Provider = $_.ProviderName; Time = ConvertTo-Utc $_.TimeCreated
            Data = @($_.Properties | Select-Object -First 6 | ForEach-Object { $t = [string]$_.Value
                    $t.Substring(0, [Math]::Min(200, $t.Length)) }) } }
}
Ask-Admin dumps {
    $p = Join-Path $env:SystemRoot Minidump
    if (Test-Path -LiteralPath $p) { Get-ChildItem -LiteralPath $p -Filter *.dmp |
        Sort-Object LastWriteTime -Descending | Select-Object -First 10 |
        ForEach-Object { @{ Path = $_.FullName; Time = ConvertTo-Utc $_.LastWriteTime } } }
}
"""
    + FULL
)
_SAME_S = 900
"""How far apart the records of one crash are written: the dump is reported once Windows is up again."""


def parse_boots(answer: Answer) -> Facts:
    """Return the shutdowns that nobody asked for, and the stop errors, of the last 30 days, by the machine's own clock.

    Kernel-Power 41 says at the next start that Windows was not shut down; its first value is the stop code, 0 where power
    was cut or the machine hung, the seventh when the power button was held. EventLog 6008 says the same and counts where
    41 is missing. WER-SystemErrorReporting 1001 has the stop code, with its parameters, and the dump's path.
    """
    sources = read("win.boots", answer)
    clock = sources["clock"].one()
    now = clock.moment("Now")
    events = sources["events"].events()
    stops = [_stop(one, now) for one in events if _is(one, "Microsoft-Windows-WER-SystemErrorReporting", 1001)]
    sudden = [_sudden(one, now) for one in events if _is(one, "Microsoft-Windows-Kernel-Power", 41)]
    told = [one["age_s"] for one in sudden]
    for one in events:
        age = now - one.moment("Time")
        if _is(one, "EventLog", 6008) and not any(abs(age - other) < _SAME_S for other in told):
            sudden.append({"age_s": max(0, age), "stop_code": "", "at": one.at})
    dumps = sources["dumps"]
    return {
        "uptime_s": max(0, now - clock.moment("Booted")),
        "sudden": sorted(sudden, key=lambda one: int(one["age_s"])),
        "full": full(sources),
        "stops": sorted(stops, key=lambda one: int(one["age_s"])),
        **({"dumps": len(dumps.items)} if dumps.ended == "ok" else {}),
        "at": sources["events"].at,
    }


def _is(event: Item, provider: str, number: int) -> bool:
    return event.integer("Id") == number and event.text("Provider") == provider


def _sudden(event: Item, now: int) -> dict[str, Any]:
    code = next(iter(event.texts("Data")), "0")
    if not code.isdecimal():
        raise event.odd("Data")
    stop = f"0x{int(code):08x}" if int(code) else ""
    return {"age_s": max(0, now - event.moment("Time")), "stop_code": stop, "at": event.at}


def _stop(event: Item, now: int) -> dict[str, Any]:
    """Return a stop error: `0x0000009f (0x0000000000000003, …)`, the path of its dump, an id."""
    code, _, parameters = next(iter(event.texts("Data")), "").partition(" ")
    if not code.startswith("0x"):
        raise event.odd("Data")
    dump = event.texts("Data")[1] if len(event.texts("Data")) > 1 else ""
    return {
        "age_s": max(0, now - event.moment("Time")),
        "code": code.lower(),
        "parameters": parameters.strip("()"),
        "dump": dump,
        "at": event.at,
    }


_REBOOT = r"""
Ask clock { $o = Get-CimInstance Win32_OperatingSystem; @{ Now = ConvertTo-Utc (Get-Date)
        Booted = ConvertTo-Utc $o.LastBootUpTime } }
Ask servicing { @{ Pending = Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending'
        Running = Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootInProgress' } }
Ask update {
    @{ Pending = Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired' }
}
Ask renames {
    $m = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
    $r = @($m.PendingFileRenameOperations | Where-Object { $_ })
    @{ Count = $r.Count; Files = @($r | Select-Object -First 5) }
}
Ask name {
    $k = 'HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName'
    @{ Active = (Get-ItemProperty "$k\ActiveComputerName").ComputerName
        Next = (Get-ItemProperty "$k\ComputerName").ComputerName }
}
Ask join { $n = Get-Item 'HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon'
    @{ Pending = @($n.GetValueNames() | Where-Object { $_ -in 'JoinDomain', 'AvoidSpnSet' }).Count -gt 0 } }
Ask manager {
    $m = Invoke-CimMethod -Namespace root\ccm\ClientSDK -ClassName CCM_ClientUtilities -MethodName DetermineIfRebootPending
    @{ Pending = [bool]$m.RebootPending -or [bool]$m.IsHardRebootPending }
}
"""


def parse_reboot(answer: Answer) -> Facts:
    """Return why Windows waits for a reboot: servicing, update, rename, join, manager (Configuration Manager).

    Files that are renamed at the next start (`renames`) are no reason by themselves: printers and virus scanners leave
    such requests behind all the time.
    """
    sources = read("win.reboot", answer)
    clock, name = sources["clock"].one(), sources["name"].one()
    manager = sources["manager"]
    pending = {
        "servicing": sources["servicing"].one().flag("Pending"),
        "update": sources["update"].one().flag("Pending"),
        "rename": name.text("Active").lower() != name.text("Next").lower(),
        "join": sources["join"].one().flag("Pending"),
        "manager": False if manager.absent() else manager.one().flag("Pending"),
    }
    places = {"rename": sources["name"].at, "update": sources["update"].at, "join": sources["join"].at, "manager": manager.at}
    return {
        "reasons": [reason for reason, waits in pending.items() if waits],
        "why": ", ".join(reason for reason, waits in pending.items() if waits),
        "renames": sources["renames"].one().integer("Count"),
        "uptime_s": max(0, clock.moment("Now") - clock.moment("Booted")),
        "at": [places.get(reason, sources["servicing"].at) for reason, waits in pending.items() if waits]
        or [sources["servicing"].at],
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.boots", _BOOTS, deadline_s=20),
        parse=parse_boots,
        summary="Shutdowns that nobody asked for and stop errors of the last 30 days",
        shape={
            "uptime_s": "int seconds",
            "full": "bool",
            "sudden": [{"age_s": "int seconds", "stop_code": "str", "at": "at"}],
            "stops": [{"age_s": "int seconds", "code": "str", "parameters": "str", "dump": "str", "at": "at"}],
            "dumps": "int?",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.reboot", _REBOOT),
        parse=parse_reboot,
        summary="Whether Windows waits for a reboot, and why",
        shape={"reasons": ["str"], "why": "str", "renames": "int", "uptime_s": "int seconds", "at": ["at"]},
        platforms=PLATFORMS,
    ),
)
