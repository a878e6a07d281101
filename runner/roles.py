"""Who may do what: one table of action x tier x risk x ownership; what it does not allow is denied.

Pure: the configuration says who has which role where (`Grant`), the table what a role may do, `decide` puts the two together.
In process this is advisory (`runner.desk.ROLES_ADVISORY`); behind `longarm serve` nobody gets past it.

>>> olga = Caller(name="olga", uid=1001, groups=frozenset({"support"}))
>>> roles = Roles(grants=(Grant(role=Role.L2, groups=("support",), customers=("acme",)),))
>>> at_acme, at_zeta = Where(customer="acme", site="berlin"), Where(customer="zeta")
>>> decide(roles, olga, Action.REPAIR, where=[at_acme], tier=Tier.L2, risk=Risk.REVERSIBLE)
Allowed(role=<Role.L2: 'L2'>)
>>> print(decide(roles, olga, Action.REPAIR, where=[at_acme, at_zeta], tier=Tier.L2, risk=Risk.REVERSIBLE).why)
olga has no role for zeta
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from inventory.errors import LongarmError, Text
from playbooks.model import Risk, Tier

TABLE: Final = """
action       whose   tier   read   reversible  disruptive
read         any     -      L1     L1          L1
case         any     -      L1     L1          L1
diagnose     own     heeded L1     -           -
file         own     -      L2     -           -
command      own     -      -      L2          L3
terminal     own     -      -      -           L3
plan         own     -      L1     L1          L1
repair       own     heeded L1     L2          L2
resume       own     heeded L1     L2          L2
resume       others  heeded L2     L2          L3
retry        own     heeded L1     L2          L2
retry        others  heeded L2     L2          L3
roll_back    own     heeded L1     L2          L2
roll_back    others  heeded L2     L2          L3
start        own     heeded L1     L2          L2
start        others  heeded L2     L2          L3
stop         own     -      L1     L1          L1
stop         others  -      L2     L2          L2
approve      others  -      L3     L3          L3
decline      own     -      L1     L1          L1
decline      others  -      L3     L3          L3
break_glass  own     -      L2     L2          L2
hold         own     -      L2     L2          L2
release      own     -      L2     L2          L2
release      others  -      L3     L3          L3
freeze       own     -      L3     L3          L3
unfreeze     any     -      L3     L3          L3
audit        any     -      L3     -           -
verify       any     -      L3     -           -
backup       any     -      admin  -           -
prune        any     -      admin  -           -
erase        any     -      admin  -           -
"""
"""The least role for an action, by whose run (hold, case) it is about and what it can do to a host; `-`: nobody may.

`heeded`: the tier that a playbook is marked for is asked for too. Nobody approves what they asked for: no row says so.
"""


class Role(StrEnum):
    """What somebody is to the desk: a tier of support, or who keeps the desk itself; each may what those before it may."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Return how far up it is: 0 is L1."""
        return [*Role].index(self)

    def covers(self, other: Role | Tier) -> bool:
        """Tell whether it may what another role may, or use what is marked for a tier."""
        return self.rank >= Role(other.value).rank


class Action(StrEnum):
    """What is asked of the desk."""

    READ = "read"  # runs, evidence, reports, who holds what
    CASE = "case"  # what is on a case, and what goes there
    DIAGNOSE = "diagnose"
    FILE = "file"  # `host get`
    COMMAND = "command"  # `host run`: reversible; as root disruptive
    TERMINAL = "terminal"  # `host shell`
    PLAN = "plan"  # `repair --plan`
    REPAIR = "repair"
    RESUME = "resume"
    RETRY = "retry"
    ROLL_BACK = "roll_back"  # what an earlier run did
    START = "start"  # a run that was approved
    STOP = "stop"
    APPROVE = "approve"
    DECLINE = "decline"  # `approve --refuse`; of one's own: to take it back
    BREAK_GLASS = "break_glass"  # to begin without a second person what needs one
    HOLD = "hold"
    RELEASE = "release"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    AUDIT = "audit"
    VERIFY = "verify"
    BACKUP = "backup"
    PRUNE = "prune"
    ERASE = "erase"


