"""The syntax trees of our modules, for tests that read code."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Keep the collector away: an error that it logs parses a line, and Python 3.11 cannot (GH-106905)."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def parsed(path: Path) -> ast.Module:
    """Return the tree of one module."""
    with nothing_collected():
        return ast.parse(path.read_text("utf-8"))
