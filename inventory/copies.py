"""Copies of what was last read from afar: a desk works on while NetBox is away, and is told how old its knowledge is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inventory.errors import Place, SourceUnavailable, Text

_FORMAT = 1
_LARGEST = 512 * 1024 * 1024
_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyUsed:
    """A copy that stands for a source: since when, and why it was not asked anew (None: the copy is young enough)."""

    source: str
    place: Place
    taken_at: datetime
    age: timedelta
    reason: Text | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a source said, and how long that will do."""

    source: str
    identity: str
    place: Place
    digest: str
    fresh: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long a copy is good: `fresh` without asking the source at all, `stale` when it cannot be asked."""

    fresh: timedelta = timedelta(0)
    stale: timedelta = timedelta(days=1)


ALWAYS_ASKED = Keeping()


@dataclass(slots=True)
class Copies:
    """The copies of one home, in files that only the user can read; without a folder nothing is kept."""

    folder: Path | None = None
    offline: bool = False
    """True: nothing is asked, any copy serves, however old."""
    used: list[CopyUsed] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    """Every source that was read through this, with what will do for it and how long."""
    _answers: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    """What the source that is being read said, by identity, and when."""

    def get(self, source: str, identity: str, place: Place, keeping: Keeping, now: datetime, ask: Callable[[], bytes]) -> bytes:
        """Return what the source says: a fresh copy, else its answer, else a copy that is not too old.

        `identity` is everything that makes its answer what it is (address, filters, arguments), no secret among it. The
        copy that was used stands in `used`; an answer becomes a copy by `keep`. Raises what `ask` raises if there is no
        copy to stand in.
        """
        kept = self._kept(identity)
        if kept is not None and (self.offline or _NO_TIME <= now - kept[0] < keeping.fresh):
            self._note(source, place, kept[0], now, None)
            self._remember(source, identity, place, kept[1], keeping.fresh)
            return kept[1]
        if self.offline:
            raise SourceUnavailable(place, Text("{source} was never asked yet", source=source))
        try:
            data = ask()
        except SourceUnavailable as error:
            if kept is None or now - kept[0] > keeping.stale:
                raise
            self._note(source, place, kept[0], now, error.text)
            self._remember(source, identity, place, kept[1], _NO_TIME)
            return kept[1]
        self._answers[identity] = data, now
        self._remember(source, identity, place, data, keeping.fresh)
        return data

    def serves(self, asked: Asked, now: datetime) -> CopyUsed | None:
        """Return the use of the copy that holds what a source said; None where it says something else, or is to be asked."""
        kept = self._kept(asked.identity)
        if kept is None or _digest(kept[1]) != asked.digest:
            return None
        if not self.offline and not _NO_TIME <= now - kept[0] < asked.fresh:
            return None
        age = max(now - kept[0], _NO_TIME)
        return CopyUsed(source=asked.source, place=asked.place, taken_at=kept[0], age=age, reason=None)

    def _remember(self, source: str, identity: str, place: Place, data: bytes, fresh: timedelta) -> None:
        self.asked.append(Asked(source=source, identity=identity, place=place, digest=_digest(data), fresh=fresh))

    def keep(self) -> None:
        """Keep what was answered since the last time: whoever asked could read it, so that it can stand in."""
        for identity, (data, now) in self._answers.items():
            self._keep(identity, data, now)
        self._answers.clear()

    def forget(self) -> None:
        """Keep nothing of what was answered since the last time: the copies before it stay."""
        self._answers.clear()

    def _note(self, source: str, place: Place, taken_at: datetime, now: datetime, reason: Text | None) -> None:
        age = max(now - taken_at, _NO_TIME)  # the clock may have been set back since
        self.used.append(CopyUsed(source=source, place=place, taken_at=taken_at, age=age, reason=reason))

    def _path(self, identity: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.copy"

    def _kept(self, identity: str) -> tuple[datetime, bytes] | None:
        """Return when a copy was taken and what it holds; None where none is, or it is not whole."""
        if (path := self._path(identity)) is None:
            return None
        with suppress(OSError, ValueError, KeyError, TypeError):
            with path.open("rb") as file:
                head, data = json.loads(file.readline(65_536)), file.read(_LARGEST)
            whole = head["digest"] == _digest(data)
            if head["format"] == _FORMAT and head["identity"] == identity and whole:
                return datetime.fromisoformat(head["taken_at"]).astimezone(UTC), data
        return None

    def _keep(self, identity: str, data: bytes, now: datetime) -> None:
        if (path := self._path(identity)) is None or self.folder is None or not self.folder.parent.parent.is_dir():
            return
        head = {
            "format": _FORMAT,
            "identity": identity,
            "taken_at": now.isoformat(),
            "digest": _digest(data),
        }
        beside = path.with_name(f"{path.stem}.{os.getpid()}.new")
        with suppress(OSError):  # a home that cannot be written asks each time
            self.folder.parent.mkdir(mode=0o700, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(head).encode() + b"\n" + data)
            beside.replace(path)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
