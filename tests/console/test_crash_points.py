"""A repair of 20 steps on 5 hosts, killed at each point of its way to the disk: resumed, it is what it would have been."""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reports.render import Audience, Format, render
from runner.desk import Desk
from runner.outcome import RunState
from runner.record import RunSummary
from runner.store.lock import held
from tests.conftest import SOAK, Measured
from tests.console.conftest import Console
from tests.forked import CRASHING, Forked, forking
from tests.runner.repairs import MEND, Bench

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("crash_points")]  # one undisturbed run for the module

HOSTS = tuple(f"db-{number}" for number in range(5))
STEPS = 20
SEED = 20261130
POINTS = None if SOAK else 10
CUTS = 500 if SOAK else 100
STEP = """  - name: Effect {number}
    run: echo "{number}" >>"$HOME/effects"; echo "said {number}"; [ {number} -ne {last} ] || echo good >"$HOME/mark"
    retry: never
    deadline: 60s
"""
LOOP = """  - name: Effects that loop
    run: echo "$item" >>"$HOME/effects"; echo "said $item"
    loop: '{items}'
    retry: never
    deadline: 60s
"""
KEYS = [f"s{n}" for n in range(1, 11)] + [f"s11.i{n}" for n in range(1, 6)] + [f"s{n}" for n in range(12, 17)]
"""Of the journal: a step, or an item of the one that loops, for each effect."""


@dataclass(frozen=True)
class Size:
    """How many hosts are repaired in how many steps, of which those from `loop` up to `until` are the items of one."""

    hosts: tuple[str, ...]
    steps: int
    loop: int
    until: int

    @property
    def effects(self) -> list[str]:
        return [str(number) for number in range(1, self.steps + 1)]

    @property
    def playbook(self) -> str:
        ones = [STEP.format(number=number, last=self.steps) for number in range(1, self.steps + 1)]
        loop = LOOP.format(items=[*range(self.loop, self.until)])
        steps = ["steps:\n", *ones[: self.loop - 1], loop, *ones[self.until - 1 :], "verify: [mark-bad]\n"]
        return MEND.partition("steps:")[0] + "".join(steps)

    @property
    def inventory(self) -> str:
        host = "  {}: {{address: 127.0.0.1, transport: local, customer: acme}}\n"
        return "hosts:\n" + "".join(host.format(name) for name in self.hosts)


BIG = Size(HOSTS, STEPS, 11, 16)
SMALL = Size(HOSTS[:1], 4, 2, 4)
NO_TWO_RUNS_ALIKE = (
    (rb'"connected_anew": "\d+",\s*', b""),  # that a connection was lost is told, and nothing else is
    (rb'("sent": )\d+', rb"\g<1>0"),  # and how often a command went out that was lost on its way
    (rb"\d{8}-\d{6}-[0-9a-f]{6}", b"RUN"),
    (rb"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)", b"TIME"),
    (rb'("(?:\w+_ms|duration_s)": )[\d.]+', rb"\g<1>0"),
    (rb"[0-9a-f]{64}", b"DIGEST"),
    (rb"RUN-[0-9a-f]{8}\.html", b"RUN-DIGEST.html"),
)
"""In what two undisturbed runs differ too: times, durations, the names of runs, and the digests of what tells these."""


