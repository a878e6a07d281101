"""What the shell completes dynamically: hosts and groups, checks, runs; silent where nothing can be read."""

from __future__ import annotations

from collections.abc import Iterable

import click

from console.framework import resolve
from inventory.errors import LongarmError


def _starting(names: Iterable[str], begun: str) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def hosts(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the hosts and groups whose names begin so."""
    from inventory.own import load_inventory

    try:
        known = load_inventory(resolve(ctx).files)
    except (LongarmError, OSError):
        return []
    return _starting(["all", *known.hosts, *known.groups], begun)


def checks(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the checks whose ids begin so."""
    from diagnostics.library import load_library

    return _starting(load_library().checks, begun)


def playbooks(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the playbooks whose ids begin so."""
    from playbooks.load import shipped_playbooks

    return _starting((playbook.id for playbook in shipped_playbooks()), begun)


def runs(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose ids begin so, the latest first."""
    from runner.desk import Desk

    try:
        with Desk.open(resolve(ctx).home, write=False) as desk:
            return _starting((run.run for run in desk.runs(100)), begun)
    except (LongarmError, OSError):
        return []
