"""The clock: whether anything keeps it right."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, Source, Sources, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + r"""
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
tracking() { # what it prints where its daemon does not answer (506 …) is no answer
  tracked=$(chronyc -c -n tracking) && printf '%s\n' "$tracked" && return
  set -- "$?"
  tracked=''
  return "$1"
}
kernel() { flags=$(timedatectl show -p NTPSynchronized -p NTP) && printf '%s\n' "$flags"; }
peers() { listed=$(ntpq -pn) || return; [ -z "$listed" ] || printf '%s\n' "$listed"; }
flags='' tracked='' listed=''
ask uptime uptime
if command -v chronyc >/dev/null; then ask chrony tracking; else absent chrony chronyc; fi
if command -v ntpq >/dev/null; then ask ntp peers; else absent ntp ntpq; fi
if [ -n "$tracked" ]; then absent kernel 'chrony answered'
elif [ -d /run/systemd/system ] && command -v timedatectl >/dev/null; then ask kernel kernel
else absent kernel timedatectl
fi
# who is not told who keeps the clock asks no more
[ -z "$flags$tracked$listed" ] || ask clock date +%s
# by which names the servers are known matters only where the clock is not kept right
case $flags$tracked$listed in
  '') absent servers 'nobody to say whether the clock is right' ;;
  *NTPSynchronized=yes*|*',Normal') absent servers 'the clock is synchronised' ;;
  *)
    set -- /etc/systemd/timesyncd.conf /etc/systemd/timesyncd.conf.d/*.conf /etc/chrony/chrony.conf /etc/chrony.conf \
      /etc/chrony/sources.d/*.sources /etc/ntp.conf /etc/ntpsec/ntp.conf
    for file in "$@"; do shift; [ ! -r "$file" ] || set -- "$@" "$file"; done
    if [ "$#" = 0 ]; then absent servers 'a list of time servers'
    else ask servers grep -hE '^[[:space:]]*(server|pool|peer|NTP|FallbackNTP)[[:space:]=]' "$@"
    fi ;;
esac
"""
)
_FIELDS_OF_TRACKING = 14
_LEAP = ("Normal", "Insert second", "Delete second", "Not synchronised")
"""All that chronyc(1) says of the leap status."""
_NUMERIC = re.compile(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")


def parse_clock(answer: Answer) -> Facts:
    r"""Return whether the clock is kept right, who says so, and, where it is not, by which names the servers are known.

    `by` is `chrony` (chronyc tracking: leap status, stratum, seconds since the last measurement used), `ntpd` (a
    selected peer) or `kernel` (NTPSynchronized of timedatectl: the kernel's own flag, which every daemon sets and which
    the kernel drops when its error bound passes 16 s, about nine hours after the last correction; adjtimex(2)).

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_clock(answered(f'''@longarm {mark[1:]}
    ... {mark} source uptime
    ... 5400.10
    ...
    ... {mark} end 0
    ... {mark} source clock
    ... 1795347671
    ...
    ... {mark} end 0
    ... {mark} absent chrony chronyc
    ... {mark} absent ntp ntpq
    ... {mark} source kernel
    ... NTP=yes
    ... NTPSynchronized=no
    ...
    ... {mark} end 0
    ... {mark} source servers
    ... NTP=ntp.nord.example
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["synchronized"], facts["by"], facts["servers_by_name"]
    (False, 'kernel', True)
    """
    sources = read_sources("time.now", answer)
    uptime, verdict = _number(sources["uptime"]), _verdict(sources)
    servers = _servers(sources["servers"])
    return {
        "uptime_s": int(uptime),
        "clock_s": _clock_s(sources),
        "servers": servers,
        "servers_by_name": any(not _NUMERIC.fullmatch(server) for server in servers),
        **verdict,
    }


def _line(source: Source) -> bytes:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0].data


def _number(source: Source) -> float:
    return decimal(source.question, _line(source))


def _clock_s(sources: Sources) -> int:
    """Return the time of the answer; only those are asked for it who were told who keeps their clock."""
    return integer("time.now", _line(sources["clock"]))


def _verdict(sources: Sources) -> dict[str, Any]:
    """Return what the first source that knows says: chrony, ntpd, the kernel.

    A daemon that is installed and does not answer (chronyc ends with 1, ntpq says «Connection refused») knows nothing;
    the kernel's flag then decides, and where that cannot be read either, the daemon's failure stands.
    """
    chrony, ntp, kernel = sources["chrony"], sources["ntp"], sources["kernel"]
    if chrony.status == 0:
        return _chrony(chrony, _clock_s(sources))
    if ntp.status == 0 and ntp.lines:
        return _ntpd(ntp)
    if kernel.status is not None:
        return _kernel(kernel.usable())
    for source in (chrony, ntp):
        if source.status is not None:
            source.usable()
    raise NothingThere("time.now", "chronyc, ntpq or timedatectl")


def _chrony(source: Source, clock_s: int) -> dict[str, Any]:
    fields = _line(source).decode("ascii", "replace").split(",")
    if len(fields) != _FIELDS_OF_TRACKING:
        raise ParseError(source.question, source.data)
    stratum, reference_s = integer(source.question, fields[2]), decimal(source.question, fields[3])
    if fields[13] not in _LEAP:
        raise ParseError(source.question, source.data)
    synchronized = fields[13] != "Not synchronised"
    return {
        "synchronized": synchronized,
        "by": "chrony",
        "stratum": stratum,
        **({"stale_s": max(0, int(clock_s - reference_s))} if synchronized else {}),
        "at": source.at,
    }


def _ntpd(source: Source) -> dict[str, Any]:
    """Return whether ntpd selected a peer: its row begins with `*`, or with `o` for a pulse (ntpq(8))."""
    rows = [line for line in source.lines if line.data[:1] in b" *o+-#x." and len(line.data.split()) >= 10]
    if not rows:
        raise ParseError(source.question, source.data)
    peers = [line for line in rows if not line.data.lstrip().startswith(b"remote ")]
    selected = next((line for line in peers if line.data[:1] in (b"*", b"o")), None)
    if selected is None:
        return {"synchronized": False, "by": "ntpd", "at": source.at}
    stratum = integer(source.question, selected.data.split()[2])
    return {"synchronized": True, "by": "ntpd", "stratum": stratum, "at": at(source.question, selected.number)}


def _kernel(source: Source) -> dict[str, Any]:
    flags = dict(line.text.split("=", 1) for line in source.lines if "=" in line.text)
    if flags.get("NTPSynchronized") not in ("yes", "no"):
        raise ParseError(source.question, source.data)
    return {"synchronized": flags["NTPSynchronized"] == "yes", "by": "kernel", "at": source.at}


def _servers(source: Source) -> list[str]:
    """Return the names and addresses of the time servers in the daemons' files; grep's 1 means that there are none."""
    if source.status is None:
        return []
    found = []
    for line in source.usable(1).lines:
        words = re.split(r"[\s=]+", text_of(line.data).strip())
        found += words[1:] if words[0] in ("NTP", "FallbackNTP") else words[1:2]
    return [word for word in found if word]


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="time.now", script=_SCRIPT, deadline_s=15, calm=True),
        parse=parse_clock,
        summary="Whether the clock is kept right, and by whom",
        shape={
            "uptime_s": "int seconds",
            "clock_s": "int seconds",
            "synchronized": "bool",
            "by": "str",
            "stratum": "int?",
            "stale_s": "int? seconds",
            "servers": ["str"],
            "servers_by_name": "bool",
            "at": "at",
        },
    ),
)
