"""Redaction: what must not be kept is taken out of answers before they are stored or parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Final

from diagnostics.probe import Probe, Redaction
from inventory.secret import MASK, MASKER, Masker
from remote.answer import Answer, Ended
from remote.bundle.attempt import STDERR_LIMIT
from remote.bundle.kept import joint_at, masked_part

_CONTINUES: Final = (b" ", b"\t", b"-", b"\r", b"\n")
"""With one of these begins a line that belongs to the one above it."""


def redact(answers: Mapping[str, Answer], probes: Mapping[str, Probe], *, masker: Masker = MASKER) -> dict[str, Answer]:
    """Return the answers as they may be kept: the rules of each probe that reads one, then every secret that is known."""
    asking: dict[str, Probe] = {}
    for probe in probes.values():
        for question in probe.questions:
            before = asking.get(question.id)
            asking[question.id] = replace(probe, redact=(*before.redact, *probe.redact)) if before else probe
    return {name: redacted(answer, asking.get(name), masker) for name, answer in answers.items()}


def redacted(answer: Answer, probe: Probe | None, masker: Masker = MASKER) -> Answer:
    """Return one answer with the rules of its probe and the known secrets applied; the lines of a whole answer stay put."""
    rules = probe.redact if probe else ()
    limit = probe.question.max_bytes if probe else len(answer.stdout)

    def clean(data: bytes, most: int, cut: int) -> bytes:
        if answer.ended is Ended.EXITED:
            return masker.data(ruled(rules, data))
        if rules:
            return masker.data(ruled(rules, whole_lines(data, most, cut)))
        return masked_part(data, most, cut, masker)

    stdout = clean(answer.stdout, limit, answer.stdout_cut)
    stderr = clean(answer.stderr, STDERR_LIMIT, answer.stderr_cut)
    kept = (stdout, stderr, masker.text(answer.why), masker.text(answer.denied))
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
        joint = joint_at(limit)
        after = data.find(b"\n", joint)
        data = data[: data.rfind(b"\n", 0, joint) + 1] + (data[after + 1 :] if after >= 0 else b"")
    return data[: data.rfind(b"\n") + 1]


def ruled(rules: Iterable[Redaction], data: bytes) -> bytes:
    """Return bytes without what the rules say must not be kept."""
    for near, several in groupby(rules, key=lambda rule: rule.near):
        alike = (*several,)
        data = b"".join(_near(near, alike, data)) if near else _all_of(alike, data)
    return data


def _all_of(rules: Iterable[Redaction], data: bytes) -> bytes:
    for rule in rules:
        data = rule.pattern.sub(_starred, data)
    return data


def _near(words: tuple[bytes, ...], rules: tuple[Redaction, ...], data: bytes) -> Iterator[bytes]:
    """Yield the data in pieces, lines with one of the words without their secrets: patterns are slow, words are not."""
    lowered, at = data.lower(), 0
    ahead = {word: lowered.find(word) for word in words}
    while hits := [hit for hit in ahead.values() if hit >= 0]:
        first = min(hits)
        begin = max(at, lowered.rfind(b"\n", at, first) + 1)
        end = _behind_line(data, first)
        while data[end : end + 1] in _CONTINUES:
            end = _behind_line(data, end)
        yield data[at:begin]
        yield _all_of(rules, data[begin:end])
        at = end
        ahead |= {word: lowered.find(word, at) for word, hit in ahead.items() if 0 <= hit < at}
    yield data[at:]


def _behind_line(data: bytes, at: int) -> int:
    return data.find(b"\n", at) + 1 or len(data)


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
