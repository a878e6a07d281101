"""What a run that was cut off remembers as it goes on: how many hosts had ended badly, and what it has muted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inventory.errors import LongarmError, Place, Text
from inventory.host import Host
from playbooks.model import Playbook
from playbooks.testing import FakeOperator
from remote.hearing import Hearing
from runner.desk import Desk
from runner.mute_entries import HookEntry, HookKind
from runner.mute_hooks import Wanted
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import RestRequest
from runner.store.rows import Scope
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench, hosts_folder


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


WAITS = (
    'touch "$HOME/begun"; n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; '
    'echo one >>"$HOME/effects"'
)


def waiting(bench: Bench, then: str = "") -> Playbook:
    """Return a playbook whose first step waits until it may go on."""
    return bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', WAITS + then))


def the_rest(bench: Bench, playbook: Playbook, *hosts: str, hooks: Sequence[Hook] = ()) -> RestRequest:
    inventory = inventory_of(bench.selection(*hosts))
    return RestRequest(
        inventory=inventory, library=bench.library, playbook=playbook, secrets={}, operator=FakeOperator(), hooks=tuple(hooks)
    )


@dataclass(slots=True)
class Stopping(Silent):
    """Stops a run once hosts have begun, and others have ended."""

    desk: Desk
    begun: tuple[Path, ...]
    ended: set[str]
    looking: bool = False

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Look every now and then."""
        if not self.looking:
            self.looking = True
            self._look()

    def host_ended(self, record: HostRecord) -> None:
        """Take note."""
        self.ended.discard(record.host)

    def _look(self) -> None:
        if not self.ended and all(path.exists() for path in self.begun):
            self.desk.stop()
        else:
            asyncio.get_running_loop().call_later(0.05, self._look)


@dataclass(slots=True)
class Hook:
    """Monitoring that counts its downtimes, and fails when it is told to."""

    entry: HookEntry = field(
        default_factory=lambda: HookEntry(
            name="nagios", kind=HookKind.PROGRAM, where="/x", stops=True, deadline_s=5.0, place=Place("c", 1, 1)
        )
    )
    muted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    begun: int = 0
    fails: bool = False
    refuses: bool = False

    def mute(self, wanted: Wanted) -> str:
        """Begin a downtime."""
        if self.refuses:
            raise LongarmError(Text("monitoring is down"))
        self.begun += 1
        self.muted[f"downtime-{self.begun}"] = wanted.hosts
        return f"downtime-{self.begun}"

    def unmute(self, wanted: Wanted, reference: str) -> None:
        """End it."""
        if self.fails:
            raise LongarmError(Text("monitoring is down"))
        self.muted.pop(reference, None)


def test_a_run_that_goes_on_begins_no_further_host_where_too_many_had_ended_badly(home: Path, bench: Bench) -> None:
    playbook, hosts = waiting(bench, "; exit 1"), tuple(f"db-{number}" for number in range(1, 9))
    (bench.home("db-1") / "go").touch()
    begun = [bench.home(host) / "begun" for host in hosts]
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking(*hosts, playbook=playbook, concurrency=4, max_failed="0")
        stopping = Stopping(desk, tuple(begun[:4]), {"db-1"})
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=stopping))
        assert stopped.state is RunState.INTERRUPTED
        for host in hosts:
            (bench.home(host) / "go").touch()
        rest = the_rest(bench, playbook, *hosts)
        record = asyncio.run(desk.resume_repair(stopped.run, rest, connect=bench.connect, observer=Silent()))
    outcomes = {one.host: one.outcome for one in record.hosts}
    assert outcomes == {host: Outcome.FAILED if host <= "db-4" else Outcome.NOT_STARTED for host in hosts}
    assert [path.exists() for path in begun] == [True] * 4 + [False] * 4
    assert [bench.effects(host) for host in hosts] == [["one"]] * 4 + [[]] * 4


def test_where_monitoring_refuses_to_be_silent_none_goes_on_though_too_many_had_ended_badly(home: Path, bench: Bench) -> None:
    hook, playbook, hosts = Hook(), waiting(bench, "; exit 1"), ("db-1", "db-2")
    (bench.home("db-1") / "go").touch()
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking(*hosts, playbook=playbook, concurrency=2, max_failed="0", hooks=(hook,))
        stopping = Stopping(desk, (bench.home("db-2") / "begun",), {"db-1"})
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=stopping))
        hook.refuses = True
        rest = the_rest(bench, playbook, *hosts, hooks=(hook,))
        record = asyncio.run(desk.resume_repair(stopped.run, rest, connect=bench.connect, observer=Silent()))
        assert [(one.host, one.error_kind) for one in record.hosts][1] == ("db-2", "MuteFailed")
        (bench.home("db-2") / "go").touch()


