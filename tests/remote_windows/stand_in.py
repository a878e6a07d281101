"""powershell.exe as a program of its own, for real shells and a real sshd: it plays what it is given as a practice host does.

    python -m tests.remote_windows.stand_in FOLDER WORDS...

FOLDER holds the host's files and what was started. Where it holds a file `mishap`, the next process takes it: `cut N` says only
the first N bytes and ends well, `wait N` says them, and then nothing as long as anybody listens.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from remote.lab.windows.replies import Captured
from remote.lab.windows.works import Works
from tests.remote_windows.played import ANSWERS, COMMANDS

_PIECE = 64 * 1024
_TURN_S = 0.1
_TURNS = 600


async def main(folder: Path, line: str) -> int:
    """Return the exit status."""
    with (folder / "started").open("a") as started:
        started.write(f"{line}\n")
    kept = folder / "files"
    files = pickle.loads(kept.read_bytes()) if kept.exists() else {}
    how, most = _mishap(folder)
    play = Captured(answers=ANSWERS, works=Works(COMMANDS, files)).played(line, "", _stdin())
    if play is None:
        sys.stderr.write(f"not known: {line}\n")
        return 1
    status, said = 1, 0
    async for wrote in play:
        piece = wrote.stdout if how is None else wrote.stdout[: max(0, most - said)]
        said += len(piece)
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        sys.stderr.buffer.write(wrote.stderr)
        if how == "wait" and said >= most:
            (folder / "waits").touch()
            await _nobody_listens()
        status = status if wrote.exit_status is None else wrote.exit_status
    kept.write_bytes(pickle.dumps(files))
    return status % 256  # Unix keeps no more of it


def _mishap(folder: Path) -> tuple[str | None, int]:
    taken = folder / "taken"
    try:
        (folder / "mishap").rename(taken)
    except FileNotFoundError:
        return None, 0
    how, most = taken.read_text().split()
    return how, int(most)


async def _nobody_listens() -> None:
    """Return once whoever reads what is said has gone, or a minute has passed."""
    listening = select.poll()
    listening.register(sys.stdout, 0)
    for _ in range(_TURNS):
        if listening.poll(0):
            return
        await asyncio.sleep(_TURN_S)


async def _stdin() -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(os.read, sys.stdin.fileno(), _PIECE):
        yield piece


if __name__ == "__main__":
    ended = asyncio.run(main(Path(sys.argv[1]), " ".join(["powershell.exe", *sys.argv[2:]])))
    sys.exit(ended)
