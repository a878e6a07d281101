"""Typed reading: the right values, and every mistake at its place."""

import pytest

from inventory.documents import parse_document
from inventory.errors import Problem, Text
from inventory.fields import Fields, nearest, parse_duration, parse_size


def fields(text: str, what: str = "the thing") -> Fields:
    return Fields(parse_document(text.encode(), "f.yaml"), [], Text(what))


def told(read: Fields) -> list[str]:
    return [str(problem).removeprefix("f.yaml:") for problem in read.problems]


def test_values_of_every_type() -> None:
    read = fields(
        "text: 1.10\ninteger: -3\nnumber: 2\nsize: 5 GiB\nduration: 2m\nboolean: true\none: b\ntexts: [a, 010, no]\n"
        "alone: x\ntitle: {en: Disk, ru: Диск}\nmap: {k: v}\nitems: [1, {a: b}]\n"
    )
    assert read.text("text") == "1.10"
    assert (read.integer("integer"), read.number("number"), read.boolean("boolean")) == (-3, 2.0, True)
    assert (read.size("size"), read.duration("duration"), read.one_of("one", "ab")) == (5 * 2**30, 120.0, "b")
    assert (read.texts("texts"), read.texts("alone")) == (("a", "010", "no"), ("x",))
    assert read.languages("title") == {"en": "Disk", "ru": "Диск"}
    node = read.mapping("map")
    assert node is not None and node.entries[0][0].text == "k"
    assert read.fields("map").text("k") == "v"
    assert len(read.items("items")) == 2 and read.value("items") == (1, {"a": "b"})
    assert read.place("map").column == 6 and read.key_place("map").column == 1
    assert read.keys()[:2] == ("text", "integer")
    read.done()
    assert not read.problems


def test_what_is_absent_is_none_or_empty() -> None:
    read = fields("")
    assert read.text("a") is None and read.integer("a") is None and read.size("a") is None and read.boolean("a") is None
    assert read.one_of("a", "xy") is None and read.duration("a") is None and read.number("a") is None
    assert read.texts("a") == () == read.items("a") and read.languages("a") == {} and read.mapping("a") is None
    assert read.value("a") is None and not read.has("a") and read.fields("a").keys() == ()
    read.done()
    assert not read.problems


def test_what_is_required_and_absent_is_told_once_each() -> None:
    read = fields("x: 1")
    assert read.text("a", required=True) == ""
    assert read.integer("b", required=True) == 0 and read.number("c", required=True) == 0.0
    assert read.size("d", required=True) == 0 and read.duration("e", required=True) == 0.0
    assert read.boolean("f", required=True) is False and read.one_of("g", ["m", "n"], required=True) == "m"
    assert read.texts("h", required=True) == () == read.items("i", required=True)
    assert read.mapping("j", required=True) is not None
    assert read.languages("k", required=True) == {"en": "", "ru": ""}
    assert told(read) == [f"1:1: the thing needs the key “{key}”" for key in "abcdefghijk"]


@pytest.mark.parametrize(
    ("text", "read", "problem"),
    [
        ("a: [x]", lambda f: f.text("a"), "1:4: “a” must be a text"),
        ("a:", lambda f: f.text("a"), "1:3: “a” has no value"),
        ("a: ~", lambda f: f.text("a", required=True), "1:4: “a” has no value"),
        ("a: 1.0", lambda f: f.integer("a"), "1:4: “a” must be a whole number"),
        ("a: true", lambda f: f.integer("a"), "1:4: “a” must be a whole number"),
        ("a: '1'", lambda f: f.integer("a"), "1:4: “a” must be a whole number"),
        ("a: 0", lambda f: f.integer("a", minimum=1, maximum=9), "1:4: “a” must be a whole number from 1 to 9"),
        ("a: 0", lambda f: f.integer("a", minimum=1), "1:4: “a” must be a whole number, at least 1"),
        ("a: x", lambda f: f.number("a"), "1:4: “a” must be a number"),
        ("a: false", lambda f: f.number("a"), "1:4: “a” must be a number"),
        ("a: 5 gb", lambda f: f.size("a"), "1:4: “a” must be a size such as 200 MiB or 2 GB"),
        ("a: 90", lambda f: f.duration("a"), "1:4: “a” must be a duration such as 90s, 2m or 1h"),
        ("a: yes", lambda f: f.boolean("a"), "1:4: “a” must be true or false"),
        ("a: sssh", lambda f: f.one_of("a", ["ssh", "winrm"]), "1:4: “a” cannot be “sssh” (did you mean ssh?)"),
        ("a: x", lambda f: f.one_of("a", ["ssh", "winrm"]), "1:4: “a” cannot be “x” (one of ssh, winrm)"),
        ("a: [b, [c]]", lambda f: f.texts("a"), "1:8: “a” must be a list of texts"),
        ("a: {b: c}", lambda f: f.texts("a"), "1:4: “a” must be a list of texts"),
        ("a: {b: c}", lambda f: f.items("a"), "1:4: “a” must be a list"),
        ("a: b", lambda f: f.mapping("a"), "1:4: “a” must be a mapping, that is lines of “key: value”"),
        ("a: {en: x}", lambda f: f.languages("a"), "1:4: “a” needs the key “ru”"),
        ("a: {en: x, ru: y, de: z}", lambda f: f.languages("a"), "1:19: “a” has no key “de” (it knows en, ru)"),
        ("a: x", lambda f: f.languages("a"), "1:4: “a” must be a mapping, that is lines of “key: value”"),
        ("- a", lambda f: f.done(), "1:1: the thing must be a mapping, that is lines of “key: value”"),
    ],
)
def test_each_mistake_has_its_sentence(text: str, read: object, problem: str) -> None:
    reader = fields(text)
    read(reader)  # type: ignore[operator]
    assert told(reader) == [problem]


def test_unknown_keys_are_told_with_the_nearest_known_one() -> None:
    read = fields("adress: x\nzzz: 1\nport: 2\n")
    assert read.text("address") is None and read.integer("port") == 2
    read.done()
    assert told(read) == [
        "1:1: the thing has no key “adress” (did you mean address?)",
        "2:1: the thing has no key “zzz” (it knows address, port)",
    ]


def test_readers_of_inner_mappings_note_into_the_same_list() -> None:
    problems: list[Problem] = []
    outer = Fields(parse_document(b"a: {b: [1]}", "f.yaml"), problems, Text("the thing"))
    outer.fields("a", Text("the inner thing")).text("b")
    assert [str(problem) for problem in problems] == ["f.yaml:1:8: “b” must be a text"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("1 kB", 1000),
        ("1 KB", 1000),
        ("1KiB", 1024),
        ("2 GB", 2 * 10**9),
        ("1.5 MiB", 1572864),
        ("1 TiB", 2**40),
        ("-1 MiB", None),
        ("1  MiB", None),
        ("1 mib", None),
        ("0.3 B", None),
        ("9999999 TiB", None),
        ("", None),
        ("1" * 100_000, None),
        ("１ MiB", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1 d", 86400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("90", None),
        ("-1s", None),
        ("1h30m", None),
        ("", None),
        ("1" * 100_000 + "s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_nearest_ignores_case_and_is_not_slowed_by_long_words() -> None:
    assert nearest("WEB01", ["web01", "db"]) == ("web01",)
    assert nearest("x" * 1_000_000, ["web01"]) == ()
