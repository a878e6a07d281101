"""`lint --fix`: applies the edits that issues bring, as long as they make a playbook better and never worse."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from diagnostics.library import Library
from inventory.documents import read_guarded
from playbooks.issues import Edit, Issue
from playbooks.lint import lint_playbook

MOST_ROUNDS: Final = 5
_WEIGHTS: Final = {"load": 100_000, "error": 100, "warning": 10, "note": 1}


def mend(path: Path, library: Library) -> int:
    """Return how many issues were mended in a playbook's file; it is replaced whole, and only by one with fewer issues."""
    first = lint_playbook(path, library).issues
    issues = first
    for _ in range(MOST_ROUNDS):
        edits = [edit for issue in issues for edit in issue.edits if edit.place.file == str(path)]
        if not edits:
            break
        before = read_guarded(path)
        mended = edited(before.decode("utf-8"), edits).encode("utf-8")
        _replace(path, mended)
        issues = lint_playbook(path, library).issues
        if _gravity(issues) >= _gravity(first) or mended == before:
            _replace(path, before)
            return 0
    return len(first) - len(issues)


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with its edits made, the last ones first; one that overlaps another is left for the next round."""
    lines = text.split("\n")
    taken: dict[int, int] = {}
    for edit in sorted(set(edits), key=lambda one: (one.place.line, one.place.column), reverse=True):
        line, start = edit.place.line - 1, edit.place.column - 1
        if not 0 <= line < len(lines) or start + edit.length > taken.get(line, len(lines[line]) + 1):
            continue
        if edit.old and lines[line][start : start + edit.length] != edit.old:
            continue  # it is quoted, or said otherwise
        lines[line] = lines[line][:start] + edit.text + lines[line][start + edit.length :]
        taken[line] = start
    return "\n".join(lines)


def _gravity(issues: Sequence[Issue]) -> int:
    """Return how bad it is: what cannot be loaded hides everything else, and is worse than all of that."""
    return sum(_WEIGHTS.get(issue.code, _WEIGHTS[issue.grade.value]) for issue in issues)


def _replace(path: Path, data: bytes) -> None:
    """Put new content under a path, whole or not at all, with the mode that it has."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
