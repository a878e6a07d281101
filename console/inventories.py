"""The inventory of a command: read with the copies of the home, narrowed to one customer, honest about what is old."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path

from console.permits import told_to_keepers
from console.served import is_keeper
from console.settings import Settings
from console.terminal import tell
from console.words import spoken
from inventory.copies import Copies, CopyUsed
from inventory.errors import Place, Text, UsageError, utc
from inventory.host import CredentialReference, Host, SecretReference
from inventory.inventory import Inventory
from inventory.proxies import DIRECT
from inventory.secret import Secret


def known_inventory(settings: Settings, *, anew: bool = False) -> Inventory:
    """Return the inventory of a command; which sources were not asked is told on stderr. Raises what loading it raises.

    `anew`: it is read whatever is remembered of it.
    """
    known = _whole(settings, anew=anew)
    known = known if is_keeper() else _seen(settings, known)  # no hint and no mistake names what is not theirs to see
    return known if settings.wall is None else known.of_customer(settings.wall)


def _whole(settings: Settings, *, anew: bool = False) -> Inventory:
    """Return all that an inventory knows, whoever asks."""
    from inventory.cache import cached_inventory

    def resolve(reference: SecretReference) -> Secret:
        from console.wiring import secrets_of

        return secrets_of(settings).get(reference)

    cache = settings.home / "cache"
    copies, note = Copies(cache / "sources"), partial(tell, settings, level=1)
    with told_to_keepers():
        known = cached_inventory(settings.files, copies, cache / "inventory", resolve, note, anew=anew)
    tell_copies(settings, known.copies)
    return known


def inventory_to_go_on(settings: Settings) -> Inventory:
    """Return the inventory of a command that goes on with a repair: what the home knows beside a named one is not gone.

    Raises what loading either of them raises.
    """
    known, own = known_inventory(settings), replace(settings, inventories=())
    return known.beside(_whole(own)) if settings.inventories and own.has_inventory else known


def seen_inventory(settings: Settings) -> Inventory:
    """Return what whoever gave the command may look at of its inventory; raises RoleRefused where that is no host."""
    return _seen(settings, known_inventory(settings))


def _seen(settings: Settings, known: Inventory) -> Inventory:
    from runner.doors import seen_of  # whom the configuration names is asked only here

    return seen_of(settings.home, known)


def tell_copies(settings: Settings, copies: Iterable[CopyUsed]) -> None:
    """Tell of each source that a copy stands for how old the copy is, and why it was not asked."""
    from reports.language import language

    for copy in copies:
        age, taken = language(spoken()).duration(int(copy.age.total_seconds()) * 1000), utc(copy.taken_at)
        params = {"source": copy.source, "age": age, "taken": taken}
        if copy.reason is None:
            tell(settings, Text("{source}: not asked, a copy of {taken} ({age} old) is used", **params), level=1)
        else:
            text = Text("{source}: {reason}; a copy of {taken} ({age} old) is used", reason=copy.reason, **params)
            tell(settings, text, level=-1)


def host_document(host: Host) -> Mapping[str, object]:
    """Return a host as JSON shows it: without the places of its values, which `--origin` tells."""
    shown = {one.name: getattr(host, one.name) for one in fields(host) if one.name not in ("origins", "address_place")}
    return shown | {"via": host.via.name if host.via else None}


def origins(host: Host) -> Iterator[Mapping[str, object]]:
    """Yield where the host and each of its values was set, values of lists one by one."""
    yield _origin(host, "name", host.name, host.place)
    if host.address_place is not None:
        yield _origin(host, "address", host.address, host.address_place)
    for key, place in host.origins.items():
        value = _value(host, key)
        if not isinstance(value, Mapping):
            yield _origin(host, key, value, place)


def _origin(host: Host, key: str, value: object, place: Place | None) -> Mapping[str, object]:
    return {"host": host.name, "key": key, "value": value, "origin": place}


def _ssh(host: Host) -> Mapping[str, object]:
    """Return how SSH is spoken to a host, by the words of an inventory."""
    proxy = host.ssh.proxy
    return {
        "proxy": proxy.url if proxy else DIRECT,
        "proxy_command": host.ssh.proxy_command,
        "proxy_credential": proxy.credential if proxy else None,
        "ssh_library": host.ssh.library,
        "ssh_algorithms": host.ssh.old_algorithms,
    }


def _value(host: Host, key: str) -> object:
    name, _, rest = key.partition(".")
    if name in ("tags", "services", "ports", "names"):
        return rest
    ssh = _ssh(host)
    value = ssh[name] if name in ssh else getattr(host, name)
    if isinstance(value, Host | CredentialReference):
        value = value.name
    if rest and is_dataclass(value):
        return getattr(value, rest)
    while rest and isinstance(value, Mapping):
        whole = next(part for part in sorted(value, key=len, reverse=True) if rest == part or rest.startswith(part + "."))
        value, rest = value[whole], rest[len(whole) + 1 :]
    return value


def write_new(settings: Settings, path: Path, text: str) -> None:
    """Write a file that is not there yet, for the user alone, and tell where it is; raises UsageError if it is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            Text("{path} is there already", path=str(path)), Text("name another file, or delete it first")
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        denied = Text("{path} cannot be written: {reason}", path=str(path), reason=reason)
        raise UsageError(denied, Text("choose a folder that you may write to")) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    tell(settings, Text("written: {path}", path=str(path)))
