"""Other ways to trust hosts than key by key: authorities, a known_hosts of OpenSSH's, keys that a trusted host tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.enrolling import COLUMNS, DECLINED, ssh_hosts, told_at_once
from console.inventories import known_inventory
from console.listing import show_list
from console.settings import Settings
from console.terminal import confirmed, tell
from console.wiring import connector, credential_store
from inventory.errors import Text, UsageError
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.target import AnyOf, Part, Tree, parse
from remote.connect import Connector
from remote.enrol import CHANGED, KNOWN, NEW, UNSEEN
from remote.errors import RemoteError
from remote.event_loop import new_event_loop
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.known_lines import EVERY, GROUP, UnusableLine, key_on_line
from remote.openssh_known_hosts import OpensshKnownHosts
from remote.rotation import Rotation

_LARGEST_FILE = 256 * 1024
KEPT, GONE, REVOKED, AUTHORITY, MISSING = "kept", "gone", "revoked", "authority", "not in the file"
"""States of keys beside those of `remote.enrol`."""


def trust_authority(settings: Settings, targets: str, given: str) -> int:
    """Trust an authority (a file of public keys, or a key itself) for the targets; 5 if the user declined.

    Names, patterns and groups are kept as they are written, so that they hold for hosts that join later.
    """
    inventory = known_inventory(settings)
    chosen = inventory.select(targets).hosts
    patterns = (settings.wall is None and patterns_of(parse(targets), inventory)) or tuple(host.name for host in chosen)
    keys = tuple(authorities_in(given))
    known = KnownHosts(settings.writable_home() / "known_hosts")
    trusted = [known.trust(host).authorities for host in chosen]
    states = [(key, KNOWN if known.holds(patterns, key) else NEW) for key in keys]
    shown = ",".join(patterns)
    show_list(settings.output, COLUMNS, [_row(shown, state, key) for key, state in states])
    if all(state == KNOWN for _, state in states):
        tell(settings, Text("nothing to do: trusted already"))
        return 0
    if others := {key.fingerprint for authorities in trusted for key in authorities if key not in keys}:
        tell(settings, Text("other authorities stay trusted: {keys}", keys=", ".join(sorted(others))))
    if not confirmed(settings, Text("trust host certificates of these authorities for {targets}?", targets=shown)):
        tell(settings, Text("no key was kept"), level=-1)
        return DECLINED
    known.mark(patterns, *keys)
    tell(settings, Text("trusted for {count} hosts now", count=len(chosen)))
    return 0


def patterns_of(tree: Tree, inventory: Inventory) -> tuple[str, ...] | None:
    """Return what stands for the same hosts on a line of known_hosts, None where only the names of the hosts can.

    >>> patterns_of(parse("all"), Inventory()), patterns_of(parse("web*, group=db"), Inventory())
    (('*',), ('web*', 'group=db'))
    >>> patterns_of(parse("site=berlin"), Inventory()) is None
    True
    """
    patterns = [_pattern(part, inventory) for part in (tree.operands if isinstance(tree, AnyOf) else (tree,))]
    return None if None in patterns else tuple(pattern for pattern in patterns if pattern is not None)


def _pattern(part: Tree, inventory: Inventory) -> str | None:
    if not isinstance(part, Part) or part.negated or "[" in part.value:
        return None
    wild = not part.literal and bool(set(part.value) & set("*?"))
    groups = {name.lower(): name for name in inventory.groups}
    if part.key == "group" and not wild:
        return GROUP + groups.get(part.value.lower(), part.value)
    if part.key not in (None, "name"):
        return None
    if part.key is None and part.value.lower() == "all":
        return EVERY
    if part.key is None and part.value.lower() in groups:
        return GROUP + groups[part.value.lower()]
    return part.value


def authorities_in(given: str) -> Iterator[HostKey]:
    """Yield the public keys in a file, or the one that is given itself; UsageError for anything else."""
    path = Path(given).expanduser()
    try:
        lines = [given] if " " in given.strip() and not path.exists() else _lines(path)
    except OSError as error:
        hint = Text("name the file of the authority's public key, or give the key itself in quotes")
        raise UsageError(Text("{path}: {reason}", path=given, reason=error.strerror or str(error)), hint) from error
    found = False
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith("@"):  # a line of known_hosts: the marker and the names are not the key
            words = words[2:]
        try:
            yield key_on_line(words, authority=True)
        except (UnusableLine, IndexError) as error:
            hint = Text("a line is a public key, as in ca.pub: ssh-ed25519 AAAA…")
            raise UsageError(Text("{path} holds something else than public keys", path=path), hint) from error
        found = True
    if not found:
        raise UsageError(Text("{path} holds no public key", path=path))


def _lines(path: Path) -> list[str]:
    with path.open("rb") as opened:
        data = opened.read(_LARGEST_FILE)
    if b"PRIVATE KEY" in data:
        text = Text("{path} is a private key: no part of it is read", path=path)
        raise UsageError(text, Text("name the public key: {path}", path=f"{path}.pub"))
    return data.decode("utf-8", "replace").splitlines()


def import_known_hosts(settings: Settings, targets: str, path: Path, *, replace: bool) -> int:
    """Take over what a known_hosts of OpenSSH's holds for the hosts; 5 declined, 4 changed keys left, 3 hosts not in it."""
    hosts = ssh_hosts(settings, targets)
    theirs, known = OpensshKnownHosts.of(path), KnownHosts(settings.writable_home() / "known_hosts")
    if theirs.unread:
        numbers = ", ".join(map(str, theirs.unread[:10])) + (", …" if len(theirs.unread) > 10 else "")
        tell(settings, Text("{path}: lines that cannot be used: {numbers}", path=path, numbers=numbers))
    rows: list[dict[str, object]] = []
    wanted: list[tuple[Host, tuple[HostKey, ...], bool]] = []
    missing, changed = 0, list[str]()
    for host in hosts:
        found = theirs.keys(host)
        state = _imported(known, host, found)
        rows += [_row(host.name, REVOKED if key.revoked else AUTHORITY if key.authority else state, key) for key in found]
        rows += [] if found else [_row(host.name, MISSING)]
        missing += not found
        if state == CHANGED and not replace:
            changed.append(host.name)
        elif found and state != KNOWN:
            wanted.append((host, found, state == CHANGED))
    show_list(settings.output, COLUMNS, rows)
    if wanted and not confirmed(settings, Text("keep these keys of {count} hosts?", count=len(wanted))):
        tell(settings, Text("no key was kept"), level=-1)
        return DECLINED
    for host, found, anew in wanted:
        if anew:
            known.remove(host.name)
        known.mark((host.name,), *(key for key in found if key.revoked or key.authority))
        known.add(host.name, *(key for key in found if not key.revoked and not key.authority))
    if wanted:
        tell(settings, Text("enrolled: {count}", count=len(wanted)))
    if changed:
        tell(settings, Text("a changed key is not replaced by itself: find out who changed it"), level=-1)
    return 4 if changed else 3 if missing else 0


