"""What is refused says what to do next: no error of the console and the runner is raised with its words alone."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

from console.main import ROOT
from inventory.errors import InvalidFile, LongarmError
from runner.called import Called
from tests.parsed import parsed
from tests.test_layers import ORDER

MODULES = [path for top in ("console", "runner") for path in sorted(Path(top).rglob("*.py"))]
CALLED = Called(options=("--home", "ours"))

_INIT = inspect.getattr_static(LongarmError, "__init__")


def _names(path: Path, tree: ast.AST) -> dict[str, object]:
    """Return what the names of a module mean: its own, and those that its functions import."""
    known = dict(vars(import_module(".".join(path.with_suffix("").parts))))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("console", "inventory", "runner"):
            known |= {one.asname or one.name: getattr(import_module(node.module), one.name, None) for one in node.names}
    return known


def _is_ours(made: object) -> bool:
    return inspect.isclass(made) and issubclass(made, LongarmError) and not issubclass(made, InvalidFile)


def _without_hint(path: Path) -> Iterator[str]:
    """Yield the calls that make an error of ours from nothing but what happened."""
    tree = parsed(path)
    known = _names(path, tree)
    plain = [name for name, made in known.items() if _is_ours(made) and inspect.getattr_static(made, "__init__") is _INIT]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _is_ours(known.get(node.name)):
            calls = {
                call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
            }
        else:
            calls = (
                {node} if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in plain else set()
            )
        for call in calls:
            given = [*call.args, *(one.value for one in call.keywords)]
            if len(given) < 2 or any(isinstance(one, ast.Constant) and one.value is None for one in given):
                yield f"{path}:{call.lineno}: {ast.unparse(call)[:100]}"


def test_an_error_has_a_next_step() -> None:
    assert [one for path in MODULES for one in _without_hint(path)] == []


def _commands_shown() -> Iterator[tuple[str, str]]:
    """Yield where a text shows a command of ours that is given the options of the call, and that command."""
    for path in sorted(path for top in ORDER for path in Path(top).rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] not in ("Text", "tell_hint"):
                continue
            for one in node.args:
                text = one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else ""
                if text.startswith("longarm ") and (shown := CALLED.hint(text).partition("--home ours ")[2]):
                    yield f"{path}:{node.lineno}", shown


def _is_command(words: list[str]) -> bool:
    """Tell whether these words are a command of ours, and its options those that it has."""
    command: click.Command | None = ROOT
    with click.Context(ROOT) as context:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.get_command(context, words.pop(0))
    options = {name for one in (command.params if command else ()) for name in one.opts}
    return command is not None and all(word in options for word in words if word.startswith("--"))


def test_a_command_that_is_shown_is_one() -> None:
    shown = list(_commands_shown())
    assert len(shown) > 80 and [f"{at}: {text}" for at, text in shown if not _is_command(text.partition(";")[0].split())] == []
