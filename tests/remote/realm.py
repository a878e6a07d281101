"""A realm of Kerberos for tests: its own database and keytabs, and its KDC on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.remote.servers import SBIN, free_port

REALM, PASSWORD = "LONGARM.TEST", "the-right-one"
KRB5 = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{realm} = {{
kdc = 127.0.0.1:{port}
}}
NOWHERE.TEST = {{
kdc = 127.0.0.1:9
}}
"""
KDC = """
[realms]
{realm} = {{
database_name = {folder}/principals
key_stash_file = {folder}/stash
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
max_life = 10h
}}
"""


@dataclass(frozen=True)
class Realm:
    """A realm with the user who runs the tests, whose password is known, and `robot`."""

    folder: Path
    user: str
    environ: dict[str, str]

    def run(self, program: str, *words: str, given: str = "") -> None:
        found = shutil.which(program, path=SBIN)
        assert found is not None, program
        subprocess.run([found, *words], env=self.environ, input=given.encode(), check=True, capture_output=True)

    @contextmanager
    def kdc(self, *before: str) -> Iterator[None]:
        found = shutil.which("krb5kdc", path=SBIN)
        assert found is not None
        with (self.folder / "kdc.log").open("wb") as log:
            command = ["env", *(f"{key}={value}" for key, value in self.environ.items()), *before, found, "-n"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + 30
            while not self._answers():  # it says nothing that could be waited for: its port answers
                assert process.poll() is None and time.monotonic() < end, (self.folder / "kdc.log").read_text()
                time.sleep(0.01)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # faketime waits for what it has started, and would leave it behind
            process.wait(timeout=10)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def port(self) -> int:
        return int(self.environ["KDC_PORT"])

    @property
    def principal(self) -> str:
        return f"{self.user}@{REALM}"


def make_realm(folder: Path, services: Sequence[str], strangers: Sequence[str] = ()) -> Realm:
    """Make a realm in a folder, with its database and keytabs; nothing runs yet. `host.keytab` has the keys of `services`."""
    port = free_port()
    words = {"realm": REALM, "folder": folder, "port": port}
    (folder / "krb5.conf").write_text(KRB5.format(**words))
    (folder / "kdc.conf").write_text(KDC.format(**words))
    environ = {
        "PATH": SBIN,
        "LC_ALL": "C",
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5CCNAME": f"FILE:{folder / 'ccache'}",
        "KDC_PORT": str(port),
    }
    made = Realm(folder=folder, user=getpass.getuser(), environ=environ)
    made.run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
    admin = ("kadmin.local", "-r", REALM, "-q")
    made.run(*admin, f"addprinc -pw {PASSWORD} {made.user}")
    made.run(*admin, f"addprinc -pw {PASSWORD} robot")
    for principal in (*services, *strangers):
        made.run(*admin, f"addprinc -randkey {principal}")
    for principal in services:
        made.run(*admin, f"ktadd -k {folder / 'host.keytab'} {principal}")
    made.run(*admin, f"ktadd -norandkey -k {folder / 'user.keytab'} {made.user}")
    return made
