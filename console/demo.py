"""`make demo`: the main job on practice hosts and this machine, in a fresh home, in less than a minute."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from console.main import run

HOME = Path("demo")
HOSTS = 8
_FOUND_SOMETHING = {0, 1, 3, 4}
"""Exit codes of a diagnosis that worked: on ill machines, findings and refusals are what it is for."""


def main() -> int:
    """Return 0 if every step of the demo worked."""
    started = time.monotonic()
    step("home", str(HOME.absolute()))
    run(["lab", "down", "--quiet"])
    shutil.rmtree(HOME, ignore_errors=True)
    worked = longarm("lab", "up", "--hosts", str(HOSTS), "--this-machine") == 0
    try:
        worked = worked and longarm("diagnose", "all", "--case", "DEMO-1") in _FOUND_SOMETHING
        worked = worked and longarm("case", "show", "DEMO-1") == 0
    finally:
        stopped = longarm("lab", "down") == 0
    pages = sorted((HOME / "reports").glob("*.html"))
    for page in pages:
        step("report", page.absolute().as_uri())
    step("next", f".venv/bin/longarm --home {HOME} report open {pages[-1].stem}" if pages else "longarm doctor")
    step("time", f"{time.monotonic() - started:.1f} s")
    return 0 if worked and stopped and pages else 1


def longarm(*arguments: str) -> int:
    """Show a command as a user would type it, run it and return its exit code."""
    step("$ longarm", " ".join(arguments))
    sys.stderr.flush()
    return run(arguments)


def step(what: str, detail: str) -> None:
    """Write what happens now."""
    sys.stdout.write(f"\n{what} {detail}\n" if what.startswith("$") else f"{what}: {detail}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ["LONGARM_HOME"] = str(HOME.absolute())
    sys.exit(main())
