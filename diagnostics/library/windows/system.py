"""What the machine is and how it does: Windows and its build, since when it runs, memory, commit, processors."""

from __future__ import annotations

from diagnostics.library.windows.asking import PLATFORMS, Source, question, read, strings
from diagnostics.parsing import INT64
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer

_SYSTEM = r"""
Ask system {
    $o = Get-CimInstance Win32_OperatingSystem
    @{ Caption = $o.Caption; Version = $o.Version; Product = [int]$o.ProductType; Language = [int]$o.OSLanguage
        Booted = ConvertTo-Utc $o.LastBootUpTime; Now = ConvertTo-Utc (Get-Date); Drive = $o.SystemDrive
        TotalKB = $o.TotalVisibleMemorySize; FreeKB = $o.FreePhysicalMemory
        LimitKB = $o.TotalVirtualMemorySize; LeftKB = $o.FreeVirtualMemory }
}
Ask release {
    $v = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    @{ Revision = $v.UBR; Display = $v.DisplayVersion; Edition = $v.EditionID }
}
Ask computer {
    $c = Get-CimInstance Win32_ComputerSystem
    @{ Maker = $c.Manufacturer; Model = $c.Model; Memory = $c.TotalPhysicalMemory
        Mobile = [int]$c.PCSystemType -eq 2
        Processors = $c.NumberOfLogicalProcessors; Joined = $c.PartOfDomain; Domain = $c.Domain
        Role = [int]$c.DomainRole }
}
Ask pagefiles { Get-CimInstance Win32_PageFileUsage | ForEach-Object { @{ Name = $_.Name
            AllocatedMB = $_.AllocatedBaseSize; UsedMB = $_.CurrentUsage } } }
"""
_LOAD = r"""
Ask processors {
    Get-CimInstance Win32_PerfRawData_PerfOS_Processor -Filter "Name='_Total'" | ForEach-Object {
        @{ Idle = $_.PercentProcessorTime; Ticks = $_.Timestamp_Sys100NS; Processors = [Environment]::ProcessorCount
            Own = [Diagnostics.Process]::GetCurrentProcess().TotalProcessorTime.Ticks } }
}
Ask queue { Get-CimInstance Win32_PerfRawData_PerfOS_System | ForEach-Object {
        @{ Waiting = $_.ProcessorQueueLength } } }
Ask processes {
    Get-CimInstance Win32_Process | Where-Object { $_.ProcessId -gt 4 } | ForEach-Object {
        @{ Id = $_.ProcessId; Name = $_.Name; Spent = $_.KernelModeTime + $_.UserModeTime } } | Where-Object {
        $_.Spent -gt 10000000 }
}
"""
_PROVES_TICKS = 20_000_000
"""Two seconds in 100 ns: what a shorter window shows may have been the login."""
KIB = 1024


