"""A playbook drawn: its steps in their order, with conditions, loops, what undoes them, and what is included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from playbooks.model import OnFailure, Playbook, Retry, Step
from reports.language import Language
from reports.visible import visible

WIDTH: Final = 720
_BOX, _GAP, _INDENT, _LEFT, _LINE = 54, 18, 28, 24, 15
_COLOURS: Final = {"read": "#e8f1fa", "changes": "#fdf3e1", "person": "#f0eafa", "disruptive": "#fbe4e4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step as it is drawn."""

    key: str
    name: str
    action: str
    depth: int
    kind: str
    notes: tuple[str, ...]
    undoes: bool = False


def nodes_of(playbook: Playbook, tongue: Language) -> tuple[Node, ...]:
    """Return the steps of a playbook as they are drawn, included ones and those of rollbacks below theirs; of a diagnostic
    its checks.
    """
    checks = (
        Node(key=f"c{index}", name=check, action="check", depth=0, kind="read", notes=())
        for index, check in enumerate(playbook.checks, 1)
    )
    return (*checks, *_nodes(playbook.steps, "", 0, tongue))


def _nodes(steps: tuple[Step, ...], prefix: str, depth: int, tongue: Language, mark: str = "s") -> Iterator[Node]:
    for index, step in enumerate(steps, 1):
        key = f"{prefix}{mark}{index}"
        yield Node(
            key=key,
            name=visible(tongue.pick(step.titles, step.name)),
            action=step.action,
            depth=depth,
            kind=_kind(step),
            notes=tuple(notes_of(step, tongue)),
            undoes=mark == "r",
        )
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from _nodes(inner.steps, f"{key}.", depth + 1, tongue)
        yield from _nodes(step.rollback, f"{key}.", depth + 1, tongue, "r")


def _kind(step: Step) -> str:
    if step.action == "ask":
        return "person"
    if step.action == "reboot":
        return "disruptive"
    return "read" if step.retry is Retry.READ or step.action in ("probe", "wait_for") else "changes"


def notes_of(step: Step, tongue: Language) -> Iterator[str]:
    """Yield when, how often and with what consequence a step is done, where it says so."""
    say = tongue.say
    if step.when is not None:
        yield say("when {condition}", condition=visible(step.when.text))
    if step.loop is not None:
        yield say("for each of {list}, at most {most}", list=visible(step.loop.text), most=step.at_most)
    if step.until is not None:
        yield say("until {condition}", condition=visible(step.until.text))
    if step.on_failure is OnFailure.CONTINUE:
        yield say("where it fails: go on")
    elif step.on_failure is OnFailure.ROLL_BACK:
        yield say("where it fails: undo what was done")


def as_text(playbook: Playbook, tongue: Language) -> str:
    """Return a playbook as a tree of lines."""
    lines = [f"{playbook.id} · {visible(tongue.pick(playbook.title, playbook.id))}"]
    for node in nodes_of(playbook, tongue):
        indent = "   " * node.depth
        sign = "↺" if node.undoes else "├─"
        lines.append(f"{indent}{sign} {node.key}  {node.action}  {node.name}")
        lines += (f"{indent}│     {note}" for note in node.notes)
    if playbook.verify is not None:
        said = tongue.say("verified by {checks}", checks=", ".join(playbook.verify.checks))
        lines.append(f"└─ {said}")
    return "\n".join(lines) + "\n"


def as_svg(playbook: Playbook, tongue: Language) -> str:
    """Return a playbook as an SVG picture without scripts or anything from outside."""
    nodes = nodes_of(playbook, tongue)
    heights = [_BOX + _LINE * len(node.notes) for node in nodes]
    height = 70 + sum(heights) + _GAP * len(nodes) + (40 if playbook.verify else 0)
    title = escape(visible(tongue.pick(playbook.title, playbook.id)))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="13" role="img"><title>{title}</title>'
    )
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="34" font-size="18" font-weight="bold">{title}</text>',
    ]
    top = 54
    for node, size in zip(nodes, heights, strict=True):
        parts += _box(node, top, size)
        top += size + _GAP
    if playbook.verify is not None:
        checks = escape(", ".join(playbook.verify.checks))
        said = tongue.say("verified by {checks}", checks=checks)
        parts.append(f'<text x="{_LEFT}" y="{top + 16}" fill="#1d6b35">✓ {said}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(node: Node, top: int, size: int) -> Iterator[str]:
    left = _LEFT + _INDENT * node.depth
    dash = ' stroke-dasharray="5 4"' if node.undoes else ""
    yield (
        f'<rect x="{left}" y="{top}" width="{WIDTH - left - _LEFT}" height="{size}" rx="6" '
        f'fill="{_COLOURS[node.kind]}" stroke="#5a6572"{dash}/>'
    )
    yield f'<text x="{left + 12}" y="{top + 22}" font-weight="bold">{escape(node.name[:80])}</text>'
    yield f'<text x="{left + 12}" y="{top + 42}" fill="#44505c">{escape(node.key)} · {escape(node.action)}</text>'
    for number, note in enumerate(node.notes):
        yield f'<text x="{left + 12}" y="{top + 58 + _LINE * number}" fill="#44505c">{escape(note[:100])}</text>'
    yield (
        f'<path d="M {left + 20} {top + size} v {_GAP - 4}" stroke="#5a6572" fill="none"/>'
        f'<path d="M {left + 16} {top + size + _GAP - 6} l 4 5 l 4 -5" stroke="#5a6572" fill="none"/>'
    )
