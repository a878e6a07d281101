"""What goes to stdout and stderr: data, messages, questions; nothing that could drive the terminal."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
import termios
from typing import TextIO

from console.served import as_named, as_named_bytes, awaiting
from console.settings import Settings
from console.words import called, say
from inventory.errors import Text, UsageError
from inventory.secret import MASKER
from reports.visible import visible


def printable(text: str) -> str:
    r"""Return `text` with everything that could drive a terminal made visible; its lines stay lines (design rule 4).

    >>> printable("disk \x1b[2J full")
    'disk ␛[2J full'
    """
    return "\n".join(map(visible, text.split("\n")))


def write(text: str) -> None:
    """Write text that is data to stdout."""
    _send(sys.stdout, printable(as_named(text)))


def write_bytes(data: bytes) -> None:
    """Write rendered data to stdout as it is: who rendered it made it harmless in its own way."""
    write_bytes_to(sys.stdout, as_named_bytes(data))


def write_bytes_to(stream: TextIO | None, data: bytes) -> None:
    """Write bytes to a stream as they are."""
    if stream is None:  # it was closed before we began
        return
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except BrokenPipeError:
        _ignore(stream)


def complain(text: str) -> None:
    """Write a line to stderr, secrets masked."""
    _send(sys.stderr, printable(MASKER.text(as_named(text))) + "\n")


def complain_in_a_line(text: str) -> None:
    """Write to stderr what somebody else may have put into words: one line, whatever it holds, secrets masked."""
    _send(sys.stderr, visible(MASKER.text(as_named(text))) + "\n")


def tell(settings: Settings, text: Text, *, level: int = 0) -> None:
    """Write a message to stderr, unless the user asked for less."""
    if settings.verbosity >= level:
        complain(say(text))


def tell_hint(settings: Settings, hint: str, *, level: int = 0) -> None:
    """Write what to do next to stderr: a command of ours works as it stands there."""
    tell(settings, Text("next: {hint}", hint=called().hint(hint)), level=level)


def _send(stream: TextIO | None, text: str) -> None:
    if stream is None:  # it was closed before we began
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _ignore(stream)
    except OSError as error:
        if error.errno != errno.EIO or not stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            raise
        _ignore(stream)  # a terminal whose window has been closed


def _ignore(stream: TextIO) -> None:
    """Send what is still to come nowhere: the reader left, and the exit code stays the honest one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def confirmed(settings: Settings, question: Text) -> bool:
    """Return the user's answer; `--yes` is one, and without a terminal there is none (UsageError)."""
    if settings.yes:
        return True
    if settings.no_input or not sys.stdin or not sys.stdin.isatty():
        raise UsageError(Text("this needs an answer: {question}", question=question), Text("give --yes to agree"))
    return agreed(question)


def agreed(question: Text) -> bool:
    """Return what the user says to a question, `--yes` or not; the caller has seen to it that somebody sits there."""
    return asked(Text("{question} [y/N]", question=question)).lower() in ("y", "yes", "д", "да")


def asked(question: Text) -> str:
    """Return what the user types in answer; the caller has seen to it that somebody sits there."""
    forget_typed(sys.stdin)
    with awaiting("line"):  # before it is asked: whoever called forgets then what was typed there
        _send(sys.stderr, printable(say(question)) + " ")
        return sys.stdin.readline().strip()


def forget_typed(stream: TextIO | None) -> None:
    """Drop what was typed at a terminal before it was asked for: an answer that comes too late answers no other question."""
    if stream is not None:
        with contextlib.suppress(termios.error, io.UnsupportedOperation):  # no terminal: what comes there was not typed
            termios.tcflush(stream.fileno(), termios.TCIFLUSH)
