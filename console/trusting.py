"""Other ways to trust hosts than key by key: authorities, a known_hosts of OpenSSH's, keys that a trusted host tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.enrolling import COLUMNS, DECLINED, ssh_hosts, told_at_once
from console.faults import exit_of
from console.inventories import known_inventory
from console.listing import show_list
from console.settings import Settings
from console.terminal import confirmed, tell, tell_hint
from console.wiring import connector, credential_store
from console.words import say
from inventory.errors import Text, UsageError
from inventory.host import Host
from inventory.inventory import Inventory
from inventory.target import AnyOf, Part, Tree, parse
from remote.connect import Connector
from remote.enrol import CHANGED, KNOWN, NEW, REVOKED, UNSEEN
from remote.errors import HostKeyRefused, RemoteError
from remote.event_loop import new_event_loop
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts, Taken
from remote.known_lines import EVERY, GROUP, UnusableLine, key_on_line
from remote.openssh_known_hosts import OpensshKnownHosts
from remote.rotation import Rotation
from remote.taking_over import MISSING, REVOKED_THERE, Import, imported

_REFUSES = 4
_LARGEST_FILE = 256 * 1024
KEPT, GONE, AUTHORITY, REFUSED = "kept", "gone", "authority", "refused"
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
        hint = Text("a line is a public key, as in ca.pub: ssh-ed25519 AAAA…")
        raise UsageError(Text("{path} holds no public key", path=path), hint)


def _lines(path: Path) -> list[str]:
    with path.open("rb") as opened:
        data = opened.read(_LARGEST_FILE)
    if b"PRIVATE KEY" in data:
        text = Text("{path} is a private key: no part of it is read", path=path)
        raise UsageError(text, Text("name the public key: {path}", path=f"{path}.pub"))
    return data.decode("utf-8", "replace").splitlines()


def import_known_hosts(settings: Settings, targets: str, path: Path, *, replace: bool) -> int:
    """Take over what a known_hosts of OpenSSH's holds for the hosts.

    5: declined, 4: a key changed or is revoked here, so it was left, or no key is left that counts, 3: a host is not in it.
    """
    hosts = ssh_hosts(settings, targets)
    theirs, known = OpensshKnownHosts.of(path), KnownHosts(settings.writable_home() / "known_hosts")
    if theirs.unread:
        numbers = ", ".join(map(str, theirs.unread[:10])) + (", …" if len(theirs.unread) > 10 else "")
        tell(settings, Text("{path}: lines that cannot be used: {numbers}", path=path, numbers=numbers))
    imports = [imported(theirs.keys(host), known.trust(host)) for host in hosts]
    rows = [_row(one.host.name, _state(one, key), key) for one in imports for key in one.keys or (None,)]
    show_list(settings.output, COLUMNS, rows)
    wanted = [taken for one in imports if (taken := one.taken(replace_changed=replace))]
    enrolled = [one for one in imports if one.state == NEW or (one.state == CHANGED and replace)]
    keeping = Text("keep these keys of {count} hosts?", count=len(wanted))
    question = keeping if enrolled else Text("revoke these keys of {count} hosts?", count=len(wanted))
    if wanted and not confirmed(settings, question):
        tell(settings, Text("no key was kept"), level=-1)
        return DECLINED
    known.take(wanted)
    if enrolled:
        tell(settings, Text("enrolled: {count}", count=len(enrolled)))
    if revoked := len(wanted) - len(enrolled):
        tell(settings, Text("revoked: {count}", count=revoked))
    return _left(settings, [one for one in imports if one not in enrolled])


def _state(one: Import, key: HostKey | None) -> str:
    """Return the state that is shown of a key; of the host where the file holds none for it."""
    if key is None:
        return one.state
    if key.revoked or key.authority:
        return REVOKED if key.revoked else AUTHORITY
    return KNOWN if one.state == REVOKED_THERE else one.state


def _left(settings: Settings, left: Sequence[Import]) -> int:
    """Say what became of hosts for which no key was taken over, and return the exit code."""
    states = {one.state for one in left}
    if CHANGED in states:
        tell(settings, Text("a changed key is not replaced by itself: find out who changed it"), level=-1)
    if revoked := [one.host.name for one in left if one.state == REVOKED]:
        tell(settings, Text("not taken over, since it is revoked here: the key of {hosts}", hosts=", ".join(revoked)), level=-1)
    if bare := [one.host.name for one in left if one.state == REVOKED_THERE and not one.keeps]:
        tell(settings, Text("left without a key that counts: {hosts}", hosts=", ".join(bare)), level=-1)
        tell_hint(settings, f"longarm host enrol {','.join(bare)}", level=-1)
    return _REFUSES if bare or {CHANGED, REVOKED} & states else 3 if MISSING in states else 0


def rotate(settings: Settings, targets: str) -> int:
    """Learn from hosts that prove themselves which keys they have now; 5 declined, 4 if one is refused, 3 if one told none."""
    hosts = ssh_hosts(settings, targets)
    known, credentials = KnownHosts(settings.writable_home() / "known_hosts"), credential_store(settings)
    credentials.prepare(hosts)
    connect = connector(settings, credentials)
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        told = loop.run(told_at_once(hosts, lambda host: _rotation(connect, host)))
    rows: list[dict[str, object]] = []
    for host, one in zip(hosts, told, strict=True):
        if isinstance(one, RemoteError):
            rows.append(_row(host.name, _untold(one)) | {"error": say(one.text)})
        else:
            rows += [_row(host.name, state, key) for state, keys in _states(one) for key in keys]
    show_list(settings.output, COLUMNS, rows)
    wanted = [one for one in told if isinstance(one, Rotation) and one.changes]
    if wanted and not confirmed(settings, Text("let these be the keys of {count} hosts from now on?", count=len(wanted))):
        tell(settings, Text("no key was kept"), level=-1)
        return DECLINED
    known.take([Taken(host=one.host, keys=(*one.kept, *one.new), anew=True) for one in wanted])
    tell(settings, Text("rotated: {count}", count=len(wanted)))
    return max((exit_of(one) for one in told if isinstance(one, RemoteError)), default=0)


def _untold(error: RemoteError) -> str:
    """Return the state of a host that did not tell its keys."""
    if isinstance(error, HostKeyRefused):
        return REVOKED if error.revoked else CHANGED if error.known else REFUSED
    return REFUSED if exit_of(error) == _REFUSES else UNSEEN


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
