"""Scripts for Windows: all questions of a host as one script of PowerShell, packed so that one command line starts it.

A command line of cmd.exe holds 8,191 characters, so the script travels compressed in an environment variable of the shell
(32,767 characters at the most), or on stdin where it is longer or reads something itself; the command line only unpacks and
starts it.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from inventory.secret import Secret
from remote.command import Command, Value
from remote.question import Privilege, Question
from remote.windows.launch import Launch

FORMAT: Final = "longarm-windows/1"
SHELL: Final = "powershell"
"""What `Question.shell` says of the questions that travel so."""
VARIABLE: Final = "LA"
LARGEST_IN_VARIABLE: Final = 24 * 1024
"""Characters of a packed script that go into the variable; Windows allows 32,767 for one, with its name."""
LONGEST_LINE: Final = 3900
"""Characters of a line of a script on stdin: 8,186 are the most that some readers of Windows take."""
SEND_BYTES: Final = 96 * 1024
"""Of stdin in one message: with base64, the seal and the envelope below the 150 KiB of old hosts (MaxEnvelopeSizekb)."""
_QUOTES: Final = "'\u2018\u2019\u201a\u201b"
"""What ends a single-quoted string of PowerShell (about_Quoting_Rules; the tokenizer's IsSingleQuote)."""
_FROM_STDIN: Final = "$b='';while(($l=[Console]::In.ReadLine()) -and $l -ne '.'){{$b+=$l}}"
_UNPACK: Final = (
    "$m=New-Object IO.MemoryStream(,[Convert]::FromBase64String({source}));"
    "$g=New-Object IO.Compression.GZipStream($m,[IO.Compression.CompressionMode]::Decompress);"
    "$r=New-Object IO.StreamReader($g,[Text.Encoding]::UTF8);$s=$r.ReadToEnd();{forget}. ([ScriptBlock]::Create($s))"
)
OPTIONS: Final = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand "
"""Of powershell.exe, before a script as base64 of UTF-16."""
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "command": ("spoken", "command"),
    "detached": ("kept", "command"),
    "start": ("places", "told", "start"),
    "collect": ("places", "told", "collect"),
    "drop": ("places", "told", "drop"),
}
"""The files that one kind of work is put together from, where it is more than the one of its name."""
_LITERAL: Final = re.compile(r"^\$(La[A-Za-z]+) = (?:(-?\d+)|\$(true|false)|'((?:[^']|'')*)')$", re.MULTILINE)


def write_script(questions: Sequence[Question], nonce: str, *, deadline_s: float = 3600.0, piped: bool = False) -> str:
    """Return the script that asks `questions`; its head names the format, the nonce and each question.

    `piped`: it is run where there is no console, and what it says are strings in its pipeline.
    """
    rows = (_row(index, question) for index, question in enumerate(questions) if question.shell == SHELL)
    lines = [
        *(f"# question {index} {question.id}" for index, question in enumerate(questions)),
        f"$LaDeadline = {max(1, int(deadline_s))}",
        f"$LaAsked = @({', '.join(rows)})",
        fixed("bundle"),
    ]
    return _script(nonce, lines, piped=piped)


def write_command(command: Command, nonce: str, *, piped: bool = False, detached: bool = False) -> str:
    """Return the script that runs a command, which is text of PowerShell with its variables assigned before it.

    `detached`: what it says is for the supervisor that has started it. Secrets and what it reads (in `$stdin`, as bytes) are no
    part of it: Windows writes down what scripts say (event 4104). They are read behind it (`given`). Raises ValueError for NUL
    in a value.
    """
    plain = {name: value for name, value in command.variables.items() if not isinstance(value, Secret)}
    values: dict[str, Value] = {
        "LaScript": "".join(f"${name} = {literal(value)}\n" for name, value in plain.items()) + command.script,
        "LaSecrets": " ".join(name for name in command.variables if name not in plain),
        "LaReads": command.stdin is not None,
        "LaDeadline": command.deadline_s,
        "LaNeedsAdmin": command.privilege is Privilege.ROOT,
    }
    return write_work("detached" if detached else "command", values, nonce, piped=piped)


def given(command: Command) -> Iterator[bytes]:
    """Yield what a command reads behind its script: each secret, then its stdin, in lines of base64 that end with a dot."""
    secrets = [value.reveal().encode() for value in command.variables.values() if isinstance(value, Secret)]
    for data in (*secrets, *(() if command.stdin is None else (command.stdin,))):
        yield from in_lines(base64.b64encode(data).decode())


def write_work(name: str, values: Mapping[str, Value], nonce: str, *, piped: bool = False) -> str:
    """Return the script that does one kind of work (`command`, `put`, `start`) with these values."""
    assigned = (f"${key} = {literal(value)}" for key, value in values.items())
    lines = [f"# does {name}", *assigned, *map(fixed, _PARTS.get(name, (name,)))]
    return _script(nonce, lines, piped=piped)


def _script(nonce: str, lines: Sequence[str], *, piped: bool) -> str:
    head = [f"# {FORMAT}", f"# nonce {nonce}", f"$LaNonce = {quote(nonce)}", f"$LaPiped = {literal(piped)}"]
    return "\n".join([*head, fixed("lines"), *lines, f"# end {nonce}"]) + "\n"


