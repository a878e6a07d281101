"""Another user by sudo, doas or su: with which commands, what of the host's output asks for the password, how that ended.

The host tries without a password first (`sudo -n`, `doas -n`). Where that fails and there is one, or where nothing can be
tried (su), it marks `sudoask` and starts the tool with `/bin/sh -c 'echo TOKEN; exec /bin/sh'`, TOKEN being 128 random
bits, made for this one command. Its stdin waits for us, line by line: `=PASSWORD` once the tool has asked for it, `go`
once TOKEN shows that we are the other user (a script sent earlier would be read as further attempts); anything else gives
the tool the end of its input.

sudo asks with a prompt of ours (`-p`), made of 128 random bits too. su cannot be told how to ask: its own prompt counts
where it is all that was said since `sudoask`, and never again. What asks in a terminal only is asked there (terminal.py).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from enum import Enum, auto

from inventory.host import ROOT, Become, BecomeMethod
from remote.bundle.denials import (
    EXPIRED,
    MUST_CHANGE,
    NO_PASSWORD,
    NO_SHELL,
    NOBODY,
    NOT_ALLOWED,
    NOT_ROOT,
    OWN_WORDS,
    TERMINAL,
    WRONG,
    reasons_of,
    told,
    why_denied,
)

SU_PROMPT = "Password: "
"""How su asks in locale C: util-linux through PAM on stderr, busybox on stdout."""
HUSH_S = 0.5
"""How long nothing more may be said until that counts as asking in words of its own: what a tool or a shell complains of comes
in pieces (dash writes `dash: 1: exec: ` and what it could not find each by itself), of which each may end like a question."""


class Want(Enum):
    """What the host waits for."""

    PASSWORD = auto()
    TERMINAL = auto()  # somebody who takes over the ends of its pipes there
    GO = auto()
    STOP = auto()  # the tool asks once more, so it did not take what it got
    ELSE = auto()  # something else is asked for, if nothing follows it within HUSH_S


class Verdict(Enum):
    """What became of a password that was sent."""

    ACCEPTED = auto()
    REJECTED = auto()
    UNANSWERED = auto()


@dataclass(slots=True)
class Elevation:
    """One command as another user, as far as it has come; a password goes out at most once."""

    become: Become = field(default_factory=Become)
    has_password: bool = False
    login: str = ""
    """Who we are before, as doas names him."""
    terminal: bool = False
    """Whether a terminal is opened for the tool."""
    mark: str = field(default_factory=lambda: secrets.token_hex(16))
    prompt: str = field(default_factory=lambda: f"longarm-{secrets.token_hex(16)}: ")
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    sent: bool = False
    refused: str | None = None
    """Why the password was kept back when the tool had asked for it; empty: there is none."""
    no_terminal: str = ""
    """Why there was no terminal, when the tool was to get one."""
    heard: str = ""
    """What was said in the terminal, once that is over; hostile text."""
    talking: bool = False
    """There is a terminal that is not over."""
    pid: int | None = None
    """Who offers the pipes to the terminal."""
    _went: bool = False
    _stopped: bool = False
    _again: bool = False

    @property
    def to_root(self) -> bool:
        """Whether it is root that is become."""
        return self.become.user == ROOT

    def wants(self, stdout: bytes, stderr: bytes) -> Want | None:
        """Return what is to be sent next, given all that the tool said on each stream since `sudoask`."""
        if self._went or self._stopped:
            return None
        if self.terminal:
            return self._wants_in_terminal(stdout)
        if self._unprompted(stdout) == self.token.encode() + b"\n":
            return Want.GO
        if not self.sent:
            if self._asks(stdout, stderr):
                return Want.PASSWORD
            return Want.ELSE if self.asks_else(stderr or stdout) else None
        if self.asks_again(stdout + stderr):
            return Want.STOP
        return Want.ELSE if self.asks_else(stderr) else None

    def _wants_in_terminal(self, stdout: bytes) -> Want | None:
        """The pid of who offers the pipes comes first, then the token."""
        line, newline, rest = stdout.partition(b"\n")
        if self.pid is None and newline and re.fullmatch(rb"[1-9][0-9]{0,9}", line):
            self.pid = int(line)
            return Want.TERMINAL
        return Want.GO if self.pid is not None and rest == self.token.encode() + b"\n" else None

    def password(self, password: str) -> bytes:
        """Return the line that carries the password, this once."""
        assert not self.sent
        self.sent = True
        return f"={password}\n".encode()

    def keep(self, why: str) -> bytes:
        """Return the line that gives the tool the end of its input instead of the password; `why`, empty if there is none."""
        self.refused = why
        return self.stop()

    def go(self) -> bytes:
        """Return the line that lets the script follow."""
        self._went = True
        return b"go\n"

    def stop(self) -> bytes:
        """Return the line that gives the tool the end of its input."""
        self._stopped = True
        return b"\n"

    def verdict(self, words: str | None) -> Verdict | None:
        """Return what became of the password; `words` are those of the tool, once it has ended."""
        if not self.sent or (not self._went and (self.talking or (words is None and not self._stopped))):
            return None
        reasons = reasons_of(words or "")
        if self._went or ({NO_SHELL, NOT_ALLOWED} & {*reasons} and self.become.method is BecomeMethod.SUDO):
            return Verdict.ACCEPTED  # sudo looks at the password before it looks at what it permits
        if self._again or (WRONG in reasons and not {MUST_CHANGE, EXPIRED} & {*reasons}):
            return Verdict.REJECTED
        return Verdict.UNANSWERED

    def denial(self, words: str, status: str) -> str:
        """Return why we are not the other user, by what the tool said and how it ended."""
        words = self._without_prompt("\n".join(filter(None, (self.heard, words))))
        tool = self.become.method.value
        if self.become.method is BecomeMethod.NONE:
            return NOBODY
        if self.no_terminal:
            return f"{told(TERMINAL, self.become)}: {self.no_terminal}"
        if self.refused is not None:
            return f"{tool} asks for a password: {self.refused}" if self.refused else told(NO_PASSWORD, self.become)
        if self._stopped and not self.sent:
            return f"{told(OWN_WORDS, self.become)}: {words}"
        if self.has_password and not self.terminal and tool == BecomeMethod.DOAS and NO_PASSWORD in reasons_of(words):
            return f"{told(TERMINAL, self.become)}: {words}"
        return why_denied(words, self.become) or f"{tool} ended with status {status}"

    def insists_on_terminal(self, denial: str) -> bool:
        """Tell whether a terminal would help: the tool said that it wants one, and had none."""
        return not self.terminal and denial.startswith(told(TERMINAL, self.become))

    @property
    def not_root(self) -> str:
        """Return why no question is asked as root, empty where that may be."""
        return "" if self.to_root or self.become.method is BecomeMethod.NONE else told(NOT_ROOT, self.become)

    def _without_prompt(self, words: str) -> str:
        for prompt in self._prompts:
            words = words.replace(prompt, "").replace(prompt.strip(), "")
        return words.strip()

    @property
    def _prompts(self) -> tuple[str, ...]:
        """Return how the tool may ask: sudo-rs puts a prompt of ours into one of its own."""
        if self.become.method is not BecomeMethod.SUDO:
            return (SU_PROMPT,)
        return f"[sudo: {self.prompt}] {SU_PROMPT}", self.prompt

    def _unprompted(self, stdout: bytes) -> bytes:
        """Return what stdout says behind the prompt of busybox."""
        return stdout.removeprefix(SU_PROMPT.encode()).lstrip(b"\n") if self.become.method is BecomeMethod.SU else stdout

    def _asks(self, stdout: bytes, stderr: bytes) -> bool:
        if self.become.method is BecomeMethod.SU:
            return SU_PROMPT.encode() in (stdout, stderr) and not (stdout and stderr)
        return not stdout and self.is_asked(stderr)

    def is_asked(self, said: bytes) -> bool:
        """Tell whether the prompt of sudo is all of the last line, to which nothing was added, for the first time."""
        return self._count(said) == 1 and said.rpartition(b"\n")[2] in [prompt.encode() for prompt in self._prompts]

    def _count(self, said: bytes) -> int:
        return said.count(self._prompts[-1].encode())

    def asks_again(self, said: bytes) -> bool:
        """Tell whether the tool has asked for the password more than once: it did not take it."""
        self._again = self._count(said) > 1
        return self._again

    def asks_else(self, said: bytes) -> bool:
        """Tell whether something else is asked for, such as a new password for one that expired."""
        rest = said.rpartition(self._prompts[-1].encode())[2] if self.sent else said
        last = rest.rpartition(b"\n")[2]
        return last.endswith((b": ", b"? ")) and not last.startswith(f"{self.become.method.value}: ".encode())
