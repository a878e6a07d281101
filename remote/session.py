"""The seam of this package: one open connection to one host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from inventory.host import Host
from remote.answer import Answer
from remote.command import Command, CommandResult
from remote.question import Privilege, Question

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Offset, Standing
    from remote.files import Destination, Part, Progress, Transfer
    from remote.terminal import Screen, Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What was negotiated, kept with the evidence: who we were, how the host proved itself, with which algorithms."""

    transport: str
    user: str
    credential: str = ""
    proofs: str = ""
    """What of that credential was offered, in order; the host took the last one. Empty: it wanted none."""
    via: str = ""
    """The host that this one was reached through, by its name in the inventory; empty: none."""
    proxy: str = ""
    """The proxy, or the program, that our connection goes by; empty: none."""
    host_key: str = ""
    """SHA256 fingerprint of the key that the host proved; empty for transports without one."""
    host_certificate: str = ""
    """The certificate by which that key is trusted: its name, its authority, until when; empty: the key itself is known."""
    algorithms: tuple[tuple[str, str], ...] = ()
    """Pairs such as ("kex", "curve25519-sha256"), ("cipher", …), ("strict_kex", "yes")."""
    instead_of: str = ""
    """The transport of the inventory, where it did not let us in as far as was needed and this one did; empty: none."""
    allowed: str = ""
    """Old algorithms that the inventory allows for this host, `kex +diffie-hellman-group14-sha1`; empty: none."""
    once: bool = False
    """A code that somebody typed went into the login: there is no second one."""
    dropped: str = ""
    """Why the connection went away while questions were on their way (hostile text); empty: it did not."""
    asked_again: tuple[str, ...] = ()
    """Questions that went with it and were asked over another connection."""
    not_renewed: str = ""
    """Why there was no other connection to ask them over; empty: there was, or none was needed."""


class Session(Protocol):
    """One open connection to one host."""

    host: Host

    @property
    def facts(self) -> SessionFacts:
        """Return what was negotiated."""

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone: whatever is asked from now on is not run."""

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take the place of one that is gone.

        No where a password of ours was not taken over it, where a code that was typed is spent, and where we left the host
        for what it sent.
        """

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, asked in one round trip.

        Never raises for what happens while the bundle runs: a question that did not come back
        complete is `lost`, one past its own deadline `timed_out`, one that never began `not_run`.
        `deadline_s` bounds the whole call on our clock.
        """

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return how a command ended, run at most once.

        Never raises for what happens while it runs; `lost` says that nobody knows how it ended, or whether it began.
        The command's own deadline is kept on the host; `deadline_s` bounds the whole call on our clock.
        """

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        """Return how a command stands that was started detached from this connection, `wait_s` later at the latest.

        Never raises for what happens meanwhile. A command that ends in time costs one exchange: its whole output is there. One
        that goes on is `running`; where the answer did not arrive it is `unanswered`, and `collect` asks again. An id that the
        host knows is never run again: the answer says what became of it. So is one whose token is lower than the highest
        that the host has seen (`fenced`), and nothing runs while another command of the same user does (`busy`).
        Nothing has run where no place for its record was to be had.
        """

    async def collect(
        self,
        name: str,
        offset: Offset,
        *,
        privilege: Privilege = Privilege.USER,
        sent_s_ago: float | None = None,
        wait_s: int = 0,
        deadline_s: float,
    ) -> Standing:
        """Return how a detached command stands, and what there is of its output from `offset` on, a MiB at the most.

        `privilege` is that of the command. `wait_s`: how long the host waits for its end before it answers. One that the host
        does not know is withdrawn there, so that a start that is still on its way runs nothing: then it has `failed` as
        `not_started`, which is certain where the host has been up for all of the last `sent_s_ago` seconds (since the first
        start was sent); else it is `unknown`.
        """

    async def forget(self, names: Sequence[str], *, privilege: Privilege = Privilege.USER, deadline_s: float) -> frozenset[str]:
        """Remove what the host keeps of commands whose ends are on disk with us, and return those of which nothing is left.

        One that still runs is kept. All that stays is the fence file, which goes on to know how the last ones ended.
        """

    async def put(
        self,
        source: bytes | Path,
        to: Destination,
        *,
        deadline_s: float,
        progress: Progress | None = None,
        resume: Part | None = None,
    ) -> Transfer:
        """Put a file on the host: whole, compared and on disk before it stands under its name, or not at all.

        What stood there before is replaced, a link too, and stays as it was if this fails. Raises TransferFailed, whose
        `part` lets another call go on where this one was cut off; OSError where `source` cannot be read.
        """

    async def get(
        self,
        path: str,
        to: Path,
        *,
        max_bytes: int,
        deadline_s: float,
        privilege: Privilege = Privilege.USER,
        progress: Progress | None = None,
        resume: Part | None = None,
    ) -> Transfer:
        """Get a regular file from the host into `to`, which is ours alone (0600) and replaced whole or not at all.

        As many bytes as the file had when we looked; more than `max_bytes` is refused. Nothing that the host says decides
        where is written. Raises TransferFailed, as `put` does, and OSError where `to` cannot be written.
        """

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:
        """Return a terminal with the user's login shell; raises NoTerminal or DeadlineExceeded. Whoever has it closes it."""


class Connect(Protocol):
    """Opens sessions; leaving the context closes and never raises."""

    def __call__(self, host: Host) -> AbstractAsyncContextManager[Session]:
        """Connect and log in, or raise a RemoteError."""
