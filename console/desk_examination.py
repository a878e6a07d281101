"""What the doctor says of the desk: whether a service keeps it, and who one is to it."""

from __future__ import annotations

from console.served import served
from console.settings import Settings
from console.words import say
from inventory.errors import Text
from runner.callers import keeper, whoever_asks
from runner.config import load_config
from runner.desk import ROLES_ADVISORY


def desk_told() -> tuple[str, Text | None]:
    """Return how the desk is reached, and what to do where that is not as it may be meant."""
    if served() is None:
        return say(Text("opened by this process alone")), Text("for several people: longarm serve")
    caller = whoever_asks()
    groups = ", ".join(sorted(caller.groups)) or "-"
    params = {"account": keeper(), "caller": caller.name, "uid": caller.uid, "groups": groups}
    return say(Text("a service of {account}; to it you are {caller} (uid {uid}; groups: {groups})", **params)), None


def roles_told(settings: Settings) -> str:
    """Return what roles are worth here, and which one is had for the whole desk; raises InvalidFile."""
    if served() is None:
        return say(ROLES_ADVISORY)
    role = load_config(settings.home).roles(keeper()).of(whoever_asks(), None)
    return say(Text("they hold; yours, for the whole desk: {role}", role="-" if role is None else role.value))
