"""Parts that parsers are made of: the marks by which a script reports each source it asked, numbered lines, strict numbers.

A script that asks more than one source begins with `ASKING` and asks each by name:

    ask_file memory /proc/meminfo          absent where the file is not there, else `cat`
    ask_tool units systemctl show '*'      absent where the tool is not there
    ask mounts list_mounts                 any command or function of the script
    absent journal "no journal here"       said by the script itself

Each source is fenced on stdout and stderr by lines that carry a UUID read from the kernel for this one script
(`/proc/sys/kernel/random/uuid`): what a source prints was written before that number existed, so no line of it
can pass for a mark. Everything is built in (no process more than the sources themselves); a source without its
end mark, or a script without its head, is not understood, never empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from diagnostics.probe import NothingThere, ParseError, SourceFailed
from remote.answer import Answer

ASKING = r"""
read -r _mark </proc/sys/kernel/random/uuid || return 125
printf '@longarm %s\n' "$_mark"; printf '@longarm %s\n' "$_mark" >&2
ask() {
  _name=$1; shift
  printf '@%s source %s\n' "$_mark" "$_name"; printf '@%s source %s\n' "$_mark" "$_name" >&2
  "$@" </dev/null; _status=$?
  printf '\n@%s end %s\n' "$_mark" "$_status"; printf '\n@%s end %s\n' "$_mark" "$_status" >&2
}
absent() { printf '@%s absent %s %s\n' "$_mark" "$1" "$2"; }
ask_file() { if [ -e "$2" ]; then ask "$1" cat "$2"; else absent "$1" "$2"; fi; }
ask_tool() { if command -v "$2" >/dev/null 2>&1; then ask "$@"; else absent "$1" "$2"; fi; }
"""
"""What a script with several sources begins with; dash, bash and busybox ash."""

SHORT = r"""
short() { # these files as cat shows them, by the shell itself where they are short: they are in $said
  said=''
  for file; do
    [ -r "$file" ] || { cat "$@"; return; }
    if [ "${BASH_VERSION-}" ]; then # reads blocks, and goes back after each line: the kernel would make all of it once more
      # shellcheck disable=SC3045 # bash has -d
      IFS= read -r -d '' line <"$file"
      said=$said$line
    else # byte by byte
      while IFS= read -r line || [ -n "$line" ]; do
        said=$said$line$nl
        [ "${#said}" -lt 2048 ] || break
      done <"$file"
    fi
    [ "${#said}" -lt 2048 ] || { cat "$@"; return; }
  done
  if [ -n "$said" ]; then printf %s "$said"; else cat "$@"; fi # which says why there is nothing
}
"""
"""What stands for `cat` where files are mostly short: 2 KiB take dash 0.3 ms and busybox 0.7, a process 0.8. Wants `nl`.

Not for numbers under /proc/sys, which end after their first byte, nor for what the kernel makes anew for each line of it
(/proc/vmstat, on hosts with many processors).
"""

AWK = "if command -v mawk >/dev/null; then awk='mawk'; else awk='awk'; fi\n"
"""The cheaper awk, in `$awk`: gawk takes a host 2 ms to start, mawk 0.9."""

_HEAD = re.compile(rb"@longarm ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,30})?")
_END = re.compile(rb"end (\d{1,3})")
INT64 = range(-(2**63), 2**63)
UNSEEN = "unseen"
"""Under this name an item of a list says that it stands for what could not be seen, and why."""


def at(question: str, first: int, last: int | None = None, *, stream: str = "stdout") -> dict[str, str | int]:
    """Return where a fact stands: what `cite` of a check takes. Lines count from 1, `last` is included."""
    return {"question": question, "stream": stream, "first": first, "last": first if last is None else last}


def whole(question: str, answer: Answer) -> dict[str, str | int]:
    """Return all of an answer's stdout as a place.

    >>> from remote.answer import answered
    >>> whole("cpu.load", answered(b"0.20 0.18 0.12 1/80 11206\\n"))
    {'question': 'cpu.load', 'stream': 'stdout', 'first': 1, 'last': 1}
    """
    return at(question, 1, max(1, len(answer.stdout.splitlines())))


def text_of(data: bytes) -> str:
    r"""Return `data` as text that any sink can take: bytes that are not UTF-8 show as `\xff`.

    >>> text_of(b"caf\xe9")
    'caf\\xe9'
    """
    return data.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of stdout without its end, and its number in the whole answer, from 1."""

    number: int
    data: bytes

    @property
    def text(self) -> str:
        """Return the line as text, never failing."""
        return text_of(self.data)


def unseen(source: Source, what: str, line: int | None = None) -> dict[str, Any]:
    """Return what a parser puts into a list in the place of items that the host has, or may have, and that were not seen.

    A check that comes to it is not clear: it tells the source and `what`. The shape declares `"unseen": "str?"`.
    """
    place = source.at if line is None else at(source.question, line)
    return {UNSEEN: f"{source.name}: {what}", "at": place}


