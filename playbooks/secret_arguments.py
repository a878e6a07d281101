"""Secrets among the words of a script for sh: an argument of a program is read by everybody on the host, by `ps` (T7).

That is an error where it is seen directly: the secret's own variable is a word of a program, or of a printf whose output is
put into such a word. Whatever had to be followed there (other variables, functions, pipes, texts that are commands) is a
warning: it is likely and no more, and no good script is refused for it.

The environment of a program (`/proc/PID/environ`) is read by its own user and root only, but goes on to whatever the program
starts, and some write it into logs: a warning, because stdin or a file is better and not every program takes its secret there.

A script is gone through as sh does it, all branches and what functions and loops may leave behind included, until nothing
more is found to hold a secret, or often enough: then a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from inventory.errors import Text
from playbooks.dangers import issue_at
from playbooks.issues import Grade, Issue
from playbooks.keys import Script
from playbooks.shell_commands import ShellReader
from playbooks.shell_programs import BUILTINS, bare, by_the_shell, called, passes_on, reads_commands
from playbooks.shell_tree import DEEPEST, Block, Item, SimpleCommand, Use, Word

_ROUNDS: Final = 12
"""How often a script is gone through at most: as many assignments against the order of the text may follow each other."""
_ARGUMENT: Final = re.compile(r"[0-9]+|[@*]")
_VERBATIM: Final = re.compile(r"'[^']*'")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def secrets_on_command_lines(script: Script, secrets: frozenset[str]) -> Iterator[Issue]:
    """Yield where a secret, or what was made of it, becomes an argument of a program or part of its environment."""
    walk = _Walk(secrets, ShellReader(script.text).script())
    hint = Text("give it by stdin, or in a file that only its user can read")
    for offset, use in sorted({**walk.in_environment, **walk.on_command_lines}.items()):
        name = use.name
        if offset in walk.on_command_lines and use.followed:
            yield issue_at(script, offset, "danger.secret_followed", Grade.WARNING, *followed(name))
        elif offset in walk.on_command_lines:
            said = Text("the secret “{name}” is on a command line, where everybody on the host can read it", name=name)
            told = Text("""printf '%s' "${name}" | command""", name=name)
            yield issue_at(script, offset, "danger.secret", Grade.ERROR, said, told)
        else:
            said = Text("the secret “{name}” is in the environment of programs, where their user can read it", name=name)
            yield issue_at(script, offset, "danger.secret_environment", Grade.WARNING, said, hint)
    if walk.unfinished:
        yield issue_at(script, 0, "danger.secret_followed", Grade.NOTE, *unfinished())


def followed(name: str) -> tuple[Text, Text]:
    """Return what is said of what seems to be on a command line, and what to look at."""
    said = Text(
        "“{name}” seems to hold a secret and to be on a command line, where everybody on the host can read it", name=name
    )
    return said, Text("look at what it is made of and what runs here; a program is given a secret by stdin or in a file")


def unfinished() -> tuple[Text, Text]:
    """Return what is said where more may hold a secret than was found."""
    said = Text("what this script does with its secrets goes further than lint follows it")
    return said, Text("look yourself at what its programs are given, or make fewer variables of a secret")


class _Walk:
    """Goes through a script; what it keeps from round to round only grows."""

    def __init__(self, secrets: frozenset[str], script: Block) -> None:
        self.on_command_lines = dict[int, Use]()
        self.in_environment = dict[int, Use]()
        self.unfinished = False
        self._secrets = secrets
        self._changed = set[str]()
        """What the script itself sets: no longer the secret for certain."""
        self._others = set[str]()
        """What may be no program though no function of that name is read; `.` are those of other files."""
        self._ever = set(secrets)
        """What held a secret at any time: functions may be called then."""
        self._left = dict[int, set[str]]()
        """What loops and functions left behind, by their blocks."""
        self._functions = dict[str, _Function]()
        self._exported = set[str]()
        self._all_exported = False
        self._known = set[str]()
        """What holds a secret now; `f()` are the arguments of the function f, and `()` those of the script."""
        self._scope = ""
        self._in_another = False
        self._parsed = dict[int, Block]()
        for _ in range(_ROUNDS):
            before = self._size()
            self._known, self._exported, self._all_exported = set(secrets), set(), False
            self.on_command_lines, self.in_environment = {}, {}
            self._block(script, [])
            if self._size() == before:
                break
        else:
            self.unfinished = True

    def _size(self) -> int:
        functions = self._functions.values()
        grown = sum(len(one.leaves) + bool(one.stdin) + bool(one.says) + one.runs + 1 for one in functions)
        grown += len(self._changed) + len(self._others)
        return len(self._ever) + sum(map(len, self._left.values())) + grown

    # what stands around commands

    def _block(self, block: Block, stdin: list[Use]) -> list[Use]:
        """Go through a block, and return the secrets in what it writes."""
        stdin = self._stdin(block, stdin)
        for word in block.aside:
            self._held(word)
        if block.kind == "function":
            return self._define(block)
        before, ends, says = set(self._known), list[set[str]](), list[Use]()
        if block.kind in ("while", "until", "for"):
            self._known |= self._left.get(id(block), set())
        entered = set(self._known)
        for divider, items in block.parts:
            if divider in ("elif", "else", ";;"):
                ends.append(self._known)
                self._known = set(entered)
            says += self._items(items, stdin)
            if divider in ("if", "elif"):
                entered = set(self._known)
        if block.kind in ("while", "until", "for"):
            self._left.setdefault(id(block), set()).update(self._known)
        if block.kind in ("while", "until", "for", "case") or (block.kind == "if" and block.parts[-1][0] != "else"):
            ends.append(entered)
        self._known = before if block.kind == "(" else self._known.union(*ends)
        return [] if block.away else says if not block.kind else _followed(says)

    def _items(self, items: Sequence[Item], stdin: list[Use]) -> list[Use]:
        """Go through pipelines, and return the secrets in what they write."""
        says, last = list[Use](), list[Use]()
        for item in items:
            if not item.piped:
                says += last
            before = set(self._known) if item.piped or item.pipes or item.maybe else None
            last = self._item(item, last if item.piped else stdin)
            if before is not None:
                self._known = self._known | before if item.maybe and not (item.piped or item.pipes) else before
        return says + last

    def _item(self, item: Item, stdin: list[Use]) -> list[Use]:
        return self._command(item, stdin) if isinstance(item, SimpleCommand) else self._block(cast("Block", item), stdin)

    def _define(self, block: Block) -> list[Use]:
        """Go through a function, which may be called at any time with whatever it is called with anywhere."""
        function = self._functions.setdefault(block.name, _Function())
        outside, self._known, scope, self._scope = self._known, set(self._ever), self._scope, block.name
        function.says = self._items(block.parts[0][1], function.stdin)
        self._known, self._scope = outside, scope
        return []

    # commands

    def _command(self, command: SimpleCommand, stdin: list[Use]) -> list[Use]:
        """Go through a command, and return the secrets in what it writes."""
        stdin = self._stdin(command, stdin)
        for word in command.aside:
            self._held(word)
        held = {word.offset: self._held(word) for word in command.all_words}
        words = called(command.words)
        for variable, word in command.assigned:
            self._assign(variable, held[word.offset], command=bare(words[0]) if words else "")
        says = self._run(words, held, stdin, certain=not self._in_another) if words else []
        for document in command.given if reads_commands(words) else ():
            self._script(document.text, document.offset, set(self._known))
        return [] if command.away else says

    def _run(self, words: Sequence[Word], held: dict[int, list[Use]], stdin: list[Use], *, certain: bool) -> list[Use]:
        """Go on behind what a command runs, and return the secrets in what it writes."""
        name, uses = bare(words[0]), [use for word in words[1:] for use in held[word.offset]]
        if name in self._functions:
            return self._call(words, held, stdin)
        if name in BUILTINS:
            return self._builtin(name, words[1:], held, stdin)
        if (inner := by_the_shell(words)) and (bare(inner[0]) in self._functions or bare(inner[0]) in BUILTINS):
            if bare(inner[0]) in BUILTINS:  # of which a shell may have none
                self._command_line(_followed(uses))
            return _followed(self._run(inner, held, stdin, certain=False))
        if name == "$@" and self._scope in self._functions:
            self._functions[self._scope].runs = True
            self._command_line(_followed(uses))
            return _followed(held[words[0].offset] + uses)
        certain = certain and "$" not in name and "`" not in name and name not in self._others
        certain = certain and ("/" in name or "." not in self._others)
        called_with = _followed(held[words[0].offset]) + (uses if certain else _followed(uses))
        self._command_line(called_with + _followed(stdin if name.rpartition("/")[2] == "xargs" else []))
        return _followed(uses + stdin) if passes_on(words) else []

    def _call(self, words: Sequence[Word], held: dict[int, list[Use]], stdin: list[Use]) -> list[Use]:
        """Go on behind the call of a function, which was gone through where it stands."""
        name, uses = bare(words[0]), [use for word in words[1:] for use in held[word.offset]]
        function = self._functions[name]
        inner = words[1:] if function.runs else ()
        while inner and (by_the_shell(inner) or ((of := self._functions.get(bare(inner[0]))) is not None and of.runs)):
            inner = inner[1:]
        if inner:
            self._run(inner, held, stdin, certain=False)
        if uses:
            self._hold(f"{name}()")
        function.stdin = function.stdin or stdin
        for left in list(function.leaves):
            self._hold(left)
        return _followed(uses + stdin if function.says and (uses or stdin) else function.says)

    def _builtin(self, name: str, words: Sequence[Word], held: dict[int, list[Use]], stdin: list[Use]) -> list[Use]:
        texts, uses = [word.text for word in words], [use for word in words for use in held[word.offset]]
        match name:
            case "export" | "local" | "readonly":
                for word in words:
                    self._set(word, held[word.offset], exported=name == "export")
            case "set":
                self._all_exported |= "-a" in texts or "allexport" in texts
                if any(text == "--" or text[:1] not in ("-", "+") for text in texts):
                    self._put(f"{self._scope}()", uses)
            case "read":
                for text in filter(_NAME.fullmatch, texts):
                    self._put(text, stdin)
            case "for" if texts:
                self._put(texts[0], uses if "in" in texts[1:2] else self._known_of([Use("@", words[0].offset)]))
            case "unset":
                self._known -= set(texts)
                self._changed |= set(texts)
            case "getopts":
                self._changed |= set(texts[1:2])
            case "." | "source" | "alias" | "function":
                self._others |= {"."} if name in (".", "source") else {text.partition("=")[0] for text in texts}
            case "eval" | "trap":
                self._made_commands(words, uses, later=name == "trap")
        return uses if name in ("echo", "printf") else []

    def _made_commands(self, words: Sequence[Word], uses: list[Use], *, later: bool) -> None:
        """Take texts that are commands, now or whenever something happens."""
        self._command_line(_followed(uses))
        for word in words:
            if _VERBATIM.fullmatch(word.text):
                self._script(word.text[1:-1], word.offset + 1, set(self._ever) if later else self._known)

    def _script(self, text: str, offset: int, known: set[str]) -> None:
        """Go through a script within this one (no deeper), which finds some secrets and leaves others there."""
        if self._in_another:
            return
        if offset not in self._parsed:
            self._parsed[offset] = ShellReader(text, offset, DEEPEST // 2).script()
        outside, self._known, self._in_another = self._known, known, True
        self._block(self._parsed[offset], [])
        known |= self._known
        self._known, self._in_another = outside, False

    # what holds a secret

    def _held(self, word: Word) -> list[Use]:
        """Return the secrets that are put into a word, those that commands in it write included."""
        held, said = self._known_of(word.uses), dict[int, list[Use]]()
        for block in word.inside:
            before = set(self._known)
            said[id(block)] = self._block(block, [])
            self._known = before
        for name, default in word.defaults:
            if self._known_of(default.uses) or any(said[id(block)] for block in default.inside):
                self._hold(name)
        return held + [use for uses in said.values() for use in uses]

    def _stdin(self, item: Item, before: list[Use]) -> list[Use]:
        """Return the secrets in the stdin of an item, which is what is written before it where nothing else is said."""
        return ([] if item.fed else before) + [use for word in item.given for use in _followed(self._held(word))]

    def _known_of(self, uses: Sequence[Use]) -> list[Use]:
        known = (use for use in uses if (f"{self._scope}()" if _ARGUMENT.fullmatch(use.name) else use.name) in self._known)
        own = self._secrets - self._changed
        return [use if use.name in own else replace(use, followed=True) for use in known]

    def _hold(self, name: str) -> None:
        self._known.add(name)
        self._ever.add(name)
        if self._scope in self._functions:
            self._functions[self._scope].leaves.add(name)

    def _put(self, name: str, uses: Sequence[Use]) -> None:
        """Take what a variable is from now on."""
        self._changed.add(name)
        if uses:
            self._hold(name)
        else:
            self._known.discard(name)

    def _assign(self, name: str, uses: list[Use], command: str = "") -> None:
        """Take an assignment, which may be for one command only."""
        if not command or (uses and command in self._functions):
            self._put(name, uses)
        if uses and (name in self._exported or self._all_exported or (command and command not in BUILTINS)):
            self._tell(uses, self.in_environment)

    def _set(self, word: Word, uses: list[Use], *, exported: bool) -> None:
        """Take a word of `export` and its like."""
        name, equals, _ = word.text.partition("=")
        if exported:
            self._exported.add(name)
        elif not equals:
            self._changed.add(name)
        if equals:
            self._assign(name, uses)
        elif exported and name in self._known:
            self._tell([Use(name, word.offset)], self.in_environment)

    def _command_line(self, uses: Sequence[Use]) -> None:
        self._tell(uses, self.on_command_lines)

    @staticmethod
    def _tell(uses: Sequence[Use], where: dict[int, Use]) -> None:
        """Note each secret once for each command."""
        first = dict[str, Use]()
        for use in sorted(uses, key=lambda use: use.followed):
            first.setdefault(use.name, use)
        for use in first.values():
            if use.offset not in where or where[use.offset].followed:
                where[use.offset] = use


def _followed(uses: Sequence[Use]) -> list[Use]:
    return [replace(use, followed=True) for use in uses]


@dataclass(slots=True)
class _Function:
    """What is known of a function."""

    leaves: set[str] = field(default_factory=set)
    """What holds a secret once it was called."""
    stdin: list[Use] = field(default_factory=list)
    """Secrets in its stdin, where one was given."""
    says: list[Use] = field(default_factory=list)
    """Secrets in what it writes."""
    runs: bool = False
    """Its arguments are a command, which it runs."""
