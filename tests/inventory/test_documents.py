"""The YAML loader: what a file means, where everything stands, what is refused and where."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory.documents import (
    MAX_BYTES,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    Style,
    load_document,
    parse_document,
    plain,
)
from inventory.errors import InvalidFile, Problem
from inventory.host import Value


def read(text: str) -> Node:
    return parse_document(text.encode(), "f.yaml")


def problems(data: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(InvalidFile) as caught:
        parse_document(data.encode() if isinstance(data, str) else data, "f.yaml")
    return caught.value.problems


def entry(node: Node, *keys: str) -> ScalarNode:
    for key in keys:
        assert isinstance(node, MapNode)
        node = dict((name.text, value) for name, value in node.entries)[key]  # noqa: C402
    assert isinstance(node, ScalarNode)
    return node


CORE_SCHEMA: dict[str, Value] = {
    # YAML 1.2.2, section 10.3.2, and what YAML 1.1 would have made of it
    "null": None,
    "Null": None,
    "NULL": None,
    "~": None,
    "nULL": "nULL",
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "tRUE": "tRUE",
    "yes": "yes",
    "no": "no",
    "on": "on",
    "off": "off",
    "y": "y",
    "NO": "NO",
    "0": 0,
    "-0": 0,
    "+12": 12,
    "-19": -19,
    "010": 10,
    "0o10": 8,
    "0o18": "0o18",
    "-0o7": "-0o7",
    "0x3A": 58,
    "0xfg": "0xfg",
    "0b1010": "0b1010",
    "1_000": "1_000",
    "22:22": "22:22",
    "190:20:30": "190:20:30",
    "2026-11-22": "2026-11-22",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "0.": 0.0,
    "-0.0": -0.0,
    ".5": 0.5,
    "+.5": 0.5,
    "12e03": 12000.0,
    "-2E+05": -200000.0,
    "685.230_15e+03": "685.230_15e+03",
    "1e5": 100000.0,
    "1.2.3": "1.2.3",
    "1.": 1.0,
    ".": ".",
    "-": "-",
    "+": "+",
    "e5": "e5",
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "=": "=",
    "10.0.0.1": "10.0.0.1",
    "٣": "٣",  # a digit, but not one of YAML's
    "inf": "inf",
    "nan": "nan",
    ".info": ".info",
}


@pytest.mark.parametrize("text", [text for text in CORE_SCHEMA if text != "-"])
def test_a_plain_scalar_means_what_yaml_1_2_says(text: str) -> None:
    node = entry(read(f"key: {text}"), "key")
    assert (type(node.value), node.value) == (type(CORE_SCHEMA[text]), CORE_SCHEMA[text])
    assert node.text == text and node.style is Style.PLAIN
    for quote in "'\"":
        assert entry(read(f"key: {quote}{text}{quote}"), "key").value == text


def test_an_empty_value_and_an_empty_document_are_null() -> None:
    assert entry(read("key:"), "key").value is None
    for text in ("", "# a comment\n", "---\n", "--- # nothing\n...\n"):
        assert plain(read(text)) is None


def test_everything_has_its_place() -> None:
    node = read('# first line\nhosts:\n  "база":   [10, {a: b}]\n  c: |\n    text\n')
    assert isinstance(node, MapNode)
    (hosts_key, hosts), *_ = node.entries
    assert isinstance(hosts, MapNode)
    (base_key, base), (_, text) = hosts.entries
    assert isinstance(base, ListNode)
    pair = base.items[1]
    assert isinstance(pair, MapNode)
    nodes: list[Node] = [node, hosts_key, hosts, base_key, base, base.items[0], pair, pair.entries[0][1], text]
    assert [(node.place.line, node.place.column) for node in nodes] == [
        (2, 1), (2, 1), (3, 3), (3, 3), (3, 13), (3, 14), (3, 18), (3, 22), (4, 6),
    ]  # fmt: skip
    assert str(text.place) == "f.yaml:4:6"


def test_columns_count_characters_not_bytes() -> None:
    (problem,) = problems("ключ: 'значение' лишнее\n")
    assert str(problem.place) == "f.yaml:1:18"
    (problem,) = problems("я: 1\nя: 2")
    assert (problem.place.line, problem.place.column) == (2, 1)


@pytest.mark.parametrize(
    ("text", "offset", "line", "column"),
    [
        ("when: a > b", 4, 1, 11),
        ("when:   'a > b'", 4, 1, 14),
        ('when: "a > b"', 4, 1, 12),
        ("when: |\n    a >\n    b c\n", 6, 3, 7),
        ("when: |\n\n    a >\n    b c\n", 7, 4, 7),
        ("when: |2\n    a\n   b\n", 5, 3, 4),
        ("when: |\r\n  a\r\n  bc\r\n", 3, 3, 4),
    ],
)
def test_a_place_inside_a_text(text: str, offset: int, line: int, column: int) -> None:
    place = entry(read(text), "when").at(offset)
    assert (place.line, place.column) == (line, column)


@pytest.mark.parametrize("text", ['when: "a \\u003e b"', "when: >\n  a\n  b", "when: a\n  b", "when: &x a", "when: 'it''s'"])
def test_a_text_that_the_file_does_not_hold_literally_has_one_place(text: str) -> None:
    node = entry(read(text), "when")
    assert node.at(3) == node.place


def test_plain_values_are_read_only_and_share_what_an_alias_repeats() -> None:
    value = plain(read("a: &x [1, {b: 2.5}]\nc: *x\n"))
    assert isinstance(value, Mapping)
    assert value["a"] == (1, {"b": 2.5}) and value["a"] is value["c"]
    with pytest.raises(TypeError):
        value["a"] = 1  # type: ignore[index]


def test_keys_are_text_whatever_they_look_like() -> None:
    assert plain(read("no: 1\n010: 2\n~: 3\ntrue: 4\n1.10: 5")) == {"no": 1, "010": 2, "~": 3, "true": 4, "1.10": 5}


def laughs(levels: int, width: int) -> str:
    rows = (f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels))
    return "\n".join(["a0: &a0 [x]", *rows])


REFUSED: dict[str, tuple[str | bytes, str, str, str]] = {
    # name: (file, place, part of the problem, part of the hint)
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "3:1", "“a” stands here twice, first in line 1", "keep one"),
    "duplicate key, quoted": ("{a: 1, 'a': 2}", "1:8", "“a” stands here twice", ""),
    "cycle of a list": ("a: &a [1, *a]", "1:11", "“*a” stands inside “&a” of line 1: a cycle", ""),
    "cycle of a mapping": ("a: &a\n  b: *a", "2:6", "a cycle", ""),
    "laughs": (laughs(9, 9), "6:40", "the aliases stand for more than 100000 values", ""),
    "more laughs": (laughs(7, 16), "5:60", "the aliases stand for more than", ""),
    "many aliases": ("- &a x\n" + "- *a\n" * 101, "102:3", "more than 100 aliases", ""),
    "unknown alias": ("a: *b", "1:4", "nothing is named “&b”", "* needs quotes"),
    "alias as key": ("- &a x\n- *a : 1", "2:3", "a key must be text, not an alias", ""),
    "anchor twice": ("- &a x\n- &a y", "2:3", "“&a” is given twice, first in line 1", ""),
    "deep lists": ("[" * 65 + "]" * 65, "1:65", "nested deeper than 64 levels", ""),
    "deep mappings": ("{a: " * 65, "1:257", "nested deeper than 64 levels", ""),
    "deep by indentation": ("".join(" " * depth + "a:\n" for depth in range(500)), "65:65", "nested deeper", ""),
    "deep by dashes": ("- " * 1000 + "a", "1:129", "nested deeper", ""),
    "deep by aliases": (
        "- &a [[[[[[[[[[x]]]]]]]]]]\n" + "".join(f"- &{chr(98 + n)} [[[[[[*{chr(97 + n)}]]]]]]\n" for n in range(10)),
        "10:12", "nested deeper", "",
    ),
    "too big": (b" " * (MAX_BYTES + 1), "1:1", "bigger than 4 MiB", "split"),
    "too many values": ("[" + "a," * 1_500_000 + "]", "1:1", "more than 1000000 values", "split"),
    "two documents": ("a: 1\n---\nb: 2\n", "2:1", "a second document begins here", ""),
    "two empty documents": ("---\n---\n", "2:1", "a second document begins here", ""),
    "a tag of Python": ("!!python/object/apply:os.system ['id']", "1:1", "the tag “!!python/object/apply:os.system”", ""),
    "a tag": ("a: !secret x", "1:4", "the tag “!secret” is not read", "! needs quotes"),
    "a tag of YAML": ("a: !!str 1", "1:4", "the tag “!!str” is not read", ""),
    "a tag that names nothing": ("a: ! 1", "1:4", "the tag “!” is not read", ""),
    "a tag on a key": ("!x a: 1", "1:1", "the tag", ""),
    "an expression taken for a tag": ("when: !item.ok", "1:7", "the tag “!item.ok”", "needs quotes"),
    "merge key": ("- &a {x: 1}\n- {<<: *a}", "2:4", "merge keys (<<) are not read", ""),
    "another YAML": ("%YAML 1.1\n---\na: 1", "1:1", "YAML 1.1 is not read", ""),
    "list as key": ("? [a, b]\n: 1", "1:3", "a key must be text", ""),
    "mapping as key": ("{a: 1}: 2", "1:1", "a key must be text", "brace"),
    "jinja without quotes": ("name: {{ x }}", "1:8", "a key must be text", "needs quotes"),
    "no key": ("a: 1\n?\n: 2", "2:2", "there is no key before the colon", ""),
    "not a number": ("a: .nan", "1:4", "“.nan” is not a number that can be stored", "in quotes"),
    "infinity": ("a: -.INF", "1:4", "is not a number that can be stored", ""),
    "beyond a double": ("a: 1e999", "1:4", "is not a number that can be stored", ""),
    "beyond int64": ("a: 9223372036854775808", "1:4", "is not a number that can be stored", ""),
    "a long number": ("a: " + "9" * 100_000, "1:4", "is not a number that can be stored", ""),
    "a long hexadecimal number": ("a: 0x" + "f" * 100_000, "1:4", "is not a number that can be stored", ""),
    "cp1251": ("a: б".encode("cp1251"), "1:4", "not UTF-8", "UTF-8"),
    "cp1251 after UTF-8": ("б: 1\nб: ".encode() + b"\xff", "2:4", "not UTF-8", ""),
    "UTF-16": ("a: b".encode("utf-16"), "1:1", "not UTF-8", ""),
    "overlong UTF-8": (b"a: \xc0\xaf", "1:4", "not UTF-8", ""),
    "a surrogate": (b"a: \xed\xa0\x80", "1:4", "not UTF-8", ""),
    "NUL": ("a: b\0c", "1:5", "the control character U+0000", "delete it"),
    "NUL, escaped": ('a: "b\\0c"', "1:4", "NUL", ""),
    "NUL in a key": ('"b\\0c": 1', "1:1", "NUL", ""),
    "escape character": ("a: 1\nb: \x1b[2J", "2:4", "the control character U+001B", ""),
    "hidden order": ("a: x\u202e y", "1:5", "U+202E changes the order in which text is shown", ""),
    "a line end for libyaml only": ("# a comment\u2028a: 1", "1:12", "the control character U+2028", ""),
    "another line end": ("a: b\x85c: d", "1:5", "the control character U+0085", ""),
    "tab for indentation": ("a:\n\tb: 1", "2:1", "not valid YAML", "spaces, not with tabs"),
    "tab after spaces": ("a:\n  b: 1\n \tc: 2", "3:2", "not valid YAML", "spaces, not with tabs"),
    "two colons": ("a: b: c", "1:5", "mapping values are not allowed", "needs quotes"),
    "a condition": ("when: a ? b : c", "1:13", "not valid YAML", "needs quotes"),
    "bad indentation": ("a:\n    b: 1\n  c: 2", "3:3", "not valid YAML", ""),
    "text after quotes": ('a: "b" c', "1:8", "not valid YAML", "closing quote"),
    "no closing quote": ("a: 'b\nc: d\n", "3:1", "it began in line 1", "closing quote is missing"),
    "no closing bracket": ("a: [b\nc: d\n", "2:2", "not valid YAML", "close each brace and bracket"),
    "bad escape": ('a: "C:\\q"', "1:7", "unknown escape", "backslash twice"),
    "an at sign": ("a: @b", "1:4", "cannot start any token", "@ ` % needs quotes"),
    "a backtick": ("a: `b`", "1:4", "cannot start any token", "@ ` % needs quotes"),
    "an asterisk": ("a: *", "1:5", "scanning an alias", "* or & needs quotes"),
    "a comparison": ("a: > 5", "1:6", "not valid YAML", "> or | needs quotes"),
    "list after a key": ("a: - b", "1:4", "not valid YAML", "on its own line"),
    "a mapping in a list": ("- a\nb: 1", "2:1", "not valid YAML", "dashes"),
    "a directive": ("%FOO", "1:5", "not valid YAML", ""),
    "torn by a comma": ("{raise: a > max(b, c)}", "1:9", "a comma or a colon tore it apart", '"a > max(b, c)"'),
    "torn by a comma, no parentheses": ("x: {raise: a, b}", "1:15", "did a comma or a colon tear a text apart", "quotes"),
    "torn by a colon": ("{raise: x ? f(a : b)}", "1:9", "tore it apart", "quotes"),
    "torn into two pairs": ("{raise: f(a, b : c)}", "1:9", "tore it apart", "quotes"),
    "torn inside a list": ("[max(a, b)]", "1:2", "tore it apart", "quotes"),
    "torn by quotes": ('{raise: x == "a, b"}', "1:18", "tear a text apart", "quotes"),
    "no space after a colon": ("{a:1}", "1:2", "has no value", "space after the colon"),
    "a list in an expression": ("{when: x in [1, 2]}", "1:13", "not valid YAML", "needs quotes"),
    "a set": ("{a, b}", "1:2", "has no value", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_where(name: str) -> None:
    data, place, what, hint = REFUSED[name]
    found = problems(data)
    first = found[0]
    assert str(first.place) == f"f.yaml:{place}", found
    assert what in str(first.text), found
    assert hint in str(first.hint or ""), found


def test_every_mistake_that_does_not_stop_the_reading_is_told() -> None:
    found = problems("a: 1\na: 2\nb: .nan\nc: !x y\nd: {e: f(g, h)}\n<<: 1\ni: [j\n")
    assert [problem.place.line for problem in found] == [2, 3, 4, 5, 6, 8]
    assert len(problems("- .nan\n" * 5000)) == 100


def test_messages_are_harmless_whatever_the_file_holds() -> None:
    for text in ('"\\e[2J": 1\n"\\e[2J": 2', '"\\u202e": 1\n"\\u202e": 2', "a: 1\n? " + "x" * 500 + "\n? " + "x" * 500):
        found = problems(text)
        assert found, text
        for problem in found:
            assert str(problem).isprintable() and len(str(problem)) < 300


def test_what_is_not_torn_is_left_alone() -> None:
    text = "{a: 'max(b, c)', b: max(x), c: [f(x), 'g(', \"b, c\"], d: null, e: ~, f: '', 'g': {}}"
    assert plain(read(text))["b"] == "max(x)"  # type: ignore[index, call-overload]


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    node = parse_document(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n", "f.yaml")
    assert plain(node) == {"a": 1, "b": ("c",)}
    assert isinstance(node, MapNode) and node.entries[0][0].place.column == 1 and node.entries[1][0].place.line == 2


def test_a_hundred_aliases_and_64_levels_are_allowed() -> None:
    assert len(plain(read("- &a x\n" + "- *a\n" * 100))) == 101  # type: ignore[arg-type]
    assert read("[" * 64 + "]" * 64)


PROGRAM = """
import resource, sys
from inventory.documents import parse_document
from inventory.errors import InvalidFile
documents = {
    "cycle": "a: &a [*a]", "laughs": LAUGHS, "deep": "[" * 4_000_000, "maps": "{a: " * 1_000_000,
    "flat": "[" + "a," * 2_000_000, "dashes": "- " * 2_000_000, "rows": "-\\n" * 2_000_000, "same": "a: 1\\n" * 800_000,
    "tags": "- !x a\\n" * 500_000, "anchors": "- &a x\\n" * 500_000, "aliases": "- &a x\\n" + "- *a\\n" * 400_000,
    "quote": "'" + "x" * 4_000_000,
    "documents": "---\\n" * 1_000_000, "merge": "{<<: {}}\\n" * 400_000, "stars": "*" * 4_000_000,
    "colons": ":" * 4_000_000, "keys": "? " * 2_000_000, "exclamations": "!" * 4_000_000,
}
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 64 * 1024 * 1024,) * 2)
for name, text in documents.items():
    data = text.encode()
    del text
    try:
        parse_document(data, name)
    except InvalidFile:
        continue
    print(name)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the address space is read from /proc")
