"""What the page's template asks for: groups, pieces, proofs and anchors, worked out from a record."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from diagnostics.finding import CheckResult, Citation, Finding
from diagnostics.verdict import Reason, Severity, Verdict
from inventory.errors import Text
from remote.answer import Ended
from reports import words
from reports.explain import Problem, Told, by_severity, explain, problems
from reports.language import Language
from reports.outputs import Alike, said_alike
from reports.pictures import Piece, bar, strip
from reports.pseudonyms import pseudonyms
from reports.repair_commands import offer_of
from reports.sentences import sentence
from reports.summary import Next, next_commands, tally, tone, why_unseen
from runner.notes import AnswerNote
from runner.outcome import Outcome
from runner.record import HostRecord, Quote, RunRecord

FOLD_HEALTHY_FROM: Final = 25
"""From this many hosts on, those where everything is clear are folded into one line."""
HEAT_FROM: Final = 12
HEAT_NAMED: Final = 60
"""Up to so many hosts each column of the matrix has its name above it; of more there is no room."""
PREVIEWED: Final = 4
LISTED: Final = 8
"""Hosts of one problem that stand in the open; the rest is folded."""

SAID_LINES: Final = 200
"""Of what one group of hosts said to a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much is said of each host."""

    quote_lines: int
    questions: bool
    brief: bool = False
    """Findings as single lines, hosts without their particulars: for fleets where very much is wrong."""
    healthy_as_names: bool = False
    """Of hosts where everything was seen and nothing found, the names alone: for fleets of thousands."""


FULL: Final = Detail(quote_lines=20, questions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Quoted lines, with where they stand; fewer than there were where the page had to be short."""

    where: str
    lines: Sequence[str]
    hidden: int
    cut: bool
    nothing: bool = False
    """What was looked for does not stand in the answer: there is no line of the host's to show."""


class View:
    """What the template asks for; holds no text of its own."""

    def __init__(self, record: RunRecord, tongue: Language, detail: Detail) -> None:
        self.record, self.tongue, self.detail = record, tongue, detail
        self.figures, self.problems = tally(record), problems(record.hosts)
        self._titles = {check: words.title(check, record.content, tongue) for check in record.checks}
        self._endings: dict[tuple[Ended, int | None], str] = {}

    @property
    def shortened(self) -> bool:
        """Tell whether quotes or questions were left out to stay within the budget."""
        return self.detail != FULL

    @property
    def zone(self) -> str:
        """Return the zone that every time on the page is given in."""
        return self.record.started_at.tzname() or "UTC"

    @property
    def has_heat(self) -> bool:
        """Tell whether the fleet is big enough that people would rather look than read."""
        return len(self.record.hosts) >= HEAT_FROM

    @property
    def across(self) -> Sequence[HostRecord]:
        """Return the hosts whose names stand above the columns of the matrix: all of them, or none where there is no room."""
        return self.record.hosts if len(self.record.hosts) <= HEAT_NAMED else ()

    def sign(self, kind: str) -> str:
        """Return the sign of a class of cells."""
        return _SIGNS.get(kind, words.SIGNS[Verdict.UNKNOWN])

    @property
    def tone(self) -> str:
        """Return the class of the verdict block."""
        return tone(self.record).value

    @property
    def title(self) -> str:
        """Return the playbook's title."""
        return self.tongue.pick(self.record.title, self.record.playbook)

    @property
    def maintenance(self) -> str:
        """Return the kind of maintenance in words."""
        kind = words.MAINTENANCE.get(self.record.maintenance)
        return self.tongue.say(kind) if kind else self.record.maintenance

    @property
    def took_ms(self) -> float | None:
        """Return how long the run took, or None while it has no end."""
        ended = self.record.ended_at
        return (ended - self.record.started_at).total_seconds() * 1000 if ended else None

    def versions(self) -> list[tuple[str, str, bool]]:
        """Return what made the run: name, version, and whether it is a digest, digests last."""
        named = [(name, value, name in _DIGESTS) for name, value in sorted(self.record.versions.items())]
        named.sort(key=lambda entry: entry[2])
        return [(self.tongue.say(_VERSIONS[name]) if name in _VERSIONS else name, value, wide) for name, value, wide in named]

    def asked(self) -> list[tuple[str, str]]:
        """Return what each question that was asked anywhere in this run asks, where the run kept words for it."""
        asked = {note.question for host in self.record.hosts for note in host.answers}
        told = self.record.content.questions.items()
        return sorted((question, self.tongue.say(text)) for question, text in told if question in asked and text)

    def steps(self) -> tuple[Next, ...]:
        """Return the commands to type next."""
        return next_commands(self.record, self.tongue)

    def coverage(self) -> tuple[Piece, ...]:
        """Return the coverage bar: what was seen by its worst finding, what was not by how it ended."""
        return bar((kind, count, label) for kind, count, label in self._coverage())

    def _coverage(self) -> list[tuple[str, int, str]]:
        say = self.tongue.say
        hosts = self.record.hosts
        seen = Counter(_worst(host) for host in hosts if host.outcome.seen)
        waived = sum(1 for host in hosts if host.outcome.seen and _only_waived(host))
        parts = [("clear", seen[None] - waived, say("clear"))]
        parts += [(severity.value, seen[severity], say(words.SEVERITIES[severity])) for severity in words.SEVERITIES]
        parts.append(("waived", waived, say("only what is waived")))
        ended = Counter(host.outcome for host in hosts if not host.outcome.seen)
        return parts + [("unseen", ended[outcome], say(words.OUTCOMES[outcome])) for outcome in Outcome if ended[outcome]]

    # what hosts said

    @property
    def said(self) -> Sequence[Alike]:
        """Return the outputs of hosts, those that are the same together."""
        return said_alike(self.record.hosts)

    @property
    def said_lines(self) -> int:
        """Return how many lines of each are shown."""
        return SAID_LINES if self.detail == FULL else self.detail.quote_lines

    # problems

    def sentence(self, finding: Finding) -> str:
        """Return a finding in words."""
        return sentence(finding, self.record.content, self.tongue)

    def heading(self, problem: Problem) -> str:
        """Return the sentence of a problem on one host; on several, the check's title and its subject."""
        first = problem.cases[0][1].finding
        if len(problem.cases) == 1:
            return self.sentence(first)
        head, subject = self.check_title(problem.check), words.subject(first)
        return f"{head}: {subject}" if subject else head

    def listed(self, problem: Problem) -> tuple[tuple[tuple[HostRecord, Told], ...], tuple[tuple[HostRecord, Told], ...]]:
        """Return the cases of a problem that stand in the open, and those that are folded."""
        count = LISTED if len(problem.cases) > LISTED + 2 else len(problem.cases)
        return problem.cases[:count], problem.cases[count:]

    def check_title(self, check: str) -> str:
        """Return a check's title."""
        return self._titles.get(check) or words.title(check, self.record.content, self.tongue)

    def cause(self, finding: Finding) -> str:
        """Return the likely cause that the check's author names, or nothing."""
        return words.cause(finding.check, self.record.content, self.tongue)

    def offer(self, finding: Finding) -> str:
        """Return the command that repairs a finding, or nothing."""
        return offer_of(self.record, finding)

    def prose(self, text: str) -> list[tuple[bool, str]]:
        """Return content as pieces, true for those that its author put between backticks: commands and file names."""
        return [(position % 2 == 1, piece) for position, piece in enumerate(text.split("`")) if piece]

    def rule(self, rule: str) -> str:
        """Return why a cause explains its effect."""
        return self.tongue.pick(self.record.content.rules.get(rule, {}), rule)

    def told_counts(self, told: Sequence[Told]) -> list[tuple[Severity, int]]:
        """Return how many findings of which severity stand in these and beneath them, zero left out."""
        counts = by_severity(one.finding for root in told for one in root)
        return [(severity, count) for severity, count in counts.items() if count]

    def preview(self, several: Sequence[Told]) -> list[Finding]:
        """Return the findings that a folded line names."""
        return [one.finding for told in several for one in told][:PREVIEWED]

    def proofs(self, host: HostRecord, told: Told) -> list[Proof]:
        """Return the lines that prove a finding, and those on its side of the link to its cause."""
        own = dict.fromkeys((*told.finding.citations, *(told.link.effect_citations if told.link else ())))
        quotes = {quote.citation: quote for quote in host.quotes.get(told.finding.id, ())}
        return [self._proof(quotes[one]) if one in quotes else self._place(one) for one in own]

    def cause_proofs(self, host: HostRecord, told: Told, cause: Told | None) -> list[Proof]:
        """Return the lines on the cause's side of a link that do not stand with the cause itself already."""
        if told.link is None or cause is None:
            return []
        above = {*cause.finding.citations, *(cause.link.effect_citations if cause.link else ())}
        quotes = {quote.citation: quote for quote in host.quotes.get(told.link.cause, ())}
        return [self._proof(quotes[one]) for one in told.link.cause_citations if one in quotes and one not in above]

    def _proof(self, quote: Quote) -> Proof:
        limit = self.detail.quote_lines
        return Proof(
            where=self.tongue.say(words.lines_of(quote.citation)), lines=[line.expandtabs(8) for line in quote.lines[:limit]],
            hidden=max(0, len(quote.lines) - limit), cut=quote.cut, nothing=not quote.lines and not quote.cut,
        )  # fmt: skip

    def _place(self, citation: Citation) -> Proof:
        return Proof(where=self.tongue.say(words.lines_of(citation)), lines=(), hidden=0, cut=False)

    # hosts

    def unseen(self) -> list[tuple[Outcome, list[HostRecord], tuple[str, ...], str]]:
        """Return the hosts that were not fully seen, those with the same outcome and reasons together."""
        groups: dict[tuple[Outcome, tuple[str, ...], str], list[HostRecord]] = {}
        for host in self.record.hosts:
            if not host.outcome.seen:
                hint = self.tongue.say(host.hint) if host.hint else ""
                groups.setdefault((host.outcome, why_unseen(host, self.tongue), hint), []).append(host)
        order = list(Outcome)
        return [
            (outcome, hosts, reasons, hint)
            for (outcome, reasons, hint), hosts in sorted(groups.items(), key=lambda group: order.index(group[0][0]))
        ]

    @staticmethod
    def advice(hint: str) -> tuple[str, str]:
        """Return a hint as its words and the command that it ends with, either of which may be empty.

        >>> View.advice("find out who changed it, then: longarm host enrol --replace db1")
        ('find out who changed it, then:', 'longarm host enrol --replace db1')
        """
        words, longarm, command = hint.partition("longarm ")
        return words.strip(), longarm + command

    def heat(self) -> list[tuple[str, tuple[tuple[str, str], ...], list[tuple[str, int]]]]:
        """Return for each check its strip over all hosts and what it counted, clear left out."""
        rows = []
        for check in self.record.checks:
            kinds = [_cell(_result(host, check)) for host in self.record.hosts]
            counts = Counter(kinds)
            told = [(kind, counts[kind]) for kind in ("critical", "warning", "info", "waived", "unseen") if counts[kind]]
            rows.append((check, strip(kinds), told))
        return rows

    def hosts(self) -> tuple[list[HostRecord], list[HostRecord]]:
        """Return the hosts to list one by one, and the healthy ones of a big run, to be folded."""
        hosts = list(self.record.hosts)
        if len(hosts) < FOLD_HEALTHY_FROM:
            return hosts, []
        return [host for host in hosts if host.outcome is not Outcome.OK], [
            host for host in hosts if host.outcome is Outcome.OK
        ]

    def cells(self, host: HostRecord) -> list[tuple[str, str, str]]:
        """Return a host's row of the matrix: class, sign, check and how it ended; without checks for other platforms."""
        row = []
        for check in self.record.checks:
            result = _result(host, check)
            if result and _elsewhere(result):
                continue
            kind = _cell(result)
            sign = _SIGNS.get(kind) or words.SIGNS[result.verdict if result else Verdict.UNKNOWN]
            row.append((kind, sign, check))
        return row

    def worst(self, host: HostRecord) -> Severity | None:
        """Return the worst severity that counts on a host."""
        return _worst(host)

    def waiver(self, finding: Finding) -> str:
        """Return by whom, until when and why a finding is waived; nothing where it has no waiver."""
        said = words.waiver(finding)
        return self.tongue.say(said) if said else ""

    def thresholds(self, host: HostRecord) -> str:
        """Return the thresholds that were set for a host: `fs-space.warning = 80, …`."""
        given = ((check, name, value) for check, values in sorted(host.thresholds.items()) for name, value in values.items())
        return ", ".join(f"{check}.{name} = {value}" for check, name, value in given)

    def by_verdict(self, host: HostRecord) -> list[tuple[Verdict, list[tuple[CheckResult, str]]]]:
        """Return a host's checks by verdict, each with its reason in words; without those for other platforms."""
        results = host.diagnosis.results if host.diagnosis else ()
        grouped = []
        for which in (Verdict.FINDING, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE, Verdict.CLEAR):
            of = [(one, "; ".join(self._reasons(one))) for one in results if one.verdict is which and not _elsewhere(one)]
            if of:
                grouped.append((which, of))
        return grouped

    def elsewhere(self, host: HostRecord) -> int:
        """Return how many checks of the run are for other platforms than the host's."""
        return sum(_elsewhere(result) for result in host.diagnosis.results) if host.diagnosis else 0

    def _reasons(self, result: CheckResult) -> list[str]:
        whys = result.unseen or ((result.why,) if result.why else ())
        return list(dict.fromkeys(self.tongue.say(words.reason(why)) for why in whys))

    def not_judged(self, host: HostRecord) -> list[str]:
        """Return the checks that were asked for and of which nothing is known on this host."""
        judged = {result.check for result in host.diagnosis.results} if host.diagnosis else set()
        return [check for check in self.record.checks if check not in judged]

    def roots(self, host: HostRecord) -> tuple[Told, ...]:
        """Return a host's findings as roots."""
        return explain(host.diagnosis) if host.diagnosis else ()

    def notes(self, host: HostRecord) -> Sequence[AnswerNote]:
        """Return how the questions ended; on big pages only those that did not simply exit."""
        if self.detail.questions:
            return host.answers
        return tuple(note for note in host.answers if note.ended is not Ended.EXITED)

    def ending(self, note: AnswerNote) -> str:
        """Return how a question ended."""
        if note.why or note.unkillable:
            return self.tongue.say(words.ending(note))
        alike = note.ended, note.exit_status
        if alike not in self._endings:
            self._endings[alike] = self.tongue.say(words.ending(note))
        return self._endings[alike]

    def host_ms(self, host: HostRecord) -> float | None:
        """Return how long a host took."""
        if host.started_at is None or host.ended_at is None:
            return None
        return (host.ended_at - host.started_at).total_seconds() * 1000

    def pseudonym(self, host: HostRecord) -> str:
        """Return what the host is called in a customer's edition."""
        return self._pseudonyms[host.host]

    @cached_property
    def _pseudonyms(self) -> dict[str, str]:
        return pseudonyms(self.record.hosts)

    # anchors

    def host_anchor(self, host: HostRecord) -> str:
        """Return the fragment of a host's section: `host-db01`."""
        return "host-" + _slug(host.host)

    def anchor(self, finding: Finding | str) -> str:
        """Return the fragment of a finding: the same in every report on it."""
        return "f-" + _short_digest(finding if isinstance(finding, str) else finding.id)

    def problem_anchor(self, problem: Problem) -> str:
        """Return the fragment of a problem."""
        return "p-" + _short_digest(f"{problem.check}/{problem.key}")


