"""Root by a password through OpenSSH, in a mount namespace with a user, a shadow file and sudo rules of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from inventory.host import CredentialReference, Host, SecretReference
from remote.answer import Ended
from remote.question import Privilege, Question
from tests.remote.servers import SBIN, Keys, MakeConnector, free_port, serving

pytestmark = [pytest.mark.server, pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")]
USER, PASSWORD = "longarm-test", "Пароль 1"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n"
SSHD = """ListenAddress 127.0.0.1:{port}
HostKey {key}
AuthorizedKeysFile /etc/ssh/longarm_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""
WHO = Question(id="who", script="id -u", privilege=Privilege.ROOT)
ME = Question(id="me", script="id -un")
EITHER = Question(id="either", script="id -u", privilege=Privilege.PREFER_ROOT)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[Host]:
    """Start sshd where USER may become root by PASSWORD."""
    folder, port = tmp_path_factory.mktemp("sudo"), free_port()
    hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), capture_output=True, check=True)
    shadow = f"root:*:19000:0:99999:7:::\n{USER}:{hashed.stdout.decode().strip()}:19000:0:99999:7:::\n"
    files = {
        "passwd": f"{PASSWD}{USER}:x:64999:64999::/:/bin/sh\n",
        "group": f"root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n{USER}:x:64999:\n",
        "shadow": shadow,
        "sudoers": f"{USER} ALL=(ALL) ALL\n",
        "longarm_keys": user_key.public + "\n",
        "sshd_config": SSHD.format(port=port, key=host_key.path),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o440 if name in {"sudoers", "shadow"} else 0o644)
    steps = [f"mount --bind {folder}/{name} /etc/{name}" for name in ("passwd", "group", "shadow", "sudoers")]
    steps += ["mount -t tmpfs keys /etc/ssh", f"cp {folder}/longarm_keys /etc/ssh", "mount -t tmpfs run /run"]
    steps += ["mkdir -m 755 /run/sshd", f"exec {sshd()} -D -e -f {folder}/sshd_config"]
    script = " && ".join(steps)
    with serving(["unshare", "-m", "/bin/sh", "-c", script], b"Server listening", folder / "log"):
        yield Host(name="node", address="127.0.0.1", port=port)


def sshd() -> str:
    found = shutil.which("sshd", path=SBIN)
    assert found is not None
    return found


@pytest.fixture
def reference_with(user_key: Keys, monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    monkeypatch.setenv("SUDO_PASSWORD", PASSWORD)
    secret = SecretReference(kind="env", value="SUDO_PASSWORD")
    return CredentialReference(name="ops", user=USER, key=str(user_key.path), sudo_password=secret)


async def test_sudo_on_openssh_takes_the_password(
    host: Host, connector: MakeConnector, reference_with: CredentialReference
) -> None:
    async with connector()(replace(host, credential=reference_with)) as session:
        for _ in range(2):  # what it took once may be sent for the next command too
            answers = await session.ask([ME, WHO, EITHER], deadline_s=60)
            assert [answer.stdout for answer in answers.values()] == [f"{USER}\n".encode(), b"0\n", b"0\n"]
            assert {answer.denied for answer in answers.values()} == {""}


async def test_sudo_on_openssh_refuses_a_wrong_one(
    host: Host, connector: MakeConnector, reference_with: CredentialReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_PASSWORD", "not the one")
    async with connector()(replace(host, credential=reference_with)) as session:
        first = await session.ask([ME, WHO, EITHER], deadline_s=60)
        again = await session.ask([WHO], deadline_s=60)
    assert (first["who"].ended, first["either"].stdout) == (Ended.NOT_RUN, b"64999\n")
    assert first["who"].denied.startswith("the password for sudo was rejected: ")
    assert again["who"].denied == "sudo asks for a password: sudo did not take the password on this host before"
