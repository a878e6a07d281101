"""What is wrong with each Windows host that was written by hand (`windows_hosts.py`), and why it is so there."""

from __future__ import annotations

from diagnostics.formats import encode_evidence
from inventory.host import Expectations
from tests.diagnostics.library.windows_hosts import (
    CAPTURES,
    DENIED,
    NO_COMMAND,
    NO_EVENTS,
    NO_NAMESPACE,
    NOT_SUPPORTED,
    STATUS,
    Answers,
    Failed,
    Item,
    Said,
    WindowsHost,
    adapter,
    ago,
    certificate,
    channel,
    disk,
    drive,
    event,
    evidence_of,
    firewall,
    healthy,
    licence,
    link,
    listening,
    load,
    name,
    service,
    since,
    update,
    wrapped,
)


def system(**more: object) -> Answers:
    """Return what a machine says of itself, some of it otherwise than the healthy one."""
    changed: dict[str, Said] = {}
    for source, said in healthy()["win.system"].items():
        assert not isinstance(said, Failed | str)
        changed[source] = [{key: more.get(key, value) for key, value in item.items()} for item in said]
    return {"win.system": changed}


def clocks(days: float, *, joined: bool = True) -> Answers:
    """Return when a machine was booted, in every answer that says so."""
    clock: list[Item] = [{"Now": ago(), "Booted": ago(days=days)}]
    time = [clock[0] | {"Joined": joined}]
    return {"win.boots": {"clock": clock}, "win.reboot": {"clock": clock}, "win.time": {"clock": time}}


def merged(*parts: Answers) -> Answers:
    """Return several changes as one; a later one goes before."""
    whole: Answers = {}
    for part in parts:
        for question, sources in part.items():
            whole[question] = whole.get(question, {}) | sources
    return whole


NOT_JOINED: Answers = {
    "win.domain": {"computer": [{"Joined": False, "Domain": "WORKGROUP", "Role": 0}]},
    "win.policy": {"computer": [{"Joined": False}]},
    "win.events": {"computer": [{"Role": 0}]},
}

FULL_DRIVE = merged(
    system(
        Caption="Microsoft Windows Server 2019 Standard",
        Version="10.0.17763",
        Booted=ago(days=74),
        Revision=6293,
        Display=None,
        Model="Virtual Machine",
        Maker="Microsoft Corporation",
    ),
    clocks(74),
    {
        "win.drives": {"drives": [drive("C:", 127_355_842_560, 402_653_184), drive("D:", 536_868_810_752, 402_000_000_000)]},
        "win.disks": {"disks": [disk("Msft Virtual Disk", "", 0, Serial=None)], "predictions": NOT_SUPPORTED},
        "win.services": {
            "expected": [{"Name": "Spooler"}, {"Name": "LanmanServer"}],
            "services": [
                service("LanmanServer", "Server", State="Running"),
                service("NordBackup", "Nord Backup Agent", Exit=1077),
                service("Spooler", "Print Spooler", Exit=1067),
                service("WSearch", "Windows Search", Exit=112),
                service("gupdate", "Google Update Service (gupdate)", Delayed=True),
            ],
        },
        "win.printers": {"spooler": [{"State": "Stopped", "Start": "Auto", "Exit": 1067}]},
        "win.events": {
            "events": [
                event("Application", "Microsoft-Windows-Search", 3058, 212, "Catalog", "0xc0041801"),
                event("Application", "Application Error", 1000, 31, "spoolsv.exe", "10.0.17763.6292", "localspl.dll"),
                event("System", "Service Control Manager", 7031, 6, "Print Spooler", "4"),
            ]
        },
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~17763.6293.1.6", **since(days=74.1)}],
            "events": [
                update(20, days, "2026-10 Cumulative Update for Windows Server 2019 (KB5044277)", "0x80070070")
                for days in (0.4, 1.4, 2.4, 3.4)
            ]
            + [update(19, 74.1, "2026-09 Cumulative Update for Windows Server 2019 (KB5043050)")],
        },
        "win.firewall": {"profiles": firewall(Domain=0)},
        "win.domain": {
            "events": [{"Provider": "NETLOGON", "Id": 5719, "Count": 4, "Last": ago(hours=7)}],
        },
        "win.network": {"adapters": [adapter("Microsoft Hyper-V Network Adapter", "10.77.0.32")]},
        "win.links": {"links": [link("Ethernet", "Microsoft Hyper-V Network Adapter", 10_000)]},
        "win.listening": {"tcp": listening(135, 445, 3389, 5985)},
    },
)

