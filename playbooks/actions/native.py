"""What native actions have in common: look, compare with what is wanted, apply only what differs, look again."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from inventory.errors import LongarmError, Text
from inventory.host import Platform
from playbooks.actions.doing import Doing, Done, became, not_answered
from playbooks.actions.row import Values
from playbooks.ports import Change
from playbooks.results import Effect, Forecast, StepState
from remote.answer import Answer

MOST_LINES = 400
"""Of a diff."""
_LONGEST_LINE = 400


class NotThere(LongarmError):
    """What is wanted cannot be had on this host: no such service, no package manager, a path that nobody may touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What differs between what is there and what is wanted."""

    diff: tuple[str, ...] = ()
    script: str = ""
    """What makes it so; empty: nothing differs."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    stdin: bytes | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the result has of it."""
    once: bool = False
    """Whether it is done in any case, so that looking again proves nothing: a restart."""
    why: Text | None = None
    """What a plan says beside the difference: how far it may be believed."""
    unsure: bool = False
    """Whether only doing it tells if something differs: the script decides then, and says so where nothing did."""

    @property
    def differs(self) -> bool:
        """Tell whether there is something to do."""
        return bool(self.script)

    @property
    def seen_to_differ(self) -> bool:
        """Tell whether something is known to differ."""
        return self.differs and (not self.unsure or bool(self.diff))


Look: TypeAlias = tuple[str, Mapping[str, Any]]
"""A read-only script with its variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """An action that compares."""

    look: Callable[[Values, Platform], Look]
    """Raises NotThere for values that no host may be given."""
    decide: Callable[[Values, Platform, Answer], Decision]
    """Pure; raises NotThere, and ValueError where the look was not understood."""
    unchanged: bytes = b""
    """The last line that a script prints which has changed nothing; empty: there is none."""

    async def plan(self, doing: Doing) -> Forecast:
        """Return the difference as it is now."""
        found = await self._decided(doing)
        if isinstance(found, Done):
            return Forecast(changes=None, why=found.why)
        return Forecast(
            changes=None if found.differs and not found.seen_to_differ else found.differs, diff=found.diff, why=found.why
        )

    async def perform(self, doing: Doing) -> Done:
        """Apply the difference if there is one, and prove that there is none any more."""
        found = await self._decided(doing)
        if isinstance(found, Done):
            return found
        if not found.differs:
            return Done(state=StepState.OK, data=found.data)
        change = await doing.send(doing.command(found.script, found.variables, found.stdin), found.diff)
        done = await self.ended(doing, change, found.diff)
        return replace(done, data={**found.data, **done.data})

    async def ended(self, doing: Doing, change: Change, diff: tuple[str, ...]) -> Done:
        """Return how it ended: where its command ended well, by looking again."""
        done = replace(became(change), diff=diff)
        if done.state is not StepState.CHANGED:
            return done
        after = await self._decided(doing)
        if isinstance(after, Done):
            why = Text("it was applied, but not seen: {why}", why=after.why)
            return replace(done, state=StepState.UNDECIDED, effect=Effect.MAYBE, why=why)
        if after.seen_to_differ and not after.once:
            why = Text("it was applied, and still differs: {diff}", diff="; ".join(after.diff[:5]))
            return replace(done, state=StepState.FAILED, effect=Effect.MAYBE, why=why, data=after.data)
        done = replace(done, data={name: value for name, value in after.data.items() if name != "before"})
        if self.unchanged and change.stdout.endswith(self.unchanged):
            return replace(done, state=StepState.OK, effect=Effect.NONE, diff=())
        return done

    async def _decided(self, doing: Doing) -> Decision | Done:
        try:
            script, variables = self.look(doing.values, doing.platform)
            answer = await doing.look(script, variables)
            if (done := not_answered(answer)) is not None:
                return done
            return self.decide(doing.values, doing.platform, answer)
        except NotThere as error:
            return Done(state=StepState.REFUSED, why=error.text)
        except ValueError:
            said = (answer.stderr or answer.stdout)[:300].decode("utf-8", "backslashreplace").strip()
            return Done(state=StepState.UNDECIDED, why=Text("what the host says is not understood: {said}", said=said))


@cache
def script(name: str) -> str:
    """Return the text of a script of ours, without its comments."""
    text = (Path(__file__).parent / "scripts" / name).read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")) + "\n"


def text_diff(before: bytes | None, after: bytes | None) -> tuple[str, ...]:
    """Return how two contents differ, a line each; bytes that are no text are counted, not shown.

    >>> text_diff(b"a\\nb\\n", b"a\\nc\\n")
    (' a', '-b', '+c')
    """
    if any(one is not None and b"\\0" in one for one in (before, after)):
        return tuple(f"{sign}({len(one)} bytes)" for sign, one in (("-", before), ("+", after)) if one is not None)
    old, new = (one.decode("utf-8", "backslashreplace").splitlines() if one is not None else [] for one in (before, after))
    lines = [line for line in difflib.unified_diff(old, new, lineterm="", n=2) if not line.startswith(("---", "+++", "@@"))]
    shown = [line[:_LONGEST_LINE] for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(f" … {len(lines) - MOST_LINES} more lines")
    if not shown and before != after:  # only the end of the last line differs
        return (f"-({len(before or b'')} bytes)", f"+({len(after or b'')} bytes)")
    return tuple(shown)


def setting(name: str, before: object, after: object) -> tuple[str, ...]:
    """Return how one setting differs.

    >>> setting("mode", "644", "600")
    ('-mode 644', '+mode 600')
    """
    return (f"-{name} {before}", f"+{name} {after}")
