"""Who asks: the account behind a process, with its groups as the operating system knows them now."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping

from runner.roles import Caller


def caller_of(uid: int) -> Caller:
    """Return the account with this number, as SO_PEERCRED tells it; one that the system does not know is in no group."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return Caller(name=str(uid), uid=uid)
    return Caller(name=account.pw_name, uid=uid, groups=_groups(account))


def caller_named(name: str) -> Caller | None:
    """Return the account of this name, None where there is none any more."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    return Caller(name=name, uid=account.pw_uid, groups=_groups(account))


_FOR: list[int] = []


def act_for(uid: int) -> None:
    """Let all that this process does from now on be done for an account: a service's processes act for its clients.

    Then the configuration alone says who may do what; where it names nobody, only the account that keeps the service may.
    """
    _FOR[:] = [uid]


def whoever_asks() -> Caller:
    """Return whom this process acts for, in the groups of now: a client of the service, else who runs it."""
    return caller_of(_FOR[0]) if _FOR else caller_in_process()


def keeper() -> str:
    """Return the account that keeps the service in which this process acts for somebody; empty: it acts for who runs it."""
    return caller_of(os.getuid()).name if _FOR else ""


def caller_in_process(environ: Mapping[str, str] = os.environ) -> Caller:
    """Return who runs this process; behind sudo the person who called it, so that a shared account hides nobody.

    It is what the environment says, and whoever owns the process could have it say something else: roles are advisory here.
    """
    behind = environ.get("SUDO_UID", "")
    return caller_of(int(behind) if behind.isdecimal() and len(behind) < 11 else os.getuid())


def _groups(account: pwd.struct_passwd) -> frozenset[str]:
    return frozenset(filter(None, map(_group, os.getgrouplist(account.pw_name, account.pw_gid))))


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
