"""What every peer shares: the probes, a simple bundle of them, and the file of records that is checked afterwards.

Runs in the peers' own environments, so it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass
class Job:
    """What a peer is told on its command line: FLEET.json PROBES.json OUT.jsonl [bundle]."""

    fleet: dict[str, Any]
    probes: list[dict[str, str]]
    out: Path
    bundled: bool


def job() -> Job:
    """Return the job that the command line names."""
    fleet, probes, out, *rest = sys.argv[1:]
    return Job(json.loads(Path(fleet).read_text()), json.loads(Path(probes).read_text()), Path(out), rest == ["bundle"])


def bundle(probes: list[dict[str, str]]) -> tuple[str, str]:
    """Return a nonce and one script that runs all probes in turn, with marks between them on both streams."""
    nonce = secrets.token_hex(16)
    lines = ["LC_ALL=C; export LC_ALL"]
    for probe in probes:
        mark = f"printf '\\n{nonce} {probe['id']} %s\\n' "
        lines += [f"{mark} begin; {mark} begin >&2", f"( {probe['cmd']}\n) </dev/null", f"s=$?; {mark} $s; {mark} $s >&2"]
    return nonce, "\n".join([*lines, "exit 0"]) + "\n"


def split(nonce: str, text: str) -> dict[str, tuple[str, str]]:
    """Return what one stream of a bundle holds: probe id to (status, text)."""
    found: dict[str, tuple[str, str]] = {}
    for part in text.split(f"\n{nonce} ")[1:]:
        head, _, body = part.partition("\n")
        probe, state = head.split(" ")
        found[probe] = (state, body) if state == "begin" else (state, found[probe][1])
    return found


class Records:
    """JSON lines of host, probe, rc, stdout, stderr."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def __enter__(self) -> Records:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def put(self, host: str, probe: str, rc: int | None, stdout: str, stderr: str) -> None:
        """Append one record."""
        self._file.write(json.dumps({"host": host, "probe": probe, "rc": rc, "stdout": stdout, "stderr": stderr}) + "\n")

    def put_bundle(self, host: str, nonce: str, stdout: str, stderr: str) -> None:
        """Append the records of one host's bundle."""
        errors = split(nonce, stderr)
        for probe, (state, body) in split(nonce, stdout).items():
            self.put(host, probe, int(state) if state.isdigit() else None, body, errors.get(probe, ("", ""))[1])
        self._file.flush()