def _imported(known: KnownHosts, host: Host, found: Sequence[HostKey]) -> str:
    """Return what the keys of a file mean beside those that are known."""
    trust = known.trust(host)
    bare = {key for key in found if not key.revoked and not key.authority}
    if trust.keys and bare and not bare & set(trust.keys):
        return CHANGED
    there = set(trust.keys) | set(trust.authorities)
    return KNOWN if all(key.blob in trust.revoked or key in there for key in found) else NEW


def rotate(settings: Settings, targets: str) -> int:
    """Learn from hosts that prove themselves which keys they have now; 5 declined, 3 where one did not tell."""
    hosts = ssh_hosts(settings, targets)
    known, credentials = KnownHosts(settings.writable_home() / "known_hosts"), credential_store(settings)
    credentials.prepare(hosts)
    connect = connector(settings, credentials)
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        told = loop.run(told_at_once(hosts, lambda host: _rotation(connect, host)))
    rows: list[dict[str, object]] = []
    for host, one in zip(hosts, told, strict=True):
        if isinstance(one, RemoteError):
            rows.append(_row(host.name, UNSEEN) | {"error": str(one)})
        else:
            rows += [_row(host.name, state, key) for state, keys in _states(one) for key in keys]
    show_list(settings.output, COLUMNS, rows)
    wanted = [one for one in told if isinstance(one, Rotation) and one.changes]
    if wanted and not confirmed(settings, Text("let these be the keys of {count} hosts from now on?", count=len(wanted))):
        tell(settings, Text("no key was kept"), level=-1)
        return DECLINED
    for one in wanted:
        known.replace(one.host.name, (*one.kept, *one.new))
    tell(settings, Text("rotated: {count}", count=len(wanted)))
    return 3 if any(isinstance(one, RemoteError) for one in told) else 0


def _states(one: Rotation) -> tuple[tuple[str, tuple[HostKey, ...]], ...]:
    return (KEPT, one.kept), (NEW, one.new), (GONE, one.gone)


async def _rotation(connect: Connector, host: Host) -> Rotation | RemoteError:
    try:
        return await connect.rotation(host)
    except RemoteError as error:
        return error


def _row(host: str, state: str, key: HostKey | None = None) -> dict[str, object]:
    shown = {"type": key.type, "fingerprint": key.fingerprint} if key else {"type": "", "fingerprint": ""}
    return {"host": host, "state": state, **shown, "error": ""}
