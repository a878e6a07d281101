"""The kernel's log since boot: the processes that it killed for memory, and what it said when a filesystem broke.

`dmesg` first: about a millisecond, where journalctl opens every journal file of the host. The ring buffer forgets, so
the journal is asked where the ring does not reach back to the boot or may not be read (dmesg_restrict).
Only the lines that are looked for leave the host, and the first, which tells how far back the log reaches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, Line, Source, Sources, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from remote.answer import Answer
from remote.question import Privilege, Question

_MUST_COVER_S = 24 * 3600
"""A log that reaches back less far (and not to the boot) cannot show that nothing was killed of late."""

_SCRIPT = (
    ASKING
    + r"""
wanted='1p
/oom-kill:/p
/Killed process [0-9]/p
/Task in .* killed as a result of limit of/p
/[Rr]emounting filesystem read-only/p
/EXT[234]-fs error/p
/[Ff]ilesystem has been shut down/p'
whole=no
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
ring() {
  log=$(dmesg) || return
  case $log in '[    0.000000]'*) whole=yes ;; esac
  [ -z "$log" ] || printf '%s\n' "$log" | sed -n "$wanted"
}
journal() {
  log=$(journalctl -q -k -b -n 4000 -o json --output-fields=MESSAGE --no-pager) || return
  [ -z "$log" ] || printf '%s\n' "$log" | sed -n "$wanted"
}
ask uptime uptime
if command -v dmesg >/dev/null; then ask ring ring; else absent ring dmesg; fi
if [ "$whole" = yes ]; then absent journal 'the ring buffer is whole'
elif command -v journalctl >/dev/null; then ask journal journal
else absent journal journalctl
fi
if [ -e /run/systemd/container ] || [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then ask container echo yes
else absent container 'a mark of a container'
fi
"""
)

_RING = re.compile(rb"\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? (.*)")
_KILL = re.compile(r"Killed process \d")
_KILLED = re.compile(r"Killed process (\d+)(?:, UID \d+,)? \((.*)\),? (?:UID \d+, )?(?:total-vm|vsz):\d+kB, anon-rss:(\d+)kB")
"""As kernels since 2.6.32 say it (mm/oom_kill.c); Red Hat's put the UID in front of the name or behind it."""
_BOOT = re.compile(r"Linux version |Booting Linux on physical CPU")
"""With what a log begins that reaches back to the boot; the second on arm64 and ARM."""
_CHOSEN = re.compile(r"oom-kill:.*,task_memcg=(.*),task=.*,pid=(\d+),uid=\d+")
_CHOSEN_OLD = re.compile(r"Task in (\S+) killed as a result of limit of \S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One line of the kernel's log: seconds since boot and the words."""

    since_boot_s: float
    text: str
    line: int


def parse_kernel_log(answer: Answer) -> Facts:
    r"""Return whom the kernel killed for want of memory since the boot: `kills`, and the same by victim.

    A victim is the service that the process belonged to, by its control group, else the process's name. The cgroup
    stands on a line of its own since Linux 5.0 (mm/oom_kill.c, dump_oom_victim) and for a limit also before.
    Raises NothingThere in a container, which has no kernel log of its own, and SourceFailed where the log reaches back
    neither to the boot nor a day.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_kernel_log(answered(f'''@longarm {mark[1:]}
    ... {mark} source uptime
    ... 900.25
    ...
    ... {mark} end 0
    ... {mark} source ring
    ... [    0.000000] Linux version 6.1.0-56-cloud-amd64
    ... [  300.250000] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
    ... task_memcg=/system.slice/import.service,task=python3,pid=732,uid=33
    ... [  300.251000] Out of memory: Killed process 732 (python3) total-vm:912384kB, anon-rss:771096kB, file-rss:4kB, \
    ... shmem-rss:0kB, UID:33 pgtables:1596kB oom_score_adj:0
    ...
    ... {mark} end 0
    ... {mark} absent journal the ring buffer is whole
    ... {mark} absent container a mark of a container
    ... '''.replace("\\\n", "").encode()))
    >>> [(item["victim"], item["kills"], item["last_age_s"]) for item in facts["victims"]]
    [('import.service', 1, 599)]
    """
    sources = read_sources("log.kernel", answer)
    uptime_s = _uptime(sources["uptime"])
    entries = _log(sources, uptime_s)
    kills = list(_kills(entries, uptime_s))
    return {"uptime_s": int(uptime_s), "kills": kills, "victims": _victims(kills)}


def _uptime(source: Source) -> float:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return decimal(source.question, lines[0].data)


def _log(sources: Sources, uptime_s: float) -> list[_Entry]:
    """Return the log that reaches back far enough: the journal, where the ring buffer does not."""
    ring, journal = sources["ring"], sources["journal"]
    if journal.status == 0 and journal.lines:
        return _far_enough(journal, [_journal_entry(journal.question, line) for line in journal.lines], uptime_s)
    if ring.status == 0 and ring.lines:
        return _far_enough(ring, list(_ring_entries(ring)), uptime_s)
    if sources["container"].status is not None:
        raise NothingThere("log.kernel", "a kernel log of its own (a container)")
    for source in (ring, journal):
        if source.status is not None:
            source.usable()
    if ring.status is None and journal.status is None:
        raise NothingThere("log.kernel", "dmesg or journalctl")
    raise SourceFailed("log.kernel", "journal" if journal.status == 0 else "ring", "no kernel message can be seen")


def _far_enough(source: Source, entries: list[_Entry], uptime_s: float) -> list[_Entry]:
    if not entries:
        raise ParseError(source.question, source.data)
    first = entries[0]
    whole = first.since_boot_s == 0 or _BOOT.match(first.text)
    if not whole and (covered_s := uptime_s - first.since_boot_s) < _MUST_COVER_S:
        raise SourceFailed(source.question, source.name, f"reaches back only {int(covered_s)} s, not to the boot")
    return entries


def _ring_entries(source: Source) -> Iterator[_Entry]:
    for line in source.lines:
        if match := _RING.fullmatch(line.data):
            yield _Entry(since_boot_s=decimal(source.question, match[1]), text=text_of(match[2]), line=line.number)
        elif not line.data.startswith(b" "):  # the rest of a message of several lines is indented
            raise ParseError(source.question, line.data)


def _journal_entry(question: str, line: Line) -> _Entry:
    try:
        entry = json.loads(line.data)
    except (ValueError, RecursionError):
        raise ParseError(question, line.data) from None
    message = entry.get("MESSAGE") if isinstance(entry, dict) else None
    if isinstance(message, list):  # bytes that are not UTF-8 (journalctl(1), --output=json)
        message = _from_bytes(question, message)
    if not isinstance(message, str) or not isinstance(stamp := entry.get("__MONOTONIC_TIMESTAMP"), str):
        raise ParseError(question, line.data)
    return _Entry(since_boot_s=integer(question, stamp) / 1e6, text=message, line=line.number)


def _from_bytes(question: str, numbers: list[Any]) -> str:
    if not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise ParseError(question, repr(numbers[:40]).encode())
    return text_of(bytes(numbers))


def _kills(entries: list[_Entry], uptime_s: float) -> Iterator[dict[str, Any]]:
    """Yield each process killed for memory, with the control group that the lines before it name for its pid."""
    groups: dict[str, tuple[str, int]] = {}
    last_group: tuple[str, int] | None = None
    for entry in entries:
        if match := _CHOSEN.search(entry.text):
            groups[match[2]] = (match[1], entry.line)
        elif match := _CHOSEN_OLD.search(entry.text):
            last_group = (match[1], entry.line)
        elif match := _KILLED.search(entry.text):
            cgroup, first = groups.get(match[1]) or last_group or ("", entry.line)
            last_group = None
            service = _service_of(cgroup)
            yield {
                "process": match[2],
                "pid": integer("log.kernel", match[1]),
                "victim": service or match[2],
                **({"unit": service} if service else {}),
                "cgroup": cgroup,
                "limit": "Memory cgroup out of memory" in entry.text,
                "resident_bytes": integer("log.kernel", match[3]) * 1024,
                "age_s": max(0, int(uptime_s - entry.since_boot_s)),
                "at": at("log.kernel", first, entry.line),
            }
        elif _KILL.search(entry.text):
            raise ParseError("log.kernel", entry.text.encode())


def _service_of(cgroup: str) -> str:
    """Return the innermost service in a control group's path, empty where there is none.

    >>> _service_of("/system.slice/system-postgresql.slice/postgresql@15-main.service")
    'postgresql@15-main.service'
    """
    return next((part for part in reversed(cgroup.split("/")) if part.endswith(".service")), "")


def _victims(kills: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the kills by victim, in the order of the first; the place is that of the last."""
    by_victim: dict[str, list[dict[str, Any]]] = {}
    for kill in kills:
        by_victim.setdefault(kill["victim"], []).append(kill)
    return [
        {
            "victim": victim,
            **({"unit": own[-1]["unit"]} if "unit" in own[-1] else {}),
            "process": own[-1]["process"],
            "kills": len(own),
            "limit": own[-1]["limit"],
            "resident_bytes": own[-1]["resident_bytes"],
            "first_age_s": own[0]["age_s"],
            "last_age_s": own[-1]["age_s"],
            "at": own[-1]["at"],
        }
        for victim, own in by_victim.items()
    ]


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="log.kernel", script=_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT),
        parse=parse_kernel_log,
        summary="Which processes the kernel killed for memory since the boot",
        shape={
            "uptime_s": "int seconds",
            "kills": [
                {
                    "process": "str",
                    "pid": "int",
                    "victim": "str",
                    "unit": "str?",
                    "cgroup": "str",
                    "limit": "bool",
                    "resident_bytes": "int bytes",
                    "age_s": "int seconds",
                    "at": "at",
                }
            ],
            "victims": [
                {
                    "victim": "str",
                    "unit": "str?",
                    "process": "str",
                    "kills": "int",
                    "limit": "bool",
                    "resident_bytes": "int bytes",
                    "first_age_s": "int seconds",
                    "last_age_s": "int seconds",
                    "at": "at",
                }
            ],
        },
    ),
)
