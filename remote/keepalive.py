"""Who is gone without a word is noticed by the kernel, on connections of every transport."""

from __future__ import annotations

import socket
from typing import Final

KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
"""A peer that is gone is noticed by the kernel after 35 s of silence; a host that hangs is the deadlines' business.

asyncssh's own keepalive sets a timer anew with each packet: 25 timers per host for twelve questions.
"""


def watch_over(opened: socket.socket) -> None:
    """Let the kernel notice a peer that is gone on a TCP connection."""
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                opened.setsockopt(socket.IPPROTO_TCP, option, value)
