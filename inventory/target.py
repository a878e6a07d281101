"""Target expressions: which hosts a command is for, short enough to type and safe to mistype.

    expression = all_of { ("," | "or") all_of }
    all_of     = one_of { "and" one_of }
    one_of     = "not" one_of | "(" expression ")" | part
    part       = NAME | GLOB | RANGE | KEY ("=" | "!=") VALUE

`not` binds closest, then `and`, then `or` and the comma, which mean the same. A name is that of a
host or a group; a glob (`*`, `?`) is one of host names; a range (`web[01:20]`) stands for each of its
names. Values may be globs; in quotes they are literal. Upper and lower case do not matter. A part that
matches no host is an error, and so is `not` before anything that matches none: it is far more often
misspelt than meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from inventory.errors import LongarmError, NothingMatched, Text
from inventory.host import Host, Selection
from inventory.matching import Columns, Hosts, Listed, Matcher
from inventory.names import shown
from inventory.ranges import expand_range

MAX_LENGTH = 65_536
MAX_NESTING = 50


class BadExpression(LongarmError):
    """A target expression that cannot be read; `column` counts from 1 in `expression`."""

    def __init__(self, expression: str, column: int, text: Text, hint: Text | None = None) -> None:
        self.expression, self.column = expression, column
        super().__init__(text, hint)


@dataclass(frozen=True, slots=True)
class Part:
    """The smallest expression: a bare name (`key` is None), or a key with a value."""

    text: str
    key: str | None
    value: str
    negated: bool = False
    literal: bool = False
    """True: the value was quoted, its `*` and `?` are no wildcards."""


@dataclass(frozen=True, slots=True)
class Not:
    """All hosts but those of the operand; `text` is how the operand is written."""

    operand: Tree
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AllOf:
    """The hosts that every operand chooses."""

    operands: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The hosts that at least one operand chooses."""

    operands: tuple[Tree, ...]


Tree: TypeAlias = Part | Not | AllOf | AnyOf


def select(expression: str, hosts: Sequence[Host] | Columns, groups: Sequence[str]) -> Selection:
    """Return the hosts that the expression chooses, each once, in their order.

    Raises BadExpression, or NothingMatched if the whole or any part of it matches no host.
    """
    return Chooser(hosts, groups).select(expression)


def says_all(expression: str, names: Collection[str]) -> bool:
    """Tell whether an expression that chooses every host says so: by the word `all`, or by naming hosts one by one.

    >>> [says_all(text, ("db1", "db2")) for text in ("all", "db1, DB2", "db[1:2]", "all and not site=x", "db*", "not site=x")]
    [True, True, True, True, False, False]
    """
    folded, parts = {name.casefold() for name in names}, [*_parts(parse(expression))]
    if any(part.key is None and not part.literal and part.value.casefold() == "all" for part in parts):
        return True
    return all(part.key is None and _expanded(part) <= folded for part in parts)


def _parts(tree: Tree) -> Iterator[Part]:
    match tree:
        case Part():
            yield tree
        case Not():
            yield from _parts(tree.operand)
        case AllOf() | AnyOf():
            for operand in tree.operands:
                yield from _parts(operand)


def _expanded(part: Part) -> set[str]:
    return {name.casefold() for name in ((part.value,) if part.literal else expand_range(part.value))}


class Chooser:
    """Selects by several expressions among the same hosts; what one of them had to look up serves the next."""

    def __init__(self, hosts: Sequence[Host] | Columns, groups: Sequence[str]) -> None:
        self._hosts = hosts if isinstance(hosts, Columns) else Listed(hosts)
        self._matcher = Matcher("", self._hosts, groups)

    def select(self, expression: str) -> Selection:
        """Return what `select` returns."""
        chosen = _chosen(parse(expression), self._matcher.of(expression))
        if not chosen:
            raise NothingMatched(expression, expression)
        return Selection(expression=expression, hosts=tuple(self._hosts.at(position) for position in sorted(chosen)))


def _chosen(tree: Tree, matcher: Matcher) -> Hosts:
    match tree:
        case Part(key=None):
            return matcher.named(tree.value, literal=tree.literal)
        case Part():
            found = matcher.having(tree.key or "", tree.value, part=tree.text, literal=tree.literal)
            return matcher.everything - found if tree.negated else found
        case Not():
            if not (excluded := _chosen(tree.operand, matcher)):
                raise NothingMatched(matcher.expression, tree.text)
            return matcher.everything - excluded
        case AllOf():
            return frozenset.intersection(*[_chosen(operand, matcher) for operand in tree.operands])
        case AnyOf():
            return frozenset.union(*[_chosen(operand, matcher) for operand in tree.operands])


def parse(expression: str) -> Tree:
    """Return the tree of an expression, or raise BadExpression.

    >>> parse("a, b and not site=x*").operands[1].operands[1].operand
    Part(text='site=x*', key='site', value='x*', negated=False, literal=False)
    """
    if len(expression) > MAX_LENGTH:
        text = Text("column {column}: an expression has at most {limit} characters", column=MAX_LENGTH, limit=MAX_LENGTH)
        raise BadExpression(expression, MAX_LENGTH, text)
    return _Parser(expression).tree()


