"""From the words of `longarm diagnose` to a run, and from its record to the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.aftermath import Aftermath, settle, writable
from console.conduct import Work, conduct
from console.inventories import known_inventory
from console.settings import Settings
from console.wiring import connector, credential_store
from diagnostics.library import Library, load_library
from diagnostics.probe import Probe
from inventory.errors import Text, UsageError
from inventory.fields import did_you_mean
from inventory.names import BadName, label
from inventory.walls import refuse_mixed
from playbooks.load import find_playbook
from playbooks.model import DEFAULT_PLAYBOOK, Playbook
from runner.content import refuse_unsigned
from runner.desk import Desk, login_name
from runner.outcome import FailOn
from runner.record import HostRecord
from runner.request import DiagnoseRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `diagnose` as they were given."""

    case: str | None = None
    playbook: str | None = None
    check: Sequence[str] = ()
    probes: Path | None = None
    answers: Path | None = None
    fail_on: str = "warning"
    concurrency: int = 50
    deadline: float = 120.0
    across_customers: bool = False
    run_deadline: float | None = None

    @property
    def only_probes(self) -> bool:
        """Tell whether nothing but the user's probes is to be asked."""
        return self.probes is not None and not self.check and self.playbook is None


def diagnose_hosts(settings: Settings, targets: str, wishes: Wishes) -> int:
    """Carry out a diagnosis, settle what follows from it and return the exit code."""
    wanted = Aftermath(fail_on=FailOn(wishes.fail_on), answers=writable(wishes.answers))
    selection = known_inventory(settings).select(targets)
    if not wishes.across_customers:
        refuse_mixed(selection)
    refuse_unsigned(settings.home, str(wishes.probes or ""))
    library = load_library(wishes.probes)
    playbook = find_playbook(wishes.playbook or DEFAULT_PLAYBOOK)
    request = DiagnoseRequest(
        selection=selection,
        playbook=playbook,
        library=library,
        checks=chosen_checks(wishes, playbook, library),
        case=case_named(wishes.case),
        actor=login_name(),
        concurrency=wishes.concurrency,
        host_deadline_s=wishes.deadline,
        run_deadline_s=wishes.run_deadline,
        extra_probes=extra_probes(wishes),
        languages=(settings.language,),
        across_customers=wishes.across_customers,
    )
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        work = Work(
            prepare=lambda: credentials.prepare(selection.hosts),
            start=lambda observer: desk.diagnose(request, connect=connect, observer=observer),
        )
        record = conduct(settings, desk, work)
        return settle(settings, desk, record, wanted)


def resume_run(settings: Settings, run: str, probes: Path | None, wanted: Aftermath) -> int:
    """Do the rest of an interrupted run, settle what follows and return the exit code."""
    inventory = known_inventory(settings)
    refuse_unsigned(settings.home, str(probes or ""))
    library = load_library(probes)
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        unfinished = [host for host in desk.record(run).hosts if host.ended_at is None]
        refuse_others(settings, run, unfinished)
        waiting = [host.host for host in unfinished]
        work = Work(
            prepare=lambda: credentials.prepare(inventory.hosts[name] for name in waiting if name in inventory.hosts),
            start=lambda observer: desk.resume(run, inventory=inventory, library=library, connect=connect, observer=observer),
        )
        record = conduct(settings, desk, work)
        return settle(settings, desk, record, wanted)


def refuse_others(settings: Settings, run: str, unfinished: Sequence[HostRecord]) -> None:
    """Raise UsageError where a command that knows one customer only would have to go on with hosts of others."""
    wall = settings.wall
    others = [host.host for host in unfinished if not settings.within(host.customer)]
    if others:
        text = Text("the run has to go on with hosts of other customers than {customer}", customer=wall)
        raise UsageError(text, Text("without --customer: longarm run resume {run}", run=run))


def chosen_checks(wishes: Wishes, playbook: Playbook, library: Library) -> tuple[str, ...]:
    """Return the checks to run: none with probes alone, else those named (or UsageError), else the playbook's."""
    if wishes.only_probes:
        return ()
    for check in wishes.check:
        if check not in library.checks:
            raise UsageError(
                Text("no such check: {check}", check=check), did_you_mean(check, library.checks) or Text("longarm check list")
            )
    return tuple(dict.fromkeys(wishes.check)) or playbook.checks


def case_named(name: str | None) -> str | None:
    """Return the name of a case, which stands in lines and in names of files; UsageError for one that cannot."""
    try:
        return None if name is None else label(name)
    except BadName as error:
        raise UsageError(Text("--case: {reason}", reason=error.text), error.hint) from error


def extra_probes(wishes: Wishes) -> tuple[Probe, ...]:
    """Return the probes of the user's file, which are asked whether a check needs them or not."""
    if wishes.probes is None:
        return ()
    from diagnostics.probe_files import load_probes

    return load_probes(wishes.probes)
