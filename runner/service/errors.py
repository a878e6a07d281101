"""
LongarmError           (inventory/errors.py)
`- ServiceError        exit code 7
   |- NotListening     nobody answers on a socket that was named
   |- StrangeSocket    whoever answers is not who owns the home, or others may put a socket there
   |- OtherProtocol    client and service are of versions that do not understand each other
   |- ServiceBusy      it carries out as much as it may
   |- ServiceLost      the service is gone while it carried a command out
   `- SocketTaken      another service listens there
"""

from __future__ import annotations

from inventory.errors import LongarmError, Text


class ServiceError(LongarmError):
    """Something between a client and the service that holds a desk."""


class NotListening(ServiceError):
    """Nobody answers on a socket that was named."""

    def __init__(self, socket: str, reason: str) -> None:
        text = Text("no service answers on {socket}: {reason}", socket=socket, reason=reason)
        super().__init__(text, Text("systemctl status longarm"))


class StrangeSocket(ServiceError):
    """Whoever listens is not the one who should: nothing was sent to them."""


class OtherProtocol(ServiceError):
    """Client and service do not speak the same language."""

    def __init__(self, ours: str, theirs: str) -> None:
        text = Text("longarm {ours} and the service, {theirs}, do not understand each other", ours=ours, theirs=theirs)
        super().__init__(text, Text("bring both to one version; a service goes on with the one that it was started with"))


class ServiceBusy(ServiceError):
    """The service carries out as much as it may, or as it may for this user."""

    def __init__(self) -> None:
        super().__init__(Text("the service is carrying out as much as it may"), Text("try again when something has ended"))


class ServiceLost(ServiceError):
    """The service is gone; what it had recorded is kept."""

    def __init__(self) -> None:
        super().__init__(
            Text("the service went away before the command had ended"),
            Text("what was recorded is kept; see longarm run list once the service is there again"),
        )


class SocketTaken(ServiceError):
    """Another service listens on this socket."""

    def __init__(self, socket: str) -> None:
        super().__init__(Text("another service listens on {socket}", socket=socket), Text("name another one with --socket"))
