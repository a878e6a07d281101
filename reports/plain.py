"""The summary in plain text: what the terminal shows and what stands in the comment on a case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reports import words
from reports.by_hand import terms
from reports.explain import Problem, Told, problems
from reports.language import Language
from reports.outputs import said_alike
from reports.repairs import RepairView
from reports.sentences import sentence
from reports.summary import Next, coverage_line, next_commands, verdict, why_unseen
from reports.visible import shortened, visible
from runner.outcome import RunKind
from runner.record import HostRecord, RunRecord

NAMED: Final = 6
"""Hosts of one problem, or unseen for one reason, that a line names; the rest is counted."""
LONGEST_LINE: Final = 400
MOST_LINES: Final = 200
"""Of what one group of hosts said; the evidence holds all."""
WIDEST_COMMAND: Final = 60
"""Commands up to this width have their reasons in one column."""


def text(record: RunRecord, tongue: Language) -> bytes:
    """Return the summary: verdict, coverage, roots with their consequences, what was not seen, what to type next."""
    return ("\n".join(visible(shortened(line, LONGEST_LINE)).rstrip() for line in _lines(record, tongue)) + "\n").encode()


def _lines(record: RunRecord, tongue: Language) -> Iterator[str]:
    title = tongue.pick(record.title, record.playbook)
    yield " · ".join(filter(None, (title, record.run, tongue.say("case {case}", case=record.case) if record.case else "")))
    yield verdict(record, tongue)
    yield coverage_line(record, tongue)
    yield from (f"{title}: {text}" for title, text in terms(record, tongue))
    if record.repair is not None:
        yield ""
        repair = RepairView(record, tongue)
        yield from (f"{title}: {text}" for title, text in repair.second_person())
        yield from repair.lines()
    for problem in problems(record.hosts):
        yield ""
        yield from _problem(problem, record, tongue)
    yield from _said(record, tongue)
    unseen = list(_unseen(record, tongue))
    if unseen:
        yield ""
        yield f"{tongue.say(words.NOT_WELL[record.kind])}:"
        yield from unseen
    yield ""
    yield tongue.say("Next:")
    steps = _next(record, tongue)
    width = max((len(step.command) for step in steps if len(step.command) <= WIDEST_COMMAND), default=0)
    for step in steps:
        yield f"  {step.command:{width}}  # {step.why}"


def _next(record: RunRecord, tongue: Language) -> list[Next]:
    """Return what to type next after this text: in the place of what shows it once more, what shows the rest."""
    this = record.called.command("run", "show", record.run)
    rest = record.called.command("report", "render", record.run, "--to", f"{record.run}.html")
    steps = [step for step in next_commands(record, tongue) if step.command != this]
    if rest not in {step.command for step in steps}:
        steps.append(Next(why=tongue.say("the whole report, with what hosts said as proof"), command=rest))
    return steps


def _said(record: RunRecord, tongue: Language) -> Iterator[str]:
    """Yield what hosts said, those together that said the same."""
    if record.subject:
        yield ""
        yield from (
            f"$ {line}" if record.kind is RunKind.COMMAND else line for line in record.subject.splitlines()[:MOST_LINES]
        )
    for group in said_alike(record.hosts):
        yield ""
        yield f"{group.sign} {group.heading(tongue, NAMED)}"
        yield from (f"    {line}" for line in group.lines(tongue, MOST_LINES))


def _problem(problem: Problem, record: RunRecord, tongue: Language) -> Iterator[str]:
    sign, severity = words.SIGNS[problem.worst], tongue.say(words.SEVERITIES[problem.worst])
    if problem.waived:
        sign, severity = words.WAIVED, tongue.say("waived, {severity}", severity=severity)
    if len(problem.cases) == 1:
        host, told = problem.cases[0]
        yield f"{sign} {severity}  {host.host}  {sentence(told.finding, record.content, tongue)}"
        yield from _beneath(told, record, tongue)
        return
    first = problem.cases[0][1].finding
    about = f": {words.subject(first)}" if first.subject else ""
    hosts = tongue.plural("{n} host", "{n} hosts", len(problem.cases))
    yield f"{sign} {severity}  {hosts}  {words.title(problem.check, record.content, tongue)}{about}"
    for host, told in problem.cases[:NAMED]:
        yield f"    {host.host}  {sentence(told.finding, record.content, tongue)}"
        yield from _beneath(told, record, tongue, "    ")
    if (rest := len(problem.cases) - NAMED) > 0:
        yield "    " + tongue.plural("… and {n} more host", "… and {n} more hosts", rest)


def _beneath(told: Told, record: RunRecord, tongue: Language, indent: str = "") -> Iterator[str]:
    if said := words.waiver(told.finding):
        yield f"{indent}    {words.WAIVED} {tongue.say(said)}"
    for effect in told.effects:
        sign = words.WAIVED if effect.finding.waived else words.SIGNS[effect.finding.severity]
        yield f"{indent}    └ {sign} {sentence(effect.finding, record.content, tongue)}"
        yield from _beneath(effect, record, tongue, indent + "  ")
    for link in () if told.link else told.also:
        rule = tongue.pick(record.content.rules.get(link.rule, {}), link.rule)
        yield f"{indent}    {words.WAIVED} " + tongue.say("explained by what is waived: {rule}", rule=rule)
    for unchecked in told.unchecked:
        title = words.title(unchecked.check, record.content, tongue)
        yield f"{indent}    ? " + tongue.say("Not checked: “{title}” could explain this, and could not be seen.", title=title)


def _unseen(record: RunRecord, tongue: Language) -> Iterator[str]:
    groups: dict[tuple[str, tuple[str, ...]], list[HostRecord]] = {}
    for host in record.hosts:
        if not host.outcome.seen:
            outcome = tongue.say(words.OUTCOMES[host.outcome])
            groups.setdefault((outcome, why_unseen(host, tongue)), []).append(host)
    for (outcome, reasons), hosts in groups.items():
        names = ", ".join(host.host for host in hosts[:NAMED])
        more = f" (+{len(hosts) - NAMED})" if len(hosts) > NAMED else ""
        yield f"  {names}{more}  {outcome}: {'; '.join(reasons)}"
