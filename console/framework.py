"""The thin layer over click: commands load when they are called, take the common options anywhere, speak two languages."""

from __future__ import annotations

import difflib
import importlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from console.faults import keep_crashes_in
from console.logs import listen
from console.own_playbooks import is_file_name
from console.permits import refuse_unpermitted
from console.served import served
from console.settings import Output, Settings, settings_from
from console.sockets import socket_wanted
from console.terminal import tell, write
from console.whereabouts import WHERE, Where
from console.words import LANGUAGES, call_with, say, spoken
from inventory.errors import Text, UsageError
from runner.called import Called
from runner.outcome import FailOn

Body = Callable[..., int | None]
"""A command: gets `settings` and its own parameters by name; returns the exit code, None for 0."""


class Option(click.Option):
    """An option whose help is a Text, so that it can be said in the user's language."""

    def __init__(self, *names: str, text: Text, **rest: Any) -> None:
        self.text = text
        super().__init__(list(names), **rest)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line in `--help`."""
        self.help = say(self.text)
        return super().get_help_record(ctx)


class Seconds(click.FloatRange):
    """A number of seconds within its bounds; `nan`, which is within all bounds, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seconds, or raise click's BadParameter."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(say(Text("“{value}” is no number of seconds", value=str(value))), param, ctx)
        return seconds


class Among(click.ParamType[tuple[str, ...]]):
    """Some of these words, with commas."""

    name = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the words, or raise click's BadParameter."""
        given = tuple(dict.fromkeys(word.strip() for word in str(value).split(",")))
        for word in given:
            if word not in self.words:
                self.fail(say(Text("{word} is none of {words}", word=word, words=", ".join(self.words))), param, ctx)
        return given

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's)
        """Return what the last word may become, without those that stand before it."""
        before, comma, part = incomplete.rpartition(",")
        left = (word for word in self.words if word.startswith(part) and word not in before.split(","))
        return [CompletionItem(f"{before}{comma}{word}") for word in left]


def option(*names: str, text: Text, **rest: Any) -> click.Parameter:
    """Return an option; `rest` is click's."""
    return Option(*names, text=text, **rest)


def argument(name: str, **rest: Any) -> click.Parameter:
    """Return a positional argument; `rest` is click's."""
    return click.Argument([name], **rest)


def fail_on_option() -> click.Parameter:
    """Return the option by which findings of some severity become an exit code."""
    return option(
        "--fail-on",
        text=Text("Severity from which findings give exit code 1; default: warning."),
        type=click.Choice([str(row) for row in FailOn]),
        default=str(FailOn.WARNING),
    )


BESIDE = Text("Begin also where somebody works by hand, or has since what is undone, for this reason; it is on record.")
"""Of what a repair goes beside; another repair never."""


def beside_option(text: Text = BESIDE) -> click.Parameter:
    """Return the option that gives a reason to begin beside what is done on a host by hand, or changes it."""
    return option("--beside", text=text, metavar="REASON")


def common_options(*, by_customer: bool = True) -> list[click.Parameter]:
    """Return fresh copies of the options that every command takes, before or after its name.

    That of the customer is shown only where it narrows something: elsewhere it is known, to be refused with the reason.
    """
    return [
        option("--home", text=Text("Folder of the store, known hosts, reports and the inventory."), metavar="DIR"),
        option(
            "--inventory",
            text=Text("Inventory file, or KIND:PATH of a source; repeatable; default: inventory.yaml in the home."),
            multiple=True,
        ),
        option(
            "--customer",
            "wall",
            text=Text("Know only the hosts of this customer."),
            metavar="NAME",
            shell_complete=_walls,
            hidden=not by_customer,
        ),
        option("-o", "--output", text=Text("How to write data to stdout."), type=click.Choice([str(row) for row in Output])),
        option("--json", text=Text("The same as -o json."), is_flag=True),
        option("-q", "--quiet", text=Text("Only data and errors."), is_flag=True),
        option("-v", "--verbose", text=Text("More messages; twice: even more."), count=True),
        option("--no-input", text=Text("Never ask: what would need an answer fails."), is_flag=True),
        option("--yes", text=Text("Answer yes to every question."), is_flag=True),
        option("--lang", text=Text("Language of messages and reports."), type=click.Choice(LANGUAGES)),
        option(
            "-h",
            "--help",
            text=Text("Show this page."),
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_help,
        ),
    ]


