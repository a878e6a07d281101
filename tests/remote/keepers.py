"""Who keeps the secrets of tests: somebody who answers, and an agent that is given a key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from inventory.errors import Text


def answers(*given: str | None) -> Callable[[Text], str | None]:
    """Return somebody who gives these answers, one after the other, whatever the question."""
    left = list(given)
    return lambda _: left.pop(0)


def add_to_agent(path: Path) -> str:
    """Put a key into the running agent and return its fingerprint."""
    subprocess.run(["ssh-add", "-q", path], check=True)
    return subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout.split()[1]
