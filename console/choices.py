"""What the shell completes dynamically; silent where nothing can be read, and nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.framework import resolve
from inventory.errors import LongarmError

if TYPE_CHECKING:
    from console.names import Names

_ENDS_A_PART = " ,()"
_COMPLETED = ("site", "customer", "tag", "group")
_RUNS_LOOKED_INTO = 3
_LONGEST_DOCUMENT = 1 << 20
"""Bytes of a document that are read while somebody waits for Tab (10 ms)."""


def _starting(names: Iterable[str], begun: str) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def hosts(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return what can go on a target expression: hosts, groups, `site=…`, `customer=…`, `tag=…`; its last part counts."""
    try:
        known = _known(ctx)
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


def _known(ctx: click.Context) -> Names:
    """Return the names of the inventory: behind a service of the hosts that whoever types may look at."""
    from console.names import known_names, names_of

    if (rows := _there(ctx, "inventory", "list")) is not None:
        return names_of(rows)
    settings = resolve(ctx)
    return known_names(settings.home, settings.files, settings.wall)


def _there(ctx: click.Context, *words: str, by_customer: bool = True) -> Any:
    """Return the rows, or the document, that a command tells behind a service; None without one."""
    from console.listing_there import told_there

    return told_there(ctx, *words, by_customer=by_customer)


def secrets(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the secrets of the encrypted file whose names begin so; it is not opened for that."""
    if (rows := _there(ctx, "secret", "list")) is not None:
        return _starting((row["secret"] for row in rows), begun)
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


def playbooks(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the playbooks whose names begin so: those that ship, called like their files, and the desk's own."""
    import playbooks

    shipped = _stems(playbooks.__path__[0], "library/*.yaml")
    rows = _there(ctx, "playbook", "list", by_customer=False)
    own = _own_playbooks(ctx) if rows is None else [row["playbook"] for row in rows]
    return _starting(dict.fromkeys([*shipped, *own]), begun)


def playbook_files(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the playbooks whose names begin so, of those that this process reads itself, with a service or without."""
    import playbooks

    return _starting([*_stems(playbooks.__path__[0], "library/*.yaml"), *_own_playbooks(ctx)], begun)


def _own_playbooks(ctx: click.Context) -> list[str]:
    from console.own_playbooks import own_playbooks

    try:
        return [path.name for path in own_playbooks(resolve(ctx).home)]
    except (LongarmError, OSError):
        return []


def params(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the parameters of the playbook that was named, as `name=`; of an enumeration its values too."""
    name, equals, value = begun.partition("=")
    named = ctx.params.get("playbook") or next(iter(ctx.params.get("names") or ()), "")
    chosen = named or next(iter(ctx.args), "")  # an option without its value lets click give up the words
    try:
        known = _choices_of_params(ctx, str(chosen))
    except (LongarmError, OSError):
        return []
    if equals:
        return [f"{name}={choice}" for choice in _starting(known.get(name, ()), value)]
    return [f"{one}=" for one in _starting(known, begun)]


def _choices_of_params(ctx: click.Context, playbook: str) -> Mapping[str, Sequence[str]]:
    """Return the parameters of a playbook, each with what may be chosen for it, if that is a list."""
    import playbooks
    from console.own_playbooks import is_file_name
    from console.permits import own_playbook
    from playbooks.param_names import param_names

    if is_file_name(playbook) and (document := _there(ctx, "playbook", "show", playbook, by_customer=False)) is not None:
        return {param["name"]: param.get("choices", ()) for param in document["params"]} if document else {}
    shipped = Path(playbooks.__path__[0]) / "library" / f"{playbook}.yaml"
    return param_names(shipped if shipped.is_file() else own_playbook(resolve(ctx).home, playbook))


def _stems(folder: str, files: str) -> list[str]:
    return sorted(path.stem for path in Path(folder).glob(files))


def runs(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose ids begin so, the latest first."""
    if (rows := _there(ctx, "run", "list", "--limit", "100")) is not None:
        return _starting((row["run"] for row in rows), begun)
    from runner.names import latest_runs

    try:
        return _starting(latest_runs(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []


def waiting(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose ids begin so that wait for a second person."""
    return _of_approval(ctx, "waiting", begun)


def approved(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the runs whose ids begin so that a second person has approved, and nobody has begun."""
    return _of_approval(ctx, "approved", begun)


def _of_approval(ctx: click.Context, state: str, begun: str) -> list[str]:
    if (rows := _there(ctx, "run", "list", "--limit", "100")) is not None:
        return _starting((row["run"] for row in rows if row["approval"] == state), begun)
    from runner.names import runs_of_approval

    try:
        return _starting(runs_of_approval(resolve(ctx).home, state), begun)
    except (LongarmError, OSError):
        return []


def findings(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the findings, as `RUN/ID`, that offer their repair: of the run that is named, else of the latest ones."""
    named = runs(ctx, parameter, begun.partition("/")[0])[:_RUNS_LOOKED_INTO]
    try:
        return _starting((f"{run}/{one}" for run in named for one in _offers(ctx, run)), begun)
    except (LongarmError, OSError, ValueError):
        return []


def _offers(ctx: click.Context, run: str) -> list[str]:
    """Return the ids of findings with a remedy, by the document that is kept of their run."""
    if (document := _there(ctx, "run", "show", run, by_customer=False)) is None:
        import json

        kept = resolve(ctx).home / "reports" / f"{run}.json"
        document = json.loads(kept.read_bytes()) if kept.is_file() and kept.stat().st_size <= _LONGEST_DOCUMENT else None
    if not document:
        return []
    found = (one for host in document["hosts"] for one in host["findings"] if one["remedy"])
    return [one["id"] for one in found if one["id"].isprintable() and " " not in one["id"]]


def owners(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the owners of holds whose names begin so."""
    if (rows := _there(ctx, "hold", "list")) is not None:
        return _starting(sorted({row["owner"] for row in rows}), begun)
    from runner.names import owners_of_holds

    try:
        return _starting(owners_of_holds(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []


def sites(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the sites of the inventory whose names begin so."""
    try:
        return _starting(_known(ctx)["site"], begun)
    except (LongarmError, OSError):
        return []


def cases(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the cases whose names begin so, the latest first."""
    if (rows := _there(ctx, "case", "list", by_customer=False)) is not None:
        return _starting((row["case"] for row in rows), begun)
    from runner.names import latest_cases

    try:
        return _starting(latest_cases(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []


def walls(ctx: click.Context, begun: str) -> list[str]:
    """Return the customers of the inventory whose names begin so."""
    try:
        return _starting(_known(ctx)["customer"], begun)
    except (LongarmError, OSError):
        return []


def known_customers(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the customers of the inventory whose names begin so, for an option of its own."""
    return walls(ctx, begun)


def customers(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the customers of past runs whose names begin so; behind a service, those of the inventory."""
    if _there(ctx, "run", "list", "--limit", "1") is not None:
        return walls(ctx, begun)
    from runner.names import customers_met

    try:
        return _starting(customers_met(resolve(ctx).home), begun)
    except (LongarmError, OSError):
        return []
