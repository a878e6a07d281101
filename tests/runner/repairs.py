"""Hosts to repair: real shells on this machine, each with a home of its own, a check of what lies there, and playbooks."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from diagnostics.cause_files import load_causes
from diagnostics.check_files import load_checks
from diagnostics.library import Library
from diagnostics.parsing import whole
from diagnostics.probe import Facts, ParseError, Probe
from inventory.host import Host, Selection, Transport
from playbooks.load import load_playbook
from playbooks.model import Playbook
from playbooks.params import settled_params
from playbooks.testing import FakeOperator
from remote.answer import Answer
from remote.errors import ConnectFailed
from remote.local import LocalSession
from remote.question import Question
from remote.session import Session
from runner.request import RepairRequest
from tests.remote.detached import end_commands

FIRST_USER: Final = 60_000
"""Whom root becomes here, or one of the 5,000 behind: places for detached commands are the user's, on the whole machine."""

FENCE_BYTES: Final = 4096
"""Of the one file that stays on a host, at the most."""

CHECK = """
check: mark-bad
title: {en: Mark is bad, ru: Отметка плохая}
platforms: [linux]
needs: [mark]
subject: {mark: "'mark'"}
params: {state: facts.mark.state}
cite: facts.mark.at
severity:
  critical: {raise: facts.mark.state == "bad"}
finding: {en: "the mark is {{ params.state }}", ru: "отметка: {{ params.state }}"}
tests: []
"""

MEND = """
playbook: mend
title: {en: Mend the mark, ru: Исправить отметку}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
fixes: [mark-bad]
needs: [mark]
params:
  word: {type: string, default: good}
steps:
  - name: Note the effect
    run: echo "one" >>"$HOME/effects"
    retry: never
    deadline: 100s
  - name: {en: Write the mark, ru: Записать отметку}
    run: echo "$word" >"$HOME/mark"; echo "two" >>"$HOME/effects"; echo written
    retry: never
    deadline: 100s
verify: [mark-bad]
"""


FULL = """
check: shelf-full
title: {en: Shelf is full, ru: Полка полна}
platforms: [linux]
needs: [shelf]
subject: {shelf: "'shelf'"}
params: {state: facts.shelf.state}
cite: facts.shelf.at
severity:
  critical: {raise: facts.shelf.state == "full"}
finding: {en: "the shelf is {{ params.state }}", ru: "полка: {{ params.state }}"}
remedy: {playbook: free-disk-space, params: {mount: "'/'"}}
tests: []
"""

CAUSES = """
- rule: full-shelf-spoils-mark
  cause: shelf-full
  effect: [mark-bad]
  when: facts.mark.state == "bad"
  weight: 0.8
  order: any
  text: {en: The mark lies on the shelf., ru: Отметка лежит на полке.}
"""


def _parse_mark(answer: Answer) -> Facts:
    return _parsed("mark", answer)


def _parse_shelf(answer: Answer) -> Facts:
    return _parsed("shelf", answer)


def _parsed(name: str, answer: Answer) -> Facts:
    if not (match := re.fullmatch(rb"(\w+)\n", answer.stdout)):
        raise ParseError(name, answer.stdout)
    return {"state": match[1].decode(), "at": whole(name, answer)}


BUSY_S: Final = 60
"""What a question may take on a machine that is busy with other tests: what a repair cannot see it does not touch."""

PROBE = Probe(
    question=Question(id="mark", script='cat "$HOME/mark"', deadline_s=BUSY_S),
    parse=_parse_mark,
    shape={"state": "str", "at": "at"},
)


SHELF = Probe(
    question=Question(id="shelf", script='cat "$HOME/shelf" 2>/dev/null || echo free', deadline_s=BUSY_S),
    parse=_parse_shelf,
    shape={"state": "str", "at": "at"},
)


@contextmanager
def hosts_folder() -> Iterator[Path]:
    """Make a folder for hosts; what their commands are still at is ended before it goes."""
    with tempfile.TemporaryDirectory() as name:
        try:
            yield Path(name)
        finally:
            folders = (one for _, found, _ in os.walk(name) for one in found)
            end_commands({one[2:] for one in folders if one.startswith("c-")})


