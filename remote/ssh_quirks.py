"""What single SSH servers cannot take, known by the version that they announce."""

from __future__ import annotations

from typing import Any

from remote.ssh_library import asyncssh

_TINYSSH = "SSH-2.0-tinyssh"
_MSG_IGNORE = 2


def takes_one_command(version: str) -> bool:
    """Tell whether a server ends the connection with the first command that it was asked for: tinyssh has one channel, once.

    >>> takes_one_command("SSH-2.0-tinyssh_noversion"), takes_one_command("SSH-2.0-OpenSSH_9.2p1")
    (True, False)
    """
    return version.startswith(_TINYSSH)


def adapt(connection: asyncssh.SSHClientConnection) -> None:
    """Speak so that the server of a connection understands it; it has announced its version by now.

    tinyssh (20230101; still so in main_tinysshd.c of 2024) stops at a message that is to be ignored until more bytes arrive:
    the packet behind it, which asyncssh sends along, is never looked at. It knows no cipher for which these messages are meant.
    """
    if str(connection.get_extra_info("server_version")).startswith(_TINYSSH):
        send = connection.send_packet

        def send_packet(kind: int, *args: bytes, **options: Any) -> None:
            if kind != _MSG_IGNORE:
                send(kind, *args, **options)

        connection.send_packet = send_packet  # type: ignore[assignment,method-assign]  # asyncssh has no option for it
