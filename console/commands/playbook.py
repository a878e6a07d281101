"""`longarm playbook list | show | new | lint | test | graph | schema`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.files import NewFile
from console.framework import Group, argument, option
from console.listing import as_json, show_document, show_list
from console.settings import Settings
from console.terminal import write
from console.words import say
from inventory.errors import Text, UsageError

playbook = Group("playbook", Text("Playbooks: list, show, new, lint, test, graph, schema."))

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = NewFile(dir_okay=False)
_PLAYBOOKS = {
    "playbook": Text("playbook"),
    "kind": Text("kind"),
    "maintenance": Text("maintenance"),
    "tier": Text("tier"),
    "risk": Text("risk"),
    "checks": Text("checks"),
    "steps": Text("steps"),
}
_ISSUES = {
    "place": Text("place"),
    "grade": Text("grade"),
    "code": Text("code"),
    "text": Text("what is wrong"),
    "hint": Text("what to do"),
}
_SCENARIOS = {
    "scenario": Text("scenario"),
    "playbook": Text("playbook"),
    "state": Text("state"),
    "faults": Text("faults tried"),
}
_REHEARSED = {
    "scenario": Text("scenario"),
    "playbook": Text("playbook"),
    "host": Text("host"),
    "state": Text("state"),
    "run": Text("run"),
}


@playbook.add("list", Text("List the playbooks."))
def list_playbooks(settings: Settings) -> None:
    """List playbooks."""
    from console.authoring import playbook_rows

    show_list(settings.output, _PLAYBOOKS, playbook_rows(settings))


@playbook.add(
    "show",
    Text("Show one playbook: its parameters, its steps, what proves it."),
    argument("name", metavar="PLAYBOOK", shell_complete=choices.playbooks),
)
def show_playbook(settings: Settings, name: str) -> None:
    """Show a playbook."""
    from console.authoring import playbook_document, playbook_page

    show_document(settings.output, playbook_document(settings, name), lambda: playbook_page(settings, name))


@playbook.add(
    "new",
    Text("Begin a playbook: a file that passes lint, and a scenario for it."),
    argument("name", metavar="NAME"),
    option("--dir", "folder", text=Text("Where it is put; default: this folder."), metavar="DIR", type=_FOLDER, default="."),
)
def new_playbook(settings: Settings, name: str, folder: Path) -> None:
    """Begin a playbook."""
    from console.authoring import begin_playbook

    begin_playbook(settings, name, folder)


@playbook.add(
    "lint",
    Text("Say everything that is wrong with playbooks, or with those in a folder, with its place and what to write instead."),
    argument("names", metavar="PLAYBOOK...", nargs=-1, required=True, shell_complete=choices.playbook_files),
    option("--fix", text=Text("Mend what can be mended without changing what is meant: quotes, misspelt words."), is_flag=True),
)
def lint_playbooks(settings: Settings, names: tuple[str, ...], fix: bool) -> int:
    """Lint playbooks."""
    from console.authoring import lint_rows

    rows, code = lint_rows(settings, names, fix=fix)
    show_list(settings.output, _ISSUES, rows)
    return code


@playbook.add(
    "test",
    Text("Run the scenarios of playbooks on scripted hosts, with every fault at every step: no network, no waiting."),
    argument("names", metavar="PLAYBOOK...", nargs=-1, required=True, shell_complete=choices.playbook_files),
    option(
        "--record",
        text=Text("Repair this host by the playbook, and keep what it said as one more scenario, without secrets."),
        metavar="HOST",
        shell_complete=choices.hosts,
    ),
    option(
        "-p",
        "--param",
        text=Text("A parameter of what is recorded, repeatable; a secret as secret:NAME, env:NAME, file:PATH."),
        metavar="NAME=VALUE",
        multiple=True,
        shell_complete=choices.params,
    ),
    option(
        "--on",
        "target",
        text=Text("Play the scenarios on this host, which is made ill on purpose, repaired and put right again."),
        metavar="HOST",
        shell_complete=choices.hosts,
    ),
    option("--force", text=Text("Record even where there is no finding, for this reason."), metavar="REASON"),
    by_customer=True,
)
def run_scenarios(
    settings: Settings,
    names: tuple[str, ...],
    record: str | None,
    param: tuple[str, ...],
    target: str | None,
    force: str | None,
) -> int:
    """Test playbooks on scripted hosts or on a real one, or record a scenario of one."""
    if target is not None:
        from console.rehearsing import rehearse

        if record is not None or param or force:
            raise UsageError(Text("--on plays the scenarios as they stand"), Text("leave --record, -p and --force out"))
        rows, code = rehearse(settings, names, target)
        show_list(settings.output, _REHEARSED, rows)
        return code
    if record is not None:
        from console.recording import record_scenario

        return record_scenario(settings, names, record, param, force)
    from console.authoring import scenario_rows

    rows, code = scenario_rows(settings, names)
    show_list(settings.output, _SCENARIOS, rows)
    return code


@playbook.add(
    "graph",
    Text("Draw the steps of a playbook."),
    argument("name", metavar="PLAYBOOK", shell_complete=choices.playbooks),
    option("--svg", text=Text("Write the drawing to this file, as SVG."), metavar="FILE", type=_FILE),
)
def graph_playbook(settings: Settings, name: str, svg: Path | None) -> None:
    """Draw a playbook."""
    from console.authoring import named_playbook
    from console.inventories import write_new
    from reports.language import language
    from reports.playbook_graph import as_svg, as_text, nodes_of

    found, tongue = named_playbook(settings, name), language(settings.language)
    if svg is not None:
        write_new(settings, svg, as_svg(found, tongue))
        return
    show_document(settings.output, {"steps": nodes_of(found, tongue)}, lambda: as_text(found, tongue))


@playbook.add("schema", Text("Print the JSON Schema of playbooks, for editors."))
def print_schema(settings: Settings) -> None:  # noqa: ARG001 (a command's)
    """Print the schema."""
    from playbooks.json_schema import playbook_schema

    write(as_json(playbook_schema(say)))
