"""The commands of a script for sh: which words they have, and which variables are expanded in these.

As far as sh itself reads a script (POSIX.1-2017, 2.3 and 2.6): quotes, expansions, arithmetic, substitutions within each
other, here-documents, redirections, compound commands. What is no script is read as far as it goes: that it is none,
shellcheck tells. However a text is made, it is read once for each level of what stands within each other.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from playbooks.shell_tree import DEEPEST, Block, Item, Tree, Use, Word

_BRACED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*])(:?[-+=?]|##?|%%?)?")
_PLAIN: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*])")
_REDIRECTING: Final = re.compile(r"([0-9]*)(<<<|<<-?|>>|[<>]&|>\||<>|[<>])[ \t]*")
_OPERATOR: Final = re.compile(r";;&?|;&|&&|\|\||\|&|[;|&\n]")
_FUNCTION: Final = re.compile(r"\([ \t]*\)")
_BLANK: Final = re.compile(r"(?:[ \t]|\\\n)+")
_TICKED: Final = re.compile(r"(?:[^`\\]|\\.)*+", re.DOTALL)
_QUOTING: Final = re.compile(r"[\\'\"]")
_NUMBER: Final = re.compile(r"[0-9]+|-")
_ENDS_WORD: Final = frozenset(" \t\n;|&()<>")


class ShellReader:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str, shift: int = 0, depth: int = 0) -> None:
        self.text = text
        self._shift = shift
        """Where the text begins in the script that it is a part of."""
        self._at = 0
        self._depth = depth
        self._here = list[tuple[Item, str, bool, bool]]()
        """Here-documents that begin behind this line: whose, what ends each, whether tabs before that count as nothing, and
        whether anything is expanded in it."""

    def script(self) -> Block:
        """Return the text as commands."""
        return self._list("")

    def document(self) -> Word:
        """Return the text as a here-document."""
        return self._made(0, self._parts(len(self.text)))

    @cached_property
    def _pairs(self) -> dict[int, int]:
        """Where each parenthesis is closed, as if there were no quotes."""
        pairs, opened = dict[int, int](), list[int]()
        for match in re.finditer(r"[()]", self.text):
            if match[0] == "(":
                opened.append(match.start())
            elif opened:
                pairs[opened.pop()] = match.start()
        return pairs

    def _list(self, closing: str) -> Block:
        """Read commands until what closes them, or the end."""
        tree, outside = Tree(self._depth), self._depth
        while self._at < len(self.text):
            here = self.text[self._at]
            self._depth = tree.depth
            if here == ")" and not tree.closed(")") and closing:
                break
            if here in "()":
                self._parenthesis(here, tree)
            elif here == "#":
                self._at = self._line_end()
            elif match := _BLANK.match(self.text, self._at):
                self._at = match.end()
            elif match := _OPERATOR.match(self.text, self._at):
                self._operator(match, tree)
            elif match := _REDIRECTING.match(self.text, self._at):
                self._redirection(match, tree)
            else:
                tree.word(self._word())
        self._at, self._depth = self._at + 1, outside
        return tree.root

    def _operator(self, match: re.Match[str], tree: Tree) -> None:
        self._at = match.end()
        tree.operator(match[0])
        if match[0] == "\n":
            self._documents()

    def _parenthesis(self, here: str, tree: Tree) -> None:
        """Read a subshell's beginning, arithmetic, or what makes a word the name of a function."""
        if here == "(" and not tree.in_pattern:
            if (behind := _FUNCTION.match(self.text, self._at)) and tree.function():
                self._at = behind.end()
                return
            if self._counts(self._at):
                end = self._pairs[self._at] + 1
                tree.item.aside.append(self._made(self._at, self._parts(end)))
                return
            tree.opened("(")
        self._at += 1

    def _counts(self, at: int) -> bool:
        """Tell whether two parentheses here are those of arithmetic: they are closed together."""
        return self.text.startswith("((", at) and self._pairs.get(at, -1) == self._pairs.get(at + 1, -3) + 1

    def _redirection(self, match: re.Match[str], tree: Tree) -> None:
        """Read a redirection: what it says is no argument of anybody."""
        self._at = match.end()
        word, item = self._word(), tree.item
        item.fed = item.fed or ("<" in match[2] and match[1] in ("", "0"))
        if match[2] == "<<<":
            item.given.append(word)
        elif match[2].startswith("<<"):
            self._here.append((item, _QUOTING.sub("", word.text), match[2] == "<<-", not _QUOTING.search(word.text)))
        else:
            item.aside.append(word)
            if ">" in match[2] and not (match[2] == ">&" and _NUMBER.fullmatch(word.text)):
                item.writes.append(word)
            item.away = item.away or (">" in match[2] and match[1] in ("", "1"))

    def _documents(self) -> None:
        """Read the here-documents that begin here."""
        for item, ending, tabs, expands in self._here:
            begin = self._at
            while (end := self._at) < len(self.text):
                line = self.text[self._at : (line_end := self._line_end())]
                self._at = line_end + 1
                if (line.lstrip("\t") if tabs else line) == ending:
                    break
            if expands and self._depth < DEEPEST:
                inner = ShellReader(self.text[begin:end], self._shift + begin, self._depth + 1)
                item.given.append(inner.document())
            elif not expands:
                item.verbatim.append(Word(self.text[begin:end], self._shift + begin))
        self._here.clear()

    def _word(self) -> Word:
        begin, found = self._at, _Found()
        while self._at < len(self.text) and (here := self.text[self._at]) not in _ENDS_WORD:
            if here == "'":
                self._single()
            elif here == '"':
                self._quoted(found)
            else:
                self._piece(found, quoted=False)
        return self._made(begin, found)

    def _made(self, begin: int, found: _Found) -> Word:
        text = self.text[begin : self._at]
        return Word(text, begin + self._shift, tuple(found.uses), tuple(found.inside), tuple(found.defaults))

    def _single(self) -> None:
        close = self.text.find("'", self._at + 1)
        self._at = len(self.text) if close < 0 else close + 1

    def _quoted(self, found: _Found) -> None:
        """Read on to the quote that closes this one."""
        self._at += 1
        while self._at < len(self.text) and self.text[self._at] != '"':
            self._piece(found, quoted=True)
        self._at += 1

    def _parts(self, end: int) -> _Found:
        """Read what is expanded as if it stood in quotes, which quotes do not end."""
        found = _Found()
        while self._at < end:
            self._piece(found, quoted=True)
        return found

    def _piece(self, found: _Found, *, quoted: bool) -> None:
        """Read one character, or what is put in its place."""
        here = self.text[self._at]
        self._depth += 1
        if here == "\\":
            self._at += 2
        elif self._depth > DEEPEST or here not in "$`":
            self._at += 1
        elif here == "$" and self._counts(self._at + 1):
            end = self._pairs[self._at + 1] + 1
            self._at += len("$((")
            found.add(self._parts(end))
        elif here == "`":
            self._ticked(found)
        elif self.text.startswith("$(", self._at):
            self._at += 2
            found.inside.append(self._list(")"))
        elif match := _BRACED.match(self.text, self._at):
            self._braced(match, found, quoted=quoted)
        elif match := _PLAIN.match(self.text, self._at):
            found.uses.append(Use(match[1], self._at + self._shift))
            self._at = match.end()
        else:
            self._at += 1
        self._depth -= 1

    def _ticked(self, found: _Found) -> None:
        """Read a substitution of the old kind, which the next of its signs ends, wherever that stands."""
        begin = self._at + 1
        end = _TICKED.match(self.text, begin).end()  # type: ignore[union-attr]  # it matches nothing too
        found.inside.append(ShellReader(self.text[begin:end], self._shift + begin, self._depth).script())
        self._at = end + 1

    def _braced(self, match: re.Match[str], found: _Found, *, quoted: bool) -> None:
        """Read `${name…}`; quotes count in it, but no single ones of a word that stands in double quotes."""
        operator = match[2] or ""
        if "+" not in operator:  # ${name:+word} is the word
            cut = operator[:1] in ("#", "%") or not (operator or self.text.startswith("}", match.end()))
            found.uses.append(Use(match[1], self._at + self._shift, followed=cut))
        self._at, inner = match.end(), _Found()
        while self._at < len(self.text) and (here := self.text[self._at]) != "}":
            if here == "'" and (not quoted or operator[:1] in ("#", "%")):
                self._single()
            elif here == '"':
                self._quoted(inner)
            else:
                self._piece(inner, quoted=quoted)
        if "=" in operator:
            found.defaults.append((match[1], self._made(match.end(), inner)))
        self._at += 1
        found.add(inner)

    def _line_end(self) -> int:
        end = self.text.find("\n", self._at)
        return len(self.text) if end < 0 else end


class _Found:
    """What is expanded in a word."""

    def __init__(self) -> None:
        self.uses: list[Use] = []
        self.inside: list[Block] = []
        self.defaults: list[tuple[str, Word]] = []

    def add(self, other: _Found) -> None:
        self.uses += other.uses
        self.inside += other.inside
        self.defaults += other.defaults
