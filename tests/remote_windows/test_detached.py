"""Detached commands on practice Windows hosts: run once, fenced, collected in pieces, forgotten to the last file but one."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import Transport
from inventory.secret import Secret
from remote.command import Command
from remote.detached import START, DetachedCommand, Offset, Reason, State
from remote.detached.following import Following
from remote.lab.windows.login import Rights
from remote.lab.windows.machine import PROGRAM_DATA, SYSTEM_TEMP, TOPS, USER_SID, USER_TEMP, Process
from remote.lab.windows.works import Ran, assigned
from remote.question import Privilege
from remote.windows import detached as asking
from tests.remote_lab.windows_hosts import USER
from tests.remote_windows.conftest import MakeConnector
from tests.remote_windows.detached import DEADLINE_S, FENCE, LINES, PLACE, Bench, bench_by, bench_by_ssh

pytestmark = pytest.mark.usefixtures("ntlm_accounts")


@pytest.fixture(params=[Transport.WINRM, Transport.PSRP, Transport.SSH])
async def bench(request: pytest.FixtureRequest, connector: MakeConnector, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param is Transport.SSH:
        yield bench_by_ssh(tmp_path)
        return
    async with bench_by(request.param, connector) as bench:
        yield bench


@pytest.fixture
async def winrm(connector: MakeConnector) -> AsyncIterator[Bench]:
    async with bench_by(Transport.WINRM, connector) as bench:
        yield bench


async def test_a_command_that_ends_in_time_is_told_whole_by_its_start(bench: Bench) -> None:
    detached = bench.command(Ran(stdout="Спулер 🎵\n", stderr="err\n", exit_status=-1073741510))
    standing = await bench.started(detached)
    assert (standing.state, standing.exit_status, standing.reason, standing.ran) == (State.DONE, -1073741510, None, True)
    assert (standing.stdout.decode(), standing.stderr, standing.whole) == ("Спулер 🎵\n", b"err\n", True)
    assert (standing.place, standing.boot_id, standing.as_root) == (PLACE, bench.machine.boot, True)
    assert bench.effects(detached.id) == ["begin", "end"]


async def test_an_id_is_run_once_and_the_second_start_says_what_became_of_it(bench: Bench) -> None:
    detached = bench.command(Ran(stdout="out\n"))
    first = await bench.started(detached)
    assert await bench.started(detached) == first
    assert await bench.collected(detached.id) == first
    assert bench.effects(detached.id) == ["begin", "end"]


async def test_two_that_start_the_same_id_at_once_run_it_once(bench: Bench) -> None:
    detached = bench.command(Ran(stdout="out\n", seconds=0.3))
    standings = await asyncio.gather(*(bench.started(detached) for _ in range(4)))
    assert bench.effects(detached.id) == ["begin", "end"]
    last = await bench.settled(detached.id)
    assert (last.state, last.stdout) == (State.DONE, b"out\n")
    assert {standing.state for standing in standings} <= {State.DONE, State.RUNNING}


async def test_runners_with_different_tokens_never_overlap(winrm: Bench) -> None:
    commands = [winrm.command(Ran(seconds=0.2), token=token) for token in (3, 1, 4, 2)]
    standings = await asyncio.gather(*(winrm.started(one) for one in commands))
    lines = winrm.machine.effects
    assert all(lines[at].split()[1] == lines[at + 1].split()[1] for at in range(0, len(lines), 2)), lines
    ran = {line.split()[1] for line in lines}
    assert ran == {standing.id for standing in standings if standing.state is State.DONE} and ran
    for standing in standings:
        assert standing.state in (State.DONE, State.FENCED) or standing.reason is Reason.BUSY


async def test_an_old_token_is_fenced_also_after_all_is_forgotten(bench: Bench) -> None:
    newer, older = bench.command(token=7), bench.command(token=6)
    await bench.started(newer)
    await bench.forgotten(newer.id)
    standing = await bench.started(older)
    assert (standing.state, standing.ran, standing.why) == (State.FENCED, False, "7")
    assert bench.effects(older.id) == []
    assert (await bench.started(replace(older, token=7))).state is State.DONE


async def test_what_is_forgotten_leaves_the_fence_alone_which_still_knows_how_it_ended(bench: Bench) -> None:
    detached = bench.command(Ran(exit_status=3))
    assert (await bench.started(detached)).state is State.DONE
    assert await bench.forgotten(detached.id) == {detached.id}
    assert bench.machine.remains() == sorted(FENCE)
    standing = await bench.collected(detached.id)
    assert (standing.state, standing.exit_status, standing.whole) == (State.DONE, 3, True)
    assert (await bench.started(detached)).exit_status == 3
    assert bench.effects(detached.id) == ["begin", "end"]


async def test_the_next_start_takes_along_what_is_forgotten(winrm: Bench) -> None:
    first = winrm.command()
    await winrm.started(first)
    second = replace(winrm.command(), forget=(first.id,))
    assert (await winrm.started(second)).state is State.DONE
    assert f"{PLACE}\\c-{first.id}" not in winrm.machine.remains() and f"{PLACE}\\c-{second.id}" in winrm.machine.remains()


async def test_one_that_runs_is_not_forgotten_and_keeps_others_out(bench: Bench) -> None:
    detached, other = bench.command(Ran(stdout="out\n", hangs=True), deadline_s=600), bench.command()
    assert (await bench.started(detached, wait_s=1)).state is State.RUNNING
    assert await bench.forgotten(detached.id) == frozenset()
    refused = await bench.started(other)
    assert (refused.state, refused.reason, refused.ran, refused.why) == (State.FAILED, Reason.BUSY, False, detached.id)
    bench.machine.kill(bench.machine.living("command")[0])
    assert (await bench.collected(detached.id)).stdout == b"out\n"
    assert (await bench.started(other)).state is State.DONE


async def test_the_fence_never_grows_over_4_kib(winrm: Bench) -> None:
    async with winrm.open() as session:
        for number in range(30):
            assert await session.collect(f"{number:064d}", START, sent_s_ago=1, deadline_s=DEADLINE_S)
    assert 2000 < len(winrm.machine.files[f"{PLACE}\\fence"]) <= 4096


async def test_the_deadline_is_kept_without_a_connection(winrm: Bench) -> None:
    detached = winrm.command(Ran(stdout="out\n", hangs=True), deadline_s=2)
    assert (await winrm.started(detached, wait_s=1)).state is State.RUNNING
    assert winrm.host is not None and not winrm.host.service.shells.open
    standing = await winrm.settled(detached.id)
    assert (standing.state, standing.reason, standing.ran, standing.exit_status) == (State.FAILED, Reason.LATE, True, None)
    assert (standing.stdout, winrm.effects(detached.id), winrm.machine.living("command")) == (b"out\n", ["begin"], [])


async def test_a_large_output_is_collected_in_pieces_and_compared(winrm: Bench) -> None:
    text = "".join(f"{number}\n" * 100_000 for number in range(12))
    detached = winrm.command(Ran(stdout=text), max_bytes=4_000_000)
    following = Following(detached, time.time())
    async with winrm.open() as session:
        standing = await following.start(session, deadline_s=DEADLINE_S)
        assert standing.whole and standing.stdout == text.encode()
        assert standing.digest == hashlib.sha256(standing.stdout).hexdigest()
        end = await session.collect(detached.id, Offset(stdout=len(text) - 3), deadline_s=DEADLINE_S)
    assert end.stdout == b"11\n" and end.whole


async def test_too_much_output_keeps_its_head_and_its_tail_and_does_not_stop_the_command(bench: Bench) -> None:
    detached = bench.command(Ran(stdout=LINES * 1000, stderr="e" * 100_000, exit_status=4), max_bytes=100_000)
    standing = await bench.started(detached)
    said = (LINES * 1000).encode()
    assert (standing.state, standing.exit_status, standing.whole) == (State.DONE, 4, True)
    assert standing.stdout == said[:50_000] + said[-50_000:] and standing.stdout_cut == len(said) - 100_000
    assert len(standing.stderr) == 65536 and standing.stderr_cut == 100_000 - 65536


async def test_a_killed_supervisor_leaves_its_command_running_and_nobody_else_begins(winrm: Bench) -> None:
    detached, other = winrm.command(Ran(stdout="out\n", hangs=True), deadline_s=600), winrm.command()
    await winrm.started(detached, wait_s=1)
    winrm.machine.kill(winrm.machine.living("supervise")[0])
    assert (await winrm.collected(detached.id, wait_s=0)).state is State.RUNNING
    assert (await winrm.started(other)).reason is Reason.BUSY
    winrm.machine.kill(winrm.machine.living("command")[0])
    standing = await winrm.settled(detached.id)
    assert (standing.state, standing.reason, standing.stdout) == (State.INTERRUPTED, Reason.KILLED, b"out\n")
    assert (await winrm.started(other)).state is State.DONE


async def test_a_killed_command_is_done_with_the_status_of_that(winrm: Bench) -> None:
    detached = winrm.command(Ran(stdout="out\n", hangs=True), deadline_s=600)
    await winrm.started(detached, wait_s=1)
    winrm.machine.kill(winrm.machine.living("command")[0])
    standing = await winrm.settled(detached.id)
    assert (standing.state, standing.exit_status, standing.stdout, standing.succeeded) == (State.DONE, 1, b"out\n", False)


async def test_a_reboot_in_the_midst_is_told_and_nothing_is_run_again(bench: Bench) -> None:
    detached = bench.command(Ran(stdout="out\n", hangs=True), deadline_s=600)
    await bench.started(detached, wait_s=1)
    bench.machine.reboot()
    standing = await bench.settled(detached.id)
    assert (standing.state, standing.reason, standing.stdout) == (State.INTERRUPTED, Reason.REBOOTED, b"out\n")
    assert standing.boot_id == bench.machine.boot
    assert (await bench.started(detached)).reason is Reason.REBOOTED
    assert (await bench.started(bench.command())).state is State.DONE
    assert bench.effects(detached.id) == ["begin"]


async def test_what_the_host_does_not_know_never_comes_or_is_unknown_after_a_reboot(winrm: Bench) -> None:
    detached = winrm.command()
    standing = await winrm.collected(detached.id)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NOT_STARTED, False)
    assert (await winrm.started(detached)).reason is Reason.NOT_STARTED, "its start was on its way"
    winrm.machine.reboot()
    standing = await winrm.collected("sent-before-that", sent_s_ago=3600)
    assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.NOT_KNOWN, None)
    assert winrm.machine.effects == []


async def test_what_the_host_may_have_forgotten_is_unknown(winrm: Bench) -> None:
    winrm.machine._booted_at -= 9 * 24 * 3600.0
    for number in range(25):
        await winrm.collected(f"withdrawn-{number}")
    later_by = 3600.0
    winrm.machine.clock = lambda: time.time() + later_by
    earlier, later, weeks = [await winrm.collected(f"sent-{ago}", sent_s_ago=ago) for ago in (7200, 1800, 7 * 24 * 3600)]
    assert [(one.state, one.reason) for one in (earlier, weeks)] == [(State.UNKNOWN, Reason.NOT_KNOWN)] * 2
    assert (later.state, later.reason) == (State.FAILED, Reason.NOT_STARTED)


async def test_a_launch_that_never_comes_is_certain_after_its_time(winrm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 1)
    winrm.machine.launches_after_s = 3.0
    detached = winrm.command()
    assert (await winrm.started(detached, wait_s=0)).state is State.RUNNING
    standing = await winrm.settled(detached.id)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NOT_BEGUN, False)
    while winrm.machine.living("supervise"):  # noqa: ASYNC110 (the host's process)
        await asyncio.sleep(0.05)
    assert winrm.machine.effects == [], "it comes too late, and sees that"


async def test_a_voided_record_stays_whole_while_a_late_supervisor_has_it_open(
    winrm: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 1)
    winrm.machine.mishap = lambda process, _step: process == "supervise"
    detached = winrm.command()
    await winrm.started(detached, wait_s=0)
    assert (await winrm.settled(detached.id)).reason is Reason.NOT_BEGUN
    late, folder = winrm.machine.begins(Process("supervise")), f"{PLACE}\\c-{detached.id}"
    assert winrm.machine.hold(f"{folder}\\live", late)
    files = {path: data for path, data in winrm.machine.files.items() if path.startswith(folder)}
    assert await winrm.forgotten(detached.id) == frozenset() and files[f"{folder}\\begun"] == b"void"
    assert winrm.machine.files.items() >= files.items()
    winrm.machine.kill(late)
    assert await winrm.forgotten(detached.id) == {detached.id}
    assert winrm.machine.remains() == sorted(FENCE)


async def test_the_next_start_removes_what_was_left_of_a_record(winrm: Bench) -> None:
    first, second = winrm.command(), winrm.command()
    await winrm.started(first)
    winrm.machine.mishap = lambda _process, step: step == "a folder is out of the way"
    await winrm.forgotten(first.id)
    winrm.machine.mishap = lambda _process, _step: False
    assert f"{PLACE}\\x-{first.id}" in winrm.machine.remains()
    assert (await winrm.started(second)).state is State.DONE
    assert [path for path in winrm.machine.remains() if first.id in path] == []


@pytest.mark.parametrize("ends", [False, True])
async def test_one_that_begins_while_it_is_looked_at_is_not_told_as_killed(winrm: Bench, ends: bool) -> None:
    machine, detached, late = winrm.machine, winrm.command(), Process("supervise")
    machine.mishap = lambda process, _step: process == "supervise"
    await winrm.started(detached, wait_s=0)
    folder = f"{PLACE}\\c-{detached.id}"

    def comes(process: str, step: str) -> bool:
        if (process, step) == ("collect", "waits: who runs was looked at") and f"{folder}\\begun" not in machine.files:
            machine.hold(f"{folder}\\live", machine.begins(late))
            machine.write(f"{folder}\\begun", b"")
        elif step == "waits: who runs was looked at" and ends:
            machine.write(f"{folder}\\rc", b"done 3 5 0 0 .".ljust(511) + b"\n")
        return False

    machine.mishap = comes
    standing = await winrm.collected(detached.id, wait_s=0)
    assert (standing.state, standing.exit_status) == ((State.DONE, 3) if ends else (State.RUNNING, None))


@pytest.mark.parametrize("at", ["the command has ended", "rc.new is written"])
async def test_an_end_that_a_scanner_looks_at_is_told(winrm: Bench, at: str) -> None:
    detached, scanner = winrm.command(Ran(exit_status=3)), Process("scanner")
    path = f"{PLACE}\\c-{detached.id}\\rc.new"

    def looks(process: str, step: str) -> bool:
        if process == "supervise" and step == at and scanner not in winrm.machine.living("scanner"):
            assert winrm.machine.hold(path, winrm.machine.begins(scanner))
            asyncio.get_running_loop().call_later(0.2, winrm.machine.let_go, path)
        return False

    winrm.machine.mishap = looks
    standing = await winrm.started(detached)
    assert (standing.state, standing.exit_status) == (State.DONE, 3)


# --- what it is given ----------------------------------------------------------------------------------------------------


async def test_values_secrets_and_stdin_arrive_and_stand_nowhere(bench: Bench) -> None:
    canary = "Canary'’ 🎵"
    seen: list[str] = []

    def played(script: str) -> Ran:
        seen.append(script)
        return Ran()

    detached = bench.command(played)
    command = Command(
        script=detached.command.script, variables={"text": "it's ‘a’", "secret": Secret(canary)}, stdin=b"\0canary\xff"
    )
    standing = await bench.started(replace(detached, command=command))
    assert standing.succeeded
    assert assigned(seen[0])["text"] == "'it''s ‘‘a’’'" and "Canary''’’ 🎵" in seen[0] and "AGNhbmFyef8=" in seen[0]
    texts = [*(data.decode("utf-8", "replace") for _, data in bench.machine.written), *bench.machine.lines]
    assert len(bench.machine.lines) == 1 and len(texts) > 5
    for word in ("Canary", "Q2FuYXJ5", "canary", "AGNhbmFyef8="):
        assert not any(word in text for text in texts), word


async def test_secrets_that_nobody_fetches_in_time_run_nothing(winrm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that brought them ends before the supervisor has them: they were in no file, so they are gone."""
    monkeypatch.setattr(asking, "GRACE_S", 1)
    winrm.machine.launches_after_s = 0.5
    detached = winrm.command()
    command = replace(detached.command, variables={"secret": Secret("x")})
    winrm.machine.mishap = lambda process, step: (process, step) == ("start", "it is launched")
    assert not (await winrm.started(replace(detached, command=command))).final
    winrm.machine.mishap = lambda _process, _step: False
    standing = await winrm.settled(detached.id)
    assert (standing.reason, standing.ran, winrm.machine.effects) == (Reason.NOT_BEGUN, False, [])


