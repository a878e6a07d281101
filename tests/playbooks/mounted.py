"""A host of its own for the shipped repairs: this machine's shells and tools, with other folders mounted over its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache

from diagnostics.library import load_library
from playbooks.load import find_playbook
from playbooks.model import Playbook

NEEDS = "" if os.geteuid() == 0 and shutil.which("unshare") and shutil.which("nsenter") else "needs root and unshare"
SHELLS = (("/bin/sh",), ("bash", "--posix"), ("busybox", "ash"))


@cache
def shipped(name: str) -> Playbook:
    """Return a repair of the library."""
    return find_playbook(name, library=load_library())


def script_of(name: str, step: str, of: str = "run") -> str:
    """Return what a step of a shipped repair, or one that undoes it, runs."""
    steps = (one for step in shipped(name).steps for one in (step, *step.rollback))
    text = next(one for one in steps if one.titles["en"] == step).values[of]
    return str(text.text)


@contextlib.contextmanager
def mounted(script: str) -> Iterator[tuple[str, ...]]:
    """Return the words before a shell's in a mount namespace in which `script` has run; it ends with this."""
    held = f"{{\n{script}\n}} >&2 && echo && exec sleep 600"
    with subprocess.Popen(["unshare", "-m", "/bin/sh", "-euc", held], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"\n", "the namespace was not made"
            yield ("nsenter", "-t", str(holder.pid), "-m")
        finally:
            holder.kill()


def told(within: Sequence[str], script: str, shell: Sequence[str] = ("/bin/sh",), **variables: str) -> tuple[int, str, str]:
    """Return how a script ended there, in a part of its shell as on hosts, and what it printed on both ways out."""
    command = [*within, *shell, "-c", f"(\n{script}\n)"]
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr
