"""`longarm completion bash | zsh | fish`, and the dynamic values that it offers."""

from __future__ import annotations

import click

from console.framework import argument, command
from console.settings import Settings
from console.shells import SHELLS, VARIABLE
from console.terminal import tell, write
from inventory.errors import Text


@command(
    "completion",
    Text("Print the completion script of a shell."),
    argument("shell", type=click.Choice(tuple(SHELLS))),
)
def completion(settings: Settings, shell: str) -> None:
    """Print the script that a shell's start-up file evaluates."""
    from console.main import ROOT

    tell(settings, Text("evaluate this in the shell's start-up file"), level=1)
    made = SHELLS[shell](ROOT, {}, "longarm", VARIABLE)
    write(made.source_template % made.source_vars())
