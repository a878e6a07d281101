"""Expressions: places of mistakes, three values, bounds, and nothing that could escape."""

import builtins
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.cel_engine import FAILURES, engine
from diagnostics.cel_syntax import BadSyntax, read_expression
from diagnostics.expressions import Needs, Scope, Undecided, compile_expression
from diagnostics.functions import FUNCTIONS
from diagnostics.verdict import Reason
from inventory.documents import MapNode, ScalarNode, parse_document
from inventory.errors import InvalidFile

SHAPES = {
    "facts": {
        "fs": {
            "mounts": [
                {"mount": "str", "used": "float percent", "free": "int bytes", "label": "str?", "tags": ["str"], "at": "at"}
            ]
        },
        "units": {"*": {"active": "str", "restarts": "int"}},
        "raw": "any",
        "up": "bool",
        "count": "int",
        "load": "float",
    },
    "item": {"name": "str", "n": "int"},
    "thresholds": {"warning": "float"},
}
MOUNTS = [
    {
        "mount": "/",
        "used": 95.5,
        "free": 10,
        "tags": ["a"],
        "at": {"question": "fs", "stream": "stdout", "first": 1, "last": 1},
    },
    {"mount": "/var", "used": 10.0, "free": 2**40, "label": "v", "tags": []},
]
FACTS: dict[str, Any] = {"fs": {"mounts": MOUNTS}, "units": {"a.service": {"active": "failed", "restarts": 3}}, "raw": {"x": 1}}
VARIABLES = {
    "facts": FACTS | {"up": True, "count": 3, "load": 1.5},
    "item": {"name": "web", "n": 7},
    "thresholds": {"warning": 90.0},
}


def evaluated(text: str, variables: dict[str, Any] = VARIABLES) -> Any:
    expression = compile_expression(text, shapes=SHAPES)
    return expression.evaluate(Scope(variables, Needs.of([expression])))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("item.name", "web"),
        ("item.n + 1", 8),
        ('item.name == "web" && item.n > 5', True),
        ("facts.fs.mounts.exists(m, m.used > thresholds.warning)", True),
        ("facts.fs.mounts.all(m, m.free > 100)", False),
        ("facts.fs.mounts.filter(m, m.used > 90.0).map(m, m.mount)", ["/"]),
        ("facts.fs.mounts.filter(m, m.used > 90.0)[0].at.first", 1),
        ("size(facts.fs.mounts.filter(m, m.used > 90.0))", 1),
        ("facts.fs.mounts.map(m, m.tags.exists(t, t == 'a'))", [True, False]),
        ("facts.fs.mounts.exists_one(m, has(m.label))", True),
        ("facts.fs.mounts[1].free > 5 * GiB", True),
        ('facts.units["a.service"].restarts', 3),
        ("item.name in ['web', 'db']", True),
        ('"a.service" in facts.units', True),
        ("facts.up ? item.n : 0", 7),
        ("facts.raw.x == 1", True),
        ("-item.n", -7),
        ("!facts.up", False),
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3", 9),
        ("facts.count > 2.5", True),
        ("double(item.n) / 2.0", 3.5),
        ('item.name.startsWith("w") && item.name.matches("^w.b$")', True),
        ("item.name.size()", 3),
        ('duration("1h") > duration("59m")', True),
        ('timestamp("2026-01-01T00:00:00Z")', 1767225600.0),
        ("// a comment\n1", 1),
        ("item.n\n  + 1", 8),
        ("'s' != r\"\\d\"", True),
        ('semver("1.10.0", "1.9.9") > 0', True),
        ('cidr("10.1.2.3", "10.0.0.0/8")', True),
        ('glob(item.name, "w*")', True),
    ],
)
def test_expressions_give_their_value(text: str, value: object) -> None:
    assert evaluated(text) == value


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("facts.fs.mounts[0].label == 'x'", Reason.MISSING_VALUE, "label"),
        ("facts.fs.mounts.all(m, m.label == 'v')", Reason.MISSING_VALUE, "facts.fs.mounts[].label"),
        ("item.name == 'x' || facts.raw.y > 1", Reason.MISSING_VALUE, "facts.raw.y"),
        ("facts.raw.y", Reason.MISSING_VALUE, "facts.raw.y"),
        ("facts.raw.y.z", Reason.MISSING_VALUE, "facts.raw.y"),
        ("facts.fs.mounts[7].free > 1", Reason.NOT_EVALUATED, "index out of bounds"),
        ("item.n / (item.n - 7) > 0", Reason.NOT_EVALUATED, "division by zero"),
        ("item.n + 9223372036854775807 > 0", Reason.NOT_EVALUATED, "verflow"),
        ("facts.raw.x > 'a'", Reason.NOT_EVALUATED, "overload"),
        ('semver("latest", "1.0") > 0', Reason.NOT_EVALUATED, "not a version"),
        ('cidr(item.name, "10.0.0.0/8")', Reason.NOT_EVALUATED, "web"),
        ('item.name.matches("(")', Reason.NOT_EVALUATED, "regex"),
    ],
)
def test_what_cannot_be_decided_names_why(text: str, reason: Reason, detail: str) -> None:
    with pytest.raises(Undecided) as caught:
        evaluated(text)
    assert caught.value.why.reason is reason
    assert detail in caught.value.why.detail


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("facts.raw.missing > 1 || true", True),
        ("true || facts.raw.missing > 1", True),
        ("facts.raw.missing > 1 && false", False),
        ("has(facts.raw.missing) && facts.raw.missing > 1", False),
        ('semver("latest", "1.0") > 0 || true', True),
    ],
)
def test_what_decides_anyway_absorbs_what_is_missing(text: str, value: bool) -> None:
    assert evaluated(text) is value


