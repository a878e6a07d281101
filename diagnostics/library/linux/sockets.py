"""Listening sockets, from the kernel's own tables."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from diagnostics.parsing import ASKING, Source, at, read_sources, whole
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + r"""
# the kernel lists TCP listeners first (state 0A): sed leaves at the first other row, or the kernel would have to
# write out every connection of a busy host
# shellcheck disable=SC2016  # the last line, to sed
leading_listeners='2,${
/^ *[0-9]*: [^ ]* [^ ]* 0A /!q
p
}'
for table in tcp tcp6; do
  if [ -e "/proc/net/$table" ]; then ask "$table" sed -n "$leading_listeners" "/proc/net/$table"
  else absent "$table" "/proc/net/$table"
  fi
done
set --
for table in udp udp6; do
  [ ! -e "/proc/net/$table" ] || set -- "$@" "/proc/net/$table"
done
if [ "$#" = 0 ]; then absent udp /proc/net/udp; else ask udp cat "$@"; fi
"""
)
_ROW = re.compile(
    rb" *\d+: (?P<address>[0-9A-F]{8}|[0-9A-F]{32}):(?P<port>[0-9A-F]{4}) (?:[0-9A-F]{8}|[0-9A-F]{32}):(?P<peer>[0-9A-F]{4})"
    rb" (?P<state>[0-9A-F]{2}) .*"
)
_HEAD = re.compile(rb" *sl +local_address +(?:rem|remote)_address +st .*")
_STATES = {"tcp": b"0A", "udp": b"07"}
"""include/net/tcp_states.h: LISTEN, and CLOSE, which for UDP means bound and not connected."""


def parse_listeners(answer: Answer) -> Facts:
    r"""Return what listens, by protocol and port: at which addresses, and whether anything but this host reaches it.

    Addresses stand in the tables as the host stores them: little-endian words (proc_pid_net(5)), as on x86 and ARM.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_listeners(answered(f'''@longarm {mark[1:]}
    ... {mark} source tcp
    ...    0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   104        0 16207 1 0 100 0 0 10 0
    ...    1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15943 1 0 100 0 0 10 0
    ...
    ... {mark} end 0
    ... {mark} absent tcp6 /proc/net/tcp6
    ... {mark} absent udp /proc/net/udp
    ... '''.encode()))
    >>> [(item["port"], item["addresses"], item["loopback_only"]) for item in facts["listeners"]]
    [('tcp/22', ['0.0.0.0'], False), ('tcp/5432', ['127.0.0.1'], True)]
    """
    sources = read_sources("net.listen", answer)
    found: dict[tuple[str, int], list[tuple[str, int]]] = {}
    if all(source.status is None for source in sources.values()):
        raise NothingThere("net.listen", "/proc/net/tcp")
    for source in sources.values():
        if source.status is not None:
            for protocol, address, port, line in _bound(source.usable()):
                found.setdefault((protocol, port), []).append((address, line))
    listeners = [_listener(protocol, port, places) for (protocol, port), places in sorted(found.items())]
    return {"listeners": listeners, "at": whole("net.listen", answer)}


def _listener(protocol: str, port: int, places: list[tuple[str, int]]) -> dict[str, Any]:
    addresses = sorted({address for address, _ in places})
    return {
        "port": f"{protocol}/{port}",
        "addresses": addresses,
        "loopback_only": all(ipaddress.ip_address(address).is_loopback for address in addresses),
        "at": at("net.listen", places[0][1]),
    }


def _bound(source: Source) -> Iterator[tuple[str, str, int, int]]:
    """Yield protocol, address, port and line of each row that waits for others."""
    protocol = source.name.removesuffix("6")
    if protocol not in _STATES:
        raise ParseError(source.question, f"source {source.name}".encode())
    for line in source.lines:
        if _HEAD.fullmatch(line.data):
            continue
        if not (match := _ROW.fullmatch(line.data)):
            raise ParseError(source.question, line.data)
        if match["state"] == _STATES[protocol] and match["peer"] == b"0000":
            yield protocol, _address(match["address"]), int(match["port"], 16), line.number


def _address(hexadecimal: bytes) -> str:
    """Return the address that a table shows as little-endian words; an IPv4 one inside IPv6 as IPv4.

    >>> _address(b"0100007F"), _address(b"00000000000000000000000001000000"), _address(b"0000000000000000FFFF00000100007F")
    ('127.0.0.1', '::1', '127.0.0.1')
    """
    raw = bytes.fromhex(hexadecimal.decode())
    address = ipaddress.ip_address(b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4)))
    return str(getattr(address, "ipv4_mapped", None) or address)


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="net.listen", script=_SCRIPT, deadline_s=5, calm=True),
        parse=parse_listeners,
        summary="Which TCP and UDP ports the host listens on, and at which addresses",
        shape={"listeners": [{"port": "str", "addresses": ["str"], "loopback_only": "bool", "at": "at"}], "at": "at"},
    ),
)
