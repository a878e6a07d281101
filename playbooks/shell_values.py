"""Which variables of a script for sh hold texts that nobody knows who reads it: values, and what programs print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from playbooks.shell_calls import commands_in
from playbooks.shell_programs import bare
from playbooks.shell_tree import Block, SimpleCommand, Word

_DECLARING: Final = frozenset(("declare", "export", "local", "readonly", "typeset"))
_LOOKING_UP: Final = frozenset(("command", "readlink", "realpath", "type", "which"))
"""What says where a program is: to run that is no danger."""


@dataclass(frozen=True, slots=True)
class Values:
    """What variables hold."""

    given: frozenset[str]
    """A value, or a text that was made with one."""
    printed: frozenset[str]
    """What a program has printed, or what was read."""

    def strange(self, word: Word) -> bool:
        """Tell whether a value stands in a word."""
        return any(use.name in self.given for use in word.uses)

    def runs_unknown(self, name: str) -> bool:
        """Tell whether to run what is in a variable is to run what nobody knows."""
        return name in self.given or name in self.printed


def values_in(script: Block, values: frozenset[str]) -> Values:
    """Return what the variables of a script hold, whatever its order is."""
    assigned = [one for command in commands_in(script) for one in _assigned(command)]
    given = set(values)
    while more := {name for name, word in assigned if name not in given and {use.name for use in word.uses} & given}:
        given |= more
    printed = {name for name, word in assigned if not all(map(_looks_up, word.inside))}
    printed |= {name for command in commands_in(script) for name in _read(command)}
    return Values(frozenset(given), frozenset(printed))


def _assigned(command: SimpleCommand) -> Iterator[tuple[str, Word]]:
    """Yield variables with what they are given."""
    yield from command.assigned
    words = command.words
    for word in words:
        yield from word.defaults
    name = bare(words[0]) if words else ""
    if name == "for":
        yield from ((words[1].text, word) for word in words[3:])
    elif name in _DECLARING:
        yield from ((word.text.partition("=")[0], word) for word in words[1:] if "=" in word.text)


def _read(command: SimpleCommand) -> Iterator[str]:
    if command.words and bare(command.words[0]) == "read":
        yield from (word.text for word in command.words[1:] if not word.text.startswith("-"))


def _looks_up(block: Block) -> bool:
    """Tell whether what a substitution prints is where a program is."""
    commands = [item for _, items in block.parts for item in items]
    return all(
        isinstance(item, SimpleCommand) and item.words and bare(item.words[0]) in (*_LOOKING_UP, "echo", "printf")
        for item in commands
    )
