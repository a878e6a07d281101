"""The network: addresses and gateways, links, names."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.windows.asking import PLATFORMS, Item, question, read, strings
from diagnostics.probe import Facts, Probe
from remote.answer import Answer

_NETWORK = r"""
Ask adapters { Get-CimInstance Win32_NetworkAdapterConfiguration -Filter 'IPEnabled=TRUE' | ForEach-Object {
        @{ Index = [int]$_.InterfaceIndex; Name = $_.Description; Service = $_.ServiceName; Addresses = @($_.IPAddress)
            Gateways = @($_.DefaultIPGateway)
            Servers = @($_.DNSServerSearchOrder); Dhcp = $_.DHCPEnabled; DhcpServer = $_.DHCPServer } } }
"""
_CLUSTER = "netft"
"""The driver of the adapter by which the nodes of a failover cluster speak: 169.254/16 is its own."""
_V4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


def parse_network(answer: Answer) -> Facts:
    r"""Return the adapters that speak IP, with their addresses.

    `self_assigned` asked DHCP and has an address of 169.254/16 and no other; who was given one by hand was meant to have it.

    >>> from remote.answer import answered
    >>> facts = parse_network(answered(
    ...     b'{"of":"adapters","it":{"Index":12,"Name":"vmxnet3 Ethernet Adapter","Service":"vmxnet3ndis6",'
    ...     b'"Addresses":{"value":["169.254.10.2","fe80::1"],"Count":2},'
    ...     b'"Gateways":[null],"Servers":[],"Dhcp":true,"DhcpServer":null}}\n'
    ...     b'{"of":"adapters","ended":"ok","count":1}\n'))
    >>> facts["adapters"][0]["self_assigned"], facts["gateways"]
    (True, [])
    """
    items = read("win.network", answer)["adapters"]
    found = [_adapter(one) for one in items.usable()]
    gateways = [one.texts("Gateways") for one in items.usable()]
    return {"adapters": found, "gateways": [address for listed in gateways for address in listed], "at": items.at}


def _adapter(one: Item) -> dict[str, Any]:
    addresses = one.texts("Addresses")
    v4 = [address for address in addresses if _V4.fullmatch(address)]
    asked = one.flag("Dhcp") and not (one.has("Service") and one.text("Service").lower() == _CLUSTER)
    return {
        "adapter": one.text("Name"),
        "addresses": strings(v4 or addresses, most=3),
        "dhcp": one.flag("Dhcp"),
        "self_assigned": asked and bool(v4) and all(address.startswith("169.254.") for address in v4),
        "name_servers": one.texts("Servers"),
        "at": one.at,
    }


_LINKS = r"""
Ask links { Get-NetAdapter -Physical | Where-Object { [int]$_.MediaConnectionState -eq 1 } | ForEach-Object {
        $a = $_
        $s = try { $a | Get-NetAdapterStatistics } catch { $null }
        @{ Name = $a.Name; Model = $a.InterfaceDescription; Media = [int]$a.MediaConnectionState
            Speed = [int64]$a.ReceiveLinkSpeed; Wired = [int]$a.NdisPhysicalMedium -in 0, 14
            Counted = $null -ne $s; Received = $s.ReceivedUnicastPackets; Sent = $s.SentUnicastPackets
            BadIn = $s.ReceivedPacketErrors; BadOut = $s.OutboundPacketErrors; LostIn = $s.ReceivedDiscardedPackets } } }
