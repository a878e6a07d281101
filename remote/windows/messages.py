"""pywinrm's messages over our own connection."""

from __future__ import annotations

import uuid
from typing import Any, cast

from winrm.protocol import Protocol

from remote.windows.wire import Wire

SHELL_IDLE_S = 180
"""After which the host itself ends a shell that nobody asks for: one whose creation was never answered, too."""
_CODE_PAGE = 65001


class Messages(Protocol):
    """The messages of WS-Management; `wait_s` is how long the host may take for the next one."""

    named = ""
    """The host gives ids to commands: one whose start was not answered cannot be heard."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("http://host/wsman", transport="kerberos")  # the one that checks nothing: its connection is not used
        self.transport = cast("Any", wire)
        self.wait_s = 20.0
        self.shells: list[str] = []

    def build_wsman_header(
        self, action: str, resource_uri: str, shell_id: str | None = None, message_id: str | uuid.UUID | None = None
    ) -> dict[str, Any]:
        """Return pywinrm's header with our own time."""
        header = super().build_wsman_header(action, resource_uri, shell_id, message_id)
        header["env:Header"]["w:OperationTimeout"] = f"PT{self.wait_s:.3f}S"
        return header

    def created(self, variables: dict[str, str]) -> str:
        """Return the id of a new shell; raises ValueError for what is no id."""
        shell = self.open_shell(codepage=_CODE_PAGE, env_vars=variables, idle_timeout=f"PT{SHELL_IDLE_S}S")
        self.shells.append(str(uuid.UUID(shell)).upper())
        return self.shells[-1]

    def started(self, shell: str, line: str) -> str:
        """Return the id of a command that has been started; raises ValueError for what is no id."""
        return str(uuid.UUID(self.run_command(shell, line, console_mode_stdin=False))).upper()
