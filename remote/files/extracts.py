"""Part of a file on a host, chosen there: its last lines, a span of time, lines that match; and where it is from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from inventory.errors import Text, UsageError
from inventory.host import Platform
from remote.answer import Answer, Ended
from remote.command import EXTRACT, ORIGIN
from remote.files.steps import STATUSES, reason_said, text
from remote.files.transfer import WORDS, check_path
from remote.question import Privilege, Question
from remote.windows.extracts import extract_question, origin_question, trouble_on_windows
from remote.windows.paths import checked_path

BAD_PATTERN, NO_AWK, NO_SPAN = 29, 30, 32
_NO_TIME = b"no line has a time"
"""What times.awk says where it understood none: an empty answer would read as nothing having happened."""
_ENDS_FIRST = Text("the span of time ends before it begins: --until is no later than --since")
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_ORIGIN_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A bound in time as somebody wrote it; the host's own clock says when that is."""

    kind: str
    """`utc`; `local`: seconds as if the host's time were UTC; `ago`: before its now."""
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Which part of which file."""

    path: str
    last: int | None = None
    since: Moment | None = None
    until: Moment | None = None
    pattern: str = ""
    """An extended regular expression, of the host's grep."""
    max_bytes: int = 8 * 1024 * 1024
    deadline_s: int = 60
    privilege: Privilege = Privilege.PREFER_ROOT
    platform: Platform = Platform.LINUX

    def __post_init__(self) -> None:
        if self.since and self.until and self.since.kind == self.until.kind:
            forward = self.until.seconds - self.since.seconds
            if (-forward if self.since.kind == "ago" else forward) <= 0:
                raise UsageError(_ENDS_FIRST)
        if self.platform is not Platform.WINDOWS:
            check_path(self.path)
            return
        checked_path(self.path)
        if self.since is not None or self.until is not None:
            why = Text(
                "a span of time cannot be asked for on Windows: its logs do not say in which order day and month stand, "
                "nor in which zone"
            )
            raise UsageError(why, Text("--last N or --grep PATTERN"))

    def questions(self) -> tuple[Question, Question]:
        """Return what asks for where it is from, then for the lines."""
        if self.platform is Platform.WINDOWS:
            return self._on_windows()
        bounds = {"since": self.since, "until": self.until}
        values = {name: str(moment.seconds) if moment else "" for name, moment in bounds.items()}
        kinds = {f"{name}_is": moment.kind if moment else "" for name, moment in bounds.items()}
        wanted = {
            "path": self.path,
            "most": str(self.max_bytes),
            "last": "" if self.last is None else str(self.last),
            "pattern": self.pattern,
            "times": _times() if self.since or self.until else "",
            **values,
            **kinds,
        }
        origin = Question(
            id=ORIGIN,
            script=text("origin"),
            deadline_s=_ORIGIN_S,
            max_bytes=8192,
            privilege=self.privilege,
            variables=(("path", self.path),),
        )
        extract = Question(
            id=EXTRACT,
            script=text("extract"),
            deadline_s=self.deadline_s,
            max_bytes=self.max_bytes + 1,
            privilege=self.privilege,
            variables=tuple(wanted.items()),
        )
        return origin, extract

    def _on_windows(self) -> tuple[Question, Question]:
        path = checked_path(self.path)
        return origin_question(ORIGIN, path, self.privilege), extract_question(
            EXTRACT,
            path,
            last=self.last,
            pattern=self.pattern,
            max_bytes=self.max_bytes,
            deadline_s=self.deadline_s,
            privilege=self.privilege,
        )

    def kept(self, answers: Mapping[str, Answer]) -> Mapping[str, Answer]:
        """Return the answers with the lines cut to the cap, at the beginning of a line, where there were more."""
        answer = answers[EXTRACT]
        if answer.ended is not Ended.EXITED or len(answer.stdout) <= self.max_bytes:
            return answers
        data = answer.stdout[-self.max_bytes :]
        return {**answers, EXTRACT: replace(answer, stdout=data[data.find(b"\n") + 1 :], stdout_cut=-1)}


def trouble(answer: Answer) -> Text | None:
    """Return why an extract is not, or not wholly, what was asked for; None if it is."""
    if answer.ended is not Ended.EXITED:
        return Text("it could not be read to its end: {why}", why=answer.why or answer.ended.value)
    match answer.exit_status:
        case 0 if not answer.stderr:
            return None
        case 0 if answer.stderr.strip() == _NO_TIME:
            return Text("no line of it has a time that is understood, so nothing is known of the span")
        case int(status) if status == NO_SPAN:
            return _ENDS_FIRST
        case int(status) if status == BAD_PATTERN:
            said = answer.stderr.decode(errors="replace").strip()[:200]
            return Text("the host's grep does not understand the pattern: {why}", why=said)
        case int(status) if status == NO_AWK:
            return Text("the host has no awk, which a span of time needs")
        case int(status) if status in STATUSES:
            return WORDS[STATUSES[status]]
        case _:
            if (told := trouble_on_windows(answer)) is not None:
                return told
            reason, said = reason_said(answer.stderr)
            return Text("{reason}: {detail}", reason=WORDS[reason], detail=said) if said else WORDS[reason]


def moment(written: str) -> Moment:
    """Return the moment that is meant: `2h` ago (s, m, h, d, w), `2026-11-29 08:00` by the host's clock, or with a zone.

    >>> moment("90m"), moment("1970-01-02"), moment("1970-01-01T01:00:00+01:00")
    (Moment(kind='ago', seconds=5400), Moment(kind='local', seconds=86400), Moment(kind='utc', seconds=0))

    Raises UsageError for what is none.
    """
    if ago := _AGO.fullmatch(written.strip()):
        return Moment(kind="ago", seconds=int(ago[1]) * _SECONDS[ago[2]])
    try:
        parsed = datetime.fromisoformat(written.strip())
    except ValueError:
        raise UsageError(
            Text("not a moment: {text}", text=written),
            Text("2h, 3d, 2026-11-29, “2026-11-29 08:00”, or with a zone: …T08:00+02:00"),
        ) from None
    if parsed.tzinfo is None:
        return Moment(kind="local", seconds=int(parsed.replace(tzinfo=UTC).timestamp()))
    return Moment(kind="utc", seconds=int(parsed.timestamp()))


@cache
def _times() -> str:
    lines = Path(__file__).with_name("times.awk").read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if not line.lstrip().startswith("#"))
