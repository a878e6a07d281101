"""Names: the hostile ones of tests/data/inventory/names.yaml are refused, in a message that is itself harmless (T12)."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.serving import PACKAGES
from inventory.documents import load_document, plain
from inventory.names import BadName, group_name, host_address, host_name, label, shown
from inventory.ranges import MAX_EXPANDED, expand_range

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "inventory" / "names.yaml"
TABLE = plain(load_document(DATA))
assert isinstance(TABLE, Mapping)


def spelled(text: object) -> str:
    return re.sub(r"\{(\d+)\}(.\.?)", lambda match: match[2] * int(match[1]), str(text).replace("{nul}", "\0"))


HOSTILE = [(spelled(name), why) for name, why in TABLE["hostile"]]  # type: ignore[union-attr, misc, str-unpack]
ACCEPTED = [spelled(name) for name in TABLE["accepted"]]  # type: ignore[union-attr]


def test_the_table_is_as_long_as_promised_and_says_why() -> None:
    assert len(HOSTILE) >= 120 and len(dict(HOSTILE)) == len(HOSTILE)
    assert all(why for _, why in HOSTILE)
    assert ("web1\0", "NUL cuts a C string") in HOSTILE and ("a" * 64, "a label of 64 characters") in HOSTILE


@pytest.mark.parametrize(("name", "why"), HOSTILE, ids=[f"{number}" for number in range(len(HOSTILE))])
def test_a_hostile_name_is_refused(name: str, why: object) -> None:
    with pytest.raises(BadName) as caught:
        host_name(name)
    message = f"{caught.value} {caught.value.hint or ''}"
    assert message.isprintable() and len(message) < 500, why
    if name.lower() not in ("all", "and", "or", "not"):  # an address is never read as an expression
        with pytest.raises(BadName):
            host_address(name)


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_good_name_stays_as_it_is_written(name: str) -> None:
    assert host_name(name) == host_address(name) == name


@pytest.mark.parametrize(
    ("written", "kept"),
    [("2001:DB8:0:0::1", "2001:db8::1"), ("::FFFF:102:304", "::ffff:1.2.3.4"), ("0:0:0:0:0:0:0:1", "::1")],
)
def test_an_address_has_one_spelling(written: str, kept: str) -> None:
    assert host_name(written) == host_name(kept)
    assert host_address(written) == host_address(kept)


def test_a_zone_belongs_to_a_link_local_address_only() -> None:
    assert host_address("FE80::1%eth0") == "fe80::1%eth0" and host_address("fe80::2%br-1.20") == "fe80::2%br-1.20"
    with pytest.raises(BadName):
        host_name("fe80::1%eth0")


@given(st.text(max_size=80) | st.text("aZ09-_.:%[]*;$ \n\0ж", max_size=20))
def test_whatever_passes_is_harmless_everywhere(text: str) -> None:
    for check in (host_name, host_address):
        try:
            name = check(text)
        except BadName as error:
            assert str(error).isprintable()
        else:
            assert shlex.quote(name) == name and not name.startswith("-") and "/" not in name and name.isascii()
            assert 1 <= len(name) <= 253 and check(name) == name


@pytest.mark.parametrize("name", ["web", "web-1.a_b", "0", "A" * 63])
def test_group_names(name: str) -> None:
    assert group_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "a b", "a,b", "a=b", "(a", "a*", "веб", "A" * 64, "all", "Not", "a\n", "a/b", "a!"]
)
def test_bad_group_names(name: str) -> None:
    with pytest.raises(BadName) as caught:
        group_name(name)
    assert str(caught.value).isprintable()


def test_labels_may_be_in_any_language_but_show_what_they_are() -> None:
    assert label("ООО «Ромашка»") == "ООО «Ромашка»"
    for bad in ("", " a", "a ", "a\nb", "a\x1b[2J", "a\u202eb", "a\u200bb", "x" * 254):
        with pytest.raises(BadName) as caught:
            label(bad)
        assert str(caught.value).isprintable()


def test_shown_is_short_and_printable() -> None:
    assert shown("a\0\n\x1b\u202e" + "x" * 1000).isprintable() and len(shown("x" * 1000)) == 80


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web1", ("web1",)),
        ("web[1:3]", ("web1", "web2", "web3")),
        ("web[08:10].x", ("web08.x", "web09.x", "web10.x")),
        ("web[001:7:3]", ("web001", "web004", "web007")),
        ("web[9:11]", ("web9", "web10", "web11")),
        ("[a:c]1", ("a1", "b1", "c1")),
        ("r[A:B]n[1:2]", ("rAn1", "rAn2", "rBn1", "rBn2")),
        ("10.0.[0:1].[254:255]", ("10.0.0.254", "10.0.0.255", "10.0.1.254", "10.0.1.255")),
        ("web[5:5]", ("web5",)),
        ("2001:db8::[1:2]", ("2001:db8::1", "2001:db8::2")),
        ("web[1:c]", ("web[1:c]",)),
        ("web[]", ("web[]",)),
        ("[::1]", ("[::1]",)),
    ],
)
def test_ranges(text: str, names: tuple[str, ...]) -> None:
    assert expand_range(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "web[3:1]",
        "web[c:a]",
        "web[0:100000]",
        "web[0:999999999]",
        "[1:400]x[1:400]",
        "[1:99]" * 50,
        "[0:999999999]" * 9,
        "x" * 999 + "[1:9]",
    ],
)
def test_ranges_that_end_early_or_explode(text: str) -> None:
    with pytest.raises(BadName) as caught:
        expand_range(text)
    assert str(caught.value).isprintable()


def test_the_longest_range() -> None:
    assert len(expand_range(f"web[1:{MAX_EXPANDED}]")) == MAX_EXPANDED


_FROM_DNS = re.compile(r"\b(getfqdn|gethostbyaddr|gethostbyname_ex|getnameinfo|AI_CANONNAME)\b")
"""What brings names; getaddrinfo brings addresses unless it is asked for more."""


def test_no_name_comes_from_dns() -> None:
    """What a resolver calls a host is nobody's name: only addresses are taken from it, so there is nothing to refuse."""
    modules = [path for top in PACKAGES for path in (ROOT / top).rglob("*.py")]
    assert len(modules) > 300
    assert [path for path in modules if _FROM_DNS.search(path.read_text("utf-8"))] == []
