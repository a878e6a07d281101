"""A playbook in plain text: what it is for, its parameters, its steps with their scripts, what proves it, its scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from diagnostics.expressions import Expression
from inventory.errors import Text
from playbooks.keys import Script
from playbooks.model import Kind, Playbook, Step, Verify
from playbooks.params import Param, plain
from playbooks.templates import TextTemplate
from reports.language import Language
from reports.playbook_graph import notes_of
from reports.repairs import RISKS
from reports.visible import visible
from reports.words import MAINTENANCE

KINDS: Final[Mapping[Kind, Text]] = {
    Kind.DIAGNOSTIC: Text("diagnostic"),
    Kind.REPAIR: Text("repair"),
    Kind.PATCH: Text("patch"),
}


def playbook_text(playbook: Playbook, scenarios: Sequence[str], tongue: Language) -> str:
    """Return a playbook as whoever approves or begins it reads it; `scenarios` are the names of those beside it."""
    return "\n".join(visible(line).rstrip() for line in _lines(playbook, scenarios, tongue)) + "\n"


def _lines(playbook: Playbook, scenarios: Sequence[str], tongue: Language) -> Iterator[str]:
    yield f"{playbook.id} · {tongue.pick(playbook.title, playbook.id)}"
    risk = tongue.say(RISKS[playbook.risk])
    kind, maintenance = tongue.say(KINDS[playbook.kind]), tongue.say(MAINTENANCE[playbook.maintenance])
    yield " · ".join((kind, maintenance, playbook.tier, risk, ", ".join(playbook.platforms)))
    if playbook.says:
        yield tongue.pick(playbook.says, "")
    yield from _part(tongue.say("Parameters:"), (_param(one, tongue) for one in playbook.params.values()))
    yield from _part(tongue.say("Checks:"), playbook.checks)
    yield from _part(tongue.say("Steps:"), _steps(playbook.steps, "s", tongue))
    yield from _part(tongue.say("Proved by:"), _verify(playbook.verify, tongue))
    yield from _part(tongue.say("Scenarios:"), scenarios)


def _part(title: str, lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """Yield a title and what stands beneath it; nothing where there is nothing."""
    if beneath := list(lines):
        yield from ("", title, *(f"  {line}" for line in beneath))


def _param(param: Param, tongue: Language) -> str:
    given = tongue.say("must be given") if param.required else f"= {plain(param.default)}"
    among = f" ({', '.join(param.choices)})" if param.choices else ""
    return f"{param.name}  {param.type.value}{among}  {given}  {tongue.pick(param.says, '')}"


def _steps(steps: Sequence[Step], prefix: str, tongue: Language) -> Iterator[str]:
    for index, step in enumerate(steps, 1):
        key = f"{prefix}{index}"
        deadline = tongue.say("{n} s", n=f"{step.deadline_s:g}")
        yield f"{key}  {tongue.pick(step.titles, step.name)}  [{step.action}, {step.privilege}, {deadline}]"
        yield from (f"    {note}" for note in notes_of(step, tongue))
        for name, value in step.values.items():
            first, *rest = written(value).splitlines() or [""]
            yield f"    {name}: {first}" if not rest else f"    {name}:"
            yield from (f"        {line}" for line in (first, *rest) if rest)
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from (f"  {line}" for line in _steps(inner.steps, f"{key}.s", tongue))
        if step.rollback:
            yield f"    {tongue.say('undo:')}"
            yield from (f"        {line}" for line in _steps(step.rollback, f"{key}.r", tongue))


def _verify(verify: Verify | None, tongue: Language) -> Iterator[str]:
    if verify is not None:
        yield ", ".join(verify.checks)
        settle = f"{verify.settle_s:g}"
        yield tongue.plural("after {settle} s, {n} time", "after {settle} s, {n} times", verify.samples, settle=settle)


def written(value: Any) -> str:
    """Return a value of a step as its playbook has it.

    >>> written({"path": "/etc/motd", "parts": ("a", True)})
    'path=/etc/motd, parts=[a, true]'
    """
    match value:
        case Script() | Expression() | TextTemplate():
            return value.text
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Playbook():
            return value.id
        case Mapping():
            return ", ".join(f"{name}={written(below)}" for name, below in value.items())
        case tuple() | list() | frozenset():
            return f"[{', '.join(map(written, value))}]"
        case Param():
            return value.type.value
    return plain(value)
