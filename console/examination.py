"""What `longarm doctor` looks at: one function for each thing, each giving one row."""

from __future__ import annotations

import asyncio
import locale
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from console.desk_examination import desk_told, roles_told
from console.inventories import known_inventory
from console.settings import Settings
from console.soundness import idle, refuse_unsound
from console.words import say, spoken
from diagnostics.library import load_library
from inventory.errors import LongarmError, Text, utc
from inventory.host import Host, Transport
from inventory.inventory import Inventory
from inventory.references import secrets_of as secrets_named
from remote.credentials import CredentialStore
from remote.errors import CredentialUnusable
from remote.keyrings import keyring_in_use
from remote.known_hosts import KnownHosts
from remote.safe_versions import Unsafe, installed, unsafe
from remote.secrets.in_sealed import SealedStore
from remote.secrets.resolver import Secrets
from reports.language import language
from runner.condition import condition_of
from runner.desk import Desk

OK, NOTE, PROBLEM = "ok", "note", "problem"
_LEAST_FREE = 1024**3
_WAL_RESET_FIXED = (3, 51, 3)
"""Before it SQLite can damage a database whose write-ahead log is reset while several connections write (3.7.0 to 3.51.2)."""

Row = Mapping[str, object]


def row(what: str, state: str, detail: object, hint: Text | None = None) -> Row:
    """Return one row of the page."""
    return {"what": what, "state": state, "detail": detail, "next": say(hint) if hint else ""}


@dataclass(slots=True)
class Here:
    """What is looked at: the installation that the settings mean; its inventory is read once, right or wrong."""

    settings: Settings
    _read: Inventory | LongarmError | None = None

    @property
    def inventory(self) -> Inventory:
        """Return the inventory; raises what reading it raised, each time."""
        if self._read is None:
            try:
                self._read = known_inventory(self.settings)
            except LongarmError as error:
                self._read = error
        if isinstance(self._read, LongarmError):
            raise self._read
        return self._read


def examine(settings: Settings) -> list[Row]:
    """Return a row for everything that was looked at; what raises an error is a problem, and ends no other row."""
    here, rows = Here(settings), []
    for what, look in LOOKS.items():
        try:
            rows.append(look(here))
        except LongarmError as error:
            rows.append(row(what, PROBLEM, say(error.text), error.hint))
        except OSError as error:
            rows.append(row(what, PROBLEM, say(Text("the system refused: {reason}", reason=str(error)))))
    return rows


def versions(_: Here) -> Row:
    """Tell versions of what runs here, and whether what guards the connections is new enough."""
    found = installed()
    parts = [f"longarm {version('longarm')}", f"Python {platform.python_version()}"]
    parts += [f"{name} {number}" for name, number in found.items()]
    told = [", ".join([*parts, platform.platform(terse=True)])]
    old = unsafe(found)
    for library in (one.library for one in old):
        holes = {"name": library.name, "least": library.least, "holes": ", ".join(library.advisories)}
        told.append(say(Text("{name} before {least} has known holes: {holes}", **holes)))
    return row("versions", PROBLEM if old else OK, "; ".join(told), _update(old) if old else None)


def _update(old: Sequence[Unsafe]) -> Text:
    """Return the command that brings safe versions into the environment that runs us; one made by uv has no pip."""
    python = shown(Path(sys.executable))
    install = f"{python} -m pip install --upgrade" if find_spec("pip") else f"uv pip install --python {python}"
    return Text("{command}", command=" ".join([install, *(f"'{one.library.name}>={one.library.least}'" for one in old)]))


def home(here: Here) -> Row:
    """Look whether the home is there, ours and not open to others."""
    if not here.settings.home.exists():
        return row("home", NOTE, f"{shown(here.settings.home)} {say(Text('is made when it is needed'))}")
    mode = here.settings.home.stat().st_mode & 0o777
    if not os.access(here.settings.home, os.W_OK):
        return row("home", PROBLEM, shown(here.settings.home), Text("make it writable for you, or choose another with --home"))
    hint = None if not mode & 0o077 else Text("chmod 700 {path}", path=shown(here.settings.home))
    return row("home", OK if hint is None else NOTE, f"{shown(here.settings.home)} ({mode:03o})", hint)


