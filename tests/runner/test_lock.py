"""One process writes to a home; readers only look at the lock and never stand in the way for good."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.store.errors import Holder, RunBusy, StoreBusy
from runner.store.lock import HomeLock, held, on_its_way, run_held

ME = Holder(pid=4711, command="longarm diagnose all", since=datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC))


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    lock = HomeLock.take(tmp_path, ME)
    with pytest.raises(StoreBusy, match=r"process 4711 \(longarm diagnose all\) since 2026-11-22 10:47:55 UTC") as refused:
        HomeLock.take(tmp_path, ME)
    assert refused.value.holder == ME
    lock.release()
    HomeLock.take(tmp_path, ME).release()


def test_a_holder_that_said_nothing_yet_is_still_a_holder(tmp_path: Path) -> None:
    lock = HomeLock.take(tmp_path, ME)
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(StoreBusy, match="in use by another process"):
        HomeLock.take(tmp_path, ME)
    lock.release()


def test_whether_a_lock_is_held_can_be_seen(tmp_path: Path) -> None:
    assert not held(tmp_path)
    lock = HomeLock.take(tmp_path, ME)
    assert held(tmp_path)
    lock.release()
    assert not held(tmp_path)


def test_the_lock_is_gone_with_its_process(tmp_path: Path) -> None:
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert held(tmp_path)
        process.kill()
        process.wait()
        assert not held(tmp_path)
        HomeLock.take(tmp_path, ME).release()


def test_readers_that_look_do_not_refuse_a_writer(tmp_path: Path) -> None:
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            held(tmp_path)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(300):
            lock = HomeLock.take(tmp_path, ME)
            assert held(tmp_path)
            lock.release()
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_what_a_service_lends_is_shared_by_its_processes_and_nobody_else_writes(tmp_path: Path) -> None:
    report = forked_under_a_lent_lock(
        tmp_path,
        "first = to_write(home, ME, alone=False); second = to_write(home, ME, alone=False);"
        "say('shared'); refused(lambda: to_write(home, ME, alone=True));"
        "first.release(); second.release(); only = to_write(home, ME, alone=True);"
        "refused(lambda: to_write(home, ME, alone=False)); only.release(); to_write(home, ME, alone=False).release()",
    )
    assert report == ["shared", "in use by another process", "in use by another process"]


def test_a_lent_lock_is_held_until_the_last_process_under_it_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            _LENDING + "if os.fork():\n    os._exit(0)\nprint(os.getpid(), flush=True); sys.stdin.read()",
            tmp_path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdin is not None and service.stdout is not None
        assert service.stdout.readline()
        assert service.wait(30) == 0
        with pytest.raises(StoreBusy):
            HomeLock.take(tmp_path, ME)
        service.stdin.close()
        assert service.stdout.read() == b""  # the process that it had forked has ended
        HomeLock.take(tmp_path, ME).release()


_LENDING = f"""
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from runner.store.errors import Holder, RunBusy, StoreBusy
from runner.store.lock import HomeLock, lend, to_write
home, ME = Path(sys.argv[1]), Holder(pid=1, command="longarm serve", since=datetime.fromisoformat("{ME.since.isoformat()}"))
lend(HomeLock.take(home, ME))
"""
_SAYING = """
def say(text): print(text, flush=True)
def refused(take):
    try: take()
    except StoreBusy as busy: say(str(busy).partition("is ")[2])
"""


def forked_under_a_lent_lock(home: Path, code: str) -> list[str]:
    """Return the lines that code says in a process that the holder of the lock has forked."""
    words = [sys.executable, "-c", f"{_LENDING}{_SAYING}\nif os.fork():\n    os.wait(); os._exit(0)\n{code}", str(home)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_a_run_is_on_its_way_in_one_process_alone(tmp_path: Path) -> None:
    assert not on_its_way(tmp_path, "run-1")
    with run_held(tmp_path, "run-1"):
        assert on_its_way(tmp_path, "run-1")
        assert not on_its_way(tmp_path, "run-2")
        with pytest.raises(RunBusy, match="run run-1 is on its way"), run_held(tmp_path, "run-1"):
            pytest.fail("two processes would carry it out")
    assert not on_its_way(tmp_path, "run-1")
    assert list((tmp_path / "running").iterdir()) == []


def test_threads_that_race_for_a_run_never_both_have_it(tmp_path: Path) -> None:
    having, most, lost = 0, 0, 0
    counting = threading.Lock()

    def race() -> None:
        nonlocal having, most, lost
        for _ in range(300):
            try:
                with run_held(tmp_path, "run-1"):
                    with counting:
                        having += 1
                        most = max(most, having)
                    on_its_way(tmp_path, "run-1")
                    with counting:
                        having -= 1
            except RunBusy:
                with counting:
                    lost += 1

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert most == 1
    assert lost < 1200
