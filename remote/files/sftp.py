"""Carry files over SFTP: many requests at once, no shell in between. What it cannot do, commands try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, TypeVar

from remote.files.carriers import CarrierGaveUp
from remote.files.steps import Steps
from remote.files.transfer import Reason
from remote.ssh_errors import reason_of
from remote.ssh_intake import Intake
from remote.ssh_library import asyncssh

T = TypeVar("T")
_OPENING_S = 10.0
"""How long the server may take to begin; one that hangs is passed over."""
_LEAVING_S = 1.0
_OVERHEAD = 1024 * 1024
"""Bytes beside the file's own that the host may send for one piece."""
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost, OSError)


class SftpCarrier:
    """One SFTP client for one transfer."""

    name: Final = "sftp"
    write_bytes: Final = 1024 * 1024
    read_bytes: Final = 1024 * 1024

    def __init__(self, client: asyncssh.SFTPClient, intake: Intake, steps: Steps) -> None:
        self._client, self._intake, self._steps = client, intake, steps
        self._file: asyncssh.SFTPClientFile | None = None

    @classmethod
    async def open(cls, connection: asyncssh.SSHClientConnection, intake: Intake, steps: Steps) -> SftpCarrier | None:
        """Return a carrier, None where the host has no SFTP server that answers."""
        intake.allow(_OVERHEAD)
        try:
            async with asyncio.timeout(min(_OPENING_S, steps.left_s)):
                return cls(await connection.start_sftp_client(path_errors="surrogateescape"), intake, steps)
        except (asyncssh.Error, OSError, ValueError):  # TimeoutError is an OSError
            return None

    async def write(self, part: str, offset: int, data: bytes) -> None:
        """Write to the part, which is there and empty at first."""
        if self._file is None:
            self._file = await self._within(self._client.open(part, "r+b", encoding=None))
        await self._within(self._file.write(data, offset))

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Read from the file."""
        if self._file is None:
            self._file = await self._within(self._client.open(path, "rb", encoding=None))
        self._intake.allow(_OVERHEAD + 2 * size)
        data = await self._within(self._file.read(size, offset))
        assert isinstance(data, bytes)  # it was opened without an encoding
        return data[:size]

    async def close(self) -> None:
        """Close the file and the channel; a host that does not answer is not waited for."""
        with suppress(asyncssh.Error, OSError):  # what was written has been compared, or has failed already
            async with asyncio.timeout(_LEAVING_S):
                if self._file is not None:
                    await self._file.close()
                self._client.exit()
                await self._client.wait_closed()

    async def _within(self, work: Awaitable[T]) -> T:
        """Return what `work` gives before the deadline; raises TransferFailed or CarrierGaveUp.

        What is late ends with its channel: asyncssh that is cancelled leaves its requests behind, whose errors nobody hears.
        """
        self._intake.allow(max(_OVERHEAD, self._intake.left))
        working = asyncio.ensure_future(work)
        working.add_done_callback(_heard)
        done, _ = await asyncio.wait({working}, timeout=self._steps.left_s)
        if not done:
            raise self._steps.failed(Reason.TIMED_OUT)
        try:
            return working.result()
        except _LOST as error:
            raise self._steps.failed(Reason.LOST, reason_of(error)) from error
        except (asyncssh.Error, ValueError) as error:
            raise CarrierGaveUp from error


def _heard(working: asyncio.Future[T]) -> None:
    """Take what ended the work: whoever asked for it may be gone."""
    if not working.cancelled():
        working.exception()
