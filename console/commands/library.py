"""`longarm check | probe`, each `list | show`."""

from __future__ import annotations

from console import choices
from console.framework import Group, argument
from console.listing import as_json, show_document, show_list
from console.settings import Settings
from inventory.errors import Text

check = Group("check", Text("The checks that judge: list, show."))
probe = Group("probe", Text("The probes that ask: list, show."))

_CHECKS = {"check": Text("check"), "platforms": Text("platforms"), "needs": Text("needs"), "title": Text("title")}
_PROBES = {"probe": Text("probe"), "privilege": Text("privilege"), "deadline_s": Text("deadline, s"), "summary": Text("asks")}


@check.add("list", Text("List the checks."))
def list_checks(settings: Settings) -> None:
    """List checks."""
    from console.contents import check_rows

    show_list(settings.output, _CHECKS, check_rows(settings))


@check.add("show", Text("Show one check."), argument("name", metavar="CHECK", shell_complete=choices.checks))
def show_check(settings: Settings, name: str) -> None:
    """Show a check."""
    from console.contents import check_document

    document = check_document(name)
    show_document(settings.output, document, lambda: as_json(document))


@probe.add("list", Text("List the probes."))
def list_probes(settings: Settings) -> None:
    """List probes."""
    from console.contents import probe_rows

    show_list(settings.output, _PROBES, probe_rows())


@probe.add(
    "show",
    Text("Show one probe with the script that it asks."),
    argument("name", metavar="PROBE", shell_complete=choices.probes),
)
def show_probe(settings: Settings, name: str) -> None:
    """Show a probe; for people, its script as it is."""
    from console.contents import probe_document

    document = probe_document(name)
    show_document(settings.output, document, lambda: f"{document['script']}\n")
