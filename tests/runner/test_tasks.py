"""Commands on many hosts: one outcome each, at most once, kept and owed to the case like every run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from diagnostics.library import Library
from inventory.inventory import Inventory
from inventory.secret import MASKER, Secret
from remote.answer import Ended
from remote.command import Command, CommandResult
from remote.errors import AuthenticationRefused, ConnectFailed, RemoteError
from remote.testing import FakeConnect, FakeHost
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunKind, RunState
from runner.record import HostRecord, RunRecord
from runner.request import NotResumable, TaskRequest
from runner.tasks import CommandTask
from tests.runner.fleet import fleet, inventory_of

SCRIPT = "systemctl restart nginx"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(tmp_path / "home", write=True, actor="anna") as opened:
        yield opened


def ended(status: int | None = 0, how: Ended = Ended.EXITED, **more: object) -> CommandResult:
    return CommandResult(ended=how, exit_status=status, **more)  # type: ignore[arg-type]  # a test's own mixture


ENDS: Mapping[str, tuple[CommandResult | RemoteError, Outcome]] = {
    "well": (ended(stdout=b"done\n"), Outcome.OK),
    "badly": (ended(3, stderr=b"no unit\n"), Outcome.FAILED),
    "late": (ended(None, Ended.TIMED_OUT), Outcome.TIMED_OUT),
    "long": (ended(None, Ended.CAPPED, stdout=b"x" * 100, stdout_cut=-1), Outcome.UNKNOWN),
    "lost": (ended(None, Ended.LOST, why="closed by the host"), Outcome.UNKNOWN),
    "denied": (ended(None, Ended.NOT_RUN, denied="sudo: a password is required"), Outcome.REFUSED),
    "unbegun": (ended(None, Ended.NOT_RUN, why="no shell"), Outcome.FAILED),
    "without": (ended(None), Outcome.FAILED),
    "away": (ConnectFailed("away", "no route"), Outcome.UNREACHABLE),
    "shut": (AuthenticationRefused("shut", user="anna", tried=("key",)), Outcome.REFUSED),
}


def connect() -> FakeConnect:
    return FakeConnect(
        {
            name: FakeHost(results={SCRIPT: end}) if isinstance(end, CommandResult) else FakeHost(refuses=end)
            for name, (end, _) in ENDS.items()
        }
    )


def asked(*names: str, **more: object) -> TaskRequest:
    values: dict[str, object] = {"case": "DEMO-1", "actor": "anna", "task": CommandTask(command=Command(script=SCRIPT))}
    return TaskRequest(selection=fleet(*names or ENDS), **{**values, **more})  # type: ignore[arg-type]  # likewise


def run(desk: Desk, **more: object) -> RunRecord:
    return asyncio.run(desk.carry_out(asked(**more), connect=connect(), observer=Silent()))


def test_every_host_ends_in_exactly_one_outcome_and_a_missing_status_is_no_success(desk: Desk) -> None:
    record = run(desk)
    assert {host.host: host.outcome for host in record.hosts} == {name: outcome for name, (_, outcome) in ENDS.items()}
    assert record.coverage.targeted == len(ENDS)
    assert all(host.error is not None for host in record.hosts if host.outcome is not Outcome.OK)
    assert (record.kind, record.subject, record.state) == (RunKind.COMMAND, SCRIPT, RunState.ENDED)


def test_what_hosts_said_is_kept_shown_and_read_back_the_same(desk: Desk) -> None:
    record = run(desk)
    assert desk.record(record.run) == record
    outputs = {host.host: host.output for host in record.hosts}
    assert outputs["well"] and outputs["well"].stdout == "done\n"
    assert outputs["badly"] and (outputs["badly"].exit_status, outputs["badly"].stderr) == (3, "no unit\n")
    assert outputs["long"] and outputs["long"].cut
    assert outputs["away"] is None
    assert ("well", "command") in {(host, question) for host, question, _ in desk.answers(record.run)}


def test_the_case_is_owed_the_report_once(desk: Desk) -> None:
    record = run(desk)
    assert [(row.run, row.case, row.kind, row.state) for row in desk.outbox()] == [(record.run, "DEMO-1", "command", "pending")]
    run(desk, case=None)
    assert len(desk.outbox()) == 1


def test_a_command_is_on_disk_before_the_first_host_is_reached_and_its_audit_says_it(desk: Desk) -> None:
    class Looking(Silent):
        seen: tuple[str, ...] = ()

        def host_started(self, host: object) -> None:
            Looking.seen = tuple(row.detail for row in desk.audit())

    asyncio.run(desk.carry_out(asked("well"), connect=connect(), observer=Looking()))
    assert Looking.seen == (SCRIPT,)


def test_an_interrupted_command_is_not_run_again(desk: Desk, library: Library) -> None:
    class Stops(Silent):
        def host_ended(self, record: HostRecord) -> None:
            if record.host == "well":
                desk.stop()

    request = asked("well", "badly", "late", concurrency=1)
    record = asyncio.run(desk.carry_out(request, connect=connect(), observer=Stops()))
    assert record.state is RunState.INTERRUPTED
    assert [host.outcome for host in record.hosts] == [Outcome.OK, Outcome.NOT_STARTED, Outcome.NOT_STARTED]
    inventory: Inventory = inventory_of(request.selection)
    with pytest.raises(NotResumable, match="no diagnosis"):
        asyncio.run(desk.resume(record.run, inventory=inventory, library=library, connect=connect(), observer=Silent()))


def test_secrets_are_masked_in_the_script_the_answers_and_the_audit(desk: Desk) -> None:
    MASKER.learn(Secret("s3cret-in-a-command"))
    script = "echo s3cret-in-a-command"
    fake = FakeConnect({"a": FakeHost(results={script: ended(stdout=b"it is s3cret-in-a-command\n")})})
    request = asked("a", task=CommandTask(command=Command(script=script)))
    record = asyncio.run(desk.carry_out(request, connect=fake, observer=Silent()))
    assert record.subject == "echo ***"
    assert record.hosts[0].output and record.hosts[0].output.stdout == "it is ***\n"
    assert "s3cret" not in repr(desk.audit())


def test_a_command_does_not_pass_for_a_look_at_the_host(desk: Desk, library: Library) -> None:
    """Findings of earlier runs stand as they were, and there is nothing to judge again."""
    record = run(desk)
    assert desk.replay(record.run, library=library) == ()
    assert all(host.diagnosis is None for host in record.hosts)
