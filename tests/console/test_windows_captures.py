"""Every captured Windows host by every way in: `diagnose` says of it what the checks say of its capture."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.diagnose import diagnose
from diagnostics.library import load_library
from inventory.host import Transport
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.lab.captures import read_captures, taken_at
from remote.lab.moments import Moved
from remote.lab.windows.everyday import Everyday
from remote.lab.windows.faults import ENGLISH, RUSSIAN
from remote.lab.windows.login import Rights
from remote.lab.windows.replies import Captured
from remote.lab.windows.ssh import Shell, WindowsShells
from remote.ssh_library import asyncssh
from tests.console.conftest import Console
from tests.diagnostics.library.windows_hosts import CAPTURES, WindowsHost
from tests.diagnostics.library.windows_ills import HOSTS
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.conftest import LetsIn, practice

__all__ = ["ntlm_accounts"]
pytestmark = [pytest.mark.usefixtures("ntlm_accounts"), pytest.mark.long]
WORD = {"LONGARM_TEST_WORD": PASSWORD}
SERVER_KEY = asyncssh.generate_private_key("ssh-ed25519")


def captured(host: WindowsHost) -> Captured:
    """Return what answers as a host did: its times are as long ago as they were, its version and its rights are its own."""
    data = (CAPTURES / f"{host.name}.evidence").read_bytes()
    answers = Everyday(Moved(read_captures(data, host.name), taken_at(data, host.name)), host.powershell)
    return Captured(answers=answers, version=host.powershell, admin=host.admin)


def speaks(host: WindowsHost) -> str:
    return RUSSIAN if host.name.endswith("-ru") else ENGLISH


@contextmanager
def by_winrm(host: WindowsHost) -> Iterator[int]:
    """Let it listen; whoever is no administrator there may open no shell of cmd."""
    rights = {USER: Rights.ADMIN if host.admin else Rights.REMOTE}
    with listening(practice(program=captured(host), language=speaks(host), rights=rights)) as port:
        yield port


@contextmanager
def by_ssh(host: WindowsHost) -> Iterator[int]:
    loop, plays = asyncio.new_event_loop(), WindowsShells(captured(host), Shell.POWERSHELL)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=LetsIn,
            server_host_keys=[SERVER_KEY],
            process_factory=plays,
            encoding=None,
            line_editor=False,
        )

    async def end(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()

    try:
        server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
        yield server.get_port()
        asyncio.run_coroutine_threadsafe(end(server), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def verdict(host: WindowsHost) -> dict[str, Any]:
    """Return what the checks say of a capture, as it lies there, in the words of the document."""
    shipped = load_library()
    evidence, context = load_capture(CAPTURES / host.name)
    found = diagnose(evidence, replace(context, library_digest=shipped.digest), shipped)
    return {
        "checks": {one.check: one.verdict.value for one in found.results},
        "findings": sorted((one.check, one.severity.value, said(one.subject)) for one in found.findings),
    }


def said(subject: Any) -> str:
    return json.dumps(dict(subject), sort_keys=True, ensure_ascii=False, default=str)


def inventory(ports: dict[str, int], transport: Transport) -> str:
    lines = [f"credentials: {{ops: {{user: {USER}, password: {{env: LONGARM_TEST_WORD}}}}}}", "hosts:"]
    for host in HOSTS:
        expected = {"services": host.expect.services, "ports": host.expect.ports, "names": host.expect.names}
        way = {} if transport is Transport.SSH else {"winrm": {"scheme": "http"}}
        given = {
            "address": "127.0.0.1",
            "port": ports[host.name],
            "transport": transport.value,
            "platform": "windows",
            "credential": "ops",
            **way,
            "expect": {name: list(values) for name, values in expected.items() if values},
        }
        lines.append(f"  {host.name}: {json.dumps({name: value for name, value in given.items() if value})}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP, Transport.SSH])
def test_what_is_said_of_a_host_is_what_its_capture_says(console: Console, transport: Transport) -> None:
    known = KnownHosts(console.home / "known_hosts")
    with ExitStack() as stack:
        listens = by_ssh if transport is Transport.SSH else by_winrm
        ports = {host.name: stack.enter_context(listens(host)) for host in HOSTS}
        console.inventory(inventory(ports, transport))
        for name in ports if transport is Transport.SSH else ():
            known.add(name, HostKey.of(SERVER_KEY.public_data))
        done = console("diagnose", "all", "--json", environ=WORD)
        rows = {row["host"]: row for row in done.json()["hosts"]}
        shells = {host.name: shell_of(console, host.name) for host in HOSTS if host.name in ("win-10-ru", "win-2025-ps7")}
    told = {
        name: {
            "checks": {one["check"]: one["verdict"] for one in row["checks"]},
            "findings": sorted((one["check"], one["severity"], said(one["subject"])) for one in row["findings"]),
        }
        for name, row in rows.items()
    }
    wanted = {host.name: verdict(host) for host in HOSTS}
    assert {name: told[name] for name in wanted if told[name] != wanted[name]} == {}
    for host in HOSTS:
        asked = rows[host.name]["questions"]
        assert {one["as_root"] for one in asked if one["ended"] == "exited"} == {host.admin}, host.name
        over = "psrp" if transport is Transport.WINRM and not host.admin else transport.value
        assert rows[host.name]["session"]["transport"] == over
    assert {name: shell.split(",")[0] for name, shell in shells.items()} == {
        host.name: f"PowerShell {host.powershell}" for host in HOSTS if host.name in shells
    }


def shell_of(console: Console, host: str) -> str:
    """Return what the doctor says of a host's shell."""
    rows = {row["what"]: row["detail"] for row in console("doctor", "--host", host, "--json", environ=WORD).json()}
    return str(rows["shell"])
