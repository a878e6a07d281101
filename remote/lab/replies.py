"""What a practice host does with a command: a bundle is answered from captures, anything else is refused.

Nothing of the script is run. A question without a captured answer gets no frames at all, so the
asking side tells it apart as one that was not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import asyncssh

from remote.answer import Answer
from remote.bundle.manifest import Manifest, NotABundle, read_manifest, write_frames
from remote.bundle.wire import COMMAND

NOT_OURS = 127
_PIECE = 64 * 1024
_LONGEST_SCRIPT = 8 * 1024 * 1024


async def reply_to(process: asyncssh.SSHServerProcess[bytes], answers: Mapping[str, Answer]) -> int:
    """Answer a bundle on the streams of `process` and return its exit status; anything else is refused."""
    asked = await _asked(process) if process.command == COMMAND else None
    if asked is None:
        process.stderr.write(b"This is a practice host: it answers the questions of longarm and nothing else.\n")
        return NOT_OURS
    for stream, data in zip((process.stdout, process.stderr), write_frames(asked, answers), strict=True):
        stream.write(data)
        await stream.drain()
    return 0


async def _asked(process: asyncssh.SSHServerProcess[bytes]) -> Manifest | None:
    """Return what the script on stdin asks once it is whole, None if what comes there is no bundle."""
    script = bytearray()
    while len(script) < _LONGEST_SCRIPT and (piece := await process.stdin.read(_PIECE)):
        script += piece
        with suppress(NotABundle):  # more is to come
            return read_manifest(bytes(script))
    return None
