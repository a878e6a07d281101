"""Debian packages: whether all are fully installed, and whether the host wants a reboot.

The state is read with one `grep` of dpkg's own file (deb822; dpkg(1) names its words), about 2 ms (`awk`: 2, or 4 where it
is gawk); `dpkg --audit` and `dpkg-query` take 20 to 40 ms for the same answer and are only asked where something is wrong.
"""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.linux.mountinfo import mount_point_of, read_mountinfo
from diagnostics.parsing import ASKING, Line, Source, Sources, at, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_DEB_SCRIPT = (
    ASKING
    + r"""
unfinished='^Status: [a-z]+ (reinstreq|ok (half-installed|unpacked|half-configured|triggers-awaited|triggers-pending))'
count() { found=$(grep -cE "$unfinished" /var/lib/dpkg/status); ended=$?; printf '%s\n' "$found"; return "$ended"; }
packages() { # all but those that are installed, removed with their configuration kept, or not there
  all=$(dpkg-query -W -f '${db:Status-Abbrev}\t${binary:Package}\t${Version}\n') || return 2 # 1 is grep's: nothing found
  printf '%s\n' "$all" | grep -vE '^.[icn] '
}
units() { # of the packages named by the first lines of `packages`
  set -f
  # shellcheck disable=SC2046  # names of packages, split on purpose
  set -- $(printf '%s\n' "$all" | grep -vE '^.[icn] ' | cut -f 2 | head -n 20)
  files=$(dpkg-query -L "$@") || return
  printf '%s\n' "$files" | grep -E '/systemd/system/[^/]+\.service$'
}
words() {
  tail=$(tail -n 400 /var/log/apt/term.log) || return 2 # 1 is grep's: read, and nothing found
  printf '%s\n' "$tail" | grep -E 'No space left on device|Read-only file system|error processing package|error exit status'
}
if [ -f /var/lib/dpkg/status ]; then
  ask count count
  set -- /var/lib/dpkg/updates/[0-9]*
  [ -e "$1" ] || shift
  ask updates echo "$#"
  if [ "$found$#" != 00 ]; then
    ask packages packages
    ask units units
    ask_file locks /proc/locks
    if [ -e /var/lib/dpkg/lock ]; then ask inodes stat -c '%i' /var/lib/dpkg/lock; else absent inodes /var/lib/dpkg/lock; fi
    ask mountinfo cat /proc/self/mountinfo
    if [ -e /var/log/apt/term.log ]; then ask words words; else absent words /var/log/apt/term.log; fi
  fi
else
  absent count /var/lib/dpkg/status
fi
"""
)
_PACKAGE = re.compile(rb"([a-z])([A-Z a-z])([R ])\t([a-z0-9][a-z0-9+.:-]*)\t(\S*)")
_STATES = {"H": "half-installed", "U": "unpacked", "F": "half-configured", "W": "triggers-awaited", "t": "triggers-pending"}
_PLACES = ("/var/lib/dpkg/status", "/var/cache/apt/archives", "/usr/bin", "/boot")
"""Where dpkg writes whatever the package is."""


def parse_deb(answer: Answer) -> Facts:
    r"""Return the packages that are not fully installed, and whether dpkg is at work or was interrupted.

    `interrupted`: notes of a run that did not end are left in /var/lib/dpkg/updates. `busy`: a process holds dpkg's
    lock, so states are on their way. `mounts` are the mount points that dpkg writes to; `brings.units` the services that
    the unfinished packages bring. `brings` is left out where their files could not be listed, `no_space` and `read_only`
    where apt's log could not be read, and `busy` where the locks could not. Raises NothingThere where there is no dpkg
    database.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_deb(answered(f'''@longarm {mark[1:]}
    ... {mark} source count
    ... 0
    ...
    ... {mark} end 1
    ... {mark} source updates
    ... 0
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["packages"], facts["interrupted"]
    ([], False)
    """
    sources = read_sources("pkg.deb", answer)
    count, updates = _number(sources["count"].usable(1)), _number(sources["updates"])
    facts: dict[str, Any] = {
        "packages": [],
        "names": "",
        "interrupted": updates > 0,
        "brings": {"units": []},
        "mounts": [],
        "last_words": "",
        "words_at": sources["count"].at,
        "at": sources["count"].at,
    }
    if count == updates == 0:
        return facts | {"busy": False}
    return {name: fact for name, fact in facts.items() if name != "brings"} | _details(sources)


