"""Shapes: what facts may be, and what is said when they are not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.shapes import Misfit, fit, misfits, shape_problems, storable

SHAPE = {"n": "int", "f": "float percent", "s": "str?", "l": [{"at": "at", "b": "bool"}], "m": {"*": "int"}}
AT = {"question": "q", "stream": "stdout", "first": 1, "last": 2}
GOOD: dict[str, Any] = {"n": 1, "f": 1.0, "l": [{"at": AT, "b": True}], "m": {"x": 1}}


def test_facts_of_the_declared_shape_fit() -> None:
    assert fit(GOOD, SHAPE) == GOOD
    assert misfits(GOOD, SHAPE) == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"n": 1.0}, "facts.n: int is declared, not float 1.0"),
        ({"n": True}, "facts.n: int is declared, not bool True"),
        ({"n": 2**63}, "facts.n: a value that cannot be kept: int 9223372036854775808"),
        ({"f": float("inf")}, "facts.f: a value that cannot be kept: float inf"),
        ({"f": 1}, "facts.f: float is declared, not int"),
        ({"s": "\ud800"}, "facts.s: a value that cannot be kept: str '\\ud800'"),
        ({"l": {}}, "facts.l: a list is declared, not dict {}"),
        ({"l": [{"at": AT}]}, "facts.l[0].b: missing"),
        ({"l": [{"at": {**AT, "line": 1}, "b": True}]}, "facts.l[0].at.line: not declared"),
        ({"m": {"x": "1"}}, "facts.m.x: int is declared, not str '1'"),
        ({"more": 1}, "facts.more: not declared"),
        ({"m": None}, "facts.m: a mapping is declared, not NoneType None"),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], problem: str) -> None:
    assert misfits(GOOD | change, SHAPE) == problem


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ("text", "shape: not a type: text"),
        ({"a": {"b": ""}}, "a.b: not a type: nothing"),
        ({"a": []}, "a: a list is written [shape]"),
    ],
)
def test_a_shape_itself_is_verified(shape: Any, problem: str) -> None:
    assert list(shape_problems(shape)) == [problem]
    assert list(shape_problems(SHAPE)) == []


_NAMES = st.sampled_from(["n", "f", "s", "l", "m", "at", "b"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_NAMES, below, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_what_fits_can_be_kept_and_fits_again(value: Any) -> None:
    try:
        fitted = fit(value, SHAPE)
    except Misfit:
        return
    assert storable(fitted)
    assert fit(fitted, SHAPE) == fitted
