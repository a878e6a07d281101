"""What the kernel reports of hardware and programs: disks that err, tasks that hang, programs that crash, machine checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostics.library.linux.kernel_messages import ASKS, GRAVE, MESSAGES, OF_FILESYSTEMS, OF_MEMORY, Entry, read_messages
from diagnostics.parsing import at, integer
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer

_IO = re.compile(r"(?P<what>[\w/: -]+) error, dev (?P<device>[^ ,]+), sector \d+")
_BUFFER = re.compile(r"Buffer I/O error on dev(?:ice)? (?P<device>[^ ,]+)")
_BENIGN = frozenset({"operation not supported", "reservation conflict", "critical nexus", "kernel resource"})
"""What blk_errors (Linux, block/blk-core.c) says where nothing is wrong with the disk."""
_HUNG = re.compile(r"task (?P<task>.+):\d+ blocked (?:in I/O wait )?for more than (?P<seconds>\d+) seconds")
_SOFT = re.compile(r"soft lockup - CPU#\d+ stuck for (?P<seconds>\d+)s! \[(?P<task>.+):\d+\]")
_HARD = re.compile(r"hard LOCKUP on cpu (?P<cpu>\d+)")
_CRASH = re.compile(r"(?:traps: )?(?P<program>.+?)\[\d+\]:? (?P<how>segfault at |general protection|trap [a-z0-9 ]+)")
_UNCORRECTED = re.compile(GRAVE)
_OF_OTHERS = re.compile(f"{OF_MEMORY}|{OF_FILESYSTEMS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One line that reports a fault: of which kind, of what, how long ago."""

    kind: str
    about: str
    grave: bool
    seconds: int
    age_s: int
    at: Mapping[str, str | int]


def parse_kernel_faults(answer: Answer, question: str = MESSAGES.id) -> Facts:
    r"""Return what the kernel reported since boot: `io` by device, `hung` by task, `crashes` by program, and `hardware`.

    Counts are of what was kept, at most 40 lines of each, and 40 more of the grave sort. `medium`: the disk said that it
    cannot read or write the place itself. `locked_up`: a processor that takes no interrupts any more. `uncorrected`: a
    machine check that was not corrected. Ages are seconds before the answer.
    Raises as `read_messages` does.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_kernel_faults(answered(f'''@longarm {mark[1:]}
    ... {mark} source uptime
    ... 900.25
    ...
    ... {mark} end 0
    ... {mark} source ring
    ... [    0.000000] Linux version 6.1.0-56-cloud-amd64
    ... [  300.250000] critical medium error, dev sda, sector 4660 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2
    ... [  300.251000] Buffer I/O error on dev sda, logical block 582, async page read
    ... [  400.120000] import[731]: segfault at 0 ip 00007f4e9d5c1a4d sp 00007ffd error 4 in libc.so.6[7f4e9d4]
    ...
    ... {mark} end 0
    ... {mark} absent journal the ring buffer is whole
    ... {mark} absent container a mark of a container
    ... '''.encode()))
    >>> [(item["device"], item["errors"], item["medium"], item["last_age_s"]) for item in facts["io"]]
    [('sda', 2, True, 599)]
    >>> [(item["program"], item["crashes"]) for item in facts["crashes"]]
    [('import', 1)]
    """
    uptime_s, entries, left_out = read_messages(question, answer)
    faults = [fault for entry in entries[1:] for fault in _faults(question, entry, uptime_s)]
    more = {kind: [left_out[kind]] if kind in left_out else [] for kind in ("io", "hung", "crash", "hardware")}
    return {
        "io": [
            *(
                {"device": device, "errors": len(own), "medium": any(one.grave for one in own), **_when(own)}
                for device, own in _grouped(faults, "io")
            ),
            *more["io"],
        ],
        "hung": [
            *(
                {
                    "task": task,
                    "reports": len(own),
                    "seconds": max(one.seconds for one in own),
                    "locked_up": any(one.grave for one in own),
                    **_when(own),
                }
                for task, own in _grouped(faults, "hung")
            ),
            *more["hung"],
        ],
        "crashes": [
            *({"program": program, "crashes": len(own), **_when(own)} for program, own in _grouped(faults, "crash")),
            *more["crash"],
        ],
        "hardware": [
            *(
                {"reports": len(own), "uncorrected": any(one.grave for one in own), **_when(own)}
                for _, own in _grouped(faults, "hardware")
            ),
            *more["hardware"],
        ],
    }


