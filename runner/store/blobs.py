"""Kept bytes by their SHA-256: gzip files that are complete and on disk before any row names them."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from runner.store.errors import StoreDamaged

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEVEL = 4
"""Of gzip: 26 KiB of evidence (12 checks) come to 4.2 KiB in 0.18 ms; level 9 saves 0.3 KiB more and takes 0.28 ms (2026)."""

MOST_BYTES = 1 << 30
"""Of one blob, unpacked: what a host may answer and what a report may hold is far below; a packed bomb is far above."""
_PIECE_BYTES = 1 << 20


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_digest(word: object) -> bool:
    """Tell whether this is what `digest_of` returns."""
    return isinstance(word, str) and _DIGEST.fullmatch(word) is not None


class Blobs:
    """The folder `blobs/`: `ab/cdef…` holds the bytes whose digest is `abcdef…`."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "blobs"
        self._new = self.folder / "new"

    def prepare(self) -> None:
        """Make the folders, all 256 at once: later only files come in, and one fsync makes them last."""
        for folder in (self.folder, self._new, *(self.folder / f"{number:02x}" for number in range(256))):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        sync(self.folder)
        for left_over in self._new.iterdir():  # of a process that was killed
            left_over.unlink()

    def write(self, many: Iterable[bytes]) -> None:
        """Keep these bytes: when this returns, they survive a power cut.

        Written aside, fsynced, renamed into place, then every folder that got one is fsynced; a file
        with the right name is therefore always whole.
        """
        folders = set()
        for data in many:
            path = self._path(digest_of(data))
            folders.add(path.parent)
            if not path.exists():
                aside = self._new / path.name
                create(aside, gzip.compress(data, compresslevel=_LEVEL, mtime=0))
                aside.rename(path)
        for folder in folders:
            sync(folder)

    def read(self, digest: str) -> bytes:
        """Return the bytes with this digest, or raise StoreDamaged."""
        if not _DIGEST.fullmatch(digest):
            raise StoreDamaged(self.home, digest, "not a digest")
        try:
            data = gzip.decompress(self._path(digest).read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise StoreDamaged(self.home, digest, str(error)) from error
        if digest_of(data) != digest:
            raise StoreDamaged(self.home, digest, "its content has another digest")
        return data

    def packed(self, digest: str) -> bytes:
        """Return the file of a blob as it is."""
        return self._path(digest).read_bytes()

    def put(self, digest: str, packed: bytes) -> None:
        """Keep the file of a blob, packed elsewhere; raises StoreDamaged where it is not what its name says."""
        if not _DIGEST.fullmatch(digest):
            raise StoreDamaged(self.home, digest, "not a digest")
        create(self._path(digest), packed)
        self.check(digest)

    def adopt(self, other: Blobs) -> None:
        """Move every blob of another folder on the same disk here; when this returns, they are here for good."""
        folders = set()
        for digest in other.stored():
            other._path(digest).rename(self._path(digest))
            folders.add(self._path(digest).parent)
        for folder in folders:
            sync(folder)

    def check(self, digest: str) -> None:
        """Raise StoreDamaged unless the bytes with this digest are there; reads in pieces, whatever they unpack to."""
        try:
            with self._path(digest).open("rb") as file:
                check_packed(self.home, digest, file)
        except OSError as error:
            raise StoreDamaged(self.home, digest, str(error)) from error

    def stored(self) -> Iterator[str]:
        """Yield the digest of every file that stands where a blob stands."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(name for path in folder.iterdir() if _DIGEST.fullmatch(name := folder.name + path.name))

    def size(self, digest: str) -> int:
        """Return how many bytes the file of a blob has, 0 where there is none."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, digests: Iterable[str], *, overwrite: bool = False) -> None:
        """Remove these files for good: when this returns, they are gone, also after a power cut."""
        folders = set()
        for digest in digests:
            path = self._path(digest)
            if path.exists():
                remove(path, overwrite=overwrite)
                folders.add(path.parent)
        for folder in folders:
            sync(folder)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]


def check_packed(home: Path, digest: str, file: BinaryIO) -> None:
    """Raise StoreDamaged unless a packed file holds the bytes with this digest; reads in pieces, whatever they unpack to."""
    found, size = hashlib.sha256(), 0
    try:
        with gzip.open(file) as unpacked:
            while piece := unpacked.read(_PIECE_BYTES):
                found.update(piece)
                if (size := size + len(piece)) > MOST_BYTES:
                    raise StoreDamaged(home, digest, f"more than {MOST_BYTES} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise StoreDamaged(home, digest, str(error)) from error
    if found.hexdigest() != digest:
        raise StoreDamaged(home, digest, "its content has another digest")


def remove(path: Path, *, overwrite: bool) -> None:
    """Remove a file, its bytes overwritten first where they must not be found on the disk afterwards."""
    if overwrite:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _fill(descriptor, bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    path.unlink(missing_ok=True)


def create(path: Path, data: bytes) -> None:
    """Write a private file; when this returns, its bytes are on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _fill(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, data: bytes) -> None:
    with memoryview(data) as rest:
        written = 0
        while written < len(data):
            written += os.write(descriptor, rest[written:])


def sync(folder: Path) -> None:
    """Make what was renamed or removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
