"""What `longarm doctor` looks at: one function for each thing, each giving one row."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from console.settings import Settings
from console.soundness import idle, refuse_unsound
from console.words import say
from diagnostics.library import load_library
from inventory.errors import LongarmError, Text
from inventory.own import load_inventory
from remote.known_hosts import KnownHosts
from runner.desk import ROLES_ADVISORY, Desk

OK, NOTE, PROBLEM = "ok", "note", "problem"
_LEAST_FREE = 1024**3
_WAL_RESET_FIXED = (3, 51, 3)
"""Before it SQLite can damage a database whose write-ahead log is reset while several connections write (3.7.0 to 3.51.2)."""

Row = Mapping[str, object]


def row(what: str, state: str, detail: object, hint: Text | None = None) -> Row:
    """Return one row of the page."""
    return {"what": what, "state": state, "detail": detail, "next": say(hint) if hint else ""}


def examine(settings: Settings) -> list[Row]:
    """Return a row for everything that was looked at; what raises an error of ours is a problem with its next step."""
    rows = []
    for look in LOOKS:
        try:
            rows.append(look(settings))
        except LongarmError as error:
            rows.append(row(look.__name__, PROBLEM, say(error.text), error.hint))
    return rows


def versions(_: Settings) -> Row:
    """Tell versions of what runs here."""
    parts = [f"longarm {version('longarm')}", f"Python {platform.python_version()}", f"asyncssh {version('asyncssh')}"]
    return row("versions", OK, ", ".join([*parts, platform.platform(terse=True)]))


def home(settings: Settings) -> Row:
    """Look whether the home is there, ours and not open to others."""
    if not settings.home.exists():
        return row("home", NOTE, f"{shown(settings.home)} {say(Text('is made when it is needed'))}")
    mode = settings.home.stat().st_mode & 0o777
    if not os.access(settings.home, os.W_OK):
        return row("home", PROBLEM, shown(settings.home), Text("make it writable for you, or choose another with --home"))
    return row("home", OK if not mode & 0o077 else NOTE, f"{shown(settings.home)} ({mode:03o})")


def space(settings: Settings) -> Row:
    """Look for room on the disk of the home."""
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    hint = Text("make room: evidence and reports are written there")
    return row(
        "space", OK if free >= _LEAST_FREE else PROBLEM, f"{free / 1024**3:.1f} GiB", hint if free < _LEAST_FREE else None
    )


def store(settings: Settings) -> Row:
    """Open the store for reading and count the latest runs."""
    if not settings.home.exists():
        return row("store", NOTE, say(Text("no runs yet")))
    with Desk.open(settings.home, write=False) as desk:
        runs, waiting = desk.runs(1000), [entry for entry in desk.outbox() if entry.state != "sent"]
    if waiting:
        return row(
            "store", NOTE, say(Text("{count} reports wait for their case", count=len(waiting))), Text("longarm case deliver")
        )
    return row("store", OK, say(Text("runs: {count}", count=len(runs))))


def sqlite(_: Settings) -> Row:
    """Tell the version of SQLite, and what the fault in older ones means for the store."""
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return row("SQLite", OK, sqlite3.sqlite_version)
    fixed = ".".join(map(str, _WAL_RESET_FIXED))
    risk = Text(
        "{version}: before {fixed} a reset of its log can damage a database", version=sqlite3.sqlite_version, fixed=fixed
    )
    hint = Text("longarm avoids it by one writing connection and no mapping into memory: let nothing else write to the store")
    return row("SQLite", NOTE, say(risk), hint)


def inventory(settings: Settings) -> Row:
    """Read the inventory."""
    if not settings.has_inventory:
        return row("inventory", NOTE, say(Text("none yet")), Text("longarm lab up"))
    known = load_inventory(settings.files)
    refuse_unsound(known, load_library())
    if told := list(idle(known)):
        return row(
            "inventory", NOTE, say(Text("waivers without effect: {count}", count=len(told))), Text("longarm inventory check")
        )
    return row("inventory", OK, say(Text("hosts: {hosts}, groups: {groups}", hosts=len(known.hosts), groups=len(known.groups))))


def known_hosts(settings: Settings) -> Row:
    """Count the hosts whose keys are known."""
    return row("known_hosts", OK, say(Text("{count} hosts", count=len(KnownHosts(settings.home / "known_hosts").names()))))


def agent(_: Settings) -> Row:
    """Look for an SSH agent."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return row("ssh-agent", NOTE, say(Text("none: keys come from files")))
    hint = Text("SSH_AUTH_SOCK names a socket that is not there")
    return row("ssh-agent", OK, say(Text("found"))) if Path(path).exists() else row("ssh-agent", PROBLEM, path, hint)


def roles(_: Settings) -> Row:
    """Say what roles are worth here."""
    return row("roles", NOTE, say(ROLES_ADVISORY))


def words(settings: Settings) -> Row:
    """Tell the language and whether the terminal's encoding can show it."""
    encoding = locale.getpreferredencoding(False)
    fits = encoding.lower().replace("-", "") == "utf8"
    detail = f"{settings.language}, {encoding}"
    return row("language", OK if fits else NOTE, detail, None if fits else Text("a UTF-8 locale shows all signs"))


def clock(_: Settings) -> Row:
    """Look whether this machine's clock is plausible: the clocks of hosts are compared with it."""
    year = time.gmtime().tm_year
    built = time.gmtime(Path(__file__).stat().st_mtime).tm_year
    hint = Text("set the clock: hosts would be blamed for it")
    return row(
        "clock",
        OK if year >= built else PROBLEM,
        time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        hint if year < built else None,
    )


def terminal(_: Settings) -> Row:
    """Tell what messages are written to."""
    detail = say(Text("a terminal")) if sys.stderr.isatty() else say(Text("no terminal: plain lines"))
    return row("output", OK, detail)


def shown(path: Path) -> str:
    """Return a path without the name of the user, so that the page can be pasted."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


LOOKS: tuple[Callable[[Settings], Row], ...] = (
    versions,
    home,
    space,
    store,
    sqlite,
    inventory,
    known_hosts,
    agent,
    roles,
    words,
    clock,
    terminal,
)
