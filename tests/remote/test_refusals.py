"""What sudo, doas and su as they are installed say when they do not let us: each is told in words of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from console.other_user import RULES, allowed_by, wants_rules
from inventory.host import BecomeMethod, Host
from remote.answer import Ended
from remote.bundle.elevation import Verdict
from tests.remote.becoming import (
    DOAS,
    EITHER,
    ME,
    PASSWORD,
    SU,
    SUDO,
    USER,
    WAYS,
    WHO,
    OnHost,
    Way,
    ask,
    doas_conf,
    session_on,
    sudoers,
)
from tests.remote.test_sudo import EXPIRED, LOCKED, SOUND, Given

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")
NOBODY_S = "root ALL=(ALL) ALL\n"
WITHOUT = (
    "mkdir /mnt/bin /mnt/work2\nmount -t overlay bin -o lowerdir=/usr/bin,upperdir=/mnt/bin,workdir=/mnt/work2 /usr/bin\n"
    "rm /usr/bin/{0}"
)
LS_ONLY = f"{USER} ALL=(ALL) NOPASSWD: /bin/ls\n"


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


@pytest.fixture
def on_host(tmp_path: Path) -> OnHost:
    return partial(session_on, tmp_path)


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


async def test_the_doctor_learns_what_sudo_allows_without_a_password(on_host: OnHost) -> None:
    """`sudo -n` says the same to whom it allows nothing and to whom it allows other commands."""
    answers = await ask(on_host(sudoers(LS_ONLY), None), RULES, WHO)
    assert wants_rules(Host(name="h", address="h"), answers["who"])
    assert allowed_by(answers[RULES.id]) == "without one it allows: (ALL) NOPASSWD: /bin/ls"