def test_no_script_holds_a_secret_also_in_the_job() -> None:
    command = Command(script="$word", variables={"word": Secret("canary-Ж"), "name": "x"}, stdin=b"canary")
    job = asking.supervisor(DetachedCommand(id="canary-id", token=1, command=command))
    assert "canary-Ж" not in job and "$LaId = 'canary-id'" in job


async def test_nul_is_refused_before_anything_is_sent(winrm: Bench) -> None:
    detached = winrm.command()
    standing = await winrm.started(replace(detached, command=replace(detached.command, script="'a\0b'")))
    assert (standing.state, standing.ran, standing.whole) == (State.FAILED, False, True)
    assert winrm.host is not None and winrm.host.service.shells.started == []


# --- where it lives, and what starts it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sick", ["full", "read-only"])
async def test_the_next_place_is_taken_where_one_is_full_or_read_only(winrm: Bench, sick: str) -> None:
    for spoilt, place in ((PROGRAM_DATA, f"{SYSTEM_TEMP}\\longarm"), (SYSTEM_TEMP, f"{USER_TEMP}\\longarm")):
        if sick == "full":
            winrm.machine.room[spoilt] = 100
        else:
            winrm.machine.read_only.add(spoilt)
        standing = await winrm.started(winrm.command(Ran(stdout="out\n")))
        assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"out\n", place)


