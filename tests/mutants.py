"""Modules of ours from which one check was taken out: a suite that does not notice one of them proves nothing about it."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.parsed import parsed


@dataclass(frozen=True)
class Mutant:
    """A module without the statement that stands in one line of it."""

    path: Path
    line: int
    source: str
    narrows: bool = False
    """What was taken out is a comparison with None: what stumbles for want of it is told by mypy, and lets nobody in."""

    def load(self) -> ModuleType:
        """Return the module, made under a name of its own."""
        name = f"{'_'.join(self.path.with_suffix('').parts[-2:])}_without_line_{self.line}"
        module = ModuleType(name)
        module.__file__ = str(self.path)
        sys.modules[name] = module  # dataclasses look up where they are made
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)
        return module

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def mutants(path: Path, is_check: Callable[[ast.stmt], bool]) -> Iterator[Mutant]:
    """Yield a mutant for each statement of a module that is a check; `pass` stands where it stood."""
    tree = parsed(path)
    for number, statement in enumerate(ast.walk(tree)):
        if isinstance(statement, ast.stmt) and is_check(statement):
            narrows = isinstance(statement, ast.If) and _is_narrowing(statement.test)
            yield Mutant(path, statement.lineno, ast.unparse(_without(tree, number)), narrows)


def without_keywords(path: Path, name: str) -> Iterator[Mutant]:
    """Yield a mutant for each keyword that a call of a method is given, without that keyword; `self.x(` and nothing else."""
    tree = parsed(path)
    for number, call in enumerate(ast.walk(tree)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == name:
            for at in range(len(call.keywords)):
                mutated = copy.deepcopy(tree)
                doomed = [*ast.walk(mutated)][number]
                assert isinstance(doomed, ast.Call)
                del doomed.keywords[at]
                yield Mutant(path, call.lineno, ast.unparse(mutated))


def without_operands(path: Path, is_in: Callable[[ast.AST], bool]) -> Iterator[Mutant]:
    """Yield a mutant for each operand of an `and` or `or` within some parts of a module, without that operand."""
    tree = parsed(path)
    for number, node in enumerate(ast.walk(tree)):
        for inner, found in enumerate(ast.walk(node) if is_in(node) else ()):
            if isinstance(found, ast.BoolOp):
                for at in range(len(found.values)):
                    mutated = copy.deepcopy(tree)
                    doomed = [*ast.walk([*ast.walk(mutated)][number])][inner]
                    assert isinstance(doomed, ast.BoolOp)
                    del doomed.values[at]
                    yield Mutant(path, found.lineno, ast.unparse(mutated), _is_narrowing(found.values[at]))


def without_context(path: Path, name: str) -> Iterator[Mutant]:
    """Yield a mutant for each `with` of a module that enters what this function makes, without entering it."""
    tree = parsed(path)
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.With) and any(f"{name}(" in ast.unparse(item) for item in node.items):
            mutated = copy.deepcopy(tree)
            doomed = [*ast.walk(mutated)][number]
            assert isinstance(doomed, ast.With)
            doomed.items = [ast.withitem(context_expr=ast.parse("__import__('contextlib').nullcontext()", mode="eval").body)]
            yield Mutant(path, node.lineno, ast.unparse(ast.fix_missing_locations(mutated)))


def instead(path: Path, name: str, expression: str) -> Iterator[Mutant]:
    """Yield a mutant for each call of a function in a module, with another function in its place."""
    tree = parsed(path)
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            mutated = copy.deepcopy(tree)
            doomed = [*ast.walk(mutated)][number]
            assert isinstance(doomed, ast.Call)
            doomed.func = ast.copy_location(ast.parse(expression, mode="eval").body, doomed.func)
            yield Mutant(path, node.lineno, ast.unparse(mutated))


def with_one_branch(path: Path, asks: Callable[[ast.AST], bool]) -> Iterator[Mutant]:
    """Yield two mutants for each `x if asked else y` of a module: with `x` in its place, and with `y`."""
    tree = parsed(path)
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.IfExp) and asks(node.test):
            for sure in (True, False):
                mutated = copy.deepcopy(tree)
                doomed = [*ast.walk(mutated)][number]
                assert isinstance(doomed, ast.IfExp)
                doomed.test = ast.copy_location(ast.Constant(sure), doomed.test)
                yield Mutant(path, node.lineno, ast.unparse(mutated), _is_narrowing(node.test))


def letting_through(path: Path, answers: Mapping[str, str]) -> Iterator[Mutant]:
    """Yield a mutant for each `return` of a call or constant that says no, with what says yes in its place."""
    tree = parsed(path)
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Return) and node.value is not None:
            said = ast.unparse(node.value.func if isinstance(node.value, ast.Call) else node.value)
            if said in answers:
                mutated = copy.deepcopy(tree)
                doomed = [*ast.walk(mutated)][number]
                assert isinstance(doomed, ast.Return)
                doomed.value = ast.parse(answers[said], mode="eval").body
                yield Mutant(path, node.lineno, ast.unparse(ast.fix_missing_locations(mutated)))


def _is_narrowing(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
    return False


def calls(statement: ast.stmt, *names: str) -> bool:
    """Tell whether a statement is a call of one of these functions or methods, and nothing else."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name))):
            return name in names
    return False


def _without(tree: ast.Module, number: int) -> ast.Module:
    mutated = copy.deepcopy(tree)
    doomed = [*ast.walk(mutated)][number]
    for node in ast.walk(mutated):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None), getattr(node, "finalbody", None)):
            if isinstance(body, list) and doomed in body:
                body[body.index(doomed)] = ast.Pass()
    return ast.fix_missing_locations(mutated)
