"""A secret never shows, in whatever form it comes back."""

import base64
import copy
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.secret import MASK, Masker, Secret
from tests.wires import WIRES

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40)


def knowing(*values: str) -> Masker:
    masker = Masker()
    for value in values:
        masker.learn(Secret(value))
    return masker


@given(value=VALUES)
def test_every_form_on_the_wire_is_found_and_masked(value: str) -> None:
    masker = knowing(value)
    for wire, send in WIRES.items():
        sent = send(value)
        assert masker.leaks(sent.encode()), wire
        assert not masker.leaks(masker.data(sent.encode())), wire
        assert masker.text(sent).encode() == masker.data(sent.encode()), wire


def test_other_programs_write_escapes_in_lower_case() -> None:
    masker = knowing("p/w=ж<&'")
    for sent in ("p%2fw%3d%d0%b6%3c%26%27", "p/w=\\u0436\\u003c\\u0026\\u0027", "p/w=ж&lt;&amp;&#39;"):
        assert masker.text(f"<{sent}>") == f"<{MASK}>"


@given(value=VALUES, before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_is_found_wherever_the_secret_begins(value: str, before: bytes, after: bytes) -> None:
    sent = base64.b64encode(before + value.encode() + after)
    masker = knowing(value)
    assert masker.leaks(sent) and not masker.leaks(masker.data(sent))


@given(values=st.lists(VALUES, min_size=1, max_size=4), around=st.lists(st.text(max_size=5), min_size=5, max_size=5))
def test_secrets_side_by_side_and_inside_each_other_are_all_gone(values: list[str], around: list[str]) -> None:
    masker = knowing(*values)
    sent = "".join(text + value for text, value in zip(around, values, strict=False))
    masked = masker.text(sent)
    assert not masker.leaks(masked.encode()) and not any(value in masked for value in values)


def test_where_two_secrets_overlap_nothing_of_either_is_left() -> None:
    assert knowing("abcd1", "d1efgh").text("<abcd1efgh>") == f"<{MASK}>"


def test_a_mask_beside_other_text_can_form_a_secret_which_is_masked_too() -> None:
    assert knowing("pass", "***abcdef").text("passabcdef") == MASK


def test_text_without_a_secret_stays_as_it_is() -> None:
    assert knowing("hunter2").text("hunter1 *** hunter") == "hunter1 *** hunter"
    assert Masker().text("hunter2") == "hunter2"


def test_values_under_four_characters_are_not_masked() -> None:
    assert knowing("abc").text("abc") == "abc" and knowing("abc").longest == 0


def test_the_longest_form_tells_how_much_to_keep_across_a_cut() -> None:
    masker = knowing("hunter2!")
    sent = b"x" * 50 + base64.b64encode(b"hunter2!") + b"y" * 50
    for cut in range(len(sent)):
        first, second = sent[:cut], sent[cut:]
        held = first[max(0, cut - masker.longest) :]
        assert masker.leaks(first) or masker.leaks(held + second)


def test_a_secret_that_was_not_utf8_is_masked_in_the_bytes_it_came_from() -> None:
    raw = b"p\xff\xfess"
    assert knowing(raw.decode("utf-8", "surrogateescape")).data(b"<" + raw + b">") == b"<***>"
    assert knowing("lone \ud800 surrogate").text("lone \ud800 surrogate") == MASK


def test_a_secret_shows_as_stars_everywhere() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {secret:>10} " + str({"a": secret})
    assert "hunter2" not in shown and shown.count(MASK) == 6
    assert "hunter2" not in "".join(traceback.format_exception(ValueError(secret)))


def test_a_secret_is_not_pickled_or_copied_by_the_way() -> None:
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a Secret is not pickled") as caught:
            leave(Secret("hunter2"))
        assert "hunter2" not in str(caught.value)


def test_secrets_compare_by_value_with_secrets_only() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a" and len({Secret("a"), Secret("a")}) == 1
    assert Secret("a").reveal() == "a"


@given(value=VALUES, before=st.binary(max_size=9), cut=st.integers(0, 400))
def test_what_a_cut_leaves_of_a_secret_is_masked_too(value: str, before: bytes, cut: int) -> None:
    masker = knowing(value)
    for wire in ("plain", "path", "hexadecimal"):
        sent = WIRES[wire](value).encode()
        length = 4 + cut % (len(sent) - 3)  # of what a cut leaves: less than 4 bytes are not looked for
        assert masker.torn(masker.data(before + sent[:length])).endswith(MASK.encode())
        assert masker.torn(masker.data(sent[-length:] + before), at_start=True).startswith(MASK.encode())


def test_a_cut_in_other_text_takes_nothing() -> None:
    masker = knowing("hunter2!")
    assert masker.torn(b"all the hun") == b"all the hun"
    assert masker.torn(b"all the hunt") == b"all the ***"
    assert masker.torn(b"er2! and on", at_start=True) == b"*** and on"
    assert masker.torn(b"", at_start=True) == masker.torn(b"") == b""
