"""The CEL engine: the extension module of `common-expression-language`, loaded without the command line beside it.

`import cel` takes 0.2 s, because the package's `__init__` imports its own command line (typer, prompt_toolkit,
pygments); the extension alone takes 0.014 s (measured, 0.10.0).
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import logging
import re
import sys
from pathlib import Path
from typing import Any

FAILURES = (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError)
"""What the engine raises when it cannot compile or evaluate (0.10.0, and a test walks them)."""

_PLACE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


@functools.cache
def engine() -> Any:
    """Return the engine's module: `compile`, `Context`."""
    logging.getLogger("cel").disabled = True  # it logs what it raises, and the last resort handler prints it on stderr
    if "cel.cel" in sys.modules:
        return sys.modules["cel.cel"]
    package = importlib.util.find_spec("cel")
    folders = package.submodule_search_locations if package else None
    spec = importlib.machinery.PathFinder.find_spec("cel.cel", folders)
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed")
    module = importlib.util.module_from_spec(spec)
    sys.modules["cel.cel"] = module  # a later `import cel` finds it: an extension is initialised once
    spec.loader.exec_module(module)
    return module


def engine_mark() -> str:
    """Return what tells this engine from another one, without loading it: where it lies, its size, when it was written."""
    package = importlib.util.find_spec("cel")
    folders = package.submodule_search_locations if package else ()
    found = sorted(path for folder in folders or () for path in Path(folder).glob("cel.*"))
    return " ".join(f"{path} {(about := path.stat()).st_size} {about.st_mtime_ns}" for path in found)


def complaint(error: Exception, text: str) -> tuple[int, str]:
    """Return the offset and the words of the engine's own complaint about `text`."""
    if not (match := _PLACE.search(str(error))):
        return 0, str(error).splitlines()[0]
    line, column = int(match[1]), int(match[2])
    start = sum(len(before) + 1 for before in text.split("\n")[: line - 1])
    return min(start + column - 1, len(text)), match[3]
