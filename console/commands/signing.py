"""`longarm library sign | verify`."""

from __future__ import annotations

from pathlib import Path

import click

from console.framework import Group, argument, option
from console.settings import Settings
from inventory.errors import Text

library = Group("library", Text("Libraries of playbooks and probes: sign, verify."))

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@library.add(
    "sign",
    Text("Sign a folder: the digest of every file in it, and who says so."),
    argument("folder", metavar="DIR", type=_FOLDER),
    option(
        "--key",
        text=Text("Private key, ed25519, as ssh-keygen makes it."),
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
    ),
)
def sign(settings: Settings, folder: Path, key: Path) -> None:
    """Sign a library."""
    from console.signing import sign_folder

    sign_folder(settings, folder, key)


@library.add(
    "verify",
    Text("Look whether a folder is as it was signed, by whom the configuration trusts."),
    argument("folder", metavar="DIR", type=_FOLDER),
)
def verify(settings: Settings, folder: Path) -> None:
    """Verify a library; 7 if a file is not as it was signed."""
    from console.signing import verify_folder

    verify_folder(settings, folder)
