"""Detached commands in every shell: run once, fenced, collected piece by piece, and forgotten to the last file but one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.secret import Secret
from remote.command import Command, Value
from remote.detached import START, DetachedCommand, Offset, Reason, Standing, State
from remote.detached.following import Following
from tests.remote.detached import DEADLINE_S, NEEDS, SHELLS, Bench, collected, settled, started, written
from tests.remote.shells import gone, marked

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
FENCE = ["lib/longarm", "lib/longarm/fence"]


@pytest.fixture(params=SHELLS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, shell=SHELLS[request.param])
    yield bench
    await bench.leave()


async def test_a_command_that_ends_in_time_is_told_whole_by_its_start(bench: Bench) -> None:
    detached = bench.command("printf 'out\\000\\377'; echo err >&2; exit 5")
    standing = await started(bench.session(), detached)
    assert (standing.state, standing.exit_status, standing.reason, standing.ran) == (State.DONE, 5, None, True)
    assert (standing.stdout, standing.stderr, standing.whole) == (b"out\0\xff", b"err\n", True)
    assert (standing.stdout_cut, standing.stderr_cut, standing.left) == (0, 0, ())
    assert standing.place == "/var/lib/longarm" and standing.boot_id


async def test_an_id_is_run_once_and_the_second_start_says_what_became_of_it(bench: Bench) -> None:
    detached = bench.command("echo out")
    first = await started(bench.session(), detached)
    assert await started(bench.session(), detached) == first
    assert await collected(bench.session(), detached.id) == first
    assert bench.effects(detached.id) == ["begin", "end"]


async def test_two_that_start_the_same_id_at_once_run_it_once(bench: Bench) -> None:
    detached = bench.command("sleep 0.3; echo out")
    standings = await asyncio.gather(*(started(bench.session(), detached) for _ in range(4)))
    assert bench.effects(detached.id) == ["begin", "end"], standings
    last = await settled(bench, detached.id)
    assert (last.state, last.stdout) == (State.DONE, b"out\n")
    assert {standing.state for standing in standings} <= {State.DONE, State.RUNNING}, standings


async def test_runners_with_different_tokens_never_overlap(bench: Bench) -> None:
    commands = [bench.command("sleep 0.2", token=token) for token in (3, 1, 4, 2)]
    standings = await asyncio.gather(*(started(bench.session(), one) for one in commands))
    lines = bench.effects()
    assert all(lines[at].split()[1] == lines[at + 1].split()[1] for at in range(0, len(lines), 2)), lines
    ran = {line.split()[1] for line in lines}
    assert ran == {standing.id for standing in standings if standing.state is State.DONE} and ran
    for standing in standings:
        assert standing.state in (State.DONE, State.FENCED) or standing.reason is Reason.BUSY


async def test_an_old_token_is_fenced_also_after_all_is_forgotten(bench: Bench) -> None:
    newer, older = bench.command(token=7), bench.command(token=6)
    await started(bench.session(), newer)
    await bench.session().forget([newer.id], deadline_s=DEADLINE_S)
    standing = await started(bench.session(), older)
    assert (standing.state, standing.ran, standing.why) == (State.FENCED, False, "7")
    assert bench.effects(older.id) == []
    assert (await started(bench.session(), replace(older, token=7))).state is State.DONE


async def test_what_is_forgotten_leaves_the_fence_alone_which_still_knows_how_it_ended(bench: Bench) -> None:
    detached = bench.command("exit 3")
    assert (await started(bench.session(), detached)).state is State.DONE
    assert await bench.session().forget([detached.id], deadline_s=DEADLINE_S) == {detached.id}
    assert bench.remains() == FENCE
    assert (bench.folder / "lib/longarm").stat().st_mode & 0o777 == 0o700
    assert (bench.folder / "lib/longarm/fence").stat().st_mode & 0o777 == 0o600
    standing = await collected(bench.session(), detached.id)
    assert (standing.state, standing.exit_status, standing.whole) == (State.DONE, 3, True)
    assert (await started(bench.session(), detached)).exit_status == 3
    assert bench.effects(detached.id) == ["begin", "end"]


async def test_the_next_start_takes_along_what_is_forgotten(bench: Bench) -> None:
    first = bench.command()
    await started(bench.session(), first)
    second = replace(bench.command(), forget=(first.id,))
    assert (await started(bench.session(), second)).state is State.DONE
    assert f"lib/longarm/c-{first.id}" not in bench.remains() and f"lib/longarm/c-{second.id}" in bench.remains()


async def test_one_that_runs_is_not_forgotten_and_keeps_others_out(bench: Bench) -> None:
    detached, other = bench.command("sleep 6; echo out"), bench.command()
    assert (await started(bench.session(), detached, wait_s=1)).state is State.RUNNING
    assert await bench.session().forget([detached.id], deadline_s=DEADLINE_S) == frozenset()
    refused = await started(bench.session(), other)
    assert (refused.state, refused.reason, refused.ran, refused.why.strip()) == (State.FAILED, Reason.BUSY, False, detached.id)
    assert (await collected(bench.session(), detached.id)).stdout == b"out\n"
    assert (await started(bench.session(), other)).state is State.DONE


async def test_the_fence_never_grows_over_4_kib(bench: Bench) -> None:
    session, names = bench.session(), [f"{number:064d}" for number in range(30)]
    for name in names:
        assert await session.collect(name, START, sent_s_ago=1, deadline_s=DEADLINE_S)
    assert 2000 < (bench.folder / "lib/longarm/fence").stat().st_size <= 4096


async def test_the_deadline_is_kept_without_a_connection_and_ends_the_whole_tree(bench: Bench) -> None:
    mark = f"deadline-{time.monotonic_ns()}"
    script = f"export LONGARM_TEST={mark}; setsid sleep 600 & (trap '' TERM; sleep 600) & sleep 600"
    detached = bench.command(script, deadline_s=5)
    session = bench.session()
    assert (await started(session, detached, wait_s=1)).state is State.RUNNING
    assert marked(mark)
    await session.leave()
    standing = await settled(bench, detached.id)
    assert (standing.state, standing.reason, standing.ran, standing.exit_status) == (State.FAILED, Reason.LATE, True, None)
    assert bench.effects(detached.id) == ["begin"] and gone(mark)


async def test_what_it_left_behind_runs_on_and_is_told(bench: Bench) -> None:
    mark = f"service-{time.monotonic_ns()}"
    detached = bench.command(f"LONGARM_TEST={mark} setsid sleep 600 & echo up")
    standing = await started(bench.session(), detached)
    try:
        assert (standing.state, standing.exit_status, standing.stdout) == (State.DONE, 0, b"up\n")
        assert len(standing.left) == 1 and len(marked(mark)) == 1
        await bench.session().forget([detached.id], deadline_s=DEADLINE_S)
        assert bench.remains() == FENCE and len(marked(mark)) == 1
    finally:
        for pid in standing.left:
            os.kill(pid, signal.SIGKILL)


async def test_a_large_output_is_collected_in_pieces_and_compared(bench: Bench) -> None:
    detached = bench.command(
        "i=0; while [ $i -lt 3 ]; do head -c 900000 /dev/zero | tr '\\0' $i; i=$((i + 1)); done", max_bytes=4_000_000
    )
    following = Following(detached, time.time())
    standing = await following.start(bench.session(), deadline_s=DEADLINE_S)
    assert standing.whole and standing.stdout == b"0" * 900_000 + b"1" * 900_000 + b"2" * 900_000
    assert standing.digest == hashlib.sha256(standing.stdout).hexdigest()
    middle = await bench.session().collect(detached.id, Offset(stdout=1_800_000), deadline_s=DEADLINE_S)
    assert middle.stdout == b"2" * 900_000 and middle.whole


async def test_too_much_output_keeps_its_head_and_its_tail_and_does_not_stop_the_command(bench: Bench) -> None:
    script = "echo head; head -c 5000000 /dev/zero; echo tail; head -c 200000 /dev/zero >&2; echo tail >&2"
    detached = bench.command(script, max_bytes=300_000)
    standing = await started(bench.session(), detached)
    assert (standing.state, standing.exit_status, standing.whole) == (State.DONE, 0, True)
    assert len(standing.stdout) == 300_000 and standing.stdout.startswith(b"head\n") and standing.stdout.endswith(b"\0tail\n")
    assert standing.stdout_cut and standing.stderr_cut
    assert len(standing.stderr) == 65536 and standing.stderr.endswith(b"\0tail\n")
    assert sum(path.stat().st_size for path in (bench.folder / f"lib/longarm/c-{detached.id}").glob("out*")) < 3_000_000


async def test_what_is_said_so_far_can_be_had_while_it_runs(bench: Bench) -> None:
    detached = bench.command("echo early; echo 'early error' >&2; sleep 6; echo late")
    await started(bench.session(), detached, wait_s=1)
    early = await collected(bench.session(), detached.id, wait_s=0)
    assert (early.state, early.stdout, early.stderr, early.whole) == (State.RUNNING, b"early\n", b"early error\n", False)
    late = await bench.session().collect(detached.id, early.offset, wait_s=20, deadline_s=DEADLINE_S)
    assert (late.state, late.stdout, late.stderr, late.whole) == (State.DONE, b"late\n", b"", True)


async def test_what_the_host_does_not_know_is_withdrawn_and_never_runs(bench: Bench) -> None:
    detached = bench.command()
    standing = await collected(bench.session(), detached.id)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NOT_STARTED, False)
    late = await started(bench.session(), detached)
    assert (late.state, late.reason, bench.effects()) == (State.FAILED, Reason.NOT_STARTED, [])


@pytest.mark.parametrize("sent_s_ago", [None, 1e9])
async def test_what_may_have_been_lost_with_an_earlier_boot_is_unknown(bench: Bench, sent_s_ago: float | None) -> None:
    standing = await bench.session().collect("never-heard-of", START, sent_s_ago=sent_s_ago, deadline_s=DEADLINE_S)
    assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.NOT_KNOWN, None)
    assert bench.remains() == []


UP = "printf '%s.00 1.00\\n' {0} >/run/up; mount --bind /run/up /proc/uptime"
"""So many seconds."""


async def test_what_may_have_been_forgotten_is_unknown(bench: Bench) -> None:
    """A fence keeps 24 lines, and what nobody asks for goes after a week."""
    for number in range(25):
        await collected(bench.session(UP.format(900_000)), f"withdrawn-{number}")

    async def asked(ago_s: float) -> Standing:
        session = bench.session(UP.format(903_600))
        return await session.collect(f"was-sent-{ago_s:.0f}", START, sent_s_ago=ago_s, deadline_s=DEADLINE_S)

    for ago_s in (7200.0, 7 * 24 * 3600.0):
        standing = await asked(ago_s)
        assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.NOT_KNOWN, None), ago_s
    standing = await asked(1800.0)
    assert (standing.state, standing.reason) == (State.FAILED, Reason.NOT_STARTED)
    # the one that was withdrawn just now drove out another line: who asks within ten minutes has the ends of those that went
    assert (await asked(60.0)).reason is Reason.NOT_STARTED


async def test_output_beyond_what_is_kept_of_it_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a host that says at once, and again, that it runs: it is not asked again at once."""
    asked_at: list[int] = []
    slept: list[float] = []

    async def runs(name: str, offset: Offset, **_: object) -> Standing:
        asked_at.append(offset.stdout)
        more = bytes(20_000)
        return Standing(id=name, state=State.RUNNING, stdout=more, offset=Offset(stdout=offset.stdout + len(more)))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    session = bench.session()
    monkeypatch.setattr(session, "collect", runs)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    following = Following(bench.command(max_bytes=65536), time.time())
    standing = await following.follow(session, deadline_s=DEADLINE_S)
    assert (standing.state, standing.reason, standing.stdout) == (State.UNKNOWN, Reason.GARBLED, b"")
    assert asked_at == [0, 20_000, 40_000, 60_000] and all(0 < seconds <= 0.2 for seconds in slept) and len(slept) == 3


