"""What a host was when a run began with it, as digests that are kept with the run: pure.

A run names its hosts, and an inventory may have another machine by that name by the time that the run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Host
from playbooks.demands import gives_variables
from playbooks.model import Playbook
from runner.store.blobs import digest_of
from runner.store.errors import ChangeRefused
from runner.store.rows import HostRow

_OTHER: Final[Mapping[str, Text]] = {
    "address": Text("it is reached at another address, or in another way"),
    "login": Text("it is reached as somebody else"),
    "platform": Text("its platform is another one"),
    "site": Text("its site is another one"),
    "customer": Text("its customer is another one"),
    "become": Text("its user becomes another one, or in another way"),
    "tags": Text("its tags are others"),
    "groups": Text("its groups are others"),
    "vars": Text("its variables are others"),
}
"""What is said of each part that is another one by now."""
_COLUMNS: Final = ("address", "site", "customer", "platform")
"""What a row tells in words."""


MACHINE: Final = ("address", "platform", "customer")
"""The parts that tell which machine it is."""


class TargetChanged(ChangeRefused):
    """The inventory has something else under a host's name than what a run began with."""


def target_of(host: Host, playbook: Playbook) -> dict[str, Any]:
    """Return what tells which machine a host is and as whom it is reached, and what a playbook may decide by, part by part.

    That is all that expressions see of a host; only Ansible is given its variables, so for others these do not count.
    """
    left_out = () if gives_variables(playbook) else ("vars",)
    return {name: part for name, part in _parts(host).items() if name not in left_out}


def target_digests(run: str, host: Host, playbook: Playbook) -> dict[str, str]:
    """Return what a run keeps of a host: a digest of each part, of no use to compare with those of another run."""
    return {name: _digest([run, name, part]) for name, part in target_of(host, playbook).items()}


def _parts(host: Host) -> dict[str, Any]:
    credential = host.credential
    by_login = [None, None] if credential is None else [credential.become_method, credential.become_user]
    return {
        "address": _way(host),
        "login": _login(host),
        "platform": host.platform.value,
        "site": host.site,
        "customer": host.customer,
        "become": [host.become.method.value, host.become.user, *by_login],
        "tags": list(host.tags),
        "groups": list(host.groups),
        "vars": host.vars,
    }


def _way(host: Host) -> list[Any]:
    """Return where a host is, and all that a connection to it passes and is answered by."""
    proxy = host.ssh.proxy.url if host.ssh.proxy else None
    through = None if host.via is None else [host.via.name, _way(host.via), _login(host.via)]
    answered_by = [host.host_key_alias, host.winrm.scheme, host.winrm.endpoint]
    return [host.address, host.port, host.transport.value, proxy, list(host.ssh.proxy_command), through, *answered_by]


def _login(host: Host) -> list[str] | None:
    return None if host.credential is None else [host.credential.name, host.credential.user]


def changed_since(row: HostRow, host: Host, parts: Collection[str] = tuple(_OTHER)) -> Text | None:
    """Return what of some parts of a host is not any more as when its run began, None where all of it is.

    Runs from before these digests were kept have but what their rows say.
    """
    kept, now = row.target or {}, _parts(host)
    for name in parts:
        before, after = _said(getattr(row, name, None)), _said(getattr(host, name, None))
        if name in _COLUMNS and before != after:
            return Text("{what}: {before}, now {after}", what=_OTHER[name], before=before, after=after)
        if name in kept and kept[name] != _digest([row.run, name, now[name]]):
            return _OTHER[name]
    return _OTHER["address"] if "address" in parts and row.transport != host.transport.value else None


def _said(value: str | None) -> str:
    return str(value or "-")


def _digest(value: Any) -> str:
    return digest_of(json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode())


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
