"""A fleet of N hosts for figures: one server that answers on N loopback addresses inside a network namespace.

The server is a real sshd, or the canned one (canned.c), which costs nearly nothing and so shows our own side. Hosts that
are to be changed have a sshd each, with processes and folders of their own (`start_apart`).
The namespace has only `lo`, so 0.0.0.0:2222 answers on all of 127.0.0.0/8 and nothing outside can reach it.
The CPU of the hosts comes out of the same cores as ours: compare walls as ratios within one run.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PORT = 2222
OWN = ("root", "srv", "var/lib")
"""What each host has of its own where hosts are apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The files that describe a running fleet to longarm and to its peers."""

    namespace: str
    folder: Path
    hosts: tuple[str, ...]
    server_pids: tuple[int, ...]
    inventory: Path
    """The inventory of longarm."""

    def command(self, *parts: str) -> list[str]:
        """Return a command that runs inside the fleet's namespace."""
        return ["ip", "netns", "exec", self.namespace, *parts]

    @property
    def description(self) -> Path:
        """Return the JSON file that the peers read."""
        return self.folder / "fleet.json"

    def server_cpu_s(self) -> float:
        """Return the CPU seconds that the servers and their ended children have used."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.server_pids)
        return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def settle(self) -> float:
        """Wait until no server has children left and return their CPU seconds."""
        end = time.monotonic() + 10
        while any(map(children, self.server_pids)) and time.monotonic() < end:
            time.sleep(0.05)
        return self.server_cpu_s()

    def folder_of(self, host: str) -> Path:
        """Return where the folders of a host lie that has some of its own (`start_apart`)."""
        return self.folder / "hosts" / host


def start(folder: Path, count: int) -> Fleet:
    """Start a fleet of `count` hosts on one real sshd, and write the inventories of all tools."""
    namespace = _prepare(folder)
    (folder / "home").mkdir()
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=PORT))
    Path("/run/sshd").mkdir(exist_ok=True)
    # an empty home for the login user: whatever this machine's own shell start-up files cost must not be measured
    script = f"mount --bind {folder}/home /root && cd / && exec {_sshd(folder, '0.0.0.0', folder / 'sshd.pid')}"
    _run("ip", "netns", "exec", namespace, "sh", "-c", script)
    _wait_for(folder / "sshd.pid")
    return _described(folder, namespace, addresses(count), (int((folder / "sshd.pid").read_text()),))


def start_apart(folder: Path, count: int) -> Fleet:
    """Start a fleet of hosts that can be changed: each has a real sshd, processes and some folders of its own."""
    namespace, hosts, pids = _prepare(folder), addresses(count), []
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=PORT))
    Path("/run/sshd").mkdir(exist_ok=True)
    for host in hosts:
        own = folder / "hosts" / host
        for name in OWN:
            (own / name).mkdir(parents=True)
        mounts = " && ".join(f"mount --bind {own / name} /{name}" for name in OWN)
        script = f"{mounts} && cd / && exec {_sshd(folder, host, own / 'pid')} -D"
        apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        keeper = subprocess.Popen(["ip", "netns", "exec", namespace, *apart, "sh", "-c", script])
        _wait_for(own / "pid")
        pids += children(keeper.pid)
    return _described(folder, namespace, hosts, tuple(pids))


def start_canned(folder: Path, count: int, frames: tuple[bytes, bytes]) -> Fleet:
    """Start a fleet of `count` hosts that all send these frames on stdout and stderr; needs gcc and libssh-dev."""
    namespace = _prepare(folder)
    for name, data in zip(("stdout", "stderr"), frames, strict=True):
        (folder / name).write_bytes(data)
    program = folder / "canned"
    source = Path(__file__).with_name("canned.c")
    _run("gcc", "-O2", "-Wno-deprecated-declarations", "-o", str(program), str(source), "-lssh")
    words = [str(folder / name) for name in ("hostkey", "id.pub", "stdout", "stderr")]
    server = subprocess.Popen(["ip", "netns", "exec", namespace, str(program), str(PORT), *words])
    return _described(folder, namespace, addresses(count), (server.pid,))


def addresses(count: int) -> tuple[str, ...]:
    """Return the addresses of so many hosts."""
    return tuple(f"127.1.{index // 250}.{index % 250 + 1}" for index in range(count))


def children(pid: int) -> list[int]:
    """Return the pids of what a process has started itself."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _sshd(folder: Path, address: str, pid_file: Path) -> str:
    """Return the command of a server."""
    clean = "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    own = f"-o ListenAddress={address} -o PidFile={pid_file} -E {folder}/sshd.log"
    return f"{clean} /usr/sbin/sshd -f {folder}/sshd_config {own}"


