"""The scenarios of playbooks on a real host: it is made ill on purpose, repaired, compared with what is expected, put right."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from console.aftermath import keep_reports
from console.authoring import FAILED, written_playbook
from console.conduct import Work, conduct
from console.inventories import known_inventory
from console.settings import Settings
from console.terminal import complain, confirmed, tell, tell_hint
from console.wiring import connector, credential_store
from console.words import say
from diagnostics.library import Library, load_library
from inventory.errors import LongarmError, Text, UsageError
from inventory.host import Platform, Selection
from inventory.secret import Secret
from playbooks.lint import sound_playbook
from playbooks.load import SHIPPED
from playbooks.model import Playbook
from playbooks.params import ParamValue, in_expressions, settled_params
from playbooks.scenario_files import Scenario, load_scenarios, scenarios_of
from playbooks.scenarios import ended_otherwise, judged_otherwise, planned_otherwise
from playbooks.testing import FakeOperator
from playbooks.values import for_sh, mentioned, powershell_prologue
from remote.command import Command
from remote.question import Privilege
from remote.session import Connect
from runner.content import refuse_unsigned
from runner.desk import Desk, login_name
from runner.outcome import KEPT_OFF, Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import CONNECTING_S, RepairRequest, RestRequest, TaskRequest
from runner.tasks import CommandTask

MAKING_S = 120
"""How long the script may take that makes a host ill, or puts it right."""


def rehearse(settings: Settings, names: Sequence[str], target: str) -> tuple[list[Mapping[str, object]], int]:
    """Return how the scenarios of playbooks ended on one host, and 1 where one did not end as expected.

    Raises UsageError where none of them says how a real host of this kind is made so.
    """
    selection = known_inventory(settings).select(target)
    if (count := len(selection.hosts)) != 1:
        text = Text("“{target}” names {count} hosts: scenarios are played on one", target=target, count=count)
        raise UsageError(text, Text("longarm inventory list {target}", target=shlex.quote(target)))
    library, (host,) = load_library(), selection.hosts
    parts = list(_parts(settings.home, names, library))
    if not any(_fits(one.scenario, host.platform) for one in parts):
        text = Text("no scenario says how a host like {host} is made so: all are for scripted hosts", host=host.name)
        raise UsageError(text, Text("real: {ill: a script that makes a host so, well: one that puts it right}"))
    if not confirmed(settings, Text("the scenarios make {host} ill on purpose and repair it: go on?", host=host.name)):
        tell(settings, Text("nothing was changed"), level=-1)
        return [], 0
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        stage = _Stage(settings, desk, selection, library, connect, partial(credentials.prepare, selection.hosts))
        rows = [stage.played(one) for one in parts]
    return rows, FAILED if any(row["state"] == "failed" for row in rows) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A scenario with its playbook."""

    playbook: Playbook
    file: str
    scenario: Scenario


def _parts(home: Path, names: Sequence[str], library: Library) -> Iterator[_Part]:
    for path in (written_playbook(home, name) for name in names):
        playbook = sound_playbook(path, library)
        file = "" if path.parent == SHIPPED else str(path.resolve())
        refuse_unsigned(home, file)
        for scenario in load_scenarios(scenarios_of(path), playbook, library):
            yield _Part(playbook=playbook, file=file, scenario=scenario)


def _fits(scenario: Scenario, platform: Platform) -> bool:
    return scenario.real is not None and scenario.host.platform is platform


