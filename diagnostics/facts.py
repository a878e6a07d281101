"""From kept answers to facts: the one place where a parser runs and what it raises becomes a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from diagnostics.verdict import Reason, Why
from remote.answer import Answer, Ended
from remote.question import Question

Found: TypeAlias = "Facts | Why"
"""What one probe gave: facts, or why there are none."""

_HOW = {Ended.TIMED_OUT: Reason.TIMED_OUT, Ended.CAPPED: Reason.CAPPED, Ended.LOST: Reason.LOST, Ended.NOT_RUN: Reason.NOT_RUN}
FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a faulty parser raises: it costs the checks of its own probe, not the other checks of the host."""


def facts_of(probe: Probe, answers: Mapping[str, Answer]) -> Found:
    """Return the facts that a probe draws from its answers, or why there are none; only a declared exit is parsed."""
    questions, parse = probe.questions, probe.parse
    if probe.formerly and probe.question.id not in answers and probe.id in answers:
        questions, parse = (replace(probe.question, id=probe.id),), probe.formerly
    asked = questions[-1].id
    for question in questions:
        if why := unusable(question, answers.get(question.id)):
            return why
    if parse is None:
        return {}
    try:
        return parse(*(answers[question.id] for question in questions))
    except NothingThere as absent:
        return Why(reason=Reason.NOTHING_THERE, question=asked, detail=absent.what)
    except SourceFailed as failed:
        return Why(reason=Reason.SOURCE_FAILED, question=asked, detail=f"{failed.source}: {failed.detail}")
    except ParseError as error:
        detail = error.sample.decode("utf-8", "backslashreplace")
        return Why(reason=Reason.NOT_UNDERSTOOD, question=asked, detail=detail)
    except FAULTS as fault:
        detail = f"a fault of the parser: {type(fault).__name__}: {str(fault)[:200]}"
        return Why(reason=Reason.NOT_UNDERSTOOD, question=asked, detail=detail)


def unusable(question: Question, answer: Answer | None) -> Why | None:
    """Return why an answer cannot be parsed; None where it exited with a status that the question declares."""
    if answer is None:
        return Why(reason=Reason.NOT_RUN, question=question.id, detail="not asked")
    if answer.ended is not Ended.EXITED:
        return Why(reason=_HOW[answer.ended], question=question.id, detail=answer.why)
    if answer.exit_status not in question.ok_statuses:
        said = answer.stderr.strip()[:200].decode("utf-8", "backslashreplace")
        status = "none" if answer.exit_status is None else str(answer.exit_status)
        return Why(reason=Reason.STATUS, question=question.id, detail=f"{status}: {said}" if said else status)
    if answer.stdout_cut:
        return Why(reason=Reason.CAPPED, question=question.id, detail=answer.why)
    return None


def in_expressions(probe: str) -> str:
    """Return a probe's id as expressions write it.

    >>> in_expressions("fs.stat")
    'fs_stat'
    """
    return probe.replace(".", "_").replace("-", "_")


def fact_tree(found: Mapping[str, Found]) -> dict[str, Any]:
    """Return what `facts` is in expressions: the facts of every probe that has some."""
    return {in_expressions(probe): facts for probe, facts in found.items() if not isinstance(facts, Why)}
