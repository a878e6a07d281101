"""What the event log says: errors by what they are, failed logons and lockouts."""

from __future__ import annotations

import re
from typing import Any, Final

from diagnostics.library.windows.asking import FULL, PLATFORMS, Item, full, question, read, strings
from diagnostics.library.windows.disks import DISK_EVENTS, DISK_PROVIDERS
from diagnostics.probe import Facts, Probe, Redaction
from remote.answer import Answer
from remote.question import Privilege

_HARMLESS: Final = (
    ("System", "Microsoft-Windows-DistributedCOM", 10016),
    ("Application", "Microsoft-Windows-Perflib", 1008),
    ("Application", "Microsoft-Windows-Security-SPP", 8198),
    ("System", "Schannel", 36874),
    ("System", "Schannel", 36887),
    ("System", "Schannel", 36888),
    ("System", "TPM", 14),
    ("Application", "VSS", 8193),
)
"""Errors of healthy machines: a program that asks COM for more than it may, a scanner that offers old ciphers."""
_NO_HARM = frozenset((provider.lower(), number) for _, provider, number in _HARMLESS)


def _query() -> str:
    """Return which events are asked for: what healthy machines log too, by the thousand, would take the place of others."""
    errors = "*[System[(Level=1 or Level=2) and TimeCreated[timediff(@SystemTime) &lt;= 86400000]]]"
    lines = [f'<Select Path="{log}">{errors}</Select>' for log in ("System", "Application")]
    for log, provider, number in _HARMLESS:
        lines.append(f"<Suppress Path=\"{log}\">*[System[Provider[@Name='{provider}'] and EventID={number}]]</Suppress>")
    return "\n".join(['<QueryList><Query Id="0" Path="System">', *lines, "</Query></QueryList>"])


