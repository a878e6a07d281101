"""Lint: what the loader takes and an experienced colleague would not let pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from diagnostics.library import Library
from diagnostics.shapes import ANY, Shape, type_of
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.fields import did_you_mean
from inventory.host import Platform
from playbooks.actions import ACTIONS
from playbooks.dangers import changes_in, dangers_in, untyped_arithmetic
from playbooks.demands import included_in
from playbooks.issues import Grade, Issue, from_problem
from playbooks.keys import Script
from playbooks.load import SHIPPED, load_playbook
from playbooks.model import Kind, Playbook, Retry, Risk, Step
from playbooks.params import TYPES, ParamType
from playbooks.powershell_lint import check_powershell, parser, secrets_in_looks
from playbooks.powershell_secrets import secrets_given_to_programs
from playbooks.secret_arguments import secrets_on_command_lines
from playbooks.shell_lint import Piece, check_scripts, shellcheck
from playbooks.step_files import scripts_of
from playbooks.templates import TextTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What lint found in one playbook."""

    playbook: Playbook | None
    """None: it cannot be loaded."""
    issues: tuple[Issue, ...]
    unseen: tuple[Text, ...] = ()
    """What could not be looked at, because a tool is not installed."""

    @property
    def errors(self) -> tuple[Issue, ...]:
        """Return the issues with which the playbook is not to be run."""
        return tuple(issue for issue in self.issues if issue.grade is Grade.ERROR)


def lint_playbook(path: Path, library: Library) -> Linted:
    """Return everything that is wrong with a playbook's file; what could not be looked at is said, never passed over."""
    try:
        playbook = load_playbook(path, library)
    except InvalidFile as error:
        return Linted(playbook=None, issues=tuple(map(from_problem, error.problems)))
    found, unseen = [*_of_the_file(path, playbook), *_strangers(path, playbook), *_of_the_whole(playbook)], []
    steps = list(all_steps(playbook.steps))
    pieces = [(step, key, script) for step in steps for key, script in scripts_of(step).items()]
    in_sh = [piece for piece in pieces if _shell(playbook, piece[0]) == "sh"]
    in_powershell = [piece for piece in pieces if _shell(playbook, piece[0]) == "powershell"]
    for step, key, script in pieces:
        found += _of_a_script(playbook, step, key, script)
    found += (issue for step in steps for issue in _of_a_step(playbook, step))
    if in_sh:
        program = shellcheck()
        if program is None:
            unseen.append(Text("shellcheck is not installed: {count} scripts were looked at without it", count=len(in_sh)))
        else:
            asked = [Piece(script=one, variables=_variables(playbook, step, key)) for step, key, one in in_sh]
            found += check_scripts(asked, program)
    if in_powershell and parser() is None:
        unseen.append(Text("tree-sitter-pwsh is not installed: {count} scripts were not parsed", count=len(in_powershell)))
    for step, key, script in in_powershell:
        found += check_powershell(script, _variables(playbook, step, key))
    return Linted(playbook=playbook, issues=tuple(sorted(found, key=lambda issue: issue.place)), unseen=tuple(unseen))


class NotSound(InvalidFile):
    """A playbook that is not to be run: it cannot be loaded, or lint calls something in it an error."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        super().__init__(problems)
        self.hint = Text("longarm playbook lint {path}", path=path)


def sound_playbook(path: Path, library: Library) -> Playbook:
    """Return the playbook of a file that is to be run, or raise NotSound with every error in it, and in what it includes.

    Those that ship have been linted when they were built.
    """
    if path.parent == SHIPPED:
        return load_playbook(path, library)
    linted = lint_playbook(path, library)
    if linted.playbook is None or linted.errors:
        raise NotSound(path, map(_problem, linted.errors))
    files = (Path(inner.place.file) for inner in included_in(linted.playbook.steps) if inner.place is not None)
    for file in dict.fromkeys(files):
        if file.parent != SHIPPED and (errors := lint_playbook(file, library).errors):
            raise NotSound(file, map(_problem, errors))
    return linted.playbook


def _problem(issue: Issue) -> Problem:
    return Problem(place=issue.place, text=issue.text, hint=issue.hint)


def _of_the_file(path: Path, playbook: Playbook) -> Iterator[Issue]:
    """Yield that a file is not named like its playbook: by its name nobody would find it."""
    if path.stem != playbook.id:
        hint = Text("rename it to {name}", name=f"{playbook.id}.yaml")
        text = Text("the file is not named like its playbook")
        yield Issue(code="name", grade=Grade.WARNING, place=playbook.place or Place(str(path), 1, 1), text=text, hint=hint)


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield steps and what undoes them, which see the items of the same loop.

    An included playbook is linted as a file of its own.
    """
    for step in steps:
        yield step
        yield from (replace(undoing, loop=step.loop) for undoing in step.rollback)


