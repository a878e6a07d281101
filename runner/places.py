"""Names of files in a home that those outside of the store know too."""

from __future__ import annotations

from typing import Final

ERASURES: Final = "erasures.jsonl"
"""What was erased in a home, without whose it was."""