def _faults(question: str, entry: Entry, uptime_s: float) -> Iterator[_Fault]:
    """Yield the fault that a line reports: none where nothing is wrong with the disk, somebody debugs, or others read it."""
    kind, about, grave, seconds = _read(question, entry.text)
    if kind:
        age_s = max(0, int(uptime_s - entry.since_boot_s))
        yield _Fault(kind=kind, about=about, grave=grave, seconds=seconds, age_s=age_s, at=at(question, entry.line))


def _read(question: str, text: str) -> tuple[str, str, bool, int]:
    """Return kind, subject, whether it is of the grave sort, and seconds; an empty kind for what is no fault.

    >>> _read("q", "I/O error, dev vdb, sector 40960 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2")
    ('io', 'vdb', False, 0)
    >>> _read("q", "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kworker/1:2:731]")
    ('hung', 'kworker', False, 26)
    """
    if match := _IO.search(text):
        said = match["what"].rpartition(":")[2].strip()
        return ("" if said in _BENIGN else "io"), match["device"], said == "critical medium", 0
    if match := _BUFFER.search(text):
        return "io", match["device"], False, 0
    if (match := _HUNG.search(text)) or (match := _SOFT.search(text)):
        return "hung", _task(match["task"]), False, integer(question, match["seconds"])
    if match := _HARD.search(text):
        return "hung", f"CPU {match['cpu']}", True, 0
    if match := _CRASH.match(text):
        return ("" if "trap int3" in match["how"] else "crash"), match["program"], False, 0
    if "[Hardware Error]" in text:
        return "hardware", "", bool(_UNCORRECTED.search(text)), 0
    if _OF_OTHERS.search(text):
        return "", "", False, 0
    raise ParseError(question, text.encode())


def _task(name: str) -> str:
    """Return a task's name as it will be the next time: workers of the kernel carry numbers.

    >>> _task("kworker/u8:2"), _task("jbd2/vda1-8")
    ('kworker', 'jbd2/vda1-8')
    """
    return "kworker" if name.startswith("kworker/") else name


def _grouped(faults: list[_Fault], kind: str) -> Iterable[tuple[str, list[_Fault]]]:
    own = [fault for fault in faults if fault.kind == kind]
    return ((about, [fault for fault in own if fault.about == about]) for about in dict.fromkeys(one.about for one in own))


def _when(faults: list[_Fault]) -> dict[str, Any]:
    """Return the ages of the first and last of some faults, and the place of the last."""
    last = min(faults, key=lambda fault: fault.age_s)
    return {"first_age_s": max(one.age_s for one in faults), "last_age_s": last.age_s, "at": last.at}


_TIMES: dict[str, str] = {"first_age_s": "int seconds", "last_age_s": "int seconds", "unseen": "str?", "at": "at"}

PROBES: tuple[Probe, ...] = (
    Probe(
        name="log.faults",
        question=MESSAGES,
        parse=parse_kernel_faults,
        formerly=partial(parse_kernel_faults, question="log.faults"),
        asks=ASKS,
        summary="What the kernel reported since the boot: disk errors, hung tasks, crashed programs, machine checks",
        shape={
            "io": [{"device": "str", "errors": "int", "medium": "bool", **_TIMES}],
            "hung": [{"task": "str", "reports": "int", "seconds": "int seconds", "locked_up": "bool", **_TIMES}],
            "crashes": [{"program": "str", "crashes": "int", **_TIMES}],
            "hardware": [{"reports": "int", "uncorrected": "bool", **_TIMES}],
        },
    ),
)
