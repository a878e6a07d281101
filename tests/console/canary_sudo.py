"""Hosts where sudo asks for a password: the forty users of the canary tests, each with a canary as theirs (needs root)."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

FIRST_UID = 64900
SAYS = "/mnt/says"
"""The file on such a host that holds its user's canary in every form; anybody may read it."""
TELLTALE = """#!/bin/sh
[ "$2" = -S ] || { echo 'sudo: a password is required' >&2; exit 1; }
printf %s "$4" >&2
IFS= read -r given
printf '\\nsudo: incorrect password attempt with %s, %s and ' "$given" "'$given'" >&2
printf %s "$given" | base64 -w 0 >&2
echo " or $(printf %s "$given" | od -An -v -tx1 | tr -d ' \\n')" >&2
exit 1
"""
"""A sudo that takes the password it is given and tells it in its words."""


def users_with_sudo(
    folder: Path, names: Sequence[str], passwords: Sequence[str], says: Path, sudo: str = ""
) -> Callable[[str], list[str]]:
    """Return what gives the shell of a user whose password for sudo is that of the same place; `sudo` stands in for sudo."""
    folder.mkdir()
    lines = "".join(f"{password}\n" for password in passwords).encode()
    hashed = subprocess.run(["openssl", "passwd", "-5", "-stdin"], input=lines, capture_output=True, check=True).stdout.decode()
    users = list(enumerate(zip(names, hashed.split(), strict=True), start=FIRST_UID))
    files = {
        "passwd": "root:x:0:0:root:/root:/bin/sh\n" + "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for uid, (name, _) in users),
        "shadow": "root:*:19000:0:99999:7:::\n" + "".join(f"{name}:{hash_}:19000:0:99999:7:::\n" for _, (name, hash_) in users),
        "sudoers": "ALL ALL=(ALL) ALL\n",
        "sudo": sudo,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod({"passwd": 0o644, "sudo": 0o755}.get(name, 0o440))
    steps = ["mount --make-rprivate /", "mount -t tmpfs run /run", "mount -t tmpfs says /mnt"]
    steps += [f"mount --bind {folder}/{name} /etc/{name}" for name in ("passwd", "shadow", "sudoers")]
    steps += [f"mount --bind {folder}/sudo /usr/bin/sudo"] if sudo else []
    uids = {name: uid for uid, (name, _) in users}

    def shell(user: str) -> list[str]:
        become = [
            "setpriv",
            f"--reuid={uids[user]}",
            f"--regid={uids[user]}",
            "--clear-groups",
            "/bin/sh",
            "-c",
            'eval "$1"',
            "sh",
        ]
        prepare = " && ".join([*steps, f"cp {says / user} {SAYS}", f"chmod 644 {SAYS}"])
        return ["unshare", "-m", "/bin/sh", "-c", f'{prepare} && exec {shlex.join(become)} "$1"', "sh"]

    return shell
