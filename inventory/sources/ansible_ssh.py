"""What Ansible gives the ssh program on its command line: of it, the way to a host is ours."""

from __future__ import annotations

import getopt
import shlex
from functools import lru_cache

from inventory.sources.proxy_commands import Meaning, meaning
from inventory.sources.ssh_words import split_line

ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""In the order in which Ansible hands them on; of two ways ssh takes the first."""
_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"  # ssh.c of OpenSSH 9.2


@lru_cache(maxsize=4096)
def way_in(text: str) -> tuple[Meaning | None, str]:
    """Return how ssh is told to go there, None where it is not told, and all else that it is told.

    Raises ValueError for what the shell or ssh would refuse.

    >>> way_in("-o ProxyJump=ops@gw -C")
    (Meaning(via='ops@gw', proxy='', left=''), '-C')
    >>> way_in("-J a,b")[0].via, way_in("-o 'ProxyCommand=nc -x p:1080 %h %p'")[0].proxy
    ('a,b', 'socks5://p:1080')
    >>> way_in("-o 'ProxyCommand nc %h %p' -J gw")
    (None, "-o 'ProxyCommand nc %h %p' -J gw")
    """
    words = shlex.split(text)
    try:
        options, operands = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        raise ValueError(error.msg) from error
    way: Meaning | None = None
    left: list[str] = []
    decided = False
    for option, value in options:
        keyword, arguments = split_line(value) if option == "-o" else ("proxyjump" if option == "-J" else "", (value,))
        found = None if len(arguments) != 1 or (decided and way is None) else _meaning(keyword, arguments[0])
        if found is not None:
            way = way or found
            left += shlex.split(found.left) if way is found else []
        else:
            left += [option, value] if value else [option]
        decided |= keyword in ("proxyjump", "proxycommand")
    return way, shlex.join([*left, *operands])


def _meaning(keyword: str, argument: str) -> Meaning | None:
    if keyword == "proxyjump":
        return Meaning(via=argument)
    return meaning(argument) if keyword == "proxycommand" else None
