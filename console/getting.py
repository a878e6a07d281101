"""From the words of `longarm host get` to a file on a case."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from console.aftermath import writable
from console.diagnosing import case_named
from console.files import Replacement
from console.inventories import known_inventory
from console.permits import refuse_this_machine
from console.settings import Settings
from console.tasking import do_task
from console.terminal import tell
from inventory.errors import Text, UsageError
from inventory.host import Selection
from remote.answer import Answer
from remote.command import EXTRACT
from remote.files.extracts import Extract, moment, trouble
from remote.question import Privilege
from runner.desk import Desk, login_name
from runner.request import CONNECTING_S, TaskRequest
from runner.tasks import ExtractTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `host get` as they were given."""

    case: str | None = None
    to: Path | None = None
    last: int | None = None
    since: str | None = None
    until: str | None = None
    pattern: str = ""
    max_bytes: int = 2**23
    no_root: bool = False
    deadline: float = 60.0
    across_customers: bool = False


def get_file(settings: Settings, target: str, path: str, wishes: Wishes) -> int:
    """Get a part of a file, put it where it was asked for, and return the exit code."""
    to, request = writable(wishes.to), request_of(settings, target, path, wishes)
    record, code = do_task(settings, request)
    if to is not None:
        with Desk.open(settings.home, write=False) as desk:
            answer = next((answer for _, question, answer in desk.answers(record.run) if question == EXTRACT), None)
        tell(settings, written(to, answer))
    return code


def written(to: Path, answer: Answer | None) -> Text:
    """Write what was got, if anything was, and return what became of the file."""
    why = None if answer is None else trouble(answer)
    if answer is None or (why is not None and not answer.stdout):
        return Text("nothing was got, and nothing was written to {path}", path=str(to))
    with Replacement(to) as file:
        file.write(answer.stdout)
    in_part = why is not None or answer.stdout_cut
    return Text("written in part: {path}", path=str(to)) if in_part else Text("written: {path}", path=str(to))


def request_of(settings: Settings, target: str, path: str, wishes: Wishes) -> TaskRequest:
    """Return the request that is meant; raises UsageError for one that cannot be."""
    selection = one_host(known_inventory(settings).select(target))
    refuse_this_machine(selection.hosts)
    try:
        extract = Extract(
            path=path,
            last=wishes.last,
            since=moment(wishes.since) if wishes.since else None,
            until=moment(wishes.until) if wishes.until else None,
            pattern=wishes.pattern,
            max_bytes=wishes.max_bytes,
            deadline_s=math.ceil(wishes.deadline),
            privilege=Privilege.USER if wishes.no_root else Privilege.PREFER_ROOT,
            platform=selection.hosts[0].platform,
        )
    except ValueError as error:
        raise UsageError(
            Text("not the path of a file on a host: {path}", path=path[:200]),
            Text("a path on a host begins with /, on Windows with a drive: C:\\"),
        ) from error
    return TaskRequest(
        selection=selection,
        task=ExtractTask(extract=extract),
        case=case_named(wishes.case),
        across_customers=wishes.across_customers,
        actor=login_name(),
        concurrency=1,
        host_deadline_s=wishes.deadline + CONNECTING_S,
        languages=(settings.language,),
    )


def one_host(selection: Selection) -> Selection:
    """Return a selection of exactly one host, or raise UsageError."""
    if (count := len(selection.hosts)) != 1:
        text = Text("one host is wanted here, and “{text}” means {count}", text=selection.expression, count=count)
        raise UsageError(text, Text("longarm inventory list {target}", target=shlex.quote(selection.expression)))
    return selection
