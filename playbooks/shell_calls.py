"""The programs that a script for sh calls, whatever stands before their names: `if`, `!`, `env`, `timeout 5`, `/bin/`, quotes.

What is a script itself is read as one: what `sh -c` and `su -c` are told, `eval`, `trap`, a here-document that a shell reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from playbooks.shell_commands import ShellReader
from playbooks.shell_programs import SHELLS, bare, reads_commands
from playbooks.shell_tree import DEEPEST, Block, Item, SimpleCommand, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A program that runs another, which its words name."""

    takes: str = ""
    """Letters of the options behind which a value stands."""
    takes_long: tuple[str, ...] = ()
    operands: int = 0
    """Words that stand before what it runs, such as the seconds of `timeout`."""
    alone: str = ""
    """Letters of the options with which it runs nothing."""
    sets: bool = False
    """`NAME=value` may stand before what it runs."""


BEFORE: Final = {
    "builtin": Before(),
    "busybox": Before(),
    "chroot": Before(operands=1),
    "chrt": Before(takes="TPD", operands=1, alone="mp"),
    "command": Before(alone="vV"),
    "doas": Before(takes="uC"),
    "env": Before(takes="uCS", takes_long=("--unset", "--chdir", "--split-string"), sets=True),
    "exec": Before(takes="a"),
    "flock": Before(takes="wE", takes_long=("--timeout", "--wait", "--conflict-exit-code"), operands=1),
    "ionice": Before(takes="cn", takes_long=("--class", "--classdata"), alone="pPu"),
    "nice": Before(takes="n", takes_long=("--adjustment",)),
    "nohup": Before(),
    "nsenter": Before(takes="tSG", takes_long=("--target",)),
    "setsid": Before(),
    "stdbuf": Before(takes="ioe", takes_long=("--input", "--output", "--error")),
    "sudo": Before(
        takes="ugUhpCRTDrt", takes_long=("--user", "--group", "--host", "--prompt", "--chdir"), alone="elvV", sets=True
    ),
    "systemd-inhibit": Before(),
    "systemd-run": Before(takes="uMHpEC", takes_long=("--unit", "--property", "--slice", "--setenv", "--on-active")),
    "taskset": Before(operands=1, alone="p"),
    "time": Before(takes="of"),
    "timeout": Before(takes="ks", takes_long=("--kill-after", "--signal"), operands=1),
    "unshare": Before(),
    "watch": Before(takes="n"),
    "xargs": Before(takes="aEdILnPs", takes_long=("--arg-file", "--delimiter", "--max-args", "--max-procs", "--max-lines")),
}
_NONE: Final = Before()
SWITCHING: Final = frozenset(("runuser", "su"))
"""What runs a shell as somebody else: behind `-c` stands a script."""
_SETTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_COMMANDS: Final = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
_MOST_BEFORE: Final = 20
"""Programs before each other; what more run is not looked at."""
_WHOLE: Final = re.compile(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*(?::?[-+=?][^}]*)?\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A program with the words that it is given."""

    name: str
    """Without its path and quotes; of a variable that names it what stands there."""
    words: tuple[Word, ...]
    """Its name first."""
    command: SimpleCommand
    """Where it stands."""
    upstream: tuple[Item, ...] = ()
    """What is before it in its pipeline."""
    before: tuple[str, ...] = ()
    """What it is run by: `sudo`, `xargs`, `find`."""
    in_path: bool = False
    """Its name has a path, or something that runs programs alone stands before it: no function of the script is meant."""
    made: bool = False
    """It stands in a text that is made before it is run: what its variables hold is in the text already."""

    @property
    def offset(self) -> int:
        """Return where its name stands."""
        return self.words[0].offset

    @property
    def texts(self) -> tuple[str, ...]:
        """Return its words behind its name, without their quotes."""
        return tuple(bare(word) for word in self.words[1:])

    @property
    def variable(self) -> str:
        """Return the one variable that its name is, empty where it is none."""
        if len(self.words[0].uses) != 1 or not _WHOLE.fullmatch(bare(self.words[0])):
            return ""
        return self.words[0].uses[0].name

    @property
    def operands(self) -> tuple[Word, ...]:
        """Return its words that are no options; behind `--` all are."""
        found, ended = list[Word](), False
        for word in self.words[1:]:
            if not ended and bare(word) == "--":
                ended = True
            elif ended or not bare(word).startswith("-") or bare(word) == "-":
                found.append(word)
        return tuple(found)

    @property
    def options(self) -> tuple[str, ...]:
        """Return its options, without what stands behind them."""
        texts = self.texts
        return tuple(text for text in texts[: texts.index("--") if "--" in texts else None] if text.startswith("-"))

    def has(self, letters: str, *long: str) -> bool:
        """Tell whether it has one of these options: letters of one dash, or long ones."""
        return any(
            (text.partition("=")[0] in long) if text.startswith("--") else any(one in text[1:] for one in letters)
            for text in self.options
        )


def calls_in(block: Block, depth: int = 0, seen: set[int] | None = None) -> Iterator[Call]:
    """Yield every call of a script, and of the scripts in it; `seen` are the places of commands that were gone through."""
    seen = set() if seen is None else seen
    for document in (*block.given, *block.aside):
        yield from _in_word(document, depth, seen)
    for _, items in block.parts:
        pipeline = list[Item]()
        for item in items:
            pipeline = [*pipeline, item] if item.piped else [item]
            yield from calls_of(item, tuple(pipeline[:-1]), depth, seen)


def calls_of(item: Item, upstream: tuple[Item, ...] = (), depth: int = 0, seen: set[int] | None = None) -> Iterator[Call]:
    """Yield every call of one part of a pipeline."""
    seen = set() if seen is None else seen
    if not isinstance(item, SimpleCommand):
        yield from calls_in(cast("Block", item), depth, seen)
        return
    if item.all_words:
        if item.all_words[0].offset in seen:
            return
        seen.add(item.all_words[0].offset)
    for word in (*item.all_words, *item.given, *item.aside):
        yield from _in_word(word, depth, seen)
    words = tuple(item.words)
    if words:
        yield from _run(Call(name="", words=words, command=item, upstream=upstream), depth, seen)


def commands_in(block: Block) -> Iterator[SimpleCommand]:
    """Yield every simple command of a script, those whose output its words hold included."""
    for word in (*block.given, *block.aside):
        yield from _commands_in_word(word)
    for _, items in block.parts:
        for item in items:
            if isinstance(item, SimpleCommand):
                yield item
                for word in (*item.all_words, *item.given, *item.aside):
                    yield from _commands_in_word(word)
            else:
                yield from commands_in(cast("Block", item))


def _commands_in_word(word: Word) -> Iterator[SimpleCommand]:
    for block in word.inside:
        yield from commands_in(block)


def functions_in(block: Block) -> frozenset[str]:
    """Return the names of the functions that a script defines."""
    names = {block.name} if block.kind == "function" else set[str]()
    for _, items in block.parts:
        for item in items:
            if isinstance(item, Block):
                names |= functions_in(item)
    return frozenset(names)


def told_script(call: Call) -> Word | None:
    """Return the word that a shell, or `su`, is told to run; None: it is told none."""
    if call.name not in SHELLS | SWITCHING:
        return None
    words, skipped = call.words[1:], -1
    for at, word in enumerate(words):
        text = bare(word)
        if at == skipped:
            continue
        if call.name in SHELLS and text in ("-o", "+o"):
            skipped = at + 1
        if text.startswith("--command="):
            return word
        if text == "--command" or (_COMMANDS.fullmatch(text) and not text.startswith("--")):
            return _behind_options(words[at + 1 :])
        if call.name in SHELLS and not text.startswith(("-", "+")):
            return None
    return None


def reads_stdin(call: Call) -> bool:
    """Tell whether what a call reads is a script."""
    return call.name in ("at", "batch") or (call.name not in BEFORE and reads_commands(call.words))


def _behind_options(words: Sequence[Word]) -> Word | None:
    """Return the first word that is no option of a shell."""
    return next((word for word in words if not bare(word).startswith(("-", "+"))), None)


def _in_word(word: Word, depth: int, seen: set[int]) -> Iterator[Call]:
    for block in word.inside:
        yield from calls_in(block, depth, seen)
    for _, default in word.defaults:
        yield from _in_word(default, depth, seen)


def _run(call: Call, depth: int, seen: set[int]) -> Iterator[Call]:
    """Yield a call, and what it runs itself."""
    text = bare(call.words[0])
    name = text.rpartition("/")[2] if "$" not in text else text
    call = replace(call, name=name, in_path=call.in_path or "/" in text)
    yield call
    if len(call.before) > _MOST_BEFORE:
        return
    if (inner := _behind(name, call.words)) is not None:
        if inner:
            yield from _run(replace(call, words=inner, before=(*call.before, name), in_path=True), depth, seen)
        return
    if name == "find":
        for words in _executed(call.words):
            yield from _run(replace(call, words=words, before=(*call.before, name), in_path=True), depth, seen)
    for script in _scripts_of(call):
        yield from _of_text(script, depth, seen)


def _behind(name: str, words: tuple[Word, ...]) -> tuple[Word, ...] | None:
    """Return what a program runs and its words; empty: nothing; None: it is none that runs others."""
    if name == "runuser" and any(word.text in ("-u", "--user") for word in words):
        known = Before(takes="ugG", takes_long=("--user", "--group"))
    elif (known := BEFORE.get(name, _NONE)) is _NONE:
        return None
    at, operands = 1, known.operands
    while at < len(words):
        text = bare(words[at])
        if text == "--":
            at += 1
            break
        if text.startswith("--"):
            at += 2 if text in known.takes_long else 1
        elif text.startswith("-") and len(text) > 1:
            letters = re.match(rf"[^{known.takes}]*", text)[0] if known.takes else text  # type: ignore[index]  # it matches nothing too
            if set(known.alone) & set(letters):
                return ()
            at += 2 if len(letters) == len(text) - 1 else 1
        elif known.sets and _SETTING.match(text):
            at += 1
        else:
            break
    while at < len(words) and known.sets and _SETTING.match(bare(words[at])):
        at += 1
    return words[at + operands :]


def _executed(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    """Yield what `find` runs."""
    texts, end = [bare(word) for word in words], 0
    for at, text in enumerate(texts):
        if at >= end and text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((one for one in range(at + 1, len(texts)) if texts[one] in (";", "+")), len(texts))
            if at + 1 < end:
                yield words[at + 1 : end]


def _scripts_of(call: Call) -> Iterator[Word]:
    """Yield the texts of a call that are scripts."""
    if (told := told_script(call)) is not None:
        yield told
    elif call.name == "eval":
        yield from call.words[1:]
    elif call.name == "trap":
        yield from call.operands[:1]
    elif reads_stdin(call):
        yield from (*call.command.given, *call.command.verbatim)
        for item in call.upstream[-1:]:
            if isinstance(item, SimpleCommand) and item.words and bare(item.words[0]) in ("echo", "printf"):
                yield from item.words[1:]


def _of_text(word: Word, depth: int, seen: set[int]) -> Iterator[Call]:
    """Yield the calls of a word that is a script within a script."""
    if depth > DEEPEST // 10:
        return
    quoted = _QUOTED.fullmatch(word.text)
    text, offset = (word.text[1:-1], word.offset + 1) if quoted else (word.text, word.offset)
    for call in calls_in(ShellReader(text, offset, DEEPEST // 2).script(), depth + 1, seen):
        yield replace(call, made=True) if word.uses or word.inside else call
