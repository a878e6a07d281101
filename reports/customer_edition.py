"""The customer's edition of a report, as a page and as text: from the allow-listed record, looked through before it leaves."""

from __future__ import annotations

import html as markup
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from diagnostics.content import Content
from inventory.errors import LongarmError, Text
from playbooks.results import HostChange
from playbooks.verdicts import FindingVerdict
from reports import words
from reports.customer import KINDS, for_customer
from reports.explain import Told
from reports.language import Language
from reports.page import template
from reports.plain import LONGEST_LINE
from reports.pseudonyms import Names
from reports.repairs import RepairView
from reports.summary import verdict_sentences
from reports.view import FULL, Proof, View
from reports.visible import shortened, visible
from runner.outcome import Outcome
from runner.record import HostRecord, RunRecord
from runner.store.rows import ApprovalState

_OURS: Final = re.compile(r"<style>.*?</style>|</?h[1-6]", re.DOTALL)
"""What no host has a part in: a host may be called `h1` as well."""
OUTCOMES: Final[Mapping[Outcome, Text]] = {
    Outcome.OK: Text("all of it was looked at"),
    Outcome.FINDINGS: Text("all of it was looked at"),
    Outcome.INCOMPLETE: Text("a part of it could not be looked at"),
    Outcome.FAILED: Text("the work there did not go as it should"),
    Outcome.UNREACHABLE: Text("it could not be reached"),
    Outcome.REFUSED: Text("access to it, or the work on it, was not allowed"),
    Outcome.TIMED_OUT: Text("it did not answer in time"),
    Outcome.INTERRUPTED: Text("the work was stopped before its end"),
    Outcome.UNKNOWN: Text("it is not known how the work ended there"),
    Outcome.NOT_STARTED: Text("nothing was begun there"),
}


class NotForCustomers(LongarmError):
    """No customer's edition is made of this: better none than one that says too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What a customer's edition is made of."""

    record: RunRecord
    """What a customer may read."""
    names: Names
    agreed: tuple[str, ...]
    """How the work was agreed on, and what stands out about it."""


def edition(record: RunRecord, tongue: Language) -> Edition:
    """Return what a customer may read of a run; raises NotForCustomers for a run that is for none, or for several."""
    if record.kind not in KINDS:
        raise NotForCustomers(Text("of a command, a file or a terminal there is no report for customers"))
    if len({host.customer for host in record.hosts}) > 1:
        why = Text("this run is about hosts of several customers, or of none: there is no report of it for one of them")
        raise NotForCustomers(why)
    names = Names(record)
    return Edition(record=for_customer(record, names), names=names, agreed=tuple(_agreed(record, tongue)))


def customer_html(record: RunRecord, tongue: Language) -> bytes:
    """Return the customer's edition as one HTML file; raises NotForCustomers, also where a name was left in it."""
    made = edition(record, tongue)
    page = template("customer.html.j2", made.record, tongue, c=CustomerView(made, tongue))
    return _looked_through(page, _OURS.sub("", page), made)


def customer_text(record: RunRecord, tongue: Language) -> bytes:
    """Return the customer's edition as plain text; raises NotForCustomers, also where a name was left in it."""
    made = edition(record, tongue)
    lines = CustomerView(made, tongue).lines()
    text = "\n".join(visible(shortened(line, LONGEST_LINE)).rstrip() for line in lines) + "\n"
    return _looked_through(text, text, made)


def _looked_through(whole: str, told: str, made: Edition) -> bytes:
    """Return the bytes of an edition in which none of the names stands that the run knows.

    Two kinds may: what the page is about (case, customer, run), and plain words that authors use: a host that is called
    `mail` is told from the word by nobody. What hosts said was replaced before.
    """
    record = made.record
    about = made.names.told("\n".join((record.run, record.case or "", *record.customers)))
    left = made.names.told(markup.unescape(told)) - about
    if left and (left := left - {word for word in made.names.told(_own_words(record)) if word.isalpha()}):
        why = Text("{count} names that are not for customers stand in the report: it was not made", count=len(left))
        raise NotForCustomers(why, Text("longarm report render {run}", run=made.record.run))
    return whole.encode()


def _own_words(record: RunRecord) -> str:
    """Return what authors wrote, here and in the library, which no host has a part in."""
    from reports.language import own_words
    from reports.page import TEMPLATES

    templates = (path.read_text("utf-8") for path in sorted(TEMPLATES.glob("*.html.j2")))
    repair = record.repair
    told = [*record.title.values(), *(repair.says.values() if repair else ())]
    return "\n".join((own_words(), *templates, *told, *_content(record.content), record.playbook, record.maintenance))


def _content(content: Content) -> Iterator[str]:
    for name, check in content.checks.items():
        yield name
        for said in (check.title, check.finding, check.cause):
            yield from said.values()
    for rule in content.rules.values():
        yield from rule.values()


def _agreed(record: RunRecord, tongue: Language) -> Iterator[str]:
    """Yield how a repair was agreed on: by whom in general, never by name, and never in the desk's own words."""
    if (repair := record.repair) is None:
        return
    if repair.break_glass:
        yield tongue.say("It was urgent: the work began without the second engineer who otherwise looks at it beforehand.")
    if repair.agreed is not None:
        yield tongue.say("A second engineer looked at it beforehand and approved it on {at}.", at=repair.agreed.at)
    if repair.approval is not None:
        yield tongue.say(_STANDS[repair.approval.state])
    if repair.forced:
        yield tongue.say("It was done on purpose also where nothing of the kind was found.")
    if silent := [one.until for one in repair.mutes if one.state in ("muted", "muting")]:
        yield tongue.say("Monitoring was kept silent during the work; by itself it speaks again at {until}.", until=max(silent))
    elif any(one.state == "unmuted" for one in repair.mutes):
        yield tongue.say("Monitoring was kept silent during the work, and speaks again.")


