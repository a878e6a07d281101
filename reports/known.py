"""Reasons that longarm itself wrote into evidence and diagnoses, known again and so told in the reader's language.

Evidence keeps why an answer is missing as plain words, the host's or ours, and stays what it is to the byte. So that
a report can say ours in Russian, they stand here once more, as the templates that they were filled from: words that
fit one become that sentence with its parameters, all others are the host's and stay as they are. Nothing is decided
by it: a host that sends a sentence of ours gets it translated. A test holds the templates against the source.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from string import Formatter
from typing import Final

from inventory.errors import Text
from reports.visible import shortened

LONGEST_PARAM: Final = 300
LONGEST_KNOWN: Final = 2000
"""Longer words are the host's: none of ours is, and matching stays cheap."""
MOST_PARTS: Final = 8

KNOWN: Final = (
    # remote: why a question brought nothing, or less than all
    Text("the host did not start a command within {number} s"),
    Text("the host did not start a command: {words}"),
    Text("the host's runner ended before this question"),
    Text("the host closed the streams early"),
    Text("the host sent more than all caps together"),
    Text("no end after {number} s"),
    Text("given up: {name} was past its deadline and the host did not end it"),
    Text("past its deadline on a host without /proc: what it started may still run"),
    Text("its exit status did not arrive"),
    Text("nothing on the host read its stderr"),
    Text("its frames are not complete"),
    Text("not a shell of this transport: {name}"),
    Text("{name} ended with status {number}"),
    Text("the password for {name} was rejected"),
    Text("{name} allows the user some commands as {user}, and a shell is none of them"),
    Text("the user may not become {user} by {name}"),
    Text("{name} insists on a terminal"),
    Text("{name} gave no verdict within {number} s"),
    Text("the password is expired and has to be changed first"),
    Text("the account is expired or locked"),
    Text("{name} asks for a password, and the credential names none"),
    Text("{name} asks in words of its own, so nothing was sent"),
    Text("{name} lets the shell start no program (noexec)"),
    Text("{name} has no power there (no new privileges, nosuid)"),
    Text("the rules of {name} cannot be used"),
    Text("{user} has no shell that {name} starts"),
    Text("there is no user {user}"),
    Text("there is no {name}"),
    Text("the inventory says that no other user is become there"),
    Text("the inventory says to become {user}, which is not root"),
    Text("{name} asks for a password: {words}"),
    Text("not tried: credential {name} was rejected {number} times in this run"),
    Text("{name} did not take the password on this host before"),
    Text("not tried: credential {name} was rejected {number} times within half an hour"),
    Text("credential {name} is for another user than {user}"),
    Text("no verdict of other hosts on it came in time"),
    Text("closed by the host"),
    Text("no time was left"),
    Text("it dropped the one before too"),
    Text("a password or code that may not go out twice, or a host that sent too much"),
    Text("the address is not known ({words})"),
    Text("no shell: {words}"),
    Text("the shell ended with status {number}"),
    Text("the shell was killed by signal {number}"),
    # remote/windows
    Text("the user has no administrator's rights here"),
    Text("the deadline of the whole passed before its turn"),
    Text("the deadline passed"),
    Text("the host's script ended early"),
    Text("the host could not ask it: {words}"),
    Text("a part of what it said was lost on the way"),
    Text("it said more than it was asked for"),
    Text("its digest does not hold"),
    Text("the user may log in, but open no shell of this kind"),
    Text("it does not know the shell any more: it restarted, or the shell was idle for too long"),
    Text("this user has as many shells as the host allows (MaxShellsPerUser)"),
    Text("this user has as many operations as the host allows (MaxConcurrentOperationsPerUser)"),
    Text("more users have shells than the host allows (MaxConcurrentUsers)"),
    Text("it answers {status}"),
    Text("it answers with the fault {number}"),
    Text("what the host sent is not WS-Management: {reason}"),
    Text("it answers without a seal: who stands between may have read it, and may have written it"),
    # diagnostics: why there are no facts
    Text("not asked"),
    Text("a fault of the parser: {words}"),
    Text("status {number}"),
    Text("{name}: status {number}"),
    Text("reaches back only {number} s, not to the boot"),
    Text("no kernel message can be seen"),
    Text("source {name} is missing"),
    Text("a source has no end: {words}"),
    Text("{name} was asked for and is not there"),
    Text("mountinfo is empty"),
    Text("local filesystems were not asked for their space"),
    Text("/boot may not be read"),
    Text("/var/log/btmp may not be read"),
    Text("the system's journal may not be read"),
    Text("no system journal that may be read"),
    Text("counters went back: {words}"),
    Text("the last 2,000 failures do not reach back a day"),
    Text("{number} lines were left out: more than 40 have some of this kind"),
    Text("the last 4,000 restarts do not reach back an hour"),
    Text("more than 20 services were started again"),
    Text("more services were started again"),
    Text("more than 400 processes have many descriptors"),
    Text("more than {number} files are large"),
    Text("{name} is packed"),
    Text("may not be looked into"),
    Text("is a link, and what it leads to was left alone"),
    Text("no certificate could be read from {words}"),
    # diagnostics: what is not on a host
    Text("systemd as PID 1"),
    Text("chronyc, ntpq or timedatectl"),
    Text("getent or nslookup"),
    Text("dmesg or journalctl"),
    Text("a local filesystem"),
    Text("a filesystem on a disk"),
    Text("a package manager that marks it"),
    Text("a kernel log of its own (a container)"),
    Text("a software RAID array"),
    Text("a network interface"),
    Text("an Ethernet interface that is switched on"),
    Text("a network interface besides loopback"),
    Text("a certificate in the folders of the usual services"),
    Text("anything where services keep certificates"),
    # diagnostics: what an expression could not decide
    Text("{words}: {number} items; a list of at most {most} items is judged"),
    Text("{words}: {name}; a list of at most {most} items is judged"),
    Text("{words}: {name} is neither true nor false"),
    Text("{words}: {name} is no single value"),
    Text("{number} items, {pairs} pairs: at most {most} and {most_pairs}"),
    Text("{name} has no threshold “{threshold}” (it has {words})"),
    Text("the threshold {name} is at least {number}: the host tells of nothing below"),
    Text("the threshold {name} is a whole number"),
    Text("the threshold {name} is a number"),
)
"""The more special of two that fit stands first."""

