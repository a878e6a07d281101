"""Services: the automatic ones that do not run, the expected ones, and who listens on which port."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from diagnostics.library.windows.asking import PLATFORMS, Item, Sources, question, read
from diagnostics.parsing import at
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege

_SERVICES = r"""
$wanted = @($services -split ' ' | Where-Object { $_ })
Ask expected { $wanted | ForEach-Object { @{ Name = $_ } } }
Ask services {
    Get-CimInstance Win32_Service | Where-Object {
        ($_.StartMode -eq 'Auto' -and $_.State -ne 'Running') -or $wanted -contains $_.Name } | ForEach-Object {
        $k = "HKLM:\SYSTEM\CurrentControlSet\Services\$($_.Name)"
        $r = try { Get-ItemProperty -LiteralPath $k } catch { $null }
        @{ Name = $_.Name; Shown = $_.DisplayName; State = $_.State; Start = $_.StartMode; Exit = $_.ExitCode
            Own = $_.ServiceSpecificExitCode
            Seen = $null -ne $r; Delayed = [int]$r.DelayedAutostart -eq 1
            Trigger = Test-Path -LiteralPath "$k\TriggerInfo" } }
}
"""
_NEVER_TRIED = 1077
"""ERROR_SERVICE_NEVER_STARTED: nobody tried since the boot."""
_OWN_CODE = 1066
"""ERROR_SERVICE_SPECIFIC_ERROR: the service's own number says more."""
_INNOCENT = (
    "BITS",
    "CDPSvc",
    "CDPUserSvc_*",
    "clr_optimization_*",
    "DoSvc",
    "dbupdate",
    "edgeupdate",
    "GISvc",
    "GoogleUpdater*Service*",
    "gupdate",
    "IaasVmProvider",
    "MapsBroker",
    "OneSyncSvc_*",
    "RemoteRegistry",
    "ShellHWDetection",
    "smphost",
    "spectrum",
    "sppsvc",
    "stisvc",
    "SysmonLog",
    "tiledatamodelsvc",
    "TrustedInstaller",
    "UALSVC",
    "UsoSvc",
    "WaaSMedicSvc",
    "WbioSrvc",
    "WpnUserService_*",
)
"""Services of Windows and of updaters that start automatically, do their work and end by themselves."""
_PORTS = {
    "dhcpserver": ("udp/67",),
    "dns": ("tcp/53", "udp/53"),
    "kdc": ("tcp/88",),
    "ldap": ("tcp/389",),
    "lanmanserver": ("tcp/445",),
    "mssqlserver": ("tcp/1433",),
    "ntds": ("tcp/389", "tcp/636"),
    "smtpsvc": ("tcp/25",),
    "sshd": ("tcp/22",),
    "termservice": ("tcp/3389",),
    "w3svc": ("tcp/80", "tcp/443"),
    "winrm": ("tcp/5985", "tcp/5986"),
}
"""Where services listen by default: a hint for causes, no proof."""


def parse_services(answer: Answer) -> Facts:
    r"""Return the automatic services that do not run, with why that may be well, and how each expected one stands.

    `innocent` is why a service means nothing that is stopped and ended in order, or never began: `trigger` (started by an
    event), `delayed` (ended well, started late), `not_yet` (is started late, and was not tried), `by_itself` (known to end);
    "" for all others, and for each that failed, hangs or is paused. `exit_code` 0 is a service that somebody stopped, or that
    ended in order. Command lines are not asked for: people write passwords there.

    >>> from remote.answer import answered
    >>> row = '{"of":"services","it":{"Name":"Spooler","Shown":"Диспетчер печати","State":"Stopped","Start":"Auto","Exit":0,'
    >>> row += '"Own":0,"Seen":true,"Delayed":false,"Trigger":false}}'
    >>> facts = parse_services(answered((
    ...     '{"of":"expected","it":{"Name":"spooler"}}\n{"of":"expected","ended":"ok","count":1}\n' + row
    ...     + '\n{"of":"services","ended":"ok","count":1}\n').encode()))
    >>> facts["stopped"][0]["innocent"], facts["expected"][0]["running"]
    ('', False)
    """
    sources = read("win.services", answer)
    items = sources["services"].usable()
    stopped = [_stopped(one) for one in items if one.text("Start") == "Auto" and one.text("State") != "Running"]
    by_name = {one.text("Name").lower(): one for one in items}
    end = sources["services"].end.line
    names = [one.text("Name") for one in sources["expected"].usable()]
    return {"stopped": stopped, "expected": [_expected(name, by_name.get(name.lower()), end) for name in names]}


def _stopped(one: Item) -> dict[str, Any]:
    code = one.integer("Exit")
    return {
        "service": one.text("Name"),
        "name": _shown(one),
        "state": one.text("State").lower(),
        "exit_code": one.integer("Own") if code == _OWN_CODE else code,
        "never_tried": code == _NEVER_TRIED,
        "innocent": _innocent(one),
        "at": one.at,
    }


