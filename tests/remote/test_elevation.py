"""What counts as the question of a tool, and what its words mean, without a host: for versions that no package here has."""

from __future__ import annotations

import pytest

from inventory.host import Become, BecomeMethod
from remote.bundle.denials import why_denied
from remote.bundle.elevation import Elevation, Verdict, Want

SU = Become(method=BecomeMethod.SU)
DOAS = Become(method=BecomeMethod.DOAS)


def test_sudo_rs_asks_with_our_prompt_inside_of_its_own() -> None:
    """0.2.5 and later, as Ubuntu 25.10 has it (src/pam/converse.rs)."""
    elevation = Elevation(has_password=True)
    asked = f"[sudo: {elevation.prompt}] Password: ".encode()
    assert elevation.wants(b"", asked) is Want.PASSWORD
    elevation.password("secret")
    said = asked + b"\nsudo: Authentication failed, try again.\n" + asked
    assert elevation.wants(b"", said) is Want.STOP
    elevation.stop()
    denial = elevation.denial((said + b"\nsudo: Maximum 1 incorrect authentication attempts\n").decode(), "1")
    assert denial.startswith("the password for sudo was rejected: ") and elevation.prompt.strip() not in denial
    assert elevation.verdict(denial) is Verdict.REJECTED


@pytest.mark.parametrize("said", ["[sudo: authenticate] Password: ", "[sudo] password for ops: ", "Пароль: "])
def test_a_sudo_that_asks_in_words_of_its_own_gets_nothing(said: str) -> None:
    elevation = Elevation(has_password=True)
    assert elevation.wants(b"", said.encode()) is Want.STOP
    elevation.stop()
    assert elevation.denial(said, "1").startswith("sudo asks in words of its own, so nothing was sent: ")


WORDS = {
    # sudo-rs 0.2 (src/common/error.rs)
    "sudo: interactive authentication is required": (Become(), "sudo asks for a password, and the credential names none: "),
    "sudo: I'm sorry ops. I'm afraid I can't do that": (Become(), "the user may not become root by sudo: "),
    "sudo: Sorry, user ops is not allowed to execute '/bin/sh' as root on node.": (
        Become(),
        "sudo allows the user some commands as root, and a shell is none of them: ",
    ),
    "sudo: sudo must be owned by uid 0 and have the setuid bit set": (
        Become(),
        "sudo has no power there (no new privileges, nosuid): ",
    ),
    "sudo: user 'oracle' not found": (Become(user="oracle"), "there is no user oracle: "),
    # sudo 1.8, and PAM modules behind it
    "sudo: no tty present and no askpass program specified": (Become(), "sudo insists on a terminal: "),
    "The account is locked due to 3 failed logins.": (Become(), "the account is expired or locked: "),
    "su: Permission denied": (SU, "the user may not become root by su: "),
    "sh: 1: doas: not found": (DOAS, "there is no doas: "),
    "doas: not installed setuid": (DOAS, "doas has no power there (no new privileges, nosuid): "),
}


@pytest.mark.parametrize("words", WORDS)
def test_words_of_other_versions_are_understood(words: str) -> None:
    become, says = WORDS[words]
    assert why_denied(words, become) == says + words


def test_without_a_terminal_doas_says_that_it_wants_one() -> None:
    elevation = Elevation(become=DOAS, has_password=True)
    denial = elevation.denial("doas: Authentication required", "1")
    assert denial == "doas insists on a terminal: doas: Authentication required"
    assert elevation.insists_on_terminal(denial)
