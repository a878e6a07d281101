"""The catalogue's keeper: finds every sentence in the source and brings a language's catalogue in line with it.

`python -m reports.catalogue` adds what is new (untranslated), drops what is gone and prints what waits for a translator.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, nodes

from reports.language import DOMAIN, LANGUAGES

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console")
_SAYS: Final = frozenset({"Text", "say", "_"})
_COUNTS: Final = frozenset({"plural"})
_SUMMED_UP: Final = frozenset({"Probe"})
"""What has its sentence as `summary`: kept in English with a run, translated when it is shown."""
_COMMAND: Final = re.compile(r"(longarm|chmod|unset)( [a-z0-9-]+| --[a-z-]+| \{\w+\}| '\{\w+\}'| [A-Z]+)*")
_HEADER: Final = (
    "# Russian words of longarm. docs/glossary.md says which word stands for what.\n"
    'msgid ""\nmsgstr ""\n"Language: {code}\\n"\n"Plural-Forms: {plurals}\\n"\n'
    '"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
)


@dataclass(frozen=True, slots=True, order=True)
class Sentence:
    """A message id as it stands in the source, with the form for many where there is one."""

    one: str
    many: str = ""

    @property
    def id(self) -> str | tuple[str, str]:
        """Return the id as babel's catalogues have it."""
        return (self.one, self.many) if self.many else self.one


@dataclass(frozen=True, slots=True, order=True)
class NotLiteral:
    """A sentence that is put together at run time: no catalogue can hold it."""

    file: str
    line: int


@cache
def sentences(root: Path = ROOT) -> tuple[Mapping[Sentence, tuple[str, ...]], tuple[NotLiteral, ...]]:
    """Return every sentence of the program with the files it stands in, and the places that no catalogue can serve."""
    found: dict[Sentence, set[str]] = {}
    broken: list[NotLiteral] = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for one in _in_python(path.read_text("utf-8"), name):
                if isinstance(one, NotLiteral):
                    broken.append(one)
                else:
                    found.setdefault(one, set()).add(name)
    for path in sorted((root / "reports" / "templates").glob("*.j2")):
        for one in _in_template(path.read_text("utf-8")):
            found.setdefault(one, set()).add(path.relative_to(root).as_posix())
    return {one: tuple(sorted(files)) for one, files in sorted(found.items()) if _has_words(one)}, tuple(sorted(broken))


def _has_words(sentence: Sentence) -> bool:
    """Tell whether there is anything to translate outside the fields; a command is the same in every language.

    >>> [_has_words(Sentence(text)) for text in ("{host}: {error}", "{n} d", "longarm host enrol {host}")]
    [False, True, False]
    """
    if _COMMAND.fullmatch(sentence.one):
        return False
    text, depth = "", 0
    for character in sentence.one:
        depth += (character == "{") - (character == "}")
        text += character if not depth else ""
    return any(character.isalpha() or character == "%" for character in text)


def _in_python(source: str, name: str) -> Iterator[Sentence | NotLiteral]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = (
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        )
        if called in _SUMMED_UP:
            summaries = (keyword.value for keyword in node.keywords if keyword.arg == "summary")
            yield from (Sentence(literal) for summary in summaries for literal in _literals(summary) or ())
        elif not node.args:
            continue
        elif called in _COUNTS and len(node.args) >= 3:
            one, many = (_literals(argument) for argument in node.args[:2])
            yield from (Sentence(*pair) for pair in zip(one or (), many or (), strict=True))
        elif called in _SAYS:
            literals = _literals(node.args[0])
            if literals is None and isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)):
                yield NotLiteral(name, node.lineno)
            yield from (Sentence(literal) for literal in literals or ())


def _literals(node: ast.expr) -> tuple[str, ...] | None:
    """Return the strings that an argument can be, or None where it is no literal."""
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else None
    if isinstance(node, ast.IfExp):
        return (_literals(node.body) or ()) + (_literals(node.orelse) or ())
    return None


def _in_template(source: str) -> Iterator[Sentence]:
    for call in Environment(autoescape=True).parse(source).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in _SAYS | _COUNTS:
            literals = [argument.value for argument in call.args if isinstance(argument, nodes.Const)]
            if literals and call.node.name in _COUNTS:
                yield Sentence(*literals[:2])
            elif literals:
                yield Sentence(literals[0])


def catalogue_file(code: str) -> Path:
    """Return where a language's catalogue is kept."""
    return ROOT / "reports" / "locale" / code / "LC_MESSAGES" / f"{DOMAIN}.po"


def read_catalogue(code: str) -> Catalog:
    """Return a language's catalogue, empty where there is none yet."""
    path = catalogue_file(code)
    if not path.exists():
        return Catalog(locale=code, domain=DOMAIN, project="longarm", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=code, domain=DOMAIN)


def in_line(code: str) -> tuple[Catalog, list[Sentence]]:
    """Return the catalogue with exactly the sentences of the source, and those that nobody translated yet."""
    old, found = read_catalogue(code), sentences()[0]
    new = Catalog(locale=code, domain=DOMAIN, charset="utf-8", fuzzy=False)
    waiting = []
    for sentence, files in found.items():
        known = old.get(sentence.one)
        string = known.string if known and known.id == sentence.id else ""
        new.add(sentence.id, string, locations=[(file, 0) for file in files]).flags.clear()
        if not string or not all(string if isinstance(string, (tuple, list)) else (string,)):
            waiting.append(sentence)
    return new, waiting


def _body(catalogue: Catalog) -> str:
    written = io.BytesIO()
    write_po(written, catalogue, width=120, sort_output=True, omit_header=True, include_lineno=False)
    return "\n" + written.getvalue().decode().strip() + "\n"


def main() -> int:
    """Bring every catalogue in line; return 1 while sentences wait for a translator."""
    waiting_anywhere = 0
    for code in LANGUAGES[1:]:
        catalogue, waiting = in_line(code)
        catalogue_file(code).write_text(_HEADER.format(code=code, plurals=catalogue.plural_forms) + _body(catalogue), "utf-8")
        for sentence in waiting:
            sys.stdout.write(f"{code}: {sentence.one}\n")
        waiting_anywhere += len(waiting)
    return 1 if waiting_anywhere else 0


if __name__ == "__main__":
    sys.exit(main())
