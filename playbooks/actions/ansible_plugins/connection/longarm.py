"""Ansible's connection `longarm`: every command and file goes to the socket that longarm serves for this run.

Ansible loads it from its path; nothing of longarm is imported here, and longarm imports nothing of it.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: longarm
author: longarm
short_description: the session that longarm has open
description:
  - Each command and each file goes over the session that longarm has open to the host.
options:
  socket:
    description: where longarm listens
    required: true
    vars:
      - name: ansible_longarm_socket
  remote_user:
    description: who longarm is on the host
    vars:
      - name: ansible_user
extends_documentation_fragment:
  - connection_pipelining
"""
_BECOMES = ": longarm-become "
_BECOME = re.compile(r"""(?:\S+ -c ')?: longarm-become ([^\s']+)\n""")
"""What our become plugin writes first; Ansible has given it to a shell then, whole."""


class Connection(ConnectionBase):  # type: ignore[misc]  # Ansible says nothing of its types
    """One host, as longarm reaches it."""

    transport = "longarm"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command; as somebody else where our become plugin has said so in its first line, which does nothing itself."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        request: dict[str, Any] = {"do": "run", "script": cmd}
        if wanted := _BECOME.match(cmd):
            request["user"] = wanted[1]
        elif _BECOMES in cmd.partition("\n")[0]:  # never as whoever we are
            raise AnsibleError("become: a user whose name has to be quoted is not known to longarm")
        return self._asked(request, in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Put a file on the host."""
        super().put_file(in_path, out_path)
        self._asked({"do": "put", "from": in_path, "to": out_path})

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Get a file from the host."""
        super().fetch_file(in_path, out_path)
        self._asked({"do": "get", "from": in_path, "to": out_path})

    def close(self) -> None:
        """Leave: the session is longarm's."""
        self._connected = False

    def reset(self) -> None:
        """Stay: there is nothing of ours to open anew."""

    def _asked(self, request: dict[str, Any], stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
        """Return what longarm answers: a status and both streams; raise what has none."""
        if stdin is not None:
            request |= {"stdin": len(stdin)}
        try:
            with socket.socket(socket.AF_UNIX) as way:
                way.connect(self.get_option("socket"))
                way.sendall(json.dumps(request).encode() + b"\n" + (stdin or b""))
                with way.makefile("rb") as reader:
                    head = json.loads(reader.readline())
                    out, err = reader.read(head["stdout"]), reader.read(head["stderr"])
        except (OSError, ValueError) as error:
            raise AnsibleConnectionFailure(f"longarm does not answer any more: {error}") from error
        if "unreachable" in head:
            raise AnsibleConnectionFailure(head["unreachable"])
        if "failed" in head:
            raise AnsibleError(head["failed"])
        return head.get("status", 0), out, err
