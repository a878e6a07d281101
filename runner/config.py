"""The configuration of a home, `config.yaml`: who has which role, what needs a second person, whose content is trusted.

It belongs to whoever keeps the desk and is read anew each time it counts, so that what was taken away from somebody is gone
at their next step. A home without one is that of one person, who may do everything.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from diagnostics.signed import Signer, signer_of
from inventory.documents import load_document
from inventory.errors import InvalidFile, Problem, Text, UsageError
from inventory.fields import Fields
from inventory.nodes import Node
from playbooks.model import Risk
from runner.mute_entries import HookEntry, read_hooks
from runner.roles import Grant, Role, Roles

_DAY_S: Final = 86_400.0
_NEVER: Final = "never"
_RECENT_NS: Final = 2_000_000_000
"""Filesystems tell times no finer than two seconds (FAT), kernels than some milliseconds."""
COUNT_ABOVE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Which repairs a second person has to approve, and for how long that holds."""

    least: Risk | None = Risk.DISRUPTIVE
    """From this risk on; None: none has to be."""
    playbooks: tuple[str, ...] = ()
    """Whatever their risk."""
    valid_s: float = _DAY_S

    def needed(self, playbooks: Collection[str], risk: Risk) -> bool:
        """Tell whether a repair needs a second person by the names of its playbook and of what that includes, and their risk.

        >>> Approvals().needed(["restart-service"], Risk.DISRUPTIVE), Approvals().needed(["tidy"], Risk.REVERSIBLE)
        (True, False)
        >>> Approvals(playbooks=("reboot",)).needed(["nightly", "reboot"], Risk.READ)
        True
        """
        risks = [*Risk]
        named = not {*self.playbooks}.isdisjoint(playbooks)
        return named or (self.least is not None and risks.index(risk) >= risks.index(self.least))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a home is told; everything has a value where nothing is said."""

    grants: tuple[Grant, ...] | None = None
    """None: nobody is named, so there is but one person."""
    approvals: Approvals | None = None
    """None: nothing is said of them."""
    signers: tuple[Signer, ...] | None = None
    """Whose playbooks and probes are used; None: anybody's."""
    count_above: int = COUNT_ABOVE
    """Of more hosts than these, whoever changes them types the number."""
    macos: bool = False
    """Whether hosts with macOS are changed, where that was never tried."""
    mute: tuple[HookEntry, ...] = ()
    """How monitoring is kept silent around changes."""

    def roles(self, keeper: str = "") -> Roles:
        """Return everybody's roles; where nobody is named, `keeper` alone has one, or whoever opened the home."""
        if self.grants is not None:
            return Roles(grants=self.grants)
        return Roles(grants=(Grant(role=Role.ADMIN, users=(keeper,)),)) if keeper else Roles(alone=True)

    def second_person(self, playbooks: Collection[str], risk: Risk) -> bool:
        """Tell whether a repair needs somebody else's approval: as it is said, else where there is somebody else at all."""
        return self._approvals is not None and self._approvals.needed(playbooks, risk)

    @property
    def least(self) -> Risk | None:
        """Return the risk from which a repair needs a second person, None where none does."""
        return self._approvals.least if self._approvals else None

    @property
    def named(self) -> tuple[str, ...]:
        """Return the playbooks that need a second person whatever their risk."""
        return self._approvals.playbooks if self._approvals else ()

    @property
    def _approvals(self) -> Approvals | None:
        """Return what is said, else what counts where there is somebody else at all."""
        return self.approvals or (None if self.grants is None else Approvals())

    @property
    def valid_s(self) -> float:
        """Return how long a request for approval, and the approval, hold."""
        return (self.approvals or Approvals()).valid_s


def config_file(home: Path) -> Path:
    """Return where the configuration of a home is."""
    return home / "config.yaml"


