"""Load, the shares of processor time, and swapping: gauges that the kernel averages itself, and rates from two samples.

Counters since the boot say nothing of now. They are read before and after all other questions, which gives their growth
at no cost of time. Of a window shorter than `LONG_S` only calm can be told: our own questions fill it. So where a gauge
says that something may be wrong, the second sample looks once more, two seconds later, with nothing of ours in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, Source, Sources, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

LONG_S = 1.9
"""From when on a window may prove something: the two seconds of a second look, less what sleep and clock round off."""
MIN_TICKS = 5
"""Fewer ticks of all processors together make no share (a tick is 10 ms of one processor: USER_HZ, proc_stat(5))."""

_COUNTERS = (
    ASKING
    + r"""
first_line() { IFS= read -r line <"$1" && printf '%s\n' "$line"; }
swaps() { [ -r /proc/swaps ] && { read -r line && read -r line; } </proc/swaps; }
counters() {
  ask "uptime$1" first_line /proc/uptime
  ask "ticks$1" first_line /proc/stat
  if swaps; then ask "paging$1" grep -E '^pswp(in|out) ' /proc/vmstat; else absent "paging$1" 'swap'; fi
}
"""
)
_FIRST = _COUNTERS + "counters ''\n"
_SECOND = (
    _COUNTERS
    + "nl='\n'\n"
    + r"""
