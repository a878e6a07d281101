"""Root by a password: what of the host's output is sudo asking for it, and what its words mean.

The host asks `sudo -n` first. Where that fails and we have a password, it marks `sudoask` and starts
`sudo -S -p PROMPT -- /bin/sh -c 'echo TOKEN; exec /bin/sh'`, PROMPT and TOKEN being 128 random bits each, made for this one
command. Its stdin waits for us, line by line: `=PASSWORD` once sudo has asked for it, `go` once TOKEN shows that it was
taken (a script sent earlier would be read as further attempts); anything else gives sudo the end of its input.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto


class Want(Enum):
    """What the host waits for."""

    PASSWORD = auto()
    GO = auto()
    STOP = auto()  # sudo asks once more, so it did not take what it got, or for something else


class Verdict(Enum):
    """What became of a password that was sent."""

    ACCEPTED = auto()
    REJECTED = auto()
    UNANSWERED = auto()


@dataclass(slots=True)
class Elevation:
    """One command as root, as far as it has come; a password goes out at most once."""

    prompt: str = field(default_factory=lambda: f"longarm-{secrets.token_hex(16)}: ")
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    sent: bool = False
    refused: str = ""
    """Why the password was kept back, when sudo had asked for it."""
    _went: bool = False
    _stopped: bool = False
    _again: bool = False

    def wants(self, stdout: bytes, stderr: bytes) -> Want | None:
        """Return what is to be sent next, given all that sudo said on each stream since `sudoask`."""
        asked = stderr.count(self.prompt.encode())
        if not self.sent and not self.refused:
            return Want.PASSWORD if asked == 1 and not stdout and self._asks_last(stderr) else None
        if self._went or self._stopped:
            return None
        if stdout == self.token.encode() + b"\n":
            return Want.GO
        self._again = asked > 1
        return Want.STOP if self._again or self._asks_else(stderr) else None

    def password(self, password: str) -> bytes:
        """Return the line that carries the password, this once."""
        assert not self.sent
        self.sent = True
        return f"={password}\n".encode()

    def keep(self, why: str) -> bytes:
        """Return the line that gives sudo the end of its input instead of the password, for the reason `why`."""
        self.refused = why
        return self.stop()

    def go(self) -> bytes:
        """Return the line that lets the script follow."""
        self._went = True
        return b"go\n"

    def stop(self) -> bytes:
        """Return the line that gives sudo the end of its input."""
        self._stopped = True
        return b"\n"

    def verdict(self, words: str | None) -> Verdict | None:
        """Return what became of the password; `words` are sudo's own, once it has ended."""
        if not self.sent or (words is None and not (self._went or self._stopped)):
            return None
        words = words or ""
        if self._went or any(reason is _NOT_ALLOWED for reason in _reasons(words)):
            return Verdict.ACCEPTED  # sudo looks at the password before it looks at what it permits
        rejected = self._again or any(reason is _WRONG for reason in _reasons(words))
        return Verdict.REJECTED if rejected else Verdict.UNANSWERED

    def without_prompt(self, words: str) -> str:
        """Return sudo's words without the prompt that we made up."""
        return words.replace(self.prompt, "").replace(self.prompt.strip(), "").strip()

    def _asks_last(self, stderr: bytes) -> bool:
        """Tell whether the prompt is all of the last line, to which nothing was added."""
        return stderr.rpartition(b"\n")[2] == self.prompt.encode()

    def _asks_else(self, stderr: bytes) -> bool:
        """Tell whether something else is asked for after the password, such as a new one for one that expired."""
        last = stderr.rpartition(self.prompt.encode())[2].rpartition(b"\n")[2]
        return last.endswith(b": ") and last != b"sudo: "


_WRONG = "the password for sudo was rejected"
_NOT_ALLOWED = "the user may not become root by sudo"
_REASONS = (
    (re.compile(r"incorrect password|password attempt"), _WRONG),
    (re.compile(r"not in the sudoers file|not allowed to|may not run sudo"), _NOT_ALLOWED),
    (re.compile(r"must have a tty|no tty present|a terminal is required"), "sudo insists on a terminal (requiretty)"),
    (re.compile(r"expired|validation failure"), "the account or its password is expired or locked"),
    (
        re.compile(r"password is required|no password was provided"),
        "sudo asks for a password, and the credential has no sudo_password",
    ),
    (re.compile(r"not found"), "there is no sudo"),
)
"""Words of sudo (1.8 to 1.9, locale C) and of shells, the most telling first, and what they mean."""


def why_denied(words: str) -> str:
    """Return why root could not be had: what sudo's words mean, and the words themselves; hostile text.

    >>> why_denied("sudo: a password is required")
    'sudo asks for a password, and the credential has no sudo_password: sudo: a password is required'
    """
    words = "; ".join(line.strip() for line in words.splitlines() if line.strip() not in ("", "Killed"))  # dash, of its pipe
    meaning = next(iter(_reasons(words)), "")
    return words if words.startswith(meaning) else f"{meaning}: {words}"  # a capture that is replayed has been told once


def _reasons(words: str) -> list[str]:
    return [meaning for pattern, meaning in _REASONS if pattern.search(words)]
