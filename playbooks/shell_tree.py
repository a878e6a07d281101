"""What a script for sh is made of: simple commands, what stands around them, and which of them feeds which."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeVar

DEEPEST: Final = 40
"""Within each other; what is deeper is read as part of what is around it."""
_CLOSING: Final = {"if": "fi", "while": "done", "until": "done", "for": "done", "case": "esac", "{": "}", "(": ")"}
_DIVIDING: Final = frozenset(("then", "elif", "else", "do"))
_RESERVED: Final = frozenset((*_CLOSING, *_CLOSING.values(), *_DIVIDING, "!"))
_ASSIGNING: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


@dataclass(frozen=True, slots=True)
class Use:
    """A variable whose value is put into a word: its name (a digit, `@`, `*`: an argument), and where that is."""

    name: str
    offset: int
    followed: bool = False
    """It is made of the value, or comes from somewhere else: no more than likely."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands there, or a here-document."""

    text: str
    offset: int
    uses: tuple[Use, ...] = ()
    """Of its own, not of commands whose output it holds."""
    inside: tuple[Block, ...] = ()
    """Commands whose output it holds."""
    defaults: tuple[tuple[str, Word], ...] = ()
    """What `${name:=word}` assigns."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One part of a pipeline, which may have only one."""

    piped: bool = False
    """Its stdin is what the item before it writes."""
    pipes: bool = False
    """What it writes is the stdin of the next."""
    maybe: bool = False
    """It stands behind `&&` or `||`."""
    away: bool = False
    """What it writes goes into a file."""
    fed: bool = False
    """Its stdin is a file or a here-document, whatever is written before it."""
    given: list[Word] = field(default_factory=list)
    """Here-documents: its stdin."""
    verbatim: list[Word] = field(default_factory=list)
    """Here-documents in which nothing is expanded: its stdin too."""
    writes: list[Word] = field(default_factory=list)
    """Files that its redirections write to; they stand among `aside` too."""
    aside: list[Word] = field(default_factory=list)
    """Names of files and patterns: words of no command."""


@dataclass(slots=True, kw_only=True)
class SimpleCommand(Item):
    """What is assigned, and then the words."""

    all_words: list[Word] = field(default_factory=list)

    @property
    def assigned(self) -> list[tuple[str, Word]]:
        """Return the variables that are assigned before anything runs."""
        found = list[tuple[str, Word]]()
        for word in self.all_words:
            if not (match := _ASSIGNING.match(word.text)):
                break
            found.append((match[1], word))
        return found

    @property
    def words(self) -> list[Word]:
        """Return what is run, and its words."""
        return self.all_words[len(self.assigned) :]


@dataclass(slots=True, kw_only=True)
class Block(Item):
    """A list of commands: a script, a substitution (both of no kind), or what a reserved word begins."""

    kind: str = ""
    name: str = ""
    """Of a function."""
    parts: list[tuple[str, list[Item]]] = field(default_factory=list)
    """Each with the word that divides it from the one before: `else`, `;;`."""
    pattern: bool = False
    """Of `case`: what is read now is a pattern."""


AnItem = TypeVar("AnItem", bound=Item)


class Tree:
    """Puts words and operators together; what fits nowhere is passed over."""

    def __init__(self, depth: int) -> None:
        self.root = Block(parts=[("", [])])
        self._open = [self.root]
        self._depth = depth
        self._item: Item | None = None
        self._piped = self._maybe = False

    @property
    def depth(self) -> int:
        """Return how deep what is read now stands."""
        return self._depth + len(self._open)

    @property
    def item(self) -> Item:
        """Return what a redirection belongs to."""
        return self._keep(SimpleCommand()) if self._item is None else self._item

    def word(self, word: Word) -> None:
        """Take the next word."""
        top, item = self._open[-1], self._item
        if top.pattern and word.text != "esac":
            top.aside.append(word)
        elif not (isinstance(item, SimpleCommand) and item.all_words) and self._reserved(word):
            pass
        elif isinstance(item, Block):
            item.aside.append(word)
        else:
            command = item if isinstance(item, SimpleCommand) else self._keep(SimpleCommand())
            command.all_words.append(word)
            if top.kind == "case" and word.text == "in" and len(command.all_words) == 3 and len(top.parts) == 1:
                top.pattern, self._item = True, None

    def operator(self, operator: str) -> None:
        """Take what stands between two commands."""
        top, item = self._open[-1], self._item
        if top.pattern or (operator == "\n" and item is None):
            return
        self._item, self._piped = None, operator in ("|", "|&")
        self._maybe = operator in ("&&", "||") or (self._piped and self._maybe)
        if item is not None:
            item.pipes = self._piped
        while self._open[-1].kind == "function" and self._open[-1].parts[0][1]:
            self._open.pop()
        if operator in (";;", ";&", ";;&") and self._open[-1].kind == "case":
            self._open[-1].parts.append((";;", []))
            self._open[-1].pattern = True

    def opened(self, kind: str, name: str = "") -> None:
        """Take the beginning of a block."""
        if self.depth < DEEPEST:
            self._open.append(self._keep(Block(kind=kind, name=name, parts=[(kind, [])])))
        self._item, self._piped, self._maybe = None, False, False

    def closed(self, closing: str) -> bool:
        """Take the end of a block, and tell whether it is one."""
        if closing == ")" and self._open[-1].pattern:
            self._open[-1].pattern = False
            return True
        for block in reversed(self._open):
            if _CLOSING.get(block.kind) == closing:
                while self._open.pop() is not block:
                    pass
                block.pattern = False
                self._item = block
                return True
        return False

    def function(self) -> bool:
        """Take the one word that was read as the name of a function, and tell whether it can be one."""
        item = self._item
        if not isinstance(item, SimpleCommand) or len(item.all_words) != 1:
            return False
        self._open[-1].parts[-1][1].pop()
        self.opened("function", item.all_words[0].text)
        return True

    @property
    def in_pattern(self) -> bool:
        """Tell whether a pattern of `case` is read."""
        return self._open[-1].pattern

    def _keep(self, item: AnItem) -> AnItem:
        item.piped, item.maybe, self._piped = self._piped, self._maybe, False
        self._open[-1].parts[-1][1].append(item)
        self._item = item
        return item

    def _reserved(self, word: Word) -> bool:
        """Take a word that belongs to the language, and tell whether it does."""
        if word.text not in _RESERVED:
            return False
        if word.text in _CLOSING:
            self.opened(word.text)
            if word.text in ("for", "case"):
                self._keep(SimpleCommand()).all_words.append(word)
        elif word.text in _DIVIDING:
            self._open[-1].parts.append((word.text, []))
            self._item = None
        elif word.text != "!":
            self.closed(word.text)
        return True