async def test_what_runs_without_its_record_is_not_told_as_never_started(bench: Bench) -> None:
    detached = bench.command("sleep 60")
    await started(bench.session(), detached, wait_s=1)
    shutil.rmtree(bench.folder / "lib/longarm")
    standing = await collected(bench.session(), detached.id)
    assert (standing.state, standing.reason, bool(standing.left)) == (State.UNKNOWN, Reason.GONE, True)


async def test_a_killed_supervisor_is_told_as_interrupted_once_nothing_runs_any_more(bench: Bench) -> None:
    detached, other = bench.command("echo out; sleep 600", deadline_s=8), bench.command()
    await started(bench.session(), detached, wait_s=1)
    folder = bench.folder / f"lib/longarm/c-{detached.id}"
    os.kill(int((folder / "sup").read_text().split()[0]), signal.SIGKILL)
    alone = await collected(bench.session(), detached.id, wait_s=0)
    assert (alone.state, alone.stdout) == (State.RUNNING, b"out\n")
    assert (await started(bench.session(), other)).reason is Reason.BUSY
    late = await settled(bench, detached.id)
    assert (late.state, late.reason, late.stdout) == (State.FAILED, Reason.LATE, b"out\n")  # the guard lives on
    assert (await started(bench.session(), other)).state is State.DONE


