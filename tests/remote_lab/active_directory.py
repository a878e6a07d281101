"""A real Active Directory for tests: Samba as its one controller, in a network of its own, since it needs the usual ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.remote.servers import SBIN

REALM, PASSWORD = "LAB.TEST", "Secret-1234!"
SERVICE = "HTTP/win01.lab.test"
_CONFIGURATION = """
[global]
netbios name = DC1
realm = {realm}
workgroup = LAB
server role = active directory domain controller
server services = ldap, cldap, kdc
interfaces = lo
bind interfaces only = yes
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}
pid directory = {folder}/run
ncalrpc dir = {folder}/run/ncalrpc
binddns dir = {folder}/bind-dns
log file = {folder}/log
dns update command = /bin/true
spn update command = /bin/true
"""
_KRB5 = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
[realms]
{realm} = {{
kdc = 127.0.0.1
}}
[domain_realm]
.lab.test = {realm}
"""


def missing() -> str:
    """Return what this machine lacks for it, empty if nothing (Debian: samba, samba-ad-provision, samba-vfs-modules)."""
    lacks = [name for name in ("samba", "samba-tool", "ip", "kinit", "faketime") if shutil.which(name, path=SBIN) is None]
    lacks += [] if any(Path("/usr/lib").glob("*/samba/vfs/acl_xattr.so")) else ["acl_xattr.so"]
    return f"not installed: {', '.join(lacks)}" if lacks else "" if os.geteuid() == 0 else "needs root"


@dataclass(frozen=True)
class Directory:
    """A domain with the user `l2eng`, the disabled `gone`, and the service of `win01.lab.test`."""

    folder: Path
    network: str

    def inside(self, *words: str, given: str = "", **environ: str) -> str:
        """Run something in its network and return what it says."""
        said = subprocess.run(
            ["ip", "netns", "exec", self.network, *words],
            env={**os.environ, **self.environ, **environ},
            input=given.encode(),
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert said.returncode == 0, said.stderr.decode()
        return said.stdout.decode()

    @property
    def environ(self) -> dict[str, str]:
        """Return what tells the library of Kerberos of the domain."""
        names = {"KRB5_CONFIG": "krb5.conf", "KRB5_KTNAME": "host.keytab"}
        return {"PATH": SBIN, **{name: str(self.folder / file) for name, file in names.items()}}


def _tool(folder: Path, *words: str) -> None:
    made = subprocess.run(["samba-tool", *words], capture_output=True, check=False, env={**os.environ, "PATH": SBIN})
    assert made.returncode == 0, made.stderr.decode()


@contextmanager
def active_directory(folder: Path, network: str) -> Iterator[Directory]:
    """Make a domain and run it."""
    made = Directory(folder=folder, network=network)
    subprocess.run(["ip", "netns", "add", network], check=True, env={"PATH": SBIN})
    try:
        made.inside("ip", "link", "set", "lo", "up")
        provision = ["samba-tool", "domain", "provision", f"--realm={REALM}", "--domain=LAB", "--adminpass=Adm1n-Pass!"]
        provision += ["--server-role=dc", "--dns-backend=SAMBA_INTERNAL", f"--targetdir={folder}", "--host-name=dc1"]
        made.inside(
            *provision,
            "--host-ip=127.0.0.1",
            "--option=interfaces=lo",
            "--option=bind interfaces only=yes",
            "--option=vfs objects=",
        )
        (folder / "run").mkdir(exist_ok=True)
        words = {"realm": REALM, "folder": folder}
        (folder / "lab.conf").write_text(_CONFIGURATION.format(**words))
        (folder / "krb5.conf").write_text(_KRB5.format(**words))
        where = ("-s", str(folder / "lab.conf"), "-H", str(folder / "private" / "sam.ldb"))
        for user in ("l2eng", "gone", "svc-win01"):
            _tool(folder, "user", "create", user, PASSWORD, *where)
        _tool(folder, "user", "disable", "gone", *where)
        _tool(folder, "spn", "add", SERVICE, "svc-win01", *where)
        _tool(folder, "domain", "exportkeytab", str(folder / "host.keytab"), f"--principal={SERVICE}", *where[:2])
        with _running(made):
            yield made
    finally:
        subprocess.run(["ip", "netns", "del", network], check=True, env={"PATH": SBIN})


@contextmanager
def _running(made: Directory) -> Iterator[None]:
    command = ["ip", "netns", "exec", made.network, "samba", "-F", "-M", "single", "-s", str(made.folder / "lab.conf")]
    with (made.folder / "samba.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={"PATH": SBIN}
        )
    try:
        for _ in range(150):
            tried = ["ip", "netns", "exec", made.network, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/88"]
            if subprocess.run(tried, capture_output=True, check=False, env={"PATH": SBIN}).returncode == 0:
                break
            time.sleep(0.2)
        else:
            raise AssertionError((made.folder / "samba.log").read_text())
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
