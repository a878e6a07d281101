"""The console script `longarm`: find the command, run it, turn whatever happened into an exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from console.entry import INTERRUPTED, heed_interrupts
from console.faults import FAULT, crashed, exit_of, explain, explain_usage, leave_no_core, unusable
from console.framework import Group, option
from console.table import COMMANDS
from console.terminal import complain, write
from console.words import speak, wanted_language
from inventory.errors import LongarmError, Text, UsageError
from inventory.version import VERSION

ROOT = Group("longarm", Text("Find out from a distance what is wrong with machines, without agents."), COMMANDS)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        write(f"longarm {VERSION}\n")
        ctx.exit()


ROOT.params.append(
    option(
        "--version",
        text=Text("Print the version of longarm."),
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
    )
)


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(1_000_000, 50, 50)  # loading hundreds of modules makes nothing that is garbage: 50 ms of 400
    sys.excepthook = crashed
    heed_interrupts()
    leave_no_core()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a sign that the terminal cannot show is no reason to fail
    leave(run(sys.argv[1:]))


def leave(code: int) -> NoReturn:
    """End the process at once: whatever has to be closed is by now, and taking apart all that was loaded takes 45 ms."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        sys.exit(code)  # Python says what could not be written
    os._exit(code)


def register_shells() -> None:
    """Let the shell that asks for completions be answered in its own way."""
    from console.shells import register

    register()


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of one command line; what goes wrong is explained on stderr."""
    speak(wanted_language(arguments))
    if "_LONGARM_COMPLETE" in os.environ:
        register_shells()
    try:
        if any("\0" in argument for argument in arguments):
            raise UsageError(Text("an argument contains the character NUL"), Text("{path} --help", path="longarm"))
        return ROOT.main(list(arguments), prog_name="longarm", standalone_mode=False, obj=tuple(arguments)) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as help_page:
        complain(help_page.format_message())
        return 2
    except click.UsageError as error:
        explain_usage(error)
        return 2
    except LongarmError as error:
        explain(error)
        return exit_of(error)
    except OSError as error:
        explain(unusable(error))
        return FAULT
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