class Whose(StrEnum):
    """Whose run, hold or case something is about."""

    OWN = "own"
    OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: an account of the operating system, with the groups that it is in."""

    name: str
    uid: int
    groups: frozenset[str] = frozenset()


ANY_SITE: Final = "*"
"""Of what belongs to a customer and lies on no site, such as a case: who has a role on one of their sites has it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where something is to be done: at which customer's, on which site."""

    customer: str | None = None
    site: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role for users and groups; without customers, or sites, for those of all."""

    role: Role
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def holds(self, caller: Caller, where: Where | None) -> bool:
        """Tell whether somebody has the role there; None: everywhere."""
        if caller.name not in self.users and caller.groups.isdisjoint(self.groups):
            return False
        if where is None:
            return not self.customers and not self.sites
        on_site = where.site == ANY_SITE or _within(where.site, self.sites)
        return on_site and _within(where.customer, self.customers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Everybody's roles; `alone`: there is nobody but who opened the home, and they may do everything."""

    grants: tuple[Grant, ...] = ()
    alone: bool = False

    def of(self, caller: Caller, where: Where | None) -> Role | None:
        """Return the greatest role that somebody has there, None where they have none; where None: everywhere."""
        if self.alone:
            return Role.ADMIN
        held = [grant.role for grant in self.grants if grant.holds(caller, where)]
        return max(held, key=lambda role: role.rank, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """It may be done; `role` is the least that the caller has for any of what it is about."""

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """It may not be done, and why."""

    why: Text


Decision: TypeAlias = Allowed | Denied


class RoleRefused(LongarmError):
    """Whoever asks may not do this here."""

    def __init__(self, why: Text, hint: Text | None = None) -> None:
        super().__init__(why, hint)


def whose(caller: Caller, owner: str) -> Whose:
    """Return whether something that `owner` asked for is the caller's own."""
    return Whose.OWN if caller.name == owner else Whose.OTHERS


def decide(
    roles: Roles,
    caller: Caller,
    action: Action,
    *,
    where: Iterable[Where] = (),
    tier: Tier = Tier.L1,
    risk: Risk = Risk.READ,
    whose: Whose = Whose.OWN,
) -> Decision:
    """Return whether a caller may do something everywhere that it is about; without where it is about the whole desk.

    `tier` is what the playbook is marked for, `risk` what it can do to a host, `whose` says who asked for the run.
    """
    rule = _RULES.get((action, whose))
    least = None if rule is None else rule.least[risk]
    if rule is None or least is None:
        return Denied(why=_nobody(action, whose, risk))
    held = []
    for one in dict.fromkeys(where) or (None,):
        role = roles.of(caller, one)
        if role is None:
            return Denied(why=_no_role(caller, one))
        known = {"who": caller.name, "role": role.value, "where": _named(one)}
        if not role.covers(least):
            why = Text(
                "{who} is {role} for {where}: “{action}” is for {least}", action=action.value, least=least.value, **known
            )
            return Denied(why=why)
        if rule.heeds_tier and not role.covers(tier):
            return Denied(why=Text("{who} is {role} for {where}: the playbook is marked for {tier}", tier=tier.value, **known))
        held.append(role)
    return Allowed(role=min(held, key=lambda role: role.rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One row of the table."""

    heeds_tier: bool
    least: Mapping[Risk, Role | None]


def _rules(table: str) -> dict[tuple[Action, Whose], _Rule]:
    rules: dict[tuple[Action, Whose], _Rule] = {}
    for line in table.strip().splitlines()[1:]:
        action, of, tier, *columns = line.split()
        least = {risk: None if word == "-" else Role(word) for risk, word in zip(Risk, columns, strict=True)}
        for one in Whose if of == "any" else (Whose(of),):
            rules[Action(action), one] = _Rule(heeds_tier=tier == "heeded", least=least)
    return rules


_RULES = _rules(TABLE)


def _within(name: str | None, names: tuple[str, ...]) -> bool:
    """Tell whether a customer or a site is among those of a grant; upper and lower case do not matter, as with walls."""
    return not names or (name is not None and name.casefold() in {one.casefold() for one in names})


def _named(where: Where | None) -> str:
    return "*" if where is None else "/".join(filter(None, (where.customer, where.site))) or "-"


def _no_role(caller: Caller, where: Where | None) -> Text:
    if where is None:
        return Text("{who} has no role for the whole desk", who=caller.name)
    return Text("{who} has no role for {where}", who=caller.name, where=_named(where))


def _nobody(action: Action, whose: Whose, risk: Risk) -> Text:
    if action is Action.APPROVE and whose is Whose.OWN:
        return Text("nobody approves what they asked for themselves")
    return Text("nobody may do this: “{action}”, {whose}, {risk}", action=action.value, whose=whose.value, risk=risk.value)
