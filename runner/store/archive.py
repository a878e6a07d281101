"""A backup as one file: a manifest, the database, every blob by its digest; written whole, read with distrust.

It is a tar file that any tar lists and unpacks. Ours is read by hand, block by block: plain files with the names
that a backup has, in its order, no links, no `..`, no extended headers, nothing above its cap, nothing twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from inventory.errors import Text
from runner.store.blobs import sync
from runner.store.errors import BackupRefused, StoreInUse

FORMAT = "longarm-backup/1"
MANIFEST, DATABASE = "manifest.json", "longarm.db"
MOST_MANIFEST_BYTES = 64 << 10
MOST_BLOB_BYTES = 256 << 20
"""Of one packed blob."""
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself; its first member."""

    taken_at: datetime
    schema: str
    database_bytes: int
    database_sha256: str
    blobs: int
    blobs_sha256: str
    """Of the digests in their order, one a line: none can be left out or added unnoticed."""

    def encoded(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self), "taken_at": self.taken_at.isoformat()}, indent=1).encode()


def manifest_from(path: Path, data: bytes) -> Manifest:
    """Return what a manifest says, or raise BackupRefused."""
    try:
        words: dict[str, Any] = json.loads(data)
        manifest = Manifest(**{**_known(words), "taken_at": datetime.fromisoformat(words["taken_at"])})
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BackupRefused(path, Text("its manifest is not that of a backup")) from None
    if manifest.taken_at.tzinfo is None:  # it is compared with when something was erased
        raise BackupRefused(path, Text("its manifest is not that of a backup"))
    return manifest


def _known(words: dict[str, Any]) -> dict[str, Any]:
    """Return the words of a manifest but its format; raises ValueError for one of another format or kind."""
    kinds = {field.name: str if field.type in ("str", "datetime") else int for field in fields(Manifest)}
    if words.pop("format", None) != FORMAT or {name: type(value) for name, value in words.items()} != kinds:
        raise ValueError(words)
    return words


@contextmanager
def part_beside(to: Path) -> Iterator[Path]:
    """Yield a private folder beside a file that is to be made; what a killed process left there is cleared away.

    Raises StoreInUse while another process makes the same file.
    """
    part = to.with_name(f"{to.name}.part")
    part.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(part) from None
        for left in part.iterdir():
            left.unlink()
        yield part
        shutil.rmtree(part)
    finally:
        os.close(descriptor)


class ArchiveWriter:
    """Writes members of a backup to an open file."""

    def __init__(self, file: BinaryIO, taken_at: datetime) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)
        self._mtime = int(taken_at.timestamp())

    def add(self, name: str, source: BinaryIO, size: int) -> None:
        """Add the bytes that a source holds from where it stands."""
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, self._mtime, 0o600
        self._tar.addfile(member, source)

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add bytes."""
        self.add(name, io.BytesIO(data), len(data))

    def close(self) -> None:
        """Write the end mark."""
        self._tar.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a backup; its bytes come in pieces and are to be taken before the next one."""

    name: str
    digest: str
    """Of a blob, by its name; empty for the manifest and the database."""
    size: int
    pieces: Iterator[bytes]


def members(path: Path, file: BinaryIO) -> Iterator[Member]:
    """Yield the members of a backup in their order: the manifest, the database, the blobs; or raise BackupRefused."""
    names, last = [MANIFEST, DATABASE], ""
    while (block := _exactly(path, file, _BLOCK)) != bytes(_BLOCK):
        member = _header(path, block)
        wanted = names.pop(0) if names else ""
        match = _BLOB.fullmatch(member.name)
        if member.name != wanted and (wanted or not match or match[1] <= last):
            raise BackupRefused(path, Text("it holds “{name}”, which has no place there", name=member.name))
        last = match[1] if match else last
        most = MOST_MANIFEST_BYTES if member.name == MANIFEST else MOST_BLOB_BYTES
        if member.name != DATABASE and member.size > most:
            raise BackupRefused(path, Text("“{name}” has more than {most} bytes", name=member.name, most=most))
        yield Member(name=member.name, digest=last, size=member.size, pieces=_pieces(path, file, member.size))
        _exactly(path, file, -member.size % _BLOCK)
    if names:
        raise BackupRefused(path, Text("it ends too early"))


def _header(path: Path, block: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
        raise BackupRefused(path, Text("it is not a backup, or damaged")) from None
    if member.type != tarfile.REGTYPE or member.size < 0:
        raise BackupRefused(path, Text("it holds “{name}”, which is no plain file", name=member.name))
    return member


def _pieces(path: Path, file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = _exactly(path, file, min(size, _PIECE))
        size -= len(piece)
        yield piece


def _exactly(path: Path, file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise BackupRefused(path, Text("it ends too early"))
    return data


def list_digest(digests: list[str]) -> str:
    """Return the SHA-256 of digests, one a line."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def publish(made: Path, to: Path) -> None:
    """Give a finished file its name, which it has for good when this returns."""
    made.rename(to)
    sync(to.parent)
