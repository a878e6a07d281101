"""Mounts: which filesystems on disks take no writes, and whether they were meant to."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.library.linux.mountinfo import ON_DISK, STOPPED, Mount, read_mountinfo, unescaped
from diagnostics.parsing import ASKING, SHORT, Source, Sources, at, decimal, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_EFI = frozenset({"/boot/efi", "/efi"})
"""Read-only by many a policy, and vfat turns read-only at the first odd sector."""

_MOUNTS_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + SHORT
    + r"""
seen=''
ext4_errors() { # device, errors since the last fsck, time of the last one; without a process
  for state in /sys/fs/ext4/*; do
    block=/sys/class/block/${state##*/}/dev
    [ -r "$state/last_error_time" ] || continue # a kernel before 4.20, or a folder of features
    [ -r "$block" ] || continue
    read -r errors <"$state/errors_count" || return
    case $errors in 0) continue ;; esac
    read -r last <"$state/last_error_time" || return
    read -r device <"$block" || return
    seen="$seen$device $errors $last$nl"
  done
  printf %s "$seen"
}
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
ask_file mountinfo /proc/self/mountinfo
if [ -e /etc/fstab ]; then ask fstab short /etc/fstab; else absent fstab /etc/fstab; fi
ask errors ext4_errors
if [ -n "$seen" ]; then ask uptime uptime; ask clock date +%s; fi
"""
)


def parse_mounts(answer: Answer) -> Facts:
    r"""Return which filesystems on disks take no writes, and whether they were meant to.

    `stopped`: the kernel gave up after an error: it says `emergency_ro` or `shutdown`, or ext4 met an error since the
    boot and has errors=remount-ro (Linux 6.1.192 of Debian then says `rw` everywhere, and every write fails). `read_only`:
    the filesystem's own options say `ro` (proc_pid_mountinfo(5) field 11). `meant_writable`: a mount of it is `rw`, as
    errors=remount-ro left it before, or fstab asks for it without `ro`. Raises NothingThere where nothing is on a disk.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_mounts(answered(f'''@longarm {mark[1:]}
    ... {mark} source mountinfo
    ... 103 81 7:2 / /srv/data rw,relatime - ext4 /dev/loop2 rw,errors=remount-ro,emergency_ro
    ...
    ... {mark} end 0
    ... {mark} absent fstab /etc/fstab
    ... {mark} source errors
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(item["mount"], item["stopped"], item["meant_writable"]) for item in facts["mounts"]]
    [('/srv/data', True, True)]
    """
    sources = read_sources("fs.mounts", answer)
    wanted, broken = _fstab(sources["fstab"]), _broken_since_boot(sources)
    by_device: dict[str, list[Mount]] = {}
    for mount in read_mountinfo(sources["mountinfo"]):
        if mount.type in ON_DISK and not mount.point.startswith((b"/proc/", b"/sys/")) and text_of(mount.point) not in _EFI:
            by_device.setdefault(mount.device, []).append(mount)
    if not by_device:
        raise NothingThere("fs.mounts", "a filesystem on a disk")
    return {"mounts": [_mount_fact(mounts, wanted, broken) for mounts in by_device.values()]}


def _mount_fact(mounts: list[Mount], wanted: dict[bytes, frozenset[str]], broken: dict[str, int]) -> dict[str, Any]:
    first = mounts[0]
    gave_up = first.device in broken and "errors=remount-ro" in first.super_options
    asked_for = [wanted[mount.point] for mount in mounts if mount.point in wanted]
    refused = any("ro" in options for options in asked_for)
    return {
        "mount": text_of(first.point),
        "device": first.source,
        "type": first.type,
        "read_only": "ro" in first.super_options,
        "stopped": gave_up or bool(STOPPED & first.super_options),
        "meant_writable": not refused and (bool(asked_for) or any("rw" in mount.options for mount in mounts)),
        "proof_at": at("fs.mounts", broken[first.device] if gave_up else first.line),
        "at": at("fs.mounts", first.line),
    }


def _broken_since_boot(sources: Sources) -> dict[str, int]:
    """Return the line of each ext4 device that met an error since the boot; older ones only wait for fsck."""
    errors = sources["errors"].usable()
    if not errors.lines:
        return {}
    booted_s = integer(errors.question, _only(sources["clock"])) - decimal(errors.question, _only(sources["uptime"]))
    found = {}
    for line in errors.lines:
        if not (match := re.fullmatch(rb"(\d+:\d+) (\d+) (\d+)", line.data)):
            raise ParseError(errors.question, line.data)
        if integer(errors.question, match[3]) >= booted_s:
            found[text_of(match[1])] = line.number
    return found


def _only(source: Source) -> bytes:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0].data


def _fstab(source: Source) -> dict[bytes, frozenset[str]]:
    """Return the options that fstab(5) wants for each mount point; none where there is no fstab (a container)."""
    if source.status is None:
        return {}
    wanted = {}
    for line in source.usable().lines:
        fields = line.data.split()
        if fields and not fields[0].startswith(b"#"):
            if len(fields) < 3:
                raise ParseError(source.question, line.data)
            options = text_of(fields[3]) if len(fields) > 3 else "defaults"
            wanted[unescaped(fields[1])] = frozenset(options.split(","))
    return wanted


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="fs.mounts", script=_MOUNTS_SCRIPT, deadline_s=5, calm=True),
        parse=parse_mounts,
        summary="Which filesystems are mounted how, and what fstab asks for",
        shape={
            "mounts": [
                {
                    "mount": "str",
                    "device": "str",
                    "type": "str",
                    "read_only": "bool",
                    "stopped": "bool",
                    "meant_writable": "bool",
                    "proof_at": "at",
                    "at": "at",
                }
            ]
        },
    ),
)
