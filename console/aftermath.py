"""What follows a run: answers written, the case served, the report kept, a summary, the exit code."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from console.faults import FAULT
from console.files import Replacement, private
from console.listing import json_line
from console.served import is_apart
from console.settings import Output, Settings
from console.terminal import tell, tell_hint, write, write_bytes
from console.words import called
from inventory.errors import Text, UsageError
from runner.desk import Desk
from runner.outcome import KEPT_OFF, FailOn, Outcome, RunState, exit_code
from runner.record import HostRecord, RunRecord

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
    return code_of(record, wanted.fail_on)


def code_of(record: RunRecord, fail_on: FailOn) -> int:
    """Return the exit code of the command that a run was."""
    interrupted = record.state is RunState.INTERRUPTED and any(map(_stopped, record.hosts))
    kept_off = any(host.error_kind in KEPT_OFF for host in record.hosts)
    outcomes = [host.outcome for host in record.hosts]
    code = exit_code(outcomes, record.worst, fail_on, interrupted=interrupted, kept_off=kept_off)
    undelivered = any(delivery.state != "sent" for delivery in record.deliveries)
    return FAULT if undelivered and not interrupted else code


def _stopped(host: HostRecord) -> bool:
    """Tell whether somebody stopped the run before a host had ended, or its process is gone.

    What longarm keeps off stands for itself, and so does what a deadline or a fault cut off in the middle of a step.
    """
    if host.outcome not in (Outcome.INTERRUPTED, Outcome.NOT_STARTED) or host.error_kind in KEPT_OFF:
        return False
    return not (host.error_kind and host.started_at is not None)


def write_answers(desk: Desk, run: str, path: Path) -> None:
    """Write one JSON line for each host and question: host, probe, rc (null: none), stdout, stderr."""
    with Replacement(path) as file:
        for line in answer_lines(desk, run):
            file.write(line.encode())


def writable(path: Path | None) -> Path | None:
    """Return `path`, which can be written and is as it was; UsageError before a run that would end without its answers."""
    if path is not None:
        new = None if path.exists() else path.resolve()
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            text = Text("{path} cannot be written: {reason}", path=str(path), reason=error.strerror)
            raise UsageError(text, Text("choose a folder that you may write to")) from error
        if new is not None:
            new.unlink(missing_ok=True)
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
            tell_hint(settings, "longarm case deliver", level=-1)


def keep_reports(settings: Settings, record: RunRecord) -> Path:
    """Write the HTML report and the JSON beside it into the home, each whole or not at all; return the page's path."""
    folder = settings.writable_home() / "reports"
    folder.mkdir(mode=0o700, exist_ok=True)
    for kind in ("json", "html"):
        path = folder / f"{record.run}.{kind}"
        beside = path.with_suffix(f".{kind}.{os.getpid()}.new")  # two may look at one run at a time
        try:
            with open(beside, "wb", opener=private) as file:
                file.write(rendered(record, settings.language, kind))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return path


def rendered(record: RunRecord, language: str, kind: str) -> bytes:
    """Return the internal report of a run; what makes reports is loaded now, not while hosts wait to be asked."""
    from reports.render import Audience, Format, render

    shown = replace(record, called=called())
    return render(shown, audience=Audience.INTERNAL, language=language, format=Format(kind))


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
    """Tell where the report is, where whoever asked can look, and which command comes next."""
    if not is_apart():
        tell(settings, Text("report: {path}", path=str(page)))
    if record.state is RunState.INTERRUPTED and record.kind.resumable:
        tell_hint(settings, f"longarm run resume {record.run}", level=-1)
    else:
        opened = f"longarm report render {record.run} --to {page.name}" if is_apart() else f"longarm report open {record.run}"
        tell_hint(settings, opened)
