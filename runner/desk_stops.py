"""What keeps changes off at the desk: holds of hosts, freezes of all or of a part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from inventory.errors import Text, UsageError
from inventory.host import Host
from inventory.secret import MASKER
from runner.desk_base import DeskBase, wheres_of
from runner.roles import Action, Where
from runner.store.changes import Freeze, Hold, RemoveHolds, Unfreeze
from runner.store.errors import ChangesFrozen, HostHeld, NothingStopped
from runner.store.port import Store
from runner.store.rows import AuditRow, FreezeRow, HoldRow, Scope


class StopDesk(DeskBase):
    """Who says that something is not to be changed, why, and until when."""

    def hold(self, hosts: Sequence[Host], *, reason: str, until: datetime | None = None) -> tuple[HoldRow, ...]:
        """Keep changes off hosts from now on, and return all the holds that count on them.

        Raises UsageError without a reason, or for an end that is over already.
        """
        self._may(Action.HOLD, wheres_of(hosts))
        since, reason = self._stopping(reason, until)
        holds = tuple(
            HoldRow(
                id=0,
                host=host.name,
                customer=host.customer,
                site=host.site,
                actor=self.actor,
                reason=reason,
                since=since,
                until=until,
            )
            for host in hosts
        )
        customers = tuple(sorted({host.customer for host in hosts if host.customer}))
        self._write(Hold(holds=holds, audit=self._stop_audit("hold.added", customers, f"{_names(holds)}: {reason}")))
        return tuple(row for row in self._store.holds([host.name for host in hosts]) if row.counts(since))

    def remove_holds(self, hosts: Sequence[str], *, owner: str | None = None) -> tuple[HoldRow, ...]:
        """Remove the holds of these hosts that belong to `owner`, by default to who asks, and return them.

        Raises NothingStopped where there is none, and HostHeld where there are only those of others.
        """
        now, owner = self._clock(), owner or self.actor
        held = [row for row in self._store.holds(hosts) if row.counts(now)]
        theirs = tuple(row for row in held if row.actor == owner)
        if not theirs:
            if held := [row for row in held if self._sees(_where(row))]:
                hint = Text("longarm hold remove {host} --owner {owner}", host=held[0].host, owner=held[0].actor)
                raise NothingStopped(HostHeld(held).text, hint)
            raise NothingStopped(Text("nobody holds {hosts}", hosts=", ".join(hosts[:5])), Text("longarm hold list"))
        self._may(Action.RELEASE, map(_where, theirs), owner=owner)
        customers = tuple(sorted({row.customer for row in theirs if row.customer}))
        audit = self._stop_audit("hold.removed", customers, f"{_names(theirs)}: {owner}")
        self._write(RemoveHolds(ids=tuple(row.id for row in theirs), audit=audit))
        return theirs

    def holds(self, *, past: bool = False) -> tuple[HoldRow, ...]:
        """Return the holds that count now, oldest first; with `past` those that were removed or are over too."""
        now = self._clock()
        rows = (row for row in self._store.holds(past=past) if past or row.counts(now))
        return tuple(row for row in rows if self._sees(_where(row)))

    def freeze(self, scope: Scope, name: str | None, *, reason: str, until: datetime | None = None) -> FreezeRow:
        """Let nothing that changes start in a scope from now on, and return the freeze.

        Raises UsageError without a reason, or for an end that is over already.
        """
        self._may(Action.FREEZE, _covered(scope, name))
        since, reason = self._stopping(reason, until)
        row = FreezeRow(id=0, scope=scope, name=name, actor=self.actor, reason=reason, since=since, until=until)
        customers = (name,) if scope is Scope.CUSTOMER and name else ()
        self._write(Freeze(freeze=row, audit=self._stop_audit("freeze.added", customers, f"{_scope(row)}: {reason}")))
        return self._store.freezes()[-1]

    def unfreeze(self, scope: Scope, name: str | None) -> tuple[FreezeRow, ...]:
        """Remove the freezes of exactly this scope, and return them; raises NothingStopped where there is none."""
        self._may(Action.UNFREEZE, _covered(scope, name))
        now = self._clock()
        same = tuple(
            row
            for row in self._store.freezes()
            if row.counts(now) and row.scope is scope and (row.name or "").casefold() == (name or "").casefold()
        )
        if not same:
            raise NothingStopped(Text("nothing is frozen in this scope"), Text("longarm freeze --list"))
        customers = tuple(sorted({row.name for row in same if row.scope is Scope.CUSTOMER and row.name}))
        audit = self._stop_audit("freeze.removed", customers, _scope(same[0]))
        self._write(Unfreeze(ids=tuple(row.id for row in same), audit=audit))
        return same

    def freezes(self, *, past: bool = False) -> tuple[FreezeRow, ...]:
        """Return the freezes that count now, oldest first; with `past` those that were removed or are over too."""
        now = self._clock()
        rows = (row for row in self._store.freezes(past=past) if past or row.counts(now))
        return tuple(row for row in rows if row.scope is not Scope.CUSTOMER or self._sees_customer(row.name))

    def refuse_frozen(self, hosts: Sequence[Host]) -> None:
        """Raise ChangesFrozen where a freeze covers one of these hosts: nothing that changes starts there."""
        for host in hosts:
            if (row := freeze_over(self._store, host, self._clock())) is not None:
                raise ChangesFrozen(row)

    def refuse_held(self, hosts: Sequence[str]) -> None:
        """Raise HostHeld where somebody holds one of these hosts."""
        now = self._clock()
        if held := [row for row in self._store.holds(hosts) if row.counts(now)]:
            raise HostHeld([row for row in held if row.host == held[0].host])

    def _stopping(self, reason: str, until: datetime | None) -> tuple[datetime, str]:
        """Return since when, and why, without secrets."""
        now, reason = self._clock(), MASKER.text(reason.strip())
        if not reason:
            raise UsageError(Text("a reason is needed: others will ask for it"), Text('--reason "TEXT"'))
        if until is not None and until <= now:
            raise UsageError(Text("the end has passed already"), Text("--until 2h"))
        return now, reason

    def _stop_audit(self, action: str, customers: tuple[str, ...], detail: str) -> AuditRow:
        return AuditRow(at=self._clock(), actor=self.actor, action=action, customers=customers, detail=detail)


def _covered(scope: Scope, name: str | None) -> tuple[Where, ...]:
    """Return what a freeze covers: nothing named is the whole desk."""
    match scope:
        case Scope.CUSTOMER:
            return (Where(customer=name),)  # on all their sites: a role for some of them is not enough
        case Scope.SITE:
            return (Where(site=name),)
    return ()


def freeze_over(store: Store, host: Host, now: datetime) -> FreezeRow | None:
    """Return a freeze that counts now and covers a host."""
    covering = (row for row in store.freezes() if row.counts(now) and row.covers(site=host.site, customer=host.customer))
    return next(covering, None)


def _where(hold: HoldRow) -> Where:
    return Where(customer=hold.customer, site=hold.site)


def _names(holds: Sequence[HoldRow]) -> str:
    return ", ".join(dict.fromkeys(row.host for row in holds))


def _scope(freeze: FreezeRow) -> str:
    return freeze.scope.value if freeze.name is None else f"{freeze.scope.value} {freeze.name}"
