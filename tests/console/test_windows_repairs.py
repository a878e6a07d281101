"""Repairs of Windows hosts on the command line, whose connections drop: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from remote.answer import Answer, Ended
from remote.lab.captures import read_captures
from remote.lab.windows.machine import Machine
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.replies import Captured
from remote.lab.windows.works import Ran, Works
from remote.lasting import DROPS_ALL
from remote.windows.detached import GRACE_S
from tests.conftest import SOAK
from tests.console.conftest import Console
from tests.console.test_windows_shipped import hasty
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.conftest import practice

__all__ = ["ntlm_accounts"]
pytestmark = pytest.mark.usefixtures("ntlm_accounts")
WORD = {"LONGARM_TEST_WORD": PASSWORD}
HEAD = f"credentials: {{ops: {{user: {USER}, password: {{env: LONGARM_TEST_WORD}}}}}}\n"
CAPTURES = Path(__file__).parent.parent / "data" / "captures"
EVERY = [
    (transport, at, kind, most)
    for transport in ("winrm", "psrp")
    for at in range(1, 40)
    for kind in ("drop_before", "drop_after")
    for most in (1, 2)
]
DROPS = [
    *(("winrm", at, "drop_after", 1) for at in (3, 6, 7, 15, 16)),
    *(("winrm", at, "drop_after", 2) for at in (1, 10, 14, 22)),
    *(("winrm", at, "drop_before", 2) for at in (3, 18)),
    *(("psrp", at, "drop_after", 1) for at in (4, 8, 17)),
    *(("psrp", at, "drop_after", 2) for at in (1, 14)),
]
"""At which message the connection breaks, and at how many in a row; there are some 33 where nothing does, by PSRP some 41."""
CUT_SHORT = (
    "holds the places",
    "a place is made",
    "its folder is made",
    "claim is written",
    "job is written",
    "the fence is out of the way",
    "it is about to be launched",
    "it is launched",
)
"""Where the process is that starts a command as its shell is deleted, which ends it."""


class Resolver(Mapping[str, Answer]):
    """What a host answers whose names do not resolve until its cache is emptied; each step of a repair may look."""

    def __init__(self) -> None:
        self.works = Works(
            {
                "Clear-DnsClientCache\n": self._cleared,
                "Register-DnsClient\n": Ran(stdout="registered\n"),
            },
            machine=Machine(),
        )
        self._ill, self._well = (
            read_captures((CAPTURES / f"{name}.evidence").read_bytes(), name) for name in ("win-2025-ps7", "win-2022-healthy")
        )

    @property
    def mended(self) -> bool:
        return any("Clear-DnsClientCache" in script for script in self.works.ran)

    def _cleared(self, _: str) -> Ran:
        return Ran(stdout="cleared\n", seconds=0.2)

    def __getitem__(self, question: str) -> Answer:
        if question.startswith("step.") or question == "hello":
            return Answer(ended=Ended.EXITED, exit_status=0, stdout=b"entries in the cache: 4\r\n", as_root=True)
        return (self._well if self.mended else self._ill)[question]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ill)

    def __len__(self) -> int:
        return len(self._ill)


def repaired(
    console: Console, resolver: Resolver, mishaps: Mishaps, transport: str, playbook: str = "reset-windows-resolver"
) -> dict[str, Any]:
    host = practice(mishaps, program=Captured(answers=resolver, works=resolver.works))
    with listening(host) as port:
        console.inventory(
            f"{HEAD}hosts:\n  win1: {{address: 127.0.0.1, port: {port}, transport: {transport}, credential: ops, "
            "winrm: {scheme: http}}\n"
        )
        done = console("repair", playbook, "win1", "--yes", "--json", environ=WORD)
    assert done.out, done.err
    document = done.json()
    return {"code": done.code, "messages": len(host.seen.messages), **document["hosts"][0]}


@pytest.mark.parametrize("transport", ["winrm", "psrp"])
def test_a_shipped_repair_of_windows_is_carried_out_and_proves_itself(console: Console, transport: str) -> None:
    resolver = Resolver()
    host = repaired(console, resolver, Mishaps(), transport)
    repair = host["repair"]
    assert [step["state"] for step in repair["steps"]] == ["changed", "changed"]
    assert [(one["check"], one["fix"]) for one in repair["verdicts"]] == [("win-dns", "fixed")]
    assert (host["code"], host["outcome"], repair["change"]) == (0, "ok", "changed")
    assert len(resolver.works.machine.effects) == 4 and host["messages"] < 45
    assert resolver.works.machine.remains() == ["C:\\ProgramData\\longarm", "C:\\ProgramData\\longarm\\fence"]


@pytest.mark.parametrize(("at", "states", "change"), [(3, [], "unchanged"), (16, ["changed", "undecided"], "partly")])
def test_a_host_that_lets_nobody_in_any_more_is_told_as_that_and_never_as_well(
    console: Console, at: int, states: list[str], change: str
) -> None:
    """An answer is lost, and each login after it. A step that says `on_failure: continue` was not done: that is not well."""
    resolver, mishaps = Resolver(), Mishaps(drop_after={at}, drop_login=range(3, 10_000))
    host = repaired(console, resolver, mishaps, "winrm", hasty(console, "reset-windows-resolver"))
    assert [step["state"] for step in host["repair"]["steps"]] == states
    assert len(resolver.works.machine.effects) == 2 * states.count("changed")
    assert (host["code"], host["outcome"], host["repair"]["change"]) == (3, "incomplete", change)
    said = host["session"]
    assert (said["dropped"], said["not_renewed"]) == ("Remote end closed connection without response", DROPS_ALL)
    assert "asked_again" not in said, "there was no connection to ask over"


@pytest.mark.parametrize(("transport", "at", "kind", "most"), EVERY[::3] if SOAK else DROPS)
def test_a_connection_that_drops_at_any_message_loses_nothing_and_does_nothing_twice(
    console: Console, transport: str, at: int, kind: str, most: int
) -> None:
    """What only reads is asked again, what may change something is asked after: all ends as if nothing had dropped.

    A start that its shell's end cuts short as it claims its place is certain to begin nothing after a minute only.
    """
    resolver, mishaps = Resolver(), Mishaps()
    getattr(mishaps, kind).update(range(at, at + most))
    playbook = Path(hasty(console, "reset-windows-resolver"))
    playbook.write_text(playbook.read_text().replace("    retry: idempotent\n", "    retry: idempotent\n    deadline: 3m\n"))
    host = repaired(console, resolver, mishaps, transport, str(playbook))
    repair, effects = host["repair"], resolver.works.machine.effects
    assert len(set(effects)) == len(effects) == 4, "each step once"
    assert [step["state"] for step in repair["steps"]] == ["changed", "changed"], host
    assert [(one["check"], one["fix"]) for one in repair["verdicts"]] == [("win-dns", "fixed")]
    assert (host["code"], host["outcome"], repair["change"]) == (0, "ok", "changed")


@pytest.mark.parametrize("point", CUT_SHORT)
def test_a_start_that_is_cut_short_anywhere_is_sent_again_where_it_began_nothing(console: Console, point: str) -> None:
    """Its answer is lost, and deleting its shell ends it where it stands; who asks after it finds out whether it began."""
    reached = asyncio.Event()
    resolver, mishaps = Resolver(), Mishaps(drop_after={10, 11}, behind={10: reached.wait})
    killed: list[str] = []
    machine = resolver.works.machine

    def mishap(process: str, step: str) -> bool:
        if process != "start" or step != point or killed:
            return False
        killed.append(step)
        reached.set()  # not before it stands there is its shell deleted
        if step != "it is launched":  # what lives needs no time of grace
            machine.clock = lambda: time.time() + GRACE_S
        return True

    machine.mishap = mishap
    host = repaired(console, resolver, mishaps, "winrm", hasty(console, "reset-windows-resolver"))
    assert killed == [point]
    assert len(set(machine.effects)) == len(machine.effects) == 4, "each step once"
    assert [(step["state"], step["sent"]) for step in host["repair"]["steps"]] == [
        ("changed", 1 if point == "it is launched" else 2),
        ("changed", 1),
    ]
    assert (host["code"], host["outcome"], host["repair"]["change"]) == (0, "ok", "changed")