def test_hostile_files_are_refused_within_64_mib() -> None:
    program = PROGRAM.replace("LAUGHS", repr(laughs(9, 9)))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_files_that_cannot_be_read_are_problems_too(tmp_path: Path) -> None:
    pipe, shared = tmp_path / "pipe", tmp_path / "shared.yaml"
    os.mkfifo(pipe)
    shared.write_text("a: 1")
    shared.chmod(0o666)
    for path, what in {
        tmp_path / "missing.yaml": "cannot be read: No such file",
        tmp_path: "is not a regular file",
        pipe: "is not a regular file",
        Path("/dev/zero"): "is not a regular file",
        shared: "everyone on this machine may write this file (chmod o-w ",
        tmp_path / "nul\0": "cannot be read",
    }.items():
        with pytest.raises(InvalidFile, match="1:1: ") as caught:
            load_document(path)
        assert what in str(caught.value)
    shared.chmod(0o664)
    assert plain(load_document(shared)) == {"a": 1}


def test_an_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidFile, match="bigger than 4 MiB"):
        load_document(path)


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Cf"], exclude_characters="\ufffe\uffff\u2028\u2029\x85")
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    SCALARS | st.text(CHARACTERS),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(CHARACTERS), inner, max_size=5),
    max_leaves=20,
)


