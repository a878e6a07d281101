"""Proxies on the way to hosts, as an inventory writes them: a URL, or an allowed program with its arguments."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from inventory.errors import LongarmError, Text
from inventory.host import Proxy
from inventory.names import BadName, host_address, shown

SCHEMES = ("socks5", "http")
DIRECT = "none"
MAX_ARGUMENTS = 64
TOKENS = {"%h": "address", "%p": "port", "%r": "user", "%%": "%"}
"""What is filled in, in each argument by itself (ssh_config(5), TOKENS)."""
_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?:(?P<user>[^@]*)@)?(?P<host>\[[^\]]*\]|[^:/@]*)(?::(?P<port>[0-9]{1,5}))?/?")
_TOKEN = re.compile(r"%.?")
_HINT = Text("write {example}", example="socks5://HOST:PORT, http://HOST:PORT or none")


def proxy_url(text: str) -> str:
    """Return the URL of a proxy in its plain form, `none` for the direct way; raise LongarmError for anything else.

    >>> proxy_url("socks5h://ops@[2001:DB8::1]:1080/"), proxy_url("none")
    ('socks5://ops@[2001:db8::1]:1080', 'none')
    """
    if text.lower() == DIRECT:
        return DIRECT
    match = _URL.fullmatch(text)
    scheme = match["scheme"].replace("socks5h", "socks5") if match else ""
    if match is None or scheme not in SCHEMES or not match["port"] or not 0 < int(match["port"]) < 65536:
        without = re.sub(r"//[^@]*@", "//…@", text)  # what stands there may be a password
        raise LongarmError(Text("“{url}” is not the URL of a proxy", url=shown(without)), _HINT)
    user = match["user"]
    if user is not None and ":" in user:
        hint = Text("name a credential with user and password beside it: {key}", key="proxy_credential")
        raise LongarmError(Text("a secret is never written in an inventory: no password in a URL"), hint)
    if user is not None and (not user.isprintable() or not 0 < len(user) <= 255):
        raise BadName(user, Text("“{name}” is not the name of a user", name=shown(user)))
    host = host_address(match["host"].removeprefix("[").removesuffix("]"))
    at = f"{user}@" if user else ""
    return f"{scheme}://{at}{f'[{host}]' if ':' in host else host}:{int(match['port'])}"


def proxy_of(url: str) -> Proxy:
    """Return what the plain form of a URL says."""
    match = _URL.fullmatch(url)
    assert match is not None
    host = match["host"].removeprefix("[").removesuffix("]")
    return Proxy(scheme=match["scheme"], host=host, port=int(match["port"]), user=match["user"])


def proxy_program(text: str) -> str:
    """Return the path of a program that may be run for connections, or raise LongarmError."""
    if not text.startswith("/") or ".." in PurePosixPath(text).parts or not text.isprintable():
        raise LongarmError(Text("“{name}” is not the whole path of a program", name=shown(text)), Text("as in /usr/bin/nc"))
    return text


def proxy_argument(text: str) -> str:
    """Return one word of a proxy command, or raise LongarmError for a token that is not known.

    >>> proxy_argument("--to=%h:%p")
    '--to=%h:%p'
    """
    if "\0" in text:
        raise LongarmError(Text("“{name}” cannot be an argument", name=shown(text)))
    if unknown := next((token for token in _TOKEN.findall(text) if token not in TOKENS), None):
        raise LongarmError(Text("“{token}” stands for nothing", token=shown(unknown)), Text("only %h, %p and %r are filled in"))
    return text


def filled(words: Collection[str], *, address: str, port: int, user: str) -> tuple[str, ...]:
    """Return the words of a proxy command with their tokens filled in, one by one: no value can become a second word.

    >>> filled(["nc", "-X5", "%h", "%p"], address="db 1; id", port=22, user="")
    ('nc', '-X5', 'db 1; id', '22')
    """
    values = {"%h": address, "%p": str(port), "%r": user, "%%": "%"}
    return tuple(_TOKEN.sub(lambda match: values[match[0]], word) for word in words)
