"""`longarm host enrol | ping | facts | get | run | shell`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.files import FileOrText, NewFile, ReadFile
from console.framework import Group, Seconds, argument, beside_option, option
from console.settings import Settings
from inventory.errors import Text

host = Group("host", Text("Single hosts: their keys, files and commands."))


@host.add(
    "enrol",
    Text("Show the keys that hosts offer, ask, and keep them in longarm's own known_hosts."),
    argument("targets", shell_complete=choices.hosts),
    option(
        "--fingerprint",
        text=Text("HOST=SHA256:… that the host must show, repeatable; nothing is asked then."),
        metavar="HOST=FP",
        multiple=True,
    ),
    option("--replace", text=Text("Also replace keys that have changed."), is_flag=True),
    option(
        "--ca",
        text=Text("Trust the host certificates that this authority signs: its public key, or the file of it."),
        metavar="FILE|KEY",
        type=FileOrText(),
    ),
    option(
        "--from-known-hosts",
        text=Text("Take the keys over from a known_hosts of OpenSSH's; hashed names and patterns count too."),
        metavar="FILE",
        type=ReadFile(exists=True, dir_okay=False),
    ),
    option("--rotate", text=Text("Log in and learn which keys the hosts have now, and which no more."), is_flag=True),
    by_customer=True,
)
def enrol(
    settings: Settings,
    targets: str,
    fingerprint: tuple[str, ...],
    replace: bool,
    ca: str | None,
    from_known_hosts: Path | None,
    rotate: bool,
) -> int:
    """Enrol hosts; 5 if the user declined, 4 if a key is not the expected one, 3 if a host could not be asked."""
    from console import enrolling, trusting

    enrolling.refuse_mixture(
        {"--ca": ca, "--from-known-hosts": from_known_hosts, "--rotate": rotate, "--fingerprint": fingerprint}
    )
    if ca is not None:
        return trusting.trust_authority(settings, targets, ca)
    if from_known_hosts is not None:
        return trusting.import_known_hosts(settings, targets, from_known_hosts, replace=replace)
    if rotate:
        return trusting.rotate(settings, targets)
    return enrolling.enrol_hosts(settings, targets, enrolling.expected_fingerprints(fingerprint), replace=replace)


_SECONDS = Seconds(min=1, max=86_400)


@host.add(
    "ping",
    Text("See whether hosts can be reached, let us in and answer, and how long that takes."),
    argument("targets", shell_complete=choices.hosts),
    option("--concurrency", text=Text("Hosts at once; default: 50."), metavar="N", type=click.IntRange(1, 1000), default=50),
    option("--deadline", text=Text("Seconds for one host; default: 20."), metavar="S", type=_SECONDS, default=20.0),
    by_customer=True,
)
def ping(settings: Settings, targets: str, concurrency: int, deadline: float) -> int:
    """Ping hosts; 4 if one refused us, 3 if one could not be reached."""
    from console.looking import ping_hosts

    return ping_hosts(settings, targets, concurrency=concurrency, deadline_s=deadline)


@host.add(
    "facts",
    Text("Show what the probes of the library tell of a host now."),
    argument("target", metavar="HOST", shell_complete=choices.hosts),
    option("--probe", text=Text("Only this probe, repeatable."), metavar="ID", multiple=True, shell_complete=choices.probes),
    option("--deadline", text=Text("Seconds for the host; default: 120."), metavar="S", type=_SECONDS, default=120.0),
    by_customer=True,
)
def facts(settings: Settings, target: str, probe: tuple[str, ...], deadline: float) -> int:
    """Show facts; 3 if something could not be seen."""
    from console.looking import show_facts

    return show_facts(settings, target, probe, deadline_s=deadline)


@host.add(
    "get",
    Text("Get a log file or a part of it: chosen on the host, redacted, kept as evidence, put on the case."),
    argument("target", metavar="HOST", shell_complete=choices.hosts),
    argument("path"),
    option("--case", text=Text("Put it on this case."), metavar="CASE", shell_complete=choices.cases),
    option("--to", text=Text("Write it to this file too."), metavar="FILE", type=NewFile(dir_okay=False)),
    option("--last", text=Text("Only the last lines, so many."), metavar="N", type=click.IntRange(1, 10_000_000)),
    option(
        "--since",
        text=Text("Only from this moment on: 2h (ago), “2026-11-29 08:00” by the host's clock, …+02:00; not on Windows."),
        metavar="WHEN",
    ),
    option("--until", text=Text("Only before this moment, written alike."), metavar="WHEN"),
    option(
        "--grep", "pattern", text=Text("Only lines that match this extended regular expression."), metavar="PATTERN", default=""
    ),
    option(
        "--max-bytes",
        text=Text("At most so many, the last ones; default: 8 MiB."),
        metavar="N",
        type=click.IntRange(1, 2**26),
        default=2**23,
    ),
    option("--no-root", text=Text("Read it as the login user; else as root where root can be had."), is_flag=True),
    option("--deadline", text=Text("Seconds for reading it; default: 60."), metavar="S", type=_SECONDS, default=60.0),
    option("--across-customers", text=Text("Put it on a case even if that is of another customer."), is_flag=True),
    by_customer=True,
)
def get(settings: Settings, target: str, path: str, **wishes: object) -> int:
    """Get a file and return the run's exit code."""
    from console.getting import Wishes, get_file

    return get_file(settings, target, path, Wishes(**wishes))  # type: ignore[arg-type]


