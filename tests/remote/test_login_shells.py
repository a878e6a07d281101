"""Users whose login shell is not sh: fish, tcsh, shells that talk, menus, routers, shells that refuse; over a real OpenSSH.

sshd hands our command to the login shell of the user. Each answer is right, or honestly none: with the host's own words.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Answer, Ended
from remote.question import Question
from tests.remote.reaching import Reach, none_at_all
from tests.remote.servers import SBIN, Keys, MakeConnector, free_port, serving

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for users of its own in a mount namespace"),
]

QUESTIONS = (
    Question(id="first", script="echo first"),
    Question(id="env", script='echo "$HOME $LC_ALL"; umask'),
    Question(id="bytes", script="printf '\\377\\376\\n'; echo err >&2; exit 3"),
    Question(id="stdin", script="cat; echo end"),
    Question(id="last", script="echo last"),
)

GOOD = {
    "fish": ("fish", {".config/fish/config.fish": "echo welcome to fish\necho to stderr >&2\n"}),
    "tcsh": ("tcsh", {".tcshrc": "echo welcome to tcsh\n"}),
    "csh-quiet": ("tcsh", {}),
    "bash-talks": ("bash", {".bashrc": "echo welcome; echo also here >&2; printf '\\033[2J\\377\\n'\n"}),
    "bash-slow": ("bash", {".bashrc": "sleep 1; printf 'no line end'\n"}),
    "bash-traps": ("bash", {".bashrc": "trap 'echo leaving' EXIT; set -o noclobber; alias exec=false; export ENV=/nowhere\n"}),
    "bash-noise": ("bash", {".bashrc": "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2\n"}),
    "dash": ("dash", {}),
    "busybox": ("busybox-sh", {}),
}
"""Users with a shell that does what it is told, and what it says before."""
BAD = {
    "restricted": ("rbash", "restricted"),
    "no-login": ("nologin", "not available"),
    "false": ("false", ""),
    "router": ("router", "Unknown command"),
    "windows": ("windows", "not recognized"),
    "menu": ("menu", "Choose"),
    "killed": ("killed", ""),
    "endless": ("endless", ""),
    "guesses": ("guesses", ""),
}
"""Users with a shell that does something else, and the words that tell so."""
OWN = {
    "router": "#!/bin/sh\necho '% Unknown command or computer name, or unable to find computer address'\n",
    "windows": "#!/bin/sh\necho \"'exec' is not recognized as an internal or external command,\" >&2\nexit 1\n",
    "menu": "#!/bin/sh\nwhile echo 'Choose 1-3:'; read -r x; do :; done\n",
    "killed": "#!/bin/sh\nkill -KILL $$\n",
    "endless": "#!/bin/sh\nexec yes 'noise without an end'\n",
    "guesses": "#!/bin/sh\nread -r format\nn=0123456789abcdef0123456789abcdef\n"
    "printf '\\n%s 1 1 open - longarm-bundle/1 root\\n\\n%s 1 2 begin 0 1.0 root\\nfirst\\n\\n%s 1 2 status 0 0\\n' $n $n $n\n",
    "busybox-sh": '#!/bin/sh\nexec busybox sh "$@"\n',
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start sshd in a mount namespace where the users above exist; return its port."""
    folder, port = tmp_path_factory.mktemp("logins"), free_port()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
    (folder / "users").mkdir()
    (folder / "shells").mkdir()
    for name, text in OWN.items():
        (folder / "shells" / name).write_text(text)
        (folder / "shells" / name).chmod(0o755)
    passwd = ["root:*:0:0::/root:/bin/sh", "sshd:*:100:65534::/run/sshd:/bin/false", "nobody:*:65534:65534::/:/bin/false"]
    users = GOOD | {user: (shell, {}) for user, (shell, _) in BAD.items()}
    for uid, (user, (shell, files)) in enumerate(users.items(), 61000):
        program = f"/opt/shells/{shell}" if shell in OWN else shutil.which(shell, path=SBIN)
        passwd.append(f"{user}:*:{uid}:{uid}::/home/{user}:{program}")
        (folder / "users" / user).mkdir()
        for name, text in files.items():
            (folder / "users" / user / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "users" / user / name).write_text(text)
    (folder / "passwd").write_text("\n".join(passwd) + "\n")
    (folder / "banner").write_bytes(b"Authorised use only. \xff\xfe\n" * 200)
    (folder / "keys").write_text(user_key.public + "\n")
    settings = {
        "ListenAddress": f"127.0.0.1:{port}", "HostKey": host_key.path, "AuthorizedKeysFile": "/opt/keys", "PidFile": "none",
        "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PrintMotd": "yes", "Banner": "/opt/banner",
    }  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    script = f"""
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 opt /opt && mount -t tmpfs -o mode=755 home /home
    cp -r {folder}/shells {folder}/banner {folder}/keys /opt/ && chmod -R a+rX /opt
    mount --bind {folder}/passwd /etc/passwd && chmod 644 /etc/passwd
    cp -r {folder}/users/. /home/
    while IFS=: read -r user _ uid _; do [ ! -d "/home/$user" ] || chown -R "$uid:$uid" "/home/$user"; done </etc/passwd
    exec {shutil.which("sshd", path=SBIN)} -D -e -f {folder}/sshd_config
    """
    with serving(["unshare", "-m", "/bin/sh", "-c", script], b"Server listening", folder / "log"):
        yield port


async def ask(connector: MakeConnector, user_key: Keys, port: int, user: str, deadline_s: float) -> Mapping[str, Answer]:
    reference = CredentialReference(name="test", user=user, key=str(user_key.path))
    host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
    async with connector()(host) as session:
        return await session.ask(QUESTIONS, deadline_s=deadline_s)


@pytest.mark.fabric_too
@pytest.mark.parametrize("user", GOOD)
async def test_what_a_login_shell_says_first_harms_no_answer(
    connector: MakeConnector, user_key: Keys, port: int, user: str, reach: Reach
) -> None:
    answers = await ask(connector, user_key, port, user, 60)
    assert {answer.ended for answer in answers.values()} == {Ended.EXITED}, answers
    assert answers["first"].stdout == b"first\n" and answers["last"].stdout == b"last\n"
    assert answers["env"].stdout == f"/home/{user} C\n0077\n".encode()
    raw = answers["bytes"]
    said = "\ufffd\ufffd\n".encode() if reach.fabric else b"\xff\xfe\n"  # a function is given text
    assert (raw.stdout, raw.stderr, raw.exit_status) == (said, b"err\n", 3)
    assert answers["stdin"].stdout == b"end\n"
    assert reach.fabric or {answer.as_root for answer in answers.values()} == {False}


@pytest.mark.fabric_too
@pytest.mark.parametrize("user", BAD)
async def test_a_shell_that_does_something_else_answers_nothing(
    connector: MakeConnector, user_key: Keys, port: int, user: str, reach: Reach
) -> None:
    answers = await ask(connector, user_key, port, user, 4)  # the menu goes on for ever
    assert {answer.ended for answer in answers.values()} <= none_at_all(reach), answers
    assert {answer.exit_status for answer in answers.values()} == {None}
    whys = {answer.why for answer in answers.values()}
    late = {"no end after 4 s"} if reach.fabric else set()  # its commands wait for each other, and know no more of it
    assert all(BAD[user][1] in why and why for why in whys - late), whys
    assert user == "menu" or not whys & late


def test_the_machine_is_as_it_was(port: int) -> None:
    assert "fish:*" not in Path("/etc/passwd").read_text()
    assert stat.S_IMODE(Path("/etc/passwd").stat().st_mode) == 0o644
