"""From the words of `longarm host get` to a file on a case."""

from __future__ import annotations

import getpass
import math
from dataclasses import dataclass
from pathlib import Path

from console.aftermath import private, writable
from console.diagnosing import case_named
from console.inventories import known_inventory
from console.settings import Settings
from console.tasking import CONNECTING_S, do_task
from console.terminal import tell
from inventory.errors import Text, UsageError
from inventory.host import Selection
from remote.command import EXTRACT
from remote.files.extracts import Extract, moment
from remote.question import Privilege
from runner.desk import Desk
from runner.request import TaskRequest
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
            data = next((answer.stdout for _, question, answer in desk.answers(record.run) if question == EXTRACT), None)
        if data is not None:
            with open(to, "wb", opener=private) as file:
                file.write(data)
            tell(settings, Text("written: {path}", path=str(to)))
    return code


def request_of(settings: Settings, target: str, path: str, wishes: Wishes) -> TaskRequest:
    """Return the request that is meant; raises UsageError for one that cannot be."""
    selection = one_host(known_inventory(settings).select(target))
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
            Text("{reason}", reason=str(error)), Text("a path on a host begins with /, on Windows with a drive: C:\\")
        ) from error
    return TaskRequest(
        selection=selection,
        task=ExtractTask(extract=extract),
        case=case_named(wishes.case),
        across_customers=wishes.across_customers,
        actor=getpass.getuser(),
        concurrency=1,
        host_deadline_s=wishes.deadline + CONNECTING_S,
        languages=(settings.language,),
    )


def one_host(selection: Selection) -> Selection:
    """Return a selection of exactly one host, or raise UsageError."""
    if (count := len(selection.hosts)) != 1:
        raise UsageError(Text("one host is wanted here, and “{text}” means {count}", text=selection.expression, count=count))
    return selection
