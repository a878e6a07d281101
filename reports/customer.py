"""The record that a customer's edition is made from: an allow-list, built anew, of what a customer may read of a run.

What is not named here is not there: free words of the desk, commands, outputs, differences, errors, thresholds, sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from diagnostics.content import Content
from diagnostics.finding import CheckResult, Citation, Diagnosis, Finding, Param, Unchecked
from diagnostics.verdict import Why
from playbooks.results import Forecast, StepPlan, StepResult
from playbooks.verdicts import FindingVerdict
from reports.pseudonyms import Names
from reports.sentences import compared
from runner.outcome import RunKind
from runner.record import HostRecord, Quote, RunRecord
from runner.repair_record import HostRepair, RunRepair

KINDS: Final = (RunKind.DIAGNOSE, RunKind.REPAIR, RunKind.PLAN)
"""The runs that a customer may read about; what a command or a file brought back is nobody's list."""
TOLD: Final = frozenset(
    {
        *("mount", "device", "disk", "drive", "array", "interface", "package", "kernel", "model", "port"),
        *("unit", "service", "name", "state", "sub_state", "unit_file", "start", "result", "type", "scope", "status", "by"),
        *("installed", "running", "protection", "provider", "channel", "medium"),
        *("running_kernel", "newest_kernel", "level"),
    }
)
"""Values of findings that are told where they are text: what parts of a machine are called. Numbers always are."""
QUOTATIONS: Final = frozenset({"last_words"})
"""Values that are nothing but a line of a host: a sentence leaves out that something was said where they are empty."""
OURS: Final[Mapping[str, frozenset[str]]] = {
    "cache": frozenset({"libraries", "fonts", "icons", "applications"}),
    "health": frozenset({"healthy", "warning", "unhealthy", "unknown"}),
    "modules": frozenset({"proprietary", "out of tree", "unsigned"}),
    "profile": frozenset({"Domain", "Private", "Public"}),
    "why": frozenset({"servicing", "update", "rename", "join", "manager"}),
}
"""Words that our own questions choose, by the value that they, or several with commas, stand in: they are told. So is every
word with which a check's own sentence compares a value: it chooses what is said."""
QUOTED: Final = frozenset({"blk.md", "fs.stat", "log.size", "mem.info", "pkg.reboot", "win.drives", "win.reboot"})
"""Questions whose lines are quoted: figures of disks, memory and restarts; logs, accounts and networks are not."""


def for_customer(record: RunRecord, names: Names) -> RunRecord:
    """Return what a customer may read of a run; sentences, sums and verdicts are made from it as from any record."""
    return RunRecord(
        run=record.run,
        playbook=record.playbook,
        title=record.title,
        maintenance=record.maintenance,
        expression="",
        actor="",
        case=record.case,
        customers=record.customers,
        state=record.state,
        started_at=record.started_at,
        ended_at=record.ended_at,
        hosts=tuple(_Host(host, names, record.content).record() for host in record.hosts),
        checks=record.checks,
        versions={name: value for name, value in record.versions.items() if name == "longarm"},
        content=record.content,
        checks_chosen=record.checks_chosen,
        erased_hosts=record.erased_hosts,
        kind=record.kind,
        repair=_run_repair(record.repair, names) if record.repair else None,
    )


def _run_repair(repair: RunRepair, names: Names) -> RunRepair:
    return RunRepair(
        planned=repair.planned,
        params={},
        secrets={},
        file="",
        risk=repair.risk,
        tier=repair.tier,
        says=repair.says,
        titles={
            names.text(name): {code: names.text(title) for code, title in titles.items()}
            for name, titles in repair.titles.items()
        },
        claims=repair.claims,
        forced="",
        retries="",
        undoes=repair.undoes,
        break_glass="",
        agreed=None,
        approval=None,
        settle_s=repair.settle_s,
        concurrency=repair.concurrency,
        batch=(),
        mutes=(),
        max_failed=None,
        changes=repair.changes,
    )


