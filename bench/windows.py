"""What a Windows host costs us: HTTP requests, processor time beside bare pywinrm, and a fleet of which a part misbehaves.

    python -m bench.windows            all figures, as one table
    python -m bench.windows serve N    practice hosts in a process of their own (started by the above); the N-th message is the
                                       first that asks what a command says

The practice hosts answer the questions of the library from captures; bare pywinrm runs one trivial command on the same ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from pypsrp.powershell import RunspacePool
from pypsrp.wsman import WSMan
from winrm.protocol import Protocol

from diagnostics.library import load_library
from inventory.host import Host, Platform, Transport, WinrmSettings
from inventory.secret import Secret
from remote.answer import Answer, Ended, answered
from remote.breaker import Breaker
from remote.credentials import Credential
from remote.errors import RemoteError
from remote.known_hosts import KnownHosts
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.pipelines import CapturedPipelines
from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Endpoint
from remote.lab.windows.shells import Limits, Running, Said
from remote.question import Question
from remote.ways import Direct, Way
from remote.windows.winrm import THREADS, WinrmConnector, WinrmSession

USER, PASSWORD = "bench", "Пароль of the bench"
TRIVIAL = "cmd /c exit 0"
MOST = 31
"""Questions that a host is asked at the price of at most 1.5 times that of bare pywinrm."""
HOSTS, HUNG, DROPPING = 300, 30, 30
DEADLINE_S = 6.0
SINGLE, ROUNDS = 15, 5
"""Hosts, one after the other, for the processor time of one; the best of so many rounds: machines have other work."""
MOST_GROWN_MIB = 8.0
"""By how much we may grow while 300 hosts are asked, from the first third of them on."""
ASKS_WHAT_IT_SAYS = {Transport.WINRM: 3, Transport.PSRP: 4}
"""The number of the message that receives what a command says: behind Create and Command, by PSRP with a Receive between."""
_EVERY_MESSAGE = set(range(1, 100_000))


def questions() -> list[Question]:
    """Return what the library asks of a Windows host, and some of it once more: as many as the budget is for."""
    probes = [probe for probe in load_library().probes.values() if Platform.WINDOWS.value in probe.platforms]
    asked = list({question.id: question for probe in probes for question in probe.questions}.values())
    return [*asked, *(replace(one, id=f"{one.id}.again") for one in asked[: MOST - len(asked)])]


# --- the practice hosts, in a process of their own --------------------------------------------------------------------


def mishaps_of(receives: int) -> Mapping[str, Callable[[], Mishaps]]:
    """Return what goes wrong on hosts of each kind; two of them do so once in each of them, so each is a host of its own."""
    return {
        "well": Mishaps,
        "hung": lambda: Mishaps(hang=_EVERY_MESSAGE),
        "hung while it runs": lambda: Mishaps(hang={receives}),
        "dropping": lambda: Mishaps(messages_per_connection=2),
        "dropping an answer": lambda: Mishaps(drop_after={receives}),
    }


def kinds() -> list[str]:
    """Return the kind of each host of the fleet, mixed."""
    kinds = ["hung", "hung while it runs"] * (HUNG // 2) + ["dropping", "dropping an answer"] * (DROPPING // 2)
    kinds += ["well"] * (HOSTS - len(kinds))
    return [kinds[(n * 7) % HOSTS] for n in range(HOSTS)]  # 7 has nothing in common with 300


async def serve(receives: int) -> None:
    """Let practice hosts listen until stdin ends; stdout has their ports by their kinds, and at the end what they saw."""
    answer = answered(json.dumps([{"Name": f"Служба {n}", "State": "Running", "Id": n} for n in range(20)]).encode())
    captured = Captured(answers={question.id: answer for question in questions()})

    async def program(running: Running) -> Said | None:
        return Said() if running.asked.line == TRIVIAL else await captured(running)

    def host(mishaps: Mishaps) -> WindowsHost:
        pipelines = {"Microsoft.PowerShell": Endpoint(program=CapturedPipelines(captured=captured))}
        limits = Limits(max_shells_per_user=10_000)
        return WindowsHost(program, doors=Doors(), endpoints=pipelines, limits=limits, mishaps=mishaps)

    fleet = Counter(kinds())
    hosts = {
        kind: [host(make()) for _ in range(1 if kind == "well" else fleet[kind])] for kind, make in mishaps_of(receives).items()
    }
    async with AsyncExitStack() as stack:
        ports = {kind: [await stack.enter_async_context(one.listening()) for one in group] for kind, group in hosts.items()}
        print(json.dumps(ports), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        shells = {kind: [one.service.shells for one in group] for kind, group in hosts.items()}
        told = {
            kind: (sum(len(one.started) for one in all_), sum(len(one.open) for one in all_)) for kind, all_ in shells.items()
        }
        print(json.dumps(told | {"processor ms": (round(time.process_time() * 1000), 0)}), flush=True)


@contextmanager
def practice(transport: Transport) -> Iterator[tuple[Mapping[str, list[int]], Callable[[], Mapping[str, tuple[int, int]]]]]:
    """Yield the ports of practice hosts, and what ends them and tells the commands they started and the shells left open."""
    with tempfile.TemporaryDirectory() as folder:
        accounts = Path(folder) / "accounts"
        accounts.write_text("".join(f"{domain}:{USER}:{PASSWORD}\n" for domain in ("", "WIN")))
        environ = {**os.environ, "NTLM_USER_FILE": str(accounts), "NETBIOS_COMPUTER_NAME": "WIN"}
        command = [sys.executable, "-m", "bench.windows", "serve", str(ASKS_WHAT_IT_SAYS[transport])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            ports = json.loads(process.stdout.readline())

            def ended() -> Mapping[str, tuple[int, int]]:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.close()
                return dict(json.loads(process.stdout.readline()))

            yield ports, ended


# --- what is measured -------------------------------------------------------------------------------------------------


class OneCredential:
    """A store with one credential for everybody."""

    async def resolve(self, host: Host) -> Credential:
        """Return it."""
        return Credential(name="bench", user=USER, password=Secret(PASSWORD))


@asynccontextmanager
async def direct(host: Host) -> AsyncIterator[Way]:
    """Yield the direct way."""
    yield Direct(host)


def connector() -> WinrmConnector:
    """Return what opens sessions."""
    nowhere = KnownHosts(Path("/nowhere/known_hosts"))
    return WinrmConnector(known_hosts=nowhere, credentials=OneCredential(), breaker=Breaker(), way_to=direct)  # type: ignore[arg-type]


def host_at(port: int, transport: Transport, name: str = "win1") -> Host:
    """Return a host at a port."""
    settings = WinrmSettings(scheme="http")
    return Host(name=name, address="127.0.0.1", port=port, transport=transport, platform=Platform.WINDOWS, winrm=settings)


async def ours(port: int, transport: Transport, asked: list[Question], hosts: int) -> tuple[float, int]:
    """Return the processor time of one host in ms, and its HTTP requests."""
    connect, calls = connector(), 0
    begun = time.process_time()
    for _ in range(hosts):
        async with connect(host_at(port, transport)) as session:
            answers = await session.ask(asked, deadline_s=60)
            assert all(answer.ended is Ended.EXITED for answer in answers.values())
            assert isinstance(session, WinrmSession)
            calls = session.calls
    return (time.process_time() - begun) / hosts * 1000, calls


def bare(port: int, hosts: int) -> float:
    """Return the processor time of one host in ms when pywinrm runs one trivial command on it."""
    begun = time.process_time()
    for _ in range(hosts):
        protocol = Protocol(f"http://127.0.0.1:{port}/wsman", "ntlm", USER, PASSWORD, proxy=None, ca_trust_path=None)  # type: ignore[arg-type]
        shell = protocol.open_shell(codepage=65001)
        command = protocol.run_command(shell, TRIVIAL)
        assert protocol.get_command_output(shell, command)[2] == 0
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)
    return (time.process_time() - begun) / hosts * 1000


def bare_runspace(port: int, hosts: int) -> float:
    """Return the processor time of one host in ms when pypsrp opens an empty runspace on it, and closes it."""
    begun = time.process_time()
    for _ in range(hosts):
        wsman = WSMan(
            "127.0.0.1", port=port, ssl=False, auth="ntlm", encryption="always", username=USER, password=PASSWORD, no_proxy=True
        )
        with wsman, RunspacePool(wsman):
            pass
    return (time.process_time() - begun) / hosts * 1000


async def fleet(
    ports: Mapping[str, list[int]], transport: Transport, asked: list[Question]
) -> tuple[float, Counter[str], float]:
    """Return the wall time of a fleet in s, how its hosts ended, and by how many MiB we grew from its first third on."""
    connect, ended, sizes = connector(), Counter[str](), list[float]()
    left = {kind: cycle(group) for kind, group in ports.items()}

    async def one(number: int, kind: str) -> None:
        try:
            async with connect(host_at(next(left[kind]), transport, f"win{number}")) as session:
                answers = await session.ask(asked, deadline_s=DEADLINE_S)
        except RemoteError as error:
            ended[f"{kind}: {type(error).__name__}"] += 1
        else:
            ended[f"{kind}: {_how(answers)}"] += 1
        sizes.append(_resident_mib())

    begun = time.monotonic()
    await asyncio.gather(*(one(number, kind) for number, kind in enumerate(kinds())))
    return time.monotonic() - begun, ended, max(sizes) - sizes[HOSTS // 3]


def _how(answers: Mapping[str, Answer]) -> str:
    ends = {answer.ended for answer in answers.values()}
    return "whole" if ends == {Ended.EXITED} else "not whole"


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(int(sys.argv[2])))
        return
    for transport in (Transport.WINRM, Transport.PSRP):
        measure(transport, questions())


def measure(transport: Transport, asked: list[Question]) -> None:
    """Print the figures of one transport."""
    with practice(transport) as (ports, ended):
        (well,) = ports["well"]
        asyncio.run(ours(well, transport, asked, 3))  # what is imported lazily is none of a host's
        bare(well, 3)
        bare_runspace(well, 3)
        rounds = [
            (
                *asyncio.run(ours(well, transport, asked, SINGLE)),
                bare(well, SINGLE),
                bare_runspace(well, SINGLE),
            )
            for _ in range(ROUNDS)
        ]
        mine, calls, theirs, empty = (min(column) for column in zip(*rounds, strict=True))
        took_s, how, grown = asyncio.run(fleet(ports, transport, asked))
        told = dict(ended())
    print(f"{transport}: HTTP requests per host: {calls} ({len(asked)} questions; NTLM's login is 2 of them)")
    print(
        f"processor time per host: {mine:.1f} ms, bare pywinrm, one trivial command {theirs:.1f} ms: {mine / theirs:.2f} x, "
        f"an empty runspace of pypsrp {empty:.1f} ms: {mine / empty:.2f} x"
    )
    print(f"{HOSTS} hosts at {THREADS} threads, {HUNG} hung, {DROPPING} dropping: {took_s:.1f} s (deadline {DEADLINE_S:g} s)")
    for kind, count in sorted(how.items()):
        print(f"  {count:4} {kind}")
    spent, _ = told.pop("processor ms")
    print(f"  grown by {grown:.1f} MiB after the first third; commands started, shells left: {told}")
    print(f"  practice hosts: {spent} ms of processor time in all, starting included")
    wanted = Counter(f"{kind}: {'not whole' if kind.startswith('hung') else 'whole'}" for kind in kinds())
    assert how == wanted, (how, wanted)
    assert not any(shells for _, shells in told.values()), "a shell was left"
    assert grown <= MOST_GROWN_MIB, grown


if __name__ == "__main__":
    main()
