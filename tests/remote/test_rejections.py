"""Rejections that other commands met: three commands with one wrong password must not make nine."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inventory.host import Host
from inventory.secret import Secret
from remote.breaker import Breaker
from remote.credentials import Credential
from remote.errors import CredentialBlocked
from remote.rejections import HEEDED_S, Rejections

HOST = Host(name="db1", address="192.0.2.1")
WRONG = Credential(name="ops", user="ops", password=Secret("the-wrong-one"))


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


async def offered(breaker: Breaker, *verdicts: str, credential: Credential = WRONG) -> None:
    for verdict in verdicts:
        getattr(await breaker.turn(HOST, credential), verdict)()


async def test_what_one_command_met_holds_for_the_next(runtime: Path, tmp_path: Path) -> None:
    await offered(Breaker(others=Rejections.of_home(tmp_path)), "rejected", "unanswered")
    second = Breaker(others=Rejections.of_home(tmp_path))
    await offered(second, "rejected")
    with pytest.raises(CredentialBlocked, match="rejected 3 times within half an hour") as blocked:
        second.check(HOST, WRONG)
    assert str(blocked.value.hint) == "longarm doctor --host db1"
    others = Credential(name="other", user="ops", password=Secret("another"))
    Breaker(others=Rejections.of_home(tmp_path)).check(HOST, others)
    Breaker(others=Rejections.of_home(tmp_path / "another home")).check(HOST, WRONG)


async def test_two_commands_at_once_see_each_other(runtime: Path, tmp_path: Path) -> None:
    one, other = (Breaker(others=Rejections.of_home(tmp_path)) for _ in range(2))
    await offered(one, "rejected")
    await offered(other, "rejected")
    await offered(one, "rejected")
    for breaker in (one, other):
        with pytest.raises(CredentialBlocked, match="rejected 3 times"):
            await breaker.turn(HOST, WRONG)


async def test_a_person_may_try_once_more_and_an_acceptance_forgets(runtime: Path, tmp_path: Path) -> None:
    await offered(Breaker(others=Rejections.of_home(tmp_path)), *["rejected"] * 3)
    await offered(Breaker(others=Rejections.of_home(tmp_path, heeded=False)), "accepted")
    fresh = Breaker(others=Rejections.of_home(tmp_path))
    await offered(fresh, "accepted", "rejected", "rejected")  # right, though not everywhere: that is this run's matter
    await offered(Breaker(others=Rejections.of_home(tmp_path)), "accepted")


async def test_what_is_old_does_not_count(runtime: Path, tmp_path: Path) -> None:
    path, clock = runtime / "rejections", [1000.0]
    rejections = Rejections(path, now=lambda: clock[0])
    rejections.add("password", "ops", "x")
    assert rejections.count("password", "ops", "x") == 1
    clock[0] += HEEDED_S + 2
    assert rejections.count("password", "ops", "x") == 0


def test_nothing_of_the_secret_is_kept_and_nobody_else_reads_it(runtime: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Rejections.of_home(tmp_path).add("password", "ops", "the-wrong-one")
    finally:
        os.umask(before)
    (file,) = (runtime / "longarm").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not [word for word in (b"ops", b"the-wrong-one") if word in file.read_bytes()]


@pytest.mark.parametrize("mode", [0o755, None], ids=["others may look", "there is none"])
def test_without_a_place_of_the_users_own_each_command_counts_for_itself(
    mode: int | None, runtime: Path, tmp_path: Path
) -> None:
    runtime.rmdir() if mode is None else runtime.chmod(mode)
    Rejections.of_home(tmp_path).add("password", "ops", "x")
    assert Rejections.of_home(tmp_path).count("password", "ops", "x") == 0
    assert not runtime.exists() or not list(runtime.iterdir())


async def test_where_that_memory_is_full_a_command_counts_on_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker(others=Rejections(Path("/dev/full")))
    await offered(breaker, "rejected", "unanswered", "rejected")
    with pytest.raises(CredentialBlocked, match="rejected 3 times"):
        breaker.check(HOST, WRONG)
    assert "No space left" in caplog.text


def test_many_at_once_lose_none_and_rubbish_is_passed_over(runtime: Path) -> None:
    path = runtime / "rejections"
    path.write_bytes(b"k" * 32 + b"\xff rubbish\n\n99 x y\n")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Rejections(path).add("password", "ops", str(number % 4)), range(40)))
    assert [Rejections(path).count("password", "ops", str(number)) for number in range(4)] == [10] * 4