def test_what_a_cut_off_run_could_not_unmute_is_not_forgotten_by_muting_again(home: Path, bench: Bench) -> None:
    hook, playbook = Hook(fails=True), waiting(bench)
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", playbook=playbook, hooks=(hook,))
        stopping = Stopping(desk, (bench.home("db-1") / "begun",), set())
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=stopping))
        (bench.home("db-1") / "go").touch()

        class Back(Silent):
            def host_started(self, host: Host, hearing: Hearing) -> None:
                hook.fails = False

        rest = the_rest(bench, playbook, "db-1", hooks=(hook,))
        record = asyncio.run(desk.resume_repair(stopped.run, rest, connect=bench.connect, observer=Back()))
        assert record.repair is not None
        assert [(one.wave, one.state) for one in record.repair.mutes] == [(0, "muted"), (1, "unmuted")]
        assert hook.muted == {"downtime-1": ("db-1",)}
        asyncio.run(desk.unmute_left((hook,)))
        assert hook.muted == {}


def test_who_stops_while_monitoring_is_let_speak_again_has_stopped_the_run(home: Path, bench: Bench) -> None:
    hook = Hook(fails=True)
    with Desk.open(home, write=True, actor="anna") as desk:
        asyncio.run(desk.repair(bench.asking("db-1", hooks=(hook,)), connect=bench.connect, observer=Silent()))
        bench.mark("db-1", "bad")

        async def stopped() -> RunRecord:
            loop = asyncio.get_running_loop()

            class Stopped(Hook):
                def unmute(self, wanted: Wanted, reference: str) -> None:
                    loop.call_soon_threadsafe(desk.stop)

            request = bench.asking("db-1", hooks=(Stopped(),))
            return await desk.repair(request, connect=bench.connect, observer=Silent())

        record = asyncio.run(stopped())
    assert (record.state, record.hosts[0].outcome) == (RunState.INTERRUPTED, Outcome.NOT_STARTED)
    assert bench.effects("db-1") == ["one", "two"], "of the first run alone"


def test_a_host_that_was_kept_off_as_its_wave_was_muted_does_not_begin_in_it(home: Path, bench: Bench) -> None:
    hook, playbook = Hook(), bench.playbook(MEND)
    told: list[tuple[str, ...]] = []

    class Held(Silent):
        def host_started(self, host: Host, hearing: Hearing) -> None:
            told.extend(hook.muted.values())
            with Desk.open_beside(home, actor="boris") as other:
                if host.name == "db-1":
                    other.hold(bench.selection("db-3").hosts, reason="a demonstration")
                else:
                    other.remove_holds(["db-3"])

    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", "db-2", "db-3", playbook=playbook, hooks=(hook,), batch=("1", "rest"), concurrency=1)
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Held()))
    assert told == [("db-1",), ("db-2",)] and hook.muted == {}
    assert [(one.host, one.outcome, one.error_kind) for one in record.hosts] == [
        ("db-1", Outcome.OK, ""),
        ("db-2", Outcome.OK, ""),
        ("db-3", Outcome.REFUSED, "HostHeld"),
    ]
    assert bench.effects("db-3") == []


def test_where_all_of_a_wave_was_kept_off_as_it_would_be_muted_none_begins_in_it(home: Path, bench: Bench) -> None:
    hook = Hook()

    class Frozen(Silent):
        def host_ended(self, record: HostRecord) -> None:
            with Desk.open_beside(home, actor="boris") as other:
                if record.host == "db-1":
                    other.freeze(Scope.DESK, None, reason="an audit")
                elif record.host == "db-2":
                    other.unfreeze(Scope.DESK, None)

    with Desk.open(home, write=True, actor="anna") as desk:
        hosts = ("db-1", "db-2", "db-3")
        request = bench.asking(*hosts, playbook=bench.playbook(MEND), hooks=(hook,), batch=("1", "rest"), concurrency=1)
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Frozen()))
    assert [one.error_kind for one in record.hosts] == ["", "ChangesFrozen", "ChangesFrozen"]
    assert (hook.begun, bench.effects("db-3")) == (1, [])
