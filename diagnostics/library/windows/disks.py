"""Drives with their free space, the disks below them, and what the event log says of both."""

from __future__ import annotations

from typing import Any, Final

from diagnostics.library.windows.asking import FULL, PLATFORMS, Item, full, question, read
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege

_DRIVES = r"""
Ask drives { Get-CimInstance Win32_LogicalDisk -Filter 'DriveType=3' | ForEach-Object {
        @{ Id = $_.DeviceID; System = $_.FileSystem; Size = $_.Size; Free = $_.FreeSpace; Label = $_.VolumeName
            Dirty = $_.VolumeDirty } } }
Ask system { @{ Drive = (Get-CimInstance Win32_OperatingSystem).SystemDrive } }
"""


def parse_drives(answer: Answer) -> Facts:
    r"""Return the drives with a letter and a file system; one that BitLocker keeps locked has none that could be seen.

    >>> from remote.answer import answered
    >>> facts = parse_drives(answered(
    ...     b'{"of":"drives","it":{"Id":"C:","System":"NTFS","Size":107374182400,"Free":2147483648,"Label":"","Dirty":false}}\n'
    ...     b'{"of":"drives","it":{"Id":"E:","System":null,"Size":null,"Free":null,"Label":null,"Dirty":null}}\n'
    ...     b'{"of":"drives","ended":"ok","count":2}\n'
    ...     b'{"of":"system","it":{"Drive":"C:"}}\n{"of":"system","ended":"ok","count":1}\n'))
    >>> [(one["drive"], one["used_percent"], one["system"]) for one in facts["drives"]]
    [('C:', 98.0, True)]
    """
    sources = read("win.drives", answer)
    items, system = sources["drives"].usable(), sources["system"].one().text("Drive")
    if not items:
        raise ParseError("win.drives", b"a Windows without a drive")
    return {"drives": [_drive(one, system) for one in items if one.has("System") and one.text("System")]}


def _drive(one: Item, system: str) -> dict[str, Any]:
    size, free = one.integer("Size"), one.integer("Free")
    if not 0 <= free <= size or not size:
        raise one.odd("Free")
    return {
        "drive": one.text("Id"),
        "label": one.text("Label") if one.has("Label") else "",
        "file_system": one.text("System"),
        "size_bytes": size,
        "available_bytes": free,
        "used_percent": round(100 * (size - free) / size, 1),
        "system": one.text("Id").upper() == system.upper(),
        **one.maybe(dirty=(one.flag, "Dirty")),
        "at": one.at,
    }


_DISKS = r"""
Ask disks {
    Get-PhysicalDisk | ForEach-Object {
        $d = $_
        $c = try { $d | Get-StorageReliabilityCounter } catch { $null }
        @{ Name = $d.FriendlyName; Serial = $d.SerialNumber; Number = $d.DeviceId
            Health = $d.CimInstanceProperties['HealthStatus'].Value
            States = @($d.CimInstanceProperties['OperationalStatus'].Value); Counted = $null -ne $c
            Wear = $c.Wear; Heat = $c.Temperature; ReadErrors = $c.ReadErrorsUncorrected
            WriteErrors = $c.WriteErrorsUncorrected; Hours = $c.PowerOnHours } }
}
Ask predictions { Get-CimInstance -Namespace root\wmi MSStorageDriver_FailurePredictStatus |
    ForEach-Object { @{ Disk = $_.InstanceName; Fails = $_.PredictFailure; Reason = $_.Reason } } }
"""
_HEALTH = {0: "healthy", 1: "warning", 2: "unhealthy", 5: "unknown"}
"""HealthStatus of MSFT_PhysicalDisk."""
_FAILING = 5
"""OperationalStatus: Predictive Failure."""
_STATES = {6: "error", 7: "error", 12: "no_contact", 13: "lost_communication", 0xD002: "failed_media", 0xD005: "io_error"}
"""OperationalStatus of MSFT_PhysicalDisk: the states of a disk that does not do what it should."""
_NOT_SUPPORTED = "HRESULT 0x8004100c"


def parse_disks(answer: Answer) -> Facts:
    """Return the physical disks with what they and Windows say of their health; raise NothingThere where there are none.

    Behind RAID controllers and hypervisors disks have no counters of their own (`counted` false). A disk that says itself
    that it will fail, through the older interface (MSStorageDriver_FailurePredictStatus), is one more where no disk is
    known to fail: the two name disks differently. `health` is left out where Windows does not know it.
    """
    sources = read("win.disks", answer)
    items = sources["disks"].usable("a list of physical disks")
    predictions = sources["predictions"]
    predicted = () if predictions.absent(_NOT_SUPPORTED) else predictions.usable()
    disks = [_disk(one) for one in items]
    if not any(one["failing"] for one in disks):
        disks += [_predicted(one) for one in predicted if one.flag("Fails")]
    if not disks:
        raise NothingThere("win.disks", "a physical disk")
    return {"disks": disks}


def _predicted(one: Item) -> dict[str, Any]:
    known = {"number": "", "failing": True, "state": "", "counted": False}
    return {"disk": one.text("Disk"), **known, "at": one.at}


