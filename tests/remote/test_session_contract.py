"""What every session must do, whatever carries it; a fake that passes may be trusted."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.host import Host
from inventory.secret import Secret
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.files import Destination, Reason, TransferFailed
from remote.question import Privilege, Question
from remote.session import Connect, Session
from remote.testing import FakeConnect, FakeHost, FakeSession, UnscriptedQuestion
from tests.remote.servers import MakeConnector, StartPractice, as_nobody

ALL_BYTES = bytes(range(256))
OCTAL = "".join(f"\\{byte:03o}" for byte in range(256))
MEBIBYTE = 1024 * 1024
DEADLINE_S = 60.0  # far above what any of this takes: only a hang reaches it


def exited(status: int, stdout: bytes = b"", stderr: bytes = b"") -> Answer:
    return Answer(ended=Ended.EXITED, exit_status=status, stdout=stdout, stderr=stderr)


CASES: dict[Question, Answer] = {
    Question(id="status.zero", script="exit 0"): exited(0),
    Question(id="status.one", script="exit 1"): exited(1),
    Question(id="status.many", script="exit 213"): exited(213),
    Question(id="status.false", script="false"): exited(1),
    Question(id="status.not_found", script="longarm-no-such-command 2>/dev/null"): exited(127),
    Question(id="streams.apart", script="echo out; echo err >&2; echo out again"): exited(0, b"out\nout again\n", b"err\n"),
    Question(id="streams.no_newline", script="printf out; printf err >&2"): exited(0, b"out", b"err"),
    Question(id="streams.none", script=":"): exited(0),
    Question(id="bytes.all", script=f"printf '{OCTAL}'; printf '{OCTAL}' >&2"): exited(0, ALL_BYTES, ALL_BYTES),
    Question(id="bytes.nul", script="printf '\\000\\000'"): exited(0, b"\0\0"),
    Question(id="bytes.not_utf8", script="printf '\\377\\376'"): exited(0, b"\xff\xfe"),
    Question(id="stdin.empty", script="cat; echo end"): exited(0, b"end\n"),
    Question(id="variable", script='printf %s "$value"', variables=(("value", "a'b\"c\n$(id) `id` é"),)): exited(
        0, "a'b\"c\n$(id) `id` é".encode()
    ),
    Question(id="size.stdout", script=f"head -c {MEBIBYTE} /dev/zero", max_bytes=2 * MEBIBYTE): exited(0, bytes(MEBIBYTE)),
    Question(id="size.stderr", script="head -c 32768 /dev/zero >&2"): exited(0, b"", bytes(32768)),
}
HUNG = Question(id="hung", script="echo before; sleep 3600", deadline_s=2)
CAPPED = Question(id="capped", script="yes longarm", max_bytes=10_000, deadline_s=20)
FAKE_ANSWERS = {question.id: answer for question, answer in CASES.items()} | {
    HUNG.id: Answer(ended=Ended.TIMED_OUT, exit_status=None, stdout=b"before\n"),
    CAPPED.id: Answer(ended=Ended.CAPPED, exit_status=None, stdout=b"longarm\n" * 1250, stdout_cut=-1),
}


def ended(status: int, stdout: bytes = b"", stderr: bytes = b"") -> CommandResult:
    return CommandResult(ended=Ended.EXITED, exit_status=status, stdout=stdout, stderr=stderr)


HOSTILE = "a'b\"c\n$(id) `id` %s \\ é"
COMMANDS: dict[Command, CommandResult] = {
    Command(script="exit 0 # zero"): ended(0),
    Command(script="exit 213"): ended(213),
    Command(script="echo out; echo err >&2; exit 3"): ended(3, b"out\n", b"err\n"),
    Command(script="cat # nothing"): ended(0),
    Command(script='printf "%s|" "$text" "$number" "$yes" "$no" "$secret"', variables={
        "text": HOSTILE, "number": -5, "yes": True, "no": False, "secret": Secret("s3cret'\"")}): ended(
        0, f"{HOSTILE}|-5|1||s3cret'\"|".encode()
    ),
    Command(script="cat", stdin=ALL_BYTES + HOSTILE.encode()): ended(0, ALL_BYTES + HOSTILE.encode()),
    Command(script="wc -c | tr -d ' '", stdin=ALL_BYTES * 1000): ended(0, b"256000\n"),
    Command(script="exit 7 # unread", stdin=bytes(200_000)): ended(7),
    Command(script="head -c 1048577 /dev/zero", max_bytes=2 * MEBIBYTE): ended(0, bytes(MEBIBYTE + 1)),
}  # fmt: skip
HANGS = Command(script="echo before; sleep 3600", deadline_s=2)
FLOODS = Command(script="yes longarm", max_bytes=10_000, deadline_s=20)
DIES = Command(script="exec sh -c 'kill -9 $$'")
BROKEN = Command(script="} ; echo 'unbalanced")
FAKE_RESULTS = {command.script: result for command, result in COMMANDS.items()} | {
    HANGS.script: CommandResult(ended=Ended.TIMED_OUT, exit_status=None, stdout=b"before\n"),
    FLOODS.script: CommandResult(ended=Ended.CAPPED, exit_status=None, stdout=b"longarm\n" * 1250, stdout_cut=-1),
    DIES.script: ended(137),
    BROKEN.script: ended(2, b"", b"syntax error"),
}


@pytest.fixture
def fake_session() -> Session:
    return FakeSession(Host(name="node", address="192.0.2.1"), FakeHost(answers=FAKE_ANSWERS, results=FAKE_RESULTS))


KINDS = (
    "fake",
    "local",
    "asyncssh",
    *(
        pytest.param(kind, marks=pytest.mark.server)
        for kind in ("openssh", "dropbear", "tinysshd", "jumped", "paramiko", "paramiko_dropbear", "paramiko_jumped")
    ),
)


@pytest.fixture(params=KINDS)
def session(request: pytest.FixtureRequest) -> Session:
    found: Session = request.getfixturevalue(f"{request.param}_session")
    return found


def same(answer: Answer, expected: Answer) -> bool:
    """Compare what a question means to bring back; time and privilege are the host's matter."""
    return (answer.ended, answer.exit_status, answer.stdout, answer.stderr, answer.stdout_cut, answer.stderr_cut) == (
        expected.ended,
        expected.exit_status,
        expected.stdout,
        expected.stderr,
        expected.stdout_cut,
        expected.stderr_cut,
    )


