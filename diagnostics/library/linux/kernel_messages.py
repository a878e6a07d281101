"""The kernel's messages since boot: one question, whose script picks lines, and what its probes read entries with.

`dmesg` first: about a millisecond, where journalctl opens every journal file of the host. The ring buffer forgets, so
the journal is asked where the ring does not reach back to the boot or may not be read (dmesg_restrict).
Only the lines that are looked for leave the host, and the first, which tells how far back the log reaches. Of each disk,
task, program and victim the last 40 leave it, apart those of the grave sort: a disk that errs thousands of times neither
fills the answer nor pushes out what is told of another. Where there are more than 40 of a kind, it says what it left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, AWK, Line, Source, Sources, decimal, integer, read_sources, text_of, unseen
from diagnostics.probe import NothingThere, ParseError, SourceFailed
from inventory.errors import Text
from remote.answer import Answer
from remote.question import Privilege, Question

_MUST_COVER_S = 24 * 3600
"""A log that reaches back less far (and not to the boot) cannot show that nothing happened of late."""

OF_MEMORY = "oom-kill:constraint=|Killed process [0-9]|Task in .* killed as a result of limit of"
OF_FILESYSTEMS = "[Rr]emounting filesystem read-only|EXT[234]-fs error|[Ff]ilesystem has been shut down"
GRAVE = "[Uu]ncorrected|[Uu]ncorrectable|severity: (fatal|recoverable)|[Ff]atal|CONTEXT CORRUPT"
"""What is picked of processes that the kernel killed for memory, of filesystems that broke, and of errors of the hardware
that it did not correct: the same to awk and here. No name of a process is long enough to look like one of the first kind."""

_SCRIPT = (
    (
        ASKING
        + AWK
        + r"""