def space(here: Here) -> Row:
    """Look for room on the disk of the home."""
    place = next(folder for folder in (here.settings.home, *here.settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    room = language(spoken()).bytes(free)
    if free < _LEAST_FREE:
        return row("space", PROBLEM, room, Text("make room: evidence and reports are written there"))
    return row("space", OK, room)


def store(here: Here) -> Row:
    """Look at the store's version and lock, then open it for reading and count the latest runs."""
    condition = condition_of(here.settings.home)
    if condition.schema is None:
        return row("store", NOTE, say(Text("no runs yet")))
    with Desk.open(here.settings.home, write=False) as desk:
        runs, waiting = desk.runs(1000), [entry for entry in desk.outbox() if entry.state != "sent"]
    busy = say(Text("in use right now")) if condition.in_use else say(Text("free"))
    detail = f"{say(Text('runs: {count}', count=len(runs)))}; {say(Text('schema {schema}', schema=condition.schema))}; {busy}"
    if waiting:
        detail += f"; {say(Text('{count} reports wait for their case', count=len(waiting)))}"
        return row("store", NOTE, detail, Text("longarm case deliver"))
    return row("store", OK, detail)


def library(_: Here) -> Row:
    """Load the library, which proves every probe, check and cause of it."""
    found = load_library()
    counts = Text("{checks} checks, {probes} probes", checks=len(found.checks), probes=len(found.probes))
    return row("library", OK, f"{say(counts)}; SHA-256 {found.digest[:12]}")


def sqlite(_: Here) -> Row:
    """Tell the version of SQLite, and what the fault in older ones means for the store."""
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return row("SQLite", OK, sqlite3.sqlite_version)
    fixed = ".".join(map(str, _WAL_RESET_FIXED))
    risk = Text(
        "{version}: before {fixed} a reset of its log can damage a database", version=sqlite3.sqlite_version, fixed=fixed
    )
    hint = Text("it is avoided by one writing connection and no mapping into memory: let nothing else write to the store")
    return row("SQLite", NOTE, say(risk), hint)


def inventory(here: Here) -> Row:
    """Read the inventory."""
    if not here.settings.has_inventory:
        return row("inventory", NOTE, say(Text("none yet")), Text("longarm lab up"))
    known = here.inventory
    refuse_unsound(known, load_library())
    if told := list(idle(known)):
        return row("inventory", NOTE, say(Text("things to look at: {count}", count=len(told))), Text("longarm inventory check"))
    return row("inventory", OK, say(Text("hosts: {hosts}, groups: {groups}", hosts=len(known.hosts), groups=len(known.groups))))


def known_hosts(here: Here) -> Row:
    """Count the hosts whose keys are known, and those of the inventory whose are not."""
    store = KnownHosts(here.settings.home / "known_hosts")
    told = say(Text("{count} hosts", count=len(store.names())))
    hosts = here.inventory.hosts.values() if here.settings.has_inventory else ()
    trusts = [store.trust(host) for host in hosts if host.transport is Transport.SSH]
    if vouched := sum(not trust.keys and bool(trust.authorities) for trust in trusts):
        told += "; " + say(Text("by a certificate: {count}", count=vouched))
    strangers = [trust.host.name for trust in trusts if not trust.keys and not trust.authorities]
    if strangers:
        some = ", ".join(strangers[:3]) + (", …" if len(strangers) > 3 else "")
        told += "; " + say(Text("{count} of the inventory have none: {names}", count=len(strangers), names=some))
        return row(
            "known_hosts", NOTE, told, Text("longarm host enrol {host}", host=strangers[0] if len(strangers) == 1 else "all")
        )
    return row("known_hosts", OK, told)


def credentials(here: Here) -> Row:
    """Resolve each credential that a host uses, without showing or asking for anything."""
    hosts = here.inventory.hosts.values() if here.settings.has_inventory else ()
    used = {host.credential: host for host in hosts if host.transport is not Transport.LOCAL}
    secrets = Secrets(home=here.settings.home)
    asked = [one.name for one in used if one and any(secrets.asks(part) for part, _ in secrets_named([one]))]
    bad = asyncio.run(_unusable(secrets, [host for one, host in used.items() if not one or one.name not in asked]))
    if bad:
        told = "; ".join(f"{error.credential}: {say(error.text)}" for error in bad)
        return row("credentials", PROBLEM, told, Text("see “Credentials” in docs/inventory.md, then: longarm doctor"))
    told = say(Text("{count} can be used", count=len(used) - len(asked)))
    if asked:
        told += "; " + say(Text("asked for when a run begins: {names}", names=", ".join(asked)))
    return row("credentials", OK, told)


def kept_secrets(here: Here) -> Row:
    """Count the secrets of the encrypted file and tell how it opens, without opening it."""
    store = SealedStore(here.settings.home)
    if not (names := store.names()):
        return row("secrets", OK, say(Text("none are kept")))
    opens = Text("its passphrase is asked for") if store.asks() else Text("a key of the SSH agent opens it")
    return row("secrets", OK, say(Text("{count} are kept; {opens}", count=len(names), opens=say(opens))))


async def _unusable(secrets: Secrets, hosts: Sequence[Host]) -> list[CredentialUnusable]:
    store, bad = CredentialStore(secrets=secrets), []
    for host in hosts:
        try:
            await store.resolve(host)
        except CredentialUnusable as error:
            bad.append(error)
    return bad


def keyring(_: Here) -> Row:
    """Tell which keyring would be asked."""
    if (name := keyring_in_use()) is not None:
        return row("keyring", OK, name)
    hint = Text("credentials that are kept in a keyring need one, those in files do not")
    return row("keyring", NOTE, say(Text("none here")), hint)


def agent(_: Here) -> Row:
    """Ask the SSH agent how many keys it holds."""
    from remote.reach import agent_keys  # refuses an SSH library with known holes: a row of its own here, no end of the page

    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return row("ssh-agent", NOTE, say(Text("none: keys come from files")))
    try:
        return row("ssh-agent", OK, say(Text("keys: {count}", count=asyncio.run(agent_keys()))))
    except OSError as error:
        hint = Text("start it (ssh-agent), or unset SSH_AUTH_SOCK")
        return row("ssh-agent", PROBLEM, f"{path}: {error.strerror or error}", hint)


def kerberos(_: Here) -> Row:
    """Tell whether the extra is there; without it, whether a credential needs it is told with the credentials."""
    if find_spec("gssapi") is not None:
        return row("Kerberos", OK, f"gssapi {version('gssapi')}")
    hint = Text("only credentials with “kerberos” need it: {command}", command="pipx install 'longarm[kerberos]'")
    return row("Kerberos", NOTE, say(Text("the extra is not installed")), hint)


def completion(_: Here) -> Row:
    """Look whether the user's shell completes longarm's commands."""
    shell = Path(os.environ.get("SHELL", "")).name
    if (files := _START_FILES.get(shell)) is None:
        return row("completion", NOTE, say(Text("no bash, zsh or fish")))
    for file in (Path.home() / name for name in files):
        try:
            if "longarm" in file.read_text(errors="replace"):
                return row("completion", OK, shown(file))
        except OSError:
            continue  # not there, or not ours to read
    how = "longarm completion fish | source" if shell == "fish" else f'eval "$(longarm completion {shell})"'
    text = Text("put into {file}: {line}", file=shown(Path.home() / files[0]), line=how)
    return row("completion", NOTE, say(Text("not set up for {shell}", shell=shell)), text)


_START_FILES = {
    "bash": (".bashrc", ".bash_profile", ".profile", ".bash_completion"),
    "zsh": (".zshrc", ".zshenv"),
    "fish": (".config/fish/config.fish", ".config/fish/completions/longarm.fish"),
}


def roles(here: Here) -> Row:
    """Say what roles are worth here."""
    return row("roles", NOTE, roles_told(here.settings))


def desk(_: Here) -> Row:
    """Tell whether a service keeps the desk, and who one is to it."""
    told, hint = desk_told()
    return row("desk", OK, told, hint)


def practice(here: Here) -> Row:
    """Tell what answers on practice hosts: on those that run, or on those that would be started; a real shell is tried."""
    from remote.lab import keeper
    from remote.lab.shell import Shell, what_answers

    running = keeper.running(here.settings.home)
    shell, why = (running.shell, running.why) if running else keeper.chosen(Shell.AUTO)
    return row("practice hosts", NOTE if why else OK, say(what_answers(shell, why)))


def words(here: Here) -> Row:
    """Tell the language and whether the terminal's encoding can show it."""
    encoding = locale.getpreferredencoding(False)
    fits = encoding.lower().replace("-", "") == "utf8"
    detail = f"{here.settings.language}, {encoding}"
    return row("language", OK if fits else NOTE, detail, None if fits else Text("a UTF-8 locale shows all signs"))


def clock(_: Here) -> Row:
    """Look whether this machine's clock is plausible: the clocks of hosts are compared with it."""
    year = time.gmtime().tm_year
    built = time.gmtime(Path(__file__).stat().st_mtime).tm_year
    hint = Text("set the clock: hosts would be blamed for it")
    return row(
        "clock",
        OK if year >= built else PROBLEM,
        utc(datetime.now(UTC)),
        hint if year < built else None,
    )


def terminal(_: Here) -> Row:
    """Tell what messages are written to."""
    detail = say(Text("a terminal")) if sys.stderr.isatty() else say(Text("no terminal: plain lines"))
    return row("output", OK, detail)


def shown(path: Path) -> str:
    """Return a path without the name of the user, so that the page can be pasted."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


LOOKS: Mapping[str, Callable[[Here], Row]] = {
    "versions": versions,
    "home": home,
    "space": space,
    "store": store,
    "SQLite": sqlite,
    "inventory": inventory,
    "library": library,
    "known_hosts": known_hosts,
    "credentials": credentials,
    "secrets": kept_secrets,
    "keyring": keyring,
    "ssh-agent": agent,
    "Kerberos": kerberos,
    "completion": completion,
    "practice hosts": practice,
    "desk": desk,
    "roles": roles,
    "language": words,
    "clock": clock,
    "output": terminal,
}
"""What is looked at, by the identifier of its row."""
