"""What `longarm library` does: sign a folder, and tell whether one is as it was signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from console.listing import show_document
from console.settings import Settings
from console.terminal import tell
from console.wiring import ask_secret
from console.words import say
from diagnostics.signed import OPENSSH, SignedLibrary, private_key, sign_library, verified_library
from inventory.documents import read_guarded
from inventory.errors import Text, UsageError
from runner.config import load_config

if TYPE_CHECKING:
    from diagnostics.signed import PrivateKey


def sign_folder(settings: Settings, folder: Path, key: Path) -> None:
    """Sign a folder and tell by which key, so that it can be put among the signers."""
    signed = sign_library(folder.resolve(), _private_key(settings, key))
    _show(settings, signed, Text("signed: {folder}, files: {files}", folder=str(folder), files=signed.files))
    tell(settings, Text("its signer, for library.signers in config.yaml: {key}", key=signed.signer.key))


def verify_folder(settings: Settings, folder: Path) -> None:
    """Tell that a folder is as it was signed, and by whom; raises LibraryRefused."""
    signers = load_config(settings.home).signers
    signed = verified_library(folder.resolve(), signers)
    words = {"folder": str(folder), "files": signed.files, "signer": str(signed.signer)}
    _show(settings, signed, Text("{folder} is as {signer} has signed it; files: {files}", **words))
    if signers is None:
        tell(settings, Text("whether that signer is to be trusted nobody says: library.signers in config.yaml"))


def _private_key(settings: Settings, path: Path) -> PrivateKey:
    """Return a private key; one with a passphrase is asked for where somebody can answer."""
    data, wrong = read_guarded(path), Text("{path} is no private ed25519 key as ssh-keygen makes it", path=str(path))
    key = private_key(data)
    if key is None and not settings.no_input and OPENSSH in data:
        key = private_key(data, ask_secret(Text("Passphrase of {path}", path=str(path))))
    if key is None:
        raise UsageError(wrong, Text("ssh-keygen -t ed25519 -f {path}", path="FILE"))
    return key


def _show(settings: Settings, signed: SignedLibrary, text: Text) -> None:
    signer = {"key": signed.signer.key, "name": signed.signer.name or None}
    document = {"folder": signed.folder, "files": signed.files, "digest": signed.digest, "signer": signer}
    show_document(settings.output, document, lambda: say(text) + "\n")