pressure() { # "some", then "full", which no kernel before 5.13 has for the processor
  told=''
  while IFS= read -r line; do told="$told$line$nl"; done <"/proc/pressure/$1"
  printf %s "$told"
}
waiting() { # at least 10 % of the last ten seconds
  read -r line </proc/pressure/"$1" || return 1
  line=${line#*avg10=}
  case ${line%%.*} in [1-9][0-9]|100) ;; *) return 1 ;; esac
}
loaded() { # as many tasks as processors, or more; $cores as "0-3,8"
  read -r tasks line </proc/loadavg && IFS= read -r cores </sys/devices/system/cpu/online || return 1
  count=0 IFS=,
  for range in $cores; do count=$((count + ${range#*-} - ${range%-*} + 1)); done
  unset IFS
  [ "${tasks%%.*}" -ge "$count" ]
}
stolen() { # more than 2 % since the boot: this hypervisor does withhold time
  read -r line user nice system idle iowait irq softirq steal line </proc/stat || return 1
  [ "$((steal * 50))" -gt "$((user + nice + system + idle + iowait + irq + softirq + steal))" ]
}
young() { # less than a tenth of a second since our shell began: too little for a share of anything
  if ! read -r up line </proc/uptime || ! read -r line <"/proc/$$/stat"; then return 1; fi
  # shellcheck disable=SC2086  # the fields after the name, which may hold anything; the 20th of them is the start
  set -- ${line##*) }
  [ "$((${up%.*} * 100 + 1${up#*.} - 100 - ${20}))" -lt 10 ]
}
if young; then sleep 0.1; fi
counters ''
ask load first_line /proc/loadavg
if [ -r /sys/devices/system/cpu/online ]; then ask processors first_line /sys/devices/system/cpu/online
else ask counted grep -c '^cpu[0-9]' /proc/stat; fi
for what in cpu io; do
  if [ -r "/proc/pressure/$what" ]; then ask "pressure_$what" pressure "$what"
  else absent "pressure_$what" "/proc/pressure/$what"; fi
done
if [ -r /proc/pressure/io ]; then suspect() { waiting io || waiting memory; }; else suspect() { loaded; }; fi
if stolen || suspect; then
  sleep 2
  counters _again
fi
"""
)
_LOAD = re.compile(rb"(\d+\.\d\d) (\d+\.\d\d) (\d+\.\d\d) (\d+)/(\d+) \d+")
_PRESSURE = re.compile(rb"(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=\d+")
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_PAGING = re.compile(rb"(pswpin|pswpout) (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Counters since the boot, as they stood at one moment."""

    uptime_s: float
    ticks: dict[str, int]
    pages: dict[str, int] | None
    """None: the host has no swap."""


def parse_delta(first: Answer, last: Answer) -> Facts:
    r"""Return load, processors, the shares of processor time and the rates of swapping between two samples.

    `load` are the mean numbers of tasks that run or wait, in the last 1, 5 and 15 minutes (proc_loadavg(5));
    `stalled` the share of the last minute and five minutes in which some tasks waited for a processor or for I/O, one item
    where the kernel measures that. `window_s` is the time between the samples; `steal_percent` and `iowait_percent` are of the
    time of all processors; one that grew is left out where there were too few ticks. What is called `proven` is the same
    figure again, there only if the window was long enough to prove something. `swap` has no item on a host without swap.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> def counters(uptime: str, ticks: str, swapped: int) -> str:
    ...     return "\n".join(
    ...         f"{mark} source {name}\n{text}\n\n{mark} end 0"
    ...         for name, text in (("uptime", uptime), ("ticks", ticks), ("paging", f"pswpin 0\npswpout {swapped}"))
    ...     )
    >>> before = counters("300.00 590.11", "cpu  4705 150 1120 1644 2520 15 25 100 0 0", 10)
    >>> after = counters("302.50 591.00", "cpu  4905 150 1220 1744 2530 15 25 190 0 0", 260)
    >>> gauges = "\n".join(
    ...     f"{mark} source {name}\n{text}\n\n{mark} end 0"
    ...     for name, text in (("load", "4.20 3.18 2.12 5/80 11206"), ("processors", "0-1"))
    ... )
    >>> head, absent = f"@longarm {mark[1:]}", f"{mark} absent pressure_cpu x\n{mark} absent pressure_io x"
    >>> facts = parse_delta(
    ...     answered(f"{head}\n{before}\n".encode()), answered(f"{head}\n{after}\n{gauges}\n{absent}\n".encode())
    ... )
    >>> facts["load"]["last_15_min"], facts["processors"], facts["window_s"], facts["steal_percent"]
    (2.12, 2, 2.5, 17.6)
    >>> facts["proven_steal_percent"], facts["swap"]
    (17.6, [{'in_pages_per_s': 0.0, 'out_pages_per_s': 100.0, 'proven_out_pages_per_s': 100.0}])
    """
    second = read_sources("sys.delta", last)
    earlier = _sample(read_sources("sys.delta.first", first), "")
    later = _sample(second, "")
    again = _sample(second, "_again") if "uptime_again" in second else None
    processors, paging = _processors(second), second["paging_again" if again else "paging"]
    alone = again is not None and again.uptime_s - later.uptime_s >= LONG_S
    window = _growth(later if alone else earlier, again or later, processors)
    load = _load(second["load"])
    return {
        "load": load,
        "processors": processors,
        "load_per_processor": round(load["last_15_min"] / processors, 2),
        "stalled": _stalled(second["pressure_cpu"], second["pressure_io"]),
        **window,
        "load_at": second["load"].at,
        "at": second["ticks_again" if again else "ticks"].at,
        **({"paging_at": paging.at} if paging.status is not None else {}),
    }


def _sample(sources: Sources, suffix: str) -> Sample:
    uptime, ticks = sources[f"uptime{suffix}"], sources[f"ticks{suffix}"]
    return Sample(
        uptime_s=decimal(uptime.question, _words(uptime)[0]),
        ticks=_ticks(ticks),
        pages=_pages(sources[f"paging{suffix}"]),
    )


def _words(source: Source) -> list[bytes]:
    """Return the words of a source's only line."""
    lines = source.usable().lines
    if len(lines) != 1 or not (words := lines[0].data.split()):
        raise ParseError(source.question, source.data)
    return words


def _ticks(source: Source) -> dict[str, int]:
    """Return what each state of the processors has had; `guest` is part of `user`, and kernels before 2.6.24 know no more."""
    name, *figures = _words(source)
    if name != b"cpu" or len(figures) < len(_TICKS):
        raise ParseError(source.question, source.data)
    return {state: integer(source.question, figure) for state, figure in zip(_TICKS, figures, strict=False)}


def _pages(source: Source) -> dict[str, int] | None:
    if source.status is None:
        return None
    matches = [_PAGING.fullmatch(line.data) for line in source.usable().lines]
    found = {text_of(match[1]): integer(source.question, match[2]) for match in matches if match}
    if len(found) != 2 or len(matches) != 2:
        raise ParseError(source.question, source.data)
    return found


def _growth(earlier: Sample, later: Sample, processors: int) -> dict[str, Any]:
    """Return what grew between two samples, as shares and rates; a counter that fell back is not understood.

    The kernel does let idle and iowait fall a little (proc_stat(5)): there a step back is no time. One tick of each
    processor is left out of what is told: in a short window that much comes from rounding alone.
    """
    window_s = later.uptime_s - earlier.uptime_s
    grown = {state: later.ticks[state] - earlier.ticks[state] for state in _TICKS}
    grown |= {state: max(0, grown[state]) for state in ("idle", "iowait")}
    if window_s < 0 or min(grown.values()) < 0:
        raise ParseError("sys.delta", f"counters went back: {earlier} {later}".encode())
    found: dict[str, Any] = {"window_s": round(window_s, 2), "swap": list(_swapping(earlier, later, window_s))}
    total = sum(grown.values())
    shares = {
        f"{state}_percent": round(100 * max(0, grown[state] - processors) / total, 2)
        for state in ("steal", "iowait")
        if total >= MIN_TICKS or (total and not grown[state])  # no tick of how few: no share
    }
    return found | shares | _proven(shares, window_s)


def _proven(figures: Mapping[str, float], window_s: float) -> dict[str, float]:
    """Return the figures once more under names that say so, where the window proves something."""
    return {f"proven_{name}": value for name, value in figures.items()} if window_s >= LONG_S else {}


def _swapping(earlier: Sample, later: Sample, window_s: float) -> Iterator[dict[str, float]]:
    """Yield the pages per second; nothing without swap (or where it was switched on or off meanwhile), or without time."""
    if earlier.pages is None or later.pages is None or window_s <= 0:
        return
    grown = {name: later.pages[name] - earlier.pages[name] for name in later.pages}
    if min(grown.values()) < 0:
        raise ParseError("sys.delta", f"counters went back: {earlier} {later}".encode())
    into, out = ({f"{way}_pages_per_s": round(grown[f"pswp{way}"] / window_s, 1)} for way in ("in", "out"))
    yield {**into, **out, **_proven(out, window_s)}


def _load(source: Source) -> dict[str, Any]:
    if not (match := _LOAD.fullmatch(b" ".join(_words(source)))):
        raise ParseError(source.question, source.data)
    one, five, fifteen = (decimal(source.question, match[number]) for number in (1, 2, 3))
    return {
        "last_1_min": one,
        "last_5_min": five,
        "last_15_min": fifteen,
        "running": integer(source.question, match[4]),
    }


def _processors(sources: Sources) -> int:
    """Return how many processors are online, from a list such as `0-3,8`, or as counted where there is no /sys."""
    if "counted" in sources:
        counted = sources["counted"]
        count = integer(counted.question, _words(counted)[0])
    else:
        listed = sources["processors"]
        count = sum(_in_range(listed.question, part) for part in _words(listed)[0].split(b","))
    if count < 1:
        raise ParseError("sys.delta", f"{count} processors".encode())
    return count


def _in_range(question: str, part: bytes) -> int:
    low, dash, high = part.partition(b"-")
    return max(0, integer(question, high if dash else low) - integer(question, low) + 1)


def _stalled(cpu: Source, io: Source) -> list[dict[str, float]]:
    """Return the shares of time in which some task waited, in percent; empty where the kernel does not measure them."""
    try:
        processor, disk = (_some(source) for source in (cpu, io))
    except NothingThere:
        return []
    return [
        {
            "cpu_avg60": processor[0],
            "cpu_avg300": processor[1],
            "io_avg60": disk[0],
            "io_avg300": disk[1],
        }
    ]


def _some(source: Source) -> tuple[float, float]:
    """Return the averages of 60 and 300 s of the line `some`.

    A kernel booted with psi=0 has the file and refuses to read it («Operation not supported»): it does not measure.
    """
    if not source.lines:
        raise NothingThere(source.question, source.name)
    for line in source.usable().lines:
        if not (match := _PRESSURE.fullmatch(line.data)):
            raise ParseError(source.question, line.data)
        if match[1] == b"some":
            return decimal(source.question, match[3]), decimal(source.question, match[4])
    raise ParseError(source.question, source.data)


PROBES: tuple[Probe, ...] = (
    Probe(
        first=Question(id="sys.delta.first", script=_FIRST, deadline_s=5, calm=True),
        # the second sample comes last, so it is asked among those that root is wanted for: needed is root for nothing
        question=Question(
            id="sys.delta", script=_SECOND, deadline_s=8, privilege=Privilege.PREFER_ROOT, calm=True, sleeps=True
        ),
        parse=parse_delta,
        summary="How loaded the processors are, and what of their time is stolen or spent waiting while the host is asked",
        shape={
            "load": {"last_1_min": "float tasks", "last_5_min": "float tasks", "last_15_min": "float tasks", "running": "int"},
            "processors": "int",
            "load_per_processor": "float tasks",
            "stalled": [
                {
                    "cpu_avg60": "float percent of time",
                    "cpu_avg300": "float percent of time",
                    "io_avg60": "float percent of time",
                    "io_avg300": "float percent of time",
                }
            ],
            "window_s": "float seconds",
            "steal_percent": "float? percent of processor time",
            "proven_steal_percent": "float? percent of processor time",
            "iowait_percent": "float? percent of processor time",
            "proven_iowait_percent": "float? percent of processor time",
            "swap": [
                {
                    "in_pages_per_s": "float pages/s",
                    "out_pages_per_s": "float pages/s",
                    "proven_out_pages_per_s": "float? pages/s",
                }
            ],
            "load_at": "at",
            "paging_at": "at?",
            "at": "at",
        },
    ),
)
