"""What all parts of the desk stand on: one open home, changes that are written to it, and who did what."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inventory.errors import Text
from inventory.host import Host
from inventory.secret import MASKER
from playbooks.model import Risk, Tier
from runner.callers import keeper, whoever_asks
from runner.config import Stamp, load_config, stamp_of
from runner.host_run import Clock
from runner.roles import ANY_SITE, Action, Allowed, Caller, Denied, RoleRefused, Roles, Where, Whose, decide, whose
from runner.store.changes import Change
from runner.store.lock import HomeLock, LentLock
from runner.store.port import Place, Store
from runner.store.rows import AuditRow


class DeskBase:
    """One open home: its store, the lock if it is open to write, whose name goes into the audit."""

    def __init__(
        self, home: Path, store: Store, lock: HomeLock | LentLock | None, asks: Callable[[], Caller], clock: Clock
    ) -> None:
        """`asks` returns who asks, in the groups of the operating system as they are then."""
        self.home, self.asks, self.actor = home, asks, asks().name
        self._store, self._lock, self._clock = store, lock, clock
        self._roles_read: tuple[Stamp, Roles] | None = None

    @property
    def caller(self) -> Caller:
        """Return who asks, in the groups of now: who was taken out of one has its role no more, nor have their runs."""
        return self.asks()

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return who did what, oldest first; raises RoleRefused."""
        self._may(Action.AUDIT)
        return self._store.audit(run)

    def roles(self) -> Roles:
        """Return everybody's roles as the configuration has them now; raises InvalidFile.

        They are asked for before each host: the file is read anew only where it is not the one that was read.
        """
        stamp = stamp_of(self.home)
        if self._roles_read is None or self._roles_read[0] != stamp:
            self._roles_read = None
            roles = load_config(self.home).roles(keeper())
            if not stamp.recent:
                self._roles_read = stamp, roles
            return roles
        return self._roles_read[1]

    def _may(
        self,
        action: Action,
        where: Iterable[Where] = (),
        *,
        tier: Tier = Tier.L1,
        risk: Risk = Risk.READ,
        owner: str | None = None,
    ) -> None:
        """Raise RoleRefused unless the caller may do something; `owner` asked for what it is about, by default the caller."""
        caller = self.caller
        mine = Whose.OWN if owner is None else whose(caller, owner)
        said = decide(self.roles(), caller, action, where=where, tier=tier, risk=risk, whose=mine)
        if isinstance(said, Denied):
            raise RoleRefused(said.why, Text("longarm config show"))

    def _seen(self, runs: Sequence[str]) -> frozenset[str]:
        """Return those of the runs that the caller may look at."""
        roles, caller = self.roles(), self.caller
        if roles.alone:
            return frozenset(runs)
        places = self._store.places(runs)
        return frozenset(
            run for run in runs if isinstance(decide(roles, caller, Action.READ, where=_wheres(places.get(run, ()))), Allowed)
        )

    def _sees_customer(self, name: str | None) -> bool:
        """Tell whether the caller may look at what belongs to a customer."""
        return self._sees(Where(customer=name, site=ANY_SITE))

    def _sees(self, where: Where) -> bool:
        """Tell whether the caller may look at what is there."""
        return isinstance(decide(self.roles(), self.caller, Action.READ, where=[where]), Allowed)

    def _where_runs_were(self, *runs: str) -> tuple[Where, ...]:
        return tuple(where for places in self._store.places(runs).values() for where in _wheres(places))

    def _write(self, change: Change, *blobs: bytes) -> None:
        self._store.write(change, blobs).result()

    def _audited(self, action: str, run: str | None, case: str, customers: tuple[str, ...], digest: str) -> AuditRow:
        return AuditRow(
            at=self._clock(),
            actor=self.actor,
            action=action,
            run=run,
            case=case,
            customers=customers,
            digests=(digest,),
        )


def _wheres(places: Iterable[Place]) -> tuple[Where, ...]:
    return tuple(Where(customer=customer, site=site) for customer, site in places)


def wheres_of(hosts: Iterable[Host]) -> tuple[Where, ...]:
    """Return where hosts are."""
    return tuple(dict.fromkeys(Where(customer=host.customer, site=host.site) for host in hosts))


def login_name() -> str:
    """Return the name of whoever asks: the actor where nobody names one."""
    return whoever_asks().name


def command_line() -> str:
    """Return the command that this process runs, without secrets and not long: who holds a home is named by it."""
    return MASKER.text(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]


def utc_now() -> datetime:
    """Return the time, as the desk tells it where nobody gives it another clock."""
    return datetime.now(UTC)
