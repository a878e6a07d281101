"""What every format opens with: the verdict, the coverage, the counts, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.errors import Text
from playbooks.model import DEFAULT_PLAYBOOK
from playbooks.results import HostChange
from reports.explain import by_severity, problems
from reports.language import Language
from reports.repair_commands import command_of, does_nothing, mends_nothing, offer_of, others_of, repair_of_cause
from reports.repair_sentences import mute_sentence, verdict_of
from reports.undoing import next_of_plan, to_undo, undo_words, undone_again
from reports.words import OUTCOMES, connection_dropped, needs_root, reason, root_denied, title
from runner.outcome import KEPT_OFF, Outcome, RunKind, RunState
from runner.record import HostRecord, RunRecord
from runner.store.rows import ApprovalRow, ApprovalState

ALWAYS_TOLD: Final = (Outcome.INCOMPLETE, Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.TIMED_OUT)
SOMETIMES_TOLD: Final = (Outcome.FAILED, Outcome.INTERRUPTED, Outcome.UNKNOWN, Outcome.NOT_STARTED)
HOSTS_IN_A_COMMAND: Final = 12
REPAIRS_OFFERED: Final = 3
"""Among what to type next; the page offers each beside its finding."""


class Tone(StrEnum):
    """What a verdict looks like; CLEAR only where everything was seen, since no data is never green."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    CLEAR = "clear"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The figures of a run; every format shows these and no others."""

    targeted: int
    seen: int
    roots: int
    findings: int
    hosts_with: dict[Severity, int]
    """Hosts by their worst finding."""
    severities: dict[Severity, int]
    """Of the findings that count."""
    waived: int
    """Findings that do not count."""
    verdicts: dict[Verdict, int]
    """Of every check on every host that was diagnosed."""

    @property
    def unseen(self) -> int:
        """Return how many targeted hosts were not seen completely."""
        return self.targeted - self.seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A command to type next, and why."""

    why: str
    command: str


def tally(record: RunRecord) -> Tally:
    """Return the figures of a run; the sums are asserted (design rule 1)."""
    coverage, groups = record.coverage, problems(record.hosts)
    found = [finding for host in record.hosts if host.diagnosis for finding in host.diagnosis.findings]
    verdicts = dict.fromkeys(Verdict, 0)
    for host in record.hosts:
        for result in host.diagnosis.results if host.diagnosis else ():
            verdicts[result.verdict] += 1
    severities = by_severity(finding for finding in found if not finding.waived)
    waived = sum(finding.waived for finding in found)
    assert sum(severities.values()) + waived == len(found) == sum(group.findings for group in groups), (
        "a finding was not counted"
    )
    worst_of_hosts = [host.diagnosis.worst for host in record.hosts if host.diagnosis]
    return Tally(
        targeted=coverage.targeted,
        seen=coverage.seen,
        roots=sum(len(group.cases) for group in groups),
        findings=len(found),
        hosts_with={severity: worst_of_hosts.count(severity) for severity in severities},
        severities=severities,
        waived=waived,
        verdicts=verdicts,
    )


def tone(record: RunRecord) -> Tone:
    """Return what the verdict looks like at a glance."""
    if record.repair is not None and record.repair.planned:
        return Tone.INFO if record.coverage.seen == record.coverage.targeted else Tone.UNSEEN
    if record.repair is not None and record.repair.changes[HostChange.UNKNOWN]:
        return Tone.UNSEEN
    if record.kind is not RunKind.DIAGNOSE and record.repair is None:
        if record.coverage.counts[Outcome.FAILED]:
            return Tone.WARNING
        return Tone.CLEAR if record.coverage.seen == record.coverage.targeted else Tone.UNSEEN
    if (worst := record.worst) is not None:
        return Tone(worst.value)
    if record.coverage.counts[Outcome.FAILED] and record.repair is not None:
        return Tone.WARNING
    if not record.checks or record.coverage.seen != record.coverage.targeted:
        return Tone.UNSEEN
    waived = any(host.diagnosis and host.diagnosis.findings for host in record.hosts)
    return Tone.INFO if waived else Tone.CLEAR  # what is waived is accepted, not gone


def verdict(record: RunRecord, tongue: Language) -> str:
    """Return the verdict in one to five sentences; what was not seen is part of it."""
    return " ".join(verdict_sentences(record, tongue))


def verdict_sentences(record: RunRecord, tongue: Language) -> tuple[str, ...]:
    """Return the verdict: what was found, what of it is waived, what was not seen, whether it ended, what is gone."""
    figures = tally(record)
    if record.repair is not None:
        sentences = verdict_of(record, tongue)
    else:
        found = record.kind is RunKind.DIAGNOSE
        sentences = [_what_was_found(record, figures, tongue) if found else _what_was_done(record, tongue)]
    if figures.waived:
        waived = tongue.plural("{n} finding is waived.", "{n} findings are waived.", figures.waived)
        sentences.append(waived)
    unseen = _unseen_hosts(record, figures)
    if unseen and any(host.diagnosis for host in record.hosts):
        sentences.append(tongue.plural("{n} host was not fully seen.", "{n} hosts were not fully seen.", unseen))
    for one in record.repair.mutes if record.repair is not None else ():
        if one.state != "unmuted":
            sentences.append(f"{tongue.say('Monitoring, by {hook}', hook=one.hook)}: {mute_sentence(one, tongue)}.")
    if record.state is not RunState.ENDED:
        sentences.append(tongue.say("The run did not end: this is what stood when it stopped."))
    if pruned := sum(host.pruned_at is not None for host in record.hosts):
        sentences.append(
            tongue.plural(
                "The evidence of {n} host was pruned: what it answered cannot be looked at any more.",
                "The evidence of {n} hosts was pruned: what they answered cannot be looked at any more.",
                pruned,
            )
        )
    if record.erased_hosts:
        sentences.append(
            tongue.plural(
                "{n} more host was erased from this run.", "{n} more hosts were erased from this run.", record.erased_hosts
            )
        )
    return tuple(sentences)


def _unseen_hosts(record: RunRecord, figures: Tally) -> int:
    """Return how many hosts were not fully seen; a repair whose step failed may have seen all of its host even so."""
    if record.kind is not RunKind.REPAIR:
        return figures.unseen
    whole = (host.diagnosis is not None and all(one.complete for one in host.diagnosis.results) for host in record.hosts)
    return sum(not host.outcome.seen and not seen for host, seen in zip(record.hosts, whole, strict=True))


def _what_was_done(record: RunRecord, tongue: Language) -> str:
    done, total = record.coverage.seen, record.coverage.targeted
    if record.kind is RunKind.COMMAND:
        return tongue.plural(
            "The command ended with status 0 on {some} of {n} host.",
            "The command ended with status 0 on {some} of {n} hosts.",
            total,
            some=done,
        )
    if record.kind is RunKind.TERMINAL:
        return tongue.say("The terminal was opened." if done else "The terminal could not be opened.")
    return tongue.say("The file was got." if done else "The file could not be got.")


def _what_was_found(record: RunRecord, figures: Tally, tongue: Language) -> str:
    hosts_with, total = figures.hosts_with, figures.targeted
    if some := hosts_with[Severity.CRITICAL]:
        return tongue.plural(
            "Critical problems on {some} of {n} host.", "Critical problems on {some} of {n} hosts.", total, some=some
        )
    if some := hosts_with[Severity.WARNING]:
        return tongue.plural("Warnings on {some} of {n} host.", "Warnings on {some} of {n} hosts.", total, some=some)
    if some := hosts_with[Severity.INFO]:
        return tongue.plural("Only remarks, on {some} of {n} host.", "Only remarks, on {some} of {n} hosts.", total, some=some)
    if not record.checks:
        return tongue.say("Questions were asked and nothing was judged: no check was chosen.")
    if figures.seen == total and figures.waived:
        return tongue.plural(
            "{n} host was seen completely: nothing else was found than what is waived.",
            "All {n} hosts were seen completely: nothing else was found than what is waived.",
            total,
        )
    if figures.seen == total:
        return tongue.plural(
            "{n} host was seen completely: nothing was found.", "All {n} hosts were seen completely: nothing was found.", total
        )
    if any(host.diagnosis for host in record.hosts):
        if figures.waived:
            return tongue.say("Nothing else was found in what could be seen than what is waived.")
        return tongue.say("Nothing was found in what could be seen.")
    return tongue.plural(
        "Not seen: nothing can be said about {n} host.", "Not seen: nothing can be said about {n} hosts.", total
    )


def coverage_parts(record: RunRecord, tongue: Language) -> tuple[tuple[str, int, str], ...]:
    """Return the summands of the coverage line: class, count, words; they add up to the targeted hosts."""
    coverage = record.coverage
    looked = record.kind in (RunKind.DIAGNOSE, RunKind.PLAN)
    parts = [("seen", coverage.seen, tongue.say("seen" if looked else "done"))]
    parts += [
        (outcome.value, coverage.counts[outcome], tongue.say(OUTCOMES[outcome]))
        for outcome in (*ALWAYS_TOLD, *SOMETIMES_TOLD)
        if coverage.counts[outcome] or outcome in ALWAYS_TOLD
    ]
    assert sum(count for _, count, _ in parts) == coverage.targeted, "the coverage line does not add up"
    return tuple(parts)


def coverage_line(record: RunRecord, tongue: Language) -> str:
    """Return the coverage as an equation: `8 targeted = 5 seen + 1 incomplete + …`."""
    summands = " + ".join(f"{count} {words}" for _, count, words in coverage_parts(record, tongue))
    return tongue.say("{n} targeted = {summands}", n=record.coverage.targeted, summands=summands)


def why_unseen(host: HostRecord, tongue: Language) -> tuple[str, ...]:
    """Return why a host was not fully seen, each reason once; empty for a host that was."""
    reasons = [tongue.say(host.error)] if host.error else []
    if host.denied_root:
        reasons.append(tongue.say(root_denied(host.denied_root, host.platform)))
    if dropped := connection_dropped(host.session, tongue):
        reasons.append(dropped)
    for (kind, detail), (checks, questions) in _unseen(host).items():
        about = ", ".join(questions)
        said = reason(Why(reason=kind, question=about, detail=detail)) if about or detail else needs_root(host.platform)
        reasons.append(tongue.say("{checks}: {why}", checks=", ".join(checks), why=said))
    if not reasons and not host.outcome.seen:
        reasons.append(tongue.say("no reason was recorded"))
    return tuple(reasons)


def _unseen(host: HostRecord) -> dict[tuple[Reason, str], tuple[list[str], list[str]]]:
    """Return by reason and detail which checks could not judge and which questions stood behind them, each once."""
    grouped: dict[tuple[Reason, str], tuple[list[str], list[str]]] = {}
    for result in host.diagnosis.results if host.diagnosis else ():
        for why in result.unseen:
            denied = bool(host.denied_root) and why.reason is Reason.NOT_RUN and why.detail == host.denied_root
            checks, questions = grouped.setdefault((why.reason, "" if denied else why.detail), ([], []))
            if result.check not in checks:
                checks.append(result.check)
            if not denied and why.question and why.question not in questions:
                questions.append(why.question)
    return grouped


def next_commands(record: RunRecord, tongue: Language) -> tuple[Next, ...]:
    """Return what to type next, most useful first: see what was not seen, then read on."""
    steps: list[Next] = []

    def step(why: Text, *words: str) -> None:
        steps.append(Next(why=tongue.say(why), command=record.called.command(*words)))

    diagnosed = record.kind is RunKind.DIAGNOSE
    if diagnosed and (record.state is not RunState.ENDED or _named(record, {Outcome.INTERRUPTED, Outcome.NOT_STARTED})):
        step(Text("do the rest of this run"), "run", "resume", record.run)
    same = _selection(record) + (("--case", record.case) if record.case else ())
    changed = [
        host.host
        for host in record.hosts
        if host.error and host.error_kind == "HostKeyRefused" and "known" in host.error.params
    ]
    if changed:
        why = Text("a changed host key can mean that another machine answers: find out who changed it, then accept it")
        step(why, "host", "enrol", "--replace", _targets(record, changed))
    if hosts := [host for host in _named(record, {Outcome.REFUSED}, ("HostKeyRefused",)) if host not in changed]:
        step(Text("compare the fingerprints of their host keys, then trust them"), "host", "enrol", _targets(record, hosts))
    if record.repair is not None:
        _after_repair(record, step)
        return tuple(steps)
    if not diagnosed:
        _after_task(record, step)
        return tuple(steps)
    steps += _repairs(record, tongue)
    if hosts := _named(record, {Outcome.REFUSED}, ("HostCertificateRefused",)):
        step(Text("when their certificates are in order"), "diagnose", _targets(record, hosts), *same)
    if hosts := _named(record, {Outcome.REFUSED}, besides=("HostKeyRefused", "HostCertificateRefused")):
        step(Text("when their credentials are in order"), "diagnose", _targets(record, hosts), *same)
    if hosts := _named(record, {Outcome.UNREACHABLE, Outcome.TIMED_OUT, Outcome.UNKNOWN, Outcome.FAILED}):
        step(Text("when they can be reached again"), "diagnose", _targets(record, hosts), *same)
    if hosts := [host.host for host in record.hosts if host.outcome is Outcome.INCOMPLETE]:
        step(Text("when what stood in the way is gone"), "diagnose", _targets(record, hosts), *same)
    step(Text("every host of this run, in the terminal"), "run", "show", record.run)
    return tuple(steps)


def _after_task(record: RunRecord, step: Callable[..., None]) -> None:
    """Say what to type after a command, a file or a terminal."""
    if _named(record, {Outcome.REFUSED}, _IN_OTHER_HANDS):
        why = Text("who has it, and since when; what only looks: --read-only; all the same: --beside REASON")
        step(why, "run", "leases")
    if hosts := _named(record, {Outcome.UNREACHABLE, Outcome.REFUSED}, besides=("HostKeyRefused", *KEPT_OFF)):
        step(Text("what stands in the way"), "doctor", "--host", hosts[0])
    step(Text("all that hosts said"), "run", "export", record.run, "--format", "answers")


_IN_OTHER_HANDS: Final = ("HostLeased", "HostInHand")
"""Kinds of refusals of a host that a run or a person has."""


def _repairs(record: RunRecord, tongue: Language) -> list[Next]:
    """Return the commands that repair what was found: of roots first, then of what follows from them; a few of them."""
    found = [
        (told is not root, nth, host.host, told.finding)
        for problem in problems(record.hosts)
        for nth, (host, root) in enumerate(problem.cases)
        for told in root
    ]
    offers: list[Next] = []
    for _, _, host, finding in sorted(found, key=lambda one: one[:2]):
        if len(offers) < REPAIRS_OFFERED and (command := offer_of(record, finding)):
            about = title(finding.check, record.content, tongue)
            offers.append(Next(why=tongue.say("repair on {host}: {title}", host=host, title=about), command=command))
    return offers


_TRIED_AGAIN: Final = frozenset(
    {
        *(Outcome.FAILED, Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.TIMED_OUT),
        *(Outcome.INCOMPLETE, Outcome.NOT_STARTED),
    }
)
"""Outcomes of a repair after which a host is repaired again, once what stood in the way is gone."""


def _after_repair(record: RunRecord, step: Callable[..., None]) -> None:
    """Say what to type after a repair, or after the plan of one."""
    assert record.repair is not None
    if record.state is not RunState.ENDED and not record.repair.planned:
        step(Text("ask the hosts how it ended there, and do the rest"), "run", "resume", record.run)
    firsts = _causes_first(record)
    for words in firsts[:REPAIRS_OFFERED]:
        step(Text("repair first what the rest follows from"), *words)
    planned = any(host.repair and host.repair.plans for host in record.hosts)
    if record.repair.planned and (planned or not (firsts or record.repair.undoes)):
        for why, words in _next_of_plan(record, record.repair.approval):
            step(why, *words)
    if hosts := [host.host for host in record.hosts if _unsettled(host) and host.outcome is not Outcome.INTERRUPTED]:
        step(Text("look yourself: nobody knows how it ended there"), "diagnose", _targets(record, hosts))
    if unproved := to_undo(record):
        step(Text("undo what was done there, as the playbook undoes it"), *undo_words(record, unproved))
    if _named(record, {Outcome.REFUSED, Outcome.INTERRUPTED}, ("HostInHand",)):
        step(Text("who works there by hand, and since when; all the same: --beside REASON"), "run", "leases")
    again = _TRIED_AGAIN & {host.outcome for host in record.hosts if not _unsettled(host)}
    if record.state is not RunState.ENDED:
        again -= {Outcome.NOT_STARTED}  # `run resume` begins them
    if record.repair.undoes:
        settled = (host for host in record.hosts if not _unsettled(host))
        for why, words in undone_again(record, [host for host in settled if host.outcome in again]):
            step(why, *words)
    elif again and not record.repair.planned:
        only = ",".join(sorted(outcome.value for outcome in again))
        step(Text("when what stood in the way is gone"), "run", "retry", record.run, "--only", only)
    step(Text("every host of this run, in the terminal"), "run", "show", record.run)


def _unsettled(host: HostRecord) -> bool:
    """Tell whether nobody knows what was done to a host."""
    return host.repair is not None and host.repair.unsettled


def _causes_first(record: RunRecord) -> list[tuple[str, ...]]:
    """Return what repairs the causes of what was found where nothing was done, each once."""
    idle = (host.repair for host in record.hosts if host.repair and not (host.repair.steps or host.repair.plans))
    found = (repair_of_cause(record, cause) for repair in idle for cause in repair.causes)
    return list(dict.fromkeys(words for words in found if words))


def _next_of_plan(record: RunRecord, approval: ApprovalRow | None) -> Iterator[tuple[Text, tuple[str, ...]]]:
    """Yield why and how a plan goes on: as it says, or as a second person has said; nothing where there is nothing to do."""
    if approval is not None and approval.begun_as:
        yield Text("what became of it"), ("run", "show", approval.begun_as)
    elif record.repair is not None and record.repair.undoes:
        yield next_of_plan(record)
    elif mends_nothing(record):
        others = others_of(record)[:REPAIRS_OFFERED]
        for words in others:
            yield Text("the same playbook, for what was found"), words
        if not others:
            why = Text("this playbook has nothing to do there, and what was found stands: hand it over to L3")
            yield why, ("report", "render", record.run, "--to", f"{record.run}.html")
    elif approval is not None and approval.state is ApprovalState.WAITING:
        yield Text("somebody else looks at this and approves it"), ("approve", record.run)
    elif approval is not None and approval.state is ApprovalState.APPROVED:
        yield Text("begin it"), ("run", "start", record.run)
    elif record.repair is None or not (record.repair.claims and does_nothing(record)):
        yield Text("do it"), command_of(record)


def _selection(record: RunRecord) -> tuple[str, ...]:
    """Return the options of `diagnose` that judge by the same checks again; none where the run judged by the default."""
    playbook = () if record.playbook == DEFAULT_PLAYBOOK else ("--playbook", record.playbook)
    return playbook + (tuple(word for check in record.checks for word in ("--check", check)) if record.checks_chosen else ())


def _named(record: RunRecord, outcomes: set[Outcome], kinds: Sequence[str] = (), *, besides: Sequence[str] = ()) -> list[str]:
    return [
        host.host
        for host in record.hosts
        if host.outcome in outcomes and (not kinds or host.error_kind in kinds) and host.error_kind not in besides
    ]


def _targets(record: RunRecord, hosts: Sequence[str]) -> str:
    return ",".join(hosts) if len(hosts) <= HOSTS_IN_A_COMMAND else record.expression
