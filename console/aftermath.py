"""What follows a run: answers written, the case served, the report kept, a summary, the exit code."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.faults import FAULT
from console.listing import json_line
from console.settings import Output, Settings
from console.terminal import tell, write, write_bytes
from inventory.errors import Text, UsageError
from runner.desk import Desk
from runner.outcome import FailOn, RunState, exit_code
from runner.record import RunRecord

_FORMATS = {Output.JSON: "json", Output.JSONL: "json", Output.CSV: "csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What the user wants of a finished run."""

    fail_on: FailOn = FailOn.WARNING
    answers: Path | None = None


def settle(settings: Settings, desk: Desk, record: RunRecord, wanted: Aftermath) -> int:
    """Do everything that follows a run and return the exit code of the command."""
    if wanted.answers is not None:
        write_answers(desk, record.run, wanted.answers)
    page = keep_reports(settings, record)
    try:
        if record.state is RunState.ENDED or record.deliveries:
            deliver_reports(settings, desk)
    finally:  # whatever fails in delivering does not hide the result
        if record.case:
            record = desk.record(record.run)
            keep_reports(settings, record)
        show_record(settings, record)
    tell_next(settings, record, page)
    interrupted = record.state is RunState.INTERRUPTED
    leased = any(host.error_kind == "HostLeased" for host in record.hosts)
    outcomes, fail_on = [host.outcome for host in record.hosts], wanted.fail_on
    code = exit_code(outcomes, record.worst, fail_on, interrupted=interrupted, leased=leased)
    undelivered = any(delivery.state != "sent" for delivery in record.deliveries)
    return FAULT if undelivered and not interrupted else code


def write_answers(desk: Desk, run: str, path: Path) -> None:
    """Write one JSON line for each host and question: host, probe, rc (null: none), stdout, stderr."""
    with open(path, "w", encoding="utf-8", opener=private) as file:
        file.writelines(answer_lines(desk, run))


def private(path: str, flags: int) -> int:
    """Open a file, as `open` wants it, and where it is new make it the user's alone: it quotes what hosts answered."""
    return os.open(path, flags, 0o600)


def writable(path: Path | None) -> Path | None:
    """Return `path`, which can be written; UsageError before a run that would end without its answers."""
    if path is not None:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UsageError(Text("{path} cannot be written: {reason}", path=str(path), reason=error.strerror)) from error
    return path


def answer_lines(desk: Desk, run: str) -> Iterator[str]:
    """Yield the answers of a run as lines of JSON; bytes that are no UTF-8 are replaced, and said to be."""
    for host, question, answer in desk.answers(run):
        line: dict[str, object] = {"host": host, "probe": question, "rc": answer.exit_status, "ended": answer.ended}
        for name, data in (("stdout", answer.stdout), ("stderr", answer.stderr)):
            try:
                line[name] = data.decode()
            except UnicodeDecodeError:
                line |= {name: data.decode(errors="replace"), f"{name}_base64": base64.b64encode(data).decode()}
        yield json_line(line)


def deliver_reports(settings: Settings, desk: Desk) -> None:
    """Send what the outbox holds; what could not be sent stays there and is told with the next step."""
    from console.delivering import deliver_outbox

    for delivery in deliver_outbox(desk):
        if delivery.state == "sent":
            tell(settings, Text("attached {file} to case {case}", file=delivery.filename, case=delivery.case))
        else:
            tell(settings, Text("not on case {case} yet: {error}", case=delivery.case, error=delivery.error), level=-1)
            tell(settings, Text("next: {hint}", hint="longarm case deliver"), level=-1)


def keep_reports(settings: Settings, record: RunRecord) -> Path:
    """Write the HTML report and the JSON beside it into the home, each whole or not at all; return the page's path."""
    folder = settings.writable_home() / "reports"
    folder.mkdir(mode=0o700, exist_ok=True)
    for kind in ("json", "html"):
        path = folder / f"{record.run}.{kind}"
        beside = path.with_suffix(f".{kind}.new")
        with open(beside, "wb", opener=private) as file:
            file.write(rendered(record, settings.language, kind))
        beside.replace(path)
    return path


def rendered(record: RunRecord, language: str, kind: str) -> bytes:
    """Return the internal report of a run; what makes reports is loaded now, not while hosts wait to be asked."""
    from reports.render import Audience, Format, render

    return render(record, audience=Audience.INTERNAL, language=language, format=Format(kind))


def show_record(settings: Settings, record: RunRecord) -> None:
    """Write the run to stdout: coverage first, then findings under their causes; JSON where a machine reads."""
    kind = _FORMATS.get(settings.output, "text")
    data = rendered(record, settings.language, kind)
    if settings.output is Output.JSONL:
        write(json_line(json.loads(data)))
    elif kind == "text":
        write(data.decode())
    else:
        write_bytes(data)


def tell_next(settings: Settings, record: RunRecord, page: Path) -> None:
    """Tell where the report is and which command comes next."""
    tell(settings, Text("report: {path}", path=str(page)))
    if record.state is RunState.INTERRUPTED and record.kind.resumable:
        tell(settings, Text("next: {hint}", hint=f"longarm run resume {record.run}"), level=-1)
    else:
        tell(settings, Text("next: {hint}", hint=f"longarm report open {record.run}"))
