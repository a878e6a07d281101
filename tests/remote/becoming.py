"""Hosts where sudo, doas and su are the ones that are installed, with users and rules of a test's own (mount namespaces)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inventory.host import Become, BecomeMethod, Host, Transport
from remote.answer import Answer
from remote.local import LocalSession
from remote.question import Privilege, Question
from tests.remote.test_sudo import SOUND, Given

USER, UID, OTHER, OTHER_UID = "longarm-test", 64999, "longarm-oracle", 64998
OF_OTHER = "theirs"
PASSWORD = "Пароль 1 $x"
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
SHELLS = {"dash": "dash", "bash": "bash", "ash": "busybox sh"}
WHO = Question(id="who", script="id -u", privilege=Privilege.ROOT)
EITHER = Question(id="either", script="id -u", privilege=Privilege.PREFER_ROOT)
ME = Question(id="me", script="id -u")
ODD = r"\000\001\003\004\n\r\n\021\023\177\377\032\034"
BINARY = Question(
    id="binary",
    script=rf"printf '{ODD}'; printf '\r\n\004err\377' >&2; head -c 300000 /dev/zero",
    max_bytes=400_000,
    privilege=Privilege.PREFER_ROOT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to become another user: the rules that a host has for it, and what stands in for its programs."""

    method: BecomeMethod
    rules: Mapping[str, str] = field(default_factory=dict)
    """Files below /etc and what they hold."""
    su: str = ""
    """What /usr/bin/su is, if it is not the one that is installed."""


BUSYBOX = "busybox"
INSISTING = """#!/bin/sh
[ -t 0 ] || { echo 'su: must be run from a terminal' >&2; exit 1; }
exec /mnt/su "$@"
"""
"""As su of shadow was (Debian 9, Ubuntu 18.04), in front of the one that is installed."""
WAYS = {
    "sudo": Way(method=BecomeMethod.SUDO, rules={"sudoers": f"{USER} ALL=(ALL) ALL\n"}),
    "sudo under requiretty": Way(
        method=BecomeMethod.SUDO, rules={"sudoers": f"Defaults requiretty\nDefaults use_pty\n{USER} ALL=(ALL) ALL\n"}
    ),
    "doas": Way(method=BecomeMethod.DOAS, rules={"doas.conf": f"permit persist {USER}\n"}),
    "su": Way(method=BecomeMethod.SU),
    "su of busybox": Way(method=BecomeMethod.SU, su=BUSYBOX),
    "su that wants a terminal": Way(method=BecomeMethod.SU, su=INSISTING),
}
"""Each asks for the password of USER or, for su, of whom is become: USER and root have the same."""

OnHost = Callable[..., LocalSession]
"""`session_on` without its folder."""
SUDO, DOAS, SU = (Way(method=method) for method in (BecomeMethod.SUDO, BecomeMethod.DOAS, BecomeMethod.SU))


def sudoers(text: str) -> Way:
    return Way(method=BecomeMethod.SUDO, rules={"sudoers": text})


def doas_conf(text: str) -> Way:
    return Way(method=BecomeMethod.DOAS, rules={"doas.conf": text})


def session_on(
    folder: Path,
    way: Way,
    passwords: Given | None,
    shell: str = "dash",
    *,
    user: str = "root",
    ages: str = SOUND,
    before: str = "",
    env: str = "",
) -> LocalSession:
    """Return a session as USER on a host, made of the files in a folder, where a way leads to another user.

    `before` is what is done to it first; NNP: nothing there has more power than who starts it.
    """
    hashes = {"root": hashed(PASSWORD), USER: hashed(PASSWORD), OTHER: hashed(OF_OTHER)}
    uids = {"root": 0, USER: UID, OTHER: OTHER_UID}
    etc = {
        "passwd": "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in uids.items()),
        "group": "".join(f"{name}:x:{uid}:\n" for name, uid in uids.items()) + "shadow:x:42:\n",
        "shadow": "".join(f"{name}:{hash_}:{ages}\n" for name, hash_ in hashes.items()),
        **way.rules,
    }
    steps = [
        "set -e",
        "mount --make-rprivate /",
        "mount -t tmpfs run /run",
        "mount -t tmpfs own /mnt",
        "mkdir /mnt/up /mnt/work",
    ]
    steps += ["mount -t overlay etc -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc", "rm -f /etc/sudoers.d/*"]
    for name, text in etc.items():
        (file := folder / name.replace("/", "-")).write_text(text)
        mode = "440" if name in ("shadow", "sudoers") else "644"
        steps.append(f"install -m {mode} {file} /etc/{name}")
    if way.su:
        (file := folder / "su").write_text(way.su)
        source, mode = (shutil.which("busybox"), "4755") if way.su == BUSYBOX else (file, "755")
        steps += ["cp -p /usr/bin/su /mnt/su", f"mkdir /mnt/own && install -m {mode} {source} /mnt/own/su"]
        steps.append("mount --bind /mnt/own/su /usr/bin/su")
    power = "--no-new-privs " if before == "NNP" else ""
    become = f"setpriv {power}--reuid={UID} --regid={UID} --clear-groups env {PATH} {env} {shell}"
    (script := folder / "prepare").write_text("\n".join((*steps, before.replace("NNP", ""), f'exec {become} "$@"', "")))
    host = Host(name="here", address="here", transport=Transport.LOCAL, become=Become(method=way.method, user=user))
    session = LocalSession(host, shell=("unshare", "-m", "/bin/sh", str(script)), passwords=passwords)
    session._becoming.login = USER
    return session


def hashed(password: str) -> str:
    done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password.encode(), capture_output=True, check=True)
    return done.stdout.decode().strip()


async def ask(session: LocalSession, *questions: Question) -> Mapping[str, Answer]:
    try:
        return await session.ask(questions, deadline_s=90)
    finally:
        await session.leave()
