"""A host that others are reached through, in a process of its own: python -m tests.remote.bastion PORT HOST_KEY PUBLIC_KEY."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from remote.ssh_library import asyncssh
from tests.remote.servers import Keys, free_port, serving


class Forwards(asyncssh.SSHServer):
    """Lets in one key, and connects to wherever it is told."""

    def __init__(self, accepts: str) -> None:
        self.accepts = asyncssh.import_public_key(accepts)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key == self.accepts

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


async def serve(port: int, host_key: str, accepts: str) -> None:
    server = await asyncssh.listen("127.0.0.1", port, server_factory=lambda: Forwards(accepts), server_host_keys=[host_key])
    print("listening", file=sys.stderr, flush=True)
    await server.wait_closed()


@contextlib.contextmanager
def practice_bastion(folder: Path, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start it and return its port; it ends, by pid, with the context."""
    port = free_port()
    command = [sys.executable, "-m", "tests.remote.bastion", str(port), str(host_key.path), user_key.public]
    with serving(command, b"listening", folder / "bastion.log"):
        yield port


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
