"""Where the record of a detached command may live: full, read-only and noexec places, and what others put in their way."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from remote.detached import START, Reason, State
from tests.remote.detached import DEADLINE_S, NEEDS, SHELLS, USER, Bench, collected, started, user_bench

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
FULL = "mount -t tmpfs -o size=64k full {0}; head -c 100000 /dev/zero >{0}/filler 2>/dev/null"
FILLED_UP = "mount -t tmpfs -o size=99k full /mnt; cp -a {0}/. /mnt; mount --move /mnt {0}; cat </dev/zero >{0}/x 2>/dev/null"
READ_ONLY = "mount -t tmpfs -o ro none {0}"
LIB, ROOT, RUN = "/var/lib", "/root", "/run"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.leave()


@pytest.mark.parametrize("sick", [FULL, READ_ONLY], ids=["full", "read-only"])
async def test_the_next_place_is_taken_where_one_is_full_or_read_only(bench: Bench, sick: str) -> None:
    standing = await started(bench.session(sick.format(LIB)), bench.command("echo out"))
    assert (standing.state, standing.stdout, standing.place.startswith("/root/.longarm-")) == (State.DONE, b"out\n", True)
    standing = await started(bench.session(sick.format(LIB), sick.format(ROOT)), bench.command("echo out"))
    assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"out\n", "/run/longarm")


@pytest.mark.parametrize("late", ["cat </dev/zero >/var/lib/x", "mount -o remount,ro /var/lib"], ids=["full", "read-only"])
async def test_without_flock_too_a_place_that_takes_no_more_is_passed_over(tmp_path: Path, late: str) -> None:
    bench = Bench(tmp_path, without="flock")
    sick = f"mount -t tmpfs -o size=64k none /var/lib; mkdir -m 700 /var/lib/longarm; {late} 2>/dev/null"
    standing = await started(bench.session(sick), bench.command("echo out"))
    assert (standing.state, standing.stdout, standing.place.startswith("/root/.longarm-")) == (State.DONE, b"out\n", True)
    await bench.leave()


@pytest.mark.parametrize("shell", SHELLS)
async def test_without_flock_too_a_later_place_of_an_earlier_day_does_not_matter(tmp_path: Path, shell: str) -> None:
    bench = Bench(tmp_path, without="flock", shell=SHELLS[shell])
    await started(bench.session(FULL.format(LIB)), bench.command("echo out"))
    standing = await started(bench.session(), bench.command("echo again", token=2))
    assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"again\n", "/var/lib/longarm")
    await bench.leave()


@pytest.mark.parametrize("boot", ["", "-"], ids=["as ever", "no boot id"])
async def test_without_flock_too_a_lock_that_an_earlier_release_left_is_broken(tmp_path: Path, boot: str) -> None:
    hidden = "mount --bind /dev/null /proc/sys/kernel/random/boot_id; " if boot else ""
    left = "mkdir -pm 700 /var/lib/longarm; echo '0 1 1' >/var/lib/longarm/lock"
    bench = Bench(tmp_path, without="flock", before=hidden + left)
    standing = await started(bench.session(), bench.command("echo out"))
    assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"out\n", "/var/lib/longarm")
    await bench.leave()


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_place_that_another_start_makes_first_is_a_place(tmp_path: Path, shell: str) -> None:
    racing = tmp_path / "racing"
    racing.mkdir()
    (racing / "mkdir").write_text('#!/bin/sh\ncase $* in */longarm) /usr/bin/mkdir "$@" ;; esac\nexec /usr/bin/mkdir "$@"\n')
    (racing / "mkdir").chmod(0o755)
    bench = Bench(tmp_path, shell=SHELLS[shell], before=f"PATH={racing}:$PATH")
    standing = await started(bench.session(), bench.command("echo out"))
    assert (standing.state, standing.why, standing.stdout, standing.place) == (State.DONE, "", b"out\n", "/var/lib/longarm")
    assert not any(path.startswith(("root/", "run/")) for path in bench.remains())
    await bench.leave()


@pytest.mark.parametrize("shell", SHELLS)
async def test_where_nothing_can_be_held_nothing_is_certain_and_nothing_waits(tmp_path: Path, shell: str) -> None:
    failing = tmp_path / "failing"
    failing.mkdir()
    (failing / "flock").write_text("#!/bin/sh\nexit 71\n")
    (failing / "flock").chmod(0o755)
    bench = Bench(tmp_path, shell=SHELLS[shell], before=f"PATH={failing}:$PATH; mkdir -pm 700 /var/lib/longarm")
    detached = bench.command("echo out")
    standing = await started(bench.session(), detached)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NO_PLACE, False)
    standing = await bench.session().collect(detached.id, START, sent_s_ago=5, wait_s=0, deadline_s=15.0)
    assert (standing.state, standing.reason) == (State.UNKNOWN, Reason.UNREADABLE)
    assert not bench.effects()
    await bench.leave()


async def test_without_flock_too_one_at_a_time_holds_the_places(tmp_path: Path) -> None:
    bench = Bench(tmp_path, without="flock")
    commands = [bench.command("sleep 0.2", token=token) for token in (2, 1, 3)]
    await asyncio.gather(*(started(bench.session(), one) for one in commands))
    lines = [line.split() for line in bench.effects()]
    assert lines and all((lines[at][0], lines[at][1]) == ("begin", lines[at + 1][1]) for at in range(0, len(lines), 2)), lines
    assert not (bench.folder / "lib/longarm/lock").is_symlink()
    await bench.leave()


@pytest.mark.parametrize("sick", [FULL, READ_ONLY], ids=["full", "read-only"])
async def test_where_there_is_no_place_nothing_runs_and_the_host_is_unchanged(bench: Bench, sick: str) -> None:
    detached = bench.command()
    session = bench.session(*(sick.format(place) for place in (LIB, ROOT, RUN)))
    standing = await started(session, detached)
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.NO_PLACE, False)
    assert all(place in standing.why for place in (LIB, ROOT, RUN))
    assert bench.effects() == [] and bench.remains() == ["run/mount"]  # mount(8)'s
    assert (await started(bench.session(), detached)).state is State.DONE  # the id was not used


async def test_a_place_may_be_noexec(bench: Bench) -> None:
    session = bench.session("mount -o bind,remount,noexec,nosuid,nodev /var/lib")
    assert (await started(session, bench.command())).place == "/var/lib/longarm"


async def test_a_disk_that_fills_up_meanwhile_costs_output_and_not_the_status(bench: Bench) -> None:
    """The room for the status was taken before the command began."""
    tiny = "mount -t tmpfs -o size=300k tiny /var/lib"
    detached = bench.command("echo head; head -c 2000000 /dev/zero; exit 6")
    standing = await started(bench.session(tiny), detached)
    assert (standing.state, standing.exit_status, standing.stdout_cut) == (State.DONE, 6, -1)
    assert standing.stdout.startswith(b"head\n") and len(standing.stdout) < 400_000


async def test_the_highest_token_counts_wherever_it_is(bench: Bench) -> None:
    full = FULL.format(LIB)
    await started(bench.session(full), bench.command(token=9))
    assert not (bench.folder / "lib/longarm").exists()
    old = await started(bench.session(), bench.command(token=8))
    assert (old.state, old.why) == (State.FENCED, "9")
    assert (await started(bench.session(), bench.command(token=9))).place == "/var/lib/longarm"
    assert (await started(bench.session(full), bench.command(token=8))).state is State.FENCED


async def test_how_it_ended_counts_also_where_another_place_remembers_only_that_it_was_sent(bench: Bench) -> None:
    first = bench.command("exit 3")
    assert (await started(bench.session(FULL.format(LIB)), first)).place.startswith("/root/.longarm-")
    await started(bench.session(), replace(bench.command(), forget=(first.id,)))  # notes it where there is room again
    places = [
        (bench.folder / "lib/longarm/fence").read_text(),
        *(path.read_text() for path in bench.folder.glob("root/*/fence")),
    ]
    assert [[line.split()[3] for line in text.splitlines() if line.startswith(f"{first.id} ")] for text in places] == [
        ["done"],
        ["claimed"],
    ]
    standing = await collected(bench.session(), first.id)
    assert (standing.state, standing.exit_status) == (State.DONE, 3)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_fence_in_a_second_place_makes_the_first_one_forget_nothing(bench: Bench, shell: str) -> None:
    bench.shell = SHELLS[shell]
    early = [f"withdrawn-{number}" for number in range(24)]
    for name in early:
        await collected(bench.session(), name)
    aside = bench.command()
    assert (await started(bench.session(FILLED_UP.format(LIB)), aside)).place.startswith("/root/.longarm-")
    stalled, resent = bench.command(), bench.command()
    assert (await collected(bench.session(), stalled.id)).reason is Reason.NOT_STARTED
    assert (await started(bench.session(), resent)).place == "/var/lib/longarm"
    late = await started(bench.session(), stalled)
    assert (late.state, late.reason, bench.effects(stalled.id)) == (State.FAILED, Reason.NOT_STARTED, [])
    fences = [bench.folder / "lib/longarm/fence", *bench.folder.glob("root/*/fence")]
    known = [[line.split()[0] for line in fence.read_text().splitlines()[1:]] for fence in fences]
    assert known == [[*early[2:], stalled.id, resent.id, "dropped"], [aside.id]]


async def test_a_fence_that_cannot_be_read_refuses_all(bench: Bench) -> None:
    await started(bench.session(), bench.command(token=9))
    fence = bench.folder / "lib/longarm/fence"
    for content in ("", "longarm-fence/1 \n", "longarm-fence/1 9x\n", "longarm-fence/2 9\n"):
        fence.write_text(content)
        standing = await started(bench.session(), bench.command(token=10))
        assert (standing.state, standing.reason) == (State.FAILED, Reason.NO_PLACE), content
        assert "/var/lib/longarm/fence" in standing.why


async def test_a_place_of_ours_that_others_may_write_to_refuses_all(bench: Bench) -> None:
    await started(bench.session(), bench.command(token=9))
    (bench.folder / "lib/longarm").chmod(0o777)
    standing = await started(bench.session(), bench.command(token=10))
    assert (standing.state, standing.reason, "/var/lib/longarm" in standing.why) == (State.FAILED, Reason.NO_PLACE, True)


@pytest.mark.parametrize("sick", ["chmod 777 /var/lib/longarm", "echo >/var/lib/longarm/fence"])
async def test_what_cannot_be_read_is_unknown_and_not_taken_for_never_started(bench: Bench, sick: str) -> None:
    detached = bench.command("echo out")
    await started(bench.session(), detached)
    standing = await collected(bench.session(sick), detached.id)
    assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.UNREADABLE, None)


async def test_what_cannot_be_withdrawn_for_want_of_room_is_unknown(bench: Bench) -> None:
    standing = await collected(bench.session(*(FULL.format(place) for place in (LIB, ROOT, RUN))), "never-heard-of")
    assert (standing.state, standing.reason, standing.ran) == (State.UNKNOWN, Reason.UNREADABLE, None)


# --- somebody else on the host ---------------------------------------------------------------------------------------


@pytest.fixture(name="user_bench")
async def _user_bench() -> AsyncIterator[Bench]:
    """Return a host whose login is not root: at home, in /var/tmp, in /tmp."""
    with user_bench() as bench:
        yield bench
        await bench.leave()


async def test_a_login_user_has_places_of_its_own(user_bench: Bench) -> None:
    standing = await started(user_bench.session(), user_bench.command("id -u"))
    assert (standing.state, standing.stdout) == (State.DONE, f"{USER}\n".encode())
    assert standing.place.startswith(f"{user_bench.folder}/home/.longarm-")
    assert oct(os.lstat(standing.place).st_mode) == "0o40700"


async def test_a_host_that_gets_another_name_knows_its_commands(user_bench: Bench) -> None:
    detached = user_bench.command("echo out")
    await started(user_bench.session(), detached)
    (user_bench.folder / "name").write_text("afterwards\n")
    renamed = user_bench.session(f"mount --bind {user_bench.folder}/name /proc/sys/kernel/hostname")
    standing = await collected(renamed, detached.id)
    assert (standing.state, standing.stdout) == (State.DONE, b"out\n")


async def test_hosts_that_share_a_home_and_have_no_id_keep_apart_by_their_names(user_bench: Bench) -> None:
    places = []
    for name in ("one", "two"):
        (user_bench.folder / name).write_text(f"{name}\n")
        named = f"mount --bind {user_bench.folder}/{name} /proc/sys/kernel/hostname; mount --bind /dev/null /etc/machine-id"
        places.append((await started(user_bench.session(named), user_bench.command())).place)
    assert [Path(place).name for place in places] == [".longarm-one", ".longarm-two"]


async def test_what_an_earlier_release_left_under_the_hosts_name_is_known(user_bench: Bench) -> None:
    """Its folder counts, as does the highest token in it; nothing new comes there."""
    detached, older, newer = user_bench.command("echo out", token=5), user_bench.command(token=4), user_bench.command(token=6)
    await started(user_bench.session(), detached)
    (place,) = (user_bench.folder / "home").glob(".longarm-*")
    place.rename(place.with_name(f".longarm-{platform.node()}"))
    standing = await collected(user_bench.session(), detached.id)
    assert (standing.state, standing.stdout) == (State.DONE, b"out\n")
    assert (await started(user_bench.session(), older)).state is State.FENCED
    assert (await started(user_bench.session(), replace(newer, forget=(detached.id,)))).place == str(place)
    left = [path for path in (user_bench.folder / "home").glob(".longarm-*/c-*") if path.name != f"c-{newer.id}"]
    assert left == [] and (await collected(user_bench.session(), detached.id)).state is State.DONE


async def test_where_the_home_is_not_there_nothing_is_certain(user_bench: Bench) -> None:
    detached = user_bench.command("echo out")
    await started(user_bench.session(), detached)
    (user_bench.folder / "home").rename(user_bench.folder / "not mounted")
    standing = await collected(user_bench.session(), detached.id)
    assert (standing.state, standing.reason, "not there" in standing.why) == (State.UNKNOWN, Reason.UNREADABLE, True)
    (user_bench.folder / "not mounted").rename(user_bench.folder / "home")
    assert (await collected(user_bench.session(), detached.id)).state is State.DONE


@pytest.mark.parametrize("made", ["folder", "open folder", "link", "file"])
async def test_what_others_put_in_the_way_is_not_used(user_bench: Bench, made: str) -> None:
    (user_bench.folder / "home").chmod(0o555)
    trap, target = user_bench.folder / f"shared/longarm-{USER}", user_bench.folder / "target"
    target.mkdir(mode=0o700)
    os.chown(target, USER, USER)
    match made:
        case "folder":
            trap.mkdir(mode=0o700)
        case "open folder":
            trap.mkdir()
            trap.chmod(0o777)
        case "link":
            trap.symlink_to(target)
        case "file":
            trap.write_text("longarm-fence/1 0\n")
    os.chown(user_bench.folder / "home", 0, 0)
    standing = await started(user_bench.session(), user_bench.command("echo out"))
    assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"out\n", f"/tmp/longarm-{USER}")
    assert list(target.iterdir()) == [] and (not trap.is_dir() or list(trap.iterdir()) == [])
    await user_bench.session().forget([standing.id], deadline_s=DEADLINE_S)
    shutil.rmtree(standing.place)


async def test_a_folder_that_everyone_may_rename_things_in_is_no_place(user_bench: Bench) -> None:
    (user_bench.folder / "home").chmod(0o777)
    (user_bench.folder / "shared").chmod(0o777)
    standing = await started(user_bench.session("mount -t tmpfs -o mode=777 open /tmp"), user_bench.command())
    assert (standing.state, standing.reason) == (State.FAILED, Reason.NO_PLACE)
    assert user_bench.effects() == []
    assert "others may put something else in its place" in standing.why


async def test_a_host_without_flock_does_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path, without="flock")
    detached = bench.command("echo out; exit 2")
    standing = await started(bench.session(), detached)
    assert (standing.state, standing.exit_status, standing.stdout) == (State.DONE, 2, b"out\n")
    long = bench.command("sleep 4; echo out")
    assert (await started(bench.session(), long, wait_s=1)).state is State.RUNNING
    assert (await started(bench.session(), bench.command())).reason is Reason.BUSY
    assert (await collected(bench.session(), long.id)).stdout == b"out\n"
    names = [detached.id, long.id]
    assert await bench.session().forget(names, deadline_s=DEADLINE_S) == frozenset(names)
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]
    await bench.leave()
