"""Enrol hosts: ask them for their keys, show these to a person or compare them with what was expected, keep them."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from console.inventories import known_inventory
from console.listing import show_list
from console.settings import Settings
from console.terminal import confirmed, tell, tell_hint
from console.wiring import connector, credential_store
from console.words import say
from inventory.errors import Text, UsageError
from inventory.host import Host, Transport
from remote.connect import Connector
from remote.enrol import CHANGED, KNOWN, NEW, REVOKED, UNSEEN, WRONG, Offer, certified, judged, keep, offered_keys, vouched
from remote.errors import RemoteError
from remote.event_loop import new_event_loop
from remote.known_hosts import KnownHosts, Trust
from remote.ways import Way
from remote.windows.looking import by_https, shown_certificate

T = TypeVar("T")

DECLINED = 5

_NAMED = "--fingerprint HOST=SHA256:…"
_AT_ONCE = 50
_DEADLINE_S = 15.0
_WINDOWS = (Transport.WINRM, Transport.PSRP)
COLUMNS = {
    "host": Text("host"),
    "state": Text("state"),
    "type": Text("type"),
    "fingerprint": Text("fingerprint"),
    "error": Text("error"),
}


def expected_fingerprints(pairs: Iterable[str]) -> Mapping[str, str]:
    """Return the fingerprints by host name; UsageError for one that is not written HOST=SHA256:…"""
    expected = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value.startswith("SHA256:")):
            raise UsageError(
                Text("not HOST=SHA256:…: {pair}", pair=pair), Text("ssh-keygen -lf shows fingerprints on the host itself")
            )
        expected[name] = value
    return expected


def refuse_mixture(options: Mapping[str, object]) -> None:
    """Raise UsageError if more than one of the options is given."""
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        text = Text("one way to enrol at a time: {options}", options=", ".join(given))
        raise UsageError(text, Text("longarm host enrol TARGETS {option} …", option=given[0]))


def enrol_hosts(settings: Settings, targets: str, expected: Mapping[str, str], *, replace: bool) -> int:
    """Enrol the chosen hosts and return the exit code.

    5: declined, 4: a key is wrong, changed or revoked, 3: a host was not reached.
    """
    hosts = provable_hosts(settings, targets)
    if not hosts:
        return 0
    if strangers := sorted(set(expected) - {host.name for host in hosts}):
        text = Text("a fingerprint for a host that was not chosen: {names}", names=", ".join(strangers))
        raise UsageError(text, Text("longarm inventory list {target}", target=shlex.quote(targets)))
    known = KnownHosts(settings.writable_home() / "known_hosts")
    credentials = credential_store(settings)
    credentials.prepare({host.via: None for host in hosts if host.via})
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        offers = loop.run(_asked(connector(settings, credentials), hosts, known, expected))
    show_offers(settings, offers)
    wanted = [offer for offer in offers if offer.state == NEW or (offer.state == CHANGED and replace)]
    if wanted:
        if not (vouched(wanted, expected) or confirmed(settings, _question(wanted))):
            tell(settings, Text("no key was kept"), level=-1)
            return DECLINED
        keep(known, wanted)
        tell(settings, Text("enrolled: {count}", count=len(wanted)))
    left = [offer for offer in offers if offer not in wanted]
    if changed := [offer.host.name for offer in left if offer.state == CHANGED]:
        tell(settings, Text("a changed key is not replaced by itself: find out who changed it"), level=-1)
        tell_hint(settings, f"longarm host enrol --replace {','.join(changed)}", level=-1)
    if any(offer.state == REVOKED for offer in left):
        text = Text("a revoked key is never kept; if the host shows its new one too, name it: {option}", option=_NAMED)
        tell(settings, text, level=-1)
    if behind := [offer.host.name for offer in left if offer.state == UNSEEN and _behind(offer.host, wanted)]:
        tell_hint(settings, f"longarm host enrol {','.join(behind)}", level=-1)
    states = {offer.state for offer in left}
    return 4 if states & {WRONG, CHANGED, REVOKED} else 3 if UNSEEN in states else 0


def _behind(host: Host, enrolled: Sequence[Offer]) -> bool:
    """Tell whether a host is reached through one whose key was kept just now."""
    return host.via is not None and (host.via.name in {offer.host.name for offer in enrolled} or _behind(host.via, enrolled))


def ssh_hosts(settings: Settings, targets: str) -> list[Host]:
    """Return the chosen hosts that are reached by SSH, and say so where there are none."""
    hosts = [host for host in known_inventory(settings).select(targets).hosts if host.transport is Transport.SSH]
    if not hosts:
        tell(settings, Text("none of the chosen hosts is reached by SSH: there is no key to enrol"))
    return hosts


def provable_hosts(settings: Settings, targets: str) -> list[Host]:
    """Return the chosen hosts that prove themselves with a key or a certificate, and say so where there are none."""
    chosen = known_inventory(settings).select(targets).hosts
    hosts = [host for host in chosen if host.transport is Transport.SSH or (host.transport in _WINDOWS and by_https(host))]
    if not hosts:
        tell(settings, Text("none of the chosen hosts is reached by SSH or HTTPS: there is no key to enrol"))
    return hosts


def _question(wanted: Sequence[Offer]) -> Text:
    return Text("keep these keys of {count} hosts?", count=len(wanted))


def show_offers(settings: Settings, offers: Sequence[Offer]) -> None:
    """Write a row for each key to stdout, so that a person can compare."""
    rows: list[dict[str, object]] = []
    for offer in offers:
        row: dict[str, object] = {
            "host": offer.host.name,
            "state": offer.state,
            "type": "",
            "fingerprint": "",
            "error": offer.error,
        }
        for key in offer.keys:
            state = REVOKED if key.revoked else offer.state
            rows.append(row | {"state": state, "type": key.type, "fingerprint": key.fingerprint})
        rows += [] if offer.keys else [row]
    show_list(settings.output, COLUMNS, rows)


async def _asked(connect: Connector, hosts: Sequence[Host], known: KnownHosts, expected: Mapping[str, str]) -> list[Offer]:
    async def asked(host: Host) -> Offer:
        trust = known.trust(host)
        try:
            async with connect.way_to(host) as way:
                if host.transport in _WINDOWS:
                    return await _certificate(trust, way, expected)
                proof = await certified(trust, deadline_s=_DEADLINE_S, way=way)
                if proof is not None and proof.by_certificate and host.name not in expected:
                    return Offer(host=host, state=KNOWN, keys=(proof.key,))
                keys = await offered_keys(host, deadline_s=_DEADLINE_S, way=way)
        except RemoteError as error:
            return Offer(host=host, state=UNSEEN, error=say(error.text))
        return judged(keys, trust, expected.get(host.name))

    return await told_at_once(hosts, asked)


async def _certificate(trust: Trust, way: Way, expected: Mapping[str, str]) -> Offer:
    shown = await shown_certificate(trust.host, way=way, deadline_s=_DEADLINE_S)
    offer = judged((shown.offered,), trust, expected.get(trust.host.name))
    if shown.verified and offer.state == NEW and trust.host.name not in expected:
        return Offer(host=offer.host, state=KNOWN, keys=offer.keys)
    return offer


async def told_at_once(hosts: Sequence[Host], ask: Callable[[Host], Awaitable[T]]) -> list[T]:
    """Return what each host tells when it is asked, fifty at once, in their order."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def asked(host: Host) -> T:
        async with turn:
            return await ask(host)

    return list(await asyncio.gather(*map(asked, hosts)))