def load_config(home: Path) -> Config:
    """Return the configuration of a home, an empty one where there is no file; raises InvalidFile."""
    path = config_file(home)
    if not path.exists():
        return Config()
    return parse_config(load_document(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """By what one can tell that a configuration is the one that was read."""

    file: tuple[int, ...]
    """Which file, how long, and when it and what is said of it were changed; empty: there is none."""
    recent: bool = field(compare=False)
    """It was changed so lately that it could be changed again without that being seen."""


def stamp_of(home: Path) -> Stamp:
    """Return the stamp of the configuration of a home as it is now."""
    try:
        found = config_file(home).stat()
    except FileNotFoundError:
        return Stamp(file=(), recent=False)
    changed_ns = max(found.st_mtime_ns, found.st_ctime_ns)
    file = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return Stamp(file=file, recent=time.time_ns() - changed_ns < _RECENT_NS)


def parse_config(node: Node) -> Config:
    """Return the configuration that a document holds; raises InvalidFile with every mistake.

    >>> from inventory.documents import parse_document
    >>> text = b"roles:\\n  - {role: L2, groups: [support], customers: [acme]}\\napprovals: {from: reversible, valid: 4h}\\n"
    >>> config = parse_config(parse_document(text, "config.yaml"))
    >>> config.grants, config.valid_s, config.second_person(["tidy"], Risk.REVERSIBLE)
    ((Grant(role=<Role.L2: 'L2'>, users=(), groups=('support',), customers=('acme',), sites=()),), 14400.0, True)
    """
    problems: list[Problem] = []
    fields = Fields(node, problems, Text("the configuration"))
    grants = tuple(_grant(item, problems) for item in fields.items("roles")) if fields.has("roles") else None
    approvals = _approvals(fields.fields("approvals")) if fields.has("approvals") else None
    signers = _signers(fields.fields("library", required=True)) if fields.has("library") else None
    mute = read_hooks(fields.items("mute"), problems) if fields.has("mute") else ()
    changes = fields.fields("changes") if fields.has("changes") else None
    count_above = changes.integer("count_above", minimum=0, maximum=1_000_000) if changes else None
    macos = changes.boolean("macos") if changes else None
    if changes:
        changes.done()
    fields.done()
    if problems:
        raise InvalidFile(problems)
    return Config(
        grants=grants,
        approvals=approvals,
        signers=signers,
        count_above=COUNT_ABOVE if count_above is None else count_above,
        macos=bool(macos),
        mute=mute,
    )


def _grant(node: Node, problems: list[Problem]) -> Grant:
    fields = Fields(node, problems, Text("a role"))
    grant = Grant(
        role=Role(fields.one_of("role", [role.value for role in Role], required=True)),
        users=fields.texts("users"),
        groups=fields.texts("groups"),
        customers=fields.texts("customers"),
        sites=fields.texts("sites"),
    )
    if not grant.users and not grant.groups:
        fields.problem(fields.place(), Text("a role is for somebody: users, groups, or both"))
    for key in ("users", "groups", "customers", "sites"):
        if fields.has(key) and not getattr(grant, key):  # nothing named must never come to mean all
            fields.problem(fields.place(key), Text("“{key}” names nobody: leave it out, or say whom", key=key))
    fields.done()
    return grant


def _signers(fields: Fields) -> tuple[Signer, ...]:
    nodes = fields.text_nodes("signers", required=True)
    if fields.has("signers") and not nodes:
        fields.problem(fields.place("signers"), Text("“{key}” names nobody: leave it out, or say whom", key="signers"))
    signers = []
    for node in nodes:
        try:
            signers.append(signer_of(node.text))
        except UsageError as error:
            fields.problem(node.place, error.text, error.hint)
    fields.done()
    return tuple(signers)


def _approvals(fields: Fields) -> Approvals:
    first = fields.one_of("from", [*(risk.value for risk in Risk), _NEVER]) or Risk.DISRUPTIVE.value
    valid_s = fields.duration("valid")
    if valid_s is not None and valid_s <= 0:
        fields.problem(fields.place("valid"), Text("a deadline is longer than 0 s"))
    approvals = Approvals(
        least=None if first == _NEVER else Risk(first),
        playbooks=fields.texts("playbooks"),
        valid_s=_DAY_S if valid_s is None else valid_s,
    )
    fields.done()
    return approvals
