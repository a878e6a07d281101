"""Start, list and end the practice hosts of one home.

Everything stands in `<home>/lab`: `inventory.yaml` to name the hosts, `keys/` for the way in,
`plan.json` with the hosts' own keys, `worlds/` with what real
shells see, `rooms` with where the folders are whose changes last, `running.json` with the process. Their host keys are enrolled
at once: we made them ourselves.
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path

import asyncssh

from inventory.errors import LongarmError, Text
from inventory.host import Platform
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.lab.process import end, started_at
from remote.lab.rooms import give_rooms, new_rooms
from remote.lab.scenarios import Behaviour, Scenario, scenarios
from remote.lab.shell import Shell, why_not, write_world

START_DEADLINE_S = 30.0
MOST_HOSTS = 500
"""Each host is a listening socket; more than this needs a higher limit of open files than is common."""


class LabRunning(LongarmError):
    """Practice hosts are running already in this home."""


class LabFailed(LongarmError):
    """The practice hosts could not be started."""


class NoRealShell(LongarmError):
    """This machine cannot do what a real shell needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeHost:
    """One running practice host."""

    name: str
    scenario: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The practice hosts of one home while their process lives."""

    folder: Path
    pid: int
    hosts: tuple[PracticeHost, ...]
    shell: Shell
    """REAL or ANSWERS."""
    why: str = ""
    """Why there is no real shell where one would have been taken: this machine's own words."""

    @property
    def inventory(self) -> Path:
        """Return the inventory file that names the hosts."""
        return self.folder / "inventory.yaml"


def running(home: Path) -> Lab | None:
    """Return the lab of a home, or None if its process is gone."""
    noted = _noted(home / "lab")
    return None if noted is None or started_at(noted.lab.pid) != noted.started else noted.lab


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """What `up` wrote down of the process."""

    lab: Lab
    started: str


