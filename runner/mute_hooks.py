"""Ways to keep monitoring silent around a change: a silence of Alertmanager, a call over HTTP, a program.

Each is told until when: whatever becomes of us, monitoring ends it by itself then. Each is asked by a key that names run and
wave, so that what was asked for and never answered can be found and ended too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from inventory.egress import Egress, EgressFailed, origin_of
from inventory.errors import Text
from inventory.host import SecretReference
from inventory.secret import Secret
from inventory.sources.program import run_program
from runner.mute_entries import HookEntry, HookKind

_MOST_SAID: Final = 1024 * 1024
_LONGEST_REFERENCE: Final = 200

Resolve = Callable[[SecretReference], Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be kept silent."""

    key: str
    """Names run and wave."""
    run: str
    hosts: tuple[str, ...]
    actor: str
    reason: str
    since: datetime
    until: datetime

    def document(self, action: str, reference: str) -> dict[str, Any]:
        """Return what a call or a program is told, as JSON."""
        return {
            "action": action,
            "key": self.key,
            "reference": reference,
            "run": self.run,
            "hosts": list(self.hosts),
            "actor": self.actor,
            "reason": self.reason,
            "since": _time(self.since),
            "until": _time(self.until),
        }


class Hook(Protocol):
    """One way to mute; both may be asked twice. They block, and keep a deadline of their own; raise LongarmError."""

    @property
    def entry(self) -> HookEntry:
        """Return what the configuration says of it."""

    def mute(self, wanted: Wanted) -> str:
        """Keep monitoring silent and return by what it knows that."""

    def unmute(self, wanted: Wanted, reference: str) -> None:
        """Let monitoring speak again; without a reference whatever the key names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """Silences of Prometheus' Alertmanager, API version 2."""

    entry: HookEntry
    resolve: Resolve = field(repr=False)

    def mute(self, wanted: Wanted) -> str:
        """Make a silence of the hosts' label, with or without a port, and return its id."""
        silence = {
            "matchers": [{"name": self.entry.label, "value": _any_of(wanted.hosts), "isRegex": True, "isEqual": True}],
            "startsAt": _time(wanted.since),
            "endsAt": _time(wanted.until),
            "createdBy": wanted.actor,
            "comment": f"{wanted.key}: {wanted.reason}",
        }
        answer = _json(_egress(self.entry, self.resolve).post("/api/v2/silences", json.dumps(silence).encode()))
        ident = answer.get("silenceID") if isinstance(answer, dict) else None
        if not isinstance(ident, str) or not ident:
            raise EgressFailed(Text("Alertmanager gave no id of its silence"))
        return ident

    def unmute(self, wanted: Wanted, reference: str) -> None:
        """Expire what was made under our key, known by us or not; what is over already is as it should be."""
        egress = _egress(self.entry, self.resolve)
        for ident, comment, state in _silences(egress):
            if (ident == reference or comment.startswith(f"{wanted.key}: ")) and state != "expired":
                egress.delete(f"/api/v2/silence/{quote(ident, safe='')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A JSON document sent to an address: `mute` and later `unmute`, by the same key."""

    entry: HookEntry
    resolve: Resolve = field(repr=False)

    def mute(self, wanted: Wanted) -> str:
        """Send `mute`; an answer of JSON may give a `reference`."""
        answer = _json(self._send(wanted.document("mute", "")) or b"null")
        reference = answer.get("reference") if isinstance(answer, dict) else None
        return reference[:_LONGEST_REFERENCE] if isinstance(reference, str) else ""

    def unmute(self, wanted: Wanted, reference: str) -> None:
        """Send `unmute`."""
        self._send(wanted.document("unmute", reference))

    def _send(self, document: Mapping[str, Any]) -> bytes:
        return _egress(self.entry, self.resolve).post("", json.dumps(document).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that the configuration names by its whole path, and that nobody else may change; no shell is asked.

    It gets values as variables of its environment and, with the hosts, as a JSON document on stdin; its first line is the
    reference.
    """

    entry: HookEntry

    def mute(self, wanted: Wanted) -> str:
        """Run it to mute, and return the first line that it prints."""
        lines = self._run(wanted.document("mute", "")).decode("utf-8", "replace").splitlines()
        return lines[0][:_LONGEST_REFERENCE] if lines else ""

    def unmute(self, wanted: Wanted, reference: str) -> None:
        """Run it to unmute."""
        self._run(wanted.document("unmute", reference))

    def _run(self, document: Mapping[str, Any]) -> bytes:
        values = {f"LONGARM_{key.upper()}": str(value) for key, value in document.items() if key != "hosts"}
        return run_program(
            Path(self.entry.where),
            self.entry.arguments,
            self.entry.place,
            deadline_s=self.entry.deadline_s,
            max_bytes=_MOST_SAID,
            given=values,
            sent=json.dumps(document).encode(),
        )


def hooks_of(entries: Iterable[HookEntry], resolve: Resolve) -> tuple[Hook, ...]:
    """Return what the configuration declares, ready to be asked; secrets are resolved when they are needed."""
    return tuple(_hook(entry, resolve) for entry in entries)


def _hook(entry: HookEntry, resolve: Resolve) -> Hook:
    if entry.kind is HookKind.PROGRAM:
        return Program(entry=entry)
    return (Alertmanager if entry.kind is HookKind.ALERTMANAGER else HttpCall)(entry=entry, resolve=resolve)


def _any_of(hosts: Iterable[str]) -> str:
    """Return an expression of RE2 for these names, with or without a port; Alertmanager anchors it.

    >>> _any_of(("db1.example", "db2"))
    '(db1\\\\.example|db2)(:[0-9]+)?'
    """
    return f"({'|'.join(map(re.escape, hosts))})(:[0-9]+)?"


def _silences(egress: Egress) -> list[tuple[str, str, str]]:
    """Return id, comment and state of every silence."""
    try:
        return [
            (str(one["id"]), str(one["comment"]), str(one["status"]["state"])) for one in _json(egress.get("/api/v2/silences"))
        ]
    except (TypeError, KeyError) as error:
        raise EgressFailed(Text("Alertmanager gave no list of silences")) from error


def _egress(entry: HookEntry, resolve: Resolve) -> Egress:
    headers = {"Authorization": f"Bearer {resolve(entry.token).reveal().strip()}"} if entry.token else {}
    return Egress(origin=origin_of(entry.where), headers=headers, ca=entry.ca, deadline_s=entry.deadline_s)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EgressFailed(Text("the answer is no JSON")) from error


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
