"""Services: whether one runs and starts with the host, and what makes it so."""

from __future__ import annotations

import re
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.native import Decision, Look, NotThere, script, setting
from playbooks.actions.row import Values
from remote.answer import Answer

_NAME: Final = re.compile(r"[A-Za-z0-9_@:.\\][A-Za-z0-9_@:.\\ $-]{0,254}")
_FOUND: Final = re.compile(
    r"service (?P<manager>systemd|openrc|sysvinit|windows) (?P<loaded>yes|no|masked|broken) "
    r"(?P<active>yes|no|-) (?P<enabled>yes|no|-)"
)
_DOES: Final = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload"}


def look_at_service(values: Values, platform: Platform) -> Look:
    """Return the script that looks; raises NotThere for what cannot be the name of a service."""
    name = values["name"]
    if not _NAME.fullmatch(name) or ".." in name:
        raise NotThere(Text("“{name}” cannot be the name of a service", name=name))
    return script("service_look.ps1" if platform is Platform.WINDOWS else "service_look.sh"), {"name": name}


def read_service(answer: Answer) -> re.Match[str]:
    """Return how a service is; raises ValueError where the look was not understood."""
    found = _FOUND.fullmatch(answer.stdout.decode("utf-8", "backslashreplace").strip())
    if found is None or answer.exit_status != 0:
        raise ValueError("not a look at a service")
    return found


def decide_service(values: Values, platform: Platform, answer: Answer) -> Decision:
    """Return what starts, stops, enables or disables it."""
    name, state, enabled = values["name"], values.get("state"), values.get("enabled")
    found = read_service(answer)
    gone = found["loaded"] != "yes" and (state in ("started", "restarted", "reloaded") or enabled)
    if found["loaded"] == "masked" and gone:
        raise NotThere(Text("the service {name} is masked on the host", name=name))
    if gone:
        raise NotThere(Text("there is no service {name} on the host", name=name))
    if found["active"] == "-" and state in ("started", "stopped"):
        raise NotThere(Text("the host cannot say whether {name} runs", name=name))
    does: list[str] = []
    diff: list[str] = []
    if (
        enabled is not None
        and found["loaded"] == "yes"
        and found["enabled"] != "-"
        and (found["enabled"] == "yes") is not enabled
    ):
        does.append("enable" if enabled else "disable")
        diff += setting("starts with the host:", found["enabled"], "yes" if enabled else "no")
    if state in ("restarted", "reloaded"):
        does.append(_DOES[state] if found["active"] == "yes" or state == "restarted" else "start")
        diff.append(f" {name} {state}")
    elif state is not None and found["loaded"] == "yes" and (found["active"] == "yes") is not (state == "started"):
        does.append(_DOES[state])
        diff += setting("runs:", found["active"], "yes" if state == "started" else "no")
    data: dict[str, Any] = {"manager": found["manager"], "active": found["active"] == "yes"}
    if found["enabled"] != "-":
        data["enabled"] = found["enabled"] == "yes"
    if not does:
        return Decision(data=data)
    return Decision(
        diff=tuple(diff),
        script=script("service_apply.ps1" if platform is Platform.WINDOWS else "service_apply.sh"),
        variables={"name": name, "manager": found["manager"], "does": " ".join(does)},
        data=data,
        once=state in ("restarted", "reloaded"),
    )
