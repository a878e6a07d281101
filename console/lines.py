"""Watch a run where there is no terminal: plain lines, never a flood."""

from __future__ import annotations

from collections.abc import Sequence

from console.progress import Progress, detail
from console.settings import Settings
from console.terminal import complain
from console.words import say
from inventory.errors import Text
from inventory.host import Host
from reports.words import OUTCOMES
from runner.outcome import Outcome
from runner.record import HostRecord

_EACH = 40  # up to so many hosts have a line each; of more, only what needs a look, and every tenth part


class Lines(Progress):
    """An observer that writes a line to stderr for each host, or for each tenth of many."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._quiet = settings.verbosity < 0
        self._all = settings.verbosity > 0
        self._told = 0

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Tell the run's id, which `run resume` takes."""
        super().run_started(run, hosts)
        many = Text("run {run}: {count} hosts", run=run, count=len(hosts))
        self._tell(say(Text("run {run}: one host", run=run) if len(hosts) == 1 else many))

    def host_ended(self, record: HostRecord) -> None:
        """Tell how a host ended."""
        super().host_ended(record)
        few = len(self.hosts) <= _EACH or self._all
        if few or (record.outcome is not Outcome.OK and self._told < _EACH):
            self._told += 1
            self._tell(f"  {record.host}  {say(OUTCOMES[record.outcome])}  {detail(record)}".replace("\n", " ").rstrip())
        tenth = max(1, len(self.hosts) // 10)
        if not few and len(self.ended) % tenth == 0:
            self._tell(self.counts())

    def _tell(self, line: str) -> None:
        if not self._quiet:
            complain(line)
