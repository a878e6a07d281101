"""Identifiers put into words: outcomes, verdicts, severities, reasons, places; tables, and nothing heavy to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from diagnostics.content import Content
from diagnostics.finding import Citation, Finding
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.errors import Text
from inventory.host import Platform
from remote.answer import Ended
from reports.known import LONGEST_PARAM, known
from reports.language import Language
from reports.visible import shortened
from runner.notes import AnswerNote
from runner.outcome import Outcome, RunKind

OUTCOMES: Final[Mapping[Outcome, Text]] = {
    Outcome.OK: Text("ok"),
    Outcome.FINDINGS: Text("findings"),
    Outcome.INCOMPLETE: Text("incomplete"),
    Outcome.FAILED: Text("failed"),
    Outcome.UNREACHABLE: Text("unreachable"),
    Outcome.REFUSED: Text("refused"),
    Outcome.TIMED_OUT: Text("timed out"),
    Outcome.INTERRUPTED: Text("interrupted"),
    Outcome.UNKNOWN: Text("unknown"),
    Outcome.NOT_STARTED: Text("not started"),
}
SEVERITIES: Final[Mapping[Severity, Text]] = {
    Severity.CRITICAL: Text("critical"),
    Severity.WARNING: Text("warning"),
    Severity.INFO: Text("info"),
}
VERDICTS: Final[Mapping[Verdict, Text]] = {
    Verdict.CLEAR: Text("clear"),
    Verdict.FINDING: Text("finding"),
    Verdict.NOT_APPLICABLE: Text("not applicable"),
    Verdict.UNKNOWN: Text("not seen"),
}
SIGNS: Final[Mapping[Verdict | Severity, str]] = {  # the shape beside the colour: readable in grey, on paper, by ear
    Severity.CRITICAL: "◆",
    Severity.WARNING: "▲",
    Severity.INFO: "●",
    Verdict.CLEAR: "✓",
    Verdict.FINDING: "▲",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.UNKNOWN: "?",
}
WAIVED: Final = "◇"
"""The sign of what was found and does not count."""
MAINTENANCE: Final[Mapping[str, Text]] = {
    "preventive": Text("preventive"),
    "corrective": Text("corrective"),
    "adaptive": Text("adaptive"),
}
REASONS: Final[Mapping[Reason, Text]] = {
    Reason.PLATFORM: Text("for other platforms"),
    Reason.NOTHING_THERE: Text("not on this host: {detail}"),
    Reason.DOES_NOT_APPLY: Text("its conditions leave this host out"),
    Reason.NOT_EXPECTED: Text("the inventory expects nothing that could be compared"),
    Reason.TIMED_OUT: Text("{question} did not end in time"),
    Reason.CAPPED: Text("{question} answered more than it may"),
    Reason.LOST: Text("the answer to {question} was lost: {detail}"),
    Reason.NOT_RUN: Text("{question} could not be asked: {detail}"),
    Reason.STATUS: Text("{question} ended with {detail}"),
    Reason.NOT_UNDERSTOOD: Text("the answer to {question} was not understood: {detail}"),
    Reason.SOURCE_FAILED: Text("a source of {question} failed: {detail}"),
    Reason.MISSING_VALUE: Text("the facts lack {detail}"),
    Reason.NOT_COVERED: Text("not all that it is about was seen: {detail}"),
    Reason.NOT_EVALUATED: Text("an expression could not be evaluated: {detail}"),
}
ENDINGS: Final[Mapping[Ended, Text]] = {
    Ended.EXITED: Text("exited with {status}"),
    Ended.TIMED_OUT: Text("timed out"),
    Ended.CAPPED: Text("capped"),
    Ended.LOST: Text("lost"),
    Ended.NOT_RUN: Text("not run"),
}


def reason(why: Why) -> Text:
    """Return the sentence for a verdict that is neither clear nor finding."""
    return Text(REASONS[why.reason].template, question=why.question, detail=_detail(why) or Text("no reason given"))


def _detail(why: Why) -> Text | str:
    head, colon, rest = why.detail.partition(": ")
    match why.reason:
        case Reason.SOURCE_FAILED if colon:  # the source's name, then how it ended
            return Text("{source}: {words}", source=shortened(head, LONGEST_PARAM), words=known(rest))
        case Reason.STATUS if head == "none":
            none = Text("no exit status")
            return Text("{said}: {words}", said=none, words=shortened(rest, LONGEST_PARAM)) if colon else none
        case _:
            return known(why.detail)


def root_denied(words: str, platform: str) -> Text | str:
    """Return that questions could not be asked as root, or with an administrator's rights, and why."""
    return known(words) if platform == Platform.WINDOWS else Text("root was denied: {why}", why=known(words))