def parse_system(answer: Answer) -> Facts:
    r"""Return what Windows it is, since when it runs, and its memory (Win32_OperatingSystem counts in KiB).

    `commit_*` is memory that was promised (RAM and page files together): at its limit every program is refused more.

    >>> from remote.answer import answered
    >>> facts = parse_system(answered(
    ...     b'{"of":"system","it":{"Caption":"Microsoft Windows Server 2019 Standard","Version":"10.0.17763","Product":3,'
    ...     b'"Language":1033,"Booted":"2026-11-22T08:00:00.5000000Z","Now":"2026-11-22T10:00:00.0000000Z","Drive":"C:",'
    ...     b'"TotalKB":8388148,"FreeKB":838814,"LimitKB":9699000,"LeftKB":2909700}}\n'
    ...     b'{"of":"system","ended":"ok","count":1}\n'
    ...     b'{"of":"release","it":{"Revision":5122,"Display":null,"Edition":"ServerStandard"}}\n'
    ...     b'{"of":"release","ended":"ok","count":1}\n'
    ...     b'{"of":"computer","it":{"Maker":"VMware, Inc.","Model":"VMware7,1","Memory":8589463552,"Mobile":false,'
    ...     b'"Processors":4,"Joined":true,"Domain":"nord.example","Role":3}}\n{"of":"computer","ended":"ok","count":1}\n'
    ...     b'{"of":"pagefiles","ended":"ok","count":0}\n'))
    >>> facts["build"], facts["uptime_s"], facts["available_percent"], facts["commit_used_percent"]
    ('10.0.17763.5122', 7200, 10.0, 70.0)
    """
    sources = read("win.system", answer)
    system, computer, release = sources["system"].one(), sources["computer"].one(), sources["release"].one()
    total, free = system.integer("TotalKB"), system.integer("FreeKB")
    limit, left = system.integer("LimitKB"), system.integer("LeftKB")
    booted, now = system.moment("Booted"), system.moment("Now")
    if not 0 <= free <= total or not 0 <= left <= limit or not total:
        raise ParseError("win.system", f"{free} of {total} KB, {left} of {limit} KB".encode())
    revision = f".{release.integer('Revision')}" if release.has("Revision") else ""
    return {
        "name": system.text("Caption"),
        "build": system.text("Version") + revision,
        **release.maybe(release=(release.text, "Display")),
        "server": system.choice("Product", {1: "workstation", 2: "controller", 3: "server"}) != "workstation",
        "language": system.integer("Language"),
        "uptime_s": max(0, now - booted),
        "system_drive": system.text("Drive"),
        "maker": computer.text("Maker"),
        "model": computer.text("Model"),
        "mobile": computer.flag("Mobile"),
        "processors": computer.integer("Processors"),
        "joined": computer.flag("Joined"),
        "domain": computer.text("Domain") if computer.flag("Joined") else "",
        "total_bytes": total * KIB,
        "available_bytes": free * KIB,
        "available_percent": round(100 * free / total, 1),
        "commit_limit_bytes": limit * KIB,
        "commit_used_percent": round(100 * (limit - left) / limit, 1) if limit else 0.0,
        "page_files_bytes": sum(one.integer("AllocatedMB") for one in sources["pagefiles"].usable()) * KIB * KIB,
        "at": system.at,
    }


def parse_load(before: Answer, after: Answer) -> Facts:
    """Return how busy the processors were between two samples, without what our own process took, and who waited.

    `proven_busy_percent` is the same, where the window is long enough to prove something.

    PercentProcessorTime of the raw counter is the time that the idle threads ran, in 100 ns, as the mean of all processors
    (PERF_100NSEC_TIMER_INV); `queue_per_processor` is the smaller of both samples of those ready to run. `busiest` names
    the programs that ran most, in percent of one processor.
    """
    earlier, later = read("win.load.first", before), read("win.load", after)
    first, last = earlier["processors"].one(), later["processors"].one()
    ticks = last.integer("Ticks") - first.integer("Ticks")
    processors = last.integer("Processors")
    idle = last.integer("Idle") - first.integer("Idle")
    own = last.integer("Own") - first.integer("Own")
    if ticks <= 0 or processors < 1 or idle < 0 or own < 0 or ticks not in INT64:
        raise ParseError("win.load", f"{idle} idle and {own} own of {ticks} ticks".encode())
    busy = 100 * (1 - idle / ticks) - 100 * own / (ticks * processors)
    waiting = min(_waiting(earlier["queue"]), _waiting(later["queue"]))
    busy_percent = round(min(100.0, max(0.0, busy)), 1)
    return {
        "window_s": round(ticks / 1e7, 1),
        "busy_percent": busy_percent,
        **({"proven_busy_percent": busy_percent} if ticks >= _PROVES_TICKS else {}),
        "processors": processors,
        "queue_per_processor": round(waiting / processors, 2),
        "busiest": strings(_busiest(earlier["processes"], later["processes"], ticks), most=3),
        "at": last.at,
    }


def _waiting(source: Source) -> int:
    return source.one().integer("Waiting")


def _busiest(before: Source, after: Source, ticks: int) -> list[str]:
    """Return the programs that took more than a tenth of a processor between the samples, the busiest first."""
    spent = {(one.integer("Id"), one.text("Name")): one.integer("Spent") for one in before.usable()}
    shares: list[tuple[float, str]] = []
    for one in after.usable():
        name = one.text("Name")
        share = 100 * (one.integer("Spent") - spent.get((one.integer("Id"), name), 0)) / ticks
        if share > 10 and (one.integer("Id"), name) in spent:
            shares.append((share, name))
    return [f"{name} {share:.0f} %" for share, name in sorted(shares, reverse=True)]