_STANDS: Final[Mapping[ApprovalState, Text]] = {
    ApprovalState.WAITING: Text("It waits for a second engineer to look at it and to approve it."),
    ApprovalState.APPROVED: Text("A second engineer has approved it; it was not begun yet."),
    ApprovalState.DECLINED: Text("A second engineer has looked at it and refused it."),
    ApprovalState.VOID: Text("It was approved, but something has changed since: it has to be looked at again."),
    ApprovalState.BEGUN: Text("A second engineer has approved it, and it was begun."),
}


class _CustomerRepairView(RepairView):
    """A repair in words for those whose hosts it was done on."""

    def _lost(self, one: FindingVerdict) -> str:  # noqa: ARG002 (why not is for the desk)
        return self.tongue.say("it could not be looked at again")


class CustomerView(View):
    """What the template of the customer's edition asks for."""

    def __init__(self, made: Edition, tongue: Language) -> None:
        super().__init__(made.record, tongue, FULL)
        self.made = made
        self.repair = _CustomerRepairView(made.record, tongue) if made.record.repair is not None else None
        self.sentences = verdict_sentences(made.record, tongue)

    def ended(self, host: HostRecord) -> str:
        """Return how it went with a host, in words for those who own it."""
        return self.tongue.say(OUTCOMES[host.outcome])

    def quoted(self, host: HostRecord, told: Told) -> list[Proof]:
        """Return the lines that prove a finding, of questions whose lines are told."""
        return [proof for proof in self.proofs(host, told) if proof.lines]

    def not_looked_at(self, host: HostRecord) -> list[str]:
        """Return what could not be judged on a host, by the titles of the checks."""
        results = host.diagnosis.results if host.diagnosis else ()
        return [self.check_title(result.check) for result in results if result.unseen]

    def done(self) -> list[HostRecord]:
        """Return the hosts of a repair, those on which something was done first."""
        if self.repair is None:
            return []
        return [host for host, _ in (*self.repair.worked_on(), *self.repair.left_alone())]

    def troubled(self) -> list[HostRecord]:
        """Return the hosts on which something is found now, worst first."""
        found = [host for host in self.record.hosts if host.diagnosis and host.diagnosis.findings]
        return sorted(found, key=lambda host: -(worst.rank if (worst := self.worst(host)) else -1))

    def not_seen(self) -> list[HostRecord]:
        """Return the hosts of which not all was seen, or on which the work did not go as it should."""
        return [host for host in self.record.hosts if not host.outcome.seen]

    def lines(self) -> Iterator[str]:
        """Yield the edition as plain text."""
        say = self.tongue.say
        case = say("case {case}", case=self.record.case) if self.record.case else ""
        began = self.tongue.date(self.record.started_at)
        yield " · ".join(filter(None, (self.title, self.record.run, *self.record.customers, case, began)))
        yield " ".join(self.sentences)
        yield from self.made.agreed
        for host in self.done():
            yield ""
            yield from self._done(host)
        for host in self.troubled():
            yield ""
            yield f"{host.host}  {say('found now') if self.repair else say('found')}:"
            for told in self.roots(host):
                yield from self._told(told, "    ")
        for host in self.not_seen():
            yield ""
            yield f"{host.host}  {self.ended(host)}"
            yield from (f"    {title}" for title in self.not_looked_at(host))
        yield from ("", *self.foot())

    def foot(self) -> list[str]:
        """Return what explains how hosts are called, and what is left out."""
        say = self.tongue.say
        return [
            say("All times in {zone}.", zone=self.zone),
            say("A host is called the same in every report for you; your support desk knows which one it is."),
            say(
                "People, addresses and what is not a figure are left out; "
                "a number in brackets is the same where the same was left out."
            ),
        ]

    def _done(self, host: HostRecord) -> Iterator[str]:
        assert self.repair is not None
        assert host.repair is not None
        yield f"{host.host}  {self.change(host)}"
        for one in self.repair.proven(host, (*host.repair.verdicts, *host.repair.consequences)):
            yield f"    {one.sign} {one.word}  {one.title}: {one.before.text} → {one.after.text}"
        for step in self.repair.steps(host.repair):
            yield f"    {step.name}: {step.word}"

    def change(self, host: HostRecord) -> str:
        """Return what was done to a host."""
        assert self.repair is not None
        assert host.repair is not None
        if self.record.repair is not None and self.record.repair.planned:
            return self.tongue.say("nothing was changed yet")
        if host.repair.change is HostChange.UNCHANGED and host.repair.steps:
            return self.tongue.say("nothing had to be changed")
        return self.repair.change(host.repair)

    def _told(self, told: Told, indent: str) -> Iterator[str]:
        sign = words.WAIVED if told.finding.waived else words.SIGNS[told.finding.severity]
        yield f"{indent}{sign} {self.sentence(told.finding)}"
        if told.link:
            yield f"{indent}  {self.tongue.say('Because:')} {self.rule(told.link.rule)}"
        if cause := self.cause(told.finding):
            yield f"{indent}  {self.tongue.say('Likely cause:')} {''.join(piece for _, piece in self.prose(cause))}"
        for effect in told.effects:
            yield from self._told(effect, indent + "    ")
