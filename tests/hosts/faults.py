"""What can happen between us and a host, and to the host itself: each fault with its cure, for hosts of the lab."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.hosts.realhosts import CGROUPS, RealLab, run

_THIN = ("rate", "32kbit", "burst", "3000", "latency", "2s")
_ONE_WAY_MS = 700
Act = Callable[[RealLab, str], None]
_TABLE = "add table inet faults; add chain inet faults in { type filter hook input priority 0; }; add rule inet faults in "


def _filtered(rule: str) -> Act:
    return lambda lab, name: _tell(lab, name, "nft", _TABLE + rule)


def _tell(lab: RealLab, name: str, *command: str) -> None:
    run("ip", "netns", "exec", f"{lab.prefix}-{name}", *command)


def _unfiltered(lab: RealLab, name: str) -> None:
    _tell(lab, name, "nft", "delete table inet faults")


def _narrow(lab: RealLab, name: str) -> None:
    """32 kbit/s both ways with a queue of 2 s: the delay and loss of a line that is too thin (the kernel may lack netem)."""
    for namespace, device in ((lab.switch, f"p-{name}"), (f"{lab.prefix}-{name}", "eth0")):
        run("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", *_THIN)


def _widened(lab: RealLab, name: str) -> None:
    for namespace, device in ((lab.switch, f"p-{name}"), (f"{lab.prefix}-{name}", "eth0")):
        run("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")


_CARRIERS: dict[str, subprocess.Popen[bytes]] = {}
"""The processes that carry what goes to a host and comes from it, by its namespace."""


def _delayed(lab: RealLab, name: str) -> None:
    """Put a line that is 0.7 s long each way between a host's port and the switch; nothing is lost, and connections live on."""
    near, far, bridge = f"n-{name}", f"f-{name}", f"b-{name}"
    words = [sys.executable, "-m", "bench.delay", f"{lab.switch}/{near}", f"{lab.switch}/{far}", str(_ONE_WAY_MS)]
    carrier = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent.parent)
    _CARRIERS[f"{lab.prefix}-{name}"] = carrier
    assert carrier.stdout is not None
    assert carrier.stdout.readline() == b"ready\n"
    run("ip", "-n", lab.switch, "link", "add", bridge, "type", "bridge")
    run("ip", "-n", lab.switch, "link", "set", bridge, "up")
    for device, master in ((near, "br0"), (far, bridge)):
        run("ip", "-n", lab.switch, "link", "set", device, "master", master, "up")
    run("ip", "-n", lab.switch, "link", "set", f"p-{name}", "master", bridge)


def _near_again(lab: RealLab, name: str) -> None:
    run("ip", "-n", lab.switch, "link", "set", f"p-{name}", "master", "br0")
    with _CARRIERS.pop(f"{lab.prefix}-{name}") as carrier:
        carrier.communicate()
    run("ip", "-n", lab.switch, "link", "del", f"b-{name}")


def _servers(lab: RealLab, name: str, signal: str) -> None:
    """Send a signal to every process of the SSH server, sessions too."""
    found = (
        "for p in /proc/[0-9]*; do read -r c <$p/comm && case $c in sshd*|dropbear) echo ${p#/proc/} ;; esac; done 2>/dev/null"
    )
    lab.enter(name, f"kill -{signal} $({found}) 2>/dev/null", check=False)


def _frozen(state: str) -> Act:
    def act(lab: RealLab, name: str) -> None:
        unified = CGROUPS / f"{lab.prefix}-{name}/cgroup.freeze"
        if unified.exists():
            unified.write_text("1" if state == "FROZEN" else "0")
        else:
            (CGROUPS / f"freezer/{lab.prefix}-{name}/freezer.state").write_text(state)

    return act


def _limit(lab: RealLab, name: str) -> Path:
    unified = CGROUPS / f"{lab.prefix}-{name}/memory.max"
    return unified if unified.exists() else CGROUPS / f"memory/{lab.prefix}-{name}/memory.limit_in_bytes"


def _out_of_memory(lab: RealLab, name: str) -> None:
    """Leave the host 64 KiB more than it has now: whatever is started next meets the kernel's killer."""
    limit = _limit(lab, name)
    used = limit.with_name("memory.current" if limit.name == "memory.max" else "memory.usage_in_bytes")
    with contextlib.suppress(OSError):  # EBUSY: it cannot give back as much; then the limit that it has is low enough
        limit.write_text(str(int(used.read_text()) + 65536))


def _enough_memory(lab: RealLab, name: str) -> None:
    limit = _limit(lab, name)
    limit.write_text("max" if limit.name == "memory.max" else "-1")


FAULTS: Mapping[str, tuple[Act, Act]] = MappingProxyType(
    {
        "thin line": (_narrow, _widened),
        "delay": (_delayed, _near_again),
        "loss 30 %": (_filtered("numgen random mod 100 < 30 drop"), _unfiltered),
        "everything dropped": (_filtered("drop"), _unfiltered),
        "connections reset": (_filtered("tcp dport 22 reject with tcp reset"), _unfiltered),
        "cable pulled": (lambda lab, name: lab.cut(name), lambda lab, name: lab.plug(name)),
        "sshd killed": (lambda lab, name: _servers(lab, name, "KILL"), lambda lab, name: None),
        "sshd stopped": (lambda lab, name: _servers(lab, name, "STOP"), lambda lab, name: _servers(lab, name, "CONT")),
        "host frozen": (_frozen("FROZEN"), _frozen("THAWED")),
        "out of memory": (_out_of_memory, _enough_memory),
    }
)
"""Faults by name, each with what causes it and what mends it."""
