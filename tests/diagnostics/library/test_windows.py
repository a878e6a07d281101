"""The Windows library: scripts that are PowerShell and small enough, parsers that understand both versions and nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import tree_sitter
import tree_sitter_pwsh
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.check_tests import load_capture
from diagnostics.diagnose import diagnose
from diagnostics.formats import encode_evidence
from diagnostics.library import Library, in_order, shipped_probes
from diagnostics.library.windows.asking import many, plain, question, read
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from diagnostics.shapes import misfits
from diagnostics.verdict import Reason, Verdict
from remote.answer import Answer, answered
from remote.question import Privilege, Question
from remote.windows.bundle import LARGEST_IN_VARIABLE, SHELL, pack, write_script
from remote.windows.lines import NO_ADMIN
from tests.diagnostics.library.windows_hosts import CAPTURES, DENIED, NO_EVENTS, Failed, answer_text, evidence_of, healthy
from tests.diagnostics.library.windows_ills import HOSTS

PROBES: dict[str, Probe] = {probe.id: probe for probe in shipped_probes() if "windows" in probe.platforms}
QUESTIONS: dict[str, Question] = {question.id: question for probe in PROBES.values() for question in probe.questions}
PARTS = question("parts", "").script
FORBIDDEN = (
    r"Win32_Product\b",  # repairs every installed package
    r"\.Message\b",  # in the machine's language
    r"Get-Counter",  # paths are translated
    r"Get-WmiObject",  # gone in PowerShell 7
    r"PathName\b|CommandLine\b",  # arguments, among which people write passwords
    r"SilentlyContinue",  # makes silence of a failure, and of access denied
    r"2>",  # one line on stderr ends a script of Windows PowerShell
    r"Invoke-Expression|iex\b",
    r"(Set|New|Remove|Add|Clear|Start|Stop|Restart|Enable|Disable)-(?!Object)[A-Z]",
)
LEFT_OUT_WHERE_DENIED = {("win.boots", "dumps"), ("win.defender", "threats")}
"""Sources without which the rest is still told; the fact that they would have given is left out."""


@cache
def answers_of(probe: str) -> list[tuple[Answer, ...]]:
    """Return what each host answered to a probe, where nothing was denied."""
    ids = [question.id for question in PROBES[probe].questions]
    kept = [load_capture(CAPTURES / host.name)[0].answers for host in HOSTS]
    return [tuple(answers[one] for one in ids) for answers in kept if all(answers[one].exit_status == 0 for one in ids)]


def outcome(probe: Probe, *answers: Answer) -> Facts | None:
    """Return the facts, None where the parser refused in one of the three ways; any other exception passes."""
    assert probe.parse
    try:
        facts = probe.parse(*answers)
    except (ParseError, SourceFailed, NothingThere):
        return None
    assert misfits(facts, probe.shape) == ""
    return facts


def mistakes(text: str) -> Iterator[str]:
    """Yield each place where a text is no PowerShell."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))

    def walk(node: tree_sitter.Node) -> Iterator[str]:
        if node.type == "ERROR" or node.is_missing:
            yield f"{node.start_point}: {text.splitlines()[node.start_point[0]][:100]}"
        for child in node.children:
            yield from walk(child)

    yield from walk(parser.parse(text.encode()).root_node)


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_script_is_powershell_and_asks_nothing_that_it_may_not(name: str) -> None:
    script = QUESTIONS[name].script
    assert QUESTIONS[name].shell == SHELL
    assert list(mistakes(script)) == []
    assert not [rule for rule in FORBIDDEN if re.search(rule, script)]
    assert re.search(r"^Ask(-Admin)? \w+ \{", script, re.MULTILINE)
    assert "$La" not in script.removeprefix(PARTS), "a block sees the variables of what asks it"
    assert script.startswith(PARTS)


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_question_has_bounds_and_says_what_rights_it_wants(name: str) -> None:
    question = QUESTIONS[name]
    assert 10 <= question.deadline_s <= 40
    assert question.max_bytes <= 128 * 1024
    wanted = {(name, found[1]) for found in re.finditer(r"^Ask-Admin (\w+)", question.script, re.MULTILINE)}
    assert wanted <= LEFT_OUT_WHERE_DENIED
    assert question.privilege in (Privilege.USER, Privilege.ROOT)


def test_all_questions_together_fit_into_the_variable(shipped: Library) -> None:
    packed = pack(write_script(in_order(PROBES.values(), "windows"), "0123456789abcdef" * 2))
    assert len(QUESTIONS) >= 24
    assert len(packed) < LARGEST_IN_VARIABLE
    assert in_order(shipped.probes.values(), "linux") == in_order(
        (probe for probe in shipped.probes.values() if probe.id not in PROBES), "linux"
    )


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_a_capture_is_what_was_written_down_of_its_host(host: Any) -> None:
    assert (CAPTURES / f"{host.name}.evidence").read_bytes() == encode_evidence(*evidence_of(host))


