"""`longarm host enrol TARGETS`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.framework import Group, argument, option
from console.settings import Settings
from inventory.errors import Text

host = Group("host", Text("Host keys: enrol hosts before the first connection."))


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
    ),
    option(
        "--from-known-hosts",
        text=Text("Take the keys over from a known_hosts of OpenSSH's; hashed names and patterns count too."),
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
    ),
    option("--rotate", text=Text("Log in and learn which keys the hosts have now, and which no more."), is_flag=True),
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
