"""`longarm inventory check | list | show | graph | import`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from console import choices
from console.files import NewFile
from console.framework import Group, argument, option
from console.listing import as_json, show_document, show_list
from console.settings import Settings
from console.terminal import tell, write
from inventory.errors import Text
from inventory.host import Host

inventory = Group("inventory", Text("The hosts we know: check, list, show, graph, import."))

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


@inventory.add("check", Text("Read the inventory and show every mistake at once."), by_customer=True)
def check(settings: Settings) -> None:
    """Load all files; the loader's problems, and those that the checks have with it, become the answer."""
    from console.faults import show_problems
    from console.inventories import known_inventory
    from console.soundness import idle, refuse_unsound
    from diagnostics.library import load_library

    known = known_inventory(settings, anew=True)
    refuse_unsound(known, load_library())
    show_problems(idle(known))
    counts = {"hosts": len(known.hosts), "groups": len(known.groups)}
    text = Text("the inventory is sound: hosts {hosts}, groups {groups}", **counts)
    tell(settings, text)


@inventory.add(
    "list",
    Text("List the hosts that a target expression chooses."),
    argument("targets", default="all", shell_complete=choices.hosts),
    by_customer=True,
)
def list_(settings: Settings, targets: str) -> None:
    """List hosts in inventory order."""
    from console.inventories import seen_inventory

    chosen = seen_inventory(settings).select(targets)
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
    by_customer=True,
)
def show(settings: Settings, targets: str, origin: bool) -> None:
    """Show hosts with everything that their groups gave them, or where each of it was set."""
    from console.inventories import host_document, origins, seen_inventory

    chosen = seen_inventory(settings).select(targets)
    if origin:
        show_list(settings.output, _ORIGINS, [row for host in chosen.hosts for row in origins(host)])
        return
    document = {"hosts": [host_document(host) for host in chosen.hosts]}
    show_document(settings.output, document, lambda: as_json(document))


@inventory.add(
    "graph",
    Text("Draw groups, the groups inside them and their hosts."),
    argument("targets", default="all", shell_complete=choices.hosts),
    option("--groups-only", text=Text("Draw no hosts, only how many a group has."), is_flag=True),
    option("--svg", text=Text("Write the drawing to this file, as SVG."), metavar="FILE", type=NewFile()),
    by_customer=True,
)
def graph(settings: Settings, targets: str, groups_only: bool, svg: Path | None) -> None:
    """Draw an inventory as text, as JSON, or into a file."""
    from console.inventories import seen_inventory, write_new
    from reports.inventory_graph import as_svg, as_text, drawn

    known = seen_inventory(settings)
    lines = drawn(known, [host.name for host in known.select(targets).hosts], groups_only=groups_only)
    if svg is not None:
        write_new(settings, svg, as_svg(lines))
        return
    show_document(settings.output, {"lines": lines}, lambda: as_text(lines))


@inventory.add(
    "import",
    Text("Write hosts from elsewhere as an inventory of ours, everything merged."),
    argument("targets", default="all", shell_complete=choices.hosts),
    option(
        "--to", text=Text("Write to this file, which must not be there yet; default: stdout."), metavar="FILE", type=NewFile()
    ),
    by_customer=True,
)
def import_(settings: Settings, targets: str, to: Path | None) -> None:
    """Write the chosen hosts in our own format."""
    from console.inventories import seen_inventory, write_new
    from inventory.written import written

    known = seen_inventory(settings)
    text = written(known, known.select(targets).hosts)
    if to is None:
        write(text)
    else:
        write_new(settings, to, text)
