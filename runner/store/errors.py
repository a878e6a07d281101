"""
LongarmError             (inventory/errors.py)
|- ChangeRefused         what longarm itself keeps off hosts: exit code 5
|  |- HostLeased         .holder: another run may change the host
|  |- HostInHand         .hand: somebody works on the host by hand
|  |- TurnedAway         .why: what keeps a host off by the time that its turn has come
|  |- HostConflicting    .unsettled: nobody knows how a repair ended there that this one conflicts with
|  |- HostHeld           .holds: somebody holds the host
|  |- ChangesFrozen      .freeze: nothing that changes starts there
|  |- NeverTried         no change was ever tried on that platform, and the home does not allow one
|  |- OtherPlatform      the host is of another platform than the inventory says
|  `- NotApproved        a second person has not approved it, or that holds no more
|- NothingStopped        there is no such hold or freeze to remove
`- StoreError            .home: exit code 7
   |- StoreBusy          .holder: another process writes to this home
   |- RunBusy            .run: another process carries the run out
   |- StoreTooNew        written by a newer longarm: not touched
   |- StoreTooOld        must be opened for writing once, which brings it up to date
   |- StoreFailed        a write or a read did not work; what was acknowledged before is kept
   |- StoreLost          the database is gone or emptied, and evidence is still there
   |- RestorationCut     a backup was being restored, and the store is not there yet
   |- StoreDamaged       kept bytes are gone or are not what their digest says
   |- StoreInUse         somebody reads what is to be removed, or removes what is to be read
   |- StoreNotEmpty      a backup is restored only where there is no store yet
   |- BackupRefused      not a backup of ours, damaged, or hostile
   |- ErasuresUndone     .undone: the backup holds what was erased since it was taken
   |- NothingBelongs     nothing in the store belongs to this customer or case
   |- StoreReadOnly      a write was asked of a desk that was opened for reading
   `- UnsafeHome         other people may write to the home
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import LongarmError, Text, utc

if TYPE_CHECKING:
    from runner.store.rows import FreezeRow, HandRow, HoldRow, LeaseRow, Unsettled
    from runner.store.verified import Undone


class StoreError(LongarmError):
    """Something is wrong with the store in `home`."""

    def __init__(self, home: Path, text: Text, hint: Text | None = None) -> None:
        self.home = home
        super().__init__(text, hint)


class ChangeRefused(LongarmError):
    """A change that longarm itself keeps off a host: it is told who wanted that, why, and until when."""

    @property
    def kind(self) -> str:
        """Return by which name it is kept."""
        return type(self).__name__


class TurnedAway(ChangeRefused):
    """Something keeps a host off by the time that its turn has come, which nothing did as it began to wait."""

    def __init__(self, why: LongarmError) -> None:
        self.why = why
        super().__init__(why.text, why.hint)

    @property
    def kind(self) -> str:
        """Return by which name what keeps it off is kept."""
        return type(self.why).__name__


class NotApproved(ChangeRefused):
    """A repair may not begin: nobody else has approved it, or that does not hold any more."""


class NeverTried(ChangeRefused):
    """Hosts are of a platform on which no change was ever tried, and the home does not allow one."""

    def __init__(self, hosts: Sequence[str]) -> None:
        text = Text("repairs were never tried on macOS, and {hosts} has it", hosts=", ".join(hosts[:5]))
        super().__init__(text, Text("to try it all the same, in config.yaml of the home: changes: {macos: true}"))


class OtherPlatform(ChangeRefused):
    """A host is of another platform than the inventory says: what is written for that one is not done to it."""

    def __init__(self, host: str, platform: str, kernel: str) -> None:
        values = {"host": host, "platform": platform, "kernel": kernel}
        text = Text("the inventory says that {host} has {platform}, and its kernel is {kernel}", **values)
        super().__init__(text, Text("put its platform right in the inventory: longarm inventory show {host}", host=host))


class HostLeased(ChangeRefused):
    """Another run has the lease of a host, and may still change it."""

    def __init__(self, holder: LeaseRow, now: datetime) -> None:
        self.holder = holder
        text = Text(
            "{host} is being changed by run {run} of {actor} since {since} ({age}): {reason}",
            host=holder.host,
            run=holder.run,
            actor=holder.actor,
            since=utc(holder.since),
            age=age(holder.since, now),
            reason=holder.reason,
        )
        hint = Text("longarm run resume {run}; to free it alone: longarm run resume {run} --only-ask", run=holder.run)
        super().__init__(text, hint)


class HostInHand(ChangeRefused):
    """Somebody works on a host by hand, or nobody saw the end of what they ran there, and it may be at it still."""

    def __init__(self, hand: HandRow, now: datetime) -> None:
        self.hand = hand
        values = {"actor": hand.actor, "host": hand.host, "run": hand.run, "what": hand.what}
        values |= {"since": utc(hand.since), "until": utc(hand.until)}
        text = Text(_IN_HAND[hand.outcome is None, bool(hand.run)].template, **values, age=age(hand.since, now))
        all_the_same = Text("all the same: --beside REASON")
        super().__init__(text, Text("longarm run leases; all the same: --beside REASON") if hand.run else all_the_same)


_IN_HAND = {  # by whether it is at it now, and whether it is told in full
    (True, True): Text("{actor} works on {host} by hand since {since} ({age}), run {run}: {what}"),
    (True, False): Text("{actor} works on {host} by hand since {since} ({age}): {what}"),
    (False, True): Text(
        "nobody saw how this ended on {host}, and it may be at it until {until}: {what} (of {actor}, run {run})"
    ),
    (False, False): Text("nobody saw how this ended on {host}, and it may be at it until {until}: {what} (of {actor})"),
}


class HostConflicting(ChangeRefused):
    """Nobody knows how a repair ended on a host that must not change it at the same time: it may be at it still."""

    def __init__(self, host: str, playbook: str, unsettled: Unsettled, *, can_be_forced: bool) -> None:
        self.unsettled = unsettled
        text = Text(
            "“{playbook}” conflicts with “{other}”, and nobody knows how that ended on {host} in run {run}",
            playbook=playbook,
            other=unsettled.playbook,
            host=host,
            run=unsettled.run,
        )
        hint = Text("longarm run show {run}; then “{other}” again", **text.params)
        if can_be_forced:
            hint = Text("longarm run show {run}; then “{other}” again, or this one with --force REASON", **text.params)
        super().__init__(text, hint)


class HostHeld(ChangeRefused):
    """Somebody holds a host, so nobody changes it."""

    def __init__(self, holds: Sequence[HoldRow]) -> None:
        self.holds = tuple(holds)
        first, *others = self.holds
        text = Text(
            "{host} is held by {actor} since {since}, {until}: {reason}",
            host=first.host,
            actor=first.actor,
            since=utc(first.since),
            until=until(first.until),
            reason=first.reason,
        )
        if others:
            text = Text("{first} (and {count} more)", first=text, count=len(others))
        super().__init__(text, Text("longarm hold list"))


class ChangesFrozen(ChangeRefused):
    """Nothing that changes starts in the scope of a freeze."""

    def __init__(self, freeze: FreezeRow) -> None:
        self.freeze = freeze
        text = Text(
            "{scope} frozen by {actor} since {since}, {until}: {reason}",
            scope=scope_of(freeze),
            actor=freeze.actor,
            since=utc(freeze.since),
            until=until(freeze.until),
            reason=freeze.reason,
        )
        super().__init__(text, Text("longarm freeze --list"))


class NothingStopped(LongarmError):
    """There is no hold, or no freeze, of this kind that could be removed."""


def scope_of(freeze: FreezeRow) -> Text:
    """Return what a freeze is over, as the beginning of a sentence."""
    if freeze.name is None:
        return Text("changes are")
    if freeze.scope.value == "site":
        return Text("changes at site {site} are", site=freeze.name)
    return Text("changes for customer {customer} are", customer=freeze.name)


_AGES = ((86_400, Text("{count} d")), (3_600, Text("{count} h")), (60, Text("{count} min")))


def age(since: datetime, now: datetime) -> Text:
    """Return how long ago something was, in its largest whole unit.

    >>> then = datetime(2026, 11, 30, 4, 0)
    >>> [str(age(then, then.replace(hour=hour, minute=20))) for hour in (4, 7)]
    ['20 min', '3 h']
    """
    seconds = max(0, int((now - since).total_seconds()))
    for size, text in _AGES:
        if seconds >= size:
            return Text(text.template, count=seconds // size)
    return Text("{count} s", count=seconds)


def until(moment: datetime | None) -> Text:
    """Return until when a hold or a freeze is to last."""
    return Text("until it is removed") if moment is None else Text("until {moment}", moment=utc(moment))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock of a home."""

    pid: int
    command: str
    since: datetime