def test_a_condition_is_true_or_false_and_nothing_else() -> None:
    expression = compile_expression("facts.raw.x", shapes=SHAPES, wants=("bool",))
    with pytest.raises(Undecided, match="neither true nor false"):
        expression.holds(Scope(VARIABLES, Needs.of([expression])))


MISTAKES = [
    ("item.nmae == 'x'", 5, "“nmae” is not declared here", "name"),
    ("itm.name == 'x'", 0, "there is no “itm”", "item"),
    ("item.n > 1 && facts.fs.mounts.exists(m, m.usd > 1.0)", 42, "“usd” is not declared here", "used"),
    ("facts.fs.mounts.used > 1", 16, "list has no members", "exists"),
    ("item.n.x", 7, "int has no members", ""),
    ("item.n + thresholds.warning", 7, "does not go with int and float", "convert"),
    ("item.n == item.name", 7, "never equal", ""),
    ("item.name > 1", 10, "never equal", ""),
    ("facts.up > true", 9, "bool cannot be compared", ""),
    ("item.n && true", 5, "int where bool is needed", ""),
    ("!item.n", 6, "int where bool is needed", ""),
    ("item.n ? 1 : 2", 5, "int where bool is needed", ""),
    ("item.n in item.name", 15, "str where list or map is needed", ""),
    ("upper(item.name)", 0, "there is no function “upper”", ""),
    ("item.name.strtsWith('w')", 10, "there is no function “strtsWith”", "startsWith"),
    ("size(1, 2)", 0, "called otherwise", "size(any)"),
    ("startsWith(item.name, 'w')", 0, "called otherwise", "x.startsWith"),
    ("item.name.matches(1)", 18, "int where str is needed", ""),
    ("has(item)", 0, "has takes one member", "has(item.name)"),
    ("facts.fs.mounts.exists(m)", 16, "takes a name and an expression", ""),
    ("facts.fs.mounts.exists(item, true)", 16, "has a meaning already", ""),
    ("facts.fs.mounts.exists(m, m.used)", 28, "float where bool is needed", ""),
    ("facts.units['a'].actve == 'x'", 17, "“actve” is not declared", "active"),
    ("item['nam'] == 'x'", 5, "“nam” is not declared", "name"),
    ("facts.fs.mounts['x']", 16, "str where int is needed", ""),
    ("item.n and true", 7, "“and” cannot stand here", "&&"),
    ("item.n >", 8, "ends too early", ""),
    ("(item.n", 7, "ends too early", ""),
    ("item.n)", 6, "“)” cannot stand here", ""),
    ("item.n = 1", 7, "cannot hold '='", ""),
    ("item.n > 5 GiB", 11, "“GiB” cannot stand here", ""),
    ("{'a': 1}", 0, "“{” cannot stand here", ""),
    ("'open", 0, "cannot hold", ""),
    ("'a' 'b'", 4, "“'b'” cannot stand here", ""),
    ("", 0, "empty", ""),
    ("1.5 % 2.0", 4, "whole numbers", ""),
    ("99999999999999999999 > 1", 0, "not understood", ""),
]


