"""The doctor's line about another user: what was had, or why not and what to do."""

from __future__ import annotations

import pytest

from console.other_user import advice, other_user
from inventory.host import Become, BecomeMethod, Host
from remote.answer import Answer, Ended
from remote.bundle import denials

SUDO, DOAS, SU = (Become(method=method) for method in (BecomeMethod.SUDO, BecomeMethod.DOAS, BecomeMethod.SU))
ORACLE = Become(user="oracle")
SENTENCES = [
    value for name, value in vars(denials).items() if name.isupper() and isinstance(value, str) and not name.startswith("_")
]
AS_MEANT = {denials.NOBODY, denials.NOT_ROOT}
"""What the inventory says itself needs no advice."""


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("become", [SUDO, DOAS, SU], ids=lambda become: become.method)
def test_each_refusal_has_its_next_step(sentence: str, become: Become) -> None:
    why = sentence.format(name=become.method.value, user="root", number="20")
    told = [advice(why, become, "ops"), advice(f"{why}: words of the host", become, "ops")]
    assert [one is None for one in told] == [sentence in AS_MEANT] * 2


def test_the_next_step_is_a_line_to_write() -> None:
    assert (
        str(advice("the user may not become root by sudo: x", SUDO, "ops"))
        == "allow it by visudo: ops ALL=(root) NOPASSWD: /bin/sh"
    )
    assert str(advice("the user may not become root by doas: x", DOAS, "ops")).endswith(": permit nopass ops as root")
    assert advice("words of a host alone", SUDO, "ops") is None


@pytest.mark.parametrize(
    ("answer", "become", "state", "detail"),
    [
        (Answer(ended=Ended.EXITED, exit_status=0, stdout=b"root\n", as_root=True), SUDO, "ok", "root by sudo"),
        (
            Answer(ended=Ended.EXITED, exit_status=0, stdout=b"oracle\n", denied="x"),
            Become(user="oracle"),
            "ok",
            "oracle by sudo",
        ),
        (Answer(ended=Ended.EXITED, exit_status=0, stdout=b"ops\n", denied="there is no doas: x"), DOAS, "note", "why"),
        (Answer(ended=Ended.LOST, exit_status=None), SU, "note", "why"),
    ],
)
def test_what_was_had_is_told(answer: Answer, become: Become, state: str, detail: str) -> None:
    told = other_user(Host(name="h", address="h", become=become), "ops", answer, "why")
    assert (told["state"], told["detail"]) == (state, detail)


def test_a_login_as_root_needs_nobody_else() -> None:
    answer = Answer(ended=Ended.EXITED, exit_status=0, stdout=b"root\n", as_root=True)
    assert other_user(Host(name="h", address="h"), "root", answer, "")["detail"] == "not needed: the login is root"
