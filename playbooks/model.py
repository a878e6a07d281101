"""A playbook as loaded from YAML; in this release the diagnostic kind: a named selection of checks with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from diagnostics.finding import Param
from inventory.errors import Place

DEFAULT_PLAYBOOK: Final = "standard"
"""What `diagnose` runs where nothing else is asked for."""


class Kind(StrEnum):
    """What a playbook is for."""

    DIAGNOSTIC = "diagnostic"


class Maintenance(StrEnum):
    """The kind of maintenance that statistics are split by."""

    PREVENTIVE = "preventive"
    CORRECTIVE = "corrective"
    ADAPTIVE = "adaptive"


class Tier(StrEnum):
    """Who may run it."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A named selection of checks, with the thresholds that it sets for them."""

    id: str
    title: Mapping[str, str] = field(hash=False)
    kind: Kind = Kind.DIAGNOSTIC
    maintenance: Maintenance = Maintenance.PREVENTIVE
    platforms: tuple[str, ...] = ("linux",)
    tier: Tier = Tier.L1
    checks: tuple[str, ...] = ()
    thresholds: Mapping[str, Mapping[str, Param]] = field(default_factory=dict, hash=False)
    digest: str = ""
    """SHA-256 of the file it was loaded from."""
    place: Place | None = None
