"""The answers of one host at one time, redacted before they are kept, in a versioned format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from remote.answer import Answer

FORMAT = "longarm-evidence/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one host answered; parsers and checks see nothing but this and a Context."""

    host: str
    taken_at: datetime
    platform: str
    answers: Mapping[str, Answer] = field(hash=False)
    """By question id: every question that was meant to be asked is here."""
    versions: Mapping[str, str] = field(hash=False)
    """`longarm`, `bundle`, `probes` (digest of the probe library that asked)."""
    session: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the session negotiated: transport, user, credential, host_key, kex, cipher, …"""