def numbered(data: bytes, first: int = 1) -> tuple[Line, ...]:
    r"""Return the lines of `data`, split at `\n` only, numbered from `first`.

    >>> [line.number for line in numbered(b"a\nb\n")]
    [1, 2]
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return tuple(Line(first + index, line) for index, line in enumerate(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one source of a script printed and how it ended."""

    question: str
    name: str
    status: int | None
    """None: the source is not on this host, `missing` says what."""
    lines: tuple[Line, ...] = ()
    stderr: bytes = b""
    missing: str = ""

    @property
    def data(self) -> bytes:
        """Return the lines as one piece."""
        return b"".join(line.data + b"\n" for line in self.lines)

    @property
    def at(self) -> dict[str, str | int]:
        """Return the place of all its lines (of its mark, where it printed none)."""
        if not self.lines:
            raise ParseError(self.question, b"nothing to cite in source " + self.name.encode())
        return at(self.question, self.lines[0].number, self.lines[-1].number)

    def usable(self, *ok: int) -> Source:
        """Return this source if it ended with 0 or a status of `ok`.

        Raises NothingThere where it is not on this host, SourceFailed where it ended otherwise.
        """
        if self.status is None:
            raise NothingThere(self.question, self.missing or self.name)
        if self.status != 0 and self.status not in ok:
            said = text_of(self.stderr.strip()[:200])
            raise SourceFailed(self.question, self.name, f"status {self.status}" + (f": {said}" if said else ""))
        return self


@dataclass(frozen=True, slots=True)
class Sources(Mapping[str, Source]):
    """The sources of one answer by name; one that the script should have asked and did not is a ParseError."""

    question: str
    found: Mapping[str, Source]

    def __getitem__(self, name: str) -> Source:
        if name not in self.found:
            raise ParseError(self.question, f"source {name} is missing".encode())
        return self.found[name]

    def __contains__(self, name: object) -> bool:
        return name in self.found

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


def read_sources(question: str, answer: Answer) -> Sources:
    """Return the sources that a script begun with `ASKING` reported; raise ParseError where the marks do not add up."""
    lines = numbered(answer.stdout)
    if not lines or not (head := _HEAD.fullmatch(lines[0].data)):
        raise ParseError(question, answer.stdout)
    mark = b"@" + head[1] + b" "
    stderr = _stderr_by_source(answer.stderr, mark)
    found: dict[str, Source] = {}
    rest = iter(lines[1:])
    for line in rest:
        source = _source(question, mark, line, rest)
        if source.name in found:
            raise ParseError(question, line.data)
        found[source.name] = replace(source, stderr=stderr.get(source.name, b""))
    return Sources(question, found)


def _source(question: str, mark: bytes, line: Line, rest: Iterator[Line]) -> Source:
    if not line.data.startswith(mark):
        raise ParseError(question, line.data)
    word, _, name = line.data.removeprefix(mark).partition(b" ")
    if word == b"absent":
        name, _, what = name.partition(b" ")
        return Source(question=question, name=text_of(name), status=None, missing=text_of(what))
    if word != b"source":
        raise ParseError(question, line.data)
    body, status = _until_end(question, mark, rest)
    return Source(question=question, name=text_of(name), status=status, lines=body)


def _until_end(question: str, mark: bytes, rest: Iterable[Line]) -> tuple[tuple[Line, ...], int]:
    """Return the lines before the end mark and the status on it; the mark's own newline is not the source's."""
    body: list[Line] = []
    for line in rest:
        if line.data.startswith(mark):
            if not (match := _END.fullmatch(line.data.removeprefix(mark))) or not body:
                raise ParseError(question, line.data)
            if not body[-1].data:  # the newline before the mark, after text that ended in one of its own
                body.pop()
            return tuple(body), int(match[1])
        body.append(line)
    raise ParseError(question, b"a source has no end: " + (body[-1].data if body else b""))


def _stderr_by_source(stderr: bytes, mark: bytes) -> dict[str, bytes]:
    """Return what each source wrote to stderr; words for people only, so a gap in the marks is no error."""
    said: dict[str, bytes] = {}
    for piece in stderr.split(mark + b"source ")[1:]:
        name, _, text = piece.partition(b"\n")
        said[text_of(name)] = text.partition(b"\n" + mark)[0]
    return said


def integer(question: str, data: bytes | str) -> int:
    """Return a decimal integer of at most 64 bits; raise ParseError for anything else (no `1_0`, spaces or signs but `-`).

    >>> integer("mem.info", b"16384")
    16384
    """
    text = data if isinstance(data, str) else text_of(data)
    if not _INTEGER.fullmatch(text) or int(text) not in INT64:
        raise ParseError(question, text.encode())
    return int(text)


def decimal(question: str, data: bytes | str) -> float:
    """Return a decimal number; raise ParseError for anything else (`nan`, `1e5`, a decimal comma).

    >>> decimal("cpu.load", b"0.20")
    0.2
    """
    text = data if isinstance(data, str) else text_of(data)
    if not _DECIMAL.fullmatch(text):
        raise ParseError(question, text.encode())
    return float(text)
