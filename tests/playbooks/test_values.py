"""Values in scripts (T1, T2, T13): ten thousand byte strings arrive unchanged in every shell, none is ever evaluated."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import tree_sitter
import tree_sitter_pwsh

from inventory.documents import ScalarNode, Style
from inventory.errors import InvalidFile, Place
from inventory.host import Host, Transport
from inventory.secret import Secret
from playbooks.params import LONGEST_TEXT
from playbooks.templates import NotRendered, compile_template
from playbooks.testing import FakeHands, StepScript, done, said
from playbooks.values import NoValue, beside_powershell, for_sh, mentioned, powershell_prologue
from remote.local import LocalSession
from remote.question import Question
from tests.hostile import EVALUATED, PAYLOADS, RAN, on_a_host
from tests.playbooks.playing import played, short

SOAK = bool(os.environ.get("LONGARM_SOAK"))
COUNT = 1_000_000 if SOAK else 10_000
BATCH = 500
SPECIAL = b"'\"\\$`!*?[]{}()<>|&;#~=%^ \t\n\r\x01\x1b\x7f-\x80\xc3\xa9\xe2\x80\x98\xff@"
HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
SHELLS = {"sh": ("/bin/sh",), "dash": ("dash",), "bash": ("bash",), "ash": ("busybox", "sh")}


def byte_strings(count: int = COUNT) -> Iterator[bytes]:
    """Yield random byte strings without NUL, half of them of what shells find special, then every hostile text."""
    chance = random.Random(13)
    for number in range(count):
        length = chance.randint(0, 16)
        if number % 2:
            yield bytes(chance.choice(SPECIAL) for _ in range(length))
        else:
            yield bytes(chance.randrange(1, 256) for _ in range(length))
    yield from (data for payload in PAYLOADS if b"\0" not in (data := on_a_host(payload)))


def batches() -> Iterator[list[bytes]]:
    """Yield the byte strings in lots that one question carries."""
    strings = list(byte_strings())
    yield from (strings[at : at + BATCH] for at in range(0, len(strings), BATCH))


@pytest.mark.parametrize("shell", SHELLS)
async def test_byte_strings_arrive_unchanged(shell: str) -> None:
    wanted = list(batches())
    names = [f"v{number}" for number in range(BATCH)]
    questions = []
    for number, lot in enumerate(wanted):
        values = {name: for_sh(data.decode("utf-8", "surrogateescape")) for name, data in zip(names, lot, strict=False)}
        script = "\n".join(f"printf '%s\\0' \"${name}\"" for name in values)
        pairs = tuple((name, str(value)) for name, value in mentioned(script, values).items())
        questions.append(Question(id=f"q{number}", script=script, variables=pairs, deadline_s=60, max_bytes=2**20))
    session = LocalSession(HERE, shell=SHELLS[shell])
    try:
        answers = await session.ask(questions, deadline_s=500)
    finally:
        await session.leave()
    assert [answers[question.id].stdout.split(b"\0")[:-1] for question in questions] == wanted
    assert not any(answer.stderr for answer in answers.values())


PWSH = tree_sitter.Language(tree_sitter_pwsh.language())
FOUND = tree_sitter.Query(
    PWSH, "(assignment_value) @value (verbatim_string_characters) @text (decimal_integer_literal) @number (ERROR) @error"
)


def literal(node: tree_sitter.Node) -> str:
    """Return the text that PowerShell makes of a literal."""
    text = (node.text or b"").decode("utf-8")
    if node.type == "decimal_integer_literal":
        return chr(int(text))
    inner = text[1:-1]
    for letter in "'\u2018\u2019\u201a\u201b":  # two of one kind are one
        inner = inner.replace(letter * 2, letter)
    return inner


def test_byte_strings_are_literals_of_powershell() -> None:
    parser = tree_sitter.Parser(PWSH)
    for lot in batches():
        values = {f"v{number}": data.decode("utf-8", "surrogateescape") for number, data in enumerate(lot)}
        root = parser.parse(powershell_prologue(values).encode("utf-8")).root_node
        assert not root.has_error
        found = tree_sitter.QueryCursor(FOUND).captures(root)
        parts = sorted([*found.get("text", []), *found.get("number", [])], key=lambda node: node.start_byte)
        assert len(root.children[0].named_children) == len(values), "one statement each, and nothing else"
        made = []
        for value in sorted(found["value"], key=lambda node: node.start_byte):
            mine = []
            while parts and parts[0].start_byte < value.end_byte:
                mine.append(literal(parts.pop(0)))
            made.append("".join(mine))
        assert made == list(values.values())


@pytest.mark.parametrize("value", ["a\0b", Secret("a\0b"), ["a\0b"]])
def test_nul_is_refused(value: object) -> None:
    with pytest.raises(NoValue, match="NUL"):
        for_sh(value)


def test_what_cannot_be_a_variable_is_refused() -> None:
    for value in ({"a": 1}, ["a\nb"], None):
        with pytest.raises(NoValue):
            for_sh(value)
    with pytest.raises(NoValue, match="a secret is no part of a script"):
        powershell_prologue({"token": Secret("hunter2")})
    with pytest.raises(NoValue, match="“token” has bytes that are no UTF-8"):
        beside_powershell({"token": Secret("a\udcff"), "name": "x"})
    assert {*beside_powershell({"token": Secret("пароль"), "name": "x"})} == {"token"}
    assert powershell_prologue({"wait": timedelta(seconds=90)}) == "[double]$wait = 90.0\n"


def test_hostile_values_come_alive_nowhere() -> None:
    RAN.unlink(missing_ok=True)
    steps = """\
  - {run: 'printf %s "$word"', retry: read, register: one, vars: {word: params.word}}
  - {template: {path: /tmp/x, content: "<{{ results.one.stdout }}>"}}
  - {run: 'echo "$heard"', when: results.one.stdout != "", vars: {heard: results.one.stdout}}