async def test_killed_together_with_its_command_it_is_interrupted(bench: Bench) -> None:
    detached = bench.command("echo out; sleep 600")
    await started(bench.session(), detached, wait_s=1)
    folder = bench.folder / f"lib/longarm/c-{detached.id}"
    session = os.getsid(int((folder / "cmd").read_text().split()[0]))
    os.killpg(session, signal.SIGKILL)
    standing = await settled(bench, detached.id)
    assert (standing.state, standing.reason, standing.stdout) == (State.INTERRUPTED, Reason.KILLED, b"out\n")
    assert (standing.ran, bench.effects(detached.id)) == (True, ["begin"])


async def test_a_killed_command_is_done_by_a_signal(bench: Bench) -> None:
    detached = bench.command("sleep 600")
    await started(bench.session(), detached, wait_s=1)
    pid = int((bench.folder / f"lib/longarm/c-{detached.id}/cmd").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    standing = await settled(bench, detached.id)
    assert (standing.state, standing.exit_status, standing.succeeded) == (State.DONE, 128 + signal.SIGKILL, False)
    for left in standing.left:  # what the shell had started outlived it
        os.kill(left, signal.SIGKILL)
    assert standing.left


async def test_a_supervisor_that_was_frozen_goes_on(bench: Bench) -> None:
    detached = bench.command("sleep 0.5; echo out")
    task = asyncio.create_task(started(bench.session(), detached))
    claimed = bench.folder / f"lib/longarm/c-{detached.id}/cmd"
    await asyncio.to_thread(written, claimed)
    group = os.getpgid(int(claimed.read_text().split()[0]))
    os.killpg(group, signal.SIGSTOP)
    frozen = await collected(bench.session(), detached.id, wait_s=1)
    assert frozen.state is State.RUNNING
    assert (await started(bench.session(), bench.command())).reason is Reason.BUSY
    os.killpg(group, signal.SIGCONT)
    standing = await task
    assert (standing.state, standing.stdout) == (State.DONE, b"out\n")


async def test_a_reboot_in_the_midst_is_told_and_nothing_is_run_again(bench: Bench) -> None:
    detached = bench.command("echo out; sleep 600")
    await started(bench.session(), detached, wait_s=1)
    pid = int((bench.folder / f"lib/longarm/c-{detached.id}/cmd").read_text().split()[0])
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    (bench.folder / "boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
    bench.before = f"mount --bind {bench.folder}/boot_id /proc/sys/kernel/random/boot_id"
    standing = await settled(bench, detached.id)
    assert (standing.state, standing.reason, standing.stdout) == (State.INTERRUPTED, Reason.REBOOTED, b"out\n")
    assert standing.boot_id == "11111111-2222-3333-4444-555555555555"
    assert (await started(bench.session(), detached)).reason is Reason.REBOOTED
    assert (await started(bench.session(), bench.command())).state is State.DONE
    assert bench.effects(detached.id) == ["begin"]


async def test_values_secrets_and_stdin_arrive_and_leave_nothing(bench: Bench) -> None:
    secret = "S3cret'$(id) `id` \\ é"
    script = 'printf "%s|" "$text" "$secret"; cat; [ -z "$LONGARM_TEST$id$job$token" ] || echo leak'
    variables: dict[str, Value] = {"text": 'it\'s\n"$HOME"', "secret": Secret(secret)}
    command = Command(script=script, variables=variables, stdin=bytes(range(256)))
    detached = DetachedCommand(id="values-and-secrets", token=1, command=command)
    standing = await started(bench.session(), detached)
    assert standing.stdout == b'it\'s\n"$HOME"|' + secret.encode() + b"|" + bytes(range(256))
    held = [path.read_bytes() for path in bench.folder.rglob("*") if path.is_file() and path.name != "out"]
    assert not any(b"S3cret" in data for data in held)


async def test_a_secret_is_on_no_command_line_and_in_no_file_while_it_runs(bench: Bench) -> None:
    canary = f"canary{time.monotonic_ns()}"
    detached = DetachedCommand(
        id="canary-in-no-file", token=1, command=Command(script='sleep 1; [ "$secret" ]', variables={"secret": Secret(canary)})
    )
    task = asyncio.create_task(started(bench.session(), detached))
    seen: list[str] = []
    while not task.done():
        seen += marked(canary)
        seen += [str(path) for path in bench.folder.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
        await asyncio.sleep(0.005)
    assert (await task).exit_status == 0
    assert seen == []


async def test_records_that_nobody_asked_for_in_a_week_are_swept(bench: Bench) -> None:
    old, young = bench.command(), bench.command()
    for detached in (old, young):
        await started(bench.session(), detached)
    folder = bench.folder / f"lib/longarm/c-{old.id}"
    os.utime(folder, (time.time() - 9 * 86400,) * 2)
    assert (await started(bench.session(), bench.command())).state is State.DONE
    assert not folder.exists() and (bench.folder / f"lib/longarm/c-{young.id}").exists()
    assert (await collected(bench.session(), old.id)).state is State.DONE


async def test_a_script_that_ends_its_shell_says_so_by_its_status(bench: Bench) -> None:
    for number, (script, status) in enumerate((("exec sh -c 'exit 4'", 4), ("kill -TERM $$", None), ("set -e; false", 1))):
        detached = DetachedCommand(id=f"ends-its-shell-{number}", token=1, command=Command(script=script))
        await started(bench.session(), detached)
        standing = await settled(bench, detached.id)
        if status is not None:
            assert (standing.state, standing.exit_status) == (State.DONE, status)
        else:  # $$ is the supervisor, as it is the main shell of a bundle
            assert standing.state is State.INTERRUPTED
