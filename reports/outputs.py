"""What hosts said to a command, or what was got of a file: those together that said the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from inventory.errors import Text
from reports import words
from reports.language import Language
from reports.visible import shortened
from runner.outcome import Outcome
from runner.output import Output
from runner.record import HostRecord

LONGEST_LINE: Final = 500
_MOST_DIGITS: Final = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Hosts with the same output."""

    hosts: tuple[HostRecord, ...]
    output: Output

    @property
    def well(self) -> bool:
        """Tell whether all of them came to what was asked: a status of 0 alone may be that of an answer that tells nothing."""
        return all(host.outcome is Outcome.OK for host in self.hosts)

    @property
    def sign(self) -> str:
        """Return how it ended, as a sign."""
        return "✓" if self.well else "✘"

    def heading(self, tongue: Language, named: int) -> str:
        """Return how it ended and on which hosts, the first of which are named."""
        names = ", ".join(host.host for host in self.hosts[:named])
        more = f" (+{len(self.hosts) - named})" if len(self.hosts) > named else ""
        return f"{names}{more} · {self.ending(tongue)}"

    def ending(self, tongue: Language) -> str:
        """Return how it ended."""
        status = "?" if self.output.exit_status is None else self.output.exit_status
        return tongue.say(Text(words.ENDINGS[self.output.ended].template, status=status))

    def lines(self, tongue: Language, most: int) -> list[str]:
        """Return what was said, with where it is from, and a mark where it is not all; hostile text."""
        said = [f"{name}: {_when(value, tongue) if name == 'modified' else value}" for name, value in self.output.origin]
        out, err = self.output.stdout.splitlines(), self.output.stderr.splitlines()
        said += [shortened(line, LONGEST_LINE) for line in (*out[:most], *(f"! {line}" for line in err[:most]))]
        if len(out) > most or len(err) > most or self.output.cut:
            said.append(tongue.say("… there is more in the evidence"))
        return said


def said_alike(hosts: Iterable[HostRecord]) -> Sequence[Alike]:
    """Return hosts with an output, grouped by it: what ended well first, then the biggest groups."""
    groups: dict[Output, list[HostRecord]] = {}
    for host in hosts:
        if host.output is not None:
            groups.setdefault(host.output, []).append(host)
    alike = [Alike(hosts=tuple(several), output=output) for output, several in groups.items()]
    return sorted(alike, key=lambda group: (not group.well, -len(group.hosts)))


def _when(value: str, tongue: Language) -> str:
    """Return seconds of the epoch, as a host tells the age of a file, as a date."""
    if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
        return value
    return tongue.date(datetime.fromtimestamp(int(value), UTC))
