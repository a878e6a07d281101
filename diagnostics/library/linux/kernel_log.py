"""The processes that the kernel killed for want of memory, by its own log since the boot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from diagnostics.library.linux.kernel_messages import ASKS, MESSAGES, Entry, read_messages
from diagnostics.parsing import at, integer
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer

_KILL = re.compile(r"Killed process \d")
_KILLED = re.compile(r"Killed process (\d+)(?:, UID \d+,)? \((.*)\),? (?:UID \d+, )?(?:total-vm|vsz):\d+kB, anon-rss:(\d+)kB")
"""As kernels since 2.6.32 say it (mm/oom_kill.c); Red Hat's put the UID in front of the name or behind it."""
_CHOSEN = re.compile(r"oom-kill:.*,task_memcg=(.*),task=.*,pid=(\d+),uid=\d+")
_CHOSEN_OLD = re.compile(r"Task in (\S+) killed as a result of limit of \S+")


def parse_kernel_log(answer: Answer, question: str = MESSAGES.id) -> Facts:
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
    uptime_s, entries, left_out = read_messages(question, answer)
    kills = list(_kills(question, entries, uptime_s))
    more = [left_out["memory"]] if "memory" in left_out else []
    return {"uptime_s": int(uptime_s), "kills": kills, "victims": [*_victims(kills), *more]}


def _kills(question: str, entries: list[Entry], uptime_s: float) -> Iterator[dict[str, Any]]:
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
                "pid": integer(question, match[1]),
                "victim": service or match[2],
                **({"unit": service} if service else {}),
                "cgroup": cgroup,
                "limit": "Memory cgroup out of memory" in entry.text,
                "resident_bytes": integer(question, match[3]) * 1024,
                "age_s": max(0, int(uptime_s - entry.since_boot_s)),
                "at": at(question, first, entry.line),
            }
        elif _KILL.search(entry.text):
            raise ParseError(question, entry.text.encode())


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
        name="log.kernel",
        question=MESSAGES,
        parse=parse_kernel_log,
        formerly=partial(parse_kernel_log, question="log.kernel"),
        asks=ASKS,
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
                    "unseen": "str?",
                    "at": "at",
                }
            ],
        },
    ),
)
