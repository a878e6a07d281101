"""What is stored and shipped: evidence with its context, diagnoses, content; versioned, canonical, to the byte."""

from __future__ import annotations

from diagnostics.codec import decode, encode
from diagnostics.content import Content
from diagnostics.context import Context
from diagnostics.evidence import FORMAT as EVIDENCE
from diagnostics.evidence import Evidence
from diagnostics.finding import Diagnosis

DIAGNOSIS = "longarm-diagnosis/1"
CONTENT = "longarm-content/1"


def encode_evidence(evidence: Evidence, context: Context) -> bytes:
    """Return one document with everything that a diagnosis depends on beside the library."""
    return encode(EVIDENCE, evidence=evidence, context=context)


def decode_evidence(data: bytes) -> tuple[Evidence, Context]:
    """Return the evidence and its context; raise NotReadable, or FormatTooNew where a later release wrote them."""
    evidence, context = decode(EVIDENCE, data, evidence=Evidence, context=Context)
    return evidence, context


def encode_diagnosis(diagnosis: Diagnosis) -> bytes:
    """Return a diagnosis as stored; equal diagnoses give equal bytes."""
    return encode(DIAGNOSIS, diagnosis=diagnosis)


def decode_diagnosis(data: bytes) -> Diagnosis:
    """Return a stored diagnosis; raise NotReadable or FormatTooNew."""
    diagnosis: Diagnosis
    (diagnosis,) = decode(DIAGNOSIS, data, diagnosis=Diagnosis)
    return diagnosis


def encode_content(content: Content) -> bytes:
    """Return the words of checks, rules and questions as stored."""
    return encode(CONTENT, content=content)


def decode_content(data: bytes) -> Content:
    """Return stored words; raise NotReadable or FormatTooNew."""
    content: Content
    (content,) = decode(CONTENT, data, content=Content)
    return content
