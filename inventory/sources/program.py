"""A program as a source: it is run without a shell, within limits, and prints hosts and groups in our own format as JSON.

Only a program that an inventory names is run, and only one that nobody else may change (T17). What it prints is data: it
can name a credential, but bring none, and no further sources.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from inventory.copies import ALWAYS_ASKED, Keeping
from inventory.documents import FOREIGN, parse_document
from inventory.drafts import Drafts
from inventory.errors import Place, Problem, SourceUnavailable, Text
from inventory.fields import Fields
from inventory.names import shown
from inventory.nodes import MapNode, Node
from inventory.secret import MASKER
from inventory.settled import found_in
from inventory.sources.declared import keeping_of, path_from
from inventory.sources.found import Found, Reading

MAX_ARGUMENTS = 64
_DEADLINE_S = 30.0
_MOST_SAID = 64 * 1024  # bytes of stderr that are kept
_SHOWN_LINES = 5
_LONGEST_LOOK_S = 3600.0  # epoll takes no more than 24 days
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")
_KNOWN = ("hosts", "groups", "defaults")
_ESCAPES = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.", re.DOTALL)
"""Pairs of surrogates, and any other escape: a backslash that is escaped begins none."""
_PLAIN_ESCAPE = 2  # bytes: a backslash and what it escapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A declared program."""

    path: Path
    place: Place
    arguments: tuple[str, ...] = ()
    deadline_s: float = _DEADLINE_S
    max_bytes: int = FOREIGN.bytes
    keeping: Keeping = ALWAYS_ASKED

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"program {self.path}"

    def read(self, reading: Reading) -> Found:
        """Return the hosts and groups that it prints; raises InvalidFile, or SourceUnavailable for how it ends."""
        identity = json.dumps(["program", str(self.path), *self.arguments])
        data = reading.copies.get(self.title, identity, self.place, self.keeping, reading.now, self.output)
        document = parse_document(_without_surrogates(data), self.title, FOREIGN)
        drafts = Drafts()
        problems = _foreign_keys(document)
        if not problems:
            drafts.read(document)
        return found_in(drafts, problems)

    def output(self) -> bytes:
        """Return what it prints; raises SourceUnavailable."""
        return run_program(self.path, self.arguments, self.place, deadline_s=self.deadline_s, max_bytes=self.max_bytes)


def declare(fields: Fields, value: str, folder: Path) -> Program | None:
    """Return the program that a declaration means."""
    deadline, size = fields.duration("deadline"), fields.size("max_bytes")
    arguments = fields.texts("arguments")
    if len(arguments) > MAX_ARGUMENTS:
        fields.problem(fields.place("arguments"), Text("more than {limit} arguments", limit=MAX_ARGUMENTS))
        return None
    return Program(
        path=path_from(value, folder),
        place=fields.place("program"),
        arguments=arguments,
        deadline_s=_DEADLINE_S if deadline is None else deadline,
        max_bytes=FOREIGN.bytes if size is None else min(size, FOREIGN.bytes),
        keeping=keeping_of(fields, ALWAYS_ASKED),
    )


def _foreign_keys(document: Node) -> list[Problem]:
    hint = Text("a program prints hosts, groups and defaults; all else stands in your own files")
    entries = document.entries if isinstance(document, MapNode) else ()
    what = "the program's output"
    return [
        Problem(place=key.place, text=Text("{what} has no key “{key}”", what=what, key=shown(key.text)), hint=hint)
        for key, _ in entries
        if key.text not in _KNOWN
    ]


def _without_surrogates(data: bytes) -> bytes:
    """Return JSON without escaped pairs such as `\\ud83d\\ude00`, which YAML does not know, as the characters they mean."""

    def character(match: re.Match[bytes]) -> bytes:
        return match[0] if len(match[0]) == _PLAIN_ESCAPE else str(json.loads(b'"' + match[0] + b'"')).encode()

    return _ESCAPES.sub(character, data) if b"\\ud" in data or b"\\uD" in data else data


def run_program(
    path: Path,
    arguments: tuple[str, ...],
    place: Place,
    *,
    deadline_s: float,
    max_bytes: int,
    passed_on: tuple[str, ...] = PASSED_ON,
    given: Mapping[str, str] = MappingProxyType({}),
    sent: bytes = b"",
) -> bytes:
    """Return what a program prints within its limits; raises SourceUnavailable, with what it said on stderr, masked.

    Of our environment it gets the variables in `passed_on`, besides those that are `given`; on stdin what is `sent`. Whatever
    it started in its own process group is ended with it.
    """
    refuse_changeable(path, place)
    environ = {name: os.environ[name] for name in passed_on if name in os.environ} | dict(given)
    try:
        with tempfile.TemporaryFile() as stdin:  # no pipe: nobody has to read it
            stdin.write(sent)
            stdin.seek(0)
            process = subprocess.Popen(
                [str(path), *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                cwd="/",
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceUnavailable(place, Text("{program} cannot be run: {reason}", program=path, reason=reason)) from error
    with process:
        try:
            output, said, ended = _drained(process, time.monotonic() + deadline_s, max_bytes)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    if ended == "late":
        text = Text("{program} had not ended after {seconds} s", program=path, seconds=f"{deadline_s:g}")
        raise SourceUnavailable(place, text, Text("give it more time: deadline: 2m"))
    if ended == "flooded":
        text = Text("{program} prints more than {limit} bytes", program=path, limit=max_bytes)
        raise SourceUnavailable(place, text, Text("let it print less, or raise max_bytes (at most {most})", most="64 MiB"))
    if process.returncode:
        text = Text("{program} ended with {status}: {said}", program=path, status=process.returncode, said=_last_lines(said))
        raise SourceUnavailable(place, text, Text("run it by hand to see what it wants"))
    return output


def refuse_changeable(path: Path, place: Place) -> None:
    """Raise SourceUnavailable unless a program is a file of root or of ours that not everybody may change."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceUnavailable(place, Text("{program} cannot be run: {reason}", program=path, reason=reason)) from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceUnavailable(place, Text("{program} cannot be run: {reason}", program=path, reason="not a regular file"))
    if os.name == "posix" and (status.st_mode & stat.S_IWOTH or status.st_uid not in (0, os.geteuid())):
        text = Text("{program} is not run: others may change it", program=path)
        raise SourceUnavailable(place, text, Text("it must belong to root or to you, and not be writable by everyone"))


def _drained(process: subprocess.Popen[bytes], until: float, max_bytes: int) -> tuple[bytes, bytes, str]:
    """Return stdout, the end of stderr, and how it came to an end: `ended`, `late` or `flooded`."""
    assert process.stdout is not None and process.stderr is not None
    output, said = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, said)
        while selector.get_map():
            for key, _ in selector.select(min(max(0.0, until - time.monotonic()), _LONGEST_LOOK_S)):
                if data := os.read(key.fd, 1 << 16):
                    key.data.extend(data)
                else:
                    selector.unregister(key.fileobj)
            if len(output) > max_bytes:
                return b"", b"", "flooded"
            del said[:-_MOST_SAID]
            if time.monotonic() >= until:
                return b"", b"", "late"
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return b"", b"", "late"
    return bytes(output), bytes(said), "ended"


def _last_lines(said: bytes) -> str:
    lines = [shown(line) for line in MASKER.text(said.decode("utf-8", "replace")).splitlines() if line.strip()]
    return " | ".join(lines[-_SHOWN_LINES:])
