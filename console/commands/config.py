"""`longarm config show`."""

from __future__ import annotations

from console.framework import Group
from console.settings import Settings
from inventory.errors import Text

config = Group("config", Text("The configuration: who has which role, what needs a second person."))


@config.add("show", Text("Show who you are, which roles there are, and what needs a second person."))
def show(settings: Settings) -> None:
    """Show what the home is told."""
    from console.configuring import show_config

    show_config(settings)
