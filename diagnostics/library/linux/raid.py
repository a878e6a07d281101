"""Software RAID (md) as the kernel keeps it in sysfs: without a process, and without mdadm."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, Line, integer, read_sources
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + r"""
value() { # KEY FILE: nothing where the array has no such file (raid0 and linear cannot be degraded)
  [ -r "$2" ] || return 0
  read -r value <"$2" || return
  told="$told $1=$value"
}
arrays() {
  told=''
  for md in "$@"; do
    name=${md%/md}
    told="${told}array=${name##*/}"
    for key in level raid_disks degraded sync_action mismatch_cnt array_state; do value "$key" "$md/$key" || return; done
    told=$told$nl
    for member in "$md"/dev-*; do
      [ -d "$member" ] || continue
      told="${told}member=${member##*/dev-}"
      value state "$member/state" || return
      told=$told$nl
    done
  done
  printf %s "$told"
}
set -- /sys/block/md*/md
if [ ! -d /sys/block ]; then absent arrays /sys/block
elif [ -d "$1" ]; then ask arrays arrays "$@"
else absent arrays 'a software RAID array'
fi
"""
)
_ARRAY = re.compile(r"array=\S+( [a-z_]+=\S*)*")
_MEMBER = re.compile(r"member=(\S+) state=(\S+)")
_PARTITION = re.compile(r"((?:nvme\d+n\d+|mmcblk\d+|loop\d+))p\d+|((?:[svh]|xv)d[a-z]+)\d+")
_AILING = frozenset({"write_error", "want_replacement"})
"""A write failed and the place was noted as bad: the member stays in, until it has a replacement."""
_REBUILDING = frozenset({"resync", "recover", "reshape"})


def parse_arrays(answer: Answer) -> Facts:
    r"""Return the md arrays that run: how many members each lacks, and which (Linux, Documentation/admin-guide/md.rst).

    `missing` is 0 for levels without redundancy. `failed` are members that the kernel took out and that still stand in the
    array; one that was removed is only missing. `ailing` members had write errors and are still in use. `disks` are the
    disks below all members. `rebuilding` and `checking` tell what is under way. Raises NothingThere where no array runs.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_arrays(answered(f'''@longarm {mark[1:]}
    ... {mark} source arrays
    ... array=md0 level=raid1 raid_disks=2 degraded=1 sync_action=idle mismatch_cnt=0 array_state=clean
    ... member=sda1 state=faulty
    ... member=sdb1 state=in_sync
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(item["array"], item["missing"], item["failed"], item["disks"]) for item in facts["arrays"]]
    [('md0', 1, 'sda1', ['sda', 'sdb'])]
    """
    source = read_sources("blk.md", answer)["arrays"].usable()
    arrays: list[dict[str, Any]] = []
    for line in source.lines:
        if line.data.startswith(b"array="):
            arrays.append(_array(line))
        elif arrays and (match := _MEMBER.fullmatch(line.text)):
            _add_member(arrays[-1], match[1], match[2].split(","), line.number)
        else:
            raise ParseError("blk.md", line.data)
    if not arrays:
        raise NothingThere("blk.md", "a software RAID array")
    return {"arrays": arrays}


def _array(line: Line) -> dict[str, Any]:
    if not _ARRAY.fullmatch(line.text):
        raise ParseError("blk.md", line.data)
    values = dict(part.split("=", 1) for part in line.text.split(" "))
    if not {"level", "raid_disks", "array_state"} <= set(values):
        raise ParseError("blk.md", line.data)
    action = values.get("sync_action", "idle")
    return {
        "array": values["array"],
        "level": values["level"],
        "members": integer("blk.md", values["raid_disks"]),
        "missing": integer("blk.md", values.get("degraded", "0")),
        "broken": values["array_state"] == "broken",
        "rebuilding": action in _REBUILDING,
        "checking": action in ("check", "repair"),
        "mismatches": integer("blk.md", values.get("mismatch_cnt", "0")),
        "failed": "",
        "ailing": "",
        "disks": [],
        "at": {"question": "blk.md", "stream": "stdout", "first": line.number, "last": line.number},
    }


def _add_member(array: dict[str, Any], member: str, state: list[str], line: int) -> None:
    if kind := "failed" if "faulty" in state else "ailing" if _AILING & set(state) else "":
        array[kind] = ", ".join(filter(None, (array[kind], member)))
    if (disk := disk_of(member)) not in array["disks"]:
        array["disks"].append(disk)
    array["at"]["last"] = line


def disk_of(device: str) -> str:
    """Return the disk that a partition lies on, by its name; any other device as it is.

    >>> [disk_of(name) for name in ("sda1", "nvme0n1p2", "vdb", "dm-0", "xvda12")]
    ['sda', 'nvme0n1', 'vdb', 'dm-0', 'xvda']
    """
    match = _PARTITION.fullmatch(device)
    return (match[1] or match[2]) if match else device


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="blk.md", script=_SCRIPT, deadline_s=5, calm=True),
        parse=parse_arrays,
        summary="Which software RAID arrays run, and which members they lack",
        shape={
            "arrays": [
                {
                    "array": "str",
                    "level": "str",
                    "members": "int",
                    "missing": "int",
                    "broken": "bool",
                    "rebuilding": "bool",
                    "checking": "bool",
                    "mismatches": "int",
                    "failed": "str",
                    "ailing": "str",
                    "disks": ["str"],
                    "at": "at",
                }
            ]
        },
    ),
)
