"""Secrets that a program prints: one that the inventory names, run without a shell, within limits."""

from __future__ import annotations

from inventory.errors import SourceUnavailable, Text
from inventory.secret_stores import AskpassProgram
from inventory.secrets.unusable import Unusable, refuse
from inventory.sources.program import PASSED_ON, run_program

LARGEST = 64 * 1024
_SESSION = (
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "SSH_AUTH_SOCK",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
)
"""What a password manager needs to find its agent, or the person to ask."""


class AskpassStore:
    """`{STORE: NAME}`: the line that the program prints when it is given this name as its last argument."""

    def __init__(self, declared: AskpassProgram) -> None:
        self._declared = declared

    def read(self, entry: str) -> str:
        """Return the line; what the program says on stderr is shown if it fails, since it is meant for a person."""
        program = self._declared
        try:
            data = run_program(
                program.path,
                (*program.arguments, entry),
                program.place,
                deadline_s=program.deadline_s,
                max_bytes=LARGEST,
                passed_on=(*PASSED_ON, *_SESSION),
            )
        except SourceUnavailable as error:
            raise Unusable(error.text) from error
        try:
            text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise Unusable(Text("{path} is not UTF-8", path=program.path)) from error
        if not text:
            refuse(Text("{program} printed nothing for {entry}", program=program.path, entry=entry))
        if set(text) & set("\n\r\0"):
            refuse(Text("{program} printed more than one line for {entry}", program=program.path, entry=entry))
        return text
