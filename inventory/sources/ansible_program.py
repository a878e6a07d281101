"""Programs of Ansible inventories that print no `_meta`: they are asked for the variables of each host, one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inventory.errors import LongarmError
from inventory.names import host_name

MOST_ASKED = 1000
"""So many hosts are asked for one by one; of more the program has to print all at once."""


def with_host_variables(listed: bytes, ask: Callable[[str], Mapping[str, Any]]) -> bytes:
    """Return what a program printed for `--list`, with what it prints for each host where that is not in it.

    `ask` gives the variables of one host. What is no JSON, or has too many hosts, comes back as it is.
    """
    try:
        document = json.loads(listed)
    except (ValueError, RecursionError):
        return listed
    if not isinstance(document, dict):
        return listed
    meta = document.get("_meta")
    names = list(dict.fromkeys(_names(document)))
    if (isinstance(meta, dict) and "hostvars" in meta) or len(names) > MOST_ASKED:
        return listed
    added = json.dumps({"hostvars": {name: dict(ask(name)) for name in names}}).encode()
    if "_meta" in document or not document:
        return json.dumps({**document, "_meta": json.loads(added)}).encode()
    return listed.rstrip()[:-1] + b', "_meta": ' + added + b"}"  # the places of what it printed stay what they are


def _names(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hosts of all groups, as far as they are names; the others are told when the document is read."""
    for key, part in document.items():
        hosts = part if isinstance(part, list) else part.get("hosts") if isinstance(part, dict) and key != "_meta" else None
        for name in hosts if isinstance(hosts, list) else ():
            try:
                yield host_name(name if isinstance(name, str) else "")
            except LongarmError:
                continue