class StoreBusy(StoreError):
    """Another process holds the lock of this home; reading is still possible."""

    def __init__(self, home: Path, holder: Holder | None) -> None:
        self.holder = holder
        text = (
            Text(
                "{home} is in use by process {pid} ({command}) since {since}",
                home=str(home),
                pid=holder.pid,
                command=holder.command,
                since=utc(holder.since),
            )
            if holder
            else Text("{home} is in use by another process", home=str(home))
        )
        hint = Text("wait for it; several at once work through the service that owns the home: longarm serve")
        super().__init__(home, text, hint)


class RunBusy(StoreError):
    """A run is on its way in another process."""

    def __init__(self, home: Path, run: str) -> None:
        self.run = run
        super().__init__(home, Text("run {run} is on its way", run=run), Text("longarm run watch {run}", run=run))


class StoreTooNew(StoreError):
    """The store has a schema that this version does not know."""

    def __init__(self, home: Path, found: str, known: str) -> None:
        self.found, self.known = found, known
        super().__init__(
            home,
            Text(
                "the store in {home} was written by a newer longarm (schema {found}; this one knows up to {known})",
                home=str(home),
                found=found,
                known=known,
            ),
            Text("update longarm; nothing was changed"),
        )


class StoreTooOld(StoreError):
    """The store has an older schema, and a reader changes nothing."""

    def __init__(self, home: Path, found: str, needed: str) -> None:
        self.found, self.needed = found, needed
        super().__init__(
            home,
            Text("the store in {home} has schema {found}, needed is {needed}", home=str(home), found=found, needed=needed),
            Text("any command that writes, such as longarm diagnose, brings it up to date"),
        )


