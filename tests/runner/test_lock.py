"""One process writes to a home; readers only look at the lock and never stand in the way for good."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.store.errors import Holder, StoreBusy
from runner.store.lock import HomeLock, held

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
            HomeLock.take(tmp_path, ME).release()
    finally:
        done.set()
        for reader in readers:
            reader.join()
