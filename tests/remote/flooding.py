"""A host that floods as fast as programs in C write: python -m tests.remote.flooding KIND REPORT, in place of a shell.

How much of it the host got rid of stands in the file REPORT, in the words of dd, once nobody listens any more.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from remote.bundle.frames import FORMAT, Mark
from remote.bundle.manifest import NotABundle, read_manifest
from tests.remote.hostility import ENOUGH_S
from tests.remote.servers import Keys, serving, sshd_command

ROOT = Path(__file__).parents[2]
GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What a host has to say: what makes it, and how many bytes of it there are."""

    source: str
    size: int
    stderr: bool = False
    begins: bool = False
    """A proper beginning comes first, as from a host that reads our script."""


FLOODS = {
    "lines": Flood(source="yes longarm", size=10 * GB),
    "one line": Flood(source="tr '\\0' x </dev/zero", size=2 * GB),
    "NUL": Flood(source="cat /dev/zero", size=10 * GB),
    "only stderr": Flood(source="yes longarm", size=8_000_000, stderr=True),
    "inside a question": Flood(source="tr '\\0' x </dev/zero", size=10 * GB, begins=True),
}
"""As T25 words them."""


def nonce_in(script: bytes) -> str | None:
    """Return the nonce of a bundle, None while too little of it has arrived."""
    with suppress(NotABundle):
        return read_manifest(script).nonce
    return None


def beginning(nonce: str) -> bytes:
    """Return the marks of a question that has begun."""
    marks = Mark(1, 1, "open", None, (FORMAT, "user")), Mark(1, 2, "begin", 0, ("17.25", "user"))
    return b"".join(mark.encode(nonce) for mark in marks)


def answer(flood: Flood, report: str) -> None:
    """Become what floods."""
    if flood.begins:
        script = b""
        while (nonce := nonce_in(script)) is None:
            script += os.read(0, 65536) or sys.exit("the script never came")
        os.write(1, beginning(nonce))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # dd says how far it came
    to = ">&2" if flood.stderr else ""
    pour = f'{flood.source} 2>/dev/null | LC_ALL=C dd bs=64K iflag=fullblock,count_bytes count={flood.size} {to} 2>"$1"'
    os.execvp("sh", ["sh", "-c", pour, "sh", report])


@contextmanager
def flooding_sshd(folder: Path, host_key: Keys, user_key: Keys, kind: str) -> Iterator[tuple[int, Path]]:
    """Run OpenSSH as a host that floods; its port, and where the report will be."""
    folder.mkdir()
    words = f"cd {ROOT} && exec {sys.executable} -m tests.remote.flooding '{kind}' {folder}/report"
    port, command = sshd_command(folder, host_key, user_key, ForceCommand=words)
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield port, folder / "report"


def got_rid_of(report: Path) -> int:
    """Return how much such a host has sent, once it has seen that nobody listens."""
    end = time.monotonic() + ENOUGH_S
    while not (found := re.search(r"^(\d+) bytes", report.read_text() if report.exists() else "", re.MULTILINE)):
        assert time.monotonic() < end, "it floods on"
        time.sleep(0.02)
    return int(found[1])


if __name__ == "__main__":
    answer(FLOODS[sys.argv[1]], sys.argv[2])