LATE_CLOCK = merged(
    system(
        Caption="Microsoft Windows Server 2016 Standard",
        Version="10.0.14393",
        Booted=ago(days=31),
        Revision=7428,
        Display=None,
        TotalKB=8_388_148,
        FreeKB=3_112_004,
        LimitKB=9_699_000,
        LeftKB=4_301_112,
    ),
    clocks(31),
    {
        "win.time": {
            "service": [{"State": "Stopped", "Start": "Disabled"}],
            "status": [{"Exit": -2147023834, "Lines": []}],
        },
        "win.services": {
            "expected": [{"Name": "NordErp"}],
            "services": [
                service("NordErp", "Nord ERP Application Server", State="Running"),
                service("sppsvc", "Software Protection", Delayed=True, Trigger=True),
            ],
        },
        "win.printers": {"spooler": [{"State": "Stopped", "Start": "Disabled", "Exit": 1077}]},
        "win.bitlocker": {"volumes": [{"Drive": "C:", "Protected": 0, "Converted": 0, "Kind": None}]},
        "win.domain": {
            "channel": [{"Exit": 1398, "Lines": channel(1398, "ERROR_TIME_SKEW")}],
            "events": [
                {"Provider": "Microsoft-Windows-Security-Kerberos", "Id": 5, "Count": 44, "Last": ago(hours=0.4)},
                {"Provider": "NETLOGON", "Id": 3210, "Count": 12, "Last": ago(hours=1)},
            ],
        },
        "win.policy": {
            "last": [since(days=3.2) | {"Status": 1}],
            "events": [
                {"Id": 1097, "Count": 36, "Last": ago(hours=0.7), "Data": ["1", "4001", "1", "15", "1398", "dc1.nord.example"]},
                {"Id": 1129, "Count": 2, "Last": ago(hours=20), "Data": ["1", "1548", "1", "31", "1222"]},
            ],
        },
        "win.logons": {
            "failures": [
                {"Key": "10.77.0.51|3|0xC0000133", "Count": 61, "Last": ago(hours=0.2)},
                {"Key": "-|4|0xC000006A", "Count": 2, "Last": ago(hours=11)},
            ],
        },
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~14393.7428.1.14", **since(days=31.1)}],
            "events": [],
        },
        "win.listening": {"tcp": listening(135, 445, 3389, 5985, 8443)},
        "win.certificates": {"certificates": [certificate("c3", "erp.nord.example", 320, key=True)], "bindings": []},
    },
)

RUSSIAN_STATUS = [
    "0(нет предупреждений)",
    "4 (вторичная ссылка - синхронизирована с помощью (S)NTP)",
    "-23 (119.209ns за такт времени)",
    "0.0154902s",
    "7.7773722s",
    "0x0A4D000A (исходный IP:  10.77.0.10)",
    "29.11.2026 11:42:11",
    "dc1.nord.example",
    "10 (1024s)",
    "-0.0038147s",
    "0.0156250s",
    "2 (Синх.)",
    "0 (нет)",
    "0 (нет)",
    "0 (Команда выполнена успешно.)",
    "1068.1997480s",
]

