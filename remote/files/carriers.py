"""What carries the bytes of a file: the seam, and the carrier that every host has."""

from __future__ import annotations

from typing import Final, Protocol

from remote.files.steps import Steps

WRITE_BYTES: Final = 192 * 1024
"""Of one append: its bundle is up to four times as large, and some shells hold it more than once."""
READ_BYTES: Final = 1024 * 1024


class CarrierGaveUp(Exception):
    """This carrier cannot; another one may, and says it in better words."""


class Carrier(Protocol):
    """Moves bytes between us and one file on the host."""

    @property
    def name(self) -> str:
        """Return what it is called in records."""

    @property
    def write_bytes(self) -> int:
        """Return how many bytes `write` takes at once."""

    @property
    def read_bytes(self) -> int:
        """Return how many bytes `read` is asked for at once; offsets are multiples of it."""

    async def write(self, part: str, offset: int, data: bytes) -> None:
        """Add `data` to the part, which has `offset` bytes by now; raises TransferFailed or CarrierGaveUp."""

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset` on, fewer only at the end; raises TransferFailed or CarrierGaveUp."""

    async def close(self) -> None:
        """Let go; never raises."""


class ExecCarrier:
    """Carries a file in pieces, one command each: works on every host, also as root."""

    name: Final = "exec"
    write_bytes: Final = WRITE_BYTES
    read_bytes: Final = READ_BYTES

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    async def write(self, part: str, offset: int, data: bytes) -> None:
        """Add `data`; a piece whose end was lost is noticed by the offset of the next."""
        await self._steps.run("append", stdin=data, part=part, offset=offset)

    async def read(self, path: str, offset: int, size: int) -> bytes:
        """Return what `dd` reads."""
        result = await self._steps.run(
            "read", max_bytes=self.read_bytes, path=path, size=self.read_bytes, index=offset // self.read_bytes
        )
        return result.stdout[:size]

    async def close(self) -> None:
        """Nothing is held."""
