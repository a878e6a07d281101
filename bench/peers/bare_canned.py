"""asyncssh alone with the script and the bytes of longarm, doing nothing with them: FLEET.json SCRIPT COUNT."""

import asyncio
import json
import sys
from pathlib import Path

import asyncssh

fleet = json.loads(Path(sys.argv[1]).read_text())
script = Path(sys.argv[2]).read_bytes()
hosts = iter(fleet["hosts"][: int(sys.argv[3])])
options = asyncssh.SSHClientConnectionOptions(
    port=fleet["port"],
    username=fleet["user"],
    client_keys=[asyncssh.read_private_key(fleet["key"])],
    known_hosts=asyncssh.read_known_hosts(fleet["known_hosts"]),
    config=None,
    agent_path=None,
)


async def worker() -> None:
    for host in hosts:
        async with asyncssh.connect(host, options=options) as connection:
            done = await connection.run("exec /bin/sh", input=script, encoding=None)
            assert done.exit_status == 0 and done.stdout


async def main() -> None:
    await asyncio.gather(*[worker() for _ in range(50)])


asyncio.run(main())
