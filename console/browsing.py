"""Whether a browser can be opened for the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def can_open(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether somebody sits at a screen of this machine: a terminal, and a display where one is needed."""
    screen = sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    return screen and sys.stderr.isatty() and "SSH_CONNECTION" not in environ
