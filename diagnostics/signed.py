"""Libraries of checks, probes and playbooks that somebody vouches for: a folder, a digest of each file, a signature (Ed25519).

The manifest is one file in the folder, `library.signed`: which format, who signed, the signature over all other lines, and
a line for each file of the folder and below, as `sha256sum` writes it. What is not in it, and what it names and is not there,
is found as well as what was changed; a link is no file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from inventory.documents import read_guarded
from inventory.errors import InvalidFile, LongarmError, Text, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey: TypeAlias = Ed25519PrivateKey

MANIFEST: Final = "library.signed"
OPENSSH: Final = b"OPENSSH PRIVATE KEY"
"""What a private key as ssh-keygen writes it begins with."""
MOST_FILES: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one file of a library, and of its manifest."""
_FORMAT: Final = "longarm library 1"
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([^\0\n\r]+)")
_KEY: Final = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/]+={0,2})(?: (.*))?")


class LibraryRefused(LongarmError):
    """A library that nobody who is trusted has signed as it is; `path` is the file that tells so."""

    def __init__(self, path: Path, text: Text) -> None:
        self.path = path
        super().__init__(
            Text("{path}: {reason}", path=str(path), reason=text), Text("longarm library verify {folder}", folder="DIR")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose signature counts: a public key as ssh writes it, and a name."""

    key: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLibrary:
    """A library that is as it was signed."""

    folder: Path
    signer: Signer
    files: int
    digest: str
    """SHA-256 of its manifest."""


def signer_of(text: str) -> Signer:
    """Return the signer that a public key in OpenSSH's form names; raises UsageError.

    >>> signer_of("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfG5sAfYnDDiaDDBEiFc1c9DKkH5Ym3Xo5wsxeiWSdF olga").name
    'olga'
    """
    match = _KEY.fullmatch(text.strip())
    if match is None or _raw(match[1]) is None:
        raise UsageError(Text("not the public half of an ed25519 key: {text}", text=text[:80]), Text("ssh-ed25519 AAAA… NAME"))
    return Signer(key=f"ssh-ed25519 {match[1]}", name=(match[2] or "").strip())


def private_key(data: bytes, passphrase: str = "") -> PrivateKey | None:
    """Return a private key as ssh-keygen writes it, None for what is none of ed25519, or opens by another passphrase."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(data, passphrase.encode() or None)
    except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: it has a passphrase, or has none
        return None
    return key if isinstance(key, Ed25519PrivateKey) else None


def sign_library(folder: Path, key: PrivateKey) -> SignedLibrary:
    """Write the manifest of a folder, signed, and return the library; raises LibraryRefused for what cannot be signed."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    lines = [f"{digest}  {name}" for name, digest in sorted(_files(folder))]
    signature = base64.b64encode(key.sign(_signed_part(public, lines))).decode()
    text = "\n".join([_FORMAT, public, signature, *lines, ""])
    aside = folder / f"{MANIFEST}.new"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
    aside.replace(folder / MANIFEST)
    return verified_library(folder, [signer_of(public)])


def verified_library(folder: Path, signers: Sequence[Signer] | None) -> SignedLibrary:
    """Return a library that is as one of the signers has signed it; None: whoever signed it.

    Raises LibraryRefused with the first file that is not as it was signed.
    """
    path = folder / MANIFEST
    public, signature, lines, data = _manifest(path)
    known = {signer.key: signer for signer in signers or ()}
    signer = known.get(public) if signers is not None else signer_of(public)
    if signer is None:
        raise LibraryRefused(path, Text("it is signed by a key that is not among library.signers: {key}", key=public))
    _check_signature(path, public, signature, lines)
    promised = dict(_promised(path, lines))
    found = dict(_files(folder))
    for name in sorted({*promised, *found}):
        if name not in found:
            raise LibraryRefused(folder / name, Text("it was signed, and is not there"))
        if name not in promised:
            raise LibraryRefused(folder / name, Text("nobody signed it: it was added since"))
        if promised[name] != found[name]:
            raise LibraryRefused(folder / name, Text("it is not as it was signed"))
    return SignedLibrary(folder=folder, signer=signer, files=len(found), digest=hashlib.sha256(data).hexdigest())


def require_signed(path: Path, signers: Sequence[Signer]) -> SignedLibrary:
    """Return the signed library that holds a file: in its folder, or above; raises LibraryRefused."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow a link out of a library, and hide it
    for folder in whole.parents:
        if (folder / MANIFEST).is_file():
            library = verified_library(folder, signers)
            if whole.is_symlink() or not _within(folder, whole):
                raise LibraryRefused(whole, Text("it is a link, and not a file of the library"))
            return library
    raise LibraryRefused(whole, Text("it lies in no signed library, and library.signers says that it has to"))


# Inside


def _within(folder: Path, path: Path) -> bool:
    return path.resolve() == folder.resolve() / path.relative_to(folder)


def _manifest(path: Path) -> tuple[str, bytes, list[str], bytes]:
    """Return who signed, the signature, the lines of files and all bytes of a manifest."""
    if path.is_symlink():
        raise LibraryRefused(path, Text("it is a link, and not a file of the library"))
    try:
        data = read_guarded(path, MOST_BYTES)
    except InvalidFile as error:
        raise LibraryRefused(path, error.problems[0].text) from error
    strange = LibraryRefused(path, Text("it is no manifest of a library"))
    try:
        head, public, written, *lines = data.decode().split("\n")
        signature = base64.b64decode(written, validate=True)
    except ValueError as error:
        raise strange from error
    if head != _FORMAT or not lines or lines.pop() != "" or len(data) > MOST_BYTES or _KEY.fullmatch(public) is None:
        raise strange
    return public, signature, lines, data


def _check_signature(path: Path, public: str, signature: bytes, lines: Sequence[str]) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = _raw(public.split()[1])
    refused = LibraryRefused(path, Text("its signature is not that of {key}", key=public))
    if raw is None:
        raise refused
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, _signed_part(public, lines))
    except (InvalidSignature, ValueError) as error:
        raise refused from error


