"""The words that belong to checks and causes, kept with each run: a report reads the same when the library moves on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContent:
    """What a report says about one check; every mapping is by language (`en`, `ru`)."""

    title: Mapping[str, str] = field(hash=False)
    finding: Mapping[str, str] = field(hash=False)
    """Jinja text with `subject` and `params`, rendered by `reports` and never parsed again."""
    cause: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Everything that a report may need to put identifiers into words."""

    checks: Mapping[str, CheckContent] = field(default_factory=dict, hash=False)
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Why a cause explains its effect, by rule id and language."""
    questions: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What each question asks, one English line."""
