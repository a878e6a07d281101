"""One practice Windows host: its WS-Management service on loopback, over HTTP or HTTPS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from remote.accepting import accepting
from remote.lab.windows.actions import Service
from remote.lab.windows.conversation import LARGEST_HEADERS, converse
from remote.lab.windows.faults import ENGLISH
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.runspaces import Endpoint
from remote.lab.windows.shells import Limits, Program
from remote.lab.windows.talk import Seen, Talk

LOOPBACK = "127.0.0.1"


class WindowsHost:
    """A host as it is seen through WS-Management; `seen` counts what came."""

    def __init__(
        self,
        program: Program,
        *,
        doors: Doors,
        endpoints: Mapping[str, Endpoint] | None = None,
        limits: Limits | None = None,
        mishaps: Mishaps | None = None,
        language: str = ENGLISH,
    ) -> None:
        self.service = Service(program, doors, limits or Limits(), endpoints or {}, language)
        self.mishaps, self.seen = mishaps or Mishaps(), Seen()

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Listen on a free port of the loopback interface and yield it; leaving ends every connection and shell.

        What a program of the host has raised is raised then.
        """
        listener = socket.create_server((LOOPBACK, 0))

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await converse(reader, writer, self._talk(writer).answer)

        try:
            async with accepting(listener, talk, tls=tls, limit=LARGEST_HEADERS):
                yield listener.getsockname()[1]
        finally:
            self.service.shells.lose_all()
        for error in self.service.shells.broken:
            raise error

    def _talk(self, writer: asyncio.StreamWriter) -> Talk:
        certificate = writer.get_extra_info("peercert")  # verified by TLS; None where there is no TLS
        return Talk(
            self.service, self.mishaps, self.seen, tls=writer.get_extra_info("ssl_object") is not None, peer=certificate
        )
