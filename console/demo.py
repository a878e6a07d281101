"""`make demo`: the main job on practice hosts and this machine, in a fresh home, in less than a minute."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from console.main import run
from console.words import say, speak, wanted_language
from inventory.errors import Text

HOME = Path("demo")
HOSTS = 11
_FOUND_SOMETHING = {0, 1, 3, 4}
"""Exit codes of a diagnosis that worked: on ill machines, findings and refusals are what it is for."""


def main() -> int:
    """Return 0 if every step of the demo worked."""
    started = time.monotonic()
    speak(wanted_language(()))
    told(Text("home: {path}", path=HOME.absolute()))
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
        told(Text("report: {path}", path=page.absolute().as_uri()))
    command = f".venv/bin/longarm --home {HOME} report open {pages[-1].stem}" if pages else "longarm doctor"
    told(Text("next: {hint}", hint=command))
    told(Text("time: {seconds} s", seconds=round(time.monotonic() - started, 1)))
    return 0 if worked and stopped and pages else 1


def longarm(*arguments: str) -> int:
    """Show a command as a user would type it, run it and return its exit code."""
    sys.stdout.write(f"\n$ longarm {' '.join(arguments)}\n")
    sys.stdout.flush()
    return run(arguments)


def told(text: Text) -> None:
    """Write a line of the demo itself."""
    sys.stdout.write(f"{say(text)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ["LONGARM_HOME"] = str(HOME.absolute())
    sys.exit(main())
