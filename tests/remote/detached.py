"""Hosts for detached commands: this machine with places of a test's own, in any shell, as root or as another user."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inventory.host import Host, Transport
from remote.command import Command
from remote.detached import START, DetachedCommand, Standing, State
from remote.local import LocalSession

DEADLINE_S = 60.0  # far above what any of this takes: only a hang reaches it
SHELLS = {"dash": ("dash",), "bash": ("bash",), "ash": ("busybox", "sh")}
USER = 50000 + os.getpid() % 10000
"""A user of nobody else, also where tests run beside each other: /tmp is the same for all."""
NEEDS = "" if os.geteuid() == 0 and shutil.which("unshare") else "needs root and unshare"
"""Why hosts cannot be made here; empty: they can."""
SIGNALLED = 128
NUMBERS = itertools.count()
PLACES = ("/var/lib/longarm", "/root/.longarm", "/run/longarm")


@dataclass(slots=True)
class Bench:
    """A host whose places are folders of a test's, and the log that its commands leave their effects in.

    Root's places are mounted over those of this machine, in a mount namespace of each session.
    """

    folder: Path
    shell: tuple[str, ...] = ("dash",)
    before: str = ""
    """What else is done to the host first."""
    become: str = ""
    """What makes another user of whoever logs in."""
    without: str = ""
    """A program that the host does not have."""
    sessions: list[LocalSession] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("lib", "root", "run"):
            (self.folder / name).mkdir(exist_ok=True, mode=0o755)

    @property
    def log(self) -> Path:
        """Return the log of effects."""
        return self.folder / "effects"

    def session(self, *before: str, shell: tuple[str, ...] = ()) -> LocalSession:
        """Return a new connection."""
        words = shell or self.shell
        steps = ["mount --make-rprivate /", f"mount --bind $(command -v {words[0]}) $(readlink -f /bin/sh)"]
        steps += [f"mount --bind {self.folder}/{name} {target}" for name, target in self._mounts()]
        steps += [self.before, *before]
        if self.without:
            steps.append(f"PATH={self._tools()}")
        script = f'{"; ".join(filter(None, steps))}; exec {self.become} "$@"'
        command = ("unshare", "-m", "/bin/sh", "-c", script, "sh", *words)
        session = LocalSession(Host(name="here", address="here", transport=Transport.LOCAL), shell=command)
        self.sessions.append(session)
        return session

    def _tools(self) -> Path:
        folder = self.folder / "tools"
        if not folder.exists():
            folder.mkdir()
            for program in Path("/usr/bin").iterdir():
                if program.name != self.without:
                    (folder / program.name).symlink_to(program)
        return folder

    def _mounts(self) -> list[tuple[str, str]]:
        return [("lib", "/var/lib"), ("root", "/root"), ("run", "/run")]

    def command(
        self, script: str = "", *, name: str = "", token: int = 1, deadline_s: int = 30, **options: object
    ) -> DetachedCommand:
        """Return a command that leaves its effect in the log, when it begins and when it ends."""
        name = name or f"test-{os.getpid()}-{next(NUMBERS)}"
        self.names.append(name)
        whole = f'echo begin {name} >>"$log"; ({script or ":"}); la=$?; echo end {name} >>"$log"; exit $la'
        command = Command(script=whole, variables={"log": str(self.log)}, deadline_s=deadline_s, **options)  # type: ignore[arg-type]
        return DetachedCommand(id=name, token=token, command=command)

    def effects(self, name: str = "") -> list[str]:
        """Return what is in the log, of one command or of all."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[0] if name else line for line in lines if not name or line.endswith(f" {name}")]

    def remains(self) -> list[str]:
        """Return what is left in the places."""
        return sorted(
            str(path.relative_to(self.folder)) for top in ("lib", "root", "run") for path in (self.folder / top).rglob("*")
        )

    async def leave(self) -> None:
        """End all connections, and what commands have left behind."""
        await asyncio.gather(*(session.leave() for session in self.sessions))
        end_commands(self.names)


def end_commands(names: Collection[str]) -> None:
    """End these commands and their supervisors; nothing of them is there, or writes anywhere, when this returns."""
    marks = [mark.encode() for name in names for mark in (f"LONGARM_D={name}\0", f"LONGARM_Q={name}.")]
    end = time.monotonic() + DEADLINE_S
    while marks and (pids := _marked(marks)):
        assert time.monotonic() < end, f"{pids} cannot be ended"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(marks: Sequence[bytes]) -> list[int]:
    """Return who was started with one of these marks in its environment; whoever is a zombie has none."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            data = environ.read_bytes()
            if any(mark in data for mark in marks):
                found.append(int(environ.parent.name))
    return found


@contextmanager
def user_bench(shell: tuple[str, ...] = ("dash",)) -> Iterator[Bench]:
    """Make a host whose login is not root, with places at home, in /var/tmp, in /tmp.

    Its folder is none of pytest's: each pytest that starts closes those to others.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        home, shared, temporary = folder / "home", folder / "shared", folder / "temporary"
        for path, mode, owner in ((home, 0o755, USER), (shared, 0o1777, 0), (temporary, 0o1777, 0)):
            path.mkdir()
            path.chmod(mode)
            os.chown(path, owner, owner)
        (folder / "effects").touch()
        os.chown(folder / "effects", USER, USER)
        folder.chmod(0o711)
        become = f"setpriv --reuid={USER} --regid={USER} --clear-groups env HOME={home}"
        mounts = f"mount --bind {shared} /var/tmp; mount --bind {temporary} /srv"
        yield Bench(folder, shell=shell, before=mounts, become=become)


async def started(session: LocalSession, detached: DetachedCommand, wait_s: int = 20) -> Standing:
    """Return how a command stands after its start."""
    return await session.start(detached, wait_s=wait_s, deadline_s=DEADLINE_S)


async def collected(session: LocalSession, name: str, *, wait_s: int = 20) -> Standing:
    """Return how a command stands that was sent just now, as far as the host knows."""
    return await session.collect(name, START, sent_s_ago=5, wait_s=wait_s, deadline_s=DEADLINE_S)


async def settled(bench: Bench, name: str) -> Standing:
    """Return how a command stands for good, over new connections."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        standing = await collected(bench.session(), name)
        if standing.final:
            return standing
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is not final: {standing}")


def is_honest(standing: Standing, effects: list[str], *, killed: bool) -> bool:
    """Whether what is said of a command is what its effects show; `killed`: its status says that somebody ended it."""
    match standing.state:
        case State.DONE if killed:
            return effects in ([], ["begin"], ["begin", "end"])
        case State.DONE:
            return effects == ["begin", "end"]
        case State.FAILED | State.FENCED if standing.ran is False:
            return effects == []
        case State.INTERRUPTED | State.FAILED:
            return effects in ([], ["begin"], ["begin", "end"])
        case _:
            return False


def written(path: Path) -> None:
    """Wait until a file is there and holds something."""
    end = time.monotonic() + DEADLINE_S
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, path
        time.sleep(0.01)
