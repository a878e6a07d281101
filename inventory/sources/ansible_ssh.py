"""What Ansible gives the ssh program on its command line: of it, the way to a host is ours."""

from __future__ import annotations

import getopt
import shlex
from functools import lru_cache

from inventory.sources.ssh_words import split_line

ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""In the order in which Ansible hands them on; of two ways ssh takes the first."""
_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"  # ssh.c of OpenSSH 9.2


@lru_cache(maxsize=4096)
def way_in(text: str) -> tuple[str | None, str]:
    """Return through which hosts ssh is told to go, None where it is not told, and all else that it is told.

    Raises ValueError for what the shell or ssh would refuse.

    >>> way_in("-o ProxyJump=ops@gw -C"), way_in("-J a,b"), way_in("-o 'ProxyCommand nc %h %p' -J gw")
    (('ops@gw', '-C'), ('a,b', ''), (None, "-o 'ProxyCommand nc %h %p' -J gw"))
    """
    words = shlex.split(text)
    try:
        options, operands = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        raise ValueError(error.msg) from error
    way: str | None = None
    left: list[str] = []
    decided = False
    for option, value in options:
        keyword, arguments = split_line(value) if option == "-o" else ("proxyjump" if option == "-J" else "", (value,))
        if keyword == "proxyjump" and len(arguments) == 1 and (way is not None or not decided):
            way = way or arguments[0]
        else:
            left += [option, value] if value else [option]
        decided |= keyword in ("proxyjump", "proxycommand")
    return way, shlex.join([*left, *operands])