def thawed(value: Value) -> object:
    if isinstance(value, tuple):
        return [thawed(item) for item in value]
    return {key: thawed(item) for key, item in value.items()} if isinstance(value, Mapping) else value


@given(DOCUMENTS)
def test_json_reads_as_what_it_is(value: object) -> None:
    assert repr(thawed(plain(read(json.dumps(value, ensure_ascii=False))))) == repr(value)


YAML_PARTS = st.sampled_from(
    [*"[]{}:,-?&*!|>'\"%@`#~<=. \n\t\r\\a1б", ": ", "- ", "? ", "\n  ", "&a ", "*a", "<<: ", "--- ", "...\n", "!!str ",
     "\ufeff", "\u2028", "\x85", "\0", "\u202e", "|2\n", ">-\n", ".nan", "1e999", "%YAML 1.2\n", "0x", '"\\x', "\ud800"]
)  # fmt: skip


@given(st.binary() | st.lists(YAML_PARTS, max_size=40).map("".join).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xff\xfe")
@example(b"{" * 1000)
@example(b"? " * 1000)
@example(b"- " * 5000)
def test_any_bytes_give_a_node_or_an_invalid_file(data: bytes) -> None:
    try:
        node = parse_document(data, "f.yaml")
    except InvalidFile as error:
        assert error.problems
        lines = len(data.splitlines()) + 2
        assert all(1 <= problem.place.line <= lines and problem.place.column >= 1 for problem in error.problems)
    else:
        plain(node)
