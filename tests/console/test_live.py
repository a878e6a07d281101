"""What the table on a terminal shows of hosts that are being asked."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from console.live import LiveTable
from inventory.host import Host
from remote.hearing import Hearing


def shown(table: LiveTable) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(table._picture())
    return out.getvalue()


@pytest.mark.parametrize(("code", "size"), [("en", "3 MiB"), ("ru", "3 МиБ")])
def test_who_sends_much_is_shown_to_send_it(code: str, size: str) -> None:
    much, little, table = Hearing(), Hearing(), LiveTable(code)
    hosts = [Host(name=name, address=name) for name in ("much", "little", "waits")]
    table.run_started("r1", hosts)
    table.host_started(hosts[0], much)
    table.host_started(hosts[1], little)
    for _ in range(3):
        much.heard(2**20)
    little.heard(2**10)
    rows = {line.split()[1] if line.startswith("…") else line.split()[0]: line for line in shown(table).splitlines()}
    assert rows["much"].rstrip().endswith(f" s · {size}")
    assert rows["little"].rstrip().endswith(" s")
    assert "·" not in rows["waits"]