@dataclass
class Scene:
    """A home and the hosts that are repaired from it, each with the log of its effects."""

    folder: Path
    template: Path
    forked: Forked
    size: Size
    told: dict[str, Any] = field(default_factory=dict)
    """What the last command line said of its points."""

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o711)
        self.home, self.hosts = self.folder / "home", self.folder / "hosts"
        shutil.copytree(self.template, self.home)
        (self.home / "inventory.yaml").write_text(self.size.inventory)
        self.hosts.mkdir()
        self.bench = Bench(self.hosts)
        (self.hosts / "playbook.yaml").write_text(self.size.playbook)
        for host in self.size.hosts:
            self.bench.home(host)
        self.longarm = Console(self.home, self.forked)

    def __call__(self, *words: str, **order: Any) -> int:
        """Run one command line and return its exit code, -9 where it was killed."""
        told = self.folder / "told"
        order |= {"bench": str(self.hosts), "told": str(told)}
        done = self.longarm(*words, environ={"CRASHING": json.dumps(order)})
        code = done.code
        self.told = json.loads(told.read_text())
        assert (code == -9) == ("killed_at" in self.told), done
        return code

    def repair(self, **order: Any) -> int:
        return self("repair", str(self.hosts / "playbook.yaml"), "all", "--case", "DEMO-1", "--yes", **order)

    def go_on(self, **order: Any) -> int:
        """Do what an operator does who finds this: begin the repair, resume it, or deliver its report; return the exit code."""
        runs = self.runs()
        if not runs:
            assert not any(self.bench.effects(host) for host in self.size.hosts), "done before it was on disk that it would be"
            return self.repair(**order)
        if runs[0].state is RunState.ENDED:
            return self("case", "deliver", **order)
        return self("run", "resume", runs[0].run, **order)

    def runs(self) -> tuple[RunSummary, ...]:
        """Return the runs, once nobody has the home: what a killed process was about to start keeps its lock until it is."""
        end = time.monotonic() + 60
        while held(self.home):
            assert time.monotonic() < end, "the lock of a killed process is never free"
            time.sleep(0.02)
        with Desk.open(self.home, write=False) as desk:
            return desk.runs()

    def check_so_far(self, killed_at: list[str]) -> None:
        """Hold the logs of a run that is not at its end against what may be in them."""
        for host in self.size.hosts:
            done = self.bench.effects(host)
            assert done == self.size.effects[: len(done)], f"{host}, killed at {killed_at}"

    def check(self, undisturbed: bytes, killed_at: object) -> None:
        """Hold the hosts against their logs, and the run against one that nobody disturbed."""
        for host in self.size.hosts:
            assert self.bench.effects(host) == self.size.effects, f"{host}, killed at {killed_at}"
            assert self.bench.besides_the_fence(host) == [], f"{host}, killed at {killed_at}"
        assert self.document() == undisturbed, f"killed at {killed_at}"
        with Desk.open(self.home, write=False) as desk:
            (row,), (file,) = desk.outbox(), desk.case_attachments("DEMO-1")
            assert (row.state, row.digest) == ("sent", file.digest), f"killed at {killed_at}"
            assert desk.leases() == (), f"killed at {killed_at}"
            assert desk.verify().problems == (), f"killed at {killed_at}"

    def document(self) -> bytes:
        """Return all that is told of the run, but for what no two runs have in common."""
        with Desk.open(self.home, write=False) as desk:
            (summary,) = desk.runs()
            document = render(desk.record(summary.run), audience=Audience.INTERNAL, language="en", format=Format.JSON)
        for pattern, instead in NO_TWO_RUNS_ALIKE:
            document = re.sub(pattern, instead, document)
        return document.replace(bytes(self.folder), b"FOLDER")

    def remove(self) -> None:
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def crashing() -> Iterator[Forked]:
    with forking(CRASHING) as forked:
        yield forked


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, crashing: Forked) -> Iterator[Callable[[Size], Scene]]:
    """Return what makes a new scene of a size, in memory where there is one: a killed process loses no page cache."""
    template = tmp_path_factory.mktemp("template") / "home"
    with Desk.open(template, write=True):
        pass
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        Path(folder).chmod(0o711)
        numbers = iter(range(1_000_000))
        yield lambda size: Scene(Path(folder) / str(next(numbers)), template, crashing, size)


@dataclass(frozen=True)
class Whole:
    """A repair that nobody disturbed."""

    names: list[str]
    past: list[str]
    document: bytes


@pytest.fixture(scope="module")
def whole(scenes: Callable[[Size], Scene]) -> Whole:
    return undisturbed(scenes(BIG))


def undisturbed(scene: Scene) -> Whole:
    """Return what a repair comes to that nobody disturbs."""
    assert scene.repair() == 0
    whole = Whole(scene.told["names"], scene.told["past"], scene.document())
    scene.check(whole.document, "nothing")
    scene.remove()
    return whole