@dataclass(slots=True)
class Bench:
    """A folder of hosts; each one's home holds its mark and the log of the effects that it has seen."""

    folder: Path
    library: Library = field(init=False)
    down: set[str] = field(default_factory=set)
    """Hosts that do not answer."""
    connected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.chmod(0o711)
        check = self.folder / "mark-bad.yaml"
        whole = self.folder / f"mark-bad.{os.getpid()}"
        whole.write_text(CHECK)
        whole.replace(check)  # another process of the same bench may be reading it
        probes = {PROBE.id: PROBE}
        self.library = Library(probes=probes, checks=load_checks([check], probes), digest="d" * 64)

    @property
    def user(self) -> int:
        """Return whose the hosts are: another one for each bench, so that none meets the fence of another."""
        return FIRST_USER + crc32(str(self.folder).encode()) % 5000

    def with_causes(self) -> Bench:
        """Return the bench where the mark lies on a shelf, which spoils it while it is full."""
        files = {"mark-bad.yaml": CHECK, "shelf-full.yaml": FULL, "causes.yaml": CAUSES}
        for name, text in files.items():
            (self.folder / name).write_text(text)
        probes = {PROBE.id: PROBE, SHELF.id: SHELF}
        checks = load_checks([self.folder / "mark-bad.yaml", self.folder / "shelf-full.yaml"], probes)
        causes = load_causes(self.folder / "causes.yaml", checks, probes)
        self.library = Library(probes=probes, checks=checks, causes=causes, digest="e" * 64)
        return self

    def home(self, host: str) -> Path:
        """Return the home of a host, which is made where there is none."""
        home = self.folder / host
        if not home.exists():
            home.mkdir()
            (home / "mark").write_text("bad\n")
            if os.geteuid() == 0:
                for path in (home, home / "mark"):
                    os.chown(path, self.user, self.user)
        return home

    def mark(self, host: str, word: str) -> None:
        """Write the mark of a host."""
        (self.home(host) / "mark").write_text(f"{word}\n")

    def effects(self, host: str) -> list[str]:
        """Return what was done to a host, in order."""
        log = self.home(host) / "effects"
        return log.read_text().splitlines() if log.exists() else []

    def besides_the_fence(self, host: str) -> list[str]:
        """Return what is left on a host, where that is anything but one fence file of at most 4 KiB."""
        home = self.home(host)
        left = [path for path in sorted(home.rglob("*")) if path not in (home / "mark", home / "effects")]
        fences = [path for path in left if path.name == "fence" and path.is_file() and path.stat().st_size <= FENCE_BYTES]
        ours = [*fences[:1], *(fence.parent for fence in fences[:1])]
        return [str(path.relative_to(home)) for path in left if path not in ours]

    def playbook(self, text: str = MEND) -> Playbook:
        """Return a playbook."""
        path = self.folder / "playbook.yaml"
        path.write_text(text)
        return load_playbook(path, self.library)

    def selection(self, *names: str) -> Selection:
        """Return hosts."""
        hosts = tuple(Host(name=name, address="127.0.0.1", transport=Transport.LOCAL, customer="acme") for name in names)
        return Selection(expression="all", hosts=hosts)

    def asking(self, *names: str, playbook: Playbook | None = None, **values: Any) -> RepairRequest:
        """Return a request to repair hosts."""
        book = playbook or self.playbook()
        row: dict[str, Any] = {
            "selection": self.selection(*names),
            "playbook": book,
            "library": self.library,
            "params": settled_params(book.params, {}),
            "case": None,
            "actor": "anna",
            "operator": FakeOperator(),
        }
        return RepairRequest(**{**row, **values})

    def shell(self, host: str) -> Sequence[str]:
        """Return the words that start a shell on a host."""
        become = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if os.geteuid() == 0 else []
        assert not become or shutil.which("setpriv")
        return (*become, "env", f"HOME={self.home(host)}", "/bin/sh")

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        """Open a session to a host."""
        self.connected.append(host.name)
        if host.name in self.down:
            raise ConnectFailed(host.name, "no route")
        session = LocalSession(host, shell=self.shell(host.name))
        try:
            yield session
        finally:
            await session.leave()