def needs_root(platform: str) -> Text:
    """Return what a question wanted that was not to be had."""
    return Text("needs an administrator") if platform == Platform.WINDOWS else Text("needs root")


def as_root(platform: str) -> Text:
    """Return with whose rights a question was asked that had more than the login user's."""
    return Text("as an administrator") if platform == Platform.WINDOWS else Text("as root")


def connection_dropped(session: Mapping[str, str], tongue: Language) -> str:
    """Return what became of a host whose connection dropped while it was asked; empty where none did."""
    if (why := session.get("dropped")) is None:
        return ""
    said = [tongue.say("the connection dropped while it was asked ({why})", why=known(why))]
    if again := session.get("asked_again", "").split():
        said.append(
            tongue.plural(
                "{n} question was asked once more, over another connection",
                "{n} questions were asked once more, over another connection",
                len(again),
            )
        )
    if not_renewed := session.get("not_renewed"):
        said.append(tongue.say("no other connection was made: {why}", why=known(not_renewed)))
    return "; ".join(said)


def ending(note: AnswerNote) -> Text:
    """Return how a question ended, with what is known of why."""
    said = Text(ENDINGS[note.ended].template, status="?" if note.exit_status is None else note.exit_status)
    if note.unkillable:
        said = Text("{ended}; still running: pid {pids}", ended=said, pids=", ".join(map(str, note.unkillable)))
    return Text("{ended}: {why}", ended=said, why=known(note.why)) if note.why else said


def waiver(finding: Finding) -> Text | None:
    """Return by whom, until when and why a finding is waived, or was until the waiver expired; None without one."""
    if (accepted := finding.waiver) is None:
        return None
    params = {"day": accepted.last_day, "owner": accepted.owner, "reason": shortened(accepted.reason, LONGEST_PARAM)}
    if not finding.waived:
        return Text("the waiver by {owner} expired after {day}: {reason}", **params)
    if accepted.last_day is None:
        return Text("waived for good by {owner}: {reason}", **params)
    return Text("waived until {day} by {owner}: {reason}", **params)


def lines_of(citation: Citation) -> Text:
    """Return where cited lines stand: question, stream, line numbers."""
    if citation.first == citation.last:
        template = Text("{question}, line {first}", question=citation.question, first=citation.first)
    else:
        template = Text(
            "{question}, lines {first}–{last}", question=citation.question, first=citation.first, last=citation.last
        )
    return template if citation.stream == "stdout" else Text("{lines} of {stream}", lines=template, stream=citation.stream)


def title(check: str, content: Content, tongue: Language) -> str:
    """Return the check's title in this language, or its id where the run kept no words for it."""
    words = content.checks.get(check)
    return tongue.pick(words.title, check) if words else check


def cause(check: str, content: Content, tongue: Language) -> str:
    """Return what the check's author holds to be the likely cause, or nothing."""
    words = content.checks.get(check)
    return tongue.pick(words.cause) if words else ""


def subject(finding: Finding) -> str:
    """Return what on the host a finding is about, as its values alone: `/var`, `postgresql.service`."""
    return shortened(", ".join(str(finding.subject[name]) for name in sorted(finding.subject)), LONGEST_PARAM)


NOT_WELL: Final[Mapping[RunKind, Text]] = {
    RunKind.DIAGNOSE: Text("Not fully seen"),
    RunKind.COMMAND: Text("Not well, or not known"),
    RunKind.FILE: Text("Not got"),
    RunKind.TERMINAL: Text("Not opened"),
    RunKind.REPAIR: Text("Not well, or not known"),
    RunKind.PLAN: Text("Not fully seen"),
}
"""What stands above the hosts that a run of this kind has no good news of."""

REPORTS: Final[Mapping[RunKind, Text]] = {
    RunKind.DIAGNOSE: Text("Diagnostic report"),
    RunKind.COMMAND: Text("Report on a command"),
    RunKind.FILE: Text("A file from a host"),
    RunKind.TERMINAL: Text("A terminal on a host"),
    RunKind.REPAIR: Text("Repair report"),
    RunKind.PLAN: Text("Plan of a repair"),
}

SUBJECTS: Final[Mapping[RunKind, Text]] = {RunKind.COMMAND: Text("Command"), RunKind.FILE: Text("File")}
