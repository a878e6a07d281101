"""What `longarm config show` tells: the configuration of a home, and what it makes of whoever asks."""

from __future__ import annotations

from collections.abc import Mapping

from console.fitting import fitted, terminal_width
from console.listing import show_document
from console.settings import Settings
from console.terminal import tell
from console.words import say
from inventory.errors import Text
from reports.language import language
from runner.callers import keeper, whoever_asks
from runner.config import Config, config_file, load_config
from runner.desk import ROLES_ADVISORY
from runner.roles import Caller, Role

_COLUMNS = (Text("role"), Text("users"), Text("groups"), Text("customers"), Text("sites"))


def show_config(settings: Settings) -> None:
    """Show who asks, with the roles that they have, and what is configured; raises InvalidFile."""
    config, caller = load_config(settings.home), whoever_asks()
    show_document(settings.output, _document(settings, config, caller), lambda: _told(settings, config, caller))
    if not keeper():
        tell(settings, ROLES_ADVISORY)


def _document(settings: Settings, config: Config, caller: Caller) -> Mapping[str, object]:
    path = config_file(settings.home)
    return {
        "file": path,
        "exists": path.exists(),
        "caller": {"name": caller.name, "groups": sorted(caller.groups), "role": config.roles(keeper()).of(caller, None)},
        "roles": None if config.grants is None else list(config.grants),
        "second_person": {"from": config.least, "playbooks": list(config.named), "valid_s": config.valid_s},
    }


def _told(settings: Settings, config: Config, caller: Caller) -> str:
    role = config.roles(keeper()).of(caller, None)
    lines = [Text("you are {who}, for the whole desk: {role}", who=caller.name, role=_named(role))]
    if config.grants is None:
        lines.append(
            Text("nobody is named in {path}: who keeps this home may do everything", path=str(config_file(settings.home)))
        )
    if config.least is None and not config.named:
        lines.append(Text("no repair needs a second person"))
    else:
        valid = language(settings.language).duration(config.valid_s * 1000)
        what = ", ".join(filter(None, (config.least.value if config.least else "", *config.named)))
        lines.append(Text("a second person approves, for {valid}: {what}", valid=valid, what=what))
    return "".join(say(line) + "\n" for line in lines) + _grants(config)


def _grants(config: Config) -> str:
    if not config.grants:
        return ""
    rows = [
        (
            grant.role.value,
            *(" ".join(names) or "-" for names in (grant.users, grant.groups)),
            *(" ".join(names) or "*" for names in (grant.customers, grant.sites)),
        )
        for grant in config.grants
    ]
    return "\n" + fitted([say(title).upper() for title in _COLUMNS], rows, terminal_width())


def _named(role: Role | None) -> str:
    return "-" if role is None else role.value
