"""Network interfaces and the way out, from sysfs and the kernel's own route tables."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

from diagnostics.parsing import ASKING, SHORT, Line, Source, at, integer, read_sources
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_INTERFACES_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + SHORT
    + r"""
value() { # KEY FILE: nothing where the kernel has no such file
  [ -r "$2" ] || return 0
  read -r value <"$2" || return
  told="$told $1=$value"
}
interfaces() {
  told=''
  for net in "$@"; do
    told="${told}interface=${net##*/}"
    value flags "$net/flags" || return
    value type "$net/type" || return
    value state "$net/operstate" || return
    value ups "$net/carrier_up_count" || return
    value downs "$net/carrier_down_count" || return
    [ ! -e "$net/device" ] || told="$told hardware=yes"
    for upper in "$net"/upper_*; do
      [ ! -e "$upper" ] || { told="$told below=${upper##*/upper_}"; break; }
    done
    told=$told$nl
  done
  printf %s "$told"
}
set -- /sys/class/net/*
if [ ! -d /sys/class/net ]; then absent interfaces /sys/class/net
elif [ -e "$1" ]; then ask interfaces interfaces "$@"
else absent interfaces 'a network interface'
fi
set --
for table in /proc/net/route /proc/net/if_inet6; do
  [ ! -e "$table" ] || set -- "$@" "$table"
done
if [ "$#" = 0 ]; then absent tables '/proc/net/route and /proc/net/if_inet6'; else ask tables short "$@"; fi
"""
)
_INTERFACE = re.compile(r"interface=\S+(?: [a-z]+=\S*)+")
_UP = 0x1
_ETHERNET = 1
"""include/uapi/linux/if.h (IFF_UP) and if_arp.h (ARPHRD_ETHER)."""
_ROUTE = re.compile(
    r"(?P<name>\S+)\t(?P<to>[0-9A-F]{8})\t(?P<by>[0-9A-F]{8})\t(?P<flags>[0-9A-F]{4})\t(?:\S+\t){3}(?P<mask>[0-9A-F]{8})\t.*"
)
_ROUTE_UP = 0x1
_ADDRESS6 = re.compile(r"[0-9a-f]{32} [0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2} +(?P<name>\S+)")


def parse_interfaces(answer: Answer) -> Facts:
    r"""Return the Ethernet interfaces that are switched on, whether each has its link, and what was set up on it.

    `down`: the kernel says operstate `down` or `lowerlayerdown`. `configured`: it carries routes or an IPv6 address, or a
    bridge, bond or VLAN lies on it. `hardware`: a device, not a bridge that is down because it has no ports. `lost`: it
    had its link since it appeared, and lost it (carrier counts, Linux 4.16).
    `default_route`: the main table's IPv4 default goes through it. Raises NothingThere where there is none but loopback.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_interfaces(answered(f'''@longarm {mark[1:]}
    ... {mark} source interfaces
    ... interface=ens3 flags=0x1003 type=1 state=down ups=1 downs=2 hardware=yes
    ... interface=lo flags=0x9 type=772 state=unknown ups=0 downs=0
    ...
    ... {mark} end 0
    ... {mark} source tables
    ... Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
    ... ens3\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(item["interface"], item["down"], item["configured"], item["lost"]) for item in facts["interfaces"]]
    [('ens3', True, True, True)]
    """
    sources = read_sources("net.if", answer)
    configured, ways_out = _set_up(sources["tables"])
    found = [_interface(line, configured, ways_out) for line in sources["interfaces"].usable().lines]
    interfaces = [one for one in found if one]
    if not interfaces:
        raise NothingThere("net.if", "an Ethernet interface that is switched on")
    return {"interfaces": interfaces}


def _interface(line: Line, configured: set[str], ways_out: set[str]) -> dict[str, Any] | None:
    """Return what is known of an interface; None for one that is switched off, or no Ethernet."""
    if not _INTERFACE.fullmatch(line.text):
        raise ParseError("net.if", line.data)
    values = dict(part.split("=", 1) for part in line.text.split(" "))
    if not {"flags", "type", "state"} <= set(values) or not re.fullmatch("0x[0-9a-f]{1,8}", values["flags"]):
        raise ParseError("net.if", line.data)
    if integer("net.if", values["type"]) != _ETHERNET or not int(values["flags"], 16) & _UP:
        return None
    name, down = values["interface"], values["state"] in ("down", "lowerlayerdown")
    counted = "ups" in values
    return {
        "interface": name,
        "down": down,
        "configured": name in configured or "below" in values,
        "hardware": "hardware" in values,
        **({"lost": down and integer("net.if", values["ups"]) > 0} if counted else {}),
        "default_route": name in ways_out,
        "at": at("net.if", line.number),
    }


def _set_up(tables: Source) -> tuple[set[str], set[str]]:
    """Return the interfaces that carry routes or IPv6 addresses, and those that an IPv4 default goes through."""
    configured, ways_out = set[str](), set[str]()
    for line in () if tables.status is None else tables.usable().lines:
        if match := _ADDRESS6.fullmatch(line.text):
            configured.add(match["name"])
        elif match := _ROUTE.fullmatch(line.text.rstrip(" ")):
            if int(match["flags"], 16) & _ROUTE_UP:
                configured.add(match["name"])
                ways_out |= {match["name"]} if _is_default(match) else set()
        elif not line.data.startswith(b"Iface\t"):
            raise ParseError(tables.question, line.data)
    return configured, ways_out


def _is_default(route: re.Match[str]) -> bool:
    """Tell whether a route leads anywhere: also in two halves, as VPNs set it (0.0.0.0/1 and 128.0.0.0/1)."""
    return (route["to"], route["mask"]) in (("00000000", "00000000"), ("00000000", "00000080"))


_ROUTES_SCRIPT = (
    ASKING
    + "tab='\t'\n"
    + r"""
# a default route in the main tables is what nearly every host has: other tables are asked only where there is none
set --
for table in /proc/net/route /proc/net/ipv6_route; do
  [ ! -e "$table" ] || set -- "$@" "$table"
done
leads_out() { # the fields of a line of /proc/net/route: whether that is up, and to anywhere
  case $4$2$8 in *[13579BDF]0000000000000000) ;; *) return 1 ;; esac
}
first_way() { # a default route among the first lines of IPv4's table: read without a process
  rows=0
  while IFS= read -r line; do
    rows=$((rows + 1))
    [ "$rows" -lt 16 ] || return
    set -f; IFS=$tab
    # shellcheck disable=SC2086  # its fields
    if leads_out $line; then found=$line; fi
    unset IFS; set +f
    [ -z "$found" ] || return 0
  done </proc/net/route
}
ways() { # IPv4 lines with destination 0, IPv6 lines with ::/0 or ::/1; without the refusal that IPv6 keeps on lo
  if [ -r /proc/net/route ] && first_way && [ -n "$found" ]; then printf '%s\n' "$found"; return; fi
  found=$(sed -n '/ lo$/d
/^[^	]*	00000000	/p
/^0\{32\} 0[01] /p' "$@") || return
  [ -z "$found" ] || printf '%s\n' "$found"
}
found=
if [ "$#" = 0 ]; then absent ways '/proc/net/route and /proc/net/ipv6_route'; else ask ways ways "$@"; fi
if [ -n "$found" ]; then absent tables 'no need: there is a default route'; else ask_tool tables ip -j route show table all; fi
interfaces() {
  set --
  for net in /sys/class/net/*; do set -- "$@" "${net##*/}"; done
  printf '%s\n' "$@"
}
ask interfaces interfaces
"""
)
_ROUTE6 = re.compile(r"0{32} 0[01] 0{32} 00 (?P<by>[0-9a-f]{32}) (?:[0-9a-f]{8} ){3}(?P<flags>[0-9a-f]{8}) +(?P<name>\S+)")
_REJECT = 0x0200
"""include/uapi/linux/route.h: RTF_REJECT (unreachable, blackhole)."""


def parse_routes(answer: Answer) -> Facts:
    r"""Return whether a default route leads out, through which interface and gateway.

    `default` looks at the main tables of IPv4 and IPv6; `elsewhere` at all others, and is left out where they could not be
    seen (busybox has no `ip -j`). Raises NothingThere where there is no interface but loopback.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_routes(answered(f'''@longarm {mark[1:]}
    ... {mark} source ways
    ... ens3\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
    ...
    ... {mark} end 0
    ... {mark} absent tables no need
    ... {mark} source interfaces
    ... ens3
    ... lo
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["default"], facts["interface"], facts["gateway"]
    (True, 'ens3', '10.77.0.1')
    """
    sources = read_sources("net.route", answer)
    interfaces = sources["interfaces"].usable()
    if {line.text for line in interfaces.lines} <= {"lo", "*"}:
        raise NothingThere("net.route", "a network interface besides loopback")
    ways = list(_defaults(sources["ways"]))
    line, interface, gateway = ways[0] if ways else (interfaces.lines[0].number, "", "")
    return {
        "default": bool(ways),
        **({"elsewhere": False} if ways else _elsewhere(sources["tables"])),
        "interface": interface,
        "gateway": gateway,
        "at": at("net.route", line),
    }


def _defaults(source: Source) -> Iterator[tuple[int, str, str]]:
    """Yield line, interface and gateway (empty for a line without one) of each default route of the main tables."""
    for line in () if source.status is None else source.usable().lines:
        if match := _ROUTE.fullmatch(line.text.rstrip(" ")):
            if int(match["flags"], 16) & _ROUTE_UP and _is_default(match):
                yield line.number, match["name"], _gateway(match["by"])
        elif match := _ROUTE6.fullmatch(line.text):
            if int(match["flags"], 16) & _ROUTE_UP and not int(match["flags"], 16) & _REJECT:
                yield line.number, match["name"], _gateway6(match["by"])
        else:
            raise ParseError(source.question, line.data)


def _gateway(hexadecimal: str) -> str:
    """Return an address as /proc/net/route writes it: little-endian, as on x86 and ARM.

    >>> _gateway("01004D0A"), _gateway("00000000")
    ('10.77.0.1', '')
    """
    return "" if hexadecimal == "00000000" else str(ipaddress.IPv4Address(bytes.fromhex(hexadecimal)[::-1]))


def _gateway6(hexadecimal: str) -> str:
    return "" if hexadecimal == "0" * 32 else str(ipaddress.IPv6Address(bytes.fromhex(hexadecimal)))


def _elsewhere(tables: Source) -> dict[str, bool]:
    """Return whether a table besides the main ones has a default route; nothing where that was not seen."""
    if tables.status != 0:
        return {}
    try:
        routes = json.loads(tables.data)
    except (ValueError, RecursionError):
        raise ParseError(tables.question, tables.data) from None
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise ParseError(tables.question, tables.data)
    return {"elsewhere": any(route.get("dst") == "default" and route.get("type", "unicast") == "unicast" for route in routes)}


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="net.if", script=_INTERFACES_SCRIPT, deadline_s=5, calm=True),
        parse=parse_interfaces,
        summary="Which network interfaces have lost their link",
        shape={
            "interfaces": [
                {
                    "interface": "str",
                    "down": "bool",
                    "configured": "bool",
                    "hardware": "bool",
                    "lost": "bool?",
                    "default_route": "bool",
                    "at": "at",
                }
            ]
        },
    ),
    Probe(
        question=Question(id="net.route", script=_ROUTES_SCRIPT, deadline_s=5, calm=True),
        parse=parse_routes,
        summary="Whether a default route leads out of the host's own network",
        shape={"default": "bool", "elsewhere": "bool?", "interface": "str", "gateway": "str", "at": "at"},
    ),
)
