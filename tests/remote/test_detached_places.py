"""Where the record of a detached command may live: full, read-only and noexec places, and what others put in their way."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote.detached import Reason, State
from tests.remote.detached import DEADLINE_S, NEEDS, USER, Bench, collected, started

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
FULL = "mount -t tmpfs -o size=64k full {0}; head -c 100000 /dev/zero >{0}/filler 2>/dev/null"
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


@pytest.fixture
async def user_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a host whose login is not root: at home, in /var/tmp, in /tmp."""
    home, shared, temporary = tmp_path / "home", tmp_path / "shared", tmp_path / "temporary"
    for folder, mode, owner in ((home, 0o755, USER), (shared, 0o1777, 0), (temporary, 0o1777, 0)):
        folder.mkdir()
        folder.chmod(mode)
        os.chown(folder, owner, owner)
    (tmp_path / "effects").touch()
    os.chown(tmp_path / "effects", USER, USER)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o777 == 0o700 and parent.owner() == "root":
            parent.chmod(0o711)
    become = f"setpriv --reuid={USER} --regid={USER} --clear-groups env HOME={home}"
    mounts = f"mount --bind {shared} /var/tmp; mount --bind {temporary} /srv"
    bench = Bench(tmp_path, before=mounts, become=become)
    yield bench
    await bench.leave()


async def test_a_login_user_has_places_of_its_own(user_bench: Bench) -> None:
    standing = await started(user_bench.session(), user_bench.command("id -u"))
    assert (standing.state, standing.stdout) == (State.DONE, f"{USER}\n".encode())
    assert standing.place.startswith(f"{user_bench.folder}/home/.longarm-")
    assert oct(os.lstat(standing.place).st_mode) == "0o40700"


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
