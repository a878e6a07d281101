"""Put the parts together: the connector with its credentials and host keys, the case systems."""

from __future__ import annotations

import getpass
import os
import sys

from console.served import awaiting
from console.settings import Settings
from console.terminal import printable
from console.words import say
from inventory.errors import Text
from remote.breaker import Breaker
from remote.connect import Connector
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.one_time_codes import Codes
from remote.rejections import Rejections
from remote.secrets.resolver import Secrets
from remote.used_codes import UsedCodes


def secrets_of(settings: Settings, *, piped: bool = False) -> Secrets:
    """Return what resolves the secrets of a command, each once; it asks for one only where somebody can answer.

    `piped`: stdin holds something else, and the terminal is asked even so.
    """
    if not _SECRETS or _SECRETS[0][0] is not settings:
        asking = not settings.no_input and (has_terminal() if piped else sys.stdin.isatty())
        _SECRETS[:] = [(settings, Secrets(ask_secret if asking else None, home=settings.home))]
    return _SECRETS[0][1]


_SECRETS: list[tuple[Settings, Secrets]] = []
"""Those of the command that runs: what its inventory has asked for, its hosts need not ask for again."""


def has_terminal() -> bool:
    """Tell whether somebody sits at a terminal of this process, even if stdin is a pipe."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def credential_store(settings: Settings) -> CredentialStore:
    """Return what resolves credentials."""
    return CredentialStore(secrets=secrets_of(settings))


def connector(settings: Settings, credentials: CredentialStore, *, once_more: bool = False) -> Connector:
    """Return what opens sessions: strict host keys, credentials by reference, a breaker for this run."""
    known = KnownHosts(settings.home / "known_hosts")
    codes = Codes(UsedCodes(settings.home / "used-codes"))
    breaker = Breaker(others=Rejections.of_home(settings.home, heeded=not once_more))
    return Connector(known_hosts=known, credentials=credentials, breaker=breaker, codes=codes)


def ask_secret(what: Text) -> str:
    """Return a secret typed without echo; the prompt goes to the terminal itself."""
    with awaiting("secret"):
        return getpass.getpass(printable(say(what)) + ": ")
