"""`longarm doctor --host`: the way to one host, step by step, until the first step that fails; each tells what comes next."""

from __future__ import annotations

import asyncio
import shlex
import time
from typing import TYPE_CHECKING

from console.examination import NOTE, OK, PROBLEM, Row, row
from console.faults import exit_of
from console.inventories import known_inventory
from console.other_user import RULES, STEP, allowed_by, other_user, wants_rules
from console.settings import Settings
from console.wiring import connector, credential_store
from console.words import say, spoken
from inventory.errors import Text, UsageError
from inventory.host import Host, Platform, Transport
from remote.answer import Answer, Ended
from remote.credentials import way_to
from remote.enrol import KNOWN, REVOKED, certified, judged, offered_keys
from remote.errors import AuthenticationRefused, HostKeyRefused, RemoteError
from remote.event_loop import new_event_loop
from remote.known_hosts import KnownHosts
from remote.question import Privilege, Question
from remote.reach import addresses, greeting
from remote.session import Session, SessionFacts
from remote.ssh_errors import proof_refused
from reports.known import known
from reports.language import language
from reports.words import ENDINGS
from runner.doors import refuse_asking

if TYPE_CHECKING:
    from remote.ways import Way

UNSEEN = 3
_DEADLINE_S = 30.0
_TRUE = Question(id="doctor.true", script="true", deadline_s=5, max_bytes=100)
_SHELL = Question(id="doctor.shell", script='echo "$SHELL $(uname -srm)"', deadline_s=5, max_bytes=500)
_OTHER = Question(id="doctor.other", script="id -un", deadline_s=5, max_bytes=300, privilege=Privilege.PREFER_ROOT)


def examine_host(settings: Settings, name: str) -> tuple[list[Row], int]:
    """Return a row for each step on the way to a host, and the exit code: that of what stopped us, else 0."""
    selection = known_inventory(settings).select(name)
    if len(selection.hosts) != 1:
        text = Text("one host at a time: “{name}” stands for {count}", name=name, count=len(selection.hosts))
        raise UsageError(text, Text("longarm inventory list {target}", target=shlex.quote(name)))
    host, rows = selection.hosts[0], list[Row]()
    refuse_asking(settings.home, [host])
    if host.transport in (Transport.WINRM, Transport.PSRP):
        from console.windows_examination import examine_windows

        return examine_windows(settings, host)
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        try:
            loop.run(_walk(rows, settings, host))
        except RemoteError as error:
            rows.append(row(_STEPS[len(rows)], PROBLEM, say(error.text), _next(error, host)))
            return rows, exit_of(error)
    return rows, UNSEEN if any(one["state"] == PROBLEM for one in rows) else 0


_STEPS = ("name", "connection", "host key", "login", "algorithms", "shell", STEP, "round trip")


async def _walk(rows: list[Row], settings: Settings, host: Host) -> None:
    """Add a row for each step that worked; the one that fails raises."""
    credentials = credential_store(settings)
    connect = connector(settings, credentials, once_more=True)
    if host.transport is Transport.LOCAL:
        rows += [row(step, OK, say(Text("this machine"))) for step in _STEPS[:3]]
    else:
        rows.append(row("name", OK, await address_of(host)))
        if host.via:
            await asyncio.to_thread(credentials.prepare, [host.via])
        async with connect.way_to(host) as way:
            rows.append(await _greeting(host, way))
            rows.append(row("host key", OK, await _trusted_key(settings, host, way)))
    await asyncio.to_thread(credentials.prepare, [host])
    async with connect(host) as session:
        facts = session.facts
        who = f"{facts.user} ({facts.credential})" if facts.credential else facts.user
        rows.append(row("login", OK, f"{who}: {facts.proofs}" if facts.proofs else who))
        if facts.algorithms:
            rows.append(_algorithms(facts))
        rows += await _inside_windows(session) if host.platform is Platform.WINDOWS else await _inside(session)


async def address_of(host: Host) -> str:
    """Return the address, with what its name stands for; what is in between finds that out itself."""
    elsewhere = host.via or host.ssh.proxy or host.ssh.proxy_command
    return host.address if elsewhere else f"{host.address} → {', '.join(await addresses(host))}"


