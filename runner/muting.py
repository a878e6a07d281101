"""Monitoring is kept silent around each wave of a changing run, and speaks again afterwards, however the wave ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from inventory.errors import LongarmError, Text
from inventory.secret import MASKER
from runner.host_run import Clock
from runner.mute_hooks import Hook, Wanted
from runner.store.changes import Muting as Change
from runner.store.port import Store
from runner.store.rows import AuditRow, MuteRow, MuteState, RunRow


class MuteFailed(LongarmError):
    """Monitoring could not be muted, and the configuration says that nothing is changed then."""


@dataclass(slots=True, kw_only=True)
class Muting:
    """The hooks of a home at work for one run."""

    hooks: Sequence[Hook]
    store: Store
    run: RunRow
    actor: str
    clock: Clock

    @asynccontextmanager
    async def around(self, wave: int, hosts: Sequence[str], until: datetime) -> AsyncIterator[MuteFailed | None]:
        """Keep monitoring of these hosts silent meanwhile; gives what forbids the change, where something does.

        A hook that fails is asked to take back what it may have done; what stays muted is on disk, for whoever comes after.
        """
        rows: list[MuteRow] = []
        try:
            yield await self._muted(wave, hosts, until, rows)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._unmuted(rows, hosts)))

    async def unmute_left(self, rows: Sequence[MuteRow], hosts: Sequence[str]) -> tuple[MuteRow, ...]:
        """Unmute what an earlier process of the run left muted, and return how that ended."""
        return await self._unmuted(list(rows), hosts)

    async def _muted(self, wave: int, hosts: Sequence[str], until: datetime, rows: list[MuteRow]) -> MuteFailed | None:
        for hook in self.hooks:
            name, since = hook.entry.name, self.clock()
            row = MuteRow(run=self.run.run, wave=wave, hook=name, state=MuteState.MUTING, since=since, until=until)
            await self._keep(row)
            wanted = self._wanted(row, hosts)
            try:
                reference = await asyncio.to_thread(hook.mute, wanted)
            except LongarmError as error:
                reason = Text("{text}", text=error.text)
                await self._keep(await self._taken_back(hook, wanted, replace(row, error=reason)))
                if hook.entry.stops:
                    text = Text("not begun: monitoring was not muted by “{hook}”: {reason}", hook=name, reason=error.text)
                    return MuteFailed(text, error.hint)
                continue
            rows.append(replace(row, state=MuteState.MUTED, reference=MASKER.text(reference)))
            await self._keep(rows[-1])
        return None

    async def _taken_back(self, hook: Hook, wanted: Wanted, row: MuteRow) -> MuteRow:
        """Return a failed row once what it may have muted is unmuted; where that fails too, nobody knows."""
        try:
            await asyncio.to_thread(hook.unmute, wanted, "")
        except LongarmError:
            return row
        return replace(row, state=MuteState.FAILED)

    async def _unmuted(self, rows: Sequence[MuteRow], hosts: Sequence[str]) -> tuple[MuteRow, ...]:
        by_name = {hook.entry.name: hook for hook in self.hooks}
        ended = []
        for row in reversed(rows):
            ended.append(await self._let_speak(by_name.get(row.hook), row, hosts))
            await self._keep(ended[-1])
        return tuple(ended)

    async def _let_speak(self, hook: Hook | None, row: MuteRow, hosts: Sequence[str]) -> MuteRow:
        over = row.until <= self.clock()
        if hook is None:
            gone = Text("the configuration does not know “{hook}” any more", hook=row.hook)
            return replace(row, state=MuteState.UNMUTED if over else row.state, error=gone)
        try:
            await asyncio.to_thread(hook.unmute, self._wanted(row, hosts), row.reference)
        except LongarmError as error:
            return replace(row, state=MuteState.UNMUTED if over else row.state, error=Text("{text}", text=error.text))
        return replace(row, state=MuteState.UNMUTED)

    def _wanted(self, row: MuteRow, hosts: Sequence[str]) -> Wanted:
        return Wanted(
            key=f"longarm {row.run}/{row.wave}",
            run=row.run,
            hosts=tuple(hosts),
            actor=self.actor,
            reason=self.run.playbook,
            since=row.since,
            until=row.until,
        )

    async def _keep(self, row: MuteRow) -> None:
        audit = AuditRow(
            at=self.clock(),
            actor=self.actor,
            action=f"monitoring.{row.state.value}",
            run=row.run,
            case=self.run.case,
            customers=self.run.customers,
            detail=row.hook if row.error is None else f"{row.hook}: {row.error}",
        )
        written = self.store.write(Change(mute=row, audit=audit))
        await asyncio.shield(asyncio.wrap_future(written))