sifted() { # status 0: the log reaches back to the boot; 3: it does not; 1: there is none
  # shellcheck disable=SC2016 # a program of awk
  "$awk" '
  function keep(kind, about, text,    key, place) { # the last 40 lines about it, in the order of the log
    key = kind SUBSEP about
    if (!(key in many) && ++others[kind] > 40) { left[kind]++; return }
    place = key SUBSEP many[key]++ % 40
    if (place in at) delete line[at[place]]
    at[place] = NR
    line[NR] = text
  }
  function part(pattern) { return match($0, pattern) ? substr($0, RSTART, RLENGTH) : "" }
  function device(words) { sub(/.* /, "", words); return words }
  function task(words) { sub(/:[0-9]+( blocked|\])$/, "", words); return words ~ /kworker/ ? "kworker" : words }
  function program(words) { sub(/\[[0-9]+\]:? [sgt]$/, "", words); return words }
  function victim(text,    name, at_service) { # the innermost service, else the process
    name = part("Killed process [0-9]+[^(]*\\([^)]*")
    sub(/.*\(/, "", name)
    while (at_service = index(text, ".service")) { # to match one costs a tenth of a millisecond
      name = substr(text, 1, at_service - 1)
      sub(/.*[\/=]/, "", name)
      text = substr(text, at_service + 8)
    }
    return name
  }
  NR == 1 { whole = /^\[    0\.000000\]/; print; next }
  !/rror|blocked for more|lockup|LOCKUP|segfault|traps:|oom-kill|illed|ead-only|shut down/ { next }
  /@OF_MEMORY@/ {
    # whose group it is stands on the line of them before the one that tells of the kill
    if (/Killed process/) { keep("memory", victim(chosen $0), chosen $0); chosen = "" } else chosen = $0 "\n"
    next
  }
  /@OF_FILESYSTEMS@/ { keep("filesystems", "", $0); next }
  / error, dev [^ ,]+, sector |Buffer I\/O error on dev/ {
    keep("io", device(part(" dev(ice)? [^ ,]+")) (/critical medium/ ? "!" : ""), $0)
    next
  }
  /hard LOCKUP on/ { keep("hung", part("LOCKUP on cpu [0-9]+"), $0); next }
  /blocked for more than [0-9]+ seconds/ { keep("hung", task(part("task .*:[0-9]+ blocked")), $0); next }
  /soft lockup - / { keep("hung", task(part("\\[[^]]*:[0-9]+\\]")), $0); next }
  /\]: segfault at |traps: [^:]+\[[0-9]+\] (general protection|trap )/ {
    keep("crash", program(part("[^ \"]*\\[[0-9]+\\]:? [sgt]")), $0)
    next
  }
  /\[Hardware Error\]/ { keep("hardware", (/@GRAVE@/ ? "!" : ""), $0); next }
  END {
    for (i = 2; i <= NR; i++) if (i in line) print line[i]
    for (kind in left) print "left out " left[kind] " " kind
  }
  END { exit (NR == 0 ? 1 : whole ? 0 : 3) }'
}
whole=no
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
ring() { # in a pipe: a copy of the log in the shell costs as much as reading it
  dmesg | sifted; ended=$?
  [ "$ended" != 0 ] || whole=yes
  [ "$ended" = 3 ] || return "$ended"
}
journal() {
  journalctl -q -k -b -n 4000 -o json --output-fields=MESSAGE --no-pager | sifted; ended=$?
  [ "$ended" = 3 ] || return "$ended"
}
kept() { # to start journalctl takes 4 ms, also where no journal is kept (a container, another init)
  for file in /var/log/journal/*/*.journal /run/log/journal/*/*.journal; do
    [ ! -e "$file" ] || return 0
  done
  return 1
}
ask uptime uptime
if command -v dmesg >/dev/null; then ask ring ring; else absent ring dmesg; fi
if [ "$whole" = yes ]; then absent journal 'the ring buffer is whole'
elif ! command -v journalctl >/dev/null; then absent journal journalctl
elif kept; then ask journal journal
else absent journal 'a journal on disk or in /run'
fi
if [ -e /run/systemd/container ] || [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then ask container echo yes
else absent container 'a mark of a container'
fi
"""
    )
    .replace("@OF_MEMORY@", OF_MEMORY)
    .replace("@OF_FILESYSTEMS@", OF_FILESYSTEMS)
    .replace("@GRAVE@", GRAVE)
)

MESSAGES = Question(
    id="kernel.messages",
    script=_SCRIPT,
    deadline_s=15,
    max_bytes=512 * 1024,
    privilege=Privilege.PREFER_ROOT,
    calm=True,
)
ASKS = Text("What the kernel's log says since the boot of killed processes, filesystems, disks, hangs, crashes and hardware")
"""The words for the question: each of its probes has its own for what it reads there."""

_RING = re.compile(rb"\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? (.*)")
_LEFT = re.compile(rb"left out (\d+) ([a-z]+)")
_BOOT = re.compile(r"Linux version |Booting Linux on physical CPU")
"""With what a log begins that reaches back to the boot; the second on arm64 and ARM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the kernel's log: seconds since boot and the words."""

    since_boot_s: float
    text: str
    line: int


def read_messages(question: str, answer: Answer) -> tuple[float, list[Entry], dict[str, dict[str, Any]]]:
    """Return the seconds since boot, the entries that the script let through, the first of the log among them, and the rest.

    The rest stands for what the script left out, by kind: an item that is `unseen`.

    Raises NothingThere in a container, which has no kernel log of its own, and SourceFailed where the log reaches back
    neither to the boot nor a day.
    """
    sources = read_sources(question, answer)
    uptime_s = _uptime(sources["uptime"])
    source = _log(sources)
    lines = [line for line in source.lines if not _LEFT.fullmatch(line.data)]
    read = _journal_entries if source.name == "journal" else _ring_entries
    return uptime_s, _far_enough(source, list(read(source.question, lines)), uptime_s), dict(_left_out(source))


def _left_out(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in source.lines:
        if match := _LEFT.fullmatch(line.data):
            number, kind = match[1].decode(), match[2].decode()
            yield kind, unseen(source, f"{number} lines were left out: more than 40 have some of this kind", line.number)


def _uptime(source: Source) -> float:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return decimal(source.question, lines[0].data)


def _log(sources: Sources) -> Source:
    """Return the log that reaches back further: the journal, where the ring buffer does not to the boot."""
    ring, journal = sources["ring"], sources["journal"]
    if journal.status == 0 and journal.lines:
        return journal
    if ring.status == 0 and ring.lines:
        return ring
    if sources["container"].status is not None:
        raise NothingThere(ring.question, "a kernel log of its own (a container)")
    for source in (ring, journal):
        if source.status is not None:
            source.usable()
    if ring.status is None and journal.status is None:
        raise NothingThere(ring.question, "dmesg or journalctl")
    raise SourceFailed(ring.question, "journal" if journal.status == 0 else "ring", "no kernel message can be seen")


def _far_enough(source: Source, entries: list[Entry], uptime_s: float) -> list[Entry]:
    if not entries:
        raise ParseError(source.question, source.data)
    first = entries[0]
    whole = first.since_boot_s == 0 or _BOOT.match(first.text)
    if not whole and (covered_s := uptime_s - first.since_boot_s) < _MUST_COVER_S:
        raise SourceFailed(source.question, source.name, f"reaches back only {int(covered_s)} s, not to the boot")
    return entries


def _ring_entries(question: str, lines: list[Line]) -> Iterator[Entry]:
    for line in lines:
        if match := _RING.fullmatch(line.data):
            yield Entry(since_boot_s=decimal(question, match[1]), text=text_of(match[2]), line=line.number)
        elif not line.data.startswith(b" "):  # the rest of a message of several lines is indented
            raise ParseError(question, line.data)


def _journal_entries(question: str, lines: list[Line]) -> Iterator[Entry]:
    return (_journal_entry(question, line) for line in lines)


def _journal_entry(question: str, line: Line) -> Entry:
    try:
        entry = json.loads(line.data)
    except (ValueError, RecursionError):
        raise ParseError(question, line.data) from None
    message = entry.get("MESSAGE") if isinstance(entry, dict) else None
    if isinstance(message, list):  # bytes that are not UTF-8 (journalctl(1), --output=json)
        message = _from_bytes(question, message)
    if not isinstance(message, str) or not isinstance(stamp := entry.get("__MONOTONIC_TIMESTAMP"), str):
        raise ParseError(question, line.data)
    return Entry(since_boot_s=integer(question, stamp) / 1e6, text=message, line=line.number)


def _from_bytes(question: str, numbers: list[Any]) -> str:
    if not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise ParseError(question, repr(numbers[:40]).encode())
    return text_of(bytes(numbers))