@pytest.mark.parametrize("name", sorted(PROBES))
def test_answers_are_understood(name: str) -> None:
    facts = [outcome(PROBES[name], *answers) for answers in answers_of(name)]
    assert len([one for one in facts if one is not None]) >= 3
    assert not [one for answers in answers_of(name) for one in answers if not read_back(one)]


def read_back(answer: Answer) -> bool:
    """Tell whether each line of an answer is a document of its own."""
    return all(isinstance(json.loads(line), dict) for line in answer.stdout.decode().split("\n"))


def rewritten(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    """Return an answer with `change` made to every value below `it`, the innermost first."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: change(walk(below)) for key, below in value.items()}
        return [walk(below) for below in value] if isinstance(value, list) else value

    lines = []
    for line in answer.stdout.decode().split("\n"):
        document = json.loads(line)
        if isinstance(document.get("it"), dict):
            document["it"] = walk(unwrapped(document["it"]))
        lines.append(json.dumps(document, ensure_ascii=False))
    return replace(answer, stdout="\n".join(lines).encode())


def unwrapped(value: Any) -> Any:
    """Return a value as PowerShell 7 writes it: nothing around lists and texts."""
    if isinstance(value, dict):
        return unwrapped(value["value"]) if "value" in value else {key: unwrapped(below) for key, below in value.items()}
    return [unwrapped(below) for below in value] if isinstance(value, list) else value


def of_windows_powershell(value: Any) -> Any:
    """Return a value as 5.1 writes one that carries properties; lists with their count, times as they are counted there."""
    if isinstance(value, list):
        return {"value": value, "Count": len(value)}
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{7}Z", value)):
        from datetime import datetime

        moment = datetime.fromisoformat(match[1] + "+00:00").timestamp()
        return {"value": f"/Date({int(moment) * 1000 + 123})/", "DisplayHint": 2, "DateTime": "29 ноября 2026 г. 12:00:00"}
    return {"value": value, "PSPath": "Microsoft.PowerShell.Core\\Registry::x"} if isinstance(value, str) else value


def unrolled(value: Any) -> Any:
    """Return a list of one as what is in it, and an empty one as nothing: what a pipeline makes of them."""
    return (value[0] if value else None) if isinstance(value, list) and len(value) < 2 else value


@pytest.mark.parametrize("change", [of_windows_powershell, unrolled, lambda value: value], ids=["5.1", "unrolled", "7"])
@pytest.mark.parametrize("name", sorted(PROBES))
def test_the_shapes_of_both_versions_mean_the_same(name: str, change: Callable[[Any], Any]) -> None:
    for answers in answers_of(name):
        again = outcome(PROBES[name], *(rewritten(one, change) for one in answers))
        assert again == outcome(PROBES[name], *answers)


@pytest.mark.parametrize("name", sorted(PROBES))
@settings(max_examples=30)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(name: str, data: bytes) -> None:
    assert outcome(PROBES[name], *(answered(data) for _ in PROBES[name].questions)) is None


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "/Date(99999999999999999)/", "9999-99-99T00:00:00Z", "0x", "a|b|c", "Running", "\0"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["value", "Count", "x"]), below, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("name", sorted(PROBES))
@settings(max_examples=60)
@given(data=st.data())
def test_any_value_in_the_place_of_another_ends_in_one_of_the_outcomes(name: str, data: st.DataObject) -> None:
    answers = list(data.draw(st.sampled_from(answers_of(name))))
    which = data.draw(st.integers(0, len(answers) - 1))
    lines = answers[which].stdout.decode().split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[at])
    place = document["it"] if isinstance(document.get("it"), dict) and document["it"] else document
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JUNK)
    lines[at] = json.dumps(document)
    answers[which] = replace(answers[which], stdout="\n".join(lines).encode())
    outcome(PROBES[name], *answers)


@pytest.mark.parametrize("name", sorted(PROBES))
@settings(max_examples=40)
@given(data=st.data())
def test_a_cut_answer_is_never_taken_for_a_whole_one(name: str, data: st.DataObject) -> None:
    answers = list(data.draw(st.sampled_from(answers_of(name))))
    facts = outcome(PROBES[name], *answers)
    which = data.draw(st.integers(0, len(answers) - 1))
    cut = data.draw(st.integers(0, len(answers[which].stdout) - 1))
    answers[which] = replace(answers[which], stdout=answers[which].stdout[:cut])
    shorter = outcome(PROBES[name], *answers)
    assert shorter is None or shorter == facts


EACH_SOURCE = sorted((question, source) for question, sources in healthy().items() for source in sources)
ACCESS_DENIED = (
    DENIED,
    Failed("UnauthorizedAccess,Microsoft.PowerShell.Commands.GetWinEventCommand", "0x80070005", "PermissionDenied"),
    Failed("HRESULT 0x80041003,Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand", "0x80131500"),
)


@pytest.mark.parametrize(("question", "source"), EACH_SOURCE)
def test_access_denied_is_never_taken_for_nothing(question: str, source: str) -> None:
    for denied in ACCESS_DENIED:
        answer = answered(answer_text(healthy()[question] | {source: denied}, "5.1"))
        for probe in PROBES.values():
            if question not in [one.id for one in probe.questions]:
                continue
            others = {one.id: answered(answer_text(healthy()[one.id], "5.1")) for one in probe.questions}
            given_ = [answer if one.id == question else others[one.id] for one in probe.questions]
            assert probe.parse
            if (question, source) in LEFT_OUT_WHERE_DENIED:
                assert set(probe.shape) - set(probe.parse(*given_)) == {source}
            elif source_is_read(probe, question, source):
                with pytest.raises(SourceFailed, match="access denied"):
                    probe.parse(*given_)


def source_is_read(probe: Probe, question: str, source: str) -> bool:
    """Tell whether a probe draws anything from a source: probes may share a question, and read parts of it."""
    without = answered(answer_text({key: said for key, said in healthy()[question].items() if key != source}, "5.1"))
    whole = {one.id: answered(answer_text(healthy()[one.id], "5.1")) for one in probe.questions}
    return outcome(probe, *((without if one.id == question else whole[one.id]) for one in probe.questions)) is None


def test_no_events_is_another_error_than_access_denied() -> None:
    quiet = read("win.events", answered(answer_text(healthy()["win.events"] | {"events": NO_EVENTS}, "5.1")))
    assert quiet["events"].events() == () and not quiet["events"].denied
    refused = read("win.events", answered(answer_text(healthy()["win.events"] | {"events": ACCESS_DENIED[1]}, "5.1")))
    with pytest.raises(SourceFailed, match="access denied"):
        refused["events"].events()


def test_without_the_rights_of_an_administrator_nothing_that_needs_them_is_clear(shipped: Library) -> None:
    evidence, context = load_capture(CAPTURES / "win-11-user")
    diagnosis = diagnose(evidence, replace(context, library_digest=shipped.digest), shipped)
    needing = {
        check.id
        for check in shipped.checks.values()
        if any(name in PROBES and PROBES[name].question.privilege is not Privilege.USER for name in check.needs)
    }
    results = {result.check: result for result in diagnosis.results if result.check in needing}
    assert len(results) >= 6
    assert {result.verdict for result in results.values()} == {Verdict.UNKNOWN}
    assert {(result.why.reason, result.why.detail) for result in results.values() if result.why} == {(Reason.NOT_RUN, NO_ADMIN)}


@pytest.mark.parametrize(
    "text",
    [
        '{"of":"a","it":{}}',
        '{"of":"a","ended":"ok","count":1}',
        '{"of":"a","it":{}}\n{"of":"a","ended":"ok","count":2}',
        '{"of":"a","it":{}}\n{"of":"b","ended":"ok","count":1}',
        '{"of":"a","ended":"ok","count":0}\n{"of":"a","ended":"ok","count":0}',
        '{"of":"a","ended":"ok","ended":"ok","count":0}',
        '{"of":"a","ended":"well","count":0}',
        '{"of":1,"ended":"ok","count":0}',
        '{"of":"a","ended":"ok","count":NaN}',
        "[" * 3000,
        "{} {}",
        "",
    ],
)
def test_sources_that_do_not_add_up_are_not_understood(text: str) -> None:
    with pytest.raises(ParseError):
        read("q", answered(text.encode()))


def test_wrappings_come_off() -> None:
    assert plain({"value": {"value": "x"}}) == "x"
    assert many({"value": None}) == [] and many([None]) == [] and many([[1], 2]) == [1, 2]


@pytest.mark.parametrize(
    ("ahead_s", "expected"),
    [(0, None), (-60, None), (55, None), (70, "warning"), (-90, "warning"), (400, "critical"), (-400, "critical")],
)
def test_a_clock_is_wrong_by_what_lies_outside_of_the_asking(ahead_s: int, expected: str | None, shipped: Library) -> None:
    """The host was asked for eight seconds: its clock may say any moment of them, and a minute more or less."""
    host = replace(HOSTS[0], change={}, slow_s=-ahead_s)
    evidence, context = evidence_of(host)
    context = replace(context, checks=("win-time",), library_digest=shipped.digest)
    (result,) = diagnose(evidence, context, shipped).results
    assert [finding.severity.value for finding in result.findings] == ([expected] if expected else [])
    (unnoted,) = diagnose(evidence, replace(context, observations={}), shipped).results
    assert unnoted.verdict in (Verdict.CLEAR, Verdict.FINDING)
