"""What a real shell of a practice host sees: files, commands, name, clock and user; given to `namespace.py` as JSON."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WORDS = """
[ awk basename cat chmod comm cp cut date dd dirname du echo egrep env expr false fgrep find flock fold grep head hostname id
kill ln ls md5sum mkdir mkfifo mktemp mv nice nl od paste pgrep printenv printf ps pwd readlink realpath rm rmdir sed seq setsid
sh sha256sum sleep sort stat stty tail tee test timeout touch tr true tty uname uniq wc which whoami xargs yes
"""
TOOLS = tuple(_WORDS.split())
"""The machine's own programs on a practice host: they only look at what they are given."""
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One practice host as its scenario has it."""

    hostname: str
    uptime_s: float = 1000.0
    root: bool = True
    """Whether the shell is root's, or that of a user who may not become root."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    """By path: `text`, and where needed `mode`, `size` (what is missing of it is a hole), and of a folder that lasts `days`."""
    kernel: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Texts to put over files of /proc, by path; links there are led to the scenario's."""
    folders: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    """Folders whose changes last until the lab ends; of all others each login has its own."""
    rooms: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Where on this machine they are."""
    closed: tuple[str, ...] = ()
    """What the user may not open."""
    replaced: tuple[str, ...] = ()
    """Tools that a command of the scenario stands before."""

    def document(self) -> dict[str, Any]:
        """Return what `namespace.py` reads; programs are those of this machine."""
        home = "/root" if self.root else "/home/trainee"
        files = dict(self.files) | {f"/.scenario{path}": {"text": text} for path, text in self.kernel.items()}
        files.setdefault("/etc/passwd", {"text": "root:x:0:0:root:/root:/bin/sh\ntrainee:x:1000:1000::/home/trainee:/bin/sh\n"})
        files.setdefault("/etc/group", {"text": "root:x:0:\ntrainee:x:1000:\n"})
        files.setdefault("/.scenario/proc/uptime", {"text": f"{self.uptime_s:.2f} {self.uptime_s:.2f}\n"})
        files["/.scenario/live/stat"] = {"text": self.kernel.get("/proc/stat", "")}
        links = {"/proc/net": "/.scenario/proc/net"} if any(path.startswith("/proc/net/") for path in self.kernel) else {}
        links |= {"/proc/stat": "/.scenario/live/stat"} if "/proc/stat" in self.kernel else {}
        return {
            "uid": 0 if self.root else 1000,
            "user": "root" if self.root else "trainee",
            "home": home,
            "hostname": self.hostname,
            "uptime_s": self.uptime_s,
            "folders": sorted({home, "/sys", "/run", "/var/log", *self.folders}),
            "files": {path: file for path, file in files.items() if not any(_below(path, folder) for folder in self.lasting)},
            "rooms": dict(self.rooms),
            "over": sorted(path for path in self.kernel if path != "/proc/stat" and not path.startswith("/proc/net/")),
            "links": links,
            "closed": self.closed,
            "programs": dict(self._programs()),
        }

    def lasting_files(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Return what is in the folders that last before anybody has been there, by path within them."""
        return {
            folder: {path.removeprefix(f"{folder}/"): file for path, file in self.files.items() if _below(path, folder)}
            for folder in self.lasting
        }

    def _programs(self) -> Mapping[str, str]:
        found = {name: shutil.which(name, path=_PATH) for name in TOOLS}
        places = {name: "/.scenario/own" if name in self.replaced else "/usr/bin" for name in TOOLS}
        return {f"{places[name]}/{name}": str(Path(path).resolve()) for name, path in found.items() if path}


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")