def _shown(one: Item) -> str:
    return one.text("Shown") if one.has("Shown") and one.text("Shown") else one.text("Name")


_PASSING = ("Start Pending", "Stop Pending")
"""States in which a service that comes and goes is now and then."""


def _innocent(one: Item) -> str:
    code, name, state = one.integer("Exit"), one.text("Name").lower(), one.text("State")
    passing = state in _PASSING
    if re.search(r"_[0-9a-f]{5,8}$", name) and (passing or state == "Stopped"):  # of one user's session, with which it ends
        return "by_itself"
    if not passing and (state != "Stopped" or code not in (0, _NEVER_TRIED)):
        return ""
    if any(fnmatchcase(name, pattern.lower()) for pattern in _INNOCENT):
        return "by_itself"
    if one.flag("Trigger"):
        return "trigger"
    if one.flag("Delayed") and not passing:
        return "not_yet" if code == _NEVER_TRIED else "delayed"
    return ""


def _expected(name: str, found: Item | None, end: int) -> dict[str, Any]:
    if found is None:
        shown = {"name": name, "installed": False, "running": False, "state": "", "start": "", "exit_code": 0}
        return {"service": name, **shown, "usual_ports": [], "at": at("win.services", end)}
    return {
        "service": name,
        "name": _shown(found),
        "installed": True,
        "running": found.text("State") == "Running",
        "state": found.text("State").lower(),
        "start": found.text("Start").lower(),
        "exit_code": found.integer("Exit"),
        "usual_ports": list(_PORTS.get(name.lower(), ())),
        "at": found.at,
    }


_LISTENING = r"""
$n = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
Ask tcp { $n.GetActiveTcpListeners() | ForEach-Object { @{ Port = $_.Port; Address = [string]$_.Address } } }
Ask udp { $n.GetActiveUdpListeners() | Where-Object { $_.Port -lt 49152 } | ForEach-Object { @{ Port = $_.Port
            Address = [string]$_.Address } } }
"""


def parse_listening(answer: Answer) -> Facts:
    """Return the ports on which this host listens, once each, and whether only it can reach them."""
    sources = read("win.listening", answer)
    tcp, udp = sources["tcp"].usable(), sources["udp"].usable()
    if not tcp:
        raise ParseError("win.listening", b"a Windows that listens on nothing")
    found: dict[str, dict[str, Any]] = {}
    for kind, items in (("tcp", tcp), ("udp", udp)):
        for one in items:
            number, loopback = one.integer("Port"), one.text("Address").startswith("127.") or one.text("Address") == "::1"
            if not 0 <= number <= 65535:
                raise one.odd("Port")
            port = f"{kind}/{number}"
            known = found.setdefault(port, {"port": port, "loopback_only": True, "at": one.at})
            known["loopback_only"] = known["loopback_only"] and loopback
    return {"listeners": list(found.values()), "at": sources["tcp"].at}


