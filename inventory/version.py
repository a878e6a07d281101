"""The version of longarm; asking the installed distribution for it takes 15 ms of each start."""

from __future__ import annotations

VERSION = "0.1.0"
