"""Names: whether the host can turn names into addresses, as its programs do it."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, SHORT, Source, at, integer, read_sources, text_of
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + SHORT
    + r"""
read -r own </proc/sys/kernel/hostname || own=''
set -f
lookups() { # all at once: a dead name server keeps each of them waiting
  set -- && running=''
  for name in $names $own; do
    # 2 s and two tries for each server, or three dead ones would take a minute (resolv.conf(5), RES_OPTIONS)
    # shellcheck disable=SC2086  # the database: one word, or none
    RES_OPTIONS='timeout:2 attempts:2' "$resolver" $database "$name" >/dev/null 2>&1 &
    running="$running $!"
    set -- "$@" "$!" "$name"
  done
  # shellcheck disable=SC2086  # process ids, split on purpose
  ( trap 'kill "$!"; exit' TERM; sleep 15 & wait "$!"; kill $running ) >/dev/null 2>&1 &
  watch=$!
  while [ "$#" -gt 0 ]; do
    wait "$1"; printf '%s %s\n' "$?" "$2"
    shift 2
  done
  kill "$watch" 2>/dev/null || : # it ended by itself, after 15 s
}
hosts_line() {
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in hosts:*) printf '%s\n' "$line" ;; esac
  done </etc/nsswitch.conf
}
if [ -e /etc/resolv.conf ]; then ask resolv short /etc/resolv.conf; else absent resolv /etc/resolv.conf; fi
if [ -r /etc/nsswitch.conf ]; then ask nsswitch hosts_line
else absent nsswitch /etc/nsswitch.conf
fi
database=''
if command -v getent >/dev/null; then resolver=getent database=ahosts; ask lookups lookups
elif command -v nslookup >/dev/null; then # which does not read /etc/hosts, where the own name stands
  resolver=nslookup own=''
  ask lookups lookups
else absent lookups 'getent or nslookup'
fi
if [ -z "$own" ]; then absent own 'a lookup of the own name'; else ask own echo "$own"; fi
"""
)
_LOOKUP = re.compile(rb"(\d{1,3}) (\S+)")
_NO_ANSWER = frozenset({137, 143})
"""Killed by the script's own watch after 15 s."""
_GETENT_ENDS = frozenset({0, 2}) | _NO_ANSWER
"""Found, not found (getent(1)), no answer. It alone is asked for the own name."""
_NSLOOKUP_ENDS = frozenset({0, 1}) | _NO_ANSWER


def parse_names(answer: Answer) -> Facts:
    r"""Return the configuration of the resolver and how the lookup of each name ended.

    The names are those that the question was given and the host's own. A lookup goes the way of the host's programs
    (getent(1), hence nsswitch.conf), or straight to DNS where there is only nslookup. `declared` and `failed` count
    without the own name, which a file usually answers. Raises SourceFailed where a lookup ended in no way that says
    whether the name resolves.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_names(answered(f'''@longarm {mark[1:]}
    ... {mark} source resolv
    ... search nord.example
    ... nameserver 10.77.0.53
    ...
    ... {mark} end 0
    ... {mark} source nsswitch
    ... hosts:          files dns
    ...
    ... {mark} end 0
    ... {mark} source lookups
    ... 2 erp.nord.example
    ... 0 web1
    ...
    ... {mark} end 0
    ... {mark} source own
    ... web1
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["nameservers"], facts["declared"], facts["failed"], facts["failed_names"]
    (['10.77.0.53'], 1, 1, 'erp.nord.example')
    """
    sources = read_sources("dns.conf", answer)
    if sources["lookups"].status is None:
        raise NothingThere("dns.conf", sources["lookups"].missing)
    own = _own(sources["own"])
    ends = _GETENT_ENDS if own else _NSLOOKUP_ENDS
    lookups = [_lookup(line.data, line.number, own, ends) for line in sources["lookups"].usable().lines]
    declared = [lookup for lookup in lookups if not lookup["own"]]
    failed = [lookup["name"] for lookup in declared if not lookup["resolved"]]
    resolv = _words(sources["resolv"])
    return {
        "nameservers": [words[1] for words in resolv if words[0] == "nameserver" and len(words) > 1],
        "search": [word for words in resolv if words[0] in ("search", "domain") for word in words[1:]],
        "hosts": " ".join(word for words in _words(sources["nsswitch"]) for word in words[1:]),
        "lookups": lookups,
        "declared": len(declared),
        "failed": len(failed),
        "failed_names": ", ".join(failed),
        "config_at": sources["resolv"].at if resolv else at("dns.conf", 1),
        "at": sources["lookups"].at if lookups else at("dns.conf", 1),
    }


def _own(source: Source) -> str:
    """Return the host's own name, empty where it was not looked up."""
    if source.status is None:
        return ""
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0].text


def _lookup(line: bytes, number: int, own: str, ends: frozenset[int]) -> dict[str, Any]:
    if not (match := _LOOKUP.fullmatch(line)):
        raise ParseError("dns.conf", line)
    status, name = integer("dns.conf", match[1]), text_of(match[2])
    if status not in ends:
        raise SourceFailed("dns.conf", "lookups", f"{name}: status {status}")
    return {
        "name": name,
        "own": name == own,
        "resolved": status == 0,
        "status": status,
        "answered": status not in _NO_ANSWER,
        "at": at("dns.conf", number),
    }


def _words(source: Source) -> list[list[str]]:
    """Return the words of each line that is no comment; none where the file is not there."""
    if source.status is None:
        return []
    lines = (line.text.split("#")[0].split(";")[0].split() for line in source.usable().lines)
    return [words for words in lines if words]


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="dns.conf", script=_SCRIPT, deadline_s=20, variables=(("names", ""),)),
        parse=parse_names,
        summary="Which name servers the host asks, and whether the names that it needs resolve",
        shape={
            "nameservers": ["str"],
            "search": ["str"],
            "hosts": "str",
            "lookups": [{"name": "str", "own": "bool", "resolved": "bool", "status": "int", "answered": "bool", "at": "at"}],
            "declared": "int",
            "failed": "int",
            "failed_names": "str",
            "config_at": "at",
            "at": "at",
        },
    ),
)
