"""Repairs on real hosts as tests watch them: what a plan foretells is held against what the run then does."""

from __future__ import annotations

import re
from typing import Any

from runner.approved_plan import NOTE
from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

QUIET = {"run", "var/cache/apt", "var/lib/chrony", "var/lib/sudo/lectured", "var/log/apt", "var/log/chrony", "var/log/journal"}
QUIET |= {f"var/log/{name}" for name in ("btmp", "faillog", "lastlog", "wtmp")}
"""What a host itself writes when somebody logs in, asks apt what it would do, or as time goes by."""
PRIVATE = "systemd-private-"
"""How the temporary folders begin that systemd makes for a service that somebody asks, as that for the time."""
LOOK = r"""
cat /proc/self/mounts
ip -o link 2>/dev/null | sed 's/ qdisc.*//'
ip -4 -o addr | sed 's/ *valid_lft.*//; s/\\ *$//'
ip -4 route
find /run/faillock -printf '%p %s %T@\n' 2>/dev/null
ps -eo unit,pid,ni,comm 2>/dev/null | grep '[.]service ' | grep -v -e '^ssh' -e '^user' -e '^systemd-[a-z]*d[.]service' | sort
"""
TIMES = re.compile(r"\d\d:\d\d:\d\d")
OF_NOW = re.compile(r" Warning!? ")
"""How a line of e2fsck begins that is about the filesystem being mounted as the plan looks at it."""


def traces(lab: RealLab, name: str) -> dict[str, str]:
    """Return what somebody who changed a host would have changed: its files, mounts, network, services, and their priority."""
    upper = lab.hosts[name].folder / "upper"
    found, folders = {"": lab.enter(name, LOOK)}, [upper]
    for folder in folders:
        for one in folder.iterdir():
            path, stat = str(one.relative_to(upper)), one.lstat()
            if path in QUIET or one.name.startswith(PRIVATE):
                continue
            found[path] = f"{stat.st_mode:o} {stat.st_uid}:{stat.st_gid}"
            if one.is_symlink() or not one.is_dir():
                found[path] += f" {stat.st_ctime_ns}"
            else:
                folders.append(one)
    return found


def otherwise(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Return where two looks at a host differ."""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: (before.get(key), after.get(key)) for key in keys}


def lines(diff: list[str]) -> list[str]:
    """Return what a step would change or has changed, but for times, notes, and what is so only until it is done."""
    return [TIMES.sub("TIME", line) for line in diff if not OF_NOW.match(line) and not line.startswith(NOTE)]


def hold_against(plans: list[dict[str, Any]], steps: list[dict[str, Any]]) -> int:
    """Hold what was foretold against what was then done, and return of how many steps nobody could tell."""
    done = {step["key"]: step for step in steps}
    told = [plan for plan in plans if plan["changes"] is not None]
    foretold = {plan["key"]: (word(plan), lines(plan["diff"])) for plan in told}
    assert foretold == {key: (done[key]["state"], lines(done[key]["diff"])) for key in foretold}
    return len(plans) - len(told)


def word(plan: dict[str, Any]) -> str:
    """Return the state in which a step should end."""
    return "skipped" if plan["skipped"] else "changed" if plan["changes"] else "ok"


def repaired(ward: SupportDesk, playbook: str, names: str, *words: str, untold: int = 0) -> dict[str, Any]:
    """Plan a repair, then do it, and return its document: the plan changed nothing, and what it foretold is what was done.

    Of `untold` steps of each host it could not tell.
    """
    words = (playbook, names, *words, "--fail-on", "never")
    before = {name: traces(ward.lab, name) for name in names.split(",")}
    planned = ward.repair(*words, "--plan")
    changed = {name: otherwise(seen, traces(ward.lab, name)) for name, seen in before.items()}
    assert not any(changed.values()), changed
    document = ward.repair(*words)
    for name in before:
        foretold, done = host(planned, name)["repair"], host(document, name)["repair"]
        assert foretold["change"] == "unchanged", foretold
        assert hold_against(foretold["plans"], done["steps"]) == untold, foretold["plans"]
    return document


def mended(
    ward: SupportDesk, playbook: str, name: str, *words: str, fixed: str, others: str = "-", untold: int = 0
) -> dict[str, Any]:
    """Repair a host as was foretold, assert that the finding `CHECK SUBJECT` is fixed, and return its row.

    Findings of the check `others` are left alone.
    """
    row = host(repaired(ward, playbook, name, *words, untold=untold), name)
    assert row["outcome"] in ("ok", "findings"), row  # of others: apt has no lists here
    assert row["repair"]["change"] == "changed"
    verdicts = {f"{one['check']} {one['subject']}".strip(): one["fix"] for one in row["repair"]["verdicts"]}
    assert {key: fix for key, fix in verdicts.items() if not key.startswith(others)} == {fixed: "fixed"}
    return row


def states(row: dict[str, Any]) -> dict[str, str]:
    """Return how each step of a repair ended, by its name."""
    return {step["name"]: step["state"] for step in row["repair"]["steps"]}