_EVENTS = (
    r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask computer { @{ Role = [int](Get-CimInstance Win32_ComputerSystem).DomainRole } }
$query = @'
QUERY
'@
Ask events {
    $e = @(Get-WinEvent -FilterXml $query -MaxEvents 2000)
    $g = @($e | Group-Object LogName, ProviderName, Id | Sort-Object { [int]$_.Group[0].Level -ne 1 }, { -$_.Count })
    $global:full = $e.Count -ge 2000 -or $g.Count -gt 60
    $g | Select-Object -First 60 | ForEach-Object {
        $e = $_.Group[0]
        @{ Log = $e.LogName; Provider = $e.ProviderName; Id = $e.Id; Level = [int]$e.Level; Count = $_.Count
            Last = ConvertTo-Utc $e.TimeCreated
            Data = @($e.Properties | Select-Object -First 4 | ForEach-Object { $t = [string]$_.Value
                    $t.Substring(0, [Math]::Min(120, $t.Length)) }) } }
}
""".replace("QUERY", _query())
    + FULL
)
_TOLD = frozenset(
    {
        ("eventlog", 6008),
        ("microsoft-windows-kernel-power", 41),
        ("microsoft-windows-wer-systemerrorreporting", 1001),
        ("microsoft-windows-windowsupdateclient", 20),
        *((provider.lower(), number) for provider in DISK_PROVIDERS for number in DISK_EVENTS),
    }
)
"""Errors that other checks tell, with what they mean; what else the same providers say is told here."""
_MEMBERS = (1, 3)
_JOINED = (1, 3, 4, 5)
_TOLD_IN_DOMAINS = {"netlogon": _MEMBERS, "microsoft-windows-grouppolicy": _JOINED}
"""Providers all of whose errors checks of the domain tell, and the roles (DomainRole of Win32_ComputerSystem) in which they do:
a controller has no secure channel of its own, and who is in no domain has none, and no policies."""


def parse_events(answer: Answer) -> Facts:
    """Return the errors of the System and Application logs in the last 24 hours, by log, provider and number.

    No message is asked for: it would be in the machine's language. `data` are the newest event's first values.
    `told` marks what other checks tell, `harmless` what healthy machines log too; that is not asked for, and should it come
    all the same, by a name that is written otherwise, it counts for nothing.
    """
    sources = read("win.events", answer)
    now = sources["clock"].one().moment("Now")
    role = sources["computer"].one().integer("Role")
    errors = [_error(one, now, role) for one in sources["events"].events()]
    return {"errors": errors, "full": full(sources), "at": sources["events"].at}


def _error(one: Item, now: int, role: int) -> dict[str, Any]:
    provider, number = one.text("Provider"), one.integer("Id")
    return {
        "log": one.text("Log"),
        "provider": provider,
        "event": number,
        "critical": one.integer("Level") == 1,
        "count": one.integer("Count"),
        "last_age_s": max(0, now - one.moment("Last")),
        "data": strings([text for text in one.texts("Data") if text], most=3),
        "told": (provider.lower(), number) in _TOLD or role in _TOLD_IN_DOMAINS.get(provider.lower(), ()),
        "harmless": (provider.lower(), number) in _NO_HARM,
        "at": one.at,
    }


_LOGONS = (
    r"""
Ask clock { @{ Now = ConvertTo-Utc (Get-Date) } }
Ask failures {
    $e = @(Get-WinEvent -FilterHashtable @{ LogName = 'Security'; Id = 4625
        StartTime = (Get-Date).AddHours(-24) } -MaxEvents 5000)
    $g = @($e | ForEach-Object {
        $p = @($_.Properties | ForEach-Object { $_.Value })
        $w = if ([int64]$p[9]) { $p[9] } else { $p[7] }
        @{ Key = '{0}|{1}|0x{2:X8}' -f $p[19], $p[10], $w; Time = $_.TimeCreated }
    } | Group-Object { $_.Key } | Sort-Object Count -Descending)
    $global:full = $e.Count -ge 5000 -or $g.Count -gt 60
    $g | Select-Object -First 60 | ForEach-Object {
        @{ Key = $_.Name; Count = $_.Count; Last = ConvertTo-Utc @($_.Group)[0].Time } }
}
Ask lockouts {
    Get-WinEvent -FilterHashtable @{ LogName = 'Security'; Id = 4740
        StartTime = (Get-Date).AddHours(-24) } -MaxEvents 500 | ForEach-Object {
        @{ User = [string]@($_.Properties)[0].Value; From = [string]@($_.Properties)[1].Value
            Time = ConvertTo-Utc $_.TimeCreated } }
}
Ask newest {
    $p = (Get-ItemProperty -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Control\ProductOptions').ProductType
    $i = if ($p -eq 'WinNT') { 4625 } else { 4624, 4625 }
    Get-WinEvent -FilterHashtable @{ LogName = 'Security'; Id = $i } -MaxEvents 1 |
    ForEach-Object { @{ Time = ConvertTo-Utc $_.TimeCreated } }
}
Ask oldest {
    Get-WinEvent -LogName Security -Oldest -MaxEvents 1 | ForEach-Object { @{ Time = ConvertTo-Utc $_.TimeCreated } }
}
"""
    + FULL
)
_KEY = re.compile(r"(?P<address>.*)\|(?P<kind>\d{1,3})\|(?P<code>0x[0-9A-Fa-f]{8})")
_WHY = {
    "0xc0000064": "no_such_user",
    "0xc000006a": "wrong_password",
    "0xc000006d": "wrong_name_or_password",
    "0xc000006e": "restricted",
    "0xc000006f": "not_at_this_hour",
    "0xc0000070": "not_from_this_machine",
    "0xc0000071": "password_expired",
    "0xc0000072": "account_disabled",
    "0xc000005e": "no_domain_controller",
    "0xc0000133": "clock_differs",
    "0xc000015b": "not_allowed_this_way",
    "0xc000018c": "trust_broken",
    "0xc000018d": "trust_broken",
    "0xc0000192": "netlogon_stopped",
    "0xc0000193": "account_expired",
    "0xc0000224": "password_must_change",
    "0xc0000234": "account_locked",
}
"""NTSTATUS of a refused logon (SubStatus of event 4625, Status where that is 0)."""
_DAY_S = 86400


def parse_logons(answer: Answer) -> Facts:
    """Return the refused logons of the last 24 hours by address and reason, and the accounts that were locked out.

    The names of refused users stay on the host: people type passwords there. A locked account is a real one.
    `audited`: a refused logon stands in the log, of whatever age, or on a server any logon. Windows 10 and 11 write none that
    was refused unless they are told to (auditing of logons: success by default, on servers failure too); a server that was
    told not to is not known for it. `reaches_back`: the log holds all of these hours; that
    of a busy host is overwritten within them. `full`: there were more refused logons than are counted. `failed` is left out
    where it would not be the whole number.
    """
    sources = read("win.logons", answer)
    now = sources["clock"].one().moment("Now")
    audited = bool(sources["newest"].events())
    reaches_back = any(now - one.moment("Time") >= _DAY_S for one in sources["oldest"].events())
    overfull = full(sources)
    failures = [_failure(one, now) for one in sources["failures"].events()]
    addresses = dict.fromkeys(one["address"] for one in failures)
    codes = dict.fromkeys(one["why"] for one in failures)
    return {
        "audited": audited,
        "reaches_back": reaches_back,
        **({"failed": sum(one["count"] for one in failures)} if audited and reaches_back and not overfull else {}),
        "full": overfull,
        "by_address": [_together(address, failures) for address in addresses],
        "by_reason": [{"why": why, "count": sum(one["count"] for one in failures if one["why"] == why)} for why in codes],
        "lockouts": [
            {
                "account": one.text("User"),
                "from": one.text("From"),
                "age_s": max(0, now - one.moment("Time")),
                "at": one.at,
            }
            for one in sources["lockouts"].events()
        ],
        "at": sources["failures"].at,
    }


def _failure(one: Item, now: int) -> dict[str, Any]:
    match = _KEY.fullmatch(one.text("Key"))
    if match is None:
        raise one.odd("Key")
    code = match["code"].lower()
    return {
        "address": match["address"].strip(" -") or "this machine",
        "why": _WHY.get(code, code),
        "count": one.integer("Count"),
        "age_s": max(0, now - one.moment("Last")),
        "at": one.at,
    }


def _together(address: str, failures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what came from one address, with its most frequent reason."""
    own = [one for one in failures if one["address"] == address]
    most = max(own, key=lambda one: int(one["count"]))
    return {
        "address": address,
        "count": sum(one["count"] for one in own),
        "why": most["why"],
        "age_s": min(one["age_s"] for one in own),
        "at": most["at"],
    }


_SECRETS = (
    Redaction(
        pattern=re.compile(rb"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key)[\"']?\s*[=:]\s*(?P<secret>[^\s,;\"\\]+)")
    ),
)

PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.events", _EVENTS, deadline_s=25, max_bytes=96 * 1024),
        parse=parse_events,
        summary="Errors in the System and Application logs of the last day",
        shape={
            "errors": [
                {
                    "log": "str",
                    "provider": "str",
                    "event": "int",
                    "critical": "bool",
                    "count": "int",
                    "last_age_s": "int seconds",
                    "data": "str",
                    "told": "bool",
                    "harmless": "bool",
                    "at": "at",
                }
            ],
            "full": "bool",
            "at": "at",
        },
        redact=_SECRETS,
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.logons", _LOGONS, deadline_s=40, privilege=Privilege.ROOT),
        parse=parse_logons,
        summary="Refused logons and locked accounts of the last day",
        shape={
            "audited": "bool",
            "reaches_back": "bool",
            "full": "bool",
            "failed": "int?",
            "by_address": [{"address": "str", "count": "int", "why": "str", "age_s": "int seconds", "at": "at"}],
            "by_reason": [{"why": "str", "count": "int"}],
            "lockouts": [{"account": "str", "from": "str", "age_s": "int seconds", "at": "at"}],
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
