"""Watch a run on a terminal: one row per host, or a window of the active ones where there are too many."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text as Styled

from console.progress import Progress, detail
from console.terminal import printable
from console.words import say
from inventory.errors import Text
from inventory.host import Host
from remote.hearing import Hearing
from reports.language import language
from reports.words import OUTCOMES
from runner.outcome import Outcome

_STYLES = {Outcome.OK: "green", Outcome.FINDINGS: "yellow", Outcome.INCOMPLETE: "magenta"}
_MARKS = {Outcome.OK: "✔", Outcome.FINDINGS: "!", Outcome.INCOMPLETE: "?"}
_ASKED, _WAITS = Text("asked"), Text("waits")
_WIDEST_NAME = 40
_MUCH = 2**18
"""Bytes from which on it is told how much a host has sent: a diagnosis is less."""
_FRAME = 4  # lines around the rows: heading, counts and room for the prompt


class LiveTable(Progress):
    """An observer that draws the table; `shown()` is the time in which it stands on the terminal."""

    def __init__(self, language_code: str) -> None:
        super().__init__()
        self._language = language_code
        self._console = Console(stderr=True)
        self._since: dict[str, tuple[float, Hearing]] = {}
        self._live: Live | None = None

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Start the host's clock, and keep an eye on what arrives."""
        super().host_started(host, hearing)
        self._since[host.name] = time.monotonic(), hearing

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw four times a second until left."""
        with Live(
            get_renderable=self._picture, console=self._console, refresh_per_second=4, redirect_stdout=False
        ) as self._live:
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the table off the terminal, and put it back underneath."""
        assert self._live is not None
        self._live.transient = True
        self._live.stop()
        self._live.transient = False
        try:
            yield
        finally:
            self._live.start(refresh=True)

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False, expand=True)
        names = min(_WIDEST_NAME, max(map(len, self.hosts), default=0))
        for width in (1, names, max(len(say(text)) for text in (*OUTCOMES.values(), _ASKED, _WAITS))):
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for name in self._visible():
            table.add_row(*self._row(name))
        return Group(table, Styled(self.counts(), style="bold"))

    def _visible(self) -> Sequence[str]:
        room = max(3, self._console.height - _FRAME)
        if len(self.hosts) <= room:
            return self.hosts
        active = list(self.active)[:room]
        worth = [name for name, record in list(self.ended.items()) if record.outcome is not Outcome.OK]
        kept = {*active, *worth[len(worth) - (room - len(active)) :]} if room > len(active) else set(active)
        return [name for name in self.hosts if name in kept]

    def _row(self, name: str) -> tuple[Styled, Styled, Styled, Styled]:
        if record := self.ended.get(name):
            style = _STYLES.get(record.outcome, "red")
            texts = _MARKS.get(record.outcome, "✘"), name, say(OUTCOMES[record.outcome]), printable(detail(record))
            return Styled(texts[0], style), Styled(texts[1]), Styled(texts[2], style), Styled(texts[3].replace("\n", " "))
        if name in self.active and (since := self._since.get(name)):
            begun_at, hearing = since
            so_far = f"{time.monotonic() - begun_at:.0f} s"
            if hearing.received >= _MUCH:
                so_far += f" · {language(self._language).bytes(hearing.received)}"
            return Styled("…"), Styled(name), Styled(say(_ASKED), "cyan"), Styled(so_far, "dim")
        return Styled(" "), Styled(name, "dim"), Styled(say(_WAITS), "dim"), Styled("")
