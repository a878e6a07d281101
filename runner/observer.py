"""Who watches a run: called outside the path of results, so that a progress bar cannot lose one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from inventory.host import Host
from remote.hearing import Hearing
from runner.record import HostRecord, RunRecord

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Events of one run, in order; whatever an observer raises is logged and ignored."""

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Tell the run id and the targeted hosts, before the first connection."""

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Tell that a connection to `host` is being opened; `hearing` goes on to count what arrives from it."""

    def host_ended(self, record: HostRecord) -> None:
        """Tell how a host ended, after its record is on disk."""

    def run_ended(self, record: RunRecord) -> None:
        """Tell how the run ended, after its end is on disk."""


class Silent:
    """An observer that looks away."""

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Do nothing."""

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Do nothing."""

    def host_ended(self, record: HostRecord) -> None:
        """Do nothing."""

    def run_ended(self, record: RunRecord) -> None:
        """Do nothing."""


class Guarded:
    """Passes every event on; what the observer raises is logged and ignored."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Pass on that the run began."""
        self._tell(lambda: self._observer.run_started(run, hosts))

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Pass on that a host was begun."""
        self._tell(lambda: self._observer.host_started(host, hearing))

    def host_ended(self, record: HostRecord) -> None:
        """Pass on how a host ended."""
        self._tell(lambda: self._observer.host_ended(record))

    def run_ended(self, record: RunRecord) -> None:
        """Pass on how the run ended."""
        self._tell(lambda: self._observer.run_ended(record))

    def _tell(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception:  # noqa: BLE001 - an observer is not ours: it may fail, the run may not
            _log.exception("an observer of the run failed")
