"""What a host asks for in keyboard-interactive (RFC 4256), by its words: they are all that there is to go by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

_CODE: Final = re.compile(
    r"one.?time|verification|authenticat(?:or|ion) code|passcode|security code|\b(?:[th]?otp|oath|token|2fa|mfa|code|pin)\b"
    r"|einmal|bestätigung|одноразов|\bкод|à usage unique|un solo uso"
)
_PASSWORD: Final = re.compile(r"password|passwort|kennwort|пароль|mot de passe|contraseña")
_LONGEST: Final = 80


class Wanted(StrEnum):
    """What a prompt asks for."""

    PASSWORD = "password"  # noqa: S105 (the word, not one)
    CODE = "code"


def wanted(prompt: str, *, echo: bool) -> Wanted | None:
    """Return what a prompt asks for, None where that cannot be told; a password is for hidden prompts only.

    A code is looked for first: `One-time password (OATH) for …` must not be answered with the password.

    >>> wanted("root@db1's password: ", echo=False), wanted("Verification code: ", echo=False)
    (<Wanted.PASSWORD: 'password'>, <Wanted.CODE: 'code'>)
    >>> wanted("One-time password (OATH) for `anna': ", echo=False), wanted("Одноразовый пароль:", echo=True)
    (<Wanted.CODE: 'code'>, <Wanted.CODE: 'code'>)
    >>> wanted("Password: ", echo=True), wanted("Favourite colour?", echo=False)
    (None, None)
    """
    words = prompt.casefold()
    if _CODE.search(words):
        return Wanted.CODE
    return Wanted.PASSWORD if _PASSWORD.search(words) and not echo else None


def shown(prompts: Sequence[tuple[str, bool]]) -> str:
    """Return prompts in one short line, hostile text as it is."""
    return ", ".join(f"“{' '.join(prompt.split())[:_LONGEST]}”" for prompt, _ in prompts[:3])