class _Host:
    """One host as a customer reads of it; values that are left out keep their numbers throughout."""

    def __init__(self, host: HostRecord, names: Names, content: Content) -> None:
        self._host, self._names, self._content, self._left_out = host, names, content, dict[str, int]()
        self._stands_for = dict[str, str]()

    def record(self) -> HostRecord:
        """Return the host under its pseudonym."""
        host = self._host
        diagnosis = self._diagnosis(host.diagnosis) if host.diagnosis else None
        return HostRecord(
            host=self._names.hosts[host.host],
            address="",
            site=None,
            customer=host.customer,
            platform=host.platform,
            transport="",
            outcome=host.outcome,
            started_at=host.started_at,
            ended_at=host.ended_at,
            diagnosis=diagnosis,
            quotes=self._quotes(host.diagnosis, host.quotes),
            pruned_at=host.pruned_at,
            repair=self._repair(host.repair) if host.repair else None,
        )

    def _diagnosis(self, diagnosis: Diagnosis) -> Diagnosis:
        ids = {finding.id: self._finding(finding).id for finding in diagnosis.findings}
        return Diagnosis(
            host=self._names.hosts[self._host.host],
            results=tuple(self._result(result) for result in diagnosis.results),
            links=tuple(
                replace(link, cause=ids[link.cause], effect=ids[link.effect], cause_citations=(), effect_citations=())
                for link in diagnosis.links
                if link.cause in ids and link.effect in ids
            ),
            unchecked=tuple(
                Unchecked(finding=ids[one.finding], check=one.check, rule=one.rule)
                for one in diagnosis.unchecked
                if one.finding in ids
            ),
        )

    def _result(self, result: CheckResult) -> CheckResult:
        return CheckResult(
            check=result.check,
            verdict=result.verdict,
            why=_reason(result.why) if result.why else None,
            findings=tuple(self._finding(one) for one in result.findings),
            unseen=tuple(dict.fromkeys(_reason(why) for why in result.unseen)),
        )

    def _finding(self, finding: Finding) -> Finding:
        return Finding(
            check=finding.check,
            host=self._names.hosts[self._host.host],
            subject=self._values(finding.check, finding.subject),
            severity=finding.severity,
            params=self._values(finding.check, finding.params),
            citations=tuple(one for one in finding.citations if one.question in QUOTED),
            since=finding.since,
            dated=finding.dated,
            held=finding.held,
            waived=finding.waived,
        )

    def _values(self, check: str, values: Mapping[str, Param]) -> dict[str, Param]:
        words = self._content.checks.get(check)
        chosen = frozenset[tuple[str, str]]().union(*map(compared, words.finding.values() if words else ()))
        return {
            name: self._value(name, value, (name, value) in chosen) if isinstance(value, str) and value else value
            for name, value in values.items()
        }

    def _value(self, name: str, value: str, compared_with: bool) -> str:
        if name in QUOTATIONS:
            return ""
        if compared_with:
            return self._apart(value, value)
        if name in TOLD or OURS.get(name, frozenset()).issuperset(value.split(", ")):
            return self._apart(value, self._names.text(value))
        return self._number(value)

    def _apart(self, value: str, text: str) -> str:
        """Return what is told of a value; with a number behind it where another one reads the same: findings stay two."""
        while self._stands_for.setdefault(text, value) != value:
            text += f" {self._number(value)}"
        return text

    def _number(self, value: str) -> str:
        return f"[{self._left_out.setdefault(value, len(self._left_out) + 1)}]"

    def _quotes(self, diagnosis: Diagnosis | None, quotes: Mapping[str, tuple[Quote, ...]]) -> dict[str, tuple[Quote, ...]]:
        """Return the quotes of a diagnosis by the ids that its findings have here."""
        found = diagnosis.findings if diagnosis else ()
        return {self._finding(one).id: tuple(self._told(quotes.get(one.id, ()))) for one in found}

    def _told(self, quotes: Iterable[Quote]) -> Iterable[Quote]:
        for quote in quotes:
            if quote.citation.question in QUOTED:
                where = Citation(question=quote.citation.question, first=quote.citation.first, last=quote.citation.last)
                yield Quote(citation=where, lines=tuple(map(self._names.text, quote.lines)), cut=quote.cut)

    def _repair(self, repair: HostRepair) -> HostRepair:
        return HostRepair(
            change=repair.change,
            flags=repair.flags,
            plans=tuple(self._plan(plan) for plan in repair.plans),
            steps=tuple(self._step(step) for step in repair.steps),
            undone=tuple(self._step(step) for step in repair.undone),
            left_open=tuple(map(self._names.text, repair.left_open)),
            verdicts=tuple(self._verdict(one) for one in repair.verdicts),
            consequences=tuple(self._verdict(one) for one in repair.consequences),
            before_quotes=self._quotes(repair.before, repair.before_quotes),
            samples=repair.samples,
        )

    def _plan(self, plan: StepPlan) -> StepPlan:
        name = self._names.text(plan.name)
        forecast, undoes = Forecast(changes=plan.forecast.changes), self._names.text(plan.undoes)
        return StepPlan(key="", name=name, action="", forecast=forecast, skipped=plan.skipped, undoes=undoes, stays=plan.stays)

    def _step(self, step: StepResult) -> StepResult:
        return StepResult(key="", name=self._names.text(step.name), action="", state=step.state, effect=step.effect)

    def _verdict(self, one: FindingVerdict) -> FindingVerdict:
        before = self._finding(one.before) if one.before else None
        after = self._finding(one.after) if one.after else None
        told = before or after
        return FindingVerdict(check=one.check, key=told.key if told else "", fix=one.fix, before=before, after=after)


def _reason(why: Why) -> Why:
    return Why(reason=why.reason)
