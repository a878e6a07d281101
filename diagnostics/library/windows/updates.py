"""Windows Update: when something was installed last, what fails, who decides."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.windows.asking import PLATFORMS, Item, Sources, question, read
from diagnostics.probe import Facts, NothingThere, Probe
from remote.answer import Answer

_UPDATES = r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask packages {
    $k = 'SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages'
    $k = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($k)
    $f = @($k.GetSubKeyNames() | Where-Object { $_ -match '^Package_for_(RollupFix~|KB)' } | ForEach-Object {
        $p = $k.OpenSubKey($_)
        if ($p.GetValue('CurrentState') -eq 112) {
            $t = ([int64]$p.GetValue('InstallTimeHigh') -shl 32) -bor ([int64]$p.GetValue('InstallTimeLow') -band 4294967295)
            @{ Name = $_; Time = [DateTime]::FromFileTimeUtc($t).ToString('o') }
        }
    })
    $r = @($f | Where-Object { $_.Name -like 'Package_for_RollupFix~*' })
    if ($r.Count) { $f = $r }
    $f | Sort-Object { $_.Time } -Descending | Select-Object -First 5
}
Ask events {
    Get-WinEvent -FilterHashtable @{ LogName = 'System'; ProviderName = 'Microsoft-Windows-WindowsUpdateClient'
        Id = 19, 20; StartTime = (Get-Date).AddDays(-60) } -MaxEvents 1000 |
    ForEach-Object {
        $p = @($_.Properties | Select-Object -First 2 | ForEach-Object { $_.Value })
        $t = [string]$p[$_.Id - 19]
        @{ Id = $_.Id; Time = ConvertTo-Utc $_.TimeCreated; Code = if ($_.Id -eq 20) { '0x{0:X8}' -f $p[0] }
            Title = $t.Substring(0, [Math]::Min(160, $t.Length)) } } |
    Where-Object { $_.Title -notmatch 'KB(2267602|4052623|890830|2461484|915597)' } | Select-Object -First 60
}
Ask service { Get-CimInstance Win32_Service -Filter "Name='wuauserv'" | ForEach-Object {
        @{ Start = $_.StartMode; State = $_.State } } }
Ask policy {
    $k = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate'
    if (Test-Path $k) { $p = Get-ItemProperty $k; @{ Server = $p.WUServer } }
    if (Test-Path "$k\AU") { $a = Get-ItemProperty "$k\AU"; @{ UseServer = $a.UseWUServer; Off = $a.NoAutoUpdate
            Option = $a.AUOptions } }
}
"""
_KB = re.compile(r"KB\d{6,8}")
_CODE = re.compile(r"0x[0-9a-f]{8}")


def parse_updates(answer: Answer) -> Facts:
    """Return when an update of Windows was installed last, those that fail, and who decides about updates.

    Installed is what servicing itself noted: packages in the state 112 (installed) with their time, whatever brought
    them (Windows Update, WSUS, a file): the cumulative update (RollupFix), and only where Windows has none, as 2012 R2, the
    others by their KB numbers. The servicing stack comes by itself and mends nothing else. Failed are the
    WindowsUpdateClient events 20 since an update was last installed by 19, without those of virus signatures and the
    removal tool, which come by the day.
    """
    sources = read("win.updates", answer)
    now = sources["clock"].one().moment("Now")
    newest, package = _newest(sources["packages"].usable())
    events = sources["events"].events()
    return {
        "age_s": max(0, now - newest),
        "newest": package.text("Name").split("~", 1)[0].removeprefix("Package_for_"),
        "failing": _failing(events, now),
        **_decided(sources),
        "at": package.at,
    }


def _newest(packages: tuple[Item, ...]) -> tuple[int, Item]:
    """Return when that was installed which says how far Windows itself is, and what."""
    for kind in ("Package_for_RollupFix~", "Package_for_KB"):
        if found := [(one.moment("Time"), one) for one in packages if one.text("Name").startswith(kind)]:
            return max(found, key=lambda pair: pair[0])
    raise NothingThere("win.updates", "an installed update of Windows")


def _failing(events: tuple[Item, ...], now: int) -> list[dict[str, Any]]:
    """Return the updates that failed last and were not installed since; one is known by its KB number, else by its title."""
    found: dict[str, dict[str, Any]] = {}
    done: dict[str, int] = {}
    for one in events:
        if one.integer("Id") == 19:
            done[_update(one)] = max(done.get(_update(one), 0), one.moment("Time"))
    for one in events:
        update, when = _update(one), one.moment("Time")
        if one.integer("Id") != 20 or when <= done.get(update, 0):
            continue
        code = one.text("Code").lower()
        if not _CODE.fullmatch(code):
            raise one.odd("Code")
        known = found.setdefault(update, {"update": update, "code": code, "times": 0, "age_s": now - when, "at": one.at})
        known["times"] += 1
        if now - when < known["age_s"]:
            known |= {"code": code, "age_s": now - when, "at": one.at}
    return [one | {"age_s": max(0, one["age_s"])} for one in found.values()]


def _update(one: Item) -> str:
    title = one.text("Title")
    return match[0] if (match := _KB.search(title)) else title


def _decided(sources: Sources) -> dict[str, Any]:
    """Return whether Windows updates itself at all, and from where."""
    service = sources["service"].usable()
    policy = sources["policy"].usable()
    server = next((one.text("Server") for one in policy if one.has("Server")), "")
    uses = any(one.has("UseServer") and one.integer("UseServer") == 1 for one in policy)
    return {
        "disabled": any(one.text("Start") == "Disabled" for one in service),
        "not_automatic": any(one.has("Off") and one.integer("Off") == 1 for one in policy),
        "server": server if uses else "",
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.updates", _UPDATES, deadline_s=30),
        parse=parse_updates,
        summary="When Windows was updated last, and which updates fail",
        shape={
            "age_s": "int seconds",
            "newest": "str",
            "failing": [{"update": "str", "code": "str", "times": "int", "age_s": "int seconds", "at": "at"}],
            "disabled": "bool",
            "not_automatic": "bool",
            "server": "str",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
