"""`longarm inventory check | list | show`."""

from __future__ import annotations

from collections.abc import Mapping

from console import choices
from console.framework import Group, argument, option
from console.listing import as_json, show_document, show_list
from console.settings import Settings
from console.terminal import tell
from inventory.errors import Text
from inventory.host import Host

inventory = Group("inventory", Text("The hosts we know: check, list, show."))

_COLUMNS = {
    "host": Text("host"),
    "address": Text("address"),
    "transport": Text("transport"),
    "platform": Text("platform"),
    "site": Text("site"),
    "customer": Text("customer"),
    "groups": Text("groups"),
    "tags": Text("tags"),
}
_ORIGINS = {"host": Text("host"), "key": Text("key"), "value": Text("value"), "origin": Text("origin")}


@inventory.add("check", Text("Read the inventory and show every mistake at once."))
def check(settings: Settings) -> None:
    """Load all files; the loader's problems, and those that the checks have with it, become the answer."""
    from console.faults import show_problems
    from console.inventories import known_inventory
    from console.soundness import idle, refuse_unsound
    from diagnostics.library import load_library

    known = known_inventory(settings)
    refuse_unsound(known, load_library())
    show_problems(idle(known))
    counts = {"hosts": len(known.hosts), "groups": len(known.groups)}
    text = Text("the inventory is sound: hosts {hosts}, groups {groups}", **counts)
    tell(settings, text)


@inventory.add(
    "list",
    Text("List the hosts that a target expression chooses."),
    argument("targets", default="all", shell_complete=choices.hosts),
)
def list_(settings: Settings, targets: str) -> None:
    """List hosts in inventory order."""
    from console.inventories import known_inventory

    chosen = known_inventory(settings).select(targets)
    show_list(settings.output, _COLUMNS, [host_row(host) for host in chosen.hosts])


def host_row(host: Host) -> Mapping[str, object]:
    """Return a host as a row of a list."""
    address = host.address if host.port is None else f"{host.address}:{host.port}"
    return {
        "host": host.name,
        "address": address,
        "transport": host.transport,
        "platform": host.platform,
        "site": host.site,
        "customer": host.customer,
        "groups": host.groups,
        "tags": host.tags,
    }


@inventory.add(
    "show",
    Text("Show all that is known of the chosen hosts, groups merged in."),
    argument("targets", shell_complete=choices.hosts),
    option(
        "--origin",
        text=Text("Show where each value comes from: file with line and column, program, address."),
        is_flag=True,
    ),
)
def show(settings: Settings, targets: str, origin: bool) -> None:
    """Show hosts with everything that their groups gave them, or where each of it was set."""
    from console.inventories import host_document, known_inventory, origins

    chosen = known_inventory(settings).select(targets)
    if origin:
        show_list(settings.output, _ORIGINS, [row for host in chosen.hosts for row in origins(host)])
        return
    document = {"hosts": [host_document(host) for host in chosen.hosts]}
    show_document(settings.output, document, lambda: as_json(document))
