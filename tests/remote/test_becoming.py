"""Another user by doas, su and sudo as they are installed: by their own rules, in a terminal where they want one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from inventory.host import Become, BecomeMethod, Host, Transport
from remote.answer import Answer, Ended
from remote.bundle.elevation import Verdict
from remote.local import LocalSession
from remote.question import Privilege, Question
from tests.remote.test_sudo import EXPIRED, LOCKED, SOUND, Given, lives_on

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")
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


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return SHELLS[request.param]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def on_host(tmp_path: Path) -> OnHost:
    """Return a function that gives a session as USER on a host where a way leads to another user."""

    def start(
        way: Way,
        passwords: Given | None,
        shell: str = "dash",
        *,
        user: str = "root",
        ages: str = SOUND,
        before: str = "",
        env: str = "",
    ) -> LocalSession:
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
            (file := tmp_path / name.replace("/", "-")).write_text(text)
            mode = "440" if name in ("shadow", "sudoers") else "644"
            steps.append(f"install -m {mode} {file} /etc/{name}")
        if way.su:
            (file := tmp_path / "su").write_text(way.su)
            source, mode = (shutil.which("busybox"), "4755") if way.su == BUSYBOX else (file, "755")
            steps += ["cp -p /usr/bin/su /mnt/su", f"mkdir /mnt/own && install -m {mode} {source} /mnt/own/su"]
            steps.append("mount --bind /mnt/own/su /usr/bin/su")
        power = "--no-new-privs " if before == "NNP" else ""
        become = (
            f"setpriv {power} --reuid={UID} --regid={UID} --clear-groups env PATH=/usr/local/bin:/usr/bin:/bin {env} {shell}"
        )
        (script := tmp_path / "prepare").write_text("\n".join((*steps, before.replace("NNP", ""), f'exec {become} "$@"', "")))
        host = Host(name="here", address="here", transport=Transport.LOCAL, become=Become(method=way.method, user=user))
        session = LocalSession(host, shell=("unshare", "-m", "/bin/sh", str(script)), passwords=passwords)
        session._becoming.login = USER
        return session

    return start


def hashed(password: str) -> str:
    done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password.encode(), capture_output=True, check=True)
    return done.stdout.decode().strip()


async def ask(session: LocalSession, *questions: Question) -> Mapping[str, Answer]:
    try:
        return await session.ask(questions, deadline_s=90)
    finally:
        await session.leave()


async def test_the_right_password_gives_root_and_leaves_answers_as_they_are(way: Way, shell: str, on_host: OnHost) -> None:
    given = Given(PASSWORD)
    answers = await ask(on_host(way, given, shell), ME, WHO, EITHER, BINARY)
    assert {answer.denied for answer in answers.values()} == {""}
    assert [answers[name].stdout for name in ("me", "who", "either")] == [b"%d\n" % UID, b"0\n", b"0\n"]
    assert [answer.as_root for answer in answers.values()] == [False, True, True, True]
    said = answers["binary"]
    assert said.stdout == b"\0\1\3\4\n\r\n\x11\x13\x7f\xff\x1a\x1c" + b"\0" * 300_000
    assert (said.stderr, said.ended) == (b"\r\n\4err\xff", Ended.EXITED)
    assert given.verdicts == [Verdict.ACCEPTED]


async def test_a_wrong_password_is_sent_once_and_the_rest_is_asked_as_the_user(way: Way, shell: str, on_host: OnHost) -> None:
    given = Given("wrong")
    answers = await ask(on_host(way, given, shell), ME, WHO, EITHER)
    assert answers["who"].denied.startswith(f"the password for {way.method.value} was rejected: ")
    assert (given.offered, given.verdicts) == (1, [Verdict.REJECTED])
    assert answers["who"].ended is Ended.NOT_RUN
    assert (answers["either"].ended, answers["either"].stdout) == (Ended.EXITED, b"%d\n" % UID)
    assert answers["who"].denied == answers["either"].denied and "longarm-" not in answers["who"].denied.replace(USER, "")


# --- what each tool says when it does not let us ------------------------------------------------------------------

SUDO, DOAS, SU = (Way(method=method) for method in (BecomeMethod.SUDO, BecomeMethod.DOAS, BecomeMethod.SU))
NOBODY_S = "root ALL=(ALL) ALL\n"
WITHOUT = (
    "mkdir /mnt/bin /mnt/work2\nmount -t overlay bin -o lowerdir=/usr/bin,upperdir=/mnt/bin,workdir=/mnt/work2 /usr/bin\n"
    "rm /usr/bin/{0}"
)
LS_ONLY = f"{USER} ALL=(ALL) NOPASSWD: /bin/ls\n"


def sudoers(text: str) -> Way:
    return Way(method=BecomeMethod.SUDO, rules={"sudoers": text})


def doas_conf(text: str) -> Way:
    return Way(method=BecomeMethod.DOAS, rules={"doas.conf": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A host that refuses, and how that is told."""

    way: Way
    says: str
    password: str | None = PASSWORD
    verdicts: tuple[Verdict, ...] = ()
    ages: str = SOUND
    user: str = "root"
    before: str = ""
    """What is done to the host first."""


