"""How one session becomes another user: by what, with which password, and in a terminal once the host has insisted on one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from inventory.host import Become, BecomeMethod
from remote.answer import Answer, Ended
from remote.bundle.elevation import Elevation
from remote.bundle.wire import Passwords
from remote.question import Question

if TYPE_CHECKING:
    from remote.bundle.terminal import OpenTerminal

AskOnce: TypeAlias = Callable[[Sequence[Question], Elevation, float], Awaitable[dict[str, Answer]]]
"""Asks questions in one bundle, within seconds."""


@dataclass(slots=True, kw_only=True)
class Becoming:
    """What is known of it, for all bundles of one session."""

    become: Become
    login: str
    passwords: Passwords | None = None
    open_terminal: OpenTerminal | None = None
    insists: bool = False
    """Whether the host has said that it wants a terminal for it."""

    def elevation(self) -> Elevation:
        """Return it for one bundle; doas asks for a password in a terminal only."""
        has_password = self.passwords is not None
        wanted = self.insists or (has_password and self.become.method is BecomeMethod.DOAS)
        terminal = wanted and self.open_terminal is not None
        return Elevation(become=self.become, has_password=has_password, login=self.login, terminal=terminal)

    async def ask(self, questions: Sequence[Question], ask_once: AskOnce, deadline_s: float) -> dict[str, Answer]:
        """Return exactly one answer for each question.

        Where the host insists on a terminal, what it denied is asked again, in one: the answer that counts is the last.
        """
        end, elevation = time.monotonic() + deadline_s, self.elevation()
        answers = await ask_once(questions, elevation, deadline_s)
        if self.open_terminal is None or not any(elevation.insists_on_terminal(one.denied) for one in answers.values()):
            return answers
        self.insists = True
        denied = [one for one in questions if answers[one.id].denied and (one.repeatable or _not_run(answers[one.id]))]
        return answers | await ask_once(denied, self.elevation(), max(0.0, end - time.monotonic()))


def _not_run(answer: Answer) -> bool:
    return answer.ended is Ended.NOT_RUN
