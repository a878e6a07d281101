"""Everything besides the evidence that a verdict depends on; stored with it, so that replay is byte-identical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from diagnostics.finding import Param
from diagnostics.verdict import Severity
from inventory.host import Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What the last completed run on this host said about one subject of one check."""

    check: str
    key: str
    severity: Severity
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The circumstances of a diagnosis; pure data, every time an aware UTC time."""

    now: datetime
    checks: tuple[str, ...]
    """The checks that were asked for, in order."""
    library_digest: str
    """Digest of the probes, checks and causes that judged."""
    thresholds: Mapping[str, Mapping[str, Param]] = field(default_factory=dict, hash=False)
    """Overrides by check and threshold name, from the inventory or the playbook."""
    services: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The inventory's expectations (`inventory.host.Expectations`)."""
    waivers: tuple[Waiver, ...] = ()
    """What is accepted on this host, expired waivers included, without the places of the inventory's files."""
    earlier: tuple[Earlier, ...] = ()
    observations: Mapping[str, Param] = field(default_factory=dict, hash=False)
    """What the controller saw from its side, e.g. `asked_at_s`, `round_trip_ms`."""