RUSSIAN = merged(
    system(
        Caption="Майкрософт Windows 10 Pro",
        Version="10.0.19045",
        Product=1,
        Language=1049,
        Booted=ago(days=0.6),
        Revision=5131,
        Display="22H2",
        Edition="Professional",
        Maker="LENOVO",
        Model="20XW004ART",
        Mobile=True,
        Role=1,
        TotalKB=8_126_404,
        FreeKB=251_904,
        LimitKB=10_223_556,
        LeftKB=422_112,
        Processors=8,
        Memory=8_321_437_696,
    ),
    clocks(0.6),
    {
        "win.drives": {
            "drives": [
                drive("C:", 255_153_713_152, 60_129_542_144, label="Система"),
                drive("D:", 255_000_000_000, 90_000_000_000, label="Документы", dirty=None),
            ]
        },
        "win.disks": {
            "disks": [
                disk(
                    "SAMSUNG MZVLB512HBJQ-000L7",
                    "0025_388B_01B1_2A3F.",
                    0,
                    Counted=True,
                    Wear=93,
                    Heat=41,
                    ReadErrors=0,
                    WriteErrors=None,
                    Hours=21_907,
                )
            ],
            "predictions": [{"Disk": "SCSI\\Disk&Ven_NVMe&Prod_SAMSUNG_MZVLB512\\5&2a3b_0", "Fails": False, "Reason": 0}],
        },
        "win.boots": {
            "events": [
                {
                    "Id": 1001,
                    "Provider": "Microsoft-Windows-WER-SystemErrorReporting",
                    "Time": ago(days=0.6, minutes=-1),
                    "Data": [
                        "0x0000009f (0x0000000000000003, 0xffffe58a4c3a7060, 0xfffff80351ad0178, 0xffffe58a51bc39a0)",
                        "C:\\Windows\\Minidump\\112826-9312-01.dmp",
                        "b1a2c3d4-0a1b-4c2d-8e3f-5a6b7c8d9e0f",
                    ],
                },
                {
                    "Id": 41,
                    "Provider": "Microsoft-Windows-Kernel-Power",
                    "Time": ago(days=0.6),
                    "Data": ["159", "3", "18446706887331377248", "18446735292116140408", "18446706887410891168", "5"],
                },
                {"Id": 6008, "Provider": "EventLog", "Time": ago(days=0.6), "Data": ["18:11:40", "28.11.2026", "", "", "97"]},
                {
                    "Id": 1001,
                    "Provider": "Microsoft-Windows-WER-SystemErrorReporting",
                    "Time": ago(days=3.2, minutes=-1),
                    "Data": [
                        "0x0000009f (0x0000000000000003, 0xffffe58a4c3a7060, 0xfffff80351ad0178, 0xffffe58a51bc39a0)",
                        "C:\\Windows\\Minidump\\112626-8812-01.dmp",
                        "b1a2c3d4-0a1b-4c2d-8e3f-5a6b7c8d9e0e",
                    ],
                },
                {"Id": 41, "Provider": "Microsoft-Windows-Kernel-Power", "Time": ago(days=3.2), "Data": ["159", "3"]},
                {"Id": 6008, "Provider": "EventLog", "Time": ago(days=5), "Data": ["09:02:11", "24.11.2026", "", "", "4011"]},
            ],
            "dumps": [{"Path": "C:\\Windows\\Minidump\\112826-9312-01.dmp", "Time": ago(days=0.6)}],
        },
        "win.reboot": {"name": [{"Active": "BUH-07", "Next": "BUH-07"}], "renames": [{"Count": 0, "Files": []}]},
        "win.services": {
            "services": [
                service("NordSync", "Синхронизация «Норд»", Exit=1067),
                service("OneSyncSvc_4f1a2", "Узел синхронизации_4f1a2", Delayed=True),
                service("MapsBroker", "Диспетчер скачанных карт", Delayed=True),
                service("sppsvc", "Защита программного обеспечения", Delayed=True, Trigger=True),
            ]
        },
        "win.printers": {
            "printers": [
                {"Name": "Принтер бухгалтерии (2 этаж)", "Error": 2, "Offline": True, "Shared": False},
                {"Name": "Склад «Север»", "Error": 4, "Offline": False, "Shared": True},
                {"Name": "Microsoft Print to PDF", "Error": 0, "Offline": False, "Shared": False},
            ],
            "jobs": [
                {"Name": "Принтер бухгалтерии (2 этаж), 14", "Id": 14, "Submitted": ago(minutes=190), "Mask": 2},
                {"Name": "Принтер бухгалтерии (2 этаж), 15", "Id": 15, "Submitted": ago(minutes=25), "Mask": 0},
            ],
        },
        "win.tasks": {
            "tasks": [
                {
                    "Path": "\\Резервное копирование",
                    "Code": "0x8007052E",
                    "Last": ago(hours=7),
                    "Missed": 0,
                    "User": "NORD\\Иванова",
                },
                {"Path": "\\Nord\\Отчёт", "Code": "0x8004131F", "Last": ago(hours=1), "Missed": 0, "User": "СИСТЕМА"},
            ]
        },
        "win.defender": {
            "status": [
                {
                    "Service": True,
                    "RealTime": False,
                    "Mode": "Normal",
                    "Age": 2,
                    "Version": "1.421.98.0",
                    "Tamper": False,
                    "QuickAge": 4294967295,
                }
            ],
            "products": [{"Name": "Windows Defender", "State": 393472}],
        },
        "win.firewall": {"profiles": firewall(Public=0, Private=0), "connections": [{"Kind": 0}]},
        "win.bitlocker": {
            "computer": [{"Mobile": True, "Drive": "C:"}],
            "volumes": [
                {"Drive": "C:", "Protected": 0, "Converted": 1, "Kind": 0},
                {"Drive": "D:", "Protected": 0, "Converted": 3, "Kind": 1},
                {"Drive": None, "Protected": 0, "Converted": 0, "Kind": 1},
            ],
        },
        "win.certificates": {
            "certificates": [certificate("d4", "BUH-07.nord.example", 190, key=True, subject="CN=BUH-07, OU=Бухгалтерия")],
            "bindings": [],
        },
        "win.devices": {
            "devices": [
                {"Name": "Неизвестное устройство", "Code": 28, "Id": "ACPI\\LEN0268\\5&2890D699&0"},
                {"Name": "USB-концентратор", "Code": 43, "Id": "USB\\VID_0000&PID_0002\\6&1D0F"},
                {"Name": "Bluetooth", "Code": 22, "Id": "USB\\VID_8087&PID_0026\\5&3B"},
            ]
        },
        "win.links": {"links": [link("Беспроводная сеть", "Intel(R) Wi-Fi 6 AX201 160MHz", 866) | {"Wired": False}]},
        "win.network": {"adapters": [adapter("Intel(R) Wi-Fi 6 AX201 160MHz", "10.77.0.107", gateway="10.77.0.1")]},
        "win.time": {
            "status": [{"Exit": 0, "Lines": wrapped(*RUSSIAN_STATUS)}],
            "settings": [{"Type": "NT5DS", "Servers": None}],
        },
        "win.licence": licence("Professional", "OEM:DM"),
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~19041.5131.1.9", **since(days=12)}],
            "events": [
                update(20, 13, "Накопительное обновление для Windows 10 Version 22H2 (KB5046613)", "0x80240016"),
                update(19, 12, "Накопительное обновление для Windows 10 Version 22H2 (KB5046613)"),
            ],
            "policy": [],
        },
        "win.logons": {"failures": NO_EVENTS, "newest": NO_EVENTS},
        "win.events": {
            "computer": [{"Role": 1}],
            "events": [event("System", "Microsoft-Windows-Kernel-Power", 41, 1, "159", level=1, hours=14)],
        },
    },
)

