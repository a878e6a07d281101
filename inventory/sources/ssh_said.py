"""How a host is spoken to by SSH, where a source says so in single texts: a cell of a sheet, a field of NetBox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from inventory.errors import LongarmError, Place, Text
from inventory.fields import did_you_mean
from inventory.host import SshLibrary
from inventory.names import group_name, host_name, shown
from inventory.proxies import proxy_url
from inventory.settings import Branch, Leaf
from inventory.sources.found import Found, FoundHost
from inventory.ssh_settings import algorithms_in

_LIBRARIES = tuple(map(str, SshLibrary))


def _library(text: str) -> str:
    if (low := text.lower()) in _LIBRARIES:
        return low
    hint = did_you_mean(low, _LIBRARIES) or Text("one of {choices}", choices=", ".join(_LIBRARIES))
    raise LongarmError(Text("“{key}” cannot be “{value}”", key="ssh_library", value=shown(text)), hint)


_CHECKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "proxy": proxy_url,
        "proxy_credential": group_name,
        "host_key_alias": host_name,
        "ssh_library": _library,
    }
)
ALGORITHMS = "ssh_algorithms"
SSH_WORDS = (*_CHECKS, ALGORITHMS)


def put_ssh(found: Found, host: FoundHost, word: str, text: str, place: Place) -> None:
    """Set one of SSH_WORDS as a text says; a mistake in it is noted."""
    if word != ALGORITHMS:
        if (value := found.checked(text, place, _CHECKS[word])) is not None:
            host.put(word, value, place)
        return
    try:
        said = algorithms_in(text)
    except LongarmError as error:
        found.problem(place, error.text, error.hint)
        return
    host.layer.values[ALGORITHMS] = Branch(place, {kind: Leaf(place, names) for kind, names in said.items()})
