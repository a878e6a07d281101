"""What the shell completes dynamically; silent where nothing can be read, and nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from console.framework import resolve
from inventory.errors import LongarmError

_ENDS_A_PART = " ,()"
_COMPLETED = ("site", "customer", "tag", "group")


def _starting(names: Iterable[str], begun: str) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def hosts(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return what can go on a target expression: hosts, groups, `site=…`, `customer=…`, `tag=…`; its last part counts."""
    from console.names import known_names

    try:
        settings = resolve(ctx)
        known = known_names(settings.home, settings.files, settings.wall)
    except (LongarmError, OSError):
        return []
    part = begun[max(begun.rfind(sign) for sign in _ENDS_A_PART) + 1 :]
    before, (key, equals, value) = begun.removesuffix(part), part.partition("=")
    if equals:
        fitting = [f"{key}={name}" for name in _starting(known.get(key, ()), value) if name.isprintable() and " " not in name]
    else:
        keys = [f"{key}=" for key in _COMPLETED if known[key]] if part else []
        fitting = _starting(["all", *known["name"], *known["group"], *keys], part)
    return [before + name for name in fitting]


def secrets(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the secrets of the encrypted file whose names begin so; it is not opened for that."""
    from remote.secrets.in_sealed import SealedStore

    try:
        return _starting(sorted(SealedStore(resolve(ctx).home).names()), begun)
    except (LongarmError, OSError):
        return []


def checks(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the checks whose ids begin so; a check is called like its file, so that none has to be read."""
    import diagnostics

    return _starting(_stems(diagnostics.__path__[0], "library/checks/*.yaml"), begun)


def probes(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the shipped probes whose ids begin so."""
    from diagnostics.library import shipped_probes

    return _starting((probe.id for probe in shipped_probes()), begun)


def playbooks(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the playbooks whose ids begin so; a playbook is called like its file."""
    import playbooks

    return _starting(_stems(playbooks.__path__[0], "library/*.yaml"), begun)


def params(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the parameters of the playbook that was named, as `name=`; of an enumeration its values too."""
    from console.authoring import playbook_path
    from playbooks.load import load_playbook

    name, equals, value = begun.partition("=")
    chosen = ctx.params.get("playbook") or next(iter(ctx.args), "")  # an option without its value lets click give up the words
    try:
        known = load_playbook(playbook_path(str(chosen))).params
    except (LongarmError, OSError):
        return []
    if equals:
        return [f"{name}={choice}" for choice in _starting(known[name].choices if name in known else (), value)]
    return [f"{one}=" for one in _starting(known, begun)]


def _stems(folder: str, files: str) -> list[str]:
    return sorted(path.stem for path in Path(folder).glob(files))


def runs(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose ids begin so, the latest first."""
    from runner.names import latest_runs

    try:
        return _starting(latest_runs(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []


def cases(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the cases whose names begin so, the latest first."""
    from runner.names import latest_cases

    try:
        return _starting(latest_cases(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []


def walls(ctx: click.Context, begun: str) -> list[str]:
    """Return the customers of the inventory whose names begin so."""
    from console.names import known_names

    try:
        settings = resolve(ctx)
        return _starting(known_names(settings.home, settings.files)["customer"], begun)
    except (LongarmError, OSError):
        return []


def customers(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the customers of past runs whose names begin so."""
    from runner.names import customers_met

    try:
        return _starting(customers_met(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []
