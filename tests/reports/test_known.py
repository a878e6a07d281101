"""Reasons of longarm's own in evidence are told in the reader's language; what a host said stays as it was said."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.facts import facts_of
from diagnostics.library import load_library
from diagnostics.verdict import Reason, Why
from inventory.errors import Text
from remote.answer import Answer, Ended, answered
from remote.bundle.exchange import BundleExchange
from remote.question import Privilege, Question
from reports import words
from reports.catalogue import ROOT
from reports.known import KNOWN, LONGEST_PARAM, known
from reports.language import language
from runner.notes import AnswerNote
from tests.parsed import parsed

EN, RU = language("en"), language("ru")
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@cache
def source() -> str:
    """Return every text that stands in the source of what writes evidence and judges it, its fields as `{}`, a line each."""
    found: list[str] = []
    for package in ("remote", "diagnostics"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(parsed(path)):
                match node:
                    case ast.JoinedStr():
                        found.append(
                            "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
                        )
                    case ast.Constant(value=str() as text):
                        found.append(re.sub(r"\{\w+\}", "{}", text))
                    case ast.Constant(value=bytes() as data):
                        found.append(data.decode("utf-8", "replace"))
    return "\n".join(found)


@pytest.mark.parametrize("text", KNOWN, ids=lambda text: text.template)
def test_each_known_sentence_stands_in_the_source(text: Text) -> None:
    """Reworded there, it is reworded here; the old words stay beside the new ones as long as evidence may hold them."""
    template = text.template
    for filled, fields in SPELT.items():
        template = template.replace(filled, fields)
    skeleton = re.sub(r"\{\w+\}", "{}", template)
    assert skeleton in source() or skeleton.removesuffix("{}") in source()


SPELT = {
    "the threshold {name} is at least": "the threshold {check}.{name} is at least",
    "{words}: {number} items; a list": "{words}: {name}; a list",  # `what` is a type, or how many items there are
    "the threshold {name} is a whole number": "the threshold {check}.{name} is a {kind}",
    "the threshold {name} is a number": "the threshold {check}.{name} is a {kind}",
}


def unasked(*, why: str, privilege: Privilege = Privilege.USER, shell: str = "sh") -> Answer:
    question = Question(id="q", script="true", privilege=privilege, shell=shell)
    return BundleExchange([question]).finish(why)["q"]


@pytest.mark.parametrize(
    "why",
    [
        unasked(why="").why,
        unasked(why="", shell="powershell").why,
        unasked(why="no end after 2.5 s").why,
        unasked(why="the host did not start a command: closed by the host").why,
        "given up: mem.info was past its deadline and the host did not end it: Welcome to db01",
        "the shell was killed by signal 9",
        "the address is not known (Name or service not known)",
    ],
)
def test_what_the_bundle_says_is_said_in_russian(why: str) -> None:
    note = AnswerNote(
        question="q", ended=Ended.NOT_RUN, exit_status=None, duration_ms=0, stdout_bytes=0, stderr_bytes=0, why=why
    )
    assert EN.say(words.ending(note)) == f"not run: {why}"
    said = RU.say(words.ending(note)).removeprefix("не запущено: ")
    assert CYRILLIC.search(said) and "host did" not in said


MARK = "0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
NO_SYSTEMD = f"@longarm {MARK}\n@{MARK} absent units systemd as PID 1\n".encode()
FAILED = f"@longarm {MARK}\n@{MARK} source units\n\n@{MARK} end 1\n".encode()
SAID = f"@{MARK} source units\nFailed to connect to bus\n\n@{MARK} end 1\n".encode()


@pytest.mark.parametrize(
    ("answer", "english", "russian"),
    [
        (None, "svc.units could not be asked: not asked", "svc.units: не удалось задать: вопрос не был задан"),
        (
            answered(b"", exit_status=3, stderr=b"sh: not found"),
            "svc.units ended with 3: sh: not found",
            "svc.units: завершение с 3: sh: not found",
        ),
        (
            Answer(ended=Ended.EXITED, exit_status=None),
            "svc.units ended with no exit status",
            "svc.units: завершение с неизвестным кодом: хост его не сообщил",
        ),
        (answered(NO_SYSTEMD), "not on this host: systemd as PID 1", "нет на этом хосте: systemd в роли PID 1"),
        (
            answered(FAILED, stderr=SAID),
            "a source of svc.units failed: units: status 1: Failed to connect to bus",
            "источник для svc.units дал сбой: units: код 1: Failed to connect to bus",
        ),
        (
            answered(f"@longarm {MARK}\n".encode()),
            "the answer to svc.units was not understood: source units is missing",
            "ответ на svc.units не понят: нет источника units",
        ),
    ],
)
def test_what_a_parser_says_is_said_in_russian(answer: Answer | None, english: str, russian: str) -> None:
    why = facts_of(load_library().probes["svc.units"], {} if answer is None else {"svc.units": answer})
    assert isinstance(why, Why)
    assert (EN.say(words.reason(why)), RU.say(words.reason(why))) == (english, russian)


@pytest.mark.parametrize(
    "said", ["sudo: a password is required", "status", "None of it", "not asked for", "{number}", "x" * LONGEST_PARAM]
)
def test_words_of_a_host_stay_as_they_are(said: str) -> None:
    assert known(said) == said
    assert RU.say(words.root_denied(said, "linux")) == f"права root не даны: {said}"


@given(st.one_of(st.text(), st.lists(st.sampled_from(["not asked", ": ", "status 1", "{x}", "{words}", "a"])).map("".join)))
def test_nothing_a_host_says_is_lost_or_becomes_a_template(said: str) -> None:
    assert EN.say(Text("{said}", said=known(said))) == said


def test_very_long_words_are_the_hosts() -> None:
    said = RU.say(words.reason(Why(reason=Reason.NOT_RUN, question="q", detail="not asked: " * 100_000)))
    assert len(said) < 2 * LONGEST_PARAM and said.endswith("…")
