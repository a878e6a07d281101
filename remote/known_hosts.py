"""longarm's own known_hosts: which keys each host of the inventory may prove itself with.

The lines are those of OpenSSH (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), but the first field is the
*inventory's name* of the host, never its address: private addresses of customers overlap. A line
that cannot be used is refused with its place: a trust store is never read by halves.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import InvalidFile, Place, Problem, Text, UsageError

_REVOKED = "@revoked"
_EVERY = "*"  # `@revoked * …`: refused from every host
_PATTERN = frozenset("*?!|[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One public key of a host, as it stands on a line; `revoked` ones are refused wherever they turn up."""

    type: str
    """The name of the key's kind, such as `ssh-ed25519`."""
    blob: bytes
    revoked: bool = False

    @property
    def fingerprint(self) -> str:
        """Return the key's fingerprint as OpenSSH prints it, `SHA256:` and unpadded base64."""
        return fingerprint(self.blob)

    @property
    def line(self) -> str:
        """Return type and base64, the part of a line behind the names."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @classmethod
    def of(cls, blob: bytes, *, revoked: bool = False) -> HostKey:
        """Return the key whose wire form (RFC 4253 6.6) is `blob`; ValueError if that names no type."""
        length = int.from_bytes(blob[:4], "big")
        name = blob[4 : 4 + length]
        if not 0 < length <= 64 or len(name) < length or not name.isascii() or not name.decode("ascii").isprintable():
            raise ValueError("not an SSH public key")
        return cls(type=name.decode("ascii"), blob=blob, revoked=revoked)


def fingerprint(blob: bytes) -> str:
    """Return the SHA256 fingerprint of a public key's wire form.

    >>> fingerprint(b"")
    'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class KnownHosts:
    """The keys of `path`, read and parsed once, when the first one is asked for; a file that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, tuple[HostKey, ...]] | None = None

    def keys(self, host_name: str) -> tuple[HostKey, ...]:
        """Return the keys known for a host, revoked ones included, in file order; InvalidFile if a line is broken."""
        if self._known is None:
            self._known = _parsed(self._lines(), str(self.path))
        return self._known.get(host_name, ()) + self._known.get(_EVERY, ())

    def names(self) -> tuple[str, ...]:
        """Return the names of all hosts that have a key, in file order."""
        self.keys("")
        return tuple(name for name in self._known or () if name != _EVERY)

    def add(self, host_name: str, *keys: HostKey) -> tuple[HostKey, ...]:
        """Write the keys that are not there yet and return them; what stands in the file stays as it is.

        Raises UsageError for a key that is revoked: it is refused whatever else the file says.
        """
        if (
            not host_name
            or host_name.startswith(("#", "@"))
            or any(c.isspace() or c == "," or c in _PATTERN for c in host_name)
        ):
            raise ValueError(f"not a host name for known_hosts: {host_name!r}")
        added: list[HostKey] = []

        def appended(lines: list[str]) -> list[str]:
            parsed = _parsed(lines, str(self.path))
            known = parsed.get(host_name, ()) + parsed.get(_EVERY, ())
            revoked = {key.blob for key in known if key.revoked}
            for key in keys:
                if key.blob in revoked and not key.revoked:
                    raise UsageError(Text("the key {key} of {host} is revoked", key=key.fingerprint, host=host_name))
            added.extend(key for key in dict.fromkeys(keys) if key not in known)
            marks = ((_REVOKED + " " if key.revoked else "", key) for key in added)
            return lines + [f"{mark}{host_name} {key.line}" for mark, key in marks]

        self._rewrite(appended)
        return tuple(added)

    def remove(self, host_name: str) -> int:
        """Forget the host and return how many keys that took; its revoked keys stay revoked."""
        before = 0

        def without(lines: list[str]) -> list[str]:
            nonlocal before
            kept = []
            for line in lines:
                names, rest = _names(line)
                if host_name in names:
                    before += 1
                    if names := [name for name in names if name != host_name]:
                        kept.append(f"{','.join(names)} {rest}")
                else:
                    kept.append(line)
            return kept

        self._rewrite(without)
        return before

    def _lines(self) -> list[str]:
        file = str(self.path)
        try:
            with self.path.open("rb") as opened:
                mode, data = os.fstat(opened.fileno()).st_mode, opened.read()
        except FileNotFoundError:
            return []
        if mode & 0o022:
            problem = Text("others may write to it (mode {mode}): whoever can may add a key", mode=f"{mode & 0o777:03o}")
            raise InvalidFile([_problem(file, 1, problem, Text("chmod 600 {file}", file=file))])
        try:
            return data.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidFile([_problem(file, 1, Text("not UTF-8: {reason}", reason=str(error)))]) from error

    def _rewrite(self, change: Callable[[list[str]], list[str]]) -> None:
        """Replace the file by what `change` makes of its lines: whole, mode 0600, on disk, one writer at a time."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.path.parent) as folder:
            before = self._lines()
            after = change(before)
            if after != before:
                _replace(self.path, folder, "".join(line + "\n" for line in after).encode())
            self._known = _parsed(after, str(self.path))


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the folder's lock (flock on the folder itself: the file changes its inode with each write)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _replace(path: Path, folder: int, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    os.fsync(folder)


def _parsed(lines: list[str], file: str) -> dict[str, tuple[HostKey, ...]]:
    known: dict[str, list[HostKey]] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        try:
            names, key = _entry(text)
        except _Unusable as error:
            problems.append(_problem(file, number, error.text, error.hint))
            continue
        for name in names:
            known.setdefault(name, []).append(key)
    if problems:
        raise InvalidFile(problems)
    return {name: tuple(keys) for name, keys in known.items()}


class _Unusable(Exception):
    def __init__(self, text: Text, hint: Text | None = None) -> None:
        super().__init__(str(text))
        self.text, self.hint = text, hint


def _entry(line: str) -> tuple[list[str], HostKey]:
    words = line.split()
    if revoked := words[0] == _REVOKED:
        words = words[1:]
    elif words[0].startswith("@"):
        raise _Unusable(Text("the marker {marker} is not supported", marker=words[0]))
    if len(words) < 3:
        raise _Unusable(Text("not a line of known_hosts: name, key type and key are needed"))
    names, type_, encoded = words[0].split(","), words[1], words[2]
    if not (revoked and names == [_EVERY]) and not all(name and _PATTERN.isdisjoint(name) for name in names):
        raise _Unusable(
            Text("{names} is not a host name of the inventory", names=words[0]),
            Text("patterns, hashed names and [address]:port do not belong here"),
        )
    try:
        key = HostKey.of(base64.b64decode(encoded, validate=True), revoked=revoked)
    except (ValueError, binascii.Error) as error:
        raise _Unusable(Text("the key cannot be read: {reason}", reason=str(error))) from error
    if key.type != type_:
        raise _Unusable(Text("the line says {type}, its key is {real}", type=type_, real=key.type))
    return names, key


def _names(line: str) -> tuple[list[str], str]:
    """Return the names a plain line is for and the rest of it; comments and marked lines are for none."""
    first, rest = (*line.split(None, 1), "", "")[:2]
    return ([] if first.startswith(("#", "@")) or not first else first.split(","), rest)


def _problem(file: str, line: int, text: Text, hint: Text | None = None) -> Problem:
    return Problem(place=Place(file, line, 1), text=text, hint=hint)