_NUMBER: Final = r"-?\d[\d.e+-]{0,30}"
_FIELDS: Final = {"number": _NUMBER, "most": _NUMBER, "pairs": _NUMBER, "most_pairs": _NUMBER, "words": r"(?s:.+)"}
_NAME: Final = r"[^\s:]+"


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(_pattern(text.template)), text.template) for text in KNOWN)


def _pattern(template: str) -> str:
    r"""Return what words that were filled into a template look like.

    >>> _pattern("source {name} is missing")
    'source\\ (?P<name>[^\\s:]+)\\ is\\ missing'
    """
    parts = []
    for literal, field, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if field:
            parts.append(f"(?P<{field}>{_FIELDS.get(field, _NAME)})")
    return "".join(parts)


@lru_cache(maxsize=4096)
def known(words: str) -> Text | str:
    """Return the sentence of ours that `words` are, with what a host said behind it; other words shortened as they are.

    >>> known("sudo ended with status 1")
    Text(template='{name} ended with status {number}', params=mappingproxy({'name': 'sudo', 'number': '1'}))
    >>> known("the host closed the streams early: Good morning").params["words"]
    'Good morning'
    >>> known("sudo: a password is required")
    'sudo: a password is required'
    """
    if len(words) > LONGEST_KNOWN:
        return shortened(words, LONGEST_PARAM)
    if sentence := _sentence(words):
        return sentence
    parts = words.split(": ", MOST_PARTS)
    for count in range(len(parts) - 1, 0, -1):
        if sentence := _sentence(": ".join(parts[:count])):
            return Text("{said}: {words}", said=sentence, words=shortened(": ".join(parts[count:]), LONGEST_PARAM))
    return shortened(words, LONGEST_PARAM)


def _sentence(words: str) -> Text | None:
    for pattern, template in _patterns():
        if match := pattern.fullmatch(words):
            params = {name: known(said) if name == "words" else said for name, said in match.groupdict().items()}
            return Text(template, **params)
    return None
