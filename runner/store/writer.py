"""The one writer: a thread that gathers changes, keeps them in one transaction and then tells each caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from runner.store.blobs import Blobs
from runner.store.changes import Change
from runner.store.link import Link, told
from runner.store.lock import turn

_MOST = 256
"""Changes in one transaction: it also bounds what one failure can take with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A change that waits for the disk."""

    change: Change
    blobs: tuple[bytes, ...]
    done: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """Work on the writer's own connection, outside any transaction, while nothing else is written."""

    work: Callable[[Link], None]
    done: Future[None] = field(default_factory=Future)


class Writer:
    """Group commit: whatever came in while the disk was busy goes into the next transaction.

    Nobody waits for company: a lone change is written at once, and fifty hosts that end while an
    fsync runs share the next one.
    """

    def __init__(self, home: Path, link: Link, blobs: Blobs, apply: Callable[[Link, Change], None]) -> None:
        """Start the thread: past this every change that comes in is answered; the connection is its own from here on."""
        self._home, self._link, self._blobs, self._apply = home, link, blobs, apply
        self._queue: queue.SimpleQueue[Pending | Alone | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, pending: Pending | Alone) -> Future[None]:
        """Hand over a change, or work; its future has a result when it is on disk."""
        pending.done.set_running_or_notify_cancel()  # from here on nobody can take it back
        self._queue.put(pending)
        return pending.done

    def close(self) -> None:
        """Write what was handed over and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        for piece in self._pieces():
            if isinstance(piece, Alone):
                self._do(piece)
            else:
                self._keep_all(piece)
        with turn(self._home):
            self._link.close()

    def _pieces(self) -> Iterator[list[Pending] | Alone]:
        """Yield what comes next: every change that waits already, or work to be done alone; ends when closed."""
        group: list[Pending] = []
        while True:
            if group and (len(group) == _MOST or self._queue.empty()):
                yield group
                group = []
            following = self._queue.get()
            if isinstance(following, Pending):
                group.append(following)
                continue
            if group:
                yield group
                group = []
            if following is None:
                return
            yield following

    def _do(self, alone: Alone) -> None:
        with _Settling((alone,)):
            with told(self._home), turn(self._home):
                alone.work(self._link)
            alone.done.set_result(None)

    def _keep_all(self, group: Sequence[Pending]) -> None:
        """Keep the group in one transaction; if that fails, each alone, so that one cannot take others with it."""
        with _Settling(group if len(group) == 1 else ()) as settling:
            self._keep(group)
        if settling.failed and len(group) > 1:
            for pending in group:
                self._keep_all([pending])

    def _keep(self, group: Sequence[Pending]) -> None:
        with told(self._home), turn(self._home):
            self._blobs.write(data for pending in group for data in pending.blobs)
            with self._link.transaction():
                for pending in group:
                    self._apply(self._link, pending.change)
        for pending in group:
            pending.done.set_result(None)


class _Settling:
    """Hands whatever stopped the block to those who wait for it: a future is never left without an answer."""

    def __init__(self, group: Sequence[Pending | Alone]) -> None:
        self._group, self.failed = group, False

    def __enter__(self) -> _Settling:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is not None:
            self.failed = True
            for pending in self._group:
                pending.done.set_exception(error)
        return True
