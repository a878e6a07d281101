"""The unit with which systemd runs the service: an account of its own, nothing writable but the home, no way to more rights."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from console.settings import Settings, default_home
from runner.service.places import OF_THE_MACHINE

_HOME = Path("/var/lib/longarm")
_UNIT = """\
[Unit]
Description=longarm, the desk of remote support
Documentation=https://pypi.org/project/longarm/
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
User=longarm
Group=longarm
ExecStart={command}
{state}
RuntimeDirectory=longarm
RuntimeDirectoryMode=0755
UMask=0077
KillMode=mixed
TimeoutStopSec={stop_s}
Restart=on-failure
RestartSec=2

# what it may reach
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
KeyringMode=private
LimitCORE=0
TasksMax=4096

[Install]
WantedBy=multi-user.target
"""


def unit_of(settings: Settings, socket: Path | None, group: str | None, grace_s: float) -> str:
    """Return the unit for a home, /var/lib/longarm unless one was named; its account is called longarm."""
    home = _HOME if settings.home == default_home() else settings.home
    program = Path(sys.executable).with_name("longarm")
    words = [str(program), "--home", str(home), "serve", "--socket", str(socket or OF_THE_MACHINE), "--grace", f"{grace_s:g}"]
    words += ["--group", group] if group else []
    below = home.is_relative_to("/var/lib") and home != Path("/var/lib")
    state = f"StateDirectory={home.relative_to('/var/lib')}\nStateDirectoryMode=0700" if below else f"ReadWritePaths={home}"
    at_home = any(program.is_relative_to(folder) for folder in ("/home", "/root", "/run/user"))
    return _UNIT.format(
        command=shlex.join(words).replace("%", "%%").replace("$", "$$"),
        state=state,
        stop_s=round(grace_s) + 30,
        home="read-only" if at_home else "yes",
    )