SEVEN = merged(
    system(
        Caption="Microsoft Windows Server 2025 Standard Evaluation",
        Version="10.0.26100",
        Booted=ago(days=40),
        Revision=2314,
        Display="24H2",
        Edition="ServerStandardEval",
    ),
    clocks(40),
    {
        "win.reboot": {"servicing": [{"Pending": True, "Running": False}], "update": [{"Pending": True}]},
        "win.services": {
            "expected": [{"Name": "W3SVC"}, {"Name": "NordAgent"}],
            "services": [
                service("W3SVC", "World Wide Web Publishing Service", Exit=1068),
                service("NordAgent", "Nord Monitoring Agent", State="Running", Start="Disabled"),
            ],
        },
        "win.listening": {"tcp": [*listening(135, 445, 3389, 5985), *listening(8080, address="127.0.0.1")]},
        "win.certificates": {
            "certificates": [
                certificate("a1", "portal.nord.example", -3.5, key=True),
                certificate("b2", "mail.nord.example", 10.5, key=True),
                certificate("c3", "old.nord.example", -400, key=True),
                certificate("d4", "portal.nord.example", 360, key=True),
            ],
            "bindings": [{"Where": "0.0.0.0:443", "Print": "A1" * 20}, {"Where": "RDP", "Print": "E5" * 20}],
        },
        "win.logons": {
            "failures": [
                {"Key": "10.77.0.66|3|0xC000006A", "Count": 2411, "Last": ago(minutes=4)},
                {"Key": "10.77.0.66|3|0xC0000234", "Count": 160, "Last": ago(minutes=2)},
                {"Key": "10.77.0.66|3|0xC0000064", "Count": 77, "Last": ago(minutes=9)},
            ],
            "lockouts": [{"User": "svc-backup", "From": "\\\\KIOSK-3", "Time": ago(hours=3)}],
        },
        "win.licence": licence("ServerStandardEval", "Retail:TB:Eval", minutes=5 * 1440 + 311),
        "win.names": {
            "names": [
                name("erp.nord.example"),
                name("relay.nord.example", error=11001),
                name("nord.example", domain=True, addresses=("10.77.0.10", "fd00::10")),
            ]
        },
        "win.bitlocker": {"volumes": [{"Drive": "C:", "Protected": 1, "Converted": 1, "Kind": 0}]},
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.2314.1.9", **since(days=0.8)}],
            "events": [update(19, 0.8, "2026-11 Cumulative Update for Windows Server 2025 (KB5046617)")],
        },
        "win.load.first": load(0, [(5120, "node.exe"), (900, "svchost.exe")], queue=13),
        "win.load": load(7, [(5120, "node.exe"), (900, "svchost.exe")], busy=1.0, queue=16, top=388),
    },
)

