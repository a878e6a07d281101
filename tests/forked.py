"""Programs in Python without starting Python for each: a process that has loaded one forks, and a child is one command line.

The child has the environment, folder and streams of its order and runs what the program's script runs, to the same end. What
a start of its own decides (the interpreter's settings, what is imported when) is seen by nobody here.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_ORDER_BYTES = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program: the module and the function that its script calls, and the packages of which every module is loaded before."""

    name: str
    module: str
    function: str = "main"
    packages: tuple[str, ...] = ()


LONGARM = Program(
    name="longarm",
    module="console.main",
    packages=("inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console"),
)
CRASHING = Program(name="longarm", module="tests.console.crashing", packages=LONGARM.packages)
PERMITTED = Program(name="longarm", module="tests.console.permitted", packages=LONGARM.packages)
ANSIBLE_INVENTORY = Program(name="ansible-inventory", module="ansible.cli.inventory")
_PROGRAMS = {program.module: program for program in (LONGARM, CRASHING, PERMITTED, ANSIBLE_INVENTORY)}


class Forked:
    """The process that forks; one command line at a time."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout_s: float
    ) -> tuple[int, bytes, bytes]:
        """Return exit code (negative: the signal), stdout and stderr of the program, whose stdin is empty."""
        with _pipe() as (out, to_out), _pipe() as (err, to_err):
            order = json.dumps({"arguments": arguments, "environ": dict(environ), "cwd": os.fspath(cwd)}).encode()
            assert len(order) < _ORDER_BYTES
            socket.send_fds(self._orders, [order], [to_out, to_err])
            os.close(to_out)
            os.close(to_err)
            pid = int(self._orders.recv(32))
            try:
                said = _read_all(out, err, until=time.monotonic() + timeout_s)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"no end after {timeout_s:g} s: {arguments}") from None
            finally:
                code = int(self._orders.recv(32))
        return code, said[out], said[err]


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe; whoever is given its writing end closes that."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)


def _read_all(*pipes: int, until: float) -> dict[int, bytes]:
    """Return what came out of each pipe until it was closed; TimeoutError if that was too late."""
    said = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(until - time.monotonic())
            if not ready and time.monotonic() > until:
                raise TimeoutError
            for key, _ in ready:
                if data := os.read(key.fd, 1 << 16):
                    said[key.fd] += data
                else:
                    selector.unregister(key.fd)
    return {pipe: bytes(data) for pipe, data in said.items()}


@contextmanager
def forking(program: Program, **environ: str) -> Iterator[Forked]:
    """Start the process that forks, with this environment while it loads; end it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", program.module, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **environ},
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        with process:
            yield Forked(ours)
            ours.close()
            assert process.wait(60) == 0


def serve(program: Program, orders: socket.socket) -> None:
    """Carry out orders until there are no more."""
    main = _load(program)
    while True:
        data, fds, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 2)
        if not data:
            return
        if (pid := os.fork()) == 0:
            orders.close()
            _become(program.name, json.loads(data), *fds)
            main()
            sys.exit()
        for fd in fds:
            os.close(fd)
        orders.send(str(pid).encode())
        orders.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _load(program: Program) -> Callable[[], object]:
    for package in program.packages:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if ".migrations." not in module.name:  # those are run by alembic
                importlib.import_module(module.name)
    main: Callable[[], object] = getattr(importlib.import_module(program.module), program.function)
    return main


def _become(name: str, order: Mapping[str, Any], out: int, err: int) -> None:
    """Take over the words, the environment, the folder and the streams of an order."""
    for fd, place in ((out, 1), (err, 2)):
        os.dup2(fd, place)
        os.close(fd)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the old ones remember the old files
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(order["environ"])
    os.chdir(order["cwd"])
    sys.argv = [name, *order["arguments"]]


if __name__ == "__main__":
    serve(_PROGRAMS[sys.argv[1]], socket.socket(fileno=int(sys.argv[2])))
