"""Processes: those that hang in the kernel, those that nobody reaps, those near their limits, and the limits of all.

One reading of every `/proc/PID/status` shows whom to look at; only these are asked for more. What hangs is looked at twice,
a second apart: a task that was in uninterruptible sleep both times and did not run in between (its context switches
stand still) hangs; one that merely reads from a disk all the time does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, Source, Sources, at, integer, read_sources, text_of, unseen
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + r"""
limits() { # of the host, out of these files; the same program looks at the processes: no line of a status begins with a digit
  shown=$(grep -HsE '^([0-9]|State:.[DZ]|FDSize:.[0-9]{4,}$)' "$@" /proc/[0-9]*/status)
  seen=$? told='' status=0
  for file; do
    case $shown in
      "$file:"*)
        line=${shown%%"$nl"*} shown=$shown$nl
        told=$told${line#"$file:"}$nl shown=${shown#*"$nl"}
        shown=${shown%"$nl"} ;;
      *) echo "$file could not be read" >&2; status=1 ;;
    esac
  done
  printf %s "$told"
  return "$status"
}
seen() { # status 2: a process was gone before it was read
  [ -z "$shown" ] || printf '%s\n' "$shown"
  return "$seen"
}
pids() { # of the lines in $1 that hold $2, at most $3: into $list, with the number there into $sizes; whether there are $more
  list='' sizes='' count=0 more='' IFS=$nl
  for line in $1; do
    case $line in *"$2"*) ;; *) continue ;; esac
    [ "$count" -lt "$3" ] || { more=yes; break; }
    line=${line#/proc/}
    list="$list ${line%%/*}" sizes="$sizes ${line%%/*}:${line##*[!0-9]}" count=$((count + 1))
  done
  unset IFS
}
of_each() { # the lines of /proc/PID/$2 that match $1, for each pid of $list
  pattern=$1 file=$2
  set --
  for pid in $list; do set -- "$@" "/proc/$pid/$file"; done
  grep -HsE "$pattern" "$@"
}
parents() { # of the zombies in $list, each once: into $list
  parents=$(of_each '^PPid:' status)
  status=$?
  [ -z "$parents" ] || printf '%s\n' "$parents"
  list='' IFS=$nl
  for line in $parents; do
    line=${line##*[!0-9]}
    case " $list " in *" $line "*) ;; *) list="$list $line" ;; esac
  done
  unset IFS
  return "$status"
}
named() { # what the processes in $list are called; their control groups, which the same program reads, into $groups
  set --
  for pid in $list; do set -- "$@" "/proc/$pid/status" "/proc/$pid/cgroup"; done
  both=$(grep -HsE '^Name:|:(name=systemd)?:/' "$@")
  status=$? told='' groups='' IFS=$nl
  for line in $both; do
    case ${line%%:*} in
      */status) told=$told$line$nl ;;
      *) groups=$groups$line$nl ;;
    esac
  done
  unset IFS
  printf %s "$told"
  return "$status"
}
units() { printf %s "$groups"; return "$status"; }
open_files() { # how many descriptors a process has open: into $open
  set -- /proc/"$1"/fd/*
  if [ -e "$1" ] || [ -L "$1" ]; then open=$#; else open=-; fi
}
held() { # how many descriptors each process of $list has open: only those that could be near their limit
  limits=$(of_each '^Max open files' limits)
  status=$? told=''
  # shellcheck disable=SC2086  # PID:SLOTS in the same order
  set -- $sizes
  IFS=$nl
  for line in $limits; do # /proc/PID/limits:Max open files  SOFT  HARD  files
    pid=${line#/proc/} soft=${line#*files}
    pid=${pid%%/*} soft=${soft#"${soft%%[! ]*}"}
    soft=${soft%% *}
    while [ "$#" != 0 ] && [ "${1%:*}" != "$pid" ]; do shift; done # these were gone
    [ "$#" != 0 ] || break
    case $soft in unlimited) continue ;; esac
    [ "$((${1#*:} * 4))" -ge "$((soft * 3))" ] || continue
    unset IFS
    open_files "$pid"
    IFS=$nl
    told="$told$pid $open $soft$nl"
    near="$near $pid"
  done
  unset IFS
  [ -z "$more" ] || told=${told}more$nl
  printf %s "$told"
  return "$status"
}
groups() { # control groups that hold half of the tasks that they may have, or more; and how many have a limit
  limited=0 told=''
  for top in /sys/fs/cgroup /sys/fs/cgroup/pids; do
    # services, scopes (containers, sessions) and slices, also in a slice that is in a slice (of a template, of a user)
    for group in "$top" "$top"/*.s[cel]* "$top"/*.slice/*.s[cel]* "$top"/*.slice/*.slice/*.s[cel]*; do
      if ! [ -r "$group/pids.max" ] || ! read -r most <"$group/pids.max" || [ "$most" = max ]; then continue; fi
      if ! read -r tasks <"$group/pids.current"; then continue; fi
      limited=$((limited + 1))
      [ "$((tasks * 2))" -lt "$most" ] || told="$told$tasks $most $group$nl"
    done
  done
  printf '%s\n' "$told$limited"
}
# numbers under /proc/sys end after the first byte for a shell that reads byte by byte
ask limits limits /proc/loadavg /proc/sys/fs/file-nr /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max
if [ -e /sys/fs/cgroup ]; then ask groups groups; else absent groups /sys/fs/cgroup; fi
ask seen seen
near=''
case $shown in *FDSize:*)
  pids "$shown" FDSize: 400
  ask held held
  list=$near
  [ -z "$near" ] || ask holders of_each '^Name:' status ;;
esac
case $shown in *"(zombie)"*)
  pids "$shown" '(zombie)' 500
  if [ "$count" -ge 5 ]; then # fewer are normal: their parents are not worth two programs
    ask parents parents
    ask names named
    ask units units
  fi ;;
esac
case $shown in *"(disk sleep)"*)
  pids "$shown" '(disk sleep)' 64
  ask before of_each '^(Name|State|.*voluntary_ctxt_switches):' status
  sleep 1
  ask after of_each '^(State|.*voluntary_ctxt_switches):' status
  ask where of_each . wchan ;;
esac
"""
)
_LINE = re.compile(rb"/proc/(\d+)/[a-z]+:(.*)")
_STATE = re.compile(rb"State:\t([A-Za-z]) \(([a-z ]+)\)")
_MANY = 5
"""From how many zombies on the script asks for their parents."""
_VANISHED = (1, 2)
"""How grep ends where nothing matched, and where a process was gone before it was read."""


def parse_processes(answer: Answer) -> Facts:
    r"""Return the hanging tasks, the zombies by parent, the holders of many descriptors, and the limits of the host.

    `hanging` are main threads in state D that did not run for a second, with the kernel function where they wait (left out
    where only root may read it). `zombies` counts all; `parents` says who does not reap them, from five on. `tasks` and
    `descriptors` are the whole host's, and then: the control groups that hold half of their tasks or more; the processes that
    have room for 1,000 descriptors or more, which is three quarters of their limit or more (smaller ones are not looked at, and
    of more than 400 the others are `unseen`).

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> zombies = range(77, 82)
    >>> sources = {"limits": "0.20 0.18 0.12 1/80 11206\n1184\t0\t9223372036854775807\n32768\n191864",
    ...     "groups": "31", "seen": "\n".join(f"/proc/{pid}/status:State:\tZ (zombie)" for pid in zombies),
    ...     "parents": "\n".join(f"/proc/{pid}/status:PPid:\t60" for pid in zombies), "names": "/proc/60/status:Name:\tmailer",
    ...     "units": "/proc/60/cgroup:0::/system.slice/mailer.service"}
    >>> asked = "".join(f"{mark} source {name}\n{text}\n\n{mark} end 0\n" for name, text in sources.items())
    >>> facts = parse_processes(answered(f"@longarm {mark[1:]}\n{asked}".encode()))
    >>> facts["zombies"], [(one["process"], one["unit"], one["zombies"]) for one in facts["parents"]]
    (5, [('mailer', 'mailer.service', 5)])
    >>> [(one["scope"], one["used"], one["most"], one["percent"]) for one in facts["tasks"]]
    [('host', 80, 32768, 0.24)]
    """
    sources = read_sources("proc.stat", answer)
    found = list(_lines(sources["seen"].usable(*_VANISHED)))
    zombies = {one.pid: one for one in found if _state(one) == b"Z"}
    return {
        **_limits(sources),
        "blocked": sum(_state(one) == b"D" for one in found),
        "hanging": list(_hanging(sources)),
        "zombies": len(zombies),
        "parents": _parents(sources, zombies),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One line of a file of a process."""

    pid: int
    text: bytes
    line: int


def _lines(source: Source) -> Iterator[_Seen]:
    for line in source.lines:
        if not (match := _LINE.fullmatch(line.data)):
            raise ParseError(source.question, line.data)
        yield _Seen(pid=integer(source.question, match[1]), text=match[2], line=line.number)


def _state(seen: _Seen) -> bytes:
    """Return the letter of a line `State:`, nothing for another line."""
    match = _STATE.fullmatch(seen.text)
    return match[1] if match else b""


def _by_pid(source: Source) -> dict[int, list[_Seen]]:
    """Return the lines of each process; one that is not there was gone before it was read."""
    found: dict[int, list[_Seen]] = {}
    for seen in _lines(source.usable(*_VANISHED)):
        found.setdefault(seen.pid, []).append(seen)
    return found


def _value(lines: Iterable[_Seen], name: bytes) -> str | None:
    """Return what a process says under a name in its status."""
    return next((text_of(seen.text.removeprefix(name).strip()) for seen in lines if seen.text.startswith(name)), None)


def _limits(sources: Sources) -> dict[str, list[dict[str, Any]]]:
    """Return what counts against the limits on tasks and on descriptors: first the whole host, then who comes near its own.

    The lines are proc_loadavg(5), whose fourth word holds the tasks, threads counted; file-nr of proc_sys_fs(5), where the
    second number is 0 since Linux 2.6; and the two limits on tasks, of which the lower one counts.
    """
    source = sources["limits"].usable()
    words = [line.data.split() for line in source.lines]
    if [len(line) for line in words] != [5, 3, 1, 1]:
        raise ParseError(source.question, source.data)
    tasks = integer(source.question, words[0][3].rpartition(b"/")[2])
    (allocated, free, files), (pids,), (threads,) = ([integer(source.question, word) for word in line] for line in words[1:])
    first = source.lines[0].number
    on_files = {"scope": "host", "host": True, **_used(source, allocated - free, files), "at": at(source.question, first + 1)}
    on_tasks = {"scope": "host", **_used(source, tasks, min(pids, threads)), "at": source.at}
    return {"tasks": [on_tasks, *_groups(sources["groups"])], "descriptors": [on_files, *_holders(sources)]}


def _used(source: Source, used: int, most: int) -> dict[str, int | float]:
    if used < 0 or most < 1:
        raise ParseError(source.question, f"{used} of {most}".encode())
    return {"used": used, "most": most, "percent": round(100 * used / most, 2)}


def _groups(source: Source) -> Iterator[dict[str, Any]]:
    """Yield the control groups that hold half of the tasks that they may; the last line says how many have a limit."""
    if source.status is None:
        return
    lines = source.usable().lines
    if not lines or not lines[-1].data.isdigit():
        raise ParseError(source.question, source.data)
    for line in lines[:-1]:
        words = line.data.split(b" ", 2)
        if len(words) != 3:
            raise ParseError(source.question, line.data)
        used, most = (integer(source.question, word) for word in words[:2])
        yield {"scope": _group(text_of(words[2])), **_used(source, used, most), "at": at(source.question, line.number)}


def _group(path: str) -> str:
    """Return the name of a control group: that of its unit or slice, or `/` for the one that all others of the host are in.

    >>> _group("/sys/fs/cgroup/pids/system.slice/shop.service"), _group("/sys/fs/cgroup")
    ('shop.service', '/')
    """
    return path.removeprefix("/sys/fs/cgroup").removeprefix("/pids").rpartition("/")[2] or "/"


def _holders(sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield the processes that may be near their limit of descriptors, without figures where they may not be counted."""
    if "held" not in sources:
        return
    source = sources["held"].usable(*_VANISHED)
    names = _by_pid(sources["holders"]) if "holders" in sources else {}
    for line in source.lines:
        if line.data == b"more":
            yield {"scope": "", "host": False, **unseen(source, "more than 400 processes have many descriptors", line.number)}
            continue
        words = line.data.split()
        if not words:
            continue  # none is near its limit
        if len(words) != 3:
            raise ParseError(source.question, line.data)
        if (name := _value(names.get(integer(source.question, words[0]), ()), b"Name:")) is None:
            continue  # gone
        most = integer(source.question, words[2])
        figures = {"most": most} if words[1] == b"-" else _used(source, integer(source.question, words[1]), most)
        yield {"scope": name, "host": False, **figures, "at": at(source.question, line.number)}


def _hanging(sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield the tasks that were in state D twice, and did not run in between."""
    if "before" not in sources:
        return
    before, after, where = (_by_pid(sources[name]) for name in ("before", "after", "where"))
    for pid, lines in before.items():
        name = _value(lines, b"Name:")
        if name is None:
            raise ParseError("proc.stat", f"process {pid} has no name".encode())
        if all(_state(seen) != b"D" for seen in lines) or _standing(lines) != _standing(after.get(pid, ())):
            continue
        waits = where[pid][0].text if pid in where else b"0"
        yield {
            "pid": pid,
            "process": name,
            **({} if waits == b"0" else {"waits_in": text_of(waits)}),
            "at": at("proc.stat", lines[0].line, lines[-1].line),
        }


def _standing(lines: Iterable[_Seen]) -> Mapping[str, str | None]:
    """Return what does not change while a task hangs: its state and how often it was switched to and from."""
    return {
        name: _value(lines, name.encode()) for name in ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
    }


def _parents(sources: Sources, zombies: Mapping[int, _Seen]) -> list[dict[str, Any]]:
    """Return who does not reap, the one with the most zombies first; of more than 500 zombies these are the first."""
    if len(zombies) < _MANY:
        return []
    of = {pid: integer("proc.stat", _value(lines, b"PPid:") or "") for pid, lines in _by_pid(sources["parents"]).items()}
    names, units = _by_pid(sources["names"]), _by_pid(sources["units"])
    found = []
    for parent, count in Counter(of[pid] for pid in zombies if pid in of).items():
        if (name := _value(names.get(parent, ()), b"Name:")) is None:
            continue  # gone, and its zombies with it
        first = min(zombies[pid].line for pid, its in of.items() if its == parent and pid in zombies)
        found.append(
            {
                "pid": parent,
                "process": name,
                "unit": _unit(units.get(parent, ())),
                "zombies": count,
                "at": at("proc.stat", first),
            }
        )
    return sorted(found, key=lambda one: (-one["zombies"], one["pid"]))


def _unit(lines: Iterable[_Seen]) -> str:
    """Return the systemd unit of a process by its control group, "" where there is none."""
    path = next((text_of(seen.text.rpartition(b":")[2]) for seen in lines), "")
    return next((part for part in reversed(path.split("/")) if part.endswith((".service", ".scope"))), "")


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(
            id="proc.stat", script=_SCRIPT, deadline_s=10, privilege=Privilege.PREFER_ROOT, calm=True, sleeps=True
        ),
        parse=parse_processes,
        summary="Which processes hang or are not reaped, and which limits on descriptors and tasks are near",
        shape={
            "tasks": [{"scope": "str", "used": "int", "most": "int", "percent": "float percent", "at": "at"}],
            "descriptors": [
                {
                    "scope": "str",
                    "host": "bool",
                    "used": "int?",
                    "most": "int",
                    "percent": "float? percent",
                    "unseen": "str?",
                    "at": "at",
                }
            ],
            "blocked": "int",
            "hanging": [{"pid": "int", "process": "str", "waits_in": "str?", "at": "at"}],
            "zombies": "int",
            "parents": [{"pid": "int", "process": "str", "unit": "str", "zombies": "int", "at": "at"}],
        },
    ),
)
