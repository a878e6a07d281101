"""Memory: what is left of it, how much tasks wait for it, and, where little is left, who holds the most."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, SHORT, Source, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + SHORT
    + r"""
meminfo() { # 1.5 KB; where they are more than is short, those lines that matter come first
  short /proc/meminfo || return
  memory=$said
}
kilobytes() { # the figure of the line $1, into $figure
  figure=${memory#*"$1:"}
  figure=${figure%% kB*}
  figure=${figure##* }
  case $figure in ''|*[!0-9]*) return 1 ;; esac
}
little() { # less than 15 % available, the bound at which a shortage ends
  kilobytes MemTotal && total=$figure && kilobytes MemAvailable && [ "$((figure * 100))" -lt "$((total * 15))" ]
}
ask meminfo meminfo
pressure() { # two short lines: a process would cost the host more
  told=''
  while IFS= read -r line; do told="$told$line$nl"; done </proc/pressure/memory || return
  if [ -n "$told" ]; then printf %s "$told"; else cat /proc/pressure/memory; fi # which says why there is nothing
}
if [ -r /proc/pressure/memory ]; then ask pressure pressure; else absent pressure /proc/pressure/memory; fi
if little; then ask processes grep -hE '^(Name|Pid|VmRSS):' /proc/[0-9]*/status
else absent processes 'enough memory is available'
fi
"""
)
_PRESSURE = re.compile(rb"(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=\d+")
_KEPT = 5


def parse_memory(answer: Answer) -> Facts:
    r"""Return how much memory there is, is available and is swapped, in bytes, and who holds the most of it.

    `available_percent` is MemAvailable of MemTotal (proc_meminfo(5)); kernels before 3.14 do not say it. `pressure`
    holds one item where the kernel measures it (4.20 and later, unless booted with psi=0). `largest` holds the five
    biggest processes by resident memory, only where less than 15 % is available.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_memory(answered(f'''@longarm {mark[1:]}
    ... {mark} source meminfo
    ... MemTotal:         995328 kB
    ... MemFree:          683184 kB
    ... MemAvailable:     789504 kB
    ... SwapTotal:             0 kB
    ... SwapFree:              0 kB
    ...
    ... {mark} end 0
    ... {mark} source pressure
    ... some avg10=0.00 avg60=0.12 avg300=0.00 total=65932
    ... full avg10=0.00 avg60=0.00 avg300=0.00 total=29310
    ...
    ... {mark} end 0
    ... {mark} absent processes enough memory is available
    ... '''.encode()))
    >>> facts["available_percent"], facts["pressure"], facts["largest"]
    (79.32, [{'some_avg60': 0.12, 'full_avg60': 0.0}], [])
    """
    sources = read_sources("mem.info", answer)
    meminfo = sources["meminfo"].usable()
    figures = dict(_figure(meminfo.question, line.data) for line in meminfo.lines)
    total = figures.get("MemTotal", 0)
    if total <= 0 or "SwapTotal" not in figures or "SwapFree" not in figures:
        raise ParseError("mem.info", meminfo.data)
    facts: dict[str, Any] = {
        "total_bytes": total * 1024,
        "swap_total_bytes": figures["SwapTotal"] * 1024,
        "swap_free_bytes": figures["SwapFree"] * 1024,
        **_swap_percent(figures["SwapTotal"], figures["SwapFree"]),
        "pressure": (pressure := _pressure(sources["pressure"])),
        **({"pressure_at": sources["pressure"].at} if pressure else {}),
        "largest": _largest(sources["processes"]),
        "at": meminfo.at,
    }
    if (available := figures.get("MemAvailable")) is None:
        return facts
    lines = [line.number for line in meminfo.lines if line.data.startswith((b"MemTotal:", b"MemAvailable:"))]
    return facts | {
        "available_bytes": available * 1024,
        "available_percent": round(100 * available / total, 2),
        "at": at("mem.info", min(lines), max(lines)),
    }


def _swap_percent(total: int, free: int) -> dict[str, float]:
    """Return how much of the swap is used, nothing on a host without."""
    return {"swap_used_percent": round(100 * (total - free) / total, 2)} if total > 0 else {}


def _figure(question: str, line: bytes) -> tuple[str, int]:
    """Return name and value of a line; a few lines count pages, not kB, and have no unit."""
    if not (match := re.fullmatch(rb"([A-Za-z0-9_()]+):\s+(\d+)(?: kB)?", line)):
        raise ParseError(question, line)
    return text_of(match[1]), integer(question, match[2])


def _pressure(source: Source) -> list[dict[str, float]]:
    """Return the share of the last minute in which some or all tasks waited for memory, in percent; empty: not measured.

    A kernel booted with psi=0 has the file and refuses to read it («Operation not supported»).
    """
    if source.status is None or (source.status != 0 and b"not supported" in source.stderr):
        return []
    rows = {}
    for line in source.usable().lines:
        if not (match := _PRESSURE.fullmatch(line.data)):
            raise ParseError(source.question, line.data)
        rows[text_of(match[1])] = decimal(source.question, match[3])
    if set(rows) != {"some", "full"}:
        raise ParseError(source.question, source.data)
    return [{"some_avg60": rows["some"], "full_avg60": rows["full"]}]


def _largest(source: Source) -> list[dict[str, Any]]:
    """Return the biggest processes; grep's status 2 only means that one of them was gone before it was read."""
    if source.status is None:
        return []
    found: list[dict[str, Any]] = []
    process: dict[str, Any] = {}
    for line in source.usable(2).lines:
        name, colon, value = line.data.partition(b":")
        if not colon:
            raise ParseError(source.question, line.data)
        if name == b"Name":
            process = {"process": text_of(value.strip()), "at": at(source.question, line.number)}
        elif name == b"Pid":
            process["pid"] = integer(source.question, value.strip())
        elif name == b"VmRSS" and "pid" in process and value.endswith(b" kB"):
            size = integer(source.question, value.removesuffix(b" kB").strip()) * 1024
            place = at(source.question, process.pop("at")["first"], line.number)
            found.append({**process, "resident_bytes": size, "at": place})
            process = {}
        else:
            raise ParseError(source.question, line.data)
    return sorted(found, key=lambda item: (-item["resident_bytes"], item["pid"]))[:_KEPT]


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="mem.info", script=_SCRIPT, deadline_s=5, calm=True),
        parse=parse_memory,
        summary="How much memory is available, how much tasks wait for it, and who holds the most where little is left",
        shape={
            "total_bytes": "int bytes",
            "available_bytes": "int? bytes",
            "available_percent": "float? percent",
            "swap_total_bytes": "int bytes",
            "swap_free_bytes": "int bytes",
            "swap_used_percent": "float? percent",
            "pressure": [{"some_avg60": "float percent of time", "full_avg60": "float percent of time"}],
            "pressure_at": "at?",
            "largest": [{"process": "str", "pid": "int", "resident_bytes": "int bytes", "at": "at"}],
            "at": "at",
        },
    ),
)
