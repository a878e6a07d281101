"""The commands that `--customer` narrows are those that what comes next gives it to."""

from __future__ import annotations

import click

from console.framework import Command
from console.main import ROOT
from runner.called import NARROWED


def narrowed(group: click.Group, path: str = "") -> set[str]:
    found: set[str] = set()
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                found |= narrowed(command, f"{path}{name} ")
            elif isinstance(command, Command) and command.by_customer:
                found.add(f"{path}{name}")
    return found


def test_every_command_that_a_customer_narrows_is_named() -> None:
    assert narrowed(ROOT) == NARROWED
