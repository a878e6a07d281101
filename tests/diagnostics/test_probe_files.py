"""A user's own probes: five parsers, everything verified when loaded, nothing understood by guessing."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.facts import facts_of
from diagnostics.library import UnknownProbe, load_library
from diagnostics.probe import ParseError, Probe
from diagnostics.probe_files import load_probes, read_probes
from diagnostics.redaction import redact
from diagnostics.verdict import Reason, Why
from inventory.documents import parse_document
from inventory.errors import InvalidFile
from inventory.secret import Masker, Secret
from remote.answer import Answer, Ended, answered
from remote.question import Privilege


def probes(text: str) -> tuple[Probe, ...]:
    return read_probes(parse_document(text.encode(), "p.yaml"))


def parsed(parse: str, shape: str, output: str) -> Any:
    (probe,) = probes(f"- {{probe: t.t, script: x, parse: '{parse}', shape: {shape}}}")
    assert probe.parse
    return probe.parse(answered(output.encode()))


FULL = """
- probe: app.release
  summary: Which release
  platforms: [linux, macos]
  script: |
    cat /opt/app/release
  privilege: prefer_root
  deadline: 1500ms
  max_bytes: 64 KiB
  ok_statuses: [0, 3]
  redact: ['password=(?P<secret>\\S+)', 'token \\S+']
  parse: keyvalue
  shape: {version: str, workers: int}
- probe: app.raw
  script: "true"
