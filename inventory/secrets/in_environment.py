"""Secrets in environment variables."""

from __future__ import annotations

import os

from inventory.errors import Text
from inventory.secrets.unusable import refuse


class EnvironmentStore:
    """`{env: NAME}`: the value of a variable."""

    def read(self, entry: str) -> str:
        """Return the value of a variable."""
        if not (value := os.environ.get(entry)):
            refuse(Text("the environment variable {name} is not set", name=entry))
        return value