_DEVICES = r"""
Ask devices { Get-CimInstance Win32_PnPEntity -Filter 'ConfigManagerErrorCode<>0' | ForEach-Object {
        @{ Name = $_.Name; Code = [int]$_.ConfigManagerErrorCode; Id = $_.PNPDeviceID } } }
"""
_NOT_ILL = frozenset({22, 24, 45, 46, 47, 54})
"""Problem codes that are a wish or pass: disabled by a person, not there, unplugged, shutting down, to be removed, restarting
(Device Manager's CM_PROB_* codes)."""


def parse_devices(answer: Answer) -> Facts:
    """Return the devices that Device Manager marks, with its problem code."""
    items = read("win.devices", answer)["devices"].usable()
    return {
        "ill": [
            {
                "name": one.text("Name") if one.has("Name") else one.text("Id"),
                "id": one.text("Id"),
                "code": one.integer("Code"),
                "at": one.at,
            }
            for one in items
            if one.integer("Code") not in _NOT_ILL
        ]
    }


_LICENCE = r"""
Ask edition { @{ Edition = (Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion').EditionID } }
Ask products {
    $f = "ApplicationID='55c92734-d682-4d71-983e-d6ec3f16059f' AND PartialProductKey IS NOT NULL"
    Get-CimInstance SoftwareLicensingProduct -Filter $f |
    ForEach-Object { @{ Name = $_.Name; Status = [int]$_.LicenseStatus; Minutes = $_.GracePeriodRemaining
            Channel = $_.ProductKeyChannel; Family = $_.LicenseFamily; Addon = $_.LicenseIsAddon } }
}
"""
_STATUS = {0: "unlicensed", 1: "licensed", 2: "grace", 3: "grace", 4: "not_genuine", 5: "notification", 6: "grace"}
"""LicenseStatus of SoftwareLicensingProduct."""


def parse_licence(answer: Answer) -> Facts:
    """Return how Windows is licensed; `days_left` where it must be renewed (KMS, evaluation), from GracePeriodRemaining.

    Add-ons (extended security updates) have licences of their own under the same application, and an edition that was
    upgraded may leave its own behind: what counts is the licence of the edition that runs, where one names it.
    """
    sources = read("win.licence", answer)
    edition = sources["edition"].one()
    runs = edition.text("Edition").lower() if edition.has("Edition") else ""
    items = [one for one in sources["products"].usable() if not (one.has("Addon") and one.flag("Addon"))]
    if not items:
        raise NothingThere("win.licence", "a product key of Windows")
    items = [one for one in items if one.has("Family") and one.text("Family").lower() == runs] or items
    one = next((item for item in items if item.integer("Status") == 1), items[0])
    minutes = one.integer("Minutes") if one.has("Minutes") else 0
    return {
        "name": one.text("Name"),
        "status": one.choice("Status", _STATUS),
        "channel": one.text("Channel") if one.has("Channel") else "",
        **({"days_left": minutes // 1440} if minutes else {}),
        "at": one.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.system", _SYSTEM),
        parse=parse_system,
        summary="Which Windows it is, since when it runs, its memory and how much of it is promised",
        shape={
            "name": "str",
            "build": "str",
            "release": "str?",
            "server": "bool",
            "language": "int",
            "uptime_s": "int seconds",
            "system_drive": "str",
            "maker": "str",
            "model": "str",
            "mobile": "bool",
            "processors": "int",
            "joined": "bool",
            "domain": "str",
            "total_bytes": "int bytes",
            "available_bytes": "int bytes",
            "available_percent": "float percent",
            "commit_limit_bytes": "int bytes",
            "commit_used_percent": "float percent",
            "page_files_bytes": "int bytes",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.load", _LOAD, max_bytes=128 * 1024),
        parse=parse_load,
        summary="How busy the processors are while the host is asked, and with what",
        shape={
            "window_s": "float seconds",
            "busy_percent": "float percent",
            "proven_busy_percent": "float? percent",
            "processors": "int",
            "queue_per_processor": "float",
            "busiest": "str",
            "at": "at",
        },
        first=question("win.load.first", _LOAD, max_bytes=128 * 1024),
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.devices", _DEVICES),
        parse=parse_devices,
        summary="The devices that do not work",
        shape={"ill": [{"name": "str", "id": "str", "code": "int", "at": "at"}]},
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.licence", _LICENCE, deadline_s=25),
        parse=parse_licence,
        summary="How Windows is licensed",
        shape={"name": "str", "status": "str", "channel": "str", "days_left": "int? days", "at": "at"},
        platforms=PLATFORMS,
    ),
)