"""


def test_a_probe_is_read_with_all_its_fields() -> None:
    release, raw = probes(FULL)
    question = release.question
    assert (question.id, question.script, question.deadline_s) == ("app.release", "cat /opt/app/release\n", 2)
    assert (question.max_bytes, question.ok_statuses) == (64 * 1024, frozenset({0, 3}))
    assert (question.privilege, release.platforms, release.summary) == (
        Privilege.PREFER_ROOT,
        ("linux", "macos"),
        "Which release",
    )
    assert raw.parse is None
    assert (raw.question.privilege, raw.question.deadline_s, raw.platforms) == (Privilege.USER, 10, ("linux",))


def test_a_probe_for_windows_is_powershell_and_its_statuses_have_32_bits() -> None:
    (probe,) = probes("- {probe: a, script: exit 3010, platforms: [windows], ok_statuses: [3010, -1]}")
    assert (probe.question.shell, probe.platforms) == ("powershell", ("windows",))
    assert probe.question.ok_statuses == {3010, -1}
    with pytest.raises(InvalidFile, match="on Windows and elsewhere a probe has two names"):
        probes("- {probe: a, script: x, platforms: [linux, windows]}")


def test_probes_may_be_written_as_json() -> None:
    assert [probe.id for probe in probes('[{"probe": "df", "script": "df -P -k"}]')] == ["df"]


DF = """\
Filesystem     1K-blocks     Used Available Use% Mounted on
/dev/vda1       20470180  8190072  11223596  43% /
"""
MIXED = "a=x y\nn: 5\n\n# c\nf = 1.5\nb=yes\nother=1\n"
NESTED = '{"a": {"b": [1, 2], "c": 1}, "f": 3, "x": null}'


@pytest.mark.parametrize(
    ("parse", "shape", "output", "facts"),
    [
        ("keyvalue", "{a: str, n: int, f: float, b: bool}", MIXED, {"a": "x y", "n": 5, "f": 1.5, "b": True}),
        ("keyvalue", '{NAME: str, "Cpu n": int}', 'NAME="Debian 12"\nCpu n: 4\n', {"NAME": "Debian 12", "Cpu n": 4}),
        ("keyvalue", '{"*": int}', "a=1\nb=2\n", {"a": 1, "b": 2}),
        ("keyvalue", "{url: str}", "url=http://x/?a=b\n", {"url": "http://x/?a=b"}),
        ("keyvalue", "{a: str, b: str?}", "a=1\n", {"a": "1"}),
        ("json", "{a: {b: [int]}, f: float}", NESTED, {"a": {"b": [1, 2]}, "f": 3.0}),
        ("json", "{items: [{name: str, n: int?}]}", '[{"name": "a", "n": null}]', {"items": [{"name": "a"}]}),
        ("jc:df", "{items: [{mounted_on: str, use_percent: int}]}", DF, {"items": [{"mounted_on": "/", "use_percent": 43}]}),
    ],
)
def test_what_the_shape_declares_becomes_facts(parse: str, shape: str, output: str, facts: object) -> None:
    assert parsed(parse, shape, output) == facts


def test_lines_carry_their_place() -> None:
    (probe,) = probes("- {probe: t.t, script: x, parse: lines}")
    assert probe.parse
    assert probe.parse(answered(b"a\nb\xff"))["lines"][1] == {
        "text": "b\\xff",
        "at": {"question": "t.t", "stream": "stdout", "first": 2, "last": 2},
    }


@pytest.mark.parametrize(
    ("parse", "shape", "output"),
    [
        ("keyvalue", "{a: int}", "a=1\nwhat\n"),
        ("keyvalue", "{a: int}", "a=1\na=2\n"),
        ("keyvalue", "{a: int}", "a=1_0\n"),
        ("keyvalue", "{a: float}", "a=0,5\n"),
        ("keyvalue", "{a: bool}", "a=maybe\n"),
        ("keyvalue", "{a: int}", "a=99999999999999999999\n"),
        ("json", "{a: int}", ""),
        ("json", "{a: int}", "{"),
        ("json", "{a: int}", "5"),
        ("json", "{a: int}", '{"a": "5"}'),
        ("json", "{a: int}", '{"a": 1.5}'),
        ("json", "{a: int}", '{"a": true}'),
        ("json", "{a: int}", '{"a": 99999999999999999999}'),
        ("json", "{a: float}", '{"a": NaN}'),
        ("json", "{a: float}", '{"a": 1e999}'),
        ("json", "{a: any}", '{"a": {"b": [18446744073709551616]}}'),
        ("json", "{a: str}", '{"a": "\\ud800"}'),
        ("json", "{a: [int]}", '{"a": {"b": 1}}'),
        ("json", "{a: int}", "[" * 100_000),
        ("json", "{a: int}", '{"a": ' + "1" * 5000 + "}"),
        ("jc:df", "{items: [{filesystem: str}]}", "df: /mnt/nfs: Stale file handle\n"),
        ("jc:xml", "{a: any}", "<a>"),
        ("jc:proc-meminfo", "{MemTotal: int}", "nonsense\n"),
        ("jc:ss", "{items: [{netid: str}]}", "tcp LISTEN 0 128 *:22 *:*\n"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_understood(parse: str, shape: str, output: str) -> None:
    with pytest.raises(ParseError):
        parsed(parse, shape, output)


@given(st.sampled_from(["keyvalue", "json", "jc:df", "jc:os-release"]), st.binary(max_size=80))
def test_any_output_is_facts_or_a_reason(parse: str, output: bytes) -> None:
    (probe,) = probes(f"- {{probe: t.t, script: x, parse: '{parse}', shape: {{a: str?, '*': any}}}}")
    found = facts_of(probe, {probe.id: answered(output)})
    assert not isinstance(found, Why) or found.reason is Reason.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probes: []", "probes are a list"),
        ("- script: x", "p.yaml:1:3: a probe needs the key “probe”"),
        ("- probe: a.b", "a probe needs the key “script”"),
        ("- {probe: A, script: x}", "not a question id: 'A'"),
        ("- {probe: a, script: x}\n- {probe: a, script: y}", "p.yaml:2:3: there is a probe “a” already"),
        ("- {probe: a, script: x, parse: python}", "there is no parser “python” (none, lines, keyvalue, json or jc:NAME)"),
        ("- {probe: a, script: x, parse: 'jc:dff', shape: {a: str}}", "jc has no parser “dff” (did you mean df"),
        ("- {probe: a, script: x, parse: 'jc:ls-s', shape: {a: str}}", "jc has no parser “ls-s”"),
        ("- {probe: a, script: x, parse: json}", "“shape” declares the facts"),
        ("- {probe: a, script: x, parse: json, shape: {a: text}}", "a: not a type: text"),
        ("- {probe: a, script: x, parse: json, shape: {a: [str, int]}}", "a: a list is written [shape]"),
        ("- {probe: a, script: x, redact: ['(']}", "not a regular expression: "),
        ("- {probe: a, script: x, ok_statuses: [256]}", "an exit status is a number from 0 to 255"),
        ("- {probe: a, script: x, platforms: [linus]}", "there is no platform “linus” (did you mean linux?)"),
        ("- {probe: a, script: x, privilege: admin}", "privilege"),
        ("- {probe: a, script: x, pars: json}", "a probe has no key “pars” (did you mean parse"),
    ],
)
def test_mistakes_are_told_with_their_places(text: str, expected: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        probes(text)
    assert expected in str(caught.value)


def test_a_library_takes_own_probes_in_and_refuses_a_taken_name(tmp_path: Path) -> None:
    own = tmp_path / "probes.yaml"
    own.write_text(FULL)
    library, plain = load_library(own), load_library()
    assert set(library.probes) - set(plain.probes) == {"app.release", "app.raw"}
    assert library.digest != plain.digest
    if plain.probes:
        taken = next(iter(plain.probes))
        own.write_text(f"- {{probe: {taken}, script: x}}\n")
        with pytest.raises(UnknownProbe, match=taken):
            load_library(own)
    assert [probe.id for probe in load_probes(tmp_path / "probes.yaml")]


def test_what_must_not_be_kept_is_redacted_before_anything_sees_it() -> None:
    release, raw = probes(FULL)
    masker = Masker()
    masker.learn(Secret("hunter22"))
    answers = {
        "app.release": answered(b"user=a password=xyz b\ntoken 123\nhunter22\n", stderr=b"password=abc"),
        "app.raw": answered(b"password=abc hunter22"),
        "other": answered(b"hunter22"),
    }
    kept = redact(answers, {"app.release": release, "app.raw": raw}, masker=masker)
    assert kept["app.release"].stdout == b"user=a password=*** b\n***\n***\n"
    assert kept["app.release"].stderr == b"password=***"
    assert kept["app.raw"].stdout == b"password=abc ***"
    assert kept["other"].stdout == b"***"


_HEAD = b"x" * 40 + b"\n"


@pytest.mark.parametrize(
    ("stdout", "cut", "kept"),
    [
        (b"a\nuser=b passw", 0, b"a\n"),
        (b"a\npassword=ab", 0, b"a\n"),
        (_HEAD + b"password=hunt" + b"er22 rest\n" + _HEAD[:36], 5, _HEAD),
        (_HEAD + b"no newline anywhere after it, to the very end of what was kept", 5, _HEAD),
        (b"y" * 100, 5, b""),
    ],
)
def test_a_secret_that_was_cut_off_is_not_kept_by_half(stdout: bytes, cut: int, kept: bytes) -> None:
    (probe,) = probes("- {probe: a, script: x, max_bytes: 100, redact: ['password=(?P<secret>\\S+)']}")
    answer = Answer(ended=Ended.CAPPED if cut else Ended.LOST, exit_status=None, stdout=stdout, stdout_cut=cut)
    assert redact({"a": answer}, {"a": probe})["a"].stdout == kept


def test_redaction_leaves_lines_where_they_are() -> None:
    (probe,) = probes("- {probe: a, script: x, redact: ['(?s)BEGIN KEY.*?END KEY']}")
    kept = redact({"a": answered(b"1\nBEGIN KEY\nabc\nEND KEY\n5\n")}, {"a": probe})["a"]
    assert kept.stdout.splitlines()[4] == b"5"
    assert b"abc" not in kept.stdout


def test_a_question_without_own_parser_costs_no_import_of_jc() -> None:
    before = time.process_time()
    probes("- {probe: a, script: x, parse: keyvalue, shape: {a: str}}")
    assert time.process_time() - before < 5
