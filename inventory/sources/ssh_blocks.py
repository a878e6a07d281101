"""ssh_config(5) as blocks: what applies to whom. Files that are included stand where they are named."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from inventory.documents import FOREIGN, decoded, read_guarded
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.fields import did_you_mean
from inventory.names import shown
from inventory.sources.ssh_keywords import KEYWORDS
from inventory.sources.ssh_words import NotReadable, fits_list, split_line
from inventory.stamps import Looked

MAX_INCLUDES = 16  # as deep may files include each other, in OpenSSH too
MAX_FILES = 2_000
_ALONE = frozenset({"all", "canonical", "final"})
_WITH_LIST = frozenset({"host", "originalhost", "user", "localuser"})
_NOT_ASKED = frozenset({"exec", "localnetwork", "tagged", "address", "command", "sessiontype", "version"})
"""What depends on this machine and moment, or would run a program: no property of a host."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line that sets something."""

    place: Place
    keyword: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a Match line."""

    name: str
    argument: str
    negated: bool


@dataclass(slots=True)
class Block:
    """What applies under one Host or Match line; without `hosts` and `criteria` to all."""

    place: Place
    hosts: tuple[str, ...] | None = None
    criteria: tuple[Criterion, ...] | None = None
    items: list[Setting | list[Block]] = field(default_factory=list)
    """Settings, and the blocks of included files, in their order."""


Matches: TypeAlias = Callable[[Block], bool]


class BlockReader:
    """Reads a configuration and all that it includes; mistakes and what should be known are noted."""

    def __init__(self, files: Looked) -> None:
        self.files = files
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._open: list[Path] = []
        self._read = 0

    def read(self, path: Path) -> list[Block]:
        """Return the blocks of a file; raises InvalidFile where it cannot be read."""
        self.files.add(path)
        self._read += 1
        text = decoded(read_guarded(path, FOREIGN.bytes), str(path), FOREIGN)
        self._open.append(path)
        try:
            return self._blocks(text, path)
        finally:
            self._open.pop()

    def _blocks(self, text: str, path: Path) -> list[Block]:
        block = Block(Place(str(path), 1, 1))
        blocks = [block]
        for number, line in enumerate(text.splitlines(), start=1):
            stripped = line.strip(" \t\f")
            if stripped and stripped[0] != "#":
                place = Place(str(path), number, line.index(stripped[0]) + 1)
                block = self._line(stripped, place, block, blocks)
        return blocks

    def _problem(self, place: Place, text: Text, hint: Text | None = None) -> None:
        self.problems.append(Problem(place=place, text=text, hint=hint))

    def _line(self, line: str, place: Place, block: Block, blocks: list[Block]) -> Block:
        try:
            keyword, arguments = split_line(line)
        except NotReadable as error:
            self._problem(place, Text("this line cannot be read: {reason}", reason=str(error)))
            return block
        if keyword not in KEYWORDS:
            text = Text("“{key}” is no keyword", key=shown(keyword))
            self.notes.append(Problem(place=place, text=text, hint=did_you_mean(keyword, KEYWORDS)))
        elif not arguments:
            self._problem(place, Text("“{key}” has no value", key=keyword))
        elif keyword in ("host", "match"):
            host = keyword == "host"
            block = Block(place, arguments if host else None, None if host else self._criteria(arguments, place))
            blocks.append(block)
        elif keyword == "include":
            for argument in arguments:
                block.items += [self._included(path, place) for path in self._paths(argument, place)]
        else:
            block.items.append(Setting(place, keyword, arguments))
        return block

    def _paths(self, argument: str, place: Place) -> Iterator[Path]:
        """Yield the files that an Include names; a relative path starts in `~/.ssh`, as it does for ssh."""
        path = Path(argument).expanduser() if argument.startswith("~") else Path("~/.ssh").expanduser() / argument
        if "${" in argument or "%" in argument:
            self._problem(place, Text("“{key}” is not read here: {text}", key="Include", text=shown(argument)))
            return
        self._look_around(path)
        yield from map(Path, sorted(glob.glob(str(path))))  # noqa: PTH207 - patterns of folders too

    def _look_around(self, pattern: Path) -> None:
        """Note the folders in which a further file could come to fit a pattern."""
        for folder in pattern.parents:
            found = glob.glob(str(folder))  # noqa: PTH207 - as above
            for one in found:
                self.files.add(Path(one))
            if found and not glob.has_magic(str(folder)):
                return

    def _included(self, path: Path, place: Place) -> list[Block]:
        if path in self._open:
            ring = " → ".join(map(str, [*self._open[self._open.index(path) :], path]))
            self._problem(place, Text("these files include each other: {ring}", ring=ring), Text("take one of them out"))
            return []
        if self._read >= MAX_FILES:
            raise InvalidFile([Problem(place=place, text=Text("more than {limit} files", limit=MAX_FILES))])
        if len(self._open) > MAX_INCLUDES:
            self._problem(place, Text("files include each other deeper than {limit} levels", limit=MAX_INCLUDES))
            return []
        try:
            return self.read(path)
        except InvalidFile as error:
            self.problems += error.problems
            return []

    def _criteria(self, words: tuple[str, ...], place: Place) -> tuple[Criterion, ...]:
        criteria, rest = [], list(words)
        while rest:
            word = rest.pop(0)
            negated, name = word.startswith("!"), word.lstrip("!").lower()
            if name in _ALONE:
                criteria.append(Criterion(name, "", negated))
            elif name in _WITH_LIST | _NOT_ASKED:
                if not rest:
                    self._problem(place, Text("“{key}” has no value", key=name))
                    return (Criterion("never", "", negated=False),)
                criteria.append(Criterion(name, rest.pop(0), negated))
            else:
                known = sorted(_ALONE | _WITH_LIST | _NOT_ASKED)
                self._problem(place, Text("“{key}” is no condition of Match", key=shown(name)), did_you_mean(name, known))
                return (Criterion("never", "", negated=False),)
        if asked := [one.name for one in criteria if one.name in _NOT_ASKED]:
            text = Text("this Match counts as not fitting: “{key}” is not asked", key=asked[0])
            hint = Text("no program is run for it, and this machine is not looked at: use host, originalhost or user")
            self.notes.append(Problem(place=place, text=text, hint=hint))
        return tuple(criteria)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What Match can ask about a host at this point of the reading."""

    original: str
    host: str
    user: str
    local_user: str
    final: bool


def fits_match(criteria: tuple[Criterion, ...], asked: Asked) -> bool:
    """Tell whether all conditions hold; one that is not asked never does, negated or not."""
    texts = {"host": asked.host, "originalhost": asked.original, "user": asked.user, "localuser": asked.local_user}
    for one in criteria:
        if one.name in _NOT_ASKED or one.name == "never":
            return False
        if one.name == "all":
            fits = True
        elif one.name in ("final", "canonical"):
            fits = asked.final
        else:
            fits = fits_list(texts[one.name], one.argument)
        if fits is one.negated:
            return False
    return True
