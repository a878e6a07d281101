"""Formats: what is stored comes back equal and to the byte, what is not ours is refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.codec import FormatTooNew, NotReadable, decode, encode, to_plain
from diagnostics.content import CheckContent, Content
from diagnostics.context import Context, Earlier
from diagnostics.evidence import Evidence
from diagnostics.finding import CheckResult, Citation, Diagnosis, Finding, Link, Remedy, Unchecked
from diagnostics.formats import (
    decode_content,
    decode_diagnosis,
    decode_evidence,
    encode_content,
    encode_diagnosis,
    encode_evidence,
)
from diagnostics.verdict import Reason, Severity, Verdict, Why
from remote.answer import Answer, Ended

_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)  # surrogates too
_TIMES = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds / 8, UTC))
_PARAMS = st.one_of(
    _TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
_NAMED = st.dictionaries(_TEXT, _PARAMS, max_size=3)
_COUNTS = st.integers(0, 2**40)
_ANSWERS = st.builds(
    Answer,
    ended=st.sampled_from(Ended),
    exit_status=st.none() | st.integers(0, 255),
    stdout=st.binary(max_size=30),
    stderr=st.binary(max_size=30) | _TEXT.map(lambda text: text.encode("utf-8", "replace")),
    duration_ms=_COUNTS,
    unkillable=st.lists(_COUNTS, max_size=2).map(tuple),
    why=_TEXT,
)
_EVIDENCE = st.builds(
    Evidence,
    host=_TEXT,
    taken_at=_TIMES,
    platform=_TEXT,
    answers=st.dictionaries(_TEXT, _ANSWERS, max_size=3),
    versions=st.dictionaries(_TEXT, _TEXT, max_size=2),
)
_TEXTS = st.lists(_TEXT, max_size=2).map(tuple)
_EARLIER = st.builds(Earlier, check=_TEXT, key=_TEXT, severity=st.sampled_from(Severity), since=_TIMES)
_CONTEXTS = st.builds(
    Context,
    now=_TIMES,
    checks=_TEXTS,
    library_digest=_TEXT,
    thresholds=st.dictionaries(_TEXT, _NAMED, max_size=2),
    services=_TEXTS,
    earlier=st.lists(
        st.builds(Earlier, check=_TEXT, key=_TEXT, severity=st.sampled_from(Severity), since=_TIMES), max_size=2
    ).map(tuple),
    observations=_NAMED,
)
_CITATIONS = st.lists(st.builds(Citation, question=_TEXT, stream=_TEXT, first=_COUNTS, last=_COUNTS), max_size=2).map(tuple)
_FINDINGS = st.builds(
    Finding,
    check=_TEXT,
    host=_TEXT,
    subject=_NAMED,
    severity=st.sampled_from(Severity),
    params=_NAMED,
    citations=_CITATIONS,
    remedy=st.none() | st.builds(Remedy, playbook=_TEXT, params=_NAMED),
    since=st.none() | _TIMES,
    dated=st.booleans(),
    held=st.booleans(),
)
_WHYS = st.builds(Why, reason=st.sampled_from(Reason), question=_TEXT, detail=_TEXT)
_RESULTS = st.one_of(
    st.builds(CheckResult, check=_TEXT, verdict=st.just(Verdict.CLEAR)),
    st.builds(CheckResult, check=_TEXT, verdict=st.just(Verdict.UNKNOWN), why=_WHYS),
    st.builds(CheckResult, check=_TEXT, verdict=st.just(Verdict.NOT_APPLICABLE), why=_WHYS),
    st.builds(
        CheckResult,
        check=_TEXT,
        verdict=st.just(Verdict.FINDING),
        findings=st.lists(_FINDINGS, min_size=1, max_size=2).map(tuple),
        unseen=st.lists(_WHYS, max_size=1).map(tuple),
    ),
)
_WEIGHTS = st.floats(0, 1)
_LINKS = st.builds(Link, cause=_TEXT, effect=_TEXT, rule=_TEXT, weight=_WEIGHTS, cause_citations=_CITATIONS)
_DIAGNOSES = st.builds(
    Diagnosis,
    host=_TEXT,
    results=st.lists(_RESULTS, max_size=3).map(tuple),
    links=st.lists(_LINKS, max_size=2).map(tuple),
    unchecked=st.lists(st.builds(Unchecked, finding=_TEXT, check=_TEXT, rule=_TEXT), max_size=1).map(tuple),
)


@given(_EVIDENCE, _CONTEXTS)
def test_evidence_and_context_come_back_equal_and_to_the_byte(evidence: Evidence, context: Context) -> None:
    data = encode_evidence(evidence, context)
    again = decode_evidence(data)
    assert again == (evidence, context)
    assert encode_evidence(*again) == data


@given(_DIAGNOSES)
def test_a_diagnosis_comes_back_equal_and_to_the_byte(diagnosis: Diagnosis) -> None:
    data = encode_diagnosis(diagnosis)
    assert decode_diagnosis(data) == diagnosis
    assert encode_diagnosis(decode_diagnosis(data)) == data


def test_content_comes_back() -> None:
    check = CheckContent(title={"en": "a", "ru": "б"}, finding={"en": "{{ subject.a }}", "ru": ""}, cause={})
    content = Content(checks={"x": check}, rules={"r": {"en": "a", "ru": "b"}}, questions={"q": "What"})
    assert decode_content(encode_content(content)) == content


def test_numbers_keep_their_type() -> None:
    context = Context(
        now=datetime(2026, 1, 1, tzinfo=UTC), checks=(), library_digest="", observations={"a": 1, "b": 1.0, "c": True}
    )
    evidence = Evidence(host="h", taken_at=context.now, platform="linux", answers={}, versions={})
    _, again = decode_evidence(encode_evidence(evidence, context))
    assert [type(value) for value in again.observations.values()] == [int, float, bool]


def test_times_are_kept_in_utc() -> None:
    assert to_plain(datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))) == "2026-01-01T00:00:00+00:00"


@pytest.fixture
def stored(evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        encode_evidence(evidence_of(disk_list=Answer(ended=Ended.EXITED, exit_status=0)), context_of())
    )
    return document


def test_a_field_that_an_older_release_did_not_write_takes_its_default(stored: dict[str, Any]) -> None:
    del stored["context"]["observations"], stored["evidence"]["answers"]["disk.list"]["why"]
    evidence, context = decode_evidence(json.dumps(stored).encode())
    assert (context.observations, evidence.answers["disk.list"].why) == ({}, "")


def test_what_a_newer_release_wrote_is_refused_in_clear_words(stored: dict[str, Any]) -> None:
    with pytest.raises(FormatTooNew, match="longarm-evidence/2, this release reads up to longarm-evidence/1"):
        decode_evidence(json.dumps(stored | {"format": "longarm-evidence/2", "new": 1}).encode())


def broken(stored: dict[str, Any]) -> list[bytes]:
    evidence, context = stored["evidence"], stored["context"]
    answer = evidence["answers"]["disk.list"]

    def with_answer(**change: object) -> dict[str, Any]:
        return stored | {"evidence": evidence | {"answers": {"disk.list": answer | change}}}

    documents: list[Any] = [
        [],
        {},
        stored | {"format": "longarm-diagnosis/1"},
        stored | {"format": "longarm-evidence/x"},
        stored | {"format": 1},
        stored | {"more": 1},
        stored | {"evidence": None},
        stored | {"evidence": evidence | {"extra": 1}},
        stored | {"evidence": {name: value for name, value in evidence.items() if name != "host"}},
        stored | {"context": context | {"now": "2026-01-01T00:00:00"}},
        stored | {"context": context | {"now": "yesterday"}},
        stored | {"context": context | {"now": 5}},
        stored | {"context": context | {"checks": "fs-space"}},
        stored | {"context": context | {"observations": {"a": [1]}}},
        with_answer(ended="vanished"),
        with_answer(exit_status="0"),
        with_answer(stdout="text"),
        with_answer(stdout={"base64": "?"}),
        with_answer(stdout={"text": 1}),
        with_answer(stdout={"text": "a", "base64": ""}),
        with_answer(as_root=1),
    ]
    return [json.dumps(document).encode() for document in documents]


def test_what_does_not_fit_is_refused(stored: dict[str, Any]) -> None:
    for data in [*broken(stored), b"", b"\xff", b"{", b"[" * 100_000, b'{"format":"longarm-evidence/1","context":NaN}']:
        with pytest.raises(NotReadable):
            decode_evidence(data)


def test_a_contradiction_in_a_stored_result_is_refused() -> None:
    data = encode_diagnosis(Diagnosis(host="h", results=(CheckResult(check="x", verdict=Verdict.CLEAR),)))
    with pytest.raises(NotReadable, match="finding with 0 findings"):
        decode_diagnosis(data.replace(b'"clear"', b'"finding"'))


def test_what_has_no_form_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="set has no form"):
        encode("x/1", part={1})
    with pytest.raises(ValueError, match="Out of range"):
        encode("x/1", part=float("nan"))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(NotReadable):
        decode("longarm-evidence/1", data, evidence=Evidence)