def _promised(path: Path, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if (match := _LINE.fullmatch(line)) is None:
            raise LibraryRefused(path, Text("it is no manifest of a library"))
        yield match[2], match[1]


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder and below with its digest; raises LibraryRefused for what is neither file nor folder."""
    count = 0
    for above, folders, names in os.walk(folder, onerror=_unreadable):
        for name in folders:
            if (Path(above) / name).is_symlink():
                raise LibraryRefused(Path(above) / name, Text("it is a link, and not a file of the library"))
        for name in names:
            path = Path(above) / name
            if path.parent == folder and name in (MANIFEST, f"{MANIFEST}.new"):
                continue
            count += 1
            if count > MOST_FILES:
                raise LibraryRefused(folder, Text("more than {count} files", count=MOST_FILES))
            yield _name(folder, path), _digest(path)


def _unreadable(error: OSError) -> None:
    raise LibraryRefused(Path(error.filename), Text("cannot be read: {reason}", reason=error.strerror))


def _name(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix()
    if not _LINE.fullmatch(f"{'0' * 64}  {name}") or not name.isprintable():
        raise LibraryRefused(path, Text("a file of a library has a name of visible characters"))
    return name


def _digest(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        link = Text("it is a link, and not a file of the library")
        reason = link if path.is_symlink() else Text("cannot be read: {reason}", reason=error.strerror)
        raise LibraryRefused(path, reason) from error
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise LibraryRefused(path, Text("is not a regular file"))
        data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise LibraryRefused(path, Text("the file is bigger than {limit} MiB", limit=MOST_BYTES // 2**20))
        return hashlib.sha256(data).hexdigest()


def _signed_part(public: str, lines: Sequence[str]) -> bytes:
    return "\n".join([_FORMAT, public, *lines]).encode()


def _raw(text: str) -> bytes | None:
    """Return the 32 bytes of a public key in OpenSSH's encoding, None where it is none of ed25519."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    head = b"\0\0\0\x0bssh-ed25519\0\0\0 "
    return data.removeprefix(head) if data.startswith(head) and len(data) == len(head) + 32 else None