REFUSALS = {
    "no sudo": Refusal(way=SUDO, says="there is no sudo: ", before=WITHOUT.format("sudo")),
    "not in the rules of sudo": Refusal(
        way=sudoers(NOBODY_S), says="the user may not become root by sudo: ", verdicts=(Verdict.ACCEPTED,)
    ),
    "sudo for some commands": Refusal(
        way=sudoers(LS_ONLY),
        says="sudo allows the user some commands as root, and a shell is none of them: ",
        verdicts=(Verdict.ACCEPTED,),
    ),
    "sudo without a password of ours": Refusal(
        way=WAYS["sudo"], says="sudo asks for a password, and the credential names none: ", password=None
    ),
    "sudo, password expired": Refusal(
        way=WAYS["sudo"],
        says="the password is expired and has to be changed first: ",
        ages=EXPIRED,
        verdicts=(Verdict.UNANSWERED,),
    ),
    "sudo, account expired": Refusal(
        way=WAYS["sudo"], says="the account is expired or locked: ", ages=LOCKED, verdicts=(Verdict.UNANSWERED,)
    ),
    "sudo that lets nothing start": Refusal(
        way=sudoers(f"Defaults noexec\n{USER} ALL=(ALL) ALL\n"),
        says="sudo lets the shell start no program (noexec): ",
        verdicts=(Verdict.ACCEPTED,),
    ),
    "sudo that lets nothing start, without a password": Refusal(
        way=sudoers(f"Defaults noexec\n{USER} ALL=(ALL) NOPASSWD: ALL\n"),
        says="sudo lets the shell start no program (noexec): ",
    ),
    "broken sudoers": Refusal(
        way=sudoers("what is this(\n"), says="the rules of sudo cannot be used: ", verdicts=(Verdict.ACCEPTED,)
    ),
    "sudo to nobody we know": Refusal(
        way=sudoers(f"{USER} ALL=(ALL) NOPASSWD: ALL\n"), user="no-such", says="there is no user no-such: "
    ),
    "sudo without power": Refusal(way=WAYS["sudo"], says="sudo has no power there (no new privileges, nosuid): ", before="NNP"),
    "no doas": Refusal(way=DOAS, says="there is no doas: ", before=WITHOUT.format("doas")),
    "no su": Refusal(way=SU, says="there is no su: ", before=WITHOUT.format("su")),
    "not in the rules of doas": Refusal(way=doas_conf("permit root\n"), says="the user may not become root by doas: "),
    "doas for some commands": Refusal(
        way=doas_conf(f"permit nopass {USER} cmd ls\n"), says="the user may not become root by doas: "
    ),
    "doas without a password of ours": Refusal(
        way=WAYS["doas"], says="doas asks for a password, and the credential names none: ", password=None
    ),
    "doas, account expired": Refusal(
        way=WAYS["doas"], says="the account is expired or locked: ", ages=LOCKED, verdicts=(Verdict.UNANSWERED,)
    ),
    "broken doas.conf": Refusal(
        way=doas_conf(f"permit nopass {USER}\n"), says="the rules of doas cannot be used: ", before="chmod 666 /etc/doas.conf"
    ),
    "doas to nobody we know": Refusal(
        way=doas_conf(f"permit nopass {USER}\n"), user="no-such", says="there is no user no-such: "
    ),
    "su without a password of ours": Refusal(
        way=SU, says="su asks for a password, and the credential names none", password=None
    ),
    "su, password expired": Refusal(
        way=SU, says="the password is expired and has to be changed first: ", ages=EXPIRED, verdicts=(Verdict.UNANSWERED,)
    ),
    "su, account expired": Refusal(
        way=SU, says="the account is expired or locked: ", ages=LOCKED, verdicts=(Verdict.UNANSWERED,)
    ),
    "su to nobody we know": Refusal(way=SU, user="no-such", says="there is no user no-such: "),
    "su of busybox to nobody we know": Refusal(way=WAYS["su of busybox"], user="no-such", says="there is no user no-such: "),
    "su to a user without a shell": Refusal(
        way=SU,
        says="root has no shell that su starts: ",
        before="sed -i 's#^root:x:0:0::/:/bin/sh#root:x:0:0::/:/usr/sbin/nologin#' /etc/passwd",
        verdicts=(Verdict.UNANSWERED,),
    ),
    "su that asks in words of its own": Refusal(
        way=Way(method=BecomeMethod.SU, su="#!/bin/sh\nprintf 'LDAP Password: ' >&2\nread -r x\nexit 1\n"),
        says="su asks in words of its own, so nothing was sent: LDAP",
    ),
    "the inventory says so": Refusal(
        way=Way(method=BecomeMethod.NONE), says="the inventory says that no other user is become there"
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_is_told_in_words_of_its_own(case: str, on_host: OnHost) -> None:
    refusal = REFUSALS[case]
    given = None if refusal.password is None else Given(refusal.password)
    root = refusal.user == "root"
    session = on_host(refusal.way, given, user=refusal.user, ages=refusal.ages, before=refusal.before)
    answers = await ask(session, ME, WHO if root else EITHER)
    asked = answers["who" if root else "either"]
    assert asked.denied.startswith(refusal.says)
    assert [*(given.verdicts if given else ())] == [*refusal.verdicts]
    assert (answers["me"].ended, asked.as_root) == (Ended.EXITED, False)
    assert asked.ended is (Ended.NOT_RUN if root else Ended.EXITED)


# --- what is left, and what else may be in the way ----------------------------------------------------------------


async def test_no_ticket_is_left(way: Way, on_host: OnHost) -> None:
    """Whoever logs in as the same user afterwards could be root by it."""
    script = "for file in /run/sudo/ts/*; do od -An -v -tu1 $file; done; ls /run/doas >&2"
    tickets = Question(id="tickets", script=script, privilege=Privilege.ROOT)
    answers = await ask(on_host(way, Given(PASSWORD)), tickets, WHO)
    assert answers["who"].stdout == b"0\n"
    assert [*valid_tickets(bytes(int(byte) for byte in answers["tickets"].stdout.split()))] == []


LOCK, DISABLED = 4, 1
"""Of timestamp.h of sudo: a record that is nobody's, and the flag of one that lets nobody in; `sudo -n` makes both."""


def valid_tickets(file: bytes) -> Iterator[bytes]:
    """Yield each record that counts: version, size, type, flags of two bytes each, then the rest."""
    while file:
        _, size, kind, flags = struct.unpack("=HHHH", file[:8])
        if kind != LOCK and not flags & DISABLED:
            yield file[:size]
        file = file[size:]


@pytest.mark.parametrize("language", ["ru", "de", "fr"])
async def test_a_login_in_another_language_changes_nothing(language: str, way: Way, on_host: OnHost) -> None:
    session = on_host(way, Given("wrong"), env=f"LANG=C.UTF-8 LANGUAGE={language} LC_MESSAGES={language}_XX.UTF-8")
    answers = await ask(session, WHO)
    assert answers["who"].denied.startswith(f"the password for {way.method.value} was rejected: ")


SLOW = "auth required pam_exec.so quiet /bin/sleep {}\n"


def slow(way: Way, seconds: int) -> Way:
    """Return a way on a host whose directory takes its time over each login (as sssd does without its server)."""
    pam = f"/etc/pam.d/{way.method.value}"
    return replace(way, rules={**way.rules, f"pam.d/{way.method.value}": SLOW.format(seconds) + Path(pam).read_text()})


@pytest.mark.parametrize("name", ["sudo", "doas", "su"])
async def test_a_slow_directory_is_waited_for(name: str, on_host: OnHost) -> None:
    answers = await ask(on_host(slow(WAYS[name], 1), Given(PASSWORD)), WHO)
    assert answers["who"].stdout == b"0\n"


@pytest.mark.parametrize("name", ["sudo", "doas", "su"])
async def test_one_that_is_too_slow_is_told_and_costs_no_answer_of_the_user(
    name: str, on_host: OnHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.bundle.exchange.ROOT_GRACE_S", 1.0)
    given = Given(PASSWORD)
    answers = await ask(on_host(slow(WAYS[name], 30), given), ME, WHO)
    assert (answers["me"].ended, answers["who"].ended) == (Ended.EXITED, Ended.NOT_RUN)
    assert answers["who"].why == f"{name} gave no verdict within 1 s"
    assert given.verdicts in ([], [Verdict.UNANSWERED])


async def test_a_lecture_before_the_prompt_does_no_harm(on_host: OnHost) -> None:
    for tty in ("", "Defaults requiretty\n"):
        way = sudoers(f"Defaults lecture=always\n{tty}{USER} ALL=(ALL) ALL\n")
        assert (await ask(on_host(way, Given(PASSWORD)), WHO))["who"].stdout == b"0\n"


async def test_a_terminal_alone_is_enough_where_no_password_is_wanted(on_host: OnHost) -> None:
    way = sudoers(f"Defaults requiretty\n{USER} ALL=(ALL) NOPASSWD: ALL\n")
    answers = await ask(on_host(way, None), ME, WHO, EITHER)
    assert [answer.stdout for answer in answers.values()] == [b"%d\n" % UID, b"0\n", b"0\n"]


async def test_doas_and_sudo_without_a_password_are_given_none(on_host: OnHost) -> None:
    for way in (doas_conf(f"permit nopass {USER}\n"), sudoers(f"{USER} ALL=(ALL) NOPASSWD: /bin/sh\n")):
        given = Given(PASSWORD)
        assert (await ask(on_host(way, given), WHO))["who"].stdout == b"0\n"
        assert given.offered == 0


# --- another user than root ---------------------------------------------------------------------------------------

TO_OTHER = {
    "sudo": (sudoers(f"{USER} ALL=({OTHER}) ALL\n"), PASSWORD),
    "sudo without a password": (sudoers(f"{USER} ALL=({OTHER}) NOPASSWD: ALL\n"), None),
    "sudo in a terminal": (sudoers(f"Defaults requiretty\n{USER} ALL=({OTHER}) ALL\n"), PASSWORD),
    "doas": (doas_conf(f"permit {USER} as {OTHER}\n"), PASSWORD),
    "su": (SU, OF_OTHER),
    "su of busybox": (WAYS["su of busybox"], OF_OTHER),
}
NOT_ROOT = f"the inventory says to become {OTHER}, which is not root"


@pytest.mark.parametrize("case", TO_OTHER)
async def test_another_user_sees_what_root_would_rather_see_and_nothing_that_only_root_may(
    case: str, shell: str, on_host: OnHost
) -> None:
    way, password = TO_OTHER[case]
    answers = await ask(on_host(way, password and Given(password), shell, user=OTHER), ME, WHO, EITHER)
    assert (answers["me"].stdout, answers["me"].denied) == (b"%d\n" % UID, "")
    assert (answers["either"].stdout, answers["either"].as_root) == (b"%d\n" % OTHER_UID, False)
    assert answers["either"].denied == NOT_ROOT
    assert (answers["who"].ended, answers["who"].why) == (Ended.NOT_RUN, NOT_ROOT)


@pytest.mark.parametrize("case", TO_OTHER)
async def test_what_another_user_started_is_ended_too(case: str, on_host: OnHost, tmp_path: Path) -> None:
    """At its deadline, and when the session is left while it runs; sudo itself does not stay behind, stopped."""
    way, password = TO_OTHER[case]
    os.mkfifo(fifo := tmp_path / "fifo")
    fifo.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    script = f"setsid sh -c 'echo $$ $PPID >{fifo}; exec sleep 1000'"
    stays = Question(id="stays", script=script, deadline_s=1000, privilege=Privilege.PREFER_ROOT)
    session = on_host(way, password and Given(password), user=OTHER)
    asking = asyncio.create_task(session.ask([stays], deadline_s=90))
    pids = [int(pid) for pid in (await asyncio.to_thread(fifo.read_text)).split()]
    parents = [*pids, *ancestors(pids[1], until=os.getpid())]
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await session.leave()
    assert [pid for pid in parents if await asyncio.to_thread(lives_on, pid)] == []


def ancestors(pid: int, until: int) -> list[int]:
    """Return the pids above a process, up to one of ours."""
    found = []
    while pid not in (0, 1, until):
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found
