"""How far a run is: the counts and lines that the live table and the plain lines both show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from console.words import say
from diagnostics.verdict import Verdict
from inventory.errors import Text
from inventory.host import Host
from remote.hearing import Hearing
from reports.words import OUTCOMES, SEVERITIES
from runner.outcome import Outcome
from runner.record import HostRecord, RunRecord


class Progress:
    """An observer that keeps count; those that show something build on it."""

    def __init__(self) -> None:
        self.run = ""
        self.hosts: tuple[str, ...] = ()
        self.active: dict[str, None] = {}
        self.ended: dict[str, HostRecord] = {}
        self.record: RunRecord | None = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Show nothing that moves in the block: somebody is being asked."""
        yield

    def run_started(self, run: str, hosts: Sequence[Host]) -> None:
        """Note the run and its hosts."""
        self.run, self.hosts = run, tuple(host.name for host in hosts)

    def host_started(self, host: Host, hearing: Hearing) -> None:  # noqa: ARG002 (the protocol's)
        """Note that a host is being asked."""
        self.active[host.name] = None

    def host_ended(self, record: HostRecord) -> None:
        """Note how a host ended."""
        self.active.pop(record.host, None)
        self.ended[record.host] = record

    def run_ended(self, record: RunRecord) -> None:
        """Note that nothing is active any more."""
        self.record = record
        self.active.clear()

    def counts(self) -> str:
        """Return one line such as `5 of 8 · ok 3 · findings 1 · refused 1`."""
        ended = Counter(record.outcome for record in list(self.ended.values()))
        parts = [f"{say(OUTCOMES[outcome])} {ended[outcome]}" for outcome in Outcome if ended[outcome]]
        total = say(Text("{done} of {all} hosts", done=ended.total(), all=len(self.hosts)))
        return " · ".join([total, *parts])


def detail(record: HostRecord) -> str:
    """Return the most telling thing about a host in a few words: its error, its findings or what was not seen."""
    if record.error:
        return say(record.error)
    if record.diagnosis is None:
        return ""
    found = Counter(finding.severity for finding in record.diagnosis.findings if not finding.waived)
    parts = [f"{say(text)} {found[severity]}" for severity, text in SEVERITIES.items() if found[severity]]
    if waived := sum(finding.waived for finding in record.diagnosis.findings):
        parts.append(f"{say(Text('waived'))} {waived}")
    if unknown := sum(result.verdict is Verdict.UNKNOWN for result in record.diagnosis.results):
        parts.append(say(Text("not seen: {count} of {all} checks", count=unknown, all=len(record.diagnosis.results))))
    return ", ".join(parts)
