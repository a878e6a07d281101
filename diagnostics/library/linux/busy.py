"""Processes that keep a processor to themselves: two looks at /proc/PID/stat, three seconds apart."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, Line, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
look() { # processes come and go between the list of names and the reading
  read -r up _ </proc/uptime || return
  stats=$(grep -hs . /proc/[0-9]*/stat)
  [ -n "$stats" ] || { echo '/proc cannot be read' >&2; return 1; }
}
busy() { # window in seconds; then pid, ticks in it, ticks ever, nice value, name of those with a twentieth of a processor
  look || return
  since=$up before=$stats
  sleep 3 || return
  look || return
  printf '%s\n@ %s %s\n%s\n' "$before" "$since" "$up" "$stats" | awk '
    /^@ / { window = $3 - $2; second = 1; print "window " window; next }
    /^[0-9]+ \(/ {
      pid = $1; name = $0
      sub(/^[0-9]+ \(/, "", name); rest = name
      sub(/\)[^)]*$/, "", name); sub(/.*\) /, "", rest)
      split(rest, field, " ")
      ticks = field[12] + field[13]
      if (!second) first[pid] = ticks
      else if (pid in first && ticks - first[pid] >= window * 5)
        printf "busy %s %d %.0f %s %s\n", pid, ticks - first[pid], ticks, field[17], name
    }'
}
whose() { # control group and user of each of these
  for pid; do
    uid=$(grep -s '^Uid:' "/proc/$pid/status" | sed 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/')
    group=$(grep -hs . "/proc/$pid/cgroup" | sed -n -e 's/^0:://p' -e 's/^[0-9]*:name=systemd://p' \
      | grep '[.]service$' | head -n 1)
    [ -z "$uid" ] || printf '%s %s %s\n' "$pid" "$uid" "$group"
  done
}
found=$(busy) && ended=0 || ended=$?
say() { printf '%s\n' "$found"; return "$ended"; }
ask busy say
# shellcheck disable=SC2046  # pids, split on purpose
set -- $(printf '%s\n' "$found" | sed -n 's/^busy \([0-9]*\) .*/\1/p' | head -n 20)
if [ "$#" = 0 ]; then absent whose 'a busy process'; else ask whose whose "$@"; fi
"""
)
_BUSY = re.compile(r"busy (\d+) (\d+) (\d+) (-?\d+) (.*)")
_WHOSE = re.compile(r"(\d+) (\d+) ?(.*)")
_TICKS = 100
"""A second, on every platform that Linux runs on today (USER_HZ; time(7))."""


def parse_busy(answer: Answer) -> Facts:
    r"""Return the processes that used a twentieth of a processor or more while they were looked at.

    `percent` is of one processor, so a process with threads may have more than 100; `cpu_s` all processor time that it has
    ever used. `unit` is the systemd service that it runs in, empty where there is none.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_busy(answered(f'''@longarm {mark[1:]}
    ... {mark} source busy
    ... window 3.02
    ... busy 4711 301 92000 0 report (all)
    ...
    ... {mark} end 0
    ... {mark} source whose
    ... 4711 1000 /system.slice/report.service
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["name"], one["percent"], one["cpu_s"], one["unit"]) for one in facts["processes"]]
    [('report (all)', 99.7, 920, 'report.service')]
    """
    sources = read_sources("proc.busy", answer)
    lines = sources["busy"].usable().lines
    if not lines or not lines[0].data.startswith(b"window "):
        raise ParseError("proc.busy", sources["busy"].data)
    window_s = decimal("proc.busy", lines[0].data.removeprefix(b"window "))
    if window_s <= 0:
        raise ParseError("proc.busy", lines[0].data)
    whose = {} if sources["whose"].status is None else dict(map(_whose, sources["whose"].usable().lines))
    found = [_process(line, window_s, whose) for line in lines[1:]]
    return {"window_s": window_s, "processes": sorted(found, key=lambda one: -one["percent"])}


def _whose(line: Line) -> tuple[int, tuple[int, str]]:
    if not (match := _WHOSE.fullmatch(line.text)):
        raise ParseError("proc.busy", line.data)
    unit = match[3].rstrip("/").rpartition("/")[2]
    return int(match[1]), (int(match[2]), unit if unit.endswith(".service") else "")


def _process(line: Line, window_s: float, whose: dict[int, tuple[int, str]]) -> dict[str, Any]:
    if not (match := _BUSY.fullmatch(line.text)):
        raise ParseError("proc.busy", line.data)
    pid = integer("proc.busy", match[1].encode())
    uid, unit = whose.get(pid, (-1, ""))
    return {
        "pid": pid,
        "name": text_of(match[5].encode()),
        "percent": round(int(match[2]) / _TICKS / window_s * 100, 1),
        "cpu_s": int(match[3]) // _TICKS,
        "nice": int(match[4]),
        "unit": unit,
        **({"uid": uid} if uid >= 0 else {}),
        "at": at("proc.busy", line.number),
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(
            id="proc.busy", script=_SCRIPT, deadline_s=10, privilege=Privilege.PREFER_ROOT, calm=True, sleeps=True
        ),
        parse=parse_busy,
        summary="Which processes keep a processor to themselves",
        shape={
            "window_s": "float seconds",
            "processes": [
                {
                    "pid": "int",
                    "name": "str",
                    "percent": "float percent of a processor",
                    "cpu_s": "int seconds",
                    "nice": "int",
                    "unit": "str",
                    "uid": "int?",
                    "at": "at",
                }
            ],
        },
    ),
)