def literal(value: Value) -> str:
    """Return a value as PowerShell writes it.

    >>> literal(True), literal(-5), literal("it's")
    ('$true', '-5', "'it''s'")
    """
    match value:
        case Secret():
            raise TypeError("a secret is no part of a script")
        case bool():
            return "$true" if value else "$false"
        case int():
            return str(value)
        case _:
            return quote(value)


def quote(text: str) -> str:
    """Return `text` as one literal string of PowerShell; raises ValueError for NUL, which no string of a script holds.

    >>> quote("it's")
    "'it''s'"
    """
    if "\0" in text:
        raise ValueError("NUL cannot be part of a script")
    for letter in _QUOTES:
        text = text.replace(letter, letter * 2)
    return f"'{text}'"


def pack(script: str) -> str:
    """Return a script compressed, as base64: 6 KB for what asks 31 questions (measured)."""
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


def unpack(packed: str) -> str:
    """Return the script in what `pack` made; raises ValueError for anything else."""
    try:
        return gzip.decompress(base64.b64decode(packed, validate=True)).decode()
    except (OSError, EOFError) as error:
        raise ValueError("not a packed script") from error


def launch(script: str, *, variables: bool, more: Iterator[bytes] | None = None) -> Launch:
    """Return how a script is started: in a variable where the transport has them, it fits and reads nothing; else on stdin.

    `more` is what it reads itself, behind it.
    """
    packed = pack(script)
    if variables and more is None and len(packed) <= LARGEST_IN_VARIABLE:
        return Launch(line=command_line(on_stdin=False), variables={VARIABLE: packed})
    return Launch(line=command_line(on_stdin=True), stdin=_on_stdin(packed, more))


def _on_stdin(packed: str, more: Iterator[bytes] | None) -> Iterator[bytes]:
    yield from in_lines(packed)
    yield from more or ()


def in_lines(text: str) -> Iterator[bytes]:
    """Yield a text of ASCII in lines that end with a dot, as what reads stdin on Windows wants it."""
    lines = [text[at : at + LONGEST_LINE] for at in range(0, len(text), LONGEST_LINE)]
    data = "".join(f"{line}\n" for line in [*lines, "."]).encode()
    for at in range(0, len(data), SEND_BYTES):
        yield data[at : at + SEND_BYTES]


def command_line(*, on_stdin: bool) -> str:
    """Return the command that unpacks and starts the script in the variable, or on stdin, and nothing else.

    It means the same to cmd.exe, to PowerShell and to sh: no shell has to be told from another.
    """
    source = "$b" if on_stdin else f"$env:{VARIABLE}"
    forget = "" if on_stdin else f"Remove-Item Env:{VARIABLE};"
    text = (f"{_FROM_STDIN.format()};" if on_stdin else "") + _UNPACK.format(source=source, forget=forget)
    return f"powershell.exe {OPTIONS}" + base64.b64encode(text.encode("utf-16-le")).decode()


@cache
def in_runspace() -> str:
    """Return the script that a runspace runs to unpack and run the one that is its argument.

    Packed, the questions of a host are a fifth as long, and have no line ends, each of which costs pypsrp a call.
    """
    return "param([string]$LaPacked)\n" + _UNPACK.format(source="$LaPacked", forget="")


@cache
def fixed(name: str) -> str:
    """Return the text of one of our scripts that every host runs, without comments and indentation."""
    text = Path(__file__).with_name(f"{name}.ps1").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def read_head(script: str) -> tuple[str, tuple[str, ...]]:
    """Return the nonce and the ids of the questions that a whole script declares; raises ValueError for any other text."""
    nonce = _nonce(script)
    ids = [row.split(" ", 3)[3] for row in script.split("\n") if row.startswith("# question ")]
    return nonce, tuple(ids)


def read_work(script: str) -> tuple[str, str, Mapping[str, Value]]:
    """Return the nonce, what a whole script does (`ask` for questions) and its values; raises ValueError for any other text."""
    nonce = _nonce(script)
    match = re.search(r"^# does ([a-z]+)$", script, re.MULTILINE)
    values: dict[str, Value] = {}
    for name, number, truth, text in _LITERAL.findall(script):
        values.setdefault(name, int(number) if number else truth == "true" if truth else _unquoted(text))
    return nonce, match[1] if match else "ask", values


def _unquoted(text: str) -> str:
    for letter in _QUOTES:
        text = text.replace(letter * 2, letter)
    return text


def _nonce(script: str) -> str:
    first, nonce, *_ = [*script.split("\n"), "", ""]
    if first != f"# {FORMAT}" or not nonce.startswith("# nonce ") or not script.endswith(f"\n# end {nonce[8:]}\n"):
        raise ValueError("not a script of ours")
    return nonce.removeprefix("# nonce ")


def _row(index: int, question: Question) -> str:
    variables = "".join(f"${name} = {quote(value)}\n" for name, value in question.variables)
    text, admin = quote(variables + question.script), literal(question.privilege is Privilege.ROOT)
    return (
        f"@{{ Index = {index}; Deadline = {question.deadline_s}; Most = {question.max_bytes}; Admin = {admin}; Text = {text} }}"
    )