OLD_STORAGE = merged(
    system(
        Caption="Microsoft Windows Server 2012 R2 Standard",
        Version="6.3.9600",
        Booted=ago(days=214.5),
        Revision=None,
        Display=None,
        Maker="HP",
        Model="ProLiant DL360p Gen8",
        Processors=24,
    ),
    clocks(214.5),
    {
        "win.disks": {
            "disks": [
                disk("ATA ST1000NM0033", "Z1W4A1BC", 0, Health="Warning", States=[2, 5]),
                disk("ATA ST1000NM0033", "Z1W4A1BD", 1, States=2),
            ],
            "predictions": [
                {"Disk": "SCSI\\Disk&Ven_ATA&Prod_ST1000NM0033\\4&1_0", "Fails": True, "Reason": 5},
                {"Disk": "SCSI\\Disk&Ven_ATA&Prod_ST1000NM0033\\4&1_1", "Fails": False, "Reason": 0},
            ],
        },
        "win.disk-events": {
            "events": [
                {"Key": "disk|7|\\Device\\Harddisk0\\DR0", "Count": 18, "First": ago(days=5), "Last": ago(hours=1)},
                {"Key": "disk|153|\\Device\\Harddisk0\\DR0", "Count": 240, "First": ago(days=6), "Last": ago(hours=1)},
                {"Key": "Ntfs|55|D:", "Count": 2, "First": ago(days=1), "Last": ago(hours=20)},
                {"Key": "storahci|129|\\Device\\RaidPort0", "Count": 3, "First": ago(days=4), "Last": ago(days=2)},
            ]
        },
        "win.defender": {"status": NO_COMMAND, "threats": NO_COMMAND, "products": NO_NAMESPACE},
        "win.names": {
            "names": [
                name("erp.nord.example", error=11002),
                name("nord.example", domain=True, error=11002),
            ]
        },
        "win.domain": {"channel": [{"Exit": 1311, "Lines": channel(1311, "ERROR_NO_LOGON_SERVERS")}]},
        "win.policy": {
            "events": [{"Id": 1054, "Count": 40, "Last": ago(hours=0.5), "Data": ["1", "1934", "0", "1140", "1355"]}],
        },
        "win.updates": {
            "packages": [{"Name": "Package_for_KB5030287~31bf3856ad364e35~amd64~~6.3.1.8", **since(days=30)}],
            "events": [],
            "policy": [],
        },
        "win.links": {
            "links": [
                link("Ethernet", "HP Ethernet 1Gb 4-port 331FLR Adapter", 1000, received=9_000_112, bad=41_200),
                link("Ethernet 2", "HP Ethernet 1Gb 4-port 331FLR Adapter #2", 100),
            ]
        },
        "win.time": {
            "status": [{"Exit": 0, "Lines": [*STATUS[:15], "612.0012330s"]}],
        },
        "win.services": {"services": [service("RemoteRegistry", "Remote Registry", Trigger=True)]},
    },
)

