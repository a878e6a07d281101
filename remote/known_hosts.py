"""longarm's own known_hosts: which keys each host of the inventory may prove itself with.

The lines are those of OpenSSH (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), but the first field is the
*inventory's name* of the host, never its address: private addresses of customers overlap. A line
that cannot be used is refused with its place: a trust store is never read by halves.

`@cert-authority` and `@revoked` lines may also hold patterns of such names (`web*`, `!web9`) and groups (`group=berlin`):
what holds for them holds for a host that joins later. A key of a host itself is for names alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import InvalidFile, Text, UsageError
from inventory.host import Host
from remote.host_keys import HostKey
from remote.kept_file import one_writer, replace_whole
from remote.known_lines import PATTERN, Known, known_in, may_be_marked, problem_on, without


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What one host may prove itself with."""

    host: Host
    keys: tuple[HostKey, ...] = ()
    """Known by the host's name, in file order."""
    authorities: tuple[HostKey, ...] = ()
    """Those whose certificates it may show."""
    revoked: frozenset[bytes] = frozenset()
    """The wire forms of keys and authorities that are refused whatever else is known."""

    @property
    def key_types(self) -> frozenset[str]:
        """Return the kinds of the keys that count, which the host is best asked for: a revoked one would end the login."""
        return frozenset(key.type for key in self.keys if key.blob not in self.revoked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is to be kept of one host, for its name alone: its keys, authorities and revoked keys."""

    host: Host
    keys: tuple[HostKey, ...]
    anew: bool = False
    """Whether the keys that are known of it are forgotten for these; what is marked stays."""


class KnownHosts:
    """The keys of `path`, read and parsed once, when the first one is asked for; a file that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: Known | None = None

    @property
    def _known(self) -> Known:
        if self._read is None:
            self._read = known_in(self._lines(), str(self.path))
        return self._read

    def trust(self, host: Host) -> Trust:
        """Return what a host may prove itself with; InvalidFile if a line is broken."""
        keys, marked = self._known.of(host.name), tuple(self._known.marked_for(host.name, host.groups))
        return Trust(
            host=host,
            keys=tuple(key for key in keys if not key.revoked and not key.authority),
            authorities=tuple(key for key in (*keys, *marked) if key.authority and not key.revoked),
            revoked=frozenset(key.blob for key in (*keys, *marked) if key.revoked),
        )

    def names(self) -> tuple[str, ...]:
        """Return the names of all hosts that have a key, in file order."""
        return tuple(name for name, keys in self._known.by_name.items() if not all(key.authority for key in keys))

    def add(self, host_name: str, *keys: HostKey) -> tuple[HostKey, ...]:
        """Write the keys that are not there yet and return them; what stands in the file stays as it is. Raises as `take`."""
        return self.take((Taken(host=Host(name=host_name, address=host_name), keys=keys),))

    def take(self, taken: Sequence[Taken]) -> tuple[HostKey, ...]:
        """Write what is not there yet of several hosts, in one step, and return it: whoever reads the file meanwhile, and who
        is stopped, finds all as it was or all as it is to be.

        Raises UsageError for a key that is revoked for its host, whatever else the file says; nothing is written then.
        """
        added: list[HostKey] = []

        def written(lines: list[str]) -> list[str]:
            found = known_in(lines, str(self.path))
            lines = without({one.host.name for one in taken if one.anew}, lines)[0]
            for one in taken:
                new = _new(one, found)
                lines += [f"{key.marker}{one.host.name} {key.line}" for key in new]
                added.extend(new)
            return lines

        for name in (one.host.name for one in taken):
            if not name or name.startswith(("#", "@")) or any(c.isspace() or c == "," or c in PATTERN for c in name):
                raise ValueError(f"not a host name for known_hosts: {name!r}")
        self._rewrite(written)
        return tuple(added)

    def holds(self, patterns: tuple[str, ...], key: HostKey) -> bool:
        """Tell whether a key stands there for all of these names, patterns and groups, or for every host."""
        return all(key in self._known.on_lines_of(pattern) for pattern in patterns)

    def mark(self, patterns: tuple[str, ...], *keys: HostKey) -> tuple[HostKey, ...]:
        """Write authorities and revoked keys for names, patterns of names and groups; return those not there yet.

        Raises UsageError for an authority that is revoked for one of them.
        """
        if not all(key.authority or key.revoked for key in keys) or not all(map(may_be_marked, patterns)) or not patterns:
            raise ValueError(f"not what a marked line may hold: {patterns!r}")
        added: list[HostKey] = []

        def appended(lines: list[str]) -> list[str]:
            found = known_in(lines, str(self.path))
            there = {key for key in dict.fromkeys(keys) if all(key in found.on_lines_of(name) for name in patterns)}
            _refuse_revoked(keys, {key.blob for name in patterns for key in found.on_lines_of(name) if key.revoked}, patterns)
            added.extend(key for key in dict.fromkeys(keys) if key not in there)
            return lines + [f"{key.marker}{','.join(patterns)} {key.line}" for key in added]

        self._rewrite(appended)
        return tuple(added)

    def remove(self, host_name: str) -> int:
        """Forget the host and return how many keys that took; its revoked keys stay revoked."""
        removed = 0

        def forgotten(lines: list[str]) -> list[str]:
            nonlocal removed
            kept, removed = without((host_name,), lines)
            return kept

        self._rewrite(forgotten)
        return removed

    def _lines(self) -> list[str]:
        file = str(self.path)
        try:
            with self.path.open("rb") as opened:
                mode, data = os.fstat(opened.fileno()).st_mode, opened.read()
        except FileNotFoundError:
            return []
        if mode & 0o022:
            problem = Text("others may write to it (mode {mode}): whoever can may add a key", mode=f"{mode & 0o777:03o}")
            raise InvalidFile([problem_on(file, 1, problem, Text("chmod 600 {file}", file=file))])
        try:
            return data.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidFile([problem_on(file, 1, Text("not UTF-8: {reason}", reason=str(error)))]) from error

    def _rewrite(self, change: Callable[[list[str]], list[str]]) -> None:
        """Replace the file by what `change` makes of its lines: whole, mode 0600, on disk, one writer at a time."""
        with one_writer(self.path.parent) as folder:
            before = self._lines()
            after = change(before)
            if after != before:
                replace_whole(self.path, folder, "".join(line + "\n" for line in after).encode())
            self._read = known_in(after, str(self.path))


def _new(taken: Taken, found: Known) -> list[HostKey]:
    """Return what a store does not hold yet of what is to be kept of a host; UsageError for a key that is revoked."""
    name = taken.host.name
    revoked = {key.blob for key in (*found.of(name), *found.marked_for(name, taken.host.groups)) if key.revoked}
    _refuse_revoked(taken.keys, revoked, (name,))
    there = [key for key in found.on_lines_of(name) if key.marker or not taken.anew]
    return [key for key in dict.fromkeys(taken.keys) if key not in there and not (key.revoked and key.blob in revoked)]


def _refuse_revoked(keys: Iterable[HostKey], revoked: Collection[bytes], names: Iterable[str]) -> None:
    for key in keys:
        if key.blob in revoked and not key.revoked:
            raise UsageError(Text("the key {key} of {host} is revoked", key=key.fingerprint, host=",".join(names)))
