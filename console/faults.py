"""From exceptions to messages and exit codes: what happened, where, and the next command; never a traceback."""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

import click

from console.entry import INTERRUPTED
from console.settings import default_home
from console.terminal import complain, complain_in_a_line
from console.words import called, say
from inventory.errors import MOST_TOLD, InvalidFile, LongarmError, Problem, SourceUnavailable, Text
from inventory.secret import MASKER

FAULT = 7

EXITS = {
    "CustomersMixed": 5,
    "InvalidFile": 2,
    "InventoryUnsound": 2,
    "UsageError": 2,
    "BadExpression": 2,
    "BadName": 2,
    "NotForCustomers": 2,
    "ChangeRefused": 5,
    "NotForClients": 5,
    "NothingStopped": 6,
    "RoleRefused": 5,
    "NothingMatched": 6,
    "NothingToRetry": 6,
    "NothingToUndo": 6,
    "NotResumable": 6,
    "NoSuchRun": 6,
    "NoSuchCase": 6,
    "NothingBelongs": 6,
    "HostKeyRefused": 4,
    "AuthenticationRefused": 4,
    "CredentialUnusable": 4,
    "CredentialBlocked": 4,
    "RemoteError": 3,
    "SourceUnavailable": FAULT,
    "LongarmError": FAULT,
}
"""Exit codes by the names of errors, so that nothing has to be imported for it; the nearest ancestor counts."""


def exit_of(error: LongarmError) -> int:
    """Return the exit code that design.md gives an error that ends a command."""
    return next(EXITS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in EXITS)


def explain(error: LongarmError) -> None:
    """Write what happened, where and what to do next to stderr; whose words these are, they make no line of their own."""
    if isinstance(error, InvalidFile):
        show_problems(error.problems)
        if error.hint:
            complain_in_a_line(say(Text("next: {hint}", hint=error.hint)))
        return
    if isinstance(error, SourceUnavailable):
        show_problems([Problem(place=error.place, text=error.text, hint=error.hint)])
        return
    complain_in_a_line(say(Text("error: {message}", message=error.text)))
    if error.hint:
        complain_in_a_line(say(Text("next: {hint}", hint=called().hint(say(error.hint)))))


def show_problems(problems: Iterable[Problem]) -> None:
    """Write each problem with its place, and what to do about it beneath; of very many the first and how many are left."""
    found = tuple(problems)
    for problem in found[:MOST_TOLD]:
        complain_in_a_line(f"{problem.place}: {say(problem.text)}")
        if problem.hint:
            complain_in_a_line("    " + called().hint(say(problem.hint)))
    if (left := len(found) - MOST_TOLD) > 0:
        complain(say(Text("and more like these: {count}", count=left)))


def unusable(error: OSError) -> LongarmError:
    """Return what the system refused us, a file or the disk, as an error that can be explained."""
    return LongarmError(Text("the system refused: {reason}", reason=str(error)), Text("longarm doctor"))


def explain_usage(error: click.UsageError) -> None:
    """Write what is wrong with the command line, and how to see its help."""
    complain_in_a_line(say(Text("error: {message}", message=usage_text(error))))
    path = error.ctx.command_path if error.ctx else "longarm"
    extra = re.fullmatch(r"Got unexpected extra arguments? \((\S+(?: \S+)*)\)", error.message)
    targets = error.ctx.params.get("targets") if error.ctx else None
    if extra and isinstance(targets, str) and targets and not any(word.startswith("-") for word in extra[1].split()):
        several = ",".join((targets, *extra[1].split()))
        complain(say(Text("next: {hint}", hint=say(Text("several hosts are one word: {hosts}", hosts=several)))))
        return
    complain(say(Text("next: {hint}", hint=f"{path} --help")))


def usage_text(error: click.UsageError) -> Text:
    """Return click's complaint as a sentence of ours, where we have one."""
    from console.click_words import in_our_words  # for a mistake only

    nearest = ", ".join(getattr(error, "possibilities", None) or ())
    if isinstance(error, click.NoSuchOption):
        text = Text("no such option: {name}", name=error.option_name)
        return Text("{problem}; did you mean {nearest}?", problem=text, nearest=nearest) if nearest else text
    if isinstance(error, click.BadOptionUsage) and "requires" in error.message:
        return Text("{name} needs a value", name=error.option_name)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        metavar = error.param.make_metavar(error.ctx or click.Context(click.Command(None)))
        return Text("{name} is missing", name=error.param.opts[0] if isinstance(error.param, click.Option) else metavar)
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.opts[0] if error.param.opts else error.param.name
        return Text("{name}: {reason}", name=name, reason=in_our_words(error.message, error.param.type))
    return in_our_words(error.format_message())


def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The process's excepthook: a fault of ours becomes a short message and a masked file for whoever mends it.

    An interrupt that came where nobody catches it, before the command or after it, is none.
    """
    if issubclass(kind, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    details = MASKER.text("".join(traceback.format_exception(kind, error, trace)))
    try:
        place = str(crash_file(details))
    except OSError as trouble:
        place = str(trouble)
    name = kind.__name__
    complain(say(Text("error: this is a fault of longarm itself ({name}); details: {place}", name=name, place=place)))
    os._exit(FAULT)


def leave_no_core() -> None:
    """Leave no image of this process's memory behind should it die: passwords are in it."""
    try:
        import resource
    except ImportError:  # Windows has none, and makes no image unless told to
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


_HOME: ContextVar[Path | None] = ContextVar("home", default=None)


def keep_crashes_in(home: Path) -> None:
    """Keep crash files in this home from now on."""
    _HOME.set(home)


def crash_file(details: str) -> Path:
    """Write `details` to a file that only the user can read and return its path."""
    folder = (_HOME.get() or Path(os.environ.get("LONGARM_HOME") or default_home())) / "crashes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}.txt", time.gmtime())
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(details + "\n")
    return path
