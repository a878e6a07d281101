"""A real shell on a practice host: one process of `namespace.py` for each command, alive as long as its caller is there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import asyncssh

from inventory.errors import Text
from remote.lab.world import World

LONGEST_S = 900.0
"""A session that has not ended by then is ended."""
AT_ONCE = 4 * (os.cpu_count() or 1)
"""Shells that run at the same time; further callers wait."""
_PATIENCE_S = 10.0
"""How long a session that has lost its life may take to be gone."""
_TRIAL_S = 20.0
_PROGRAM = Path(__file__).with_name("namespace.py")
_TRIAL = World(
    hostname="trial", files={"/etc/trial": {"text": "file\n"}}, kernel={"/proc/loadavg": "kernel\n", "/proc/net/tcp": "net\n"}
)
_TRIED = "cat /etc/trial /proc/loadavg /proc/net/tcp /proc/sys/kernel/hostname && echo $$ | grep -x '[2-9]'"
_SEEN = b"file\nkernel\nnet\ntrial\n2\n"


class Shell(StrEnum):
    """What practice hosts answer with."""

    REAL = "real"
    ANSWERS = "answers"
    AUTO = "auto"  # real where this machine can, else answers


def what_answers(shell: Shell, why: str) -> Text:
    """Return what practice hosts answer with, in a sentence, and why it is no real shell where one was preferred."""
    if shell is Shell.REAL:
        return Text("a real shell answers on them, shut off from this machine")
    if why:
        return Text("captured answers speak for them: this machine gives them no real shell: {why}", why=why)
    return Text("captured answers speak for them")


def write_world(world: World, path: Path) -> None:
    """Write what a shell needs to know of its host, for our own eyes only."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(world.document()), encoding="utf-8")


def why_not() -> str:
    """Return why this machine can give practice hosts no real shell, in its own words; empty if it can: one was tried."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    with tempfile.TemporaryDirectory(prefix="longarm-trial-") as folder:
        world = Path(folder, "world.json")
        write_world(_TRIAL, world)
        life, ends = os.pipe()
        try:
            command = _command(world, life, ("/bin/sh", "-c", _TRIED))
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(life,), timeout=_TRIAL_S, check=False, cwd="/"
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        finally:
            os.close(ends)
            os.close(life)
    if done.returncode == 0 and done.stdout == _SEEN:
        return ""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"a shell in namespaces ended with {done.returncode} and said {done.stdout[:80]!r}"


async def run(process: asyncssh.SSHServerProcess[bytes], world: Path, slots: asyncio.Semaphore) -> int:
    """Run what the caller asked for on the host of `world` and return its exit status, 128 and more for a signal.

    When the caller leaves, or after LONGEST_S, everything that the command started is ended before this returns.
    """
    shell = ("/bin/sh",) if process.command is None else ("/bin/sh", "-c", process.command)
    async with slots:
        life, ends = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *_command(world, life, shell),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(life,),
                cwd="/",
            )
            await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
            await _until_over(process, child)
        finally:
            os.close(ends)
            os.close(life)
        try:
            return await asyncio.wait_for(child.wait(), _PATIENCE_S)
        except TimeoutError:
            child.kill()
            return await child.wait()


async def _until_over(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    """Wait until the command has ended and all it said is on its way, or its caller is gone, or its time is over."""
    ends = [asyncio.ensure_future(wait) for wait in (_ended(process, child), process.wait_closed())]
    try:
        await asyncio.wait(ends, timeout=LONGEST_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
            with suppress(asyncio.CancelledError, asyncssh.Error, OSError):
                await end


async def _ended(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    await child.wait()
    await process.stdout.drain()
    await process.stderr.drain()


def _command(world: Path, life: int, command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(_PROGRAM), str(world), str(life), *command]
