"""What is written within one turn of the loop leaves as one piece, in order, and before the end; how much may arrive."""

import asyncio
from typing import cast

import pytest

from remote.ssh_intake import Gathered, Intake
from remote.ways import Way


class Wire(asyncio.Transport):
    """Notes what is done with it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 22)})
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.done[-1:] == [b"last"]:
            raise ConnectionResetError
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done


async def test_what_is_written_in_one_turn_leaves_together() -> None:
    wire = Wire()
    gathered = Gathered(wire)
    gathered.write(b"ignore")
    gathered.write(bytearray(b"packet"))
    assert wire.done == []
    await asyncio.sleep(0)
    assert wire.done == [b"ignorepacket"]
    gathered.write(b"more")
    await asyncio.sleep(0)
    assert wire.done == [b"ignorepacket", b"more"]
    assert gathered.get_extra_info("peername") == ("192.0.2.1", 22)


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_what_waits_leaves_before_the_end_and_nothing_after_it(end: str) -> None:
    wire = Wire()
    gathered = Gathered(wire)
    gathered.write(b"disconnect")
    getattr(gathered, end)()
    assert wire.done == [b"disconnect", end] and gathered.is_closing()
    gathered.write(b"late")
    await asyncio.sleep(0)
    assert wire.done == [b"disconnect", end]


async def test_a_connection_that_just_went_away_raises_nothing() -> None:
    wire = Wire()
    gathered = Gathered(wire)
    gathered.write(b"last")
    await asyncio.sleep(0)
    gathered.write(b"too late")
    await asyncio.sleep(0)
    assert wire.done == [b"last"]


def test_a_host_may_send_more_as_its_commands_say_something_and_only_so_much() -> None:
    intake = Intake(cast("Way", None))
    intake.allow(1000, for_output=700)
    assert intake.take(900) is None
    intake.said(50)  # 100 for itself, 256 for what it is wrapped in
    assert intake.left == 456
    intake.said(10_000)
    assert intake.left == 800
    flooded = intake.take(801)
    assert flooded is not None and flooded.limit == 1700 and intake.flooded
