"""The breaker: a bad password goes out at most three times, however many hosts are at work."""

import asyncio

import pytest

from inventory.host import Host
from inventory.secret import Secret
from remote.breaker import Breaker, Turn
from remote.credentials import Credential
from remote.errors import CredentialBlocked

HOST = Host(name="db1", address="192.0.2.1")
PASSWORD = Credential(name="domain", user="DOM\\anna", password=Secret("s3cret-w0rd"))
KEY = Credential(name="key", user="root")


async def turns(breaker: Breaker, count: int) -> list[Turn]:
    return [await breaker.turn(HOST, PASSWORD) for _ in range(count)]


async def test_an_unproven_password_has_as_many_turns_as_rejections_are_left() -> None:
    breaker = Breaker(limit=3)
    first, *_ = await turns(breaker, 3)
    waiting = asyncio.create_task(breaker.turn(HOST, PASSWORD))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.accepted()
    await waiting
    await turns(breaker, 3)
    assert await in_flight_at_most(breaker, 50) == 0  # 2 + 1 + 3 are on their way: twice the limit


async def in_flight_at_most(breaker: Breaker, asked: int) -> int:
    """Return how many of so many that ask get a turn at once."""
    asking = [asyncio.create_task(breaker.turn(HOST, PASSWORD)) for _ in range(asked)]
    await asyncio.sleep(0)
    granted = sum(one.done() for one in asking)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    return granted


@pytest.mark.parametrize(("acceptances", "window"), [(0, 3), (1, 6), (2, 9), (10, 33)])
async def test_each_acceptance_lets_as_many_more_go_out_together(acceptances: int, window: int) -> None:
    breaker = Breaker(limit=3)
    for _ in range(acceptances):
        (turn,) = await turns(breaker, 1)
        turn.accepted()
    assert await in_flight_at_most(breaker, 50) == window


async def test_a_password_that_turns_wrong_is_rejected_by_those_on_their_way_and_nobody_else() -> None:
    breaker = Breaker(limit=3)
    (good,) = await turns(breaker, 1)
    good.accepted()
    running = await turns(breaker, 6)
    waiting = [asyncio.create_task(breaker.turn(HOST, PASSWORD)) for _ in range(44)]
    for turn in running:
        turn.rejected()
        await asyncio.sleep(0)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, CredentialBlocked) for error in ended)


async def test_the_first_rejection_narrows_for_good_what_goes_out_together() -> None:
    breaker = Breaker(limit=3)
    for verdict in (Turn.accepted, Turn.accepted, Turn.rejected, Turn.accepted):
        (turn,) = await turns(breaker, 1)
        verdict(turn)
    assert await in_flight_at_most(breaker, 50) == 2


async def test_who_waits_is_blocked_once_the_last_rejection_is_in() -> None:
    breaker = Breaker(limit=3)
    running = await turns(breaker, 3)
    waiting = [asyncio.create_task(breaker.turn(HOST, PASSWORD)) for _ in range(47)]
    await asyncio.sleep(0)
    for turn in running:
        turn.rejected()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, CredentialBlocked) and error.rejections == 3 for error in ended)
    with pytest.raises(CredentialBlocked, match="domain was rejected 3 times"):
        breaker.check(HOST, PASSWORD)


async def test_a_success_in_between_takes_no_rejection_of_a_password_back() -> None:
    breaker = Breaker(limit=3)
    for turn in await turns(breaker, 2):
        turn.rejected()
    (good,) = await turns(breaker, 1)
    good.accepted()
    (last,) = await turns(breaker, 1)
    last.rejected()
    with pytest.raises(CredentialBlocked):
        await breaker.turn(HOST, PASSWORD)


async def test_no_verdict_counts_until_the_password_is_proven() -> None:
    breaker = Breaker(limit=3)
    for turn in await turns(breaker, 2):
        turn.unanswered()
    (good,) = await turns(breaker, 1)
    good.accepted()
    for _ in range(20):
        (turn,) = await turns(breaker, 1)
        turn.unanswered()
    breaker.check(HOST, PASSWORD)


async def test_a_turn_ends_once() -> None:
    breaker = Breaker(limit=2)
    (turn,) = await turns(breaker, 1)
    turn.accepted()
    turn.rejected()
    turn.unanswered()
    breaker.check(HOST, PASSWORD)


async def test_a_password_counts_by_user_and_value_whatever_its_credential_is_called() -> None:
    breaker = Breaker(limit=1)
    (turn,) = await turns(breaker, 1)
    turn.rejected()
    with pytest.raises(CredentialBlocked):
        breaker.check(HOST, Credential(name="other", user="DOM\\anna", password=Secret("s3cret-w0rd")))
    breaker.check(HOST, Credential(name="domain", user="DOM\\anna", password=Secret("another")))


def test_a_key_that_nobody_accepts_is_blocked() -> None:
    breaker = Breaker(limit=3)
    for _ in range(3):
        breaker.check(HOST, KEY)
        breaker.rejected(KEY)
    with pytest.raises(CredentialBlocked):
        breaker.check(HOST, KEY)


def test_a_key_that_was_accepted_once_is_never_blocked() -> None:
    breaker = Breaker(limit=3)
    breaker.accepted(KEY)
    for _ in range(50):
        breaker.rejected(KEY)
    breaker.check(HOST, KEY)


def test_keys_do_not_speak_for_the_password() -> None:
    both = Credential(name="both", user="anna", password=Secret("s3cret-w0rd"))
    breaker = Breaker(limit=1)
    breaker.rejected(both)
    breaker.accepted(both)
    breaker.check(HOST, both)
