"""What libyaml says about a broken file, made into a place, a sentence and a hint for the one who wrote it."""

from __future__ import annotations

import re
import unicodedata

import yaml

from inventory.errors import Text

_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # YAML 1.2, c-printable, without U+0085
    "|[\u2028\u2029]"  # like U+0085, line ends for libyaml (they would end a comment), but for no editor
    "|[\u202a-\u202e\u2066-\u2069]"  # they make a file look different from what it says (CVE-2021-42574)
)
_QUOTE = Text("put a text with special characters in quotes")
_HINTS: tuple[tuple[str, Text], ...] = (
    ("found a tab character", Text("indent with spaces, not with tabs")),
    ("mapping values are not allowed", Text("a text that contains “: ” needs quotes; or the line is indented too far")),
    ("block sequence entries are not allowed", Text("begin the list on its own line")),
    ("found character that cannot start any token", Text("a text that begins with one of @ ` % needs quotes")),
    ("unknown escape character", Text("in double quotes write a backslash twice, or use single quotes")),
    ("did not find expected alphabetic or numeric character", Text("a text that begins with * or & needs quotes")),
    ("did not find expected comment or line break", Text("a text that begins with > or | needs quotes")),
    ("while scanning a quoted scalar", Text("a closing quote is missing")),
    ("could not find expected ':'", Text("a colon and a space must follow each key")),
    (
        "while parsing a block mapping",
        Text("all keys of a mapping start in the same column; text after a closing quote is not allowed"),
    ),
    ("while parsing a block collection", Text("all dashes of a list stand in the same column")),
    ("while scanning a tag", Text("a text that begins with ! needs quotes")),
    ("while parsing a node", Text("a text that begins with ! needs quotes")),
)


def forbidden_character(text: str) -> tuple[int, Text, Text] | None:
    """Return offset, problem and hint of the first character that YAML or we refuse, None if there is none."""
    if not (match := _FORBIDDEN.search(text)):
        return None
    code = f"U+{ord(match[0]):04X}"
    if unicodedata.category(match[0]) == "Cf":
        what = Text("the invisible character {code} changes the order in which text is shown", code=code)
    else:
        what = Text("the file contains the control character {code}", code=code)
    return match.start(), what, Text("delete it, or write it as an escape in double quotes")


def explain_syntax_error(error: yaml.YAMLError, text: str, *, in_flow: bool) -> tuple[int, int, Text, Text | None]:
    """Return line, column (in characters, from 1), problem and hint for what libyaml refused."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return 1, 1, Text("not valid YAML: {reason}", reason=str(error)), None
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    what = Text("not valid YAML: {reason}", reason=reason)
    if error.context_mark is not None and error.context_mark.line != mark.line:
        what = Text("not valid YAML: {reason} (it began in line {line})", reason=reason, line=error.context_mark.line + 1)
    return mark.line + 1, mark.column + 1, what, _hint(reason, text[mark.index : mark.index + 1], in_flow=in_flow)


def _hint(reason: str, character: str, *, in_flow: bool) -> Text | None:
    if character == "\t":
        return Text("indent with spaces, not with tabs")
    if in_flow or "flow" in reason:
        return Text(
            "close each brace and bracket; inside them a text with a comma, colon, brace, bracket or quote needs quotes"
        )
    return next((hint for part, hint in _HINTS if part in reason), _QUOTE)
