"""paramiko, imported in one place, and refused where it has known holes."""

from __future__ import annotations

import logging

from remote.safe_versions import PARAMIKO, numbers
from remote.ssh_library import LibraryTooOld  # first: it decides how cryptography's words are taken

import paramiko  # isort: skip

if numbers(paramiko.__version__) < numbers(PARAMIKO.least):
    raise LibraryTooOld(paramiko.__version__, PARAMIKO)

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # words of hosts, and a traceback for each that leaves

__all__ = ["paramiko"]