def _walls(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    from console.choices import walls

    return walls(ctx, begun)


def _show_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        write(ctx.get_help() + "\n")
        ctx.exit()


COMMON = ("home", "inventory", "output", "json", "quiet", "verbose", "no_input", "yes", "lang", "wall")
_UNSET: Mapping[str, Any] = dict.fromkeys(COMMON) | {"inventory": (), "output": "table", "verbose": 0}


_PAGE = {"max_content_width": 110}


class _Speaking:
    """What commands and groups share: help in the user's language, the common options in a section of their own."""

    text: Text

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left of the arguments; what is wrong with them is told as a mistake of this command."""
        try:
            return cast("click.Command", super()).parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def write_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole help page."""
        command = cast("click.Command", self)
        pieces = command.collect_usage_pieces(ctx)
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=say(Text("Usage:")) + " ")
        with formatter.indentation():
            formatter.write_paragraph()
            formatter.write_text(say(self.text))
        self.write_commands(ctx, formatter)
        records = [(param, record) for param in command.get_params(ctx) if (record := param.get_help_record(ctx))]
        own = [record for param, record in records if param.name not in (*COMMON, "help")]
        rest = [record for param, record in records if param.name in (*COMMON, "help")]
        for title, rows in ((Text("Options"), own), (Text("Options of every command"), rest)):
            if rows:
                with formatter.section(say(title)):
                    formatter.write_dl(rows)

    def write_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands below this command: nothing."""


class Command(_Speaking, click.Command):
    """A command that calls its body with the resolved settings."""

    def __init__(
        self, name: str, text: Text, params: Sequence[click.Parameter], body: Body, *, by_customer: bool = False
    ) -> None:
        self.text, self.body, self.by_customer = text, body, by_customer
        taken = {name for param in params for name in param.opts}
        common = [row for row in common_options(by_customer=by_customer) if taken.isdisjoint(row.opts)]
        super().__init__(name, params=[*params, *common], help=str(text), add_help_option=False, context_settings=_PAGE)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page, called by click."""
        self.write_help(ctx, formatter)

    def invoke(self, ctx: click.Context) -> int:
        """Return the exit code of the body."""
        own = {name: value for name, value in ctx.params.items() if name not in COMMON}
        self._refuse_customer(ctx)
        if (code := carried_out_there(ctx)) is not None:
            return code
        call_with(options_of(given(ctx)))
        settings = resolve(ctx)
        keep_crashes_in(settings.home)
        listen(settings.verbosity)
        code = self.body(settings=settings, **own) or 0
        if given(ctx)["home"] and not settings.home.exists():  # as a typing error would have it
            tell(settings, Text("note: there is no folder {path}, so nothing was found in it", path=str(settings.home)))
        return code

    def _refuse_customer(self, ctx: click.Context) -> None:
        """Raise UsageError where the command is to keep within a customer that it does not ask after."""
        if given(ctx)["wall"] is not None and not self.by_customer:
            text = Text(
                "{command} is not about the hosts of one customer: --customer would narrow nothing", command=ctx.command_path
            )
            raise UsageError(text, Text("leave --customer out"))


@dataclass(frozen=True, slots=True)
class Row:
    """Where a command is defined and what it does: enough to list it without loading it."""

    target: str
    """`module:attribute`."""
    text: Text
    main: bool = False


