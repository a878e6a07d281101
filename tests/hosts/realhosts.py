"""Real Linux hosts for tests, out of namespaces: systemd as PID 1 or busybox, OpenSSH or dropbear, a switch between them.

Needs root on Linux and the Debian packages that `mkbase.sh` names. The addresses 10.77.0.0/24 exist only inside the
lab's own network namespaces, so a test that goes wrong cannot reach anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "longarm-hosts"
NEEDS = ("ip", "mmdebstrap", "busybox", "dropbear", "nsenter", "unshare", "ssh-keygen")
CGROUPS = Path("/sys/fs/cgroup")
_CLONE_NEWNET = 0x40000000
# capabilities that would reach the machine itself: its clock, its modules, its kernel log
_DROPPED = "-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override,-wake_alarm,-block_suspend"


def missing() -> str:
    """Return why real hosts cannot be made here, or an empty string."""
    if os.geteuid() != 0:
        return "not root"
    absent = [name for name in NEEDS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    return f"not installed: {', '.join(absent)}" if absent else ""


def base(flavour: str) -> Path:
    """Return the root filesystem of a flavour, built once and cached under a digest of its recipe."""
    recipe = hashlib.sha256((HERE / "mkbase.sh").read_bytes()).hexdigest()[:12]
    target = CACHE / f"{flavour}-{recipe}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{flavour}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / ".built").exists():
            shutil.rmtree(target, ignore_errors=True)
            run("sh", HERE / "mkbase.sh", flavour, target, *([base("systemd")] if flavour == "sysvinit" else []))
            (target / ".built").touch()
    return target


def run(*command: str | Path, check: bool = True) -> str:
    """Run a command and return what it printed; what went wrong is in the error."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Put this thread into a network namespace, and back afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", namespace).open() as there:
        if libc.setns(there.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), _CLONE_NEWNET)


@dataclass(slots=True)
class RealHost:
    """One host: its folder, its address, and the process whose end is its end."""

    name: str
    address: str
    flavour: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    cgroups: list[Path] = field(default_factory=list)


