"""`longarm host ping` and `longarm host facts`: looks that leave nothing in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from console.contents import named
from console.getting import one_host
from console.inventories import known_inventory
from console.listing import show_document, show_list
from console.settings import Settings
from console.terminal import tell
from console.wiring import connector, credential_store
from console.words import say
from diagnostics.facts import Found
from diagnostics.library import Library, load_library
from diagnostics.verdict import Reason, Why
from inventory.errors import LongarmError, Text
from remote.event_loop import new_event_loop
from reports.visible import visible
from reports.words import OUTCOMES
from reports.words import reason as words_of
from runner.doors import refuse_asking
from runner.fan_out import Limits
from runner.host_run import HostRun
from runner.looking import Facts, Pinged, facts, ping
from runner.outcome import FailOn, Outcome, exit_code

_COLUMNS = {
    "host": Text("host"),
    "outcome": Text("outcome"),
    "login_ms": Text("login, ms"),
    "round_trip_ms": Text("round trip, ms"),
    "user": Text("user"),
    "error": Text("error"),
}
_UNSEEN = 3


def ping_hosts(settings: Settings, targets: str, *, concurrency: int, deadline_s: float) -> int:
    """Show how far each host can be reached and return the exit code: 4 refused, 3 not reached, 0 all answered."""
    hosts = known_inventory(settings).select(targets).hosts
    refuse_asking(settings.home, hosts)
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    credentials.prepare(hosts)
    limits = Limits(concurrency=concurrency, host_deadline_s=deadline_s)

    def told(one: Pinged) -> None:
        if one.hint is not None and one.outcome is not Outcome.OK:
            tell(settings, Text("{host}: {hint}", host=one.host, hint=one.hint), level=1)

    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        pinged, coverage = loop.run(ping(hosts, connect, limits, told))
    show_list(settings.output, _COLUMNS, [_row(one) for one in pinged])
    summands = " + ".join(f"{count} {say(OUTCOMES[outcome])}" for outcome, count in coverage.counts.items() if count)
    tell(settings, Text("{n} targeted = {summands}", n=coverage.targeted, summands=summands))
    return exit_code([one.outcome for one in pinged], None, FailOn.NEVER)


def _row(one: Pinged) -> Mapping[str, object]:
    return {
        "host": one.host,
        "outcome": one.outcome,
        "login_ms": one.login_ms,
        "round_trip_ms": one.round_trip_ms,
        "user": one.user,
        "error": None if one.error is None else say(one.error),
        "error_kind": one.error_kind,
    }


def show_facts(settings: Settings, target: str, probes: Sequence[str], *, deadline_s: float) -> int:
    """Show what the probes tell of a host; 3 if something could not be seen, whatever stopped a host that was not reached."""
    library = load_library()
    chosen = _chosen(library, probes)
    (host,) = one_host(known_inventory(settings).select(target)).hosts
    refuse_asking(settings.home, [host])
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    credentials.prepare([host])
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        run = loop.run(facts(host, connect, library, chosen, deadline_s=deadline_s))
    if run.value is None:
        return _not_reached(run)
    show_document(settings.output, _document(run.value), lambda: "".join(f"{line}\n" for line in _lines(run.value)))
    unseen = [why for why in run.value.found.values() if isinstance(why, Why) and why.reason is not Reason.NOTHING_THERE]
    return _UNSEEN if unseen else 0


def _chosen(library: Library, probes: Sequence[str]) -> Sequence[str]:
    for name in probes:
        named(library.probes, name, Text("probe"))
    return list(dict.fromkeys(probes)) or sorted(library.probes)


def _not_reached(run: HostRun[Facts]) -> int:
    from console.faults import explain

    explain(LongarmError(Text("{host}: {error}", host=run.host.name, error=run.error), run.hint))
    return exit_code([run.outcome or Outcome.UNKNOWN], None, FailOn.NEVER)


def _document(found: Facts) -> Mapping[str, object]:
    known = {name: value for name, value in found.found.items() if not isinstance(value, Why)}
    unknown = {
        name: {"reason": why.reason, "detail": why.detail or None, "text": say(words_of(why))}
        for name, why in found.found.items()
        if isinstance(why, Why)
    }
    return {"host": found.host, "taken_at": found.taken_at, "facts": known, "unknown": unknown}


def _lines(found: Facts | None) -> Iterator[str]:
    """Yield a line for each value, named by its path; what the host says makes no line of its own."""
    for probe, value in found.found.items() if found else ():
        if isinstance(value, Why):
            yield visible(f"{probe}  ? {say(words_of(value))}")
        else:
            yield from (visible(f"{path}  {said}") for path, said in _values(probe, value))


def _values(path: str, value: Found | object) -> Iterator[tuple[str, object]]:
    match value:
        case Mapping():
            for name, one in value.items():
                if name != "at":
                    yield from _values(f"{path}.{name}", one)
        case list() | tuple():
            for number, one in enumerate(value):
                yield from _values(f"{path}[{number}]", one)
        case _:
            yield path, value
