"""What somebody asks of a desk, and the ids that runs go by."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from diagnostics.library import Library
from diagnostics.probe import Probe
from inventory.errors import LongarmError, Text, UsageError
from inventory.host import ROOT, Selection
from playbooks.model import Kind, Playbook, Risk
from playbooks.params import ParamValue
from playbooks.ports import Operator
from runner.outcome import RunKind

if TYPE_CHECKING:
    from inventory.inventory import Inventory
    from inventory.secret import Secret
    from playbooks.scenario_writing import Recording
    from runner.mute_hooks import Hook
    from runner.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseRequest:
    """Diagnose the selected hosts by a playbook's checks; changes nothing on them."""

    selection: Selection
    playbook: Playbook
    library: Library
    checks: tuple[str, ...]
    """Ids of the checks that judge; may be empty where only `extra_probes` are asked."""
    case: str | None
    actor: str
    concurrency: int = 50
    host_deadline_s: float = 120
    """From the first packet to a host until its answers are in."""
    run_deadline_s: float | None = None
    """After it no host is begun and none is waited for; what was not begun is `not_started`."""
    extra_probes: tuple[Probe, ...] = ()
    languages: tuple[str, ...] = ("en",)
    """Of the reports that the case gets."""
    across_customers: bool = False
    """The case may hold what belongs to other customers."""

    def __post_init__(self) -> None:
        check_limits(self.concurrency, self.host_deadline_s, self.run_deadline_s)
        if not self.checks and not self.extra_probes:
            raise UsageError(Text("nothing to ask: no check and no probe was chosen"), Text("longarm check list"))


