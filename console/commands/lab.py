"""`longarm lab up | list | status | down`."""

from __future__ import annotations

import click

from console.framework import Group, option
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell, tell_hint
from console.words import spoken
from inventory.errors import Text

lab = Group("lab", Text("Practice hosts on this machine, for training and trying out."))

_STATUS = {
    "state": Text("state"),
    "hosts": Text("hosts"),
    "shell": Text("what answers"),
    "why": Text("why no real shell"),
    "inventory": Text("inventory"),
}
_COLUMNS = {
    "title": Text("title"),
    "learn": Text("what one can learn"),
    "hosts": Text("running hosts"),
}


@lab.add(
    "up",
    Text("Start practice hosts on the loopback interface."),
    option("--hosts", text=Text("How many; default: one for each scenario."), metavar="N", type=click.IntRange(1, 500)),
    option("--this-machine", text=Text("Name this machine too, reached without a network."), is_flag=True),
    option(
        "--shell",
        text=Text("What answers: a real shell over the scenario, captured answers, or auto: a real shell where it works."),
        type=click.Choice(("auto", "real", "answers")),
        default="auto",
    ),
)
def up(settings: Settings, hosts: int | None, this_machine: bool, shell: str) -> None:
    """Start the hosts and tell how to reach them."""
    from remote.lab import keeper
    from remote.lab.scenarios import scenarios
    from remote.lab.shell import Shell, what_answers

    wanted = hosts or len(scenarios())
    started = keeper.up(settings.writable_home(), wanted, this_machine=this_machine, shell=Shell(shell))
    count = len(started.hosts)
    many = Text("{count} practice hosts are running", count=count)
    tell(settings, Text("one practice host is running") if count == 1 else many)
    tell(settings, what_answers(started.shell, started.why))
    tell(settings, Text("inventory: {path}", path=str(started.inventory)))
    own = (settings.home / "inventory.yaml").exists()
    chosen = f"--inventory {started.inventory} " if own else ""
    tell_hint(settings, f"longarm {chosen}diagnose all")


@lab.add("list", Text("List the scenarios, what one can learn on them, and the hosts that run them."))
def list_(settings: Settings) -> None:
    """List scenarios and running hosts."""
    from remote.lab import keeper
    from remote.lab.scenarios import scenarios

    here = keeper.running(settings.home)
    rows = [
        {
            "title": scenario.title[spoken()],
            "learn": scenario.learn[spoken()],
            "hosts": tuple(host.name for host in here.hosts if host.scenario == scenario.name) if here else (),
        }
        for scenario in scenarios().values()
    ]
    show_list(settings.output, _COLUMNS, rows)


@lab.add("status", Text("Tell whether practice hosts are running, and what answers on them."))
def status(settings: Settings) -> None:
    """Show the lab of this home as one row."""
    from remote.lab import keeper

    here = keeper.running(settings.home)
    row = {
        "state": "running" if here else "down",
        "hosts": len(here.hosts) if here else 0,
        "shell": str(here.shell) if here else "",
        "why": here.why if here else "",
        "inventory": str(here.inventory) if here else "",
    }
    show_list(settings.output, _STATUS, [row])


@lab.add("down", Text("End the practice hosts and remove what was made for them."))
def down(settings: Settings) -> None:
    """End the hosts of this home."""
    from remote.lab import keeper

    ended = keeper.down(settings.home)
    tell(settings, Text("the practice hosts are ended") if ended else Text("no practice hosts were running"))