PLAIN_USER = merged(
    system(
        Caption="Microsoft Windows 11 Enterprise",
        Version="10.0.22631",
        Product=1,
        Booted=ago(days=2),
        Revision=4460,
        Display="23H2",
        Edition="Enterprise",
        Maker="Dell Inc.",
        Model="Latitude 5440",
        Mobile=True,
        Role=1,
    ),
    clocks(2),
    {
        "win.boots": {"dumps": DENIED},
        "win.events": {"computer": [{"Role": 1}]},
        "win.services": {"services": []},
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~22621.4460.1.4", **since(days=9)}],
            "events": [],
            "policy": [],
        },
    },
)

HOME = merged(
    system(
        Caption="Microsoft Windows 11 Home",
        Version="10.0.26100",
        Product=1,
        Booted=ago(days=1.1),
        Revision=1742,
        Display="24H2",
        Edition="Core",
        Maker="ASUSTeK COMPUTER INC.",
        Model="Vivobook_ASUSLaptop X1504VA",
        Mobile=True,
        Joined=False,
        Domain="WORKGROUP",
        Role=0,
    ),
    clocks(1.1, joined=False),
    NOT_JOINED,
    {
        "win.network": {
            "adapters": [adapter("Realtek PCIe GbE Family Controller", "169.254.18.7", "fe80::5d1c:9a0e:11", gateway=None)]
        },
        "win.names": {"names": []},
        "win.defender": {
            "status": [
                {
                    "Service": True,
                    "RealTime": False,
                    "Mode": "Passive Mode",
                    "Age": 3,
                    "Version": "1.421.20.0",
                    "Tamper": True,
                    "QuickAge": 40,
                }
            ],
            "products": [{"Name": "Windows Defender", "State": 393472}, {"Name": "Kaspersky", "State": 266240}],
        },
        "win.time": {
            "service": [{"State": "Stopped", "Start": "Manual"}],
            "status": [{"Exit": -2147023834, "Lines": []}],
            "settings": [{"Type": "NTP", "Servers": "time.windows.com,0x9"}],
        },
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.1742.1.10", **since(days=131.2)}],
            "events": NO_EVENTS,
            "service": [{"Start": "Disabled", "State": "Stopped"}],
            "policy": [],
        },
        "win.certificates": {"certificates": [], "bindings": []},
        "win.licence": licence("Core", "Retail", status=5),
        "win.bitlocker": {"computer": [{"Mobile": True, "Drive": "C:"}], "volumes": NO_NAMESPACE},
        "win.load": load(0.7, [(5120, "explorer.exe")]),
    },
)