class RealLab:
    """Hosts on one switch, and a namespace from which tests reach them; leaving removes everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"lt{os.getpid()}"
        self.switch, self.desk = f"{self.prefix}-sw", f"{self.prefix}-desk"
        self.key = folder / "id_ed25519"
        self.hosts: dict[str, RealHost] = {}
        self.last_octet = 10

    def __enter__(self) -> RealLab:
        sweep()
        for namespace in (self.switch, self.desk):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        self._cable("desk", self.desk, "10.77.0.1")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.key)
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.hosts):
            self.remove(name)
        for namespace in (self.desk, self.switch):
            run("ip", "netns", "del", namespace, check=False)

    def _cable(self, port: str, namespace: str, address: str) -> None:
        run("ip", "-n", self.switch, "link", "add", f"p-{port}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "-n", self.switch, "link", "set", f"p-{port}", "master", "br0", "up")
        run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")

    def add(self, name: str, flavour: str) -> RealHost:
        """Create and boot a host; `wait` tells when it answers."""
        self.last_octet += 1
        host = RealHost(name, f"10.77.0.{self.last_octet}", flavour, self.folder / name)
        self.hosts[name] = host
        root = host.folder / "root"
        for part in ("upper", "work", "root"):
            (host.folder / part).mkdir(parents=True)
        layers = f"lowerdir={base(flavour)},upperdir={host.folder}/upper,workdir={host.folder}/work"
        run("mount", "-t", "overlay", f"{self.prefix}-{name}", "-o", layers, root)
        self._settle(name, root)
        namespace = f"{self.prefix}-{name}"
        run("ip", "netns", "add", namespace)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        self._cable(name, namespace, host.address)
        self._boot(host)
        return host

    def _settle(self, name: str, root: Path) -> None:
        (root / "etc/hostname").write_text(f"{name}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        if (root / "etc/machine-id").exists():
            (root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        public = self.key.with_suffix(".pub").read_text()
        for home in ("root", "home/ops", "home/plain"):
            if (root / home).is_dir():
                owner = (root / home).stat()
                ssh = root / home / ".ssh"
                ssh.mkdir(mode=0o700, exist_ok=True)
                (ssh / "authorized_keys").write_text(public)
                for path in (ssh, ssh / "authorized_keys"):
                    os.chown(path, owner.st_uid, owner.st_gid)
        if (root / "etc/ssh").is_dir():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", root / "etc/ssh/ssh_host_ed25519_key")
            (root / "etc/ssh/sshd_config.d/lab.conf").write_text("UseDNS no\nPermitRootLogin prohibit-password\n")

    def _boot(self, host: RealHost) -> None:
        (host.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        host.cgroups = [group / f"{self.prefix}-{host.name}" for group in cgroup_roots()]
        for group in host.cgroups:
            group.mkdir(exist_ok=True)
        enter_groups = "".join(f"echo $$ > {group}/cgroup.procs; " for group in host.cgroups)
        script = (
            f"{enter_groups} up=$(cut -d. -f1 /proc/uptime); "
            f"exec setpriv --pdeathsig KILL nsenter --net=/run/netns/{self.prefix}-{host.name} "
            "unshare --mount --uts --ipc --pid --cgroup --time --boottime -$((up-1)) --monotonic -$((up-1)) "
            f"--fork --kill-child setpriv --bounding-set {_DROPPED} sh {HERE}/pid1.sh {host.folder}"
        )
        with (host.folder / "console").open("wb") as console:
            host.process = subprocess.Popen(
                ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )

    def wait(self, *names: str, deadline_s: float = 90) -> None:
        """Return when the hosts' SSH ports answer with a banner; raise with the console's text otherwise."""
        end = time.monotonic() + deadline_s
        for name in names or tuple(self.hosts):
            host = self.hosts[name]
            while not banner(self.desk, host.address):
                if time.monotonic() > end or (host.process and host.process.poll() is not None):
                    raise RuntimeError(
                        f"{name} does not answer:\n{(host.folder / 'console').read_text(errors='replace')[-2000:]}"
                    )
                time.sleep(0.05)

    def init_pid(self, name: str) -> int:
        """Return the pid, seen from here, of the host's PID 1."""
        process = self.hosts[name].process
        assert process is not None
        pid = process.pid
        while pid:
            fields = Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].splitlines()[0].split()
            if len(fields) > 1 and fields[-1] == "1":
                return pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            pid = int(children[0]) if children else 0
        raise RuntimeError(f"{name} has no PID 1")

    def enter(self, name: str, script: str, *, check: bool = True) -> str:
        """Run a shell script as root inside a host, beside SSH, and return its standard output."""
        return run("nsenter", "-t", str(self.init_pid(name)), "-a", "-r", "-w", "/bin/sh", "-c", script, check=check)

    def fingerprint(self, name: str) -> str:
        """Return the SHA256 fingerprint of the ed25519 key, from the host's own file where OpenSSH keeps one."""
        host = self.hosts[name]
        public = host.folder / "root/etc/ssh/ssh_host_ed25519_key.pub"
        if not public.exists():
            command = ("ip", "netns", "exec", self.desk, "ssh-keyscan", "-t", "ed25519", host.address)
            public = host.folder / "offered.pub"
            public.write_text(run(*command))
        return run("ssh-keygen", "-lf", public).split()[1]

    def power_off(self, name: str) -> None:
        """Pull the cable, then the plug: nothing says goodbye."""
        host = self.hosts[name]
        run("ip", "-n", self.switch, "link", "set", f"p-{name}", "down")
        if host.process and host.process.poll() is None:
            with contextlib.suppress(RuntimeError, ProcessLookupError, FileNotFoundError):
                os.kill(self.init_pid(name), 9)
            try:
                host.process.wait(10)
            except subprocess.TimeoutExpired:
                host.process.kill()
                host.process.wait(10)

    def cut(self, name: str) -> None:
        """Pull the network cable of a host."""
        run("ip", "-n", self.switch, "link", "set", f"p-{name}", "down")

    def plug(self, name: str) -> None:
        """Put the network cable of a host back."""
        run("ip", "-n", self.switch, "link", "set", f"p-{name}", "up")

    def power_on(self, name: str) -> None:
        """Boot a host whose PID 1 is gone."""
        self.plug(name)
        run("ip", "-n", f"{self.prefix}-{name}", "link", "set", "eth0", "up")  # init of System V takes it down with the host
        self._boot(self.hosts[name])

    def remove(self, name: str) -> None:
        """End a host and remove what it was made of."""
        self.power_off(name)
        host = self.hosts.pop(name)
        run("ip", "-n", self.switch, "link", "del", f"p-{name}", check=False)
        run("ip", "netns", "del", f"{self.prefix}-{name}", check=False)
        for _ in range(50):
            if not run("umount", host.folder / "root", check=False) and not os.path.ismount(host.folder / "root"):
                break
            time.sleep(0.1)
        if os.path.ismount(host.folder / "root"):
            raise RuntimeError(f"{host.folder}/root is still mounted: nothing removed")
        for group in host.cgroups:
            run("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+", check=False)
        shutil.rmtree(host.folder)

    def inventory(self, *, user: str = "ops", names: Sequence[str] = (), ways: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return an inventory, as YAML, of the lab's hosts; `other=web1`: web1 under another name; `ways`: more settings."""
        lines = ["credentials:", f"  lab: {{user: {user}, key: {self.key}}}", "hosts:"]
        for name, _, of in (name.partition("=") for name in names or tuple(self.hosts)):
            host, more = self.hosts[of or name], f", {ways[name]}" if name in ways else ""
            lines += [f"  {name}: {{address: {host.address}, site: lab, credential: lab, tags: [{host.flavour}]{more}}}"]
        return "\n".join(lines) + "\n"


def sweep() -> None:
    """Remove the networks and mounts of labs whose process was killed before it could."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        owner = re.fullmatch(r"lt(\d+)-.+", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            run("ip", "netns", "del", name, check=False)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place = line.split()[:2]
        owner = re.fullmatch(r"lt(\d+)-.+", device)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            run("umount", "-l", place, check=False)


def cgroup_roots() -> list[Path]:
    """Return the cgroup hierarchies in which a host gets a group of its own: v2 alone, or v1 and v2 side by side."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [CGROUPS / name for name in ("systemd", "unified", "memory", "pids", "freezer", "cpu") if (CGROUPS / name).is_dir()]


def banner(namespace: str, address: str, port: int = 22) -> bool:
    """Tell whether an SSH server answers with its version line."""
    with inside(namespace):
        try:
            with socket.create_connection((address, port), 1) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False
