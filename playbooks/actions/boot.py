"""Starting a host anew, and the proof of it: a boot id that was read before and is another one after."""

from __future__ import annotations

import re
from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.doing import Doing, Done, became, not_answered
from playbooks.actions.native import script
from playbooks.ports import Became, Change
from playbooks.results import Effect, Forecast, StepState
from remote.answer import Answer, Ended

_LOOKED: Final = re.compile(rb"boot ([0-9A-Za-z-]{8,64})\r?\nneeded (yes|no)\r?\n")
_NOT_UNDERSTOOD: Final = Done(state=StepState.UNDECIDED, why=Text("the host did not say which boot it is"))
RECONNECTING_S: Final = 20.0


class Reboot:
    """Does it at most once, and waits for the host to come back as another boot."""

    async def plan(self, doing: Doing) -> Forecast:
        """Return whether it would be done."""
        boot, needed = await self._look(doing)
        if isinstance(boot, Done):
            return Forecast(changes=None, why=boot.why)
        wanted = needed or not doing.values.get("only_if_needed")
        return Forecast(changes=wanted, diff=(" the host is started anew",) if wanted else ())

    async def perform(self, doing: Doing) -> Done:
        """Start it anew and return what the boot ids prove."""
        before, needed = await self._look(doing)
        if isinstance(before, Done):
            return before
        if doing.values.get("only_if_needed") and not needed:
            return Done(state=StepState.OK, data={"boot_id_before": before})
        diff = (f"-boot {before}",)
        return await self.ended(doing, await doing.send(doing.command(_of("apply", doing), {}), diff), diff)

    async def ended(self, doing: Doing, change: Change, diff: tuple[str, ...]) -> Done:
        """Return what the boot ids prove: `diff` says which one was before."""
        before = diff[0].removeprefix("-boot ")
        if change.became in (Became.NOT_BEGUN, Became.FENCED) or (change.became is Became.DONE and change.exit_status != 0):
            return became(change)
        after = await self._another_boot(doing, before)
        data = {"boot_id_before": before, **({"boot_id_after": after} if after else {})}
        if after is None:
            why = Text("the host did not come back before the deadline: nobody knows how it is")
            if (unreached := doing.ports.hands.unreached) is not None:
                why = Text("the host did not come back before the deadline: {why}", why=unreached)
            return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, data=data, why=why)
        if after == before:
            why = Text("the host answers with the same boot id: it was not started anew")
            return Done(state=StepState.FAILED, effect=Effect.MAYBE, data=data, why=why)
        if (settle := doing.values.get("settle")) is not None:
            await doing.ports.clock.sleep(settle)
            if (now := await self._boot_now(doing)) != after:
                why = Text("the host came back, and was gone again")
                if now is not None:
                    data["boot_id_after"], why = (
                        now,
                        Text("the host came back, and was started anew once more: it may never stop"),
                    )
                return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, data=data, why=why)
        return Done(state=StepState.CHANGED, effect=Effect.CHANGED, data=data, diff=(f"-boot {before}", f"+boot {after}"))

    async def _another_boot(self, doing: Doing, before: str) -> str | None:
        """Return the last boot id that the host told before the deadline; None: it told none."""
        clock, last = doing.ports.clock, None
        while clock.now_s() < doing.end_s:
            await clock.sleep(doing.step.every_s)
            if not await doing.ports.hands.again(deadline_s=min(RECONNECTING_S, doing.left_s())):
                last = None
                continue
            boot, _ = await self._look(doing)
            last = boot if isinstance(boot, str) else None
            if last is not None and last != before:
                return last
        return last

    async def _boot_now(self, doing: Doing) -> str | None:
        """Return the first boot id that the host tells before the deadline; None: it tells none."""
        hands, clock = doing.ports.hands, doing.ports.clock
        while True:
            if await hands.again(deadline_s=min(RECONNECTING_S, max(1.0, doing.left_s()))):
                boot, _ = await self._look(doing)
                if isinstance(boot, str):
                    return boot
            if clock.now_s() + doing.step.every_s >= doing.end_s:
                return None
            await clock.sleep(doing.step.every_s)

    async def _look(self, doing: Doing) -> tuple[str | Done, bool]:
        answer: Answer = await doing.look(_of("look", doing), {})
        if answer.ended is not Ended.EXITED:
            return not_answered(answer) or _NOT_UNDERSTOOD, False
        found = _LOOKED.fullmatch(answer.stdout)
        if found is None or answer.exit_status != 0:
            return _NOT_UNDERSTOOD, False
        return found[1].decode("ascii"), found[2] == b"yes"


def _of(what: str, doing: Doing) -> str:
    return script(f"boot_{what}.{'ps1' if doing.platform is Platform.WINDOWS else 'sh'}")
