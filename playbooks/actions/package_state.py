"""Packages: what is installed, what could be, and what brings the two together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.native import Decision, Look, NotThere, script
from playbooks.actions.row import Values
from remote.answer import Answer

MOST_NAMES: Final = 200
UNCHANGED: Final = b"no package was changed\n"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9+._:-]{0,126}[A-Za-z0-9+._:])?")
"""One that ends in “-” says to apt that what is before it goes."""
_MANAGER: Final = re.compile(r"manager (apt|dnf|yum|zypper|apk)")
_REBOOT: Final = re.compile(r"reboot (yes|no)")
_PACKAGE: Final = re.compile(r"(package|change) (\S+) (\S+) (\S+)")
_SAID: Final = re.compile(r"(unknown|untried) ?(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a look at packages brought back."""

    manager: str
    packages: Sequence[tuple[str, str, str]]
    """Name, what is installed, what is newest; “-” for none."""
    changes: Mapping[str, tuple[str, str]]
    """What the package manager would do, by name: before and after."""
    unknown: Sequence[str]
    """Names that no package has, and that apt would take for something else."""
    untried: str | None
    """Why the package manager did not say what it would do; None: it did, or has nothing to do."""
    reboot: str | None


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
    """Return what installs, upgrades or removes what differs.

    Where the lists are brought up to date first and the newest is wanted, only that tells what differs.
    """
    if answer.exit_status == 3:
        raise NotThere(Text("{said}", said=answer.stderr[:200].decode("utf-8", "backslashreplace").strip()))
    state = values.get("state") or "present"
    wanted = list(dict.fromkeys(values["names"]))
    seen = _seen(answer)
    if answer.exit_status != 0 or [name for name, _, _ in seen.packages] != wanted:
        raise ValueError("not a look at packages")
    after = {name: _after(state, here, newest) for name, here, newest in seen.packages}
    names = [name for name, here, _ in seen.packages if after[name] != here]
    data = {
        "manager": seen.manager,
        "packages": [
            {
                "name": name,
                **({} if here == "-" else {"before": here}),
                **({} if after[name] in ("-", "") else {"after": after[name]}),
            }
            for name, here, _ in seen.packages
        ],
        **({} if seen.reboot is None else {"needs_reboot": seen.reboot == "yes"}),
    }
    refresh = bool(values.get("refresh")) and state != "absent"
    unsure = refresh and state == "latest"
    if not names and not unsure:
        return Decision(data=data)
    if not refresh and (strange := [name for name in seen.unknown if name in names]):
        raise NotThere(Text("there is no package “{name}”, and apt would take that for something else", name=strange[0]))
    action = {"absent": "remove", "latest": "upgrade"}.get(state, "install")
    variables = {
        "manager": seen.manager,
        "action": action,
        "names": "\n".join(wanted if unsure else names),
        "refresh": refresh,
    }
    return Decision(
        diff=tuple(_diff(seen, names, after)),
        script=script("package_apply.sh"),
        variables=variables,
        data=data,
        why=_how_sure(seen, refresh=refresh),
        unsure=unsure,
    )


def _how_sure(seen: _Seen, *, refresh: bool) -> Text | None:
    if refresh:
        return Text("the lists of packages are brought up to date first: what is said here is said by those of now")
    if seen.untried is not None:
        return Text(
            "what comes along or goes with it is not known: {manager} says “{said}”", manager=seen.manager, said=seen.untried
        )
    return None


def _seen(answer: Answer) -> _Seen:
    """Return what was seen; raises ValueError for what is no look at packages."""
    head, *lines = answer.stdout.decode("utf-8", "backslashreplace").splitlines() or [""]
    if (manager := _MANAGER.fullmatch(head)) is None:
        raise ValueError("no manager")
    reboot = _REBOOT.fullmatch(lines.pop()) if lines and lines[-1].startswith("reboot ") else None
    rows = [_PACKAGE.fullmatch(line) or _SAID.fullmatch(line) for line in lines]
    if not all(rows):
        raise ValueError("not a line about a package")
    found = [row.groups() for row in rows if row is not None]
    return _Seen(
        manager=manager[1],
        packages=[(one[1], one[2], one[3]) for one in found if one[0] == "package"],
        changes={one[1]: (one[2], one[3]) for one in found if one[0] == "change"},
        unknown=[one[1] for one in found if one[0] == "unknown"],
        untried=next((one[1] for one in found if one[0] == "untried"), None),
        reboot=None if reboot is None else reboot[1],
    )


def _diff(seen: _Seen, names: Sequence[str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what changes, a line each: what was asked for, then what comes along with it or has to go."""
    here = {name: version for name, version, _ in seen.packages}
    for name in names:
        before, then = seen.changes.get(name, (here[name], after[name]))
        yield from _lines(name, before, then)
    for name, (before, then) in seen.changes.items():
        if name not in names:
            yield from _lines(name, before, then)


def _lines(name: str, before: str, then: str) -> Iterator[str]:
    if before != "-":
        yield f"-{name} {before}"
    if then != "-":
        yield f"+{name} {then}".rstrip()


def _after(state: str, here: str, newest: str) -> str:
    """Return the version that there shall be: "-" none, empty one that only the host knows."""
    match state:
        case "absent":
            return "-"
        case "latest" if newest not in ("-", "(none)"):
            return newest
    return here if here != "-" else ""
