"""Windows hosts as they would answer, written by hand: what each capture `win-*` was made of (tests/data/SOURCES.md).

No Windows machine was to be had. A host is the answers of a healthy one with what is different on it; the text of an answer
is made as ConvertTo-Json of its PowerShell writes it. `python -m tests.diagnostics.library.windows_ills` writes the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.library import in_order, load_library
from inventory.host import Expectations
from remote.answer import Answer, Ended
from remote.question import Privilege
from remote.windows.lines import NO_ADMIN

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """How a source ended that failed: the identifiers that PowerShell gives."""

    id: str
    code: str = "0x80131500"
    category: str = "NotSpecified"


DENIED = "denied"
NO_EVENTS = Failed("NoMatchingEventsFound,Microsoft.PowerShell.Commands.GetWinEventCommand", "0x80131500", "ObjectNotFound")
NO_NAMESPACE = Failed("HRESULT 0x8004100e,Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand")
NO_METHOD = Failed("HRESULT 0x8004100e,Microsoft.Management.Infrastructure.CimCmdlets.InvokeCimMethodCommand")
NOT_SUPPORTED = Failed("HRESULT 0x8004100c,Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand")
NO_COMMAND = Failed("CommandNotFoundException", "0x80131501", "ObjectNotFound")
Said = Sequence[Item] | Failed | str
WHOLE: Said = [{"Full": False}]
FULL: Said = [{"Full": True}]
"""There was more than a script may send."""
Answers = dict[str, dict[str, Said]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsHost:
    """One host: what differs from a healthy one, and who asks."""

    name: str
    change: Answers
    powershell: str = "5.1.20348.2849"
    admin: bool = True
    slow_s: int = 0
    """How far its clock is behind."""
    expect: Expectations = field(default_factory=Expectations)


def ago(*, days: float = 0, hours: float = 0, minutes: float = 0, of: datetime = NOW) -> str:
    """Return a moment as ConvertTo-Utc writes it: seven digits behind the second."""
    return (of - timedelta(days=days, hours=hours, minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.1234567Z")


def since(*, days: float) -> Item:
    """Return when servicing or a policy noted something last."""
    return {"Time": ago(days=days)}


def wrapped(*values: Any) -> Item:
    """Return a list as Windows PowerShell writes one that carries properties of its own."""
    return {"value": list(values), "Count": len(values)}


def service(name: str, shown: str, **more: Any) -> Item:
    """Return a service as the question asks for it."""
    plain = {"State": "Stopped", "Start": "Auto", "Exit": 0, "Own": 0, "Seen": True, "Delayed": False, "Trigger": False}
    return {"Name": name, "Shown": shown} | plain | more


STATUS = [  # w32tm /query /status /verbose, behind the colons
    "0(no warning)",
    "4 (secondary reference - syncd by (S)NTP)",
    "-23 (119.209ns per tick)",
    "0.0154902s",
    "7.7773722s",
    "0x0A4D000A (source IP:  10.77.0.10)",
    "11/29/2026 8:42:11 AM",
    "dc1.nord.example",
    "10 (1024s)",
    "-0.0038147s",
    "0.0156250s",
    "2 (Sync)",
    "0 (None)",
    "0 (None)",
    "0 (The command completed successfully.)",
    "1068.1997480s",
]


def healthy() -> Answers:
    """Return what a server of a domain answers on which nothing is wrong: Server 2022 on VMware, Windows PowerShell 5.1."""
    clock: Item = {"Now": ago(), "Booted": ago(days=19, hours=4)}
    now: list[Item] = [{"Now": ago()}]
    processes = [(1212, "w3wp.exe"), (2044, "sqlservr.exe"), (3388, "MsMpEng.exe")]
    return {
        "win.load.first": load(0, processes),
        "win.system": {
            "system": [
                {
                    "Caption": "Microsoft Windows Server 2022 Standard",
                    "Version": "10.0.20348",
                    "Product": 3,
                    "Language": 1033,
                    **clock,
                    "Drive": "C:",
                    "TotalKB": 16_776_692,
                    "FreeKB": 9_134_556,
                    "LimitKB": 19_267_060,
                    "LeftKB": 12_004_332,
                }
            ],
            "release": [{"Revision": 2849, "Display": "21H2", "Edition": "ServerStandard"}],
            "computer": [
                {
                    "Maker": "VMware, Inc.",
                    "Model": "VMware7,1",
                    "Memory": 17_179_332_608,
                    "Mobile": False,
                    "Processors": 4,
                    "Joined": True,
                    "Domain": "nord.example",
                    "Role": 3,
                }
            ],
            "pagefiles": [{"Name": "C:\\pagefile.sys", "AllocatedMB": 2432, "UsedMB": 118}],
        },
        "win.drives": {
            "drives": [
                drive("C:", 106_768_101_376, 61_203_415_040),
                drive("D:", 214_745_214_976, 150_320_001_024, label="Data"),
            ],
            "system": [{"Drive": "C:"}],
        },
        "win.disks": {
            "disks": [disk("VMware Virtual disk", "6000c29f5f6b3a1e", 0), disk("VMware Virtual disk", "6000c2951d0fe3a2", 1)],
            "predictions": NOT_SUPPORTED,
        },
        "win.disk-events": {"clock": now, "events": NO_EVENTS, "full": WHOLE},
        "win.boots": {
            "clock": [clock],
            "events": NO_EVENTS,
            "dumps": [],
            "full": WHOLE,
        },
        "win.reboot": {
            "clock": [clock],
            "servicing": [{"Pending": False, "Running": False}],
            "update": [{"Pending": False}],
            "renames": [{"Count": 2, "Files": wrapped("\\??\\C:\\Windows\\Temp\\a1.tmp", "\\??\\C:\\Windows\\Temp\\a2.tmp")}],
            "name": [{"Active": "APP1", "Next": "APP1"}],
            "join": [{"Pending": False}],
            "manager": NO_METHOD,
        },
        "win.services": {
            "expected": [],
            "services": [
                service("edgeupdate", "Microsoft Edge Update Service (edgeupdate)", Delayed=True),
                service("MapsBroker", "Downloaded Maps Manager", Delayed=True),
                service("sppsvc", "Software Protection", Delayed=True, Trigger=True),
                service("TieringEngineService", "Storage Tiers Management", Exit=1077, Trigger=True),
            ],
        },
        "win.listening": {"tcp": listening(80, 135, 443, 445, 3389, 5985), "udp": listening(123, 500, 5353)},
        "win.tasks": {"clock": now, "tasks": []},
        "win.printers": {
            "clock": now,
            "spooler": [{"State": "Running", "Start": "Auto", "Exit": 0}],
            "printers": [{"Name": "Microsoft Print to PDF", "Error": 0, "Offline": False, "Shared": False}],
            "jobs": [],
        },
        "win.events": {
            "clock": now,
            "computer": [{"Role": 3}],
            "events": [
                event("Application", "Application Error", 1000, 1, "notepad.exe", "10.0.20348.1"),
                event("System", "Service Control Manager", 7023, 1, "Downloaded Maps Manager", "2"),
            ],
            "full": WHOLE,
        },
        "win.logons": {
            "clock": now,
            "failures": [{"Key": "10.77.0.31|3|0xC000006A", "Count": 3, "Last": ago(hours=5)}],
            "lockouts": NO_EVENTS,
            "newest": [{"Time": ago(hours=5)}],
            "oldest": [{"Time": ago(days=23)}],
            "full": WHOLE,
        },
        "win.updates": {
            "clock": now,
            "packages": [
                {"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~20348.2849.1.7", **since(days=19.2)},
            ],
            "events": [update(19, 19.2, "2026-11 Cumulative Update for Microsoft server operating system (KB5046616)")],
            "service": [{"Start": "Manual", "State": "Stopped"}],
            "policy": [{"Server": "http://wsus.nord.example:8530"}, {"UseServer": 1, "Off": 0, "Option": 3}],
        },
        "win.defender": {
            "status": [
                {
                    "Service": True,
                    "RealTime": True,
                    "Mode": "Normal",
                    "Age": 0,
                    "Version": "1.421.134.0",
                    "Tamper": False,
                    "QuickAge": 1,
                }
            ],
            "threats": [],
            "products": NO_NAMESPACE,
        },
        "win.firewall": {"profiles": firewall(), "connections": [{"Kind": 2}]},
        "win.bitlocker": {"computer": [{"Mobile": False, "Drive": "C:"}], "volumes": NO_NAMESPACE},
        "win.certificates": {
            "certificates": [certificate("a1", "portal.nord.example", 210, key=True), certificate("b2", "Nord Root CA", 3000)],
            "bindings": [{"Where": "0.0.0.0:443", "Print": "A1" * 20}],
        },
        "win.network": {"adapters": [adapter("vmxnet3 Ethernet Adapter", "10.77.0.21", "fe80::c47f:21b2:9d0e:77a1")]},
        "win.links": {"links": [link("Ethernet0", "vmxnet3 Ethernet Adapter", 10_000)]},
        "win.names": {"names": [name("nord.example", domain=True, addresses=("10.77.0.10",)), name("erp.nord.example")]},
        "win.time": {
            "clock": [clock | {"Joined": True}],
            "service": [{"State": "Running", "Start": "Auto"}],
            "settings": [{"Type": "NT5DS", "Servers": "time.windows.com,0x8"}],
            "status": [{"Exit": 0, "Lines": STATUS}],
        },
        "win.domain": {
            "computer": [{"Joined": True, "Domain": "nord.example", "Role": 3}],
            "channel": [{"Exit": 0, "Lines": channel(0, "NERR_Success")}],
            "clock": now,
            "events": NO_EVENTS,
        },
        "win.policy": {
            "computer": [{"Joined": True}],
            "clock": now,
            "last": [since(days=0.05) | {"Status": 0}],
            "events": NO_EVENTS,
        },
        "win.devices": {"devices": []},
        "win.licence": licence("ServerStandard", "Volume:GVLK", minutes=246_101),
        "win.load": load(6, processes),
    }


def licence(edition: str, channel: str, *, status: int = 1, minutes: int = 0) -> dict[str, Said]:
    """Return how the edition that runs is licensed."""
    product = {"Name": f"Windows(R), {edition} edition", "Status": status, "Minutes": minutes, "Channel": channel}
    return {"edition": [{"Edition": edition}], "products": [product | {"Family": edition, "Addon": False}]}


def load(
    seconds: float, processes: Sequence[tuple[int, str]], *, busy: float = 0.1, queue: int = 0, top: int = 0
) -> dict[str, Said]:
    """Return a sample of the processors' counters, so many seconds after the first one."""
    ticks_ = 134_090_712_000_000_000 + int(seconds * 1e7)
    idle = 1_400_000_000_000 + int(seconds * 1e7 * (1 - busy))
    gained = int(seconds * 1e7 * top / 100)
    spent: list[Item] = [
        {"Id": number, "Name": called, "Spent": 9_000_000_000 + number + (0 if place else gained)}
        for place, (number, called) in enumerate(processes)
    ]
    return {
        "processors": [{"Idle": idle, "Ticks": ticks_, "Processors": 4, "Own": 5_000_000 + int(seconds * 1e6)}],
        "queue": [{"Waiting": queue}],
        "processes": spent,
    }