@pytest.mark.parametrize(("text", "offset", "words", "hint"), MISTAKES)
def test_a_mistake_is_told_with_its_place_in_the_yaml(text: str, offset: int, words: str, hint: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    document = parse_document(f"x:\n  raise: {quoted}\n".encode(), "c.yaml")
    assert isinstance(document, MapNode)
    x = document.get("x")
    assert isinstance(x, MapNode)
    node = x.get("raise")
    assert isinstance(node, ScalarNode)
    with pytest.raises(InvalidFile) as caught:
        compile_expression(node, shapes=SHAPES)
    (problem,) = caught.value.problems
    assert words in str(problem.text)
    assert hint in str(problem.hint or "")
    assert (problem.place.line, problem.place.column) == (2, 10 + 1 + offset)


def test_a_condition_that_is_none_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(InvalidFile, match="int where bool is needed"):
        compile_expression("item.n", shapes=SHAPES, wants=("bool",))


HOSTILE = [
    "(" * 100_000 + "1" + ")" * 100_000,
    "[" * 40 + "]" * 40,
    "!" * 4000 + "true",
    "-" * 4000 + "1",
    "1" + "+1" * 2000,
    "true" + "?1:true" * 500 + "?1:2",
    "item" + ".x" * 2000,
    "facts.raw" + "[0]" * 1000,
    "'" + "x" * 5000 + "'",
    "facts.fs.mounts.map(a, facts.fs.mounts.map(b, facts.fs.mounts.map(c, 1)))",
    "facts.fs.mounts.map(x,[x,x].map(y,[y,y].map(z,[z,z])))",
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "item.__class__",
    "item.name.__class__.__mro__",
    "facts.__globals__",
    "lambda: 1",
    "{{ item.name }}",
    "${item.name}",
    "%(item)s",
    "`id`",
    "$(id)",
    "item.name.format(item)",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(item, 'name')",
    "import os",
    "a := 1",
    "item.name; 1",
    "item.name\x00",
    "b'bytes'",
    "optional.none()",
    "type(item)",
    "dyn(item)",
    "google.protobuf.Any{}",
    "Message{a: 1}",
    "item.?name",
    "[?item.name]",
    "item.name @ 1",
    "item.n ** 2",
    "~item.n",
    "item.n << 100",
    "item.n if true else 1",
    "f'{item}'",
    "\u200bitem.n",
    "ite\u202em.n",
    "item\uff0en",
    "１ + 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_what_is_no_expression_of_ours_is_refused_at_once(text: str) -> None:
    before = time.process_time()
    with pytest.raises(InvalidFile):
        compile_expression(text, shapes=SHAPES)
    assert time.process_time() - before < 5  # not a speed test: a hang of the parser shows


def test_nothing_of_python_can_be_called_or_reached() -> None:
    names = [name for name in dir(builtins) if name not in FUNCTIONS]
    assert len(names) > 140
    forms = ("{}(item.name)", "item.{}", "{}", "item.name.{}()", "facts.raw.map(x, {}(x))")
    for text in (form.format(name) for name in names for form in forms):
        with pytest.raises(InvalidFile):
            compile_expression(text, shapes=SHAPES)


def test_lists_are_bounded_when_evaluated() -> None:
    many = VARIABLES | {"facts": FACTS | {"fs": {"mounts": [MOUNTS[0]] * 1001}}}
    with pytest.raises(Undecided, match="at most 1000"):
        evaluated("facts.fs.mounts.exists(m, m.used > 1.0)", many)
    pairs = VARIABLES | {"facts": FACTS | {"fs": {"mounts": [MOUNTS[0]] * 101}}}
    both = "facts.fs.mounts.exists(a, facts.fs.mounts.exists(b, a.used > b.used))"
    with pytest.raises(Undecided, match="10201 pairs"):
        evaluated(both, pairs)
    inner = [{**MOUNTS[0], "tags": ["x"] * 1000}] * 11
    with pytest.raises(Undecided, match="11000 pairs"):
        evaluated("facts.fs.mounts.exists(m, m.tags.exists(t, t == 'y'))", VARIABLES | {"facts": {"fs": {"mounts": inner}}})


def test_a_variable_that_changes_is_converted_again() -> None:
    expression = compile_expression("item.n * 2", shapes=SHAPES)
    scope = Scope(VARIABLES, Needs.of([expression]))
    seen = []
    for n in (1, 2, 3):
        scope.set("item", {"name": "x", "n": n})
        seen.append(expression.evaluate(scope))
    assert seen == [2, 4, 6]


def test_one_bad_value_does_not_spoil_the_next_item() -> None:
    expression = compile_expression("item.name == 'a'", shapes=SHAPES)
    scope = Scope(VARIABLES, Needs.of([expression]))
    assert expression.evaluate(scope) is False
    scope.set("item", {"name": "\ud800"})
    with pytest.raises(Undecided):
        expression.evaluate(scope)
    scope.set("item", {"name": "a"})
    assert expression.evaluate(scope) is True


def test_loading_the_engine_does_not_load_its_command_line() -> None:
    code = "import sys; from diagnostics.cel_engine import engine; engine().compile('1'); print('typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_our_functions_fail_without_a_word_on_stderr() -> None:
    code = (
        "from diagnostics.expressions import *\n"
        'e = compile_expression(\'semver("x", "1") == 0\', shapes={})\n'
        "try: e.evaluate(Scope({}, Needs.of([e])))\n"
        "except Undecided: print('undecided')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("undecided\n", "")


_NAMES = st.sampled_from(
    ["item.n", "item.name", "facts.up", "facts.load", "facts.fs.mounts", "facts.raw", "x", "1", "2.5", "'a'", "true", "null"]
)
_PIECES = st.one_of(
    _NAMES, st.sampled_from([*list("+-*/%<>!?:.,()[]{}"), "&&", "||", "==", "in", ".exists(x, ", ".map(x, ", "size(", "has("])
)


@given(st.lists(_PIECES, max_size=14).map(" ".join))
@settings(max_examples=400)
def test_any_text_is_refused_or_gives_a_value_or_is_undecided(text: str) -> None:
    try:
        evaluated(text)
    except (InvalidFile, Undecided):
        return


@given(st.text(max_size=60))
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    try:
        read_expression(text)
    except BadSyntax as bad:
        assert 0 <= bad.offset <= len(text)


@given(
    st.recursive(
        st.sampled_from(["1", "2", "item.n", "facts.count", "facts.raw.x"]),
        lambda below: st.builds("({} {} {})".format, below, st.sampled_from("+-*/%"), below),
        max_leaves=8,
    )
)
def test_what_lint_calls_a_number_is_one(text: str) -> None:
    try:
        assert type(evaluated(text)) in (int, float)
    except (InvalidFile, Undecided):
        return


def test_the_engine_raises_only_what_we_expect() -> None:
    cases = ["1/0", "1%0", "a.b", "[1][2]", "1 + 'a'", "f()", "'x'.matches('(')", "9223372036854775807 + 1"]
    cases += ["duration('x')", "timestamp('x')", "int('x')", "double('x')", "int(1e300)", "{'a': 1}.b"]
    cases += ["timestamp('9999-12-31T23:59:59Z') + duration('9999999h')", "size(1)", "a ? 1 : 2", "[].map(x, x)[0]", "1u - 2u"]
    for text in cases:
        with pytest.raises(FAILURES):
            engine().compile(text).execute(engine().Context({}))
