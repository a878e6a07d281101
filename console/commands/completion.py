"""`longarm completion bash | zsh | fish`, and the dynamic values that it offers."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from console.framework import argument, command
from console.settings import Settings
from console.terminal import tell, write
from inventory.errors import Text

SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    Text("Print the completion script of a shell."),
    argument("shell", type=click.Choice(SHELLS)),
)
def completion(settings: Settings, shell: str) -> None:
    """Print the script that a shell's start-up file evaluates."""
    from console.main import ROOT

    tell(settings, Text("evaluate this in the shell's start-up file"), level=1)
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(ROOT, {}, "longarm", "_LONGARM_COMPLETE")
    write(made.source_template % made.source_vars())
