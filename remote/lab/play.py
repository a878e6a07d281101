"""From captured answers back to a host on which the same questions find the same: its files, commands and clock.

A script of the library says for each source what it asked (`diagnostics.parsing`); here stands, source by source, where a
host keeps that. Answers of one scenario were captured at different moments: all are moved to one, so that ages stay.
What no scenario has captured yet has no rule here; the contract test over all scenarios finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remote.answer import Answer
from remote.lab.shims import CAT, LS, MOUNTS, SUDO_REFUSES, Scripted, commands
from remote.lab.told import Told, told
from remote.lab.world import World

_KERNEL_TIME = re.compile(r"^\[ *(\d+\.\d+)\]", re.MULTILINE)
_SINCE_BOOT = re.compile(r'(?<=StateChangeTimestampMonotonic=)\d+|(?<="__MONOTONIC_TIMESTAMP":")\d+')
_SHOWN = "-p Id -p Names -p LoadState -p ActiveState -p SubState"
_UNITS = (
    f"show --no-pager --state=failed {_SHOWN} -p Type -p Result -p ExecMainCode -p ExecMainStatus -p NRestarts "
    "-p UnitFileState -p RequiresMountsFor -p StateChangeTimestampMonotonic *.service"
)
_RESTARTED = (
    f"show --no-pager {_SHOWN} -p Result -p ExecMainCode -p ExecMainStatus -p NRestarts -p RequiresMountsFor "
    "-p StateChangeTimestampMonotonic --"
)
_RESTARTS = "-q -b -o json --no-pager -n 60 --output-fields=UNIT,N_RESTARTS MESSAGE_ID=5eb03494b6584870a536b337290809b3 _PID=1"
_KERNEL_JOURNAL = "-q -k -b -n 4000 -o json --output-fields=MESSAGE --no-pager"
_FAILED_LOGINS = "-q --no-pager -o cat -n 2000 --since=-24h -t sshd -t sshd-session -g"
_STATE_WORDS = {
    "H": "half-installed",
    "U": "unpacked",
    "F": "half-configured",
    "W": "triggers-awaited",
    "t": "triggers-pending",
}
_DF = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/var {all} {used} {left} {percent}% /var"
_TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
_SILENT = (
    "apt",
    "apt-get",
    "df",
    "dpkg",
    "dpkg-query",
    "free",
    "ip",
    "journalctl",
    "last",
    "lsblk",
    "ss",
    "systemctl",
    "top",
    "uptime",
)
"""Commands that a Debian host has, and refuses here unless they were captured."""
_FILES = {
    ("dns.conf", "resolv"): "/etc/resolv.conf",
    ("dns.conf", "nsswitch"): "/etc/nsswitch.conf",
    ("fs.mounts", "fstab"): "/etc/fstab",
    ("fs.mounts", "mountinfo"): MOUNTS,
    ("pkg.deb", "words"): "/var/log/apt/term.log",
    ("pkg.reboot", "packages"): "/run/reboot-required.pkgs",
    ("sys.delta", "processors"): "/sys/devices/system/cpu/online",
    ("time.now", "servers"): "/etc/systemd/timesyncd.conf",
}
_KERNEL = {
    ("kernel.taint", "tainted"): "/proc/sys/kernel/tainted",
    ("mem.info", "meminfo"): "/proc/meminfo",
    ("mem.info", "pressure"): "/proc/pressure/memory",
    ("pkg.deb", "locks"): "/proc/locks",
    ("pkg.reboot", "running"): "/proc/sys/kernel/osrelease",
    ("sys.delta", "load"): "/proc/loadavg",
    ("sys.delta", "pressure_cpu"): "/proc/pressure/cpu",
    ("sys.delta", "pressure_io"): "/proc/pressure/io",
    ("sys.delta", "ticks"): "/proc/stat",
}
_SAID = {
    ("sec.sshd", "settings"): ("sshd", "-T -C user=root,host=longarm.invalid,addr=203.0.113.1"),
    ("time.now", "chrony"): ("chronyc", "-c -n tracking"),
    ("time.now", "kernel"): ("timedatectl", "show -p NTPSynchronized -p NTP"),
    ("time.now", "ntp"): ("ntpq", "-pn"),
}
"""Sources that are what one command says, word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file that a repair can remove; once all of them are gone, the filesystem has their room again."""

    path: str
    size: int
    days: int
    """How old it is."""


def play(answers: Mapping[str, Answer], *, root: bool, hostname: str, leftovers: Sequence[Leftover] = ()) -> World:
    """Return the world of a host that gave these answers; `hostname` is its name where no answer tells it."""
    stage = _Stage(said={question: told(answer) for question, answer in answers.items()}, root=root)
    stage.plain()
    stage.clock()
    stage.network()
    stage.logs()
    stage.services()
    stage.packages()
    stage.access()
    if leftovers:
        stage.leave(leftovers)
    own = stage.get("dns.conf", "own")
    return stage.world(own.text.strip() if own else hostname)


@dataclass(slots=True, kw_only=True)
class _Stage:
    """A world in the making."""

    said: Mapping[str, Mapping[str, Told]]
    root: bool
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    kernel: dict[str, str] = field(default_factory=dict)
    scripted: list[Scripted] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    lasting: tuple[str, ...] = ()

    def get(self, question: str, source: str) -> Told | None:
        """Return what a source of a question said, None where it was absent or not asked."""
        return self.said.get(question, {}).get(source)

    def text(self, question: str, source: str) -> str:
        """Return the text of a source, empty where there is none."""
        found = self.get(question, source)
        return found.text if found else ""

    def number(self, question: str, source: str) -> float | None:
        """Return the first number of a source, None where there is none."""
        return float(self.text(question, source).split()[0]) if self.text(question, source).strip() else None

    def put(self, path: str, text: str) -> None:
        """Put a file."""
        self.files[path] = {"text": text}

    def script(
        self, command: str, arguments: str, said: Told, *, more: Sequence[str] | None = None, once_gone: Sequence[str] = ()
    ) -> None:
        """Script a command; `arguments` are words without blanks in them, `more` further ones, `()` for any."""
        self.scripted.append(
            Scripted(
                command=command,
                arguments=(*arguments.split(" "), *(more or ())) if arguments else tuple(more or ()),
                more=more == (),
                stdout=said.text,
                stderr=said.words,
                exit_status=said.exit_status,
                once_gone=tuple(once_gone),
            )
        )

    def world(self, hostname: str) -> World:
        """Return the world that everything put and scripted so far makes."""
        own = ("cat", "date", "ls", "stat")
        files = self.files | commands(self.scripted, own=own, silent=_SILENT)
        files["/usr/bin/cat"] = {"text": CAT, "mode": 0o755}
        if self.lasting:
            files["/usr/bin/ls"] = {"text": LS, "mode": 0o755}
        if not self.root:
            files["/usr/bin/sudo"] = {"text": SUDO_REFUSES, "mode": 0o755}
        return World(
            hostname=hostname,
            uptime_s=self.uptime_s,
            root=self.root,
            files=files,
            kernel=self.kernel,
            folders=tuple(self.folders),
            lasting=self.lasting,
            closed=tuple(self.closed),
            replaced=tuple(name for name in own if f"/usr/bin/{name}" in files),
        )

    def plain(self) -> None:
        """Put what is a file as it is, and script what is one command as it is."""
        for (question, source), path in _FILES.items():
            if found := self.get(question, source):
                self.put(path, found.text)
        for (question, source), path in _KERNEL.items():
            if found := self.get(question, source):
                self.kernel[path] = found.text
        for (question, source), (command, arguments) in _SAID.items():
            if found := self.get(question, source):
                self.script(command, arguments, found)
        if space := self.get("fs.stat", "space"):
            self.space(space)
        self.swap()
        self.control_groups()
        self.folders.add("/sys/block")

    def space(self, said: Told, once_gone: Sequence[str] = ()) -> None:
        """Script how much room the filesystems have."""
        mounts = (row.split(" ", 6)[6] for row in said.text.splitlines())
        self.script("stat", "-f -c", said, more=("%S %b %f %a %c %d %n", *mounts), once_gone=once_gone)

    def leave(self, leftovers: Sequence[Leftover]) -> None:
        """Put files that take the room of the filesystem of /var, and script what it has once they are gone."""
        gone = [one.path for one in leftovers]
        self.lasting = ("/var/lib/longarm", "/var/log")
        self.files |= {one.path: {"text": "", "size": one.size, "days": one.days} for one in leftovers}
        rows = [row.split(" ", 6) for row in self.text("fs.stat", "space").splitlines()]
        for row in rows:
            if row[6] == "/var":
                size, blocks, free, _ = map(int, row[:4])
                then = free + sum(one.size for one in leftovers) // size
                for left, once_gone in ((free, ()), (then, gone)):
                    told, kib = -(-100 * (blocks - left) // blocks), size // 1024
                    line = _DF.format(all=blocks * kib, used=(blocks - left) * kib, left=left * kib, percent=told)
                    for path in ("/var", "/var/log"):
                        self.script("df", f"-P {path}", _line(line), once_gone=once_gone)
                row[2:4] = [str(then)] * 2
        self.space(Told(text="".join(f"{' '.join(row)}\n" for row in rows), words="", exit_status=0), once_gone=gone)

    def swap(self) -> None:
        """Put one swap file where paging was told, else none."""
        header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        paging = self.get("sys.delta", "paging")
        self.kernel["/proc/swaps"] = header + ("/swapfile file 1 0 -2\n" if paging else "")
        if paging:
            self.kernel["/proc/vmstat"] = paging.text

    def control_groups(self) -> None:
        """Make as many control groups with a limit as there were, the crowded ones by name; the last line counts them."""
        limits = self.text("proc.stat", "limits").splitlines()
        paths = ("fs/file-nr", "kernel/pid_max", "kernel/threads-max")
        self.kernel |= {f"/proc/sys/{path}": f"{line}\n" for path, line in zip(paths, limits[1:], strict=False)}
        *crowded, count = self.text("proc.stat", "groups").splitlines() or ["0"]
        self.folders.add("/sys/fs/cgroup")
        groups = [row.split(" ", 2) for row in crowded]
        groups += [["1", "1000", f"/sys/fs/cgroup/system.slice/idle-{at}.service"] for at in range(int(count) - len(crowded))]
        for tasks, most, path in groups:
            self.put(f"{path}/pids.max", f"{most}\n")
            self.put(f"{path}/pids.current", f"{tasks}\n")

    @property
    def uptime_s(self) -> float:
        """Return the latest uptime that an answer shows: whatever was asked earlier is moved to it."""
        questions = ("svc.units", "svc.restarts", "time.now", "kernel.messages")
        return max((self.number(question, "uptime") or 0.0 for question in questions), default=0.0) or 1000.0

    def later_s(self, question: str) -> float:
        """Return by how much the host's uptime is ahead of what it was when a question was answered."""
        return self.uptime_s - (self.number(question, "uptime") or self.uptime_s)

    def clock(self) -> None:
        """Let `date` show one moment, that of the question about the clock."""
        now = self.number("time.now", "clock")
        if now is not None:
            for arguments in ("+%s", "-u +%s"):
                self.script("date", arguments, _line(str(int(now))))

    def moved(self, question: str, time_s: str) -> str:
        """Return a moment of an answer so that its age at the host's own clock is what it was."""
        now, then = self.number("time.now", "clock"), self.number(question, "clock")
        return time_s if now is None or then is None else str(int(float(time_s) + now - then))

    def network(self) -> None:
        """Put interfaces, routes and listeners, and script how names are looked up."""
        for row in self.text("net.if", "interfaces").splitlines():
            fields = dict(word.split("=", 1) for word in row.split())
            folder = f"/sys/class/net/{fields['interface']}"
            names = {
                "flags": "flags",
                "type": "type",
                "state": "operstate",
                "ups": "carrier_up_count",
                "downs": "carrier_down_count",
            }
            for key, name in names.items():
                if key in fields:
                    self.put(f"{folder}/{name}", f"{fields[key]}\n")
            self.folders |= {f"{folder}/device"} if "hardware" in fields else set()
            self.folders |= {f"{folder}/upper_{fields['below']}"} if "below" in fields else set()
        tables = self.text("net.if", "tables").splitlines(keepends=True)
        ways = self.text("net.route", "ways").splitlines(keepends=True)
        self.kernel["/proc/net/route"] = "".join(row for row in tables if "\t" in row)
        self.kernel["/proc/net/if_inet6"] = "".join(row for row in tables if "\t" not in row)
        self.kernel["/proc/net/ipv6_route"] = "".join(row for row in ways if "\t" not in row)
        if found := self.get("net.route", "tables"):
            self.script("ip", "-j route show table all", found)
        for table in ("tcp", "tcp6"):
            if found := self.get("net.listen", table):
                self.kernel[f"/proc/net/{table}"] = _TCP + found.text
        udp = re.split(r"^(?= +sl )", self.text("net.listen", "udp"), flags=re.MULTILINE)
        for table, text in zip(("udp", "udp6"), filter(None, udp), strict=False):
            self.kernel[f"/proc/net/{table}"] = text
        for row in self.text("dns.conf", "lookups").splitlines():
            status, name = row.split(" ", 1)
            address = f"192.0.2.1       STREAM {name}\n" if status == "0" else ""
            self.script("getent", f"ahosts {name}", Told(text=address, words="", exit_status=int(status)))

    def logs(self) -> None:
        """Put the kernel's log and the large files; failed logins are told as sshd tells them."""
        if ring := self.get("kernel.messages", "ring"):
            rows = sorted(self._kernel_rows(ring.text), key=_kernel_time)
            self.script("dmesg", "", Told(text="".join(rows), words=ring.words, exit_status=ring.exit_status))
            if self.get("kernel.messages", "journal"):
                self.script("journalctl", _KERNEL_JOURNAL, _line(""))
        if (big := self.get("log.size", "big")) and big.exit_status:
            self._close("/var/log/private")
        for row in self.text("log.size", "big").splitlines():
            size, path = row.split(" ", 1)
            self.files[path] = {"text": "", "size": int(size)}
        if failed := self.get("sec.auth", "journal"):
            groups = (row.split() for row in failed.text.splitlines())
            lines = [f"Failed password for root from {group[-1]} port 1 ssh2\n" * int(group[0]) for group in groups]
            self.script(
                "journalctl",
                _FAILED_LOGINS,
                Told(text="".join(lines), words="", exit_status=0),
                more=("^Failed [a-z/-]+ for ",),
            )

    def _kernel_rows(self, text: str) -> list[str]:
        later = self.later_s("kernel.messages")
        moved = _KERNEL_TIME.sub(lambda match: f"[{float(match[1]) + later:12.6f}]" if float(match[1]) else match[0], text)
        return moved.splitlines(keepends=True)

    def services(self) -> None:
        """Script what systemd tells of its units, and the journal of those that failed."""
        if self.get("svc.units", "units"):
            self.folders.add("/run/systemd/system")
            units = self._moved_units("svc.units", "units")
            self.script("systemctl", _UNITS, units, more=())
        restarts = self.get("svc.restarts", "restarts")
        if restarts and restarts.exit_status == 0:
            self.put("/var/log/journal/practice/system.journal", "")
            self.script("journalctl", _RESTARTS, self._moved_units("svc.restarts", "restarts"))
        if self.get("svc.restarts", "units"):
            self.script("systemctl", _RESTARTED, self._moved_units("svc.restarts", "units"), more=())
        for question in ("svc.units", "svc.restarts"):
            for source, found in self.said.get(question, {}).items():
                if source.startswith("log "):
                    self.script("journalctl", f"-q -b -n 20 -o cat --no-pager -u {source.removeprefix('log ')}", found)

    def _moved_units(self, question: str, source: str) -> Told:
        later_us = int(self.later_s(question) * 1e6)
        text = _SINCE_BOOT.sub(
            lambda match: str(int(match[0]) + later_us) if int(match[0]) else "0", self.text(question, source)
        )
        return Told(text=text, words="", exit_status=0)

    def packages(self) -> None:
        """Put dpkg's state and its lists, and script what its files belong to."""
        listed = self.get("pkg.deb", "packages")
        rows = [row.split("\t") for row in listed.text.splitlines()] if listed else []
        if self.get("pkg.deb", "count"):
            stanzas = [
                f"Package: {name}\nStatus: install ok {_STATE_WORDS.get(state[1], 'installed')}\n" for state, name, _ in rows
            ]
            self.put("/var/lib/dpkg/status", "\n".join(stanzas) or "Package: base-files\nStatus: install ok installed\n")
        for number in range(int(self.number("pkg.deb", "updates") or 0)):
            self.put(f"/var/lib/dpkg/updates/{number:04d}", "")
        if listed:
            self.script("dpkg-query", "-W -f", listed, more=("${db:Status-Abbrev}\\t${binary:Package}\\t${Version}\\n",))
        if units := self.get("pkg.deb", "units"):
            self.script("dpkg-query", "-L", units, more=tuple(name for _, name, _ in rows[:20]))
        if inodes := self.get("pkg.deb", "inodes"):
            self.put("/var/lib/dpkg/lock", "")
            self.script("stat", "-c %i /var/lib/dpkg/lock", inodes)
        self._package_lists()
        self._reboot()

    def _package_lists(self) -> None:
        """Script when the lists changed; the time of the answer stands before them, or apart until 25 November 2026."""
        rows = [*self.text("pkg.lists", "clock").split(), *self.text("pkg.lists", "fetched").split()]
        clock_s, *times = [self.moved("pkg.lists", row) for row in rows] or [""]
        if not times:
            return
        lists = [f"/var/lib/apt/lists/{number:04d}_Release" for number in range(int(self.number("pkg.lists", "lists") or 0))]
        for path in lists:
            self.put(path, "")
        partial = ["/var/lib/apt/lists/partial"] * (len(times) - len(lists))
        self.folders |= {"/var/lib/apt/lists", *partial}
        self.script("stat", "-c %Z /proc/self/", _line("\n".join((clock_s, *times))), more=(*lists, *partial))

    def _reboot(self) -> None:
        """Put the kernels and the mark of a reboot, with when each changed; the time of the answer as for the lists."""
        rows = [f"{clock_s} /proc/self/" for clock_s in self.text("pkg.reboot", "clock").split()]
        rows += self.text("pkg.reboot", "kernels").splitlines()
        kernels = [row.split(" ", 1) for row in rows]
        for _, path in kernels[1:]:
            self.put(path, "")
        if kernels[1:]:
            shown = "\n".join(f"{self.moved('pkg.reboot', time_s)} {path}" for time_s, path in kernels)
            self.script("stat", "-c", _line(shown), more=("%Z %n", *(path for _, path in kernels)))
        mark = self.text("pkg.reboot", "mark").strip()
        if mark.isdigit():
            self.put("/run/reboot-required", "*** System restart required ***\n")
            self.script("stat", "-c %Y /run/reboot-required", _line(self.moved("pkg.reboot", mark)))

    def access(self) -> None:
        """Put what decides who comes in: shadow, certificates, and what a user who is not root may not open."""
        if root_password := self.get("sec.sshd", "root_password"):
            password = {"locked": "*", "empty": "", "set": "$y$unknown"}.get(root_password.text.strip(), "*")
            self.put("/etc/shadow", f"root:{password}:20000:0:99999:7:::\n")
            if root_password.exit_status:
                self.closed.append("/etc/shadow")
        if self.get("sec.certs", "configured"):
            named = "".join(f"ssl_certificate {path};\n" for path in self.text("sec.certs", "configured").splitlines())
            self.put("/etc/nginx/nginx.conf", named)
        certificates = self.get("sec.certs", "certificates")
        if certificates and certificates.exit_status:
            self._close("/etc/ssl/private")
        for path, text in re.findall(
            r"^file (.+)\n((?:(?!file ).*\n)*)", certificates.text if certificates else "", re.MULTILINE
        ):
            self.put(path, text)

    def _close(self, folder: str) -> None:
        self.folders.add(folder)
        self.closed.append(folder)


def _line(text: str) -> Told:
    return Told(text=f"{text}\n" if text else "", words="", exit_status=0)


def _kernel_time(row: str) -> float:
    match = _KERNEL_TIME.match(row)
    return float(match[1]) if match else 0.0
