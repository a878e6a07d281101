"""Secrets among the words of a script for PowerShell: Windows writes down the command line of each program (event 4688, T7).

That is an error where it is seen directly: the secret's own variable, or a text with it, is a word of a program. Whatever had
to be followed there (other variables, functions, objects, members, pipelines) is a warning. So is a secret in the environment
of programs, as in scripts for sh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from inventory.errors import Text
from playbooks.issues import Grade, Issue
from playbooks.keys import Script
from playbooks.powershell_lint import parser, place_of, text_of
from playbooks.secret_arguments import followed, unfinished

if TYPE_CHECKING:
    import tree_sitter

_CMDLET: Final = re.compile(r"(?:[A-Za-z][\w.]*\\)?[A-Za-z]+-[A-Za-z]\w*")
_STARTING: Final = frozenset(("invoke-expression", "new-scheduledtaskaction", "new-service", "start-process"))
"""Cmdlets whose words become a command line."""
_AT_ONCE: Final = frozenset(("saps", "start", "start-process"))
"""Those where that is certain."""
_TEXTS: Final = frozenset(("iex", "invoke-expression"))
"""Those whose words are commands."""
_ONE_PROGRAM: Final = re.compile(
    r"\S+\s+(?:-command\s+)?[('\"\s]*(?!(?:do|for|foreach|if|return|switch|throw|try|while)\b)([\w.:\\/-]+)\s[^;|{&\n]*",
    re.IGNORECASE,
)
"""One of those, with the beginning of a text that is one command and no more."""
_PROGRAM: Final = re.compile(r".*\.(?:bat|cmd|com|exe)")
_METHODS: Final = frozenset(("icim", "invoke-cimmethod", "invoke-wmimethod"))
"""Cmdlets whose words become one where the class is Win32_Process."""
_PASSING: Final = frozenset(
    (
        *("?", "echo", "foreach", "foreach-object", "%", "out-string", "select", "select-object", "sort", "sort-object"),
        *("tee", "tee-object", "where", "where-object", "write", "write-output"),
    )
)
"""Cmdlets that put out what they are given."""
_ALIASES: Final = frozenset(
    (
        *("%", "?", "ac", "cat", "cd", "chdir", "clc", "clear", "cls", "compare", "copy", "cp", "cpi", "del", "diff", "dir"),
        *("echo", "erase", "fl", "foreach", "ft", "gc", "gci", "gi", "gm", "gp", "group", "gv", "h", "history", "kill", "ls"),
        *("measure", "mi", "mkdir", "move", "mp", "mv", "ni", "nv", "popd", "ps", "pushd", "pwd", "rd", "ren", "ri", "rm"),
        *("rmdir", "rni", "select", "set", "si", "sl", "sleep", "sort", "sp", "sv", "tee", "type", "where", "write"),
        *("clhy", "cli", "clp", "clv", "cpp", "cvpa", "dbp", "ebp", "epal", "epcsv", "etsn"),
        *("exsn", "fc", "fhx", "fw", "gal", "gbp", "gcb", "gcm", "gcs", "gdr", "ghy", "gin", "gjb", "gl", "gmo", "gps"),
        *("gpv", "gsn", "gsv", "gtz", "gu", "help", "icm", "ihy", "ii", "ipal", "ipcsv", "ipmo", "irm", "iwr", "lp", "man"),
        *("md", "more", "nal", "ndr", "nmo", "nsn", "ogv", "oss", "pause", "prompt", "rbp", "rcjb", "rcsn", "rdr", "rjb"),
        *("rmo", "rnp", "rp", "rsn", "rv", "rvpa", "sajb", "sal", "sasv", "sbp", "scb", "shcm", "sls", "spjb", "spps"),
        *("spsv", "stz"),
    )
)
"""What is a cmdlet by another name; never a program."""
_EITHER: Final = frozenset(("asnp", "curl", "gsnp", "gwmi", "rsnp", "rwmi", "sc", "swmi", "trcm", "wget"))
"""What is a cmdlet by another name in PowerShell 5.1 only."""
_VARIABLE: Final = re.compile(
    r"[$@]\{?(?:script:|local:|private:|using:|global:)?((?:env:)?[a-z_][a-z0-9_]*)\}?", re.IGNORECASE
)
_CALLED: Final = re.compile(rb"Process\]::Start\s*\(|\.ArgumentList\.Add\s*\(", re.IGNORECASE)
_PUT: Final = re.compile(rb"\[(?:System\.)?Environment\]::SetEnvironmentVariable\s*\(", re.IGNORECASE)
_ENVIRONMENT: Final = re.compile(r"\$\{?env:|.*\.Environment(?:Variables)?\b", re.IGNORECASE | re.DOTALL)
_ADDED: Final = re.compile(rb"[^()]*\.Environment(?:Variables)?\.(?:Add|set_Item)\s*\(", re.IGNORECASE)
_KEPT_APART: Final = re.compile(r".*\.Password(?:InClearText)?\s*", re.IGNORECASE | re.DOTALL)
"""A member for a password, which becomes no command line."""
_COMMAND_LINE: Final = re.compile(r"\.Arguments\s*", re.IGNORECASE)
_OF_A_PIPELINE: Final = frozenset(("_", "psitem", "input"))
_TELLING: Final = re.compile(r"-[ci]?(?:eq|ne|gt|ge|lt|le|(?:not)?(?:like|match|contains|in)|is|isnot)", re.IGNORECASE)
"""Comparisons whose result is yes or no."""
_ASKED: Final = frozenset(
    (
        *("compareto", "computehash", "contains", "count", "endswith", "equals", "gethashcode", "gettype", "hashdata"),
        *("indexof", "isnullorempty", "isnullorwhitespace", "length", "startswith"),
    )
)
"""Members that say something of a text, and not the text."""
_DIRECT: Final = frozenset(
    (
        *("argument_list", "array_literal_expression", "braced_variable", "command_argument", "command_elements"),
        *("expandable_string_literal", "expandable_here_string_literal", "generic_token", "parenthesized_expression"),
        *("pipeline", "pipeline_chain", "statement_list", "string_literal", "sub_expression", "unary_expression", "variable"),
        *("array_expression", "bareword_argument_list", "concatenated_command_argument"),
    )
)
"""Parts in which a value is still what it was, or is put into a text or a list."""
_ROUNDS: Final = 12
"""How often a script is gone through at most: as many assignments against the order of the text may follow each other."""
_MOST: Final = 8
"""Secrets that are told of one command line."""


class _Carried(NamedTuple):
    """A secret that a part comes to: the variable, and whether it had to be followed there."""

    name: str
    node: tree_sitter.Node
    followed: bool


@dataclass(slots=True, eq=False)
class _Part:
    """A part of a script, and where it stands."""

    node: tree_sitter.Node
    kind: str
    function: str
    """The function around it, in lower case; empty: none."""
    block: str
    """The script block around it, by its place."""
    below: list[_Part] = field(default_factory=list)
    carries: list[_Carried] = field(default_factory=list)
    """The secrets in what it comes to."""


def secrets_given_to_programs(script: Script, secrets: frozenset[str]) -> Iterator[Issue]:
    """Yield where a secret, or what was made of it, is an argument of a program; a cmdlet has none."""
    if (reader := parser()) is None:
        return
    walk = _Walk(reader.parse(script.text.encode("utf-8", "replace")).root_node, secrets)
    for name, variable, likely in walk.told(walk.command_lines()):
        place = place_of(script, variable)
        if likely:
            text, hint = followed(name)
            yield Issue(code="danger.secret_followed", grade=Grade.WARNING, place=place, text=text, hint=hint)
            continue
        text = Text("the secret “{name}” is on a command line, where everybody on the host can read it", name=name)
        hint = Text("${name} | program", name=name)
        yield Issue(code="danger.secret", grade=Grade.ERROR, place=place, text=text, hint=hint)
    for name, variable, _ in walk.told(walk.environments()):
        text = Text("the secret “{name}” is in the environment of programs, where their user can read it", name=name)
        hint = Text("give it by stdin, or in a file that only its user can read")
        place = place_of(script, variable)
        yield Issue(code="danger.secret_environment", grade=Grade.WARNING, place=place, text=text, hint=hint)
    if walk.unfinished:
        text, hint = unfinished()
        yield Issue(code="danger.secret_followed", grade=Grade.NOTE, place=script.at(1, 1), text=text, hint=hint)


class _Walk:
    """Goes through a script until nothing more is found to hold a secret."""

    def __init__(self, root: tree_sitter.Node, secrets: frozenset[str]) -> None:
        self._source = root.text or b""
        self._functions = dict[str, _Part]()
        self._params = set[str]()
        self._parts = self._flat(root)
        self._known = set(secrets)
        self.unfinished = False
        self._changed, self._block_names, self._loads = set[str](), set[str](), False
        self._note()
        self._own = secrets - self._changed
        before = -1
        for _ in range(_ROUNDS):
            for part in reversed(self._parts):
                part.carries = self._carried(part)
            for part in self._parts:
                self._flow(part)
            if (size := len(self._known) + sum(self._puts_out(one) for one in self._functions.values())) == before:
                break
            before = size
        else:
            self.unfinished = True

    def _note(self) -> None:
        """Note what the script sets, which variables are script blocks, and whether it takes functions from elsewhere."""
        for part in self._parts:
            if part.kind == "assignment_expression":
                keys = {self._key(one) for one in _variables(part.below[0])}
                self._changed |= keys
                if text_of(part.below[-1].node).lstrip().startswith("{"):
                    self._block_names |= keys
            elif part.kind == "foreach_statement":
                self._changed |= {self._key(one) for one in part.below if one.kind == "variable"}
            elif part.kind == "command":
                dotted = self._begin(part).lstrip()[:2] in (b". ", b".\t")
                self._loads |= dotted or self._name(part) in ("import-module", "ipmo", "set-alias", "new-alias", "sal", "nal")

    def command_lines(self) -> Iterator[_Carried]:
        """Yield the secrets in what becomes the command line of a program."""
        for part in self._parts:
            match part.kind:
                case "command" if self._starts(part):
                    certain = self._certain(part)
                    yield from (one if certain else one._replace(followed=True) for each in part.below for one in each.carries)
                case "invocation_expression" if _CALLED.search(self._begin(part)):
                    yield from (one._replace(followed=True) for one in part.carries)
                case "assignment_expression" if _COMMAND_LINE.search(text_of(part.below[0].node)):
                    yield from (one._replace(followed=True) for each in part.below[1:] for one in each.carries)
                case "pipeline_chain":
                    for at, command in enumerate(part.below):
                        if at and self._name(command) in _TEXTS:
                            yield from (one._replace(followed=True) for one in part.below[at - 2].carries)

    def environments(self) -> Iterator[_Carried]:
        """Yield the secrets in what becomes part of the environment of programs."""
        for part in self._parts:
            if part.kind == "invocation_expression" and (_PUT.match(begin := self._begin(part)) or _ADDED.match(begin)):
                yield from part.carries
            elif part.kind == "assignment_expression" and _ENVIRONMENT.match(text_of(part.below[0].node)):
                yield from (one for each in part.below[1:] for one in each.carries)

    @staticmethod
    def told(carried: Iterator[_Carried]) -> Iterator[_Carried]:
        """Yield the secrets, each place once: what is certain, where it is."""
        found = dict[int, _Carried]()
        for one in carried:
            if (at := one.node.start_byte) not in found or found[at].followed:
                found[at] = one
        yield from (found[at] for at in sorted(found))

    def _flat(self, root: tree_sitter.Node) -> list[_Part]:
        """Return all parts, each before what is below it, and note the functions; a script may be nested to any depth."""
        parts = [_Part(root, root.type, "", "")]
        for part in parts:  # which grows
            function, block = part.function, part.block
            if part.kind == "function_statement":
                function = next((text_of(one).lower() for one in part.node.children if one.type == "function_name"), "")
                self._functions[function] = part
                block = ""
            elif part.kind == "script_block_expression":
                block = str(part.node.start_byte)
            elif part.kind == "script_parameter" and part.function:
                self._params |= {f"{part.function}\\{name}" for one in part.node.children if (name := _name_of(one))}
            part.below = [_Part(one, one.type, function, block) for one in part.node.children]
            parts += part.below
        return parts

    def _key(self, part: _Part) -> str:
        """Return what a variable is known as: those of a function and of a pipeline are others elsewhere."""
        name = _name_of(part.node)
        if name in _OF_A_PIPELINE:
            return f"{part.function}\\{part.block}\\_"
        own = f"{part.function}\\{name}"
        return own if name == "args" or own in self._params else name

    def _carried(self, part: _Part) -> list[_Carried]:
        """Return the secrets in what a part comes to, those of what is below it being known."""
        below = part.below
        match part.kind:
            case "variable" | "braced_variable":
                certain = self._key(part) in self._own and not text_of(part.node).startswith("@")
                return [_Carried(_name_of(part.node), part.node, not certain)] if self._key(part) in self._known else []
            case "function_statement" | "assignment_expression":
                return []
            case "logical_expression":
                return []
            case "comparison_expression" if any(_TELLING.fullmatch(text_of(one.node)) for one in below[1:2]):
                return []
            case "expression_with_unary_operator" if text_of(part.node).lower().startswith(("-not", "!")):
                return []
            case "member_access" | "invocation_expression" if self._asks(part):
                return []
            case "switch_condition":
                return []
            case "if_statement" | "elseif_clause" | "while_statement":
                below = [one for one in below if one.kind != "pipeline"]
            case "command" if not self._passes(part):
                return []
            case "pipeline_chain":
                return self._streamed(part)[-1]
        carried = [one for each in below for one in each.carries][:_MOST]
        adds = part.kind == "additive_expression" and all(text_of(one.node).strip() == "+" for one in below[1::2])
        return carried if adds or part.kind in _DIRECT else [one._replace(followed=True) for one in carried]

    def _streamed(self, chain: _Part) -> list[list[_Carried]]:
        """Return the secrets in what each part of a pipeline is given, and in what the last one puts out."""
        flows: list[list[_Carried]] = [[]]
        for part in chain.below:
            passed = flows[-1] if part.kind != "command" or self._passes(part) else []
            flows.append((part.carries + passed)[:_MOST])
        return flows

    def _flow(self, part: _Part) -> None:
        """Take what a part gives to variables."""
        match part.kind:
            case "assignment_expression" if any(one.carries for one in part.below[1:]):
                to = text_of(part.below[0].node)
                if _KEPT_APART.fullmatch(to) or (_ENVIRONMENT.match(to) and not to.startswith(("$env:", "${env:"))):
                    return
                self._known |= {self._key(one) for one in _variables(part.below[0])}
            case "foreach_statement":
                if any(one.carries for one in part.below if one.kind == "pipeline"):
                    self._known |= {self._key(one) for one in part.below if one.kind == "variable"}
            case "command" if (function := self._name(part)) in self._functions and any(one.carries for one in part.below):
                self._known |= {key for key in self._params if key.startswith(f"{function}\\")} | {f"{function}\\args"}
            case "pipeline_chain":
                for given, command in zip(self._streamed(part), part.below, strict=False):
                    if given and command.kind == "command":
                        self._known.add(f"{self._name(command)}\\\\_")
                        self._known |= {f"{one.function}\\{one.node.start_byte}\\_" for one in _blocks(command)}

    def _starts(self, command: _Part) -> bool:
        """Tell whether the words of a command become a command line."""
        name = self._name(command)
        if name in _METHODS:
            return b"win32_process" in self._begin(command).lower()
        kept = _CMDLET.fullmatch(name) or name in _ALIASES or name in self._functions or name.startswith("{")
        kept = kept or name.endswith(".ps1") or (name.startswith("$") and name[1:] in self._block_names)
        return bool(name) and (not kept or name.rpartition("\\")[2] in _STARTING)

    def _certain(self, command: _Part) -> bool:
        """Tell whether what is started is a program and nothing else can be."""
        name = self._name(command)
        if name in _TEXTS:
            said = _ONE_PROGRAM.fullmatch(text_of(command.node))
            name = said[1].lower() if said else "$"
            if _CMDLET.fullmatch(name) or name in _ALIASES or name in self._functions or name.endswith(".ps1"):
                return False
        elif name.rpartition("\\")[2] in _STARTING | _METHODS and name not in _AT_ONCE:
            return False
        return bool(_PROGRAM.fullmatch(name)) or not ("$" in name or "(" in name or name in _EITHER or self._loads)

    def _passes(self, command: _Part) -> bool:
        """Tell whether a command puts out what it is given."""
        name = self._name(command).rpartition("\\")[2]
        if (function := self._functions.get(name)) is not None:
            return self._puts_out(function)
        return name in _PASSING

    @staticmethod
    def _puts_out(function: _Part) -> bool:
        return any(one.carries for one in function.below if one.kind == "script_block")

    def _asks(self, part: _Part) -> bool:
        return any(one.kind == "member_name" and text_of(one.node).lower() in _ASKED for one in part.below)

    def _begin(self, part: _Part) -> bytes:
        """Return the first words of a part."""
        return self._source[part.node.start_byte : min(part.node.end_byte, part.node.start_byte + 300)]

    def _name(self, command: _Part) -> str:
        """Return what a command runs, in lower case."""
        begin = self._begin(command).decode("utf-8", "replace").lstrip("&. \t")
        if begin[:1] in ("'", '"') and (end := begin.find(begin[0], 1)) > 0:
            return begin[1:end].lower()
        words = begin.split(maxsplit=1)
        return words[0].strip("\"'").lower() if words else ""


def _name_of(node: tree_sitter.Node) -> str:
    match = _VARIABLE.fullmatch(text_of(node)) if node.type in ("variable", "braced_variable") else None
    return match[1].lower() if match else ""


def _variables(part: _Part) -> Iterator[_Part]:
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if one.kind in ("variable", "braced_variable"):
            yield one
        waiting += one.below


def _blocks(command: _Part) -> Iterator[_Part]:
    """Yield the script blocks that a command is given."""
    waiting = list[_Part](command.below)
    while waiting:
        one = waiting.pop()
        if one.kind == "script_block_expression":
            yield one
        elif one.kind != "command":
            waiting += one.below