def drive(letter: str, size: int, free: int, *, label: str = "", dirty: bool | None = False) -> Item:
    """Return a drive as Win32_LogicalDisk has it."""
    return {"Id": letter, "System": "NTFS", "Size": size, "Free": free, "Label": label, "Dirty": dirty}


def disk(called: str, serial: str, number: int, **more: Any) -> Item:
    """Return a physical disk; one of a hypervisor has no counters of its own."""
    none = dict.fromkeys(("Wear", "Heat", "ReadErrors", "WriteErrors", "Hours"))
    plain = {"Name": called, "Serial": serial, "Number": str(number), "Health": 0, "States": wrapped(2), "Counted": False}
    return plain | none | more


def listening(*ports: int, address: str = "0.0.0.0") -> list[Item]:
    """Return listeners on these ports, each on IPv4 and IPv6."""
    return [
        {"Port": port, "Address": one} for port in ports for one in ((address, "::") if address == "0.0.0.0" else (address,))
    ]


def event(log: str, provider: str, number: int, count: int, *data: str, level: int = 2, hours: float = 2) -> Item:
    """Return one kind of event of a day."""
    same = {"Log": log, "Provider": provider, "Id": number, "Level": level, "Count": count}
    return same | {"Last": ago(hours=hours), "Data": list(data)}


