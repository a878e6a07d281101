"""paramiko, imported in one place, and refused where it has known holes."""

from __future__ import annotations

import logging

import remote.ssh_library  # noqa: F401 (first: it decides how cryptography's words are taken)
from remote.safe_versions import PARAMIKO, refuse_unsafe

import paramiko  # isort: skip

refuse_unsafe(PARAMIKO, paramiko.__version__)

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # words of hosts, and a traceback for each that leaves

__all__ = ["paramiko"]
