"""Pings and facts: every host accounted for once, nothing written, hostile answers never good news."""

from __future__ import annotations

import asyncio

from diagnostics.facts import Found
from diagnostics.library import Library
from diagnostics.verdict import Why
from inventory.secret import MASKER, Secret
from remote.answer import Answer, Ended, answered
from remote.errors import AuthenticationRefused, ConnectFailed, HostKeyRefused
from remote.testing import FakeConnect, FakeHost
from runner.fan_out import Limits
from runner.looking import Pinged, facts, ping
from runner.outcome import Outcome
from tests.runner.fleet import OK, fleet
from tests.stopped_clock import HastyClock


def pinged(hosts: dict[str, FakeHost]) -> tuple[tuple[Pinged, ...], list[str]]:
    seen: list[str] = []

    async def run() -> tuple[Pinged, ...]:
        clock = HastyClock(asyncio.get_running_loop())

        def ended(one: Pinged) -> None:
            seen.append(one.host)
            if len(seen) == len(hosts) - sum(host.connects_after is not None for host in hosts.values()):
                clock.leap(60)  # the others hang

        found, coverage = await ping(fleet(*hosts).hosts, FakeConnect(hosts), Limits(concurrency=2, host_deadline_s=60), ended)
        assert coverage.targeted == len(hosts) == len(found)
        return found

    return asyncio.run(run()), seen


def test_every_host_is_accounted_for_in_inventory_order() -> None:
    found, seen = pinged(
        {
            "well": FakeHost(answers={"ping": answered(b"")}),
            "mute": FakeHost(answers={"ping": Answer(ended=Ended.LOST, exit_status=None, why="no shell")}),
            "away": FakeHost(refuses=ConnectFailed("away", "no route")),
            "shut": FakeHost(refuses=AuthenticationRefused("shut", user="anna", tried=("key",))),
            "other": FakeHost(refuses=HostKeyRefused("other", offered=("SHA256:x",))),
            "hangs": FakeHost(connects_after=asyncio.Event()),
        }
    )
    assert [(one.host, one.outcome) for one in found] == [
        ("well", Outcome.OK),
        ("mute", Outcome.INCOMPLETE),
        ("away", Outcome.UNREACHABLE),
        ("shut", Outcome.REFUSED),
        ("other", Outcome.REFUSED),
        ("hangs", Outcome.TIMED_OUT),
    ]
    assert sorted(seen) == sorted(one.host for one in found)
    well = found[0]
    assert (well.user, well.error) == ("tester", None)
    assert type(well.login_ms) is type(well.round_trip_ms) is int, "whole ones: nobody reads tenths of them"
    assert all(one.error is not None and one.round_trip_ms is None for one in found[1:])


def told(library: Library, host: FakeHost) -> dict[str, Found] | None:
    (one,) = fleet("a").hosts
    run = asyncio.run(facts(one, FakeConnect({"a": host}), library, ["disk", "clock"], deadline_s=5))
    return dict(run.value.found) if run.value else None


def test_facts_are_what_parsers_make_of_redacted_answers(library: Library) -> None:
    MASKER.learn(Secret("s3cret-in-facts"))
    found = told(library, FakeHost(answers={**OK, "clock": answered(b"s3cret-in-facts")}))
    assert found is not None
    assert not isinstance(found["disk"], Why)
    assert "s3cret" not in repr(found)


def test_what_cannot_be_seen_is_said_and_a_host_that_is_away_has_no_facts(library: Library) -> None:
    lost = Answer(ended=Ended.LOST, exit_status=None, why="cut")
    found = told(library, FakeHost(answers={**OK, "disk": lost}))
    assert found is not None and isinstance(found["disk"], Why)
    assert told(library, FakeHost(refuses=ConnectFailed("a", "no route"))) is None
