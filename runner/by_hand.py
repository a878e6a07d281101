"""Work by hand on a host: it has the host for as long as it lasts, unless whoever does it says that it only looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from diagnostics.redaction import ruled
from inventory.errors import LongarmError, Text
from inventory.host import Host
from inventory.secret import MASKER
from runner.host_run import Clock
from runner.outcome import RunKind
from runner.request import CONNECTING_S
from runner.store.changes import BeginByHand, Journalled, Recover, TakeLease
from runner.store.errors import HostInHand, HostLeased, TurnedAway
from runner.store.port import Store
from runner.store.rows import BY_HAND, HAND, AuditRow, Event, HandRow, JournalRow

TURN_S: Final = 10.0
"""How long a turn is waited for where somebody runs a command by hand: most are over by then."""
_BETWEEN_S: Final = 0.1
_GRACE_S: Final = 5.0
"""What a host may take beyond its deadline to end a command with all that it started."""
_FEW: Final = 80
"""Characters of a command that tell it from others."""

BESIDE: Final = Text("what only looks: --read-only; all the same: --beside REASON")
"""What somebody can do whose command or terminal is kept off by what has the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What a run by hand says to the store as it begins on each of its hosts."""

    store: Store = field(hash=False)
    clock: Clock
    run: str
    actor: str
    kind: RunKind
    subject: str
    lasts_s: float
    """For how long it may go on, once begun, on a host that is not heard of any more."""
    beside: AuditRow | None
    """What the audit keeps of going beside what has a host, its detail is the reason; None: it does not."""
    positions: Mapping[str, int] = field(hash=False)

    async def begin(self, host: Host, left_s: float) -> None:
        """Return once the host is ours, within `left_s`; raises HostLeased, HostInHand."""
        loop = asyncio.get_running_loop()
        end = loop.time() + left_s
        await in_turn(self.store, host, lambda: self._beginning(host, end - loop.time()), left_s)

    def end(self, host: Host, *, begun: bool) -> None:
        """Let go of the host: the end of what was done there was seen, and is on disk before that of its host run."""
        position, now, data = self.positions[host.name], self.clock(), {} if begun else {"begun": False}
        line = JournalRow(run=self.run, position=position, event=Event.END, key=HAND, at=now, data=data)
        self.store.write(Journalled(line=line))

    def _beginning(self, host: Host, left_s: float) -> BeginByHand:
        now = self.clock()
        hand = HandRow(
            run=self.run,
            host=host.name,
            customer=host.customer,
            actor=self.actor,
            kind=self.kind,
            what=in_few_words(self.kind, self.subject),
            since=now,
            until=now + timedelta(seconds=self._at_most_s(left_s)),
            outcome=None,
            beside="",
        )
        beside = None if self.beside is None else replace(self.beside, at=now)
        return BeginByHand(hand=hand, position=self.positions[host.name], beside=beside)

    def _at_most_s(self, left_s: float) -> float:
        """Return for how long from now on it may be at it on the host: root has to be had before it begins."""
        return self.lasts_s + min(left_s, CONNECTING_S) + _GRACE_S if self.lasts_s else 0.0


KEEPS_OFF: Final[ContextVar[Callable[[Host], LongarmError | None]]] = ContextVar("keeps_off", default=lambda _: None)
"""Tells what keeps a host off now, as it was asked before the host began: a hold, a freeze, a role that is gone."""


async def in_turn(store: Store, host: Host, change: Callable[[], BeginByHand | TakeLease], left_s: float) -> None:
    """Take a host, and wait for a turn where somebody runs a command there; raises HostLeased, HostInHand.

    Who has waited is asked again whether anything else keeps the host off: raises TurnedAway.

    Whoever's process is gone has no host any more, or what it has is no process's: that is found before anybody is refused.
    While a turn is waited for the store is only read.
    """
    loop = asyncio.get_running_loop()
    end, first = loop.time() + min(left_s, TURN_S), change()
    try:
        return await _written(store, first)
    except (HostInHand, HostLeased):
        await _written(store, Recover(at=first.wanted.at, actor=first.wanted.actor, home=store.home))
    while True:
        taking = change()
        hands = taking.kept_off_by(store.at_work(taking.wanted.at, taking.wanted.host))
        if hands and loop.time() < end and all(map(_soon_over, hands)):
            await asyncio.sleep(_BETWEEN_S)
            continue
        if (why := KEEPS_OFF.get()(host)) is not None:
            raise TurnedAway(why)
        try:
            return await _written(store, taking)
        except HostInHand as taken:  # somebody else was faster, or lasts
            if loop.time() >= end or not _soon_over(taken.hand):
                raise


def _soon_over(hand: HandRow) -> bool:
    """Tell whether somebody runs a command: most are over in a moment."""
    return hand.kind is RunKind.COMMAND and hand.outcome is None


async def _written(store: Store, change: BeginByHand | TakeLease | Recover) -> None:
    await asyncio.shield(asyncio.wrap_future(store.write(change)))


def in_few_words(kind: RunKind, subject: str) -> str:
    """Return what somebody does by hand, as others are told of it: without what looks like a secret, known or not.

    >>> in_few_words(RunKind.COMMAND, "systemctl restart web\\n"), in_few_words(RunKind.TERMINAL, "")
    ('host run: systemctl restart web', 'host shell')
    >>> in_few_words(RunKind.COMMAND, "curl https://anna:hunter2@shop.example")
    'host run: curl https://anna:***@shop.example'
    """
    if kind is RunKind.TERMINAL:
        return BY_HAND[kind]
    from diagnostics.secret_patterns import LOOKS_SECRET_IN_COMMAND  # what a diagnosis does without

    told = ruled(LOOKS_SECRET_IN_COMMAND, subject.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    words = " ".join(MASKER.text(told).split())
    return f"{BY_HAND[kind]}: {words if len(words) <= _FEW else words[: _FEW - 1] + '…'}"
