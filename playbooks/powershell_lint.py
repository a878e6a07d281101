"""Scripts for PowerShell under its grammar: places where they are none, and variables that nobody sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from inventory.errors import Text
from inventory.fields import did_you_mean
from playbooks.issues import Grade, Issue
from playbooks.keys import Script

if TYPE_CHECKING:
    import tree_sitter

_AUTOMATIC: Final = frozenset(
    [
        "_",
        "args",
        "confirmpreference",
        "consolefilename",
        "debugpreference",
        "error",
        "erroractionpreference",
        "errorview",
        "event",
        "eventargs",
        "executioncontext",
        "false",
        "foreach",
        "home",
        "host",
        "informationpreference",
        "input",
        "iscoreclr",
        "islinux",
        "ismacos",
        "iswindows",
        "lastexitcode",
        "matches",
        "maximumhistorycount",
        "myinvocation",
        "nestedpromptlevel",
        "null",
        "ofs",
        "outputencoding",
        "pid",
        "profile",
        "progresspreference",
        "psboundparameters",
        "pscmdlet",
        "pscommandpath",
        "psculture",
        "psdebugcontext",
        "psdefaultparametervalues",
        "psedition",
        "pshome",
        "psitem",
        "psscriptroot",
        "pssenderinfo",
        "psuiculture",
        "psversiontable",
        "pwd",
        "sender",
        "shellid",
        "stacktrace",
        "switch",
        "this",
        "true",
        "verbosepreference",
        "warningpreference",
        "whatifpreference",
    ]
)
_NAME: Final = re.compile(r"\$\{?(?:script:|local:|private:|using:)?([A-Za-z_][A-Za-z0-9_]*)\}?", re.IGNORECASE)
_ASSIGNING: Final = frozenset(("left_assignment_expression", "foreach_statement", "param_block", "catch_clause"))


@cache
def parser() -> Any:
    """Return the parser, None where it is not installed."""
    try:
        import tree_sitter
        import tree_sitter_pwsh
    except ImportError:
        return None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))


def check_powershell(script: Script, variables: tuple[str, ...]) -> Iterator[Issue]:
    """Yield what is wrong with a script; nothing where no parser is installed."""
    if (reader := parser()) is None:
        return
    root = reader.parse(script.text.encode("utf-8", "replace")).root_node
    wrong = next(_wrong(root), None)
    if wrong is not None:
        said = Text(
            "this is no PowerShell: {text}", text=text_of(wrong).strip().splitlines()[0][:60] if text_of(wrong).strip() else "…"
        )
        yield Issue(code="powershell.syntax", grade=Grade.ERROR, place=place_of(script, wrong), text=said)
        return
    yield from _not_set(root, script, variables)


def secrets_in_looks(script: Script, secrets: frozenset[str]) -> Iterator[Issue]:
    """Yield where a secret is used by a script that only looks: those travel as questions, in texts that Windows may log."""
    if (reader := parser()) is None:
        return
    for name, node in variables_in(reader.parse(script.text.encode("utf-8", "replace")).root_node, assigned=False):
        if name in secrets:
            text = Text("the secret “{name}” is not given to a script that only looks at a Windows host", name=name)
            hint = Text("use it in the script of a step that may change something")
            yield Issue(code="danger.secret", grade=Grade.ERROR, place=place_of(script, node), text=text, hint=hint)


def _not_set(root: tree_sitter.Node, script: Script, variables: tuple[str, ...]) -> Iterator[Issue]:
    known = {name.lower() for name in variables} | _AUTOMATIC | {name for name, _ in variables_in(root, assigned=True)}
    told = set()
    for name, node in variables_in(root, assigned=False):
        if name in known or name in told:
            continue
        told.add(name)
        hint = did_you_mean(name, variables) or Text("vars: {{{name}: …}}", name=name)
        text = Text("there is no variable “{name}”", name=name)
        yield Issue(code="powershell.variable", grade=Grade.ERROR, place=place_of(script, node), text=text, hint=hint)


def variables_in(root: tree_sitter.Node, *, assigned: bool) -> Iterator[tuple[str, tree_sitter.Node]]:
    """Yield the variables of a script, which may be nested to any depth: those that are assigned, or all that are used."""
    waiting = [(root, False)]
    while waiting:
        node, inside = waiting.pop()
        inside = inside or node.type in _ASSIGNING
        if node.type in ("variable", "braced_variable") and (match := _NAME.fullmatch(text_of(node))):
            if inside or not assigned:
                yield match[1].lower(), node
        else:
            waiting += [(child, inside) for child in reversed(node.children)]


def _wrong(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type == "ERROR" or node.is_missing:
            yield node
        elif node.has_error:
            waiting += reversed(node.children)


def text_of(node: tree_sitter.Node) -> str:
    """Return what stands in a part of a script."""
    return (node.text or b"").decode("utf-8", "replace")


def place_of(script: Script, node: tree_sitter.Node) -> Any:
    """Return where a part of a script stands in the file."""
    row, column = node.start_point
    line = script.text.split("\n")[row] if row < script.text.count("\n") + 1 else ""
    return script.at(row + 1, len(line.encode("utf-8")[:column].decode("utf-8", "ignore")) + 1)