@pytest.mark.parametrize("sick", ["full", "read-only"])
async def test_where_there_is_no_place_nothing_runs_and_the_host_is_unchanged(winrm: Bench, sick: str) -> None:
    winrm.machine.room = dict.fromkeys(TOPS, 100) if sick == "full" else {}
    winrm.machine.read_only = set() if sick == "full" else set(TOPS)
    detached = winrm.command()
    standing = await winrm.started(detached)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NO_PLACE, False)
    assert all(place in standing.why for place in TOPS)
    assert winrm.machine.effects == [] and winrm.machine.remains() == []
    winrm.machine.room, winrm.machine.read_only = {}, set()
    assert (await winrm.started(detached)).state is State.DONE, "the id was not used"


async def test_a_disk_that_fills_up_meanwhile_costs_output_and_not_the_status(winrm: Bench) -> None:
    winrm.machine.room[PROGRAM_DATA] = 40_000
    standing = await winrm.started(winrm.command(Ran(stdout=LINES * 1000, exit_status=6)))
    assert (standing.state, standing.exit_status, standing.stdout_cut) == (State.DONE, 6, -1)
    assert 10_000 < len(standing.stdout) < 40_000 and (LINES * 1000).encode().startswith(standing.stdout)


async def test_the_highest_token_counts_wherever_it_is(winrm: Bench) -> None:
    winrm.machine.room[PROGRAM_DATA] = 10
    await winrm.started(winrm.command(token=9))
    del winrm.machine.room[PROGRAM_DATA]
    old = await winrm.started(winrm.command(token=8))
    assert (old.state, old.why) == (State.FENCED, "9")
    assert (await winrm.started(winrm.command(token=9))).place == PLACE


