"""Waivers: findings that somebody has accepted, for a reason, until a day; read with their places, told where they are idle."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from inventory.errors import NothingMatched, Problem, Text
from inventory.fields import Fields, is_empty
from inventory.host import Host, Waiver
from inventory.names import shown
from inventory.nodes import Node, ScalarNode
from inventory.target import BadExpression, Chooser

NEVER = "never"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_waivers(nodes: Iterable[Node], problems: list[Problem]) -> list[Waiver]:
    """Return the waivers of a list; mistakes are noted in `problems`."""
    return [waiver for node in nodes if (waiver := _read(node, problems)) is not None]


def _read(node: Node, problems: list[Problem]) -> Waiver | None:
    before, fields = len(problems), Fields(node, problems, Text("the waiver"))
    check, targets = fields.text("check", required=True), fields.text("targets", required=True)
    reason = _told(fields, "reason", Text("say why it is accepted"))
    owner = _told(fields, "owner", Text("say who answers for it"))
    subject, expires_at = _subject(fields), _expiry(fields)
    fields.done()
    if len(problems) > before:
        return None
    return Waiver(
        check=check,
        subject=subject,
        targets=targets,
        reason=reason,
        owner=owner,
        expires_at=expires_at,
        place=fields.place("check"),
        targets_place=fields.place("targets"),
    )


def _told(fields: Fields, key: str, hint: Text) -> str:
    """Return a text in which something is to be seen."""
    before, text = len(fields.problems), fields.text(key, required=True)
    if len(fields.problems) == before and not any(character.isprintable() and not character.isspace() for character in text):
        fields.problem(fields.place(key), Text("“{key}” must not be blank", key=key), hint)
    return text


def _subject(fields: Fields) -> Mapping[str, str]:
    """Return what a waiver is about, empty where it says nothing of that: then it is for whatever the check finds."""
    before, node, found = len(fields.problems), fields.mapping("subject"), {}
    if fields.has("subject") and len(fields.problems) == before and not (node and node.entries):
        hint = Text("leave it out to accept everything that the check finds")
        fields.problem(fields.place("subject"), Text("“subject” is empty"), hint)
    for key, value in node.entries if node else ():
        if isinstance(value, ScalarNode) and not is_empty(value):
            found[key.text] = value.text
        else:
            hint = Text("what the finding is about, a glob for each name: {example}", example="{mount: /mnt/*}")
            fields.problem(value.place, Text("“{key}” must be a text", key=shown(key.text)), hint)
    return found


def _expiry(fields: Fields) -> datetime | None:
    """Return the midnight (UTC) that ends the last day of a waiver, None for one that never expires."""
    text = fields.text("expires", required=True)
    if not text or text == NEVER:
        return None
    try:
        last = date.fromisoformat(text) if _DATE.fullmatch(text) else None
        if last is not None:
            return datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        pass  # a day that the calendar does not have
    fields.problem(
        fields.place("expires"),
        Text("“{text}” is no day", text=shown(text)),
        Text("its last day, such as {example}, or {never}", example="2027-01-31", never=NEVER),
    )
    return None


def given(
    waivers: Sequence[Waiver], hosts: Mapping[str, Host], groups: Sequence[str], problems: list[Problem]
) -> tuple[dict[str, Host], list[Problem]]:
    """Return the hosts with their waivers, and a note for each waiver whose targets match none.

    That is no mistake that stops the work (hosts come and go), but its owner should know. A target expression that
    cannot be read is one, and is noted in `problems`.
    """
    chooser, found = Chooser(tuple(hosts.values()), groups), defaultdict[str, list[Waiver]](list)
    notes: list[Problem] = []
    for waiver in waivers:
        assert waiver.targets_place is not None  # they come from files
        place = waiver.targets_place
        try:
            chosen = chooser.select(waiver.targets).hosts
        except BadExpression as error:
            problems.append(Problem(place=place, text=error.text, hint=error.hint))
        except NothingMatched as error:
            text = Text("this waiver is for no host: nothing matches “{part}”", part=error.part)
            notes.append(Problem(place=place, text=text, hint=error.hint))
        else:
            for host in chosen:
                found[host.name].append(waiver)
    return {name: replace(host, waivers=tuple(found[name])) if name in found else host for name, host in hosts.items()}, notes