MEND = Text("what was recorded before is kept; once that is mended, resume the run")
MAKE_ROOM = Text("what was recorded before is kept; make room on the disk, then resume the run")
RESTORE_ELSEWHERE = Text("longarm --home DIR store restore FILE")


class StoreFailed(StoreError):
    """The disk or the database refused; what had been acknowledged is kept, the rest is not."""

    def __init__(self, home: Path, reason: str, hint: Text = MEND) -> None:
        super().__init__(home, Text("the store in {home} failed: {reason}", home=str(home), reason=reason), hint)


class StoreLost(StoreError):
    """The database is gone or emptied, though there was one: nothing is begun over what is still there."""

    def __init__(self, home: Path, blobs: Path) -> None:
        values = {"home": str(home), "blobs": str(blobs)}
        text = Text("the store in {home} has lost its database: nothing tells what is in {blobs}", **values)
        super().__init__(home, text, Text("to begin anew, move {blobs} elsewhere; else: longarm store restore FILE", **values))


class RestorationCut(StoreError):
    """A backup is being restored, or that was cut off: some of its blobs are there, its database is not."""

    def __init__(self, home: Path) -> None:
        text = Text("the restoration of a backup into {home} was not finished", home=str(home))
        super().__init__(home, text, Text("longarm store restore FILE"))


class StoreDamaged(StoreError):
    """A kept blob is missing or its content is not what its name says."""

    def __init__(self, home: Path, digest: str, reason: str) -> None:
        self.digest = digest
        super().__init__(home, Text("evidence {digest} is damaged: {reason}", digest=digest, reason=reason))


class StoreInUse(StoreError):
    """Bytes are to be removed that another process reads, or to be read that one removes; nothing is lost by waiting."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            Text("another process is using what is kept in {home}", home=str(home)),
            Text("once it has ended, the next command that writes finishes what was begun"),
        )


class StoreNotEmpty(StoreError):
    """A backup is never mixed with what is there."""

    def __init__(self, home: Path) -> None:
        text = Text("{home} has a store already; a backup is restored where there is none", home=str(home))
        super().__init__(home, text, Text("choose another home with --home"))


class BackupRefused(StoreError):
    """The file is no backup of ours, or it is not whole, or it holds what none of ours would."""

    def __init__(self, path: Path, reason: Text) -> None:
        self.path, self.reason = path, reason
        text = Text("{path} was not restored: {reason}", path=str(path), reason=reason)
        super().__init__(path, text, Text("nothing was changed; take another backup"))


class ErasuresUndone(StoreError):
    """A backup would bring back what was erased after it was taken."""

    def __init__(self, path: Path, undone: Sequence[Undone]) -> None:
        self.path, self.undone = path, tuple(undone)
        what = ", ".join(f"{one.belonging.named} ({one.erased_at:%Y-%m-%d})" for one in undone)
        reason = Text("it would bring back what was erased since: {what}", what=what)
        hint = Text("--undo-erasures restores it all the same; what is to stay erased has to be erased again")
        super().__init__(path, Text("{path} was not restored: {reason}", path=str(path), reason=reason), hint)


class NothingBelongs(StoreError):
    """Nothing in the store belongs to the customer or the case that was named."""

    def __init__(self, home: Path, customer: str | None, case: str | None) -> None:
        text = (
            Text("nothing in {home} belongs to customer {customer}", home=str(home), customer=customer)
            if customer is not None
            else Text("nothing in {home} belongs to case {case}", home=str(home), case=case)
        )
        super().__init__(home, text, Text("longarm run list"))


class StoreReadOnly(StoreError):
    """A desk that was opened for reading was asked to write."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, Text("the store in {home} is open for reading only", home=str(home)))


class UnsafeHome(StoreError):
    """Everybody on this machine may write to the home, so nothing in it can be trusted."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            Text("everybody may write to {home}", home=str(home)),
            Text("chmod o-w {home}", home=str(home)),
        )