AT_ONCE: Final = 10
"""Hosts that a repair changes at a time where nobody says how many."""
CONNECTING_S: Final = 45.0
"""What a host has on top of its task's own deadline: to be reached, to let us in, to give root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """Do one thing on the selected hosts: run a command, get a file, hold a terminal."""

    selection: Selection
    task: Task
    case: str | None
    actor: str
    concurrency: int = 50
    host_deadline_s: float = 120
    run_deadline_s: float | None = None
    languages: tuple[str, ...] = ("en",)
    across_customers: bool = False
    """The case may hold what belongs to other customers."""
    read_only: bool = False
    """Whoever asks says that it only looks: it keeps nobody off its hosts, and no run keeps it off."""
    beside: str = ""
    """Why it is done also where a run changes a host, or somebody works there by hand; empty: it is not."""

    def __post_init__(self) -> None:
        check_limits(self.concurrency, self.host_deadline_s, self.run_deadline_s)
        if self.read_only and self.beside:
            raise UsageError(Text("what only looks needs no reason to go beside anything"), Text("leave one of the two out"))


def risk_of(request: TaskRequest) -> Risk:
    """Return what a task can do to its hosts: a command is root's also where one logs in as root."""
    logins = {host.credential.user for host in request.selection.hosts if host.credential is not None}
    return Risk.DISRUPTIVE if request.task.kind is RunKind.COMMAND and ROOT in logins else request.task.risk


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """That a second person has approved a repair: it stands in every report of it."""

    run: str
    """The plan that was approved."""
    asked_by: str
    approved_by: str
    at: datetime
    reason: str
    findings: tuple[str, ...] = ()
    """What the plan saw, by their ids: a host on which something else is found by now is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequest:
    """Repair the selected hosts by a playbook, or plan that; who asks has named the hosts, and none is added later."""

    selection: Selection
    playbook: Playbook
    library: Library
    params: Mapping[str, ParamValue] = field(hash=False, repr=False)
    """All of them, as `settled_params` gives them."""
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Where the secret ones are kept, `env:TOKEN`: that is what the run remembers of them."""
    file: str = ""
    """Where the playbook was read from; empty: it is a shipped one."""
    case: str | None
    actor: str
    operator: Operator = field(hash=False, repr=False)
    only_plan: bool = False
    forced: str = ""
    """Why it is done where there is no finding; empty: it is not."""
    beside: str = ""
    """Why it is done also where somebody works by hand, or to undo has done so since; empty: it is not."""
    retries: str = ""
    """The run whose hosts are tried again; empty: none."""
    undoes: str = ""
    """The run that is undone on the selected hosts; empty: the playbook is done."""
    batch: tuple[str, ...] = ()
    """Sizes of its waves, as `spread.batch_of` gives them; empty: one wave."""
    hooks: tuple[Hook, ...] = field(default=(), hash=False, repr=False)
    """What keeps monitoring silent meanwhile."""
    max_failed: str | None = None
    """How many hosts may end badly before no further one begins, as `spread.limit_of` gives it; None: any number."""
    break_glass: str = ""
    """Why it begins without the second person that it needs; empty: it does not."""
    agreed: Agreed | None = None
    """Who approved it, where somebody had to; only a desk says so."""
    concurrency: int = AT_ONCE
    host_deadline_s: float | None = None
    """None: what the playbook itself may take, and a little."""
    run_deadline_s: float | None = None
    languages: tuple[str, ...] = ("en",)
    across_customers: bool = False
    """The case may hold what belongs to other customers."""
    recorded: Callable[[Recording], None] | None = field(default=None, hash=False, repr=False)
    """Is given each host's run as a scenario; None: nobody wants one."""

    def __post_init__(self) -> None:
        check_limits(self.concurrency, 1.0 if self.host_deadline_s is None else self.host_deadline_s, self.run_deadline_s)
        if self.playbook.kind is Kind.DIAGNOSTIC:
            text = Text("“{name}” asks and changes nothing", name=self.playbook.id)
            raise UsageError(
                text, Text("longarm diagnose {targets} --playbook {name}", targets="TARGETS", name=self.playbook.id)
            )
        other = [host.name for host in self.selection.hosts if host.platform.value not in self.playbook.platforms]
        if other:
            text = Text("“{name}” is not for {hosts}", name=self.playbook.id, hosts=", ".join(other[:5]))
            raise UsageError(text, Text("it is for {platforms}", platforms=", ".join(self.playbook.platforms)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """Do the rest of a repair that was cut off: with what it was begun with, made anew."""

    inventory: Inventory = field(hash=False)
    library: Library
    playbook: Playbook
    secrets: Mapping[str, Secret] = field(hash=False, repr=False)
    operator: Operator = field(hash=False, repr=False)
    hooks: tuple[Hook, ...] = field(default=(), hash=False, repr=False)
    """What keeps monitoring silent meanwhile."""
    beside: str = ""
    """Why it goes on also where somebody works by hand now; empty: it does not."""


def check_limits(concurrency: int, host_deadline_s: float, run_deadline_s: float | None) -> None:
    """Raise UsageError for limits within which nothing could be done."""
    if concurrency < 1:
        raise UsageError(Text("at least one host at a time, not {count}", count=concurrency), Text("--concurrency 1"))
    if host_deadline_s <= 0 or (run_deadline_s is not None and run_deadline_s <= 0):
        raise UsageError(Text("a deadline is longer than 0 s"), Text("--deadline 60"))


class NoSuchRun(LongarmError):
    """No run has this id, or more than one begins or ends so."""

    def __init__(self, part: str, candidates: tuple[str, ...] = ()) -> None:
        self.part, self.candidates = part, candidates
        text = (
            Text("“{part}” could be any of {runs}", part=part, runs=", ".join(candidates[:5]))
            if candidates
            else Text("there is no run “{part}”", part=part)
        )
        super().__init__(text, Text("longarm run list"))


class NotResumable(LongarmError):
    """The run cannot go on: it has ended, or what it needs is not here."""


def new_run_id(now: datetime) -> str:
    """Return an id that sorts by time and that nobody can guess or meet twice: `20261122-104755-7f3a9c`."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
