"""The person at the desk, as a playbook asks: one question at a time, and none where nobody sits."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from console.served import awaiting
from console.settings import Settings
from console.terminal import complain, forget_typed, printable
from console.watch import stepped_aside
from console.words import say, spoken
from inventory.errors import Text

if TYPE_CHECKING:
    from playbooks.ports import Asked, Operator


class Nobody:
    """Answers nothing: what needs an answer is refused."""

    present = False

    async def answer(self, asked: Asked, *, deadline_s: float) -> str | None:  # noqa: ARG002 (the port's)
        """Return that nobody answered."""
        return None


class AtTerminal:
    """Asks on stderr and reads a line from the terminal; hosts that ask at once wait for each other."""

    present = True

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def answer(self, asked: Asked, *, deadline_s: float) -> str | None:
        """Return the line that was typed, None where none was in time, or nobody is there."""
        try:
            async with asyncio.timeout(deadline_s), self._turn:
                forget_typed(sys.stdin)  # what was typed for another host, too late, is no answer for this one
                with stepped_aside(), awaiting("line"):
                    if asked.wrong is not None:
                        complain(say(asked.wrong))
                    question = asked.question.get(spoken()) or next(iter(asked.question.values()), "")
                    complain(printable(f"{asked.host}: {question}"))
                    return await _line()
        except TimeoutError:
            complain(say(Text("{host}: nobody answered in time", host=asked.host)))
            return None


async def _line() -> str | None:
    """Return the next line of stdin, without its end, None where nobody is there any more; the event loop goes on."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()

    def readable() -> None:
        if not typed.done():
            typed.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), readable)
    try:
        return line.rstrip("\n") if (line := await typed) else None
    finally:
        loop.remove_reader(sys.stdin.fileno())


def operator_of(settings: Settings) -> Operator:
    """Return who answers a playbook's questions."""
    return Nobody() if settings.no_input or not sys.stdin.isatty() else AtTerminal()