def _noted(folder: Path) -> _Noted | None:
    """Return what is written of the process in a folder; None where nothing is, or nothing that can be read."""
    try:
        noted = json.loads((folder / "running.json").read_bytes())
        hosts = tuple(PracticeHost(**host) for host in noted["hosts"])
        shell, why = Shell(noted.get("shell", Shell.ANSWERS)), str(noted.get("why", ""))  # 0.1.0 knew no others
        lab = Lab(folder=folder, pid=int(noted["pid"]), hosts=hosts, shell=shell, why=why)
        return _Noted(lab=lab, started=str(noted["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def up(home: Path, wanted: int, *, this_machine: bool = False, shell: Shell = Shell.AUTO) -> Lab:
    """Start `wanted` practice hosts in a process of their own and return them once all of them listen.

    With `this_machine` the inventory also names this machine, reached by the local transport. Raises NoRealShell where
    `shell` is REAL and this machine cannot.
    """
    if (lab := running(home)) is not None:
        raise LabRunning(Text("{count} practice hosts are running already", count=len(lab.hosts)), Text("longarm lab down"))
    shell, why = chosen(shell)
    down(home)
    folder = home / "lab"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in (folder, folder / "keys"):
        place.mkdir(mode=0o700)
    planned = list(planned_hosts(wanted))
    papers = [_paper(folder / "keys", name, scenario) for name, scenario in planned]
    login = asyncssh.generate_private_key("ssh-ed25519", comment="longarm lab")
    _private(folder / "keys" / "client", login.export_private_key().decode())
    trainee = _trainee(folder / "keys", planned)
    worlds = _worlds(folder, planned) if shell is Shell.REAL else {}
    plan = [
        {"name": name, "scenario": scenario.name, "key": paper.key, "world": worlds.get(name, "")}
        for (name, scenario), paper in zip(planned, papers, strict=True)
    ]
    written = {"hosts": plan, "authorized_keys": login.export_public_key().decode(), "trainee": trainee}
    _private(folder / "plan.json", json.dumps(written))
    with _started(folder) as (ports, pid, started):
        hosts = [PracticeHost(name=name, scenario=scenario.name, port=ports[name]) for name, scenario in planned]
        document = {
            "pid": pid,
            "started": started,
            "shell": shell,
            "why": why,
            "hosts": [{"name": host.name, "scenario": host.scenario, "port": host.port} for host in hosts],
        }
        _private(folder / "running.new", json.dumps(document))
        (folder / "running.new").replace(folder / "running.json")  # so that `down` finds it, whole, whatever happens now
    _enrol(home, planned, papers)
    text = inventory_text(hosts, folder / "keys" / "client", trainee, this_machine=this_machine)
    _private(folder / "inventory.yaml", text)
    return Lab(folder=folder, pid=pid, hosts=tuple(hosts), shell=shell, why=why)


def chosen(shell: Shell) -> tuple[Shell, str]:
    """Return REAL or ANSWERS, and why it is not REAL where that was preferred; a real shell is tried, not guessed."""
    if shell is Shell.ANSWERS or not (why := why_not()):
        return (Shell.ANSWERS if shell is Shell.ANSWERS else Shell.REAL), ""
    if shell is Shell.REAL:
        raise NoRealShell(
            Text("this machine gives practice hosts no real shell: {why}", why=why), Text("longarm lab up --shell answers")
        )
    return Shell.ANSWERS, why


def _worlds(folder: Path, planned: Sequence[tuple[str, Scenario]]) -> Mapping[str, str]:
    """Write what the shells of the hosts see, and return the files by host: one for a scenario, or for a host."""
    (folder / "worlds").mkdir(mode=0o700)
    rooms = new_rooms()
    _private(folder / "rooms", str(rooms))
    found = {scenario.name: scenario for _, scenario in planned if scenario.captures and not _windows(scenario)}
    worlds = {name: scenario.world() for name, scenario in found.items()}
    paths = {}
    for name, scenario in planned:
        if (world := worlds.get(scenario.name)) is None:
            continue
        path = folder / "worlds" / f"{name if world.lasting else scenario.name}.json"
        if not path.exists():
            write_world(give_rooms(world, rooms, name), path)
        paths[name] = str(path)
    return paths


def down(home: Path) -> bool:
    """End the practice hosts of a home, forget their keys, and return whether they were running."""
    folder = home / "lab"
    ended = False
    if (noted := _noted(folder)) is not None:
        ended = end(noted.lab.pid, noted.started)
        known = KnownHosts(home / "known_hosts")
        for host in noted.lab.hosts:
            known.remove(host.name)
    if (rooms := folder / "rooms").exists():
        shutil.rmtree(rooms.read_text(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    return ended


def planned_hosts(wanted: int) -> Iterator[tuple[str, Scenario]]:
    """Yield names and scenarios: each scenario once in its order, then those that answer again and again."""
    first = list(scenarios().values())
    more = cycle([scenario for scenario in first if scenario.behaviour is Behaviour.ANSWERS])
    numbers: dict[str, Iterator[int]] = {}
    for scenario in islice(_chained(first, more), wanted):
        number = next(numbers.setdefault(scenario.role, count(1)))
        yield f"lab-{scenario.role}-{number:02d}", scenario


def _chained(first: Sequence[Scenario], more: Iterator[Scenario]) -> Iterator[Scenario]:
    yield from first
    yield from more


def inventory_text(hosts: Sequence[PracticeHost], key: Path, trainee: str, *, this_machine: bool) -> str:
    """Return the inventory file of the lab; JSON values are YAML, so nothing needs escaping rules of its own."""
    paper = json.dumps(trainee)
    lines = [
        "# Practice hosts of `longarm lab up`: written by it, removed by `longarm lab down`.",
        "credentials:",
        f"  lab: {{user: trainee, key: {json.dumps(str(key))}}}",
        *([f"  lab-windows: {{user: trainee, key: {paper}, certificate: {paper}}}"] if trainee else []),
        "groups:",
        "  lab:",
        "    site: practice",
        "    credential: lab",
        "    hosts:",
    ]
    for host in hosts:
        scenario = scenarios()[host.scenario]
        lines += [f"      {host.name}:", "        address: 127.0.0.1", f"        port: {host.port}"]
        if _windows(scenario):
            lines += ["        transport: winrm", "        platform: windows", "        credential: lab-windows"]
        expected = {"services": scenario.services, "ports": scenario.ports, "names": scenario.names}
        if any(expected.values()):
            lines.append("        expect:")
            lines += [f"          {word}: {json.dumps(values)}" for word, values in expected.items() if values]
    if this_machine:
        lines += ["hosts:", "  this-machine:", "    address: localhost", "    transport: local"]
    return "\n".join(lines) + "\n"


def _windows(scenario: Scenario) -> bool:
    return scenario.platform is Platform.WINDOWS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paper:
    """What one host proves itself with: the key for its server, and what the home trusts."""

    key: str
    """As the plan has it: a private key, or the file with one and its certificate."""
    shown: HostKey


def _paper(folder: Path, name: str, scenario: Scenario) -> _Paper:
    """Make what a host proves itself with."""
    if _windows(scenario):
        from remote.lab.certificates import make_certificate
        from remote.windows.trust import certificate_key

        path = folder / f"{name}.pem"
        return _Paper(shown=certificate_key(make_certificate(name, path)), key=str(path))
    key = asyncssh.generate_private_key("ssh-ed25519")
    return _Paper(key=key.export_private_key().decode(), shown=HostKey.of(key.public_data))


def _trainee(folder: Path, planned: Sequence[tuple[str, Scenario]]) -> str:
    """Make the certificate that Windows hosts let in, and return its file; "" where there are none."""
    if not any(_windows(scenario) for _, scenario in planned):
        return ""
    from remote.lab.certificates import make_certificate

    path = folder / "client.pem"
    make_certificate("trainee", path)
    return str(path)


def _enrol(home: Path, planned: Sequence[tuple[str, Scenario]], papers: Sequence[_Paper]) -> None:
    known = KnownHosts(home / "known_hosts")
    for (name, scenario), paper in zip(planned, papers, strict=True):
        reinstalled = scenario.behaviour is Behaviour.NEW_KEY  # what we know is the key it had before
        known.add(name, HostKey.of(asyncssh.generate_private_key("ssh-ed25519").public_data) if reinstalled else paper.shown)


@contextmanager
def _started(folder: Path) -> Iterator[tuple[Mapping[str, int], int, str]]:
    """Start the process and give the ports it got, and what identifies it; LabFailed with its last words.

    Whatever is raised, inside too, ends it: nobody has noted it yet.
    """
    log = folder / "server.log"
    _private(log, "")
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "remote.lab.server", str(folder / "plan.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
    try:
        ports, started = _ready(child, log)
        yield ports, child.pid, started
    except BaseException:  # Ctrl-C above all
        child.kill()
        child.wait()
        raise
    child.returncode = 0  # it lives on by itself: nobody here waits for it


def _ready(child: subprocess.Popen[bytes], log: Path) -> tuple[Mapping[str, int], str]:
    """Return the ports that the process got once all its hosts listen, and when it started."""
    assert child.stdout is not None
    with child.stdout:
        ready = select.select([child.stdout], [], [], START_DEADLINE_S)[0]
        line = child.stdout.readline() if ready else b""
    started = started_at(child.pid)
    if not line or started is None:
        raise LabFailed(Text("the practice hosts did not start: {log}", log=log.read_text()[-500:].strip() or "no answer"))
    return json.loads(line), started


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
