"""Accounts that nobody can log in to: locked after wrong passwords, or past their day; no hash leaves the host."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from diagnostics.parsing import ASKING, Line, Source, at, integer, read_sources, text_of
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
tallies() { # it prints times without their zone, and fails where nobody was ever counted
  folder=''
  if [ -f /etc/security/faillock.conf ]; then
    folder=$(sed -n 's/^[[:space:]]*dir[[:space:]]*=[[:space:]]*\(\/.*\)/\1/p' /etc/security/faillock.conf) || return
  fi
  [ ! -d "${folder:-/var/run/faillock}" ] || TZ=UTC0 faillock
}
limits() {
  set -- /etc/security/faillock.conf /etc/pam.d/*
  for file; do shift; [ ! -f "$file" ] || set -- "$@" "$file"; done
  [ "$#" -gt 0 ] || return 0
  grep -hE '^[[:space:]]*(deny|unlock_time|even_deny_root)([[:space:]=]|$)|^[^#]*pam_faillock[.]so' "$@" || [ "$?" = 1 ]
}
accounts() { # of those who can log in: name, id, what stands for a password, the day of its change, its days, the last day
  awk -F: 'FNR == NR { if ($7 !~ /(nologin|false|sync|halt|shutdown)$/) id[$1] = $3; next }
    $1 in id {
      kind = $2 == "" ? "none" : $2 ~ /^[!*]/ ? "locked" : "set"
      print $1 ":" id[$1] ":" kind ":" $3 ":" $5 ":" $8
    }' /etc/passwd /etc/shadow
}
if command -v faillock >/dev/null; then ask limits limits; ask tallies tallies
else absent limits faillock; absent tallies faillock
fi
if [ -e /etc/shadow ]; then ask accounts accounts; else absent accounts /etc/shadow; fi
ask clock date +%s
"""
)
_USER = re.compile(r"([^\s:]+):")
_TALLY = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (RHOST|TTY|SVC|UNKN|UNK) +.* ([VI])")
_ACCOUNT = re.compile(r"([^:]+):(\d+):(set|locked|none):(-?\d*):(-?\d*):(-?\d*)")
_OPTION = re.compile(r"\b(deny|unlock_time|even_deny_root)\b(?:\s*=\s*(\w+))?")
_DAY_S = 86_400
_DENY, _OPENS_S = 3, 600
"""What faillock.conf(5) says where the file does not."""
_EVER = 99_999
"""Days of a password that does not age, as passwd(1) and the distributions write it."""


def parse_accounts(answer: Answer) -> Facts:
    r"""Return who is locked after wrong passwords, and which accounts and passwords are past their last day.

    `tallies` are the users whose wrong passwords are counted; `locked` as faillock.conf(5) has it: as many valid ones as
    `deny`, and the last not longer ago than `unlock_time` (0 and `never`: until somebody unlocks it). Root is not locked
    unless `even_deny_root` is set. `accounts` are those with a login shell: `expired_s` is the end of their last day,
    `password_expired_s` that of the password's, both only where they are over (shadow(5)).

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_accounts(answered(f'''@longarm {mark[1:]}
    ... {mark} source limits
    ... deny = 2
    ...
    ... {mark} end 0
    ... {mark} source tallies
    ... clerk:
    ... When                Type  Source                                           Valid
    ... 2026-11-30 05:00:19 RHOST 10.77.0.9                                            V
    ... 2026-11-30 05:00:22 RHOST 10.77.0.9                                            V
    ...
    ... {mark} end 0
    ... {mark} source accounts
    ... root:0:locked:20787::
    ... clerk:1003:set:20787:99999:20800
    ...
    ... {mark} end 0
    ... {mark} source clock
    ... 1796014900
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["user"], one["failures"], one["locked"]) for one in facts["tallies"]]
    [('clerk', 2, True)]
    >>> [one["user"] for one in facts["accounts"]]
    ['root', 'clerk']
    """
    sources = read_sources("sec.accounts", answer)
    now_s = integer("sec.accounts", _only(sources["clock"]))
    tallies = _tallies(sources["tallies"], sources["limits"], now_s)
    return {"tallies": tallies, "accounts": [_account(line, now_s) for line in sources["accounts"].usable().lines]}


def _only(source: Source) -> bytes:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return lines[0].data


def _limits(source: Source) -> dict[str, str]:
    """Return the options by name; those of a PAM line come after the file's and go over them."""
    found: dict[str, str] = {}
    for line in source.usable().lines:
        found |= {name: value or "" for name, value in _OPTION.findall(line.text.split("#")[0])}
    return found


def _tallies(source: Source, limits: Source, now_s: int) -> list[dict[str, Any]]:
    if source.status is None:
        return []
    options, found = _limits(limits), list[dict[str, Any]]()
    deny = _number(options.get("deny"), _DENY)
    opens_s = 0 if options.get("unlock_time") == "never" else _number(options.get("unlock_time"), _OPENS_S)
    for line in source.usable().lines:
        if user := _USER.fullmatch(line.text):
            place = at(source.question, line.number)
            found.append({"user": user[1], "failures": 0, "deny": deny, "last_s": 0, "locked": False, "at": place})
        elif not line.text.startswith("When ") and line.text.strip():
            if not (tally := _TALLY.fullmatch(line.text)) or not found:
                raise ParseError(source.question, line.data)
            if tally[3] == "V":
                when = datetime.strptime(tally[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
                found[-1]["failures"] += 1
                found[-1]["last_s"] = int(when.timestamp())
                found[-1]["at"] = {**found[-1]["at"], "last": line.number}
    for one in found:
        denied = one["failures"] >= deny and (one["user"] != "root" or "even_deny_root" in options)
        one["locked"] = denied and (opens_s == 0 or now_s < one["last_s"] + opens_s)
    return found


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else otherwise


def _account(line: Line, now_s: int) -> dict[str, Any]:
    if not (match := _ACCOUNT.fullmatch(line.text)):
        raise ParseError("sec.accounts", line.data)
    changed, days, last = (int(text) if text else None for text in match.groups()[3:])
    account: dict[str, Any] = {
        "user": text_of(match[1].encode()),
        "uid": integer("sec.accounts", match[2].encode()),
        "password": match[3],
        "at": at("sec.accounts", line.number),
    }
    if last is not None and last > 0 and now_s >= last * _DAY_S:
        account["expired_s"] = last * _DAY_S
    if match[3] == "set" and changed is not None and days is not None and 0 < days < _EVER:
        over_s = (changed + days + 1) * _DAY_S
        if changed == 0 or now_s >= over_s:  # 0: it has to be changed at the next login
            account["password_expired_s"] = over_s if changed else 0
    return account


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="sec.accounts", script=_SCRIPT, deadline_s=5, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_accounts,
        summary="Whose account is locked after wrong passwords, and which accounts and passwords have ended",
        shape={
            "tallies": [
                {"user": "str", "failures": "int", "deny": "int", "last_s": "int seconds", "locked": "bool", "at": "at"}
            ],
            "accounts": [
                {
                    "user": "str",
                    "uid": "int",
                    "password": "str",
                    "expired_s": "int? seconds",
                    "password_expired_s": "int? seconds",
                    "at": "at",
                }
            ],
        },
    ),
)