async def _greeting(host: Host, way: Way) -> Row:
    said = await greeting(host, way)
    told = [say(Text("{n} ms", n=tenths(said.connect_ms)))]
    hosts = [one.name for one in reversed([*way_to(host)][1:])]
    if between := [*([way.between] if way.between else ()), *hosts]:
        told.append(say(Text("through {via}", via=" → ".join(between))))
    return row("connection", OK if said.version else NOTE, f"{said.version or '?'} ({', '.join(told)})")


async def _trusted_key(settings: Settings, host: Host, way: Way) -> str:
    """Return the fingerprint of the key that is known, or raise HostKeyRefused."""
    trust = KnownHosts(settings.home / "known_hosts").trust(host)
    if (proof := await certified(trust, way=way)) is not None:
        if not proof.trusted:
            raise proof_refused(proof, trust)
        if proof.by_certificate:
            return say(Text("{key}, by the certificate {certificate}", key=proof.key.fingerprint, certificate=proof.told))
    offer = judged(await offered_keys(host, way=way), trust, None)
    if offer.state != KNOWN:
        shown, expected = (tuple(key.fingerprint for key in keys) for keys in (offer.keys, trust.keys))
        raise HostKeyRefused(host.name, offered=shown, known=expected, revoked=offer.state == REVOKED)
    return next(key.fingerprint for key in offer.keys if key in trust.keys)


def _algorithms(facts: SessionFacts) -> Row:
    """Return what was agreed on, noted where the inventory allows what is old."""
    agreed = dict(facts.algorithms)
    names = ", ".join(agreed[kind] for kind in ("kex", "host_key_algorithm", "cipher", "mac") if agreed.get(kind))
    value = ", ".join([f"{names} (strict-kex: {agreed.get('strict_kex', '?')})", *filter(None, [agreed.get("library")])])
    if not facts.allowed:
        return row("algorithms", OK, value)
    hint = Text("update the host, then take ssh_algorithms out of the inventory: {allowed}", allowed=facts.allowed)
    return row("algorithms", NOTE, value, hint)


async def _inside_windows(session: Session) -> list[Row]:
    from console.windows_examination import inside

    return await inside(session)


async def _inside(session: Session) -> list[Row]:
    """Return what the host's shell, the way to another user there and its distance are like."""
    answers = await session.ask([_SHELL, _OTHER], deadline_s=_DEADLINE_S)
    other = answers[_OTHER.id]
    ending = ending_of(other)
    if wants_rules(session.host, other):
        rules = (await session.ask([RULES], deadline_s=_DEADLINE_S))[RULES.id]
        ending = "; ".join(filter(None, (ending, allowed_by(rules))))
    begun = time.monotonic()
    await session.ask([_TRUE], deadline_s=_DEADLINE_S)
    took_ms = (time.monotonic() - begun) * 1000
    return [
        _shell(answers[_SHELL.id]),
        other_user(session.host, session.facts.user, other, ending),
        row("round trip", OK, say(Text("{ms} ms for one question", ms=tenths(took_ms)))),
    ]


def _shell(answer: Answer) -> Row:
    if answer.ended is Ended.EXITED and answer.exit_status == 0:
        return row("shell", OK, answer.stdout.decode("utf-8", "replace").strip())
    return row("shell", PROBLEM, ending_of(answer), Text("the login shell must start “sh” and let it read its input"))


def ending_of(answer: Answer) -> str:
    """Return why a question brought nothing of use: in a sentence of ours where it is one, else how it ended."""
    if why := answer.denied or answer.why:
        told = known(why)
        return say(told) if isinstance(told, Text) else told
    return say(Text(ENDINGS[answer.ended].template, status="?" if answer.exit_status is None else answer.exit_status))


def tenths(value: float) -> str:
    """Return a number as the language that is spoken writes it."""
    return language(spoken()).number(value)


def _next(error: RemoteError, host: Host) -> Text:
    """Return what to do about the step that failed."""
    if error.hint is not None:
        return error.hint
    if isinstance(error, AuthenticationRefused):
        return Text("compare its credential in the inventory with the accounts of the host")
    return Text("compare address and port in the inventory: {address}", address=f"{host.address}:{host.port or 22}")
