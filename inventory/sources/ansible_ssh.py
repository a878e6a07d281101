"""What Ansible gives the ssh program on its command line: of it, the way to a host and how to log in to it are ours."""

from __future__ import annotations

import getopt
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from inventory.sources.proxy_commands import Meaning, meaning
from inventory.sources.ssh_words import split_line

ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""In the order in which Ansible hands them on; of two ways ssh takes the first."""
_SHORT = {"-J": "proxyjump", "-i": "identityfile"}
_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"  # ssh.c of OpenSSH 9.2


LOGIN = frozenset(
    {
        "certificatefile",
        "gssapiauthentication",
        "hostkeyalias",
        "identitiesonly",
        "identityfile",
        "preferredauthentications",
    }
)
"""The keywords of ssh_config that say how to log in to a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the arguments say."""

    way: Meaning | None = None
    """How to get there; None: not told."""
    login: Mapping[str, str] = field(default_factory=dict)
    """How to log in, by the keyword in lower case; the first value holds, as for ssh."""
    rest: str = ""
    """All else."""


@lru_cache(maxsize=4096)
def told_by(text: str) -> Told:
    """Return what ssh is told; raises ValueError for what the shell or ssh would refuse.

    >>> told_by("-o ProxyJump=ops@gw -C")
    Told(way=Meaning(via='ops@gw', proxy='', left=''), login={}, rest='-C')
    >>> told_by("-J a,b").way.via, told_by("-o 'ProxyCommand=nc -x p:1080 %h %p'").way.proxy
    ('a,b', 'socks5://p:1080')
    >>> told_by("-o 'ProxyCommand nc %h %p' -J gw")
    Told(way=None, login={}, rest="-o 'ProxyCommand nc %h %p' -J gw")
    >>> told_by("-i ~/.ssh/a -o IdentitiesOnly=yes -o HostKeyAlias=%h").login, told_by("-o HostKeyAlias=%h").rest
    ({'identityfile': '~/.ssh/a', 'identitiesonly': 'yes'}, '-o HostKeyAlias=%h')
    """
    words = shlex.split(text)
    try:
        options, operands = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        raise ValueError(error.msg) from error
    way: Meaning | None = None
    login: dict[str, str] = {}
    left: list[str] = []
    decided = False
    for option, value in options:
        keyword, arguments = split_line(value) if option == "-o" else (_SHORT.get(option, ""), (value,))
        found = None if len(arguments) != 1 or (decided and way is None) else _meaning(keyword, arguments[0])
        if found is not None:
            way = way or found
            left += shlex.split(found.left) if way is found else []
        elif keyword in LOGIN and len(arguments) == 1 and not set(arguments[0]) & set("%$"):
            login.setdefault(keyword, arguments[0])
        else:
            left += [option, value] if value else [option]
        decided |= keyword in ("proxyjump", "proxycommand")
    return Told(way=way, login=login, rest=shlex.join([*left, *operands]))


def _meaning(keyword: str, argument: str) -> Meaning | None:
    if keyword == "proxyjump":
        return Meaning(via=argument)
    return meaning(argument) if keyword == "proxycommand" else None
