"""`make demo`: the main job on practice hosts and this machine, in a fresh home, in less than a minute.

They are diagnosed, and one of them is repaired: nothing is ever done to this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from console.main import run
from console.words import say, speak, wanted_language
from inventory.errors import Text
from remote.lab import keeper
from remote.lab.shell import Shell

HOME = Path("demo")
HOSTS = 11
PLAYBOOK = "free-disk-space"
UP_AGAIN = f'PATH="$PWD/.venv/bin:$PATH"; longarm --home {HOME} lab up --hosts {HOSTS}'
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
        worked = worked and repaired()
        worked = worked and longarm("case", "show", "DEMO-1") == 0
    finally:
        stopped = longarm("lab", "down") == 0
    pages = sorted((HOME / "reports").glob("*.html"))
    for page in pages:
        told(Text("report: {path}", path=page.absolute().as_uri()))
    command = f".venv/bin/longarm --home {HOME} report open {pages[-1].stem}" if pages else "longarm doctor"
    told(Text("what is shown to be typed next works while the practice hosts run: {command}", command=UP_AGAIN))
    told(Text("next: {hint}", hint=command))
    told(Text("time: {seconds} s", seconds=round(time.monotonic() - started, 1)))
    return 0 if worked and stopped and pages else 1


def repaired() -> bool:
    """Repair the practice host whose disk is full, straight from the report, and tell whether the finding is gone.

    Where practice hosts have no real shell, nothing can be changed on them: there the playbook's own scenarios are played.
    """
    lab = keeper.running(HOME)
    if lab is None or lab.shell is not Shell.REAL:
        told(Text("captured answers cannot be repaired: what the playbook would do is played on scripted hosts"))
        return longarm("playbook", "test", PLAYBOOK) == 0
    (page,) = (HOME / "reports").glob("*.html")
    done = longarm("repair", "--finding", f"{page.stem}/lab-db-01/fs-space/mount=/var", "--case", "DEMO-1", "--yes")
    return done in _FOUND_SOMETHING and fixed()


def fixed() -> bool:
    """Tell whether the last run has fixed what it was for, by its document."""
    newest = max((HOME / "reports").glob("*.json"))
    hosts = json.loads(newest.read_text())["hosts"]
    fixes = [one["fix"] for host in hosts if host["repair"] for one in host["repair"]["verdicts"]]
    return bool(fixes) and set(fixes) == {"fixed"}


def longarm(*arguments: str) -> int:
    """Show a command as a user would type it, run it and return its exit code; with the home, which its hints then name too."""
    words = ("--home", str(HOME), *arguments)
    sys.stdout.write(f"\n$ longarm {' '.join(words)}\n")
    sys.stdout.flush()
    return run(words)


def told(text: Text) -> None:
    """Write a line of the demo itself."""
    sys.stdout.write(f"{say(text)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ["LONGARM_HOME"] = str(HOME.absolute())
    sys.exit(main())