_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<open>\() | (?P<close>\)) | (?P<comma>,) | (?P<differs>!=) | (?P<equals>=)
      | (?P<quoted>"[^"]*"|'[^']*') | (?P<word>[^\s(),=!"']+)""",
    re.VERBOSE,
)
_OPERATORS = frozenset({"and", "or", "not"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    """Recursive descent, as deep as its parentheses nest."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = [*self._tokens(), _Token("end", "", len(expression) + 1)]
        self.position = self.depth = 0

    def tree(self) -> Tree:
        """Return the tree of the whole expression."""
        tree = self._any_of()
        token = self.tokens[self.position]
        if token.kind == "close":
            self._fail(token, Text("column {column}: this parenthesis was never opened", column=token.column))
        if token.kind in ("equals", "differs"):
            hint = Text("a value with such a character needs quotes: role='a=b'")
            self._fail(
                token, Text("column {column}: “{word}” has no key before it", column=token.column, word=shown(token.text)), hint
            )
        if token.kind != "end":
            text = Text(
                "column {column}: “{word}” follows without “and”, “or” or a comma", column=token.column, word=shown(token.text)
            )
            self._fail(token, text, Text("a value with spaces needs quotes: site='North Berlin'"))
        return tree

    def _tokens(self) -> Iterator[_Token]:
        position = 0
        while position < len(self.expression):
            column = position + 1
            if not (match := _TOKEN.match(self.expression, position)):
                character = self.expression[position]
                text = Text("column {column}: “{word}” is not understood here", column=column, word=shown(character))
                hint = Text("a closing quote is missing") if character in "\"'" else Text("“not” excludes, “!=” compares")
                raise BadExpression(self.expression, column, text, hint)
            position, kind, text_of = match.end(), match.lastgroup or "", match[0]
            if kind == "word" and text_of.lower() in _OPERATORS:
                kind = text_of.lower()
            if kind != "space":
                yield _Token(kind, text_of, column)

    def _any_of(self) -> Tree:
        return self._chain(("comma", "or"), self._all_of, AnyOf)

    def _all_of(self) -> Tree:
        return self._chain(("and",), self._one_of, AllOf)

    def _chain(self, kinds: tuple[str, ...], operand: Callable[[], Tree], joined: Callable[[tuple[Tree, ...]], Tree]) -> Tree:
        operands = [operand()]
        while self.tokens[self.position].kind in kinds:
            self.position += 1
            operands.append(operand())
        return operands[0] if len(operands) == 1 else joined(tuple(operands))

    def _one_of(self) -> Tree:
        negations = 0
        while (token := self._next()).kind == "not":
            negations += 1
        if token.kind == "open":
            tree = self._parenthesised(token)
        elif token.kind in ("word", "quoted"):
            tree = self._part(token)
        else:
            self._unexpected(token)
        last = self.tokens[self.position - 1]
        return Not(tree, self.expression[token.column - 1 : last.column - 1 + len(last.text)]) if negations % 2 else tree

    def _parenthesised(self, opened: _Token) -> Tree:
        self.depth += 1
        if self.depth > MAX_NESTING:
            text = Text("column {column}: parentheses nest deeper than {limit}", column=opened.column, limit=MAX_NESTING)
            self._fail(opened, text)
        tree = self._any_of()
        if self.tokens[self.position].kind == "end":
            self._fail(opened, Text("column {column}: this parenthesis is never closed", column=opened.column))
        if self.tokens[self.position].kind == "close":
            self.position += 1
            self.depth -= 1
        return tree

    def _part(self, token: _Token) -> Part:
        operator = self.tokens[self.position]
        if operator.kind not in ("equals", "differs"):
            return Part(token.text, None, _unquoted(token), literal=token.kind == "quoted")
        self.position += 1
        value = self._next()
        if value.kind not in ("word", "quoted") or not _unquoted(value):
            text = Text(
                "column {column}: a value is missing after “{word}”",
                column=value.column,
                word=shown(token.text + operator.text),
            )
            self._fail(value, text)
        written = f"{token.text}{operator.text}{value.text}"
        literal = value.kind == "quoted"
        return Part(written, _unquoted(token), _unquoted(value), negated=operator.kind == "differs", literal=literal)

    def _next(self) -> _Token:
        token = self.tokens[self.position]
        if token.kind != "end":
            self.position += 1
        return token

    def _unexpected(self, token: _Token) -> NoReturn:
        if token.kind == "end":
            text = Text("column {column}: a name is missing at the end", column=token.column)
        else:
            text = Text("column {column}: a name is missing before “{word}”", column=token.column, word=shown(token.text))
        end = Text("such as {example}", example="site=berlin and not tag=frozen") if token.kind == "end" else None
        hint = end if self.expression.strip() else Text("“all” chooses every host")
        self._fail(token, text, hint)

    def _fail(self, token: _Token, text: Text, hint: Text | None = None) -> NoReturn:
        raise BadExpression(self.expression, token.column, text, hint)


def _unquoted(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "quoted" else token.text