def update(number: int, days: float, title: str, code: str | None = None) -> Item:
    """Return an event of Windows Update: 19 installed, 20 failed."""
    return {"Id": number, "Time": ago(days=days), "Code": code, "Title": title}


def firewall(**on: int) -> list[Item]:
    """Return the three profiles, on unless said otherwise."""
    return [{"Name": called, "On": on.get(called, 1), "In": 4} for called in ("Domain", "Private", "Public")]


def certificate(pair: str, called: str, days: float, *, key: bool = False, subject: str = "") -> Item:
    """Return a certificate that is valid for so many more days; its fingerprint is a pair of digits, repeated."""
    return {
        "Store": "My",
        "Print": pair.upper() * 20,
        "Subject": subject or f"CN={called}, O=Nord",
        "Name": called,
        "Issuer": "CN=Nord Issuing CA, DC=nord, DC=example",
        "From": ago(days=365 - days if days < 365 else 30),
        "To": ago(days=-days),
        "Key": key,
    }


DRIVERS = {"vmxnet3": "vmxnet3ndis6", "Realtek": "rt640x64", "Microsoft Hyper-V": "netvsc", "Intel(R) Wi-Fi": "Netwtw10"}


def adapter(called: str, *addresses: str, gateway: str | None = "10.77.0.1") -> Item:
    """Return an adapter that speaks IP."""
    return {
        "Index": 12,
        "Name": called,
        "Service": next((driver for name, driver in DRIVERS.items() if called.startswith(name)), None),
        "Addresses": wrapped(*addresses),
        "Gateways": [gateway],
        "Servers": wrapped("10.77.0.10", "10.77.0.11"),
        "Dhcp": gateway is None,
        "DhcpServer": None,
    }


