"""A user's own probes: YAML with a script and one of five parsers; no Python is loaded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics.facts import FAULTS
from diagnostics.parsing import at, decimal, integer, numbered, text_of
from diagnostics.probe import Facts, ParseError, Probe, Redaction
from diagnostics.shapes import Misfit, Shape, fields_of, fit, shape_problems, type_of
from inventory.documents import ListNode, Node, load_document, plain
from inventory.errors import InvalidFile, Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform
from remote.answer import Answer
from remote.question import Privilege, Question

LINES: Shape = {"lines": [{"text": "str", "at": "at"}]}
MAX_PATTERN = 500
MAX_DEADLINE_S = 3600
STATUSES = range(256)
WINDOWS_STATUSES = range(-(2**31), 2**31)
"""With a sign, as PowerShell shows them."""
MAX_BYTES = 64 * 1024 * 1024
_PAIR = re.compile(r"\s*([^=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*")


def load_probes(path: Path) -> tuple[Probe, ...]:
    """Return the probes of a file, or raise InvalidFile with every mistake in it."""
    return read_probes(load_document(path))


def read_probes(node: Node) -> tuple[Probe, ...]:
    """Return the probes of a document: a list of mappings."""
    if not isinstance(node, ListNode):
        raise InvalidFile([Problem(place=node.place, text=Text("probes are a list"), hint=Text("- probe: app.release"))])
    problems: list[Problem] = []
    probes: dict[str, Probe] = {}
    for one in node.items:
        probe = _read_probe(one, problems)
        if probe is None:
            continue
        if probe.id in probes:
            problems.append(Problem(place=one.place, text=Text("there is a probe “{name}” already", name=probe.id)))
        probes[probe.id] = probe
    if problems:
        raise InvalidFile(problems)
    return tuple(probes.values())


def _read_probe(node: Node, problems: list[Problem]) -> Probe | None:
    before = len(problems)
    fields = Fields(node, problems, Text("a probe"))
    name = fields.text("probe", required=True)
    script = fields.text("script", required=True)
    deadline = fields.duration("deadline")
    max_bytes = fields.size("max_bytes")
    for key, value, most in (("deadline", deadline, MAX_DEADLINE_S), ("max_bytes", max_bytes, MAX_BYTES)):
        if value is not None and not 0 < value <= most:
            text = Text("“{key}” is more than 0 and at most {most}", key=key, most="1h" if key == "deadline" else "64 MiB")
            fields.problem(fields.place(key), text)
    privilege = fields.one_of("privilege", list(Privilege)) or Privilege.USER
    platforms = fields.texts("platforms") or (Platform.LINUX.value,)
    for wrong in set(platforms) - set(Platform):
        fields.problem(
            fields.place("platforms"), Text("there is no platform “{name}”", name=wrong), did_you_mean(wrong, Platform)
        )
    windows = Platform.WINDOWS.value in platforms
    if windows and len(set(platforms)) > 1:
        text = Text("a script is for PowerShell or for sh: on Windows and elsewhere a probe has two names")
        fields.problem(fields.place("platforms"), text, Text("platforms: [windows]"))
    statuses = _statuses(fields, WINDOWS_STATUSES if windows else STATUSES)
    redact = tuple(_redactions(fields))
    parse, shape = _parser(fields, name)
    summary = fields.text("summary") or ""
    fields.done()
    if len(problems) > before:
        return None
    try:
        question = Question(
            id=name,
            script=script,
            shell="powershell" if windows else "sh",
            deadline_s=math.ceil(deadline) if deadline else 10,
            max_bytes=max_bytes or 256 * 1024,
            privilege=Privilege(privilege),
            ok_statuses=statuses,
        )
    except ValueError as error:
        fields.problem(fields.place("probe"), Text("{reason}", reason=str(error)))
        return None
    return Probe(question=question, parse=parse, shape=shape, redact=redact, platforms=platforms, summary=summary)


def _statuses(fields: Fields, known: range) -> frozenset[int]:
    found = set()
    for node in fields.items("ok_statuses"):
        value = plain(node)
        if isinstance(value, bool) or not isinstance(value, int) or value not in known:
            text = Text("an exit status is a number from {first} to {last}", first=known[0], last=known[-1])
            fields.problem(node.place, text)
        else:
            found.add(value)
    return frozenset(found) or frozenset({0})


def _redactions(fields: Fields) -> list[Redaction]:
    found = []
    for text in fields.texts("redact"):
        if len(text) > MAX_PATTERN:
            limit = Text("a regular expression of more than {limit} characters", limit=MAX_PATTERN)
            fields.problem(fields.place("redact"), limit)
        try:
            found.append(Redaction(pattern=re.compile(text[:MAX_PATTERN].encode())))
        except (re.error, OverflowError, RecursionError) as error:
            reason = Text("not a regular expression: {reason}", reason=str(error))
            fields.problem(fields.place("redact"), reason)
    return found


def _parser(fields: Fields, question: str) -> tuple[Callable[[Answer], Facts] | None, Shape]:
    kind = fields.text("parse") or "none"
    node = fields.node("shape")
    shape: Any = plain(node) if node is not None else None
    for problem in shape_problems(shape) if shape is not None else ():
        fields.problem(fields.place("shape"), Text("{problem}", problem=problem), Text("str, int, float, bool, any, at"))
    if kind == "none":
        return None, {}
    if kind == "lines":
        return OwnParser(question=question, kind=kind, shape=LINES), LINES
    name = kind.removeprefix("jc:")
    if kind.startswith("jc:"):
        if name.replace("-", "_") not in jc_parsers():
            fields.problem(
                fields.place("parse"), Text("jc has no parser “{name}”", name=name), did_you_mean(name, jc_parsers())
            )
    elif kind not in READERS:
        hint = Text("none, lines, keyvalue, json or jc:NAME")
        fields.problem(fields.place("parse"), Text("there is no parser “{kind}”", kind=kind), hint)
    if not isinstance(shape, Mapping):
        fields.problem(
            fields.place("shape"), Text("“shape” declares the facts: names and types"), Text("shape: {version: str}")
        )
        return None, {}
    return OwnParser(question=question, kind=kind, shape=shape), shape


def jc_parsers() -> tuple[str, ...]:
    """Return the names of jc's parsers, those of streams left out."""
    import jc  # 2 to 16 ms that only its users pay

    return tuple(name for name in jc.parser_mod_list(show_hidden=True) if not name.endswith("_s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnParser:
    """The parser of a user's probe: a reader by name, then the declared shape."""

    question: str
    kind: str
    shape: Shape = field(hash=False)

    def __call__(self, answer: Answer) -> Facts:
        """Return the declared facts, or raise ParseError with what was not understood."""
        try:
            facts = self.read(answer)
            fitted: Facts = fit(facts, self.shape, "facts")
        except Misfit as misfit:
            raise ParseError(self.question, str(misfit).encode()) from None
        except (*FAULTS, json.JSONDecodeError) as error:
            raise ParseError(self.question, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")) from None
        return fitted

    def read(self, answer: Answer) -> Any:
        """Return what the reader of this kind makes of the text, before the shape is fitted."""
        if self.kind.startswith("jc:"):
            return _jc(self.question, self.kind.removeprefix("jc:"), answer)
        return READERS[self.kind](self.question, answer, self.shape)


def _lines(question: str, answer: Answer, _: Shape) -> Facts:
    return {"lines": [{"text": line.text, "at": at(question, line.number)} for line in numbered(answer.stdout)]}


def _keyvalue(question: str, answer: Answer, shape: Shape) -> Facts:
    found: dict[str, Any] = {}
    fields = fields_of(shape)
    for line in numbered(answer.stdout):
        text = line.text
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        match = _PAIR.fullmatch(text)
        if not match or match[1] in found:
            raise ParseError(question, line.data)
        found[match[1]] = _typed(question, match[2], fields.get(match[1], fields.get("*", "str")))
    return found


def _typed(question: str, text: str, shape: Shape) -> Any:
    kind = type_of(shape)
    if kind == "int":
        return integer(question, text)
    if kind == "float":
        return decimal(question, text)
    if kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ParseError(question, text.encode())
        return _BOOLEANS[text.lower()]
    return text.removeprefix('"').removesuffix('"') if text.startswith('"') and text.endswith('"') and len(text) > 1 else text


_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def _json(question: str, answer: Answer, _: Shape) -> Any:
    def refused(name: str) -> None:
        raise ParseError(question, name.encode())

    value = json.loads(answer.stdout, parse_constant=refused)
    return {"items": value} if isinstance(value, list) else value


def _jc(question: str, name: str, answer: Answer) -> Any:
    import jc  # 2 to 16 ms that only its users pay

    text = text_of(answer.stdout)
    try:
        value = jc.parse(name, text, quiet=True)
    except Exception as error:  # noqa: BLE001 198 parsers that raise what they like: not understood
        raise ParseError(question, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")) from None
    if not value and text.strip():
        raise ParseError(question, answer.stdout)
    return {"items": value} if isinstance(value, list) else value


READERS: Mapping[str, Callable[[str, Answer, Shape], Any]] = {"lines": _lines, "keyvalue": _keyvalue, "json": _json}
"""How the text of a user's probe is read, by the word after `parse:`."""
