"""HTTP/1.1 of a practice Windows host: what WS-Management needs of it, kept alive, one login for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import format_datetime
from http import HTTPStatus
from typing import TypeAlias

LARGEST_HEADERS = 64 * 1024
LARGEST_BODY = 2 * 1024 * 1024
_SERVER = "Microsoft-HTTPAPI/2.0"


class HangUp(Exception):
    """The connection ends here, without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: its target, headers and whole body."""

    method: str
    target: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = ""
    challenges: Sequence[str] = ()
    """Values of WWW-Authenticate."""
    clock_ahead_s: float = 0.0
    """How far the host's clock, which `Date` tells, is ahead of ours."""
    last: bool = False
    """The connection ends with it, and it says so."""
    cut_short: bool = False
    """The connection ends in the middle of it."""

    def raw(self) -> bytes:
        """Return the bytes on the wire, with the headers that http.sys writes."""
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"Content-Type: {self.content_type}"] if self.content_type else []
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=self.clock_ahead_s), usegmt=True)
        lines += [f"Server: {_SERVER}", f"Date: {date}", *(f"WWW-Authenticate: {one}" for one in self.challenges)]
        lines += ["Connection: close"] if self.last else []
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


Answering: TypeAlias = Callable[[Call], Awaitable[Reply]]


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answering) -> None:
    """Answer the requests of one connection, one after the other, until either side has enough."""
    try:
        while (call := await _read(reader)) is not None:
            reply = await answer(call)
            raw = reply.raw()
            writer.write(raw[: len(raw) - len(reply.body) // 2] if reply.cut_short else raw)
            await writer.drain()
            if reply.last or reply.cut_short:
                return
    except (HangUp, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        pass  # what is no HTTP gets no answer, and whoever left wants none
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Call | None:
    """Return the next request, None where the client has closed; raises ValueError for what is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, _, rest = head.partition(b"\r\n")
    method, target, version = first.decode("ascii").split(" ")
    headers = BytesParser(policy=compat32).parsebytes(rest, headersonly=True)
    length = int(headers.get("Content-Length", "0"))
    if not version.startswith("HTTP/1.") or not 0 <= length <= LARGEST_BODY:
        raise ValueError(version, length)
    return Call(method=method, target=target, headers=headers, body=await reader.readexactly(length))