async def test_every_question_has_exactly_its_own_answer(session: Session) -> None:
    answers = await session.ask(list(CASES), deadline_s=DEADLINE_S)
    assert list(answers) == [question.id for question in CASES]
    wrong = {
        question.id: answers[question.id] for question, expected in CASES.items() if not same(answers[question.id], expected)
    }
    assert wrong == {}


async def test_a_command_brings_back_what_it_did(session: Session) -> None:
    results = {command: await session.run(command, deadline_s=DEADLINE_S) for command in COMMANDS}
    assert {command.script: results[command] for command, want in COMMANDS.items() if not same(results[command], want)} == {}
    assert all(result.succeeded is (result.exit_status == 0) for result in results.values())


async def test_a_script_that_is_none_is_no_success(session: Session) -> None:
    result = await session.run(BROKEN, deadline_s=DEADLINE_S)
    assert (result.ended, result.exit_status, result.stdout, result.succeeded) == (Ended.EXITED, 2, b"", False)
    assert result.stderr  # each shell has words of its own for it


async def test_a_command_past_its_deadline_is_ended_and_no_success(session: Session) -> None:
    result = await session.run(HANGS, deadline_s=DEADLINE_S)
    assert (result.ended, result.exit_status, result.stdout) == (Ended.TIMED_OUT, None, b"before\n")
    assert not result.succeeded


