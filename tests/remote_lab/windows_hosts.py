"""Practice Windows hosts for tests: in a loop of their own thread, since the clients of WinRM block."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.shells import Limits, Running, Said

USER, PASSWORD = "vagrant", "Пароль of the lab"
BASIC_USER, BASIC_PASSWORD = "basic", "only ASCII"
"""What `requests`, and so pywinrm, can send: it encodes what Basic sends as Latin-1."""
WORDS = "привет, мир\r\n"


async def program(running: Running) -> Said | None:
    """Know a handful of commands: words with an exit status, the input back, patience, much output."""
    match running.asked.line.split(" "):
        case ["cmd", "/c", "exit", status]:
            return Said(stdout=WORDS.encode(), stderr=b"to the other side", exit_status=int(status))
        case ["cat"]:
            got = b""
            while (piece := await running.stdin.get()) is not None:
                got += piece
            return Said(stdout=got)
        case ["patience", seconds]:
            await asyncio.sleep(float(seconds))
            return Said(stdout=b"at last")
        case ["much", kibibytes]:
            return Said(stdout=bytes(range(256)) * 4 * int(kibibytes))
        case ["environment", name]:
            return Said(stdout=running.asked.environment.get(name, "").encode())
    return None


def windows_host(
    *schemes: str, limits: Limits | None = None, mishaps: Mishaps | None = None, allow_unencrypted: bool = False
) -> WindowsHost:
    """Return a host that lets its users in by these ways."""
    passwords = {BASIC_USER: BASIC_PASSWORD}
    doors = Doors(passwords=passwords, schemes=schemes or ("negotiate",), allow_unencrypted=allow_unencrypted)
    return WindowsHost(program, doors=doors, limits=limits, mishaps=mishaps)


@contextmanager
def listening(host: WindowsHost, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Let a host listen in a thread of its own, and give its port; its loop ends with it."""
    ready: list[int] = []
    started, leave = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with host.listening(tls) as port:
            ready.append(port)
            started.set()
            await leave.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(30)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        loop.close()


@pytest.fixture
def ntlm_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let NTLM know the one user, under each name of a domain that clients send for a local one."""
    accounts = tmp_path / "ntlm-users"
    accounts.write_text("".join(f"{domain}:{USER}:{PASSWORD}\n" for domain in ("", "WIN", "LAB")))
    monkeypatch.setenv("NTLM_USER_FILE", str(accounts))
    monkeypatch.setenv("NETBIOS_COMPUTER_NAME", "WIN")