def _wait_for(pid_file: Path) -> None:
    """Wait until a server listens."""
    end = time.monotonic() + 10
    while not pid_file.exists() and time.monotonic() < end:
        time.sleep(0.01)


def _prepare(folder: Path) -> str:
    """Make keys and a namespace of our own, and return its name."""
    namespace = f"lb{os.getpid() % 100000}"
    _run("ip", "netns", "add", namespace)
    _run("ip", "-n", namespace, "link", "set", "lo", "up")
    for name in ("id", "hostkey"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    (folder / "authorized_keys").write_text((folder / "id.pub").read_text())
    (folder / "authorized_keys").chmod(0o600)
    return namespace


def _described(folder: Path, namespace: str, hosts: tuple[str, ...], server_pids: tuple[int, ...]) -> Fleet:
    _describe(folder, hosts)
    inventory = write_inventory(folder, "inventory.yaml", hosts)
    return Fleet(namespace=namespace, folder=folder, hosts=hosts, server_pids=server_pids, inventory=inventory)


def name_of(index: int) -> str:
    """Return the name of a host in our inventory."""
    return f"h{index:05}"


def write_inventory(folder: Path, name: str, hosts: Sequence[str]) -> Path:
    """Write an inventory of longarm with these addresses."""
    path = folder / name
    with path.open("w") as file:
        file.write(f"credentials:\n  bench: {{user: root, key: {folder}/id}}\nhosts:\n")
        for index, host in enumerate(hosts):
            file.write(f"  {name_of(index)}: {{address: {host}, port: {PORT}, credential: bench}}\n")
    return path


def first(fleet: Fleet, count: int) -> Fleet:
    """Return the fleet as if it had only its first `count` hosts."""
    hosts = fleet.hosts[:count]
    return replace(fleet, hosts=hosts, inventory=write_inventory(fleet.folder, f"inventory-{count}.yaml", hosts))


def stop(fleet: Fleet) -> None:
    """End the servers, by pid, and remove the namespace."""
    for pid in fleet.server_pids:
        os.kill(pid, 15)
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in fleet.server_pids) and time.monotonic() < end:
        time.sleep(0.05)
    _run("ip", "netns", "del", fleet.namespace)


def _describe(folder: Path, hosts: Sequence[str]) -> None:
    key_type, key = (folder / "hostkey.pub").read_text().split()[:2]
    known = folder / "known_hosts"
    known.write_text("".join(f"[{host}]:{PORT} {key_type} {key}\n" for host in hosts))
    (folder / "ssh_config").write_text(_SSH_CONFIG.format(folder=folder, port=PORT))
    (folder / "fleet.ini").write_text("[fleet]\n" + "\n".join(hosts) + _INI.format(folder=folder, port=PORT))
    names = {name_of(index): host for index, host in enumerate(hosts)}
    home = folder / "longarm"
    home.mkdir(mode=0o700)
    (home / "known_hosts").write_text("".join(f"{name} {key_type} {key}\n" for name in names))
    (home / "known_hosts").chmod(0o600)
    described = {"hosts": list(hosts), "port": PORT, "user": "root", "key": f"{folder}/id", "known_hosts": str(known)}
    described |= {"ssh_config": f"{folder}/ssh_config", "ini": f"{folder}/fleet.ini"}
    (folder / "fleet.json").write_text(json.dumps(described))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


_SSHD = """Port {port}
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 4000
MaxSessions 200
PrintMotd no
PrintLastLog no
LogLevel ERROR
Subsystem sftp internal-sftp
"""
_SSH_CONFIG = """Host *
  User root
  Port {port}
  IdentityFile {folder}/id
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
"""
_INI = """
[fleet:vars]
ansible_port={port}
ansible_user=root
ansible_ssh_private_key_file={folder}/id
ansible_python_interpreter=/usr/bin/python3
ansible_ssh_common_args=-F {folder}/ssh_config
"""
