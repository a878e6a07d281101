"""
LongarmError             (inventory/errors.py)
|- HostLeased            .holder: another run may change the host: exit code 5
`- StoreError            .home: exit code 7
   |- StoreBusy          .holder: another process writes to this home
   |- StoreTooNew        written by a newer longarm: not touched
   |- StoreTooOld        must be opened for writing once, which brings it up to date
   |- StoreFailed        a write or a read did not work; what was acknowledged before is kept
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

from inventory.errors import LongarmError, Text

if TYPE_CHECKING:
    from runner.store.rows import LeaseRow
    from runner.store.verified import Undone


class StoreError(LongarmError):
    """Something is wrong with the store in `home`."""

    def __init__(self, home: Path, text: Text, hint: Text | None = None) -> None:
        self.home = home
        super().__init__(text, hint)


class HostLeased(LongarmError):
    """Another run has the lease of a host, and may still change it."""

    def __init__(self, holder: LeaseRow) -> None:
        self.holder = holder
        text = Text(
            "{host} is being changed by run {run} of {actor} since {since}: {reason}",
            host=holder.host,
            run=holder.run,
            actor=holder.actor,
            since=f"{holder.since:%Y-%m-%d %H:%M:%S} UTC",
            reason=holder.reason,
        )
        super().__init__(text, Text("longarm run resume {run}", run=holder.run))


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
                since=f"{holder.since:%Y-%m-%d %H:%M:%S} UTC",
            )
            if holder
            else Text("{home} is in use by another process", home=str(home))
        )
        super().__init__(home, text, Text("wait for it, or choose another home with --home"))


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


class StoreFailed(StoreError):
    """The disk or the database refused; what had been acknowledged is kept, the rest is not."""

    def __init__(self, home: Path, reason: str) -> None:
        super().__init__(
            home,
            Text("the store in {home} failed: {reason}", home=str(home), reason=reason),
            Text("what was recorded before is kept; make room on the disk, then resume the run"),
        )


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
