"""Put the parts together: the connector with its credentials and host keys, the case systems."""

from __future__ import annotations

import getpass
import sys

from console.settings import Settings
from console.terminal import printable
from console.words import say
from inventory.errors import Text
from remote.breaker import Breaker
from remote.connect import Connector
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.one_time_codes import Codes
from remote.used_codes import UsedCodes


def credential_store(settings: Settings) -> CredentialStore:
    """Return what resolves credentials; it asks for a password only where somebody can answer."""
    asking = not settings.no_input and sys.stdin.isatty()
    return CredentialStore(ask=ask_secret if asking else None)


def connector(settings: Settings, credentials: CredentialStore) -> Connector:
    """Return what opens sessions: strict host keys, credentials by reference, a breaker for this run."""
    known = KnownHosts(settings.home / "known_hosts")
    codes = Codes(UsedCodes(settings.home / "used-codes"))
    return Connector(known_hosts=known, credentials=credentials, breaker=Breaker(), codes=codes)


def ask_secret(what: Text) -> str:
    """Return a secret typed without echo; the prompt goes to the terminal itself."""
    return getpass.getpass(printable(say(what)) + ": ")
