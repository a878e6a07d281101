"""Commands that outlive their connection: claimed under an id of ours, fenced by the token of a lease, asked for later.

What a host knows of one is told as a `Standing`. Nothing is installed: the supervisor is text that travels with the command,
and all that stays on the host is one fence file.
"""

from remote.detached.standing import START, DetachedCommand, Offset, Reason, Standing, State

__all__ = ["START", "DetachedCommand", "Offset", "Reason", "Standing", "State"]
