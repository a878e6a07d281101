"""Ansible's become `longarm`: it says whom to become, and longarm does that as everywhere else; no password is asked for."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
name: longarm
author: longarm
short_description: become as longarm does
description:
  - Whom to become is told to the connection; the inventory of longarm says by which program, with which password.
options:
  become_user:
    description: whom to become
    default: root
    keyword:
      - name: become_user
    vars:
      - name: ansible_become_user
  become_exe:
    description: not used
    default: ""
  become_flags:
    description: not used
    default: ""
  become_pass:
    description: not used
    default: ""
"""


class BecomeModule(BecomeBase):  # type: ignore[misc]  # Ansible says nothing of its types
    """Marks a command for the connection."""

    name = "longarm"

    def build_become_command(self, cmd: str, shell: Any) -> str:
        """Return the command with a first line that says whom it is for."""
        super().build_become_command(cmd, shell)
        return f": longarm-become {shlex.quote(self.get_option('become_user') or 'root')}\n{cmd}" if cmd else cmd