def link(called: str, model: str, mbit_s: int, *, received: int = 18_220_114, bad: int = 0) -> Item:
    """Return a physical adapter with a link."""
    counters = {"Received": received, "Sent": received // 2, "BadIn": bad, "BadOut": 0, "LostIn": 0}
    return {"Name": called, "Model": model, "Media": 1, "Speed": mbit_s * 1_000_000, "Wired": True, "Counted": True} | counters


def name(called: str, *, domain: bool = False, addresses: Sequence[str] = ("10.77.0.40",), error: int = 0) -> Item:
    """Return a lookup; an error of Winsock leaves no addresses."""
    found = [] if error else list(addresses)
    took = 10_512 if error == 11002 else 3
    return {"Name": called, "Domain": domain, "Addresses": found, "Error": error, "Milliseconds": took}


def channel(number: int, constant: str) -> list[str]:
    """Return what nltest says of a secure channel."""
    return [
        "Flags: b0 HAS_IP  HAS_TIMESERV",
        "Trusted DC Name \\\\dc1.nord.example",
        f"Trusted DC Connection Status Status = {number} 0x{number:x} {constant}",
        "The command completed successfully",
    ]


def answer_text(sources: Mapping[str, Said], powershell: str) -> bytes:
    """Return the text of an answer, as ConvertTo-Json -Compress of either version writes it."""
    lines: list[str] = []
    for called, said in sources.items():
        end: Item = {"of": called, "ended": "ok"}
        if isinstance(said, Failed):
            end |= {"ended": "failed", "id": said.id, "code": said.code, "category": said.category}
        elif isinstance(said, str):
            end |= {"ended": said}
        else:
            lines += [_json({"of": called, "it": item}, powershell) for item in said]
            end |= {"count": len(said)}
        lines.append(_json(end, powershell))
    return "\n".join(lines).encode()


def _json(value: Item, powershell: str) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if powershell.startswith("5"):  # escapes what would be markup in a page
        for letter in "'<>&":
            text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def evidence_of(host: WindowsHost) -> tuple[Evidence, Context]:
    """Return a host's answers to all questions of the library, with its expectations."""
    answers = healthy()
    for question, sources in host.change.items():
        answers[question] = answers[question] | sources
    behind = timedelta(seconds=host.slow_s)
    asking = {one.id: one for one in in_order(load_library().probes.values(), "windows")}
    found: dict[str, Answer] = {}
    for question, sources in answers.items():
        if asking[question].privilege is Privilege.ROOT and not host.admin:
            found[question] = Answer(ended=Ended.NOT_RUN, exit_status=None, why=NO_ADMIN, denied=NO_ADMIN)
            continue
        found[question] = Answer(
            ended=Ended.EXITED,
            exit_status=0,
            stdout=answer_text(_shifted(sources, behind), host.powershell),
            duration_ms=40 + 7 * len(sources),
            as_root=host.admin,
        )
    evidence = Evidence(
        host=host.name.removeprefix("win-"),
        taken_at=NOW - timedelta(seconds=8),
        platform="windows",
        answers=found,
        versions={"longarm": "0.3.0", "powershell": host.powershell},
        session={"transport": "winrm", "user": "NORD\\support" if host.admin else "NORD\\helpdesk"},
    )
    checks = tuple(sorted(check.id for check in load_library().checks.values() if "windows" in check.platforms))
    context = Context(
        now=NOW,
        checks=checks,
        library_digest="",
        services=host.expect.services,
        ports=host.expect.ports,
        names=host.expect.names,
        observations={"asked_at_s": (NOW - timedelta(seconds=8)).timestamp(), "round_trip_ms": 7600},
    )
    return evidence, context


def _shifted(value: Any, behind: timedelta) -> Any:
    """Return what a clock that is behind makes of the moments in an answer."""
    if isinstance(value, dict):
        return {key: _shifted(below, behind) for key, below in value.items()}
    if isinstance(value, list):
        return [_shifted(below, behind) for below in value]
    if isinstance(value, str) and len(value) == 28 and value.endswith(".1234567Z"):
        return ago(of=datetime.fromisoformat(value[:19] + "+00:00") - behind)
    return value
