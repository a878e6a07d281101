"""Signed libraries: whatever was added, taken away, changed or made a link of is found, and named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from diagnostics.signed import (
    MANIFEST,
    LibraryRefused,
    Signer,
    private_key,
    require_signed,
    sign_library,
    signer_of,
    verified_library,
)
from inventory.errors import UsageError

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> Signer:
    return signer_of(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " olga")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return a signed library: a playbook, a file below it, one with a name in Russian."""
    folder = tmp_path / "library"
    (folder / "files").mkdir(parents=True)
    (folder / "mend.yaml").write_text("playbook: mend\n")
    (folder / "files" / "motd").write_text("hello\n")
    (folder / "заметки.txt").write_text("")
    sign_library(folder, KEY)
    return folder


def said(folder: Path, signer: Signer | None = None) -> str:
    with pytest.raises(LibraryRefused) as caught:
        verified_library(folder, [signer or public(KEY)])
    return str(caught.value)


def test_what_is_as_it_was_signed_is_told_with_its_signer(library: Path) -> None:
    found = verified_library(library, [public(OTHER), public(KEY)])
    assert (found.files, found.signer.name) == (3, "olga")
    assert verified_library(library, None).signer.key == public(KEY).key
    assert sign_library(library, KEY).digest == found.digest


def made_link(path: Path) -> None:
    """Move what is there out of the library, and leave a link to it."""
    elsewhere = path.parents[1] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "added": (lambda one: (one / "new.yaml").write_text(""), "new.yaml", "nobody signed it: it was added since"),
    "added below": (lambda one: (one / "files" / "x").write_text(""), "files/x", "nobody signed it"),
    "removed": (lambda one: (one / "files" / "motd").unlink(), "files/motd", "it was signed, and is not there"),
    "changed": (lambda one: (one / "mend.yaml").write_text("playbook: mond\n"), "mend.yaml", "it is not as it was signed"),
    "grown": (lambda one: (one / "заметки.txt").write_text(" "), "заметки.txt", "it is not as it was signed"),
    "renamed": (lambda one: (one / "mend.yaml").rename(one / "mond.yaml"), "mend.yaml", "it was signed, and is not there"),
    "made a link": (
        lambda one: made_link(one / "mend.yaml"),
        "mend.yaml",
        "it is a link, and not a file of the library",
    ),
    "a folder made a link": (
        lambda one: made_link(one / "files"),
        "files",
        "it is a link, and not a file of the library",
    ),
    "a link added": (lambda one: (one / "l").symlink_to("nowhere"), "l", "it is a link, and not a file of the library"),
    "a pipe added": (lambda one: os.mkfifo(one / "pipe"), "pipe", "is not a regular file"),
    "a name of many lines": (lambda one: (one / "a\nb").write_text(""), "a\nb", "a name of visible characters"),
    "no manifest": (lambda one: (one / MANIFEST).unlink(), MANIFEST, "cannot be read"),
    "a manifest of everybody": (lambda one: (one / MANIFEST).chmod(0o666), MANIFEST, "everyone on this machine may write"),
    "a manifest that is a link": (
        lambda one: made_link(one / MANIFEST),
        MANIFEST,
        "it is a link",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_as_it_was_signed_is_named(library: Path, name: str) -> None:
    change, file, why = CHANGES[name]
    change(library)
    message = said(library)
    assert message.startswith(f"{library / file}: ") and why in message


def test_every_byte_of_a_manifest_counts(library: Path) -> None:
    path = library / MANIFEST
    data = path.read_bytes()
    for at, byte in enumerate(data):
        path.write_bytes(data[:at] + bytes([byte ^ 1]) + data[at + 1 :])
        assert MANIFEST in said(library), at
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        assert MANIFEST in said(library), cut
    path.write_bytes(data + b"\n")
    assert MANIFEST in said(library)


def test_a_signature_of_somebody_else_is_none(library: Path) -> None:
    assert "is signed by a key that is not among library.signers" in said(library, public(OTHER))
    lines = (library / MANIFEST).read_text().split("\n")
    lines[1] = public(OTHER).key
    (library / MANIFEST).write_text("\n".join(lines))
    assert "its signature is not that of" in said(library, public(OTHER))


def test_a_file_is_in_the_signed_library_above_it_or_in_none(library: Path, tmp_path: Path) -> None:
    for path in (library / "mend.yaml", library / "files" / "motd", library / "files" / ".." / "mend.yaml"):
        assert require_signed(path, [public(KEY)]).files == 3
    outside = tmp_path / "mend.yaml"
    outside.write_text("playbook: mend\n")
    link = tmp_path / "link.yaml"
    link.symlink_to(library / "mend.yaml")
    for path in (outside, link):
        with pytest.raises(LibraryRefused, match="it lies in no signed library"):
            require_signed(path, [public(KEY)])
    (library / "out").symlink_to(tmp_path)
    with pytest.raises(LibraryRefused, match="it is a link"):
        require_signed(library / "out" / "mend.yaml", [public(KEY)])


@pytest.mark.parametrize("text", ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", "x" * 200])
def test_what_is_no_key_of_ed25519_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the public half of an ed25519 key"):
        signer_of(text)


def test_a_private_key_is_opened_by_its_passphrase_and_nothing_else() -> None:
    def written(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, shut: bool) -> bytes:
        how = BestAvailableEncryption(b"a passphrase") if shut else NoEncryption()
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, how)

    opened = private_key(written(KEY, shut=True), "a passphrase")
    assert opened is not None and opened.public_key() == KEY.public_key()
    assert private_key(written(KEY, shut=False)) is not None
    assert private_key(written(KEY, shut=True)) is private_key(written(KEY, shut=True), "another") is None
    assert private_key(written(ec.generate_private_key(ec.SECP256R1()), shut=False)) is private_key(b"no key") is None
