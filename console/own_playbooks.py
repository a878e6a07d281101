"""The desk's own playbooks: files in the folder `playbooks` of its home, called by the names of the files.

A name without a folder is the desk's where it has one of that name, with a service and without; `./mine.yaml` is one's own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FOLDER: Final = "playbooks"
ENDINGS: Final = (".yaml", ".yml")


def own_playbooks(home: Path) -> tuple[Path, ...]:
    """Return the files of the desk's own playbooks, by name."""
    folder = home / FOLDER
    return tuple(sorted(path for path in folder.iterdir() if path.suffix in ENDINGS)) if folder.is_dir() else ()


def kept_playbook(home: Path, name: str) -> Path | None:
    """Return the file of the desk's own playbook of this name, or of this path; None where it is none of those."""
    return next((path for path in own_playbooks(home) if name in (path.name, os.fspath(path), os.fspath(path.resolve()))), None)


def is_file_name(text: str) -> bool:
    """Tell whether a playbook is called by the name of its file, and not by a path."""
    return text.endswith(ENDINGS) and os.sep not in text
