"""First contact: every key a host offers, as ssh-keyscan and ssh-keygen would show it, and nothing sent."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import Host
from remote.enrol import CHANGED, KNOWN, NEW, REVOKED, WRONG, Offer, OfferedKey, judged, keep, offered_keys, vouched
from remote.errors import ConnectFailed, DeadlineExceeded
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts, Trust
from tests.remote.servers import Keys, MakeConnector, MakeKey, StartPractice, no_more_tasks, on_loopback


async def test_all_keys_of_a_host_are_shown_and_nothing_is_sent(
    practice: StartPractice, make_key: MakeKey, connector: MakeConnector
) -> None:
    keys = [make_key(kind) for kind in ("ed25519", "ecdsa", "rsa")]
    running = await practice(keys=tuple(keys))
    offered = await offered_keys(running.host, deadline_s=20)
    assert {key.line for key in offered} == {" ".join(key.public.split()[:2]) for key in keys}
    assert {key.type for key in offered} == {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}
    assert (running.seen.users, running.seen.keys, running.seen.passwords) == ([], [], [])


async def test_fingerprints_are_those_of_ssh_keygen(practice: StartPractice, host_key: Keys) -> None:
    running = await practice()
    (offered,) = await offered_keys(running.host, deadline_s=20)
    listing = await asyncio.create_subprocess_exec("ssh-keygen", "-lf", host_key.path, stdout=subprocess.PIPE)
    output, _ = await listing.communicate()
    assert offered.fingerprint == output.decode().split()[1]


async def test_what_was_enrolled_lets_us_in(practice: StartPractice, connector: MakeConnector, tmp_path: Path) -> None:
    running = await practice()
    known = KnownHosts(tmp_path / "home" / "known_hosts")
    known.add(running.host.name, *(offered.key for offered in await offered_keys(running.host, deadline_s=20)))
    async with connector(known_hosts=known)(running.host) as session:
        assert session.facts.host_key == known.trust(running.host).keys[0].fingerprint


@pytest.mark.server
async def test_openssh_shows_its_key(openssh_port: int, host_key: Keys) -> None:
    (offered,) = await offered_keys(Host(name="node", address="127.0.0.1", port=openssh_port), deadline_s=20)
    assert offered.line == " ".join(host_key.public.split()[:2])


@pytest.mark.server
async def test_dropbear_shows_its_key(dropbear_port: int, host_key: Keys) -> None:
    (offered,) = await offered_keys(Host(name="node", address="127.0.0.1", port=dropbear_port), deadline_s=20)
    assert offered.line == " ".join(host_key.public.split()[:2])


async def test_nobody_there_is_said_once(practice: StartPractice) -> None:
    running = await practice()
    running.server.close()
    await running.server.wait_closed()
    with pytest.raises(ConnectFailed, match=r"^no connection: Connection refused$"):
        await offered_keys(running.host, deadline_s=20)


async def test_a_silent_host_ends_at_the_deadline() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass

    async with asyncio.timeout(30), on_loopback(silent) as port:
        with pytest.raises(DeadlineExceeded):
            await offered_keys(Host(name="node", address="127.0.0.1", port=port), deadline_s=0.5)
    await no_more_tasks()


def offered_by(make_key: MakeKey, *kinds: str) -> tuple[OfferedKey, ...]:
    keys = (HostKey.of(base64.b64decode(make_key(kind).public.split()[1])) for kind in kinds)
    return tuple(OfferedKey(type=key.type, fingerprint=key.fingerprint, line=key.line, key=key) for key in keys)


def test_what_an_offer_means_and_what_is_kept(make_key: MakeKey, tmp_path: Path) -> None:
    first, second = both = offered_by(make_key, "ed25519", "ecdsa")
    host, known = Host(name="node", address="127.0.0.1"), KnownHosts(tmp_path / "home" / "known_hosts")
    nothing = known.trust(host)
    assert judged(both, nothing, None) == Offer(host=host, state=NEW, keys=(first.key, second.key))
    assert judged(both, nothing, second.fingerprint) == Offer(host=host, state=NEW, keys=(second.key,))
    assert judged((first,), nothing, second.fingerprint).state == WRONG
    assert judged(both, Trust(host=host, keys=(second.key,)), None).state == KNOWN
    keep(known, [judged((first,), nothing, None)])
    changed = judged((second,), known.trust(host), None)
    assert changed.state == CHANGED
    keep(known, [changed])
    assert known.trust(host).keys == (second.key,)
    assert vouched([changed], {"node": second.fingerprint}) and not vouched([changed], {})


@pytest.mark.parametrize("mark", ["node", "NODE", "n*", "group=some", "*"])
@pytest.mark.parametrize("plain", ["it", "another", "none"])
def test_a_revoked_key_is_no_offer(make_key: MakeKey, tmp_path: Path, mark: str, plain: str) -> None:
    first, second = both = offered_by(make_key, "ed25519", "ecdsa")
    (other,) = offered_by(make_key, "ed25519")
    lines = {"it": f"node {first.line}\n", "another": f"node {other.line}\n", "none": ""}
    path, host = tmp_path / "known_hosts", Host(name="node", address="127.0.0.1", groups=("some",))
    path.write_text(f"@revoked {mark} {first.line}\n{lines[plain]}")
    path.chmod(0o600)
    trust, shown = KnownHosts(path).trust(host), HostKey.of(first.key.blob, revoked=True)
    for offered, expected in (((first,), None), (both, None), (both, first.fingerprint)):
        assert judged(offered, trust, expected) == Offer(host=host, state=REVOKED, keys=(shown,))
    assert judged(both, trust, other.fingerprint).state == WRONG
    assert judged(both, trust, second.fingerprint) == Offer(
        host=host, state=NEW if plain == "none" else CHANGED, keys=(second.key,)
    )
    assert judged((second,), trust, None).state == (NEW if plain == "none" else CHANGED)
    assert judged(both, replace(trust, keys=(second.key,)), None) == Offer(host=host, state=KNOWN, keys=(shown, second.key))