async def test_a_command_over_its_cap_says_so_and_is_no_success(session: Session) -> None:
    result = await session.run(FLOODS, deadline_s=DEADLINE_S)
    assert (result.ended, result.exit_status) == (Ended.CAPPED, None)
    assert result.stdout.startswith(b"longarm\n") and len(result.stdout) <= FLOODS.max_bytes
    assert result.stdout_cut != 0
    assert not result.succeeded


async def test_a_killed_command_is_no_success(session: Session) -> None:
    assert not (await session.run(DIES, deadline_s=DEADLINE_S)).succeeded


async def test_a_file_comes_back_as_it_was_put(session: Session, tmp_path: Path) -> None:
    there, seen = f"{tmp_path}/a file", list[tuple[int, int]]()
    put = await session.put(ALL_BYTES, Destination(path=there), deadline_s=DEADLINE_S, progress=lambda *step: seen.append(step))
    got = await session.get(there, tmp_path / "mine", max_bytes=1000, deadline_s=DEADLINE_S)
    assert (put.digest, put.size_bytes, put.path) == (got.digest, got.size_bytes, got.path)
    assert put.digest == hashlib.sha256(ALL_BYTES).hexdigest()
    assert (tmp_path / "mine").read_bytes() == ALL_BYTES
    assert seen[-1] == (256, 256)


async def test_a_file_that_cannot_be_got_says_why_and_leaves_nothing(session: Session, tmp_path: Path) -> None:
    with pytest.raises(TransferFailed) as missing:
        await session.get(f"{tmp_path}/none", tmp_path / "mine", max_bytes=1000, deadline_s=DEADLINE_S)
    await session.put(ALL_BYTES, Destination(path=f"{tmp_path}/long"), deadline_s=DEADLINE_S)
    with pytest.raises(TransferFailed) as long:
        await session.get(f"{tmp_path}/long", tmp_path / "mine", max_bytes=100, deadline_s=DEADLINE_S)
    assert (missing.value.reason, long.value.reason) == (Reason.MISSING, Reason.TOO_LARGE)
    assert not (tmp_path / "mine").exists()


async def test_a_session_can_be_asked_again(session: Session) -> None:
    first, second = list(CASES)[:2]
    assert set(await session.ask([first], deadline_s=DEADLINE_S)) == {first.id}
    assert set(await session.ask([second], deadline_s=DEADLINE_S)) == {second.id}


async def test_no_question_has_no_answer(session: Session) -> None:
    assert await session.ask([], deadline_s=DEADLINE_S) == {}


async def test_a_hung_question_is_abandoned_while_the_others_answer(session: Session) -> None:
    others = list(CASES)[:6]
    answers = await session.ask([*others[:3], HUNG, *others[3:]], deadline_s=DEADLINE_S)
    assert answers[HUNG.id].ended is Ended.TIMED_OUT
    assert answers[HUNG.id].exit_status is None
    assert answers[HUNG.id].stdout == b"before\n"
    assert all(same(answers[question.id], CASES[question]) for question in others)


async def test_a_question_over_its_cap_loses_its_own_rest_only(session: Session) -> None:
    others = list(CASES)[:6]
    answers = await session.ask([*others[:3], CAPPED, *others[3:]], deadline_s=DEADLINE_S)
    assert answers[CAPPED.id].ended is Ended.CAPPED
    assert answers[CAPPED.id].exit_status is None
    assert answers[CAPPED.id].stdout.startswith(b"longarm\n")
    assert answers[CAPPED.id].stdout_cut != 0
    assert all(same(answers[question.id], CASES[question]) for question in others)


@pytest.fixture(
    params=[
        "local",
        "asyncssh",
        pytest.param("openssh", marks=pytest.mark.server),
        pytest.param("dropbear", marks=pytest.mark.server),
        pytest.param("tinysshd", marks=pytest.mark.server),
        pytest.param("paramiko", marks=pytest.mark.server),
    ]
)
def real_session(request: pytest.FixtureRequest) -> Session:
    found: Session = request.getfixturevalue(f"{request.param}_session")
    return found


