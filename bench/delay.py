"""A slow line to a fleet: two TUN devices, one in the fleet's namespace and one in a new one, joined with a delay.

Kernels of containers often have no netem. A process of its own carries the packets, so that what is measured is
not slowed by the line's own work: `python -m bench.delay NEAR FAR ONE_WAY_MS`, until its stdin ends. An end is a
namespace, or NAMESPACE/DEVICE for a TAP device of that name, which carries frames and so can be the port of a bridge.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import selectors
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.fleet import Fleet, write_inventory

HOST, FAR_END = "10.77.0.1", "10.77.0.2"
_CLONE_NEWNET, _TUNSETIFF = 0x40000000, 0x400454CA  # setns(2), linux/if_tun.h
_TUN, _TAP, _NO_PACKET_INFO = 0x0001, 0x0002, 0x1000
_MOST_BYTES = 65536


@contextmanager
def delayed(fleet: Fleet, round_trip_ms: float) -> Iterator[Fleet]:
    """Give the first host of a fleet as seen from behind a line of this length."""
    far = f"{fleet.namespace}f"
    _run("ip", "netns", "add", far)
    words = [sys.executable, "-m", "bench.delay", fleet.namespace, far, str(round_trip_ms / 2)]
    line = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    try:
        assert line.stdin and line.stdout
        line.stdout.readline()  # both devices are there
        for namespace, own in ((fleet.namespace, HOST), (far, FAR_END)):
            _run("ip", "-n", namespace, "address", "add", f"{own}/24", "dev", "line0")
            _run("ip", "-n", namespace, "link", "set", "line0", "up")
        inventory = write_inventory(fleet.folder, "far.yaml", [HOST])
        yield replace(fleet, namespace=far, hosts=(HOST,), inventory=inventory)
    finally:
        line.communicate()
        _run("ip", "netns", "del", far)


def carry(near: str, far: str, one_way_s: float) -> None:
    """Carry packets both ways until stdin ends."""
    ends = [_device(end) for end in (near, far)]
    waiting: list[deque[tuple[float, bytes]]] = [deque(), deque()]
    print("ready", flush=True)
    with selectors.DefaultSelector() as selector:
        for source in (*ends, sys.stdin.fileno()):
            selector.register(source, selectors.EVENT_READ)
        while True:
            due = min((queue[0][0] for queue in waiting if queue), default=None)
            ready = selector.select(None if due is None else max(0.0, due - time.monotonic()))
            for key, _ in ready:
                if key.fd == sys.stdin.fileno():
                    return
                waiting[1 - ends.index(key.fd)].append((time.monotonic() + one_way_s, os.read(key.fd, _MOST_BYTES)))
            now = time.monotonic()
            for end, queue in zip(ends, waiting, strict=True):
                while queue and queue[0][0] <= now:
                    with contextlib.suppress(OSError):  # a device that is not up yet
                        os.write(end, queue.popleft()[1])


def _device(end: str) -> int:
    """Return the open device of an end, `line0` where it has no name; this process stays in its namespace."""
    namespace, _, name = end.partition("/")
    kind = (_TAP if name else _TUN) | _NO_PACKET_INFO
    with Path(f"/run/netns/{namespace}").open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns", namespace)
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", (name or "line0").encode(), kind))
    return device


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    carry(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000)