def test_every_line_of_the_journal_and_every_file_has_its_points_and_nothing_is_done_past_them(whole: Whole) -> None:
    assert whole.past == []
    lines = [f"{event} {position} {key}" for event in ("intent", "end") for position in range(len(HOSTS)) for key in KEYS]
    others = [f"{what} {host}" for what in ("lease", "end") for host in HOSTS] + [
        "BeginRun",
        "EndRun",
        "Rendered",
        "Attach",
        "Sent",
    ]
    samples = [f"sample {position} {number}" for position in range(len(HOSTS)) for number in (0, 1)]
    commits = {f"{moment} commit {what} #1" for moment in ("before", "after") for what in (*lines, *others, *samples)}
    blobs = [f"new blob of {what} 0" for what in (*samples, "BeginRun", "Rendered")]
    pages = ["reports/RUN.json.new", "reports/RUN.html.new"]
    calls = [
        f"{call} {file}" for call, those in (("open", blobs + pages), ("rename", blobs), ("replace", pages)) for file in those
    ]
    renames = {f"{moment} {call} #1" for moment in ("before", "after") for call in calls}
    assert commits <= {*whole.names}
    assert renames <= {*whole.names}


def test_killed_at_each_point_it_is_resumed_to_the_same_end(whole: Whole, scenes: Callable[[Size], Scene]) -> None:
    chance, every = random.Random(SEED), len(whole.names) // (POINTS or len(whole.names))
    left, missed = {*whole.names[chance.randrange(every) :: every]}, 0
    while left:
        scene, after, died_at = scenes(BIG), 0, list[str]()
        while scene.go_on(kill_at=sorted(left), after=after) == -9:
            died_at.append(scene.told["killed_at"])
            left.remove(died_at[-1])
            scene.check_so_far(died_at)
            after = chance.randrange(8)
        missed = 0 if died_at else missed + 1
        assert missed < 3, f"not met again: {sorted(left)}"  # some are not, where blobs or changes happen to go together
        scene.check(whole.document, died_at)
        scene.remove()


def kind(name: str) -> str:
    """Return what is alike in the names of points: without the number of a host, a step, an item or a time."""
    return re.sub(r"\d+", "N", name.rpartition(" #")[0])


def test_killed_at_a_point_of_each_kind_it_is_resumed_to_the_same_end(
    whole: Whole, scenes: Callable[[Size], Scene], measured: Measured
) -> None:
    small, chance, points, kills = undisturbed(scenes(SMALL)), random.Random(SEED), dict[str, list[str]](), 0
    for name in small.names:
        points.setdefault(kind(name), []).append(name)
    assert {kind(name) for name in whole.names} <= {*points}, "the small one stands for the big one"
    missed = 0
    while points:
        scene, after, died_at = scenes(SMALL), 0, list[str]()
        chosen = {chance.choice(names) for names in points.values()}
        while scene.go_on(kill_at=sorted(chosen), after=after) == -9:
            died_at.append(scene.told["killed_at"])
            chosen.remove(died_at[-1])
            del points[kind(died_at[-1])]
            scene.check_so_far(died_at)
            after = chance.randrange(8)
        kills, missed = kills + len(died_at), 0 if died_at else missed + 1
        assert missed < 5, f"not met again: {sorted(points)}"
        scene.check(small.document, died_at)
        scene.remove()
    measured(f"{kills} kills, one at a crash point of each kind: resumed to the same end")


def test_connections_cut_in_mid_step_leave_no_trace_in_what_is_told(
    whole: Whole, scenes: Callable[[Size], Scene], measured: Measured
) -> None:
    cuts = seed = 0
    while cuts < CUTS:
        scene, seed = scenes(BIG), seed + 1
        assert scene.repair(cuts=seed) == 0
        scene.check(whole.document, f"cut by {seed}")
        assert scene.told["cuts"], "no connection was cut"
        cuts += scene.told["cuts"]
        scene.remove()
    assert cuts >= CUTS
    measured(f"{cuts} connections cut in mid-step in {seed} repairs of {STEPS} steps on {len(HOSTS)} hosts: no trace")