_BESIDE = Text("Begin also where a run changes a host or somebody works there by hand, for this reason; it is on record.")


def _read_only_option() -> click.Parameter:
    return option(
        "--read-only",
        text=Text("Say that you only look: it keeps nobody off the host, and no run or colleague keeps you off; on record."),
        is_flag=True,
    )


@host.add(
    "run",
    Text("Run a command on hosts, at most once on each, and report on it as on a run."),
    argument("command"),
    argument("targets", shell_complete=choices.hosts),
    option("--case", text=Text("Leave the report on this case."), metavar="CASE", shell_complete=choices.cases),
    option("--root", text=Text("Run it as root, by sudo where the login user is another."), is_flag=True),
    option(
        "--var",
        text=Text("NAME=VALUE: a shell variable of the command, repeatable; never text of it."),
        metavar="NAME=VALUE",
        multiple=True,
    ),
    option(
        "--deadline",
        text=Text("Seconds until the command is ended on its host; default: 60."),
        metavar="S",
        type=_SECONDS,
        default=60.0,
    ),
    option(
        "--max-bytes",
        text=Text("Of stdout that is kept; default: 1 MiB."),
        metavar="N",
        type=click.IntRange(1, 2**26),
        default=2**20,
    ),
    _read_only_option(),
    beside_option(_BESIDE),
    option("--concurrency", text=Text("Hosts at once; default: 50."), metavar="N", type=click.IntRange(1, 1000), default=50),
    option("--across-customers", text=Text("Let one run cover hosts of several customers."), is_flag=True),
    option(
        "--count",
        text=Text("How many hosts these are: of many it has to be given, or typed when asked."),
        metavar="N",
        type=click.IntRange(1),
    ),
    option("--run-deadline", text=Text("Seconds for the whole run."), metavar="S", type=_SECONDS),
    by_customer=True,
)
def run(settings: Settings, command: str, targets: str, **wishes: object) -> int:
    """Run a command on hosts and return the run's exit code."""
    from console.commanding import Wishes, run_command

    return run_command(settings, command, targets, Wishes(**wishes))  # type: ignore[arg-type]


@host.add(
    "shell",
    Text("Open a terminal on a host, through the same way and by the same trust as every run; on record in the store."),
    argument("target", metavar="HOST", shell_complete=choices.hosts),
    option(
        "--case",
        text=Text("Record what the screen shows and put it on this case (asciicast)."),
        metavar="CASE",
        shell_complete=choices.cases,
    ),
    _read_only_option(),
    beside_option(_BESIDE),
    option(
        "--deadline", text=Text("Seconds until it is closed; default: 12 hours."), metavar="S", type=_SECONDS, default=43_200.0
    ),
    by_customer=True,
)
def shell(settings: Settings, target: str, case: str | None, read_only: bool, beside: str | None, deadline: float) -> int:
    """Open a terminal and return the run's exit code."""
    from console.terminals import open_shell

    return open_shell(settings, target, case=case, read_only=read_only, beside=beside, deadline_s=deadline)