_TASKS = r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask tasks {
    $s = New-Object -ComObject Schedule.Service
    $s.Connect()
    $f = New-Object Collections.Queue
    $f.Enqueue($s.GetFolder('\'))
    while ($f.Count) {
        $d = $f.Dequeue()
        foreach ($t in $d.GetTasks(1)) {
            if ($t.Enabled -and $t.LastTaskResult -notin 0, 267008, 267009, 267011, 267014, 267045) {
                @{ Path = $t.Path; Code = '0x{0:X8}' -f $t.LastTaskResult; Last = ConvertTo-Utc $t.LastRunTime
                    Missed = $t.NumberOfMissedRuns; User = [string]$t.Definition.Principal.UserId }
            }
        }
        foreach ($x in $d.GetFolders(0)) { if ($x.Path -notlike '\Microsoft*') { $f.Enqueue($x) } }
    }
}
"""
_NOT_FAILED = frozenset({"0x8004131f", "0x800710e0"})
"""SCHED_E_ALREADY_RUNNING, and a start that the task's own conditions refused (on battery): it runs the next time."""


def parse_tasks(answer: Answer) -> Facts:
    """Return the enabled scheduled tasks whose last run failed; those of Windows itself, below Microsoft, are left out.

    LastTaskResult is an exit status or an HRESULT; ready, running, never run, ended by a person and queued are no failures
    (0x41300 to 0x41325, Task Scheduler's SCHED_S_*).
    """
    sources = read("win.tasks", answer)
    now = sources["clock"].one().moment("Now")
    return {"failed": [_task(one, now) for one in sources["tasks"].usable() if one.text("Code").lower() not in _NOT_FAILED]}


def _task(one: Item, now: int) -> dict[str, Any]:
    code = one.text("Code").lower()
    if not re.fullmatch(r"0x[0-9a-f]{8}", code):
        raise one.odd("Code")
    return {
        "task": one.text("Path"),
        "code": code,
        "age_s": max(0, now - one.moment("Last")),
        "missed": one.integer("Missed"),
        "user": one.text("User") if one.has("User") else "",
        "at": one.at,
    }


_PRINTERS = r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask spooler { Get-CimInstance Win32_Service -Filter "Name='Spooler'" | ForEach-Object {
        $global:runs = $_.State -eq 'Running'; @{ State = $_.State; Start = $_.StartMode; Exit = $_.ExitCode } } }
if ($global:runs) {
    Ask printers { Get-CimInstance Win32_Printer | ForEach-Object { @{ Name = $_.Name
                Error = [int]$_.DetectedErrorState; Offline = [bool]$_.WorkOffline; Shared = [bool]$_.Shared } } }
    Ask jobs { Get-CimInstance Win32_PrintJob | ForEach-Object { @{ Name = $_.Name; Id = $_.JobId
                Submitted = ConvertTo-Utc $_.TimeSubmitted; Mask = $_.StatusMask } } }
}
"""
_ILL = {
    3: "low_paper",
    4: "no_paper",
    5: "low_toner",
    6: "no_toner",
    7: "door_open",
    8: "jammed",
    10: "service",
    11: "bin_full",
}
"""DetectedErrorState of Win32_Printer; 9 (offline) is told by WorkOffline."""


def parse_printers(answer: Answer) -> Facts:
    """Return whether the print spooler runs, and for each printer its jobs: how many, and how old the oldest is.

    What is printed and by whom is not asked. A job's name is the printer's, a comma and the job's number.
    """
    sources = read("win.printers", answer)
    now = sources["clock"].one().moment("Now")
    if not sources["spooler"].usable():
        raise NothingThere("win.printers", "the print spooler")
    spooler = sources["spooler"].one()
    running = spooler.text("State") == "Running"
    jobs = [(one.text("Name").rpartition(",")[0], now - one.moment("Submitted")) for one in _items(sources, "jobs", running)]
    return {
        "spooler_running": running,
        "spooler_state": spooler.text("State").lower(),
        "spooler_start": spooler.text("Start").lower(),
        "spooler_exit": spooler.integer("Exit"),
        "printers": [_printer(one, jobs) for one in _items(sources, "printers", running)],
        "jobs": len(jobs),
        "oldest_job_s": max([0, *(age for _, age in jobs)]),
        "at": spooler.at,
    }


def _items(sources: Sources, name: str, running: bool) -> tuple[Item, ...]:
    return sources[name].usable() if running else ()


def _printer(one: Item, jobs: list[tuple[str, int]]) -> dict[str, Any]:
    ages = [age for printer, age in jobs if printer == one.text("Name")]
    return {
        "printer": one.text("Name"),
        "error": _ILL.get(one.integer("Error"), ""),
        "offline": one.flag("Offline"),
        "shared": one.flag("Shared"),
        "jobs": len(ages),
        "oldest_job_s": max([0, *ages]),
        "at": one.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.services", _SERVICES, variables=(("services", ""),)),
        parse=parse_services,
        summary="Which automatic services do not run, and whether the expected ones do",
        shape={
            "stopped": [
                {
                    "service": "str",
                    "name": "str",
                    "state": "str",
                    "exit_code": "int",
                    "never_tried": "bool",
                    "innocent": "str",
                    "at": "at",
                }
            ],
            "expected": [
                {
                    "service": "str",
                    "name": "str",
                    "installed": "bool",
                    "running": "bool",
                    "state": "str",
                    "start": "str",
                    "exit_code": "int",
                    "usual_ports": ["str"],
                    "at": "at",
                }
            ],
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.listening", _LISTENING),
        parse=parse_listening,
        summary="On which ports the host listens",
        shape={"listeners": [{"port": "str", "loopback_only": "bool", "at": "at"}], "at": "at"},
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.tasks", _TASKS, deadline_s=30, privilege=Privilege.ROOT),
        parse=parse_tasks,
        summary="Scheduled tasks whose last run failed",
        shape={"failed": [{"task": "str", "code": "str", "age_s": "int seconds", "missed": "int", "user": "str", "at": "at"}]},
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.printers", _PRINTERS, deadline_s=20),
        parse=parse_printers,
        summary="Whether the print spooler runs, and what waits in its queues",
        shape={
            "spooler_running": "bool",
            "spooler_state": "str",
            "spooler_start": "str",
            "spooler_exit": "int",
            "printers": [
                {
                    "printer": "str",
                    "error": "str",
                    "offline": "bool",
                    "shared": "bool",
                    "jobs": "int",
                    "oldest_job_s": "int seconds",
                    "at": "at",
                }
            ],
            "jobs": "int",
            "oldest_job_s": "int seconds",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
