"""One-time codes (RFC 6238 over RFC 4226): how they are computed, and that none goes out twice where it is good once.

A host, or the directory behind it, takes a code once. Who keeps that account is not to be seen from here, so a code is
given to one host only and the next one waits for the next code, unless the credential says that hosts keep it by
themselves (`per_host`): then each host gets each code once. Hosts that wait in their queue are not connected yet: an
sshd gives a login two minutes (LoginGraceTime). What was used is remembered in the home too, since a second command
within the same half minute is no other case.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from inventory.errors import Text
from inventory.host import CodeReference, Host
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable
from remote.patience import patience
from remote.used_codes import UsedCodes

_LATE: Final = 1 / 15
"""A code of which less is left, 2 s of the usual 30, may be over when it arrives: the next one is taken."""
_AT_ONCE: Final = 2
"""Logins under way where each code is good for one of them: one uses a code, the next one waits for its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodeSource:
    """Where the codes of a credential come from; equal if they are the same codes."""

    shared: Secret | None = None
    """The shared secret in base32."""
    typed: Secret | None = None
    """The one code that a person gave."""
    digits: int = 6
    period_s: int = 30
    algorithm: str = "SHA1"
    per_host: bool = False

    @property
    def identity(self) -> str:
        """Return what tells these codes from others and gives nothing away: a shared secret is too long to be guessed."""
        value = (self.shared or self.typed or Secret("")).reveal()
        return hmac.digest(value.encode(), b"longarm one-time codes", hashlib.sha256).hex()[:32]

    def code(self, step: int) -> str:
        """Return the code of a step of time."""
        if self.typed is not None:
            return self.typed.reveal()
        assert self.shared is not None
        return hotp(_packed(self.shared.reveal()), step, digits=self.digits, algorithm=self.algorithm)

    def step_at(self, now_s: float) -> int:
        """Return the step of a moment; a code that was typed has only one."""
        return 0 if self.typed is not None else int(now_s // self.period_s)


def hotp(key: bytes, counter: int, *, digits: int = 6, algorithm: str = "SHA1") -> str:
    """Return the code of a counter (RFC 4226 5.3), whose counter is the step of time in RFC 6238.

    >>> [hotp(b"12345678901234567890", 59 // 30, digits=8), hotp(b"12345678901234567890", 1111111109 // 30, digits=8)]
    ['94287082', '07081804']
    """
    digest = hmac.digest(key, counter.to_bytes(8, "big"), algorithm.lower())
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


def source_of(reference: CodeReference, value: Secret) -> CodeSource:
    """Return the source that a reference and its secret mean, or raise Unusable; an otpauth address says the rest itself.

    The address is Google Authenticator's key URI format.
    """
    if reference.secret is None:
        return CodeSource(typed=Secret(value.reveal().strip()), per_host=reference.per_host)
    text = value.reveal().strip()
    settings: dict[str, str] = {}
    if text.lower().startswith("otpauth:"):
        address = urlsplit(text)
        settings = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.netloc.lower() != "totp" or "secret" not in settings:
            raise Unusable(Text("the secret of one-time codes is no otpauth://totp/… address"))
        text = settings["secret"]
    try:
        digits, period_s = int(settings.get("digits", reference.digits)), int(settings.get("period", reference.period_s))
    except ValueError as error:
        raise Unusable(Text("the otpauth address has a number that is none")) from error
    algorithm = settings.get("algorithm", reference.algorithm).upper()
    if algorithm not in ("SHA1", "SHA256", "SHA512") or not 6 <= digits <= 10 or not 5 <= period_s <= 600:
        raise Unusable(
            Text(
                "one-time codes of {digits} digits in {period} s by {algorithm} are not known",
                digits=digits,
                period=period_s,
                algorithm=algorithm[:20],
            )
        )
    _packed(text)
    return CodeSource(shared=Secret(text), digits=digits, period_s=period_s, algorithm=algorithm, per_host=reference.per_host)


def _packed(text: str) -> bytes:
    """Return the bytes of a secret in base32 as people get it: with spaces, in lower case, without its padding."""
    plain = text.replace(" ", "").replace("-", "").upper().rstrip("=")
    try:
        key = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError) as error:
        raise Unusable(Text("the secret of one-time codes is not base32")) from error
    if len(key) < 10:
        raise Unusable(Text("the secret of one-time codes is shorter than 80 bits"))
    return key


class CodeSpent(Exception):
    """The one code that a person typed has been used."""


@dataclass(slots=True)
class _Account:
    """What is known of one source in this run."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """First come, first served."""


class Place:
    """A place in a queue, left once."""

    def __init__(self, places: asyncio.Semaphore | None) -> None:
        self._places, self._held = places, False

    async def take(self) -> None:
        """Wait for it."""
        if self._places is not None:
            with patience().standing_still():
                await self._places.acquire()
            self._held = True

    def leave(self) -> None:
        """Let the next one in."""
        if self._held and self._places is not None:
            self._held = False
            self._places.release()


class Codes:
    """Gives out codes for one run: each once, or once per host."""

    def __init__(self, used: UsedCodes, *, now: Callable[[], float] = time.time) -> None:
        self._used, self._now = used, now
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def place(self, source: CodeSource | None) -> AsyncIterator[Place]:
        """Hold a place among those who log in with codes of a source that are good once; others need none."""
        needed = source is not None and not source.per_host and source.typed is None
        held = Place(self._account(source).places if needed and source is not None else None)
        await held.take()
        try:
            yield held
        finally:
            held.leave()

    async def next(self, host: Host, source: CodeSource) -> str:
        """Return the next code that this host may be given, when its time has come; raises CodeSpent if there is none."""
        whose = host.name if source.per_host else "*"
        async with self._account(source).turn:
            while True:
                now_s = self._now()
                step = source.step_at(now_s)
                left_s = float("inf") if source.typed is not None else (step + 1) * source.period_s - now_s
                if left_s >= _LATE * source.period_s and await asyncio.to_thread(
                    self._used.claim, source.identity, whose, step, now_s
                ):
                    return source.code(step)
                if source.typed is not None:
                    raise CodeSpent
                await asyncio.sleep(left_s)

    def _account(self, source: CodeSource) -> _Account:
        return self._accounts.setdefault(source.identity, _Account())
