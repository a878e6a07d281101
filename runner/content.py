"""Whose playbooks and probes are used: anybody's, or only what a signer of the configuration vouches for."""

from __future__ import annotations

from pathlib import Path

from diagnostics.signed import require_signed
from runner.config import load_config


def refuse_unsigned(home: Path, file: str) -> None:
    """Raise LibraryRefused for a file of one's own that no trusted signer has signed, where the configuration asks for that.

    An empty name is what ships with longarm: that comes with the program itself.
    """
    if file and (signers := load_config(home).signers) is not None:
        require_signed(Path(file), signers)