PORTAL = merged(
    system(Booted=ago(days=26)),
    clocks(26),
    {
        "win.reboot": {"servicing": [{"Pending": True, "Running": False}], "update": [{"Pending": True}]},
        "win.services": {
            "expected": [{"Name": "W3SVC"}],
            "services": [service("W3SVC", "World Wide Web Publishing Service", State="Running")],
        },
        "win.certificates": {
            "certificates": [
                certificate("a1", "portal.nord.example", 9.4, key=True),
                certificate("f6", "portal.nord.example", 374, key=True),
            ],
            "bindings": [{"Where": "0.0.0.0:443", "Print": "A1" * 20}],
        },
        "win.updates": {
            "packages": [{"Name": "Package_for_RollupFix~31bf3856ad364e35~amd64~~20348.2849.1.7", **since(days=17)}],
            "events": [update(19, 17, "2026-11 Cumulative Update for Microsoft server operating system (KB5046616)")],
        },
    },
)

HOSTS = (
    WindowsHost(
        name="win-2022-healthy",
        change={
            "win.services": {
                "expected": [{"Name": "W3SVC"}],
                "services": [
                    service("W3SVC", "World Wide Web Publishing Service", State="Running"),
                    service("edgeupdate", "Microsoft Edge Update Service (edgeupdate)", Delayed=True),
                    service("sppsvc", "Software Protection", Delayed=True, Trigger=True),
                ],
            }
        },
        expect=Expectations(services=("W3SVC",), ports=("tcp/80", "tcp/443"), names=("erp.nord.example",)),
    ),
    WindowsHost(
        name="win-2022-portal",
        change=PORTAL,
        expect=Expectations(services=("W3SVC",), ports=("tcp/80", "tcp/443"), names=("erp.nord.example",)),
    ),
    WindowsHost(
        name="win-2019-full-drive",
        change=FULL_DRIVE,
        powershell="5.1.17763.6414",
        expect=Expectations(services=("Spooler", "LanmanServer"), ports=("tcp/445",), names=("erp.nord.example",)),
    ),
    WindowsHost(
        name="win-2016-clock",
        change=LATE_CLOCK,
        powershell="5.1.14393.7426",
        slow_s=2820,
        expect=Expectations(services=("NordErp",), ports=("tcp/8443",), names=("erp.nord.example",)),
    ),
    WindowsHost(name="win-10-ru", change=RUSSIAN, powershell="5.1.19041.5129"),
    WindowsHost(
        name="win-2025-ps7",
        change=SEVEN,
        powershell="7.4.6",
        expect=Expectations(
            services=("W3SVC", "NordAgent"),
            ports=("tcp/80", "tcp/8080", "tcp/445"),
            names=("erp.nord.example", "relay.nord.example"),
        ),
    ),
    WindowsHost(
        name="win-2012r2-storage",
        change=OLD_STORAGE,
        powershell="5.1.14409.1018",
        expect=Expectations(names=("erp.nord.example",)),
    ),
    WindowsHost(name="win-11-user", change=PLAIN_USER, powershell="5.1.22621.4391", admin=False),
    WindowsHost(name="win-11-home", change=HOME, powershell="5.1.26100.1591"),
)


def main() -> None:
    """Write every capture."""
    for host in HOSTS:
        (CAPTURES / f"{host.name}.evidence").write_bytes(encode_evidence(*evidence_of(host)))


if __name__ == "__main__":
    main()
