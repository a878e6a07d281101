"""Scripts for sh under shellcheck: its quoting rules are errors here, and a variable that nobody sets is one too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from inventory.errors import Text
from inventory.fields import did_you_mean
from playbooks.issues import Edit, Grade, Issue
from playbooks.keys import Script

QUOTING: Final = frozenset((2086, 2046, 2048, 2068, 2206, 2207, 2294, 2145, 2124))
"""Where a value is split, globbed or evaluated."""
NOT_SET: Final = 2154
_EXCLUDED: Final = "SC1090,SC1091,SC2034,SC2312,SC2250,SC2292,SC2148,SC2317"
"""What is not for single scripts: files that it cannot see, variables that we set, taste."""
_GRADES: Final = {"error": Grade.ERROR, "warning": Grade.WARNING, "info": Grade.NOTE, "style": Grade.NOTE}
_FIXED: Final = frozenset((2086, 2046, 2068, 2006))
"""Its replacements only quote: these are applied by --fix."""
_TIMEOUT_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One script with the variables that its prologue sets."""

    script: Script
    variables: tuple[str, ...]


def shellcheck() -> str | None:
    """Return the program, None where there is none: the one of the environment first, then that of the machine."""
    beside = Path(sys.executable).with_name("shellcheck")
    return str(beside) if beside.is_file() else shutil.which("shellcheck")


def check_scripts(pieces: Sequence[Piece], program: str) -> Iterator[Issue]:
    """Yield what shellcheck says of scripts, with places in the playbook; one process for all of them."""
    if not pieces:
        return
    with TemporaryDirectory(prefix="longarm-lint-") as folder:
        files = {}
        for number, piece in enumerate(pieces):
            path = Path(folder) / f"{number}.sh"
            path.write_text(_prologue(piece) + piece.script.text + "\n", encoding="utf-8", errors="surrogateescape")
            files[str(path)] = piece
        command = [program, "--norc", "--shell=sh", "--format=json1", f"--exclude={_EXCLUDED}", *files]
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_S, text=True)
    if done.returncode not in (0, 1):
        raise OSError(f"shellcheck ended with status {done.returncode}: {done.stderr[:200]}")
    for comment in json.loads(done.stdout)["comments"]:
        yield _issue(comment, files[comment["file"]])


def _prologue(piece: Piece) -> str:
    """Return the one line that stands before a script: what the bundle sets, as far as shellcheck has to know."""
    return "".join(f"{name}=$(:); " for name in piece.variables) + ":\n"


def _issue(comment: Mapping[str, Any], piece: Piece) -> Issue:
    code, line, column = int(comment["code"]), int(comment["line"]) - 1, int(comment["column"])
    script = piece.script
    grade = Grade.ERROR if code in QUOTING else _GRADES.get(comment["level"], Grade.WARNING)
    text, hint = Text("{said}", said=comment["message"]), None
    if code == NOT_SET and (name := re.match(r"(\w+) is referenced but not assigned", comment["message"])):
        grade, text = Grade.ERROR, Text("there is no variable “{name}”", name=name[1])
        hint = did_you_mean(name[1], piece.variables) or Text("vars: {{{name}: …}}", name=name[1])
    edits = tuple(_edits(comment, script)) if code in _FIXED else ()
    return Issue(code=f"SC{code}", grade=grade, place=script.at(max(1, line), column), text=text, hint=hint, edits=edits)


def _edits(comment: Mapping[str, Any], script: Script) -> Iterator[Edit]:
    """Yield shellcheck's own replacements, where a line of the script is a line of the file."""
    if script.body is None:
        return
    for one in (comment.get("fix") or {}).get("replacements", ()):
        if one["line"] == one["endLine"]:
            place = script.at(int(one["line"]) - 1, int(one["column"]))
            yield Edit(place=place, length=int(one["endColumn"]) - int(one["column"]), text=one["replacement"])
