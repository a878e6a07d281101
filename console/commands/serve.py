"""`longarm serve`: the desk as a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from console.framework import Seconds, command, option
from console.settings import Settings
from console.terminal import write
from console.words import say
from inventory.errors import Text


class Mode(click.ParamType[int]):
    """The mode of a file, in octal digits."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the mode, or raise click's BadParameter."""
        if isinstance(value, int):
            return value
        try:
            mode = int(value, 8)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0o777 or mode & 0o111:
            self.fail(say(Text("“{value}” is no mode such as 0660", value=str(value))), param, ctx)
        return mode


@command(
    "serve",
    Text("Keep the desk of a home as a service, until it is told to end: commands of its clients run here, under their names."),
    option(
        "--socket",
        text=Text("Where to listen; default: desk.sock in the home."),
        metavar="PATH",
        type=click.Path(path_type=Path),
    ),
    option("--group", text=Text("Group whose members may connect; default: that of the account."), metavar="NAME"),
    option("--mode", text=Text("Mode of the socket; default: 0660."), metavar="MODE", type=Mode(), default=0o660),
    option(
        "--grace",
        text=Text("Seconds that what is on its way has to come to a safe point when the service is to end; default: 60."),
        metavar="S",
        type=Seconds(min=0, max=3600),
        default=60.0,
    ),
    option("--clients", text=Text("Commands at once; default: 128."), metavar="N", type=click.IntRange(1, 4096), default=128),
    option(
        "--of-one-user",
        text=Text("Commands at once of one user; default: 32."),
        metavar="N",
        type=click.IntRange(1, 4096),
        default=32,
    ),
    option("--unit", text=Text("Print the unit for systemd instead, hardened, and serve nothing."), is_flag=True),
)
def serve(
    settings: Settings,
    socket: Path | None,
    group: str | None,
    mode: int,
    grace: float,
    clients: int,
    of_one_user: int,
    unit: bool,
) -> None:
    """Serve until SIGTERM, or print the unit."""
    from console.serving import address_of
    from runner.service.serving import Limits

    if unit:
        from console.systemd import unit_of

        write(unit_of(settings, socket, group, grace))
        return
    from console import serving

    limits = Limits(clients=clients, of_one_user=of_one_user, grace_s=grace)
    serving.serve(settings, address_of(settings, socket, group, mode), limits)
