"""Who watches a run: called outside the path of results, so that a progress bar cannot lose one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inventory.host import Host
from runner.record import HostRecord, RunRecord


class Observer(Protocol):
    """Events of one run, in order; whatever an observer raises is logged and ignored."""

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Tell the run id and the targeted hosts, before the first connection."""

    def host_started(self, host: Host) -> None:
        """Tell that a connection to `host` is being opened."""

    def host_ended(self, record: HostRecord) -> None:
        """Tell how a host ended, after its record is on disk."""

    def run_ended(self, record: RunRecord) -> None:
        """Tell how the run ended, after its end is on disk."""


class Silent:
    """An observer that looks away."""

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Do nothing."""

    def host_started(self, host: Host) -> None:
        """Do nothing."""

    def host_ended(self, record: HostRecord) -> None:
        """Do nothing."""

    def run_ended(self, record: RunRecord) -> None:
        """Do nothing."""