def _disk(one: Item) -> dict[str, Any]:
    serial = one.text("Serial") if one.has("Serial") else ""
    health, states = one.choice("Health", _HEALTH), one.integers("States")
    return {
        "disk": f"{one.text('Name')} ({serial})" if serial else one.text("Name"),
        "number": one.text("Number") if one.has("Number") else "",
        **({"health": health} if health != "unknown" else {}),
        "failing": _FAILING in states,
        "state": next((_STATES[state] for state in states if state in _STATES), ""),
        "counted": one.flag("Counted"),
        **one.maybe(
            worn_percent=(one.integer, "Wear"),
            celsius=(one.integer, "Heat"),
            read_errors=(one.integer, "ReadErrors"),
            write_errors=(one.integer, "WriteErrors"),
        ),
        "at": one.at,
    }


DISK_EVENTS: Final = {
    7: "bad_block",
    11: "controller_error",
    15: "not_ready",
    51: "paging_error",
    52: "failure_predicted",
    55: "file_system_damaged",
    129: "reset",
    153: "retried",
    154: "hardware_error",
    157: "removed",
}
DISK_PROVIDERS: Final = (
    "disk",
    "Ntfs",
    "Microsoft-Windows-Ntfs",
    "storahci",
    "stornvme",
    "iaStorA",
    "iaStorAC",
    "iaStorAVC",
    "LSI_SAS",
    "vhdmp",
    "atapi",
)
"""Who writes them: drivers of disks and their controllers, and the file system."""
_DISK_EVENTS = (
    r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask events {
    $e = @(Get-WinEvent -FilterHashtable @{ LogName = 'System'; Id = NUMBERS
        Level = 1, 2, 3; StartTime = (Get-Date).AddDays(-7) } -MaxEvents 3000)
    $g = @($e | Where-Object { $_.ProviderName -in PROVIDERS } |
    ForEach-Object { @{ Key = "$($_.ProviderName)|$($_.Id)|$(@($_.Properties)[0].Value)"
            Time = $_.TimeCreated } } |
    Group-Object { $_.Key })
    $global:full = $e.Count -ge 3000 -or $g.Count -gt 40
    $g | Select-Object -First 40 | ForEach-Object {
        $t = @($_.Group | ForEach-Object { $_.Time } | Sort-Object)
        @{ Key = $_.Name; Count = $_.Count; First = ConvertTo-Utc $t[0]; Last = ConvertTo-Utc $t[-1] } }
}
""".replace("NUMBERS", ", ".join(map(str, DISK_EVENTS))).replace("PROVIDERS", ", ".join(f"'{name}'" for name in DISK_PROVIDERS))
    + FULL
)
_SLOW = frozenset({"reset", "retried"})
"""What also comes of an overloaded storage, and does no harm by itself: repeats count."""


def parse_disk_events(answer: Answer) -> Facts:
    """Return the errors of disks and file systems in the System log of the last 7 days, by what and where.

    The number of an event says what it means (disk.sys, Ntfs, storahci and others of their kind), its first value where:
    a device of the kernel or a drive.
    """
    sources = read("win.disk-events", answer)
    now = sources["clock"].one().moment("Now")
    errors = [_event(one, now) for one in sources["events"].events()]
    return {"errors": errors, "full": full(sources), "at": sources["events"].at}


def _event(one: Item, now: int) -> dict[str, Any]:
    provider, _, rest = one.text("Key").partition("|")
    number, _, device = rest.partition("|")
    if not number.isdecimal() or int(number) not in DISK_EVENTS:
        raise one.odd("Key")
    means = DISK_EVENTS[int(number)]
    return {
        "provider": provider,
        "event": int(number),
        "means": means,
        "device": device[:120],
        "count": one.integer("Count"),
        "first_age_s": max(0, now - one.moment("First")),
        "last_age_s": max(0, now - one.moment("Last")),
        "slow_only": means in _SLOW,
        "at": one.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.drives", _DRIVES),
        parse=parse_drives,
        summary="Free space on every drive with a letter",
        shape={
            "drives": [
                {
                    "drive": "str",
                    "label": "str",
                    "file_system": "str",
                    "size_bytes": "int bytes",
                    "available_bytes": "int bytes",
                    "used_percent": "float percent",
                    "system": "bool",
                    "dirty": "bool?",
                    "at": "at",
                }
            ]
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.disks", _DISKS, deadline_s=30, privilege=Privilege.ROOT),
        parse=parse_disks,
        summary="What the physical disks say of their health",
        shape={
            "disks": [
                {
                    "disk": "str",
                    "number": "str",
                    "health": "str?",
                    "failing": "bool",
                    "state": "str",
                    "counted": "bool",
                    "worn_percent": "int? percent",
                    "celsius": "int?",
                    "read_errors": "int?",
                    "write_errors": "int?",
                    "at": "at",
                }
            ]
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.disk-events", _DISK_EVENTS, deadline_s=20),
        parse=parse_disk_events,
        summary="Errors of disks and file systems in the event log",
        shape={
            "errors": [
                {
                    "provider": "str",
                    "event": "int",
                    "means": "str",
                    "device": "str",
                    "count": "int",
                    "first_age_s": "int seconds",
                    "last_age_s": "int seconds",
                    "slow_only": "bool",
                    "at": "at",
                }
            ],
            "full": "bool",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
