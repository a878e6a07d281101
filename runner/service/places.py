"""Where services listen; told apart from the rest so that a command without one loads nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OF_THE_MACHINE: Final = Path("/run/longarm/desk.sock")
"""Where the shipped systemd unit lets the service of a machine listen."""


def socket_of(home: Path) -> Path:
    """Return where the service of a home listens if nothing else is said."""
    return home / "desk.sock"