async def test_an_end_that_another_place_knows_counts_more_than_a_claim(winrm: Bench) -> None:
    winrm.machine.room[PROGRAM_DATA] = 10
    detached = winrm.command(Ran(exit_status=3))
    await winrm.started(detached)
    del winrm.machine.room[PROGRAM_DATA]
    await winrm.forgotten(detached.id)
    assert (await winrm.collected(detached.id)).exit_status == 3


async def test_a_fence_in_a_second_place_makes_the_first_one_forget_nothing(winrm: Bench) -> None:
    early = [f"withdrawn-{number}" for number in range(24)]
    for name in early:
        await winrm.collected(name)
    winrm.machine.room[PROGRAM_DATA] = 10
    aside, second = winrm.command(), f"{SYSTEM_TEMP}\\longarm"
    assert (await winrm.started(aside)).place == second
    del winrm.machine.room[PROGRAM_DATA]
    stalled, resent = winrm.command(), winrm.command()
    assert (await winrm.collected(stalled.id)).reason is Reason.NOT_STARTED
    assert (await winrm.started(resent)).place == PLACE
    late = await winrm.started(stalled)
    assert (late.state, late.reason, winrm.effects(stalled.id)) == (State.FAILED, Reason.NOT_STARTED, [])
    fences = [winrm.machine.files[f"{place}\\fence"].decode().splitlines()[1:-1] for place in (PLACE, second)]
    known = [[*early[2:], stalled.id, resent.id, "dropped"], [aside.id]]
    assert [[line.split()[0] for line in lines] for lines in fences] == known


