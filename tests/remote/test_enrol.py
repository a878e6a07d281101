"""First contact: every key a host offers, as ssh-keyscan and ssh-keygen would show it, and nothing sent."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from pathlib import Path

import pytest

from inventory.host import Host
from remote.enrol import CHANGED, KNOWN, NEW, WRONG, Offer, OfferedKey, judged, keep, offered_keys, vouched
from remote.errors import ConnectFailed, DeadlineExceeded
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from tests.remote.servers import Keys, MakeConnector, MakeKey, StartPractice, no_more_tasks


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
        assert session.facts.host_key == known.keys("node")[0].fingerprint


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
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host = Host(name="node", address="127.0.0.1", port=server.sockets[0].getsockname()[1])
    async with asyncio.timeout(30):
        with pytest.raises(DeadlineExceeded):
            await offered_keys(host, deadline_s=0.5)
    server.close()
    await server.wait_closed()
    await no_more_tasks()


def test_what_an_offer_means_and_what_is_kept(make_key: MakeKey, tmp_path: Path) -> None:
    first, second = (
        OfferedKey(type=key.type, fingerprint=key.fingerprint, line=key.line, key=key)
        for key in (HostKey.of(base64.b64decode(make_key(kind).public.split()[1])) for kind in ("ed25519", "ecdsa"))
    )
    host, known = Host(name="node", address="127.0.0.1"), KnownHosts(tmp_path / "home" / "known_hosts")
    both = (first, second)
    assert judged(host, both, (), None) == Offer(host=host, state=NEW, keys=(first.key, second.key))
    assert judged(host, both, (), second.fingerprint) == Offer(host=host, state=NEW, keys=(second.key,))
    assert judged(host, (first,), (), second.fingerprint).state == WRONG
    assert judged(host, both, (second.key,), None).state == KNOWN
    keep(known, [judged(host, (first,), (), None)])
    changed = judged(host, (second,), known.keys("node"), None)
    assert changed.state == CHANGED
    keep(known, [changed])
    assert known.keys("node") == (second.key,)
    assert vouched([changed], {"node": second.fingerprint}) and not vouched([changed], {})
