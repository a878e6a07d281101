"""A known_hosts of OpenSSH's, as people have one: hashed names, patterns, ports, authorities (sshd(8)); read, never written.

Its names are addresses, so a host of the inventory is looked for by its address, its name and its alias. As with `ssh`, lines
for another port than 22 come before those without one, and a line that cannot be read is passed over: here it is counted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inventory.errors import Text, UsageError
from inventory.host import Host
from inventory.sources.ssh_words import fits_list
from remote.host_keys import AUTHORITY, REVOKED, HostKey
from remote.host_proof import names_of
from remote.known_lines import UnusableLine, key_on_line
from remote.ssh_options import HOST_KEY_ALGORITHMS, PORT

_LARGEST = 64 * 1024 * 1024
_HASHED = "|1|"


@dataclass(slots=True)
class OpensshKnownHosts:
    """The usable lines of such a file."""

    by_name: dict[str, list[HostKey]] = field(default_factory=dict)
    """What is on lines for plain names, `[address]:port` among them, in lower case."""
    hashed: list[tuple[bytes, bytes, HostKey]] = field(default_factory=list)
    """Salt, HMAC-SHA1 of the name, and the key."""
    patterns: list[tuple[str, HostKey]] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    """The numbers of the lines that could not be read."""

    @classmethod
    def of(cls, path: Path) -> OpensshKnownHosts:
        """Return what a file holds; UsageError if it cannot be read at all."""
        try:
            with path.open("rb") as opened:
                data = opened.read(_LARGEST + 1)
        except OSError as error:
            raise UsageError(Text("{path}: {reason}", path=path, reason=error.strerror or str(error))) from error
        if len(data) > _LARGEST:
            raise UsageError(Text("{path} is too large for a known_hosts", path=path))
        found = cls()
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if (text := line.strip()) and not text.startswith("#"):
                try:
                    found._take(text)
                except (UnusableLine, ValueError, IndexError):
                    found.unread.append(number)
        return found

    def _take(self, line: str) -> None:
        words = line.split()
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker not in ("", REVOKED, AUTHORITY) or len(words) < 3:
            raise ValueError(line)
        key = key_on_line(words[1:], revoked=marker == REVOKED, authority=marker == AUTHORITY)
        if key.type not in HOST_KEY_ALGORITHMS:
            raise ValueError(key.type)
        names = words[0].lower()
        if names.startswith(_HASHED):
            self.hashed.append((*_hash_of(words[0]), key))
        elif set(names) & set("*?!"):
            self.patterns.append((names, key))
        else:
            for name in names.split(","):
                self.by_name.setdefault(name, []).append(key)

    def keys(self, host: Host) -> tuple[HostKey, ...]:
        """Return what the file holds for a host: its keys, authorities and revoked keys, each once."""
        port, names = host.port or PORT, names_of(host)
        with_port = tuple(f"[{name}]:{port}" for name in names)
        found = () if port == PORT else self._for(with_port)
        return tuple(dict.fromkeys(found or self._for((*names, *(with_port if port == PORT else ())))))

    def _for(self, names: Iterable[str]) -> tuple[HostKey, ...]:
        return tuple(key for name in names for key in self._named(name))

    def _named(self, name: str) -> Iterator[HostKey]:
        yield from self.by_name.get(name, ())
        yield from (key for patterns, key in self.patterns if fits_list(name, patterns))
        packed = name.encode()
        for salt, digest, key in self.hashed:
            if hmac.compare_digest(hmac.digest(salt, packed, hashlib.sha1), digest):
                yield key


def _hash_of(word: str) -> tuple[bytes, bytes]:
    _, _, salt, digest = word.split("|")
    try:
        return base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except binascii.Error as error:
        raise ValueError(word) from error
