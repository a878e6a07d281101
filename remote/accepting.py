"""Serving the connections that come to a socket, for a while: leaving ends every one of them.

`asyncio.start_server` of Python 3.11 knows nothing of a connection that is accepted and not yet served, or still in the
handshake of TLS: where its loop ends then, the connection stays open until somebody collects it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LEAVING_S: Final = 10.0
_LONGEST_LINE: Final = 64 * 1024


@asynccontextmanager
async def accepting(
    listener: socket.socket, serve: Serve, *, tls: ssl.SSLContext | None = None, limit: int = _LONGEST_LINE
) -> AsyncIterator[Callable[[], None]]:
    """Serve what comes to a listening socket until left, which ends it and, within LEAVING_S, what is being served.

    What is yielded ends the listening only: whoever comes from then on is refused.

    A connection ends once it is served, with all that was written to it. A client that leaves early is no error; whatever else
    `serve` has raised is raised on leaving. `limit` is asyncio's: the longest line in bytes.
    """
    loop = asyncio.get_running_loop()
    under_way: set[asyncio.Task[None]] = set()
    broken: list[BaseException] = []

    def accept() -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # whoever came has left again
            return
        connection.setblocking(False)

        def ended(task: asyncio.Task[None]) -> None:
            connection.close()  # by itself where the task was cancelled before it began
            under_way.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                broken.append(error)

        under_way.add(task := loop.create_task(_served(connection, serve, tls, limit)))
        task.add_done_callback(ended)

    def take_no_more() -> None:
        if listener.fileno() >= 0:
            loop.remove_reader(listener)
            listener.close()

    listener.setblocking(False)
    loop.add_reader(listener, accept)
    try:
        yield take_no_more
    finally:
        take_no_more()
        for task in tuple(under_way):
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=LEAVING_S)
    for error in broken:
        raise error


async def _served(connection: socket.socket, serve: Serve, tls: ssl.SSLContext | None, limit: int) -> None:
    """Serve one connection and end it: in good order, or at once where that is cancelled or fails."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
    except OSError:  # no TLS, or the client has left
        return
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