def _shell(playbook: Playbook, step: Step) -> str:
    if step.action == "powershell":
        return "powershell"
    return "powershell" if step.action != "run" and tuple(playbook.platforms) == (Platform.WINDOWS,) else "sh"


def _only_looks(step: Step, key: str) -> bool:
    """Tell whether a script of a step is asked as a question."""
    return step.retry is Retry.READ or key in ("unless", "plan", "script")


def _variables(playbook: Playbook, step: Step, key: str) -> tuple[str, ...]:
    """Return the variables that a script of a step may have."""
    own = {"validate": ("file",)}.get(key, ())
    return (*playbook.params, *step.values.get("vars", {}), *(("item",) if step.loop is not None else ()), *own)


def _of_a_script(playbook: Playbook, step: Step, key: str, script: Script) -> Iterator[Issue]:
    shell = _shell(playbook, step)
    yield from dangers_in(script, shell, _strange(playbook, step))
    if _only_looks(step, key):
        yield from changes_in(script, shell)
    secrets = frozenset(name for name, param in playbook.params.items() if param.type is ParamType.SECRET)
    if shell == "powershell":
        if _only_looks(step, key):
            yield from secrets_in_looks(script, secrets)
        yield from secrets_given_to_programs(script, secrets)
    else:
        yield from secrets_on_command_lines(script, secrets)
        shapes: dict[str, Shape] = {name: TYPES[param.type].shape for name, param in playbook.params.items()}
        shapes |= {name: one.shape for name, one in step.values.get("vars", {}).items()}
        if step.loop is not None:
            shapes["item"] = step.loop.shape[0] if type_of(step.loop.shape) == "list" else ANY
        texts = frozenset(name for name, shape in shapes.items() if not shape or type_of(shape) in ("str", ANY))
        yield from untyped_arithmetic(script, texts)


_SETTLED: Final = frozenset((ParamType.INT, ParamType.SIZE, ParamType.DURATION, ParamType.ENUM, ParamType.BOOL))
"""What cannot be any text."""


def _strange(playbook: Playbook, step: Step) -> frozenset[str]:
    """Return the variables of a step's scripts in which any text may stand."""
    names = {name for name, param in playbook.params.items() if param.type not in _SETTLED}
    names |= {name for name, one in step.values.get("vars", {}).items() if _may_be_text(one.shape)}
    if step.loop is not None and _may_be_text(step.loop.shape[0] if type_of(step.loop.shape) == "list" else ANY):
        names.add("item")
    return frozenset(names)


def _may_be_text(shape: Shape) -> bool:
    return not shape or type_of(shape) in ("str", ANY, "list")


