"""Packages: what is installed, what could be, and what brings the two together."""

from __future__ import annotations

import re
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.native import Decision, Look, NotThere, script
from playbooks.actions.row import Values
from remote.answer import Answer

MOST_NAMES: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:-]{0,127}")
_MANAGER: Final = re.compile(r"manager (apt|dnf|yum|zypper|apk)")
_REBOOT: Final = re.compile(r"reboot (yes|no)")
_PACKAGE: Final = re.compile(r"package (\S+) (\S+) (\S+)")


def look_at_packages(values: Values, platform: Platform) -> Look:  # noqa: ARG001 (those that have several need it)
    """Return the script that looks; raises NotThere for what cannot be the name of a package."""
    names = tuple(dict.fromkeys(values["names"]))
    for name in names:
        if not _NAME.fullmatch(name):
            raise NotThere(Text("“{name}” cannot be the name of a package", name=name))
    if len(names) > MOST_NAMES:
        raise NotThere(Text("more than {limit} packages in one step", limit=MOST_NAMES))
    return script("package_look.sh"), {"names": "\n".join(names), "state": values.get("state") or "present"}


def decide_packages(values: Values, platform: Platform, answer: Answer) -> Decision:  # noqa: ARG001 (see above)
    """Return what installs, upgrades or removes what differs."""
    if answer.exit_status == 3:
        raise NotThere(Text("{said}", said=answer.stderr[:200].decode("utf-8", "backslashreplace").strip()))
    head, *lines = answer.stdout.decode("utf-8", "backslashreplace").splitlines() or [""]
    manager = _MANAGER.fullmatch(head)
    reboot = _REBOOT.fullmatch(lines.pop()) if lines and lines[-1].startswith("reboot ") else None
    rows = [_PACKAGE.fullmatch(line) for line in lines]
    state = values.get("state") or "present"
    wanted = list(dict.fromkeys(values["names"]))
    if answer.exit_status != 0 or manager is None or [row and row[1] for row in rows] != wanted:
        raise ValueError("not a look at packages")
    packages: list[dict[str, Any]] = []
    diff: list[str] = []
    names: list[str] = []
    for row in rows:
        assert row is not None  # each of them has a name that was wanted
        name, here, newest = row.groups()
        after = _after(state, here, newest)
        if after != here:
            names.append(name)
            diff += [f"-{name} {here}"] if here != "-" else []
            diff += [f"+{name} {after}".rstrip()] if state != "absent" else []
        packages.append(
            {"name": name, **({} if here == "-" else {"before": here}), **({} if after in ("-", "") else {"after": after})}
        )
    data = {"manager": manager[1], "packages": packages, **({} if reboot is None else {"needs_reboot": reboot[1] == "yes"})}
    if not names:
        return Decision(data=data)
    action = {"absent": "remove", "latest": "upgrade"}.get(state, "install")
    variables = {
        "manager": manager[1],
        "action": action,
        "names": "\n".join(names),
        "refresh": bool(values.get("refresh")) and state != "absent",
    }
    return Decision(diff=tuple(diff), script=script("package_apply.sh"), variables=variables, data=data)


def _after(state: str, here: str, newest: str) -> str:
    """Return the version that there shall be: "-" none, empty one that only the host knows."""
    match state:
        case "absent":
            return "-"
        case "latest" if newest not in ("-", "(none)"):
            return newest
    return here if here != "-" else ""