"""


def parse_links(answer: Answer) -> Facts:
    """Return the physical adapters with a link: its speed, and the share of packets that came damaged since they started."""
    items = read("win.links", answer)["links"].usable("a list of network adapters")
    return {"links": [_link(one) for one in items if one.integer("Media") == 1]}


def _link(one: Item) -> dict[str, Any]:
    link = {
        "link": one.text("Name"),
        "model": one.text("Model"),
        "wired": one.flag("Wired"),
        "mbit_s": one.integer("Speed") // 1_000_000,
        "at": one.at,
    }
    if not one.flag("Counted"):
        return link
    packets, bad = one.integer("Received") + one.integer("Sent"), one.integer("BadIn") + one.integer("BadOut")
    if min(packets, bad) < 0:
        raise one.odd("BadIn")
    return link | {"errors": bad, "error_percent": round(100 * bad / max(1, packets + bad), 3)}


_NAMES = r"""
$c = Get-CimInstance Win32_ComputerSystem
$asked = @($names -split ' ' | Where-Object { $_ } | ForEach-Object { @{ Name = $_; Domain = $false } })
if ($c.PartOfDomain) { $asked += @{ Name = $c.Domain; Domain = $true } }
Ask names {
    foreach ($one in $asked) {
        $clock = [Diagnostics.Stopwatch]::StartNew()
        $code = 0
        $found = @()
        try {
            $found = @([Net.Dns]::GetHostAddresses($one.Name) | ForEach-Object { [string]$_ })
        } catch {
            $base = $_.Exception.GetBaseException()
            $code = if ($base -is [Net.Sockets.SocketException]) { $base.ErrorCode } else { -1 }
        }
        @{ Name = $one.Name; Domain = $one.Domain; Addresses = $found; Error = $code
            Milliseconds = $clock.ElapsedMilliseconds }
    }
}
"""
_LOOKED_UP = {11001: "no_such_name", 11002: "no_answer", 11003: "refused", 11004: "no_address"}
"""WSAHOST_NOT_FOUND, WSATRY_AGAIN, WSANO_RECOVERY, WSANO_DATA."""


def parse_names(answer: Answer) -> Facts:
    """Return which of the expected names, and of the machine's own domain, resolve."""
    items = read("win.names", answer)["names"]
    lookups = [_lookup(one) for one in items.usable()]
    declared = [one for one in lookups if not one["domain"]]
    failed = [one for one in declared if not one["resolved"]]
    return {
        "lookups": lookups,
        "declared": len(declared),
        "failed": len(failed),
        "failed_names": strings([one["name"] for one in lookups if not one["resolved"]]),
        "domain_failed": any(one["domain"] and not one["resolved"] for one in lookups),
        "why": next((one["why"] for one in lookups if one["why"]), ""),
        "at": items.at,
    }


def _lookup(one: Item) -> dict[str, Any]:
    error = one.integer("Error")
    resolved = error == 0 and bool(one.texts("Addresses"))
    return {
        "name": one.text("Name"),
        "domain": one.flag("Domain"),
        "resolved": resolved,
        "why": "" if resolved else _LOOKED_UP.get(error, f"error {error}"),
        "ms": one.integer("Milliseconds"),
        "at": one.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=question("win.network", _NETWORK),
        parse=parse_network,
        summary="Addresses, gateways and name servers of the adapters",
        shape={
            "adapters": [
                {
                    "adapter": "str",
                    "addresses": "str",
                    "dhcp": "bool",
                    "self_assigned": "bool",
                    "name_servers": ["str"],
                    "at": "at",
                }
            ],
            "gateways": ["str"],
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.links", _LINKS, deadline_s=20),
        parse=parse_links,
        summary="Speed and errors of the physical adapters' links",
        shape={
            "links": [
                {
                    "link": "str",
                    "model": "str",
                    "wired": "bool",
                    "mbit_s": "int",
                    "errors": "int?",
                    "error_percent": "float? percent",
                    "at": "at",
                }
            ]
        },
        platforms=PLATFORMS,
    ),
    Probe(
        question=question("win.names", _NAMES, deadline_s=40, variables=(("names", ""),)),
        parse=parse_names,
        summary="Whether the names resolve that the host needs, its domain among them",
        shape={
            "lookups": [{"name": "str", "domain": "bool", "resolved": "bool", "why": "str", "ms": "int", "at": "at"}],
            "declared": "int",
            "failed": "int",
            "failed_names": "str",
            "domain_failed": "bool",
            "why": "str",
            "at": "at",
        },
        platforms=PLATFORMS,
    ),
)