_DIGESTS: Final = ("library", "playbook", "probes")
_VERSIONS: Final = {
    "library": Text("Library, SHA-256"),
    "playbook": Text("Playbook, SHA-256"),
    "probes": Text("Further probes, SHA-256"),
    "bundle": Text("Bundle format"),
}
_SIGNS: Final = {severity.value: words.SIGNS[severity] for severity in Severity} | {"waived": words.WAIVED}


def _worst(host: HostRecord) -> Severity | None:
    return host.diagnosis.worst if host.diagnosis else None


def _only_waived(host: HostRecord) -> bool:
    return host.diagnosis is not None and bool(host.diagnosis.findings) and host.diagnosis.worst is None


def _elsewhere(result: CheckResult) -> bool:
    """Tell whether a check does not concern a host because it is for other platforms."""
    return result.why is not None and result.why.reason is Reason.PLATFORM


def _result(host: HostRecord, check: str) -> CheckResult | None:
    return next((result for result in host.diagnosis.results if result.check == check), None) if host.diagnosis else None


def _cell(result: CheckResult | None) -> str:
    """Return the class of one cell: a severity, waived, clear, none (not applicable), or unseen."""
    if result is None or result.verdict is Verdict.UNKNOWN:
        return "unseen"
    if result.verdict is Verdict.FINDING:
        counting = [finding.severity for finding in result.findings if not finding.waived]
        nothing_counts = "unseen" if result.unseen else "waived"
        return max(counting, key=lambda severity: severity.rank).value if counting else nothing_counts
    return "clear" if result.verdict is Verdict.CLEAR else "none"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _slug(name: str) -> str:
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80]
    return kept if kept == name else f"{kept}-{_short_digest(name)}"
