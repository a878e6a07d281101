"""From the words of `longarm hold`, `freeze` and `unfreeze` to the desk, and what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.inventories import known_inventory
from console.listing import show_list
from console.moments import moment_to_come
from console.settings import Settings
from console.terminal import tell
from inventory.errors import Text, UsageError
from inventory.fields import did_you_mean
from runner.desk import Desk
from runner.desk_base import utc_now
from runner.desk_looking import Leased
from runner.store.errors import age, scope_of, until
from runner.store.rows import FreezeRow, HoldRow, Scope

_HOLDS = {
    "host": Text("host"),
    "owner": Text("owner"),
    "reason": Text("reason"),
    "since": Text("since"),
    "until": Text("until"),
}
_FREEZES = {
    "scope": Text("scope"),
    "name": Text("name"),
    **{name: _HOLDS[name] for name in ("owner", "reason", "since", "until")},
}
_REMOVED = {"removed_at": Text("removed"), "removed_by": Text("removed by")}


def add_holds(settings: Settings, targets: str, reason: str, end: str | None) -> int:
    """Hold hosts and show every hold that counts on them."""
    hosts = known_inventory(settings).select(targets).hosts
    with Desk.open_beside(settings.writable_home()) as desk:
        holds = desk.hold(hosts, reason=reason, until=moment_to_come(end, utc_now()) if end else None)
    show_list(settings.output, _HOLDS, [*map(hold_line, holds)])
    return 0


def remove_holds(settings: Settings, targets: str, owner: str | None) -> int:
    """Remove the holds of hosts, by their names where the inventory does not know them any more, and tell which."""
    with Desk.open_beside(settings.writable_home()) as desk:
        known = any(row.host == targets and settings.within(row.customer) for row in desk.holds())
        hosts = [targets] if known else [host.name for host in known_inventory(settings).select(targets).hosts]
        for row in desk.remove_holds(hosts, owner=owner):
            tell(
                settings,
                Text("{host} is not held by {owner} any more: {reason}", host=row.host, owner=row.actor, reason=row.reason),
            )
    return 0


def show_holds(settings: Settings, *, past: bool) -> int:
    """Show the holds that count, or all that ever were."""
    with Desk.open(settings.home, write=False) as desk:
        rows = [hold_line(row) for row in desk.holds(past=past) if settings.within(row.customer)]
    show_list(settings.output, {**_HOLDS, **_REMOVED} if past else _HOLDS, rows)
    return 0


def freeze(settings: Settings, site: str | None, customer: str | None, reason: str | None, end: str | None) -> int:
    """Freeze changes in a scope and show the freeze."""
    if not reason:
        raise UsageError(Text("a reason is needed: others will ask for it"), Text("longarm freeze --reason …"))
    scope, name = _scope(settings, site, customer, known=True)
    with Desk.open_beside(settings.writable_home()) as desk:
        row = desk.freeze(scope, name, reason=reason, until=moment_to_come(end, utc_now()) if end else None)
    tell(settings, Text("{scope} frozen, {until}", scope=scope_of(row), until=until(row.until)))
    show_list(settings.output, _FREEZES, [freeze_line(row)])
    return 0


def unfreeze(settings: Settings, site: str | None, customer: str | None) -> int:
    """Remove the freezes of exactly this scope, and tell which."""
    scope, name = _scope(settings, site, customer, known=False)
    with Desk.open_beside(settings.writable_home()) as desk:
        for row in desk.unfreeze(scope, name):
            tell(
                settings,
                Text("{scope} no longer frozen by {owner}: {reason}", scope=scope_of(row), owner=row.actor, reason=row.reason),
            )
    return 0


def show_freezes(settings: Settings, *, past: bool) -> int:
    """Show the freezes that count, or all that ever were."""
    with Desk.open(settings.home, write=False) as desk:
        rows = [freeze_line(row) for row in desk.freezes(past=past) if _concerns(settings, row)]
    show_list(settings.output, {**_FREEZES, **_REMOVED} if past else _FREEZES, rows)
    return 0


def _concerns(settings: Settings, row: FreezeRow) -> bool:
    """Tell whether a freeze may count for the customer that a command is about; a site's may have hosts of everybody."""
    return row.scope is not Scope.CUSTOMER or settings.within(row.name)


def hold_line(row: HoldRow) -> dict[str, object]:
    """Return a hold as lists show it."""
    return {"host": row.host, "customer": row.customer, **_who(row.actor, row.reason, row.since, row.until), **_gone(row)}


def freeze_line(row: FreezeRow) -> dict[str, object]:
    """Return a freeze as lists show it."""
    return {"scope": row.scope, "name": row.name, **_who(row.actor, row.reason, row.since, row.until), **_gone(row)}


def lease_line(one: Leased) -> dict[str, object]:
    """Return a lease as lists show it: its reason is the playbook that changes the host, or what somebody does by hand."""
    lease = one.lease
    return {
        "host": lease.host,
        "run": lease.run,
        "state": one.state,
        "actor": lease.actor,
        "kind": one.kind,
        "reason": lease.reason,
        "since": lease.since,
        "age": age(lease.since, lease.since + one.age),
        "age_s": int(one.age.total_seconds()),
    }


def _who(owner: str, reason: str, since: datetime, end: datetime | None) -> dict[str, object]:
    return {"owner": owner, "reason": reason, "since": since, "until": end}


def _gone(row: HoldRow | FreezeRow) -> dict[str, object]:
    return {"removed_at": row.removed_at, "removed_by": row.removed_by or None}


def _scope(settings: Settings, site: str | None, customer: str | None, *, known: bool) -> tuple[Scope, str | None]:
    """Return the scope that is meant; `known`: a site or a customer that the inventory does not have is misspelt."""
    customer = customer or settings.wall
    if site and customer:
        raise UsageError(Text("a site or a customer, not both"), Text("freeze each of them"))
    scope, name = (Scope.SITE, site) if site else (Scope.CUSTOMER, customer) if customer else (Scope.DESK, None)
    if name is not None and known:
        _refuse_unknown(scope.value, name, sorted(known_inventory(settings).values_of(scope.value)))
    return scope, name


def _refuse_unknown(key: str, name: str, there: Sequence[str]) -> None:
    if name.casefold() not in {one.casefold() for one in there}:
        hint = did_you_mean(name, there) or Text("the inventory has {names}", names=", ".join(there) or "-")
        raise UsageError(Text("no host has {key}={name}", key=key, name=name), hint)
