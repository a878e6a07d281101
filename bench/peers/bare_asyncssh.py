"""asyncssh alone, as its documentation shows it but with keys and known hosts parsed once: the floor for Python."""

import asyncio

import asyncssh
from records import Records, bundle, job

work = job()
nonce, script = bundle(work.probes)
options = asyncssh.SSHClientConnectionOptions(
    port=work.fleet["port"],
    username=work.fleet["user"],
    client_keys=[asyncssh.read_private_key(work.fleet["key"])],
    known_hosts=asyncssh.read_known_hosts(work.fleet["known_hosts"]),
    config=None,
    agent_path=None,
)


async def worker(hosts: "iter", records: Records) -> None:
    for host in hosts:
        async with asyncssh.connect(host, options=options) as connection:
            done = await connection.run("exec /bin/sh", input=script)
        records.put_bundle(host, nonce, str(done.stdout), str(done.stderr))


async def main() -> None:
    hosts = iter(work.fleet["hosts"])
    with Records(work.out) as records:
        await asyncio.gather(*[worker(hosts, records) for _ in range(50)])


asyncio.run(main())
