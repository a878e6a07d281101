"""Forty canary secrets as passwords of Windows hosts that know them and say them: no sink holds one (T5, T7, T8)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spnego._ntlm_raw.crypto import ntowfv1

from remote.answer import Answer, Ended
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.pipelines import CapturedPipelines
from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Endpoint
from remote.lab.windows.shells import Program, Running, Said
from tests.conftest import SOAK
from tests.console.canary_host import CANARIES, name_of
from tests.console.test_canaries import FAULTY, QUIET, Run, assert_no_leak, by_environment, outcomes, run
from tests.remote_lab.windows_hosts import all_listening
from tests.wires import WIRES

__all__ = ["run"]
BOTH = pytest.mark.parametrize("transport", ["winrm", "psrp"])
EITHER = pytest.mark.parametrize("transport", ["winrm", "psrp"] if SOAK else ["winrm"])
CRASHING = """
from remote.windows.winrm import WinrmConnector
async def broken(self, line, *rest):
    raise RuntimeError("no login with " + line.credential.password.reveal())
WinrmConnector._open = broken
from console.main import main
main()
"""


def says(canary: str) -> bytes:
    """Return what a host says that repeats a secret in every form that programs write it."""
    return "".join(f"{wire}: {write(canary)}\n" for wire, write in WIRES.items()).encode()


def answers_it(status: int) -> Callable[[str], Program]:
    """Return what makes programs of hosts that answer with the secret, in both streams, and exit so."""

    def program(canary: str) -> Program:
        said = says(canary)
        row = json.dumps({"of": "clock", "it": {"Now": canary}}).encode() + b"\n"
        answer = Answer(ended=Ended.EXITED, exit_status=status, stdout=row + said, stderr=said)
        return Captured(answers=dict.fromkeys(("win.events", "win.system", "win.services"), answer))

    return program


def starts_nothing(canary: str) -> Program:
    """Return a PowerShell that does not start and says the secret on an error stream."""
    head = b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"><S S="Error">'

    async def program(running: Running) -> Said:
        return Said(stderr=head + says(canary).replace(b"&", b"&amp;").replace(b"<", b"&lt;") + b"</S></Objs>", exit_status=1)

    return program


@contextmanager
def windows(run: Run, transport: str, program: Callable[[str], Program]) -> Iterator[None]:
    """Let a host for each canary listen, which is its user's password, and name them all in the inventory."""
    hosts = []
    for canary in CANARIES:
        does = program(canary)
        endpoints = {}
        if isinstance(does, Captured):
            endpoints = {"Microsoft.PowerShell": Endpoint(program=CapturedPipelines(captured=does))}
        hosts.append(WindowsHost(does, doors=Doors(schemes=("negotiate",)), endpoints=endpoints))
    with all_listening(hosts) as ports:
        run.prepare(1, by_environment, QUIET)
        run.asks = ("--playbook", "standard")
        text = (run.home / "inventory.yaml").read_text()
        for number, port in enumerate(ports):
            where = f"  {name_of(number)}: {{address: 127.0.0.1, port: 1, ssh_library: asyncssh,"
            assert where in text
            ours = f"address: 127.0.0.1, port: {port}, transport: {transport}, winrm: {{scheme: http}},"
            text = text.replace(where, f"  {name_of(number)}: {{{ours}")
        (run.home / "inventory.yaml").write_text(text)
        yield
    assert not any(host.service.shells.open for host in hosts)


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let NTLM know each user, or none, by the hash of his password, since some hold colons."""
    path = tmp_path / "ntlm-users"
    domains = ("WIN\\", "LAB\\", f"{socket.gethostname().upper()}\\", "")
    rows = [
        f"{domain}{name_of(number)}:1000:{'0' * 32}:{ntowfv1(canary).hex()}:[U]:x\n"
        for number, canary in enumerate(CANARIES)
        for domain in domains
    ]
    path.write_text("".join(rows) if getattr(request, "param", True) else "WIN:nobody:nothing\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))
    monkeypatch.setenv("NETBIOS_COMPUTER_NAME", "WIN")


@BOTH
@pytest.mark.parametrize("status", [0, 1] if SOAK else [1])
async def test_no_canary_of_a_windows_host_comes_out(status: int, transport: str, run: Run, accounts: None) -> None:
    with windows(run, transport, answers_it(status)):
        ran = await run.end(await run.start())
    sinks = assert_no_leak(ran, 3)
    assert outcomes(ran) == {"incomplete"}
    assert b"***" in sinks["raw answers"], "the host did say it"


async def test_an_error_stream_that_repeats_it(run: Run, accounts: None) -> None:
    with windows(run, "winrm", starts_nothing):
        ran = await run.end(await run.start())
    assert_no_leak(ran, 3)
    assert b"***" in ran.out, "its words are told, masked"


@EITHER
@pytest.mark.parametrize("accounts", [False], indirect=True)
async def test_a_windows_host_that_does_not_take_it(transport: str, run: Run, accounts: None) -> None:
    with windows(run, transport, answers_it(0)):
        ran = await run.end(await run.start())
    assert_no_leak(ran, 4)
    assert outcomes(ran) == {"refused"}


@EITHER
@pytest.mark.parametrize(("code", "exits"), [(CRASHING, 1), (FAULTY, 7)], ids=["at the login", "in a report"])
async def test_a_fault_of_ours_on_the_way_to_windows(code: str, exits: int, transport: str, run: Run, accounts: None) -> None:
    with windows(run, transport, answers_it(0)):
        ran = await run.end(await run.start(code))
    sinks = assert_no_leak(ran, exits)
    crashes = [data for sink, data in sinks.items() if sink.startswith("file crashes/")]
    assert crashes and all(b"***" in data for data in crashes)