def _of_a_step(playbook: Playbook, step: Step) -> Iterator[Issue]:
    """Yield what a step is not allowed by what its playbook says of itself, and what its texts must not hold."""
    action = ACTIONS[step.action]
    changes = action.changes and step.retry is not Retry.READ and step.action != "include"
    if changes and playbook.risk is Risk.READ:
        text = Text("the risk is “read”, and this step may change the host")
        yield Issue(code="risk", grade=Grade.ERROR, place=step.place, text=text, hint=Text("risk: reversible"))
    if step.action == "reboot" and playbook.risk is not Risk.DISRUPTIVE:
        text = Text("a playbook with a reboot is disruptive")
        yield Issue(code="risk", grade=Grade.ERROR, place=step.place, text=text, hint=Text("risk: disruptive"))
    texts = [(one.text, one.place) for one in _texts(step.values)]
    if isinstance(content := step.values.get("content"), str):
        texts.append((content, step.place))
    for words, place in texts:
        shown = Script(text=words, place=place)
        yield from (issue for issue in dangers_in(shown, "sh") if issue.code == "danger.unsigned")


def _texts(values: Mapping[str, Any]) -> Iterator[TextTemplate]:
    for value in values.values():
        if isinstance(value, TextTemplate):
            yield value
        elif isinstance(value, dict):
            yield from _texts(value)
        elif isinstance(value, tuple):
            yield from (one for one in value if isinstance(one, TextTemplate))


def _strangers(path: Path, playbook: Playbook) -> Iterator[Issue]:
    """Yield the playbooks that it conflicts with and that nobody knows: a misspelt one keeps nothing off."""
    for name in playbook.conflicts:
        if not any((folder / f"{name}.yaml").is_file() for folder in (path.parent, SHIPPED)):
            known = [one.stem for folder in (path.parent, SHIPPED) for one in folder.glob("*.yaml")]
            text = Text("it conflicts with “{name}”, which neither ships nor lies beside it", name=name)
            place = playbook.place or Place(str(path), 1, 1)
            yield Issue(code="conflicts", grade=Grade.WARNING, place=place, text=text, hint=did_you_mean(name, known))


def _of_the_whole(playbook: Playbook) -> Iterator[Issue]:
    place = playbook.place or Place(playbook.id, 1, 1)
    if playbook.kind is Kind.DIAGNOSTIC:
        return
    if playbook.kind is Kind.REPAIR and playbook.verify is None:
        text = Text("a repair without “verify” proves nothing")
        yield Issue(code="verify", grade=Grade.ERROR, place=place, text=text, hint=Text("verify: [fs-space]"))
    if playbook.kind is Kind.REPAIR and not playbook.fixes:
        text = Text("a repair names the checks whose findings it fixes")
        yield Issue(code="fixes", grade=Grade.WARNING, place=place, text=text, hint=Text("fixes: [fs-space]"))
    verified = playbook.verify.checks if playbook.verify else ()
    for name in playbook.fixes:
        if playbook.verify is not None and name not in verified:
            text = Text("it claims to fix “{name}” and does not verify it", name=name)
            yield Issue(code="verify", grade=Grade.WARNING, place=place, text=text, hint=Text("verify: [{name}]", name=name))
    if playbook.risk is Risk.REVERSIBLE:
        yield from _irreversible(playbook)
    used = _words(playbook)
    for param in playbook.params.values():
        if param.name not in used:
            text = Text("nothing uses the parameter “{name}”", name=param.name)
            yield Issue(code="unused", grade=Grade.WARNING, place=param.place or place, text=text, hint=Text("delete it"))


def _irreversible(playbook: Playbook) -> Iterator[Issue]:
    """Yield a note for each step that a playbook that says to be reversible cannot undo."""
    if playbook.says:
        return  # it says itself what cannot be undone
    for step in playbook.steps:
        action = ACTIONS[step.action]
        if action.changes and step.action != "include" and step.retry is not Retry.READ and not step.rollback:
            text = Text("the playbook is reversible, and nothing undoes this step")
            hint = Text("rollback: […], or “says” what cannot be undone")
            yield Issue(code="rollback", grade=Grade.NOTE, place=step.place, text=text, hint=hint)


def _words(playbook: Playbook) -> set[str]:
    """Return every word in which a parameter may stand."""
    texts: list[str] = []
    for step in all_steps(playbook.steps):
        texts += (one.text for one in step.expressions())
        texts += (script.text for script in scripts_of(step).values())
        texts += (one.text for one in _texts(step.values))
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", " ".join(texts)))