@pytest.mark.parametrize("content", [b"", b"longarm-fence/1 \nend\n", b"longarm-fence/1 9\n", b"longarm-fence/2 9\nend\n"])
async def test_a_fence_that_cannot_be_read_refuses_all(winrm: Bench, content: bytes) -> None:
    detached = winrm.command(token=9)
    await winrm.started(detached)
    winrm.machine.files[f"{PLACE}\\fence"] = content
    standing = await winrm.started(winrm.command(token=10))
    assert (standing.state, standing.reason, f"{PLACE}\\fence" in standing.why) == (State.FAILED, Reason.NO_PLACE, True)
    standing = await winrm.collected(detached.id)
    assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.UNREADABLE, None)


async def test_a_place_of_ours_that_others_may_write_to_refuses_all_and_one_of_theirs_is_not_used(winrm: Bench) -> None:
    winrm.machine.theirs.add(PLACE)
    assert (await winrm.started(winrm.command(token=9))).place == f"{SYSTEM_TEMP}\\longarm"
    winrm.machine.open_to_others.add(f"{SYSTEM_TEMP}\\longarm")
    standing = await winrm.started(winrm.command(token=10))
    assert (standing.state, standing.reason, SYSTEM_TEMP in standing.why) == (State.FAILED, Reason.NO_PLACE, True)