class _Stage:
    """One host on which scenarios are played, one after the other."""

    def __init__(
        self, settings: Settings, desk: Desk, selection: Selection, library: Library, connect: Connect, prepare: partial[None]
    ) -> None:
        self.settings, self.desk, self.selection, self.library = settings, desk, selection, library
        self.connect, self.prepare = connect, prepare

    def played(self, part: _Part) -> Mapping[str, object]:
        """Return how one scenario ended; one that is for scripted hosts alone says so."""
        scenario, (host,) = part.scenario, self.selection.hosts
        row = {"scenario": scenario.name, "playbook": part.playbook.id, "host": host.name}
        if scenario.real is None or not _fits(scenario, host.platform):
            return {**row, "state": "scripted", "run": None, "problems": []}
        params = settled_params(part.playbook.params, scenario.params)
        run, problems, kept_off = "", list[Text](), False
        try:
            refused = self._made(scenario.real.ill, part, params)
            kept_off = refused is not None and refused.error_kind in KEPT_OFF
            if refused is not None:
                problems += _did_not_work(refused)
            else:
                run, problems = self._repaired(part, params)
        finally:  # whatever went wrong, also where Ctrl-C ended it; a host that was kept off was not made ill
            if not kept_off and (left := self._made(scenario.real.well, part, params, beside=_well(scenario))) is not None:
                problems += _did_not_work(left)
        if kept_off:
            tell_hint(self.settings, "longarm run leases", level=-1)
        for text in problems:
            complain(f"{scenario.place}: {scenario.name}: {say(text)}")
        state = "failed" if problems else "ok"
        return {**row, "state": state, "run": run or None, "problems": [say(text) for text in problems]}

    def _made(self, script: str, part: _Part, params: Mapping[str, ParamValue], *, beside: str = "") -> HostRecord | None:
        """Run a script that makes the host ill or well, and return how the host ended where it did not work."""
        if not script:
            return None
        values = mentioned(script, in_expressions(part.playbook.params, params))
        if self.selection.hosts[0].platform is Platform.WINDOWS:
            script, values = powershell_prologue(values) + script, {}
        command = Command(
            script=script,
            variables={name: for_sh(value) for name, value in values.items()},
            deadline_s=MAKING_S,
            privilege=Privilege.ROOT,
        )
        task = TaskRequest(
            selection=self.selection,
            task=CommandTask(command=command),
            case=None,
            actor=login_name(),
            host_deadline_s=MAKING_S + CONNECTING_S,
            languages=(self.settings.language,),
            beside=beside,
        )
        work = Work(
            prepare=self.prepare,
            start=lambda observer: self.desk.carry_out(task, connect=self.connect, observer=observer),
        )
        (host,) = self._kept(conduct(self.settings, self.desk, work)).hosts
        return None if host.outcome is Outcome.OK else host

    def _repaired(self, part: _Part, params: Mapping[str, ParamValue]) -> tuple[str, list[Text]]:
        """Plan and repair, and return the repair's run with what was otherwise than expected."""
        expected, problems = part.scenario.expected, list[Text]()
        if expected.plan:
            host = self._run(part, params, only_plan=True).hosts[0]
            problems += planned_otherwise(expected, host.repair.plans) if host.repair else _nothing_done(host)
        record = self._run(part, params, only_plan=False)
        (host,) = record.hosts
        if host.repair is None or not (host.repair.steps or host.repair.verdicts):
            return record.run, [*problems, *_nothing_done(host)]
        problems += ended_otherwise(expected, host.repair)
        problems += judged_otherwise(expected, host.repair.verdicts)
        return record.run, problems

    def _run(self, part: _Part, params: Mapping[str, ParamValue], *, only_plan: bool) -> RunRecord:
        """Repair the host, or plan that: what names verdicts has to find what it is for, all else is done in any case."""
        scenario = part.scenario
        request = RepairRequest(
            selection=self.selection,
            playbook=part.playbook,
            library=self.library,
            params=params,
            file=part.file,
            case=None,
            actor=login_name(),
            operator=FakeOperator(scenario.operator),
            only_plan=only_plan,
            forced="" if scenario.expected.verdicts else f"scenario: {scenario.name}",
            languages=(self.settings.language,),
        )
        work = Work(
            prepare=self.prepare,
            start=lambda observer: self.desk.repair(request, connect=self.connect, observer=observer),
        )
        record = conduct(self.settings, self.desk, work)
        (host,) = record.hosts
        under_way = host.repair is not None and (host.repair.steps or host.repair.left_open)
        if record.state is RunState.INTERRUPTED and not only_plan and under_way:
            self._see_through(record, part, params)
            raise KeyboardInterrupt
        return self._kept(record)

    def _see_through(self, record: RunRecord, part: _Part, params: Mapping[str, ParamValue]) -> None:
        """Go on with a repair that was stopped: what it left under way has to be over before the host is put right."""
        work = Work(
            prepare=self.prepare,
            start=lambda observer: self.desk.resume_repair(
                record.run,
                RestRequest(
                    inventory=known_inventory(self.settings),
                    library=self.library,
                    playbook=part.playbook,
                    secrets={name: value for name, value in params.items() if isinstance(value, Secret)},
                    operator=FakeOperator(part.scenario.operator),
                    beside=_well(part.scenario),
                ),
                connect=self.connect,
                observer=observer,
            ),
        )
        ended = record
        try:
            tell(self.settings, Text("{host} is put right when what is under way there is over", host=record.hosts[0].host))
            ended = conduct(self.settings, self.desk, work)
        except LongarmError as error:  # the host is held meanwhile, or changes are frozen
            complain(say(error.text))
        finally:
            keep_reports(self.settings, ended)
            if ended.state is RunState.INTERRUPTED:  # once more Ctrl-C
                tell_hint(self.settings, f"longarm run resume {record.run}", level=-1)

    def _kept(self, record: RunRecord) -> RunRecord:
        """Keep the report of a run, as every command does, and return it; KeyboardInterrupt if it was stopped."""
        keep_reports(self.settings, record)
        if record.state is RunState.INTERRUPTED:
            raise KeyboardInterrupt
        return record


def _well(scenario: Scenario) -> str:
    """Return why a host is put right also where somebody is at work there: ill on purpose it is of no use to them."""
    return f"putting right after scenario “{scenario.name}”"


def _did_not_work(host: HostRecord) -> Iterator[Text]:
    yield Text("the script that makes the host so did not work: {why}", why=host.error or host.outcome.value)


def _nothing_done(host: HostRecord) -> Iterator[Text]:
    why = host.error or host.outcome.value
    yield Text("nothing was done on {host}: {why}", host=host.host, why=why)
