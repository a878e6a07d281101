"""The kernel's messages since boot: one question, whose script picks lines, and what its probes read entries with.

`dmesg` first: about a millisecond, where journalctl opens every journal file of the host. The ring buffer forgets, so
the journal is asked where the ring does not reach back to the boot or may not be read (dmesg_restrict).
Only the lines that are looked for leave the host, and the first, which tells how far back the log reaches. Of each kind
the last lines leave it: a disk that errs thousands of times neither fills the answer nor pushes the one machine check out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.parsing import ASKING, AWK, Line, Source, Sources, decimal, integer, read_sources, text_of
from diagnostics.probe import NothingThere, ParseError, SourceFailed
from inventory.errors import Text
from remote.answer import Answer
from remote.question import Privilege, Question

_MUST_COVER_S = 24 * 3600
"""A log that reaches back less far (and not to the boot) cannot show that nothing happened of late."""

OF_MEMORY = "oom-kill:|Killed process [0-9]|Task in .* killed as a result of limit of"
OF_FILESYSTEMS = "[Rr]emounting filesystem read-only|EXT[234]-fs error|[Ff]ilesystem has been shut down"
"""What is picked of processes that the kernel killed for memory, and of filesystems that broke: the same to awk and here."""

_SCRIPT = (
    (
        ASKING
        + AWK
        + r"""
sifted() { # status 0: the log reaches back to the boot; 3: it does not; 1: there is none
  # shellcheck disable=SC2016 # a program of awk
  "$awk" '
  function keep(kind, lines) { most[kind] = lines; line[kind, n[kind]++ % lines] = $0 }
  NR == 1 { whole = /^\[    0\.000000\]/; print; next }
  !/rror|blocked for more|lockup|LOCKUP|segfault|traps:|oom-kill|illed|ead-only|shut down/ { next }
  /@OF_MEMORY@/ { keep("memory", 400); next }
  /@OF_FILESYSTEMS@/ { keep("filesystems", 40); next }
  / error, dev [^ ,]+, sector |Buffer I\/O error on dev/ { keep("io", 40); next }
  /blocked for more than [0-9]+ seconds|soft lockup - |hard LOCKUP on/ { keep("hung", 40); next }
  /\]: segfault at |traps: [^:]+\[[0-9]+\] (general protection|trap )/ { keep("crash", 40); next }
  /\[Hardware Error\]/ { keep("hardware", 40); next }
  END {
    for (kind in n) {
      kept = n[kind] < most[kind] ? n[kind] : most[kind]
      for (i = n[kind] - kept; i < n[kind]; i++) print line[kind, i % most[kind]]
    }
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
_BOOT = re.compile(r"Linux version |Booting Linux on physical CPU")
"""With what a log begins that reaches back to the boot; the second on arm64 and ARM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the kernel's log: seconds since boot and the words."""

    since_boot_s: float
    text: str
    line: int


def read_messages(question: str, answer: Answer) -> tuple[float, list[Entry]]:
    """Return the seconds since boot and the entries that the script let through, the first of the log among them.

    Raises NothingThere in a container, which has no kernel log of its own, and SourceFailed where the log reaches back
    neither to the boot nor a day.
    """
    sources = read_sources(question, answer)
    uptime_s = _uptime(sources["uptime"])
    return uptime_s, _log(sources, uptime_s)


def _uptime(source: Source) -> float:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return decimal(source.question, lines[0].data)


def _log(sources: Sources, uptime_s: float) -> list[Entry]:
    """Return the log that reaches back far enough: the journal, where the ring buffer does not."""
    ring, journal = sources["ring"], sources["journal"]
    if journal.status == 0 and journal.lines:
        return _far_enough(journal, [_journal_entry(journal.question, line) for line in journal.lines], uptime_s)
    if ring.status == 0 and ring.lines:
        return _far_enough(ring, list(_ring_entries(ring)), uptime_s)
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


def _ring_entries(source: Source) -> Iterator[Entry]:
    for line in source.lines:
        if match := _RING.fullmatch(line.data):
            yield Entry(since_boot_s=decimal(source.question, match[1]), text=text_of(match[2]), line=line.number)
        elif not line.data.startswith(b" "):  # the rest of a message of several lines is indented
            raise ParseError(source.question, line.data)


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