@pytest.mark.parametrize(("own", "system", "by"), [(True, True, "task "), (False, True, "task of SYSTEM ")])
async def test_where_wmi_is_refused_a_task_starts_it_and_does_not_stay(winrm: Bench, own: bool, system: bool, by: str) -> None:
    winrm.machine.wmi, winrm.machine.tasks, winrm.machine.system_tasks = False, own, system
    detached = winrm.command(privilege=Privilege.ROOT)
    assert (await winrm.started(detached)).state is State.DONE
    assert winrm.machine.lines[0].startswith(f"{by}powershell.exe") and winrm.machine.registered == set()


async def test_where_nothing_starts_it_nothing_runs_and_that_is_said(winrm: Bench) -> None:
    winrm.machine.wmi = winrm.machine.tasks = False
    detached = winrm.command()
    standing = await winrm.started(detached)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NO_TOOL, False)
    assert "Win32_Process.Create: 5" in standing.why and "0x80070005" in standing.why
    assert (await winrm.collected(detached.id)).reason is Reason.NO_TOOL
    assert (winrm.machine.remains(), winrm.machine.effects) == (sorted(FENCE), [])


async def test_a_task_whose_supervisor_never_came_goes_with_the_record(winrm: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 1)
    winrm.machine.wmi = False
    winrm.machine.mishap = lambda process, _step: process == "supervise"
    detached = winrm.command()
    await winrm.started(detached, wait_s=0)
    assert (await winrm.settled(detached.id)).reason is Reason.NOT_BEGUN
    assert winrm.machine.registered
    await winrm.forgotten(detached.id)
    assert (winrm.machine.registered, winrm.machine.remains()) == (set(), sorted(FENCE))


async def test_a_user_has_places_of_its_own_and_is_denied_what_needs_an_administrator(connector: MakeConnector) -> None:
    async with bench_by(Transport.PSRP, connector, rights={USER: Rights.REMOTE}, admin=False) as bench:
        standing = await bench.started(bench.command(Ran(stdout="out\n")))
        assert (standing.state, standing.place, standing.as_root) == (State.DONE, f"{PLACE}-{USER_SID}", False)
        denied = await bench.started(bench.command(privilege=Privilege.ROOT))
        assert (denied.state, denied.reason, denied.ran) == (State.FAILED, Reason.DENIED, False)