def _details(sources: Sources) -> dict[str, Any]:
    listed = sources["packages"].usable(1)
    packages = [_package(line) for line in listed.lines]
    mounts = read_mountinfo(sources["mountinfo"])
    seen = sources["words"].status in (0, 1)
    words = sources["words"].lines if seen else ()
    said = {
        "no_space": any(b"No space left" in line.data for line in words),
        "read_only": any(b"Read-only file system" in line.data for line in words),
    }
    place = listed.at if packages else sources["updates"].at
    return {
        "packages": packages,
        "names": ", ".join(package["package"] for package in packages[:10]) + (", …" if len(packages) > 10 else ""),
        **_busy(sources["locks"], sources["inodes"]),
        **_brings(sources["units"]),
        "mounts": sorted({mount_point_of(path, mounts) for path in _PLACES}),
        **(said if seen else {}),
        "last_words": words[-1].text.strip()[:300] if words else "",
        "words_at": at("pkg.deb", words[-1].number) if words else place,
        "at": place,
    }


def _number(source: Source) -> int:
    lines = source.usable(1).lines
    if len(lines) != 1:
        raise ParseError(source.question, source.data)
    return integer(source.question, lines[0].data)


def _package(line: Line) -> dict[str, Any]:
    if not (match := _PACKAGE.fullmatch(line.data)):
        raise ParseError("pkg.deb", line.data)
    letter = text_of(match[2])
    if letter not in _STATES and match[3] != b"R":
        raise ParseError("pkg.deb", line.data)
    return {
        "package": text_of(match[4]),
        "version": text_of(match[5]),
        "state": _STATES.get(letter, "reinstallation required"),
        "at": at("pkg.deb", line.number),
    }


def _brings(units: Source) -> dict[str, dict[str, list[str]]]:
    """Return the services among the files of the unfinished packages, nothing where their files could not be listed.

    1 is grep's where there is none, and then nobody said anything; dpkg-query, which ends so too, says why.
    """
    if units.status not in (0, 1) or (units.status == 1 and units.stderr.strip()):
        return {}
    return {"brings": {"units": sorted({line.text.rpartition("/")[2] for line in units.lines})}}


def _busy(locks: Source, inodes: Source) -> dict[str, bool]:
    """Return whether a process holds dpkg's lock, nothing where that was not seen.

    A lock file without a holder is normal (proc_locks(5)); where there is no file, nobody holds it.
    """
    if inodes.status is None:
        return {"busy": False}
    if locks.status is None or inodes.status != 0:
        return {}
    wanted = {line.data for line in inodes.lines}
    rows = (line.data.split() for line in locks.usable().lines)
    return {"busy": any(len(row) > 5 and row[5].rpartition(b":")[2] in wanted for row in rows)}


_REBOOT_SCRIPT = (
    ASKING
    + r"""
running() { read -r release </proc/sys/kernel/osrelease && printf '%s\n' "$release"; }
ask running running
hidden() { echo '/boot may not be read' >&2; return 1; }
set -- /boot/vmlinuz-*
if [ -d /boot ] && { [ ! -r /boot ] || [ ! -x /boot ]; }; then ask kernels hidden
elif [ -e "$1" ]; then ask kernels stat -c '%Z %n' /proc/self/ "$@"; else absent kernels '/boot/vmlinuz-*'; fi
# the clock comes with the kernels: what /proc shows of a process was made when it was first looked at, now
clock=with
[ -e "$1" ] || clock=apart
set -- /run/reboot-required /run/reboot-required.pkgs
if [ -e "$1" ]; then
  [ "$clock" = with ] || ask clock date +%s
  ask mark stat -c '%Y' "$1"
  ask_file packages "$2"
elif [ -d /var/lib/dpkg ]; then ask mark echo none
else absent mark 'a package manager that marks it'
fi
"""
)
_NOW = b"/proc/self/"
_FLAVOUR = re.compile(r"(\d+(?:[.-]\d+)*)(.*)")


