"""The kernel's own note of what has happened to it since the boot: /proc/sys/kernel/tainted."""

from __future__ import annotations

from diagnostics.parsing import ASKING, integer, read_sources
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + r"""
tainted() { # dash and ash read byte by byte, and of a number under /proc/sys there is only the first: 0 has no other
  read -r first <"$1" || :
  case $first in 0) echo 0 ;; *) cat "$1" ;; esac
}
file=/proc/sys/kernel/tainted
if [ -e "$file" ]; then ask tainted tainted "$file"; else absent tainted "$file"; fi
"""
)
_SIGNS = {
    4: "machine_check",
    5: "bad_page",
    7: "died",
    9: "warned",
    14: "locked_up",
}
"""What went wrong, by bit (Linux, Documentation/admin-guide/tainted-kernels.rst)."""
_MODULES = {0: "proprietary", 12: "out of tree", 13: "unsigned"}


def parse_taint(answer: Answer) -> Facts:
    r"""Return which of the kernel's taint bits tell of a fault since the boot, and which of modules only.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_taint(answered(f'''@longarm {mark[1:]}
    ... {mark} source tainted
    ... 4736
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["died"], facts["warned"], facts["modules"]
    (True, True, 'out of tree')
    """
    source = read_sources("kernel.taint", answer)["tainted"].usable()
    if len(source.lines) != 1 or (bits := integer("kernel.taint", source.lines[0].data)) < 0:
        raise ParseError("kernel.taint", source.data)
    return {
        **{sign: bool(bits >> bit & 1) for bit, sign in _SIGNS.items()},
        "modules": ", ".join(name for bit, name in _MODULES.items() if bits >> bit & 1),
        "at": source.at,
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="kernel.taint", script=_SCRIPT, deadline_s=2, calm=True),
        parse=parse_taint,
        summary="Whether the kernel notes a fault since the boot",
        shape={**dict.fromkeys(_SIGNS.values(), "bool"), "modules": "str", "at": "at"},
    ),
)
