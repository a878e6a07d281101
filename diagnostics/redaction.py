"""Redaction: what must not be kept is taken out of answers before they are stored or parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from diagnostics.probe import Probe, Redaction
from inventory.secret import MASK, MASKER, Masker
from remote.answer import Answer


def redact(answers: Mapping[str, Answer], probes: Mapping[str, Probe], *, masker: Masker = MASKER) -> dict[str, Answer]:
    """Return the answers as they may be kept: each probe's own rules, then every secret that is known."""
    return {name: redacted(answer, probes[name].redact if name in probes else (), masker) for name, answer in answers.items()}


def redacted(answer: Answer, rules: tuple[Redaction, ...], masker: Masker = MASKER) -> Answer:
    """Return one answer with its rules and the known secrets applied; the lines stay where they are."""
    stdout, stderr = answer.stdout, answer.stderr
    for rule in rules:
        stdout, stderr = _masked(rule.pattern, stdout), _masked(rule.pattern, stderr)
    return replace(answer, stdout=masker.data(stdout), stderr=masker.data(stderr), why=masker.text(answer.why))


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
