"""Redaction: what must not be kept is taken out of answers before they are stored or parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from diagnostics.probe import Probe
from inventory.secret import MASK, MASKER, Masker
from remote.answer import Answer, Ended
from remote.bundle.kept import TAIL_BYTES


def redact(answers: Mapping[str, Answer], probes: Mapping[str, Probe], *, masker: Masker = MASKER) -> dict[str, Answer]:
    """Return the answers as they may be kept: each probe's own rules, then every secret that is known."""
    asking = {question.id: probe for probe in probes.values() for question in probe.questions}
    return {name: redacted(answer, asking.get(name), masker) for name, answer in answers.items()}


def redacted(answer: Answer, probe: Probe | None, masker: Masker = MASKER) -> Answer:
    """Return one answer with the rules of its probe and the known secrets applied; the lines of a whole answer stay put."""
    stdout, stderr = answer.stdout, answer.stderr
    if probe and probe.redact:
        if answer.ended is not Ended.EXITED:
            limit = probe.question.max_bytes
            stdout, stderr = whole_lines(stdout, limit, answer.stdout_cut), whole_lines(stderr, limit, answer.stderr_cut)
        for rule in probe.redact:
            stdout, stderr = _masked(rule.pattern, stdout), _masked(rule.pattern, stderr)
    kept = (masker.data(stdout), masker.data(stderr), masker.text(answer.why), masker.text(answer.denied))
    if kept == (answer.stdout, answer.stderr, answer.why, answer.denied):
        return answer
    return replace(answer, stdout=kept[0], stderr=kept[1], why=kept[2], denied=kept[3])


def whole_lines(data: bytes, limit: int, cut: int) -> bytes:
    r"""Return the lines of an unfinished answer that are whole: a rule may not know the rest of a secret again.

    Where bytes were dropped between head and tail, the line over the joint goes too.

    >>> whole_lines(b"a\npassword=hun", 100, 0)
    b'a\n'
    """
    if cut and len(data) >= limit:
        joint = limit - min(TAIL_BYTES, limit // 2)
        after = data.find(b"\n", joint)
        data = data[: data.rfind(b"\n", 0, joint) + 1] + (data[after + 1 :] if after >= 0 else b"")
    return data[: data.rfind(b"\n") + 1]


def _masked(pattern: re.Pattern[bytes], data: bytes) -> bytes:
    return pattern.sub(_starred, data)


def _starred(match: re.Match[bytes]) -> bytes:
    """Return a match with its secret starred; as many line ends as it had, so that citations still point at their lines.

    >>> re.sub(rb"password=(?P<secret>\\S+)", _starred, b"user=x password=hunter2 y")
    b'user=x password=*** y'
    """
    group = "secret" if match.re.groupindex.get("secret") and match["secret"] is not None else 0
    start, end = (offset - match.start() for offset in match.span(group))
    whole = match[0]
    if start == end:
        return whole
    return whole[:start] + MASK.encode() + b"\n" * whole[start:end].count(b"\n") + whole[end:]