async def test_the_deadline_of_the_call_ends_it_and_complete_answers_stay(real_session: Session) -> None:
    slow = Question(id="slow", script="sleep 3600", deadline_s=3600)
    for deadline_s in (3.0, 12.0, 60.0):  # until this machine has answered by then
        answers = await real_session.ask([Question(id="quick", script="echo here"), slow], deadline_s=deadline_s)
        if answers["quick"].ended is Ended.EXITED:
            break
    assert same(answers["quick"], exited(0, b"here\n"))
    assert answers["slow"].ended in {Ended.LOST, Ended.TIMED_OUT}
    assert answers["slow"].exit_status is None


async def test_a_question_whose_shell_is_killed_is_no_success(real_session: Session) -> None:
    dies = Question(id="dies", script="exec sh -c 'kill -9 $$'")
    answers = await real_session.ask([dies, next(iter(CASES))], deadline_s=DEADLINE_S)
    assert answers["dies"].exit_status not in {0, None}
    assert same(answers["status.zero"], exited(0))


async def test_the_deadline_of_the_call_loses_a_command(real_session: Session) -> None:
    result = await real_session.run(Command(script="echo here; sleep 3600", deadline_s=3600), deadline_s=4.0)
    assert (result.ended, result.exit_status, result.succeeded) == (Ended.LOST, None, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="asks as root, and the tests run as an ordinary user")
async def test_root_asks_as_root(real_session: Session) -> None:
    question = Question(id="who", script="id -u", privilege=Privilege.ROOT)
    answer = (await real_session.ask([question], deadline_s=DEADLINE_S))["who"]
    assert same(answer, exited(0, b"0\n"))
    assert answer.as_root


@pytest.fixture(params=["missing", "asks for a password"])
def path_of_nobody(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a PATH for a user without rights: no sudo, or one that wants a password; /tmp, since nobody may look there."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for tool in ("sh", "id", "cat", "head", "dd", "sleep", "env"):
            (folder / tool).symlink_to(shutil.which(tool) or "")
        if request.param != "missing":
            (folder / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
            (folder / "sudo").chmod(0o755)
        yield name


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody, which only root can")
async def test_root_that_cannot_be_had_is_said_and_nothing_else_is_lost(
    path_of_nobody: str, practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(process=as_nobody(path_of_nobody))
    questions = [
        Question(id="user", script="id -u"),
        Question(id="root", script="id -u", privilege=Privilege.ROOT),
        Question(id="either", script="id -u", privilege=Privilege.PREFER_ROOT),
    ]
    async with connector()(running.host) as session:
        answers = await session.ask(questions, deadline_s=DEADLINE_S)
    assert same(answers["user"], exited(0, b"65534\n"))
    assert (answers["root"].ended, answers["root"].exit_status) == (Ended.NOT_RUN, None)
    assert "sudo" in answers["root"].why
    assert same(answers["either"], exited(0, b"65534\n"))
    assert not answers["either"].as_root


def test_a_session_tells_who_it_is(real_session: Session) -> None:
    assert real_session.facts.user
    assert real_session.facts.transport in {"local", "ssh"}
    if real_session.facts.transport == "ssh":
        algorithms = dict(real_session.facts.algorithms)
        assert real_session.facts.host_key.startswith("SHA256:")
        assert real_session.facts.credential == "test"
        too_old = "tinyssh_" in algorithms["server"]  # 20230101, of before CVE-2023-48795
        assert algorithms["kex"] and algorithms["cipher"] and algorithms["strict_kex"] == ("no" if too_old else "yes")


async def test_a_fake_refuses_what_was_not_scripted() -> None:
    connect: Connect = FakeConnect({"db1": FakeHost(answers={"known": exited(0)})})
    async with connect(Host(name="db1", address="192.0.2.1")) as session:
        with pytest.raises(UnscriptedQuestion, match="unknown"):
            await session.ask([Question(id="unknown", script="true")], deadline_s=1)
    with pytest.raises(UnscriptedQuestion):
        async with connect(Host(name="db2", address="192.0.2.1")):
            pass
