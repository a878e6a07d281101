"""The grammar of CEL expressions, as far as lint needs it: a tree with offsets, bounded in depth before anything else sees it.

The engine judges what an expression means; this tree is what paths, types and bounds are verified on when a
file is loaded. What it does not know (byte strings, messages, optionals) is refused: no check needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inventory.errors import Text

MAX_BYTES = 4096
MAX_DEPTH = 32
MACROS = {"exists": 2, "all": 2, "exists_one": 2, "filter": 2, "map": 2}
"""Comprehensions over a list: the bound name and what is asked of each item."""

_TOKEN = re.compile(
    r"""\s+ | //[^\n]*
      | (?P<float>(?:\d+\.\d+|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)
      | (?P<int>0x[0-9a-fA-F]+|\d+)
      | (?P<str>[rR]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_LEVELS = ({"||"}, {"&&"}, {"<", "<=", ">", ">=", "==", "!=", "in"}, {"+", "-"}, {"*", "/", "%"})
_WORDS = {"true": "bool", "false": "bool", "null": "null"}
_CLOSE = {"(": ")", "[": "]", "{": "}"}


class BadSyntax(Exception):
    """An expression that cannot be read: where (offset in characters), what, and what to write instead."""

    def __init__(self, offset: int, text: Text, hint: Text | None = None) -> None:
        self.offset, self.text, self.hint = offset, text, hint
        super().__init__(str(text))


@dataclass(frozen=True, slots=True)
class Tree:
    """One part of an expression.

    `kind` is literal, name, select, index, call, macro, unary, binary, ternary, list or map; `word` is the
    literal's type, the name, member, function or operator; the value of a text literal is in `value`.
    """

    kind: str
    offset: int
    word: str
    parts: tuple[Tree, ...] = ()
    value: str = ""
    method: bool = False
    """For a call: `x.f()`, so that the first part is what stands before the dot."""
    depth: int = 1


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    offset: int
    text: str


def read_expression(text: str) -> Tree:
    """Return the tree of a CEL expression, or raise BadSyntax; refuses what is too long or too deep before reading it."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise BadSyntax(
            0, Text("an expression of more than {limit} bytes", limit=MAX_BYTES), Text("arithmetic belongs in a parser")
        )
    if not text.strip():
        raise BadSyntax(0, Text("an empty expression"))
    return _Reader(list(_tokens(text)), len(text)).read()


def _tokens(text: str) -> Iterator[_Token]:
    offset, open_brackets = 0, 0
    while offset < len(text):
        if not (match := _TOKEN.match(text, offset)):
            raise BadSyntax(offset, Text("an expression cannot hold {text}", text=repr(text[offset])))
        if kind := match.lastgroup:
            open_brackets += (match[0] in _CLOSE) - (match[0] in _CLOSE.values())
            if open_brackets > MAX_DEPTH:
                raise BadSyntax(offset, Text("more than {limit} brackets inside each other", limit=MAX_DEPTH))
            yield _Token(kind, offset, match[0])
        offset = match.end()


class _Reader:
    def __init__(self, tokens: list[_Token], end: int) -> None:
        self.tokens, self.next = tokens, 0
        self.end = _Token("end", end, "")
        self.nested = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.next] if self.next < len(self.tokens) else self.end

    def read(self) -> Tree:
        tree = self.ternary()
        if self.token.kind != "end":
            raise self.unexpected()
        return tree

    def unexpected(self) -> BadSyntax:
        if self.token.kind == "end":
            return BadSyntax(self.token.offset, Text("the expression ends too early"))
        hint = None
        if self.token.text in ("and", "or", "not"):
            hint = Text("write && for and, || for or, ! for not")
        return BadSyntax(self.token.offset, Text("“{text}” cannot stand here", text=self.token.text), hint)

    def made(self, kind: str, offset: int, word: str, *parts: Tree, value: str = "", method: bool = False) -> Tree:
        depth = 1 + max((part.depth for part in parts), default=0)
        if depth > 2 * MAX_DEPTH:
            raise BadSyntax(offset, Text("the expression is nested too deeply"), Text("arithmetic belongs in a parser"))
        return Tree(kind, offset, word, parts, value, method, depth)

    def take(self, text: str) -> bool:
        if self.token.kind in ("mark", "name") and self.token.text == text:
            self.next += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise self.unexpected()

    def ternary(self) -> Tree:
        self.nested += 1
        if self.nested > 2 * MAX_DEPTH:
            raise BadSyntax(self.token.offset, Text("the expression is nested too deeply"))
        tree = self.binary(0)
        offset = self.token.offset
        if self.take("?"):
            yes = self.binary(0)
            self.expect(":")
            tree = self.made("ternary", offset, "?:", tree, yes, self.ternary())
        self.nested -= 1
        return tree

    def binary(self, level: int) -> Tree:
        if level == len(_LEVELS):
            return self.unary()
        tree = self.binary(level + 1)
        while (token := self.token).text in _LEVELS[level] and token.kind in ("mark", "name"):
            self.next += 1
            tree = self.made("binary", token.offset, token.text, tree, self.binary(level + 1))
        return tree

    def unary(self) -> Tree:
        signs = []
        while self.token.kind == "mark" and self.token.text in ("!", "-"):
            signs.append(self.token)
            self.next += 1
        tree = self.postfix(self.primary())
        for sign in reversed(signs):
            tree = self.made("unary", sign.offset, sign.text, tree)
        return tree

    def postfix(self, tree: Tree) -> Tree:
        while True:
            offset = self.token.offset
            if self.take("."):
                tree = self.member(tree)
            elif self.take("["):
                tree = self.made("index", offset, "[]", tree, self.ternary())
                self.expect("]")
            else:
                return tree

    def member(self, tree: Tree) -> Tree:
        token = self.token
        if token.kind != "name":
            raise self.unexpected()
        self.next += 1
        if not self.take("("):
            return self.made("select", token.offset, token.text, tree)
        parts = self.until(")")
        if token.text in MACROS:
            return self.macro(token, tree, parts)
        return self.made("call", token.offset, token.text, tree, *parts, method=True)

    def macro(self, token: _Token, target: Tree, parts: list[Tree]) -> Tree:
        if len(parts) != MACROS[token.text] or parts[0].kind != "name":
            raise BadSyntax(
                token.offset, Text("{name} takes a name and an expression", name=token.text), Text("list.exists(x, x.y > 1)")
            )
        return self.made("macro", token.offset, token.text, target, parts[1], value=parts[0].word)

    def until(self, close: str) -> list[Tree]:
        parts: list[Tree] = []
        if self.take(close):
            return parts
        while True:
            parts.append(self.ternary())
            if self.take(close):
                return parts
            self.expect(",")

    def primary(self) -> Tree:
        token = self.token
        if token.kind == "end":
            raise self.unexpected()
        self.next += 1
        if token.kind in ("int", "float"):
            return self.made("literal", token.offset, token.kind, value=token.text)
        if token.kind == "str":
            return self.made("literal", token.offset, "str", value=_text_of(token.text))
        if token.kind == "name":
            return self.word(token)
        return self.bracket(token)

    def word(self, token: _Token) -> Tree:
        if token.text in _WORDS:
            return self.made("literal", token.offset, _WORDS[token.text], value=token.text)
        if self.take("("):
            return self.made("call", token.offset, token.text, *self.until(")"))
        return self.made("name", token.offset, token.text)

    def bracket(self, token: _Token) -> Tree:
        if token.text == "(":
            tree = self.ternary()
            self.expect(")")
            return tree
        if token.text == "[":
            return self.made("list", token.offset, "[]", *self.until("]"))
        self.next -= 1
        raise self.unexpected()


def _text_of(literal: str) -> str:
    """Return the value of a text literal; escapes stay as they are: lint compares names only."""
    body = literal.lstrip("rR")
    quotes = 3 if body.startswith(('"""', "'''")) else 1
    return body[quotes:-quotes]


def walk(tree: Tree) -> Iterator[Tree]:
    """Yield every part of an expression, the whole first."""
    yield tree
    for part in tree.parts:
        yield from walk(part)