def parse_reboot(answer: Answer) -> Facts:
    r"""Return whether a reboot is wanted, since when, and for which packages.

    Two signs: the mark that Debian's packages leave (/run/reboot-required), and an installed kernel that is newer than
    the running one of the same flavour (the time is when its image was put there: ctime, since mtime is the build's).
    Raises NothingThere on a host that has neither dpkg nor kernels in /boot (a container, an appliance), and
    SourceFailed where /boot may not be read.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_reboot(answered(f'''@longarm {mark[1:]}
    ... {mark} source running
    ... 6.1.0-9-amd64
    ...
    ... {mark} end 0
    ... {mark} source clock
    ... 1795347671
    ...
    ... {mark} end 0
    ... {mark} source kernels
    ... 1795300000 /boot/vmlinuz-6.1.0-10-amd64
    ... 1790000000 /boot/vmlinuz-6.1.0-9-amd64
    ...
    ... {mark} end 0
    ... {mark} source mark
    ... none
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["wanted"], facts["newest_kernel"], facts["age_s"]
    (True, '6.1.0-10-amd64', 47671)
    """
    sources = read_sources("pkg.reboot", answer)
    running, mark, kernels = _line(sources["running"]).text, sources["mark"], sources["kernels"]
    clock_s = _clock_s(sources)
    if mark.status is None and kernels.status is None:
        raise NothingThere("pkg.reboot", mark.missing)
    newer = _newer_kernel(kernels, running)
    marked_s = _marked_s(mark)
    times = [time_s for time_s in (marked_s, newer[0] if newer else None) if time_s is not None]
    if times and clock_s is None:
        raise ParseError("pkg.reboot", b"nothing tells the time")
    packages = _packages(sources) if marked_s is not None else []
    return {
        "wanted": bool(times),
        "marked": marked_s is not None,
        "running_kernel": running,
        "newest_kernel": newer[1].removeprefix("/boot/vmlinuz-") if newer else running,
        "packages": ", ".join(packages),
        **({"age_s": max(0, clock_s - min(times))} if times and clock_s is not None else {}),
        "at": mark.at if marked_s is not None else at("pkg.reboot", newer[2]) if newer else sources["running"].at,
    }


def _line(source: Source) -> Line:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0]


def _clock_s(sources: Sources) -> int | None:
    """Return the time of the answer: among the kernels since 25 November 2026, else apart; None where nothing needed it."""
    if "clock" in sources:
        return integer("pkg.reboot", _line(sources["clock"]).data)
    if sources["kernels"].status is None:
        return None
    kernels = sources["kernels"].usable()
    time_s, _, name = kernels.data.partition(b"\n")[0].partition(b" ")
    if name != _NOW:
        raise ParseError(kernels.question, kernels.data)
    return integer(kernels.question, time_s)


def _marked_s(mark: Source) -> int | None:
    if mark.status is None or (line := _line(mark).data) == b"none":
        return None
    return integer(mark.question, line)


def _packages(sources: Sources) -> list[str]:
    """Return the packages that asked for the reboot, each once; some leave the mark and no name."""
    if sources["packages"].status is None:
        return []
    return list(dict.fromkeys(line.text.strip() for line in sources["packages"].usable().lines if line.data.strip()))


def _newer_kernel(kernels: Source, running: str) -> tuple[int, str, int] | None:
    """Return time, file and line of the newest kernel of the running one's flavour, where it is newer.

    A host whose running kernel is not among those in /boot (a container, a kernel given by the hypervisor) tells nothing.
    """
    if kernels.status is None:
        return None
    found: dict[str, tuple[int, str, int]] = {}
    for line in kernels.usable().lines:
        time_s, _, name = line.text.partition(" ")
        if line.data.endswith(_NOW):
            continue
        found[name.removeprefix("/boot/vmlinuz-")] = (integer(kernels.question, time_s), name, line.number)
    if running not in found:
        return None
    newest = max((release for release in found if _flavour(release) == _flavour(running)), key=_version)
    return found[newest] if _version(newest) > _version(running) else None


def _flavour(release: str) -> str:
    """Return what follows the version in a kernel's release, without the release of the distribution.

    >>> _flavour("6.1.0-56-cloud-amd64"), _flavour("5.14.0-427.13.1.el9_4.x86_64")
    ('-cloud-amd64', '.x86_64')
    """
    match = _FLAVOUR.fullmatch(release)
    return re.sub(r"\.(?:el|fc)\d+(?:_\d+)*", "", match[2]) if match else release


def _version(release: str) -> tuple[int, ...]:
    """Return the version in a kernel's release as numbers to compare.

    >>> _version("6.1.0-10-amd64") > _version("6.1.0-9-amd64")
    True
    """
    match = _FLAVOUR.fullmatch(release)
    return tuple(int(part) for part in re.split(r"[.-]", match[1])) if match else ()


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="pkg.deb", script=_DEB_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_deb,
        summary="Which Debian packages are not fully installed, and what the last attempt said",
        shape={
            "packages": [{"package": "str", "version": "str", "state": "str", "at": "at"}],
            "names": "str",
            "interrupted": "bool",
            "busy": "bool?",
            "brings": {"units": ["str"]},
            "mounts": ["str"],
            "no_space": "bool?",
            "read_only": "bool?",
            "last_words": "str",
            "words_at": "at",
            "at": "at",
        },
    ),
    Probe(
        question=Question(id="pkg.reboot", script=_REBOOT_SCRIPT, deadline_s=5, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_reboot,
        summary="Whether the host wants a reboot, since when and for which packages",
        shape={
            "wanted": "bool",
            "marked": "bool",
            "running_kernel": "str",
            "newest_kernel": "str",
            "packages": "str",
            "age_s": "int? seconds",
            "at": "at",
        },
    ),
)