class Group(_Speaking, click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, name: str, text: Text, rows: Mapping[str, Row] | None = None) -> None:
        self.text, self.rows = text, dict(rows or {})
        super().__init__(name, params=common_options(), help=str(text), add_help_option=False, context_settings=_PAGE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*self.rows, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing it now if only its place is known."""
        if row := self.rows.get(cmd_name):
            module, _, name = row.target.partition(":")
            return cast("click.Command", getattr(importlib.import_module(module), name))
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names; raises UsageError with the nearest names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx))
            hint = (
                Text("did you mean {names}?", names=", ".join(near)) if near else Text("{path} --help", path=ctx.command_path)
            )
            raise UsageError(Text("no such command: {name}", name=f"{ctx.command_path} {args[0]}"), hint)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing them; after a dash, options."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [CompletionItem(name, help=self.command_text(name)) for name in names]

    def command_text(self, name: str) -> str:
        """Return what a command does, in the user's language, without importing it."""
        row = self.rows.get(name) or cast("Command", self.commands[name])
        return say(row.text)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page, called by click."""
        self.write_help(ctx, formatter)

    def write_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of this group, the main ones first."""
        main = [name for name, row in self.rows.items() if row.main]
        rest = [name for name in self.list_commands(ctx) if name not in main]
        for title, names in ((Text("Main commands"), main), (Text("Commands"), rest)):
            if names:
                with formatter.section(say(title)):
                    formatter.write_dl([(name, self.command_text(name)) for name in names])

    def add(self, name: str, text: Text, *params: click.Parameter, by_customer: bool = False) -> Callable[[Body], Command]:
        """Decorate the body of a command of this group; `by_customer`: what it does is narrowed by `--customer`."""

        def made(body: Body) -> Command:
            command = Command(name, text, params, body, by_customer=by_customer)
            self.add_command(command)
            return command

        return made


def command(name: str, text: Text, *params: click.Parameter, by_customer: bool = False) -> Callable[[Body], Command]:
    """Decorate the body of a command that stands on its own; `by_customer`: what it does is narrowed by `--customer`."""
    return lambda body: Command(name, text, params, body, by_customer=by_customer)


def resolve(ctx: click.Context) -> Settings:
    """Return the settings: what was given nearest to the command wins."""
    return settings_from(given(ctx))


def given(ctx: click.Context) -> Mapping[str, Any]:
    """Return the common options: what was given nearest to the command wins."""
    merged: dict[str, Any] = {**_UNSET, "lang": spoken()}
    step: click.Context | None = ctx
    chain = []
    while step is not None:
        chain.append(step.params)
        step = step.parent
    for params in reversed(chain):
        merged |= {name: params[name] for name in COMMON if params.get(name)}
    return merged


def options_of(options: Mapping[str, Any]) -> Called:
    """Return the options that a command which comes next needs too, as they were typed."""
    home = ("--home", options["home"]) if options["home"] else ()
    inventories = (word for value in options["inventory"] for word in ("--inventory", value))
    return Called(options=(*home, *inventories), customer=("--customer", options["wall"]) if options["wall"] else ())


def carried_out_there(ctx: click.Context) -> int | None:
    """Return the exit code of a command that a service has carried out, None where it is ours to carry out.

    Where we are the service's, it is ours, if it may be given to a service at all.
    """
    command, options = ctx.command_path.partition(" ")[2], {**ctx.params, **given(ctx)}
    if served() is not None:
        refuse_unpermitted(command, options)
        return None
    where = WHERE.get(command)
    if where is Where.HERE or (where is Where.NAMED and not _is_the_desks(ctx, ctx.params["name"])):
        return None
    if (path := socket_wanted(options["home"])) is None:
        return None
    from console.reaching import carried_out

    return carried_out(ctx, path, options["home"])


def _is_the_desks(ctx: click.Context, name: str) -> bool:
    """Tell whether a playbook is one of the desk's own, which its service knows; what is here too is asked for there."""
    if not is_file_name(name) or not os.path.lexists(name):
        return is_file_name(name)
    from console.listing_there import told_there

    return any(row["playbook"] == name for row in told_there(ctx, "playbook", "list", by_customer=False) or ())
