"""Commands on many hosts: one outcome each, at most once, kept and owed to the case like every run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.library import Library
from diagnostics.secret_patterns import LOOKS_SECRET
from inventory.host import Selection
from inventory.inventory import Inventory
from inventory.secret import MASKER, Secret
from inventory.walls import CaseOfOthers
from remote.answer import Answer, Ended, answered
from remote.command import EXTRACT, ORIGIN, Command, CommandResult
from remote.errors import AuthenticationRefused, ConnectFailed, RemoteError
from remote.files.extracts import Extract
from remote.testing import FakeConnect, FakeHost
from reports.cases.builtin import BuiltinCases
from reports.cases.delivery import deliver
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunKind, RunState
from runner.record import HostRecord, RunRecord
from runner.request import NotResumable, TaskRequest
from runner.tasks import CommandTask, ExtractTask
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


def test_every_host_is_let_go_of_but_one_that_may_be_at_it_still(desk: Desk) -> None:
    run(desk)
    assert [lease.host for lease in desk.leases()] == ["lost"]


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


def test_a_stopped_command_owes_its_report_too_since_it_is_never_gone_on_with(desk: Desk) -> None:
    class Stops(Silent):
        def host_ended(self, record: HostRecord) -> None:
            if record.host == "well":
                desk.stop()

    record = asyncio.run(desk.carry_out(asked("well", "badly", concurrency=1), connect=connect(), observer=Stops()))
    assert [host.outcome for host in record.hosts] == [Outcome.OK, Outcome.NOT_STARTED]
    assert record.state is RunState.INTERRUPTED and record.ended_at is not None
    assert [(row.run, row.kind) for row in desk.outbox()] == [(record.run, "command")]


def test_a_case_of_one_customer_gets_nothing_of_another(desk: Desk) -> None:
    run(desk)
    (well,) = fleet("well").hosts
    theirs = Selection(expression="well", hosts=(replace(well, customer="Zeta"),))
    with pytest.raises(CaseOfOthers, match="the case DEMO-1 is of another customer: acme"):
        asyncio.run(desk.carry_out(replace(asked(), selection=theirs), connect=connect(), observer=Silent()))
    assert len(desk.runs()) == 1
    across = replace(asked(), selection=theirs, across_customers=True)
    asyncio.run(desk.carry_out(across, connect=connect(), observer=Silent()))
    assert len(desk.runs()) == 2


def test_a_command_is_on_disk_before_the_first_host_is_reached_and_its_audit_says_it(desk: Desk) -> None:
    class Looking(Silent):
        seen: tuple[str, ...] = ()

        def host_started(self, host: object, hearing: object) -> None:
            Looking.seen = tuple(row.detail for row in desk.audit())

    asyncio.run(desk.carry_out(asked("well"), connect=connect(), observer=Looking()))
    assert Looking.seen == (f"may change: {SCRIPT}",)


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
    with pytest.raises(NotResumable, match="neither a diagnosis nor a repair"):
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


# --- files ---------------------------------------------------------------------------------------------------------

LOG = b"""GET /x user=anna password=hunter22 ok
Authorization: Bearer abc.def-123
fetch https://bot:t0psecret@repo.example/x
MIIEowIBAAKCAQEA
-----END RSA PRIVATE KEY-----
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjE
-----END OPENSSH PRIVATE KEY-----
Failed password for root from 192.0.2.7
the learnt one: s3cret-in-a-log
"""


def test_megabytes_of_base64_are_looked_through_once() -> None:
    """A walk from each line to the end of them all would take hours: 150 KB took half a minute."""
    lines = b"QUFB" * 19 + b"\n"
    data = lines * 50_000 + b"-----END CERTIFICATE-----\n" + lines * 2 + b"-----END EC PRIVATE KEY-----\n"
    kept = data
    for rule in LOOKS_SECRET:
        kept = rule.pattern.sub(lambda match: match[0].replace(match["secret"], b"") if match["secret"] else match[0], kept)
    assert kept == lines * 50_000 + b"-----END CERTIFICATE-----\n-----END EC PRIVATE KEY-----\n"


def got(desk: Desk, extract: Answer, *, case: str | None = "DEMO-1", max_bytes: int = 10_000) -> RunRecord:
    origin = answered(b"path=/var/log/app.log\nsize=300\n")
    task = ExtractTask(extract=Extract(path="/var/log/app.log", max_bytes=max_bytes))
    connect = FakeConnect({"a": FakeHost(answers={ORIGIN: origin, EXTRACT: extract})})
    request = TaskRequest(selection=fleet("a"), task=task, case=case, actor="anna")
    return asyncio.run(desk.carry_out(request, connect=connect, observer=Silent()))


def test_a_file_is_redacted_before_it_is_kept_and_reaches_its_case_once(desk: Desk) -> None:
    MASKER.learn(Secret("s3cret-in-a-log"))
    record = got(desk, answered(LOG))
    assert (record.kind, record.subject, record.hosts[0].outcome) == (RunKind.FILE, "/var/log/app.log", Outcome.OK)
    (row,) = desk.outbox()
    assert (row.kind, row.state, row.filename) == ("file", "rendered", f"longarm-file-{record.run}-{row.digest[:8]}.txt")
    for _ in range(2):
        deliver(desk, (BuiltinCases(desk),), MASKER)
    (attached,) = desk.case_attachments("DEMO-1")
    data = desk.attachment(attached.digest)
    assert (attached.filename, attached.digest, attached.media_type) == (row.filename, row.digest, "text/plain")
    for secret in (b"hunter22", b"abc.def", b"t0psecret", b"MIIEowIBAAKCAQEA", b"b3BlbnNz", b"s3cret"):
        assert secret not in data, secret
    assert data.count(b"\n") == LOG.count(b"\n"), "lines stay where they are"
    assert b"Failed password for root from 192.0.2.7\n" in data
    kept = {question: answer.stdout for _, question, answer in desk.answers(record.run)}
    assert kept[EXTRACT] == data
    assert record.hosts[0].output and dict(record.hosts[0].output.origin)["path"] == "/var/log/app.log"


def test_what_was_left_out_is_marked_in_the_file_and_in_the_record(desk: Desk) -> None:
    record = got(desk, answered(b"first line\nsecond line\nthird"), max_bytes=10)
    (row,) = desk.outbox()
    data = desk.outbox_data(row.id)
    assert data.startswith(b"[longarm: what came before this is left out]\nthird")
    assert record.hosts[0].output and record.hosts[0].output.cut


def test_what_could_not_be_read_attaches_nothing(desk: Desk) -> None:
    record = got(desk, answered(b"", exit_status=21))
    assert (record.hosts[0].outcome, str(record.hosts[0].error)) == (Outcome.FAILED, "there is no such file")
    assert desk.outbox() == ()
    partly = got(desk, answered(b"some\n", stderr=b"tail: error reading: Input/output error\n"))
    assert partly.hosts[0].outcome is Outcome.INCOMPLETE
    assert "Input/output error" in str(partly.hosts[0].error)


def test_without_a_case_a_file_is_evidence_alone(desk: Desk) -> None:
    record = got(desk, answered(b"a\0b"), case=None)
    assert desk.outbox() == ()
    assert {question for _, question, _ in desk.answers(record.run)} == {ORIGIN, EXTRACT}
