"""`longarm version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

from console.framework import command
from console.listing import show_document
from console.settings import Settings
from inventory.errors import Text

_PARTS = ("asyncssh", "common-expression-language", "sqlalchemy", "click")


@command("version", Text("Print the version of longarm and of what it stands on."))
def version(settings: Settings) -> None:
    """Print versions."""
    parts = {name: installed(name) for name in _PARTS}
    document = {"longarm": installed("longarm"), "python": platform.python_version(), **parts}
    show_document(settings.output, document, lambda: f"longarm {document['longarm']}\n")
