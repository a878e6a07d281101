"""`longarm host enrol TARGETS`."""

from __future__ import annotations

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
)
def enrol(settings: Settings, targets: str, fingerprint: tuple[str, ...], replace: bool) -> int:
    """Enrol hosts; 5 if the user declined, 4 if a key is not the expected one, 3 if a host could not be asked."""
    from console.enrolling import enrol_hosts, expected_fingerprints

    return enrol_hosts(settings, targets, expected_fingerprints(fingerprint), replace=replace)
