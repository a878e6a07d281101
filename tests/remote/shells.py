"""What the tests of bundles in real shells ask, and what they look for afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from inventory.host import Host, Transport
from remote.answer import Answer, Ended
from remote.bundle.script import is_calm_script
from remote.local import LocalSession
from remote.question import Question

HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
SHELLS = {"dash": ("dash",), "bash": ("bash",), "bash_posix": ("bash", "--posix"), "ash": ("sh",)}
DEADLINE_S = 90.0  # far above what any of this takes: only a hang reaches it
FIRST, LAST = Question(id="first", script="echo first"), Question(id="last", script="echo last; echo to stderr >&2")


async def ask(session: LocalSession, *questions: Question) -> Mapping[str, Answer]:
    answers = await session.ask(questions, deadline_s=DEADLINE_S)
    assert answers.keys() == {question.id for question in questions}
    return answers


async def ask_between(session: LocalSession, *questions: Question) -> Mapping[str, Answer]:
    """Ask with one question before and one after, which must not be affected."""
    answers = await ask(session, FIRST, *questions, LAST)
    first, last = answers["first"], answers["last"]
    assert (first.ended, first.exit_status, first.stdout, first.stderr) == (Ended.EXITED, 0, b"first\n", b"")
    assert (last.ended, last.exit_status, last.stdout, last.stderr) == (Ended.EXITED, 0, b"last\n", b"to stderr\n")
    return answers


def marked(mark: str) -> list[str]:
    """Return the command lines of living processes that hold `mark` in their environment or arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.name == str(os.getpid()) or (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] in b"ZX":
                continue
            if mark.encode() in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def gone(mark: str) -> bool:
    """Whether nothing with `mark` is alive, or soon nothing is: half a minute is only waited out by what stays."""
    end = time.monotonic() + 30
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not marked(mark)


def marking(mark: str, script: str) -> str:
    return f"LONGARM_TEST={mark}; export LONGARM_TEST; {script}"


def calm(name: str, script: str, max_bytes: int = 100_000) -> Question:
    assert is_calm_script(script)
    return Question(id=name, script=script, max_bytes=max_bytes, deadline_s=30)
