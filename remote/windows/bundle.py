"""The bundle for Windows: all questions of a host as one script of PowerShell, packed so that one command line starts it.

A command line of cmd.exe holds 8,191 characters, so the script travels compressed in an environment variable of the shell
(32,767 characters at the most), or on stdin where it is longer; the command line only unpacks and starts it.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from remote.question import Question

FORMAT: Final = "longarm-windows/1"
SHELL: Final = "powershell"
"""What `Question.shell` says of the questions that travel so."""
VARIABLE: Final = "LA"
LARGEST_IN_VARIABLE: Final = 24 * 1024
"""Characters of a packed script that go into the variable; Windows allows 32,767 for one, with its name."""
_QUOTES: Final = "'\u2018\u2019\u201a\u201b"
"""What ends a single-quoted string of PowerShell (about_Quoting_Rules; the tokenizer's IsSingleQuote)."""
_UNPACK: Final = (
    "$m=New-Object IO.MemoryStream(,[Convert]::FromBase64String({source}));"
    "$g=New-Object IO.Compression.GZipStream($m,[IO.Compression.CompressionMode]::Decompress);"
    "$r=New-Object IO.StreamReader($g,[Text.Encoding]::UTF8);$s=$r.ReadToEnd();{forget}& ([ScriptBlock]::Create($s))"
)
_POWERSHELL: Final = "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand "


def write_script(questions: Sequence[Question], nonce: str) -> str:
    """Return the script that asks `questions`; its head names the format, the nonce and each question."""
    rows = (_row(index, question) for index, question in enumerate(questions) if question.shell == SHELL)
    lines = [
        f"# {FORMAT}",
        f"# nonce {nonce}",
        *(f"# question {index} {question.id}" for index, question in enumerate(questions)),
        f"$LaNonce = {quote(nonce)}",
        f"$LaAsked = @({', '.join(rows)})",
        runner(),
        f"# end {nonce}",
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """Return `text` as one literal string of PowerShell; raises ValueError for NUL, which no string of a script holds.

    >>> quote("it's")
    "'it''s'"
    """
    if "\0" in text:
        raise ValueError("NUL cannot be part of a script")
    return "'" + "".join(letter * 2 if letter in _QUOTES else letter for letter in text) + "'"


def pack(script: str) -> str:
    """Return a script compressed, as base64: 6 KB for what asks 31 questions (measured)."""
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


def unpack(packed: str) -> str:
    """Return the script in what `pack` made; raises ValueError for anything else."""
    try:
        return gzip.decompress(base64.b64decode(packed, validate=True)).decode()
    except (OSError, EOFError) as error:
        raise ValueError("not a packed script") from error


def command_line(*, on_stdin: bool) -> str:
    """Return the command that unpacks and starts the script in the variable, or on stdin, and nothing else."""
    source = "[Console]::In.ReadToEnd()" if on_stdin else f"$env:{VARIABLE}"
    forget = "" if on_stdin else f"Remove-Item Env:{VARIABLE};"
    text = _UNPACK.format(source=source, forget=forget)
    return _POWERSHELL + base64.b64encode(text.encode("utf-16-le")).decode()


@cache
def runner() -> str:
    """Return the text that every host runs, without comments and indentation."""
    text = Path(__file__).with_name("bundle.ps1").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def read_head(script: str) -> tuple[str, tuple[str, ...]]:
    """Return the nonce and the ids of the questions that a whole script declares; raises ValueError for any other text."""
    first, nonce, *rows = [*script.split("\n"), ""]
    ids = [row.split(" ", 3)[3] for row in rows if row.startswith("# question ")]
    if first != f"# {FORMAT}" or not nonce.startswith("# nonce ") or not script.endswith(f"\n# end {nonce[8:]}\n"):
        raise ValueError("not a bundle of ours")
    return nonce.removeprefix("# nonce "), tuple(ids)


def _row(index: int, question: Question) -> str:
    variables = "".join(f"${name} = {quote(value)}\n" for name, value in question.variables)
    text = quote(variables + question.script)
    return f"@{{ Index = {index}; Deadline = {question.deadline_s}; Most = {question.max_bytes}; Text = {text} }}"
