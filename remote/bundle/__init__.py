"""The bundle: all questions to a host as one script, their answers framed on one pair of streams (design rule 3)."""

from __future__ import annotations

from remote.bundle.exchange import BundleExchange
from remote.bundle.wire import COMMAND, Wire, drive

__all__ = ["COMMAND", "BundleExchange", "Wire", "drive"]