"""
    playbook = short(steps, "params: {word: {type: string}}\n")
    for payload in PAYLOADS:
        text = on_a_host(payload).decode("utf-8", "backslashreplace")
        if "\0" in text or not text or len(text) > LONGEST_TEXT:
            continue
        looks = [said(b"absent -:-:-:0\n\n"), said(f"file 644:root:root:{len(text.encode()) + 2}\ncontent\n<{text}>".encode())]
        script = {"s1": StepScript(looks=[said(text.encode())]), "s2": StepScript(looks=looks, changes=[done()])}
        hands = FakeHands(script=script | {"s3": StepScript(changes=[done()])})
        outcome = played(playbook, hands, params={"word": text})
        assert [step.state.value for step in outcome.steps] == ["ok", "changed", "changed"], payload
        put, echoed = (command for _, command in hands.sent)
        assert put.stdin == f"<{text}>".encode(), "shown as it is, evaluated never"
        assert echoed.script == 'echo "$heard"' and echoed.variables == {"heard": text}
        assert hands.asked[0].variables == (("word", text),)
    assert not RAN.exists()


def test_hostile_templates_are_refused_or_stay_text() -> None:
    shapes = {"params": {"a": "str"}}
    for payload in PAYLOADS:
        node = ScalarNode(Place("p.yaml", 1, 1), payload.text, Style.DOUBLE_QUOTED, payload.text)
        try:
            template = compile_template(node, shapes)
        except InvalidFile:
            continue
        with suppress(NotRendered):
            assert EVALUATED not in template.rendered({"params": {"a": "x"}}) or EVALUATED in payload.text


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ params.a.__class__.__mro__ }}",
        "{{ params['__init__'] }}",
        "{{ params.a | attr('__class__') }}",
        "{{ cycler.__init__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 1000000 }}",
        "{{ range(10 ** 9) }}",
        "{{ params.a.format('x') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% macro m() %}{% endmacro %}",
        "{% for a in [1] %}{% for b in [1] %}{% for c in [1] %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
)
def test_a_template_can_do_little(text: str) -> None:
    with pytest.raises(InvalidFile):
        compile_template(ScalarNode(Place("p.yaml", 1, 1), text, Style.DOUBLE_QUOTED, text), {"params": {"a": "str"}})
