"""A runner that repairs the same hosts again and again, to be frozen and thawed; started by test_frozen_runners.py.

It takes one order (a JSON document) as its argument, and says of each run how its hosts ended and with which tokens. It ends
once the file `enough` is in the folder of the bench.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path

from playbooks.load import load_playbook
from playbooks.params import settled_params
from runner.desk import Desk
from runner.observer import Silent
from runner.store.sql import open_store
from tests.runner.repairs import Bench


def token_of(home: Path, host: str) -> int:
    """Return the token that the last run of a home had on a host."""
    with closing(open_store(home, write=False)) as store:
        lease = store.lease(host)
        assert lease is not None
        return lease.token


def repair_again_and_again(home: Path, bench: Bench, name: str, hosts: list[str]) -> None:
    """Repair the hosts until it is enough, each time under a name of its own in the effect log."""
    playbook = load_playbook(bench.folder / "frozen.yaml", bench.library)
    number = 0
    while not (bench.folder / "enough").exists():
        number += 1
        who = f"{name}{number}"
        request = bench.asking(
            *hosts, playbook=playbook, params=settled_params(playbook.params, {"who": who}), forced="again and again"
        )
        with Desk.open(home, write=True, actor=name) as desk:
            record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
        told = {host.host: host.outcome.value for host in record.hosts}
        tokens = {host: token_of(home, host) for host in hosts}
        sys.stdout.write(json.dumps({"who": who, "outcomes": told, "tokens": tokens}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    repair_again_and_again(Path(order["home"]), Bench(Path(order["bench"])), order["name"], order["hosts"])
